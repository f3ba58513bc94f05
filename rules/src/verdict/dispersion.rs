//! How far bad requests come together, learned from what has been seen.
//!
//! For each arm, neighbouring windows of 1, 5 and 15 s are compared, those of 5 and 15 s in two
//! rows half a window apart, since a train that two windows share looks like half of one. If `x`
//! bad requests are followed by `y`, then `2·max(x−y, 0)²/(x+y)` has the expectation 1 given `x+y`
//! where requests fail independently at a rate that hardly moves, and about the (size-biased)
//! number of requests in a cluster where they do not. Only falls count: a fault that sets in rises
//! and stays, a train rises and falls. A pair's weight is its number of bad requests, at most 20,
//! so that one outage does not drown the rest. What the index does is to choose a temper of the
//! evidence. It comes from the past of the whole record, so a train is known once it is over: the
//! one that is under way is what leaving out one train is for.

/// The lengths of windows, in seconds (bursts of one second, of clients that retry, of 15 s), and
/// by how many seconds they begin earlier.
const SCALES: [(i64, i64); 5] = [(1, 0), (5, 0), (5, 2), (15, 0), (15, 7)];
/// The most that one pair weighs.
const WEIGHT_MAX: f64 = 20.0;
/// The most that a fall counts for: that of a train of 20. The end of an outage is a fall, too, and
/// may only be as bad.
const FALL_MAX: f64 = 40.0;
/// From which index on the next temper is used. Half as much again as the cluster sizes of the
/// lower tempers, since the index is a mean and the tail decides.
const STEPS: [f64; 4] = [1.5, 2.4, 4.2, 7.5];
/// What is believed of the baseline before it shows anything: pairs of this weight, with an index
/// of 1 and ten times the canary's share of the requests. The more traffic the canary gets, the
/// sooner some trains meet it before the first meets the baseline, and the less its verdict needs
/// to make the most of each bad request.
const BASELINE_PRIOR: f64 = 10.0;
/// The same of the canary, which has few bad requests and must not need many; with an index of 1.
const CANARY_PRIOR: f64 = 4.0;

/// Both arms' dispersion.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Dispersion {
    canary: Windows,
    baseline: Windows,
}

impl Dispersion {
    /// Takes one second, counted from the first of the record.
    pub(super) fn step(&mut self, second: i64, canary_bad: u64, baseline_bad: u64) {
        self.canary.step(second, canary_bad);
        self.baseline.step(second, baseline_bad);
    }

    /// The index: about 1 for independent requests. `share` is the canary's of all requests.
    fn index(&self, share: f64) -> f64 {
        let baseline = self.baseline.index(BASELINE_PRIOR, 1.0 + 10.0 * share);
        self.canary.index(CANARY_PRIOR, 1.0).max(baseline)
    }

    /// The temper that the index asks for.
    pub(super) fn temper(&self, share: f64) -> usize {
        let index = self.index(share);
        STEPS.iter().filter(|step| index >= **step).count()
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Windows {
    scales: [Scale; SCALES.len()],
}

impl Windows {
    fn step(&mut self, second: i64, bad: u64) {
        for (scale, (length, earlier)) in self.scales.iter_mut().zip(SCALES) {
            scale.step(second.saturating_add(earlier).div_euclid(length), bad as f64);
        }
    }

    fn index(&self, weight: f64, index: f64) -> f64 {
        let mut most: f64 = 0.0;
        for scale in &self.scales {
            most = most.max((scale.falls + weight * index) / (scale.weight + weight));
        }
        most
    }
}

/// Windows of one length.
#[derive(Debug, Clone, Copy, Default)]
struct Scale {
    window: i64,
    now: f64,
    before: f64,
    falls: f64,
    weight: f64,
}

impl Scale {
    fn step(&mut self, window: i64, bad: f64) {
        // Two windows without a second are as good as any more: the third pair is (0, 0).
        for _ in self.window..window.min(self.window.saturating_add(2)) {
            self.close();
        }
        self.window = window;
        self.now += bad;
    }

    fn close(&mut self) {
        let pair = self.before + self.now;
        if pair > 0.0 {
            let fall = (self.before - self.now).max(0.0);
            let weight = pair.min(WEIGHT_MAX);
            self.falls += weight * (2.0 * fall * fall / pair).min(FALL_MAX);
            self.weight += weight;
        }
        self.before = self.now;
        self.now = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temper(baseline: impl Fn(i64) -> u64, canary: impl Fn(i64) -> u64) -> usize {
        let mut dispersion = Dispersion::default();
        for second in 0..1800 {
            dispersion.step(second, canary(second), baseline(second));
        }
        dispersion.temper(0.05)
    }

    #[test]
    fn clusters_are_seen_in_either_arm_and_faults_are_not() {
        let alone = |second: i64| u64::from(second * 7919 % 31 < 4);
        let train = |second: i64| if second % 300 < 4 { 4 } else { 0 };
        let fault = |second: i64| if second > 900 { 1 + u64::from(second % 3 == 0) } else { 0 };
        let outage =
            |second: i64| alone(second) + if (600..900).contains(&second) { 30 } else { 0 };
        let none = |_| 0;
        assert_eq!(temper(alone, none), 0);
        assert_eq!(temper(alone, fault), 0);
        assert!(temper(outage, none) <= 2);
        assert!(temper(train, none) >= 3);
        assert!(temper(alone, train) >= 3);
        assert!(temper(|second| alone(second) + train(second), none) >= 2);
    }

    /// Wherever the windows begin, a train of a small canary is seen whole.
    #[test]
    fn a_train_is_seen_wherever_it_begins() {
        for begins in 300..330 {
            let train = |second: i64| u64::from((begins..begins + 6).contains(&second));
            assert!(temper(|_| 0, train) >= 2, "{begins}");
        }
    }

    /// Nothing is known: the more the canary gets, the more careful.
    #[test]
    fn a_judge_who_has_seen_nothing_is_careful() {
        let tempers = [0.01, 0.05, 0.1, 0.25, 0.5].map(|share| Dispersion::default().temper(share));
        assert_eq!(tempers, [0, 1, 1, 2, 3]);
    }

    #[test]
    fn gaps_are_windows_without_any() {
        let (mut told, mut skipped) = (Dispersion::default(), Dispersion::default());
        for second in 0..200 {
            let bad = if second % 70 == 3 { 5 } else { 0 };
            told.step(second, bad, 2 * bad);
            if bad > 0 || second == 199 {
                skipped.step(second, bad, 2 * bad);
            }
        }
        assert_eq!(told.index(0.05).to_bits(), skipped.index(0.05).to_bits());
        told.step(i64::MAX, 1, 1);
    }
}
