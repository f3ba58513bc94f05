//! Grouping and deduplication, as Alertmanager means them.

use super::*;
use crate::pure::notify::record::Why;

fn down(instance: &str, since: i64) -> AlertNow {
    firing(&format!("alertname=Down,instance={instance}"), since)
}

fn up(instance: &str, since: i64, ended: i64) -> AlertNow {
    resolved(&format!("alertname=Down,instance={instance}"), since, ended)
}

#[test]
fn an_alert_is_told_at_once_then_only_what_is_new_then_again_when_it_is_time() {
    let mut rig = Rig::new(plan([receiver("a")]));
    rig.feed(0, vec![down("x", 0)]);
    let sent = rig.only();
    assert_eq!(sent.told(), "x firing");
    assert_eq!(sent.id, format!("msg_{STORE}_1_{BEGIN:x}"));
    rig.answer(&sent, status(204));
    // Another value, other words: nothing new.
    for n in 1..100 {
        rig.after(seconds(1));
        let alert = AlertNow { value: f64::from(n), ..down("x", 0) };
        rig.feed(0, vec![alert]);
    }
    rig.feed(0, vec![down("x", 0), down("y", 100)]);
    assert!(rig.is_quiet());
    assert_eq!(rig.next(), seconds(201));
    assert_eq!(rig.told(), "x firing; y firing");
    rig.feed(0, vec![up("x", 0, 310), down("y", 100)]);
    assert_eq!(rig.next(), seconds(300));
    assert_eq!(rig.told(), "y firing; x resolved");
    rig.feed(0, vec![up("x", 0, 310), down("y", 100)]);
    assert_eq!(rig.next(), seconds(4 * 3600));
    assert_eq!(rig.told(), "y firing");
    rig.feed(0, vec![up("y", 100, 15_000)]);
    assert_eq!(rig.next(), seconds(300));
    assert_eq!(rig.told(), "y resolved");
    assert_eq!(rig.notifier.next_wakeup(), None);
    assert!(rig.notifier.state().receivers["a"].groups.is_empty());
    // Nothing of it is left to wait for.
    rig.after(seconds(1));
    rig.feed(0, vec![down("y", 15_301)]);
    assert_eq!(rig.told(), "y firing");
    let reasons: Vec<Why> = rig
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Intent(intent) => Some(intent.reason),
            _ => None,
        })
        .collect();
    use Why::{Firing, Repeat, Resolved};
    assert_eq!(reasons, [Firing, Firing, Resolved, Repeat, Resolved, Firing]);
}

#[test]
fn a_group_waits_for_others_and_an_alert_that_ends_meanwhile_is_not_told() {
    let waits = ReceiverPlan { group_wait: seconds(30), ..receiver("a") };
    let mut rig = Rig::new(plan([waits]));
    rig.feed(0, vec![down("x", 0)]);
    rig.after(seconds(10));
    rig.feed(0, vec![down("x", 0), down("y", 10)]);
    assert!(rig.is_quiet());
    assert_eq!(rig.next(), seconds(20));
    assert_eq!(rig.told(), "x firing; y firing");
    let mut rig = Rig::new(rig.plan);
    rig.feed(0, vec![down("x", 0)]);
    rig.after(seconds(10));
    rig.feed(0, vec![up("x", 0, 10)]);
    assert_eq!(rig.notifier.next_wakeup(), None);
    // One that has waited long enough before a restart does not wait again.
    rig.feed(0, vec![down("y", -60)]);
    assert_eq!(rig.told(), "y firing");
}

#[test]
fn labels_make_groups_and_matchers_choose() {
    let site = ReceiverPlan {
        group_by: GroupBy::Labels(vec!["job".to_owned(), "site".to_owned()]),
        ..receiver("a-site")
    };
    let each = ReceiverPlan { group_by: GroupBy::All, ..receiver("b-each") };
    let pages = ReceiverPlan {
        matchers: vec![matcher("severity", "page")],
        group_by: GroupBy::Labels(Vec::new()),
        ..receiver("c-pages")
    };
    let external_labels = labels("site=north,job=outside");
    let mut rig = Rig::new(NotifyPlan { external_labels, ..plan([site, each, pages]) });
    let alerts = vec![firing("alertname=A,severity=page", 0), firing("alertname=B,job=db", 0)];
    rig.feed(0, alerts);
    let mut keys = Vec::new();
    while let Some(sent) = rig.sent.pop() {
        keys.push(sent.json()["groupKey"].as_str().unwrap().to_owned());
        assert_eq!(sent.json()["commonLabels"]["site"], "north");
        rig.answer(&sent, status(200));
    }
    keys.sort();
    assert_eq!(
        keys,
        [
            r#"{}/{severity="page"}:{}"#,
            r#"{}:{alertname="A", job="outside", severity="page", site="north"}"#,
            r#"{}:{alertname="B", job="db", site="north"}"#,
            r#"{}:{job="db", site="north"}"#,
            r#"{}:{job="outside", site="north"}"#,
        ]
    );
}

#[test]
fn ends_are_told_only_to_whoever_wants_them() {
    let quiet = ReceiverPlan { send_resolved: false, ..receiver("a") };
    let mut rig = Rig::new(plan([quiet]));
    rig.feed(0, vec![down("x", 0), down("y", 0)]);
    assert_eq!(rig.told(), "x firing; y firing");
    rig.after(seconds(10));
    rig.feed(0, vec![up("x", 0, 10), down("y", 0)]);
    assert_eq!(rig.next(), seconds(4 * 3600 - 10), "nothing before the repeat");
    assert_eq!(rig.told(), "y firing");
    rig.feed(0, vec![up("y", 0, 20)]);
    assert!(rig.is_quiet());
    assert!(rig.notifier.state().receivers["a"].groups.is_empty());
    assert_eq!(rig.notifier.next_wakeup(), None);
}

#[test]
fn an_alert_of_two_rules_fires_while_either_does() {
    let mut rig = Rig::new(plan([receiver("a")]));
    rig.feed(0, vec![down("x", 5)]);
    let sent = rig.only();
    assert_eq!(sent.json()["alerts"][0]["startsAt"], "2023-11-14T22:13:25Z");
    rig.answer(&sent, status(200));
    rig.feed(1, vec![down("x", 0)]);
    rig.feed(0, vec![up("x", 5, 8)]);
    rig.step(Event::RuleGone { rule: rule(0) });
    assert!(rig.next() > seconds(400), "only the repeat");
    let sent = rig.only();
    assert_eq!(sent.json()["alerts"][0]["startsAt"], "2023-11-14T22:13:20Z");
    rig.answer(&sent, status(200));
    rig.step(Event::RuleGone { rule: rule(1) });
    rig.next();
    assert_eq!(rig.told(), "x resolved");
}

#[test]
fn a_dropped_rule_and_one_that_a_restart_does_not_know_resolve_what_was_told() {
    let mut rig = Rig::new(plan([receiver("a")]));
    rig.feed(0, vec![down("x", 0)]);
    assert_eq!(rig.told(), "x firing");
    rig.after(seconds(600));
    rig.step(Event::RuleGone { rule: rule(0) });
    let sent = rig.only();
    assert_eq!(sent.told(), "x resolved");
    let alert = &sent.json()["alerts"][0];
    assert_eq!(alert["startsAt"], "2023-11-14T22:13:20Z");
    assert_eq!(alert["endsAt"], "2023-11-14T22:23:20Z");
    assert_eq!(alert["annotations"]["summary"], "alertname=Down,instance=x is down");
    rig.answer(&sent, status(200));

    rig.feed(1, vec![down("z", 600)]);
    assert_eq!(rig.told(), "z firing");
    rig.after(seconds(600));
    rig.fed.clear();
    rig.restart_untold();
    rig.step(Event::Tick);
    assert!(rig.is_quiet(), "not before all rules were told");
    rig.step(Event::Restored);
    assert_eq!(rig.told(), "z resolved");
}

#[test]
fn other_groups_or_matchers_after_a_reload_resolve_nothing_that_fires() {
    let mut rig = Rig::new(plan([receiver("a"), receiver("b"), receiver("c")]));
    rig.feed(0, vec![down("x", 0)]);
    for sent in std::mem::take(&mut rig.sent) {
        rig.answer(&sent, status(200));
    }
    let by_instance = GroupBy::Labels(vec!["instance".to_owned()]);
    let a = ReceiverPlan { group_by: by_instance, ..receiver("a") };
    let b = ReceiverPlan { matchers: vec![matcher("team", "db")], ..receiver("b") };
    rig.set_plan(plan([a, b]));
    // As in Alertmanager, a new group knows nothing of an old one.
    assert_eq!(rig.told(), "x firing");
    let receivers = &rig.notifier.state().receivers;
    assert_eq!(receivers["a"].groups.len(), 1);
    assert!(receivers["b"].groups.is_empty());
    assert!(!receivers.contains_key("c"));
    rig.after(seconds(1000));
    assert!(rig.is_quiet());
    // Other external labels make other alerts: the old end, the new begin.
    let external_labels = labels("site=north");
    rig.set_plan(NotifyPlan { external_labels, ..rig.plan.clone() });
    assert_eq!(rig.told(), "x,north firing; x resolved");
}

#[test]
fn a_clock_that_was_set_back_delays_nothing() {
    let mut rig = Rig::new(plan([receiver("a")]));
    rig.feed(0, vec![down("x", 0)]);
    assert_eq!(rig.told(), "x firing");
    rig.after(seconds(10));
    rig.feed(0, vec![down("x", 0), down("y", 10)]);
    // The latest that is known is the delivery, ten seconds before the end.
    rig.now = rig.now.saturating_sub(seconds(24 * 3600));
    rig.restart();
    assert!(matches!(rig.records.last(), Some(Record::ClockBack { .. })));
    assert_eq!(rig.next(), seconds(300));
    assert_eq!(rig.told(), "x firing; y firing");
}

#[test]
fn alerts_beyond_the_bound_are_refused_and_counted() {
    let mut rig = Rig::new(plan([]));
    let many = |n| (0..n).map(|i| down(&i.to_string(), 0)).collect::<Vec<_>>();
    rig.feed(0, many(crate::pure::notify::ALERTS - 1));
    rig.feed(1, many(3).into_iter().chain([up("z", 0, 1)]).collect());
    assert_eq!(rig.notifier.stats().alerts_refused, 3);
    // What was there stays, also while there is no room.
    rig.feed(1, many(3));
    rig.feed(0, many(crate::pure::notify::ALERTS - 1));
    assert_eq!(rig.notifier.stats().alerts_refused, 5);
    rig.feed(0, Vec::new());
    rig.feed(1, many(3));
    assert_eq!(rig.notifier.stats().alerts_refused, 5);
}

#[test]
fn the_largest_alert_is_told_and_what_is_journalled_of_it_can_be_read() {
    use bellwether_model::limit::{LABEL_BYTES, LABELS};
    let each = ReceiverPlan { group_by: GroupBy::All, ..receiver("a") };
    let mut rig = Rig::new(plan([each]));
    let texts: Vec<String> =
        (0..LABELS).map(|n| format!("{n:02}{}", "\u{1}".repeat(LABEL_BYTES - 2))).collect();
    let labels = LabelSet::new(texts.iter().map(|text| (&**text, &**text))).unwrap();
    rig.feed(0, vec![AlertNow { labels, ..down("x", 0) }]);
    let sent = rig.only();
    assert_eq!(sent.json()["alerts"][0]["status"], "firing");
    assert_eq!(rig.notifier.stats().bodies_cut, 1);
    rig.restart();
}

#[test]
fn new_alerts_that_come_before_the_known_ones_take_no_room_of_theirs() {
    let mut rig = Rig::new(plan([]));
    let bound = crate::pure::notify::ALERTS;
    let many = |from: usize| (from..bound + 5).map(|i| down(&format!("{i:05}"), 0)).collect();
    rig.feed(0, many(5));
    assert_eq!(rig.notifier.stats().alerts_refused, 0);
    // By their labels the new ones come first.
    rig.feed(0, many(0));
    assert_eq!(rig.notifier.stats().alerts_refused, 5);
    assert_eq!(rig.notifier.alerts.all_firing().count(), bound);
    rig.feed(1, vec![down("other", 0)]);
    assert_eq!(rig.notifier.stats().alerts_refused, 6);
}

#[test]
fn words_are_made_and_counted_as_cut_once_for_as_long_as_they_are_the_same() {
    let mut rig = Rig::new(plan([]));
    let long = |letter: &str| {
        let annotations = BTreeMap::from([("summary".to_owned(), letter.repeat(70_000))]);
        vec![AlertNow { annotations, ..down("x", 0) }]
    };
    let key = crate::pure::notify::fingerprint::fingerprint(&down("x", 0).labels);
    rig.feed(0, long("a"));
    let detail = |rig: &Rig| Arc::clone(&rig.notifier.alerts.firing(key).unwrap().detail);
    let first = detail(&rig);
    rig.after(seconds(1));
    rig.feed(0, long("a"));
    assert!(Arc::ptr_eq(&first, &detail(&rig)));
    // Other words, as with a value in them, are no other alert.
    rig.feed(0, long("b"));
    assert!(detail(&rig).annotations["summary"].starts_with('b'));
    assert_eq!(rig.notifier.stats().texts_cut, 1);
    rig.feed(0, vec![AlertNow { starts_at: rig.now, ..long("b").remove(0) }]);
    assert_eq!(rig.notifier.stats().texts_cut, 2, "it fires anew");
}

#[test]
fn annotations_that_have_no_room_keep_their_names() {
    let mut rig = Rig::new(plan([]));
    let texts = [("a", 40_000), ("b", 40_000), ("c", 5), ("runbook_url", 5)];
    let annotations = texts.map(|(name, count)| (name.to_owned(), "x".repeat(count)));
    rig.feed(0, vec![AlertNow { annotations: annotations.into(), ..down("x", 0) }]);
    let key = crate::pure::notify::fingerprint::fingerprint(&down("x", 0).labels);
    let detail = Arc::clone(&rig.notifier.alerts.firing(key).unwrap().detail);
    let lengths: Vec<_> =
        detail.annotations.iter().map(|(name, text)| (&**name, text.len())).collect();
    let url = detail.generator_url.len();
    let rest = (64 << 10) - url - "abcrunbook_url".len() - 40_000;
    assert_eq!(lengths, [("a", 40_000), ("b", rest), ("c", 0), ("runbook_url", 0)]);
    assert_eq!(rig.notifier.stats().texts_cut, 3);
    let annotations = BTreeMap::from([("n".repeat(70_000), String::new())]);
    rig.feed(1, vec![AlertNow { annotations, ..down("y", 0) }]);
    let key = crate::pure::notify::fingerprint::fingerprint(&down("y", 0).labels);
    assert!(rig.notifier.alerts.firing(key).unwrap().detail.annotations.is_empty());
    assert_eq!(rig.notifier.stats().texts_cut, 4);
}
