//! Rules, alerts and who is told of them, in a collector that runs: over kills in every state, to
//! receivers that misbehave, over reloads, many at once, and beside Prometheus.

mod beside_prometheus;
pub(super) mod host;
mod kills;
mod large;
pub(super) mod receiver;
mod receivers;
mod reloads;

use std::time::Duration;

use bellwether_tests::harness::{get_as, until};
use serde_json::Value;

use self::receiver::Receiver;
use super::pair::{ADMIN, Pair};

/// For what takes some attempts or a host that comes back.
const LATER: Duration = Duration::from_secs(60);

/// What the API of Prometheus answers with; `None` while the collector cannot.
pub(super) fn data(pair: &Pair, target: &str) -> Option<Value> {
    let answer = get_as(&pair.collector, target, ADMIN).ok()?;
    let mut document = super::json(&answer)?;
    assert_eq!(document["status"], "success", "{target}");
    Some(document["data"].take())
}

/// A collector that runs these rules and tells one receiver of their alerts.
fn telling(name: &str, rules: &str, receiver: &Receiver) -> Pair {
    let mut pair = Pair::new(name, "", "");
    let rules = pair.folder.write("rules.yml", rules);
    pair.write_collector(&format!(
        "notify: {{receivers: {{ops: {{webhook: {{url: '{}', group_interval: 1s}}}}}}}}\n\
         rules: {{files: [{}]}}\n",
        receiver.url,
        rules.display()
    ));
    pair.start_collector();
    pair
}

/// What `bellwether WORDS -o json` prints.
pub(super) fn said(pair: &Pair, words: &[&str]) -> Value {
    let (well, text) = pair.bellwether(&[words, &["-o", "json"]].concat());
    assert!(well, "{words:?}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// The only alert of `/api/v1/alerts`, once it is in one of these states.
fn active(pair: &Pair, states: &[&str]) -> Value {
    until(&format!("an alert that is {states:?}"), LATER, || {
        let alerts = data(pair, "/api/v1/alerts")?["alerts"].take();
        let alerts = alerts.as_array().unwrap();
        assert!(alerts.len() < 2, "{alerts:?}");
        let alert = alerts.first().cloned()?;
        states.iter().any(|state| alert["state"] == *state).then_some(alert)
    })
}

/// The only alert of `alert list`, once it meets a condition.
pub(super) fn listed(pair: &Pair, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    until(what, LATER, || {
        let alert = said(pair, &["alert", "list"])["alerts"][0].take();
        is_it(&alert).then_some(alert)
    })
}

/// Waits until the only group has been evaluated some more times.
fn evaluated(pair: &Pair, times: u32) {
    let last = || Some(data(pair, "/api/v1/rules")?["groups"][0]["lastEvaluation"].take());
    for _ in 0..times {
        let before = until("rules", LATER, last);
        until("an evaluation", LATER, || last().filter(|last| *last != before));
    }
}

/// The value of a series of the collector's page; 0 where it is not.
fn figure(pair: &Pair, series: &str) -> u64 {
    let value = Pair::metric(&pair.collector, series).unwrap_or(0.0);
    format!("{value:.0}").parse().unwrap()
}

/// The same of one receiver's notifications.
fn told_figure(pair: &Pair, name: &str, labels: &str) -> u64 {
    figure(pair, &format!("bellwether_notifications_{name}_total{{{labels}}}"))
}
