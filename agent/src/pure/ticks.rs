//! When rows are taken: at whole multiples of a cadence in wall time, never twice, never made up.

use std::time::Duration;

use bellwether_model::hash::fnv1a;
use bellwether_model::label::LabelSet;
use bellwether_model::time::Timestamp;

/// The ticks of one cadence.
#[derive(Clone, Copy, Debug)]
pub struct Ticks {
    /// Milliseconds, at least 1.
    base: i64,
    next: Timestamp,
    /// Whether a tick was taken: nothing is promised before.
    taken: bool,
}

/// A tick that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Its time: the stamp of its rows.
    pub time: Timestamp,
    /// The promise that goes with it: nothing more comes that is stamped at or before this.
    pub complete_through: Timestamp,
    /// Ticks passed over since the last one.
    pub missed: u64,
}

impl Ticks {
    /// Ticks every `base` after `now`.
    #[must_use]
    pub fn after(now: Timestamp, base: Duration) -> Ticks {
        let base = i64::try_from(base.as_millis()).unwrap_or(i64::MAX).max(1);
        let next = Timestamp(floor(now, base).0.saturating_add(base));
        Ticks { base, next, taken: false }
    }

    /// Ticks every `base` from now on, after all that was promised.
    #[must_use]
    pub fn turned(&self, now: Timestamp, base: Duration) -> Ticks {
        let promised = self.taken.then_some(Timestamp(self.next.0 - 1));
        Ticks::after(promised.map_or(now, |promised| promised.max(now)), base)
    }

    /// How long to wait at `now` for the next tick; `None` if it has come.
    #[must_use]
    pub fn wait(&self, now: Timestamp) -> Option<Duration> {
        let left = u64::try_from(self.next.millis_since(now)).ok()?;
        (left > 0).then(|| Duration::from_millis(left))
    }

    /// Takes the newest tick that has come; `None` if none has.
    pub fn take(&mut self, now: Timestamp) -> Option<Tick> {
        if now < self.next {
            return None;
        }
        let time = floor(now, self.base);
        let missed = u64::try_from(time.millis_since(self.next) / self.base).unwrap_or(0);
        self.next = Timestamp(time.0.saturating_add(self.base));
        self.taken = true;
        Some(Tick { time, complete_through: Timestamp(self.next.0 - 1), missed })
    }
}

/// How far into its interval a target is asked: of its labels, so that the requests to many targets
/// are spread, and those of many agents too. Within a second it lies in the first three quarters,
/// so that the row of most answers is of the next whole second.
#[must_use]
pub fn phase(labels: &LabelSet, interval: Duration) -> Duration {
    let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
    let hash = fnv1a(labels.as_bytes().iter().copied());
    // Mixed once more: labels of one length differ in few bytes.
    let place = ((hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 8) % interval;
    Duration::from_millis(place - place % 1000 + place % 1000 * 3 / 4)
}

fn floor(at: Timestamp, base: i64) -> Timestamp {
    Timestamp(at.0 - at.0.rem_euclid(base))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_whole_and_missed_ones_are_counted() {
        let mut ticks = Ticks::after(Timestamp(10_400), Duration::from_secs(1));
        assert_eq!(ticks.wait(Timestamp(10_400)), Some(Duration::from_millis(600)));
        assert_eq!(ticks.take(Timestamp(10_999)), None);
        let tick = |time, missed| Tick {
            time: Timestamp(time),
            complete_through: Timestamp(time + 999),
            missed,
        };
        assert_eq!(ticks.take(Timestamp(11_020)), Some(tick(11_000, 0)));
        assert_eq!(ticks.take(Timestamp(11_900)), None);
        assert_eq!(ticks.take(Timestamp(15_700)), Some(tick(15_000, 3)));
        assert_eq!(ticks.wait(Timestamp(16_000)), None);
        // Time that stands still or steps back waits; no tick comes twice.
        assert_eq!(ticks.wait(Timestamp(14_000)), Some(Duration::from_secs(2)));
        assert_eq!(ticks.take(Timestamp(15_999)), None);
        assert_eq!(ticks.take(Timestamp(16_000)), Some(tick(16_000, 0)));
    }

    #[test]
    fn another_cadence_begins_after_what_was_promised() {
        let mut ticks = Ticks::after(Timestamp(10_400), Duration::from_secs(15));
        ticks.take(Timestamp(15_000));
        let mut faster = ticks.turned(Timestamp(16_200), Duration::from_secs(1));
        assert_eq!(faster.take(Timestamp(29_999)), None, "15 s have promised all up to 29.999 s");
        assert_eq!(faster.take(Timestamp(30_000)).unwrap().time, Timestamp(30_000));
        let fresh = Ticks::after(Timestamp(10_400), Duration::from_secs(60));
        let mut sooner = fresh.turned(Timestamp(10_500), Duration::from_secs(1));
        assert_eq!(sooner.take(Timestamp(11_000)).unwrap().time, Timestamp(11_000));
    }
}
