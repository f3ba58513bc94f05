//! Records as bytes. Every count and length is bounded before it allocates.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::time::Timestamp;
use bellwether_model::wire::bytes::{
    Malformed, Reader, put_labels, put_text, put_varint, put_zigzag,
};

use super::super::alerts::ALERTS;
use super::super::body::BODY_BYTES_MAX;
use super::super::plan::NAME_BYTES;
use super::{
    Detail, Failure, GiveUp, Intent, Outcome, Record, RetryAfter, TEXT_BYTES, ToldAlert, Verdict,
    Why,
};

/// Alerts of one group.
pub(in super::super) const GROUP_ALERTS: usize = ALERTS;
const ID_BYTES: usize = 128;
pub(in super::super) const ANNOTATIONS: usize = 256;
/// Bytes of all texts of an alert; what is longer is cut when it comes.
pub(in super::super) const ANNOTATION_BYTES: usize = 64 << 10;

const INTENT: u8 = 1;
const ATTEMPT: u8 = 2;
const RESULT: u8 = 3;
const GAVE_UP: u8 = 4;
const SETTLED: u8 = 5;
const RECEIVER_GONE: u8 = 6;
const RECEIVER_BACK: u8 = 7;
const CLOCK_BACK: u8 = 8;

impl Record {
    /// Appends it.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Record::Intent(intent) => {
                out.push(INTENT);
                put_intent(out, intent);
            }
            Record::Attempt { number, attempt, at } => {
                out.push(ATTEMPT);
                put_varint(out, *number);
                put_varint(out, u64::from(*attempt));
                put_zigzag(out, at.0);
            }
            Record::Result { number, attempt, at, outcome, verdict } => {
                out.push(RESULT);
                put_varint(out, *number);
                put_varint(out, u64::from(*attempt));
                put_ended(out, (*at, outcome, *verdict));
            }
            Record::GaveUp { number, at, reason } => {
                out.push(GAVE_UP);
                put_varint(out, *number);
                put_zigzag(out, at.0);
                out.push(reason.number());
            }
            Record::Settled { receiver, group, at, untold } => {
                out.push(SETTLED);
                put_text(out, receiver);
                put_labels(out, group);
                put_zigzag(out, at.0);
                put_varint(out, u64::from(*untold));
            }
            Record::ReceiverGone { receiver, at } => {
                out.push(RECEIVER_GONE);
                put_text(out, receiver);
                put_zigzag(out, at.0);
            }
            Record::ReceiverBack { receiver } => {
                out.push(RECEIVER_BACK);
                put_text(out, receiver);
            }
            Record::ClockBack { at } => {
                out.push(CLOCK_BACK);
                put_zigzag(out, at.0);
            }
        }
    }

    /// Reads what [`Record::put`] has written.
    ///
    /// # Errors
    /// The bytes are no record of this version.
    pub fn read(reader: &mut Reader<'_>) -> Result<Record, Malformed> {
        Ok(match reader.byte()? {
            INTENT => Record::Intent(Arc::new(take_intent(reader)?)),
            ATTEMPT => Record::Attempt {
                number: reader.varint()?,
                attempt: small(reader)?,
                at: Timestamp(reader.zigzag()?),
            },
            RESULT => {
                let (number, attempt) = (reader.varint()?, small(reader)?);
                let (at, outcome, verdict) = take_ended(reader)?;
                Record::Result { number, attempt, at, outcome, verdict }
            }
            GAVE_UP => Record::GaveUp {
                number: reader.varint()?,
                at: Timestamp(reader.zigzag()?),
                reason: GiveUp::take(reader)?,
            },
            SETTLED => Record::Settled {
                receiver: take_name(reader)?,
                group: reader.labels()?,
                at: Timestamp(reader.zigzag()?),
                untold: small(reader)?,
            },
            RECEIVER_GONE => Record::ReceiverGone {
                receiver: take_name(reader)?,
                at: Timestamp(reader.zigzag()?),
            },
            RECEIVER_BACK => Record::ReceiverBack { receiver: take_name(reader)? },
            CLOCK_BACK => Record::ClockBack { at: Timestamp(reader.zigzag()?) },
            _ => return Err(reader.malformed("no such record of the notifier")),
        })
    }
}

impl GiveUp {
    pub(in super::super) fn number(self) -> u8 {
        match self {
            GiveUp::Deadline => 0,
            GiveUp::Refused => 1,
            GiveUp::Gone => 2,
            GiveUp::Removed => 3,
            GiveUp::Outdated => 4,
        }
    }

    pub(in super::super) fn take(reader: &mut Reader<'_>) -> Result<GiveUp, Malformed> {
        Ok(match reader.byte()? {
            0 => GiveUp::Deadline,
            1 => GiveUp::Refused,
            2 => GiveUp::Gone,
            3 => GiveUp::Removed,
            4 => GiveUp::Outdated,
            _ => return Err(reader.malformed("no such reason to give up")),
        })
    }
}

impl Why {
    pub(in super::super) fn number(self) -> u8 {
        match self {
            Why::Firing => 0,
            Why::Resolved => 1,
            Why::Repeat => 2,
        }
    }

    pub(in super::super) fn take(reader: &mut Reader<'_>) -> Result<Why, Malformed> {
        Ok(match reader.byte()? {
            0 => Why::Firing,
            1 => Why::Resolved,
            2 => Why::Repeat,
            _ => return Err(reader.malformed("no such reason to notify")),
        })
    }
}

pub(in super::super) fn put_intent(out: &mut Vec<u8>, intent: &Intent) {
    put_varint(out, intent.number);
    put_text(out, &intent.id);
    put_text(out, &intent.receiver);
    put_labels(out, &intent.group);
    put_zigzag(out, intent.at.0);
    put_zigzag(out, intent.deadline.0);
    out.push(intent.reason.number());
    put_varint(out, intent.body.len() as u64);
    out.extend_from_slice(&intent.body);
    put_varint(out, u64::from(intent.truncated));
    put_alerts(out, &intent.alerts);
}

pub(in super::super) fn take_intent(reader: &mut Reader<'_>) -> Result<Intent, Malformed> {
    Ok(Intent {
        number: reader.varint()?,
        id: take_id(reader)?,
        receiver: take_name(reader)?,
        group: reader.labels()?,
        at: Timestamp(reader.zigzag()?),
        deadline: Timestamp(reader.zigzag()?),
        reason: Why::take(reader)?,
        body: {
            let len = reader.count(BODY_BYTES_MAX)?;
            reader.take(len)?.into()
        },
        truncated: small(reader)?,
        alerts: take_alerts(reader)?,
    })
}

pub(in super::super) fn take_id(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    Ok(reader.text(ID_BYTES)?.to_owned())
}

pub(in super::super) fn take_name(reader: &mut Reader<'_>) -> Result<Arc<str>, Malformed> {
    reader.text(NAME_BYTES).map(Arc::from)
}

pub(in super::super) fn put_alerts(out: &mut Vec<u8>, alerts: &BTreeMap<u64, ToldAlert>) {
    put_varint(out, alerts.len() as u64);
    for (fingerprint, alert) in alerts {
        out.extend_from_slice(&fingerprint.to_le_bytes());
        put_alert(out, alert);
    }
}

pub(in super::super) fn take_alerts(
    reader: &mut Reader<'_>,
) -> Result<BTreeMap<u64, ToldAlert>, Malformed> {
    let count = reader.count(GROUP_ALERTS)?;
    (0..count).map(|_| Ok((reader.u64()?, take_alert(reader)?))).collect()
}

pub(in super::super) fn put_alert(out: &mut Vec<u8>, alert: &ToldAlert) {
    put_zigzag(out, alert.starts_at.0);
    put_option(out, alert.ends_at, |out, at| put_zigzag(out, at.0));
    put_option(out, alert.detail.as_ref(), |out, detail| {
        put_labels(out, &detail.labels);
        put_varint(out, detail.annotations.len() as u64);
        for (name, text) in &detail.annotations {
            put_text(out, name);
            put_text(out, text);
        }
        put_text(out, &detail.generator_url);
    });
}

pub(in super::super) fn take_alert(reader: &mut Reader<'_>) -> Result<ToldAlert, Malformed> {
    Ok(ToldAlert {
        starts_at: Timestamp(reader.zigzag()?),
        ends_at: take_option(reader, |reader| reader.zigzag().map(Timestamp))?,
        detail: take_option(reader, |reader| {
            let labels = reader.labels()?;
            let count = reader.count(ANNOTATIONS)?;
            let mut annotation = || {
                let name = reader.text(ANNOTATION_BYTES)?.to_owned();
                Ok((name, reader.text(ANNOTATION_BYTES)?.to_owned()))
            };
            let annotations = (0..count).map(|_| annotation()).collect::<Result<_, _>>()?;
            let generator_url = reader.text(ANNOTATION_BYTES)?.to_owned();
            Ok(Arc::new(Detail { labels, annotations, generator_url }))
        })?,
    })
}

/// An attempt's end: when, with what, and what follows.
pub(in super::super) fn put_ended(
    out: &mut Vec<u8>,
    (at, outcome, verdict): (Timestamp, &Outcome, Verdict),
) {
    put_zigzag(out, at.0);
    match outcome {
        Outcome::Answered { status, retry_after, text } => {
            out.push(0);
            put_varint(out, u64::from(*status));
            match retry_after {
                None => out.push(0),
                Some(RetryAfter::Seconds(seconds)) => {
                    out.push(1);
                    put_varint(out, u64::from(*seconds));
                }
                Some(RetryAfter::At(at)) => {
                    out.push(2);
                    put_zigzag(out, at.0);
                }
            }
            put_text(out, text);
        }
        Outcome::Failed { failure, reason } => {
            out.push(1);
            out.push(match failure {
                Failure::Unusable => 0,
                Failure::Unreachable => 1,
                Failure::TimedOut => 2,
                Failure::Broken => 3,
            });
            put_text(out, reason);
        }
    }
    match verdict {
        Verdict::Delivered => out.push(0),
        Verdict::Retry { at } => {
            out.push(1);
            put_zigzag(out, at.0);
        }
        Verdict::Final => out.push(2),
        Verdict::Gone { until } => {
            out.push(3);
            put_zigzag(out, until.0);
        }
    }
}

pub(in super::super) fn take_ended(
    reader: &mut Reader<'_>,
) -> Result<(Timestamp, Outcome, Verdict), Malformed> {
    let at = Timestamp(reader.zigzag()?);
    let outcome = match reader.byte()? {
        0 => {
            let status = u16::try_from(reader.varint()?);
            Outcome::Answered {
                status: status.map_err(|_| reader.malformed("no such status"))?,
                retry_after: match reader.byte()? {
                    0 => None,
                    1 => Some(RetryAfter::Seconds(small(reader)?)),
                    2 => Some(RetryAfter::At(Timestamp(reader.zigzag()?))),
                    _ => return Err(reader.malformed("no such time to wait")),
                },
                text: reader.text(TEXT_BYTES)?.to_owned(),
            }
        }
        1 => Outcome::Failed {
            failure: match reader.byte()? {
                0 => Failure::Unusable,
                1 => Failure::Unreachable,
                2 => Failure::TimedOut,
                3 => Failure::Broken,
                _ => return Err(reader.malformed("no such failure")),
            },
            reason: reader.text(TEXT_BYTES)?.to_owned(),
        },
        _ => return Err(reader.malformed("no such outcome")),
    };
    let verdict = match reader.byte()? {
        0 => Verdict::Delivered,
        1 => Verdict::Retry { at: Timestamp(reader.zigzag()?) },
        2 => Verdict::Final,
        3 => Verdict::Gone { until: Timestamp(reader.zigzag()?) },
        _ => return Err(reader.malformed("no such verdict")),
    };
    Ok((at, outcome, verdict))
}

pub(in crate::pure) fn put_option<T>(
    out: &mut Vec<u8>,
    value: Option<T>,
    put: impl FnOnce(&mut Vec<u8>, T),
) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

pub(in crate::pure) fn take_option<'a, T>(
    reader: &mut Reader<'a>,
    take: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Option<T>, Malformed> {
    match reader.byte()? {
        0 => Ok(None),
        1 => take(reader).map(Some),
        _ => Err(reader.malformed("neither there nor absent")),
    }
}

pub(in super::super) fn small(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    u32::try_from(reader.varint()?).map_err(|_| reader.malformed("number over 32 bits"))
}
