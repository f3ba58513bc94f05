//! What matchers have found, kept for those who ask again: rules do, each at its slots.
//!
//! An answer holds as long as no series of its metric (of any metric, if it names none) has come,
//! gone or changed lanes: see [`super::Index::version`]. Those that were not asked for lately go
//! when there are too many.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::matcher::{MatchOp, Matcher};
use bellwether_model::series::SeriesRef;

use super::Entry;

/// Series of all answers: 40 bytes each.
const SERIES_MAX: usize = 1 << 19;
/// What an answer weighs beside its series.
const ANSWER_SERIES: usize = 8;

/// Series in the order of their labels.
pub(crate) type Found = Arc<[(SeriesRef, Entry)]>;

#[derive(Clone, Debug)]
struct Answer {
    version: u64,
    found: Found,
}

/// Answers by their matchers, in two halves: one that grows, and one before it.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    young: BTreeMap<Box<[u8]>, Answer>,
    old: BTreeMap<Box<[u8]>, Answer>,
    /// What the young weigh.
    weight: usize,
}

impl Answers {
    /// Whether an answer of so many series is worth keeping.
    pub(crate) fn takes(series: usize) -> bool {
        series + ANSWER_SERIES <= SERIES_MAX / 2
    }

    /// What was found under this version.
    pub(crate) fn get(&mut self, key: &[u8], version: u64) -> Option<Found> {
        if let Some(answer) = self.young.get(key) {
            return (answer.version == version).then(|| Arc::clone(&answer.found));
        }
        let (key, answer) = self.old.remove_entry(key)?;
        let found = (answer.version == version).then(|| Arc::clone(&answer.found))?;
        self.put(key, version, &found);
        Some(found)
    }

    /// Keeps what was found, if it is not too much.
    pub(crate) fn put(&mut self, key: Box<[u8]>, version: u64, found: &Found) {
        let weight = found.len() + ANSWER_SERIES;
        if !Answers::takes(found.len()) {
            return;
        }
        if self.weight + weight > SERIES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        let answer = Answer { version, found: Arc::clone(found) };
        let before = self.young.insert(key, answer);
        let let_go = before.map_or(0, |before| before.found.len() + ANSWER_SERIES);
        self.weight = self.weight + weight - let_go;
    }
}

/// Equal of equal matchers in one order, and of no others.
pub(crate) fn key(matchers: &[Matcher]) -> Box<[u8]> {
    let mut key = Vec::with_capacity(64);
    for matcher in matchers {
        key.push(matcher.op() as u8);
        for text in [matcher.name(), matcher.value()] {
            key.extend_from_slice(&text.len().to_le_bytes());
            key.extend_from_slice(text.as_bytes());
        }
    }
    key.into()
}

/// The value that a label must have.
pub(crate) fn exact<'a>(matchers: &'a [Matcher], label: &str) -> Option<&'a str> {
    let is_exact = |m: &&Matcher| m.op() == MatchOp::Equal && m.name() == label;
    matchers.iter().find(is_exact).map(Matcher::value).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(series: usize) -> Found {
        let entry = Entry { labels: Default::default(), lanes: Arc::from([]) };
        (0..series).map(|_| (SeriesRef(0), entry.clone())).collect()
    }

    fn name(number: u32) -> Box<[u8]> {
        number.to_le_bytes().into()
    }

    #[test]
    fn an_answer_is_of_one_version() {
        let mut answers = Answers::default();
        answers.put(name(1), 7, &found(3));
        assert_eq!(answers.get(&name(1), 7).map(|found| found.len()), Some(3));
        assert!(answers.get(&name(1), 8).is_none());
        assert!(answers.get(&name(2), 7).is_none());
        answers.put(name(1), 8, &found(4));
        assert_eq!(answers.get(&name(1), 8).map(|found| found.len()), Some(4));
        assert_eq!(answers.weight, 4 + ANSWER_SERIES);
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_bounded() {
        let mut answers = Answers::default();
        let half = found(SERIES_MAX / 4);
        answers.put(name(0), 1, &found(1));
        for number in 1..9 {
            answers.put(name(number), 1, &half);
            assert!(answers.get(&name(0), 1).is_some(), "asked for each time");
            let held = answers.young.values().chain(answers.old.values());
            assert!(held.map(|answer| answer.found.len()).sum::<usize>() <= SERIES_MAX);
        }
        assert!(answers.get(&name(1), 1).is_none());
        answers.put(name(100), 1, &found(SERIES_MAX / 2));
        assert!(answers.get(&name(100), 1).is_none(), "too much");
    }

    #[test]
    fn keys_tell_matchers_apart() {
        let of = |name: &str, op, value: &str| Matcher::new(name, op, value).unwrap();
        let sets = [
            vec![],
            vec![of("a", MatchOp::Equal, "bc")],
            vec![of("ab", MatchOp::Equal, "c")],
            vec![of("a", MatchOp::NotEqual, "bc")],
            vec![of("a", MatchOp::Regex, "bc")],
            vec![of("a", MatchOp::Equal, "bc"), of("a", MatchOp::Equal, "bc")],
        ];
        for (i, one) in sets.iter().enumerate() {
            for (j, other) in sets.iter().enumerate() {
                assert_eq!(key(one) == key(other), i == j);
            }
        }
        assert_eq!(exact(&sets[1], "a"), Some("bc"));
        assert_eq!(exact(&sets[3], "a"), None);
        assert_eq!(exact(&[of("a", MatchOp::Equal, "")], "a"), None, "that one has no label");
    }
}
