//! Rollouts second by second: traffic on two arms, healthy or with a regression, to judge judges.
//!
//! A rollout is an iterator of counts, drawn from a seed alone: no clock, no order of a hash, the
//! same on every machine. Requests arrive as Poisson counts in each arm; what a [`Scenario`] adds
//! is in `scenario`, with the ranges that its parameters are drawn from. In every scenario alone
//! the canary is as good as its baseline: a judge that fails it is wrong.

mod interval;
pub mod judges;
mod random;
mod scenario;
#[cfg(test)]
mod tests;
pub mod trial;

use std::fmt::Write as _;

pub use interval::clopper_pearson;
pub use random::Random;
pub use scenario::Scenario;

use scenario::{Course, Moment};

/// Routes at most.
pub const ROUTES_MAX: usize = 4;

/// The counts of one second in both arms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arms {
    /// Requests of the canary, the bad ones included.
    pub canary_n: u64,
    /// Those of them that failed.
    pub canary_bad: u64,
    /// Requests of the baseline, the bad ones included.
    pub baseline_n: u64,
    /// Those of them that failed.
    pub baseline_bad: u64,
}

impl Arms {
    pub(crate) fn add(&mut self, other: Arms) {
        self.canary_n += other.canary_n;
        self.canary_bad += other.canary_bad;
        self.baseline_n += other.baseline_n;
        self.baseline_bad += other.baseline_bad;
    }

    /// Bad requests that came beside the ordinary traffic.
    fn burst(&mut self, arm: Arm, bad: u64) {
        let (n, of) = match arm {
            Arm::Canary => (&mut self.canary_n, &mut self.canary_bad),
            Arm::Baseline => (&mut self.baseline_n, &mut self.baseline_bad),
        };
        *n += bad;
        *of += bad;
    }
}

/// One of the two populations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arm {
    Canary,
    Baseline,
}

/// One second of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Second {
    /// Seconds since the canary's first, from 0.
    pub at: u32,
    routes: [Arms; ROUTES_MAX],
    count: usize,
}

impl Second {
    /// The counts of each route; one route unless the scenario has several.
    #[must_use]
    pub fn routes(&self) -> &[Arms] {
        self.routes.get(..self.count).unwrap_or_default()
    }

    /// The counts of all routes.
    #[must_use]
    pub fn total(&self) -> Arms {
        let mut total = Arms::default();
        self.routes().iter().for_each(|arms| total.add(*arms));
        total
    }
}

/// How much traffic there is and how it fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Traffic {
    /// Requests a second of both arms together; above 0.
    pub rps: f64,
    /// The part of them that the canary takes; between 0 and 1.
    pub share: f64,
    /// The part of the baseline's requests that fails; from 0 to 1.
    pub error: f64,
}

impl Traffic {
    /// Drawn: 1 to 2,000 requests a second and 0.01 to 2 % of errors, uniform in the logarithm; a
    /// share of 1, 2, 5, 10, 25 or 50 %.
    #[must_use]
    pub fn draw(random: &mut Random) -> Traffic {
        let share = random.one_of(&[0.01, 0.02, 0.05, 0.1, 0.25, 0.5]);
        Traffic { rps: random.scale(1.0, 2000.0), share, error: random.scale(1e-4, 2e-2) }
    }
}

/// What is wrong with the canary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Its requests fail this many times as often as they would.
    Times(f64),
    /// This part of its requests fails, in place of what would.
    Part(f64),
}

/// A fault and the second it begins in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Regression {
    /// What.
    pub fault: Fault,
    /// Seconds of health before it.
    pub begins: u32,
}

/// A rollout to be drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// What happens to both arms.
    pub scenario: Scenario,
    /// How much traffic there is; drawn from the seed if `None`.
    pub traffic: Option<Traffic>,
    /// What is wrong with the canary, if anything.
    pub regression: Option<Regression>,
    /// Its length.
    pub seconds: u32,
}

/// A rollout, as an iterator over its seconds.
#[derive(Clone, Debug)]
pub struct Rollout {
    traffic: Traffic,
    course: Course,
    regression: Option<Regression>,
    random: Random,
    at: u32,
    seconds: u32,
}

impl Rollout {
    /// Draws the parameters of a rollout; its seconds are drawn as they are asked for.
    #[must_use]
    pub fn new(plan: &Plan, seed: u64) -> Rollout {
        // The parameters have a stream of their own: a longer rollout begins as a shorter one.
        let mut random = Random::new(seed, 1);
        let drawn = Traffic::draw(&mut random);
        let traffic = plan.traffic.unwrap_or(drawn);
        let course = Course::draw(plan.scenario, traffic, plan.seconds, &mut random);
        let Plan { regression, seconds, .. } = *plan;
        Rollout { traffic, course, regression, random: Random::new(seed, 2), at: 0, seconds }
    }

    /// The traffic, drawn or given.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Seconds that an operator who knows this service would leave out at the beginning.
    #[must_use]
    pub fn warm_up(&self) -> u32 {
        self.course.warm_up()
    }

    fn error_of_canary(&self, healthy: f64) -> f64 {
        match self.regression {
            Some(Regression { fault, begins }) if begins <= self.at => match fault {
                Fault::Times(times) => (healthy * times).min(1.0),
                Fault::Part(part) => part,
            },
            _ => healthy,
        }
    }

    fn second(&mut self, moment: &Moment) -> Second {
        let rps = self.traffic.rps * moment.load;
        let mut second =
            Second { at: self.at, routes: [Arms::default(); ROUTES_MAX], count: moment.count };
        for (arms, route) in second.routes.iter_mut().zip(moment.routes()) {
            let [of_canary, of_baseline] =
                moment.serves.map(|serves| if serves { rps } else { 0.0 });
            let canary = of_canary * self.traffic.share * route.canary_weight;
            let baseline = of_baseline * (1.0 - self.traffic.share) * route.baseline_weight;
            let error = self.error_of_canary((route.error * moment.canary_times).min(1.0));
            (arms.canary_n, arms.canary_bad) =
                counts(&mut self.random, canary, error, moment.batch);
            let error = (route.error * moment.baseline_times).min(1.0);
            (arms.baseline_n, arms.baseline_bad) =
                counts(&mut self.random, baseline, error, moment.batch);
        }
        for (arm, bad) in moment.bursts {
            if let Some(arms) = second.routes.first_mut().filter(|_| bad > 0) {
                arms.burst(arm, bad);
            }
        }
        second
    }
}

/// Requests and bad requests of one arm in one second; errors come in batches of this mean size.
fn counts(random: &mut Random, mean: f64, error: f64, batch: f64) -> (u64, u64) {
    let good = random.poisson(mean * (1.0 - error));
    let batches = random.poisson(mean * error / batch);
    let bad =
        if batch > 1.0 { (0..batches).map(|_| random.geometric(batch)).sum() } else { batches };
    (good + bad, bad)
}

impl Iterator for Rollout {
    type Item = Second;

    fn next(&mut self) -> Option<Second> {
        if self.at == self.seconds {
            return None;
        }
        let moment = self.course.moment(self.at, &mut self.random);
        let second = self.second(&moment);
        self.at += 1;
        Some(second)
    }
}

/// The rows that `bellwether judge` reads; with a column for the route if there are several.
#[must_use]
pub fn csv(rollout: Rollout) -> String {
    let mut text = String::new();
    for second in rollout {
        let has_routes = second.count > 1;
        if text.is_empty() {
            text += "second,canary_n,canary_bad,baseline_n,baseline_bad";
            text += if has_routes { ",stratum\n" } else { "\n" };
        }
        for (route, arms) in second.routes().iter().enumerate() {
            let Arms { canary_n, canary_bad, baseline_n, baseline_bad } = arms;
            let at = second.at;
            write!(text, "{at},{canary_n},{canary_bad},{baseline_n},{baseline_bad}").ok();
            if has_routes {
                write!(text, ",route-{route}").ok();
            }
            text.push('\n');
        }
    }
    text
}
