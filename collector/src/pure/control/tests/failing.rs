//! What is told of alerts whose rules fail, or change.

use serde_json::Value;

use super::*;
use crate::pure::notify::event::Request;
use crate::pure::notify::plan::AlertmanagerPlan;
use crate::pure::notify::tests::{plan as notify, receiver};

/// As long as an Alertmanager waits, and a minute more.
const LONG: i64 = 300;

/// With a receiver and an Alertmanager.
fn told(text: &str) -> ControlPlan {
    let ops = receiver("ops");
    let old = AlertmanagerPlan { name: "old".into(), endpoint: ops.endpoint.clone() };
    let notify = NotifyPlan { alertmanagers: vec![Arc::new(old)], ..notify([ops]) };
    ControlPlan { notify, ..plan(text) }
}

fn group(header: &str, rules: &[&str]) -> String {
    let mut text = format!("groups:\n- name: g\n  interval: 1s\n{header}  rules:\n");
    rules.iter().for_each(|rule| text += &format!("  - {rule}\n"));
    text
}

fn world(rows: &[&str], text: &str) -> World {
    let rows: Vec<String> = rows.iter().map(|row| (*row).to_owned()).collect();
    let mut world = World::new(&rows, text);
    world.reload(text);
    world
}

impl World {
    fn reload(&mut self, text: &str) {
        let at = now(self.second * 1000 + 999);
        self.run(at, Event::Plan(told(text)), true);
    }

    fn restart_told(&mut self, text: &str) {
        let at = now(self.second * 1000 + 999);
        self.control = control(at, (&self.held, &self.notices), told(text));
    }

    fn pass(&mut self, seconds: i64, has_room: bool) {
        (0..seconds).for_each(|_| drop(self.second(has_room)));
    }

    /// What has come since the last look. Of webhooks the status; of what was pushed the labels
    /// but for the name, and how many seconds before or after the sending it ends.
    fn came(&mut self) -> (Vec<String>, Vec<(String, i64)>) {
        let (mut webhooks, mut pushed) = (Vec::new(), Vec::new());
        for (second, delivery) in std::mem::take(&mut self.sent) {
            match delivery.request {
                Request::Webhook { body, .. } => {
                    let body: Value = serde_json::from_slice(&body).unwrap();
                    webhooks.push(body["status"].as_str().unwrap().to_owned());
                }
                Request::Push { body, .. } => {
                    let body: Vec<Value> = serde_json::from_slice(&body).unwrap();
                    pushed.extend(body.iter().map(|alert| {
                        let labels = alert["labels"].as_object().unwrap().iter();
                        let labels = labels.filter(|(name, _)| *name != "alertname");
                        let labels = labels.map(|(name, value)| format!("{name}={value}"));
                        let end = alert["endsAt"].as_str().unwrap();
                        let end = bellwether_model::time::parse(end).unwrap();
                        let ahead = end.0.div_euclid(1000) - second;
                        (labels.collect::<Vec<_>>().join(","), ahead)
                    }));
                }
                other => panic!("{other:?}"),
            }
        }
        (webhooks, pushed)
    }

    fn error(&self) -> Option<&str> {
        let mut states = self.control.groups.values().flat_map(|live| &live.state.rules);
        states.find_map(|state| state.error.as_deref())
    }
}

#[test]
fn an_alert_whose_rule_fails_goes_on_being_told_as_firing() {
    let rows = ["x 9x400", "y{i=\"0\"} 1x400", "y{i=\"1\"} _x9 1x320 stale"];
    let other = "{alert: Other, expr: vector(1) > 2}";
    let failing = "{alert: A, expr: x * on() y > 3}";
    let limited = "{alert: A, expr: y > 0}";
    for (header, rule, error) in
        [("", failing, "duplicate series"), ("  limit: 1\n", limited, "exceeded limit")]
    {
        let mut world = world(&rows, &group(header, &[rule]));
        world.pass(9, true);
        let (webhooks, pushed) = world.came();
        assert_eq!((webhooks, pushed.len()), (vec!["firing".to_owned()], 1), "{error}");
        world.pass(10, true);
        assert!(world.error().is_some_and(|text| text.contains(error)), "{:?}", world.error());
        // A rule above it has it move.
        world.reload(&group(header, &[other, rule]));
        world.pass(LONG / 2, true);
        world.restart_told(&group(header, &[other, rule]));
        world.pass(LONG / 2, true);
        assert!(world.error().is_some_and(|text| text.contains(error)), "{:?}", world.error());
        let (webhooks, pushed) = world.came();
        assert_eq!(webhooks, Vec::<String>::new(), "nothing is new");
        assert!((5..=7).contains(&pushed.len()), "{pushed:?}");
        assert!(pushed.iter().all(|(_, ahead)| *ahead > 200), "{pushed:?}");
        let active = world.alerts().iter().flat_map(Alerts::active).count();
        assert_eq!(active, 1, "{error}");
        // A rule that is removed ends what it has fired, also while it fails.
        world.reload(&group(header, &[other]));
        world.pass(1, true);
        let (_, pushed) = world.came();
        assert!(matches!(pushed.as_slice(), [(_, -1..=1)]), "{pushed:?}");
    }
}

#[test]
fn an_alert_goes_on_being_told_while_its_slots_have_no_entry() {
    // The journal has no room.
    let mut full = world(&["x 9x400"], &group("", &["{alert: A, expr: x > 3}"]));
    full.pass(5, true);
    assert_eq!(full.came().1.len(), 1);
    full.pass(LONG, false);
    assert_eq!(full.control.stats().unrecorded, LONG.unsigned_abs());
    let (_, pushed) = full.came();
    assert!(pushed.len() >= 4 && pushed.iter().all(|(_, ahead)| *ahead > 200), "{pushed:?}");

    // The group yields more than an entry holds.
    let rule =
        format!("{{alert: A, expr: 'x > 0', annotations: {{text: '{}'}}}}", "z".repeat(16_000));
    let mut rows = vec!["x{i=\"0\"} 1x100".to_owned()];
    rows.extend((1..1100).map(|i| format!("x{{i=\"{i}\"}} 0 0 1x98")));
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let mut large = world(&rows, &group("", &[&rule]));
    large.pass(2, true);
    assert_eq!(large.came().1.len(), 1);
    large.pass(1, true);
    assert!(large.error().is_some());
    large.second += 70;
    large.pass(1, true);
    let (_, pushed) = large.came();
    assert!(matches!(pushed.as_slice(), [(labels, 230..)] if labels == "i=\"0\""), "{pushed:?}");
}

#[test]
fn rules_that_change_places_go_on_as_they_are() {
    let other = "{alert: A, expr: vector(1) > 2}";
    let page = "{alert: A, expr: x > 3, labels: {severity: page}}";
    let ticket = "{alert: A, expr: x > 4, labels: {severity: ticket}}";
    let mut world = world(&["x 9x400"], &group("", &[page, ticket]));
    world.pass(5, true);
    let (webhooks, mut pushed) = world.came();
    pushed.sort();
    assert_eq!(webhooks, ["firing"], "of the first; the second waits for the group's interval");
    assert_eq!(pushed.len(), 2);
    let both: [&[&str]; 4] = [
        &[ticket, page],
        &[other, page, ticket],
        &[ticket, other, page],
        &[other, other, page, ticket],
    ];
    for second in 0..40 {
        world.reload(&group("", both[second % 4]));
        world.pass(1, true);
    }
    assert_eq!(world.came(), (Vec::new(), Vec::new()));
    world.pass(LONG, true);
    let (webhooks, pushed) = world.came();
    assert_eq!((webhooks, pushed.len()), (vec!["firing".to_owned()], 10));
    assert!(pushed.iter().all(|(_, ahead)| *ahead > 200), "{pushed:?}");
}

#[test]
fn a_rule_with_another_label_ends_the_alert_without_it_at_once() {
    let rule =
        |severity: &str| format!("{{alert: A, expr: x > 3, labels: {{severity: {severity}}}}}");
    let mut world = world(&["x 9x400"], &group("", &[&rule("page")]));
    world.pass(5, true);
    world.came();
    world.reload(&group("", &[&rule("ticket")]));
    world.pass(1, true);
    let (_, mut pushed) = world.came();
    pushed.sort();
    let [(page, -1..=1), (ticket, 200..)] = pushed.as_slice() else { panic!("{pushed:?}") };
    assert_eq!((&**page, &**ticket), ("severity=\"page\"", "severity=\"ticket\""));
}
