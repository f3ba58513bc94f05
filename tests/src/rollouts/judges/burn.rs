//! The burn rate of an error budget over two windows, as the SRE workbook pages: 14.4 times over
//! five minutes and over one hour, for an objective of 99.9 %.

use super::super::Second;
use super::{Judging, Setting};

/// The part of requests over which the alert fires.
const LIMIT: f64 = 14.4 * 0.001;
const SHORT: usize = 300;
const LONG: usize = 3600;
/// Seconds between evaluations.
const EVALUATED: u32 = 15;

/// Sums of requests and bad requests up to each second.
pub(super) struct Burn {
    whose: Whose,
    sums: Vec<(f64, f64)>,
    fired: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Whose {
    Canary,
    Service,
}

impl Burn {
    /// Of the canary alone, since its first second: there is no least number of requests.
    pub(super) fn of_canary() -> Burn {
        Burn { whose: Whose::Canary, sums: vec![(0.0, 0.0)], fired: false }
    }

    /// Of the whole service, with an hour of its past.
    pub(super) fn of_service(setting: &Setting) -> Burn {
        let traffic = setting.traffic;
        let past = (0..=LONG).map(|second| {
            let n = second as f64 * traffic.rps;
            (n, n * traffic.error)
        });
        Burn { whose: Whose::Service, sums: past.collect(), fired: false }
    }

    fn burns(&self, window: usize) -> bool {
        let last = self.sums.len() - 1;
        let at = |index: usize| self.sums.get(index).copied().unwrap_or_default();
        let ((n, bad), (n_before, bad_before)) = (at(last), at(last.saturating_sub(window)));
        bad - bad_before > LIMIT * (n - n_before)
    }
}

impl Judging for Burn {
    fn step(&mut self, second: &Second) -> bool {
        let arms = second.total();
        let (n, bad) = match self.whose {
            Whose::Canary => (arms.canary_n, arms.canary_bad),
            Whose::Service => {
                (arms.canary_n + arms.baseline_n, arms.canary_bad + arms.baseline_bad)
            }
        };
        let (n_before, bad_before) = self.sums.last().copied().unwrap_or_default();
        self.sums.push((n_before + n as f64, bad_before + bad as f64));
        if second.at % EVALUATED == EVALUATED - 1 {
            self.fired |= self.burns(SHORT) && self.burns(LONG);
        }
        self.fired
    }
}
