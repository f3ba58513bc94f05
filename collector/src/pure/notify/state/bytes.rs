//! The state as bytes, for checkpoints and snapshots.

use std::collections::VecDeque;
use std::sync::Arc;

use bellwether_model::time::Timestamp;
use bellwether_model::wire::bytes::{
    Malformed, Reader, put_labels, put_text, put_varint, put_zigzag,
};

use super::super::record::bytes::{
    GROUP_ALERTS, put_alert, put_alerts, put_ended, put_intent, put_option, small, take_alert,
    take_alerts, take_ended, take_id, take_intent, take_name, take_option,
};
use super::super::record::{GiveUp, Why};
use super::{
    ATTEMPTS, Attempt, End, Finished, GroupState, HISTORY, Known, NotifyState, Open, ReceiverState,
};

/// Receivers with a state.
const RECEIVERS: usize = 10_000;

impl NotifyState {
    /// Appends it.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.made);
        put_zigzag(out, self.latest.0);
        put_varint(out, self.receivers.len() as u64);
        for (name, receiver) in &self.receivers {
            put_text(out, name);
            put_option(out, receiver.not_before, |out, at| put_zigzag(out, at.0));
            put_option(out, receiver.gone_until, |out, at| put_zigzag(out, at.0));
            put_varint(out, receiver.groups.len() as u64);
            for (labels, group) in &receiver.groups {
                put_labels(out, labels);
                put_group(out, group);
            }
        }
        put_varint(out, self.open.len() as u64);
        for open in self.open.values() {
            put_intent(out, &open.intent);
            put_attempts(out, open.tries, &open.attempts);
            out.push(u8::from(open.unsure));
        }
        put_varint(out, self.history.len() as u64);
        self.history.iter().for_each(|finished| put_finished(out, finished));
    }

    /// Reads what [`NotifyState::put`] has written.
    ///
    /// # Errors
    /// The bytes are no state of this version.
    pub fn take(reader: &mut Reader<'_>) -> Result<NotifyState, Malformed> {
        let mut state = NotifyState {
            made: reader.varint()?,
            latest: Timestamp(reader.zigzag()?),
            ..NotifyState::default()
        };
        for _ in 0..reader.count(RECEIVERS)? {
            let name = take_name(reader)?;
            let at = |reader: &mut Reader<'_>| reader.zigzag().map(Timestamp);
            let mut receiver = ReceiverState {
                not_before: take_option(reader, at)?,
                gone_until: take_option(reader, at)?,
                ..ReceiverState::default()
            };
            for _ in 0..reader.count(usize::MAX)? {
                let labels = reader.labels()?;
                receiver.groups.insert(labels, take_group(reader)?);
            }
            state.receivers.insert(name, receiver);
        }
        for _ in 0..reader.count(usize::MAX)? {
            let intent = Arc::new(take_intent(reader)?);
            let (tries, attempts) = take_attempts(reader)?;
            let unsure = reader.byte()? != 0;
            state.put_open(Open { intent, tries, attempts, unsure });
        }
        for _ in 0..reader.count(HISTORY)? {
            state.history.push_back(Arc::new(take_finished(reader)?));
        }
        Ok(state)
    }
}

fn put_group(out: &mut Vec<u8>, group: &GroupState) {
    put_zigzag(out, group.flushed_at.0);
    put_option(out, group.told_at, |out, at| put_zigzag(out, at.0));
    put_option(out, group.open, put_varint);
    put_varint(out, group.known.len() as u64);
    for (fingerprint, known) in &group.known {
        out.extend_from_slice(&fingerprint.to_le_bytes());
        out.push(u8::from(known.is_told));
        put_alert(out, &known.alert);
    }
}

fn take_group(reader: &mut Reader<'_>) -> Result<GroupState, Malformed> {
    let mut group = GroupState {
        flushed_at: Timestamp(reader.zigzag()?),
        told_at: take_option(reader, |reader| reader.zigzag().map(Timestamp))?,
        open: take_option(reader, Reader::varint)?,
        ..GroupState::default()
    };
    for _ in 0..reader.count(GROUP_ALERTS)? {
        let fingerprint = reader.u64()?;
        let is_told = reader.byte()? != 0;
        group.known.insert(fingerprint, Known { alert: take_alert(reader)?, is_told });
    }
    Ok(group)
}

fn put_attempts(out: &mut Vec<u8>, tries: u32, attempts: &VecDeque<Attempt>) {
    put_varint(out, u64::from(tries));
    put_varint(out, attempts.len() as u64);
    for attempt in attempts {
        put_varint(out, u64::from(attempt.number));
        put_zigzag(out, attempt.at.0);
        put_option(out, attempt.ended.as_ref(), |out, (at, outcome, verdict)| {
            put_ended(out, (*at, outcome, *verdict));
        });
    }
}

fn take_attempts(reader: &mut Reader<'_>) -> Result<(u32, VecDeque<Attempt>), Malformed> {
    let tries = small(reader)?;
    let count = reader.count(ATTEMPTS)?;
    let mut attempt = || {
        Ok(Attempt {
            number: small(reader)?,
            at: Timestamp(reader.zigzag()?),
            ended: take_option(reader, take_ended)?,
        })
    };
    let attempts = (0..count).map(|_| attempt()).collect::<Result<_, _>>()?;
    Ok((tries, attempts))
}

fn put_finished(out: &mut Vec<u8>, finished: &Finished) {
    put_varint(out, finished.number);
    put_text(out, &finished.id);
    put_text(out, &finished.receiver);
    put_labels(out, &finished.group);
    put_zigzag(out, finished.made_at.0);
    out.push(finished.reason.number());
    put_alerts(out, &finished.alerts);
    put_varint(out, u64::from(finished.more));
    put_attempts(out, finished.tries, &finished.attempts);
    put_zigzag(out, finished.at.0);
    match finished.end {
        End::Delivered => out.push(0),
        End::GaveUp(reason) => {
            out.push(1);
            out.push(reason.number());
        }
        End::Superseded(by) => {
            out.push(2);
            put_varint(out, by);
        }
    }
}

fn take_finished(reader: &mut Reader<'_>) -> Result<Finished, Malformed> {
    let number = reader.varint()?;
    let id = take_id(reader)?;
    let (receiver, group) = (take_name(reader)?, reader.labels()?);
    let made_at = Timestamp(reader.zigzag()?);
    let reason = Why::take(reader)?;
    let alerts = take_alerts(reader)?;
    let more = small(reader)?;
    let (tries, attempts) = take_attempts(reader)?;
    let at = Timestamp(reader.zigzag()?);
    let end = match reader.byte()? {
        0 => End::Delivered,
        1 => End::GaveUp(GiveUp::take(reader)?),
        2 => End::Superseded(reader.varint()?),
        _ => return Err(reader.malformed("no such end")),
    };
    Ok(Finished {
        number,
        id,
        receiver,
        group,
        made_at,
        reason,
        alerts,
        more,
        tries,
        attempts,
        at,
        end,
    })
}
