//! Checking a record: its signature, its place in the chain, and the verdict, judged again.

use super::read::{ReadError, read, split};
use super::{Hash, PublicKey, Record, RecordError, judge};
use crate::verdict::{Outcome, Step};

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// It cannot be read.
    #[error(transparent)]
    Format(#[from] ReadError),
    /// It says that another key signed it.
    #[error("signed by another key, ed25519:{found}")]
    ForeignKey {
        /// The key it names, in hexadecimal digits.
        found: Hash,
    },
    /// The key given did not sign these bytes.
    #[error("the signature does not fit: the record was changed, or another key signed it")]
    Signature,
    /// It follows another record than the one before it.
    #[error("it follows {}, not {}", follows(*found), follows(*expected))]
    Chain {
        /// The hash of the record before it; `None` at the beginning of a chain.
        expected: Option<Hash>,
        /// What it says it follows.
        found: Option<Hash>,
    },
    /// Its counts or its configuration cannot be judged.
    #[error("it cannot be judged again: {0}")]
    Inputs(RecordError),
    /// The path has steps too many or too few.
    #[error("path: {recorded} steps are recorded, {judged} are judged")]
    PathLength {
        /// Steps in the record.
        recorded: usize,
        /// Steps that its counts have.
        judged: usize,
    },
    /// The evidence is not what the counts give.
    #[error(
        "path: step {index}, second {}: the evidence is {:e}, judged again {:e} ({others} more differ)",
        judged.second, recorded.log_e, judged.log_e
    )]
    Path {
        /// The first step that differs, from 0.
        index: usize,
        /// What is recorded.
        recorded: Step,
        /// What the counts give.
        judged: Step,
        /// How many more steps differ.
        others: usize,
    },
    /// A part of the outcome is not what the counts give.
    #[error("outcome: {field} is {recorded}, judged again {judged}")]
    Outcome {
        /// Which.
        field: &'static str,
        /// What is recorded.
        recorded: String,
        /// What the counts give.
        judged: String,
    },
}

fn follows(hash: Option<Hash>) -> String {
    hash.map_or_else(|| "nothing".to_owned(), |hash| format!("the record {hash}"))
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Everything that is wrong; empty for a good record.
    pub failures: Vec<Failure>,
    /// The record, where it could be read; to be believed only without failures.
    pub record: Option<Record>,
    /// The file's hash, which the next record must name.
    pub hash: Hash,
}

/// Checks the bytes of one file against the key that must have signed it and the hash of the record
/// it must follow.
#[must_use]
pub fn verify(file: &[u8], key: &PublicKey, after: Option<Hash>) -> Report {
    let mut failures = Vec::new();
    let mut record = None;
    match split(file) {
        Err(error) => failures.push(error.into()),
        Ok(signed) => {
            if signed.key != key.to_bytes() {
                failures.push(Failure::ForeignKey { found: Hash(signed.key) });
            }
            if !key.has_signed(signed.body, &signed.signature) {
                failures.push(Failure::Signature);
            }
            match read(file) {
                Err(error) => failures.push(error.into()),
                Ok(read) => {
                    contents(&read.record, after, &mut failures);
                    record = Some(read.record);
                }
            }
        }
    }
    Report { failures, record, hash: Hash::of(file) }
}

/// The chain and the verdict.
fn contents(record: &Record, after: Option<Hash>, failures: &mut Vec<Failure>) {
    if record.previous != after {
        failures.push(Failure::Chain { expected: after, found: record.previous });
    }
    match judge(record.config, &record.ticks) {
        Err(error) => failures.push(Failure::Inputs(error)),
        Ok((path, outcome)) => {
            failures.extend(paths(&record.path, &path));
            outcomes(&record.outcome, &outcome, failures);
        }
    }
}

fn paths(recorded: &[Step], judged: &[Step]) -> Option<Failure> {
    if recorded.len() != judged.len() {
        let (recorded, judged) = (recorded.len(), judged.len());
        return Some(Failure::PathLength { recorded, judged });
    }
    let pairs = recorded.iter().zip(judged).enumerate();
    let mut different = pairs.filter(|(_, (recorded, judged))| !is_same(recorded, judged));
    let (index, (recorded, judged)) = different.next()?;
    let others = different.count();
    Some(Failure::Path { index, recorded: *recorded, judged: *judged, others })
}

fn is_same(a: &Step, b: &Step) -> bool {
    (a.second, a.failed, a.log_e.to_bits()) == (b.second, b.failed, b.log_e.to_bits())
}

/// Every part but the reason, which is words: they may be put better without a new version.
fn outcomes(recorded: &Outcome, judged: &Outcome, failures: &mut Vec<Failure>) {
    for ((field, recorded), (_, judged)) in parts(recorded).into_iter().zip(parts(judged)) {
        if recorded != judged {
            failures.push(Failure::Outcome { field, recorded, judged });
        }
    }
}

fn parts(outcome: &Outcome) -> [(&'static str, String); 12] {
    let float = |value: f64| format!("{value:e} ({:016x})", value.to_bits());
    let option = |value: Option<f64>| value.map_or_else(|| "null".to_owned(), float);
    let second = |value: Option<i64>| value.map_or_else(|| "null".to_owned(), |v| v.to_string());
    [
        ("verdict", format!("{:?}", outcome.verdict)),
        ("decision_second", second(outcome.decision_second)),
        ("first_bad_second", second(outcome.first_bad_second)),
        ("log_e", float(outcome.log_e)),
        ("log_e_max", float(outcome.log_e_max)),
        ("log_e_unguarded", float(outcome.log_e_unguarded)),
        ("smallest_ratio", option(outcome.smallest_ratio)),
        ("ratio_at_most", option(outcome.ratio_at_most)),
        ("canary_n", outcome.canary_n.to_string()),
        ("canary_bad", outcome.canary_bad.to_string()),
        ("baseline_n", outcome.baseline_n.to_string()),
        ("baseline_bad", outcome.baseline_bad.to_string()),
    ]
}
