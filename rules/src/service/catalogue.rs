//! All files together: what contradicts what, and what holds for a service in an environment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_model::diagnostic::{Code, Diagnostic, Diagnostics, Place, nearest};
use bellwether_model::label::LabelSet;
use bellwether_model::matcher::Matcher;

use super::code::{FIXED, IDLE_MODE, NO_ENVIRONMENT, NO_HOOK, REPEATED, TOO_MANY};
use super::read::Places;
use super::{
    Catalogue, Described, ENVIRONMENTS_MAX, Environment, Mode, PRODUCTION, Risk, SERVICES_MAX,
    Service, ServiceFile,
};

/// What holds for a service in an environment.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// What is done: what the service says, and no more than the environment lets it.
    pub mode: Mode,
    /// What carries rollbacks out.
    pub hook: Option<Arc<str>>,
    /// No rollout is taken to have less.
    pub risk_floor: Risk,
    /// Which series are of the environment, beside the service's selectors.
    pub matchers: Vec<Matcher>,
    /// Labels added to what is told of rollouts.
    pub alert_labels: LabelSet,
}

impl Catalogue {
    /// Puts files together; beside the catalogue come the warnings. `hooks` are the names of those
    /// that are configured; `None` if that is not known.
    ///
    /// # Errors
    /// Every problem, if one of them is an error.
    pub fn build(
        files: Vec<ServiceFile>,
        hooks: Option<&BTreeSet<Arc<str>>>,
    ) -> Result<(Catalogue, Diagnostics), Diagnostics> {
        let mut building = Building::default();
        for file in files {
            let ServiceFile { described, places, source } = file;
            building.problems.extend(Diagnostics::of(source));
            match described {
                Described::Service(service) => building.service(service, places),
                Described::Environment(environment) => building.environment(environment, places),
            }
        }
        building.check(hooks);
        let Building { catalogue, problems, .. } = building;
        if problems.has_errors() { Err(problems) } else { Ok((catalogue, problems)) }
    }

    /// What holds for a service in an environment; `None` if there is no such service. Of an
    /// environment that no file describes nothing is asked.
    #[must_use]
    pub fn policy(&self, service: &str, environment: &str) -> Option<Policy> {
        let service = self.services.get(service)?;
        Some(self.policy_of(service, environment))
    }

    fn policy_of(&self, service: &Service, environment: &str) -> Policy {
        let said = service.environments.get(environment);
        let mode = said.and_then(|said| said.mode).unwrap_or(service.mode);
        let hook = said.and_then(|said| said.hook.clone()).or_else(|| service.hook.clone());
        match self.environments.get(environment) {
            None => Policy {
                mode,
                hook,
                risk_floor: Risk::Low,
                matchers: Vec::new(),
                alert_labels: LabelSet::default(),
            },
            Some(described) => Policy {
                mode: mode.min(described.mode),
                hook,
                risk_floor: described.risk_floor,
                matchers: described.matchers.clone(),
                alert_labels: described.alert_labels.clone(),
            },
        }
    }

    /// Why a service is in no environment of this name, if there are files that say in which it is.
    #[must_use]
    pub fn strange(&self, service: &Service, environment: &str) -> Option<String> {
        let named = service.environments.keys().map(String::as_str);
        let names = || named.clone().chain(self.environments.keys().map(|name| &**name));
        if names().next().is_none() || names().any(|name| name == environment) {
            return None;
        }
        let what = format!("no file describes the environment `{environment}`");
        Some(match nearest(environment, names()) {
            Some(near) => format!("{what}: did you mean `{near}`?"),
            None => what,
        })
    }

    /// The environments that a service is looked at in: those that it names; else those that files
    /// describe; else [`PRODUCTION`].
    #[must_use]
    pub fn environments_of(&self, service: &Service) -> Vec<Arc<str>> {
        if !service.environments.is_empty() {
            return service.environments.keys().map(|name| name.as_str().into()).collect();
        }
        if !self.environments.is_empty() {
            return self.environments.keys().cloned().collect();
        }
        vec![PRODUCTION.into()]
    }
}

/// A catalogue in the making.
#[derive(Default)]
struct Building {
    catalogue: Catalogue,
    /// Of services and of environments.
    places: [BTreeMap<Arc<str>, Places>; 2],
    problems: Diagnostics,
}

impl Building {
    fn service(&mut self, service: Arc<Service>, places: Places) {
        let name = Arc::clone(&service.name);
        if self.is_new(0, "service", &name, places, SERVICES_MAX) {
            self.catalogue.services.insert(name, service);
        }
    }

    fn environment(&mut self, environment: Arc<Environment>, places: Places) {
        let name = Arc::clone(&environment.name);
        if self.is_new(1, "environment", &name, places, ENVIRONMENTS_MAX) {
            self.catalogue.environments.insert(name, environment);
        }
    }

    fn is_new(
        &mut self,
        kind: usize,
        word: &str,
        name: &Arc<str>,
        places: Places,
        most: usize,
    ) -> bool {
        let Some(known) = self.places.get_mut(kind) else { return false };
        let place = places.name.clone();
        if let Some(first) = known.get(name) {
            let first = first.name.as_ref().map_or_else(String::new, ToString::to_string);
            let message = format!("the {word} {name:?} is described twice: at {first} too");
            self.problems.push(Diagnostic::error(REPEATED, place, message));
            return false;
        }
        if known.len() == most {
            let message = format!("more than {most} {word}s");
            self.problems.push(Diagnostic::error(TOO_MANY, place, message));
            return false;
        }
        known.insert(Arc::clone(name), places);
        true
    }

    fn check(&mut self, hooks: Option<&BTreeSet<Arc<str>>>) {
        let [services, environments] = &self.places;
        let mut found = Vec::new();
        let all = self.catalogue.services.iter().zip(services.values());
        for ((_, service), places) in all {
            unconfigured(service, places, hooks, &mut found);
            undescribed(&self.catalogue, places, &mut found);
            idle(&self.catalogue, service, places, &mut found);
        }
        for (name, environment) in &self.catalogue.environments {
            let place = environments.get(name).and_then(|places| places.matched.clone());
            fixed(&self.catalogue, environment, place.as_ref(), &mut found);
        }
        found.into_iter().for_each(|problem| self.problems.push(problem));
    }
}

/// Hooks that a service names and the configuration does not.
fn unconfigured(
    service: &Service,
    places: &Places,
    hooks: Option<&BTreeSet<Arc<str>>>,
    found: &mut Vec<Diagnostic>,
) {
    let Some(hooks) = hooks else { return };
    let own = service.hook.iter().map(|hook| (hook, places.hook.clone()));
    let there = service.environments.iter().filter_map(|(name, said)| {
        let place = places.environments.get(name).and_then(|(_, hook)| hook.clone());
        Some((said.hook.as_ref()?, place))
    });
    for (hook, place) in own.chain(there).filter(|(hook, _)| !hooks.contains(*hook)) {
        let message = format!("there is no hook {hook:?}");
        let names = hooks.iter().map(|name| &**name);
        found.push(near(Diagnostic::error(NO_HOOK, place, message), hook, names, || {
            "name it in `hooks` of the collector's configuration".to_owned()
        }));
    }
}

/// Environments that a service names and no file describes, where files describe others: where none
/// does, nobody means to describe them.
fn undescribed(catalogue: &Catalogue, places: &Places, found: &mut Vec<Diagnostic>) {
    let known = &catalogue.environments;
    if known.is_empty() {
        return;
    }
    for (name, (place, _)) in &places.environments {
        if !known.contains_key(name.as_str()) {
            let message = format!("no file describes the environment {name:?}");
            let problem = Diagnostic::warning(NO_ENVIRONMENT, Some(place.clone()), message);
            let names = known.keys().map(|name| &**name);
            found.push(near(problem, name, names, || {
                format!("write a file with `environment: {name}`; until then everything is allowed")
            }));
        }
    }
}

/// A service that is to act and has nobody who does.
fn idle(catalogue: &Catalogue, service: &Service, places: &Places, found: &mut Vec<Diagnostic>) {
    for name in catalogue.environments_of(service) {
        let policy = catalogue.policy_of(service, &name);
        if policy.mode == Mode::Act && policy.hook.is_none() {
            let message = format!(
                "the mode in {name:?} is `act`, and no hook is named: a rollback would fail"
            );
            let there = places.environments.get(&*name).map(|(place, _)| place.clone());
            let place = there.or_else(|| places.name.clone());
            found.push(Diagnostic::warning(IDLE_MODE, place, message).with_help("name a `hook`"));
        }
    }
}

/// Labels of an environment that tell the requests of a service apart.
fn fixed(
    catalogue: &Catalogue,
    environment: &Environment,
    place: Option<&Place>,
    found: &mut Vec<Diagnostic>,
) {
    for (name, service) in &catalogue.services {
        let apart = [Some(&service.version_label), service.stratum_label.as_ref()];
        for label in apart.into_iter().flatten() {
            if environment.matchers.iter().any(|matcher| matcher.name() == label) {
                let message = format!(
                    "`match` fixes the label `{label}`, which tells requests of {name:?} apart"
                );
                found.push(problem(FIXED, place, message));
            }
        }
    }
}

fn problem(code: Code, place: Option<&Place>, message: String) -> Diagnostic {
    Diagnostic::error(code, place.cloned(), message)
}

/// With the name that was meant, if one is near.
fn near<'a>(
    problem: Diagnostic,
    name: &str,
    names: impl Iterator<Item = &'a str>,
    help: impl FnOnce() -> String,
) -> Diagnostic {
    match nearest(name, names) {
        Some(near) => problem.with_help(format!("did you mean `{near}`?")),
        None => problem.with_help(help()),
    }
}
