//! An existing Alertmanager, and what it must make of what is pushed to it.

use std::collections::BTreeMap;

use bellwether_model::label::LabelSet;
use bellwether_model::time::{Timestamp, parse};
use serde_json::Value;

use super::Counts;
use super::model::Owed;

/// What has come.
#[derive(Default)]
pub(super) struct Alertmanager {
    /// Until when an alert fires if nothing more comes of it.
    until: BTreeMap<LabelSet, Timestamp>,
    /// Ends that were told.
    ended: Vec<(LabelSet, Timestamp)>,
}

impl Alertmanager {
    /// A batch has come.
    pub(super) fn take(&mut self, now: Timestamp, body: &[u8]) -> Result<(), String> {
        let alerts: Vec<Value> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        for alert in alerts {
            let read = read(&alert).ok_or_else(|| format!("{alert} is no alert"))?;
            if read.1 <= now {
                self.ended.push(read.clone());
            }
            self.until.insert(read.0, read.1);
        }
        Ok(())
    }

    /// At the end: what fires it takes for firing, and it was told no end of what fired.
    pub(super) fn finish(
        &self,
        now: Timestamp,
        owed: &Owed,
        counts: &mut Counts,
    ) -> Result<(), String> {
        /// From the beginning of an alert until it must have come.
        const SOON: i64 = 5000;
        for (labels, end) in &self.ended {
            if owed.fires(labels, *end) {
                return Err(format!("Alertmanager was told that {labels} has ended at {end}"));
            }
        }
        for (labels, since) in owed.firing().filter(|(_, since)| now.millis_since(*since) > SOON) {
            let until = self.until.get(labels);
            if until.is_none_or(|until| *until <= now) {
                return Err(format!(
                    "Alertmanager takes {labels} of {since} for resolved: {until:?}"
                ));
            }
            *counts.entry("firing at Alertmanager").or_default() += 1;
        }
        *counts.entry("ends at Alertmanager").or_default() += self.ended.len() as u64;
        Ok(())
    }
}

fn read(alert: &Value) -> Option<(LabelSet, Timestamp)> {
    let labels = alert["labels"].as_object()?.iter();
    let labels = labels.map(|(name, value)| Some((name.as_str(), value.as_str()?)));
    let labels = LabelSet::new(labels.collect::<Option<Vec<_>>>()?).ok()?;
    Some((labels, parse(alert["endsAt"].as_str()?).ok()?))
}
