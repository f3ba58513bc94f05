//! Time as values. Nothing here reads a clock: `platform::clock` does, and hands `Now` in.

mod text;

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

pub use text::{NEVER, civil, date, date_millis, http_date, parse};

/// Milliseconds since the Unix epoch: the stamp of samples, slots and marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// Nanoseconds since the Unix epoch: the stamp of log records and clock readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub i64);

/// Monotonic time since boot, sleep included. Timeouts and retries only; never shown, never stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub Duration);

/// One reading of the clock, passed down as an argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Slots and stamps.
    pub wall: Timestamp,
    /// Timeouts and retries.
    pub mono: Mono,
}

impl Timestamp {
    /// Before every stamp that can occur.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// After every stamp that can occur.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// Moves by a duration, saturating; sub-millisecond parts are cut.
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Moves back by a duration, saturating; sub-millisecond parts are cut.
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Milliseconds from `earlier` to `self`, saturating; negative if `earlier` is later.
    #[must_use]
    pub fn millis_since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl From<Nanos> for Timestamp {
    fn from(at: Nanos) -> Timestamp {
        Timestamp(at.0.div_euclid(1_000_000))
    }
}

impl Mono {
    /// Time passed since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Mono) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;
    fn add(self, by: Duration) -> Mono {
        Mono(self.0.saturating_add(by))
    }
}

impl Sub<Duration> for Mono {
    type Output = Mono;
    fn sub(self, by: Duration) -> Mono {
        Mono(self.0.saturating_sub(by))
    }
}

/// Seconds with three decimals, as Prometheus prints stamps in JSON.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, magnitude) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let (seconds, millis) = (magnitude / 1000, magnitude % 1000);
        if millis == 0 {
            write!(f, "{sign}{seconds}")
        } else {
            write!(f, "{sign}{seconds}.{millis:03}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_prometheus_does() {
        assert_eq!(Timestamp(1_700_000_000_001).to_string(), "1700000000.001");
        assert_eq!(Timestamp(-1).to_string(), "-0.001");
        assert_eq!(Timestamp(5000).to_string(), "5");
        assert_eq!(Timestamp::from(Nanos(-1)), Timestamp(-1));
    }
}
