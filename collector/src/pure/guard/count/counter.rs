//! One counter: what each of its samples adds.
//!
//! Values are taken as whole numbers, rounded down, so that sums of increases are exact and do not
//! depend on their order. A counter that falls was reset, and counts its new value. A series that
//! ended and comes again (a scrape failed) goes on from where it stood if it stands no lower:
//! counted from 0 it would bring all that it ever counted into one second. What it counts is of the
//! time since its target was last read well without it.

use bellwether_model::series::is_stale;
use bellwether_model::time::Timestamp;

/// Whole numbers above are not exact in a float.
const MOST: f64 = 9_007_199_254_740_992.0;

/// A counter's newest sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counter {
    time: Timestamp,
    value: Option<u64>,
    /// The series has ended since.
    ended: bool,
}

/// What a counter stood at before its first sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// Nobody knows.
    Unknown,
    /// So much, then; 0 where its target was read without it. Less than that is a reset.
    At(Timestamp, u64),
}

/// What a sample says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// The series ends.
    Marker,
    /// It is not after the newest one.
    Disordered,
    /// It is no count.
    Unreadable,
    /// Counting begins with it.
    Began,
    /// So many since then.
    Increase { by: u64, since: Timestamp },
}

impl Counter {
    pub(super) fn new() -> Counter {
        Counter { time: Timestamp::MIN, value: None, ended: false }
    }

    /// Whether there is a sample to count from.
    pub(super) fn is_known(&self) -> bool {
        self.value.is_some()
    }

    /// Whether the series has ended since its newest sample.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// When it stood at what, if that is known.
    pub(super) fn newest(&self) -> Option<(Timestamp, u64)> {
        self.value.map(|value| (self.time, value))
    }

    /// Takes a sample. `begin` is asked of a counter without one before, and of one that has ended:
    /// then its time is that at which it was not there.
    pub(super) fn take(&mut self, time: Timestamp, value: f64, begin: Begin) -> Taken {
        if is_stale(value) {
            self.ended |= time > self.time;
            return Taken::Marker;
        }
        if time <= self.time {
            return Taken::Disordered;
        }
        let before = match (self.value, begin) {
            (Some(value), Begin::At(at, _)) if self.ended => Some((self.time.max(at), value)),
            (Some(value), _) => Some((self.time, value)),
            (None, Begin::At(at, value)) => Some((at, value)),
            (None, Begin::Unknown) => None,
        };
        (self.time, self.ended) = (time, false);
        self.value = whole(value);
        let Some(value) = self.value else { return Taken::Unreadable };
        let Some((since, before)) = before else { return Taken::Began };
        let by = if value >= before { value - before } else { value };
        Taken::Increase { by, since }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked before")]
fn whole(value: f64) -> Option<u64> {
    (0.0..=MOST).contains(&value).then(|| libm::floor(value) as u64)
}

#[cfg(test)]
mod tests {
    use bellwether_model::series::STALE;

    use super::*;

    fn run(samples: &[(i64, f64)], begin: Begin) -> Vec<Taken> {
        let mut counter = Counter::new();
        samples.iter().map(|(at, value)| counter.take(Timestamp(*at), *value, begin)).collect()
    }

    fn by(by: u64, since: i64) -> Taken {
        Taken::Increase { by, since: Timestamp(since) }
    }

    #[test]
    fn increases_are_exact_over_fractions_resets_and_ends() {
        let samples = [(1, 10.5), (2, 11.4), (3, 12.5), (4, 2.0), (5, STALE), (6, 5.0), (7, 5.0)];
        let taken = [Taken::Began, by(1, 1), by(1, 2), by(2, 3), Taken::Marker, by(3, 4), by(0, 6)];
        assert_eq!(run(&samples, Begin::Unknown), taken);
        let zero = Begin::At(Timestamp(0), 0);
        assert_eq!(run(&[(1, 7.0), (2, 9.0)], zero), [by(7, 0), by(2, 1)]);
        let twin = Begin::At(Timestamp(0), 5);
        assert_eq!(run(&[(1, 7.0)], twin), [by(2, 0)]);
        assert_eq!(run(&[(1, 3.0)], twin), [by(3, 0)], "a new process");
        let mut counter = Counter::new();
        counter.take(Timestamp(1), 9.0, Begin::Unknown);
        counter.take(Timestamp(2), STALE, Begin::Unknown);
        assert!(counter.has_ended());
        let absent = Begin::At(Timestamp(7), 0);
        assert_eq!(counter.take(Timestamp(8), 2.0, absent), by(2, 7));
        assert_eq!(counter.take(Timestamp(9), 3.0, absent), by(1, 8));
    }

    #[test]
    fn what_is_no_count_begins_anew() {
        let samples = [(1, 1.0), (2, f64::NAN), (3, 9.0), (3, 9.0), (2, 9.0), (4, -1.0), (5, 1e16)];
        let taken = [
            Taken::Began,
            Taken::Unreadable,
            Taken::Began,
            Taken::Disordered,
            Taken::Disordered,
            Taken::Unreadable,
            Taken::Unreadable,
        ];
        assert_eq!(run(&samples, Begin::Unknown), taken);
    }
}
