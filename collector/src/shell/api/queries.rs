//! The places of queries: a fixed number, each with a thread of its own, off the listener's.
//!
//! There is no queue: without a free place a query is refused at once, since dashboards ask again.
//! A query whose client went away or whose time is over is told to stop, and keeps its place until
//! it has. Its thread yields to those that take in frames.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bellwether_model::select::Select;
use bellwether_model::time::Timestamp;
use tokio::sync::{Semaphore, oneshot};

use super::threads::{Threads, yield_to_others};
use crate::pure::api::answer::{Limits, Means, stopped};
use crate::pure::api::error::{ApiError, ErrorKind};
use crate::pure::config::QueryLimits;

/// Of the places, so many are the rules'.
const FOR_RULES: usize = 1;

/// The deepest query that the parser lets pass needs a part of it.
const STACK_BYTES: usize = 16 << 20;

/// Opens a view as of a time; `None` until the store is ready. Called on the query's thread.
pub(crate) type ViewSource = Arc<dyn Fn(Timestamp) -> Option<Box<dyn Select + Send>> + Send + Sync>;

/// Reads the collector's clock.
pub(crate) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Runs queries over views.
pub(crate) struct Queries {
    views: ViewSource,
    clock: Clock,
    limits: Limits,
    timeout: Duration,
    places: Arc<Semaphore>,
    threads: Arc<Threads>,
}

impl Queries {
    /// As many places as the limits say, but those of the rules.
    pub(crate) fn new(views: ViewSource, clock: Clock, limits: QueryLimits) -> Queries {
        Queries {
            views,
            clock,
            limits: Limits { samples_max: limits.samples_max, ..Limits::default() },
            timeout: limits.timeout,
            places: Arc::new(Semaphore::new(limits.at_once.saturating_sub(FOR_RULES).max(1))),
            threads: Arc::new(Threads::of_this_machine()),
        }
    }

    /// The time of the collector's clock.
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Runs a job over a view as of now. The job gets the view, its time, and what it may take.
    ///
    /// # Errors
    /// No place is free, the store is not ready, the time is over, or the job's own.
    pub(crate) async fn run<T, J>(&self, timeout: Option<Duration>, job: J) -> Result<T, ApiError>
    where
        T: Send + 'static,
        J: FnOnce(&dyn Select, Timestamp, &Means<'_>) -> Result<T, ApiError> + Send + 'static,
    {
        let timeout = timeout.unwrap_or(self.timeout).min(self.timeout);
        if timeout.is_zero() {
            return Err(stopped());
        }
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| ApiError::new(ErrorKind::Unavailable, "too many queries at once"))?;
        let (views, now, limits) = (Arc::clone(&self.views), self.now(), self.limits);
        let pool = Arc::clone(&self.threads);
        let guard = StopOnDrop(Arc::new(AtomicBool::new(false)));
        let stop = Arc::clone(&guard.0);
        let (answers, answer) = oneshot::channel();
        let run = move || {
            yield_to_others();
            let outcome = match views(now) {
                Some(view) => job(&*view, now, &Means { limits, pool: &*pool, stop: &stop }),
                None => Err(ApiError::new(ErrorKind::Unavailable, "the store is not ready")),
            };
            // Free before the answer is there, so that who has it may ask again.
            drop(place);
            // Nobody may wait any more.
            answers.send(outcome).ok();
        };
        let builder = thread::Builder::new().name("query".to_owned()).stack_size(STACK_BYTES);
        builder.spawn(run).map_err(|error| {
            ApiError::new(ErrorKind::Unavailable, format!("no thread for the query: {error}"))
        })?;
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(ApiError::new(ErrorKind::Internal, "the query's thread panicked")),
            Err(_) => Err(stopped()),
        }
    }
}

/// Tells a job to stop when nobody waits for it.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
