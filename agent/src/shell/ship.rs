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
mod report;
mod tallies;

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::id::{AgentId, Nonce};
use bellwether_model::time::Mono;
use bellwether_model::wire::answer::Answer;
use bellwether_platform::clock::{Clock, Exchange};
use bellwether_platform::stop::Stopper;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::pure::config::{COLLECTORS_MAX, CollectorPlan, SpoolSync};
use crate::pure::ship::Standing;
use crate::pure::ship::backlog::Bounds;
use crate::shell::spool::{Random, Spool, SpoolError};
use drive::{Action, Drive};

pub use client::{BadUrl, Client};
pub use frames::{Control, Frames, Handed, Made, frames};
pub use metrics::ShipMetrics;
pub use report::{CollectorReport, Counted, Declared, ShipReport};

/// From one look at the account to the next, at most; a frame brings it along as in [`drive`].
const TICK: Duration = Duration::from_millis(1500);
/// Questions that wait.
const ASKS: usize = 16;
/// How long a start waits for a collector's time, all being asked at once.
const ASK_TIME: Duration = Duration::from_secs(2);
/// The reason of refused columns that an answer counts and does not name: it names few.
const UNNAMED: &str = "unnamed";
/// After the last row, so long may acknowledgements and the goodbye take.
const GRACE: Duration = Duration::from_secs(5);

/// What others ask of shipping.
pub enum Ask {
    /// How it stands.
    Report(oneshot::Sender<ShipReport>),
    /// To go on by a changed configuration.
    Change(Changed),
    /// To end: no frames come any more, even if their sender is there.
    End,
}

/// What a changed configuration says of shipping.
pub struct Changed {
    /// The collectors, each with a client that has not connected yet.
    pub collectors: Vec<(CollectorPlan, Client)>,
    /// How much the spool may hold.
    pub bounds: Bounds,
    /// When it syncs.
    pub sync: SpoolSync,
}

/// One collector.
struct Lane {
    /// Tells lanes apart that come and go.
    id: u64,
    plan: CollectorPlan,
    /// Away while a request is in flight.
    client: Option<Client>,
    /// Takes the place of the client that is away.
    next: Option<Client>,
    standing: Standing,
    /// What the last attempt failed with, until one goes well.
    last_error: Option<String>,
    /// Columns that it did not take, by reason, each time it said so.
    columns_refused: BTreeMap<&'static str, u64>,
}

/// What came of a request.
struct Outcome {
    lane: u64,
    client: Client,
    result: Result<client::Answered, client::SendError>,
    sent: Mono,
    received: Mono,
}

/// The task that ships.
pub struct Ship {
    drive: Drive,
    clock: Clock,
    frames: mpsc::Receiver<Handed>,
    control: watch::Sender<Control>,
    asks: (mpsc::Sender<Ask>, mpsc::Receiver<Ask>),
    lanes: Vec<Lane>,
    next_lane: u64,
    outcomes: (mpsc::Sender<Outcome>, mpsc::Receiver<Outcome>),
    metrics: ShipMetrics,
    next_tick: Mono,
    /// When patience ends, once the last frame has come.
    until: Option<Mono>,
    /// Whether all collectors want this host gone.
    drained: bool,
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
        (frames, control): (mpsc::Receiver<Handed>, watch::Sender<Control>),
        metrics: ShipMetrics,
    ) -> Result<Ship, BadUrl> {
        let names = collectors.iter().map(|plan| plan.url.clone()).collect();
        let mut ship = Ship {
            drive: Drive::new(spool, clock.clone(), names, Box::new(random)),
            clock,
            frames,
            control,
            asks: mpsc::channel(ASKS),
            lanes: Vec::new(),
            next_lane: 0,
            outcomes: mpsc::channel(COLLECTORS_MAX),
            metrics,
            next_tick: Mono::default(),
            until: None,
            drained: false,
        };
        for plan in collectors {
            let lane = ship.lane(plan.clone(), Client::new(plan)?);
            ship.lanes.push(lane);
        }
        Ok(ship)
    }

    /// Where others ask.
    #[must_use]
    pub fn asks(&self) -> mpsc::Sender<Ask> {
        self.asks.0.clone()
    }

    fn lane(&mut self, plan: CollectorPlan, client: Client) -> Lane {
        self.next_lane += 1;
        Lane {
            id: self.next_lane,
            plan,
            client: Some(client),
            next: None,
            standing: Standing::Unknown,
            last_error: None,
            columns_refused: BTreeMap::new(),
        }
    }

    fn ask(&mut self, ask: Ask) -> Result<(), SpoolError> {
        match ask {
            // Whoever has gone needs no answer.
            Ask::Report(reply) => drop(reply.send(self.report())),
            Ask::Change(changed) => self.change(changed),
            Ask::End if self.until.is_none() => self.ending()?,
            Ask::End => {}
        }
        Ok(())
    }

    /// Goes on by a changed configuration; requests that are out come to their end.
    fn change(&mut self, changed: Changed) {
        self.drive.set_bounds(changed.bounds, changed.sync);
        let names: Vec<String> = changed.collectors.iter().map(|(p, _)| p.url.clone()).collect();
        self.drive.set_collectors(&names);
        let mut old = std::mem::take(&mut self.lanes);
        for (plan, client) in changed.collectors {
            let held = old.iter().position(|lane| lane.plan.url == plan.url);
            let lane = match held.map(|at| old.swap_remove(at)) {
                None => self.lane(plan, client),
                Some(lane) if lane.plan == plan => lane,
                Some(lane) if lane.client.is_none() => Lane { plan, next: Some(client), ..lane },
                Some(lane) => Lane { plan, client: Some(client), ..lane },
            };
            self.lanes.push(lane);
        }
        // Of those that are gone, and of those that have just come.
        old.iter().for_each(|lane| self.metrics.forget(&lane.plan.url));
    }

    /// Asks all collectors at once for the time before the first row is stamped, for two seconds: a
    /// host whose date is ahead would else be silent until the date has come.
    pub async fn ask_time(&mut self) {
        let mut asking = JoinSet::new();
        for (number, lane) in self.lanes.iter_mut().enumerate() {
            let Some(mut client) = lane.client.take() else { continue };
            let (body, clock) = (self.drive.hello(), self.clock.clone());
            asking.spawn(async move {
                let sent = clock.now().mono;
                let result = timeout(ASK_TIME, client.post(body)).await;
                (number, client, result, sent, clock.now().mono)
            });
        }
        while let Some(asked) = asking.join_next().await {
            let (number, client, result, sent, got) =
                asked.expect("invariant: who asks does not panic");
            if let Some(lane) = self.lanes.get_mut(number) {
                lane.client = Some(client);
            }
            let url = self.lanes.get(number).map_or("", |lane| &lane.plan.url);
            match result {
                Ok(Ok(answered)) => self.observe(number, &answered.answer, sent, got),
                Ok(Err(error)) => debug!(collector = url, %error, "no time from the collector"),
                Err(_) => warn!(collector = url, "no time from the collector yet"),
            }
        }
        self.clock.begin();
    }

    /// Ships until the frames end and all is acknowledged, or patience does; `stopper` fires when
    /// all collectors have drained the host.
    ///
    /// # Errors
    /// The spool's disk failed.
    pub async fn run(mut self, stopper: &Stopper) -> Result<(), SpoolError> {
        self.wake()?;
        loop {
            if self.drained && self.until.is_none() && !stopper.is_stopped() {
                info!("the collectors have drained this host and have all of it; stopping");
                stopper.stop();
            }
            let now = self.clock.now().mono;
            let over = self.until.is_some_and(|until| now >= until || self.drive.is_done());
            if over {
                break;
            }
            let pause = self.next_wakeup().since(now);
            tokio::select! {
                frame = self.frames.recv(), if self.until.is_none() => match frame {
                    Some(handed) => self.frame(&handed)?,
                    None => self.ending()?,
                },
                Some(outcome) = self.outcomes.1.recv() => self.outcome(outcome)?,
                Some(ask) = self.asks.1.recv() => self.ask(ask)?,
                () = tokio::time::sleep(pause) => self.wake()?,
            }
        }
        self.drive.close()
    }

    fn next_wakeup(&self) -> Mono {
        let due = self.drive.next_wakeup().min(self.next_tick);
        self.until.map_or(due, |until| due.min(until))
    }

    fn frame(&mut self, handed: &Handed) -> Result<(), SpoolError> {
        let mut actions = Vec::new();
        for (reason, count) in handed.never_made.iter().filter(|(_, count)| !count.is_zero()) {
            self.drive.never_made(*reason, *count);
        }
        if let Some(Made { bytes, samples }) = &handed.frame {
            let kept = self.drive.frame(bytes, *samples, &mut actions)?;
            self.metrics.spooled.inc_by(u64::from(kept));
        }
        self.look(TICK / 2);
        self.act(actions);
        Ok(())
    }

    /// Shows the account if that is due, or due within `early`.
    fn look(&mut self, early: Duration) {
        let now = self.clock.now().mono;
        if now + early >= self.next_tick {
            self.next_tick = now + TICK;
            self.metrics.observe(self.drive.spool(), &self.clock);
        }
    }

    fn wake(&mut self) -> Result<(), SpoolError> {
        self.look(Duration::ZERO);
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
                Action::Cut => self.control.send_modify(|control| control.cuts += 1),
                Action::Identity { old, new, origin } => {
                    warn!(%old, %new, "another agent has this id; a new one is taken");
                    self.control.send_modify(|control| control.origin = origin);
                }
                Action::Skipped(skip) => {
                    self.metrics.skipped(&skip);
                    let reason = skip.reason.as_str();
                    let (first, last) = (skip.first, skip.last);
                    warn!(%first, %last, reason, "frames will not be sent");
                }
                Action::Acked { collector, seq } => {
                    let lane = self.lanes.get(collector);
                    lane.into_iter().for_each(|lane| self.metrics.acked(&lane.plan.url, seq));
                }
                Action::StoreChanged { collector, old, new } => {
                    let collector = self.lanes.get(collector).map_or("", |lane| &lane.plan.url);
                    warn!(collector, %old, %new, "the collector's store is another one now");
                }
                Action::Drained => self.drained = true,
                Action::Standing { collector, standing } => {
                    let lane = self.lanes.get_mut(collector);
                    lane.into_iter().for_each(|lane| lane.stand(standing));
                }
            }
        }
    }

    fn post(&mut self, lane: usize, body: Bytes) {
        // The drive has one request out for each collector, so the client is here.
        let lane = self.lanes.get_mut(lane);
        let Some((lane, mut client)) = lane.and_then(|l| l.client.take().map(|c| (l.id, c))) else {
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
        // A collector that was taken out of the configuration has nobody to tell.
        let Some(lane) = self.lanes.iter().position(|held| held.id == lane) else { return Ok(()) };
        if let Some(held) = self.lanes.get_mut(lane) {
            held.client = Some(held.next.take().unwrap_or(client));
            held.last_error = report::problem(&result);
        }
        let mut actions = Vec::new();
        match result {
            Ok(client::Answered { answer, retry_after }) => {
                self.metrics.answered(answer.case.as_str());
                self.observe(lane, &answer, sent, received);
                let Answer { acked, at, text, .. } = &answer;
                debug!(case = answer.case.as_str(), %acked, %at, text, "answered");
                self.metrics.columns_refused.inc_by(u64::from(answer.refused));
                if let Some(held) = self.lanes.get_mut(lane).filter(|_| answer.refused > 0) {
                    held.refuse(&answer);
                }
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
    /// Counts columns that were not taken, and says so when a reason is new.
    fn refuse(&mut self, answer: &Answer) {
        let collector = &self.plan.url;
        let unnamed = u64::from(answer.refused).saturating_sub(answer.columns.len() as u64);
        let named = answer.columns.iter().map(|column| (column.reason.as_str(), 1));
        for (reason, columns) in named.chain((unnamed > 0).then_some((UNNAMED, unnamed))) {
            let held = self.columns_refused.entry(reason).or_insert_with(|| {
                let refused = answer.refused;
                warn!(collector, reason, refused, "the collector does not take all columns");
                0
            });
            *held = held.saturating_add(columns);
        }
    }

    /// Says when it goes well, badly, or needs a person.
    fn stand(&mut self, standing: Standing) {
        self.standing = standing;
        let collector = &self.plan.url;
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

#[cfg(test)]
mod tests;
