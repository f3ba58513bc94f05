//! Reading request bodies whole, within a size, a time, and a budget for all bodies together.
//!
//! The caller authorises first: a declared length takes its part of the budget before it is sent.

use std::error::Error as StdError;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::stats::Count;
use super::{Figure, FigureKind};

/// What one body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimit {
    /// Bytes.
    pub bytes: usize,
    /// From the call to the last byte.
    pub time: Duration,
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More than its limit, declared or sent.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// All bodies together are over the budget.
    #[error("too many request bodies are being read; try again")]
    Full,
    /// The client is gone or does not speak HTTP.
    #[error("the body broke off")]
    Broken(#[source] Box<dyn StdError + Send + Sync>),
    /// It did not come in time.
    #[error("the body did not come within {time:?}")]
    TimedOut {
        /// The limit.
        time: Duration,
    },
}

impl BodyError {
    /// The status to answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Full => StatusCode::SERVICE_UNAVAILABLE,
            BodyError::Broken(_) => StatusCode::BAD_REQUEST,
            BodyError::TimedOut { .. } => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// Whether the same body may be taken later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(self, BodyError::TooLarge { .. })
    }

    /// The seconds to answer in `Retry-After`, if any.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u32> {
        matches!(self, BodyError::Full).then_some(1)
    }
}

/// The budget of all bodies of a process. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct Bodies {
    budget: Arc<Semaphore>,
    bytes_max: u32,
    stats: Arc<Stats>,
}

#[derive(Debug, Default)]
struct Stats {
    full: Count,
    too_large: Count,
    broken: Count,
    timed_out: Count,
}

/// A body and its part of the budget, which it gives back when dropped: it goes where the bytes go.
pub struct HeldBody {
    bytes: Bytes,
    _part: Option<OwnedSemaphorePermit>,
}

impl HeldBody {
    /// The bytes, for slicing without a copy; a slice that outlives `self` is outside the budget.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl Deref for HeldBody {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The length only: bodies may hold what is not for logs.
impl fmt::Debug for HeldBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeldBody({} bytes)", self.bytes.len())
    }
}

impl Bodies {
    /// A budget of `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: u32) -> Bodies {
        let places = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let budget = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Bodies { budget, bytes_max, stats: Arc::default() }
    }

    /// Reads a body whole.
    ///
    /// # Errors
    /// Says why not; the error knows the status to answer. Each is counted.
    pub async fn read<B>(&self, body: B, limit: BodyLimit) -> Result<HeldBody, BodyError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let read = timeout(limit.time, self.read_all(body, limit.bytes)).await;
        let read = read.unwrap_or(Err(BodyError::TimedOut { time: limit.time }));
        if let Err(error) = &read {
            match error {
                BodyError::TooLarge { .. } => &self.stats.too_large,
                BodyError::Full => &self.stats.full,
                BodyError::Broken(_) => &self.stats.broken,
                BodyError::TimedOut { .. } => &self.stats.timed_out,
            }
            .add(1);
        }
        read
    }

    async fn read_all<B>(&self, mut body: B, limit: usize) -> Result<HeldBody, BodyError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let too_large = || BodyError::TooLarge { limit };
        let declared = usize::try_from(body.size_hint().lower()).map_err(|_| too_large())?;
        if declared > limit {
            return Err(too_large());
        }
        let mut part = None;
        self.extend(&mut part, declared)?;
        let mut held = declared;
        let mut bytes = Gathered::default();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|error| BodyError::Broken(error.into()))?.into_data()
            else {
                continue; // trailers
            };
            let length = bytes.len().saturating_add(data.len());
            if length > limit {
                return Err(too_large());
            }
            if length > held {
                self.extend(&mut part, length - held)?;
                held = length;
            }
            bytes.add(data, declared);
        }
        Ok(HeldBody { bytes: bytes.whole(), _part: part })
    }

    fn extend(
        &self,
        part: &mut Option<OwnedSemaphorePermit>,
        bytes: usize,
    ) -> Result<(), BodyError> {
        let bytes = u32::try_from(bytes).map_err(|_| BodyError::Full)?;
        let more = Arc::clone(&self.budget).try_acquire_many_owned(bytes);
        let more = more.map_err(|_| BodyError::Full)?;
        match part {
            Some(part) => part.merge(more),
            None => *part = Some(more),
        }
        Ok(())
    }

    /// All figures, in a fixed order.
    #[must_use]
    pub fn figures(&self) -> [Figure; 5] {
        let free = u32::try_from(self.budget.available_permits()).unwrap_or(u32::MAX);
        let counter = |name, help, count: &Count| Figure {
            name,
            help,
            kind: FigureKind::Counter,
            value: count.get(),
        };
        [
            Figure {
                name: "bellwether_listener_bodies_bytes",
                help: "Bytes of request bodies in memory now.",
                kind: FigureKind::Gauge,
                value: u64::from(self.bytes_max.saturating_sub(free)),
            },
            counter(
                "bellwether_listener_bodies_refused_total",
                "Request bodies refused because the budget of all bodies was used up.",
                &self.stats.full,
            ),
            counter(
                "bellwether_listener_bodies_too_large_total",
                "Request bodies over their limit.",
                &self.stats.too_large,
            ),
            counter(
                "bellwether_listener_bodies_broken_total",
                "Request bodies that broke off.",
                &self.stats.broken,
            ),
            counter(
                "bellwether_listener_bodies_late_total",
                "Request bodies that did not come in time.",
                &self.stats.timed_out,
            ),
        ]
    }
}

/// The pieces of a body; one piece alone is not copied.
#[derive(Default)]
struct Gathered {
    first: Bytes,
    all: BytesMut,
}

impl Gathered {
    fn len(&self) -> usize {
        self.first.len().max(self.all.len())
    }

    fn add(&mut self, piece: Bytes, declared: usize) {
        if self.len() == 0 {
            self.first = piece;
            return;
        }
        if self.all.is_empty() {
            self.all.reserve(declared.max(self.first.len() + piece.len()));
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&piece);
    }

    fn whole(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}
