//! A budget for the bytes of answers that clients have not taken yet.
//!
//! The part of an answer is held as long as any of its bytes are, wherever they wait: in the
//! service, in HTTP's buffers, or for a client that does not read.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::stats::Count;
use super::{Figure, FigureKind};

/// The budget of all answers of a process. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct Answers {
    budget: Arc<Semaphore>,
    bytes_max: u32,
    full: Arc<Count>,
}

/// Bytes with their part of the budget.
struct Held {
    bytes: Bytes,
    _part: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Answers {
    /// A budget of `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: u32) -> Answers {
        let places = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let budget = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Answers { budget, bytes_max, full: Arc::default() }
    }

    /// The same bytes, which give their part of the budget back once the last of them is dropped;
    /// `None`, counted, if too little of it is left.
    #[must_use]
    pub fn hold(&self, bytes: Bytes) -> Option<Bytes> {
        let part = u32::try_from(bytes.len()).ok();
        let part = part.and_then(|part| Arc::clone(&self.budget).try_acquire_many_owned(part).ok());
        match part {
            Some(part) => Some(Bytes::from_owner(Held { bytes, _part: part })),
            None => {
                self.full.add(1);
                None
            }
        }
    }

    /// All figures, in a fixed order.
    #[must_use]
    pub fn figures(&self) -> [Figure; 2] {
        let free = u32::try_from(self.budget.available_permits()).unwrap_or(u32::MAX);
        [
            Figure {
                name: "bellwether_listener_answers_bytes",
                help: "Bytes of answers that clients have not taken yet.",
                kind: FigureKind::Gauge,
                value: u64::from(self.bytes_max.saturating_sub(free)),
            },
            Figure {
                name: "bellwether_listener_answers_refused_total",
                help: "Answers given up because the budget of all answers was used up.",
                kind: FigureKind::Counter,
                value: self.full.get(),
            },
        ]
    }
}
