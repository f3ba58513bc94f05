//! One rule group at one slot.
//!
//! Rules are evaluated in order; a rule sees what those before it have written at this slot,
//! through an [`Overlay`]. The outcome holds everything that becomes durable: samples, stale
//! markers for series that were written before and are not now, and transitions of alerts. A rule
//! that fails keeps its state, writes nothing and ends nothing (DESIGN §7.6); the others go on.

mod overlay;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bellwether_model::label::{LabelError, LabelSet, METRIC_NAME};
use bellwether_model::limit::LABELS;
use bellwether_model::matcher::matches_all;
use bellwether_model::select::Select;
use bellwether_model::series::STALE;
use bellwether_model::time::Timestamp;
use bellwether_promql::annotation::Annotations;
use bellwether_promql::evaluate::{
    Budget, Options, Remembered, Steps, Value, evaluate, evaluate_remembering,
};
use bellwether_promql::parse::parse;
use bellwether_promql::pool::Pool;

use crate::alert::{Alerts, Condition, Transition};
use crate::file::{AlertRule, Rule, RuleGroup, RuleKind};
use crate::template::{Data, Site};
pub use overlay::Overlay;

/// The series of active alerts.
pub const ALERTS: &str = "ALERTS";
/// The series of the times since which alerts are active.
pub const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";
/// The label of an alert's name.
pub const ALERT_NAME: &str = "alertname";
const ALERT_STATE: &str = "alertstate";

/// What a group remembers from slot to slot.
#[derive(Clone, Debug, Default)]
pub struct GroupState {
    /// By rule, in the group's order.
    pub rules: Vec<RuleState>,
}

/// What a rule remembers from slot to slot.
#[derive(Clone, Debug, Default)]
pub struct RuleState {
    /// Of an alert; empty for a recording rule.
    pub alerts: Alerts,
    /// The series written at the last slot that went well.
    pub written: BTreeSet<LabelSet>,
    /// Why the last slot failed.
    pub error: Option<String>,
    /// Warnings and infos of the last slot.
    pub annotations: Annotations,
    /// The last slot; `None` before the first.
    pub evaluated_at: Option<Timestamp>,
}

/// What evaluations take from their server.
#[derive(Clone, Copy, Debug)]
pub struct Means<'a> {
    /// For queries.
    pub options: Options,
    /// For queries.
    pub pool: &'a dyn Pool,
    /// Of each rule.
    pub budget: Budget<'a>,
    /// How this collector is known outside.
    pub site: &'a Site,
}

/// A sample that a rule writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The number of the rule in its group.
    pub rule: usize,
    /// The series.
    pub labels: LabelSet,
    /// The slot less the group's offset.
    pub time: Timestamp,
    /// A value or a stale marker.
    pub value: f64,
}

/// What a group does at a slot.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// In the order of the rules.
    pub samples: Vec<Written>,
    /// With the number of the rule in its group.
    pub transitions: Vec<(usize, Transition)>,
    /// The rules that failed, and why.
    pub failures: Vec<(usize, String)>,
}

impl GroupState {
    /// A group that was never evaluated.
    #[must_use]
    pub fn new(group: &RuleGroup) -> GroupState {
        GroupState { rules: vec![RuleState::default(); group.rules.len()] }
    }

    /// Evaluates the group's rules at a slot; slots rise. The view ends at the slot, and what the
    /// rules write is laid over it.
    ///
    /// # Panics
    /// The state is another group's.
    pub fn evaluate(
        &mut self,
        group: &RuleGroup,
        slot: Timestamp,
        overlay: &mut Overlay<'_>,
        means: Means<'_>,
    ) -> Outcome {
        self.evaluate_told(group, slot, overlay, means, &mut || {})
    }

    /// As [`GroupState::evaluate`]; calls `done` after each rule, so that whoever has a clock can
    /// tell how long it took.
    ///
    /// # Panics
    /// The state is another group's.
    pub fn evaluate_told(
        &mut self,
        group: &RuleGroup,
        slot: Timestamp,
        overlay: &mut Overlay<'_>,
        means: Means<'_>,
        done: &mut dyn FnMut(),
    ) -> Outcome {
        assert_eq!(self.rules.len(), group.rules.len(), "invariant: the state is this group's");
        let mut outcome = Outcome::default();
        let at = slot.saturating_sub(group.query_offset.unwrap_or_default());
        let remembered = Remembered::default();
        for (number, (rule, state)) in group.rules.iter().zip(&mut self.rules).enumerate() {
            let run = Run { rule, limit: group.limit, slot, at, means, remembered: &remembered };
            state.evaluated_at = Some(slot);
            match run.evaluate(state, overlay) {
                Ok((series, transitions)) => {
                    state.error = None;
                    let told = transitions.into_iter().map(|transition| (number, transition));
                    outcome.transitions.extend(told);
                    let gone = end(&mut state.written, &series);
                    for (labels, value) in series.into_iter().chain(gone) {
                        if overlay.add(labels.clone(), at, value) {
                            remembered.forget(|matchers| matches_all(matchers, &labels));
                        }
                        let rule = number;
                        outcome.samples.push(Written { rule, labels, time: at, value });
                    }
                }
                Err(error) => {
                    state.error = Some(error.clone());
                    outcome.failures.push((number, error));
                }
            }
            done();
        }
        outcome
    }
}

/// Stale markers for what was written before and is not now; what is now is remembered.
fn end(written: &mut BTreeSet<LabelSet>, series: &Series) -> Vec<(LabelSet, f64)> {
    // Both are sorted; from slot to slot they are mostly the same.
    if written.iter().eq(series.iter().map(|(labels, _)| labels)) {
        return Vec::new();
    }
    let now: BTreeSet<LabelSet> = series.iter().map(|(labels, _)| labels.clone()).collect();
    let gone = written.difference(&now).map(|labels| (labels.clone(), STALE)).collect();
    *written = now;
    gone
}

type Series = Vec<(LabelSet, f64)>;

/// One rule at one slot.
struct Run<'a> {
    rule: &'a Rule,
    limit: usize,
    slot: Timestamp,
    at: Timestamp,
    means: Means<'a>,
    /// Of the rules before.
    remembered: &'a Remembered,
}

impl Run<'_> {
    fn evaluate(
        &self,
        state: &mut RuleState,
        view: &dyn Select,
    ) -> Result<(Series, Vec<Transition>), String> {
        let Means { options, pool, budget, .. } = self.means;
        let expr = (&self.rule.expr, &self.rule.recurring);
        let answer =
            evaluate_remembering(view, expr, self.at, &options, pool, budget, self.remembered)
                .map_err(|error| error.to_string())?;
        state.annotations = answer.annotations;
        let result = vector(answer.value)?;
        match &self.rule.kind {
            RuleKind::Record(name) => Ok((self.recorded(name, &result)?, Vec::new())),
            RuleKind::Alert(alert) => {
                let conditions = self.conditions(alert, &result, view)?;
                let told = state.alerts.step(alert, self.slot, conditions, self.limit);
                let told = told.map_err(|error| error.to_string())?;
                Ok((self.shown(&state.alerts)?, told))
            }
        }
    }

    /// The samples of a recording rule.
    fn recorded(&self, name: &str, result: &Series) -> Result<Series, String> {
        if self.limit > 0 && result.len() > self.limit {
            return Err(format!("exceeded limit of {} with {} series", self.limit, result.len()));
        }
        let mut series = BTreeMap::new();
        for (labels, value) in result {
            let mut all: BTreeMap<&str, &str> = labels.iter().collect();
            all.extend(self.rule.labels.iter().map(|(n, text)| (n.as_str(), text.as_str())));
            all.insert(METRIC_NAME, name);
            let labels = LabelSet::new(all).map_err(|error| error.to_string())?;
            if series.insert(labels, *value).is_some() {
                return Err(REPEATED.replace("alert", "rule"));
            }
        }
        Ok(series.into_iter().collect())
    }

    /// The alerts whose condition holds.
    fn conditions(
        &self,
        alert: &AlertRule,
        result: &Series,
        view: &dyn Select,
    ) -> Result<BTreeMap<LabelSet, Condition>, String> {
        let name = format!("__alert_{}", alert.name);
        let mut queries = |query: &str| self.query(query, view);
        let mut conditions = BTreeMap::new();
        for (labels, value) in result {
            let (now, site) = (self.slot, self.means.site);
            let data = Data { labels, value: *value, now, site };
            let expanded: Vec<(&str, String)> = self
                .rule
                .labels
                .iter()
                .map(|(label, text)| (label.as_str(), text.expand(&name, data, &mut queries)))
                .collect();
            let mut all: BTreeMap<&str, &str> =
                labels.iter().filter(|(label, _)| *label != METRIC_NAME).collect();
            all.extend(expanded.iter().map(|(label, text)| (*label, text.as_str())));
            all.insert(ALERT_NAME, &alert.name);
            let labels = LabelSet::new(all).map_err(|error| error.to_string())?;
            // Its series have two labels more, and must not fail once its state has changed.
            if labels.len() + 2 > LABELS {
                return Err(LabelError::TooMany.to_string());
            }
            let annotations = alert.annotations.iter();
            let annotations = annotations
                .map(|(label, text)| (label.clone(), text.expand(&name, data, &mut queries)))
                .collect();
            let condition = Condition { annotations, value: *value };
            if conditions.insert(labels, condition).is_some() {
                return Err(REPEATED.to_owned());
            }
        }
        Ok(conditions)
    }

    /// A query inside a template: at the time of evaluation, over what the rule sees.
    fn query(&self, query: &str, view: &dyn Select) -> Result<Series, String> {
        let Means { options, pool, budget, .. } = self.means;
        let expr = parse(query).map_err(|error| error.to_string())?;
        let answer = evaluate(view, &expr, Steps::instant(self.slot), &options, pool, budget);
        vector(answer.map_err(|error| error.to_string())?.value)
    }

    /// `ALERTS` and `ALERTS_FOR_STATE` of the active alerts.
    fn shown(&self, alerts: &Alerts) -> Result<Series, String> {
        let mut series = BTreeMap::new();
        for (labels, alert) in alerts.active() {
            let with = |more: &[(&str, &str)]| {
                let mut all: BTreeMap<&str, &str> = labels.iter().collect();
                all.extend(more.iter().copied());
                LabelSet::new(all).map_err(|error| error.to_string())
            };
            let state = with(&[(METRIC_NAME, ALERTS), (ALERT_STATE, alert.state.as_str())])?;
            series.insert(state, 1.0);
            #[expect(clippy::cast_precision_loss, reason = "seconds of this era lie below 2⁵³")]
            let since = alert.active_at.0.div_euclid(1000) as f64;
            series.insert(with(&[(METRIC_NAME, ALERTS_FOR_STATE)])?, since);
        }
        Ok(series.into_iter().collect())
    }
}

const REPEATED: &str = "vector contains metrics with the same labelset after applying alert labels";

fn vector(value: Value) -> Result<Series, String> {
    match value {
        Value::Vector(series) => Ok(series),
        Value::Scalar(value) => Ok(vec![(LabelSet::default(), value)]),
        Value::Text(_) | Value::Matrix(_) => {
            Err("rule result is not a vector or scalar".to_owned())
        }
    }
}
