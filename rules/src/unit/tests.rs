use std::path::PathBuf;

use super::*;
use crate::file;

fn conformance(name: &str) -> Option<String> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/conformance");
    let root = std::env::var_os("BELLWETHER_CONFORMANCE").map_or(beside.into(), PathBuf::from);
    std::fs::read_to_string(root.join("rules").join(name)).ok()
}

fn report(test: &str, rules: &str) -> Report {
    let (rules, _) = file::read("rules.yml", rules).unwrap();
    run(&read("test.yml", test).unwrap(), &[rules])
}

fn shown(report: &Report) -> String {
    let failures = report.failures.iter();
    failures.map(|(test, failure)| format!("{test}: {failure}\n")).collect()
}

#[test]
fn the_tests_of_promtool_pass() {
    for (test, rules, passed, skipped) in [
        ("promtool-unittest.yml", "promtool-rules.yml", 23, 3),
        ("promtool-long-period.yml", "promtool-rules.yml", 4, 0),
    ] {
        let (Some(test), Some(rules)) = (conformance(test), conformance(rules)) else {
            println!("skipped: {test} is not beside the checkout");
            return;
        };
        let report = report(&test, &rules);
        assert_eq!(shown(&report), "", "{test:.60}");
        assert_eq!((report.passed, report.skipped), (passed, skipped));
    }
}

const RULES: &str = r#"
groups:
- name: late
  rules:
  - record: twice
    expr: 2 * first
- name: early
  rules:
  - record: first
    expr: sum(x)
  - alert: High
    expr: first > 5
    for: 1m
    labels: {severity: page, cluster: '{{ $externalLabels.cluster }}'}
    annotations: {summary: '{{ $value }} {{ query "first" | first | value }}'}
"#;

#[test]
fn groups_are_evaluated_in_the_order_asked_for() {
    let test = r#"
rule_files: [rules.yml]
group_eval_order: [early, late]
tests:
- name: t
  interval: 1m
  start_timestamp: 2026-01-01T00:00:00Z
  external_labels: {cluster: c1}
  input_series: [{series: 'x{a="b"}', values: '1+3x10'}]
  promql_expr_test:
  - {expr: twice, eval_time: 2m, exp_samples: [{labels: twice, value: 14}]}
  - {expr: absent(nothing), eval_time: 2m, exp_samples: [{value: 1}]}
  - {expr: 'time()', eval_time: 0, exp_samples: [{value: 1767225600}]}
  alert_rule_test:
  - {alertname: High, eval_time: 2m}
  - alertname: High
    eval_time: 3m30s
    exp_alerts:
    - exp_labels: {severity: page, cluster: c1}
      exp_annotations: {summary: '10 10'}
"#;
    let report = report(test, RULES);
    assert_eq!(shown(&report), "");
    assert_eq!(report.passed, 5);
}

#[test]
fn what_differs_is_shown_with_its_place() {
    let test = r#"
rule_files: [rules.yml]
tests:
- input_series: [{series: x, values: '9x10'}]
  promql_expr_test:
  - {expr: twice, eval_time: 1m, exp_samples: [{labels: twice, value: 1}]}
  - {expr: 'x[5m]', eval_time: 1m}
  alert_rule_test:
  - {alertname: High, eval_time: 5m}
"#;
    insta::assert_snapshot!(shown(&report(test, RULES)));
}

#[test]
fn every_problem_of_a_test_file_is_named() {
    let test = r#"
rule_file: [rules.yml]
group_eval_order: [a, a]
tests:
- interval: soon
  start_timestamp: yesterday
  input_series: [{series: 'x{', values: '1'}, {series: x, values: '1 z'}, {series: x}]
  promql_expr_test:
  - {expr: 'sum(', eval_time: 1m}
  - {expr: x, exp_samples: [{labels: '{', value: many}]}
  alert_rule_test:
  - {eval_time: 5m}
  - {alertname: A, eval_time: 99999999d}
"#;
    insta::assert_snapshot!(read("test.yml", test).unwrap_err().to_string());
}
