//! Asking the collector what is open, again and again. A collector that is away means that nothing
//! is asked for: it is said once, counted, and tried again.

use std::time::Duration;

use bellwether_model::signal::{Signals, signals_path};
use bellwether_platform::clock::Clock;
use bellwether_platform::stop::Stop;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;
use tracing::{info, warn};

use super::client::{AskError, Client};
use super::metrics::Metrics;
use crate::pure::hook::pause::{Failure, REST, pause};

/// How long the collector may hold a poll.
const WAIT: Duration = Duration::from_secs(30);

/// Signals on their way to the runner, which says how many were new.
pub struct Polled {
    /// As they came.
    pub signals: Signals,
    /// How many were new.
    pub taken: oneshot::Sender<usize>,
}

/// Asks for what is open.
pub struct Poller {
    /// The collector.
    pub client: Client,
    /// The hook's name.
    pub name: String,
    /// The keys that need not come again.
    pub seen: watch::Receiver<Vec<String>>,
    /// Where signals go.
    pub signals: mpsc::Sender<Polled>,
    /// Counted.
    pub metrics: Metrics,
    /// For the time between polls.
    pub clock: Clock,
}

impl Poller {
    /// Asks until stopped.
    pub async fn run(mut self, stop: Stop) {
        tokio::select! {
            () = self.go_on() => {}
            () = stop.stopped() => {}
        }
    }

    async fn go_on(&mut self) {
        let (mut failures, mut told) = (0_u32, None);
        loop {
            let begun = self.clock.now();
            match self.poll(WAIT).await {
                Ok(signals) => {
                    self.metrics.polled(Ok(self.clock.now().wall));
                    if failures > 0 {
                        info!(failures, "the collector answers");
                    }
                    (failures, told) = (0, None);
                    let (reply, taken) = oneshot::channel();
                    if self.signals.send(Polled { signals, taken: reply }).await.is_err() {
                        return;
                    }
                    let taken = taken.await.unwrap_or(0);
                    // What came before and is not seen yet would come again at once.
                    if taken == 0 {
                        let passed = self.clock.now().mono.since(begun.mono);
                        sleep(REST.saturating_sub(passed)).await;
                    }
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    self.metrics.polled(Err(()));
                    let text = error.to_string();
                    if told.as_ref() != Some(&text) {
                        warn!(reason = %text, "the collector cannot be asked");
                        told = Some(text);
                    }
                    let lasting = error.is_lasting();
                    let kind = if lasting { Failure::Lasting } else { Failure::Passing };
                    sleep(pause(failures, kind, random())).await;
                }
            }
        }
    }

    /// Asks once.
    ///
    /// # Errors
    /// There is no answer, or none of a collector.
    pub async fn poll(&mut self, wait: Duration) -> Result<Signals, AskError> {
        let seen = self.seen.borrow().join(",");
        let path = format!("{}?wait={}s&seen={seen}", signals_path(&self.name), wait.as_secs());
        let body = self.client.get(&path, wait).await?;
        let bad = |_| AskError::Refused {
            status: 200,
            text: "an answer that is no collector's: something on the way answers".to_owned(),
        };
        serde_json::from_slice(&body).map_err(bad)
    }
}

/// A number that differs from hook to hook and from call to call.
pub(super) fn random() -> u16 {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).expect("invariant: the system has random numbers");
    u16::from_le_bytes(bytes)
}
