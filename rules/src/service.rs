//! Services and environments, as their files describe them (`collector/ROLLOUTS.md`), and what
//! follows for a rollout.

mod catalogue;
mod code;
mod histogram;
mod read;
mod selector;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::config::Choice;
use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::matcher::Matcher;

pub use catalogue::Policy;
pub use code::ALL as CODES;
pub use histogram::{BUCKET, LE};
pub use read::{Described, ServiceFile, docs, read};

/// Services of a collector.
pub const SERVICES_MAX: usize = 1000;
/// SLIs of a service.
pub const SLIS_MAX: usize = 32;
/// Environments of a collector, and those that one service speaks of.
pub const ENVIRONMENTS_MAX: usize = 64;
/// The environment of a service that names none, where no file describes any.
pub const PRODUCTION: &str = "production";

/// How much is done of what a verdict asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// It is recorded.
    #[default]
    Observe,
    /// People are told.
    Advise,
    /// Hooks get signals as well.
    Act,
}

/// How much is at stake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// Rolls back by itself; missing data is noted.
    Low,
    /// Rolls back by itself; missing data holds.
    #[default]
    Medium,
    /// The same, and people are told at once.
    High,
    /// Freezes, and a person confirms.
    Critical,
}

/// How a deploy reaches its users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strategy {
    /// Host by host: those that have the new version are the canary.
    Rolling,
    /// A part of the traffic.
    #[default]
    Canary,
    /// Two stacks, a part of the traffic held back on the old one.
    BlueGreen,
    /// In stages, each confirmed.
    Staged,
}

/// What tells a bad request from a good one.
#[derive(Clone, Debug)]
pub enum Sli {
    /// Counters of all and of bad requests.
    Bad {
        /// All requests.
        total: Vec<Matcher>,
        /// The bad ones.
        bad: Vec<Matcher>,
    },
    /// Counters of all and of good requests.
    Good {
        /// All requests.
        total: Vec<Matcher>,
        /// The good ones.
        good: Vec<Matcher>,
    },
}

/// A service.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name.
    pub name: Arc<str>,
    /// Who is asked about it.
    pub owner: String,
    /// A page about it.
    pub runbook: Option<String>,
    /// The label that tells versions apart.
    pub version_label: String,
    /// The label that requests are compared within, if any.
    pub stratum_label: Option<String>,
    /// The most bad requests that come as one train; 0 if they fail alone.
    pub train_requests: u32,
    /// What is done where an environment says nothing.
    pub mode: Mode,
    /// The hook where an environment says nothing.
    pub hook: Option<Arc<str>>,
    /// Its SLIs by name; at least one.
    pub slis: BTreeMap<String, Sli>,
    /// What it says of environments, by name.
    pub environments: BTreeMap<String, InEnvironment>,
    /// Under which costs are counted.
    pub cost_key: Option<String>,
}

/// What a service says of one environment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InEnvironment {
    /// What is done there.
    pub mode: Option<Mode>,
    /// The hook there.
    pub hook: Option<Arc<str>>,
}

/// An environment.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Its name.
    pub name: Arc<str>,
    /// The most that is done in it.
    pub mode: Mode,
    /// No rollout is taken to have less.
    pub risk_floor: Risk,
    /// Which series are of it, beside the service's selectors.
    pub matchers: Vec<Matcher>,
    /// Labels added to what is told of its rollouts.
    pub alert_labels: LabelSet,
}

/// All services and environments of a collector.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// Services by name.
    pub services: BTreeMap<Arc<str>, Arc<Service>>,
    /// Environments by name.
    pub environments: BTreeMap<Arc<str>, Arc<Environment>>,
}

impl Mode {
    /// All, from the least on.
    pub const ALL: [Mode; 3] = [Mode::Observe, Mode::Advise, Mode::Act];

    /// Its word in files and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mode::Observe => "observe",
            Mode::Advise => "advise",
            Mode::Act => "act",
        }
    }
}

impl Risk {
    /// All, from the least on.
    pub const ALL: [Risk; 4] = [Risk::Low, Risk::Medium, Risk::High, Risk::Critical];

    /// Its word in files and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Risk::Low => "low",
            Risk::Medium => "medium",
            Risk::High => "high",
            Risk::Critical => "critical",
        }
    }

    /// The bound of false rollbacks where an announce says none.
    #[must_use]
    pub fn alpha(self) -> f64 {
        match self {
            Risk::Low => 1e-2,
            Risk::Medium | Risk::High => 1e-3,
            Risk::Critical => 1e-4,
        }
    }
}

impl Strategy {
    /// All.
    pub const ALL: [Strategy; 4] =
        [Strategy::Rolling, Strategy::Canary, Strategy::BlueGreen, Strategy::Staged];

    /// Its word in files and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Rolling => "rolling",
            Strategy::Canary => "canary",
            Strategy::BlueGreen => "blue-green",
            Strategy::Staged => "staged",
        }
    }
}

impl Choice for Mode {
    const WORDS: &'static [(&'static str, Mode)] =
        &[("observe", Mode::Observe), ("advise", Mode::Advise), ("act", Mode::Act)];
}

impl Choice for Risk {
    const WORDS: &'static [(&'static str, Risk)] = &[
        ("low", Risk::Low),
        ("medium", Risk::Medium),
        ("high", Risk::High),
        ("critical", Risk::Critical),
    ];
}

impl Sli {
    /// Counters of all requests.
    #[must_use]
    pub fn total(&self) -> &[Matcher] {
        match self {
            Sli::Bad { total, .. } | Sli::Good { total, .. } => total,
        }
    }

    /// Where requests are good that a histogram counts up to a bound: its buckets, and the test of
    /// their bound.
    #[must_use]
    pub fn buckets(&self) -> Option<(Vec<Matcher>, &Matcher)> {
        let Sli::Good { good, .. } = self else { return None };
        let le = good.iter().find(|matcher| matcher.name() == LE && !matcher.is_negative())?;
        let name = good.iter().find(|matcher| matcher.name() == METRIC_NAME)?;
        if !name.value().ends_with(BUCKET) {
            return None;
        }
        Some((good.iter().filter(|matcher| matcher.name() != LE).cloned().collect(), le))
    }
}
