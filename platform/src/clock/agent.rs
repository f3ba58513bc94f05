//! How an agent's wall time follows its collectors.
//!
//! Each exchange with a collector measures the collector's offset from our boot-time clock, with an
//! error of at most half the round trip. Of a collector's last [`WINDOW`] exchanges the one with
//! the shortest round trip counts; an exchange that contradicts it (their error bounds do not meet)
//! shows that the collector's clock moved and forgets the older ones. Wall time follows the median
//! over the collectors heard of late; of two middle ones the earlier, since going too far forward
//! cannot be taken back. It steps forward, and stands still while it is ahead.
//! Until a collector has answered, the system's date takes the median's place.
//! Invariant: wall time never goes backward.

use std::collections::VecDeque;
use std::time::Duration;

use bellwether_model::time::{Mono, Nanos};

use super::{ClockStats, Reading, duration_of, nanos_of};

/// Exchanges kept of each collector.
const WINDOW: usize = 8;
/// Collectors followed; a configuration names two or three.
const COLLECTORS: usize = 16;
/// An exchange slower than this says too little about the clock at its other end.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(5);
/// A collector not heard of for this long, while another one is, no longer counts.
const SILENT_MAX: Duration = Duration::from_secs(600);
/// Steps shorter than this are the jitter of round trips and are not counted as steps.
const STEP_COUNTED: Duration = Duration::from_millis(100);

/// One request to a collector and its answer, for the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Which collector, as a position in the agent's list.
    pub collector: usize,
    /// When the request left, by our boot-time clock.
    pub sent: Mono,
    /// When the collector had it, by its wall time.
    pub received: Nanos,
    /// When the collector answered, by its wall time; equal to `received` if it tells only one.
    pub answered: Nanos,
    /// When the answer was here, by our boot-time clock.
    pub got: Mono,
}

/// Why an exchange was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedExchange {
    /// This clock follows the system's date.
    #[error("this clock does not follow collectors")]
    NotAnAgent,
    /// Sixteen are followed.
    #[error("collector {0} is beyond those that are followed")]
    UnknownCollector(usize),
    /// An answer before its request, or the collector took longer than the whole exchange.
    #[error("the times of the exchange contradict each other")]
    Impossible,
    /// Too slow to tell the time.
    #[error("the round trip of {0:?} is too long to tell the time")]
    TooSlow(Duration),
}

/// The offset of an agent's wall time, as pure state.
#[derive(Clone, Debug)]
pub struct AgentClock {
    collectors: Vec<VecDeque<Measured>>,
    begun: bool,
    median: Option<i64>,
    last_mono: Mono,
    last_wall: Nanos,
    ahead_of_system: i64,
    holding: Duration,
    steps: u64,
    refused: u64,
}

/// What one exchange says: the collector's wall time less our boot-time clock.
#[derive(Clone, Copy, Debug)]
struct Measured {
    at: Mono,
    offset: i64,
    round_trip: Duration,
}

impl Measured {
    fn of(exchange: &Exchange) -> Result<Measured, RefusedExchange> {
        let Exchange { sent, received, answered, got, .. } = *exchange;
        let spent = answered.0.checked_sub(received.0).filter(|spent| *spent >= 0);
        let spent = duration_of(spent.ok_or(RefusedExchange::Impossible)?);
        if got < sent || got.since(sent) < spent {
            return Err(RefusedExchange::Impossible);
        }
        let round_trip = got.since(sent) - spent;
        if round_trip > ROUND_TRIP_MAX {
            return Err(RefusedExchange::TooSlow(round_trip));
        }
        // (received − sent + answered − got) / 2, as two halves that cannot overflow together.
        let there = received.0.saturating_sub(nanos_of(sent.0));
        let back = answered.0.saturating_sub(nanos_of(got.0));
        Ok(Measured { at: got, offset: there.midpoint(back), round_trip })
    }

    fn contradicts(&self, other: &Measured) -> bool {
        let bound = nanos_of((self.round_trip + other.round_trip) / 2);
        self.offset.abs_diff(other.offset) > bound.unsigned_abs() + 1
    }
}

impl AgentClock {
    /// Starts at the system's date.
    #[must_use]
    pub fn new(first: Reading) -> AgentClock {
        AgentClock {
            collectors: Vec::new(),
            median: None,
            begun: true,
            last_mono: first.mono,
            last_wall: first.system,
            ahead_of_system: 0,
            holding: Duration::ZERO,
            steps: 0,
            refused: 0,
        }
    }

    /// As [`AgentClock::new`], but time may still step back until [`AgentClock::begin`]: nothing
    /// has been stamped with it.
    #[must_use]
    pub fn unbegun(first: Reading) -> AgentClock {
        AgentClock { begun: false, ..AgentClock::new(first) }
    }

    /// From now on time never goes back.
    pub fn begin(&mut self) {
        self.begun = true;
    }

    /// Takes one exchange into account. Exchanges are given in the order of their answers.
    ///
    /// # Errors
    /// Says why it was not used; it is counted.
    pub fn observe(&mut self, exchange: Exchange) -> Result<(), RefusedExchange> {
        let taken = self.take(exchange);
        self.refused += u64::from(taken.is_err());
        taken
    }

    fn take(&mut self, exchange: Exchange) -> Result<(), RefusedExchange> {
        let measured = Measured::of(&exchange)?;
        if exchange.collector >= COLLECTORS {
            return Err(RefusedExchange::UnknownCollector(exchange.collector));
        }
        if self.collectors.len() <= exchange.collector {
            self.collectors.resize_with(exchange.collector + 1, VecDeque::new);
        }
        let window = self
            .collectors
            .get_mut(exchange.collector)
            .expect("invariant: the list was made long enough");
        // Old exchanges say nothing once our own crystal may have drifted as far as they are wide.
        window.retain(|old| measured.at.since(old.at) <= SILENT_MAX);
        if best(window).is_some_and(|best| best.contradicts(&measured)) {
            window.clear();
        }
        if window.len() == WINDOW {
            window.pop_front();
        }
        window.push_back(measured);
        self.median = self.median_of_recent().or(self.median);
        Ok(())
    }

    fn median_of_recent(&self) -> Option<i64> {
        let newest = self.collectors.iter().filter_map(|window| window.back()).map(|m| m.at).max();
        let recent = |window: &&VecDeque<Measured>| {
            window
                .back()
                .zip(newest)
                .is_some_and(|(last, newest)| newest.since(last.at) <= SILENT_MAX)
        };
        let mut offsets: Vec<i64> =
            self.collectors.iter().filter(recent).filter_map(best).map(|m| m.offset).collect();
        offsets.sort_unstable();
        offsets.get(offsets.len().saturating_sub(1) / 2).copied()
    }

    /// Wall time at a reading. Readings are given in the order of their boot-time clock; one that
    /// is earlier than the last is answered as if it were the last.
    pub fn wall(&mut self, reading: Reading) -> Nanos {
        let mono = reading.mono.max(self.last_mono);
        let elapsed = nanos_of(mono.since(self.last_mono));
        let offset = self.median.unwrap_or_else(|| reading.offset());
        let aim = nanos_of(mono.0).saturating_add(offset);
        let by_itself = self.last_wall.0.saturating_add(elapsed);
        self.steps += u64::from(aim.saturating_sub(by_itself) > nanos_of(STEP_COUNTED));
        let wall = if self.begun { aim.max(self.last_wall.0) } else { aim };
        self.holding = duration_of(wall.saturating_sub(aim));
        self.ahead_of_system = wall.saturating_sub(reading.system.0);
        self.last_mono = mono;
        self.last_wall = Nanos(wall);
        self.last_wall
    }

    /// The figures of the clock's own metrics, as of the last reading.
    #[must_use]
    pub fn stats(&self) -> ClockStats {
        ClockStats {
            ahead_of_system_nanos: self.ahead_of_system,
            steps: self.steps,
            holding: self.holding,
            refused_exchanges: self.refused,
        }
    }
}

fn best(window: &VecDeque<Measured>) -> Option<Measured> {
    window.iter().rev().copied().min_by_key(|measured| measured.round_trip)
}
