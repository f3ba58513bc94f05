use std::collections::BTreeMap;

use super::*;
use crate::pure::notify::view::{NextView, ReceiverView};

fn text(text: &str) -> String {
    text.to_owned()
}

fn map(name: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(text(name), text(value))])
}

fn notification() -> NotificationView {
    let attempt = |number, outcome: &str, again: Option<&str>| AttemptView {
        number,
        at: format!("2026-11-25T22:0{number}:00Z"),
        seconds: Some(0.25),
        outcome: text(outcome),
        again_at: again.map(text),
    };
    NotificationView {
        number: 7,
        id: text("msg_ab_7_1"),
        made_at: text("2026-11-25T22:00:00Z"),
        reason: text("firing"),
        state: text("delivered"),
        because: None,
        ended_at: Some(text("2026-11-25T22:09:00Z")),
        tells: Some(text("firing")),
        tries: 9,
        attempts: vec![
            attempt(8, "no answer within 10 s", Some("2026-11-25T22:09:00Z")),
            attempt(9, "answered 200", None),
        ],
    }
}

fn next() -> Option<NextView> {
    Some(NextView { at: text("2026-11-26T02:09:00Z"), what: text("repeat") })
}

fn alert() -> AlertView {
    AlertView {
        alert: text("Down"),
        state: text("firing"),
        labels: map("instance", "a\u{1b}[2Jb"),
        annotations: map("summary", "it is down"),
        value: text("0"),
        active_at: text("2026-11-25T21:59:00Z"),
        firing_since: Some(text("2026-11-25T22:00:00Z")),
        resolved_at: None,
        fingerprint: text("00ff"),
        rule: RuleView {
            file: text("rules.yml"),
            line: 12,
            group: text("hosts"),
            expr: text("up == 0"),
            interval: 1.0,
            hold: 60.0,
            keep_firing_for: 30.0,
            evaluated_at: Some(text("2026-11-25T22:10:00Z")),
            error: Some(text("too many samples")),
        },
        told: vec![
            ToldView {
                receiver: text("ops"),
                knows: true,
                last: Some(notification()),
                next: next(),
            },
            ToldView { receiver: text("chat"), knows: false, last: None, next: None },
        ],
    }
}

#[test]
fn alerts_stand_in_columns() {
    let pending =
        AlertView { state: text("pending"), firing_since: None, told: Vec::new(), ..alert() };
    let gone = ReceiverView {
        name: text("chat"),
        open: 0,
        not_before: None,
        gone_until: Some(text("2026-11-26T02:00:00Z")),
    };
    let view = ListView {
        at: text(""),
        alerts: vec![alert(), pending],
        receivers: vec![gone],
        alertmanagers: Vec::new(),
        heartbeat: None,
    };
    insta::assert_snapshot!(table(&view));
}

#[test]
fn an_explanation_goes_from_the_rule_to_every_attempt() {
    let recipient = RecipientWhy {
        receiver: text("ops"),
        group: map("alertname", "Down"),
        firing: 3,
        knows: true,
        next: next(),
        notifications: vec![notification()],
    };
    let over = AlertWhy { alert: None, labels: map("alertname", "Old"), receivers: Vec::new() };
    let down = AlertWhy {
        alert: Some(alert()),
        labels: map("alertname", "Down"),
        receivers: vec![recipient],
    };
    let view = WhyView { at: text(""), rules: Vec::new(), alerts: vec![down, over], more: 2 };
    insta::assert_snapshot!(explained(&view));
    let nothing = WhyView { alerts: Vec::new(), more: 0, ..view.clone() };
    assert_eq!(explained(&nothing), "no rule and no notification of such an alert is known\n");
    let quiet = WhyView { rules: vec![alert().rule], ..nothing };
    assert!(explained(&quiet).starts_with("no such alert is active"), "{}", explained(&quiet));
}
