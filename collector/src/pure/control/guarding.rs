//! The guard as a part of the control machine: what it wants done is journalled first, and its
//! alerts are told to the notifier.

use std::sync::Arc;
use std::time::Duration;

use bellwether_model::id::Position;
use bellwether_model::time::{Mono, Now, Timestamp};
use bellwether_rules::record::SecretKey;

use super::super::entry;
use super::super::guard::Guard;
use super::super::guard::event::{self, CountJob, Event, GuardPlan, KeepJob, Reply};
use super::super::guard::lane::effect::SignalDelivery;
use super::super::guard::record::{Intent, Record};
use super::super::guard::state::GuardState;
use super::super::notify::event::{AlertNow, RuleRef};
use super::Effect;
use super::outbox::Outbox;

/// Between two tellings of the same: existing Alertmanagers forget what they do not hear of.
pub(super) const TOLD_EVERY: Duration = Duration::from_secs(15);

/// All alerts of rules.
pub(super) type Told = Vec<(RuleRef, Vec<AlertNow>)>;

/// The guard and what it wants done.
pub(super) struct Guarding {
    guard: Guard,
    outbox: Outbox<Record, After>,
    counts: Vec<CountJob>,
    /// No runner is shown these any more, whatever waits.
    closed: Vec<Arc<Intent>>,
    told: Option<Mono>,
}

/// What waits for records.
enum After {
    Signal(SignalDelivery),
    Post(Arc<Intent>),
    Reply(u64, Reply),
    Keep(KeepJob),
}

impl Guarding {
    pub(super) fn new(state: GuardState, plan: GuardPlan, key: SecretKey) -> Guarding {
        Guarding {
            guard: Guard::new(state, plan, key),
            outbox: Outbox::new(),
            counts: Vec::new(),
            closed: Vec::new(),
            told: None,
        }
    }

    pub(super) fn step(&mut self, now: Now, event: Event) {
        let mut out = Vec::new();
        self.guard.step(now, event, &mut out);
        self.take(out);
    }

    pub(super) fn set_plan(&mut self, now: Now, plan: GuardPlan) {
        let mut out = Vec::new();
        self.guard.set_plan(now, plan, &mut out);
        self.take(out);
    }

    /// The entry of rollouts is answered.
    pub(super) fn recorded(
        &mut self,
        now: Now,
        position: Option<Position>,
        effects: &mut Vec<Effect>,
    ) {
        for (after, position) in self.outbox.recorded(now.mono, position) {
            effects.push(after.effect(position));
        }
    }

    /// Has what is wanted done as far as it may be. True if an entry goes.
    pub(super) fn flush(&mut self, now: Now, effects: &mut Vec<Effect>) -> bool {
        effects.extend(self.counts.drain(..).map(Effect::Count));
        effects.extend(self.closed.drain(..).map(Effect::Unpost));
        let flushed = self.outbox.flush(now.mono, Record::put, entry::put_rollouts);
        for (after, position) in flushed.after {
            effects.push(after.effect(position));
        }
        let goes = flushed.entry.is_some();
        effects.extend(flushed.entry.map(Effect::Record));
        goes
    }

    /// All alerts, where they have changed or the time has come.
    pub(super) fn alerts(&mut self, now: Now, external_url: &str) -> Option<Told> {
        let is_due = self.told.is_none_or(|told| now.mono >= told + TOLD_EVERY);
        if !self.guard.take_changed() && !is_due {
            return None;
        }
        self.told = Some(now.mono);
        Some(self.guard.alerts(now.wall, external_url))
    }

    pub(super) fn guard(&self) -> &Guard {
        &self.guard
    }

    pub(super) fn next_wakeup(&self) -> Option<Timestamp> {
        self.guard.next_wakeup()
    }

    fn take(&mut self, out: Vec<event::Effect>) {
        for effect in out {
            match effect {
                event::Effect::Record(record) => self.outbox.record(record),
                event::Effect::Send(delivery) => self.outbox.after(After::Signal(delivery)),
                event::Effect::Post(signal) => self.outbox.after(After::Post(signal)),
                event::Effect::Closed(signal) => self.closed.push(signal),
                event::Effect::Reply { ticket, reply } => {
                    self.outbox.after(After::Reply(ticket, reply));
                }
                event::Effect::Count(job) => self.counts.push(job),
                event::Effect::Keep(job) => self.outbox.after(After::Keep(job)),
            }
        }
    }
}

impl After {
    fn effect(self, after: Position) -> Effect {
        match self {
            After::Signal(signal) => Effect::Signal { signal, after },
            After::Post(signal) => Effect::Post { signal, after },
            After::Reply(ticket, reply) => Effect::Reply { ticket, reply, after },
            After::Keep(job) => Effect::Keep(job),
        }
    }
}
