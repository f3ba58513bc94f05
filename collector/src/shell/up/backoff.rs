//! How long to wait before a process that ended is started again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const MOST: Duration = Duration::from_secs(30);
/// A process that lived this long was well: its end is not the next of a row.
const WELL: Duration = Duration::from_secs(60);

/// Ends in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    ends: u32,
}

impl Backoff {
    /// The wait after a process that lived so long: half a second, twice as long after each further
    /// end, at most half a minute.
    pub(super) fn after(&mut self, lived: Duration) -> Duration {
        if lived >= WELL {
            self.ends = 0;
        }
        let times = 1_u32.checked_shl(self.ends).unwrap_or(u32::MAX);
        self.ends = self.ends.saturating_add(1);
        FIRST.saturating_mul(times).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_begin_again_after_a_good_life() {
        let mut backoff = Backoff::default();
        let mut after = |seconds| backoff.after(Duration::from_secs(seconds)).as_millis();
        let waits: Vec<u128> = (0..8).map(|_| after(1)).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        assert_eq!([after(59), after(60), after(0)], [30_000, 500, 1000]);
        for _ in 0..100 {
            after(0);
        }
        assert_eq!(after(0), 30_000);
    }
}
