//! Ten thousand rules, as Prometheus has them for a benchmark of its own.

use std::fs;

use bellwether_tests::harness::until;

use super::super::pair::{COLLECTOR, Pair};
use super::{LATER, data, figure};
use crate::conformance;

const RULES: &str = "rules/promtool-rules_large.yml";
const COUNT: usize = 10_000;
/// Slots of the one group.
const SLOTS: u64 = 3;

#[test]
fn ten_thousand_rules_are_loaded_and_run() {
    let Some(rules) = conformance(RULES) else { return };
    let mut pair = Pair::new("large", "", "");
    pair.write_collector(&format!("rules: {{interval: 5s, files: ['{}']}}\n", rules.display()));
    pair.start_collector();
    until("evaluations", LATER * 2, || {
        (figure(&pair, "bellwether_rule_group_iterations_total") >= SLOTS).then_some(())
    });
    let groups = data(&pair, "/api/v1/rules").unwrap()["groups"].take();
    let groups = groups.as_array().unwrap();
    let rules: Vec<_> = groups.iter().flat_map(|g| g["rules"].as_array().unwrap()).collect();
    assert!(rules.len() >= COUNT, "{} rules", rules.len());
    assert!(rules.iter().all(|rule| rule["health"] == "ok"));
    assert_eq!(figure(&pair, "bellwether_rule_evaluation_failures_total"), 0);
    assert_eq!(figure(&pair, "bellwether_rule_evaluations_unrecorded_total"), 0);
    assert_eq!(figure(&pair, "bellwether_rule_series_refused_total"), 0);
    // The file has one rule twice; its series is written once.
    let series = pair.query("count({__name__=~'job:http_inprogress_requests:sum:.*'})").unwrap();
    let (_, found) = series[0].samples[0];
    assert!((found - COUNT as f64).abs() < f64::EPSILON, "{found} series");
    let ends = pair.query("job:http_inprogress_requests:sum:10000{job='job10000'}").unwrap();
    assert!((ends[0].samples[0].1 - 1.0).abs() < f64::EPSILON);

    let status = format!("/proc/{}/status", pair.process(COLLECTOR).id());
    let status = fs::read_to_string(status).unwrap();
    let memory = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    let missed = figure(&pair, "bellwether_rule_group_iterations_missed_total");
    let took = &groups[0]["evaluationTime"];
    eprintln!("{} rules: {took} s, {missed} slots missed, {memory}", rules.len());
}
