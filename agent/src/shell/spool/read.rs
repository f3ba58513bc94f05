//! Frames read back, for a request.

use std::ops::ControlFlow;

use bellwether_model::id::Seq;
use bellwether_model::limit;
use bytes::Bytes;

use super::{Spool, SpoolError, state};

impl Spool {
    /// Frames from `from` on, in order, as many as a request holds; frames that cannot be read are
    /// left out, and show as a gap.
    ///
    /// # Errors
    /// The disk failed.
    pub fn read(&self, from: Seq) -> Result<Vec<(Seq, Bytes)>, SpoolError> {
        let mut taken = Taken { frames: Vec::new(), bytes: 0 };
        if self.recent.front().is_some_and(|(first, _)| *first <= from) {
            let wanted = self.recent.iter().filter(|(seq, _)| *seq >= from);
            wanted
                .take_while(|(seq, bytes)| taken.take(*seq, || bytes.clone(), bytes.len()))
                .count();
            return Ok(taken.frames);
        }
        let Some(segment) = self.backlog.segments().find(|segment| segment.last >= from) else {
            return Ok(Vec::new());
        };
        self.journal.read(segment.position, &mut |_, entry| {
            let Some((frame, _)) = state::frame(entry) else { return ControlFlow::Continue(()) };
            let (seq, bytes) = (frame.header().seq, frame.bytes());
            let copy = || Bytes::copy_from_slice(bytes);
            if seq < from || taken.take(seq, copy, bytes.len()) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        Ok(taken.frames)
    }
}

struct Taken {
    frames: Vec<(Seq, Bytes)>,
    bytes: usize,
}

impl Taken {
    /// Takes a frame if the request has room for it.
    fn take(&mut self, seq: Seq, bytes: impl FnOnce() -> Bytes, len: usize) -> bool {
        let room = limit::REQUEST_BYTES - limit::ENVELOPE_BYTES;
        if self.frames.len() == limit::FRAMES || self.bytes + len > room {
            return false;
        }
        self.bytes += len;
        self.frames.push((seq, bytes()));
        true
    }
}
