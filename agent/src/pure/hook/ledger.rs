//! The ledger of a hook: what its files are named, what they hold, how long they are kept.
//!
//! `KEY.started` is there before a program starts, `KEY.done` after it ended, each whole;
//! `SERVICE@ENVIRONMENT.generation` holds the highest generation begun. A key of which there is
//! anything is never begun again.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::signal::{Answer, Signal, is_key, is_name};
use bellwether_model::time::{self, Timestamp};
use serde::{Deserialize, Serialize};

use super::Lane;
use super::verify::deadline;

/// How long what was done is kept: far longer than a deadline may be away.
pub const AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Keys kept; the oldest whose deadline has passed go first.
pub const KEYS_MAX: usize = 10_000;
/// Bytes of a file: a signal, an answer and an output, escaped.
pub const FILE_BYTES_MAX: usize = 256 << 10;

const STARTED: &str = ".started";
const DONE: &str = ".done";
const GENERATION: &str = ".generation";

/// What is about to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// When it was begun, RFC 3339.
    pub at: String,
    /// What was asked.
    pub signal: Signal,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// When it was over, RFC 3339.
    pub at: String,
    /// What was asked.
    pub signal: Signal,
    /// What was answered.
    pub answer: Answer,
    /// The end of what the program printed.
    pub output: String,
}

/// The highest generation begun in a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Highest {
    /// The generation.
    pub generation: u64,
    /// The key of its signal.
    pub key: String,
}

/// What the ledger has of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing: it was never begun.
    Nothing,
    /// It was begun, and nobody knows how it ended.
    Started(Box<Started>),
    /// It was begun and has ended.
    Done(Box<Done>),
    /// Something that cannot be read.
    Unreadable,
}

/// A file of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// Of something begun.
    Started(String),
    /// Of something done.
    Done(String),
    /// Of a lane.
    Generation(Lane),
}

impl Name {
    /// Reads a file's name; `None` if it is none of the ledger's.
    #[must_use]
    pub fn parse(name: &str) -> Option<Name> {
        let key = |text: &str| is_key(text).then(|| text.to_owned());
        if let Some(text) = name.strip_suffix(STARTED) {
            return key(text).map(Name::Started);
        }
        if let Some(text) = name.strip_suffix(DONE) {
            return key(text).map(Name::Done);
        }
        let (service, environment) = name.strip_suffix(GENERATION)?.split_once('@')?;
        if !is_name(service) || !is_name(environment) {
            return None;
        }
        let lane = Lane { service: service.to_owned(), environment: environment.to_owned() };
        Some(Name::Generation(lane))
    }

    /// The file's name.
    #[must_use]
    pub fn file(&self) -> String {
        match self {
            Name::Started(key) => format!("{key}{STARTED}"),
            Name::Done(key) => format!("{key}{DONE}"),
            Name::Generation(lane) => format!("{lane}{GENERATION}"),
        }
    }
}

/// What decides how long a key is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// When it was over.
    pub done: Timestamp,
    /// After it nothing begins.
    pub deadline: Timestamp,
}

impl Kept {
    /// That of a file; what cannot be read keeps it for as long as possible.
    #[must_use]
    pub fn of(done: &Done) -> Kept {
        let at = time::parse(&done.at).unwrap_or(Timestamp::MAX);
        Kept { done: at, deadline: deadline(&done.signal).unwrap_or(Timestamp::MAX) }
    }
}

/// The keys that may go: those that are old, and the oldest of too many, but none that could
/// still be asked for.
#[must_use]
pub fn outlived(keys: &BTreeMap<String, Kept>, total: usize, now: Timestamp) -> Vec<String> {
    let mut over: Vec<_> = keys.iter().filter(|(_, kept)| kept.deadline < now).collect();
    over.sort_by_key(|(_, kept)| kept.done);
    let many = total.saturating_sub(KEYS_MAX);
    let is_old = |kept: &Kept| kept.done.saturating_add(AGE) < now;
    let gone = over.iter().enumerate().filter(|(at, (_, kept))| *at < many || is_old(kept));
    gone.map(|(_, (key, _))| (*key).clone()).collect()
}

/// Whether two signals ask for the same.
#[must_use]
pub fn same_wish(a: &Signal, b: &Signal) -> bool {
    let (x, y) = (&a.data, &b.data);
    a.kind == b.kind
        && Lane::of(a) == Lane::of(b)
        && x.rollout == y.rollout
        && x.from == y.from
        && x.to == y.to
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, signal};
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let lane = Lane { service: "check.out".into(), environment: "production".into() };
        let key = || "0a".repeat(32);
        for name in [Name::Started(key()), Name::Done(key()), Name::Generation(lane)] {
            assert_eq!(Name::parse(&name.file()), Some(name));
        }
        for bad in ["lock", "x.started", "0a.done", "a@b", "@b.generation", "a@/.generation", ""] {
            assert_eq!(Name::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn old_keys_go_and_the_oldest_of_too_many_but_none_that_may_come_again() {
        let day = 24 * 3600 * 1000;
        let kept = |days: i64, deadline: i64| Kept {
            done: Timestamp(NOW.0 - days * day),
            deadline: Timestamp(NOW.0 + deadline),
        };
        let keys = BTreeMap::from([
            ("old".to_owned(), kept(31, -1)),
            ("open".to_owned(), kept(40, 1)),
            ("month".to_owned(), kept(30, -1)),
            ("new".to_owned(), kept(1, -1)),
        ]);
        assert_eq!(outlived(&keys, 4, NOW), ["old"]);
        assert_eq!(outlived(&keys, KEYS_MAX + 2, NOW), ["old", "month"]);
        assert_eq!(outlived(&keys, KEYS_MAX + 9, NOW), ["old", "month", "new"]);
    }

    #[test]
    fn a_wish_is_everything_but_its_number_and_time() {
        let one = signal(1, 1);
        let mut other = signal(1, 2);
        other.timestamp = String::new();
        assert!(same_wish(&one, &other));
        other.data.to = "2.3.8".into();
        assert!(!same_wish(&one, &other));
    }
}
