//! The pool of queries: a fixed number of places, off the listener's threads.
//!
//! There is no queue: without a free place a query is refused at once, since dashboards ask again.
//! A query whose client went away or whose time is over is told to stop, and keeps its place until
//! it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bellwether_model::select::Select;
use bellwether_model::time::Timestamp;
use tokio::sync::Semaphore;

use crate::pure::api::answer::{Limits, stopped};
use crate::pure::api::error::{ApiError, ErrorKind};

/// Queries at once, as in Prometheus.
pub(crate) const PLACES: usize = 20;

/// How long a query may take if the client does not say less, as in Prometheus.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Opens a view as of a time; `None` until the store is ready. Called on the pool.
pub(crate) type ViewSource = Arc<dyn Fn(Timestamp) -> Option<Box<dyn Select + Send>> + Send + Sync>;

/// Reads the collector's clock.
pub(crate) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Runs queries over views.
pub(crate) struct Queries {
    views: ViewSource,
    clock: Clock,
    limits: Limits,
    places: Arc<Semaphore>,
}

impl Queries {
    /// A pool of `places` places.
    pub(crate) fn new(views: ViewSource, clock: Clock, limits: Limits, places: usize) -> Queries {
        Queries { views, clock, limits, places: Arc::new(Semaphore::new(places)) }
    }

    /// The time of the collector's clock.
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Runs a job over a view as of now. The job gets the view, its time, the limits and the flag
    /// that tells it to stop.
    ///
    /// # Errors
    /// No place is free, the store is not ready, the time is over, or the job's own.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        timeout: Option<Duration>,
        job: impl FnOnce(&dyn Select, Timestamp, &Limits, &AtomicBool) -> Result<T, ApiError>
        + Send
        + 'static,
    ) -> Result<T, ApiError> {
        let timeout = timeout.unwrap_or(TIMEOUT).min(TIMEOUT);
        if timeout.is_zero() {
            return Err(stopped());
        }
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| ApiError::new(ErrorKind::Unavailable, "too many queries at once"))?;
        let (views, now, limits) = (Arc::clone(&self.views), self.now(), self.limits);
        let guard = StopOnDrop(Arc::new(AtomicBool::new(false)));
        let stop = Arc::clone(&guard.0);
        let running = tokio::task::spawn_blocking(move || {
            let view = views(now)
                .ok_or_else(|| ApiError::new(ErrorKind::Unavailable, "the store is not ready"))?;
            let outcome = job(view.as_ref(), now, &limits, &stop);
            drop(place);
            outcome
        });
        match tokio::time::timeout(timeout, running).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(fault)) => Err(ApiError::new(ErrorKind::Internal, fault.to_string())),
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
