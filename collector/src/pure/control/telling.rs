//! From evaluations to notifications: what the notifier is told, and what it has journalled before
//! anything is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::id::{Position, StoreId};
use bellwether_model::label::LabelSet;
use bellwether_model::time::{Now, Timestamp};
use bellwether_rules::alert::{Alert, AlertState};
use bellwether_rules::file::Rule;
use bellwether_rules::group::RuleState;

use super::super::entry;
use super::super::notify::Notifier;
use super::super::notify::event::{self, AlertNow, Delivery, RuleRef, Ticket};
use super::super::notify::plan::NotifyPlan;
use super::super::notify::record::{Outcome, Record};
use super::super::notify::report::{AlertRow, AlertsReport, RuleRow};
use super::super::notify::state::NotifyState;
use super::super::notify::stats::Figures;
use super::evaluation::GroupKey;
use super::guarding::{TOLD_EVERY, Told};
use super::outbox::Outbox;
use super::{Effect, Live, PlannedGroup};

/// The notifier and what it wants done.
pub(super) struct Telling {
    notifier: Notifier,
    external_url: String,
    begun: bool,
    outbox: Outbox<Record, Delivery>,
    given_up: Vec<event::GivenUp>,
}

impl Telling {
    pub(super) fn new(store: StoreId, plan: NotifyPlan, state: NotifyState) -> Telling {
        Telling {
            external_url: plan.external_url.clone(),
            notifier: Notifier::new(store, plan, state),
            begun: false,
            outbox: Outbox::new(),
            given_up: Vec::new(),
        }
    }

    /// Before anything else: tells all that was restored. `others` are alerts that no rule yields.
    pub(super) fn begin(&mut self, now: Now, groups: &BTreeMap<GroupKey, Live>, others: Told) {
        if self.begun {
            self.tell_others(now, others);
            return self.step(now, event::Event::Tick);
        }
        self.begun = true;
        self.tell_all(now, groups);
        self.tell_others(now, others);
        self.step(now, event::Event::Restored);
    }

    /// A group's slot is recorded.
    pub(super) fn evaluated(&mut self, now: Now, live: &Live, position: Position) {
        self.outbox.follows(position);
        self.tell(now, live);
        self.step(now, event::Event::Alive);
    }

    /// Other rules, and other receivers.
    pub(super) fn planned(
        &mut self,
        now: Now,
        plan: NotifyPlan,
        groups: &BTreeMap<GroupKey, Live>,
        before: Vec<RuleRef>,
    ) {
        self.external_url.clone_from(&plan.external_url);
        let mut wanted = Vec::new();
        self.notifier.set_plan(now, plan, &mut wanted);
        self.take(wanted);
        self.tell_all(now, groups);
        let kept: BTreeSet<RuleRef> =
            groups.values().flat_map(|live| &live.alerting).map(|(_, rule)| rule.clone()).collect();
        for rule in before.into_iter().filter(|rule| !kept.contains(rule)) {
            self.step(now, event::Event::RuleGone { rule });
        }
    }

    /// A page of this collector.
    pub(super) fn external_url(&self) -> &str {
        &self.external_url
    }

    pub(super) fn delivered(&mut self, now: Now, ticket: Ticket, outcome: Outcome) {
        self.step(now, event::Event::Delivered { ticket, outcome });
    }

    pub(super) fn next_wakeup(&self) -> Option<Timestamp> {
        self.notifier.next_wakeup()
    }

    /// The entry of notices is answered.
    pub(super) fn recorded(
        &mut self,
        now: Now,
        position: Option<Position>,
        effects: &mut Vec<Effect>,
    ) {
        for (delivery, after) in self.outbox.recorded(now.mono, position) {
            effects.push(Effect::Send { delivery, after });
        }
    }

    /// Has what is wanted done as far as it may be. True if an entry goes.
    pub(super) fn flush(&mut self, now: Now, effects: &mut Vec<Effect>) -> bool {
        effects.extend(self.given_up.drain(..).map(Effect::GaveUp));
        let flushed = self.outbox.flush(now.mono, Record::put, entry::put_notices);
        for (delivery, after) in flushed.after {
            effects.push(Effect::Send { delivery, after });
        }
        let goes = flushed.entry.is_some();
        effects.extend(flushed.entry.map(Effect::Record));
        goes
    }

    pub(super) fn figures(&self) -> Figures {
        self.notifier.figures()
    }

    /// All that is known; `others` are alerts that no rule yields.
    pub(super) fn report<'a>(
        &self,
        now: Timestamp,
        groups: impl Iterator<Item = &'a Live>,
        others: Told,
    ) -> AlertsReport {
        let rows = groups.flat_map(|live| {
            let rows = live.alerting.iter();
            rows.map(move |(place, reference)| Arc::new(row(live, *place, reference.clone())))
        });
        let others = others.into_iter().map(|(rule, alerts)| Arc::new(other_row(rule, alerts)));
        let rows = rows.chain(others);
        AlertsReport { at: now, rules: rows.collect(), notify: self.notifier.report(now) }
    }

    fn tell_others(&mut self, now: Now, others: Told) {
        for (rule, alerts) in others {
            if !alerts.is_empty() || self.notifier.knows(&rule) {
                let (interval, slot) = (TOLD_EVERY, now.wall);
                self.step(now, event::Event::Rule { rule, interval, slot, alerts });
            }
        }
    }

    fn tell_all(&mut self, now: Now, groups: &BTreeMap<GroupKey, Live>) {
        groups.values().for_each(|live| self.tell(now, live));
    }

    /// All alerts of a group's rules. A rule that has failed, or whose slot has no entry, has kept
    /// its states: what fires of it goes on, and existing Alertmanagers hear of it. A rule that has
    /// none and had none has nothing to tell.
    pub(super) fn tell(&mut self, now: Now, live: &Live) {
        for (place, reference) in &live.alerting {
            let Some((rule, state)) = live.rule(*place) else { continue };
            let Some(slot) = state.evaluated_at.max(live.tried) else { continue };
            let told = || state.alerts.iter().filter(|(_, a)| a.state != AlertState::Pending);
            if told().next().is_none() && !self.notifier.knows(reference) {
                continue;
            }
            let generator_url = generator_url(&self.external_url, rule);
            let alerts = told().filter_map(|(labels, alert)| {
                Some(AlertNow {
                    labels: labels.clone(),
                    annotations: alert.annotations.clone(),
                    value: alert.value,
                    starts_at: alert.fired_at?,
                    ends_at: alert.resolved_at,
                    generator_url: generator_url.clone(),
                })
            });
            let (alerts, interval) = (alerts.collect(), live.slots.interval());
            let rule = reference.clone();
            self.step(now, event::Event::Rule { rule, interval, slot, alerts });
        }
    }

    fn step(&mut self, now: Now, event: event::Event) {
        let mut wanted = Vec::new();
        self.notifier.step(now, event, &mut wanted);
        self.take(wanted);
    }

    fn take(&mut self, wanted: Vec<event::Effect>) {
        for effect in wanted {
            match effect {
                event::Effect::Record(record) => self.outbox.record(record),
                event::Effect::Send(delivery) => self.outbox.after(delivery),
                event::Effect::GaveUp(given_up) => self.given_up.push(given_up),
            }
        }
    }
}

impl Live {
    fn rule(&self, at: usize) -> Option<(&Rule, &RuleState)> {
        Some((self.planned.rules.rules.get(at)?, self.state.rules.get(at)?))
    }
}

/// The group's alerting rules, with their places; `numbers` has the number of each rule.
pub(super) fn alerting(planned: &PlannedGroup, numbers: &[usize]) -> Vec<(usize, RuleRef)> {
    let rules = planned.rules.rules.iter().zip(numbers).enumerate();
    let reference = |(place, (rule, number)): (usize, (&Rule, &usize))| {
        let GroupKey { file, name } = planned.key.clone();
        let alert = rule.alert()?.name.as_str().into();
        Some((place, RuleRef { file, group: name, alert, number: *number }))
    };
    rules.filter_map(reference).collect()
}

/// The page that shows an expression, as Prometheus names it.
fn generator_url(external_url: &str, rule: &Rule) -> String {
    let expr: String = form_urlencoded::byte_serialize(rule.query.as_bytes()).collect();
    format!("{external_url}/graph?g0.expr={expr}&g0.tab=1")
}

fn row(live: &Live, place: usize, reference: RuleRef) -> RuleRow {
    let (rule, state) = live.rule(place).unzip();
    let alert = rule.and_then(Rule::alert);
    let alerts = state.into_iter().flat_map(|state| state.alerts.iter());
    RuleRow {
        rule: reference,
        line: rule.map_or(0, |rule| rule.line),
        expr: rule.map(|rule| rule.query.clone()).unwrap_or_default(),
        interval: live.slots.interval(),
        hold: alert.map(|alert| alert.hold).unwrap_or_default(),
        keep_firing_for: alert.map(|alert| alert.keep_firing_for).unwrap_or_default(),
        evaluated_at: state.and_then(|state| state.evaluated_at),
        error: state.and_then(|state| state.error.clone()),
        alerts: alerts.map(|(labels, alert)| alert_row(labels, alert)).collect(),
    }
}

fn other_row(rule: RuleRef, alerts: Vec<AlertNow>) -> RuleRow {
    let alerts = alerts.into_iter().map(|alert| AlertRow {
        labels: alert.labels,
        annotations: alert.annotations,
        state: if alert.ends_at.is_some() { AlertState::Inactive } else { AlertState::Firing },
        value: alert.value,
        active_at: alert.starts_at,
        fired_at: Some(alert.starts_at),
        resolved_at: alert.ends_at,
    });
    RuleRow {
        rule,
        line: 0,
        expr: String::new(),
        interval: TOLD_EVERY,
        hold: Duration::ZERO,
        keep_firing_for: Duration::ZERO,
        evaluated_at: None,
        error: None,
        alerts: alerts.collect(),
    }
}

fn alert_row(labels: &LabelSet, alert: &Alert) -> AlertRow {
    AlertRow {
        labels: labels.clone(),
        annotations: alert.annotations.clone(),
        state: alert.state,
        value: alert.value,
        active_at: alert.active_at,
        fired_at: alert.fired_at,
        resolved_at: alert.resolved_at,
    }
}

#[cfg(test)]
mod tests;
