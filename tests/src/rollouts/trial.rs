//! Rollouts put before judges, many times, and what came of it.

use super::judges::{Judging, Kind, Setting};
use super::{Plan, Rollout};

/// When each judge would have rolled back one rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions {
    /// The second of each judge, in their order.
    pub at: Vec<Option<u32>>,
    /// Bad requests that the canary had served by then.
    pub bad: Vec<u64>,
}

/// Puts one rollout before judges; ends when all have decided.
#[must_use]
pub fn run(plan: &Plan, seed: u64, alpha: f64, kinds: &[Kind]) -> Decisions {
    let rollout = Rollout::new(plan, seed);
    let setting = Setting { alpha, traffic: rollout.traffic(), warm_up: rollout.warm_up() };
    let mut judges: Vec<Box<dyn Judging>> =
        kinds.iter().map(|kind| (kind.make)(&setting)).collect();
    let mut decisions = Decisions { at: vec![None; kinds.len()], bad: vec![0; kinds.len()] };
    let (mut open, mut bad) = (kinds.len(), 0);
    for second in rollout {
        bad += second.total().canary_bad;
        let slots = judges.iter_mut().zip(&mut decisions.at).zip(&mut decisions.bad);
        for ((judge, at), served) in slots.filter(|((_, at), _)| at.is_none()) {
            if judge.step(&second) {
                (*at, *served) = (Some(second.at), bad);
                open -= 1;
            }
        }
        if open == 0 {
            break;
        }
    }
    decisions
}

/// What one judge did with many rollouts that had a regression.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Speed {
    /// Seconds from the beginning of the fault to the decision, both included, in rising order.
    pub seconds: Vec<u32>,
    /// Bad requests that the canary had served by the decision, in rising order.
    pub bad: Vec<u64>,
    /// Rollbacks before the fault began.
    pub early: u32,
    /// Rollouts.
    pub runs: u32,
}

impl Speed {
    /// Takes the decision of one more rollout.
    pub fn add(&mut self, at: Option<u32>, bad: u64, begins: u32) {
        self.runs += 1;
        match at {
            Some(at) if at < begins => self.early += 1,
            Some(at) => {
                self.seconds.push(at - begins + 1);
                self.bad.push(bad);
            }
            None => {}
        }
    }

    /// Sorts what was added.
    pub fn sort(&mut self) {
        self.seconds.sort_unstable();
        self.bad.sort_unstable();
    }

    /// The seconds by which this part of all rollouts was decided; `None` if fewer were.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<u32> {
        self.seconds.get(rank(part, self.runs as usize)).copied()
    }

    /// The bad requests served in the middle one of the decided rollouts.
    #[must_use]
    pub fn median_bad(&self) -> Option<u64> {
        self.bad.get(rank(0.5, self.bad.len())).copied()
    }
}

/// The index that a part of `count` values in rising order reaches to.
#[expect(clippy::cast_possible_truncation, reason = "below the count")]
fn rank(part: f64, count: usize) -> usize {
    (libm::ceil(part * count as f64) as usize).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollouts::judges::{ALL, PLAIN};
    use crate::rollouts::{Fault, Regression, Scenario, Traffic};

    const TRAFFIC: Traffic = Traffic { rps: 200.0, share: 0.05, error: 0.001 };

    fn plan(part: f64) -> Plan {
        let regression = Some(Regression { fault: Fault::Part(part), begins: 0 });
        Plan { scenario: Scenario::Healthy, traffic: Some(TRAFFIC), regression, seconds: 1200 }
    }

    fn speeds(plan: &Plan, kinds: &[Kind], runs: u32) -> Vec<Speed> {
        let mut speeds = vec![Speed::default(); kinds.len()];
        for seed in 0..u64::from(runs) {
            let Decisions { at, bad } = run(plan, seed, 1e-3, kinds);
            for ((speed, at), bad) in speeds.iter_mut().zip(at).zip(bad) {
                speed.add(at, bad, 0);
            }
        }
        speeds.iter_mut().for_each(Speed::sort);
        speeds
    }

    /// The figures that were published for these judges before this code was written.
    #[test]
    fn the_rivals_are_as_fast_as_they_are_known_to_be() {
        let found = speeds(&plan(0.2), &ALL, 60);
        let median = |name: &str| {
            let index = ALL.iter().position(|kind| kind.name == name).unwrap();
            found[index].quantile(0.5)
        };
        assert!((1..=3).contains(&median("plain e-process").unwrap()));
        assert_eq!(median("threshold, 5 checks"), Some(300));
        assert_eq!(median("Mann-Whitney"), Some(600));
        assert!((2..=6).contains(&median("CUSUM").unwrap()));
        assert_eq!(median("burn rate, canary"), Some(15));
        assert_eq!(median("burn rate, service"), None);
        let slow = speeds(&plan(0.01), &[PLAIN], 60);
        assert!((60..=90).contains(&slow[0].quantile(0.5).unwrap()), "{:?}", slow[0]);
    }

    #[test]
    fn quantiles_count_those_that_were_not_found() {
        let mut speed = Speed::default();
        for (at, bad) in [(Some(9), 3), (Some(14), 5), (None, 0), (Some(2), 1)] {
            speed.add(at, bad, 5);
        }
        speed.sort();
        assert_eq!((speed.seconds.as_slice(), speed.early, speed.runs), (&[5, 10][..], 1, 4));
        assert_eq!((speed.quantile(0.5), speed.quantile(0.75)), (Some(10), None));
        assert_eq!(speed.median_bad(), Some(3));
    }
}
