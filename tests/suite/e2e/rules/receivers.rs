//! Receivers that hang, refuse, limit, answer late, redirect: the page comes at last, and `why`
//! says what it went through.

use std::collections::BTreeMap;

use bellwether_model::time::{self, Timestamp};
use bellwether_tests::harness::{free_port, until};
use serde_json::Value;

use super::super::pair::{COLLECTOR, Pair, SOON};
use super::receiver::{Manner, Receiver};
use super::{LATER, evaluated, listed, said, told_figure};

const RULES: &str = "
groups:
  - {name: held, interval: 200ms, rules: [{alert: Held, expr: vector(1)}]}
";
const TAKEN: &str = "answered 200";
const LATE: &str = "no answer within 0.3 s";
/// How long the receiver that limits asks to wait, in ms.
const WAIT: i64 = 2000;
const LIMIT: Manner = Manner::Say(429, "retry-after: 2\r\n", "slow down");
const AWAY: Manner = Manner::Say(307, "location: http://127.0.0.1:1/token-in-a-path\r\n", "");

/// A receiver, how it meets its first requests, what `why` says of each, how the metrics call it.
type Case = (&'static str, &'static [Manner], &'static [&'static str], &'static str);

const CASES: [Case; 7] = [
    ("hangs", &[Manner::Hang, Manner::Hang], &[LATE, LATE], "timeout"),
    ("late", &[Manner::Late, Manner::Late], &[LATE, LATE], "timeout"),
    ("limits", &[LIMIT], &["answered 429: slow down"], "rate_limited"),
    ("redirects", &[AWAY], &["answered 307: redirects to http://127.0.0.1:1"], "redirect"),
    (
        "fails",
        &[Manner::Say(503, "", "busy"), Manner::Say(502, "", "")],
        &["answered 503: busy", "answered 502"],
        "server_error",
    ),
    ("closes", &[Manner::Close], &[""], "broken"),
    (
        "rejects",
        &[Manner::Say(400, "", "no such key")],
        &["answered 400: no such key"],
        "client_error",
    ),
];
const REFUSES: &str = "refuses";

/// The outcomes of the attempts of a notification.
fn outcomes(notification: &Value) -> Vec<&str> {
    let attempts = notification["attempts"].as_array().unwrap();
    attempts.iter().map(|attempt| attempt["outcome"].as_str().unwrap()).collect()
}

/// What `why` says, by receiver.
fn why(pair: &Pair) -> BTreeMap<String, Value> {
    let all = said(pair, &["why", "Held"])["alerts"][0]["receivers"].take();
    let named = |one: &Value| (one["receiver"].as_str().unwrap().to_owned(), one.clone());
    all.as_array().into_iter().flatten().map(named).collect()
}

fn configured(pair: &Pair, receivers: &[(&str, String)]) {
    let rules = pair.folder.write("rules.yml", RULES);
    let mut text = format!("rules: {{files: [{}]}}\nnotify:\n  receivers:\n", rules.display());
    for (name, url) in receivers {
        text += &format!(
            "    {name}: {{webhook: {{url: '{url}', timeout: 300ms, group_interval: 1s}}}}\n"
        );
    }
    pair.write_collector(&text);
}

fn at(text: &Value) -> Timestamp {
    time::parse(text.as_str().unwrap()).unwrap()
}

#[test]
fn a_page_comes_through_receivers_that_misbehave_and_why_shows_each_attempt() {
    let receivers = CASES.map(|(name, first, ..)| (name, Receiver::start(first)));
    let port = free_port();
    let mut urls: Vec<_> = receivers.iter().map(|(name, r)| (*name, r.url.clone())).collect();
    urls.push((REFUSES, format!("http://127.0.0.1:{port}/hook")));
    let mut pair = Pair::new("receivers", "", "");
    configured(&pair, &urls);
    pair.start_collector();
    // Nobody listens until two attempts have failed.
    until("refused connections", LATER, || {
        let failed = "reason=\"unreachable\",receiver=\"refuses\"";
        (told_figure(&pair, "failed", failed) >= 2).then_some(())
    });
    let refusing = Receiver::start_at(port);
    let explained = until("all to know", LATER, || {
        let all = why(&pair);
        all.values().all(|one| one["knows"] == true).then_some(all)
    });
    assert_eq!(explained.len(), CASES.len() + 1);

    for ((name, _, failures, reason), (_, receiver)) in CASES.iter().zip(&receivers) {
        shows(name, failures, &explained[*name], receiver);
        counts(&pair, name, failures.len() as u64, reason);
    }
    let [limited] = explained["limits"]["notifications"].as_array().unwrap().as_slice() else {
        panic!("one notification: {:?}", explained["limits"]);
    };
    let waited = at(&limited["attempts"][1]["at"]).millis_since(at(&limited["attempts"][0]["at"]));
    assert!(waited >= WAIT, "{waited} ms");
    let refused = explained[REFUSES]["notifications"][0].clone();
    let said = outcomes(&refused);
    let (last, failed) = said.split_last().unwrap();
    assert!(failed.len() >= 2 && *last == TAKEN, "{said:?}");
    assert!(failed.iter().all(|one| one.contains("Connection refused")), "{said:?}");
    assert_eq!(refusing.requests().len(), 1);

    // As people read it.
    let (well, text) = pair.bellwether(&["why", "Held"]);
    assert!(well && !text.contains("token-in-a-path"), "{text}");
    for outcome in CASES.iter().flat_map(|(_, _, failures, _)| *failures).chain(&said) {
        assert!(text.contains(outcome), "{outcome} is not in\n{text}");
    }
    is_stable(&mut pair);
}

/// The attempts of a receiver, as `why` has them and as they came.
fn shows(name: &str, failures: &[&str], explained: &Value, receiver: &Receiver) {
    let notifications = explained["notifications"].as_array().unwrap();
    let all: Vec<&str> = notifications.iter().flat_map(outcomes).collect();
    let (last, failed) = all.split_last().unwrap();
    assert_eq!((*last, failed.len()), (TAKEN, failures.len()), "{name}: {all:?}");
    let alike = failed.iter().zip(failures).all(|(said, wanted)| said.starts_with(wanted));
    assert!(alike, "{name}: {failed:?}");
    let states: Vec<&str> = notifications.iter().map(|n| n["state"].as_str().unwrap()).collect();
    if name == "rejects" {
        assert_eq!(states, ["gave_up", "delivered"], "what is refused is not tried again");
        assert_eq!(notifications[0]["because"], "the receiver refuses it");
    } else {
        assert_eq!(states, ["delivered"], "{name}");
        let requests = receiver.requests();
        let first = requests.first().unwrap();
        assert_eq!(Value::from(first.id.as_str()), notifications[0]["id"]);
        let same = requests.iter().all(|r| r.id == first.id && r.text == first.text);
        assert!(same, "{name}: {requests:?}");
    }
    let doubles = receiver.taken().len() - 1;
    assert_eq!(doubles, if name == "late" { failures.len() } else { 0 }, "{name}");
}

fn counts(pair: &Pair, name: &str, failures: u64, reason: &str) {
    let ops = format!("receiver=\"{name}\"");
    let failed = format!("reason=\"{reason}\",{ops}");
    // Only what may have arrived can be doubled.
    let is_unsure = matches!(name, "hangs" | "late" | "fails" | "closes");
    let wanted = [failures + 1, failures, 1, if is_unsure { failures } else { 0 }];
    until(&format!("the counts of {name}"), SOON, || {
        let counted = [
            told_figure(pair, "attempts", &ops),
            told_figure(pair, "failed", &failed),
            told_figure(pair, "delivered", &ops),
            told_figure(pair, "repeated", &ops),
        ];
        (counted == wanted).then_some(())
    });
}

/// The list says the same while nothing changes, and after an end and a start.
fn is_stable(pair: &mut Pair) {
    let list = |pair: &Pair| {
        let mut list = said(pair, &["alert", "list"]);
        list["at"].take();
        list["alerts"][0]["rule"]["evaluated_at"].take();
        list
    };
    let before = list(pair);
    evaluated(pair, 3);
    assert_eq!(list(pair), before);
    pair.process(COLLECTOR).terminate();
    assert!(pair.process(COLLECTOR).end(SOON).success());
    pair.start_collector();
    evaluated(pair, 3);
    listed(pair, "the alert", |alert| alert["state"] == "firing");
    assert_eq!(list(pair), before);
}
