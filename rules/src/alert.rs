//! The states of the alerts of one rule.
//!
//! The state machine is Prometheus' (`rules/alerting.go`): an alert is pending until its condition
//! has held for `for`, then fires; it fires on for `keep_firing_for` after the condition has ended;
//! a resolved alert is remembered for fifteen minutes. One thing differs: where a limit is exceeded
//! the states stay as they are (DESIGN §7.6), while Prometheus forgets all alerts of the rule.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bellwether_model::label::LabelSet;
use bellwether_model::time::Timestamp;

use crate::file::AlertRule;

/// How long a resolved alert is remembered.
pub const RESOLVED_RETENTION: Duration = Duration::from_secs(15 * 60);

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertState {
    /// It fired, and is resolved.
    Inactive,
    /// Its condition holds, not yet long enough.
    Pending,
    /// People are to be told.
    Firing,
}

impl AlertState {
    /// The word of Prometheus' `alertstate` label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AlertState::Inactive => "inactive",
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
        }
    }
}

impl fmt::Display for AlertState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One alert of a rule, known by its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Texts for people, as of the last time the condition held.
    pub annotations: BTreeMap<String, String>,
    /// The expression's value, as of the last time the condition held.
    pub value: f64,
    /// Where it stands.
    pub state: AlertState,
    /// Since when the condition holds.
    pub active_at: Timestamp,
    /// Since when it fires.
    pub fired_at: Option<Timestamp>,
    /// Since when it fires on though its condition has ended.
    pub keep_firing_since: Option<Timestamp>,
    /// When it was resolved.
    pub resolved_at: Option<Timestamp>,
}

/// What a rule's expression yields for one alert at one slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Texts for people.
    pub annotations: BTreeMap<String, String>,
    /// The expression's value.
    pub value: f64,
}

/// Why an alert's state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The condition holds and did not before.
    ConditionBegan,
    /// It has held for as long as `for` says.
    HeldLongEnough,
    /// It ended before that.
    ConditionEndedEarly,
    /// It ended.
    ConditionEnded,
    /// It ended, and `keep_firing_for` is over.
    KeptLongEnough,
    /// `for` became longer than the condition has held.
    HoldRaised,
}

/// A change of an alert's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// Which alert.
    pub labels: LabelSet,
    /// Before; `None` if it was not known.
    pub from: Option<AlertState>,
    /// After; `None` if it is forgotten.
    pub to: Option<AlertState>,
    /// The slot.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
}

/// More alerts than the rule's group allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("exceeded limit of {limit} with {alerts} alerts")]
pub struct TooMany {
    /// What the group allows.
    pub limit: usize,
    /// What there would be, pending and firing.
    pub alerts: usize,
}

/// All alerts of one rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alerts(BTreeMap<LabelSet, Alert>);

impl Alerts {
    /// Takes what the expression yields at a slot; slots rise. `limit` 0 is none.
    ///
    /// # Errors
    /// More alerts than the limit; then nothing has changed.
    pub fn step(
        &mut self,
        rule: &AlertRule,
        slot: Timestamp,
        conditions: BTreeMap<LabelSet, Condition>,
        limit: usize,
    ) -> Result<Vec<Transition>, TooMany> {
        if limit > 0 {
            let kept = self.0.iter().filter(|(labels, alert)| {
                !conditions.contains_key(labels) && alert.keeps_firing(rule, slot)
            });
            let alerts = conditions.len() + kept.count();
            if alerts > limit {
                return Err(TooMany { limit, alerts });
            }
        }
        let mut transitions = Vec::new();
        self.0.retain(|labels, alert| {
            if conditions.contains_key(labels) {
                return true;
            }
            let from = alert.state;
            let (stays, reason) = alert.without_condition(rule, slot);
            if let Some(reason) = reason {
                let to = stays.then_some(alert.state);
                let from = Some(from);
                transitions.push(Transition { labels: labels.clone(), from, to, at: slot, reason });
            }
            stays
        });
        for (labels, condition) in conditions {
            self.hold(rule, slot, labels, condition, &mut transitions);
        }
        Ok(transitions)
    }

    fn hold(
        &mut self,
        rule: &AlertRule,
        slot: Timestamp,
        labels: LabelSet,
        condition: Condition,
        transitions: &mut Vec<Transition>,
    ) {
        let known = self.0.get(&labels).filter(|alert| alert.state != AlertState::Inactive);
        let mut alert = match known {
            Some(known) => Alert { keep_firing_since: None, ..known.clone() },
            None => Alert::new(slot),
        };
        alert.annotations = condition.annotations;
        alert.value = condition.value;
        let change = |from, to, reason| {
            let labels = labels.clone();
            Transition { labels, from, to: Some(to), at: slot, reason }
        };
        if known.is_none() {
            let from = self.0.get(&labels).map(|alert| alert.state);
            transitions.push(change(from, AlertState::Pending, Reason::ConditionBegan));
        }
        let held = slot.millis_since(alert.active_at) >= millis(rule.hold);
        match alert.state {
            AlertState::Pending if held => {
                alert.state = AlertState::Firing;
                alert.fired_at = Some(slot);
                let from = Some(AlertState::Pending);
                transitions.push(change(from, AlertState::Firing, Reason::HeldLongEnough));
            }
            AlertState::Firing if !held => {
                alert.state = AlertState::Pending;
                alert.fired_at = None;
                let from = Some(AlertState::Firing);
                transitions.push(change(from, AlertState::Pending, Reason::HoldRaised));
            }
            _ => {}
        }
        self.0.insert(labels, alert);
    }

    /// All alerts by labels, the resolved ones that are remembered among them.
    pub fn iter(&self) -> impl Iterator<Item = (&LabelSet, &Alert)> {
        self.0.iter()
    }

    /// The alert of these labels.
    #[must_use]
    pub fn get(&self, labels: &LabelSet) -> Option<&Alert> {
        self.0.get(labels)
    }

    /// Those pending or firing.
    pub fn active(&self) -> impl Iterator<Item = (&LabelSet, &Alert)> {
        self.0.iter().filter(|(_, alert)| alert.state != AlertState::Inactive)
    }

    /// The furthest state of any; `Inactive` of none.
    #[must_use]
    pub fn state(&self) -> AlertState {
        self.0.values().map(|alert| alert.state).max().unwrap_or(AlertState::Inactive)
    }
}

impl FromIterator<(LabelSet, Alert)> for Alerts {
    fn from_iter<T: IntoIterator<Item = (LabelSet, Alert)>>(alerts: T) -> Alerts {
        Alerts(alerts.into_iter().collect())
    }
}

impl Alert {
    fn new(slot: Timestamp) -> Alert {
        Alert {
            annotations: BTreeMap::new(),
            value: 0.0,
            state: AlertState::Pending,
            active_at: slot,
            fired_at: None,
            keep_firing_since: None,
            resolved_at: None,
        }
    }

    /// Whether it would fire on though its condition does not hold at this slot.
    fn keeps_firing(&self, rule: &AlertRule, slot: Timestamp) -> bool {
        let since = self.keep_firing_since.unwrap_or(slot);
        self.state == AlertState::Firing && slot.millis_since(since) < millis(rule.keep_firing_for)
    }

    /// Goes on without its condition: whether it is still remembered, and why its state changed.
    fn without_condition(&mut self, rule: &AlertRule, slot: Timestamp) -> (bool, Option<Reason>) {
        match self.state {
            AlertState::Pending => (false, Some(Reason::ConditionEndedEarly)),
            AlertState::Firing if self.keeps_firing(rule, slot) => {
                self.keep_firing_since.get_or_insert(slot);
                // A longer `for` reaches an alert that only keeps firing too.
                if slot.millis_since(self.active_at) < millis(rule.hold) {
                    self.state = AlertState::Pending;
                    self.fired_at = None;
                    self.keep_firing_since = None;
                    return (true, Some(Reason::HoldRaised));
                }
                (true, None)
            }
            AlertState::Firing => {
                let kept = self.keep_firing_since.is_some();
                self.state = AlertState::Inactive;
                self.resolved_at = Some(slot);
                let ended = Reason::ConditionEnded;
                (true, Some(if kept { Reason::KeptLongEnough } else { ended }))
            }
            AlertState::Inactive => {
                let since = self.resolved_at.map_or(0, |at| slot.millis_since(at));
                (since <= millis(RESOLVED_RETENTION), None)
            }
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
