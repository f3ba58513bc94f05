//! Existing Alertmanagers and the heartbeat.

use super::*;
use crate::pure::notify::QUEUE;
use crate::pure::notify::plan::{AlertmanagerPlan, HeartbeatPlan};

fn pushing() -> NotifyPlan {
    let to = AlertmanagerPlan { name: "am".into(), endpoint: endpoint() };
    let external_labels = labels("site=north");
    NotifyPlan { alertmanagers: vec![Arc::new(to)], external_labels, ..plan([]) }
}

/// The alerts of the batch on its way, which is answered.
fn batch(rig: &mut Rig, outcome: Outcome) -> Vec<Value> {
    let Some(Delivery { ticket, request: Request::Push { body, .. } }) = rig.others.pop() else {
        panic!("nothing was pushed")
    };
    let alerts: Value = serde_json::from_slice(&body).unwrap();
    rig.step(Event::Delivered { ticket, outcome });
    alerts.as_array().unwrap().clone()
}

#[test]
fn alerts_are_pushed_each_minute_with_an_end_ahead_and_resolved_for_as_long_as_they_are_known() {
    let mut rig = Rig::new(pushing());
    let x = "alertname=Down,instance=x";
    rig.feed(0, vec![firing(x, 0)]);
    let pushed = batch(&mut rig, status(200));
    let expected = serde_json::json!([{
        "labels": {"alertname": "Down", "instance": "x", "site": "north"},
        "annotations": {"summary": "alertname=Down,instance=x is down"},
        "startsAt": "2023-11-14T22:13:20Z",
        "endsAt": "2023-11-14T22:17:20Z",
        "generatorURL": "http://collector.invalid/graph",
    }]);
    assert_eq!(Value::from(pushed), expected);
    let mut at = Vec::new();
    for second in 1..=125 {
        rig.after(seconds(1));
        let ended = (second > 100).then_some(100);
        let alert = ended.map_or_else(|| firing(x, 0), |ended| resolved(x, 0, ended));
        rig.feed(0, vec![alert]);
        if !rig.others.is_empty() {
            let pushed = batch(&mut rig, status(200));
            at.push((second, pushed[0]["endsAt"].as_str().unwrap().to_owned()));
        }
    }
    let ends = |text: &str| text.to_owned();
    assert_eq!(at, [(61, ends("2023-11-14T22:18:21Z")), (101, ends("2023-11-14T22:15:00Z"))]);
    rig.after(seconds(60));
    rig.feed(0, vec![resolved(x, 0, 100)]);
    assert_eq!(batch(&mut rig, status(200)).len(), 1);
    assert_eq!(rig.notifier.stats().alertmanagers["am"].sent, 4);
}

#[test]
fn batches_go_one_after_the_other_and_the_oldest_leave_a_full_queue() {
    let mut rig = Rig::new(pushing());
    let many = |n: usize| (0..n).map(|i| firing(&format!("alertname=A,n={i:05}"), 0)).collect();
    rig.feed(0, many(QUEUE + 300));
    assert_eq!(rig.others.len(), 1);
    let stats = |rig: &Rig| rig.notifier.stats().alertmanagers["am"].clone();
    assert_eq!(stats(&rig).dropped, 300);
    assert_eq!(batch(&mut rig, status(500)).len(), 256);
    let mut pushed = 0;
    while !rig.others.is_empty() {
        pushed += batch(&mut rig, status(200)).len();
    }
    assert_eq!((pushed, stats(&rig).failed), (QUEUE - 256, 256));
    // An Alertmanager that hangs does not hang the others or the machine.
    let mut rig = Rig::new(pushing());
    rig.feed(0, many(1));
    rig.others.clear();
    assert_eq!(rig.next(), seconds(40));
    rig.after(seconds(100));
    rig.feed(0, many(1));
    assert_eq!(rig.others.len(), 1);
}

#[test]
fn nothing_is_pushed_from_restored_states_alone() {
    let mut rig = Rig::new(pushing());
    rig.feed(0, vec![firing("alertname=A", 0)]);
    batch(&mut rig, status(200));
    rig.after(seconds(10));
    rig.restart();
    assert!(rig.others.is_empty());
    rig.feed(0, vec![firing("alertname=A", 0)]);
    assert_eq!(batch(&mut rig, status(200)).len(), 1);
    rig.step(Event::RuleGone { rule: rule(0) });
    assert_eq!(batch(&mut rig, status(200))[0]["endsAt"], "2023-11-14T22:13:30Z");
    rig.set_plan(plan([]));
    assert!(rig.notifier.stats().alertmanagers.is_empty());
}

#[test]
fn what_another_rule_fires_has_not_ended() {
    let mut rig = Rig::new(pushing());
    let x = "alertname=Down,instance=x";
    rig.feed(0, vec![firing(x, 0)]);
    batch(&mut rig, status(200));
    rig.feed(1, vec![firing(x, 0)]);
    assert_eq!(batch(&mut rig, status(200))[0]["endsAt"], "2023-11-14T22:17:20Z");
    rig.after(seconds(10));
    rig.feed(0, vec![resolved(x, 0, 10)]);
    rig.step(Event::RuleGone { rule: rule(0) });
    assert!(rig.others.is_empty());
    rig.step(Event::RuleGone { rule: rule(1) });
    let pushed = batch(&mut rig, status(200));
    assert_eq!((pushed.len(), &pushed[0]["endsAt"]), (1, &"2023-11-14T22:13:30Z".into()));
    assert!(rig.others.is_empty());
}

#[test]
fn what_a_rule_has_no_more_ends_at_once() {
    let mut rig = Rig::new(pushing());
    rig.feed(0, vec![firing("alertname=Down,severity=page", 0)]);
    batch(&mut rig, status(200));
    rig.after(seconds(10));
    rig.feed(0, vec![firing("alertname=Down,severity=ticket", 10)]);
    let mut pushed = Vec::new();
    while !rig.others.is_empty() {
        pushed.extend(batch(&mut rig, status(200)));
    }
    let pushed = pushed.iter().map(|alert| {
        [&alert["labels"]["severity"], &alert["endsAt"]].map(|text| text.as_str().unwrap())
    });
    let expected = [["page", "2023-11-14T22:13:30Z"], ["ticket", "2023-11-14T22:17:30Z"]];
    assert_eq!(pushed.collect::<Vec<_>>(), expected);
}

#[test]
fn a_heart_beats_only_while_rules_are_evaluated() {
    let to = HeartbeatPlan { endpoint: endpoint(), every: seconds(60) };
    let mut rig = Rig::new(NotifyPlan { heartbeat: Some(Arc::new(to)), ..plan([]) });
    let mut beats = Vec::new();
    for second in 0..400 {
        // Evaluation stalls for a while.
        if !(130..300).contains(&second) {
            rig.step(Event::Alive);
        }
        rig.after(seconds(1));
        if let Some(Delivery { ticket, .. }) = rig.others.pop() {
            beats.push(second);
            rig.step(Event::Delivered {
                ticket,
                outcome: status(if second < 100 { 200 } else { 500 }),
            });
        }
    }
    assert_eq!(beats.len(), 6, "{beats:?}");
    assert!(beats.iter().all(|at| !(190..300).contains(at)), "{beats:?}");
    let stats = rig.notifier.stats();
    assert_eq!((stats.heartbeats, stats.heartbeats_failed), (6, 4));
}
