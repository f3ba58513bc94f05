//! Signals: what deploy hooks are asked, and what becomes of it (`collector/SIGNALS.md`).
//!
//! [`Lanes`] is a machine of the control thread. Whatever is to last over a restart is a
//! [`Record`], and [`LanesState`] is the fold of these; what leaves the process follows the sync of
//! all records before it. A lane is a service in an environment. Its invariants: at most one
//! signal of it is open; each has a generation of its own, higher than all before, over restarts; a
//! key has one body; a rollout is rolled back once, and never to a version that was rolled back
//! itself.
//!
//! A rollback takes the place of an open hold, which says less: it waits for nothing but another
//! rollback. The machine tries what can be tried until the deadline and says how it ended; who is
//! told of it is not its business.

mod answer;
mod due;
pub mod effect;
pub mod report;
pub mod state;
mod wish;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::signal::{Answer, Kind};
use bellwether_model::time::{Now, Timestamp};

use super::super::notify::record::{Failure, Outcome};
use super::plan::{HookPlan, HooksPlan};
use super::record::{Close, Intent, Record, Sighting};
use answer::Next;
use due::{ASKED_MAX, Away};
use effect::{Effect, SignalDelivery, Wish};
use report::Stats;
use state::LanesState;

/// How long a signal is tried, and may be begun.
pub const LIFETIME: Duration = Duration::from_secs(120);
/// Lanes that ever had a signal.
pub const LANES: usize = 10_000;
/// Wishes that wait: a hold and a rollback of each rollout that may be open.
pub const WAITING: usize = 2000;
/// Beyond an attempt's own time, how long its outcome is waited for.
const GRACE: Duration = Duration::from_secs(5);

/// The machine.
#[derive(Debug)]
pub struct Lanes {
    hooks: HooksPlan,
    state: LanesState,
    /// Rollbacks first, then by their time.
    waiting: VecDeque<Waiting>,
    /// Of each open signal.
    away: BTreeMap<u64, Away>,
    /// The state was compared with clock and plan.
    started: bool,
    stats: Stats,
}

/// A wish whose lane has an open signal.
#[derive(Clone, Debug)]
struct Waiting {
    /// By its own kind.
    key: String,
    wish: Wish,
}

/// An answer that cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// No signal has this key, or it has been forgotten.
    #[error("no signal has this key")]
    Unknown,
    /// The signal is another hook's.
    #[error("the signal is another hook's")]
    OtherHook,
}

impl Lanes {
    /// A machine with the state of the last one.
    #[must_use]
    pub fn new(state: LanesState, hooks: HooksPlan) -> Lanes {
        let (waiting, away) = (VecDeque::new(), BTreeMap::new());
        Lanes { hooks, state, waiting, away, started: false, stats: Stats::default() }
    }

    /// What lasts over a restart.
    #[must_use]
    pub fn state(&self) -> &LanesState {
        &self.state
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// A webhook has answered an attempt, or not. The body is that of a 2xx.
    pub fn delivered(
        &mut self,
        now: Now,
        (signal, attempt): (u64, u32),
        outcome: &Outcome,
        body: &[u8],
        out: &mut Vec<Effect>,
    ) {
        self.start(now.wall, out);
        let (Some(open), Some(away)) = (self.state.open.get(&signal), self.away.get_mut(&signal))
        else {
            self.stats.ignored += 1;
            return;
        };
        let is_it = away.in_flight.take_if(|(number, _)| *number == attempt).is_some();
        if outcome.is_success() {
            // Late or not: it is the hook's word.
            let (answer, is_ours) = answer::read(&open.intent, body);
            self.stats.bare += u64::from(!is_ours);
            self.take(now.wall, signal, answer, out);
            self.advance(now.wall, out);
        } else if is_it {
            away.missed += u32::from(!outcome.may_have_arrived());
            away.failure = words(outcome);
            if let Outcome::Answered { retry_after: Some(asked), .. } = outcome {
                let most = now.wall.saturating_add(ASKED_MAX);
                away.not_before = Some(asked.time(now.wall).min(most));
            }
            *self.stats.failed.entry(outcome.failure()).or_default() += 1;
        }
    }

    /// A runner says what became of a signal.
    ///
    /// # Errors
    /// The signal is not known, or another hook's.
    pub fn answered(
        &mut self,
        now: Now,
        hook: &str,
        answer: Answer,
        out: &mut Vec<Effect>,
    ) -> Result<(), AnswerError> {
        self.start(now.wall, out);
        let known = self.state.known().find(|intent| *intent.key == *answer.key);
        let intent = known.ok_or(AnswerError::Unknown)?;
        if *intent.hook != *hook {
            return Err(AnswerError::OtherHook);
        }
        let number = intent.number;
        self.take(now.wall, number, answer::clean(answer), out);
        self.advance(now.wall, out);
        Ok(())
    }

    /// What was asked for is seen. Of a hold only its hook can say so.
    pub fn observed(&mut self, now: Now, signal: u64, by: Sighting, out: &mut Vec<Effect>) {
        self.start(now.wall, out);
        let open = self.state.open.get(&signal);
        if open.is_some_and(|open| open.intent.kind == Kind::Rollback) {
            self.see(now.wall, signal, by, out);
            self.advance(now.wall, out);
        }
    }

    /// A version of a lane was watched to its end, and did not fail.
    pub fn trust(&mut self, lane: &state::LaneKey, version: &str) {
        self.state.trust(lane, version);
    }

    /// Takes back whatever is wished, or asked, for a rollout.
    pub fn withdraw(&mut self, now: Now, rollout: &str, out: &mut Vec<Effect>) {
        self.start(now.wall, out);
        self.waiting.retain(|waiting| *waiting.wish.rollout != *rollout);
        let of_it = self.state.open().filter(|open| *open.intent.rollout == *rollout);
        for number in of_it.map(|open| open.intent.number).collect::<Vec<_>>() {
            self.close(now.wall, number, Close::Withdrawn, String::new(), out);
        }
        self.advance(now.wall, out);
    }

    /// Swaps the hooks. What a hook that is gone was asked has failed.
    pub fn set_plan(&mut self, now: Now, hooks: HooksPlan, out: &mut Vec<Effect>) {
        self.start(now.wall, out);
        self.hooks = hooks;
        self.reconcile(now.wall, out);
        self.run(now.wall, out);
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.start(now.wall, out);
        self.run(now.wall, out);
    }

    /// When the next [`Lanes::tick`] is due at latest; calls between may change it.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        if !self.started {
            return self.state.open.first_key_value().map(|_| Timestamp::MIN);
        }
        let times = self.away.iter().map(|(number, away)| {
            let overdue = away.in_flight.map(|(_, overdue)| overdue);
            away.until.min(overdue.or(self.due(*number)).unwrap_or(Timestamp::MAX))
        });
        times.min()
    }

    /// Whether an attempt may still be sent: whoever waited for the journal asks once more.
    #[must_use]
    pub fn is_wanted(&self, signal: u64, attempt: u32) -> bool {
        let away = self.away.get(&signal).and_then(|away| away.in_flight);
        away.is_some_and(|(number, _)| number == attempt)
    }

    /// Whether a signal is open.
    #[must_use]
    pub fn is_open(&self, signal: u64) -> bool {
        self.state.open.contains_key(&signal)
    }

    /// The open signals of a hook, by number.
    pub fn open_of(&self, hook: &str) -> impl Iterator<Item = &Arc<Intent>> {
        self.state.open().map(|open| &open.intent).filter(move |intent| *intent.hook == *hook)
    }

    /// Before anything else: takes up what the last process left.
    fn start(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.started {
            return;
        }
        self.started = true;
        for (number, open) in &self.state.open {
            self.away.insert(*number, Away::new(&open.intent, open.tried_at, now));
        }
        for number in self.numbers() {
            self.resume(now, number, out);
        }
        self.reconcile(now, out);
    }

    /// Draws the conclusion that the last process has not journalled any more.
    fn resume(&mut self, now: Timestamp, number: u64, out: &mut Vec<Effect>) {
        let Some(open) = self.state.open.get(&number) else { return };
        if open.observed.is_some() {
            return self.close(now, number, Close::Restored, String::new(), out);
        }
        let Some((answer, _)) = &open.answer else { return };
        let next = answer::next(&open.intent, None, answer);
        self.follow(now, number, next, out);
    }

    /// Compares what is open with the plan.
    fn reconcile(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        for number in self.numbers() {
            let Some(open) = self.state.open.get(&number) else { continue };
            match self.hooks.0.get(&open.intent.hook).map(AsRef::as_ref) {
                Some(HookPlan::Webhook { .. }) => {}
                // It is posted with its first attempt.
                Some(HookPlan::Runner { .. }) if open.tries == 0 => {}
                Some(HookPlan::Runner { .. }) => {
                    out.push(Effect::Post(Arc::clone(&open.intent)));
                }
                None => {
                    let detail = no_hook(&open.intent);
                    self.close(now, number, Close::Failed, detail, out);
                }
            }
        }
    }

    fn numbers(&self) -> Vec<u64> {
        self.state.open.keys().copied().collect()
    }

    fn run(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        for number in self.numbers() {
            let Some(away) = self.away.get_mut(&number) else { continue };
            if away.until <= now {
                self.expire(now, number, out);
                continue;
            }
            if away.in_flight.take_if(|(_, overdue)| *overdue <= now).is_some() {
                away.failure = "the sender gave no outcome".to_owned();
                let failure = Outcome::failed(Failure::TimedOut, "").failure();
                *self.stats.failed.entry(failure).or_default() += 1;
            }
            if self.due(number).is_some_and(|due| due <= now) {
                self.attempt(now, number, out);
            }
        }
        self.advance(now, out);
    }

    /// When a signal is to be tried; nothing of a runner that has been shown it.
    fn due(&self, number: u64) -> Option<Timestamp> {
        let (open, away) = (self.state.open.get(&number)?, self.away.get(&number)?);
        let plan = self.hooks.0.get(&open.intent.hook)?;
        if matches!(**plan, HookPlan::Runner { .. }) && open.tries > 0 {
            return None;
        }
        let answer = open.answer.as_ref().map(|(answer, _)| answer);
        away.due(&open.intent.key, open.tries, answer)
    }

    fn attempt(&mut self, now: Timestamp, number: u64, out: &mut Vec<Effect>) {
        let (Some(open), Some(away)) = (self.state.open.get(&number), self.away.get_mut(&number))
        else {
            return;
        };
        let Some(plan) = self.hooks.0.get(&open.intent.hook) else { return };
        let (attempt, repeated) = (open.tries.saturating_add(1), open.tries > away.missed);
        let intent = Arc::clone(&open.intent);
        away.since = now;
        let effect = match &**plan {
            HookPlan::Runner { .. } => Effect::Post(intent),
            HookPlan::Webhook { endpoint, .. } => {
                let overdue = now.saturating_add(endpoint.timeout + GRACE);
                away.in_flight = Some((attempt, overdue));
                self.stats.attempts += 1;
                self.stats.repeated += u64::from(repeated);
                Effect::Send(SignalDelivery {
                    signal: number,
                    attempt,
                    to: Arc::clone(plan),
                    id: intent.id(),
                    body: Arc::clone(&intent.body),
                    repeated,
                    deadline: away.until,
                })
            }
        };
        self.record(Record::Attempt { signal: number, attempt, at: now }, out);
        out.push(effect);
    }

    fn expire(&mut self, now: Timestamp, number: u64, out: &mut Vec<Effect>) {
        let Some(open) = self.state.open.get(&number) else { return };
        let failure = self.away.get(&number).map_or("", |away| &away.failure);
        let (outcome, detail) = match &open.answer {
            None if failure.is_empty() => (Close::Failed, "no answer by the deadline".to_owned()),
            None => {
                (Close::Failed, answer::plain(&format!("no answer by the deadline: {failure}")))
            }
            Some((answer, _)) => {
                let said = answer.status.name();
                let to = &open.intent.to;
                let words = format!("the hook said {said}, and {to} was not seen by the deadline");
                (Close::Expired, words)
            }
        };
        self.close(now, number, outcome, detail, out);
    }

    /// Takes the answer of a hook.
    fn take(&mut self, now: Timestamp, number: u64, answer: Answer, out: &mut Vec<Effect>) {
        let Some(open) = self.state.open.get(&number) else {
            self.stats.ignored += 1;
            return;
        };
        let before = open.answer.as_ref().map(|(answer, _)| answer);
        let next = answer::next(&open.intent, before, &answer);
        if let Some(away) = self.away.get_mut(&number) {
            away.failure.clear();
        }
        if next == Next::Nothing {
            self.stats.ignored += 1;
            return;
        }
        *self.stats.answers.entry(answer.status.name()).or_default() += 1;
        self.record(Record::Answered { signal: number, answer, at: now }, out);
        self.follow(now, number, next, out);
    }

    fn follow(&mut self, now: Timestamp, number: u64, next: Next, out: &mut Vec<Effect>) {
        match next {
            Next::Nothing | Next::Wait => {}
            Next::Observed => self.see(now, number, Sighting::Hook, out),
            Next::Close(outcome, detail) => self.close(now, number, outcome, detail, out),
        }
    }

    fn see(&mut self, now: Timestamp, number: u64, by: Sighting, out: &mut Vec<Effect>) {
        self.record(Record::Observed { signal: number, by, at: now }, out);
        self.close(now, number, Close::Restored, String::new(), out);
    }

    fn close(
        &mut self,
        now: Timestamp,
        number: u64,
        outcome: Close,
        detail: String,
        out: &mut Vec<Effect>,
    ) {
        let Some(open) = self.state.open.get(&number) else { return };
        let signal = Arc::clone(&open.intent);
        self.away.remove(&number);
        *self.stats.closed.entry(outcome.as_str()).or_default() += 1;
        let record = Record::Closed { signal: number, outcome, detail, at: now };
        self.record(record, out);
        out.push(Effect::Closed { signal, outcome });
    }

    /// Journals a change and makes it.
    fn record(&mut self, record: Record, out: &mut Vec<Effect>) {
        self.state.apply(&record);
        out.push(Effect::Record(record));
    }
}

fn no_hook(intent: &Intent) -> String {
    match &*intent.hook {
        "" => format!("the service {} has no hook in {}", intent.service, intent.environment),
        name => format!("no hook is called {name}"),
    }
}

fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered { status, text, .. } if text.is_empty() => format!("status {status}"),
        Outcome::Answered { status, text, .. } => format!("status {status}: {text}"),
        Outcome::Failed { reason, .. } => reason.clone(),
    }
}

#[cfg(test)]
mod tests;
