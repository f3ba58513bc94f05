//! Counting over views of a map and of a store, and what a judge makes of it.

mod map;
mod outages;
mod properties;
mod seconds;
mod stored;

use std::sync::Arc;

use bellwether_model::matcher::{MatchOp, Matcher};
use bellwether_model::time::Timestamp;
use bellwether_rules::service::Sli;
use bellwether_rules::verdict::Arm;

use super::*;
use crate::pure::guard::record::Count;
use map::Map;

/// Where the tests' time begins.
const START: i64 = 1_700_000_000;

fn matcher(label: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher::new(label, op, value).unwrap()
}

fn requests() -> Vec<Matcher> {
    vec![matcher("__name__", MatchOp::Equal, "requests")]
}

fn plan() -> CountPlan {
    let bad = [requests(), vec![matcher("code", MatchOp::Regex, "5..")]].concat();
    CountPlan {
        slis: vec![Sli::Bad { total: requests(), bad }],
        version_label: "version".to_owned(),
        stratum_label: None,
        environment: Vec::new(),
        from: "1".into(),
        to: "2".into(),
        canary: Vec::new(),
        baseline: Vec::new(),
    }
}

fn counting(plan: CountPlan) -> Counting {
    Counting::new(Arc::new(plan), START - 1, Vec::new())
}

/// A time in milliseconds since the start.
fn at(millis: i64) -> Timestamp {
    Timestamp(1000 * START + millis)
}

/// A counter of one target.
fn series(version: &str, instance: &str, code: &str) -> Vec<(&'static str, String)> {
    let labels = [
        ("__name__", "requests"),
        ("job", "web"),
        ("instance", instance),
        ("version", version),
        ("code", code),
    ];
    labels.map(|(name, value)| (name, value.to_owned())).to_vec()
}

/// What a scrape says of a target itself.
fn scrape(name: &'static str, instance: &str) -> Vec<(&'static str, String)> {
    let labels = [("__name__", name), ("job", "web"), ("instance", instance)];
    labels.map(|(name, value)| (name, value.to_owned())).to_vec()
}

fn count(canary: (u64, u64), baseline: (u64, u64)) -> Count {
    let arm = |(n, bad)| Arm { n, bad };
    Count { sli: 0, stratum: 0, canary: arm(canary), baseline: arm(baseline) }
}

/// The counts of each second since the start that has any.
fn counted(read: &Read) -> Vec<(i64, Count)> {
    let seconds = read.seconds.iter();
    seconds.flat_map(|s| s.counts.iter().map(|count| (s.second - START, *count))).collect()
}
