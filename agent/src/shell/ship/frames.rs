//! From the sampler's rows to frames: runs on the sampler's thread, hands on without waiting.

use std::sync::mpsc::{Receiver, Sender, channel};

use bellwether_model::wire::encode::{EncodeError, Encoder, Origin};
use bytes::Bytes;
use prometheus::IntCounter;
use tokio::sync::mpsc;
use tracing::warn;

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

/// The sampler's sink.
pub struct Frames {
    encoder: Encoder,
    control: Receiver<Control>,
    queue: mpsc::Sender<Bytes>,
    buffer: Vec<u8>,
    dropped: IntCounter,
}

/// Makes the sink and the other end of its channels. `dropped` counts samples that never became a
/// frame.
#[must_use]
pub fn frames(
    origin: Origin,
    dropped: IntCounter,
) -> (Frames, (mpsc::Receiver<Bytes>, Sender<Control>)) {
    let (queue, frames) = mpsc::channel(QUEUE);
    let (sender, control) = channel();
    let sink =
        Frames { encoder: Encoder::new(origin), control, queue, buffer: Vec::new(), dropped };
    (sink, (frames, sender))
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
            return self.dropped.inc_by(samples(groups));
        };
        self.buffer.clear();
        let mut encoded = encode(&mut self.encoder, tick, groups, &mut self.buffer);
        if encoded == Err(EncodeError::SegmentFull) {
            encoded = encode(&mut self.encoder, tick, groups, &mut self.buffer);
        }
        match encoded {
            Ok(()) => place.send(Bytes::copy_from_slice(&self.buffer)),
            Err(error) => {
                warn!(%error, "rows do not fit a frame");
                self.dropped.inc_by(samples(groups));
            }
        }
    }
}

fn encode(
    encoder: &mut Encoder,
    tick: Tick,
    groups: &mut [Group],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    encoder.begin(tick.complete_through);
    for group in groups.iter_mut().filter(|group| group.due) {
        encoder.row(group.id, &mut group.table, tick.time);
    }
    encoder.finish(out).map(drop)
}

fn samples(groups: &[Group]) -> u64 {
    let due = groups.iter().filter(|group| group.due);
    due.map(|group| group.table.live() as u64).sum()
}
