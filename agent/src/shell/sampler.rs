//! The sampler: one thread that collects at each tick and hands the rows on.
//!
//! It waits for absolute times, so that it never drifts, and works from one tick to the next; a
//! tick that passes meanwhile is counted, not made up for.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use bellwether_platform::clock::Clock;
use bellwether_platform::stop::{Stop, StopOnReturn};
use tracing::{info, warn};

use crate::pure::ticks::{Tick, Ticks};
use crate::shell::collection::{Collected, Collection, Group};
use crate::shell::latest::Latest;
use crate::shell::metrics::Metrics;

/// What takes the rows of each tick: groups that are not `due` have no row of it. Called on the
/// sampler's thread; what it takes is taken from the next tick.
pub trait Sink: Send {
    /// Takes the rows.
    fn take(&mut self, tick: Tick, groups: &mut [Group]);

    /// The groups of the next tick are others than before.
    fn begin_anew(&mut self) {}
}

impl<F: FnMut(Tick, &mut [Group]) + Send> Sink for F {
    fn take(&mut self, tick: Tick, groups: &mut [Group]) {
        self(tick, groups);
    }
}

/// Where the inputs of a changed configuration wait for the next tick. Cheap to clone.
#[derive(Clone, Default)]
pub struct Handover(Arc<Mutex<Option<Collection>>>);

impl Handover {
    /// Puts inputs there, in the place of those that wait.
    pub fn put(&self, collection: Collection) {
        self.replace(Some(collection));
    }

    fn take(&self) -> Option<Collection> {
        self.replace(None)
    }

    fn replace(&self, collection: Option<Collection>) -> Option<Collection> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), collection)
    }
}

/// The sampler, ready to run.
pub struct Sampler {
    /// What it collects.
    pub collection: Collection,
    /// When.
    pub clock: Clock,
    /// Where the page finds the newest rows.
    pub latest: Arc<Latest>,
    /// Where it counts.
    pub metrics: Metrics,
    /// Where rows go.
    pub sink: Box<dyn Sink>,
    /// Inputs of a changed configuration, which take over between two ticks.
    pub changed: Handover,
}

impl Sampler {
    /// Starts the thread; it ends when `stop` fires, after the row under way, and returns the sink.
    /// Should it end otherwise, `guard` stops the others.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(self, stop: Stop, guard: StopOnReturn) -> io::Result<JoinHandle<Box<dyn Sink>>> {
        Builder::new().name("sampler".to_owned()).spawn(move || {
            let sink = self.run(&stop);
            drop(guard);
            sink
        })
    }

    fn run(mut self, stop: &Stop) -> Box<dyn Sink> {
        let mut ticks = Ticks::after(self.clock.now().wall, self.collection.base());
        let mut failing = BTreeSet::new();
        self.collection.prime();
        loop {
            if let Some(changed) = self.changed.take() {
                ticks = ticks.turned(self.clock.now().wall, changed.base());
                self.take_over(changed);
                failing.clear();
            }
            if let Some(left) = ticks.wait(self.clock.now().wall) {
                if stop.wait_for(left) {
                    return self.sink;
                }
                continue;
            }
            if stop.is_stopped() {
                return self.sink;
            }
            let Some(tick) = ticks.take(self.clock.now().wall) else { continue };
            let collected = self.collection.collect(tick.time);
            let series = self.collection.groups().iter().map(|group| group.table.live()).sum();
            self.metrics.count(&collected, tick.missed, series);
            self.latest.publish(self.collection.groups());
            self.latest.report(self.collection.reports());
            self.sink.take(tick, self.collection.groups_mut());
            report(&collected, &mut failing, self.collection.due_inputs());
        }
    }
}

impl Sampler {
    /// Goes on with other inputs. Groups that they do not have are emptied by their first row.
    fn take_over(&mut self, changed: Collection) {
        let old = std::mem::replace(&mut self.collection, changed);
        self.collection.succeed(old);
        self.sink.begin_anew();
        self.latest.begin_anew();
        self.collection.prime();
    }
}

/// Logs an input's first failure and its recovery.
fn report(
    collected: &Collected,
    failing: &mut BTreeSet<&'static str>,
    due: impl Iterator<Item = &'static str>,
) {
    if collected.failed.is_empty() && failing.is_empty() {
        return;
    }
    for (input, error) in &collected.failed {
        if failing.insert(input) {
            warn!(input, %error, "input failed");
        }
    }
    for input in due {
        let has_failed = collected.failed.iter().any(|(failed, _)| *failed == input);
        if !has_failed && failing.remove(input) {
            info!(input, "input recovered");
        }
    }
}

#[cfg(test)]
mod tests;
