use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bellwether_model::matcher::{MatchOp, Matcher};
use bellwether_model::select::{Column, Window};
use bellwether_model::series::is_stale;
use bellwether_promql::evaluate::Recurring;
use bellwether_promql::pool::Serial;
use bellwether_promql::script::load::Loaded;
use bellwether_promql::script::series;

use super::*;
use crate::file;

const MINUTE: Duration = Duration::from_secs(60);

fn loaded(rows: &[&str]) -> Loaded {
    let rows: Vec<_> = rows.iter().map(|row| series::read(row).unwrap()).collect();
    let mut loaded = Loaded::default();
    loaded.add(Timestamp(0), MINUTE, &rows).unwrap();
    loaded
}

fn group(rules: &str) -> RuleGroup {
    let text = format!("groups:\n- name: g\n{rules}");
    file::read("rules.yml", &text).unwrap().0.groups.remove(0)
}

/// Evaluates a group at the slots of some minutes, each over what was written before.
fn outcomes(rules: &str, rows: &[&str], minutes: i64) -> Vec<Outcome> {
    let (group, loaded) = (group(rules), loaded(rows));
    let mut overlay = Overlay::new(&loaded, Timestamp(0));
    let outcomes = run(&group, &mut overlay, minutes);
    let mut narrow = Overlay::of_group(&loaded, Timestamp(0), &group);
    let again = run(&group, &mut narrow, minutes);
    let mut forgetful = group.clone();
    forgetful.rules.iter_mut().for_each(|rule| rule.recurring = Recurring::default());
    let anew = run(&forgetful, &mut Overlay::new(&loaded, Timestamp(0)), minutes);
    let shown = |outcomes: &[Outcome]| outcomes.iter().map(|o| format!("{o:?}")).collect();
    let [one, other, third]: [Vec<String>; 3] = [&outcomes, &again, &anew].map(|o| shown(o));
    assert_eq!(one, other, "what no rule reads changes nothing");
    assert_eq!(one, third, "nor does it what is remembered");
    outcomes
}

fn run(group: &RuleGroup, overlay: &mut Overlay<'_>, minutes: i64) -> Vec<Outcome> {
    let mut state = GroupState::new(group);
    let (stop, site) = (AtomicBool::new(false), Site::default());
    let means = Means {
        options: Options::default(),
        pool: &Serial,
        budget: Budget { samples_max: 10_000, stop: &stop },
        site: &site,
    };
    let slots = (0..minutes).map(|minute| {
        let slot = Timestamp(minute * 60_000);
        overlay.extend(slot);
        state.evaluate(group, slot, overlay, means)
    });
    slots.collect()
}

#[test]
fn what_no_rule_of_the_group_reads_is_not_laid_over() {
    for (rules, added) in [
        ("  rules:\n  - {record: a, expr: x}\n  - {record: b, expr: sum(x)}\n", 0),
        ("  rules:\n  - {record: a, expr: x}\n  - {record: b, expr: 'a{i=\"1\"}'}\n", 1),
        ("  rules:\n  - {record: a, expr: x}\n  - {record: b, expr: 'count({i!=\"\"})'}\n", 2),
        ("  rules:\n  - {alert: A, expr: x > 5}\n  - {record: b, expr: count(ALERTS)}\n", 1),
        ("  rules:\n  - {record: a, expr: x}\n  - {record: b, expr: info(x)}\n", 4),
        (
            "  rules:\n  - {record: a, expr: x}\n  - {alert: A, expr: vector(1), annotations: \
             {s: '{{ query \"a\" | first | value }}'}}\n",
            4,
        ),
    ] {
        outcomes(rules, &["x{i=\"1\"} 1 2", "x{i=\"2\"} 8 9"], 2);
        let (group, loaded) = (group(rules), loaded(&["x{i=\"1\"} 1 2", "x{i=\"2\"} 8 9"]));
        let mut overlay = Overlay::of_group(&loaded, Timestamp(0), &group);
        run(&group, &mut overlay, 2);
        assert_eq!(format!("{overlay:?}"), format!("Overlay {{ added: {added}, .. }}"), "{rules}");
    }
}

/// `series=value` of each sample, in order.
fn samples(outcome: &Outcome) -> Vec<String> {
    let shown = |written: &Written| match written.value {
        value if is_stale(value) => format!("{}=stale", written.labels),
        value => format!("{}={value}", written.labels),
    };
    outcome.samples.iter().map(shown).collect()
}

#[test]
fn a_rule_sees_what_those_before_have_written_at_the_slot() {
    let rules =
        "  rules:\n  - {record: a, expr: sum(x)}\n  - {record: b, expr: a * 10, labels: {to: b}}\n";
    let outcomes = outcomes(rules, &["x{i=\"1\"} 1+1x3", "x{i=\"2\"} 1+1x3"], 2);
    assert_eq!(samples(&outcomes[0]), ["a=2", "b{to=\"b\"}=20"]);
    assert_eq!(samples(&outcomes[1]), ["a=4", "b{to=\"b\"}=40"]);
}

#[test]
fn what_is_no_longer_written_ends() {
    let rules = "  rules:\n  - {record: a, expr: x > 1}\n";
    let outcomes = outcomes(rules, &["x{i=\"1\"} 2 2 0 0", "x{i=\"2\"} 0 2 2 2"], 4);
    assert_eq!(samples(&outcomes[1]), ["a{i=\"1\"}=2", "a{i=\"2\"}=2"]);
    assert_eq!(samples(&outcomes[2]), ["a{i=\"2\"}=2", "a{i=\"1\"}=stale"]);
    assert_eq!(samples(&outcomes[3]), ["a{i=\"2\"}=2"]);
}

#[test]
fn a_failed_rule_ends_nothing_and_stops_nothing() {
    // At the second minute both series of x have the same labels once `i` is gone.
    let rules = "  rules:\n  - {record: a, expr: 'label_replace(x, \"i\", \"\", \"\", \"\")'}\n  \
                 - {alert: B, expr: 'label_replace(x, \"i\", \"\", \"\", \"\")'}\n  \
                 - {record: c, expr: 1}\n";
    let outcomes = outcomes(rules, &["x{i=\"1\"} 1 1 1", "x{i=\"2\"} _ 1 stale"], 3);
    assert_eq!(outcomes[0].failures, []);
    let failed: Vec<usize> = outcomes[1].failures.iter().map(|(rule, _)| *rule).collect();
    assert_eq!(failed, [0, 1]);
    assert_eq!(samples(&outcomes[1]), ["c=1"], "no stale marker, no transition");
    assert_eq!(outcomes[1].transitions, []);
    assert_eq!(outcomes[2].failures, []);
    assert_eq!(outcomes[2].transitions, [], "the alert fires on");
}

#[test]
fn alerts_are_written_with_their_state() {
    let rules = "  rules:\n  - {alert: High, expr: x > 1, for: 1m, labels: {sev: page}}\n";
    let outcomes = outcomes(rules, &["x{i=\"1\"} 2 2 0"], 3);
    assert_eq!(
        samples(&outcomes[0]),
        [
            "ALERTS{alertname=\"High\",alertstate=\"pending\",i=\"1\",sev=\"page\"}=1",
            "ALERTS_FOR_STATE{alertname=\"High\",i=\"1\",sev=\"page\"}=0",
        ]
    );
    assert_eq!(
        samples(&outcomes[1]),
        [
            "ALERTS{alertname=\"High\",alertstate=\"firing\",i=\"1\",sev=\"page\"}=1",
            "ALERTS_FOR_STATE{alertname=\"High\",i=\"1\",sev=\"page\"}=0",
            "ALERTS{alertname=\"High\",alertstate=\"pending\",i=\"1\",sev=\"page\"}=stale",
        ]
    );
    assert_eq!(samples(&outcomes[2]).len(), 2, "both end");
}

#[test]
fn an_offset_reads_and_writes_earlier() {
    let rules = "  query_offset: 1m\n  rules:\n  - {record: a, expr: x}\n";
    let outcomes = outcomes(rules, &["x 1+1x5"], 3);
    let written = &outcomes[2].samples[0];
    assert_eq!((written.time, written.value), (Timestamp(60_000), 2.0));
}

#[test]
fn a_limit_keeps_what_was_written() {
    let rules = "  limit: 1\n  rules:\n  - {record: a, expr: x}\n  - {alert: B, expr: x}\n";
    let outcomes = outcomes(rules, &["x{i=\"1\"} 1 1 1", "x{i=\"2\"} _ 1 stale"], 3);
    let errors: Vec<&str> = outcomes[1].failures.iter().map(|(_, error)| &**error).collect();
    assert_eq!(errors, ["exceeded limit of 1 with 2 series", "exceeded limit of 1 with 2 alerts"]);
    assert_eq!(samples(&outcomes[1]), Vec::<String>::new());
    assert_eq!(outcomes[2].transitions, [], "the alert fires on");
}

#[test]
fn an_alert_whose_series_have_too_many_labels_never_begins() {
    let labels = |count: usize| {
        let labels: Vec<String> = (0..count).map(|n| format!("l{n:02}=\"v\"")).collect();
        format!("x{{{}}} 1 1", labels.join(","))
    };
    let rules = "  rules:\n  - {alert: A, expr: x}\n";
    // With the alert's name, and two labels more for its series.
    for (count, begins) in [(61, true), (62, false)] {
        let outcomes = outcomes(rules, &[&labels(count)], 1);
        let Outcome { failures, transitions, .. } = &outcomes[0];
        assert_eq!((failures.is_empty(), !transitions.is_empty()), (begins, begins), "{count}");
    }
}

#[test]
fn no_rule_sees_the_future() {
    let rules = "  rules:\n  - {record: a, expr: x @ 120}\n  - {record: b, expr: x offset -2m}\n";
    let outcomes = outcomes(rules, &["x 1+1x5"], 1);
    assert_eq!(samples(&outcomes[0]), ["a=1", "b=1"], "within the lookback");
}

#[test]
fn an_overlay_is_one_view() {
    let below = loaded(&["a{i=\"1\"} 1 2 3", "b 5"]);
    let mut overlay = Overlay::new(&below, Timestamp(600_000));
    let set = |text: &str| series::read_metric(text).unwrap();
    for (labels, minute, value) in
        [("a{i=\"1\"}", 2, 30.0), ("a{i=\"1\"}", 3, 40.0), ("a{i=\"0\"}", 3, 7.0), ("c", 3, 9.0)]
    {
        overlay.add(set(labels), Timestamp(minute * 60_000), value);
    }
    let all = Window { start: Timestamp(-1), end: Timestamp(600_000) };
    let any = [Matcher::new("__name__", MatchOp::Regex, "a|c").unwrap()];
    let found = overlay.series(&any, all, 10);
    let shown: Vec<String> = found.iter().map(|s| overlay.labels(*s).to_string()).collect();
    assert_eq!(shown, ["a{i=\"0\"}", "a{i=\"1\"}", "c"]);
    let mut column = Column::default();
    overlay.samples(found[1], all, &mut column);
    assert_eq!(column.values, [1.0, 2.0, 30.0, 40.0]);
    assert_eq!(overlay.label_values("i", &any, all), ["0", "1"]);
    assert_eq!(overlay.label_names(&[], all), ["__name__", "i"]);
    assert_eq!(overlay.series(&any, all, 0).len(), 1, "one more than the limit");
}

#[test]
fn what_recurs_is_evaluated_anew_once_an_earlier_rule_has_changed_it() {
    let rules = "  rules:\n  \
        - {record: a, expr: sum(x)}\n  \
        - {record: n, expr: count(a) + sum(x)}\n  \
        - {record: a, expr: sum by (i) (x)}\n  \
        - {record: m, expr: count(a) + sum(x)}\n  \
        - {record: k, expr: 'count(a) + sum(rate(x[5m])) + sum(y)'}\n  \
        - {record: l, expr: 'sum by (i) (rate(x[5m])) > on() group_left() count(a)'}\n";
    let outcomes = outcomes(rules, &["x{i=\"1\"} 1 2 9", "x{i=\"2\"} 8 9 9", "y 1 1 1"], 3);
    let value = |name: &str| {
        let written = outcomes[0].samples.iter().find(|s| s.labels.name() == name);
        written.map(|written| written.value)
    };
    assert_eq!((value("n"), value("m")), (Some(10.0), Some(12.0)));
}
