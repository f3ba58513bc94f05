//! The stop signal of a process, and the operating system's signals that fire it.
//!
//! One [`Stopper`] fires, every [`Stop`] sees it: tasks await it, plain threads wait for it with a
//! deadline. It fires once and stays fired. The fixed tasks of a daemon each hold a
//! [`StopOnReturn`], so that the first one to return (or panic) stops all. How long the others may
//! take from there, the grace period, is theirs to keep; nothing here ends a thread.

mod signals;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwether_model::time::Mono;
use tokio::sync::watch;

use crate::clock::Clock;

pub use signals::Signals;

/// The longest single wait of a thread; waits are repeated up to their deadline.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// The end that listens. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop {
    shared: Arc<Shared>,
    tasks: watch::Receiver<bool>,
}

/// The end that fires. Cheap to clone; dropping it fires nothing.
#[derive(Clone, Debug)]
pub struct Stopper {
    shared: Arc<Shared>,
}

/// Fires when dropped: held by a task for as long as it runs.
#[derive(Debug)]
pub struct StopOnReturn(Stopper);

#[derive(Debug)]
struct Shared {
    fired: Mutex<bool>,
    threads: Condvar,
    tasks: watch::Sender<bool>,
}

impl Shared {
    fn fired(&self) -> MutexGuard<'_, bool> {
        self.fired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a signal that has not fired.
#[must_use]
pub fn stop() -> (Stopper, Stop) {
    let (tasks, seen) = watch::channel(false);
    let shared = Arc::new(Shared { fired: Mutex::new(false), threads: Condvar::new(), tasks });
    (Stopper { shared: Arc::clone(&shared) }, Stop { shared, tasks: seen })
}

impl Stopper {
    /// Fires; more calls change nothing.
    pub fn stop(&self) {
        *self.shared.fired() = true;
        self.shared.threads.notify_all();
        self.shared.tasks.send_replace(true);
    }

    /// An end that listens.
    #[must_use]
    pub fn listener(&self) -> Stop {
        Stop { shared: Arc::clone(&self.shared), tasks: self.shared.tasks.subscribe() }
    }

    /// A guard that fires when it is dropped.
    #[must_use]
    pub fn on_return(&self) -> StopOnReturn {
        StopOnReturn(self.clone())
    }

    /// True once fired.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.shared.fired()
    }
}

impl Drop for StopOnReturn {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Stop {
    /// True once fired.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.shared.fired()
    }

    /// Returns once fired. Safe to drop and call again.
    pub async fn stopped(&self) {
        let mut tasks = self.tasks.clone();
        // The sender lives in `shared`, which `self` holds, so the channel cannot close.
        tasks.wait_for(|fired| *fired).await.expect("invariant: the sender outlives its stops");
    }

    /// Blocks this thread until fired or until `time` has passed; true if fired.
    #[must_use]
    pub fn wait_for(&self, time: Duration) -> bool {
        let fired = self.shared.fired();
        let (fired, _) = self
            .shared
            .threads
            .wait_timeout_while(fired, time, |fired| !*fired)
            .unwrap_or_else(PoisonError::into_inner);
        *fired
    }

    /// Blocks this thread until fired or until the clock's monotonic time is `at`; true if fired.
    ///
    /// After the machine has slept it may return late by what was left to wait before the sleep.
    #[must_use]
    pub fn wait_until(&self, clock: &Clock, at: Mono) -> bool {
        loop {
            let left = at.since(clock.now().mono);
            if left.is_zero() || self.wait_for(left.min(WAIT_MAX)) {
                return self.is_stopped();
            }
        }
    }
}

#[cfg(test)]
mod tests;
