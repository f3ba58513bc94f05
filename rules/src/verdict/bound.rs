//! The upper bound of the canary's ratio, at any time.
//!
//! For each limit `L` there is a test of "the ratio is L or more": bets on smaller ratios, as in
//! `bets.rs` with L in the place of ρ and the roles turned round. Once its evidence reaches 1/α the
//! limit holds. Bad requests of the baseline speak for the canary, so one train among those is
//! taken off the sum, and the exponent for clusters is applied, as for the evidence against it.

use super::counts::Arm;

/// The limits in units of the first, which is `ρ(1 + δ)`: what is shown while a pass is far.
const LIMITS: [f64; 6] = [1.0, 1.5, 2.5, 5.0, 15.0, 50.0];
/// The smaller ratios bet on, in units of a limit.
const BETS: [f64; 4] = [0.02, 0.1, 0.3, 0.6];

/// Sums of logarithms, compensated (Neumaier 1974): they run for days.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    sum: f64,
    rest: f64,
    /// The most that one bad request of the baseline gave.
    each: f64,
}

/// The tests of all limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    first: f64,
    sums: [[Sum; BETS.len()]; LIMITS.len()],
}

impl Bound {
    /// `first` is the limit of a pass.
    pub(super) fn new(first: f64) -> Self {
        Self { first, sums: Default::default() }
    }

    /// Adds a stratum in which both arms have served.
    pub(super) fn add(&mut self, canary: Arm, baseline: Arm) {
        if canary.bad == 0 && baseline.bad == 0 {
            return;
        }
        let (n_c, n_b) = (canary.n as f64, baseline.n as f64);
        for (sums, limit) in self.sums.iter_mut().zip(LIMITS) {
            let at_limit = self.first * limit * n_c;
            for (sum, bet) in sums.iter_mut().zip(BETS) {
                let away = libm::log((at_limit + n_b) / (bet * at_limit + n_b));
                sum.add(away * baseline.bad as f64);
                sum.add((away + libm::log(bet)) * canary.bad as f64);
                sum.each = sum.each.max(away);
            }
        }
    }

    /// The smallest limit shown with confidence 1 − α, `log_inverse` being −ln α.
    pub(super) fn at_most(&self, exponent: f64, left_out: f64, log_inverse: f64) -> Option<f64> {
        let mut shown = None;
        for (sums, limit) in self.sums.iter().zip(LIMITS).rev() {
            if log_mean(sums, exponent, left_out) < log_inverse {
                break;
            }
            shown = Some(self.first * limit);
        }
        shown
    }

    /// The logarithm of the evidence that the canary's ratio is below the limit of a pass.
    pub(super) fn log_pass(&self, exponent: f64, left_out: f64) -> f64 {
        self.sums.first().map_or(0.0, |sums| log_mean(sums, exponent, left_out))
    }
}

impl Sum {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        self.rest += if self.sum.abs() >= value.abs() {
            (self.sum - sum) + value
        } else {
            (value - sum) + self.sum
        };
        self.sum = sum;
    }
}

fn log_mean(sums: &[Sum; BETS.len()], exponent: f64, left_out: f64) -> f64 {
    let mut logs = [0.0; BETS.len()];
    let mut most = f64::NEG_INFINITY;
    for (log, sum) in logs.iter_mut().zip(sums) {
        *log = exponent * (sum.sum + sum.rest - left_out * sum.each);
        most = most.max(*log);
    }
    let mut mean = 0.0;
    for log in logs {
        mean += libm::exp(log - most) / logs.len() as f64;
    }
    most + libm::log(mean)
}
