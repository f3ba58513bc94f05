//! Shipping: takes frames from the sampler, spools them, and lets each collector's machine say what
//! to send. One task owns the spool and all machines ([`Drive`]); requests run beside it, one for
//! each collector.
//!
//! A frame that finds the channel full is never numbered: the sampler drops the rows and counts
//! them.

mod client;
pub mod drive;
mod frames;
mod metrics;

use std::sync::mpsc::Sender;
use std::time::Duration;

use bellwether_model::id::{AgentId, Nonce};
use bellwether_model::time::Mono;
use bellwether_model::wire::answer::Answer;
use bellwether_platform::clock::{Clock, Exchange};
use bytes::Bytes;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use crate::pure::config::CollectorPlan;
use crate::pure::ship::Standing;
use crate::shell::spool::{Random, Spool, SpoolError};
use drive::{Action, Drive};

pub use client::{BadUrl, Client};
pub use frames::{Control, Frames, frames};
pub use metrics::ShipMetrics;

/// From one look at the account to the next.
const TICK: Duration = Duration::from_secs(1);
/// How long a start waits for the collectors' time.
const ASK_TIME: Duration = Duration::from_secs(2);
/// After the last row, so long may acknowledgements and the goodbye take.
const GRACE: Duration = Duration::from_secs(5);

/// One collector.
struct Lane {
    name: String,
    /// Away while a request is in flight.
    client: Option<Client>,
}

/// What came of a request.
struct Outcome {
    lane: usize,
    client: Client,
    result: Result<client::Answered, client::SendError>,
    sent: Mono,
    received: Mono,
}

/// The task that ships.
pub struct Ship {
    drive: Drive,
    clock: Clock,
    frames: mpsc::Receiver<Bytes>,
    control: Sender<Control>,
    lanes: Vec<Lane>,
    outcomes: (mpsc::Sender<Outcome>, mpsc::Receiver<Outcome>),
    metrics: ShipMetrics,
    next_tick: Mono,
    /// When patience ends, once the last frame has come.
    until: Option<Mono>,
}

/// Random numbers of the operating system.
///
/// # Panics
/// The system has none.
#[must_use]
pub fn random() -> Random {
    let (mut agent, mut nonce) = ([0; 16], [0; 8]);
    getrandom::fill(&mut agent).expect("invariant: the system has random numbers");
    getrandom::fill(&mut nonce).expect("invariant: the system has random numbers");
    Random { agent: AgentId(agent), nonce: Nonce(u64::from_le_bytes(nonce)) }
}

impl Ship {
    /// Takes an open spool and what feeds it.
    ///
    /// # Errors
    /// A collector's URL cannot be used.
    pub fn new(
        spool: Spool,
        clock: Clock,
        collectors: &[CollectorPlan],
        (frames, control): (mpsc::Receiver<Bytes>, Sender<Control>),
        metrics: ShipMetrics,
    ) -> Result<Ship, BadUrl> {
        let names = collectors.iter().map(|plan| plan.url.clone()).collect();
        let mut lanes = Vec::new();
        for plan in collectors {
            lanes.push(Lane { name: plan.url.clone(), client: Some(Client::new(plan)?) });
        }
        Ok(Ship {
            drive: Drive::new(spool, clock.clone(), names, Box::new(random)),
            clock,
            frames,
            control,
            lanes,
            outcomes: mpsc::channel(collectors.len().max(1)),
            metrics,
            next_tick: Mono::default(),
            until: None,
        })
    }

    /// Asks the collectors for the time before the first row is stamped, within two seconds: a
    /// host whose date is ahead would else be silent until the date has come.
    pub async fn ask_time(&mut self) {
        let asking = async {
            for lane in 0..self.lanes.len() {
                let Some(client) = self.lanes.get_mut(lane).and_then(|lane| lane.client.as_mut())
                else {
                    continue;
                };
                let body = self.drive.hello();
                let sent = self.clock.now().mono;
                let result = client.post(body).await;
                let got = self.clock.now().mono;
                match result {
                    Ok(answered) => self.observe(lane, &answered.answer, sent, got),
                    Err(error) => debug!(%error, "no time from the collector"),
                }
            }
        };
        if tokio::time::timeout(ASK_TIME, asking).await.is_err() {
            warn!("no time from a collector yet; starting with the host's");
        }
        self.clock.begin();
    }

    /// Ships until the frames end and all is acknowledged, or patience does.
    ///
    /// # Errors
    /// The spool's disk failed.
    pub async fn run(mut self) -> Result<(), SpoolError> {
        self.wake()?;
        loop {
            let now = self.clock.now().mono;
            let over = self.until.is_some_and(|until| now >= until || self.drive.is_done());
            if over {
                break;
            }
            let pause = self.next_wakeup().since(now);
            tokio::select! {
                frame = self.frames.recv(), if self.until.is_none() => match frame {
                    Some(frame) => self.frame(&frame)?,
                    None => self.ending()?,
                },
                Some(outcome) = self.outcomes.1.recv() => self.outcome(outcome)?,
                () = tokio::time::sleep(pause) => self.wake()?,
            }
        }
        self.drive.close()
    }

    fn next_wakeup(&self) -> Mono {
        let due = self.drive.next_wakeup().min(self.next_tick);
        self.until.map_or(due, |until| due.min(until))
    }

    fn frame(&mut self, frame: &Bytes) -> Result<(), SpoolError> {
        let mut actions = Vec::new();
        let kept = self.drive.frame(frame, &mut actions)?;
        self.metrics.spooled.inc_by(u64::from(kept));
        self.act(actions);
        Ok(())
    }

    fn wake(&mut self) -> Result<(), SpoolError> {
        let now = self.clock.now().mono;
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            self.metrics.observe(self.drive.spool(), &self.clock);
        }
        let mut actions = Vec::new();
        self.drive.wake(&mut actions)?;
        self.act(actions);
        Ok(())
    }

    /// The sampler has ended: nothing more comes.
    fn ending(&mut self) -> Result<(), SpoolError> {
        self.until = Some(self.clock.now().mono + GRACE);
        let mut actions = Vec::new();
        self.drive.stop(&mut actions)?;
        self.act(actions);
        Ok(())
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Post { collector, body } => self.post(collector, body),
                // A sampler that has ended needs no telling.
                Action::Cut => {
                    self.control.send(Control::Cut).ok();
                }
                Action::Identity { old, new, origin } => {
                    warn!(%old, %new, "another agent has this id; a new one is taken");
                    self.control.send(Control::Origin(origin)).ok();
                }
                Action::Skipped(skip) => {
                    self.metrics.skipped(&skip);
                    let reason = skip.reason.as_str();
                    let (first, last) = (skip.first, skip.last);
                    warn!(%first, %last, reason, "frames will not be sent");
                }
                Action::Acked { collector, seq } => {
                    let lane = self.lanes.get(collector);
                    lane.into_iter().for_each(|lane| self.metrics.acked(&lane.name, seq));
                }
                Action::StoreChanged { collector, old, new } => {
                    let collector = self.lanes.get(collector).map_or("", |lane| &lane.name);
                    warn!(collector, %old, %new, "the collector's store is another one now");
                }
                Action::Standing { collector, standing } => {
                    self.lanes.get(collector).into_iter().for_each(|lane| lane.report(standing));
                }
            }
        }
    }

    fn post(&mut self, lane: usize, body: Bytes) {
        // The drive has one request out for each collector, so the client is here.
        let Some(mut client) = self.lanes.get_mut(lane).and_then(|lane| lane.client.take()) else {
            return;
        };
        self.metrics.sent_bytes.inc_by(body.len() as u64);
        let (outcomes, clock) = (self.outcomes.0.clone(), self.clock.clone());
        tokio::spawn(async move {
            let sent = clock.now().mono;
            let result = client.post(body).await;
            let received = clock.now().mono;
            // A ship that has ended takes no outcome.
            outcomes.send(Outcome { lane, client, result, sent, received }).await.ok();
        });
    }

    fn outcome(&mut self, outcome: Outcome) -> Result<(), SpoolError> {
        let Outcome { lane, client, result, sent, received } = outcome;
        if let Some(held) = self.lanes.get_mut(lane) {
            held.client = Some(client);
        }
        let mut actions = Vec::new();
        match result {
            Ok(client::Answered { answer, retry_after }) => {
                self.metrics.answered(answer.case.as_str());
                self.observe(lane, &answer, sent, received);
                let Answer { acked, at, text, .. } = &answer;
                debug!(case = answer.case.as_str(), %acked, %at, text, "answered");
                self.metrics.columns_refused.inc_by(u64::from(answer.refused));
                self.drive.answered(lane, &answer, retry_after, &mut actions)?;
            }
            Err(error) => {
                self.metrics.answered(error.case());
                debug!(%error, "not answered");
                self.drive.failed(lane, &mut actions)?;
            }
        }
        self.act(actions);
        Ok(())
    }

    fn observe(&self, collector: usize, answer: &Answer, sent: Mono, got: Mono) {
        if answer.answered.0 == 0 {
            return;
        }
        let exchange =
            Exchange { collector, sent, received: answer.received, answered: answer.answered, got };
        if let Err(refused) = self.clock.observe(exchange) {
            debug!(%refused, "clock sample refused");
        }
    }
}

impl Lane {
    /// Says when it goes well, badly, or needs a person.
    fn report(&self, standing: Standing) {
        let collector = &self.name;
        match standing {
            Standing::Unknown => {}
            Standing::Connected => info!(collector, "collector acknowledges"),
            Standing::Retrying => warn!(collector, "collector does not acknowledge; spooling"),
            Standing::Refused(case) => warn!(
                collector,
                case = case.as_str(),
                "collector refuses; a person must act; spooling, next try in 30 s"
            ),
        }
    }
}
