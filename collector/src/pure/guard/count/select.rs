//! Which series are counted, and as what.

use bellwether_model::matcher::{MatchOp, Matcher};
use bellwether_rules::service::Sli;

use super::bucket::Part;
use super::{CountPlan, Side};

/// What a series counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Role {
    pub(super) sli: u16,
    pub(super) part: Part,
}

/// The series of one role in one arm.
#[derive(Debug)]
pub(super) struct Selector {
    pub(super) side: Side,
    pub(super) role: Role,
    pub(super) matchers: Vec<Matcher>,
}

/// All of a rollout.
#[derive(Debug)]
pub(super) struct Selectors(Vec<Selector>);

impl Selectors {
    pub(super) fn of(plan: &CountPlan) -> Selectors {
        let mut selectors = Vec::new();
        for side in Side::ALL {
            let (version, more) = match side {
                Side::Canary => (&plan.to, &plan.canary),
                Side::Baseline => (&plan.from, &plan.baseline),
            };
            let version = equal(&plan.version_label, version);
            for (sli, number) in plan.slis.iter().zip(0..=u16::MAX) {
                let (Sli::Bad { total, bad: part } | Sli::Good { total, good: part }) = sli;
                for (matchers, part) in [(total, Part::All), (part, Part::Some)] {
                    let mut matchers = matchers.clone();
                    matchers.extend(plan.environment.iter().chain(more).cloned());
                    matchers.push(version.clone());
                    selectors.push(Selector { side, role: Role { sli: number, part }, matchers });
                }
            }
        }
        Selectors(selectors)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, at: usize) -> Option<&Selector> {
        self.0.get(at)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Selector> {
        self.0.iter()
    }
}

/// The test that a label has a value.
pub(super) fn equal(label: &str, value: &str) -> Matcher {
    Matcher::new(label, MatchOp::Equal, value).expect("invariant: a value needs no pattern")
}
