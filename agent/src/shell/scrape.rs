//! Scrapes at work: one thread with a runtime of its own for all targets, which is there only while
//! there are jobs.
//!
//! Each target has a task, which fetches its page at its place in the interval and reads it. Files
//! with targets are looked at every few seconds; what they say now is told to the sampler before
//! the first result of a new target. Everything goes over one bounded channel, in order.

mod client;
pub mod discovery;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Builder;

use bellwether_platform::clock::Clock;
use bellwether_platform::stop::{self, Stopper};
use tokio::task::{AbortHandle, JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::pure::probe::rows::WAITING_MAX;
use crate::pure::scrape::page::{Counts, Page, Scan};
use crate::pure::scrape::rows::Scrape;
use crate::pure::scrape::target::ScrapeTarget;
use crate::pure::scrape::{Failure, Reason, ScrapePlan, TARGETS_MAX};
use crate::pure::ticks::phase;
use crate::shell::lone::Lone;
use crate::shell::pace::Pace;
use client::Client;
use discovery::Discovery;

/// A target's number, for as long as it is the same.
pub type Number = u64;

/// Targets with their numbers.
pub type Numbered = Vec<(Number, Arc<ScrapeTarget>)>;

/// What the sampler is told.
#[derive(Debug)]
pub enum Event {
    /// These are the targets from now on.
    Targets(Numbered),
    /// What came of a scrape.
    Scraped(Number, Box<Scrape>),
}

/// Targets that are scraped for as long as this lives.
#[derive(Debug)]
pub struct Scraping {
    events: Receiver<Event>,
    /// Results that had no room in the channel since they were last asked for.
    lost: Arc<AtomicU64>,
    stopper: Option<Stopper>,
}

/// Who hands results to the sampler.
#[derive(Clone, Debug)]
struct Results {
    events: SyncSender<Event>,
    lost: Arc<AtomicU64>,
}

impl Scraping {
    /// Begins to scrape, and gives the targets that there are now; without jobs there is no thread.
    ///
    /// # Errors
    /// The system has no thread or no runtime to give.
    pub fn start(plan: &ScrapePlan, clock: &Clock) -> io::Result<(Scraping, Numbered)> {
        if plan.jobs.is_empty() {
            return Ok((Scraping::none(), Vec::new()));
        }
        let mut discovery = Discovery::new(plan);
        let mut numbers = Numbers::default();
        let targets = numbers.of(discovery.look());
        let most = if discovery.has_files() { TARGETS_MAX } else { targets.len() };
        let (sender, events) = sync_channel(most.saturating_mul(WAITING_MAX) + 1);
        let lost: Arc<AtomicU64> = Arc::default();
        let results = Results { events: sender, lost: Arc::clone(&lost) };
        let (stopper, stop) = stop::stop();
        let runtime = Lone::runtime(TARGETS_MAX)?;
        let (set, running) = (JoinSet::new(), BTreeMap::new());
        let mut tasks = Tasks { clock: clock.clone(), results, set, running };
        let now = targets.clone();
        let scrape = move || {
            runtime.block_on(async {
                tasks.turn(&now);
                tokio::select! {
                    () = stop.stopped() => {}
                    () = follow(discovery, numbers, &mut tasks, now.clone()) => {}
                }
            });
        };
        Builder::new().name("scrape".to_owned()).spawn(scrape)?;
        Ok((Scraping { events, lost, stopper: Some(stopper) }, targets))
    }

    /// Scrapes each target once, all at one time; returns when all have ended.
    ///
    /// # Errors
    /// The system has no runtime to give.
    pub fn once(plan: &ScrapePlan, clock: &Clock) -> io::Result<(Scraping, Numbered)> {
        if plan.jobs.is_empty() {
            return Ok((Scraping::none(), Vec::new()));
        }
        let targets = Numbers::default().of(Discovery::new(plan).look());
        let (sender, events) = sync_channel(targets.len() + 1);
        Lone::runtime(TARGETS_MAX)?.block_on(async {
            let mut set = JoinSet::new();
            for (number, target) in targets.clone() {
                let mut task = Task::new(target, clock.clone());
                set.spawn(async move { Event::Scraped(number, Box::new(task.scrape().await)) });
            }
            while let Some(ended) = set.join_next().await {
                // The channel has room for all; a scrape that panics has ended the process.
                ended.into_iter().for_each(|event| drop(sender.try_send(event)));
            }
        });
        Ok((Scraping { events, lost: Arc::default(), stopper: None }, targets))
    }

    /// Nobody is scraped.
    #[must_use]
    pub fn none() -> Scraping {
        Scraping { events: sync_channel(1).1, lost: Arc::default(), stopper: None }
    }

    /// Whether results may come.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        self.stopper.is_some()
    }

    /// Whoever has the other end scrapes.
    #[cfg(test)]
    pub(crate) fn fed() -> (SyncSender<Event>, Scraping) {
        let (sender, events) = sync_channel(64);
        (sender, Scraping { events, lost: Arc::default(), stopper: None })
    }

    /// What has come since.
    pub fn take(&self) -> impl Iterator<Item = Event> {
        self.events.try_iter()
    }

    /// How many results were lost since this was last asked, for want of somebody who takes them.
    pub fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Scraping {
    fn drop(&mut self) {
        self.stopper.iter().for_each(Stopper::stop);
    }
}

/// Gives targets their numbers: the same as before to those that are the same.
#[derive(Debug, Default)]
struct Numbers {
    held: Numbered,
    next: Number,
}

impl Numbers {
    fn of(&mut self, targets: Vec<ScrapeTarget>) -> Numbered {
        let held = std::mem::take(&mut self.held);
        let mut held: BTreeMap<_, _> = held
            .into_iter()
            .map(|(number, target)| (target.labels.clone(), (number, target)))
            .collect();
        let mut numbered = |target: ScrapeTarget| match held.remove(&target.labels) {
            Some((number, old)) if old.is_same(&target) => (number, old),
            _ => {
                self.next += 1;
                (self.next, Arc::new(target))
            }
        };
        self.held = targets.into_iter().map(&mut numbered).collect();
        self.held.clone()
    }
}

/// Looks at the files for ever, and turns to the targets that they name.
async fn follow(
    mut discovery: Discovery,
    mut numbers: Numbers,
    tasks: &mut Tasks,
    mut now: Numbered,
) {
    let Some(every) = discovery.refresh() else { return std::future::pending().await };
    // Targets of which the sampler is still to be told.
    let mut untold = false;
    loop {
        sleep(every).await;
        let looked = spawn_blocking(move || {
            let changed = discovery.look_again();
            (discovery, changed)
        });
        let Ok((back, changed)) = looked.await else { return std::future::pending().await };
        discovery = back;
        if let Some(targets) = changed {
            now = numbers.of(targets);
            untold = true;
        }
        if untold && tasks.results.events.try_send(Event::Targets(now.clone())).is_ok() {
            untold = false;
            tasks.turn(&now);
        }
    }
}

/// The tasks of the targets.
struct Tasks {
    clock: Clock,
    results: Results,
    set: JoinSet<()>,
    running: BTreeMap<Number, AbortHandle>,
}

impl Tasks {
    /// Ends those of targets that are gone, and begins those of new ones.
    fn turn(&mut self, targets: &Numbered) {
        let numbers: BTreeMap<Number, _> = targets.iter().map(|(n, target)| (*n, target)).collect();
        self.running.retain(|number, task| {
            let stays = numbers.contains_key(number);
            if !stays {
                task.abort();
            }
            stays
        });
        for (number, target) in numbers {
            let (set, clock, results) = (&mut self.set, &self.clock, &self.results);
            self.running.entry(number).or_insert_with(|| {
                let task = Task::new(Arc::clone(target), clock.clone());
                set.spawn(task.run(number, results.clone()))
            });
        }
        while self.set.try_join_next().is_some() {}
    }
}

/// One target.
struct Task {
    target: Arc<ScrapeTarget>,
    client: Client,
    scan: Scan,
    clock: Clock,
    /// What the last scrape was told of: its failure, or that it went well.
    last: Option<Option<Failure>>,
}

impl Task {
    fn new(target: Arc<ScrapeTarget>, clock: Clock) -> Task {
        let client = Client::new(Arc::clone(&target));
        Task { client, scan: Scan::new(Arc::clone(&target)), target, clock, last: None }
    }

    /// Scrapes for ever.
    async fn run(mut self, number: Number, results: Results) {
        let interval = self.target.interval;
        let phase = phase(&self.target.labels, interval);
        let mut pace = Pace::begin(phase, interval, self.clock.clone()).await;
        loop {
            let scrape = self.scrape().await;
            self.tell(scrape.result.as_ref().err());
            // A full channel is that of a sampler that stands still.
            if results.events.try_send(Event::Scraped(number, Box::new(scrape))).is_err() {
                results.lost.fetch_add(1, Ordering::Relaxed);
            }
            pace.next().await;
        }
    }

    /// One scrape.
    async fn scrape(&mut self) -> Scrape {
        let begun = self.clock.now().mono;
        let limit = self.target.timeout;
        let fetched = match timeout(limit, self.client.fetch()).await {
            Ok(fetched) => fetched,
            Err(_) => Err(Failure::new(Reason::Timeout, format!("not done within {limit:?}"))),
        };
        let (counts, result) = match fetched {
            Ok(answer) => {
                let (body, version) = (self.client.body(), answer.version.as_deref());
                self.scan.read(&Page { body, format: answer.format, version })
            }
            Err(failure) => {
                self.client.hang_up();
                (Counts::default(), Err(failure))
            }
        };
        Scrape { took: self.clock.now().mono.since(begun), counts, result }
    }

    /// Logs the first failure, another reason, and the recovery.
    fn tell(&mut self, failure: Option<&Failure>) {
        if self.last.as_ref().is_some_and(|last| last.as_ref() == failure) {
            return;
        }
        let target = &self.target.labels;
        match failure {
            Some(reason) => warn!(%target, %reason, "scrape failed"),
            None if self.last.is_some() => info!(%target, "scrape succeeded again"),
            None => {}
        }
        self.last = Some(failure.cloned());
    }
}
