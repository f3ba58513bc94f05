//! What people are shown.

use bellwether_rules::alert::AlertState;

use super::*;
use crate::pure::notify::report::{AlertRow, AlertsReport, RuleRow};
use crate::pure::notify::select::AlertSelector;
use crate::pure::notify::view::{ListView, list, why};

fn row(alert: &AlertNow, state: AlertState) -> AlertRow {
    AlertRow {
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        state,
        value: f64::INFINITY,
        active_at: alert.starts_at,
        fired_at: (state != AlertState::Pending).then_some(alert.starts_at),
        resolved_at: alert.ends_at,
    }
}

fn rule_row(name: &str, alerts: Vec<AlertRow>) -> Arc<RuleRow> {
    let rule = RuleRef { file: "r.yml".into(), group: "g".into(), alert: name.into(), number: 0 };
    Arc::new(RuleRow {
        rule,
        line: 3,
        expr: "up == 0".to_owned(),
        interval: Duration::from_secs(1),
        hold: Duration::from_millis(1500),
        keep_firing_for: Duration::ZERO,
        evaluated_at: None,
        error: None,
        alerts,
    })
}

#[test]
fn an_alert_is_shown_with_what_was_told_and_what_comes_next() {
    let mut rig = Rig::new(plan([receiver("a")]));
    let (x, y) = (firing("alertname=Down,instance=x", 0), firing("alertname=Late,instance=y", 0));
    rig.feed(0, vec![x.clone()]);
    let sent = rig.only();
    rig.answer(&sent, refused());
    rig.next();
    let sent = rig.only();
    rig.answer(&sent, status(200));
    let report = AlertsReport {
        at: rig.now,
        rules: vec![
            rule_row("Down", vec![row(&x, AlertState::Firing)]),
            rule_row("Late", vec![row(&y, AlertState::Pending)]),
            rule_row("Never", Vec::new()),
        ],
        notify: rig.notifier.report(rig.now),
    };
    let list = list(&report);
    let [down, late] = list.alerts.as_slice() else { panic!("two alerts") };
    assert_eq!((down.state.as_str(), down.value.as_str()), ("firing", "+Inf"));
    assert_eq!(down.labels, BTreeMap::from([("instance".to_owned(), "x".to_owned())]));
    assert_eq!((late.state.as_str(), late.told.len()), ("pending", 0));
    let [told] = down.told.as_slice() else { panic!("one receiver") };
    assert!(told.knows);
    assert_eq!(told.next.as_ref().unwrap().what, "repeat");
    let last = told.last.as_ref().unwrap();
    assert_eq!((last.state.as_str(), last.tells.as_deref()), ("delivered", Some("firing")));
    let outcomes: Vec<&str> = last.attempts.iter().map(|one| one.outcome.as_str()).collect();
    assert_eq!(outcomes, ["connection refused", "answered 200"]);
    assert_eq!(last.attempts[0].again_at.as_ref(), Some(&last.attempts[1].at));
    // As JSON and back.
    let text = serde_json::to_string(&list).unwrap();
    assert_eq!(serde_json::from_str::<ListView>(&text).unwrap(), list);

    let asked = |text: &str| why(&report, &AlertSelector::parse(text).unwrap());
    let down = asked("Down{instance=~\"x|z\"}");
    assert_eq!((down.rules.len(), down.alerts.len(), down.more), (1, 1, 0));
    let [a] = down.alerts[0].receivers.as_slice() else { panic!("one receiver") };
    assert_eq!((a.firing, a.knows, a.notifications.len()), (1, true, 1));
    let never = asked("Never");
    assert_eq!((never.rules.len(), never.alerts.len()), (1, 0));
    // Its rule is gone; what was told of it is not.
    let gone = AlertsReport { rules: Vec::new(), ..report.clone() };
    let gone = why(&gone, &AlertSelector::parse("{instance=x}").unwrap());
    assert_eq!((gone.rules.len(), gone.alerts.len()), (0, 1));
    assert!(gone.alerts[0].alert.is_none());
    assert_eq!(
        gone.alerts[0].labels,
        BTreeMap::from(
            [("alertname", "Down"), ("instance", "x")].map(|(n, v)| (n.into(), v.into()))
        )
    );
    assert_eq!(gone.alerts[0].receivers[0].notifications.len(), 1);
}
