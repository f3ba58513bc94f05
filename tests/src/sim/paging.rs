//! Alerts and their delivery in the simulator: one collector with rules whose conditions follow
//! from the time alone, rules that fail, files that change, receivers that hang, refuse, rate-limit
//! and answer late, an Alertmanager beside them, and ends of the process at any moment.
//!
//! The product's keeper, store, journal, control machine and notifier run; threads, sockets and
//! the agents are replaced. `model` knows how every alert must stand after each slot that is in
//! the journal, and `receivers` what must have come, how often and under which id; `alertmanager`
//! is told no end of what fires.

mod alertmanager;
mod model;
mod receivers;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bellwether_collector::pure::control::evaluation::{Evaluation, GroupKey};
use bellwether_collector::pure::control::held::HeldRules;
use bellwether_collector::pure::control::{
    Control, ControlPlan, Done, Effect, Event, Held, Job, PlannedGroup,
};
use bellwether_collector::pure::entry::Entry;
use bellwether_collector::pure::keeper::{Batch, EntryClass, JournalClosed, Keeper, KeeperLimits};
use bellwether_collector::pure::notify::event::{Delivery, Request, Ticket};
use bellwether_collector::pure::notify::record::{Outcome, Record};
use bellwether_collector::pure::notify::state::NotifyState;
use bellwether_collector::shell::blocks::{BlockWriter, CheckpointDue, Upkeep};
use bellwether_collector::shell::recover::{Recovered, Start, recover};
use bellwether_model::id::{Position, StoreId};
use bellwether_model::time::Timestamp;
use bellwether_platform::clock::{Clock, ManualTime};
use bellwether_platform::disk::sim::{SimDisk, SplitMix};
use bellwether_platform::disk::{Disk, SyncPoint};
use bellwether_platform::journal::{Class, Journal, Options};
use bellwether_promql::evaluate::{Budget, Options as QueryOptions};
use bellwether_promql::pool::Serial;
use bellwether_rules::file;
use bellwether_rules::group::Means;
use bellwether_rules::record::SecretKey;
use bellwether_rules::template::Site;
use bellwether_store::{FileLimits, Limits as StoreLimits, Store};

use self::alertmanager::Alertmanager;
use self::model::Slot;
use self::receivers::{Receivers, plan};
use super::{Millis, reading};

const DATA: &str = "/data";
/// From one step of the control thread to the next.
const STEP: Millis = 100;
/// Faults end; what is owed must have come by the end.
const FAULTS_UNTIL: Millis = 200_000;
/// By then all that failed was tried again, or given up and told anew.
const CALM_FROM: Millis = FAULTS_UNTIL + 60_000;
const END: Millis = 400_000;
const DUE: CheckpointDue = CheckpointDue { bytes: u64::MAX, every: Duration::from_secs(11) };

/// What happened in a run.
pub type Counts = BTreeMap<&'static str, u64>;

enum Happening {
    Step,
    Sync { life: u64 },
    Arrive { life: u64, delivery: Delivery, durable: Position },
    Outcome { life: u64, ticket: Ticket, outcome: Outcome },
    Start,
}

/// A running collector.
struct Process {
    keeper: Keeper,
    store: Store,
    journal: Journal,
    blocks: BlockWriter,
    upkeep: Upkeep,
    clock: Clock,
    time: ManualTime,
    at: Millis,
    control: Control,
    waiting: Vec<(Position, Delivery)>,
    is_syncing: bool,
}

struct World {
    random: SplitMix,
    now: Millis,
    heap: BinaryHeap<Reverse<(Millis, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    number: u64,
    disk: SimDisk,
    life: u64,
    process: Option<Process>,
    ledger: Ledger,
    /// Every slot in the journal.
    slots: Vec<Slot>,
    synced: Position,
    /// The journal has no room until then.
    full_until: Millis,
    receivers: Receivers,
    alertmanager: Alertmanager,
    /// Of the rules' file.
    shape: u64,
    counts: Counts,
}

/// Every entry that is in the journal, or was before its front was cut.
type Ledger = BTreeMap<Position, Written>;

/// An entry as it reads.
enum Written {
    Evaluation(Evaluation),
    GroupEnd(GroupKey),
    Notices(Vec<Record>),
    Other,
}

impl Written {
    fn read(bytes: &[u8]) -> Written {
        match Entry::read(bytes).expect("an entry as it was written") {
            Entry::Evaluation(evaluation) => Written::Evaluation(evaluation),
            Entry::GroupEnd { group, .. } => Written::GroupEnd(group),
            Entry::Notices(records) => Written::Notices(records),
            _ => Written::Other,
        }
    }

    fn records(&self) -> &[Record] {
        if let Written::Notices(records) = self { records } else { &[] }
    }

    /// Whether it holds the intent of a notification.
    fn intends(&self, id: &str) -> bool {
        let is_it = |record: &Record| matches!(record, Record::Intent(intent) if intent.id == id);
        self.records().iter().any(is_it)
    }
}

/// Pushes into the journal and the ledger.
struct Pushing<'a> {
    journal: &'a mut Journal,
    ledger: &'a mut Ledger,
    is_full: bool,
}

impl Batch for Pushing<'_> {
    fn has_room(&self, bytes: usize) -> bool {
        !self.is_full && self.journal.has_room(bytes)
    }

    fn push(&mut self, class: EntryClass, entry: &[u8]) -> Result<Position, JournalClosed> {
        let class = match class {
            EntryClass::Data => Class::Data,
            EntryClass::Control => Class::Control,
        };
        let position = self.journal.append(class, entry).map_err(|_| JournalClosed)?;
        self.ledger.insert(position, Written::read(entry));
        Ok(position)
    }
}

/// Runs one seed.
///
/// # Errors
/// The first promise that was broken.
pub fn run(seed: u64) -> Result<Counts, String> {
    let mut random = SplitMix(seed);
    let disk = SimDisk::new(random.draw());
    let receivers = Receivers::new(random.draw());
    let mut world = World {
        random,
        now: 0,
        heap: BinaryHeap::new(),
        happenings: BTreeMap::new(),
        number: 0,
        disk,
        life: 0,
        process: None,
        ledger: BTreeMap::new(),
        slots: Vec::new(),
        synced: Position(0),
        full_until: 0,
        receivers,
        alertmanager: Alertmanager::default(),
        shape: 0,
        counts: Counts::new(),
    };
    world.run().map_err(|what| format!("seed {seed}, at {} ms: {what}", world.now))?;
    Ok(world.counts)
}

fn rules(shape: u64) -> Vec<PlannedGroup> {
    let file = file::read("waves.yml", &model::rules(shape)).expect("rules").0;
    let name = Arc::clone(&file.name);
    let planned = |rules: file::RuleGroup| PlannedGroup {
        key: GroupKey { file: Arc::clone(&name), name: rules.name.as_str().into() },
        interval: rules.interval.expect("an interval"),
        rules: Arc::new(rules),
    };
    file.groups.into_iter().map(planned).collect()
}

fn planned(shape: u64) -> ControlPlan {
    ControlPlan { groups: rules(shape), notify: plan(), ..ControlPlan::default() }
}

impl World {
    fn run(&mut self) -> Result<(), String> {
        self.after(0, Happening::Start);
        self.after(0, Happening::Step);
        while let Some(Reverse((at, number))) = self.heap.pop() {
            if at > END {
                break;
            }
            self.now = at;
            let happening = self.happenings.remove(&number).expect("a happening");
            self.happen(happening)?;
        }
        self.check()?;
        let owed = model::owed(&self.ledger, &self.slots);
        let [calm, end] = [CALM_FROM, END].map(|at| Timestamp::from(reading(at, 0).system));
        self.alertmanager.finish(end, &owed, &mut self.counts)?;
        self.receivers.finish(&self.ledger, &owed, calm, &mut self.counts)
    }

    fn after(&mut self, millis: Millis, happening: Happening) {
        self.number += 1;
        self.heap.push(Reverse((self.now + millis, self.number)));
        self.happenings.insert(self.number, happening);
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn happen(&mut self, happening: Happening) -> Result<(), String> {
        match happening {
            Happening::Start => self.start(),
            Happening::Step => {
                self.after(STEP, Happening::Step);
                self.step()
            }
            Happening::Sync { life } if life == self.life => self.sync(),
            Happening::Arrive { life, delivery, durable } => self.arrive(life, delivery, durable),
            Happening::Outcome { life, ticket, outcome } if life == self.life => {
                self.count("outcome");
                self.control(Event::Delivered { ticket, outcome })
            }
            // The process that asked is gone.
            Happening::Sync { .. } | Happening::Outcome { .. } => Ok(()),
        }
    }

    fn start(&mut self) -> Result<(), String> {
        self.count("start");
        let (clock, time) = Clock::manual(reading(self.now, 0));
        let start = Start {
            store: StoreLimits { block_rows: 16, ..StoreLimits::default() },
            keeper: KeeperLimits::default(),
            files: FileLimits { bytes: 4 << 10, span: Duration::from_secs(60) },
            journal: Options { segment_bytes: 256 << 10, ..Options::default() },
            id: StoreId([9; 16]),
            now: clock.now(),
        };
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let recovered = recover(&disk, Path::new(DATA), start, &mut |_, _| {});
        let Recovered { keeper, store, blocks, journal, recovery, held, .. } =
            recovered.map_err(|error| error.to_string())?;
        let last = recovery.last.max(held);
        if last < self.synced || recovery.lost_entries > 0 {
            return Err(format!("{recovery:?}, but {} was durable", self.synced));
        }
        self.ledger.split_off(&Position(last.0 + 1));
        model::forget(&mut self.slots, last);
        self.synced = last;
        let held = Held {
            store: keeper.store(),
            rules: keeper.rules(),
            notify: keeper.notify(),
            guard: keeper.guard(),
            key: &SecretKey::new([1; 32]),
        };
        let control = Control::new(clock.now(), held, planned(self.shape));
        self.process = Some(Process {
            control,
            keeper,
            store,
            journal,
            blocks,
            upkeep: Upkeep::new(DUE, clock.now().mono),
            clock,
            time,
            at: self.now,
            waiting: Vec::new(),
            is_syncing: false,
        });
        self.check()
    }

    /// What the process holds is what its entries add up to, and what the model says.
    fn check(&mut self) -> Result<(), String> {
        let Some(process) = &self.process else { return Ok(()) };
        let (mut rules, mut notify) = (HeldRules::default(), NotifyState::default());
        for (position, entry) in &self.ledger {
            match entry {
                Written::Evaluation(evaluation) => {
                    rules.apply(evaluation).map_err(|error| format!("{position}: {error}"))?;
                }
                Written::GroupEnd(group) => rules.remove(group),
                Written::Notices(records) => records.iter().for_each(|r| notify.apply(r)),
                Written::Other => {}
            }
        }
        if rules != *process.keeper.rules() {
            return Err(format!("rules are {:?}, not {rules:?}", process.keeper.rules()));
        }
        if notify != *process.keeper.notify() {
            return Err(format!("notices are {:?}, not {notify:?}", process.keeper.notify()));
        }
        model::check(&self.ledger, &self.slots)
    }

    fn step(&mut self) -> Result<(), String> {
        let faulty = self.now < FAULTS_UNTIL;
        if self.process.is_none() {
            return Ok(());
        }
        if faulty && self.random.once_in(150) {
            return self.end();
        }
        if faulty && self.random.once_in(300) {
            self.count("journal full");
            self.full_until = self.now + self.random.below(4000);
        }
        if self.random.once_in(300) {
            self.count("reload");
            self.shape = self.random.below(6);
            self.control(Event::Plan(planned(self.shape)))?;
        }
        if self.now.is_multiple_of(1000) {
            self.keep()?;
        }
        let complete = self.process.as_mut().map(|process| {
            process.pass(self.now);
            process.clock.now().wall
        });
        let complete = complete.unwrap_or_default();
        self.control(Event::Tick { complete, hosts_late: false })?;
        let process = self.process.as_mut().expect("a running collector");
        if !process.is_syncing {
            process.is_syncing = true;
            process.journal.write().map_err(|error| error.to_string())?;
            let (life, takes) = (self.life, self.random.below(400));
            self.after(takes, Happening::Sync { life });
        }
        Ok(())
    }

    /// The keeper's second: its first entry, checkpoints, the journal's cut.
    fn keep(&mut self) -> Result<(), String> {
        let World { process, ledger, synced, full_until, now, .. } = self;
        let process = process.as_mut().expect("a running collector");
        process.pass(*now);
        let at = process.clock.now();
        let is_full = *now < *full_until;
        let Process { keeper, journal, upkeep, blocks, .. } = process;
        let mut batch = Pushing { journal, ledger, is_full };
        keeper.tick(at, &mut batch).map_err(|error| error.to_string())?;
        if keeper.is_new() {
            keeper.snapshot(at, &mut batch).map_err(|error| error.to_string())?;
        }
        journal.prepare_spares().ok();
        if let Some(job) = upkeep.next(at, keeper, *synced) {
            let done = blocks.write(job).map_err(|error| error.to_string())?;
            if let Some(cut) = upkeep.finished(at, keeper, done) {
                journal.remove_before(Position(cut.0 + 1)).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        self.check()?;
        self.process = None;
        self.life += 1;
        if self.random.once_in(2) {
            self.count("kill");
            self.disk.kill();
        } else {
            self.count("power cut");
            self.disk.power_cut(self.random.draw());
        }
        let pause = self.random.below(8000);
        self.after(pause, Happening::Start);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), String> {
        let process = self.process.as_mut().expect("a running collector");
        process.is_syncing = false;
        let synced = process.journal.sync(SyncPoint::JournalCommit);
        self.synced = synced.map_err(|error| error.to_string())?;
        self.release();
        Ok(())
    }

    fn release(&mut self) {
        let (synced, life) = (self.synced, self.life);
        let Some(process) = &mut self.process else { return };
        let (free, waiting) = process
            .waiting
            .drain(..)
            .partition(|(after, _): &(Position, Delivery)| *after <= synced);
        process.waiting = waiting;
        for (durable, delivery) in free {
            let takes = self.random.below(300);
            self.after(takes, Happening::Arrive { life, delivery, durable });
        }
    }

    /// The control thread takes an event, and does what follows from it.
    fn control(&mut self, event: Event) -> Result<(), String> {
        let is_full = self.now < self.full_until;
        let Some(process) = &mut self.process else { return Ok(()) };
        process.pass(self.now);
        let now = process.clock.now();
        let mut effects = Vec::new();
        process.control.step(now, event, &mut effects);
        while !effects.is_empty() {
            for effect in std::mem::take(&mut effects) {
                let event = match effect {
                    Effect::Evaluate(job) => {
                        let done = process.evaluate(job);
                        let failed = self.counts.entry("rule failed").or_default();
                        *failed += done.outcome.failures.len() as u64;
                        Event::Evaluated(Box::new(done))
                    }
                    Effect::Record(bytes) => {
                        let Process { keeper, journal, .. } = process;
                        let mut batch = Pushing { journal, ledger: &mut self.ledger, is_full };
                        let recorded = keeper.record(&bytes, &mut batch);
                        let position = recorded.map_err(|error| error.to_string())?;
                        let slot = position.and_then(|at| Slot::of(&self.ledger, at, self.life));
                        self.slots.extend(slot);
                        Event::Recorded(position)
                    }
                    Effect::Send { delivery, after } => {
                        process.waiting.push((after, delivery));
                        continue;
                    }
                    Effect::Show(_) | Effect::Hide(_) | Effect::GaveUp(_) => continue,
                    other => panic!("no rollout is announced: {other:?}"),
                };
                process.control.step(now, event, &mut effects);
            }
            self.receivers.intended(&self.ledger);
        }
        self.release();
        Ok(())
    }

    fn arrive(&mut self, life: u64, delivery: Delivery, durable: Position) -> Result<(), String> {
        let Delivery { ticket, request } = delivery;
        let faulty = self.now < FAULTS_UNTIL;
        let (came, outcome, takes) = self.receivers.answer(faulty);
        match request {
            Request::Webhook { to, id, body, repeated } => {
                let mut known = self.ledger.range(..=durable).rev();
                if self.life == life && !known.any(|(_, entry)| entry.intends(&id)) {
                    return Err(format!("{id} was sent before it was durable"));
                }
                if came {
                    self.count(if repeated { "arrived, marked as repeated" } else { "arrived" });
                    self.receivers.take((&to.name, &id), self.now, &body)?;
                }
            }
            Request::Push { body, .. } if came => {
                self.count("pushed");
                let now = Timestamp::from(reading(self.now, 0).system);
                self.alertmanager.take(now, &body)?;
            }
            Request::Push { .. } => {}
            Request::Heartbeat { .. } | Request::Signal(_) => {
                return Err("something else than alerts".to_owned());
            }
        }
        self.after(takes, Happening::Outcome { life, ticket, outcome });
        Ok(())
    }
}

impl Process {
    fn pass(&mut self, now: Millis) {
        self.time.advance(Duration::from_millis(now - self.at));
        self.at = now;
    }

    fn evaluate(&self, job: Job) -> Done {
        let (stop, site) = (AtomicBool::new(false), Site::default());
        let budget = Budget { samples_max: 10_000, stop: &stop };
        let means = Means { options: QueryOptions::default(), pool: &Serial, budget, site: &site };
        let view = self.store.view(self.clock.now().wall);
        job.run(&view, means, &mut || self.clock.now())
    }
}
