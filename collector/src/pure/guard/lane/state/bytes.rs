//! The state as bytes, for checkpoints.

use std::collections::VecDeque;
use std::sync::Arc;

use bellwether_model::wire::bytes::{Malformed, Reader, put_text, put_varint, put_zigzag};

use super::super::super::super::notify::record::bytes::{put_option, take_option};
use super::super::super::record::bytes::{
    put_answer, put_close, put_intent, put_sighting, take_answer, take_close, take_detail,
    take_intent, take_name, take_sighting, take_time,
};
use super::super::LANES;
use super::{CLOSED, Finished, LaneKey, LaneState, LanesState, Open, ROLLED_BACK};

impl LanesState {
    /// Appends it.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.made);
        put_varint(out, self.lanes.len() as u64);
        for (key, lane) in &self.lanes {
            put_text(out, &key.service);
            put_text(out, &key.environment);
            put_varint(out, lane.generation);
            put_option(out, lane.open, put_varint);
            put_varint(out, lane.rolled_back.len() as u64);
            lane.rolled_back.iter().for_each(|version| put_text(out, version));
        }
        put_varint(out, self.open.len() as u64);
        self.open.values().for_each(|open| put_open(out, open));
        put_varint(out, self.closed.len() as u64);
        for finished in &self.closed {
            put_open(out, &finished.signal);
            put_close(out, finished.outcome);
            put_text(out, &finished.detail);
            put_zigzag(out, finished.at.0);
        }
    }

    /// Reads what [`LanesState::put`] has written.
    ///
    /// # Errors
    /// The bytes are no state of this version.
    pub fn take(reader: &mut Reader<'_>) -> Result<LanesState, Malformed> {
        let mut state = LanesState { made: reader.varint()?, ..LanesState::default() };
        for _ in 0..reader.count(LANES)? {
            let key = LaneKey { service: take_name(reader)?, environment: take_name(reader)? };
            let lane = LaneState {
                generation: reader.varint()?,
                open: take_option(reader, Reader::varint)?,
                rolled_back: {
                    let count = reader.count(ROLLED_BACK)?;
                    (0..count).map(|_| take_name(reader)).collect::<Result<VecDeque<_>, _>>()?
                },
            };
            state.lanes.insert(key, lane);
        }
        for _ in 0..reader.count(LANES)? {
            let open = take_open(reader)?;
            state.open.insert(open.intent.number, open);
        }
        for _ in 0..reader.count(CLOSED)? {
            state.closed.push_back(Arc::new(Finished {
                signal: take_open(reader)?,
                outcome: take_close(reader)?,
                detail: take_detail(reader)?,
                at: take_time(reader)?,
            }));
        }
        Ok(state)
    }
}

fn put_open(out: &mut Vec<u8>, open: &Open) {
    put_intent(out, &open.intent);
    put_varint(out, u64::from(open.tries));
    put_option(out, open.tried_at, |out, at| put_zigzag(out, at.0));
    put_option(out, open.answer.as_ref(), |out, (answer, at)| {
        put_answer(out, answer);
        put_zigzag(out, at.0);
    });
    put_option(out, open.observed, |out, (by, at)| {
        put_sighting(out, by);
        put_zigzag(out, at.0);
    });
}

fn take_open(reader: &mut Reader<'_>) -> Result<Open, Malformed> {
    Ok(Open {
        intent: Arc::new(take_intent(reader)?),
        tries: reader.small()?,
        tried_at: take_option(reader, take_time)?,
        answer: take_option(reader, |reader| Ok((take_answer(reader)?, take_time(reader)?)))?,
        observed: take_option(reader, |reader| Ok((take_sighting(reader)?, take_time(reader)?)))?,
    })
}
