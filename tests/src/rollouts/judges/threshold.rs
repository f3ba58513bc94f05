//! A threshold and a number of failed checks, as Flagger decides.

use super::super::Second;
use super::Judging;

/// Seconds between checks, and the window that each looks at.
const CHECK: u32 = 60;
/// Failed checks, in a row or not, after which it rolls back.
const FAILED_MAX: u32 = 5;
/// The least part of requests that must be good.
const GOOD_MIN: f64 = 0.99;

/// Success rate of a minute, each minute; a minute without requests is a failed check.
#[derive(Default)]
pub(super) struct Checks {
    n: u64,
    bad: u64,
    failed: u32,
}

impl Judging for Checks {
    fn step(&mut self, second: &Second) -> bool {
        let arms = second.total();
        self.n += arms.canary_n;
        self.bad += arms.canary_bad;
        if second.at % CHECK == CHECK - 1 {
            let good = (self.n - self.bad) as f64;
            self.failed += u32::from(self.n == 0 || good < GOOD_MIN * self.n as f64);
            (self.n, self.bad) = (0, 0);
        }
        self.failed >= FAILED_MAX
    }
}
