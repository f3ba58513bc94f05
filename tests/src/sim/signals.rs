//! Signals in the simulator: one collector that asks deploy hooks to roll back, over a journal that
//! is killed, cut and full, and hooks that lose, delay and double what they are told.
//!
//! The product's machine of signals and its records run. The journal is a list of entries of which
//! a prefix is synced; the control thread's part, the board of the runners and the wishes of the
//! guard are modelled here, the hooks in `hooks`, what must hold in `checks`. A hook's program
//! toggles: called twice, it brings back the version that must not serve.

mod checks;
mod hooks;
mod links;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bellwether_collector::pure::entry::put_rollouts;
use bellwether_collector::pure::guard::lane::Lanes;
use bellwether_collector::pure::guard::lane::effect::{Effect, SignalDelivery, Wanted, Wish};
use bellwether_collector::pure::guard::record::{Intent, Record};
use bellwether_collector::pure::notify::record::{Failure, Outcome};
use bellwether_model::signal::{Answer, Kind, Signal};
use bellwether_model::time::{Mono, Now, Timestamp};
use bellwether_platform::disk::sim::SplitMix;

use self::checks::Checks;
use self::hooks::{Ground, Hook, SERVICES, plan};
use super::paging::Counts;
use super::{Millis, START};

/// From one look of the control thread to the next, where nothing happens.
const STEP: Millis = 250;
/// Faults end; what is open must be closed by the end.
const FAULTS_UNTIL: Millis = 300_000;
const END: Millis = 1_300_000;
/// Deploys of each service.
const DEPLOYS: u64 = 6;
/// How long what was on its way may still arrive.
const ON_THE_WAY: Millis = 10_000;

/// What a broken collector or hook does, so that the checkers show that they find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Sends what is not durable.
    SendsEarly,
    /// Sends what was withdrawn while it waited for the journal.
    SendsWithdrawn,
    /// Forgets at its end what it has begun.
    ForgetsLedger,
    /// Starts from an empty journal.
    ForgetsSignals,
}

enum Happening {
    Start,
    Step,
    Wake {
        life: u64,
    },
    Sync {
        life: u64,
    },
    Kill {
        life: u64,
    },
    Deploy(&'static str),
    Wish(Wish),
    Abort(Arc<str>),
    Arrive {
        life: u64,
        delivery: SignalDelivery,
    },
    /// The second time that a request comes.
    Again {
        hook: usize,
        body: Arc<[u8]>,
    },
    Outcome {
        life: u64,
        of: (u64, u32),
        outcome: Outcome,
        body: Vec<u8>,
    },
    Poll(usize),
    Asked {
        hook: usize,
        hook_life: u64,
    },
    Shown {
        hook: usize,
        hook_life: u64,
        bodies: Vec<Arc<[u8]>>,
    },
    Result {
        hook: usize,
        hook_life: u64,
        answer: Answer,
    },
    Heard {
        hook: usize,
        hook_life: u64,
        answer: Answer,
    },
    Act {
        hook: usize,
        hook_life: u64,
        is_orphan: bool,
        signal: Box<Signal>,
    },
    Ends {
        hook: usize,
        hook_life: u64,
        signal: Box<Signal>,
        failed: Option<bool>,
    },
    HookStart(usize),
}

/// What the control thread does in its order.
enum Todo {
    Effect(Effect),
    Reply { hook: usize, hook_life: u64, answer: Answer },
}

/// A running collector.
struct Process {
    lanes: Lanes,
    todo: VecDeque<Todo>,
    /// What waits for an entry to be synced.
    waiting: Vec<(usize, Todo)>,
    board: BTreeMap<u64, (Arc<Intent>, usize)>,
    is_syncing: bool,
    wakes: Option<Millis>,
}

struct World {
    random: SplitMix,
    flaw: Option<Flaw>,
    now: Millis,
    heap: BinaryHeap<Reverse<(Millis, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    number: u64,
    entries: Vec<Vec<u8>>,
    synced: usize,
    full_until: Millis,
    /// How far the collector's clock is off.
    offset: i64,
    life: u64,
    process: Option<Process>,
    hooks: Vec<Hook>,
    grounds: BTreeMap<&'static str, Ground>,
    deployed: u64,
    wishes: Vec<Wish>,
    aborted: BTreeMap<Arc<str>, Millis>,
    checks: Checks,
    counts: Counts,
}

/// Runs one seed.
///
/// # Errors
/// The first promise that was broken.
pub fn run(seed: u64) -> Result<Counts, String> {
    run_with(seed, None)
}

/// Runs one seed with something broken.
///
/// # Errors
/// As [`run`].
pub fn run_with(seed: u64, flaw: Option<Flaw>) -> Result<Counts, String> {
    let mut random = SplitMix(seed);
    let hooks = hooks::all(&mut random);
    let mut world = World {
        random,
        flaw,
        now: 0,
        heap: BinaryHeap::new(),
        happenings: BTreeMap::new(),
        number: 0,
        entries: Vec::new(),
        synced: 0,
        full_until: 0,
        offset: 0,
        life: 0,
        process: None,
        hooks,
        grounds: SERVICES.iter().map(|(service, _)| (*service, Ground::new())).collect(),
        deployed: 0,
        wishes: Vec::new(),
        aborted: BTreeMap::new(),
        checks: Checks::default(),
        counts: Counts::new(),
    };
    world.run().map_err(|what| format!("seed {seed}, at {} ms: {what}", world.now))?;
    Ok(world.counts)
}

impl World {
    fn run(&mut self) -> Result<(), String> {
        self.after(0, Happening::Start);
        self.after(1, Happening::Step);
        for hook in 0..self.hooks.len() {
            self.after(2, Happening::Poll(hook));
        }
        for (service, _) in SERVICES {
            for _ in 0..DEPLOYS {
                let at = self.random.below(FAULTS_UNTIL);
                self.after(at, Happening::Deploy(service));
            }
        }
        while let Some(Reverse((at, number))) = self.heap.pop() {
            if at > END {
                break;
            }
            self.now = at;
            let happening = self.happenings.remove(&number).expect("a happening");
            self.happen(happening)?;
        }
        self.check()?;
        self.checks.finish(&self.entries, &self.wishes, &self.aborted, &mut self.counts)
    }

    fn after(&mut self, millis: Millis, happening: Happening) {
        self.number += 1;
        self.heap.push(Reverse((self.now + millis, self.number)));
        self.happenings.insert(self.number, happening);
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn faulty(&self) -> bool {
        self.now < FAULTS_UNTIL
    }

    fn clock(&self) -> Now {
        let mono = Mono(Duration::from_millis(1_000_000 + self.now));
        Now { wall: Timestamp(START + self.now.cast_signed() + self.offset), mono }
    }

    fn happen(&mut self, happening: Happening) -> Result<(), String> {
        match happening {
            Happening::Start => self.start(),
            Happening::Step => {
                self.after(STEP, Happening::Step);
                self.step()
            }
            Happening::Wake { life } if life == self.life => {
                self.process.iter_mut().for_each(|process| process.wakes = None);
                self.control(|lanes, now, out| lanes.tick(now, out))
            }
            Happening::Sync { life } if life == self.life => self.sync(),
            Happening::Kill { life } if life == self.life => self.end(),
            Happening::Deploy(service) => self.deploy(service),
            Happening::Wish(wish) => self.wish(wish),
            Happening::Abort(rollout) => self.abort(rollout),
            Happening::Arrive { life, delivery } => self.arrive(life, delivery),
            Happening::Again { hook, body } => self.ask_hook(hook, &body).map(drop),
            Happening::Outcome { life, of, outcome, body } if life == self.life => {
                self.control(|lanes, now, out| lanes.delivered(now, of, &outcome, &body, out))
            }
            Happening::Poll(hook) => self.poll(hook),
            Happening::Asked { hook, hook_life } => self.asked(hook, hook_life),
            Happening::Shown { hook, hook_life, bodies } => self.shown(hook, hook_life, &bodies),
            Happening::Result { hook, hook_life, answer } => self.result(hook, hook_life, answer),
            Happening::Heard { hook, hook_life, answer } => {
                self.hooks[hook].heard(hook_life, &answer);
                Ok(())
            }
            Happening::Act { hook, hook_life, is_orphan, signal } => {
                self.act(hook, hook_life, is_orphan, &signal)
            }
            Happening::Ends { hook, hook_life, signal, failed } => {
                let ground = &self.grounds[signal.data.service.as_str()];
                self.hooks[hook].ended(hook_life, &signal, ground, failed);
                Ok(())
            }
            Happening::HookStart(hook) => {
                self.hooks[hook].is_up = true;
                Ok(())
            }
            // The process that asked is gone.
            Happening::Wake { .. }
            | Happening::Sync { .. }
            | Happening::Kill { .. }
            | Happening::Outcome { .. } => Ok(()),
        }
    }

    fn start(&mut self) -> Result<(), String> {
        self.count("start");
        if self.flaw == Some(Flaw::ForgetsSignals) {
            self.entries.clear();
            self.synced = 0;
        }
        let state = checks::fold(&self.entries)?;
        self.process = Some(Process {
            lanes: Lanes::new(state, plan()),
            todo: VecDeque::new(),
            waiting: Vec::new(),
            board: BTreeMap::new(),
            is_syncing: false,
            wakes: None,
        });
        // What the guard knows from its own records: first what was taken back.
        for rollout in self.aborted.keys().cloned().collect::<Vec<_>>() {
            self.control(|lanes, now, out| lanes.withdraw(now, &rollout, out))?;
        }
        for wish in self.wishes.clone() {
            self.want(wish)?;
        }
        self.control(|lanes, now, out| lanes.tick(now, out))?;
        self.check()
    }

    /// The machine's state is what its records add up to, and these are as they must be.
    fn check(&mut self) -> Result<(), String> {
        checks::journal(&self.entries)?;
        let Some(process) = &self.process else { return Ok(()) };
        let mut state = checks::fold(&self.entries)?;
        for todo in &process.todo {
            if let Todo::Effect(Effect::Record(record)) = todo {
                state.apply(record);
            }
        }
        if state != *process.lanes.state() {
            return Err(format!("the state is {:?}, not {state:?}", process.lanes.state()));
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        let faulty = self.faulty();
        if faulty && self.random.once_in(120) {
            let hook = self.random.below(self.hooks.len() as u64) as usize;
            self.end_hook(hook);
        }
        if self.process.is_none() {
            return Ok(());
        }
        if faulty && self.random.once_in(60) {
            return self.end();
        }
        if faulty && self.random.once_in(100) {
            self.count("journal full");
            self.full_until = self.now + self.random.below(6000);
        }
        if self.now % 1000 < STEP {
            self.look_at_series()?;
        }
        self.flush()?;
        let process = self.process.as_mut().expect("a running collector");
        if !process.is_syncing {
            process.is_syncing = true;
            let (life, takes) = (self.life, self.random.below(600));
            self.after(takes, Happening::Sync { life });
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        self.check()?;
        self.process = None;
        self.life += 1;
        self.count("end of the collector");
        // Whatever was not synced may be there, or a part of it.
        let unsynced = self.entries.len() - self.synced;
        let kept = self.random.below(unsynced as u64 + 1) as usize;
        if kept < unsynced {
            self.count("entries lost");
        }
        self.entries.truncate(self.synced + kept);
        self.synced = self.entries.len();
        self.offset = match self.random.below(20) {
            0 => 3_600_000,
            1 => -3_600_000,
            _ => self.random.below(100).cast_signed() - 50,
        };
        let pause = self.random.below(8000);
        self.after(pause, Happening::Start);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), String> {
        let process = self.process.as_mut().expect("a running collector");
        process.is_syncing = false;
        self.synced = self.entries.len();
        self.release()
    }

    /// The control thread takes an event, and does what follows from it.
    fn control(
        &mut self,
        event: impl FnOnce(&mut Lanes, Now, &mut Vec<Effect>),
    ) -> Result<(), String> {
        let now = self.clock();
        let Some(process) = &mut self.process else { return Ok(()) };
        let mut out = Vec::new();
        event(&mut process.lanes, now, &mut out);
        for effect in out {
            if let Effect::Closed { signal, .. } = &effect {
                process.board.remove(&signal.number);
            }
            process.todo.push_back(Todo::Effect(effect));
        }
        self.flush()?;
        self.release()?;
        let Some(process) = &mut self.process else { return Ok(()) };
        let Some(wakeup) = process.lanes.next_wakeup() else { return Ok(()) };
        let pause = wakeup.millis_since(now.wall).max(0).cast_unsigned();
        if pause < END && process.wakes.is_none_or(|at| at > self.now + pause) {
            process.wakes = Some(self.now + pause);
            let life = self.life;
            self.after(pause, Happening::Wake { life });
        }
        Ok(())
    }

    /// Journals what is to be, in entries of a few records, as far as there is room.
    fn flush(&mut self) -> Result<(), String> {
        loop {
            let is_full = self.now < self.full_until;
            let most = 1 + self.random.below(4);
            let Some(process) = &mut self.process else { return Ok(()) };
            let mut records: Vec<Record> = Vec::new();
            while let Some(Todo::Effect(Effect::Record(record))) = process.todo.front()
                && !is_full
                && (records.len() as u64) < most
            {
                records.push(record.clone());
                process.todo.pop_front();
            }
            if !records.is_empty() {
                let mut bytes = Vec::new();
                let mut body = Vec::new();
                records.iter().for_each(|record| record.put(&mut body));
                put_rollouts(&mut bytes, records.len(), &body);
                self.entries.push(bytes);
                if self.faulty() && self.random.once_in(12) {
                    // Before, while or after it is synced.
                    let (life, soon) = (self.life, self.random.below(600));
                    self.after(soon, Happening::Kill { life });
                }
                continue;
            }
            if matches!(process.todo.front(), None | Some(Todo::Effect(Effect::Record(_)))) {
                return Ok(());
            }
            let after = self.entries.len();
            match process.todo.pop_front().expect("something to do") {
                Todo::Effect(Effect::Post(intent)) => {
                    if process.lanes.is_open(intent.number) {
                        process.board.entry(intent.number).or_insert((intent, after));
                    }
                }
                Todo::Effect(Effect::Closed { outcome, .. }) => self.count(outcome.as_str()),
                todo => process.waiting.push((after, todo)),
            }
        }
    }

    /// Sends what is durable.
    fn release(&mut self) -> Result<(), String> {
        let early = self.flaw == Some(Flaw::SendsEarly);
        let synced = self.synced;
        let Some(process) = &mut self.process else { return Ok(()) };
        let (free, waiting) =
            process.waiting.drain(..).partition(|(after, _)| *after <= synced || early);
        process.waiting = waiting;
        let free: Vec<(usize, Todo)> = free;
        for (_, todo) in free {
            match todo {
                Todo::Effect(Effect::Send(delivery)) => self.leave(delivery)?,
                Todo::Reply { hook, hook_life, answer } => {
                    checks::heard(&self.entries[..self.synced], &answer)?;
                    if !self.is_lost() {
                        let takes = self.random.below(1000);
                        self.after(takes, Happening::Heard { hook, hook_life, answer });
                    }
                }
                Todo::Effect(_) => return Err("nothing else waits".to_owned()),
            }
        }
        Ok(())
    }

    fn is_lost(&mut self) -> bool {
        self.faulty() && self.random.once_in(6)
    }

    /// An attempt leaves the collector.
    fn leave(&mut self, delivery: SignalDelivery) -> Result<(), String> {
        let process = self.process.as_ref().expect("a running collector");
        let of = (delivery.signal, delivery.attempt);
        if !process.lanes.is_wanted(of.0, of.1) && self.flaw != Some(Flaw::SendsWithdrawn) {
            self.count("not sent any more");
            return Ok(());
        }
        let life = self.life;
        if delivery.deadline <= self.clock().wall {
            let outcome = Outcome::failed(Failure::Unusable, "the deadline has passed");
            self.after(0, Happening::Outcome { life, of, outcome, body: Vec::new() });
            return Ok(());
        }
        self.checks.leaves(&self.entries[..self.synced], of.0, &delivery.body)?;
        self.taken_back(&delivery.body)?;
        self.count(if delivery.repeated { "sent, marked as repeated" } else { "sent" });
        let takes = self.random.below(300);
        self.after(takes, Happening::Arrive { life, delivery });
        Ok(())
    }

    /// What was withdrawn does not leave.
    fn taken_back(&self, body: &[u8]) -> Result<(), String> {
        let rollout = checks::signal(body)?.data.rollout;
        match self.aborted.get(rollout.as_str()) {
            Some(at) => Err(format!("{rollout} was aborted at {at} ms and leaves")),
            None => Ok(()),
        }
    }

    fn deploy(&mut self, service: &'static str) -> Result<(), String> {
        self.deployed += 1;
        let number = self.deployed;
        let ground = self.grounds.get_mut(service).expect("a service");
        let from = ground.serving.clone();
        let old = ground.versions.get(self.random.below(20) as usize).cloned();
        let to = old.filter(|old| *old != from).unwrap_or_else(|| format!("v{number}"));
        ground.deploy(&to, self.now);
        let hook = SERVICES.iter().find(|(name, _)| *name == service).expect("a service").1;
        let announced_at = self.now.cast_signed();
        let wish = |kind| Wish {
            rollout: format!("r{number}").into(),
            service: service.into(),
            environment: "production".into(),
            announced_at: Timestamp(START + announced_at),
            kind,
            confirmed: false,
            from: to.as_str().into(),
            to: from.as_str().into(),
            hook: (!hook.is_empty()).then(|| hook.into()),
            reason: "it fails".to_owned(),
            record: None,
        };
        let fails = 1000 + self.random.below(15_000);
        self.after(fails, Happening::Wish(wish(Kind::Rollback)));
        if self.random.once_in(3) {
            let holds = self.random.below(fails);
            self.after(holds, Happening::Wish(wish(Kind::Hold)));
        }
        if self.random.once_in(5) {
            let aborts = self.random.below(20_000);
            self.after(aborts, Happening::Abort(format!("r{number}").into()));
        }
        Ok(())
    }

    /// The guard has decided, durably.
    fn wish(&mut self, wish: Wish) -> Result<(), String> {
        self.wishes.push(wish.clone());
        self.want(wish)
    }

    fn want(&mut self, wish: Wish) -> Result<(), String> {
        if self.aborted.contains_key(&wish.rollout) || self.process.is_none() {
            return Ok(());
        }
        let mut wanted = Wanted::Full;
        self.control(|lanes, now, out| wanted = lanes.want(now, wish, out))?;
        self.count(match wanted {
            Wanted::Intended => "intended",
            Wanted::Waits => "waits",
            Wanted::Known => "known",
            Wanted::Full | Wanted::Unfit => return Err(format!("a wish is {wanted:?}")),
        });
        Ok(())
    }

    /// A person takes a rollout back, and tries again if the collector is away.
    fn abort(&mut self, rollout: Arc<str>) -> Result<(), String> {
        if self.process.is_none() {
            self.after(1000, Happening::Abort(rollout));
            return Ok(());
        }
        self.count("aborted");
        self.aborted.insert(Arc::clone(&rollout), self.now);
        self.control(|lanes, now, out| lanes.withdraw(now, &rollout, out))
    }
}
