//! How long to wait before the collector is asked again.

use std::time::Duration;

/// After the first failure.
const FIRST: Duration = Duration::from_millis(200);
/// After many: a rollback waits for no more than this once the collector is back.
const LONGEST: Duration = Duration::from_secs(5);
/// After what only a person can mend.
const LASTING: Duration = Duration::from_secs(30);
/// From the beginning of a poll that brought nothing new to the next.
pub const REST: Duration = Duration::from_secs(1);

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may pass by itself.
    Passing,
    /// A person has to do something.
    Lasting,
}

/// The pause after a number of failures in a row, from 1: twice the one before, between half of it
/// and all, as the random number says, so that hooks do not come back all at once.
#[must_use]
pub fn pause(failures: u32, failure: Failure, random: u16) -> Duration {
    let whole = match failure {
        Failure::Passing => {
            FIRST.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST)
        }
        Failure::Lasting => LASTING,
    };
    let half = whole / 2;
    half + half / u32::from(u16::MAX) * u32::from(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_differ() {
        let longest = |failures| pause(failures, Failure::Passing, u16::MAX).as_millis();
        let about = |millis: u128, expected: u128| millis.abs_diff(expected) <= 1;
        for (failures, expected) in [(1, 200), (2, 400), (3, 800), (6, 5000), (u32::MAX, 5000)] {
            assert!(about(longest(failures), expected), "{failures}: {}", longest(failures));
            assert!(about(pause(failures, Failure::Passing, 0).as_millis(), expected / 2));
        }
        assert_eq!(pause(1, Failure::Lasting, 0), LASTING / 2);
    }
}
