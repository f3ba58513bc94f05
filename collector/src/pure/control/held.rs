//! The rules' durable state: what the journal's evaluations add up to. The keeper holds it for
//! checkpoints, and a start begins with it.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_model::label::LabelSet;
use bellwether_model::time::Timestamp;
use bellwether_model::wire::bytes::{Malformed, Reader, put_labels, put_varint, put_zigzag};
use bellwether_rules::alert::{Alert, Alerts};
use bellwether_rules::file::{Rule, RuleGroup};
use bellwether_rules::group::{GroupState, RuleState};

use super::evaluation::{Evaluation, GroupKey, put_alert, put_column, take_alert, take_column};

/// All groups.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeldRules(BTreeMap<GroupKey, HeldGroup>);

/// One group as of its last evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeldGroup {
    number: u64,
    slot: Timestamp,
    /// The identity of each rule.
    rules: Vec<u64>,
    /// By place.
    columns: Vec<Option<(u32, LabelSet)>>,
    alerts: BTreeMap<(u32, LabelSet), Alert>,
}

/// An evaluation builds on one that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an evaluation builds on one that is missing")]
pub struct BaseMissing;

impl HeldRules {
    /// Takes an evaluation.
    ///
    /// # Errors
    /// It is not the next of its group: the group's state is gone.
    pub fn apply(&mut self, evaluation: &Evaluation) -> Result<(), BaseMissing> {
        let key = &evaluation.group;
        let is_opening = evaluation.number == 0;
        let is_next = self.0.get(key).is_some_and(|held| held.number + 1 == evaluation.number);
        if !is_opening && !is_next {
            self.0.remove(key);
            return Err(BaseMissing);
        }
        let held = self.0.entry(key.clone()).or_default();
        if is_opening {
            *held = HeldGroup { rules: evaluation.rules.clone(), ..HeldGroup::default() };
        }
        held.take(evaluation);
        Ok(())
    }

    /// Removes a group.
    pub fn remove(&mut self, key: &GroupKey) {
        self.0.remove(key);
    }

    /// A group.
    #[must_use]
    pub fn get(&self, key: &GroupKey) -> Option<&HeldGroup> {
        self.0.get(key)
    }

    /// All groups' names.
    pub fn keys(&self) -> impl Iterator<Item = &GroupKey> {
        self.0.keys()
    }

    /// Appends each group's record to `out`, and hands it to `put`.
    pub fn put(&self, put: &mut dyn FnMut(&[u8])) {
        let mut out = Vec::new();
        for (key, held) in &self.0 {
            out.clear();
            key.put(&mut out);
            held.put(&mut out);
            put(&out);
        }
    }

    /// Takes a group's record.
    ///
    /// # Errors
    /// The bytes are no such record.
    pub fn take(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let key = GroupKey::take(reader)?;
        self.0.insert(key, HeldGroup::taken(reader)?);
        Ok(())
    }
}

impl HeldGroup {
    fn take(&mut self, evaluation: &Evaluation) {
        (self.number, self.slot) = (evaluation.number, evaluation.slot);
        for (place, column) in &evaluation.columns {
            let place = *place as usize;
            // What is written names places that its values reach, or that were there.
            if place >= self.columns.len() {
                let wanted = (place + 1).min(evaluation.values.len().max(self.columns.len()));
                self.columns.resize(wanted, None);
            }
            if let Some(at) = self.columns.get_mut(place) {
                at.clone_from(column);
            }
        }
        for change in &evaluation.alerts {
            let key = (change.rule, change.labels.clone());
            let Some(to) = &change.to else {
                self.alerts.remove(&key);
                continue;
            };
            let mut alert = to.clone();
            if let Some(known) = self.alerts.get_mut(&key).filter(|_| change.keeps_annotations) {
                alert.annotations = std::mem::take(&mut known.annotations);
            }
            self.alerts.insert(key, alert);
        }
    }

    /// The last slot.
    #[must_use]
    pub fn slot(&self) -> Timestamp {
        self.slot
    }

    /// The group's state for the rules it has now: each takes what the rule of the same identity
    /// had, the first the first. An identity that is gone leaves nothing.
    #[must_use]
    pub fn state(&self, group: &RuleGroup) -> GroupState {
        let mut written: BTreeMap<u32, BTreeSet<LabelSet>> = BTreeMap::new();
        for (rule, labels) in self.columns.iter().flatten() {
            written.entry(*rule).or_default().insert(labels.clone());
        }
        let mut alerts: BTreeMap<u32, Vec<(LabelSet, Alert)>> = BTreeMap::new();
        for ((rule, labels), alert) in &self.alerts {
            alerts.entry(*rule).or_default().push((labels.clone(), alert.clone()));
        }
        let states = self.rules.iter().zip(0_u32..).map(|(identity, rule)| {
            let state = RuleState {
                alerts: alerts.remove(&rule).into_iter().flatten().collect::<Alerts>(),
                written: written.remove(&rule).unwrap_or_default(),
                evaluated_at: Some(self.slot),
                ..RuleState::default()
            };
            (*identity, state)
        });
        let states = aligned(group, states.collect()).into_iter();
        GroupState { rules: states.map(Option::unwrap_or_default).collect() }
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.number);
        put_zigzag(out, self.slot.0);
        put_varint(out, self.rules.len() as u64);
        self.rules.iter().for_each(|rule| out.extend_from_slice(&rule.to_le_bytes()));
        put_varint(out, self.columns.len() as u64);
        self.columns.iter().for_each(|column| put_column(out, column.as_ref()));
        put_varint(out, self.alerts.len() as u64);
        for ((rule, labels), alert) in &self.alerts {
            put_varint(out, u64::from(*rule));
            put_labels(out, labels);
            put_alert(out, alert, true);
        }
    }

    fn taken(reader: &mut Reader<'_>) -> Result<HeldGroup, Malformed> {
        let (number, slot) = (reader.varint()?, Timestamp(reader.zigzag()?));
        let count = reader.count(usize::MAX)?;
        let rules = (0..count).map(|_| reader.u64()).collect::<Result<_, _>>()?;
        let count = reader.count(usize::MAX)?;
        let columns = (0..count).map(|_| take_column(reader)).collect::<Result<_, _>>()?;
        let count = reader.count(usize::MAX)?;
        let mut alerts = BTreeMap::new();
        for _ in 0..count {
            let key = (reader.small()?, reader.labels()?);
            alerts.insert(key, take_alert(reader, true)?);
        }
        Ok(HeldGroup { number, slot, rules, columns, alerts })
    }
}

/// What each of a group's rules takes from the rules before, by identity.
pub(super) fn aligned<T>(group: &RuleGroup, before: Vec<(u64, T)>) -> Vec<Option<T>> {
    let mut known: BTreeMap<u64, Vec<T>> = BTreeMap::new();
    for (identity, state) in before.into_iter().rev() {
        known.entry(identity).or_default().push(state);
    }
    let of = |rule: &Rule| known.get_mut(&rule.identity())?.pop();
    group.rules.iter().map(of).collect()
}
