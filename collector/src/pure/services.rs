//! Which services can be judged, and why others cannot (`collector/ROLLOUTS.md`, "Service files").
//!
//! The answer is read from the series of the last minute: nothing is kept from one question to the
//! next. *Problems* make an SLI one that cannot be judged; *warnings* are what a person should
//! know.
//! Rates are for people: verdicts count seconds, not these.

mod look;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwether_model::select::Select;
use bellwether_model::time::Timestamp;
use bellwether_rules::service::{Catalogue, Mode, Policy, Service};
use serde::{Deserialize, Serialize};

/// What is described, and the hooks that are configured.
#[derive(Clone, Debug, Default)]
pub struct Services {
    /// Services and environments.
    pub catalogue: Catalogue,
    /// Names of hooks.
    pub hooks: BTreeSet<Arc<str>>,
}

/// Services as they stand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServicesReport {
    /// By name.
    pub services: Vec<ServiceReport>,
}

/// A service as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceReport {
    /// Its name.
    pub name: String,
    /// Who is asked about it.
    pub owner: String,
    /// A page about it.
    pub runbook: Option<String>,
    /// Under which costs are counted.
    pub cost_key: Option<String>,
    /// The label that tells versions apart.
    pub version_label: String,
    /// Whether it can be judged in each of its environments.
    pub judgeable: bool,
    /// By name.
    pub environments: Vec<EnvironmentReport>,
}

/// A service in an environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentReport {
    /// The environment.
    pub name: String,
    /// What is done: `observe`, `advise`, `act`.
    pub mode: String,
    /// No rollout is taken to have less.
    pub risk_floor: String,
    /// What carries rollbacks out.
    pub hook: Option<String>,
    /// Whether each SLI can be judged, and what is to follow can be done.
    pub judgeable: bool,
    /// Of the environment itself.
    pub findings: Vec<Finding>,
    /// By name.
    pub slis: Vec<SliReport>,
}

/// An SLI in an environment, in the last minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliReport {
    /// Its name.
    pub name: String,
    /// Whether it can be judged.
    pub judgeable: bool,
    /// Series of all requests.
    pub series: usize,
    /// From one reading of the slowest series to the next, in seconds; `None` if none was read
    /// twice.
    pub interval_seconds: Option<f64>,
    /// By version.
    pub versions: Vec<VersionReport>,
    /// What is wrong, and what should be known.
    pub findings: Vec<Finding>,
}

/// A version in the last minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionReport {
    /// The value of the version's label.
    pub version: String,
    /// Series of its requests.
    pub series: usize,
    /// Jobs and instances that have them.
    pub targets: usize,
    /// Its requests.
    pub requests_per_second: f64,
    /// The bad ones.
    pub bad_per_second: f64,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It cannot be judged.
    Problem,
    /// It can, but somebody should look.
    Warning,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// A word that stays the same.
    pub code: String,
    /// In words.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Finding {
    fn problem(code: &str, message: impl Into<String>) -> Finding {
        let severity = Severity::Problem;
        Finding { severity, code: code.to_owned(), message: message.into(), help: None }
    }

    fn warning(code: &str, message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Warning, ..Finding::problem(code, message) }
    }

    fn with_help(self, help: impl Into<String>) -> Finding {
        Finding { help: Some(help.into()), ..self }
    }
}

impl ServicesReport {
    /// How many services can be judged, and how many cannot.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let judgeable = self.services.iter().filter(|service| service.judgeable).count();
        (judgeable, self.services.len() - judgeable)
    }
}

impl Services {
    /// Looks at all services, or at one; `None` once `is_stopped` says that nobody waits.
    #[must_use]
    pub fn report(
        &self,
        view: &dyn Select,
        now: Timestamp,
        only: Option<&str>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Option<ServicesReport> {
        let services = self.catalogue.services.values();
        let wanted = services.filter(|service| only.is_none_or(|only| only == &*service.name));
        let services = wanted.map(|service| {
            let looked = |name: Arc<str>| {
                (!is_stopped()).then(|| self.environment(view, now, service, &name))
            };
            let environments = self.catalogue.environments_of(service).into_iter().map(looked);
            let environments = environments.collect::<Option<Vec<_>>>()?;
            Some(ServiceReport {
                name: service.name.to_string(),
                owner: service.owner.clone(),
                runbook: service.runbook.clone(),
                cost_key: service.cost_key.clone(),
                version_label: service.version_label.clone(),
                judgeable: environments.iter().all(|environment| environment.judgeable),
                environments,
            })
        });
        Some(ServicesReport { services: services.collect::<Option<_>>()? })
    }

    fn environment(
        &self,
        view: &dyn Select,
        now: Timestamp,
        service: &Service,
        name: &str,
    ) -> EnvironmentReport {
        let policy = self.catalogue.policy(&service.name, name);
        let policy = policy.expect("invariant: the service is of this catalogue");
        let findings = self.acting(&policy);
        let looking = look::Looking { view, now, service, within: &policy.matchers };
        let slis: Vec<SliReport> =
            service.slis.iter().map(|(name, sli)| looking.sli(name, sli)).collect();
        EnvironmentReport {
            name: name.to_owned(),
            mode: policy.mode.name().to_owned(),
            risk_floor: policy.risk_floor.name().to_owned(),
            hook: policy.hook.map(|hook| hook.to_string()),
            judgeable: is_free(&findings) && slis.iter().all(|sli| sli.judgeable),
            findings,
            slis,
        }
    }

    /// Whether what follows from a verdict can be done.
    fn acting(&self, policy: &Policy) -> Vec<Finding> {
        let finding = match &policy.hook {
            Some(hook) if !self.hooks.contains(hook) => {
                Finding::problem("no_hook", format!("the hook {hook:?} is not configured"))
                    .with_help("name it in `hooks` of the collector's configuration")
            }
            None if policy.mode == Mode::Act => {
                Finding::warning("no_hook", "no hook is named: a rollback would fail")
                    .with_help("name a `hook` in the service's file, or lower its mode")
            }
            _ => return Vec::new(),
        };
        vec![finding]
    }
}

/// Whether nothing that was found is a problem.
fn is_free(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.severity != Severity::Problem)
}
