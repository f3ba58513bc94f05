//! The times at which a target's counters were read.

use std::collections::VecDeque;

use bellwether_model::time::Timestamp;

/// How many of the newest intervals tell how often a target is read.
const INTERVALS: usize = 4;
/// Rows that are kept before the end of what is closed.
pub(super) const KEPT: usize = INTERVALS + 1;
/// An interval that is longer than five seconds and than five others is a break, not an interval.
const BREAK_MS: i64 = 5_000;
const BREAK_TIMES: i64 = 5;
/// An interval may be so much longer and still be of as many seconds, in milliseconds: rows are
/// stamped with the tick that ships them, and ticks of some clients are not whole seconds.
const LOOSE_MS: i64 = 250;

/// The newest row of each half second, rising.
#[derive(Debug, Default)]
pub(super) struct Rows(VecDeque<Timestamp>);

impl Rows {
    /// Takes a row; those of one half second are one.
    pub(super) fn push(&mut self, time: Timestamp) {
        let Some(last) = self.0.back_mut() else {
            self.0.push_back(time);
            return;
        };
        if time == *last {
            return;
        }
        if time > *last {
            if half_second(time) == half_second(*last) {
                *last = time;
            } else {
                self.0.push_back(time);
            }
            return;
        }
        let at = self.0.partition_point(|row| *row < time);
        let has = |at: Option<usize>| {
            let row = at.and_then(|at| self.0.get(at));
            row.is_some_and(|row| half_second(*row) == half_second(time))
        };
        if !has(Some(at)) && !has(at.checked_sub(1)) {
            self.0.insert(at, time);
        }
    }

    pub(super) fn last(&self) -> Option<Timestamp> {
        self.0.back().copied()
    }

    /// The newest up to a time.
    pub(super) fn newest(&self, until: Timestamp) -> Option<Timestamp> {
        self.before(until).next()
    }

    /// Seconds between two rows, as of a time; `None` if there were not two of late.
    pub(super) fn interval(&self, until: Timestamp) -> Option<i64> {
        interval(self.before(until))
    }

    /// Forgets rows before a time but for those that tell the interval.
    pub(super) fn forget(&mut self, end: Timestamp) {
        let until = self.0.partition_point(|row| *row <= end);
        self.0.drain(..until.saturating_sub(KEPT));
    }

    /// Rows up to a time, the newest first.
    fn before(&self, until: Timestamp) -> impl Iterator<Item = Timestamp> {
        let newest = self.0.iter().rev();
        newest.copied().skip_while(move |row| *row > until)
    }
}

/// The longest of the newest intervals that is no break, in seconds, of times given from the newest
/// on.
pub(super) fn interval(newest: impl Iterator<Item = Timestamp>) -> Option<i64> {
    let mut intervals = [None; INTERVALS];
    let mut after: Option<Timestamp> = None;
    let mut places = intervals.iter_mut();
    for time in newest {
        if let Some(after) = after.replace(time) {
            let Some(place) = places.next() else { break };
            *place = Some(after.millis_since(time));
        }
    }
    let known = || intervals.iter().flatten().copied();
    let shortest = known().min()?;
    let most = BREAK_MS.max(shortest.saturating_mul(BREAK_TIMES));
    let most = most.min(1000 * super::super::INTERVAL_SECONDS);
    known().filter(|interval| *interval <= most).max().map(seconds)
}

fn half_second(time: Timestamp) -> i64 {
    time.0.saturating_sub(1).div_euclid(500)
}

/// The seconds of an interval, at least one.
pub(super) fn seconds(millis: i64) -> i64 {
    millis.saturating_add(999 - LOOSE_MS).div_euclid(1000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(times: &[i64]) -> Rows {
        let mut rows = Rows::default();
        times.iter().for_each(|time| rows.push(Timestamp(*time)));
        rows
    }

    #[test]
    fn intervals_are_the_longest_of_late_without_breaks() {
        let interval = |times: &[i64]| rows(times).interval(Timestamp::MAX);
        assert_eq!((interval(&[]), interval(&[1_000])), (None, None));
        assert_eq!(interval(&[1_000, 2_000]), Some(1));
        assert_eq!(interval(&[1_000, 2_000, 4_000]), Some(2), "one was missed");
        assert_eq!(interval(&[1_000, 2_000, 8_000]), Some(1), "a break");
        assert_eq!(interval(&[1_000, 3_000, 4_000, 5_000, 6_000, 7_000]), Some(1), "long ago");
        assert_eq!(interval(&[0, 15_000, 46_000]), Some(31));
        assert_eq!(interval(&[0, 120_000]), None, "too seldom");
        assert_eq!(interval(&[990, 2_010, 2_990]), Some(1), "not whole seconds");
        assert_eq!(rows(&[1_000, 2_000, 6_000]).interval(Timestamp(5_999)), Some(1));
    }

    #[test]
    fn rows_of_a_half_second_are_one_in_any_order() {
        let mut told = rows(&[5_000, 1_000, 2_000, 1_600, 5_000, 4_600]);
        assert_eq!(told.0, [1_000, 2_000, 5_000].map(Timestamp));
        let late = rows(&[1_600, 1_900, 3_000]);
        assert_eq!(late.0, [1_900, 3_000].map(Timestamp));
        assert_eq!(late.newest(Timestamp(2_999)), Some(Timestamp(1_900)));
        told.forget(Timestamp(9_000));
        assert_eq!(told.0.len(), 3);
        (6..20).for_each(|second| told.push(Timestamp(second * 1_000)));
        told.forget(Timestamp(18_000));
        assert_eq!(told.0.len(), KEPT + 1);
    }
}
