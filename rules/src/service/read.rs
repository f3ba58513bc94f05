//! Files of services and environments, with every problem at once.
//!
//! [`read`] is the one way from a text to what it describes: `check` and the collector come through
//! it. What more than one file has to do with is [`Catalogue::build`](super::Catalogue::build)'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::config::{
    Environment as Variables, FieldDoc, Fields, Item, code as config, field_docs,
    read_with_warnings,
};
use bellwether_model::diagnostic::{Diagnostic, Diagnostics, Place, Source};
use bellwether_model::exposition::is_plain_label_name;
use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::matcher::{MatchOp, Matcher};
use bellwether_model::signal::is_name;

use super::code::{ALL_BAD, FILE_KIND, LABEL, NAME, SLI_KIND, TOO_MANY};
use super::histogram::{self, LE, Threshold};
use super::selector::{Selecting, Written};
use super::{ENVIRONMENTS_MAX, Environment, InEnvironment, Mode, Risk, SLIS_MAX, Service, Sli};
use crate::verdict::Guard;

const VERSION: &str = "version";
const NAMES: &str =
    "letters, digits, `.`, `_` and `-`, at most 128 bytes, not beginning with `.` or `-`";
/// Bytes of a text for people.
const TEXT_BYTES: usize = 1024;
/// Labels of an environment.
const LABELS_MAX: usize = 64;
/// What alerts about rollouts say themselves (`collector/ROLLOUTS.md`).
const TOLD: [&str; 8] =
    ["alertname", "environment", "from", "risk", "rollout", "service", "severity", "to"];

/// One file.
#[derive(Clone, Debug)]
pub struct ServiceFile {
    /// What it describes.
    pub described: Described,
    /// Where things stand that other files have to do with.
    pub(super) places: Places,
    pub(super) source: Source,
}

/// What a file describes.
#[derive(Clone, Debug)]
pub enum Described {
    /// A service.
    Service(Arc<Service>),
    /// An environment.
    Environment(Arc<Environment>),
}

/// Where things stand in a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// The name.
    pub(super) name: Option<Place>,
    /// The hook of the service.
    pub(super) hook: Option<Place>,
    /// By environment: its key, and the hook there.
    pub(super) environments: BTreeMap<String, (Place, Option<Place>)>,
    /// The labels that an environment's series have.
    pub(super) matched: Option<Place>,
}

/// Reads a file; beside what it describes come the warnings. `variables` are for `${NAME}`.
///
/// # Errors
/// Every problem, if one of them is an error.
pub fn read(
    file: &str,
    text: &str,
    variables: &Variables,
) -> Result<(ServiceFile, Diagnostics), Diagnostics> {
    let source = Source::new(file, text);
    let mut places = Places::default();
    let (described, warnings) = read_with_warnings(file, text, variables, |f| {
        foreign(f);
        match (f.has("service"), f.has("environment")) {
            (false, true) => Described::Environment(Arc::new(environment(f, &mut places))),
            (has_service, has_environment) => {
                if has_environment {
                    drop(f.text("environment", "").optional());
                    let message = "a file describes a service or an environment, not both";
                    let place = f.place_of("environment");
                    let problem = Diagnostic::error(FILE_KIND, place, message);
                    f.push(problem.with_help("write a file for each"));
                } else if !has_service {
                    let message = "the file describes neither a service nor an environment";
                    let problem = Diagnostic::error(FILE_KIND, Some(f.place()), message);
                    f.push(
                        problem.with_help("begin it with `service: NAME` or `environment: NAME`"),
                    );
                }
                Described::Service(Arc::new(service(f, &source, &mut places)))
            }
        }
    })?;
    Ok((ServiceFile { described, places, source }, warnings))
}

/// The keys of both kinds of file, for the reference page.
#[must_use]
pub fn docs() -> Vec<FieldDoc> {
    let source = Source::new("", "");
    let mut docs = field_docs(|f| service(f, &source, &mut Places::default()));
    docs.extend(field_docs(|f| environment(f, &mut Places::default())));
    docs
}

/// Names a file that is known by its keys to be another program's.
fn foreign(f: &Fields<'_>) {
    let known = [
        ("slos", "this is a file of Sloth: its `events` are an SLI's `total` and `bad` here"),
        ("apiVersion", "this is a resource of Kubernetes or OpenSLO, not a service file"),
        ("groups", "this is a rule file: `bellwether check rules` reads it"),
    ];
    for (key, help) in known {
        if let Some(place) = f.place_of(key) {
            let message = "the file is of another kind";
            f.push(Diagnostic::error(FILE_KIND, Some(place), message).with_help(help));
        }
    }
}

fn service(f: &mut Fields<'_>, source: &Source, places: &mut Places) -> Service {
    let own = name_under(f, "service", "Name of the service.").unwrap_or_default();
    places.name = f.place_of("service");
    let owner = f.text("owner", "Who is asked about it.").check(|text| short(text)).required();
    let runbook = f.text("runbook", "A page about it.").check(|text| short(text)).optional();
    let version_label =
        f.text("version_label", "The label that tells versions apart.").or(VERSION.to_owned());
    tells_apart(f, "version_label", &version_label);
    let stratum_label = f
        .text("stratum_label", "A label within whose values requests are compared, as a route.")
        .optional();
    if let Some(label) = &stratum_label {
        tells_apart(f, "stratum_label", label);
        if *label == version_label {
            let message = "`stratum_label` must be another than the version's";
            f.push(Diagnostic::error(LABEL, f.place_of("stratum_label"), message));
        }
    }
    let train_requests = f
        .integer(
            "train_requests",
            "The most bad requests that come as one train, as retries do; 0 if they fail alone.",
        )
        .check(|most| if *most <= 1000 { Ok(()) } else { Err("is 1000 at most".to_owned()) })
        .or(Guard::default().train_requests.into());
    let mode = f
        .choice("mode", "What is done where an environment says nothing: observe, advise, act.")
        .or(Mode::default());
    let hook = name_under(f, "hook", "What carries rollbacks out: one of the collector's `hooks`.");
    places.hook = f.place_of("hook");
    let selecting =
        Selecting { source, version: &version_label, stratum: stratum_label.as_deref() };
    let slis = f
        .map("slis", "What tells bad requests from good ones, by name.", |name, item| {
            named(name, item, "an SLI's");
            item.fields(|f| sli(f, &selecting))
        })
        .required();
    at_most(f, "slis", slis.len(), SLIS_MAX);
    let environments = f
        .map("environments", "What differs in environments, by name.", |name, item| {
            named(name, item, "an environment's");
            let place = item.place();
            item.fields(|f| {
                let mode = f.choice("mode", "What is done there.").optional();
                let hook = name_under(f, "hook", "What carries rollbacks out there.");
                let hook_place = f.place_of("hook");
                places.environments.insert(name.to_owned(), (place, hook_place));
                InEnvironment { mode, hook: hook.map(Arc::from) }
            })
        })
        .or(BTreeMap::new());
    at_most(f, "environments", environments.len(), ENVIRONMENTS_MAX);
    let cost_key =
        f.text("cost_key", "Under which costs are counted.").check(|text| short(text)).optional();
    Service {
        name: own.into(),
        owner,
        runbook,
        version_label,
        stratum_label,
        train_requests: u32::try_from(train_requests).unwrap_or(u32::MAX),
        mode,
        hook: hook.map(Arc::from),
        slis: slis.into_iter().filter_map(|(name, sli)| Some((name, sli?))).collect(),
        environments,
        cost_key,
    }
}

fn environment(f: &mut Fields<'_>, places: &mut Places) -> Environment {
    let own = name_under(f, "environment", "Name of the environment.").unwrap_or_default();
    places.name = f.place_of("environment");
    let mode = f.choice("mode", "The most that is done here: observe, advise, act.").or(Mode::Act);
    let risk_floor = f
        .choice("risk_floor", "No rollout here has less: low, medium, high, critical.")
        .or(Risk::Low);
    let matched = f.map("match", "Labels that series of this environment have.", |label, item| {
        let is_good = is_plain_label_name(label) && label != METRIC_NAME && label != LE;
        bad_label(item, label, is_good, "series cannot be told apart by it");
        item.text()
    });
    let matched = matched.or(BTreeMap::new());
    places.matched = f.place_of("match");
    at_most(f, "match", matched.len(), LABELS_MAX);
    let alerts = f.map("alerts", "Labels added to what is told of rollouts.", |label, item| {
        let is_good = is_plain_label_name(label) && !label.starts_with("__");
        bad_label(
            item,
            label,
            is_good,
            "letters, digits and `_`, not beginning with a digit or `__`",
        );
        bad_label(item, label, !TOLD.contains(&label), "what is told of rollouts has it already");
        item.text()
    });
    let alerts = alerts.or(BTreeMap::new());
    at_most(f, "alerts", alerts.len(), LABELS_MAX);
    let alert_labels = LabelSet::new(alerts.iter().map(|(name, value)| (&**name, &**value)));
    let alert_labels = alert_labels.unwrap_or_else(|error| {
        f.push(Diagnostic::error(LABEL, f.place_of("alerts"), error.to_string()));
        LabelSet::default()
    });
    let equal = |(label, value): (&String, &String)| {
        Matcher::new(label, MatchOp::Equal, value).expect("invariant: equality needs no pattern")
    };
    let matchers = matched.iter().map(equal).collect();
    Environment { name: own.into(), mode, risk_floor, matchers, alert_labels }
}

/// One SLI; `None` if something is wrong, which has been reported.
fn sli(f: &mut Fields<'_>, selecting: &Selecting<'_>) -> Option<Sli> {
    let total = selecting.read(f, "total", "Counters of all requests, as a series selector.");
    let bad = selecting.read(f, "bad", "Counters of the bad ones; or say `good`.");
    let good = selecting.read(f, "good", "Counters of the good ones.");
    let histogram =
        selecting.read(f, "histogram", "A histogram of the time requests take, without `_bucket`.");
    let threshold = f.parsed::<Threshold>(
        "threshold",
        "a time such as `300ms`, or a number in the histogram's unit",
        "Longer is bad: a bound of the histogram's buckets.",
    );
    let threshold = threshold.optional();
    let has = |keys: &[&str]| keys.iter().any(|key| f.has(key));
    match (has(&["total", "bad", "good"]), has(&["histogram", "threshold"])) {
        (true, false) => counters(f, total, bad, good),
        (false, true) => {
            for key in ["histogram", "threshold"].iter().filter(|key| !f.has(key)) {
                let message = format!("the key `{key}` is missing");
                f.push(Diagnostic::error(config::MISSING, Some(f.place()), message));
            }
            histogram::sli(f, selecting, &histogram?, threshold?)
        }
        (true, true) => {
            let place = f.place_of("histogram").or_else(|| f.place_of("threshold"));
            let message = "an SLI has counters or a histogram, not both";
            let problem = Diagnostic::error(SLI_KIND, place, message);
            f.push(problem.with_help("a histogram has its own count of all requests"));
            None
        }
        (false, false) => {
            let message =
                "an SLI needs `total` with `bad` or `good`, or `histogram` with `threshold`";
            f.push(Diagnostic::error(SLI_KIND, Some(f.place()), message));
            None
        }
    }
}

fn counters(
    f: &Fields<'_>,
    total: Option<Written>,
    bad: Option<Written>,
    good: Option<Written>,
) -> Option<Sli> {
    if !f.has("total") {
        let message = "the key `total` is missing";
        f.push(Diagnostic::error(config::MISSING, Some(f.place()), message));
    }
    match (f.has("bad"), f.has("good")) {
        (true, true) => {
            let message = "`bad` and `good` exclude each other";
            f.push(Diagnostic::error(SLI_KIND, f.place_of("good"), message));
        }
        (false, false) => {
            let message = "one of the keys `bad` and `good` is missing";
            f.push(Diagnostic::error(SLI_KIND, Some(f.place()), message));
        }
        _ => {}
    }
    let total = total?;
    for (written, key) in [(&bad, "bad"), (&good, "good")] {
        let Some(written) = written else { continue };
        if same(&written.matchers, &total.matchers) {
            let message = format!("`{key}` is the same as `total`: every request is {key}");
            f.push(Diagnostic::error(ALL_BAD, Some(written.place.clone()), message));
        }
    }
    let total = total.matchers;
    match (bad, good) {
        (Some(bad), None) => Some(Sli::Bad { total, bad: bad.matchers }),
        (None, Some(good)) => Some(Sli::Good { total, good: good.matchers }),
        _ => None,
    }
}

/// Whether two selectors have the same tests, in whatever order.
fn same(one: &[Matcher], other: &[Matcher]) -> bool {
    let texts = |matchers: &[Matcher]| {
        let mut texts: Vec<String> = matchers.iter().map(ToString::to_string).collect();
        texts.sort();
        texts
    };
    texts(one) == texts(other)
}

/// A label that requests are told apart by.
fn tells_apart(f: &Fields<'_>, key: &'static str, label: &str) {
    if !is_plain_label_name(label) || label == METRIC_NAME || label == LE {
        let message = format!("`{key}` must be a label that request series have");
        f.push(Diagnostic::error(LABEL, f.place_of(key), message));
    }
}

fn bad_label(item: &Item<'_>, label: &str, is_good: bool, help: &str) {
    if !is_good {
        let message = format!("the label `{label}` cannot be used here");
        item.push(Diagnostic::error(LABEL, Some(item.place()), message).with_help(help));
    }
}

/// A name that is a value.
fn name_under(f: &mut Fields<'_>, key: &'static str, help: &'static str) -> Option<String> {
    let name = f.text(key, help).optional()?;
    if !is_name(&name) {
        let message = format!("`{key}` cannot be {name:?}");
        f.push(Diagnostic::error(NAME, f.place_of(key), message).with_help(NAMES));
    }
    Some(name)
}

/// A name that is a key.
fn named(name: &str, item: &Item<'_>, whose: &str) {
    if !is_name(name) {
        let message = format!("{name:?} cannot be {whose} name");
        item.push(Diagnostic::error(NAME, Some(item.place()), message).with_help(NAMES));
    }
}

fn short(text: &str) -> Result<(), String> {
    let is_short = text.len() <= TEXT_BYTES && !text.chars().any(char::is_control);
    if is_short { Ok(()) } else { Err(format!("must be one line of {TEXT_BYTES} bytes at most")) }
}

fn at_most(f: &Fields<'_>, key: &str, count: usize, most: usize) {
    if count > most {
        let message = format!("`{key}` has {count} items: there may be {most}");
        f.push(Diagnostic::error(TOO_MANY, f.place_of(key), message));
    }
}
