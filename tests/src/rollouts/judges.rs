//! Judges of a rollout: ours, and those that others ship, behind one interface.
//!
//! Each is told what its users configure or know, and takes the seconds one by one. The rivals are
//! made as their documentation and sources describe them, with the settings that their documents
//! propose.

mod burn;
mod cusum;
mod evidence;
mod mann_whitney;
mod threshold;

use bellwether_rules::verdict::{Config, Guard};

use super::{Second, Traffic};

/// A judge at work on one rollout.
pub trait Judging {
    /// Takes the next second; true once it would roll back.
    fn step(&mut self, second: &Second) -> bool;
}

/// What judges are told before a rollout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// The bound of false rollbacks, for those that can be told one.
    pub alpha: f64,
    /// What history says of the traffic: the error of the baseline is the service's.
    pub traffic: Traffic,
    /// Seconds left out at the beginning.
    pub warm_up: u32,
}

impl Setting {
    fn config(&self, guard: Guard) -> Config {
        Config { alpha: self.alpha, warm_up_seconds: self.warm_up, guard, ..Config::default() }
    }
}

/// A judge to be made.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Its name in tables.
    pub name: &'static str,
    /// Makes it.
    pub make: fn(&Setting) -> Box<dyn Judging>,
}

/// Ours, as it is by default, stratum by stratum.
pub const OURS: Kind = Kind {
    name: "ours",
    make: |setting| Box::new(evidence::Ours::new(setting.config(Guard::default()))),
};

/// Ours without its guard against trains.
pub const UNGUARDED: Kind = Kind {
    name: "ours, unguarded",
    make: |setting| Box::new(evidence::Ours::new(setting.config(Guard::OFF))),
};

/// The e-process of counts alone, over all strata together.
pub const PLAIN: Kind =
    Kind { name: "plain e-process", make: |setting| Box::new(evidence::Plain::new(setting)) };

/// Every judge, in the order of the tables.
pub const ALL: [Kind; 8] = [
    OURS,
    UNGUARDED,
    PLAIN,
    Kind { name: "threshold, 5 checks", make: |_| Box::new(threshold::Checks::default()) },
    Kind { name: "Mann-Whitney", make: |_| Box::new(mann_whitney::EachMinute::default()) },
    Kind { name: "CUSUM", make: |setting| Box::new(cusum::Cusum::new(setting)) },
    Kind { name: "burn rate, canary", make: |_| Box::new(burn::Burn::of_canary()) },
    Kind { name: "burn rate, service", make: |setting| Box::new(burn::Burn::of_service(setting)) },
];
