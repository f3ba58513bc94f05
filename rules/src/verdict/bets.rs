//! What the counts of one second say for or against each ratio that is bet on.
//!
//! Given the requests of both arms, `n_c` and `n_b`, and the number of bad ones among them all, the
//! bad ones of the canary follow a hypergeometric distribution if both arms fail alike, whatever
//! the rate of failure is in that second. A bet on the ratio `r` multiplies the evidence by
//! `θ/θ₀` for each bad request of the canary and by `(1−θ)/(1−θ₀)` for each of the baseline, with
//! `θ = r·n_c/(r·n_c + n_b)` and θ₀ the same at the tolerated ratio ρ. Its expectation is at most 1
//! at every ratio up to ρ, since the binomial distribution dominates the hypergeometric one in the
//! expectation of convex functions (Hoeffding 1963) and the factor grows with the true ratio
//! (Lindon and Malek 2022 for the process). Rates that change in time cancel.

use super::counts::Arm;

/// One number for each bet.
pub(super) type Bets = [f64; RATIOS.len()];

/// The ratios bet on, in units of ρ. The first is the bet on a bad deploy, wrong from its first
/// second; the others share the chance that the fault begins at any later time.
pub(super) const RATIOS: [f64; 8] = [40.0, 1.5, 2.0, 3.0, 5.0, 10.0, 25.0, 80.0];
/// What is put on each; together 1.
pub(super) const WEIGHTS: Bets = [0.5, 0.05, 0.06, 0.08, 0.09, 0.09, 0.08, 0.05];

/// The logarithms of the factors of one second.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Increment {
    /// Bad requests of the canary.
    pub(super) canary_bad: u64,
    /// Bad requests of the baseline.
    pub(super) baseline_bad: u64,
    /// From the canary's bad requests together, ≥ 0.
    pub(super) gain: Bets,
    /// The most that one of them gave, ≥ 0.
    pub(super) gain_each: Bets,
    /// From the baseline's, ≤ 0.
    pub(super) loss: Bets,
}

impl Increment {
    /// Adds a stratum in which both arms have served.
    pub(super) fn add(&mut self, rho: f64, canary: Arm, baseline: Arm) {
        if canary.bad == 0 && baseline.bad == 0 {
            return;
        }
        self.canary_bad += canary.bad;
        self.baseline_bad += baseline.bad;
        let (n_c, n_b) = (canary.n as f64, baseline.n as f64);
        let null = rho * n_c + n_b;
        let sums = self.gain.iter_mut().zip(&mut self.gain_each).zip(&mut self.loss);
        for (((gain, gain_each), loss), ratio) in sums.zip(RATIOS) {
            let away = libm::log(null / (ratio * rho * n_c + n_b));
            let each = (away + libm::log(ratio)).max(0.0);
            *gain += each * canary.bad as f64;
            *gain_each = each.max(*gain_each);
            *loss += away * baseline.bad as f64;
        }
    }
}
