use super::*;

fn rule(hold: u64, keep: u64) -> AlertRule {
    AlertRule {
        name: "A".to_owned(),
        hold: Duration::from_secs(hold),
        keep_firing_for: Duration::from_secs(keep),
        annotations: BTreeMap::new(),
    }
}

fn labels(instance: &str) -> LabelSet {
    LabelSet::new([("alertname", "A"), ("instance", instance)]).unwrap()
}

fn holding(instances: &[&str]) -> BTreeMap<LabelSet, Condition> {
    let condition = || Condition { annotations: BTreeMap::new(), value: 1.0 };
    instances.iter().map(|instance| (labels(instance), condition())).collect()
}

/// One letter a slot of a minute: whether the condition holds. Gives the state after each slot:
/// `.` not known, `i` inactive, `p` pending, `F` firing.
fn run(rule: &AlertRule, conditions: &str) -> String {
    let mut alerts = Alerts::default();
    let states = conditions.chars().enumerate().map(|(slot, holds)| {
        let at = Timestamp(i64::try_from(slot).unwrap() * 60_000);
        let conditions = holding(if holds == '1' { &["a"] } else { &[] });
        alerts.step(rule, at, conditions, 0).unwrap();
        match alerts.0.get(&labels("a")).map(|alert| alert.state) {
            None => '.',
            Some(AlertState::Inactive) => 'i',
            Some(AlertState::Pending) => 'p',
            Some(AlertState::Firing) => 'F',
        }
    });
    states.collect()
}

#[test]
fn states_follow_the_condition() {
    for (hold, keep, conditions, states) in [
        (0, 0, "0110", ".FFi"),
        (120, 0, "0111110", ".ppFFFi"),
        (120, 0, "011010", ".pp.p."),
        (60, 120, "11000", "pFFFi"),
        (60, 120, "1101000", "pFFFFFi"),
        (0, 0, "10", "Fi"),
        // Resolved, then forgotten after a quarter of an hour; the condition makes a new alert.
        (0, 0, "1000000000000000000", "Fiiiiiiiiiiiiiiii.."),
        (60, 0, "11011", "pFipF"),
    ] {
        assert_eq!(run(&rule(hold, keep), conditions), states, "{hold} {keep} {conditions}");
    }
}

#[test]
fn an_alert_keeps_its_beginning_and_takes_new_values() {
    let mut alerts = Alerts::default();
    let rule = rule(60, 0);
    alerts.step(&rule, Timestamp(0), holding(&["a"]), 0).unwrap();
    let mut conditions = holding(&["a"]);
    conditions.get_mut(&labels("a")).unwrap().value = 7.0;
    let transitions = alerts.step(&rule, Timestamp(60_000), conditions, 0).unwrap();
    let (_, alert) = alerts.active().next().unwrap();
    assert_eq!(
        (alert.value, alert.active_at, alert.fired_at),
        (7.0, Timestamp(0), Some(Timestamp(60_000)))
    );
    assert_eq!(transitions.len(), 1);
    assert_eq!(transitions[0].reason, Reason::HeldLongEnough);
}

#[test]
fn a_longer_for_makes_a_firing_alert_pending() {
    let mut alerts = Alerts::default();
    alerts.step(&rule(0, 0), Timestamp(0), holding(&["a"]), 0).unwrap();
    let transitions = alerts.step(&rule(300, 0), Timestamp(60_000), holding(&["a"]), 0).unwrap();
    assert_eq!(alerts.state(), AlertState::Pending);
    assert_eq!(transitions[0].reason, Reason::HoldRaised);
}

#[test]
fn a_limit_changes_nothing() {
    let mut alerts = Alerts::default();
    let rule = rule(0, 600);
    alerts.step(&rule, Timestamp(0), holding(&["a", "b"]), 2).unwrap();
    let before = alerts.clone();
    let error = alerts.step(&rule, Timestamp(60_000), holding(&["b", "c"]), 2).unwrap_err();
    assert_eq!(error, TooMany { limit: 2, alerts: 3 }, "the first fires on");
    assert_eq!(alerts, before);
    assert_eq!(error.to_string(), "exceeded limit of 2 with 3 alerts");
}

#[test]
fn transitions_tell_every_change() {
    let mut alerts = Alerts::default();
    let rule = rule(60, 0);
    let mut told = Vec::new();
    for (slot, conditions) in [(0, vec!["a", "b"]), (1, vec!["a"]), (2, vec![]), (3, vec!["a"])] {
        let at = Timestamp(slot * 60_000);
        for transition in alerts.step(&rule, at, holding(&conditions), 0).unwrap() {
            let instance = transition.labels.get("instance").unwrap().to_owned();
            told.push((slot, instance, transition.from, transition.to));
        }
    }
    let (pending, firing, inactive) =
        (Some(AlertState::Pending), Some(AlertState::Firing), Some(AlertState::Inactive));
    assert_eq!(
        told,
        [
            (0, "a".to_owned(), None, pending),
            (0, "b".to_owned(), None, pending),
            (1, "b".to_owned(), pending, None),
            (1, "a".to_owned(), pending, firing),
            (2, "a".to_owned(), firing, inactive),
            (3, "a".to_owned(), inactive, pending),
        ]
    );
}
