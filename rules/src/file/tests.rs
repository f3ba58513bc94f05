use std::path::PathBuf;

use super::*;

fn conformance(name: &str) -> Option<String> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/conformance");
    let root = std::env::var_os("BELLWETHER_CONFORMANCE").map_or(beside.into(), PathBuf::from);
    let text = std::fs::read_to_string(root.join("rules").join(name)).ok();
    if text.is_none() {
        println!("skipped: {name} is not beside the checkout");
    }
    text
}

#[test]
fn files_of_others_are_read_whole() {
    for (name, groups, rules) in [
        ("node-exporter.rules.yml", 2, 41),
        ("promtool-rules.yml", 2, 5),
        ("promtool-rules_large.yml", 1, 10_002),
        ("promtool-at-modifier.yml", 1, 1),
    ] {
        let Some(text) = conformance(name) else { return };
        let (file, _) = read(name, &text).unwrap();
        assert_eq!(file.groups.len(), groups, "{name}");
        let counted: usize = file.groups.iter().map(|group| group.rules.len()).sum();
        assert_eq!(counted, rules, "{name}");
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let text = "groups:\n- name: g\n  limit: 3\n  interval: 0s\n  labels: {team: a, site: b}\n  \
                rules:\n  - alert: A\n    expr: up == 0\n    for: 5m\n    labels: {team: c}\n  \
                - record: job:up:sum\n    expr: sum by (job) (up)\n    labels:\n    \
                annotations: {}\n    for: 0s\n    keep_firing_for: 0s\n";
    let (file, warnings) = read("f.yml", text).unwrap();
    assert!(warnings.is_empty(), "{warnings}");
    let group = &file.groups[0];
    assert_eq!((group.interval, group.limit), (None, 3));
    let alert = &group.rules[0];
    assert_eq!(alert.alert().unwrap().hold, Duration::from_secs(300));
    assert_eq!(alert.labels["team"].as_str(), "c");
    assert_eq!(alert.labels["site"].as_str(), "b");
    assert_eq!(group.rules[1].query, "sum by (job) (up)");
    assert!(read("f.yml", "").unwrap().0.groups.is_empty());
}

#[test]
fn a_limit_is_read_as_prometheus_reads_it() {
    for (written, limit) in [("3", 3), ("-1", 0), ("5.0", 5), ("5.9", 5), ("1e3", 1000)] {
        let text = format!("groups:\n- {{name: g, limit: {written}, rules: []}}\n");
        assert_eq!(read("f.yml", &text).unwrap().0.groups[0].limit, limit, "{written}");
    }
    for written in ["many", ".nan", "[1]", "99999999999999999999"] {
        let text = format!("groups:\n- {{name: g, limit: {written}, rules: []}}\n");
        assert!(read("f.yml", &text).is_err(), "{written}");
    }
}

#[test]
fn every_problem_is_named_with_its_place() {
    let text = r#"groups:
- name: one
  intervall: 1m
  rules:
  - alert: A
    record: b
    expr: up
  - expr: up
  - alert: NoExpression
  - alert: BadExpression
    expr: |
      sum(up) +
      rate(up)
  - alert: BadOneLine
    expr: up ==
  - record: with{braces}
    expr: up
    for: 5m
    keep_firing_for: 1m
    annotations: {summary: x}
  - alert: BadTexts
    expr: up
    for: 5 minutes
    labels: {__name__: x, ok: '{{ $labels.a '}
    annotations: {summary: '{{ nothing 1 }}'}
  - record: a_range
    expr: up[5m]
- name: one
  rules: x
- rules: []
  limit: many
group: []
"#;
    insta::assert_snapshot!(read("rules.yml", text).unwrap_err().to_string());
}

#[test]
fn rules_that_write_the_same_are_said() {
    let text =
        "groups:\n- name: g\n  rules:\n  - {record: a, expr: up}\n  - {record: a, expr: down}\n";
    let (file, warnings) = read("f.yml", text).unwrap();
    assert_eq!((file.groups[0].rules.len(), warnings.len()), (2, 1));
}
