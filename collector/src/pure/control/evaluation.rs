//! One group at one slot, as it is journalled: what it wrote and how its alerts stand.
//!
//! A group's series are columns of one lane, as an agent's are. An *opening* lists all of them and
//! all alerts, and is the first evaluation of a group in each process and after each change of its
//! rules; the others hold what has changed. The bytes are listed in `collector/JOURNAL.md`. Their
//! reader bounds a count by the bytes that are left, and refuses nothing that can be written.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::label::LabelSet;
use bellwether_model::time::Timestamp;
use bellwether_model::wire::bytes::{
    Malformed, Reader, put_labels, put_text, put_varint, put_zigzag,
};
use bellwether_rules::alert::{Alert, AlertState};

/// What a group is known by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// Its file, as it was given.
    pub file: Arc<str>,
    /// Its name, unique in its file.
    pub name: Arc<str>,
}

/// One group at one slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Which group.
    pub group: GroupKey,
    /// Of its evaluations since the opening: 0 is the opening itself.
    pub number: u64,
    /// When.
    pub slot: Timestamp,
    /// The stamp of its samples: the slot less the group's offset.
    pub time: Timestamp,
    /// Of an opening: the identity of each rule, in order. Else empty.
    pub rules: Vec<u64>,
    /// Columns by place that begin, with the number of their rule, or end. Of an opening all.
    pub columns: Vec<(u32, Option<(u32, LabelSet)>)>,
    /// A value for each place; absent ones among them.
    pub values: Vec<f64>,
    /// Alerts that have changed. Of an opening all.
    pub alerts: Vec<AlertChange>,
}

/// How an alert stands after a slot.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertChange {
    /// The number of the rule.
    pub rule: u32,
    /// Which alert.
    pub labels: LabelSet,
    /// Its state; `None` if it is forgotten.
    pub to: Option<Alert>,
    /// Its annotations are those it had: `to` has none.
    pub keeps_annotations: bool,
}

impl GroupKey {
    /// Appends the key's bytes.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_text(out, &self.file);
        put_text(out, &self.name);
    }

    /// Reads a key.
    ///
    /// # Errors
    /// The bytes are no key.
    pub fn take(reader: &mut Reader<'_>) -> Result<GroupKey, Malformed> {
        let file = reader.text(usize::MAX)?.into();
        Ok(GroupKey { file, name: reader.text(usize::MAX)?.into() })
    }
}

impl Evaluation {
    /// Appends the evaluation's bytes.
    pub fn put(&self, out: &mut Vec<u8>) {
        self.group.put(out);
        put_varint(out, self.number);
        put_zigzag(out, self.slot.0);
        put_zigzag(out, self.time.0);
        put_varint(out, self.rules.len() as u64);
        self.rules.iter().for_each(|rule| out.extend_from_slice(&rule.to_le_bytes()));
        put_varint(out, self.columns.len() as u64);
        for (place, column) in &self.columns {
            put_varint(out, u64::from(*place));
            put_column(out, column.as_ref());
        }
        put_varint(out, self.values.len() as u64);
        self.values.iter().for_each(|value| out.extend_from_slice(&value.to_bits().to_le_bytes()));
        put_varint(out, self.alerts.len() as u64);
        for change in &self.alerts {
            put_varint(out, u64::from(change.rule));
            put_labels(out, &change.labels);
            match &change.to {
                None => out.push(0),
                Some(alert) => {
                    out.push(1 + u8::from(change.keeps_annotations));
                    put_alert(out, alert, !change.keeps_annotations);
                }
            }
        }
    }

    /// Reads an evaluation.
    ///
    /// # Errors
    /// The bytes are no evaluation.
    pub fn take(reader: &mut Reader<'_>) -> Result<Evaluation, Malformed> {
        let group = GroupKey::take(reader)?;
        let number = reader.varint()?;
        let (slot, time) = (Timestamp(reader.zigzag()?), Timestamp(reader.zigzag()?));
        let count = reader.count(usize::MAX)?;
        let rules = (0..count).map(|_| reader.u64()).collect::<Result<_, _>>()?;
        let count = reader.count(usize::MAX)?;
        let mut columns = Vec::new();
        for _ in 0..count {
            let place = reader.small()?;
            columns.push((place, take_column(reader)?));
        }
        let count = reader.count(usize::MAX)?;
        let values =
            (0..count).map(|_| reader.u64().map(f64::from_bits)).collect::<Result<_, _>>()?;
        let count = reader.count(usize::MAX)?;
        let mut alerts = Vec::new();
        for _ in 0..count {
            let (rule, labels) = (reader.small()?, reader.labels()?);
            let kind = reader.byte()?;
            let (to, keeps_annotations) = match kind {
                0 => (None, false),
                1 | 2 => (Some(take_alert(reader, kind == 1)?), kind == 2),
                _ => return Err(reader.malformed("no such change of an alert")),
            };
            alerts.push(AlertChange { rule, labels, to, keeps_annotations });
        }
        Ok(Evaluation { group, number, slot, time, rules, columns, values, alerts })
    }
}

pub(super) fn put_column(out: &mut Vec<u8>, column: Option<&(u32, LabelSet)>) {
    match column {
        None => put_varint(out, 0),
        Some((rule, labels)) => {
            put_varint(out, u64::from(*rule) + 1);
            put_labels(out, labels);
        }
    }
}

pub(super) fn take_column(reader: &mut Reader<'_>) -> Result<Option<(u32, LabelSet)>, Malformed> {
    match reader.varint()? {
        0 => Ok(None),
        rule => {
            let rule = u32::try_from(rule - 1);
            let rule = rule.map_err(|_| reader.malformed("number over 32 bits"))?;
            Ok(Some((rule, reader.labels()?)))
        }
    }
}

pub(super) fn put_alert(out: &mut Vec<u8>, alert: &Alert, with_annotations: bool) {
    out.push(alert.state as u8);
    out.extend_from_slice(&alert.value.to_bits().to_le_bytes());
    put_zigzag(out, alert.active_at.0);
    for at in [alert.fired_at, alert.keep_firing_since, alert.resolved_at] {
        out.push(u8::from(at.is_some()));
        at.into_iter().for_each(|at| put_zigzag(out, at.0));
    }
    if with_annotations {
        put_varint(out, alert.annotations.len() as u64);
        for text in alert.annotations.iter().flat_map(|(name, text)| [name, text]) {
            put_text(out, text);
        }
    }
}

pub(super) fn take_alert(
    reader: &mut Reader<'_>,
    with_annotations: bool,
) -> Result<Alert, Malformed> {
    let states = [AlertState::Inactive, AlertState::Pending, AlertState::Firing];
    let state = states.get(usize::from(reader.byte()?)).copied();
    let state = state.ok_or(reader.malformed("no such state of an alert"))?;
    let value = f64::from_bits(reader.u64()?);
    let active_at = Timestamp(reader.zigzag()?);
    let mut times = [None; 3];
    for time in &mut times {
        if reader.byte()? != 0 {
            *time = Some(Timestamp(reader.zigzag()?));
        }
    }
    let [fired_at, keep_firing_since, resolved_at] = times;
    let mut annotations = BTreeMap::new();
    if with_annotations {
        for _ in 0..reader.count(usize::MAX)? {
            let name = reader.text(usize::MAX)?.to_owned();
            annotations.insert(name, reader.text(usize::MAX)?.to_owned());
        }
    }
    Ok(Alert { annotations, value, state, active_at, fired_at, keep_firing_since, resolved_at })
}
