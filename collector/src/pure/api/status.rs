//! `/status/…`: what a server says of itself, as far as it is true of this one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::select::{Select, Window};
use bellwether_model::time::{Timestamp, date};
use serde_json::{Value, json};

use super::answer::{Limits, check};
use super::error::{ApiError, ErrorKind};
use super::json::Answer;

/// What the process knows of itself.
#[derive(Clone, Debug)]
pub(crate) struct About {
    /// When it started.
    pub(crate) started: Timestamp,
    /// Its working directory.
    pub(crate) directory: String,
    /// The host's name.
    pub(crate) host: String,
    /// Cores it may use.
    pub(crate) cores: usize,
    /// Where it was told to listen.
    pub(crate) listen: String,
    /// How long samples are kept.
    pub(crate) retention: Duration,
    /// How long a query may take.
    pub(crate) timeout: Duration,
    /// Queries at once.
    pub(crate) places: usize,
    /// Samples that one query may hold.
    pub(crate) samples_max: usize,
    /// Between evaluations of rule groups that say none.
    pub(crate) rule_interval: Duration,
    /// Labels added to what is federated.
    pub(crate) external_labels: LabelSet,
}

impl About {
    /// The answer of `/status/runtimeinfo`.
    pub(crate) fn runtime(&self, now: Timestamp) -> Vec<u8> {
        whole(&json!({
            "startTime": date(self.started),
            "serverTime": date(now),
            "CWD": self.directory,
            "hostname": self.host,
            "reloadConfigSuccess": true,
            "lastConfigTime": date(self.started),
            "corruptionCount": 0,
            "GOMAXPROCS": self.cores,
            "storageRetention": seconds(self.retention),
        }))
    }

    /// The answer of `/status/flags`: those of Prometheus' that have a counterpart.
    pub(crate) fn flags(&self) -> Vec<u8> {
        whole(&json!({
            "query.lookback-delta": "5m",
            "query.max-concurrency": self.places.to_string(),
            "query.max-samples": self.samples_max.to_string(),
            "query.timeout": seconds(self.timeout),
            "storage.tsdb.retention.time": seconds(self.retention),
            "web.listen-address": self.listen,
        }))
    }

    /// The answer of `/status/config`: what of Prometheus' configuration has a counterpart.
    pub(crate) fn config(&self) -> Vec<u8> {
        let interval = seconds(self.rule_interval);
        let mut yaml = format!("global:\n  evaluation_interval: {interval}\n");
        if !self.external_labels.is_empty() {
            yaml += "  external_labels:\n";
            for (name, value) in self.external_labels.iter() {
                // A JSON string is a YAML one.
                yaml += &format!("    {name}: {}\n", Value::from(value));
            }
        }
        whole(&json!({ "yaml": yaml }))
    }
}

fn whole(data: &Value) -> Vec<u8> {
    let mut answer = Answer::new(usize::MAX);
    answer.json(data).expect("invariant: the bound cannot be exceeded");
    answer.finish()
}

fn seconds(span: Duration) -> String {
    format!("{}s", span.as_secs())
}

/// The answer of `/status/tsdb`: how many series there are, and which names and values have most.
///
/// # Errors
/// More series than an answer may be made of; nobody waits any more.
pub(crate) fn head(
    view: &dyn Select,
    top: usize,
    limits: &Limits,
    stop: &AtomicBool,
) -> Result<Value, ApiError> {
    /// Series from one look at the flag to the next.
    const AT_ONCE: usize = 1024;

    let always = Window { start: Timestamp::MIN, end: Timestamp::MAX };
    let series = view.series(&[], always, limits.series_max);
    if series.len() > limits.series_max {
        let message = format!("more than {} series match", limits.series_max);
        return Err(ApiError::new(ErrorKind::Execution, message));
    }
    let count = series.len();
    let mut by_name: BTreeMap<String, usize> = BTreeMap::new();
    let mut by_pair: BTreeMap<String, usize> = BTreeMap::new();
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for chunk in series.chunks(AT_ONCE) {
        check(stop)?;
        for labels in chunk.iter().map(|one| view.labels(*one)) {
            *by_name.entry(labels.name().to_owned()).or_default() += 1;
            for (name, value) in labels.iter() {
                *by_pair.entry(format!("{name}={value}")).or_default() += 1;
                if !values.get(name).is_some_and(|known| known.contains(value)) {
                    values.entry(name.to_owned()).or_default().insert(value.to_owned());
                }
            }
        }
    }
    by_name.remove("");
    let bytes = |known: &BTreeSet<String>| known.iter().map(String::len).sum();
    let pairs: usize = values.values().map(BTreeSet::len).sum();
    let counts = values.iter().map(|(name, known)| (name.clone(), known.len())).collect();
    let sizes = values.iter().map(|(name, known)| (name.clone(), bytes(known))).collect();
    by_pair.retain(|pair, _| !pair.starts_with(METRIC_NAME));
    Ok(json!({
        "headStats": { "numSeries": count, "numLabelPairs": pairs },
        "seriesCountByMetricName": largest(by_name, top),
        "labelValueCountByLabelName": largest(counts, top),
        "memoryInBytesByLabelName": largest(sizes, top),
        "seriesCountByLabelValuePair": largest(by_pair, top),
    }))
}

fn largest(counts: BTreeMap<String, usize>, top: usize) -> Vec<Value> {
    let mut sorted: Vec<(String, usize)> = counts.into_iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    sorted
        .into_iter()
        .take(top)
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::api::map_view::MapView;

    fn about() -> About {
        About {
            started: Timestamp(1_709_164_800_000),
            directory: "/".to_owned(),
            host: "h".to_owned(),
            cores: 2,
            listen: "127.0.0.1:9797".to_owned(),
            retention: Duration::from_secs(3600),
            timeout: Duration::from_secs(120),
            places: 20,
            samples_max: 5,
            rule_interval: Duration::from_secs(60),
            external_labels: LabelSet::new([("site", "a\"b")]).unwrap(),
        }
    }

    fn data(body: &[u8]) -> Value {
        let answer: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(answer["status"], "success");
        answer["data"].clone()
    }

    #[test]
    fn a_server_says_what_it_is() {
        let runtime = data(&about().runtime(Timestamp(1_709_164_800_000 + 86_399_999)));
        assert_eq!(runtime["startTime"], "2024-02-29T00:00:00Z");
        assert_eq!(runtime["serverTime"], "2024-02-29T23:59:59Z");
        assert_eq!(runtime["storageRetention"], "3600s");
        assert_eq!(data(&about().flags())["query.timeout"], "120s");
        let yaml = data(&about().config());
        assert!(yaml["yaml"].as_str().unwrap().ends_with("    site: \"a\\\"b\"\n"));
    }

    #[test]
    fn the_largest_are_named() {
        let samples = [(1, 1.0)];
        let view = MapView::default()
            .with(&[("__name__", "a"), ("x", "1")], &samples)
            .with(&[("__name__", "a"), ("x", "23")], &samples)
            .with(&[("__name__", "b"), ("x", "23")], &samples);
        let stop = AtomicBool::new(false);
        let head = head(&view, 1, &Limits::default(), &stop).unwrap();
        assert_eq!(head["headStats"], json!({"numSeries": 3, "numLabelPairs": 4}));
        let one = |name: &str, value: usize| json!([{"name": name, "value": value}]);
        assert_eq!(head["seriesCountByMetricName"], one("a", 2));
        assert_eq!(head["seriesCountByLabelValuePair"], one("x=23", 2));
        assert_eq!(head["memoryInBytesByLabelName"], one("x", 3));
        let few = Limits { series_max: 2, ..Limits::default() };
        assert!(super::head(&view, 1, &few, &stop).is_err());
        assert!(super::head(&view, 1, &Limits::default(), &AtomicBool::new(true)).is_err());
    }
}
