//! Sending: notifications, pushes to Alertmanagers, the heartbeat, signals to deploy hooks. Who
//! decides that something is sent is the notifier (`pure/notify.rs`), of signals the guard
//! (`pure/guard/lane.rs`); here is the HTTP.
//!
//! Nothing leaves before the position it waits for is durable. Each delivery has a connection of
//! its own and one time for all of it. Redirects are not followed: whoever is told must be named in
//! the configuration. Secrets are read at each use, and taken out of whatever is said of an answer.

mod exchange;
pub mod figures;
pub(super) mod prepare;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use bellwether_model::config::Environment;
use bellwether_model::id::Position;
use bellwether_model::time::Timestamp;
use bellwether_platform::clock::Clock;
use bytes::Bytes;
use prometheus::{HistogramOpts, HistogramVec, Registry};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::debug;

use crate::pure::notify::event::{Delivery, Request, Ticket};
use crate::pure::notify::record::{Failure, Outcome};

/// From 5 ms, as quick as a receiver on the same network, to the longest time that may be given.
const BUCKETS: [f64; 10] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

/// What is to be sent, and the position that must be durable before.
pub type Outgoing = (Delivery, Position);
/// Takes the end of each delivery, in any order.
pub type Outcomes = Arc<dyn Fn(Ended) + Send + Sync>;

/// How a delivery has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub ticket: Ticket,
    /// How.
    pub outcome: Outcome,
    /// The body of a hook's 2xx, at most [`bellwether_model::signal::ANSWER_BYTES_MAX`]; empty
    /// where nobody reads it.
    pub body: Bytes,
}

/// Sends what comes.
pub struct Deliverer {
    /// What is to be sent. At most one for each receiver is on its way.
    pub outgoing: mpsc::UnboundedReceiver<Outgoing>,
    /// How far the journal is durable.
    pub durable: watch::Receiver<Position>,
    /// Where outcomes go.
    pub outcomes: Outcomes,
    /// For the times of attempts.
    pub clock: Clock,
    /// For proxies.
    pub environment: Environment,
    /// How long attempts take.
    pub metrics: DeliverMetrics,
}

/// How long attempts take.
#[derive(Clone, Debug)]
pub struct DeliverMetrics {
    seconds: HistogramVec,
}

impl DeliverMetrics {
    /// Registers them.
    ///
    /// # Panics
    /// They are registered already.
    #[must_use]
    pub fn new(registry: &Registry) -> DeliverMetrics {
        let options = HistogramOpts::new(
            "bellwether_notifications_attempt_duration_seconds",
            "How long attempts to deliver take, by what is sent.",
        );
        let options = options.buckets(BUCKETS.to_vec());
        let seconds = HistogramVec::new(options, &["kind"]).expect("invariant: the name is valid");
        registry.register(Box::new(seconds.clone())).expect("invariant: names differ");
        DeliverMetrics { seconds }
    }
}

/// Starts the thread that sends, with a runtime of its own.
///
/// # Errors
/// The system refuses a thread or what a runtime needs.
pub fn start(deliverer: Deliverer) -> Result<JoinHandle<()>, io::Error> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let builder = thread::Builder::new().name("send".to_owned());
    builder.spawn(move || {
        runtime.block_on(deliverer.run());
        // A name that is being looked up is not waited for.
        runtime.shutdown_background();
    })
}

impl Deliverer {
    /// Sends until nobody has anything to send any more. What is on its way then
    /// is cut off; the notifier sends it again after the next start.
    pub async fn run(mut self) {
        let mut tasks = JoinSet::new();
        loop {
            let next = tokio::select! {
                next = self.outgoing.recv() => next,
                Some(_) = tasks.join_next() => continue,
            };
            let Some((delivery, after)) = next else { return };
            let mut durable = self.durable.clone();
            let outcomes = Arc::clone(&self.outcomes);
            let (clock, environment) = (self.clock.clone(), self.environment.clone());
            let seconds = self.metrics.seconds.clone();
            tasks.spawn(async move {
                // A journal that has failed makes nothing durable any more.
                if durable.wait_for(|synced| *synced >= after).await.is_err() {
                    return;
                }
                let begun = clock.now();
                let (outcome, body) = send(&delivery.request, begun.wall, &environment).await;
                let took = clock.now().mono.since(begun.mono);
                debug!(ticket = ?delivery.ticket, ?outcome, "delivery ended");
                seconds.with_label_values(&[kind(&delivery.request)]).observe(took.as_secs_f64());
                outcomes(Ended { ticket: delivery.ticket, outcome, body });
            });
        }
    }
}

fn kind(request: &Request) -> &'static str {
    match request {
        Request::Webhook { .. } => "webhook",
        Request::Push { .. } => "alertmanager",
        Request::Heartbeat { .. } => "heartbeat",
        Request::Signal(_) => "signal",
    }
}

/// One delivery, its outcome and what is kept of the answer.
async fn send(request: &Request, now: Timestamp, environment: &Environment) -> (Outcome, Bytes) {
    if let Request::Signal(signal) = request
        && signal.deadline <= now
    {
        // The journal has taken its time: nothing is to be begun any more.
        let outcome = Outcome::failed(Failure::Unusable, "the deadline has passed");
        return (outcome, Bytes::new());
    }
    match prepare::prepare(request, now, environment) {
        Ok(prepared) => exchange::exchange(prepared).await,
        Err(outcome) => (outcome, Bytes::new()),
    }
}

#[cfg(test)]
mod tests;
