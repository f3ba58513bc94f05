//! A cumulative sum against the error of the past, without a baseline beside the canary.

use super::super::Second;
use super::{Judging, Setting};

/// The ratio that it is tuned to find.
const RATIO: f64 = 10.0;
/// Seconds in which a false alarm may have the probability α, about.
const WITHIN: f64 = 3600.0;

/// Page's sum of the log-likelihood ratio of Poisson counts.
pub(super) struct Cusum {
    error: f64,
    threshold: f64,
    warm_up: u32,
    sum: f64,
    crossed: bool,
}

impl Cusum {
    pub(super) fn new(setting: &Setting) -> Cusum {
        Cusum {
            error: setting.traffic.error,
            threshold: libm::log(WITHIN / setting.alpha),
            warm_up: setting.warm_up,
            sum: 0.0,
            crossed: false,
        }
    }
}

impl Judging for Cusum {
    fn step(&mut self, second: &Second) -> bool {
        if second.at >= self.warm_up {
            let arms = second.total();
            let expected = arms.canary_n as f64 * self.error * (RATIO - 1.0);
            let gained = arms.canary_bad as f64 * libm::log(RATIO) - expected;
            self.sum = (self.sum + gained).max(0.0);
            self.crossed |= self.sum >= self.threshold;
        }
        self.crossed
    }
}
