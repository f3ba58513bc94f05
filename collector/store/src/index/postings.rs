//! For each label and value, the series that carry it; and what matchers make of that.
//!
//! As in Prometheus, a missing label has the empty value: a matcher that the empty value meets
//! takes away the series whose value fails it, any other keeps those whose value meets it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bellwether_model::label::LabelSet;
use bellwether_model::matcher::Matcher;
use bellwether_model::series::SeriesRef;
use roaring::{MultiOps, RoaringBitmap};

/// Series by value of one label.
type Values = BTreeMap<Arc<str>, Arc<RoaringBitmap>>;

#[derive(Debug, Default)]
pub(crate) struct Postings {
    all: Arc<RoaringBitmap>,
    labels: BTreeMap<Arc<str>, Arc<Values>>,
}

impl Postings {
    pub(super) fn insert(&mut self, series: SeriesRef, labels: &LabelSet) {
        Arc::make_mut(&mut self.all).insert(series.0);
        for (name, value) in labels.iter() {
            if !self.labels.contains_key(name) {
                self.labels.insert(name.into(), Arc::default());
            }
            let values = self.labels.get_mut(name).expect("invariant: inserted above");
            let values = Arc::make_mut(values);
            if let Some(bitmap) = values.get_mut(value) {
                Arc::make_mut(bitmap).insert(series.0);
            } else {
                values.insert(value.into(), Arc::new(RoaringBitmap::from_iter([series.0])));
            }
        }
    }

    pub(super) fn remove(&mut self, series: SeriesRef, labels: &LabelSet) {
        Arc::make_mut(&mut self.all).remove(series.0);
        for (name, value) in labels.iter() {
            let Some(values) = self.labels.get_mut(name) else { continue };
            let values = Arc::make_mut(values);
            if let Some(bitmap) = values.get_mut(value) {
                Arc::make_mut(bitmap).remove(series.0);
                if bitmap.is_empty() {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                self.labels.remove(name);
            }
        }
    }

    /// What a question needs, as pointers: the answer is then worked out without the lock.
    pub(crate) fn question(&self, matchers: &[Matcher]) -> Question {
        let values = matchers.iter().map(|m| self.labels.get(m.name()).cloned());
        Question { all: Arc::clone(&self.all), values: values.collect() }
    }
}

/// The postings that some matchers concern.
#[derive(Debug)]
pub(crate) struct Question {
    all: Arc<RoaringBitmap>,
    values: Vec<Option<Arc<Values>>>,
}

impl Question {
    /// The series that meet every matcher, by number. `matchers` are those the question was made
    /// for.
    pub(crate) fn answer(&self, matchers: &[Matcher]) -> RoaringBitmap {
        let mut kept: Option<RoaringBitmap> = None;
        let mut taken = Vec::new();
        for (matcher, values) in matchers.iter().zip(&self.values) {
            let empty_meets = matcher.matches_empty();
            let picked = match values {
                Some(values) => pick(matcher, empty_meets, values),
                None => RoaringBitmap::new(),
            };
            if empty_meets {
                taken.push(picked);
            } else if let Some(kept) = &mut kept {
                *kept &= picked;
            } else {
                kept = Some(picked);
            }
        }
        let mut kept = kept.unwrap_or_else(|| RoaringBitmap::clone(&self.all));
        for picked in taken {
            kept -= picked;
        }
        kept
    }
}

/// The series whose value is judged otherwise than the empty value: those that a positive test
/// finds, or with the test turned round, those that it does not.
fn pick(matcher: &Matcher, empty_meets: bool, values: &Values) -> RoaringBitmap {
    let sought = if empty_meets { matcher.inverse() } else { matcher.clone() };
    if let Some(named) = sought.set_of_values() {
        let named = named.iter().filter_map(|v| values.get(v.as_str()));
        return named.map(AsRef::as_ref).union();
    }
    let prefix = sought.prefix();
    let range = values.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
    let range = range.take_while(|(v, _)| v.starts_with(prefix));
    range.filter(|(v, _)| sought.matches(v)).map(|(_, b)| b.as_ref()).union()
}

/// A key in whose byte order label sets stand as [`LabelSet`]s are ordered: texts end with a byte
/// pair below all others. Made where many sets are sorted.
pub(crate) fn order_key(labels: &LabelSet) -> Vec<u8> {
    let mut key = Vec::with_capacity(labels.as_bytes().len());
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        for byte in text.bytes() {
            key.push(byte);
            if byte == 0 {
                key.push(1);
            }
        }
        key.extend_from_slice(&[0, 0]);
    }
    key
}

#[cfg(test)]
mod tests;
