//! The guard: watches announced rollouts second by second, judges them, and has bad ones undone
//! (`collector/ROLLOUTS.md`, `collector/SIGNALS.md`).
//!
//! [`Guard`] is a machine of the control thread (DESIGN §4). Whatever lasts over a restart is a
//! [`record::Record`], and [`state::GuardState`] is the fold of these: the judges, too, are made
//! anew from the seconds that were judged. Nothing leaves before the records it follows from are
//! durable.

pub mod action;
pub mod announce;
pub mod count;
mod decide;
pub mod event;
mod keeping;
pub mod lane;
pub mod plan;
pub mod record;
pub mod report;
pub mod state;
mod tell;
#[cfg(test)]
mod tests;
pub mod view;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bellwether_model::signal::{Kind, Status};
use bellwether_model::time::{Now, Timestamp};
use bellwether_rules::record::SecretKey;

use action::Action;
use announce::Announce;
use count::{Counting, Dropped, Read};
use event::{Ask, CountJob, Counted, Effect, Event, GuardPlan, Reply};
use keeping::Keeping;
use lane::Lanes;
use lane::effect::Effect as LaneEffect;
use record::{Close, End, Intent, Record, Second, Sighting, Word};
use report::{GuardFigures, GuardReport, RolloutRow};
use state::{GuardState, OPEN_MAX};
use watch::Watch;

/// Seconds of the baseline before the announce, from which bursts are learned.
const HISTORY: i64 = 600;
/// A rollout that is never said to be through is forgotten after a day.
const FORGOTTEN_MS: i64 = 24 * 3600 * 1000;
/// Close to what a record holds, a watch ends: one more reading has room in it.
const TICKS_MAX: usize = bellwether_rules::record::TICKS_MAX
    - count::SECONDS_PER_READ * bellwether_rules::verdict::Tick::STRATA_MAX as usize;
/// Counts in one record of the journal.
const COUNTS_MAX: usize = 50_000;
/// From one look at a second whose targets are being read to the next.
const EARLY_MS: i64 = 100;
/// The longest time that a second may wait for its data.
const PATIENCE_MS: i64 = 2000;

/// The machine; see the module.
pub struct Guard {
    state: GuardState,
    plan: GuardPlan,
    lanes: Lanes,
    open: BTreeMap<Arc<str>, Open>,
    keeping: Keeping,
    key: SecretKey,
    /// Records may lack their files.
    is_new: bool,
    /// What people are told may have changed.
    changed: bool,
    stats: Stats,
}

/// A rollout that is watched.
#[derive(Debug)]
struct Open {
    watch: Watch,
    /// Not here while a job has it.
    counting: Option<Box<Counting>>,
    /// The second of the announce.
    began: i64,
    /// When the next second is due.
    next: Timestamp,
    /// What was done at last.
    done: Action,
    /// Signals asked for since the start; those of before are known where they are made.
    asked: BTreeSet<Kind>,
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Seconds judged.
    pub seconds: u64,
    /// Announces taken.
    pub announced: u64,
    /// Announces refused.
    pub refused: u64,
    /// Rollouts failed.
    pub failed: u64,
    /// What was not counted.
    pub dropped: Dropped,
    /// Decision records that have no file and cannot be made again, the key being another one.
    pub records_lost: u64,
}

impl Guard {
    /// A machine that goes on from what is held.
    #[must_use]
    pub fn new(state: GuardState, plan: GuardPlan, key: SecretKey) -> Guard {
        let mut guard = Guard {
            lanes: Lanes::new(state.lanes.clone(), plan.hooks.clone()),
            state,
            plan,
            open: BTreeMap::new(),
            keeping: Keeping::default(),
            key,
            is_new: true,
            changed: true,
            stats: Stats::default(),
        };
        for rollout in guard.state.open() {
            let open = Open::resumed(rollout);
            guard.open.insert(Arc::clone(&rollout.announced.rollout), open);
        }
        guard
    }

    /// Takes an event; effects are added in the order in which they are to be done.
    pub fn step(&mut self, now: Now, event: Event, out: &mut Vec<Effect>) {
        if std::mem::take(&mut self.is_new) {
            self.keep_all(out);
        }
        let mut signals = Vec::new();
        match event {
            Event::Asked { ticket, by, ask } => {
                let reply = match ask {
                    Ask::Announce(announce) => self.announced(now.wall, &announce, &by, out),
                    Ask::Say { rollout, word, reason } => {
                        self.said(now, (rollout, word), (by, reason), out)
                    }
                    Ask::Answer { hook, answer } => {
                        Reply::Heard(self.lanes.answered(now, &hook, answer, &mut signals))
                    }
                };
                self.signalled(now, &mut signals, out);
                out.push(Effect::Reply { ticket, reply });
            }
            Event::Counted(counted) => self.counted(now, *counted, out),
            Event::Kept { job, is_written } => {
                let rollout = Arc::clone(&job.rollout);
                self.keeping.ended(now.wall, job, is_written);
                self.settle(&rollout, out);
            }
            Event::Delivered { signal, attempt, outcome, body } => {
                self.lanes.delivered(now, (signal, attempt), &outcome, &body, &mut signals);
            }
            Event::Tick { complete } => {
                self.lanes.tick(now, &mut signals);
                self.keeping.tick(now.wall, out);
                self.tick(now, complete, out);
            }
        }
        self.signalled(now, &mut signals, out);
    }

    /// Goes by other services and hooks. What was announced stays as it was.
    pub fn set_plan(&mut self, now: Now, plan: GuardPlan, out: &mut Vec<Effect>) {
        let mut signals = Vec::new();
        self.lanes.set_plan(now, plan.hooks.clone(), &mut signals);
        self.plan = plan;
        self.signalled(now, &mut signals, out);
    }

    /// What lasts.
    #[must_use]
    pub fn state(&self) -> &GuardState {
        &self.state
    }

    /// Whether an attempt at a hook may still be sent.
    #[must_use]
    pub fn is_wanted(&self, signal: u64, attempt: u32) -> bool {
        self.lanes.is_wanted(signal, attempt)
    }

    /// Whether a signal is neither done nor given up.
    #[must_use]
    pub fn is_open(&self, signal: u64) -> bool {
        self.lanes.is_open(signal)
    }

    /// What was counted.
    #[must_use]
    pub fn figures(&self) -> GuardFigures {
        report::figures(self)
    }

    /// Whether people are to be told anew; asked once.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// All that is known.
    #[must_use]
    pub fn report(&self, now: Timestamp) -> GuardReport {
        report::report(self, now)
    }

    /// All that is known of one rollout.
    #[must_use]
    pub fn row(&self, name: &str) -> Option<RolloutRow> {
        self.state.rollouts.get(name).map(|known| report::row(self, known))
    }

    /// When something is due that no event brings.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        let seconds = self.open.values().filter(|open| open.counting.is_some());
        let seconds = seconds.map(|open| open.next);
        seconds.chain(self.lanes.next_wakeup()).chain(self.keeping.next_wakeup()).min()
    }

    fn record(&mut self, record: Record, out: &mut Vec<Effect>) {
        self.state.apply(&record);
        self.changed |= !matches!(record, Record::Judged { .. } | Record::Kept { .. });
        out.push(Effect::Record(record));
    }

    fn announced(
        &mut self,
        now: Timestamp,
        announce: &Announce,
        by: &str,
        out: &mut Vec<Effect>,
    ) -> Reply {
        let reply = self.admit(now, announce, by);
        match &reply {
            Reply::Begun(announced) => {
                self.stats.announced += 1;
                let rollout = Arc::clone(&announced.rollout);
                self.record(Record::Announced(Arc::clone(announced)), out);
                if let Some(begun) = self.state.rollouts.get(&rollout) {
                    self.open.insert(rollout, Open::resumed(begun));
                }
            }
            Reply::Known(_) => {}
            _ => self.stats.refused += 1,
        }
        reply
    }

    fn admit(&self, now: Timestamp, announce: &Announce, by: &str) -> Reply {
        if let Some(known) = self.state.rollouts.get(&announce.id) {
            return match (announce.repeats(&known.announced), known.ended) {
                (true, None) => Reply::Known(Arc::clone(&known.announced)),
                (true, Some(_)) => Reply::Conflict(format!("`{}` has ended", announce.id)),
                (false, _) => Reply::Conflict(format!("`{}` is another rollout's id", announce.id)),
            };
        }
        if self.lanes.state().has(&announce.id) {
            let text = "signals of an earlier one are remembered: take another id";
            return Reply::Conflict(format!("`{}` was rolled back: {text}", announce.id));
        }
        let is_same = |open: &&state::Rollout| {
            let theirs = &open.announced;
            theirs.service == announce.service && theirs.environment == announce.environment
        };
        if let Some(open) = self.state.open().find(is_same) {
            let (service, environment) = (&announce.service, &announce.environment);
            let open = &open.announced.rollout;
            return Reply::Conflict(format!("{service} in {environment} has `{open}` open"));
        }
        if self.open.len() >= OPEN_MAX {
            return Reply::Full(format!("{OPEN_MAX} rollouts are open"));
        }
        match announce.settle(&self.plan.catalogue, by, now) {
            Ok(announced) => Reply::Begun(Arc::new(announced)),
            Err(problems) => Reply::Wrong(problems),
        }
    }

    fn said(
        &mut self,
        now: Now,
        (rollout, word): (Arc<str>, Word),
        (by, reason): (String, String),
        out: &mut Vec<Effect>,
    ) -> Reply {
        let Some(known) = self.state.rollouts.get(&rollout) else {
            return Reply::Absent(format!("there is no rollout `{rollout}`"));
        };
        if known.ended.is_some() {
            return Reply::Conflict(format!("`{rollout}` has ended"));
        }
        if known.said_at(word).is_some() {
            return Reply::Done;
        }
        if word == Word::Confirm && known.failure().is_none() {
            return Reply::Conflict(format!("`{rollout}` has not failed: nothing is to confirm"));
        }
        let said = Record::Said { rollout: Arc::clone(&rollout), word, by, reason, at: now.wall };
        self.record(said, out);
        self.conclude(now, &rollout, out);
        Reply::Done
    }

    fn tick(&mut self, now: Now, complete: Timestamp, out: &mut Vec<Effect>) {
        let late = Timestamp(now.wall.0.saturating_sub(PATIENCE_MS));
        let mut concluded = Vec::new();
        for (rollout, open) in &mut self.open {
            if open.next > complete.max(late) {
                continue;
            }
            let Some(counting) = open.counting.take() else { continue };
            out.push(Effect::Count(CountJob { rollout: Arc::clone(rollout), counting }));
            concluded.push(Arc::clone(rollout));
        }
        for rollout in concluded {
            self.conclude(now, &rollout, out);
        }
    }

    fn counted(&mut self, now: Now, counted: Counted, out: &mut Vec<Effect>) {
        let Counted { job: CountJob { rollout, counting }, mut read } = counted;
        let Some(open) = self.open.get_mut(&rollout) else { return };
        open.counting = Some(counting);
        let history = read.seconds.iter_mut().filter(|second| second.second <= open.began);
        history.for_each(Second::keep_baseline);
        for second in &read.seconds {
            open.watch.take(second);
        }
        open.next = open.after(now.wall, read.seconds.is_empty());
        self.stats.seconds += read.seconds.len() as u64;
        self.stats.dropped.add(&read.dropped);
        // Nothing takes a failed verdict back: that its canary goes on is told by what was seen.
        if self.state.rollouts.get(&rollout).is_some_and(|known| known.failure().is_some()) {
            read.seconds.iter_mut().for_each(|second| second.counts.clear());
        }
        if !read.seconds.is_empty() {
            self.judged(&rollout, read, out);
            self.conclude(now, &rollout, out);
        }
    }

    /// Records seconds, in pieces that an entry has room for.
    fn judged(&mut self, rollout: &Arc<str>, read: Read, out: &mut Vec<Effect>) {
        let mut strata = read.strata;
        let mut seconds: Vec<Second> = Vec::new();
        let mut counts = 0;
        for second in read.seconds {
            counts += second.counts.len();
            if counts > COUNTS_MAX && !seconds.is_empty() {
                counts = second.counts.len();
                let (strata, seconds) = (std::mem::take(&mut strata), std::mem::take(&mut seconds));
                self.record(Record::Judged { rollout: Arc::clone(rollout), strata, seconds }, out);
            }
            seconds.push(second);
        }
        self.record(Record::Judged { rollout: Arc::clone(rollout), strata, seconds }, out);
    }

    /// What the lanes of signals want done.
    fn signalled(&mut self, now: Now, signals: &mut Vec<LaneEffect>, out: &mut Vec<Effect>) {
        let mut closed = Vec::new();
        for signal in signals.drain(..) {
            match signal {
                LaneEffect::Record(record) => self.record(record, out),
                LaneEffect::Send(delivery) => out.push(Effect::Send(delivery)),
                LaneEffect::Post(signal) => out.push(Effect::Post(signal)),
                LaneEffect::Closed { signal, outcome } => {
                    out.push(Effect::Closed(Arc::clone(&signal)));
                    closed.push((signal, outcome));
                }
            }
        }
        for (signal, outcome) in closed {
            self.closed(now, &signal, outcome, out);
        }
    }

    fn closed(&mut self, now: Now, signal: &Intent, outcome: Close, out: &mut Vec<Effect>) {
        let is_rollback = signal.kind == Kind::Rollback;
        if is_rollback && outcome == Close::Restored && self.open.contains_key(&signal.rollout) {
            self.end(now, &signal.rollout, End::Failed, out);
        }
    }

    /// Ends a watch; what was judged is sealed first.
    fn end(&mut self, now: Now, rollout: &Arc<str>, end: End, out: &mut Vec<Effect>) {
        if end != End::Failed {
            self.decide_all(now.wall, rollout, out);
        }
        let ended = Record::Ended { rollout: Arc::clone(rollout), end, at: now.wall };
        self.record(ended, out);
        if end == End::Watched
            && let Some(known) = self.state.rollouts.get(rollout)
        {
            self.lanes.trust(&known.announced.lane(), &known.announced.to);
        }
        self.open.remove(rollout);
        self.settle(rollout, out);
        let mut signals = Vec::new();
        self.lanes.withdraw(now, rollout, &mut signals);
        self.signalled(now, &mut signals, out);
    }

    /// A rollback that was asked for is seen in the series.
    fn observe(&mut self, now: Now, rollout: &Arc<str>, out: &mut Vec<Effect>) {
        let Some(open) = self.open.get(rollout) else { return };
        if !open.watch.is_restored() {
            return;
        }
        // Before the hook has said that it does it, a version that serves nothing may be down.
        let is_it = |open: &&lane::state::Open| {
            let intent = &open.intent;
            let answer = open.answer.as_ref().map(|(answer, _)| answer.status);
            intent.kind == Kind::Rollback
                && intent.rollout == *rollout
                && matches!(answer, Some(Status::Accepted | Status::Done | Status::AlreadyDone))
        };
        let Some(signal) = self.lanes.state().open().find(is_it) else { return };
        let signal = signal.intent.number;
        let mut signals = Vec::new();
        self.lanes.observed(now, signal, Sighting::Series, &mut signals);
        self.signalled(now, &mut signals, out);
    }
}

impl Open {
    /// From what was recorded.
    fn resumed(rollout: &state::Rollout) -> Open {
        let announced = &rollout.announced;
        let mut watch = Watch::new(announced);
        rollout.seconds.iter().for_each(|second| watch.take(second));
        let began = announced.at.0.div_euclid(1000);
        let after = watch.last().unwrap_or(began - HISTORY);
        let plan = decide::count_plan(announced);
        Open {
            counting: Some(Box::new(Counting::new(plan, after, rollout.strata.clone()))),
            watch,
            began,
            next: announced.at,
            done: Action::Go,
            asked: BTreeSet::new(),
        }
    }

    /// The end of the second after the last one judged, but not in the past; a while from now if
    /// that has passed, and its targets were not read yet.
    fn after(&self, now: Timestamp, was_early: bool) -> Timestamp {
        let next = self.watch.last().map_or(now.0, |last| (last + 2) * 1000);
        Timestamp(next.max(now.0 + if was_early { EARLY_MS } else { 1 }))
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("open", &self.open.len()).finish_non_exhaustive()
    }
}
