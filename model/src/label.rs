//! Label sets, and symbols: strings kept once.
//!
//! A set is one shared buffer of length-prefixed names and values, sorted by name, without empty
//! values and without repeats: equal sets are equal bytes, a clone copies a pointer.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// Why a set of labels is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// Two labels share a name.
    #[error("label {0:?} is given twice")]
    Repeated(String),
    /// A label without a name.
    #[error("a label name is empty")]
    EmptyName,
    /// A name or value longer than [`crate::limit::LABEL_BYTES`].
    #[error("label {0:?} is longer than {max} bytes", max = crate::limit::LABEL_BYTES)]
    TooLong(String),
    /// More labels than [`crate::limit::LABELS`].
    #[error("more than {max} labels", max = crate::limit::LABELS)]
    TooMany,
}

/// A sorted, unique set of labels. Ordered as Prometheus orders: label by label, name then value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LabelSet(Arc<[u8]>);

impl Default for LabelSet {
    fn default() -> LabelSet {
        LabelSet(Arc::from([]))
    }
}

impl LabelSet {
    /// Builds a set from pairs in any order; pairs with an empty value are left out, as Prometheus
    /// does.
    ///
    /// # Errors
    /// A repeated or empty name, or a bound of [`crate::limit`] exceeded.
    pub fn new<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<LabelSet, LabelError> {
        let mut sorted: Vec<(&str, &str)> = pairs.into_iter().collect();
        sorted.sort_unstable_by_key(|(name, _)| *name);
        let mut bytes = Vec::with_capacity(sorted.iter().map(|(n, v)| n.len() + v.len() + 4).sum());
        let mut previous = None;
        let mut count = 0;
        for (name, value) in sorted {
            if name.is_empty() {
                return Err(LabelError::EmptyName);
            }
            if previous == Some(name) {
                return Err(LabelError::Repeated(name.to_owned()));
            }
            previous = Some(name);
            if value.is_empty() {
                continue;
            }
            count += 1;
            put_text(&mut bytes, name).ok_or_else(|| too_long(name))?;
            put_text(&mut bytes, value).ok_or_else(|| too_long(name))?;
        }
        if count > crate::limit::LABELS {
            return Err(LabelError::TooMany);
        }
        Ok(LabelSet(bytes.into()))
    }

    /// Name and value of each label, sorted by name.
    #[must_use]
    pub fn iter(&self) -> Labels<'_> {
        Labels(&self.0)
    }

    /// The value of a label.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// The metric's name, empty if there is none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// Number of labels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The canonical bytes: two-byte little-endian length and text, name and value in turn.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// This set with the labels of `other` laid over it.
    ///
    /// # Errors
    /// More labels than allowed.
    pub fn overlaid(&self, other: &LabelSet) -> Result<LabelSet, LabelError> {
        let mut merged: BTreeMap<&str, &str> = self.iter().collect();
        merged.extend(other.iter());
        LabelSet::new(merged)
    }

    /// This set without one label.
    #[must_use]
    pub fn without(&self, name: &str) -> LabelSet {
        let mut bytes = Vec::with_capacity(self.0.len());
        for (label, value) in self.iter().filter(|(label, _)| *label != name) {
            put_text(&mut bytes, label);
            put_text(&mut bytes, value);
        }
        LabelSet(bytes.into())
    }
}

fn too_long(name: &str) -> LabelError {
    LabelError::TooLong(name.chars().take(64).collect())
}

fn put_text(bytes: &mut Vec<u8>, text: &str) -> Option<()> {
    let len = u16::try_from(text.len()).ok()?;
    if text.len() > crate::limit::LABEL_BYTES {
        return None;
    }
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    Some(())
}

/// Walks a set's labels in order.
#[derive(Clone, Debug)]
pub struct Labels<'a>(&'a [u8]);

impl<'a> Iterator for Labels<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = take_text(self.0)?;
        let (value, rest) = take_text(rest)?;
        self.0 = rest;
        Some((name, value))
    }
}

fn take_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (text, rest) = take(bytes)?;
    Some((std::str::from_utf8(text).expect("invariant: sets are built from text"), rest))
}

fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))
}

impl PartialOrd for LabelSet {
    fn partial_cmp(&self, other: &LabelSet) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for LabelSet {
    /// Texts in turn as bytes, whose order is that of text.
    fn cmp(&self, other: &LabelSet) -> Ordering {
        let (mut ours, mut theirs) = (&*self.0, &*other.0);
        while let (Some((a, our_rest)), Some((b, their_rest))) = (take(ours), take(theirs)) {
            match a.cmp(b) {
                Ordering::Equal => (ours, theirs) = (our_rest, their_rest),
                order => return order,
            }
        }
        ours.len().cmp(&theirs.len())
    }
}

/// As in PromQL: `name{label="value",…}`.
impl fmt::Display for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        let mut rest = self.iter().filter(|(name, _)| *name != METRIC_NAME).peekable();
        if rest.peek().is_none() && !self.name().is_empty() {
            return Ok(());
        }
        f.write_str("{")?;
        for (i, (name, value)) in rest.enumerate() {
            write!(f, "{}{name}={value:?}", if i == 0 { "" } else { "," })?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A string kept once in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(pub u32);

/// Strings kept once: text to symbol and back. Symbols are numbered as they come.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    by_text: BTreeMap<Arc<str>, Symbol>,
    by_symbol: Vec<Arc<str>>,
}

impl Symbols {
    /// The symbol of a text, made if new.
    ///
    /// # Panics
    /// After 2³² texts; the series limit ends far below.
    pub fn intern(&mut self, text: &str) -> Symbol {
        if let Some(symbol) = self.by_text.get(text) {
            return *symbol;
        }
        let symbol =
            Symbol(u32::try_from(self.by_symbol.len()).expect("invariant: symbols are bounded"));
        let kept: Arc<str> = Arc::from(text);
        self.by_symbol.push(Arc::clone(&kept));
        self.by_text.insert(kept, symbol);
        symbol
    }

    /// The symbol of a text seen before.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<Symbol> {
        self.by_text.get(text).copied()
    }

    /// The text of a symbol of this table.
    #[must_use]
    pub fn text(&self, symbol: Symbol) -> Option<&str> {
        self.by_symbol.get(symbol.0 as usize).map(AsRef::as_ref)
    }

    /// Texts kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_symbol.len()
    }

    /// Whether no text is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_symbol.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_sorted_unique_and_without_empty_values() {
        let set = LabelSet::new([("job", "node"), (METRIC_NAME, "up"), ("empty", "")]).unwrap();
        assert_eq!(set.to_string(), r#"up{job="node"}"#);
        assert_eq!(set.len(), 2);
        assert_eq!(LabelSet::new([("a", "1"), ("a", "2")]), Err(LabelError::Repeated("a".into())));
        assert_eq!(LabelSet::new([("", "1")]), Err(LabelError::EmptyName));
        let long = "x".repeat(crate::limit::LABEL_BYTES + 1);
        assert_eq!(LabelSet::new([("a", long.as_str())]), Err(LabelError::TooLong("a".into())));
        assert_eq!(set.without("job").to_string(), "up");
    }

    #[test]
    fn order_is_by_label_not_by_bytes() {
        let short = LabelSet::new([("a", "zz")]).unwrap();
        let long = LabelSet::new([("a", "a-long-value")]).unwrap();
        assert!(long < short);
    }

    #[test]
    fn order_is_that_of_names_and_values() {
        let texts = ["", "a", "aa", "ab", "b", "ä", "\u{10000}"];
        let mut sets = Vec::new();
        for a in texts {
            for b in texts {
                sets.push(LabelSet::new([("a", a), ("ab", b)]).unwrap());
                sets.push(LabelSet::new([("b", a), ("ä", b)]).unwrap());
            }
        }
        for (one, other) in sets.iter().flat_map(|one| sets.iter().map(move |two| (one, two))) {
            assert_eq!(one.cmp(other), one.iter().cmp(other.iter()), "{one} {other}");
        }
    }

    #[test]
    fn symbols_are_kept_once() {
        let mut symbols = Symbols::default();
        let a = symbols.intern("a");
        assert_eq!(symbols.intern("a"), a);
        assert_eq!(symbols.text(a), Some("a"));
        assert_eq!(symbols.find("b"), None);
        assert_eq!(symbols.len(), 1);
    }
}
