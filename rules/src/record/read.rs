//! Reading records, bounded against whatever a file may hold.
//!
//! The reader expects, byte for byte, what the writer writes, so that it needs no tree and no
//! recursion, and a text that it takes is the one that [`super::Record`] gives again. It allocates
//! only for what it has read.

use std::collections::BTreeMap;

use super::hash::unhex;
use super::key::PublicKey;
use super::number::number;
use super::write::{AFTER, BEFORE, FORMAT, TO_KEY, TO_VALUE};
use super::{
    Hash, INTEGER_MAX, NAME_BYTES_MAX, RECORD_BYTES_MAX, Record, SUBJECT_MAX, TEXT_BYTES_MAX,
    TICKS_MAX, is_name, missing_name,
};
use crate::verdict::{Arm, Config, Guard, Missing, Outcome, Step, Tick, Verdict};

/// Bytes of a number as RFC 8785 writes it, and some more.
const NUMBER_BYTES_MAX: usize = 32;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Larger than a record can be.
    #[error("{bytes} bytes; a record has at most {RECORD_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It does not begin or end as a record does.
    #[error("not a decision record, or cut: it does not {0}")]
    Frame(&'static str),
    /// Of a later version.
    #[error("a record of format {found}; this program reads format {FORMAT} and none later")]
    Newer {
        /// Its format.
        found: i64,
    },
    /// Something else stands where a part of a record must.
    #[error("byte {at}: expected {expected}")]
    Malformed {
        /// Where in the file, from 0.
        at: usize,
        /// What must stand there.
        expected: &'static str,
    },
}

/// The parts of a file, not yet read or checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed<'a> {
    /// The bytes that are signed.
    pub body: &'a [u8],
    /// The key that says it signed them.
    pub key: [u8; 32],
    /// The signature.
    pub signature: [u8; 64],
}

/// A file read whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// What it says; not yet judged again.
    pub record: Record,
    /// The key that says it signed it; `None` if it is no point of the curve.
    pub key: Option<PublicKey>,
}

/// Parts a file without looking into its body.
///
/// # Errors
/// The file is too large, or does not begin and end as a record does.
pub fn split(file: &[u8]) -> Result<Signed<'_>, ReadError> {
    if file.len() > RECORD_BYTES_MAX {
        return Err(ReadError::TooLarge { bytes: file.len() });
    }
    let rest = file.strip_prefix(BEFORE).ok_or(ReadError::Frame("begin with {\"body\":"))?;
    let frame = ReadError::Frame("end with a key and a signature");
    let parts = || {
        let rest = rest.strip_suffix(AFTER)?;
        let (rest, value) = rest.split_at_checked(rest.len().checked_sub(128)?)?;
        let rest = rest.strip_suffix(TO_VALUE)?;
        let (rest, key) = rest.split_at_checked(rest.len().checked_sub(64)?)?;
        let body = rest.strip_suffix(TO_KEY)?;
        Some(Signed { body, key: unhex(key)?, signature: unhex(value)? })
    };
    parts().ok_or(frame)
}

/// Reads a whole file. The signature is not checked here.
///
/// # Errors
/// Says at which byte it is no record.
pub fn read(file: &[u8]) -> Result<Read, ReadError> {
    let signed = split(file)?;
    let mut cursor = Cursor { bytes: signed.body, at: 0 };
    let record = cursor.record()?;
    if cursor.at < signed.body.len() {
        return Err(cursor.expected("the end of the body"));
    }
    Ok(Read { record, key: PublicKey::from_bytes(&signed.key) })
}

/// A place in the body.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

type Result<T, E = ReadError> = std::result::Result<T, E>;

impl Cursor<'_> {
    fn expected(&self, expected: &'static str) -> ReadError {
        ReadError::Malformed { at: BEFORE.len() + self.at, expected }
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Steps over exactly this text.
    fn literal(&mut self, text: &'static str) -> Result<()> {
        if self.try_literal(text) { Ok(()) } else { Err(self.expected(text)) }
    }

    fn try_literal(&mut self, text: &str) -> bool {
        let is_there = self.rest().starts_with(text.as_bytes());
        self.at += if is_there { text.len() } else { 0 };
        is_there
    }

    /// A whole number in its one way: no sign before zero, no zero before others.
    fn integer(&mut self) -> Result<i64> {
        let start = self.at;
        let is_negative = self.try_literal("-");
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit());
        let count = digits.take(17).count();
        let digits = self.rest().get(..count).unwrap_or_default();
        let magnitude =
            digits.iter().fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0'));
        let is_plain = match digits {
            [b'0'] => !is_negative,
            [first, ..] => *first != b'0',
            [] => false,
        };
        if !is_plain || count > 16 || magnitude > INTEGER_MAX {
            self.at = start;
            return Err(self.expected("a whole number of at most 2^53"));
        }
        self.at += count;
        Ok(if is_negative { -magnitude } else { magnitude })
    }

    fn natural<T: TryFrom<i64>>(&mut self, expected: &'static str) -> Result<T> {
        let start = self.at;
        let value = self.integer()?;
        T::try_from(value).map_err(|_| {
            self.at = start;
            self.expected(expected)
        })
    }

    fn count(&mut self) -> Result<u64> {
        self.natural("a count")
    }

    /// The decimal beside the bits, which must be the same number.
    fn float(&mut self) -> Result<f64> {
        let start = self.at;
        self.literal("[")?;
        let decimal = self.at;
        let window = self.rest().iter().take(NUMBER_BYTES_MAX);
        let length = window.take_while(|byte| **byte != b',').count();
        self.at += length;
        self.literal(",\"")?;
        let bits = self.rest().get(..16).and_then(unhex::<8>);
        let Some(bits) = bits else { return Err(self.expected("16 hexadecimal digits")) };
        self.at += 16;
        self.literal("\"]")?;
        let value = f64::from_be_bytes(bits);
        let shown = self.bytes.get(decimal..decimal + length).unwrap_or_default();
        if number(value).as_bytes() != shown {
            self.at = start;
            return Err(self.expected("a decimal that is the number of the bits beside it"));
        }
        Ok(value)
    }

    /// A text in its one way, of at most so many bytes.
    fn text(&mut self, bytes_max: usize) -> Result<String> {
        self.literal("\"")?;
        let mut text = Vec::new();
        loop {
            let (byte, length) = match self.rest() {
                [b'"', ..] => break,
                [b'\\', b'u', b'0', b'0', high, low, ..] => {
                    let code = unhex::<1>(&[*high, *low]).map(|[code]| code);
                    let has_no_name = |code: &u8| {
                        *code < 0x20 && !matches!(code, 8 | b'\t' | b'\n' | 0x0c | b'\r')
                    };
                    (code.filter(has_no_name), 6)
                }
                [b'\\', escaped, ..] => (named(*escaped), 2),
                [byte, ..] => (Some(*byte).filter(|byte| *byte >= 0x20), 1),
                [] => (None, 0),
            };
            let Some(byte) = byte else { return Err(self.expected("a text in canonical form")) };
            if text.len() == bytes_max {
                return Err(self.expected("a shorter text"));
            }
            text.push(byte);
            self.at += length;
        }
        let text = String::from_utf8(text).map_err(|_| self.expected("a text in UTF-8"))?;
        self.literal("\"")?;
        Ok(text)
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.try_literal("null") { Ok(None) } else { read(self).map(Some) }
    }

    fn list<T>(
        &mut self,
        count_max: usize,
        mut read: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut items = Vec::new();
        self.literal("[")?;
        if self.try_literal("]") {
            return Ok(items);
        }
        loop {
            if items.len() == count_max {
                return Err(self.expected("a shorter list"));
            }
            items.push(read(self)?);
            if self.try_literal("]") {
                return Ok(items);
            }
            self.literal(",")?;
        }
    }

    fn record(&mut self) -> Result<Record> {
        self.literal("{\"bellwether_record\":")?;
        let format = self.integer()?;
        if format > FORMAT {
            return Err(ReadError::Newer { found: format });
        }
        if format != FORMAT {
            return Err(self.expected("a format of 1"));
        }
        self.literal(",\"config\":")?;
        let config = self.config()?;
        self.literal(",\"outcome\":")?;
        let outcome = self.outcome()?;
        self.literal(",\"path\":")?;
        let path = self.list(TICKS_MAX, Self::step)?;
        self.literal(",\"previous\":")?;
        let previous = self.option(Self::hash)?;
        self.literal(",\"strata\":")?;
        let strata = self.list(usize::from(Tick::STRATA_MAX), |at| at.text(NAME_BYTES_MAX))?;
        self.literal(",\"subject\":")?;
        let subject = self.subject()?;
        self.literal(",\"ticks\":")?;
        let ticks = self.list(TICKS_MAX, Self::tick)?;
        self.literal("}")?;
        Ok(Record { config, previous, subject, strata, ticks, path, outcome })
    }

    fn hash(&mut self) -> Result<Hash> {
        let text = self.text(64)?;
        text.parse().map_err(|_| self.expected("a hash before this"))
    }

    fn subject(&mut self) -> Result<BTreeMap<String, String>> {
        let mut subject = BTreeMap::new();
        self.literal("{")?;
        if self.try_literal("}") {
            return Ok(subject);
        }
        loop {
            let name = self.text(NAME_BYTES_MAX)?;
            let is_next = subject.last_key_value().is_none_or(|(last, _)| *last < name);
            if !is_name(&name) || !is_next || subject.len() == SUBJECT_MAX {
                return Err(self.expected("before this a name of a-z, 0-9 and _, in order"));
            }
            self.literal(":")?;
            subject.insert(name, self.text(TEXT_BYTES_MAX)?);
            if self.try_literal("}") {
                return Ok(subject);
            }
            self.literal(",")?;
        }
    }

    fn config(&mut self) -> Result<Config> {
        self.literal("{\"alpha\":")?;
        let alpha = self.float()?;
        self.literal(",\"delta\":")?;
        let delta = self.float()?;
        self.literal(",\"guard\":{\"opening_seconds\":")?;
        let opening_seconds = self.natural("seconds")?;
        self.literal(",\"train_requests\":")?;
        let train_requests = self.natural("requests")?;
        self.literal(",\"train_seconds\":")?;
        let train_seconds = self.natural("seconds")?;
        self.literal("},\"rho\":")?;
        let rho = self.float()?;
        self.literal(",\"share\":")?;
        let share = self.option(Self::float)?;
        self.literal(",\"version\":")?;
        let version = self.natural("a version")?;
        self.literal(",\"warm_up_seconds\":")?;
        let warm_up_seconds = self.natural("seconds")?;
        self.literal("}")?;
        let guard = Guard { train_requests, train_seconds, opening_seconds };
        Ok(Config { version, alpha, rho, delta, warm_up_seconds, share, guard })
    }

    fn outcome(&mut self) -> Result<Outcome> {
        self.literal("{\"baseline_bad\":")?;
        let baseline_bad = self.count()?;
        self.literal(",\"baseline_n\":")?;
        let baseline_n = self.count()?;
        self.literal(",\"canary_bad\":")?;
        let canary_bad = self.count()?;
        self.literal(",\"canary_n\":")?;
        let canary_n = self.count()?;
        self.literal(",\"decision_second\":")?;
        let decision_second = self.option(Self::integer)?;
        self.literal(",\"first_bad_second\":")?;
        let first_bad_second = self.option(Self::integer)?;
        self.literal(",\"log_e\":")?;
        let log_e = self.float()?;
        self.literal(",\"log_e_max\":")?;
        let log_e_max = self.float()?;
        self.literal(",\"log_e_unguarded\":")?;
        let log_e_unguarded = self.float()?;
        self.literal(",\"missing\":")?;
        let missing = self.option(Self::missing)?;
        self.literal(",\"ratio_at_most\":")?;
        let ratio_at_most = self.option(Self::float)?;
        self.literal(",\"reason\":")?;
        let reason = self.text(TEXT_BYTES_MAX)?;
        self.literal(",\"smallest_ratio\":")?;
        let smallest_ratio = self.option(Self::float)?;
        self.literal(",\"verdict\":")?;
        let verdict = match missing {
            Some(missing) => Verdict::Inconclusive { missing },
            None if self.rest().starts_with(b"\"fail\"") => Verdict::Fail,
            None => Verdict::Pass,
        };
        self.literal(match verdict {
            Verdict::Inconclusive { .. } => "\"inconclusive\"",
            Verdict::Fail => "\"fail\"",
            Verdict::Pass => "\"pass\"",
        })?;
        self.literal("}")?;
        Ok(Outcome {
            verdict,
            decision_second,
            first_bad_second,
            log_e,
            log_e_max,
            log_e_unguarded,
            smallest_ratio,
            ratio_at_most,
            canary_n,
            canary_bad,
            baseline_n,
            baseline_bad,
            reason,
        })
    }

    fn missing(&mut self) -> Result<Missing> {
        self.literal("{")?;
        let missing = if self.try_literal("\"canary\":") {
            let canary = self.count()?;
            self.literal(",\"kind\":\"requests\"")?;
            Missing::Requests { canary }
        } else if self.try_literal("\"kind\":\"warm_up\",\"seconds\":") {
            Missing::WarmUp { seconds: self.natural("seconds")? }
        } else {
            let plain = [Missing::Canary, Missing::Baseline, Missing::Share, Missing::Burst];
            let kind = |missing: &Missing| format!("\"kind\":\"{}\"", missing_name(*missing));
            let found = plain.into_iter().find(|missing| self.try_literal(&kind(missing)));
            found.ok_or_else(|| self.expected("what is missing"))?
        };
        self.literal("}")?;
        Ok(missing)
    }

    fn step(&mut self) -> Result<Step> {
        self.literal("[")?;
        let second = self.integer()?;
        let failed = self.try_literal(",true,");
        if !failed {
            self.literal(",false,")?;
        }
        let log_e = self.float()?;
        self.literal("]")?;
        Ok(Step { second, log_e, failed })
    }

    fn tick(&mut self) -> Result<Tick> {
        self.literal("[")?;
        let second = self.integer()?;
        self.literal(",")?;
        let stratum = self.natural("a stratum")?;
        let mut counts = [0; 4];
        for count in &mut counts {
            self.literal(",")?;
            *count = self.count()?;
        }
        self.literal("]")?;
        let [canary_n, canary_bad, baseline_n, baseline_bad] = counts;
        let canary = Arm { n: canary_n, bad: canary_bad };
        let baseline = Arm { n: baseline_n, bad: baseline_bad };
        Ok(Tick { second, stratum, canary, baseline })
    }
}

/// The byte of an escape of one letter, of those that have no shorter form.
fn named(letter: u8) -> Option<u8> {
    Some(match letter {
        b'"' | b'\\' => letter,
        b'b' => 8,
        b't' => b'\t',
        b'n' => b'\n',
        b'f' => 0x0c,
        b'r' => b'\r',
        _ => return None,
    })
}
