//! Who is told of which alert, when, and whether it went well.
//!
//! [`Notifier`] is a machine of the control thread (DESIGN §4). Rules tell it what fires; it groups
//! alerts for each receiver as Alertmanager does, decides notifications, and follows each attempt.
//! Whatever is to last over a restart is a [`record::Record`], and [`state::NotifyState`] is the
//! fold of these: a machine that is made from the state and told again what fires goes on as if
//! nothing had been. What leaves the process follows the sync of all records before it.
//!
//! Alertmanager's meaning with three differences. A notification that has not arrived gives way to
//! the newest of its group at the next attempt, which tells all that the older one told. A group
//! that was quiet waits for nothing but `group_interval` since its last notification, not for the
//! next tick of a timer. The end of an alert is told if its firing was in a notification, arrived
//! or not: so a receiver that was away learns that an alert fired.
//!
//! Existing Alertmanagers are pushed to as Prometheus does, without a record: sending again is the
//! retry. Routing trees, silences and escalation are not here.

pub mod address;
mod alerts;
pub(in crate::pure) mod answer;
mod body;
pub mod event;
pub mod fingerprint;
mod lane;
pub mod plan;
mod push;
pub mod record;
pub mod report;
pub mod select;
pub mod state;
pub mod stats;
pub mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::id::StoreId;
use bellwether_model::time::{Now, Timestamp};

use alerts::Alerts;
use event::{AlertNow, Effect, Event, RuleRef, Ticket};
use lane::{Lane, Sight};
use plan::NotifyPlan;
use push::{Beat, Pusher};
use record::{Failure, GiveUp, Outcome, Record};
use report::NotifyReport;
use state::NotifyState;
use stats::{Figures, ReceiverFigures, Stats};

pub use alerts::ALERTS;
pub use body::BODY_BYTES;
pub use push::QUEUE;

/// Beyond an attempt's own time, how long its outcome is waited for.
const GRACE: Duration = Duration::from_secs(30);

/// The machine.
#[derive(Debug)]
pub struct Notifier {
    store: StoreId,
    plan: NotifyPlan,
    state: NotifyState,
    alerts: Alerts,
    lanes: BTreeMap<Arc<str>, Lane>,
    pushers: Vec<Pusher>,
    beat: Beat,
    /// All rules have been told since the start.
    restored: bool,
    /// The state was compared with clock and plan.
    started: bool,
    stats: Stats,
}

impl Notifier {
    /// A machine with the state of the last one. Ids of notifications are made from the store's id.
    #[must_use]
    pub fn new(store: StoreId, plan: NotifyPlan, state: NotifyState) -> Notifier {
        let mut notifier = Notifier {
            store,
            plan: NotifyPlan::default(),
            state,
            alerts: Alerts::default(),
            lanes: BTreeMap::new(),
            pushers: Vec::new(),
            beat: Beat::default(),
            restored: false,
            started: false,
            stats: Stats::default(),
        };
        notifier.adopt(plan);
        notifier
    }

    /// What lasts over a restart.
    #[must_use]
    pub fn state(&self) -> &NotifyState {
        &self.state
    }

    /// Whether a rule has alerts here.
    #[must_use]
    pub fn knows(&self, rule: &RuleRef) -> bool {
        self.alerts.has(rule)
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Takes one event. The wall clock of one process never goes back.
    pub fn step(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        let at = now.wall;
        self.start(at, effects);
        match event {
            Event::Rule { rule, interval, slot, alerts } => {
                self.rule(at, &rule, alerts);
                self.push(&rule, interval, slot);
            }
            Event::RuleGone { rule } => self.rule(at, &rule, Vec::new()),
            Event::Restored => {
                self.restored = true;
                self.plan_all(at);
            }
            Event::Alive => self.beat.alive(),
            Event::Tick => {}
            Event::Delivered { ticket, outcome } => self.delivered(at, ticket, outcome, effects),
        }
        self.run(at, effects);
    }

    /// When the next [`Event::Tick`] is due at latest; events between may change it.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        let lanes = self.lanes.values().filter_map(|lane| lane.next_wakeup(&self.state));
        let pushers = self.pushers.iter().filter_map(Pusher::next_wakeup);
        lanes.chain(pushers).chain(self.beat.next_wakeup()).min()
    }

    /// Swaps the plan. Receivers that are gone are forgotten, their open notifications end; a
    /// receiver that had said it is gone is tried again.
    pub fn set_plan(&mut self, now: Now, plan: NotifyPlan, effects: &mut Vec<Effect>) {
        self.start(now.wall, effects);
        if plan.external_labels != self.plan.external_labels {
            self.alerts = self.alerts.relabeled(&plan.external_labels);
        }
        self.adopt(plan);
        self.reconcile(now.wall, effects);
        let gone = self.state.receivers.iter().filter(|(_, held)| held.gone_until.is_some());
        for receiver in gone.map(|(name, _)| Arc::clone(name)).collect::<Vec<_>>() {
            self.record(Record::ReceiverBack { receiver }, effects);
        }
        self.plan_all(now.wall);
        self.run(now.wall, effects);
    }

    /// What is known, for the API.
    #[must_use]
    pub fn report(&self, at: Timestamp) -> NotifyReport {
        let rows = self.lanes.values();
        NotifyReport {
            receivers: rows.clone().map(|lane| lane.row(&self.state)).collect(),
            groups: rows.flat_map(|lane| lane.groups(self.sight(at))).collect(),
            open: self.state.open.values().cloned().collect(),
            history: self.state.history.iter().cloned().collect(),
            alertmanagers: self.pushers.iter().map(Pusher::row).collect(),
            heartbeat: self.beat.row(),
            external_labels: self.plan.external_labels.clone(),
        }
    }

    /// What becomes metrics.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut receivers: BTreeMap<Arc<str>, ReceiverFigures> = BTreeMap::new();
        for name in self.lanes.keys() {
            let held = self.state.receivers.get(name);
            let is_gone = held.is_some_and(|held| held.gone_until.is_some());
            let open = held.map_or(0, |held| held.open);
            receivers.insert(Arc::clone(name), ReceiverFigures { open, is_gone });
        }
        let queued = self.pushers.iter().map(|pusher| (Arc::clone(pusher.name()), pusher.queued()));
        Figures { stats: self.stats.clone(), receivers, queued: queued.collect() }
    }

    /// Lanes, pushers and heartbeat of a plan; what is on its way stays so.
    fn adopt(&mut self, plan: NotifyPlan) {
        let mut old = std::mem::take(&mut self.lanes);
        for (name, receiver) in &plan.receivers {
            let in_flight = old.remove(name).and_then(|lane| lane.in_flight);
            let mut lane = Lane::new(Arc::clone(receiver), in_flight);
            self.alerts.all_firing().for_each(|(key, labels)| lane.touch(key, labels, true));
            self.stats.receivers.entry(Arc::clone(name)).or_default();
            self.lanes.insert(Arc::clone(name), lane);
        }
        let mut old = std::mem::take(&mut self.pushers);
        for alertmanager in &plan.alertmanagers {
            let place = old.iter().position(|pusher| pusher.name() == &alertmanager.name);
            let pusher = place.map(|place| old.swap_remove(place));
            self.stats.alertmanagers.entry(Arc::clone(&alertmanager.name)).or_default();
            self.pushers.push(Pusher::new(Arc::clone(alertmanager), pusher));
        }
        self.stats.receivers.retain(|name, _| plan.receivers.contains_key(name));
        let names: Vec<_> = plan.alertmanagers.iter().map(|one| Arc::clone(&one.name)).collect();
        self.stats.alertmanagers.retain(|name, _| names.contains(name));
        self.beat.set_plan(plan.heartbeat.clone());
        self.plan = plan;
    }

    /// Before the first event: a clock that was set back, receivers that are gone.
    fn start(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.started {
            return;
        }
        self.started = true;
        if self.state.latest > now {
            self.record(Record::ClockBack { at: now }, effects);
        }
        self.reconcile(now, effects);
        self.plan_all(now);
    }

    fn sight(&self, now: Timestamp) -> Sight<'_> {
        let Notifier { state, alerts, restored, .. } = self;
        Sight { state, alerts, restored: *restored, now }
    }

    fn plan_all(&mut self, now: Timestamp) {
        let Notifier { state, alerts, restored, lanes, .. } = self;
        let sight = Sight { state, alerts, restored: *restored, now };
        lanes.values_mut().for_each(|lane| lane.plan_all(sight));
    }

    fn reconcile(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let held = self.state.receivers.keys();
        let gone = held.filter(|name| !self.lanes.contains_key(*name)).cloned();
        for receiver in gone.collect::<Vec<_>>() {
            let open = self.state.open.values().filter(|open| open.intent.receiver == receiver);
            for number in open.map(|open| open.intent.number).collect::<Vec<_>>() {
                self.tell_given_up(number, GiveUp::Removed, effects);
            }
            self.record(Record::ReceiverGone { receiver, at: now }, effects);
        }
    }

    fn rule(&mut self, now: Timestamp, rule: &RuleRef, alerts: Vec<AlertNow>) {
        if alerts.is_empty() && !self.alerts.has(rule) {
            return;
        }
        let changed = self.alerts.feed(rule, alerts, &self.plan.external_labels);
        self.stats.alerts_refused += changed.refused;
        self.stats.texts_cut += changed.cut;
        for alert in changed.gone.iter().filter(|_| self.restored) {
            for pusher in &mut self.pushers {
                let dropped = pusher.take(alert, now);
                push_stats(&mut self.stats, pusher.name()).dropped += dropped;
            }
        }
        let Notifier { state, alerts, restored, lanes, .. } = self;
        let sight = Sight { state, alerts, restored: *restored, now };
        for lane in lanes.values_mut() {
            for (key, labels) in &changed.alerts {
                lane.touch(*key, labels, alerts.fires(*key));
            }
            lane.plan_alerts(changed.alerts.iter().map(|(_, labels)| labels), sight);
        }
    }

    /// Hands a rule's alerts to the Alertmanagers, as Prometheus chooses them.
    fn push(&mut self, rule: &RuleRef, interval: Duration, slot: Timestamp) {
        if self.pushers.is_empty() || !self.restored {
            return;
        }
        for held in self.alerts.of(rule) {
            let Some(ends_at) = push::due(held, interval, slot) else { continue };
            held.pushed_at = Some(slot);
            for pusher in &mut self.pushers {
                let dropped = pusher.take(&held.alert, ends_at);
                push_stats(&mut self.stats, pusher.name()).dropped += dropped;
            }
        }
    }

    fn delivered(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        outcome: Outcome,
        effects: &mut Vec<Effect>,
    ) {
        match ticket {
            Ticket::Notification { receiver, number, attempt } => {
                self.attempted(now, (&receiver, number, attempt), outcome, effects);
            }
            Ticket::Push { alertmanager, batch } => {
                let pusher = self.pushers.iter_mut().find(|p| *p.name() == alertmanager);
                if let Some(pusher) = pusher {
                    pusher.ended(now, batch, outcome, push_stats(&mut self.stats, &alertmanager));
                }
            }
            Ticket::Heartbeat { beat } => {
                let failed = self.beat.ended(now, beat, outcome);
                self.stats.heartbeats_failed += u64::from(failed);
            }
            Ticket::Signal { .. } => {}
        }
    }

    /// Does what is due.
    fn run(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let due = self.lanes.iter().filter(|(_, lane)| lane.is_due(now));
        for name in due.map(|(name, _)| Arc::clone(name)).collect::<Vec<_>>() {
            self.run_lane(&name, now, effects);
        }
        for pusher in &mut self.pushers {
            let lost = pusher.overdue(now);
            let stats = push_stats(&mut self.stats, pusher.name());
            if let Some(batch) = lost {
                pusher.ended(now, batch, no_outcome(), stats);
            }
            effects.extend(pusher.run(now, stats).map(Effect::Send));
        }
        if let Some(beat) = self.beat.overdue(now) {
            self.beat.ended(now, beat, no_outcome());
            self.stats.heartbeats_failed += 1;
        }
        if let Some(delivery) = self.beat.run(now) {
            self.stats.heartbeats += 1;
            effects.push(Effect::Send(delivery));
        }
    }

    /// Journals a change and makes it.
    fn record(&mut self, record: Record, effects: &mut Vec<Effect>) {
        self.state.apply(&record);
        effects.push(Effect::Record(record));
    }
}

/// What stands for the outcome of a delivery that never came back.
fn no_outcome() -> Outcome {
    Outcome::failed(Failure::TimedOut, "the sender gave no outcome")
}

fn push_stats<'a>(stats: &'a mut Stats, name: &Arc<str>) -> &'a mut stats::PushStats {
    stats.alertmanagers.entry(Arc::clone(name)).or_default()
}

#[cfg(test)]
pub(super) mod tests;
