//! Records as bytes. Every count and length is bounded before it allocates.

mod announced;
mod outcome;

use std::sync::Arc;

use bellwether_model::signal::{
    Answer, BODY_BYTES_MAX, DETAIL_BYTES_MAX, Kind, NAME_BYTES_MAX, Status,
};
use bellwether_model::time::Timestamp;
use bellwether_model::wire::bytes::{Malformed, Reader, put_text, put_varint, put_zigzag};
use bellwether_rules::record::{Hash, NAME_BYTES_MAX as STRATUM_BYTES_MAX};
use bellwether_rules::verdict::{Arm, Tick};

use super::super::super::notify::record::bytes::{put_option, take_option};
use super::{Announced, Close, Count, End, Intent, Record, Second, Sight, Sighting, Word};

/// Seconds of one record.
const SECONDS_MAX: usize = 3600;
/// Counts of one second: those of every stratum and some SLIs.
const COUNTS_MAX: usize = 1 << 14;
/// Bytes of a text that somebody wrote; an announce is no longer.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// Digits of a key.
const KEY_BYTES: usize = 64;

use announced::{put_announced, take_announced};
use outcome::{put_outcome, put_verdict, take_outcome, take_verdict};

const ANNOUNCED: u8 = 1;
const JUDGED: u8 = 2;
const SAID: u8 = 3;
const DECIDED: u8 = 4;
const INTENDED: u8 = 5;
const ATTEMPT: u8 = 6;
const ANSWERED: u8 = 7;
const OBSERVED: u8 = 8;
const CLOSED: u8 = 9;
const ENDED: u8 = 10;
const KEPT: u8 = 11;

impl Announced {
    /// Whether it is read again as it is written: everything in it is within its bound.
    #[must_use]
    pub fn can_be_kept(&self) -> bool {
        let mut bytes = Vec::new();
        put_announced(&mut bytes, self);
        take_announced(&mut Reader::new(&bytes)).is_ok_and(|read| read == *self)
    }
}

impl Record {
    /// Appends it.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Record::Announced(announced) => {
                out.push(ANNOUNCED);
                put_announced(out, announced);
            }
            Record::Judged { rollout, strata, seconds } => {
                out.push(JUDGED);
                put_text(out, rollout);
                put_texts(out, strata);
                put_varint(out, seconds.len() as u64);
                seconds.iter().for_each(|second| put_second(out, second));
            }
            Record::Said { rollout, word, by, reason, at } => {
                out.push(SAID);
                put_text(out, rollout);
                out.push(number(&WORDS, *word));
                put_text(out, by);
                put_text(out, reason);
                put_zigzag(out, at.0);
            }
            Record::Decided { rollout, sli, verdict, grounds, record, at } => {
                out.push(DECIDED);
                put_text(out, rollout);
                put_text(out, sli);
                put_verdict(out, *verdict);
                put_outcome(out, grounds);
                out.extend_from_slice(&record.0);
                put_zigzag(out, at.0);
            }
            Record::Intended(intent) => {
                out.push(INTENDED);
                put_intent(out, intent);
            }
            Record::Attempt { signal, attempt, at } => {
                out.push(ATTEMPT);
                put_varint(out, *signal);
                put_varint(out, u64::from(*attempt));
                put_zigzag(out, at.0);
            }
            Record::Answered { signal, answer, at } => {
                out.push(ANSWERED);
                put_varint(out, *signal);
                put_answer(out, answer);
                put_zigzag(out, at.0);
            }
            Record::Observed { signal, by, at } => {
                out.push(OBSERVED);
                put_varint(out, *signal);
                out.push(number(&SIGHTINGS, *by));
                put_zigzag(out, at.0);
            }
            Record::Closed { signal, outcome, detail, at } => {
                out.push(CLOSED);
                put_varint(out, *signal);
                out.push(number(&CLOSES, *outcome));
                put_text(out, detail);
                put_zigzag(out, at.0);
            }
            Record::Ended { rollout, end, at } => {
                out.push(ENDED);
                put_text(out, rollout);
                out.push(number(&ENDS, *end));
                put_zigzag(out, at.0);
            }
            Record::Kept { rollout } => {
                out.push(KEPT);
                put_text(out, rollout);
            }
        }
    }

    /// Reads what [`Record::put`] has written.
    ///
    /// # Errors
    /// The bytes are no record of this version.
    pub fn read(reader: &mut Reader<'_>) -> Result<Record, Malformed> {
        Ok(match reader.byte()? {
            ANNOUNCED => Record::Announced(Arc::new(take_announced(reader)?)),
            JUDGED => Record::Judged {
                rollout: take_name(reader)?,
                strata: take_texts(reader, Tick::STRATA_MAX.into(), STRATUM_BYTES_MAX)?,
                seconds: {
                    let count = reader.count(SECONDS_MAX)?;
                    (0..count).map(|_| take_second(reader)).collect::<Result<_, _>>()?
                },
            },
            SAID => Record::Said {
                rollout: take_name(reader)?,
                word: take_one(reader, &WORDS, "no such word")?,
                by: reader.text(TEXT_BYTES_MAX)?.to_owned(),
                reason: reader.text(TEXT_BYTES_MAX)?.to_owned(),
                at: take_time(reader)?,
            },
            DECIDED => Record::Decided {
                rollout: take_name(reader)?,
                sli: take_name(reader)?,
                verdict: take_verdict(reader)?,
                grounds: Arc::new(take_outcome(reader)?),
                record: Hash(reader.array()?),
                at: take_time(reader)?,
            },
            INTENDED => Record::Intended(Arc::new(take_intent(reader)?)),
            ATTEMPT => Record::Attempt {
                signal: reader.varint()?,
                attempt: reader.small()?,
                at: take_time(reader)?,
            },
            ANSWERED => Record::Answered {
                signal: reader.varint()?,
                answer: take_answer(reader)?,
                at: take_time(reader)?,
            },
            OBSERVED => Record::Observed {
                signal: reader.varint()?,
                by: take_one(reader, &SIGHTINGS, "no such sighting")?,
                at: take_time(reader)?,
            },
            CLOSED => Record::Closed {
                signal: reader.varint()?,
                outcome: take_close(reader)?,
                detail: take_detail(reader)?,
                at: take_time(reader)?,
            },
            ENDED => Record::Ended {
                rollout: take_name(reader)?,
                end: take_one(reader, &ENDS, "no such end of a rollout")?,
                at: take_time(reader)?,
            },
            KEPT => Record::Kept { rollout: take_name(reader)? },
            _ => return Err(reader.malformed("no such record of the guard")),
        })
    }
}

// What follows is written as its place here.
const WORDS: [Word; 3] = [Word::Finish, Word::Abort, Word::Confirm];
const SIGHTINGS: [Sighting; 2] = [Sighting::Hook, Sighting::Series];
const CLOSES: [Close; 5] =
    [Close::Restored, Close::Refused, Close::Failed, Close::Expired, Close::Withdrawn];
const ENDS: [End; 4] = [End::Watched, End::Failed, End::Aborted, End::Forgotten];
const SIGHTS: [Sight; 4] = [Sight::None, Sight::Blind, Sight::Dead, Sight::Seen];

fn number<T: PartialEq>(all: &[T], one: T) -> u8 {
    let place = all.iter().position(|other| *other == one).expect("invariant: all are listed");
    u8::try_from(place).expect("invariant: a few")
}

fn take_one<T: Copy>(
    reader: &mut Reader<'_>,
    all: &[T],
    what: &'static str,
) -> Result<T, Malformed> {
    let place = reader.byte()?;
    all.get(usize::from(place)).copied().ok_or(reader.malformed(what))
}

pub(in super::super) fn take_time(reader: &mut Reader<'_>) -> Result<Timestamp, Malformed> {
    reader.zigzag().map(Timestamp)
}

pub(in super::super) fn take_name(reader: &mut Reader<'_>) -> Result<Arc<str>, Malformed> {
    reader.text(NAME_BYTES_MAX).map(Arc::from)
}

pub(in super::super) fn take_detail(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    Ok(reader.text(DETAIL_BYTES_MAX)?.to_owned())
}

pub(in super::super) fn put_close(out: &mut Vec<u8>, outcome: Close) {
    out.push(number(&CLOSES, outcome));
}

pub(in super::super) fn take_close(reader: &mut Reader<'_>) -> Result<Close, Malformed> {
    take_one(reader, &CLOSES, "no such end of a signal")
}

pub(in super::super) fn put_sighting(out: &mut Vec<u8>, by: Sighting) {
    out.push(number(&SIGHTINGS, by));
}

pub(in super::super) fn take_sighting(reader: &mut Reader<'_>) -> Result<Sighting, Malformed> {
    take_one(reader, &SIGHTINGS, "no such sighting")
}

fn put_texts(out: &mut Vec<u8>, texts: &[String]) {
    put_varint(out, texts.len() as u64);
    texts.iter().for_each(|text| put_text(out, text));
}

fn take_texts(
    reader: &mut Reader<'_>,
    count_max: usize,
    bytes_max: usize,
) -> Result<Vec<String>, Malformed> {
    let count = reader.count(count_max)?;
    (0..count).map(|_| Ok(reader.text(bytes_max)?.to_owned())).collect()
}

fn take_flag(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    take_one(reader, &[false, true], "neither true nor false")
}

/// A number from 0 to 1.
fn take_part(reader: &mut Reader<'_>) -> Result<f64, Malformed> {
    let part = f64::from_le_bytes(reader.array()?);
    if (0.0..=1.0).contains(&part) { Ok(part) } else { Err(reader.malformed("not from 0 to 1")) }
}

fn put_second(out: &mut Vec<u8>, second: &Second) {
    put_zigzag(out, second.second);
    out.push(number(&SIGHTS, second.canary));
    out.push(number(&SIGHTS, second.baseline));
    put_varint(out, second.counts.len() as u64);
    for count in &second.counts {
        put_varint(out, u64::from(count.sli));
        put_varint(out, u64::from(count.stratum));
        for arm in [count.canary, count.baseline] {
            put_varint(out, arm.n);
            put_varint(out, arm.bad);
        }
    }
}

fn take_second(reader: &mut Reader<'_>) -> Result<Second, Malformed> {
    Ok(Second {
        second: reader.zigzag()?,
        canary: take_one(reader, &SIGHTS, "no such sight")?,
        baseline: take_one(reader, &SIGHTS, "no such sight")?,
        counts: {
            let count = reader.count(COUNTS_MAX)?;
            (0..count).map(|_| take_count(reader)).collect::<Result<_, _>>()?
        },
    })
}

fn take_count(reader: &mut Reader<'_>) -> Result<Count, Malformed> {
    Ok(Count {
        sli: take_short(reader)?,
        stratum: take_short(reader)?,
        canary: take_arm(reader)?,
        baseline: take_arm(reader)?,
    })
}

fn take_short(reader: &mut Reader<'_>) -> Result<u16, Malformed> {
    u16::try_from(reader.varint()?).map_err(|_| reader.malformed("number over 16 bits"))
}

fn take_arm(reader: &mut Reader<'_>) -> Result<Arm, Malformed> {
    let (n, bad) = (reader.varint()?, reader.varint()?);
    if bad > n {
        Err(reader.malformed("more bad requests than requests"))
    } else {
        Ok(Arm { n, bad })
    }
}

pub(in super::super) fn put_intent(out: &mut Vec<u8>, intent: &Intent) {
    put_varint(out, intent.number);
    put_text(out, &intent.rollout);
    put_text(out, &intent.service);
    put_text(out, &intent.environment);
    put_varint(out, intent.generation);
    put_text(out, &intent.key);
    out.push(number(&Kind::ALL, intent.kind));
    put_text(out, &intent.from);
    put_text(out, &intent.to);
    put_text(out, &intent.hook);
    put_varint(out, intent.body.len() as u64);
    out.extend_from_slice(&intent.body);
    put_zigzag(out, intent.at.0);
    put_zigzag(out, intent.deadline.0);
}

pub(in super::super) fn take_intent(reader: &mut Reader<'_>) -> Result<Intent, Malformed> {
    Ok(Intent {
        number: reader.varint()?,
        rollout: take_name(reader)?,
        service: take_name(reader)?,
        environment: take_name(reader)?,
        generation: reader.varint()?,
        key: take_key(reader)?.into(),
        kind: take_one(reader, &Kind::ALL, "no such kind of signal")?,
        from: take_name(reader)?,
        to: take_name(reader)?,
        hook: take_name(reader)?,
        body: {
            let len = reader.count(BODY_BYTES_MAX)?;
            reader.take(len)?.into()
        },
        at: take_time(reader)?,
        deadline: take_time(reader)?,
    })
}

fn take_key<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Malformed> {
    let key = reader.text(KEY_BYTES)?;
    let is_key = key.len() == KEY_BYTES && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_key { Ok(key) } else { Err(reader.malformed("no key of a signal")) }
}

pub(in super::super) fn put_answer(out: &mut Vec<u8>, answer: &Answer) {
    put_text(out, &answer.key);
    out.push(number(&Status::ALL, answer.status));
    put_option(out, answer.current_version.as_deref(), put_text);
    put_text(out, &answer.detail);
    out.push(u8::from(answer.retry));
}

pub(in super::super) fn take_answer(reader: &mut Reader<'_>) -> Result<Answer, Malformed> {
    Ok(Answer {
        key: take_key(reader)?.to_owned(),
        status: take_one(reader, &Status::ALL, "no such status of a signal")?,
        current_version: take_option(reader, |reader| Ok(reader.text(NAME_BYTES_MAX)?.to_owned()))?,
        detail: take_detail(reader)?,
        retry: take_flag(reader)?,
    })
}

#[cfg(test)]
mod tests;
