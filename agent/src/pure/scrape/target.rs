//! A target: from what was discovered of it, by relabelling, to whom to ask for which page.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::config::{parse_duration, show_duration};
use bellwether_model::hash::fnv1a;
use bellwether_model::label::LabelSet;
use bellwether_model::relabel::{Kept, Labels, apply};

use super::discover::TargetGroup;
use super::{INTERVAL_MAX, INTERVAL_MIN, JobPlan, TIMEOUT_MIN};
use crate::pure::probe::url::Url;

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const PARAM: &str = "__param_";
const RESERVED: &str = "__";

/// A page that is scraped.
#[derive(Clone, Debug)]
pub struct ScrapeTarget {
    /// Its labels, as Prometheus' page of targets shows them; no two targets share them.
    pub labels: LabelSet,
    /// The same over the labels of the agent that all its series share.
    pub shown: LabelSet,
    /// Labels that all its series are sure to have: those of its column group.
    pub shared: LabelSet,
    /// What is asked for.
    pub url: Url,
    /// From scrape to scrape.
    pub interval: Duration,
    /// A scrape that takes longer has failed.
    pub timeout: Duration,
    /// How.
    pub job: Arc<JobPlan>,
    /// A number for page and reading: another one is another target to whoever follows its series.
    pub mark: u64,
}

impl ScrapeTarget {
    /// Whether the other is the same, asked for and read in the same way.
    #[must_use]
    pub fn is_same(&self, other: &ScrapeTarget) -> bool {
        self.labels == other.labels
            && self.url == other.url
            && (self.interval, self.timeout) == (other.interval, other.timeout)
            && Arc::ptr_eq(&self.job, &other.job)
    }
}

/// The targets of some groups of a job.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Each once.
    pub targets: Vec<ScrapeTarget>,
    /// What cannot be a target, and why.
    pub wrong: Vec<(String, String)>,
}

/// The targets of a job among these groups; what relabelling drops is not among them.
#[must_use]
pub fn targets<'a>(job: &Arc<JobPlan>, groups: impl IntoIterator<Item = &'a TargetGroup>) -> Found {
    let mut found = Found::default();
    let mut seen = BTreeSet::new();
    for group in groups {
        for address in &group.targets {
            match target(job, address, &group.labels) {
                Ok(Some(target)) => {
                    if seen.insert(target.labels.clone()) {
                        found.targets.push(target);
                    }
                }
                Ok(None) => {}
                Err(reason) => found.wrong.push((address.clone(), reason)),
            }
        }
    }
    found
}

/// Labels before relabelling: the group's, then the job's where there is none.
fn discovered(job: &JobPlan, address: &str, group: &[(String, String)]) -> Labels {
    let own = group.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut labels: Labels = own.collect();
    labels.set(ADDRESS, address);
    let scheme = job.scheme.to_string();
    let (interval, timeout) = (show_duration(job.interval), show_duration(job.timeout));
    for (name, value) in [
        ("job", job.name.as_str()),
        (INTERVAL, &interval),
        (TIMEOUT, &timeout),
        (PATH, &job.path),
        (SCHEME, &scheme),
    ] {
        if labels.get(name).is_empty() {
            labels.set(name, value);
        }
    }
    for (key, values) in &job.params {
        let name = format!("{PARAM}{key}");
        if let Some(value) = values.first().filter(|_| labels.get(&name).is_empty()) {
            labels.set(&name, value);
        }
    }
    labels
}

/// One target; `None` if relabelling drops it.
///
/// # Errors
/// In words: what it has become cannot be scraped.
pub fn target(
    job: &Arc<JobPlan>,
    address: &str,
    group: &[(String, String)],
) -> Result<Option<ScrapeTarget>, String> {
    let mut labels = discovered(job, address, group);
    if apply(&job.relabel, &mut labels) == Kept::Dropped {
        return Ok(None);
    }
    let address = labels.get(ADDRESS).to_owned();
    if address.is_empty() {
        return Err("it has no address".to_owned());
    }
    if address.contains('/') {
        return Err(format!("{address:?} is not HOST:PORT"));
    }
    let interval = duration(&labels, INTERVAL, INTERVAL_MIN)?;
    if interval.subsec_nanos() != 0 {
        return Err("its interval must be whole seconds".to_owned());
    }
    let timeout = duration(&labels, TIMEOUT, TIMEOUT_MIN)?;
    if timeout > interval {
        return Err("its timeout is longer than its interval".to_owned());
    }
    let text = url(job, &labels, &address);
    let url = Url::parse(&text).map_err(|_| format!("{text:?} is no URL that can be asked"))?;
    if labels.get("instance").is_empty() {
        labels.set("instance", &address);
    }
    labels.retain(|name| !name.starts_with(RESERVED));
    let set = labels.to_set().map_err(|error| error.to_string())?;
    let external = &job.reading.external;
    let shown = external.overlaid(&set).map_err(|error| error.to_string())?;
    let is_safe = !job.reading.honor_labels
        && set.iter().all(|(name, _)| job.reading.relabel.iter().all(|r| !r.may_remove(name)));
    let shared = if is_safe { shown.clone() } else { external.clone() };
    let page = url.to_string();
    let mark = fnv1a(page.bytes().chain(job.reading.mark.to_le_bytes()));
    let job = Arc::clone(job);
    Ok(Some(ScrapeTarget { labels: set, shown, shared, url, interval, timeout, job, mark }))
}

fn duration(labels: &Labels, name: &str, least: Duration) -> Result<Duration, String> {
    let text = labels.get(name);
    parse_duration(text)
        .filter(|length| (least..=INTERVAL_MAX).contains(length))
        .ok_or_else(|| format!("{name} is {text:?}, which is no duration that can be used"))
}

fn url(job: &JobPlan, labels: &Labels, address: &str) -> String {
    let mut params = job.params.clone();
    for (name, value) in labels.iter() {
        let Some(key) = name.strip_prefix(PARAM) else { continue };
        let values = params.entry(key.to_owned()).or_default();
        match values.first_mut() {
            Some(first) => value.clone_into(first),
            None => values.push(value.to_owned()),
        }
    }
    let (scheme, path) = (labels.get(SCHEME), labels.get(PATH));
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut text = format!("{scheme}://{address}{slash}{path}");
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (key, values) in &params {
        query.extend_pairs(values.iter().map(|value| (key, value)));
    }
    let query = query.finish();
    if !query.is_empty() {
        text.push(if path.contains('?') { '&' } else { '?' });
        text.push_str(&query);
    }
    text
}

#[cfg(test)]
pub(crate) mod tests;
