//! When a target is asked: at its place in each interval of wall time, and once soon after a start.

use std::time::Duration;

use bellwether_model::time::{Now, Timestamp};
use bellwether_platform::clock::Clock;
use tokio::time::sleep;

use crate::pure::ticks::Ticks;

/// The first request comes within this, whatever the interval.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// The times at which one target is asked.
#[derive(Debug)]
pub struct Pace {
    phase: Duration,
    interval: Duration,
    clock: Clock,
    ticks: Ticks,
}

impl Pace {
    /// Waits for the first time.
    pub async fn begin(phase: Duration, interval: Duration, clock: Clock) -> Pace {
        let within = u64::try_from(FIRST_WITHIN.as_millis()).unwrap_or(u64::MAX);
        let first = u64::try_from(phase.as_millis()).unwrap_or(0) % within;
        sleep(Duration::from_millis(first)).await;
        let ticks = Ticks::after(shifted(clock.now(), phase), interval);
        Pace { phase, interval, clock, ticks }
    }

    /// Waits for the next time; times that have passed meanwhile are left out.
    pub async fn next(&mut self) {
        while self.ticks.take(shifted(self.clock.now(), self.phase)).is_none() {
            let now = shifted(self.clock.now(), self.phase);
            match self.ticks.wait(now) {
                Some(left) if left <= self.interval => sleep(left).await,
                // The clock was set back, as a collector may do before the first row.
                Some(_) => self.ticks = Ticks::after(now, self.interval),
                None => {}
            }
        }
    }
}

fn shifted(now: Now, phase: Duration) -> Timestamp {
    now.wall.saturating_sub(phase)
}
