//! From evaluations to notifications: what the notifier is told, and what it has journalled before
//! anything is sent.
//!
//! One entry of notices is on its way at a time, so that their order is the journal's also where it
//! has no room for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_model::id::{Position, StoreId};
use bellwether_model::label::LabelSet;
use bellwether_model::time::{Mono, Now, Timestamp};
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
use super::{Effect, FULL_PAUSE, Live, PlannedGroup};

/// Bytes of notices in one entry, but for the last of them.
const ENTRY_BYTES: usize = 1 << 20;

/// The notifier and what it wants done.
pub(super) struct Telling {
    notifier: Notifier,
    external_url: String,
    begun: bool,
    /// In order.
    wanted: Vec<event::Effect>,
    /// The entry on its way, and what may be sent once it has a position.
    noting: Option<(Vec<u8>, Vec<Delivery>)>,
    /// The journal had no room for it: when it goes again.
    again: Option<Mono>,
    /// The newest position of anything recorded.
    latest: Position,
}

impl Telling {
    pub(super) fn new(store: StoreId, plan: NotifyPlan, state: NotifyState) -> Telling {
        Telling {
            external_url: plan.external_url.clone(),
            notifier: Notifier::new(store, plan, state),
            begun: false,
            wanted: Vec::new(),
            noting: None,
            again: None,
            latest: Position(0),
        }
    }

    /// Before anything else: tells all that was restored.
    pub(super) fn begin(&mut self, now: Now, groups: &BTreeMap<GroupKey, Live>) {
        if self.begun {
            return self.step(now, event::Event::Tick);
        }
        self.begun = true;
        self.tell_all(now, groups);
        self.step(now, event::Event::Restored);
    }

    /// A group's slot is recorded.
    pub(super) fn evaluated(&mut self, now: Now, live: &Live, position: Position) {
        self.latest = self.latest.max(position);
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
        self.notifier.set_plan(now, plan, &mut self.wanted);
        self.tell_all(now, groups);
        let kept: BTreeSet<RuleRef> =
            groups.values().flat_map(|live| live.alerting.iter().cloned()).collect();
        for rule in before.into_iter().filter(|rule| !kept.contains(rule)) {
            self.step(now, event::Event::RuleGone { rule });
        }
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
        let Some(position) = position else {
            self.again = Some(now.mono + FULL_PAUSE);
            return;
        };
        self.latest = self.latest.max(position);
        let sent = self.noting.take().into_iter().flat_map(|(_, deliveries)| deliveries);
        effects.extend(sent.map(|delivery| Effect::Send { delivery, after: position }));
    }

    /// Has what is wanted done as far as it may be. True if an entry goes.
    pub(super) fn flush(&mut self, now: Now, effects: &mut Vec<Effect>) -> bool {
        if let Some((entry, _)) = &self.noting {
            let goes = self.again.take_if(|again| *again <= now.mono).is_some();
            if goes {
                effects.push(Effect::Record(entry.clone()));
            }
            return goes;
        }
        let mut records: Vec<Record> = Vec::new();
        let mut deliveries = Vec::new();
        let mut bytes = 0;
        let mut left = Vec::new();
        for wanted in self.wanted.drain(..) {
            if bytes > ENTRY_BYTES || !left.is_empty() {
                left.push(wanted);
                continue;
            }
            match wanted {
                event::Effect::Record(record) => {
                    bytes += weight(&record);
                    records.push(record);
                }
                event::Effect::Send(delivery) if records.is_empty() => {
                    effects.push(Effect::Send { delivery, after: self.latest });
                }
                event::Effect::Send(delivery) => deliveries.push(delivery),
            }
        }
        self.wanted = left;
        if records.is_empty() {
            return false;
        }
        let mut out = Vec::new();
        entry::put_notices(&mut out, &records);
        effects.push(Effect::Record(out.clone()));
        self.noting = Some((out, deliveries));
        true
    }

    pub(super) fn figures(&self) -> Figures {
        self.notifier.figures()
    }

    pub(super) fn report<'a>(
        &self,
        now: Timestamp,
        groups: impl Iterator<Item = &'a Live>,
    ) -> AlertsReport {
        let rows = groups.flat_map(|live| {
            let rows = live.alerting.iter();
            rows.map(move |reference| Arc::new(row(live, reference.clone())))
        });
        AlertsReport { at: now, rules: rows.collect(), notify: self.notifier.report(now) }
    }

    fn tell_all(&mut self, now: Now, groups: &BTreeMap<GroupKey, Live>) {
        groups.values().for_each(|live| self.tell(now, live));
    }

    /// All alerts of a group's rules that were evaluated well at their last slot. A rule that has
    /// none and had none has nothing to tell.
    fn tell(&mut self, now: Now, live: &Live) {
        for reference in &live.alerting {
            let Some((rule, state)) = live.rule(reference.number) else { continue };
            let Some(slot) = state.evaluated_at.filter(|_| state.error.is_none()) else { continue };
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
        self.notifier.step(now, event, &mut self.wanted);
    }
}

impl Live {
    fn rule(&self, at: usize) -> Option<(&Rule, &RuleState)> {
        Some((self.planned.rules.rules.get(at)?, self.state.rules.get(at)?))
    }
}

/// The group's alerting rules.
pub(super) fn alerting(planned: &PlannedGroup) -> Vec<RuleRef> {
    let rules = planned.rules.rules.iter().enumerate();
    let reference = |(number, rule): (usize, &Rule)| {
        let GroupKey { file, name } = planned.key.clone();
        Some(RuleRef { file, group: name, alert: rule.alert()?.name.as_str().into(), number })
    };
    rules.filter_map(reference).collect()
}

/// The bytes of a record, nearly.
fn weight(record: &Record) -> usize {
    match record {
        Record::Intent(intent) => intent.body.len() * 2,
        _ => 512,
    }
}

/// The page that shows an expression, as Prometheus names it.
fn generator_url(external_url: &str, rule: &Rule) -> String {
    let expr: String = form_urlencoded::byte_serialize(rule.query.as_bytes()).collect();
    format!("{external_url}/graph?g0.expr={expr}&g0.tab=1")
}

fn row(live: &Live, reference: RuleRef) -> RuleRow {
    let (rule, state) = live.rule(reference.number).unzip();
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

fn alert_row(labels: &LabelSet, alert: &Alert) -> AlertRow {
    AlertRow {
        labels: labels.clone(),
        annotations: alert.annotations.clone(),
        state: alert.state,
        value: alert.value,
        active_at: alert.active_at,
        fired_at: alert.fired_at,
        keep_firing_since: alert.keep_firing_since,
        resolved_at: alert.resolved_at,
    }
}
