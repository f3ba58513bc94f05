//! From the sampler's rows to frames: runs on the sampler's thread, hands on without waiting.

use std::sync::mpsc::{Receiver, Sender, channel};

use bellwether_model::series::is_absent;
use bellwether_model::wire::encode::{EncodeError, Encoded, Encoder, Origin};
use bytes::Bytes;
use tokio::sync::mpsc;
use tracing::warn;

use crate::pure::account::{Count, DropReason};
use crate::pure::ticks::Tick;
use crate::shell::collection::Group;
use crate::shell::sampler::Sink;

/// Frames between the sampler and the spool: a disk may stall so many ticks.
const QUEUE: usize = 256;

/// What the shipping side asks of the encoder.
#[derive(Clone, Copy, Debug)]
pub enum Control {
    /// The next frame opens a segment.
    Cut,
    /// Another identity: everything opens anew.
    Origin(Origin),
}

/// What the sampler hands to shipping.
#[derive(Debug)]
pub struct Handed {
    /// A frame.
    pub frame: Bytes,
    /// Samples in it.
    pub samples: u32,
    /// Rows before it that never became a frame, by reason.
    pub never_made: [(DropReason, Count); 2],
}

/// The sampler's sink.
pub struct Frames {
    encoder: Encoder,
    control: Receiver<Control>,
    queue: mpsc::Sender<Handed>,
    buffer: Vec<u8>,
    never_made: [(DropReason, Count); 2],
}

/// Nothing was dropped since the last frame.
const NONE_DROPPED: [(DropReason, Count); 2] = [
    (DropReason::Queue, Count { frames: 0, samples: 0 }),
    (DropReason::Unencodable, Count { frames: 0, samples: 0 }),
];

/// Makes the sink and the other end of its channels.
#[must_use]
pub fn frames(origin: Origin) -> (Frames, (mpsc::Receiver<Handed>, Sender<Control>)) {
    let (queue, frames) = mpsc::channel(QUEUE);
    let (sender, control) = channel();
    let (encoder, buffer) = (Encoder::new(origin), Vec::new());
    (Frames { encoder, control, queue, buffer, never_made: NONE_DROPPED }, (frames, sender))
}

impl Sink for Frames {
    fn take(&mut self, tick: Tick, groups: &mut [Group]) {
        for control in self.control.try_iter() {
            match control {
                Control::Cut => self.encoder.cut(),
                Control::Origin(origin) => self.encoder = Encoder::new(origin),
            }
        }
        let Ok(place) = self.queue.try_reserve() else {
            return count(&mut self.never_made, DropReason::Queue, groups);
        };
        self.buffer.clear();
        let mut encoded = encode(&mut self.encoder, tick, groups, &mut self.buffer);
        if matches!(encoded, Err(EncodeError::SegmentFull)) {
            encoded = encode(&mut self.encoder, tick, groups, &mut self.buffer);
        }
        match encoded {
            Ok(Encoded { samples, .. }) => {
                let never_made = std::mem::replace(&mut self.never_made, NONE_DROPPED);
                let frame = Bytes::copy_from_slice(&self.buffer);
                place.send(Handed { frame, samples, never_made });
            }
            Err(error) => {
                warn!(%error, "rows do not fit a frame");
                count(&mut self.never_made, DropReason::Unencodable, groups);
            }
        }
    }

    fn begin_anew(&mut self) {
        self.encoder.cut();
    }
}

fn encode(
    encoder: &mut Encoder,
    tick: Tick,
    groups: &mut [Group],
    out: &mut Vec<u8>,
) -> Result<Encoded, EncodeError> {
    encoder.begin(tick.complete_through);
    for group in groups.iter_mut().filter(|group| group.due) {
        encoder.row(group.id, &mut group.table, tick.time);
    }
    encoder.finish(out)
}

/// Counts the rows of a tick as lost.
fn count(never_made: &mut [(DropReason, Count); 2], reason: DropReason, groups: &[Group]) {
    let rows = groups.iter().filter(|group| group.due).flat_map(|group| group.table.values());
    let samples = rows.filter(|value| !is_absent(**value)).count();
    for (_, held) in never_made.iter_mut().filter(|(held, _)| *held == reason) {
        *held += Count { frames: 1, samples: u64::try_from(samples).unwrap_or(u64::MAX) };
    }
}
