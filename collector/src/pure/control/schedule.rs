//! When a group is evaluated: at slots of its interval, as Prometheus lays them, each once its
//! inputs are complete, at latest [`PATIENCE`] after it. Slots that pass while the group is still
//! being evaluated are missed and never made up for.

use std::time::Duration;

use bellwether_model::hash::fnv1a_of_texts;
use bellwether_model::time::Timestamp;

use super::evaluation::GroupKey;

/// How long a slot waits for its inputs.
pub const PATIENCE: Duration = Duration::from_millis(500);
/// Slots are whole milliseconds apart, and not closer than this.
pub const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The slots of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    interval: i64,
    offset: i64,
}

impl Slots {
    /// The slots of a group: spread over the interval by a hash of its name, so that groups of one
    /// interval do not all come at once.
    #[must_use]
    pub fn new(key: &GroupKey, interval: Duration) -> Slots {
        let interval = i64::try_from(interval.max(INTERVAL_MIN).as_millis()).unwrap_or(i64::MAX);
        let hash = fnv1a_of_texts([&*key.file, &*key.name]);
        // The high bits: those of the last bytes reach the low ones first.
        let hash = i64::try_from(hash >> 16).unwrap_or(0);
        Slots { interval, offset: hash % interval }
    }

    /// The interval.
    #[must_use]
    pub fn interval(self) -> Duration {
        Duration::from_millis(self.interval.unsigned_abs())
    }

    /// The first slot after a time.
    #[must_use]
    pub fn after(self, time: Timestamp) -> Timestamp {
        let whole = time.0.saturating_sub(self.offset).div_euclid(self.interval);
        Timestamp(whole.saturating_add(1).saturating_mul(self.interval).saturating_add(self.offset))
    }

    /// The slot to take when it is `now` and `next` was to come, and how many are missed: the
    /// newest that has come.
    #[must_use]
    pub fn catch_up(self, next: Timestamp, now: Timestamp) -> (Timestamp, u64) {
        let missed = now.millis_since(next).div_euclid(self.interval).max(0);
        (Timestamp(next.0 + missed * self.interval), missed.unsigned_abs())
    }
}

/// Whether a slot may be evaluated: `complete` is the time up to which all data is there.
#[must_use]
pub fn is_ready(slot: Timestamp, offset: Duration, complete: Timestamp, now: Timestamp) -> bool {
    now >= slot && (complete >= slot.saturating_sub(offset) || now >= slot.saturating_add(PATIENCE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(name: &str, millis: u64) -> Slots {
        let key = GroupKey { file: "rules.yml".into(), name: name.into() };
        Slots::new(&key, Duration::from_millis(millis))
    }

    #[test]
    fn slots_are_an_interval_apart_and_spread() {
        let mut offsets = std::collections::BTreeSet::new();
        for name in ["a", "b", "c", "d", "e"] {
            let slots = slots(name, 15_000);
            let first = slots.after(Timestamp(1_700_000_000_000));
            let second = slots.after(first);
            assert_eq!(second.0 - first.0, 15_000);
            assert_eq!(slots.after(Timestamp(first.0 - 1)), first);
            offsets.insert(first.0 % 15_000);
        }
        assert_eq!(offsets.len(), 5, "{offsets:?}");
        assert_eq!(slots("a", 1).interval(), INTERVAL_MIN);
    }

    #[test]
    fn missed_slots_are_passed_over() {
        let slots = slots("a", 1000);
        let next = slots.after(Timestamp(0));
        assert_eq!(slots.catch_up(next, Timestamp(next.0 - 500)), (next, 0));
        assert_eq!(slots.catch_up(next, Timestamp(next.0 + 999)), (next, 0));
        assert_eq!(slots.catch_up(next, Timestamp(next.0 + 3500)), (Timestamp(next.0 + 3000), 3));
    }

    #[test]
    fn a_slot_waits_for_its_inputs_and_not_for_ever() {
        let (slot, none) = (Timestamp(1000), Duration::ZERO);
        assert!(!is_ready(slot, none, Timestamp(5000), Timestamp(999)), "it has not come");
        assert!(is_ready(slot, none, Timestamp(1000), Timestamp(1000)));
        assert!(!is_ready(slot, none, Timestamp(999), Timestamp(1499)));
        assert!(is_ready(slot, none, Timestamp(999), Timestamp(1500)));
        assert!(is_ready(slot, Duration::from_millis(1), Timestamp(999), Timestamp(1000)));
    }
}
