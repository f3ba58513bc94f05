//! Other rules while the collector runs.

use bellwether_tests::harness::{Response, post, until};
use serde_json::Value;

use super::super::pair::{ADMIN, Pair};
use super::receiver::{Receiver, Request};
use super::{LATER, active, data, evaluated, figure, listed, telling};

const FIRST: &str = "groups:
  - name: moves
    interval: 200ms
    rules:
      - {alert: Moves, expr: vector(1), for: 1s}
      - {record: 'told:one', expr: vector(1)}
";
/// `expr` is where YAML has it, and wrong.
const BROKEN: &str = "groups:
  - name: moves
    interval: 200ms
    rules:
      - {record: 'told:two', expr: vector(2)}
      - {alert: Moves, expr: sum(, for: 1s}
";
/// The alert has another place, expression and duration, the recording rule is gone.
const MOVED: &str = "groups:
  - name: moves
    interval: 200ms
    rules:
      - {record: 'told:two', expr: vector(2)}
      - {alert: Moves, expr: vector(3), for: 500ms}
";
const OTHER: &str = "groups:
  - {name: other, interval: 200ms, rules: [{record: 'told:three', expr: vector(3)}]}
";
const RELOADED: &str = "bellwether_collector_config_last_reload_successful";

fn reload(pair: &Pair, rules: &str) -> Response {
    pair.folder.write("rules.yml", rules);
    post(&pair.collector, "/-/reload", Some(ADMIN)).unwrap()
}

/// The name of each group with those of its rules.
fn names(pair: &Pair) -> Vec<String> {
    let groups = data(pair, "/api/v1/rules").unwrap()["groups"].take();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |group: &Value| {
        let rules: Vec<String> =
            group["rules"].as_array().unwrap().iter().map(|rule| text(&rule["name"])).collect();
        format!("{}: {}", text(&group["name"]), rules.join(", "))
    };
    groups.as_array().unwrap().iter().map(of).collect()
}

/// Waits until a series has a value.
fn has(pair: &Pair, expression: &str, value: f64) {
    until(&format!("{expression} is {value}"), LATER, || {
        let series = pair.query(expression)?;
        let (_, found) = series.first()?.samples.first()?;
        ((found - value).abs() < f64::EPSILON).then_some(())
    });
}

/// Waits until a series has ended; without a stale marker that takes five minutes.
fn ends(pair: &Pair, expression: &str) {
    until(&format!("the end of {expression}"), LATER, || {
        pair.query(expression).is_none().then_some(())
    });
}

#[test]
fn a_broken_rule_file_changes_nothing_and_a_good_one_is_taken_up_with_its_state() {
    let receiver = Receiver::start(&[]);
    let pair = telling("rules-reload", FIRST, &receiver);
    let firing = active(&pair, &["firing"]);
    let page = until("the page", LATER, || receiver.requests().first().cloned());
    has(&pair, "told:one", 1.0);
    has(&pair, "ALERTS{alertname='Moves',alertstate='firing'}", 1.0);

    // A file that is wrong.
    let refused = reload(&pair, BROKEN);
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("rules.yml:6:34"), "{}", refused.body);
    assert_eq!(figure(&pair, RELOADED), 0);
    assert_eq!(names(&pair), ["moves: Moves, told:one"]);
    evaluated(&pair, 3);
    assert_eq!(pair.query("told:two").map(|series| series.len()), None);
    assert_eq!(active(&pair, &["firing"])["activeAt"], firing["activeAt"]);

    // Moved within its group.
    let taken = reload(&pair, MOVED);
    assert_eq!((taken.status, taken.body.as_str()), (200, "reloaded\n"));
    assert_eq!(figure(&pair, RELOADED), 1);
    has(&pair, "told:two", 2.0);
    ends(&pair, "told:one");
    has(&pair, "ALERTS{alertname='Moves',alertstate='firing'}", 1.0);
    let moved = until("the other value", LATER, || {
        let alert = active(&pair, &["firing"]);
        (alert["value"] == "3e+00").then_some(alert)
    });
    assert_eq!(moved["activeAt"], firing["activeAt"]);
    assert_eq!(names(&pair), ["moves: told:two, Moves"]);
    let known = listed(&pair, "the alert", |alert| alert["told"][0]["knows"] == true);
    assert_eq!(known["firing_since"], page.starts_at());
    let rule = &known["rule"];
    assert_eq!((&rule["line"], &rule["expr"]), (&6.into(), &"vector(3)".into()));
    assert_eq!(receiver.requests().len(), 1, "nobody is told of a place in a file");

    removed(&pair, &receiver, &page);
}

/// A group that is gone: its series end, whoever knew of its alert is told.
fn removed(pair: &Pair, receiver: &Receiver, page: &Request) {
    assert_eq!(reload(pair, OTHER).status, 200);
    let end = until("the end", LATER, || receiver.requests().get(1).cloned()).body();
    assert_eq!(end["status"], "resolved");
    assert_eq!(end["alerts"][0]["startsAt"], page.starts_at());
    assert_eq!(end["alerts"][0]["labels"]["alertname"], "Moves");
    has(pair, "told:three", 3.0);
    for series in ["told:two", "ALERTS", "ALERTS_FOR_STATE"] {
        ends(pair, series);
    }
    assert_eq!(names(pair), ["other: told:three"]);
    assert_eq!(data(pair, "/api/v1/alerts").unwrap()["alerts"], Value::Array(Vec::new()));
    // What was told of it is still explained.
    let (well, text) = pair.bellwether(&["why", "Moves"]);
    assert!(well && text.contains("over, and forgotten by its rule"), "{text}");
    assert!(text.contains("resolved, tells resolved") && text.contains("answered 200"), "{text}");
}
