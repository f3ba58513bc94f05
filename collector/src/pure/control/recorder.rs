//! From what a group has yielded to what is journalled of it: series become columns with places,
//! alerts become changes.

use std::collections::BTreeMap;

use bellwether_model::label::LabelSet;
use bellwether_model::series::{ABSENT, is_absent, is_stale};
use bellwether_model::time::Timestamp;
use bellwether_rules::alert::Alerts;
use bellwether_rules::file::RuleGroup;
use bellwether_rules::group::{GroupState, Outcome, RuleState};

use super::evaluation::{AlertChange, Evaluation, GroupKey};

/// Empty places that are borne before the columns are listed anew.
const EMPTY_MAX: usize = 64;

/// The columns of one group, as the journal knows them.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorder {
    /// Of the next evaluation; 0 is an opening.
    number: u64,
    places: BTreeMap<LabelSet, u32>,
    /// By place.
    columns: Vec<Option<(u32, LabelSet)>>,
    free: Vec<u32>,
}

impl Recorder {
    /// The journal does not have the last evaluation: the next is an opening.
    pub(super) fn reset(&mut self) {
        *self = Recorder::default();
    }

    /// What is to be journalled of a slot, and how many samples are left out because an earlier
    /// rule of the group has written the same series. `before` is the state before the slot.
    pub(super) fn record(
        &mut self,
        key: &GroupKey,
        group: &RuleGroup,
        (before, after): (&GroupState, &GroupState),
        (slot, outcome): (Timestamp, &Outcome),
    ) -> (Evaluation, u64) {
        if self.columns.len() > 2 * self.places.len() + EMPTY_MAX {
            self.reset();
        }
        let is_opening = self.number == 0;
        let mut evaluation = Evaluation {
            group: key.clone(),
            number: self.number,
            slot,
            time: slot.saturating_sub(group.query_offset.unwrap_or_default()),
            rules: Vec::new(),
            columns: Vec::new(),
            values: vec![ABSENT; self.columns.len()],
            alerts: Vec::new(),
        };
        if is_opening {
            evaluation.rules = group.rules.iter().map(|rule| rule.identity()).collect();
            // A rule that has failed keeps its series.
            for (rule, state) in after.rules.iter().zip(0_u32..).map(|(state, at)| (at, state)) {
                state.written.iter().for_each(|labels| {
                    self.place(&mut evaluation, rule, labels);
                });
            }
        }
        let doubles = self.samples(&mut evaluation, outcome);
        for (rule, state) in (0_u32..).zip(&after.rules) {
            let known = before.rules.get(rule as usize).filter(|_| !is_opening);
            changes(rule, known, state, &mut evaluation.alerts);
        }
        self.number += 1;
        (evaluation, doubles)
    }

    fn samples(&mut self, evaluation: &mut Evaluation, outcome: &Outcome) -> u64 {
        let mut doubles = 0;
        for sample in outcome.samples.iter().filter(|sample| !is_stale(sample.value)) {
            let rule = u32::try_from(sample.rule).unwrap_or(u32::MAX);
            let known = self.places.get(&sample.labels);
            let written = known.and_then(|place| evaluation.values.get(*place as usize));
            if written.is_some_and(|value| !is_absent(*value)) {
                doubles += 1;
                continue;
            }
            let at = self.place(evaluation, rule, &sample.labels);
            evaluation.values.get_mut(at).into_iter().for_each(|value| *value = sample.value);
        }
        for sample in outcome.samples.iter().filter(|sample| is_stale(sample.value)) {
            let Some(place) = self.places.get(&sample.labels).copied() else { continue };
            // Another rule writes it now.
            let is_written =
                evaluation.values.get(place as usize).is_some_and(|value| !is_absent(*value));
            if !is_written {
                self.places.remove(&sample.labels);
                self.columns.get_mut(place as usize).into_iter().for_each(|c| *c = None);
                self.free.push(place);
                evaluation.columns.push((place, None));
            }
        }
        doubles
    }

    /// The place of a series, made if new.
    fn place(&mut self, evaluation: &mut Evaluation, rule: u32, labels: &LabelSet) -> usize {
        let known = self.places.get(labels).copied();
        let place = known.or_else(|| self.free.pop()).unwrap_or_else(|| {
            self.columns.push(None);
            evaluation.values.push(ABSENT);
            u32::try_from(self.columns.len() - 1).unwrap_or(u32::MAX)
        });
        let column = self.columns.get_mut(place as usize);
        if let Some(column) = column.filter(|c| c.as_ref().is_none_or(|(owner, _)| *owner != rule))
        {
            *column = Some((rule, labels.clone()));
            evaluation.columns.push((place, Some((rule, labels.clone()))));
            self.places.insert(labels.clone(), place);
        }
        place as usize
    }
}

/// How a rule's alerts differ from before; all of them without a before.
fn changes(rule: u32, before: Option<&RuleState>, after: &RuleState, out: &mut Vec<AlertChange>) {
    let none = Alerts::default();
    let before = before.map_or(&none, |state| &state.alerts);
    for (labels, alert) in after.alerts.iter() {
        let known = before.get(labels);
        if known == Some(alert) {
            continue;
        }
        let keeps_annotations = known.is_some_and(|k| k.annotations == alert.annotations);
        let mut to = alert.clone();
        if keeps_annotations {
            to.annotations.clear();
        }
        out.push(AlertChange { rule, labels: labels.clone(), to: Some(to), keeps_annotations });
    }
    for (labels, _) in before.iter().filter(|(labels, _)| after.alerts.get(labels).is_none()) {
        let labels = labels.clone();
        out.push(AlertChange { rule, labels, to: None, keeps_annotations: false });
    }
}
