//! Answers on their way to the collector: the newest of each key, tried until it is taken or its
//! time is over. One that is lost costs nothing: the collector asks again, and the ledger knows.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::signal::{Answer, results_path};
use bellwether_model::time::Mono;
use bellwether_platform::clock::Clock;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{info, warn};

use super::client::{AskError, Client};
use super::metrics::{Lost, Metrics};
use super::poll::random;
use crate::pure::hook::pause::{Failure, pause};

/// Answers that wait; one more is dropped, and asked for again.
pub const ANSWERS_MAX: usize = 256;
/// After it an answer is given up.
const AGE: Duration = Duration::from_secs(600);

/// Posts answers.
pub struct Poster {
    /// The collector, by a connection of its own: polls are held.
    pub client: Client,
    /// The hook's name.
    pub name: String,
    /// The answers.
    pub answers: mpsc::Receiver<Answer>,
    /// Counted.
    pub metrics: Metrics,
    /// For their age.
    pub clock: Clock,
}

/// An answer that waits, with the time when it came.
type Waiting = BTreeMap<String, (Mono, Answer)>;

impl Poster {
    /// Posts until no more can come and none waits.
    pub async fn run(mut self) {
        let (mut waiting, mut failures) = (Waiting::new(), 0_u32);
        loop {
            // One waits for the next answer only where there is none to post.
            if waiting.is_empty() {
                let Some(answer) = self.answers.recv().await else { return };
                self.put(&mut waiting, answer);
            }
            while let Ok(answer) = self.answers.try_recv() {
                self.put(&mut waiting, answer);
            }
            let Some((key, (came, answer))) = waiting.pop_first() else { continue };
            let posted = post(&mut self.client, &self.name, &answer).await;
            let is_young = self.clock.now().mono.since(came) < AGE;
            match posted {
                Ok(()) => failures = 0,
                Err(error) if error.is_lasting() || !is_young => {
                    self.metrics.lost(Lost::NotTaken);
                    warn!(key, reason = %error, "the collector does not take an answer");
                }
                Err(error) => {
                    if failures == 0 {
                        warn!(key, reason = %error, "an answer waits for the collector");
                    }
                    failures = failures.saturating_add(1);
                    waiting.insert(key, (came, answer));
                    sleep(pause(failures, Failure::Passing, random())).await;
                }
            }
        }
    }

    fn put(&self, waiting: &mut Waiting, answer: Answer) {
        if waiting.len() >= ANSWERS_MAX && !waiting.contains_key(&answer.key) {
            return self.metrics.lost(Lost::Full);
        }
        waiting.insert(answer.key.clone(), (self.clock.now().mono, answer));
    }
}

/// Posts one answer of a hook.
///
/// # Errors
/// [`AskError`].
pub(super) async fn post(client: &mut Client, name: &str, answer: &Answer) -> Result<(), AskError> {
    let body = serde_json::to_vec(answer).expect("invariant: texts and flags");
    client.post(&results_path(name), Bytes::from(body)).await?;
    info!(key = answer.key, status = ?answer.status, "answered");
    Ok(())
}
