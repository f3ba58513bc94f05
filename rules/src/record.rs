//! The decision record: a verdict, everything it was drawn from, and a signature, in one file that
//! anyone can recompute offline, bit for bit.
//!
//! `rules/RECORD.md` is the contract. A [`Record`] holds the counts of each second, the
//! configuration with the version of the algorithm, the path of the evidence and the outcome;
//! [`Record::seal`] writes and signs it, [`verify`] reads it and judges again. There is exactly one
//! way to write a record: the reader takes the very bytes that the writer writes and no others, so
//! that every byte of a file is either checked or signed.

mod hash;
mod key;
mod number;
mod read;
#[cfg(test)]
mod tests;
mod verify;
mod write;

use std::collections::BTreeMap;

pub use hash::{Hash, HashError};
pub use key::{KeyError, PublicKey, SecretKey};
pub use number::number;
pub use read::{Read, ReadError, Signed, read, split};
pub use verify::{Failure, Report, verify};

use crate::verdict::{
    Config, ConfigError, Judge, Missing, Outcome, Step, Tick, TickError, Verdict,
};

/// Bytes of a record's file, at most.
pub const RECORD_BYTES_MAX: usize = 64 << 20;
/// Ticks of a record, at most: an hour of a hundred strata, or four days of one.
pub const TICKS_MAX: usize = 400_000;
/// Entries of the subject, at most.
pub const SUBJECT_MAX: usize = 32;
/// Bytes of a name: of a stratum, of an entry of the subject.
pub const NAME_BYTES_MAX: usize = 256;
/// Bytes of the subject's values and of the reason.
pub const TEXT_BYTES_MAX: usize = 4096;
/// Whole numbers beyond this would not be the same in every reader of JSON.
pub const INTEGER_MAX: i64 = 1 << 53;

/// A decision with what it was drawn from.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// How it was judged.
    pub config: Config,
    /// The hash of the record before it; `None` in the first of a chain.
    pub previous: Option<Hash>,
    /// What was judged, in words of whoever judged it: names of `a`–`z`, digits and `_`, to texts.
    pub subject: BTreeMap<String, String>,
    /// The names of the strata, by number.
    pub strata: Vec<String>,
    /// The counts, in the order they were judged; those of one second stand together.
    pub ticks: Vec<Tick>,
    /// The evidence after each second.
    pub path: Vec<Step>,
    /// What followed.
    pub outcome: Outcome,
}

/// What a record is about, beside the counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    /// As in [`Record::previous`].
    pub previous: Option<Hash>,
    /// As in [`Record::subject`].
    pub subject: BTreeMap<String, String>,
    /// As in [`Record::strata`]; empty where there is one stratum without a name.
    pub strata: Vec<String>,
}

/// Why there is no record.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum RecordError {
    /// The configuration is out of its ranges.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Counts that cannot be.
    #[error("tick {index}: {error}")]
    Tick {
        /// Which tick, from 0.
        index: usize,
        /// What is wrong with it, or with another of its second.
        error: TickError,
    },
    /// More than a record holds, or a text that it cannot hold.
    #[error("{what}: more than a record holds")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
    },
}

impl Record {
    /// Judges counts and keeps what the verdict was drawn from.
    ///
    /// # Errors
    /// The counts or the configuration cannot be judged, or there is more than a record holds.
    pub fn judge(
        config: Config,
        ticks: Vec<Tick>,
        context: Context,
    ) -> Result<Record, RecordError> {
        let Context { previous, subject, strata } = context;
        bounds(&ticks, &subject, &strata)?;
        let (path, outcome) = judge(config, &ticks)?;
        Ok(Record { config, previous, subject, strata, ticks, path, outcome })
    }

    /// Writes and signs the record; the bytes are the whole file.
    #[must_use]
    pub fn seal(&self, key: &SecretKey) -> Vec<u8> {
        write::seal(self, key)
    }
}

/// The verdict in one word, as records and other programs read it.
#[must_use]
pub fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fail => "fail",
        Verdict::Pass => "pass",
        Verdict::Inconclusive { .. } => "inconclusive",
    }
}

/// What is missing in one word, as records and other programs read it.
#[must_use]
pub fn missing_name(missing: Missing) -> &'static str {
    match missing {
        Missing::Canary => "canary",
        Missing::Baseline => "baseline",
        Missing::WarmUp { .. } => "warm_up",
        Missing::Share => "share",
        Missing::Burst => "burst",
        Missing::Requests { .. } => "requests",
    }
}

/// Judges counts second by second.
fn judge(config: Config, ticks: &[Tick]) -> Result<(Vec<Step>, Outcome), RecordError> {
    let mut judge = Judge::new(config)?;
    let mut path = Vec::new();
    let mut index = 0;
    for second in ticks.chunk_by(|a, b| a.second == b.second) {
        path.push(judge.step(second).map_err(|error| RecordError::Tick { index, error })?);
        index += second.len();
    }
    Ok((path, judge.outcome()))
}

fn bounds(
    ticks: &[Tick],
    subject: &BTreeMap<String, String>,
    strata: &[String],
) -> Result<(), RecordError> {
    let is_second = |tick: &Tick| (-INTEGER_MAX..=INTEGER_MAX).contains(&tick.second);
    let is_entry = |(name, text): (&String, &String)| is_name(name) && text.len() <= TEXT_BYTES_MAX;
    let checks = [
        ("ticks", ticks.len() <= TICKS_MAX),
        ("the seconds' numbers", ticks.iter().all(is_second)),
        ("subject", subject.len() <= SUBJECT_MAX && subject.iter().all(is_entry)),
        ("strata", strata.len() <= usize::from(Tick::STRATA_MAX)),
        ("a stratum's name", strata.iter().all(|name| name.len() <= NAME_BYTES_MAX)),
    ];
    match checks.iter().find(|(_, fits)| !fits) {
        Some((what, _)) => Err(RecordError::TooMuch { what }),
        None => Ok(()),
    }
}

/// Whether a text can name an entry of the subject; these sort alike by bytes and by UTF-16.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain)
}
