//! The section `inputs.probe`: which targets are probed, how, and what must come.
//!
//! `modules` is written as in blackbox_exporter's file; a target names a module as `?module=` does,
//! and has the labels that its scrape configuration would give it.

pub(super) mod module;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_model::config::{Fields, Item, code};
use bellwether_model::diagnostic::{Diagnostic, Place};
use bellwether_model::label::LabelSet;
use bellwether_platform::dial::host_and_port;
use hyper::http::uri::Authority;

use super::AgentPlan;
use crate::pure::probe::series::LABELS;
use crate::pure::probe::url::Url;
use crate::pure::probe::{Ask, TargetPlan, TcpPlan};
use module::{Module, Prober};

/// Targets of one agent: each is a column group, of whose numbers a reload needs as many again.
pub const TARGETS_MAX: usize = 400;
const INTERVAL: Duration = Duration::from_secs(15);
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Beyond it a series would be over before its next sample, to whoever looks back five minutes.
const INTERVAL_MAX: Duration = Duration::from_secs(240);
const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT_MIN: Duration = Duration::from_millis(10);
const JOB: &str = "blackbox";
/// Whose probe it is: several agents may probe one target.
const AGENT: &str = "agent";
const MODULES_MAX: usize = 100;

/// What of the agent's section and labels concerns its targets.
pub(super) struct Around<'a> {
    pub(super) agent: &'a AgentPlan,
    pub(super) labels: &'a BTreeMap<String, (Place, String)>,
}

/// A target as written.
#[derive(Clone, Debug, Default)]
struct Spec {
    place: Option<Place>,
    url: String,
    url_place: Option<Place>,
    module: Option<(String, Option<Place>)>,
    job: String,
    instance: Option<String>,
    labels: BTreeMap<String, String>,
    interval: Duration,
    timeout: Option<(Duration, Option<Place>)>,
}

/// The section as written; it becomes plans once the agent's labels are known.
#[derive(Clone, Debug)]
pub(super) struct Section {
    modules: BTreeMap<String, Module>,
    targets: Vec<Spec>,
}

pub(super) fn describe(f: &mut Fields<'_>) -> Section {
    let every = interval(f, "Time from probe to probe of a target.", INTERVAL);
    let job = f.text("job", "The label `job` of all targets.").or(JOB.to_owned());
    let modules = f
        .map(
            "modules",
            "Ways to probe, as in blackbox_exporter's file; `http_2xx` and `tcp_connect` are there.",
            |_, item| item.fields(module::describe),
        )
        .check(|modules| at_most(modules.len(), MODULES_MAX))
        .or(BTreeMap::new());
    let targets = f
        .list("targets", "Whom to probe.", |item| {
            let place = item.place();
            let target = item.fields(|f| target(f, every, &job));
            Spec { place: Some(place), ..target }
        })
        .check(|targets| at_most(targets.len(), TARGETS_MAX))
        .or(Vec::new());
    Section { modules, targets }
}

pub(super) fn at_most(items: usize, max: usize) -> Result<(), String> {
    if items <= max { Ok(()) } else { Err(format!("has more than {max} items")) }
}

fn interval(f: &mut Fields<'_>, help: &'static str, default: Duration) -> Duration {
    f.duration("interval", help)
        .between(INTERVAL_MIN, INTERVAL_MAX)
        .check(|interval| match interval.subsec_nanos() {
            0 => Ok(()),
            _ => Err("must be whole seconds".to_owned()),
        })
        .or(default)
}

fn target(f: &mut Fields<'_>, every: Duration, job: &str) -> Spec {
    let url = f
        .text("url", "`http://…`, `https://…` or `tcp://HOST:PORT`.")
        .check(|url| match url.strip_prefix("tcp://") {
            Some(address) => tcp(address)
                .map(drop)
                .ok_or_else(|| "must be tcp://HOST:PORT, IPv6 in brackets".to_owned()),
            None => Url::parse(url).map(drop).map_err(|_| {
                "must be http://HOST[:PORT]/PATH, https://… or tcp://HOST:PORT, \
                 without user and password"
                    .to_owned()
            }),
        })
        .required();
    let url_place = f.place_of("url");
    let module = f.text("module", "Which of `modules` says how.").optional();
    let module = module.map(|name| (name, f.place_of("module")));
    let interval = interval(f, "Time from probe to probe.", every);
    let timeout = f
        .duration("timeout", "How long a probe may take; by default as the module says.")
        .between(TIMEOUT_MIN, INTERVAL_MAX)
        .optional();
    let timeout = timeout.map(|timeout| (timeout, f.place_of("timeout")));
    Spec {
        place: None,
        url,
        url_place,
        module,
        job: f.text("job", "The label `job`.").or(job.to_owned()),
        instance: f.text("instance", "The label `instance`; by default the URL.").optional(),
        labels: f.map("labels", "More labels of the target.", label).or(BTreeMap::new()),
        interval,
        timeout,
    }
}

fn label(name: &str, item: &mut Item<'_>) -> String {
    super::check_label(name, item, "`job` and `instance` are keys of the target");
    if LABELS.contains(&name) {
        item.push(is_of_the_probe(name, item.place()));
    }
    item.text()
}

fn is_of_the_probe(name: &str, place: Place) -> Diagnostic {
    let message = format!("`{name}` is a label of the series of probes");
    Diagnostic::error(code::CONFLICT, Some(place), message).with_help("give it another name")
}

/// Host and port of a target without HTTP.
fn tcp(address: &str) -> Option<(String, u16)> {
    let authority: Authority = address.parse().ok()?;
    host_and_port(&authority, None)
}

/// The plans of a section.
pub(super) fn plans(fields: &Fields<'_>, section: Section, around: &Around<'_>) -> Vec<TargetPlan> {
    let Section { modules, targets } = section;
    if !targets.is_empty() {
        let are_of_probes = around.labels.iter().filter(|(name, _)| LABELS.contains(&&***name));
        are_of_probes.for_each(|(name, (at, _))| fields.push(is_of_the_probe(name, at.clone())));
    }
    let mut seen = BTreeSet::new();
    let mut plans = Vec::new();
    for target in targets {
        let place = target.url_place.clone().or_else(|| target.place.clone());
        let Some(plan) = plan(fields, &modules, &target, around) else { continue };
        if !seen.insert(plan.labels.as_bytes().to_vec()) {
            let message = "another target has the same labels";
            let problem = Diagnostic::error(code::CONFLICT, place, message);
            fields.push(problem.with_help("give one of them another `instance` or `labels`"));
        }
        plans.push(plan);
    }
    plans
}

/// One target; `None` where something is wrong, which is said.
fn plan(
    fields: &Fields<'_>,
    modules: &BTreeMap<String, Module>,
    spec: &Spec,
    around: &Around<'_>,
) -> Option<TargetPlan> {
    let to = spec.url.strip_prefix("tcp://");
    let default = if to.is_some() { "tcp_connect" } else { "http_2xx" };
    let (name, at) = spec.module.clone().unwrap_or((default.to_owned(), None));
    let place = at.or_else(|| spec.url_place.clone());
    let module = match (modules.get(&name), name.as_str()) {
        (Some(module), _) => module.clone(),
        (None, "http_2xx") => Module::new(Prober::Http),
        (None, "tcp_connect") => Module::new(Prober::Tcp),
        (None, _) => {
            let message = format!("there is no module `{name}`");
            fields.push(Diagnostic::error(code::INVALID, place, message));
            return None;
        }
    };
    let labels = labels(fields, spec, around);
    let timeout = timeout(fields, spec, &module);
    let ask = match (to, module.prober) {
        (Some(address), Prober::Tcp) => {
            let (host, port) = tcp(address)?;
            Ask::Tcp(TcpPlan { host, port, tls: module.tcp_tls })
        }
        (None, Prober::Http) => Ask::Http(Box::new(module.http(Url::parse(&spec.url).ok()?))),
        (_, prober) => {
            let message = format!("the module `{name}` is of the prober `{}`", prober.word());
            fields.push(Diagnostic::error(code::CONFLICT, place, message));
            return None;
        }
    };
    let (address, tls) = (module.address, module.tls);
    Some(TargetPlan { labels, interval: spec.interval, timeout, address, tls, ask })
}

fn timeout(fields: &Fields<'_>, spec: &Spec, module: &Module) -> Duration {
    match &spec.timeout {
        None => module.timeout.unwrap_or(TIMEOUT).min(spec.interval),
        Some((timeout, place)) => {
            if *timeout > spec.interval {
                let message = "`timeout` must not be longer than `interval`";
                fields.push(Diagnostic::error(code::CONFLICT, place.clone(), message));
            }
            *timeout
        }
    }
}

fn labels(fields: &Fields<'_>, spec: &Spec, around: &Around<'_>) -> LabelSet {
    let plain = spec.url.strip_prefix("tcp://").unwrap_or(&spec.url);
    let mut labels: BTreeMap<&str, &str> = BTreeMap::new();
    labels.insert(AGENT, &around.agent.instance);
    labels.extend(around.labels.iter().map(|(name, (_, value))| (name.as_str(), value.as_str())));
    labels.insert("environment", &around.agent.environment);
    labels.extend(spec.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    labels.insert("job", &spec.job);
    labels.insert("instance", spec.instance.as_deref().unwrap_or(plain));
    LabelSet::new(labels).unwrap_or_else(|error| {
        let problem = Diagnostic::error(code::INVALID, spec.place.clone(), error.to_string());
        fields.push(problem);
        LabelSet::default()
    })
}

#[cfg(test)]
mod tests;
