//! Mann and Whitney's test of the error ratios of minutes, as Kayenta judges, each minute.

use super::super::{Arms, Second};
use super::Judging;

/// Seconds of a point.
const POINT: u32 = 60;
/// Points before the first look.
const POINTS_MIN: usize = 10;
/// The normal quantile of a two-sided confidence of 98 %.
const QUANTILE: f64 = 2.326_347_874_040_841;
/// The part of the estimated shift that the lower confidence bound must exceed.
const TOLERANCE: f64 = 0.25;

/// The ratios so far.
#[derive(Default)]
pub(super) struct EachMinute {
    minute: Arms,
    canary: Vec<f64>,
    baseline: Vec<f64>,
    differences: Vec<f64>,
    failed: bool,
}

impl EachMinute {
    /// Whether the shift of the canary is confidently above a quarter of its estimate: the median
    /// of all differences (Hodges and Lehmann), and the difference at the rank that the normal
    /// approximation gives.
    fn is_higher(&mut self) -> bool {
        let (m, n) = (self.canary.len(), self.baseline.len());
        if m < POINTS_MIN || n < POINTS_MIN {
            return false;
        }
        self.differences.clear();
        for canary in &self.canary {
            self.differences.extend(self.baseline.iter().map(|baseline| canary - baseline));
        }
        let (m, n) = (m as f64, n as f64);
        let rank = m * n / 2.0 - QUANTILE * libm::sqrt(m * n * (m + n + 1.0) / 12.0);
        if rank < 1.0 {
            return false;
        }
        self.differences.sort_unstable_by(f64::total_cmp);
        let at = |rank: f64| self.differences.get(index(rank)).copied().unwrap_or_default();
        let estimate = (at(m * n / 2.0 - 0.5) + at(m * n / 2.0)) / 2.0;
        at(rank - 1.0) > TOLERANCE * estimate.abs()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "below the number of differences")]
fn index(rank: f64) -> usize {
    rank as usize
}

impl Judging for EachMinute {
    fn step(&mut self, second: &Second) -> bool {
        self.minute.add(second.total());
        if second.at % POINT == POINT - 1 && !self.failed {
            let Arms { canary_n, canary_bad, baseline_n, baseline_bad } =
                std::mem::take(&mut self.minute);
            // Minutes without requests have no ratio and are left out.
            if canary_n > 0 {
                self.canary.push(canary_bad as f64 / canary_n as f64);
            }
            if baseline_n > 0 {
                self.baseline.push(baseline_bad as f64 / baseline_n as f64);
            }
            self.failed = self.is_higher();
        }
        self.failed
    }
}
