//! From the sampler's rows to frames: runs on the sampler's thread, hands on without waiting.
//!
//! Groups that do not fit a frame are left out of it, and rows that find the queue full are
//! dropped; both are counted, and the counts go with the next frame, or alone when the sink ends:
//! a place in the queue is kept for that.

use std::collections::BTreeSet;

use bellwether_model::id::GroupId;
use bellwether_model::series::is_absent;
use bellwether_model::wire::encode::{EncodeError, Encoded, Encoder, Origin};
use bytes::Bytes;
use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::pure::account::{Count, DropReason};
use crate::pure::ticks::Tick;
use crate::shell::collection::Group;
use crate::shell::sampler::Sink;

/// Frames between the sampler and the spool: a disk may stall so many ticks.
const QUEUE: usize = 256;

/// What the shipping side asks of the encoder. The newest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Whose frames these are; another one opens everything anew.
    pub origin: Origin,
    /// How often it was asked that the next frame open a segment.
    pub cuts: u64,
}

/// What the sampler hands to shipping.
#[derive(Debug)]
pub struct Handed {
    /// A frame; none where the sampler ends.
    pub frame: Option<Made>,
    /// Rows that never became part of a frame, by reason, since this was last told.
    pub never_made: [(DropReason, Count); 2],
}

/// A frame.
#[derive(Debug)]
pub struct Made {
    /// Its bytes.
    pub bytes: Bytes,
    /// Samples in it.
    pub samples: u32,
}

/// The sampler's sink.
pub struct Frames {
    encoder: Encoder,
    control: watch::Receiver<Control>,
    obeyed: Control,
    queue: mpsc::Sender<Handed>,
    /// A place for the counts that are left at the end.
    last: Option<OwnedPermit<Handed>>,
    buffer: Vec<u8>,
    never_made: [(DropReason, Count); 2],
    /// Whether the last rows found the queue full.
    is_stalled: bool,
    /// Groups whose last row did not fit.
    left_out: BTreeSet<GroupId>,
}

/// Nothing was dropped since the last frame.
const NONE_DROPPED: [(DropReason, Count); 2] = [
    (DropReason::Queue, Count { frames: 0, samples: 0 }),
    (DropReason::Unencodable, Count { frames: 0, samples: 0 }),
];

/// Makes the sink and the other end of its channels.
#[must_use]
pub fn frames(origin: Origin) -> (Frames, (mpsc::Receiver<Handed>, watch::Sender<Control>)) {
    let (queue, frames) = mpsc::channel(QUEUE + 1);
    let obeyed = Control { origin, cuts: 0 };
    let (sender, control) = watch::channel(obeyed);
    let sink = Frames {
        encoder: Encoder::new(origin),
        control,
        obeyed,
        last: queue.clone().try_reserve_owned().ok(),
        queue,
        buffer: Vec::new(),
        never_made: NONE_DROPPED,
        is_stalled: false,
        left_out: BTreeSet::new(),
    };
    (sink, (frames, sender))
}

impl Sink for Frames {
    fn take(&mut self, tick: Tick, groups: &mut [Group]) {
        self.obey();
        let Ok(place) = self.queue.clone().try_reserve_owned() else {
            self.stalls(true);
            let samples = samples(groups.iter().filter(|group| group.due));
            return self.count(DropReason::Queue, Count { frames: 1, samples });
        };
        self.stalls(false);
        self.buffer.clear();
        let mut encoded = self.encode(tick, groups);
        if encoded == Err(EncodeError::SegmentFull) {
            encoded = self.encode(tick, groups);
        }
        let encoded = encoded.expect("invariant: a frame is not larger than a segment");
        let Encoded { samples, samples_left_out, .. } = encoded;
        self.tell_left_out(groups);
        let samples_left_out = u64::from(samples_left_out);
        self.count(DropReason::Unencodable, Count { frames: 0, samples: samples_left_out });
        let never_made = std::mem::replace(&mut self.never_made, NONE_DROPPED);
        let bytes = Bytes::copy_from_slice(&self.buffer);
        place.send(Handed { frame: Some(Made { bytes, samples }), never_made });
    }

    fn begin_anew(&mut self) {
        self.encoder.cut();
        self.left_out.clear();
    }
}

impl Drop for Frames {
    /// What was counted since the last frame is told all the same.
    fn drop(&mut self) {
        let never_made = std::mem::replace(&mut self.never_made, NONE_DROPPED);
        if let Some(place) = self.last.take().filter(|_| never_made != NONE_DROPPED) {
            place.send(Handed { frame: None, never_made });
        }
    }
}

impl Frames {
    /// Does what shipping asks.
    fn obey(&mut self) {
        let asked = *self.control.borrow();
        if asked.origin != self.obeyed.origin {
            self.encoder = Encoder::new(asked.origin);
        } else if asked.cuts != self.obeyed.cuts {
            self.encoder.cut();
        }
        self.obeyed = asked;
    }

    fn encode(&mut self, tick: Tick, groups: &mut [Group]) -> Result<Encoded, EncodeError> {
        self.encoder.begin(tick.complete_through);
        for group in groups.iter_mut().filter(|group| group.due) {
            self.encoder.row(group.id, &mut group.table, tick.time);
        }
        self.encoder.finish(&mut self.buffer)
    }

    /// Counts what is lost.
    fn count(&mut self, reason: DropReason, count: Count) {
        for (_, held) in self.never_made.iter_mut().filter(|(held, _)| *held == reason) {
            *held += count;
        }
    }

    /// Says when rows begin to be dropped for want of a place, and when they no longer are.
    fn stalls(&mut self, is_stalled: bool) {
        match (std::mem::replace(&mut self.is_stalled, is_stalled), is_stalled) {
            (false, true) => warn!("the spool takes no frames; rows are dropped"),
            (true, false) => info!("the spool takes frames again"),
            _ => {}
        }
    }

    /// Says which groups begin to be left out, and which no longer are.
    fn tell_left_out(&mut self, groups: &[Group]) {
        if self.encoder.left_out().is_empty() && self.left_out.is_empty() {
            return;
        }
        let now: BTreeSet<GroupId> = self.encoder.left_out().iter().copied().collect();
        let due = || groups.iter().filter(|group| group.due);
        let gone = |group: &&Group| now.contains(&group.id) && !self.left_out.contains(&group.id);
        let back = |group: &&Group| !now.contains(&group.id) && self.left_out.contains(&group.id);
        if let Some(group) = due().find(gone) {
            let (groups, first) = (due().filter(gone).count(), group.table.target());
            warn!(groups, %first, "rows do not fit a frame and are dropped");
        }
        if let Some(group) = due().find(back) {
            let (groups, first) = (due().filter(back).count(), group.table.target());
            info!(groups, %first, "rows fit a frame again");
        }
        let came: Vec<GroupId> = due().filter(back).map(|group| group.id).collect();
        self.left_out.extend(now);
        self.left_out.retain(|group| !came.contains(group));
    }
}

/// Samples in the rows of groups.
fn samples<'a>(groups: impl Iterator<Item = &'a Group>) -> u64 {
    let rows = groups.flat_map(|group| group.table.values());
    rows.filter(|value| !is_absent(**value)).map(|_| 1).sum()
}

#[cfg(test)]
mod tests;
