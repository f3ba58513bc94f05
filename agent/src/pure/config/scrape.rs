//! The section `inputs.scrape`: whom to scrape and how, in the words of Prometheus' file, so that a
//! `scrape_config` is pasted as it is.

mod fetch;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::config::{Choice, Fields, Item, code};
use bellwether_model::diagnostic::{Diagnostic, Place};
use bellwether_model::hash::fnv1a;
use bellwether_model::label::LabelSet;
use bellwether_platform::dial::Scheme;
use hyper::header::HeaderName;

use super::probe::{Around, at_most};
use crate::pure::scrape::discover::{TargetGroup, is_pattern};
use crate::pure::scrape::target::targets;
use crate::pure::scrape::{
    FilesPlan, INTERVAL_MAX, INTERVAL_MIN, JobPlan, Limits, Reading, ScrapePlan, TARGETS_MAX,
    TIMEOUT_MIN, VersionPlan,
};

const JOBS_MAX: usize = 200;
const GROUPS_MAX: usize = 1000;
const FILES_MAX: usize = 100;
const INTERVAL: Duration = Duration::from_secs(15);
const TIMEOUT: Duration = Duration::from_secs(10);
const REFRESH: Duration = Duration::from_secs(5);
const REFRESH_MIN: Duration = Duration::from_secs(1);
const REFRESH_MAX: Duration = Duration::from_secs(24 * 3600);
/// Bytes of a page by default, and at most.
const PAGE_BYTES: u64 = 16 << 20;
const PAGE_BYTES_MAX: u64 = 64 << 20;
const COUNT_MAX: u64 = 1 << 30;

/// A job as written; labels of the agent are missing.
#[derive(Clone, Debug)]
struct Spec {
    place: Place,
    plan: JobPlan,
    timeout: Option<(Duration, Option<Place>)>,
    group_places: Vec<Place>,
}

/// The section as written; it becomes a plan once the agent's labels are known.
#[derive(Clone, Debug)]
pub(super) struct Section {
    jobs: Vec<Spec>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(Scheme);

impl Choice for Word {
    const WORDS: &'static [(&'static str, Word)] =
        &[("http", Word(Scheme::Http)), ("https", Word(Scheme::Https))];
}

/// Reads the section.
pub(super) fn describe(f: &mut Fields<'_>) -> Section {
    let every = interval(f, "interval", "Time from scrape to scrape, unless a job says.", INTERVAL);
    let timeout = f
        .duration("timeout", "How long a scrape may take, unless a job says.")
        .between(TIMEOUT_MIN, INTERVAL_MAX)
        .or(TIMEOUT);
    let jobs = f
        .list("scrape_configs", "Jobs as in Prometheus' file.", |item| {
            let place = item.place();
            item.fields(|f| job(f, place, every, timeout))
        })
        .check(|jobs| at_most(jobs.len(), JOBS_MAX))
        .or(Vec::new());
    Section { jobs }
}

fn interval(
    f: &mut Fields<'_>,
    key: &'static str,
    help: &'static str,
    default: Duration,
) -> Duration {
    f.duration(key, help)
        .between(INTERVAL_MIN, INTERVAL_MAX)
        .check(|interval| match interval.subsec_nanos() {
            0 => Ok(()),
            _ => Err("must be whole seconds".to_owned()),
        })
        .or(default)
}

fn job(f: &mut Fields<'_>, place: Place, every: Duration, timeout: Duration) -> Spec {
    let name = f.text("job_name", "The label `job`.").required();
    let interval = interval(f, "scrape_interval", "Time from scrape to scrape of this job.", every);
    let own = f
        .duration("scrape_timeout", "How long a scrape of this job may take.")
        .between(TIMEOUT_MIN, INTERVAL_MAX)
        .optional();
    let timeout_place = f.place_of("scrape_timeout");
    let scheme = f.choice("scheme", "`http` or `https`.").or(Word(Scheme::Http));
    let path = f.text("metrics_path", "The path of the page.").or("/metrics".to_owned());
    let params = f
        .map("params", "Parameters that are asked with.", |_, item| item.texts())
        .or(BTreeMap::new());
    let (groups, group_places) = groups(f);
    let files = f
        .list("file_sd_configs", "Files with more targets.", |item| item.fields(files))
        .check(|files| at_most(files.len(), FILES_MAX))
        .or(Vec::new());
    let (relabel, _) = rules::list(f, "relabel_configs", "What becomes of a target's labels.");
    let reading = reading(f);
    let target_limit = count(f, "target_limit", "Targets; more fail all scrapes of the job.");
    // Prometheus' own keys that change nothing here.
    f.flag("enable_compression", "Taken and without effect: pages are fetched plain.").or(true);
    f.flag("enable_http2", "Taken and without effect: TLS agrees on the version.").or(true);
    let fetch = fetch::describe(f, (PAGE_BYTES, PAGE_BYTES_MAX));
    let plan = JobPlan {
        name,
        interval,
        timeout: own.unwrap_or(timeout.min(interval)),
        scheme: scheme.0,
        path,
        params,
        groups,
        files,
        relabel,
        target_limit,
        reading,
        fetch,
    };
    Spec { place, plan, timeout: own.map(|own| (own, timeout_place)), group_places }
}

fn count(f: &mut Fields<'_>, key: &'static str, help: &'static str) -> usize {
    let count = f.integer(key, help).between(0, COUNT_MAX).or(0);
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn groups(f: &mut Fields<'_>) -> (Vec<TargetGroup>, Vec<Place>) {
    let groups: Vec<(TargetGroup, Place)> = f
        .list("static_configs", "Targets, each as HOST:PORT.", |item| {
            let place = item.place();
            (item.fields(group), place)
        })
        .check(|groups| at_most(groups.len(), GROUPS_MAX))
        .or(Vec::new());
    groups.into_iter().unzip()
}

fn group(f: &mut Fields<'_>) -> TargetGroup {
    let targets = f
        .list("targets", "Each as HOST:PORT.", |item| item.text())
        .check(|targets| at_most(targets.len(), TARGETS_MAX))
        .or(Vec::new());
    let labels = f
        .map("labels", "Labels of these targets.", |name, item: &mut Item<'_>| {
            if name.is_empty() {
                let message = "a label needs a name";
                item.push(Diagnostic::error(code::INVALID, Some(item.place()), message));
            }
            item.verbatim()
        })
        .or(BTreeMap::new());
    TargetGroup { targets, labels: labels.into_iter().collect() }
}

fn files(f: &mut Fields<'_>) -> FilesPlan {
    let is_pattern_of_files = |item: &mut Item<'_>| {
        let path = item.text();
        if !path.is_empty() && !is_pattern(&path) {
            let message = format!("`{path}` is no path of files with targets");
            let problem = Diagnostic::error(code::INVALID, Some(item.place()), message);
            item.push(problem.with_help(
                "it ends with .json, .yml or .yaml; only the name of the file may have `*`",
            ));
        }
        path
    };
    let patterns = f
        .list("files", "Paths; the name of a file may have `*`.", is_pattern_of_files)
        .check(|files| at_most(files.len(), FILES_MAX))
        .required();
    let refresh = f
        .duration("refresh_interval", "They are looked at this often, and each 5 s at least.")
        .between(REFRESH_MIN, REFRESH_MAX)
        .or(REFRESH);
    FilesPlan { patterns, refresh: refresh.min(REFRESH) }
}

fn reading(f: &mut Fields<'_>) -> Reading {
    let honor_labels =
        f.flag("honor_labels", "Whether a page's labels stand over those of the target.").or(false);
    f.flag("honor_timestamps", "Taken and without effect: a sample has the time of its row.")
        .or(true);
    let (relabel, written) =
        rules::list(f, "metric_relabel_configs", "What becomes of a sample's labels.");
    let limits = Limits {
        samples: count(f, "sample_limit", "Samples after relabelling; more fail the scrape."),
        labels: count(f, "label_limit", "Labels of a sample; more fail the scrape."),
        name_bytes: count(f, "label_name_length_limit", "Bytes of a label's name."),
        value_bytes: count(f, "label_value_length_limit", "Bytes of a label's value."),
    };
    let version = f.optional_section("version", version).flatten();
    let mark = format!("{honor_labels} {version:?} {written:?}");
    let (external, mark) = (LabelSet::default(), fnv1a(mark.bytes()));
    Reading { honor_labels, relabel, limits, version, external, mark }
}

/// One of four ways.
fn version(f: &mut Fields<'_>) -> Option<VersionPlan> {
    let label =
        f.text("label", "The label that has it; with `build_info`, of that metric.").optional();
    let metric = f.text("build_info", "A metric of the page with it in a label.").optional();
    let file = f.text("file", "A file with it in the first line.").optional();
    let header = f
        .text("header", "A header of the answer with it.")
        .check(|name| match name.parse::<HeaderName>() {
            Ok(_) => Ok(()),
            Err(_) => Err("is no name of a header".to_owned()),
        })
        .optional();
    let ways = usize::from(label.is_some() || metric.is_some())
        + usize::from(file.is_some())
        + usize::from(header.is_some());
    if ways > 1 {
        let message = "`version` takes one of `label`, `build_info`, `file` and `header`";
        f.push(Diagnostic::error(code::CONFLICT, Some(f.place()), message));
    }
    match (label, metric, file, header) {
        (label, Some(metric), _, _) => {
            let label = label.unwrap_or_else(|| crate::pure::scrape::VERSION.to_owned());
            Some(VersionPlan::BuildInfo { metric, label })
        }
        (Some(label), ..) => Some(VersionPlan::Label(label)),
        (_, _, Some(file), _) => Some(VersionPlan::File(file)),
        (.., Some(header)) => header.parse().ok().map(VersionPlan::Header),
        _ => None,
    }
}

/// The plan of a section.
pub(super) fn plan(fields: &Fields<'_>, section: Section, around: &Around<'_>) -> ScrapePlan {
    let own = [("environment", around.agent.environment.as_str())];
    let free = around.labels.iter().map(|(name, (_, value))| (name.as_str(), value.as_str()));
    let free = free.filter(|(name, _)| !super::RESERVED.contains(name));
    // What is wrong with them is said where they stand.
    let external = LabelSet::new(own.into_iter().chain(free)).unwrap_or_default();
    let mut names = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut jobs = Vec::new();
    for spec in section.jobs {
        let Spec { place, mut plan, timeout, group_places } = spec;
        let conflict = |place: Option<Place>, message: String| {
            fields.push(Diagnostic::error(code::CONFLICT, place, message));
        };
        if !names.insert(plan.name.clone()) && !plan.name.is_empty() {
            conflict(Some(place), format!("another job has the name `{}`", plan.name));
        }
        if let Some((_, at)) = timeout.filter(|(own, _)| *own > plan.interval) {
            let message = "`scrape_timeout` must not be longer than `scrape_interval`";
            conflict(at, message.to_owned());
            plan.timeout = plan.interval;
        }
        plan.reading.external = external.clone();
        let plan = Arc::new(plan);
        for (group, place) in plan.groups.iter().zip(group_places) {
            let found = targets(&plan, [group]);
            for (address, reason) in found.wrong {
                let message = format!("the target `{address}` cannot be scraped: {reason}");
                let problem = Diagnostic::error(code::INVALID, Some(place.clone()), message);
                fields.push(problem);
            }
            for target in found.targets {
                if !seen.insert(target.labels.clone()) {
                    let message = format!("another target has the labels {}", target.labels);
                    let problem = Diagnostic::warning(code::CONFLICT, Some(place.clone()), message);
                    fields.push(problem.with_help("it is scraped once"));
                }
            }
        }
        jobs.push(plan);
    }
    if seen.len() > TARGETS_MAX {
        let message = format!("there are more than {TARGETS_MAX} targets to scrape");
        fields.push(Diagnostic::error(code::INVALID, None, message));
    }
    ScrapePlan { jobs }
}

#[cfg(test)]
mod tests;
