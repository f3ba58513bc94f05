//! `/api/v1/rules` and `/api/v1/alerts` of Debian's Prometheus and of ours, of one rule file.

use std::collections::BTreeSet;
use std::process::Command;

use bellwether_model::time;
use bellwether_tests::harness::{Process, free_port, get, peer, skip, until};
use serde_json::{Map, Value};

use super::super::pair::Pair;
use super::{LATER, data};

const RULES: &str = "groups:
  - name: first
    interval: 1s
    limit: 5
    rules:
      - {record: one, expr: vector(1)}
      - {record: 'one:labelled', expr: 'sum  by(a)  ( one )', labels: {team: 'a\"b'}}
      - alert: Fires
        expr: one  >  0
        labels: {severity: page, of: '{{ $labels.severity }}'}
        annotations: {summary: 'it is {{ $value }}', runbook: 'http://x/?a=b&c'}
      - {alert: Pends, expr: vector(0.25), for: 1h, keep_firing_for: 90s}
      - {alert: Silent, expr: vector(1) > 2, labels: {a: ''}}
      - {alert: Fails, expr: 'one * on () (one:labelled or one)'}
  - name: second
    rules: [{record: 'two:series', expr: 'label_replace(one, \"n\", \"$1\", \"__name__\", \"(.*)\")'}]
";
/// What differs: theirs, then ours. Where only rules of a kind are asked for, Prometheus 2.42 still
/// lists groups that have none; we leave them out, as later versions do.
const DIFFERENCES: [&str; 1] = ["/api/v1/rules?type=alert.groups: 2 and 1 items"];
/// Fields that are times and change.
const TIMES: [&str; 2] = ["activeAt", "lastEvaluation"];
const SECONDS: &str = "evaluationTime";

/// Adds how two values differ, with where.
fn differ(place: &str, theirs: &Value, ours: &Value, found: &mut BTreeSet<String>) {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            for name in theirs.keys().chain(ours.keys()) {
                let of = |map: &Map<String, Value>| map.get(name).cloned();
                let place = format!("{place}.{name}");
                match (of(theirs), of(ours)) {
                    (Some(theirs), Some(ours)) => differ(&place, &theirs, &ours, found),
                    (theirs, _) => {
                        let who = if theirs.is_some() { "theirs" } else { "ours" };
                        found.insert(format!("{place}: only {who}"));
                    }
                }
            }
        }
        (Value::Array(theirs), Value::Array(ours)) => {
            if theirs.len() != ours.len() {
                found.insert(format!("{place}: {} and {} items", theirs.len(), ours.len()));
            }
            for (theirs, ours) in theirs.iter().zip(ours) {
                differ(&format!("{place}[]"), theirs, ours, found);
            }
        }
        _ if TIMES.iter().any(|name| place.ends_with(name)) => {
            let is_time = |value: &Value| value.as_str().is_some_and(|t| time::parse(t).is_ok());
            if !is_time(theirs) || !is_time(ours) {
                found.insert(format!("{place}: {theirs} and {ours}"));
            }
        }
        _ if place.ends_with(SECONDS) && theirs.is_number() && ours.is_number() => {}
        _ if theirs == ours => {}
        // 2 and 2.0 are one number in JSON.
        _ if theirs.is_number() && theirs.as_f64() == ours.as_f64() => {}
        _ => drop(found.insert(format!("{place}: {theirs} and {ours}"))),
    }
}

/// Whether each group has run often enough for every alert to be in its state.
fn is_settled(rules: &Value) -> bool {
    let groups = rules["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    let mut states = rules.clone().filter_map(|rule| rule["state"].as_str());
    let has_run = rules.clone().all(|rule| rule["health"] != "unknown");
    has_run && states.any(|state| state == "firing") && states.any(|state| state == "pending")
}

#[test]
fn the_api_says_of_rules_what_prometheus_says_but_for_a_list() {
    let Some(prometheus) = peer("prometheus") else { return skip("prometheus is not installed") };
    let mut pair = Pair::new("beside-prometheus", "", "");
    let rules = pair.folder.write("rules.yml", RULES);
    let rules = rules.display();
    pair.write_collector(&format!("rules: {{interval: 1s, files: ['{rules}']}}\n"));
    pair.start_collector();
    let address = format!("127.0.0.1:{}", free_port());
    let theirs = format!("global: {{evaluation_interval: 1s}}\nrule_files: ['{rules}']\n");
    let theirs = pair.folder.write("prometheus.yml", &theirs);
    let _prometheus = Process::start(
        "prometheus",
        Command::new(prometheus)
            .arg(format!("--config.file={}", theirs.display()))
            .arg(format!("--storage.tsdb.path={}", pair.folder.join("tsdb").display()))
            .arg(format!("--web.listen-address={address}")),
    );
    let their = |target: &str| {
        let answer = get(&address, target).ok().filter(|answer| answer.status == 200)?;
        let mut document: Value = serde_json::from_str(&answer.body).unwrap();
        Some(document["data"].take())
    };
    let settled =
        |ask: &dyn Fn() -> Option<Value>| until("all states", LATER, || ask().filter(is_settled));
    let mut found = BTreeSet::new();
    let (mut their_rules, mut our_rules) =
        (settled(&|| their("/api/v1/rules")), settled(&|| data(&pair, "/api/v1/rules")));
    differ("/api/v1/rules", &their_rules, &our_rules, &mut found);
    let (their_alerts, our_alerts) =
        (their("/api/v1/alerts").unwrap(), data(&pair, "/api/v1/alerts").unwrap());
    differ("/api/v1/alerts", &their_alerts, &our_alerts, &mut found);
    for kind in ["alert", "record"] {
        let target = format!("/api/v1/rules?type={kind}");
        (their_rules, our_rules) = (their(&target).unwrap(), data(&pair, &target).unwrap());
        differ(&target, &their_rules, &our_rules, &mut found);
    }
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(found, DIFFERENCES, "{found:#?}");
}
