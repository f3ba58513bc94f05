//! The entries of the spool's journal: 2, the frame's number, its samples and the frame; or 4 and a
//! state. (0, 1 and 3 said less; no release has written them.)
//!
//! A frame ends with the CRC of all before it, and over such bytes the entry's own CRC comes out
//! the same for every frame of one length: it would take an older frame that a torn write has left
//! for the new one. The number before the frame makes it differ.

use std::collections::BTreeMap;

use bellwether_model::id::{Incarnation, Seq};
use bellwether_model::wire::bytes::{Malformed, Reader, put_text, put_varint};
use bellwether_model::wire::envelope::Skip;
use bellwether_model::wire::frame::{Frame, FrameError};

use crate::pure::account::Account;
use crate::pure::ship::backlog::Segment;

const FRAME: u8 = 2;
const STATE: u8 = 4;
const NAME_BYTES: usize = 4096;

/// What one collector has acknowledged, and what it will never get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) cursor: Seq,
    pub(super) skips: Vec<Skip>,
    /// Declared once and below the cursor, of frames that may be held still: a collector that loses
    /// what it had is owed them again.
    pub(super) passed: Vec<Skip>,
}

/// What a segment opens with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) incarnation: Incarnation,
    /// Frames before this one have gone, whatever is left of them in the files.
    pub(super) first: Seq,
    pub(super) cursors: BTreeMap<String, Declared>,
    pub(super) account: Account,
}

/// Bytes of a frame's entry before the frame.
pub(super) const FRAME_HEAD: usize = 13;

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

pub(super) fn put_frame(out: &mut Vec<u8>, seq: Seq, samples: u32, frame: &[u8]) {
    out.push(FRAME);
    out.extend_from_slice(&seq.0.to_le_bytes());
    out.extend_from_slice(&samples.to_le_bytes());
    out.extend_from_slice(frame);
}

/// The frame in an entry, and its samples; `None` for another entry, or a frame that its CRC does
/// not vouch for.
pub(super) fn frame(entry: &[u8]) -> Option<(Frame<'_>, u32)> {
    let (number, rest) = entry.strip_prefix(&[FRAME])?.split_first_chunk()?;
    let (samples, bytes) = rest.split_first_chunk()?;
    let (frame, _) = Frame::read(bytes).ok()?;
    let is_it = frame.header().seq == Seq(u64::from_le_bytes(*number));
    is_it.then_some((frame, u32::from_le_bytes(*samples)))
}

/// The version of the frame in an entry, where it is not the one of this build.
pub(super) fn foreign(entry: &[u8]) -> Option<u8> {
    match Frame::read(entry.strip_prefix(&[FRAME])?.get(FRAME_HEAD - 1..)?) {
        Err(FrameError::Version(version)) => Some(version),
        _ => None,
    }
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
        put_varint(out, self.first.0);
        put_varint(out, self.cursors.len() as u64);
        for (collector, declared) in &self.cursors {
            put_text(out, collector);
            put_varint(out, declared.cursor.0);
            for skips in [&declared.skips, &declared.passed] {
                put_varint(out, skips.len() as u64);
                skips.iter().for_each(|skip| skip.put(out));
            }
        }
        self.account.put(out);
    }

    pub(super) fn read(entry: &[u8]) -> Result<State, Malformed> {
        let mut reader = Reader::new(entry);
        if reader.byte()? != STATE {
            return Err(reader.malformed("not a state"));
        }
        let incarnation =
            u32::try_from(reader.varint()?).map_err(|_| reader.malformed("incarnation"))?;
        let (incarnation, first) = (Incarnation(incarnation), Seq(reader.varint()?));
        let mut state = State { incarnation, first, ..State::default() };
        for _ in 0..reader.count(NAME_BYTES)? {
            let collector = reader.text(NAME_BYTES)?.to_owned();
            let cursor = Seq(reader.varint()?);
            let (skips, passed) = (take_skips(&mut reader)?, take_skips(&mut reader)?);
            state.cursors.insert(collector, Declared { cursor, skips, passed });
        }
        state.account = Account::take(&mut reader)?;
        reader.finish()?;
        Ok(state)
    }
}

fn take_skips(reader: &mut Reader<'_>) -> Result<Vec<Skip>, Malformed> {
    let count = reader.count(usize::MAX)?;
    (0..count).map(|_| Skip::take(reader)).collect()
}
