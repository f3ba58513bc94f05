//! The spool over a simulated disk. Sequences with collectors are the simulator's.

use bellwether_model::id::GroupId;
use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::series::{MetricType, ValueKind};
use bellwether_model::time::Timestamp;
use bellwether_model::wire::encode::Encoder;
use bellwether_model::wire::table::{ColumnIndex, ColumnSpec, Table};
use bellwether_platform::disk::sim::{SimDisk, SplitMix};

use super::*;

const COLLECTOR: &str = "http://a:1";

struct Bench {
    disk: SimDisk,
    spool: Spool,
    encoder: Encoder,
    table: Table,
    columns: Vec<ColumnIndex>,
    random: SplitMix,
    second: i64,
}

fn setup(bytes_max: u64) -> Setup {
    Setup {
        dir: "/state/metrics".into(),
        bounds: Bounds { bytes_max, age_max: Duration::from_secs(3600) },
        sync: SpoolSync::Auto,
        machine: "m".to_owned(),
        boot: BootId::default(),
    }
}

fn random(nonce: u64) -> Random {
    Random { agent: AgentId([u8::try_from(nonce).unwrap(); 16]), nonce: Nonce(nonce) }
}

fn open(disk: &SimDisk, bytes_max: u64, nonce: u64) -> Spool {
    let mut spool = Spool::open(Arc::new(disk.clone()), setup(bytes_max), random(nonce)).unwrap();
    spool.keep_cursors(&[COLLECTOR.to_owned()]);
    spool
}

impl Bench {
    /// Frames of about eight bytes for each column.
    fn new(bytes_max: u64, columns: u32) -> Bench {
        let disk = SimDisk::new(1);
        let spool = open(&disk, bytes_max, 1);
        let encoder = Encoder::new(spool.origin());
        let mut table = Table::new(LabelSet::default(), Duration::from_secs(1));
        let columns = (0..columns).map(|number| {
            let number = number.to_string();
            let labels = LabelSet::new([(METRIC_NAME, "m"), ("n", number.as_str())]).unwrap();
            let (unit, help) = (Arc::from(""), Arc::from(""));
            let (kind, value_kind) = (MetricType::Gauge, ValueKind::Float);
            table.add(ColumnSpec { labels, kind, value_kind, unit, help, start: None })
        });
        let columns = columns.collect();
        Bench { disk, spool, encoder, table, columns, random: SplitMix(2), second: 0 }
    }

    fn now(&self) -> Now {
        let mono = Mono(Duration::from_secs(self.second.unsigned_abs()));
        Now { wall: Timestamp(self.second * 1000), mono }
    }

    fn append(&mut self, cut: bool) -> Appended {
        self.second += 1;
        if cut {
            self.encoder.cut();
        }
        let time = Timestamp(self.second * 1000);
        self.table.begin_row();
        for column in &self.columns {
            self.table.set(*column, f64::from_bits(self.random.draw() >> 2));
        }
        self.encoder.begin(time);
        self.encoder.row(GroupId(0), &mut self.table, time);
        let mut frame = Vec::new();
        self.encoder.finish(&mut frame).unwrap();
        let samples = u32::try_from(self.columns.len()).unwrap();
        let appended = self.spool.append(self.now(), &frame.into(), samples).unwrap();
        self.check_account();
        appended
    }

    /// Everything collected is acknowledged, held or dropped.
    fn check_account(&self) {
        for (name, tally) in &self.spool.account().collectors {
            assert_eq!(tally.outstanding(), self.spool.held(name), "{tally:?}");
        }
    }

    fn reopen(&mut self, bytes_max: u64, nonce: u64) {
        self.spool = open(&self.disk, bytes_max, nonce);
        self.encoder = Encoder::new(self.spool.origin());
        self.check_account();
    }
}

fn seq(incarnation: u32, n: u32) -> Seq {
    Seq::new(Incarnation(incarnation), n)
}

#[test]
fn what_is_dropped_is_remembered_by_any_later_process() {
    for seed in 0..20 {
        let mut bench = Bench::new(3000, 20);
        let mut dropped = Vec::new();
        for second in 0..200 {
            dropped.extend(bench.append(second % 10 == 0).skips);
        }
        assert!(dropped.len() > 10 && bench.spool.bytes() <= 3000 + 5 * FILE_BYTES_MIN);
        let last = dropped.last().unwrap().last;
        if seed % 2 == 0 {
            bench.disk.kill();
        } else {
            bench.disk.power_cut(seed);
        }
        bench.reopen(3000, 2);
        let (_, skips) = bench.spool.cursor(COLLECTOR);
        let declared = state::Declared { skips, ..state::Declared::default() };
        assert!(declared.covers(seq(1, 1), last), "{declared:?} of {last}");
        assert!(bench.spool.backlog().first().is_none_or(|first| first > last));
        assert_eq!(bench.spool.origin().incarnation, Incarnation(2));
    }
}

#[test]
fn an_acknowledged_file_goes_only_once_the_next_one_knows_the_incarnation() {
    for seed in 0..100 {
        let mut bench = Bench::new(30_000, 20);
        bench.reopen(30_000, 2);
        for second in 0..150 + i64::try_from(seed).unwrap() {
            bench.append(second % 10 == 0);
            let last = bench.spool.backlog().last().unwrap();
            bench.spool.note(COLLECTOR, last, &[]).unwrap();
        }
        bench.disk.power_cut(seed);
        bench.reopen(30_000, 3);
        assert_eq!(bench.spool.origin().incarnation, Incarnation(3), "seed {seed}");
    }
}

#[test]
fn a_full_disk_costs_what_cannot_be_written_and_nothing_later() {
    let mut bench = Bench::new(100_000, 20);
    // Room for one file, of 32 KiB.
    bench.disk = SimDisk::new(2);
    bench.disk.set_capacity(40_000);
    bench.reopen(100_000, 1);
    let mut refused = Vec::new();
    while refused.is_empty() {
        let appended = bench.append(bench.second == 100);
        assert_eq!(appended.kept, appended.skips.is_empty());
        refused = appended.skips;
    }
    assert!(bench.second > 100, "two segments, and neither gives room");
    assert_eq!(refused.len(), 1);
    assert_eq!(refused.first().unwrap().reason, SkipReason::Disk);
    bench.disk.set_capacity(u64::MAX);
    assert!(!bench.append(false).kept, "later rows build on the one that is not there");
    assert_eq!(bench.append(true), Appended { skips: Vec::new(), kept: true });
    let newest = bench.spool.backlog().segments().last().unwrap();
    assert_eq!(newest.first, newest.last);
    assert_eq!(bench.spool.read(newest.first).unwrap().len(), 1);

    // With another segment to drop, the newest is kept.
    let used = u64::MAX - bench.disk.free_bytes(std::path::Path::new("/")).unwrap();
    bench.disk.set_capacity(used);
    let mut dropped = Vec::new();
    for second in 0..1000 {
        let appended = bench.append(second % 20 == 0);
        assert!(appended.kept);
        dropped.extend(appended.skips);
    }
    assert!(dropped.iter().all(|skip| skip.reason == SkipReason::SpoolFull));
    assert!(!dropped.is_empty());
}

#[test]
fn the_live_segment_outlives_its_age() {
    let mut bench = Bench::new(1 << 20, 1);
    bench.append(false);
    bench.append(true);
    bench.second += 7200;
    let appended = bench.append(false);
    let old = Skip { first: seq(1, 1), last: seq(1, 1), reason: SkipReason::SpoolAge };
    assert_eq!(appended, Appended { skips: vec![old], kept: true });
    assert_eq!(bench.spool.backlog().first(), Some(seq(1, 2)), "what the newest builds on");
}

#[test]
fn an_entry_tells_frames_of_one_length_apart() {
    let mut bench = Bench::new(1 << 20, 1);
    bench.append(false);
    bench.append(true);
    let frames = bench.spool.read(seq(1, 1)).unwrap();
    let [(one, first), (two, second)] = frames.as_slice() else { panic!("{frames:?}") };
    assert_eq!(first.len(), second.len());
    let (mut good, mut stale) = (Vec::new(), Vec::new());
    state::put_frame(&mut good, *one, 1, first);
    state::put_frame(&mut stale, *two, 1, first);
    assert_eq!(state::frame(&good).map(|(frame, _)| frame.header().seq), Some(*one));
    assert!(state::frame(&stale).is_none());
}

#[test]
fn frames_of_another_version_are_refused_in_words() {
    let mut bench = Bench::new(1 << 20, 1);
    bench.append(false);
    let mut entry = Vec::new();
    state::put_frame(&mut entry, seq(1, 2), 1, b"BWF1\x01\x02\x01\x00 and so on");
    bench.spool.journal.append(Class::Data, &entry).unwrap();
    bench.spool.journal.write().unwrap();
    bench.disk.kill();
    let again = Spool::open(Arc::new(bench.disk.clone()), setup(1 << 20), random(2));
    let Err(error) = again else { panic!("opened") };
    assert!(matches!(error, SpoolError::Version { version: 1, .. }), "{error}");
}

#[test]
fn another_machine_is_another_agent_and_declares_the_copied_backlog() {
    let mut bench = Bench::new(1 << 20, 1);
    (0..3).for_each(|_| drop(bench.append(false)));
    bench.spool.note(COLLECTOR, seq(1, 1), &[]).unwrap();
    bench.append(true);
    bench.disk.kill();
    let elsewhere = Setup { machine: "other".to_owned(), ..setup(1 << 20) };
    let spool = Spool::open(Arc::new(bench.disk.clone()), elsewhere, random(9)).unwrap();
    assert_eq!((spool.agent(), spool.origin().incarnation), (AgentId([9; 16]), Incarnation(2)));
    let (cursor, skips) = spool.cursor(COLLECTOR);
    let declared = state::Declared { cursor, skips, ..state::Declared::default() };
    assert_eq!(cursor, Seq(0));
    assert!(declared.covers(seq(1, 2), seq(1, 4)) && !declared.covers(seq(1, 1), seq(1, 1)));
    assert!(spool.backlog().first().is_none());
}

#[test]
fn the_account_goes_on_after_a_kill() {
    let mut bench = Bench::new(1 << 20, 3);
    (0..5).for_each(|second| drop(bench.append(second == 3)));
    let refused = Skip { first: seq(1, 2), last: seq(1, 3), reason: SkipReason::Refused };
    bench.spool.note(COLLECTOR, seq(1, 1), &[refused]).unwrap();
    bench.check_account();
    bench.spool.note(COLLECTOR, seq(1, 4), &[]).unwrap();
    bench.append(true);
    bench.disk.kill();
    bench.reopen(1 << 20, 2);
    let frames = |frames| Count { frames, samples: 3 * frames };
    let account = bench.spool.account();
    assert_eq!((account.collected, account.spooled), (frames(6), frames(6)));
    let tally = &account.collectors[COLLECTOR];
    assert_eq!((tally.owed, tally.acked), (frames(6), frames(2)));
    let dropped: Vec<_> = tally.dropped().collect();
    assert_eq!(dropped, [(DropReason::Skipped(SkipReason::Refused), frames(2))]);
    // A collector that has lost all gets again what is held.
    bench.spool.note(COLLECTOR, Seq(0), &[]).unwrap();
    let tally = &bench.spool.account().collectors[COLLECTOR];
    assert!(tally.returned.frames > 0 && tally.acked.frames < 2, "{tally:?}");
    bench.check_account();
}

#[test]
fn one_backlog_that_was_set_aside_is_kept() {
    let mut bench = Bench::new(1 << 20, 1);
    for number in 2..6 {
        bench.append(false);
        bench.spool.renew(random(number)).unwrap();
        bench.encoder = Encoder::new(bench.spool.origin());
        bench.check_account();
    }
    let files = |number: u64| {
        let dir = setup(0).dir.join(random(number).agent.to_string());
        bench.disk.list(&dir).unwrap().len()
    };
    assert_eq!((1..4).map(files).collect::<Vec<_>>(), [0, 0, 0]);
    assert!(files(4) > 0 && files(5) > 0);
}

#[test]
fn what_was_acknowledged_before_its_file_went_is_no_loss() {
    for power in [None, Some(3), Some(4)] {
        let mut bench = Bench::new(300_000, 100);
        (0..300).for_each(|second| drop(bench.append(second % 30 == 0)));
        let files = bench.spool.journal.segment_count();
        let last = bench.spool.backlog().last().unwrap();
        bench.spool.note(COLLECTOR, last, &[]).unwrap();
        assert!(bench.spool.journal.segment_count() < files);
        match power {
            None => bench.disk.kill(),
            Some(seed) => bench.disk.power_cut(seed),
        }
        bench.reopen(300_000, 2);
        let tally = &bench.spool.account().collectors[COLLECTOR];
        assert_eq!(tally.dropped_total(), Count::default());
        assert_eq!(tally.acked, Count { frames: 300, samples: 30_000 });
    }
}

#[test]
fn what_has_gone_stays_away_from_a_collector_that_was_wiped() {
    let mut bench = Bench::new(1 << 20, 3);
    (0..9).for_each(|second| drop(bench.append(second % 3 == 0)));
    bench.spool.note(COLLECTOR, seq(1, 8), &[]).unwrap();
    assert_eq!(bench.spool.backlog().first(), Some(seq(1, 7)));
    bench.spool.note(COLLECTOR, Seq(0), &[]).unwrap();
    bench.append(true);
    bench.disk.kill();
    bench.reopen(1 << 20, 2);
    assert_eq!(bench.spool.backlog().first(), Some(seq(1, 7)), "its file is there still");
    let tally = &bench.spool.account().collectors[COLLECTOR];
    assert_eq!((tally.acked.frames, tally.returned.frames), (6, 2));
}

#[test]
fn what_was_refused_is_owed_again_to_a_collector_that_was_wiped() {
    let mut bench = Bench::new(1 << 20, 3);
    (0..6).for_each(|_| drop(bench.append(false)));
    let refused = Skip { first: seq(1, 2), last: seq(1, 4), reason: SkipReason::Refused };
    bench.spool.note(COLLECTOR, seq(1, 1), &[refused]).unwrap();
    bench.spool.note(COLLECTOR, seq(1, 5), &[]).unwrap();
    bench.append(true);
    bench.disk.kill();
    bench.reopen(1 << 20, 2);
    bench.spool.note(COLLECTOR, seq(1, 2), &[]).unwrap();
    bench.check_account();
    let tally = &bench.spool.account().collectors[COLLECTOR];
    assert_eq!((tally.dropped_total().frames, tally.acked.frames), (1, 1));
    bench.spool.note(COLLECTOR, Seq(0), &[]).unwrap();
    bench.check_account();
    let tally = &bench.spool.account().collectors[COLLECTOR];
    assert_eq!((tally.dropped_total().frames, tally.acked.frames), (0, 0));
    assert_eq!(tally.returned.frames, 2);
}

#[test]
fn a_damaged_identity_costs_nothing_that_is_held() {
    for damage in [Some(&b""[..]), Some(b"agent 12\nmachine m\n"), None] {
        let mut bench = Bench::new(1 << 20, 3);
        (0..2).for_each(|_| drop(bench.append(false)));
        bench.spool.renew(random(2)).unwrap();
        bench.encoder = Encoder::new(bench.spool.origin());
        (0..4).for_each(|_| drop(bench.append(false)));
        let (account, held) = (bench.spool.account().clone(), bench.spool.held(COLLECTOR));
        assert_eq!(held, Count { frames: 4, samples: 12 });
        bench.disk.kill();
        let file = setup(0).dir.join(identity::FILE);
        match damage {
            Some(bytes) => replace_file(&bench.disk, &file, bytes).unwrap(),
            None => bench.disk.remove(&file).unwrap(),
        }
        bench.reopen(1 << 20, 3);
        assert_eq!(bench.spool.agent(), random(2).agent);
        assert_eq!(bench.spool.origin().incarnation, Incarnation(3));
        assert_eq!((bench.spool.account(), bench.spool.held(COLLECTOR)), (&account, held));
        let aside = setup(0).dir.join(random(1).agent.to_string());
        assert!(!bench.disk.list(&aside).unwrap().is_empty());
        bench.disk.kill();
        bench.reopen(1 << 20, 4);
        assert_eq!(bench.spool.agent(), random(2).agent, "the file is whole again");
    }
}
