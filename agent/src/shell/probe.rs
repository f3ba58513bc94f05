//! Probes at work: one thread with a runtime of its own for all targets, which is there only while
//! there are any.
//!
//! The thread is not the main one, so that no sync of the spool is taken for a slow target. Each
//! target has a task, which probes it at its place in the interval, one probe at a time, each with
//! one deadline over all of it. Results go to the sampler over a bounded channel.

mod http;
mod reach;
mod tcp;
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
use bellwether_platform::tls::{ClientFiles, LookTls, Trust};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::pure::probe::rows::WAITING_MAX;
use crate::pure::probe::{Ask, Failure, Sight, TargetPlan};
use crate::pure::ticks::phase;
use crate::shell::lone::Lone;
use crate::shell::pace::Pace;
use reach::Reach;

/// Names that are looked up at one time: a look-up may hang, and each target has one at most.
const LOOKUPS_MAX: usize = crate::pure::config::TARGETS_MAX;

/// A result, with the target's place in the plan.
pub type Probed = (usize, Sight);

/// Targets that are probed for as long as this lives.
pub struct Probing {
    results: Receiver<Probed>,
    /// Results that had no room in the channel since they were last asked for.
    lost: Arc<AtomicU64>,
    stopper: Option<Stopper>,
}

impl Probing {
    /// Begins to probe; without targets there is no thread.
    ///
    /// # Errors
    /// The system has no thread or no runtime to give.
    pub fn start(plans: &[TargetPlan], clock: &Clock) -> io::Result<Probing> {
        Probing::on(Builder::new().name("probe".to_owned()), plans, clock)
    }

    fn on(thread: Builder, plans: &[TargetPlan], clock: &Clock) -> io::Result<Probing> {
        if plans.is_empty() {
            return Ok(Probing::none());
        }
        let (sender, results) = sync_channel(plans.len().saturating_mul(WAITING_MAX));
        let (stopper, stop) = stop::stop();
        let lost: Arc<AtomicU64> = Arc::default();
        let counter = Arc::clone(&lost);
        let (runtime, targets) = (Lone::runtime(LOOKUPS_MAX)?, targets(plans, clock));
        let probe = move || {
            let tasks = targets.into_iter().enumerate();
            runtime.block_on(async {
                let mut set = JoinSet::new();
                tasks.for_each(|(place, target)| {
                    set.spawn(target.run(place, sender.clone(), Arc::clone(&counter)));
                });
                stop.stopped().await;
            });
        };
        thread.spawn(probe)?;
        Ok(Probing { results, lost, stopper: Some(stopper) })
    }

    /// Probes each target once, all at one time; returns when all have ended.
    ///
    /// # Errors
    /// The system has no runtime to give.
    pub fn once(plans: &[TargetPlan], clock: &Clock) -> io::Result<Probing> {
        if plans.is_empty() {
            return Ok(Probing::none());
        }
        let (sender, results) = sync_channel(plans.len());
        let runtime = Lone::runtime(LOOKUPS_MAX)?;
        runtime.block_on(async {
            let mut set = JoinSet::new();
            for (place, mut target) in targets(plans, clock).into_iter().enumerate() {
                set.spawn(async move { (place, target.probe().await) });
            }
            while let Some(ended) = set.join_next().await {
                // The channel has room for all; a probe that panics has ended the process.
                ended.into_iter().for_each(|probed| drop(sender.try_send(probed)));
            }
        });
        Ok(Probing { results, lost: Arc::default(), stopper: None })
    }

    /// Nobody is probed.
    #[must_use]
    pub fn none() -> Probing {
        Probing { results: sync_channel(1).1, lost: Arc::default(), stopper: None }
    }

    /// Whoever has the other end probes.
    #[cfg(test)]
    pub(crate) fn fed() -> (SyncSender<Probed>, Probing) {
        let (sender, results) = sync_channel(64);
        (sender, Probing { results, lost: Arc::default(), stopper: None })
    }

    /// The results that have come since.
    pub fn take(&self) -> impl Iterator<Item = Probed> {
        self.results.try_iter()
    }

    /// How many results were lost since this was last asked, for want of somebody who takes them.
    pub fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        self.stopper.iter().for_each(Stopper::stop);
    }
}

/// The targets of a plan; those that trust the same share it.
fn targets(plans: &[TargetPlan], clock: &Clock) -> Vec<Target> {
    let mut trusted: BTreeMap<(ClientFiles, Trust), Arc<LookTls>> = BTreeMap::new();
    let target = |plan: &TargetPlan| {
        let key = (plan.tls.files.clone(), plan.tls.trust);
        let tls = trusted
            .entry(key)
            .or_insert_with_key(|(files, trust)| Arc::new(LookTls::new(files.clone(), *trust)));
        let reach = Reach::new(plan, Arc::clone(tls), clock.clone());
        Target { plan: plan.clone(), reach, clock: clock.clone(), last: None }
    };
    plans.iter().map(target).collect()
}

/// One target.
struct Target {
    plan: TargetPlan,
    reach: Reach,
    clock: Clock,
    /// What the last probe was told of: its failure, or that it went well.
    last: Option<Option<Failure>>,
}

impl Target {
    /// Probes for ever.
    async fn run(mut self, place: usize, results: SyncSender<Probed>, lost: Arc<AtomicU64>) {
        let interval = self.plan.interval;
        let phase = phase(&self.plan.labels, interval);
        let mut pace = Pace::begin(phase, interval, self.clock.clone()).await;
        loop {
            let sight = self.probe().await;
            self.tell(&sight);
            // A full channel is that of a sampler that stands still.
            if results.try_send((place, sight)).is_err() {
                lost.fetch_add(1, Ordering::Relaxed);
            }
            pace.next().await;
        }
    }

    /// One probe.
    async fn probe(&mut self) -> Sight {
        let begun = self.clock.now().mono;
        let mut sight = Sight::none(&self.plan.ask);
        let limit = self.plan.timeout;
        let asking = async {
            match &self.plan.ask {
                Ask::Http(plan) => http::ask(&mut self.reach, plan, &mut sight).await,
                Ask::Tcp(plan) => tcp::ask(&mut self.reach, plan, &mut sight).await,
            }
        };
        let result = match timeout(limit, asking).await {
            Ok(result) => result,
            Err(_) => Err(Failure::new(format!("not done within {limit:?}"))),
        };
        sight.took = self.clock.now().mono.since(begun);
        sight.failure = result.err();
        sight
    }

    /// Logs the first failure, another reason, and the recovery.
    fn tell(&mut self, sight: &Sight) {
        if self.last.as_ref() == Some(&sight.failure) {
            return;
        }
        let target = &self.plan.labels;
        match &sight.failure {
            Some(reason) => warn!(%target, %reason, "probe failed"),
            None if self.last.is_some() => info!(%target, "probe succeeded again"),
            None => {}
        }
        self.last = Some(sight.failure.clone());
    }
}
