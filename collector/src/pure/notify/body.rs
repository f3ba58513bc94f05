//! The bodies that are sent: Alertmanager's webhook, version "4", and its API's list of alerts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bellwether_model::hash::fnv1a;
use bellwether_model::label::LabelSet;
use bellwether_model::limit::LABELS;
use bellwether_model::time::{NEVER, Timestamp, date_millis};

use super::fingerprint::group_key;
use super::plan::ReceiverPlan;
use super::record::bytes::{ANNOTATION_BYTES, ANNOTATIONS};
use super::record::{Detail, ToldAlert};

/// Bytes of a webhook's body that alerts are added up to; the first is always in it.
pub const BODY_BYTES: usize = 256 << 10;
/// Bytes of any webhook's body. One that would be longer has brief texts: labels alone may have
/// half a megabyte, stand in a body four times, and be six times as long in JSON.
pub(super) const BODY_BYTES_MAX: usize = 4 << 20;
/// Bytes of each text of such a body.
const BRIEF_BYTES: usize = 512;
/// Bytes of the mark of a text that was cut: three dots as one character, and a hash.
const MARK_BYTES: usize = 3 + 16;

/// A body with brief texts keeps the bound: alerts, or one; two more sets of labels, all
/// annotations again, and single texts.
const _: () = {
    const ESCAPED: usize = 6;
    let labels = LABELS * 2 * (BRIEF_BYTES + 1);
    let annotations = ANNOTATION_BYTES + 2 * ANNOTATIONS;
    let rest = ESCAPED * (3 * labels + 2 * annotations + 8 * (BRIEF_BYTES + 1));
    assert!(BODY_BYTES + rest <= BODY_BYTES_MAX);
};

/// A webhook's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// Alerts that have found room, from the first.
    pub(super) held: usize,
    /// Its long texts are cut.
    pub(super) is_brief: bool,
}

/// Makes a webhook's body. The alerts come in the order in which they are to find room; of `more`
/// nothing is known that could be told.
pub(super) fn webhook(
    receiver: &ReceiverPlan,
    group: &LabelSet,
    external_url: &str,
    alerts: (&[(u64, &ToldAlert, &Detail)], usize),
) -> Body {
    let whole = written(receiver, group, external_url, alerts, usize::MAX);
    if whole.bytes.len() <= BODY_BYTES_MAX {
        return whole;
    }
    let brief = written(receiver, group, external_url, alerts, BRIEF_BYTES);
    assert!(brief.bytes.len() <= BODY_BYTES_MAX, "invariant: brief texts have room");
    Body { is_brief: true, ..brief }
}

/// A body with texts of at most so many bytes.
fn written(
    receiver: &ReceiverPlan,
    group: &LabelSet,
    external_url: &str,
    (alerts, more): (&[(u64, &ToldAlert, &Detail)], usize),
    longest: usize,
) -> Body {
    let mut list = Vec::new();
    let mut held = 0;
    let most = if receiver.max_alerts == 0 { usize::MAX } else { receiver.max_alerts };
    for (fingerprint, alert, detail) in alerts.iter().take(most) {
        let before = list.len();
        if held > 0 {
            list.push(b',');
        }
        push_alert((&mut list, longest), *fingerprint, alert, detail);
        if held > 0 && list.len() > BODY_BYTES {
            list.truncate(before);
            break;
        }
        held += 1;
    }
    let told = alerts.get(..held).unwrap_or_default();
    let is_firing = told.iter().any(|(_, alert, _)| alert.ends_at.is_none());
    let mut out = Vec::with_capacity(list.len() + 1024);
    let mut fields = Object::open(&mut out, longest);
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
    Body { bytes: out, held, is_brief: false }
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
        let mut fields = Object::open(&mut out, usize::MAX);
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

fn push_alert(
    (out, longest): (&mut Vec<u8>, usize),
    fingerprint: u64,
    alert: &ToldAlert,
    detail: &Detail,
) {
    let mut fields = Object::open(out, longest);
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
    /// Bytes of a text.
    longest: usize,
    is_empty: bool,
}

impl<'a> Object<'a> {
    fn open(out: &'a mut Vec<u8>, longest: usize) -> Object<'a> {
        out.push(b'{');
        Object { out, longest, is_empty: true }
    }

    fn key(&mut self, key: &str) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        push_text(self.out, &brief(key, self.longest));
        self.out.push(b':');
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        push_text(self.out, &brief(text, self.longest));
    }

    fn map<'m>(&mut self, key: &str, pairs: impl Iterator<Item = (&'m str, &'m str)>) {
        self.key(key);
        let mut object = Object::open(self.out, self.longest);
        pairs.for_each(|(name, value)| object.text(name, value));
        object.close();
    }

    fn close(self) {
        self.out.push(b'}');
    }
}

/// A text of at most so many bytes. One that is cut ends with the hash of the whole, so that what
/// differs stays different.
fn brief(text: &str, longest: usize) -> Cow<'_, str> {
    if text.len() <= longest {
        return Cow::Borrowed(text);
    }
    let kept = prefix(text, longest - MARK_BYTES);
    Cow::Owned(format!("{kept}…{:016x}", fnv1a(text.bytes())))
}

/// The characters of a text that have room in so many bytes.
pub(super) fn prefix(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("invariant: memory takes every byte");
}

#[cfg(test)]
mod tests;
