//! A simulated collector: the product's keeper, store and journal, and group commit as events.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bellwether_collector::pure::keeper::{
    Batch, EntryClass, JournalClosed, Keeper, KeeperLimits, Submit,
};
use bellwether_collector::pure::recount::Recount;
use bellwether_collector::shell::blocks::{BlockWriter, CheckpointDue, Done, Job, Upkeep};
use bellwether_collector::shell::recover::{RecoverError, Recovered, Start, recover};
use bellwether_model::id::{AgentId, Position, Seq, StoreId, Stream};
use bellwether_model::label::LabelSet;
use bellwether_model::select::{Column, Select, Window};
use bellwether_model::series::is_stale;
use bellwether_model::time::{Nanos, Timestamp};
use bellwether_model::wire::answer::Answer;
use bellwether_platform::clock::{Clock, ManualTime};
use bellwether_platform::disk::sim::{SimDisk, SplitMix};
use bellwether_platform::disk::{Disk, DiskError, SyncPoint};
use bellwether_platform::journal::{Class, Journal, JournalError, Options};
use bellwether_store::checkpoint::CheckpointError;
use bellwether_store::{FileLimits, Limits as StoreLimits, Store};
use std::collections::BTreeSet;

use super::account::Account;
use super::ledger::{Ledger, Noted, Samples, noted};
use super::{Millis, Scenario, copy, reading};

const DATA: &str = "/data";
/// Small, so that a run has many.
const SEGMENT_BYTES: u64 = 8 << 10;
/// Room left at admission for what is admitted without asking.
const RESERVE: usize = 1 << 10;
/// Small, so that a run has many files, and many checkpoints.
const FILES: FileLimits = FileLimits { bytes: 4 << 10, span: Duration::from_secs(60) };
const DUE: CheckpointDue = CheckpointDue { bytes: u64::MAX, every: Duration::from_secs(7) };
const BLOCK_ROWS: usize = 16;

/// A collector's host.
pub struct CollectorNode {
    /// Its place in the list.
    pub number: usize,
    /// Its disk.
    pub disk: SimDisk,
    /// How far its date is ahead, in ms.
    pub skew: i64,
    /// Counts starts and ends of the process.
    pub life: u64,
    /// The process, while it runs.
    pub process: Option<Keeping>,
    /// What its journal holds.
    pub ledger: Ledger,
    /// What it has called durable.
    pub synced: Position,
    /// What it has acknowledged.
    pub claims: BTreeMap<AgentId, Seq>,
    /// What was acknowledged before is gone.
    pub void_before: Millis,
    /// An older state of disk and ledger.
    pub backup: Option<(SimDisk, Ledger, Option<StoreId>)>,
    /// The id that its answers carry, once durable.
    pub store_id: Option<StoreId>,
    random: SplitMix,
    retention: Duration,
}

/// A running collector.
pub struct Keeping {
    keeper: Keeper,
    store: Store,
    journal: Journal,
    /// Its clock.
    pub clock: Clock,
    time: ManualTime,
    at: Millis,
    skew: i64,
    waiting: Vec<Waiting>,
    /// Whether a commit is in the heap.
    pub committing: bool,
    /// The entry that makes the store's id durable; 0 if it was so at the start.
    named: Option<Position>,
    blocks: BlockWriter,
    upkeep: Upkeep,
    /// What the block thread has still to do, and what it has done.
    job: Option<Job>,
    done: Option<Done>,
    passed: BTreeMap<&'static str, u64>,
}

/// An answer that waits for its sync.
struct Waiting {
    release: Position,
    reply: Reply,
}

/// An answer on its way out.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The host that asked.
    pub to: usize,
    /// The request's number.
    pub request: u64,
    /// Whose frames they were.
    pub agent: Option<AgentId>,
    /// The answer.
    pub answer: Answer,
}

/// Why a process ends.
#[derive(Debug)]
pub enum End {
    /// The disk failed, or the fault that was set for it struck.
    Disk(String),
    /// The product broke a promise.
    Violation(String),
}

impl From<DiskError> for End {
    fn from(error: DiskError) -> End {
        if error.is_full() {
            End::Violation(format!("a full disk: {error}"))
        } else {
            End::Disk(error.to_string())
        }
    }
}

impl From<RecoverError> for End {
    fn from(error: RecoverError) -> End {
        match error {
            RecoverError::Journal(error) => error.into(),
            // A start needs no space but for directories.
            RecoverError::Disk(error) | RecoverError::Checkpoint(CheckpointError::Disk(error)) => {
                End::Disk(error.to_string())
            }
            error => End::Violation(error.to_string()),
        }
    }
}

impl From<JournalError> for End {
    fn from(error: JournalError) -> End {
        match error {
            JournalError::Disk(error) if !error.is_full() => End::Disk(error.to_string()),
            error => End::Violation(format!("the journal: {error}")),
        }
    }
}

/// Pushes into the journal and keeps the ledger.
struct Pushing<'a> {
    journal: &'a mut Journal,
    ledger: &'a mut Ledger,
    passed: &'a mut BTreeMap<&'static str, u64>,
    error: Option<JournalError>,
}

impl Batch for Pushing<'_> {
    fn has_room(&self, bytes: usize) -> bool {
        self.journal.has_room(bytes + RESERVE)
    }

    fn push(&mut self, class: EntryClass, entry: &[u8]) -> Result<Position, JournalClosed> {
        let class = match class {
            EntryClass::Data => Class::Data,
            EntryClass::Control => Class::Control,
        };
        let position = self.journal.append(class, entry).map_err(|error| {
            self.error = Some(error);
            JournalClosed
        })?;
        let entry = noted(entry);
        if let Noted::Frame(key, skips, _) = &entry {
            for (reason, count) in self.ledger.passed(key, skips) {
                *self.passed.entry(reason).or_default() += count;
            }
        }
        self.ledger.push(position, entry);
        Ok(position)
    }
}

impl CollectorNode {
    /// A host with an empty disk.
    #[must_use]
    pub fn new(number: usize, scenario: &Scenario, disk: SimDisk, seed: u64) -> CollectorNode {
        CollectorNode {
            number,
            disk,
            skew: 0,
            life: 0,
            process: None,
            ledger: Ledger::default(),
            synced: Position(0),
            claims: BTreeMap::new(),
            void_before: 0,
            backup: None,
            store_id: None,
            random: SplitMix(seed),
            retention: scenario.retention,
        }
    }

    /// Its time, while it runs.
    #[must_use]
    pub fn wall(&mut self, now: Millis) -> Option<Nanos> {
        let process = self.process.as_mut()?;
        process.pass(now, self.skew);
        Some(process.clock.nanos())
    }

    /// Frames declared as never to come since the start, by reason.
    #[must_use]
    pub fn skipped(&self) -> BTreeMap<&'static str, u64> {
        let process = self.process.as_ref();
        process.map_or_else(BTreeMap::new, |process| process.keeper.stats().skipped.clone())
    }

    /// Starts the process: what it reads is compared with the ledger.
    ///
    /// # Errors
    /// The disk failed, or something that was durable is gone.
    pub fn start(&mut self, now: Millis, account: &Account) -> Result<(), End> {
        self.life += 1;
        let (clock, time) = Clock::manual(reading(now, self.skew));
        let mut wrong = None;
        let start = self.plan(&clock);
        let ledger = &self.ledger;
        let mut seen = |position: Position, bytes: &[u8]| {
            let entry = noted(bytes);
            if ledger.get(position) != Some(&entry) {
                wrong.get_or_insert_with(|| format!("entry {position} is {entry:?}"));
            }
        };
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let Recovered {
            keeper,
            store,
            blocks,
            journal,
            recovery,
            held,
            damaged,
            files_gone,
            files_broken,
            ..
        } = recover(&disk, Path::new(DATA), start, &mut seen)?;
        let last = recovery.last.max(held);
        if let Some(wrong) = wrong {
            return Err(End::Violation(wrong));
        }
        if held > recovery.last || !damaged.is_empty() || !files_broken.is_empty() {
            let what = format!("a checkpoint of {held} over {recovery:?}: {damaged:?}");
            return Err(End::Violation(format!("{what}, {files_broken:?}")));
        }
        if !files_gone.is_empty() {
            return Err(End::Violation(format!("a checkpoint of {held} names {files_gone:?}")));
        }
        if last < self.synced || recovery.lost_entries > 0 {
            let synced = self.synced;
            return Err(End::Violation(format!("{recovery:?}, but {synced} was durable")));
        }
        self.ledger.truncate(last);
        self.synced = last;
        self.process = Some(Keeping {
            named: (!keeper.is_new()).then_some(Position(0)),
            keeper,
            store,
            journal,
            upkeep: Upkeep::new(DUE, clock.now().mono),
            clock,
            time,
            at: now,
            skew: self.skew,
            waiting: Vec::new(),
            committing: false,
            blocks,
            job: None,
            done: None,
            passed: BTreeMap::new(),
        });
        self.check(account).map_err(|what| match self.disk.exists(Path::new(DATA)) {
            Ok(_) => End::Violation(what),
            // Samples are read from files: a disk that has stopped has none.
            Err(error) => End::Disk(error.to_string()),
        })
    }

    fn plan(&mut self, clock: &Clock) -> Start {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.random.draw().to_le_bytes());
        Start {
            store: StoreLimits {
                retention: self.retention,
                block_rows: BLOCK_ROWS,
                ..StoreLimits::default()
            },
            keeper: KeeperLimits { retention: self.retention, ..KeeperLimits::default() },
            files: FILES,
            journal: options(),
            id: StoreId(id),
            now: clock.now(),
        }
    }

    /// Judges a request. Returns the reply if it need not wait.
    ///
    /// # Errors
    /// The journal failed.
    pub fn admit(
        &mut self,
        now: Millis,
        body: &[u8],
        to: usize,
        request: u64,
    ) -> Result<Option<Reply>, End> {
        let CollectorNode { process, ledger, skew, .. } = self;
        let process = process.as_mut().expect("a running collector");
        process.pass(now, *skew);
        let received = process.clock.nanos();
        let submit = Submit { body, received };
        let at = process.clock.now();
        let admitted = process.push(ledger, |keeper, batch| keeper.admit(at, submit, batch))?;
        let envelope = bellwether_model::wire::envelope::Envelope::read(body);
        let agent = envelope.ok().map(|(envelope, _)| envelope.agent);
        let mut answer = admitted.answer;
        answer.received = received;
        let reply = Reply { to, request, agent, answer };
        process.waiting.push(Waiting { release: admitted.release, reply });
        Ok(self.released()?.pop())
    }

    /// Once a second.
    ///
    /// # Errors
    /// The journal failed.
    pub fn tick(&mut self, now: Millis) -> Result<(), End> {
        let CollectorNode { process, ledger, skew, synced, .. } = self;
        let process = process.as_mut().expect("a running collector");
        process.pass(now, *skew);
        let at = process.clock.now();
        process.push(ledger, |keeper, batch| keeper.tick(at, batch))?;
        if process.keeper.is_new() {
            process.named = process.push(ledger, |keeper, batch| keeper.snapshot(at, batch))?;
        }
        // A full disk is met at admission, and asked again each second.
        process.journal.prepare_spares().ok();
        if let Some(done) = process.done.take()
            && let Some(cut) = process.upkeep.finished(at, &mut process.keeper, done)
        {
            process.journal.remove_before(Position(cut.0 + 1))?;
        }
        if process.job.is_none() {
            process.job = process.upkeep.next(at, &mut process.keeper, *synced);
        }
        Ok(())
    }

    /// Whether the block thread has something to do.
    #[must_use]
    pub fn has_job(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.job.is_some())
    }

    /// The block thread does its job.
    ///
    /// # Errors
    /// The disk failed.
    pub fn work(&mut self) -> Result<(), End> {
        let process = self.process.as_mut().expect("a running collector");
        if let Some(job) = process.job.take() {
            process.done = Some(process.blocks.write(job)?);
        }
        Ok(())
    }

    /// Whether entries wait to be written.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.journal.next() > written(process))
    }

    /// The group is written.
    ///
    /// # Errors
    /// The disk failed.
    pub fn write(&mut self) -> Result<(), End> {
        let process = self.process.as_mut().expect("a running collector");
        process.journal.write()?;
        Ok(())
    }

    /// The group is synced: gives what it releases.
    ///
    /// # Errors
    /// The disk failed.
    pub fn sync(&mut self) -> Result<Vec<Reply>, End> {
        let process = self.process.as_mut().expect("a running collector");
        self.synced = process.journal.sync(SyncPoint::JournalCommit)?;
        process.journal.prepare_spares().ok();
        if process.named.is_some_and(|position| position <= self.synced) {
            self.store_id.get_or_insert(process.keeper.store());
        }
        self.released()
    }

    /// The replies whose position is durable; an acknowledgement must be.
    fn released(&mut self) -> Result<Vec<Reply>, End> {
        let process = self.process.as_mut().expect("a running collector");
        let synced = self.synced;
        let (free, waiting) =
            process.waiting.drain(..).partition(|waiting: &Waiting| waiting.release <= synced);
        process.waiting = waiting;
        let mut replies = Vec::new();
        for Waiting { mut reply, .. } in free {
            reply.answer.answered = process.clock.nanos();
            if let Some(agent) = reply.agent {
                let durable = self.ledger.applied(agent, synced);
                if reply.answer.acked > durable {
                    let what = format!("{reply:?}, but only {durable} is durable");
                    return Err(End::Violation(what));
                }
                let claim = self.claims.entry(agent).or_default();
                *claim = reply.answer.acked.max(*claim);
            }
            replies.push(reply);
        }
        Ok(replies)
    }

    /// Compares sessions and store with the ledger and with what was acknowledged.
    ///
    /// # Errors
    /// The first difference.
    pub fn check(&self, account: &Account) -> Result<(), String> {
        let process = self.process.as_ref().expect("a running collector");
        self.ledger.check_order()?;
        self.ledger.check_up()?;
        for (agent, acked) in &self.claims {
            let session = process.keeper.session(*agent, Stream::Metrics);
            if session.is_none() && !process.keeper.presence().knows(*agent) {
                // Its samples are past retention, or it would be known.
                continue;
            }
            let applied = session.map_or(Seq(0), |session| session.applied());
            let held = self.ledger.applied(*agent, Position(u64::MAX));
            if applied != held || applied < *acked {
                return Err(format!("{agent} was acked {acked}, has {applied}, ledger {held}"));
            }
        }
        if self.store_id.is_some_and(|id| id != process.keeper.store()) {
            return Err(format!("the store's id {:?} is forgotten", self.store_id));
        }
        if process.keeper.stats().skipped != process.passed {
            let counted = &process.keeper.stats().skipped;
            return Err(format!("skips counted {counted:?}, passed {:?}", process.passed));
        }
        if process.keeper.stats().lost_frames > 0 {
            return Err(format!("{} frames cannot be decoded", process.keeper.stats().lost_frames));
        }
        let now = process.clock.now().wall;
        let oldest = now.saturating_sub(self.retention);
        let stored = samples(&process.store, now);
        if process.store.stats().blocks_damaged > 0 {
            return Err("blocks in chunk files are damaged".to_owned());
        }
        compare(&self.ledger.samples(account), &stored, oldest, true)
    }

    /// Starts another keeper from a copy of the disk, which must come out the same.
    ///
    /// # Errors
    /// The first difference.
    pub fn check_replay(&mut self, now: Millis) -> Result<(), String> {
        let skew = self.skew;
        self.process.as_mut().expect("a running collector").pass(now, skew);
        let clock = self.process.as_ref().expect("a running collector").clock.clone();
        let (start, at) = (self.plan(&clock), clock.now());
        let disk: Arc<dyn Disk> = Arc::new(copy(&self.disk, 0));
        let again = recover(&disk, Path::new(DATA), start, &mut |_, _| {});
        let Recovered { keeper, store, .. } = again.map_err(|error| error.to_string())?;
        let process = self.process.as_ref().expect("a running collector");
        let (live, again) = (process.keeper.presence().state(), keeper.presence().state());
        if live != again {
            return Err(format!("presence was {live:?}, replayed {again:?}"));
        }
        for agent in self.claims.keys() {
            let stream = Stream::Metrics;
            let (live, again) =
                (process.keeper.session(*agent, stream), keeper.session(*agent, stream));
            if live != again {
                return Err(format!("session was {live:?}, replayed {again:?}"));
            }
            let count = |keeper: &Keeper| keeper.recount(*agent, stream).map(Recount::replayable);
            let (live, again) = (count(&process.keeper), count(&keeper));
            if live != again || live.is_some_and(|count| !count.is_whole()) {
                return Err(format!("counted {live:?}, replayed {again:?}"));
            }
        }
        let oldest = at.wall.saturating_sub(self.retention);
        compare(&samples(&process.store, at.wall), &samples(&store, at.wall), oldest, false)
    }

    /// Whether the journal has let go of its oldest entries.
    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.journal.first() > Position(1))
    }
}

/// The position before the first entry that is not written.
fn written(process: &Keeping) -> Position {
    Position(process.journal.written().0 + 1)
}

fn options() -> Options {
    Options { segment_bytes: SEGMENT_BYTES, ..Options::default() }
}

impl Keeping {
    fn pass(&mut self, now: Millis, skew: i64) {
        self.time.advance(Duration::from_millis(now - self.at));
        self.at = now;
        if skew != self.skew {
            self.skew = skew;
            self.time.set_system(reading(now, skew).system);
        }
    }

    fn push<T>(
        &mut self,
        ledger: &mut Ledger,
        act: impl FnOnce(&mut Keeper, &mut dyn Batch) -> Result<T, JournalClosed>,
    ) -> Result<T, End> {
        let Keeping { keeper, journal, passed, .. } = self;
        let mut pushing = Pushing { journal, ledger, passed, error: None };
        let done = act(keeper, &mut pushing);
        done.map_err(|closed| match pushing.error {
            Some(error) => error.into(),
            None => End::Violation(closed.to_string()),
        })
    }
}

/// All samples that a store shows, stale markers among them.
fn samples(store: &Store, now: Timestamp) -> Samples {
    let view = store.view(now);
    let window = Window { start: Timestamp::MIN, end: Timestamp::MAX };
    let mut samples = Samples::default();
    let mut column = Column::default();
    for series in view.series(&[], window, usize::MAX - 1) {
        view.samples(series, window, &mut column);
        let values = column.times.iter().zip(&column.values);
        let values = values.map(|(time, value)| (*time, vec![value.to_bits()]));
        samples.series.insert(view.labels(series), values.collect());
    }
    samples
}

/// Every expected sample newer than `oldest` is there once, and nothing else, or ends of
/// series that nobody knows of beforehand.
fn compare(
    expected: &Samples,
    found: &Samples,
    oldest: Timestamp,
    may_end: bool,
) -> Result<(), String> {
    let none = BTreeMap::new();
    let all = expected.series.keys().chain(found.series.keys());
    for labels in all.collect::<BTreeSet<&LabelSet>>() {
        let instance = labels.get("instance").unwrap_or_default();
        let shared = expected.shared.contains(instance);
        let expected = expected.series.get(labels).unwrap_or(&none);
        let found = found.series.get(labels).unwrap_or(&none);
        let times = expected.keys().chain(found.keys()).filter(|time| **time > oldest);
        for time in times.collect::<BTreeSet<&Timestamp>>() {
            let values = |bits: &Vec<u64>| bits.iter().map(|b| f64::from_bits(*b)).collect();
            let wanted: Vec<f64> = expected.get(time).map(values).unwrap_or_default();
            let got: Vec<f64> = found.get(time).map(values).unwrap_or_default();
            let good = match got.as_slice() {
                [] => wanted.is_empty(),
                [value] if wanted.iter().any(|wanted| wanted.to_bits() == value.to_bits()) => true,
                [end] => is_stale(*end) && may_end && (wanted.is_empty() || shared),
                _ => false,
            };
            if !good {
                return Err(format!("{labels} at {time}: expected {wanted:?}, found {got:?}"));
            }
        }
    }
    Ok(())
}
