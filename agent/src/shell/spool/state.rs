//! The entries of the spool's journal: 0, the frame's number and the frame, or 1 and a state.
//!
//! A frame ends with the CRC of all before it, and over such bytes the entry's own CRC comes out
//! the same for every frame of one length: it would take an older frame that a torn write has left
//! for the new one. The number before the frame makes it differ.

use std::collections::BTreeMap;

use bellwether_model::id::{Incarnation, Seq};
use bellwether_model::wire::bytes::{Malformed, Reader, put_text, put_varint};
use bellwether_model::wire::envelope::Skip;
use bellwether_model::wire::frame::Frame;

use crate::pure::ship::backlog::Segment;

const FRAME: u8 = 0;
const STATE: u8 = 1;
const NAME_BYTES: usize = 4096;

/// What one collector has acknowledged, and what it will never get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) cursor: Seq,
    pub(super) skips: Vec<Skip>,
}

/// What a segment opens with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) incarnation: Incarnation,
    pub(super) cursors: BTreeMap<String, Declared>,
}

impl Declared {
    /// Whether every number of a range is declared.
    pub(super) fn covers(&self, first: Seq, last: Seq) -> bool {
        let mut next = first;
        while let Some(skip) = self.skips.iter().find(|s| s.first <= next && next <= s.last) {
            next = Seq(skip.last.0 + 1);
        }
        next > last
    }
}

pub(super) fn put_frame(out: &mut Vec<u8>, seq: Seq, frame: &[u8]) {
    out.push(FRAME);
    out.extend_from_slice(&seq.0.to_le_bytes());
    out.extend_from_slice(frame);
}

/// The frame in an entry; `None` for another entry, or a frame that its CRC does not vouch for.
pub(super) fn frame(entry: &[u8]) -> Option<Frame<'_>> {
    let (number, bytes) = entry.strip_prefix(&[FRAME])?.split_first_chunk()?;
    let (frame, _) = Frame::read(bytes).ok()?;
    (frame.header().seq == Seq(u64::from_le_bytes(*number))).then_some(frame)
}

impl State {
    /// Whether every collector has a segment, or was told that it will not come.
    pub(super) fn is_done(&self, segment: &Segment) -> bool {
        let done = |declared: &Declared| {
            declared.covers(segment.first.max(Seq(declared.cursor.0 + 1)), segment.last)
        };
        !self.cursors.is_empty() && self.cursors.values().all(done)
    }

    /// Bytes of the entry.
    pub(super) fn len(&self) -> usize {
        let mut out = Vec::new();
        self.put(&mut out);
        out.len()
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(STATE);
        put_varint(out, u64::from(self.incarnation.0));
        put_varint(out, self.cursors.len() as u64);
        for (collector, declared) in &self.cursors {
            put_text(out, collector);
            put_varint(out, declared.cursor.0);
            put_varint(out, declared.skips.len() as u64);
            declared.skips.iter().for_each(|skip| skip.put(out));
        }
    }

    pub(super) fn read(entry: &[u8]) -> Result<State, Malformed> {
        let mut reader = Reader::new(entry);
        if reader.byte()? != STATE {
            return Err(reader.malformed("not a state"));
        }
        let incarnation =
            u32::try_from(reader.varint()?).map_err(|_| reader.malformed("incarnation"))?;
        let mut state = State { incarnation: Incarnation(incarnation), ..State::default() };
        for _ in 0..reader.count(NAME_BYTES)? {
            let collector = reader.text(NAME_BYTES)?.to_owned();
            let cursor = Seq(reader.varint()?);
            let count = reader.count(usize::MAX)?;
            let skips = (0..count).map(|_| Skip::take(&mut reader)).collect::<Result<_, _>>()?;
            state.cursors.insert(collector, Declared { cursor, skips });
        }
        reader.finish()?;
        Ok(state)
    }
}
