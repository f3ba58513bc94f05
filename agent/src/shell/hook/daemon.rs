//! The runner as a whole: lock, ledger, lanes; polls in, answers out. `run` and `once`.
//!
//! At the end no more is begun, what runs is waited for, and its answers are posted.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::signal::{Answer, Signals, Status};
use bellwether_platform::clock::Clock;
use bellwether_platform::dial::BadUrl;
use bellwether_platform::disk::{DiskError, Lock, LockError, RealDisk, lock, make_dir};
use bellwether_platform::listener::{BindError, Limits, Listener, service_fn};
use bellwether_platform::stop::{Signals as Caught, Stop, Stopper, stop};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{error, info, warn};

use super::client::{AskError, Client};
use super::ledger::{Ledger, LedgerError};
use super::metrics::{Lost, Metrics};
use super::poll::{Polled, Poller};
use super::post::{ANSWERS_MAX, Poster, post};
use super::program::HostPrograms;
use super::runner::{Runner, Taken};
use super::startup::{KeyError, key};
use super::status::LOCK;
use crate::pure::hook::config::Plan;
use crate::pure::hook::decide::Event;
use crate::pure::hook::verify::Distrust;

/// From one attempt to take a lane's lock to the next.
const LOCK_EVERY: Duration = Duration::from_millis(200);
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// For the last answers.
const GRACE: Duration = Duration::from_secs(5);

/// Why the runner does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Another process has the directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The directory cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The collector's URL.
    #[error("the collector's URL {0}")]
    Url(#[from] BadUrl),
    /// The page's address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The collector cannot be asked.
    #[error("the collector cannot be asked: {0}")]
    Ask(#[from] AskError),
    /// The system refuses something.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A runner that holds its directory.
pub struct Daemon {
    plan: Plan,
    clock: Clock,
    runner: Runner<HostPrograms>,
    events: mpsc::Receiver<(usize, Event)>,
    metrics: Metrics,
    /// Lanes whose wait was said.
    told: Vec<usize>,
    /// Why signals were not believed, as said since all were.
    distrusted: BTreeSet<Distrust>,
    _lock: Lock,
}

impl Daemon {
    /// Takes directory and ledger. Nothing is asked or started yet.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub fn open(plan: Plan, clock: Clock) -> Result<Daemon, DaemonError> {
        key(&plan.secret)?;
        let disk = Arc::new(RealDisk);
        make_dir(&*disk, &plan.state_dir)?;
        let lock = lock(&plan.state_dir.join(LOCK))?;
        let (ledger, cut_off) = Ledger::open(disk, &plan.state_dir)?;
        if !cut_off.is_empty() {
            warn!(signals = cut_off.len(), "something was cut off; it is looked into");
        }
        let metrics = Metrics::new();
        let (sender, events) = mpsc::channel(plan.allow.len().max(1));
        let programs = HostPrograms::new(&plan.state_dir, sender, metrics.clone(), clock.clone());
        let now = clock.now();
        let mut runner = Runner::new(now, plan.allow.clone(), (ledger, cut_off), programs);
        runner.prune(now);
        let (told, distrusted) = (Vec::new(), BTreeSet::new());
        Ok(Daemon { plan, clock, runner, events, metrics, told, distrusted, _lock: lock })
    }

    /// Asks and does until stopped.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub async fn run(mut self, stopper: &Stopper, stop: Stop) -> Result<(), DaemonError> {
        tokio::spawn(Caught::catch()?.run(stopper.clone(), Arc::new(Notify::new())));
        let listener = self.plan.listen.map(Listener::bind).transpose()?;
        let (seen, keys) = watch::channel(Vec::new());
        let (signals, mut polled) = mpsc::channel(1);
        let poller = self.poller(keys, signals)?;
        let (answers, received) = mpsc::channel(ANSWERS_MAX);
        let poster = Poster {
            client: Client::new(&self.plan.collector)?,
            name: self.plan.name.clone(),
            answers: received,
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
        };
        let shown = listener.as_ref().map(Listener::address);
        let page = listener.map(|listener| serve(listener, self.metrics.clone(), stop.clone()));
        self.say(shown)?;
        let polling = tokio::spawn(poller.run(stop.clone()));
        let mut posting = tokio::spawn(poster.run());
        self.own(&mut polled, (&answers, &seen), &stop).await;
        drop((polled, answers));
        drop(polling.await);
        if timeout(GRACE, &mut posting).await.is_err() {
            warn!("the last answers could not be posted; the collector will ask for them again");
            posting.abort();
        }
        if let Some(page) = page {
            drop(page.await);
        }
        Ok(())
    }

    fn say(&self, page: Option<SocketAddr>) -> io::Result<()> {
        let lanes = self.plan.allow.len();
        info!(name = self.plan.name, collector = self.plan.collector.url, lanes, "runs");
        let mut out = io::stdout().lock();
        match page {
            Some(address) => writeln!(out, "bellwether-hook: listening on http://{address}")?,
            None => writeln!(out, "bellwether-hook: ready")?,
        }
        out.flush()
    }

    fn poller(
        &self,
        seen: watch::Receiver<Vec<String>>,
        signals: mpsc::Sender<Polled>,
    ) -> Result<Poller, DaemonError> {
        Ok(Poller {
            client: Client::new(&self.plan.collector)?,
            name: self.plan.name.clone(),
            seen,
            signals,
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
        })
    }

    /// Owns lanes and ledger until stopped and idle.
    async fn own(
        &mut self,
        polled: &mut mpsc::Receiver<Polled>,
        out: (&mpsc::Sender<Answer>, &watch::Sender<Vec<String>>),
        stop: &Stop,
    ) {
        let mut prune = interval(PRUNE_EVERY);
        prune.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let waiting = self.free_lanes();
            self.settle(out);
            tokio::select! {
                Some(Polled { signals, taken }) = polled.recv() => {
                    let new = self.take(&signals);
                    self.settle(out);
                    // The poller may have ended.
                    taken.send(new).ok();
                }
                Some((lane, event)) = self.events.recv() => {
                    self.runner.on(self.clock.now(), lane, event);
                }
                () = sleep(LOCK_EVERY), if waiting > 0 => {}
                _ = prune.tick() => self.runner.prune(self.clock.now()),
                () = stop.stopped() => break,
            }
        }
        while !self.runner.is_idle() {
            let Some((lane, event)) = self.events.recv().await else { break };
            self.runner.on(self.clock.now(), lane, event);
            self.settle(out);
        }
        self.settle(out);
    }

    /// Takes the locks that can be had; says how many lanes still wait.
    fn free_lanes(&mut self) -> usize {
        let mut waiting = 0;
        for at in 0..self.plan.allow.len() {
            if self.runner.is_free(at) {
                continue;
            }
            let lane = self.plan.allow.get(at).map(|entry| entry.lane.clone());
            let lane = lane.expect("invariant: a number below the length");
            match self.runner.programs().acquire(at, &lane) {
                Ok(true) => {
                    if self.told.contains(&at) {
                        info!(%lane, "the lane is free");
                    }
                    self.runner.free(self.clock.now(), at);
                }
                other => {
                    waiting += 1;
                    if !self.told.contains(&at) {
                        self.told.push(at);
                        let reason = other.map_or_else(
                            |error| error.to_string(),
                            |_| "something still runs that a runner before has started".to_owned(),
                        );
                        warn!(%lane, reason, "the lane waits");
                    }
                }
            }
        }
        self.metrics.waiting(waiting);
        waiting
    }

    fn take(&mut self, signals: &Signals) -> usize {
        if signals.signals.is_empty() {
            return 0;
        }
        let key = match key(&self.plan.secret) {
            Ok(key) => key,
            Err(error) => {
                error!(%error, "signals wait: the key cannot be used");
                return 0;
            }
        };
        let Taken { taken, distrusted } = self.runner.take(self.clock.now(), &key, signals);
        if distrusted.is_empty() {
            self.distrusted.clear();
        }
        for why in distrusted {
            self.metrics.distrusted(why);
            // It comes again with each poll.
            if self.distrusted.insert(why) {
                warn!(reason = %why, "a signal is not believed; nothing is done");
            }
        }
        taken
    }

    fn settle(&mut self, (out, seen): (&mpsc::Sender<Answer>, &watch::Sender<Vec<String>>)) {
        for words in self.runner.faults() {
            self.metrics.fault();
            error!(reason = words, "the ledger's disk fails");
        }
        for answer in self.runner.answers() {
            self.metrics.answered(answer.status);
            log(&answer);
            if out.try_send(answer).is_err() {
                self.metrics.lost(Lost::Full);
            }
        }
        seen.send_replace(self.runner.seen(self.clock.now()));
    }

    /// Asks once, does what is asked, answers. Gives the answers.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub async fn once(mut self) -> Result<Vec<Answer>, DaemonError> {
        let waiting = self.free_lanes();
        let (_seen, keys) = watch::channel(Vec::new());
        let (signals, _polled) = mpsc::channel(1);
        let mut poller = self.poller(keys, signals)?;
        let signals = poller.poll(Duration::ZERO).await?;
        self.take(&signals);
        while !self.runner.is_idle() {
            let Some((lane, event)) = self.events.recv().await else { break };
            self.runner.on(self.clock.now(), lane, event);
        }
        let mut answers = self.runner.answers();
        answers.retain(|answer| answer.status != Status::Accepted);
        for answer in &answers {
            log(answer);
            post(&mut poller.client, &self.plan.name, answer).await?;
        }
        if waiting > 0 {
            let words = "something that a runner before has started still runs";
            return Err(io::Error::other(words).into());
        }
        Ok(answers)
    }
}

fn log(answer: &Answer) {
    let status = answer.status.name();
    let Answer { key, detail, current_version, .. } = answer;
    let version = current_version.as_deref().unwrap_or_default();
    info!(key, status, version, detail, "signal");
}

fn serve(listener: Listener, metrics: Metrics, stop: Stop) -> tokio::task::JoinHandle<()> {
    let service = service_fn(move |request| metrics.clone().answer(request));
    let limits = Limits { connections: 64, grace: Duration::ZERO, ..Limits::default() };
    tokio::spawn(async move {
        if let Err(error) = listener.serve(service, limits, stop).await {
            warn!(%error, "the page has ended");
        }
    })
}

/// Runs to the end.
///
/// # Errors
/// [`DaemonError`].
pub fn run(plan: Plan) -> Result<(), DaemonError> {
    let (stopper, stop) = stop();
    runtime()?.block_on(async { Daemon::open(plan, Clock::collector())?.run(&stopper, stop).await })
}

/// Asks once; see [`Daemon::once`].
///
/// # Errors
/// [`DaemonError`].
pub fn once(plan: Plan) -> Result<Vec<Answer>, DaemonError> {
    runtime()?.block_on(async { Daemon::open(plan, Clock::collector())?.once().await })
}

/// One thread: programs inherit the lock of their lane only if no other thread starts any.
///
/// # Errors
/// The system refuses.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
