//! The control machine: which rule groups are evaluated when, and what becomes of it.
//!
//! Evaluations are done elsewhere, over a view; their state travels with the job and comes back
//! with what was yielded. What was yielded is journalled by the keeper, one entry for a group's
//! slot, and nothing follows from it before the entry has a position. The driver (the control
//! thread, or the simulator) does the effects in their order, and answers each
//! [`Effect::Record`] with one [`Event::Recorded`], in the same order.

pub mod evaluation;
mod guarding;
pub mod held;
mod live;
mod outbox;
mod recorder;
pub mod schedule;
mod telling;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::id::{Position, StoreId};
use bellwether_model::select::Select;
use bellwether_model::time::{Mono, Now, Timestamp};
use bellwether_rules::file::RuleGroup;
use bellwether_rules::group::{GroupState, Means, Outcome, Overlay};
use bellwether_rules::record::SecretKey;

use self::evaluation::GroupKey;
use self::guarding::Guarding;
use self::held::HeldRules;
use self::live::Live;
use self::telling::Telling;
use super::entry;
use super::guard::event::{CountJob, GuardPlan, KeepJob, Reply};
use super::guard::lane::effect::SignalDelivery;
use super::guard::record::Intent;
use super::guard::state::GuardState;
use super::guard::{self, Guard};
use super::notify::event::{Delivery, GivenUp, Ticket};
use super::notify::plan::NotifyPlan;
use super::notify::record::Outcome as Delivered;
use super::notify::report::AlertsReport;
use super::notify::state::NotifyState;
use super::notify::stats::Figures;

/// After a start hosts have this long to show a current frame before rules are evaluated without
/// them: a collector that was away must not take its own absence for the end of a condition.
pub const GRACE: Duration = Duration::from_secs(10);

/// A group that took longer is evaluated where it holds up none that are quick.
const SLOW: Duration = Duration::from_secs(1);

/// What the journal had no room for goes again after this.
const FULL_PAUSE: Duration = Duration::from_millis(500);

/// A group as the configuration has it.
#[derive(Clone, Debug)]
pub struct PlannedGroup {
    /// Its name.
    pub key: GroupKey,
    /// Between two slots.
    pub interval: Duration,
    /// The rules.
    pub rules: Arc<RuleGroup>,
}

/// What the machine is told.
#[derive(Debug)]
pub enum Event {
    /// Time has passed.
    Tick {
        /// All data of all living sources is there up to this time.
        complete: Timestamp,
        /// Whether hosts that lived have not shown a current frame yet.
        hosts_late: bool,
    },
    /// A job is done.
    Evaluated(Box<Done>),
    /// What became of the oldest entry that is not answered yet: its position, or that the journal
    /// had no room.
    Recorded(Option<Position>),
    /// The configuration is this from now on.
    Plan(ControlPlan),
    /// A delivery has ended.
    Delivered {
        /// Which.
        ticket: Ticket,
        /// How.
        outcome: Delivered,
    },
    /// Something of rollouts.
    Guard(guard::event::Event),
}

/// What of the configuration is the control machine's.
#[derive(Clone, Debug, Default)]
pub struct ControlPlan {
    /// Rules.
    pub groups: Vec<PlannedGroup>,
    /// Who is told.
    pub notify: NotifyPlan,
    /// Services, and who is asked to roll back.
    pub guard: GuardPlan,
}

/// What the journal has brought.
#[derive(Clone, Copy)]
pub struct Held<'a> {
    /// Ids of notifications are made from it.
    pub store: StoreId,
    /// Of rules.
    pub rules: &'a HeldRules,
    /// Of notifications.
    pub notify: &'a NotifyState,
    /// Of rollouts.
    pub guard: &'a GuardState,
    /// Signs decision records.
    pub key: &'a SecretKey,
}

/// What the machine wants done.
#[derive(Debug)]
pub enum Effect {
    /// Evaluate a group over a view as of now.
    Evaluate(Job),
    /// Journal an entry.
    Record(Vec<u8>),
    /// People may see this of a group.
    Show(Arc<Shown>),
    /// The group is gone.
    Hide(GroupKey),
    /// Send something once the journal is durable up to a position.
    Send {
        /// What, and where.
        delivery: Delivery,
        /// What it follows from.
        after: Position,
    },
    /// A person may have to know: a notification is not tried any more.
    GaveUp(GivenUp),
    /// Count the seconds of a rollout over a view as of now.
    Count(CountJob),
    /// Write a decision record, if its file is not there.
    Keep(KeepJob),
    /// Ask a hook something once the journal is durable up to a position.
    Signal {
        /// What, and where.
        signal: SignalDelivery,
        /// What it follows from.
        after: Position,
    },
    /// Show a signal to its runner once the journal is durable up to a position.
    Post {
        /// The signal.
        signal: Arc<Intent>,
        /// What it follows from.
        after: Position,
    },
    /// Show a signal no more.
    Unpost(Arc<Intent>),
    /// Answer somebody once the journal is durable up to a position.
    Reply {
        /// Which question.
        ticket: u64,
        /// The answer.
        reply: Reply,
        /// What it follows from.
        after: Position,
    },
}

/// A group to be evaluated at a slot.
#[derive(Clone, Debug)]
pub struct Job {
    /// Which group.
    pub key: GroupKey,
    /// Of which plan.
    pub generation: u64,
    /// The rules.
    pub rules: Arc<RuleGroup>,
    /// Their state before.
    pub state: Arc<GroupState>,
    /// When.
    pub slot: Timestamp,
    /// The last evaluation took long: it must not stand in the way of others.
    pub is_slow: bool,
}

/// A job that is done.
#[derive(Debug)]
pub struct Done {
    /// The job.
    pub job: Job,
    /// The rules' state after.
    pub state: GroupState,
    /// What they yielded.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
    /// Of each rule, in the group's order.
    pub times: Vec<RuleTime>,
}

/// When a rule was evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleTime {
    /// When that began.
    pub began: Timestamp,
    /// How long it took.
    pub took: Duration,
}

/// A group as people see it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its name.
    pub key: GroupKey,
    /// Between two slots.
    pub interval: Duration,
    /// The rules.
    pub rules: Arc<RuleGroup>,
    /// Their state.
    pub state: Arc<GroupState>,
    /// When the last evaluation began.
    pub evaluated_at: Option<Timestamp>,
    /// How long it took.
    pub took: Duration,
    /// Of each rule, in the group's order; empty until rules of this plan were evaluated.
    pub times: Arc<[RuleTime]>,
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlStats {
    /// Groups evaluated at a slot.
    pub iterations: u64,
    /// Slots that had passed before their group could be evaluated.
    pub missed: u64,
    /// Rules evaluated.
    pub evaluations: u64,
    /// Rules that failed.
    pub failures: u64,
    /// Samples written.
    pub samples: u64,
    /// Samples left out because an earlier rule of the group wrote the same series.
    pub doubles: u64,
    /// Evaluations that the journal had no room for.
    pub unrecorded: u64,
}

impl ControlStats {
    fn add(&mut self, more: ControlStats) {
        let ControlStats {
            iterations,
            missed,
            evaluations,
            failures,
            samples,
            doubles,
            unrecorded,
        } = more;
        self.iterations += iterations;
        self.missed += missed;
        self.evaluations += evaluations;
        self.failures += failures;
        self.samples += samples;
        self.doubles += doubles;
        self.unrecorded += unrecorded;
    }
}

/// What a group is once its slot is recorded.
struct After {
    state: Arc<GroupState>,
    evaluated_at: Timestamp,
    took: Duration,
    times: Arc<[RuleTime]>,
    counts: ControlStats,
}

/// An entry on its way.
enum Pending {
    Evaluation { key: GroupKey, after: After },
    End(GroupKey),
    Notices,
    Rollouts,
}

/// The machine; see the module.
pub struct Control {
    groups: BTreeMap<GroupKey, Live>,
    generation: u64,
    /// Taken up once no evaluation is on its way to the journal: what is recorded is known before
    /// rules change.
    planned: Option<ControlPlan>,
    pending: VecDeque<Pending>,
    /// Groups whose end is to be journalled, not before then.
    ending: Vec<GroupKey>,
    end_after: Mono,
    /// No group is evaluated before this while hosts are late.
    grace: Mono,
    telling: Telling,
    guarding: Guarding,
    stats: ControlStats,
}

impl Job {
    /// Evaluates the group over a view. The clock is asked at the start and after each rule.
    #[must_use]
    pub fn run(self, view: &dyn Select, means: Means<'_>, clock: &mut dyn FnMut() -> Now) -> Done {
        let start = clock();
        let mut state = GroupState::clone(&self.state);
        let mut overlay = Overlay::of_group(view, self.slot, &self.rules);
        let (mut last, mut times) = (start, Vec::with_capacity(self.rules.rules.len()));
        let mut done = || {
            let now = clock();
            times.push(RuleTime { began: last.wall, took: now.mono.since(last.mono) });
            last = now;
        };
        let outcome = state.evaluate_told(&self.rules, self.slot, &mut overlay, means, &mut done);
        let took = last.mono.since(start.mono);
        Done { job: self, state, outcome, took, times }
    }
}

impl Control {
    /// A machine for these groups, which go on from what is held. Groups that are held and not
    /// planned end.
    #[must_use]
    pub fn new(now: Now, held: Held<'_>, plan: ControlPlan) -> Control {
        let mut control = Control {
            groups: BTreeMap::new(),
            generation: 0,
            planned: None,
            pending: VecDeque::new(),
            ending: Vec::new(),
            end_after: now.mono,
            grace: now.mono + GRACE,
            telling: Telling::new(held.store, plan.notify, held.notify.clone()),
            guarding: Guarding::new(held.guard.clone(), plan.guard, held.key.clone()),
            stats: ControlStats::default(),
        };
        for planned in plan.groups {
            let held = held.rules.get(&planned.key);
            let state = held
                .map_or_else(|| GroupState::new(&planned.rules), |held| held.state(&planned.rules));
            // A clock that was set back must not evaluate a slot twice.
            let since = held.map_or(now.wall, |held| now.wall.max(held.slot()));
            control.groups.insert(planned.key.clone(), Live::new(planned, state, since));
        }
        let gone = held.rules.keys().filter(|key| !control.groups.contains_key(key)).cloned();
        control.ending = gone.collect();
        control
    }

    /// Takes an event; effects are added in the order in which they are to be done.
    pub fn step(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Tick { complete, hosts_late } => {
                self.guarding.step(now, guard::event::Event::Tick { complete });
                self.begin(now);
                self.end_groups(now, effects);
                if hosts_late && now.mono < self.grace {
                    self.wait(now);
                } else {
                    self.tick(now, complete, effects);
                }
            }
            Event::Evaluated(done) => self.evaluated(now, *done, effects),
            Event::Recorded(position) => self.recorded(now, position, effects),
            Event::Plan(plan) => self.planned = Some(plan),
            Event::Delivered { ticket, outcome } => self.telling.delivered(now, ticket, outcome),
            Event::Guard(event) => self.guarding.step(now, event),
        }
        let is_recording = |pending: &Pending| matches!(pending, Pending::Evaluation { .. });
        if !self.pending.iter().any(is_recording)
            && let Some(plan) = self.planned.take()
        {
            self.plan(now, plan, effects);
        }
        if self.telling.flush(now, effects) {
            self.pending.push_back(Pending::Notices);
        }
        if self.guarding.flush(now, effects) {
            self.pending.push_back(Pending::Rollouts);
        }
    }

    /// Tells what is to be told before anything else follows.
    fn begin(&mut self, now: Now) {
        let alerts = self.guarding.alerts(now, self.telling.external_url());
        self.telling.begin(now, &self.groups, alerts.unwrap_or_default());
    }

    /// The guard, for what it holds.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        self.guarding.guard()
    }

    /// All that is known of alerts and of what was told of them.
    #[must_use]
    pub fn report(&self, now: Timestamp) -> AlertsReport {
        let others = self.guard().alerts(now, self.telling.external_url());
        self.telling.report(now, self.groups.values(), others)
    }

    /// What is to be shown of all groups.
    pub fn shown(&self) -> impl Iterator<Item = Arc<Shown>> {
        self.groups.values().map(|live| live.shown())
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> ControlStats {
        self.stats
    }

    /// What was counted of notifications.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.telling.figures()
    }

    /// The state of a group.
    #[must_use]
    pub fn state(&self, key: &GroupKey) -> Option<&GroupState> {
        self.groups.get(key).map(|live| &*live.state)
    }

    /// When the next slot comes that is not being evaluated; past slots wait for their inputs.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        let slots = self.groups.values().filter(|live| !live.is_running).map(|live| live.next);
        slots.chain(self.telling.next_wakeup()).chain(self.guarding.next_wakeup()).min()
    }

    fn end_groups(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if now.mono < self.end_after {
            return;
        }
        for key in std::mem::take(&mut self.ending) {
            let mut bytes = Vec::new();
            entry::put_group_end(&mut bytes, &key, now.wall);
            self.pending.push_back(Pending::End(key));
            effects.push(Effect::Record(bytes));
        }
    }

    /// Slots that pass now are not evaluated: what hosts have to say of them is on its way.
    fn wait(&mut self, now: Now) {
        for live in self.groups.values_mut().filter(|live| live.next <= now.wall) {
            live.next = live.slots.after(now.wall);
        }
    }

    fn tick(&mut self, now: Now, complete: Timestamp, effects: &mut Vec<Effect>) {
        for live in self.groups.values_mut().filter(|live| !live.is_running) {
            let (slot, missed) = live.slots.catch_up(live.next, now.wall);
            let offset = live.planned.rules.query_offset.unwrap_or_default();
            // A missed slot is one that had to give way to a later one.
            self.stats.missed += missed;
            live.next = slot;
            if !schedule::is_ready(slot, offset, complete, now.wall) {
                continue;
            }
            live.is_running = true;
            effects.push(Effect::Evaluate(Job {
                key: live.planned.key.clone(),
                generation: self.generation,
                rules: Arc::clone(&live.planned.rules),
                state: Arc::clone(&live.state),
                slot,
                is_slow: live.took > SLOW,
            }));
        }
    }

    fn evaluated(&mut self, now: Now, done: Done, effects: &mut Vec<Effect>) {
        let Done { job, mut state, mut outcome, took, times } = done;
        let Some(live) = self.groups.get_mut(&job.key) else { return };
        // Of rules that are not these, or soon will not be.
        if job.generation != self.generation || self.planned.is_some() {
            return;
        }
        live.next = live.slots.after(job.slot);
        live.tried = Some(job.slot);
        let Some((bytes, doubles)) = live.entry(job.slot, &mut state, &mut outcome) else {
            self.stats.failures += job.rules.rules.len() as u64;
            live.fail("the group yields more than an entry holds");
            self.telling.tell(now, live);
            effects.push(Effect::Show(live.shown()));
            return;
        };
        let counts = ControlStats {
            iterations: 1,
            evaluations: job.rules.rules.len() as u64,
            failures: outcome.failures.len() as u64,
            samples: outcome.samples.len() as u64 - doubles,
            doubles,
            ..ControlStats::default()
        };
        let evaluated_at = times.first().map_or(now.wall, |first| first.began);
        let after =
            After { state: Arc::new(state), evaluated_at, took, times: times.into(), counts };
        self.pending.push_back(Pending::Evaluation { key: job.key, after });
        effects.push(Effect::Record(bytes));
    }

    fn recorded(&mut self, now: Now, position: Option<Position>, effects: &mut Vec<Effect>) {
        match self.pending.pop_front() {
            Some(Pending::Evaluation { key, after }) => {
                let Some(live) = self.groups.get_mut(&key) else { return };
                live.is_running = false;
                let Some(position) = position else {
                    // The slot never was.
                    self.stats.unrecorded += 1;
                    live.recorder.reset();
                    return self.telling.tell(now, live);
                };
                self.stats.add(after.counts);
                live.state = after.state;
                (live.evaluated_at, live.took) = (Some(after.evaluated_at), after.took);
                live.times = after.times;
                self.telling.evaluated(now, live, position);
                effects.push(Effect::Show(live.shown()));
            }
            Some(Pending::Notices) => self.telling.recorded(now, position, effects),
            Some(Pending::Rollouts) => self.guarding.recorded(now, position, effects),
            Some(Pending::End(key)) if position.is_none() && !self.groups.contains_key(&key) => {
                self.ending.push(key);
                self.end_after = now.mono + FULL_PAUSE;
            }
            Some(Pending::End(_)) | None => {}
        }
    }

    fn plan(&mut self, now: Now, plan: ControlPlan, effects: &mut Vec<Effect>) {
        self.generation += 1;
        self.begin(now);
        self.guarding.set_plan(now, plan.guard);
        let mut before = std::mem::take(&mut self.groups);
        let mut gone = Vec::new();
        for planned in plan.groups {
            let live = match before.remove(&planned.key) {
                None => Live::new(planned.clone(), GroupState::new(&planned.rules), now.wall),
                Some(old) => {
                    gone.extend(old.alerting.iter().map(|(_, rule)| rule.clone()));
                    old.replanned(planned.clone(), now.wall)
                }
            };
            effects.push(Effect::Show(live.shown()));
            self.ending.retain(|key| *key != planned.key);
            self.groups.insert(planned.key, live);
        }
        for (key, live) in before {
            gone.extend(live.alerting.into_iter().map(|(_, rule)| rule));
            effects.push(Effect::Hide(key.clone()));
            self.ending.push(key);
        }
        self.telling.planned(now, plan.notify, &self.groups, gone);
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("groups", &self.groups.len()).finish_non_exhaustive()
    }
}
