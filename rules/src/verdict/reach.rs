//! What would have been found by now.

use super::bets::RATIOS;
use super::counts::Arm;

/// What the evidence has had to go on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exposure {
    /// Judged requests of the canary.
    pub(super) canary: Arm,
    /// Judged requests of the baseline.
    pub(super) baseline: Arm,
    /// Seconds judged.
    pub(super) seconds: f64,
    /// The tolerated ratio.
    pub(super) rho: f64,
    /// −ln α.
    pub(super) log_inverse: f64,
    /// The exponent for clusters.
    pub(super) exponent: f64,
    /// The size of the train that is left out, in requests.
    pub(super) train_requests: f64,
    /// Its length, in seconds.
    pub(super) train_seconds: f64,
}

/// What is lost of the evidence, as a logarithm, by not knowing the ratio and the start: the weight
/// of one of seven bets, times that of the starts within a quarter of a minute.
const UNKNOWN: f64 = 5.0;

impl Exposure {
    /// The smallest ratio, of a fault there from the first second, whose expected evidence reaches
    /// 1/α by now; `None` if not even a canary that fails every request would have been found.
    pub(super) fn smallest_ratio(&self) -> Option<f64> {
        if self.canary.n == 0 || self.baseline.n == 0 {
            return None;
        }
        let (n_c, n_b) = (self.canary.n as f64, self.baseline.n as f64);
        let bad = self.baseline.bad as f64;
        // Half a bad request more: a baseline without any is not one that never fails.
        let rate = (bad + 0.5) / (n_b + 1.0);
        let mut ratio = self.rho * 1.1;
        while ratio * rate < 1.0 {
            if self.expected(ratio, rate * n_c, n_c, n_b) >= self.log_inverse + UNKNOWN {
                return Some(ratio);
            }
            ratio *= 1.1;
        }
        let most = 1.0 / rate;
        let found = self.expected(most, rate * n_c, n_c, n_b) >= self.log_inverse + UNKNOWN;
        found.then_some(most)
    }

    /// The expected logarithm of the evidence for a ratio, by the bet that says most of it.
    fn expected(&self, ratio: f64, healthy: f64, n_c: f64, n_b: f64) -> f64 {
        let bad = healthy * ratio;
        let train = bad * (self.train_seconds / self.seconds).min(1.0);
        let mut most = self.train_requests;
        if most > 0.0 {
            // A train may have any number in its first second.
            most = most.max(bad / self.seconds);
        }
        let kept = bad - train.min(most);
        let said = RATIOS.iter().map(|bet| {
            let away = libm::log((self.rho * n_c + n_b) / (bet * self.rho * n_c + n_b));
            kept * (away + libm::log(*bet)) + self.baseline.bad as f64 * away
        });
        self.exponent * said.fold(0.0, f64::max)
    }
}
