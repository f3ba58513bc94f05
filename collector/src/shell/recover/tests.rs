//! Damage to what a start reads: one thing each, with its exact consequence.

use std::time::Duration;

use bellwether_model::id::{AgentId, BootId, GroupId, Incarnation, Nonce, Stream};
use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::select::{Column, Select, Window};
use bellwether_model::series::{MetricType, ValueKind};
use bellwether_model::signal::Kind;
use bellwether_model::time::{Mono, Nanos, Timestamp};
use bellwether_model::wire::answer::Case;
use bellwether_model::wire::encode::{Encoder, Origin};
use bellwether_model::wire::envelope::Envelope;
use bellwether_model::wire::table::{ColumnIndex, ColumnSpec, Table};
use bellwether_platform::disk::SyncPoint;
use bellwether_platform::disk::sim::SimDisk;
use bellwether_platform::journal::Class;

use super::*;
use crate::pure::entry::put_rollouts;
use crate::pure::guard::record::{Intent, Record};
use crate::pure::keeper::checkpoint::CheckpointOutcome;
use crate::pure::keeper::{Batch, EntryClass, JournalClosed, Submit};
use crate::shell::blocks::Job;

const AGENT: AgentId = AgentId([1; 16]);
const DIR: &str = "/data";

fn now(second: i64) -> Now {
    let mono = Mono(Duration::from_secs(second.unsigned_abs()));
    Now { wall: Timestamp(1_700_000_000_000 + second * 1000), mono }
}

struct Pushing<'a>(&'a mut Journal);

impl Batch for Pushing<'_> {
    fn has_room(&self, bytes: usize) -> bool {
        self.0.has_room(bytes)
    }

    fn push(&mut self, _: EntryClass, entry: &[u8]) -> Result<Position, JournalClosed> {
        Ok(self.0.append(Class::Data, entry).unwrap())
    }
}

/// A collector with one agent of twenty columns.
struct Bench {
    disk: SimDisk,
    now: Recovered,
    encoder: Encoder,
    table: Table,
    second: i64,
}

fn start(disk: &SimDisk, second: i64, loss: Loss) -> Result<Recovered, RecoverError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let start = Start {
        store: Limits { block_rows: 16, ..Limits::default() },
        keeper: KeeperLimits::default(),
        files: FileLimits::default(),
        journal: Options { segment_bytes: 16 << 10, loss, ..Options::default() },
        id: StoreId([9; 16]),
        now: now(second),
    };
    recover(&disk, Path::new(DIR), start, &mut |_, _| {})
}

impl Bench {
    fn new() -> Bench {
        let disk = SimDisk::new(1);
        let target = LabelSet::new([("job", "node"), ("instance", "a")]).unwrap();
        let mut table = Table::new(target, Duration::from_secs(1));
        for place in 0..20_u8 {
            let place = place.to_string();
            table.add(ColumnSpec {
                labels: LabelSet::new([(METRIC_NAME, "m"), ("place", &place)]).unwrap(),
                kind: MetricType::Gauge,
                value_kind: ValueKind::Float,
                unit: "".into(),
                help: "".into(),
                start: None,
            });
        }
        let origin =
            Origin { incarnation: Incarnation(1), nonce: Nonce(7), boot: BootId::default() };
        let now = start(&disk, 0, Loss::Refuse).unwrap();
        let mut bench = Bench { disk, now, encoder: Encoder::new(origin), table, second: 0 };
        let first =
            bench.now.keeper.snapshot(super::tests::now(0), &mut Pushing(&mut bench.now.journal));
        assert_eq!(first, Ok(Some(Position(1))));
        bench
    }

    /// Pushes the frames of so many seconds, all of them durable.
    fn run(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.second += 1;
            let time = now(self.second).wall;
            self.table.begin_row();
            for place in 0..20_u32 {
                let value = f64::from(place) + f64::from(i32::try_from(self.second).unwrap());
                self.table.set(ColumnIndex(place), value);
            }
            self.encoder.begin(Timestamp(time.0 + 999));
            self.encoder.row(GroupId(0), &mut self.table, time);
            let mut body = Vec::new();
            let envelope = Envelope {
                agent: AGENT,
                stream: Stream::Metrics,
                goodbye: false,
                sent_wall: Nanos(0),
                sent_mono: 0,
                skips: Vec::new(),
                frames: 1,
            };
            envelope.put(&mut body);
            self.encoder.finish(&mut body).unwrap();
            let submit = Submit { body: &body, received: Nanos(time.0 * 1_000_000) };
            let Recovered { keeper, journal, .. } = &mut self.now;
            let reply = keeper.admit(now(self.second), submit, &mut Pushing(journal)).unwrap();
            assert_eq!(reply.answer.case, Case::Applied);
            journal.write().unwrap();
            journal.sync(SyncPoint::JournalCommit).unwrap();
            journal.prepare_spares().unwrap();
        }
    }

    fn checkpoint(&mut self) {
        let capture = self.now.keeper.capture(now(self.second).wall);
        let mut job = Job { now: now(self.second).wall, ..Job::default() };
        job.capture = Some(Box::new(capture));
        job.filing = job.capture.as_mut().unwrap().store.take_filing();
        let done = self.now.blocks.write(job).unwrap();
        assert_eq!(done.checkpoint, Some(CheckpointOutcome::Written));
        self.now.keeper.filed(done.placed);
        if let Some(cut) = done.cut {
            self.now.journal.remove_before(Position(cut.0 + 1)).unwrap();
        }
    }

    fn restart(&mut self) -> Result<(), RecoverError> {
        self.disk.power_cut(5);
        self.now = start(&self.disk, self.second, Loss::Refuse)?;
        Ok(())
    }

    /// How many samples each series has.
    fn counts(&self) -> Vec<usize> {
        let view = self.now.store.view(now(self.second + 1).wall);
        let window = Window { start: Timestamp(0), end: now(self.second).wall };
        let mut column = Column::default();
        let count = |series| {
            view.samples(series, window, &mut column);
            column.len()
        };
        view.series(&[], window, 100).into_iter().map(count).collect()
    }

    fn newest(&self, dir: &str) -> PathBuf {
        let dir = Path::new(DIR).join(dir);
        dir.join(self.disk.list(&dir).unwrap().last().unwrap())
    }
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before() {
    let mut bench = Bench::new();
    for seconds in [40, 100, 70] {
        bench.run(seconds);
        bench.checkpoint();
    }
    assert!(bench.now.journal.first() > Position(1), "the journal is cut");
    bench.run(7);
    for offset in [20, 90, 300] {
        let damaged = bench.newest(CHECKPOINTS);
        bench.disk.corrupt(&damaged, offset);
        bench.restart().unwrap();
        assert_eq!(bench.now.damaged.len(), 1, "{:?}", bench.now.damaged);
        assert_eq!(bench.counts(), [217; 20]);
        assert_eq!((bench.now.held, bench.now.keeper.stats().lost_frames), (Position(141), 0));
        bench.checkpoint();
    }
    bench.run(3);
    bench.restart().unwrap();
    assert_eq!((bench.counts(), bench.now.damaged.len()), (vec![220; 20], 0));
}

#[test]
fn without_a_good_checkpoint_the_start_is_refused_unless_the_loss_is_accepted() {
    let mut bench = Bench::new();
    for seconds in [40, 100, 70] {
        bench.run(seconds);
        bench.checkpoint();
    }
    let dir = Path::new(DIR).join(CHECKPOINTS);
    for name in bench.disk.list(&dir).unwrap() {
        bench.disk.corrupt(&dir.join(name), 100);
    }
    bench.disk.kill();
    let refused = start(&bench.disk, bench.second, Loss::Refuse).err().unwrap().to_string();
    assert!(refused.contains("--accept-loss") && refused.contains("damaged"), "{refused}");
    assert_eq!(bench.disk.list(&dir).unwrap().len(), 2, "nothing is touched");
    let anew = start(&bench.disk, bench.second, Loss::Accept).unwrap();
    assert_eq!((anew.keeper.is_new(), anew.store.stats().series), (true, 0));
}

#[test]
fn a_journal_that_is_gone_or_ends_before_the_checkpoint_refuses_the_start() {
    let whole: fn(&SimDisk, &Path) = |disk, path| disk.remove(path).unwrap();
    let cut: fn(&SimDisk, &Path) = |disk, path| disk.alter(path, Vec::clear);
    let zeros: fn(&SimDisk, &Path) = |disk, path| disk.alter(path, |bytes| bytes.fill(0));
    let half: fn(&SimDisk, &Path) = |disk, path| disk.alter(path, |b| b.truncate(b.len() / 8));
    for (harm, last) in [(whole, 0), (cut, 0), (zeros, 0), (half, 10)] {
        let mut bench = Bench::new();
        bench.run(50);
        bench.checkpoint();
        bench.run(20);
        bench.disk.kill();
        let segment = bench.newest(JOURNAL).with_file_name("0000000000000001.journal");
        harm(&bench.disk, &segment);
        let refused = start(&bench.disk, bench.second, Loss::Refuse).err().unwrap().to_string();
        assert!(refused.contains("--accept-loss") && refused.contains("made at 51"), "{refused}");
        bench.disk.kill();
        bench.now = start(&bench.disk, bench.second, Loss::Accept).unwrap();
        assert_eq!(bench.now.journal_gone, Some(JournalGone::End(Position(last))));
        bench.second = 50;
        assert_eq!(bench.counts(), [50; 20]);
        assert_eq!(bench.now.journal.next(), Position(52));
        bench.restart().unwrap();
        assert_eq!((bench.now.journal_gone, bench.now.journal.next()), (None, Position(52)));
    }
}

#[test]
fn a_journal_that_ends_with_the_checkpoint_is_whole() {
    let mut bench = Bench::new();
    bench.run(50);
    bench.checkpoint();
    bench.restart().unwrap();
    assert_eq!((bench.counts(), bench.now.journal_gone), (vec![50; 20], None));
    assert_eq!(bench.now.journal.next(), Position(52));
    for seconds in [100, 70] {
        bench.run(seconds);
        bench.checkpoint();
    }
    // All but the segment being written is gone behind the checkpoints.
    let mut journal = bench.now.journal;
    journal.roll().unwrap();
    journal.remove_before(journal.next()).unwrap();
    journal.sync(SyncPoint::JournalCommit).unwrap();
    assert_eq!(journal.segment_count(), 1);
    bench.disk.power_cut(5);
    bench.now = start(&bench.disk, bench.second, Loss::Refuse).unwrap();
    assert_eq!((bench.counts(), bench.now.journal_gone), (vec![220; 20], None));
    bench.run(4);
    bench.restart().unwrap();
    assert_eq!(bench.counts(), [224; 20]);
}

#[test]
fn damage_in_the_journal_before_the_checkpoint_takes_nothing() {
    let mut bench = Bench::new();
    bench.run(50);
    bench.checkpoint();
    bench.run(20);
    let segment = bench.newest(JOURNAL).with_file_name("0000000000000001.journal");
    bench.disk.corrupt(&segment, 2000);
    bench.restart().unwrap();
    assert_eq!(bench.counts(), [70; 20]);
    assert_eq!(bench.now.keeper.stats().lost_frames, 0);
    assert_eq!(bench.now.recovery.lost_entries, 1);
}

#[test]
fn damage_in_the_journal_behind_the_checkpoint_is_told_with_its_agent() {
    let mut bench = Bench::new();
    bench.run(50);
    bench.checkpoint();
    let before = bench.now.journal.segments().last().unwrap().bytes;
    bench.run(20);
    let segment = bench.newest(JOURNAL).with_file_name("0000000000000001.journal");
    bench.disk.corrupt(&segment, before + 100);
    bench.restart().unwrap();
    // The deltas behind the lost row wait for the next key row.
    let losses = bench.now.keeper.take_losses();
    assert_eq!((losses[0].agent, losses[0].first.n(), losses[0].last.n()), (AGENT, 51, 51));
    assert_eq!(bench.counts(), [50; 20]);
    let lost: u64 = losses.iter().map(|lost| lost.last.0 - lost.first.0 + 1).sum();
    assert_eq!((lost, bench.now.keeper.stats().lost_frames), (20, 20));
}

#[test]
fn damage_in_a_chunk_file_takes_one_page_and_is_told_with_its_agent() {
    let mut bench = Bench::new();
    bench.run(50);
    bench.checkpoint();
    let file = bench.newest(CHUNKS);
    let whole = bench.disk.content(&file).unwrap();
    // The last byte of the last block: its second page, of columns 16 to 19.
    bench.disk.corrupt(&file, whole.len() as u64 - 1);
    bench.restart().unwrap();
    let mut counts = bench.counts();
    counts.sort_unstable();
    assert_eq!(counts, [[34; 4].as_slice(), &[50; 16]].concat());
    // Its head: all of it.
    bench.disk.corrupt(&file, 70);
    let mut counts = bench.counts();
    counts.sort_unstable();
    assert_eq!(counts, [[18; 4].as_slice(), &[34; 16]].concat());
    let damages = bench.now.keeper.take_damages();
    let told: Vec<_> =
        damages.iter().map(|(agent, damage)| (*agent, damage.from, damage.until)).collect();
    let block = |first| (Some(AGENT), now(first).wall, now(first + 15).wall);
    assert_eq!(told, [block(33), block(1)]);
    assert_eq!(bench.now.store.stats().blocks_damaged, 2);
    bench.run(20);
    bench.checkpoint();
    assert_eq!(bench.counts().iter().max(), Some(&54), "nothing else is disturbed");
}

/// One whose first chunk file is closed, the second being written three hours later.
fn two_files() -> Bench {
    let mut bench = Bench::new();
    bench.run(50);
    bench.checkpoint();
    bench.second += 3 * 3600;
    bench.run(20);
    bench.checkpoint();
    bench
}

#[test]
fn a_chunk_file_that_is_gone_is_told_unless_its_rows_were_past_retention() {
    let name = |number: u32| format!("{number:08x}.chunks");
    for number in [0, 1] {
        let mut bench = two_files();
        bench.disk.kill();
        bench.disk.remove(&Path::new(DIR).join(CHUNKS).join(name(number))).unwrap();
        bench.restart().unwrap();
        let gone: Vec<_> = bench.now.files_gone.iter().map(|gone| gone.name.clone()).collect();
        assert_eq!(gone, [name(number)]);
        assert_eq!(bench.now.damage(), StartDamage { journal: 0, files: 1 });
        // The next checkpoint names it no more.
        bench.checkpoint();
        bench.restart().unwrap();
        assert_eq!(bench.now.damage(), StartDamage::default());
    }
    let mut late = two_files();
    late.disk.kill();
    late.disk.remove(&Path::new(DIR).join(CHUNKS).join(name(0))).unwrap();
    late.second += 49 * 3600;
    late.restart().unwrap();
    assert_eq!(late.now.files_gone, []);
}

#[test]
fn a_file_that_is_dropped_stays_until_no_checkpoint_names_it() {
    let mut bench = two_files();
    let job = |gone| Job { now: now(0).wall, gone, ..Job::default() };
    bench.now.blocks.write(job(vec![0])).unwrap();
    let file = Path::new(DIR).join(CHUNKS).join("00000000.chunks");
    assert!(bench.disk.exists(&file).unwrap());
    bench.restart().unwrap();
    assert_eq!((bench.now.files_gone.len(), bench.counts()), (0, vec![71; 20]));
    bench.now.blocks.write(job(vec![0])).unwrap();
    bench.checkpoint();
    assert!(!bench.disk.exists(&file).unwrap());
    bench.restart().unwrap();
    assert_eq!((bench.now.files_gone.len(), bench.counts()), (0, vec![23; 20]));
}

#[test]
fn a_closed_file_with_a_damaged_index_is_read_block_by_block() {
    let mut bench = two_files();
    let file = Path::new(DIR).join(CHUNKS).join("00000000.chunks");
    let len = bench.disk.content(&file).unwrap().len() as u64;
    bench.disk.corrupt(&file, len - 1);
    bench.restart().unwrap();
    assert_eq!(bench.now.files_broken.len(), 1);
    // The silence between the two ends the series once.
    assert_eq!(bench.counts(), [71; 20]);
}

#[test]
fn a_date_that_leaps_for_a_while_takes_no_samples() {
    const YEAR: i64 = 365 * 24 * 3600;
    let mut bench = Bench::new();
    bench.run(50);
    for second in 51..60 {
        let leapt = Now { wall: now(second + YEAR).wall, ..now(second) };
        let Recovered { keeper, journal, .. } = &mut bench.now;
        keeper.tick(leapt, &mut Pushing(journal)).unwrap();
        journal.write().unwrap();
        journal.sync(SyncPoint::JournalCommit).unwrap();
    }
    assert!(bench.now.keeper.stats().date_doubted);
    assert_eq!(bench.counts(), [50; 20]);
    bench.checkpoint();
    // A start with such a date goes on from where the checkpoint was.
    bench.disk.kill();
    bench.now = start(&bench.disk, 60 + YEAR, Loss::Refuse).unwrap();
    assert_eq!(bench.counts(), [50; 20]);
    bench.restart().unwrap();
    assert_eq!(bench.counts(), [50; 20]);
}

/// A signal that is open outlives its entry: the checkpoint has it, and what followed is replayed.
#[test]
fn open_signals_outlive_the_journal_that_they_stood_in() {
    let mut bench = Bench::new();
    let intent = Arc::new(Intent {
        number: 1,
        rollout: "gh-1".into(),
        service: "checkout".into(),
        environment: "production".into(),
        generation: 1,
        key: "9f".repeat(32).into(),
        kind: Kind::Rollback,
        from: "2".into(),
        to: "1".into(),
        hook: "web".into(),
        body: b"{}"[..].into(),
        at: now(1).wall,
        deadline: now(121).wall,
    });
    let record = |bench: &mut Bench, record: Record| {
        let mut entry = Vec::new();
        let mut body = Vec::new();
        record.put(&mut body);
        put_rollouts(&mut entry, 1, &body);
        let Recovered { keeper, journal, .. } = &mut bench.now;
        keeper.record(&entry, &mut Pushing(journal)).unwrap().unwrap();
    };
    record(&mut bench, Record::Intended(intent));
    for seconds in [40, 100, 70] {
        bench.run(seconds);
        bench.checkpoint();
    }
    assert!(bench.now.journal.first() > Position(2), "the journal is cut");
    record(&mut bench, Record::Attempt { signal: 1, attempt: 1, at: now(2).wall });
    bench.run(1);
    let before = bench.now.keeper.guard().clone();
    assert_eq!(before.lanes.open().map(|open| open.tries).collect::<Vec<_>>(), [1]);
    bench.restart().unwrap();
    assert_eq!(*bench.now.keeper.guard(), before);
}
