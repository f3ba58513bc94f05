//! How the collector's wall time follows the date of its system.
//!
//! Differences up to [`STEP_OVER`] are slewed away at [`SLEW_PPM`]. A larger one ahead of us is
//! slewed too, and stepped once it has lasted [`STEP_AFTER`]. A larger one behind us is left as it
//! is: wall time runs on at its own rate and only the exported difference shows it.
//! Invariant: wall time strictly follows the boot-time clock and never goes backward.

use std::time::Duration;

use bellwether_model::time::{Mono, Nanos};

use super::{ClockStats, Reading, nanos_of};

/// The rate at which differences are slewed away: the kernel's own limit, which every consumer of
/// wall time already lives with.
pub(crate) const SLEW_PPM: i64 = 500;
/// Differences above this are not drift; somebody set the date.
pub(crate) const STEP_OVER: Duration = Duration::from_secs(1);
/// A date that is set twice within this time is followed once.
pub(crate) const STEP_AFTER: Duration = Duration::from_secs(60);

/// The offset of a collector's wall time, as pure state.
#[derive(Clone, Copy, Debug)]
pub struct CollectorClock {
    offset: i64,
    last: Mono,
    behind_since: Option<Mono>,
    ahead_of_system: i64,
    steps: u64,
}

impl CollectorClock {
    /// Starts at the system's date.
    #[must_use]
    pub fn new(first: Reading) -> CollectorClock {
        CollectorClock {
            offset: first.offset(),
            last: first.mono,
            behind_since: None,
            ahead_of_system: 0,
            steps: 0,
        }
    }

    /// Wall time at a reading. Readings are given in the order of their boot-time clock; one that
    /// is earlier than the last is answered as if it were the last.
    pub fn wall(&mut self, reading: Reading) -> Nanos {
        let mono = reading.mono.max(self.last);
        let elapsed = mono.since(self.last);
        self.last = mono;
        let behind = reading.offset().saturating_sub(self.offset);
        let step_over = nanos_of(STEP_OVER);
        let far_behind = behind > step_over;
        let since = far_behind.then(|| self.behind_since.unwrap_or(mono));
        if since.is_some_and(|since| mono.since(since) >= STEP_AFTER) {
            self.offset = self.offset.saturating_add(behind);
            self.behind_since = None;
            self.steps += 1;
        } else {
            self.behind_since = since;
            if behind >= -step_over {
                let most = slewed(elapsed);
                self.offset = self.offset.saturating_add(behind.clamp(-most, most));
            }
        }
        self.ahead_of_system = self.offset.saturating_sub(reading.offset());
        Nanos(nanos_of(mono.0).saturating_add(self.offset))
    }

    /// The figures of the clock's own metrics, as of the last reading.
    #[must_use]
    pub fn stats(&self) -> ClockStats {
        ClockStats {
            ahead_of_system_nanos: self.ahead_of_system,
            steps: self.steps,
            ..ClockStats::default()
        }
    }
}

/// Nanoseconds that may be slewed in a time, rounded down.
fn slewed(elapsed: Duration) -> i64 {
    nanos_of(elapsed) / (1_000_000 / SLEW_PPM)
}
