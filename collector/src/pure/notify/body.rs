//! The bodies that are sent: Alertmanager's webhook, version "4", and its API's list of alerts.

use std::collections::BTreeMap;

use bellwether_model::label::LabelSet;
use bellwether_model::time::{NEVER, Timestamp, date_millis};

use super::fingerprint::group_key;
use super::plan::ReceiverPlan;
use super::record::{Detail, ToldAlert};

/// Bytes of a webhook's body that alerts are added up to; the first is always in it.
pub const BODY_BYTES: usize = 256 << 10;
/// A webhook's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// Alerts that have found room, from the first.
    pub(super) held: usize,
}

/// Makes a webhook's body. The alerts come in the order in which they are to find room; of `more`
/// nothing is known that could be told.
pub(super) fn webhook(
    receiver: &ReceiverPlan,
    group: &LabelSet,
    external_url: &str,
    (alerts, more): (&[(u64, &ToldAlert, &Detail)], usize),
) -> Body {
    let mut list = Vec::new();
    let mut held = 0;
    let most = if receiver.max_alerts == 0 { usize::MAX } else { receiver.max_alerts };
    for (fingerprint, alert, detail) in alerts.iter().take(most) {
        let before = list.len();
        if held > 0 {
            list.push(b',');
        }
        push_alert(&mut list, *fingerprint, alert, detail);
        if held > 0 && list.len() > BODY_BYTES {
            list.truncate(before);
            break;
        }
        held += 1;
    }
    let told = alerts.get(..held).unwrap_or_default();
    let is_firing = told.iter().any(|(_, alert, _)| alert.ends_at.is_none());
    let mut out = Vec::with_capacity(list.len() + 1024);
    let mut fields = Object::open(&mut out);
    fields.text("receiver", &receiver.name);
    fields.text("status", if is_firing { "firing" } else { "resolved" });
    fields.key("alerts");
    fields.out.push(b'[');
    fields.out.extend_from_slice(&list);
    fields.out.push(b']');
    fields.map("groupLabels", group.iter());
    fields.map("commonLabels", common(told, |detail| detail.labels.iter()));
    fields.map("commonAnnotations", common(told, annotations));
    fields.text("externalURL", external_url);
    fields.text("version", "4");
    fields.text("groupKey", &group_key(receiver, group));
    fields.key("truncatedAlerts");
    fields.out.extend_from_slice((alerts.len() - held + more).to_string().as_bytes());
    fields.close();
    Body { bytes: out, held }
}

/// Makes the body of `POST /api/v2/alerts`.
pub(super) fn alerts<'a>(
    alerts: impl Iterator<Item = (&'a Detail, Timestamp, Timestamp)>,
) -> Vec<u8> {
    let mut out = vec![b'['];
    for (i, (detail, starts_at, ends_at)) in alerts.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        let mut fields = Object::open(&mut out);
        fields.map("annotations", annotations(detail));
        fields.text("startsAt", &date_millis(starts_at));
        fields.text("endsAt", &date_millis(ends_at));
        fields.text("generatorURL", &detail.generator_url);
        fields.map("labels", detail.labels.iter());
        fields.close();
    }
    out.push(b']');
    out
}

fn push_alert(out: &mut Vec<u8>, fingerprint: u64, alert: &ToldAlert, detail: &Detail) {
    let mut fields = Object::open(out);
    fields.text("status", if alert.ends_at.is_none() { "firing" } else { "resolved" });
    fields.map("labels", detail.labels.iter());
    fields.map("annotations", annotations(detail));
    fields.text("startsAt", &date_millis(alert.starts_at));
    fields.text("endsAt", &alert.ends_at.map_or_else(|| NEVER.to_owned(), date_millis));
    fields.text("generatorURL", &detail.generator_url);
    fields.text("fingerprint", &format!("{fingerprint:016x}"));
    fields.close();
}

fn annotations(detail: &Detail) -> impl Iterator<Item = (&str, &str)> {
    detail.annotations.iter().map(|(name, text)| (name.as_str(), text.as_str()))
}

/// The pairs that all have.
fn common<'a, P: Iterator<Item = (&'a str, &'a str)>>(
    alerts: &[(u64, &'a ToldAlert, &'a Detail)],
    pairs: impl Fn(&'a Detail) -> P,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let mut details = alerts.iter().map(|(_, _, detail)| *detail);
    let mut common: BTreeMap<&str, &str> = details.next().into_iter().flat_map(&pairs).collect();
    for detail in details {
        if common.is_empty() {
            break;
        }
        let other: BTreeMap<&str, &str> = pairs(detail).collect();
        common.retain(|name, value| other.get(name) == Some(value));
    }
    common.into_iter()
}

/// A JSON object being written, its keys in the order of their coming.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    fn open(out: &'a mut Vec<u8>) -> Object<'a> {
        out.push(b'{');
        Object { out, is_empty: true }
    }

    fn key(&mut self, key: &str) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        push_text(self.out, key);
        self.out.push(b':');
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        push_text(self.out, text);
    }

    fn map<'m>(&mut self, key: &str, pairs: impl Iterator<Item = (&'m str, &'m str)>) {
        self.key(key);
        let mut object = Object::open(self.out);
        pairs.for_each(|(name, value)| object.text(name, value));
        object.close();
    }

    fn close(self) {
        self.out.push(b'}');
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("invariant: memory takes every byte");
}

#[cfg(test)]
mod tests;
