mod failing;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use bellwether_model::label::LabelSet;
use bellwether_model::time::Mono;
use bellwether_model::wire::bytes::Reader;
use bellwether_promql::evaluate::{Budget, Options};
use bellwether_promql::pool::Serial;
use bellwether_promql::script::load::Loaded;
use bellwether_promql::script::series;
use bellwether_rules::alert::Alerts;
use bellwether_rules::file;
use bellwether_rules::template::Site;
use proptest::prelude::*;

use super::*;
use crate::pure::entry::Entry;

const RULES: &str = "\
groups:
- name: g
  interval: 1s
  rules:
  - {record: total, expr: sum(x)}
  - {record: each, expr: x > 1, labels: {from: rule}}
  - {alert: High, expr: each > 2, for: 2s, keep_firing_for: 2s, annotations: {text: 'is {{ $value }}'}}
  - {alert: Any, expr: total > 3, labels: {severity: page}}
";

fn plan(text: &str) -> ControlPlan {
    let file = file::read("r.yml", text).unwrap().0;
    let groups = file.groups.into_iter().map(|rules| PlannedGroup {
        key: GroupKey { file: "r.yml".into(), name: rules.name.as_str().into() },
        interval: rules.interval.unwrap(),
        rules: Arc::new(rules),
    });
    ControlPlan { groups: groups.collect(), ..ControlPlan::default() }
}

/// The machine with a keeper's projection beside it, driven through whole seconds.
struct World {
    control: Control,
    held: HeldRules,
    notices: NotifyState,
    view: Loaded,
    second: i64,
    position: u64,
    /// What was sent, and at which second; all of it arrives.
    sent: Vec<(i64, Delivery)>,
}

impl World {
    fn new(rows: &[String], text: &str) -> World {
        let rows: Vec<_> = rows.iter().map(|row| series::read(row).unwrap()).collect();
        let mut view = Loaded::default();
        view.add(Timestamp(0), Duration::from_secs(1), &rows).unwrap();
        let (held, notices) = (HeldRules::default(), NotifyState::default());
        let control = control(now(0), (&held, &notices), plan(text));
        World { control, held, notices, view, second: -1, position: 0, sent: Vec::new() }
    }

    /// One second; the journal has room or not. Gives the samples written.
    fn second(&mut self, has_room: bool) -> Vec<(LabelSet, i64, f64)> {
        self.second += 1;
        // Past the offset of the slot, so that each second has one.
        let now = now(self.second * 1000 + 999);
        let tick = Event::Tick { complete: now.wall, hosts_late: false };
        self.run(now, tick, has_room)
    }

    fn run(&mut self, now: Now, event: Event, has_room: bool) -> Vec<(LabelSet, i64, f64)> {
        let mut written = Vec::new();
        let mut effects = Vec::new();
        self.control.step(now, event, &mut effects);
        while !effects.is_empty() {
            for effect in std::mem::take(&mut effects) {
                let event = match effect {
                    Effect::Evaluate(job) => Event::Evaluated(Box::new(self.evaluate(job))),
                    Effect::Record(bytes) => Event::Recorded(self.record(&bytes, has_room)),
                    Effect::Send { delivery, .. } => {
                        let ticket = delivery.ticket.clone();
                        self.sent.push((self.second, delivery));
                        Event::Delivered { ticket, outcome: Delivered::answered(200, None, "") }
                    }
                    Effect::Show(_) | Effect::Hide(_) | Effect::GaveUp(_) => continue,
                    other => panic!("no rollout is announced: {other:?}"),
                };
                if let Event::Evaluated(done) = &event {
                    let samples = done.outcome.samples.iter();
                    written.extend(samples.map(|s| (s.labels.clone(), s.time.0, s.value)));
                }
                self.control.step(now, event, &mut effects);
            }
        }
        written
    }

    fn evaluate(&self, job: Job) -> Done {
        let (stop, site) = (AtomicBool::new(false), Site::default());
        let budget = Budget { samples_max: 10_000, stop: &stop };
        let means = Means { options: Options::default(), pool: &Serial, budget, site: &site };
        let at = now(self.second * 1000 + 999);
        job.run(&self.view, means, &mut || at)
    }

    fn record(&mut self, bytes: &[u8], has_room: bool) -> Option<Position> {
        if !has_room {
            return None;
        }
        match Entry::read(bytes).unwrap() {
            Entry::Evaluation(evaluation) => self.held.apply(&evaluation).unwrap(),
            Entry::GroupEnd { group, .. } => self.held.remove(&group),
            Entry::Notices(records) => records.iter().for_each(|r| self.notices.apply(r)),
            other => panic!("{other:?}"),
        }
        self.position += 1;
        Some(Position(self.position))
    }

    fn alerts(&self) -> Vec<Alerts> {
        self.control
            .groups
            .values()
            .flat_map(|l| l.state.rules.iter().map(|r| r.alerts.clone()))
            .collect()
    }

    /// What is held is what lives.
    fn check(&self) {
        for (key, live) in &self.control.groups {
            let held = self.held.get(key).unwrap().state(&live.planned.rules);
            for (held, lives) in held.rules.iter().zip(&live.state.rules) {
                assert_eq!(held.alerts, lives.alerts);
                assert_eq!(held.written, lives.written);
                assert_eq!(held.evaluated_at, lives.evaluated_at);
            }
        }
        let mut taken = HeldRules::default();
        self.held.put(&mut |bytes| {
            let mut reader = Reader::new(bytes);
            taken.take(&mut reader).unwrap();
            reader.finish().unwrap();
            for cut in 0..bytes.len() {
                assert!(HeldRules::default().take(&mut Reader::new(&bytes[..cut])).is_err());
            }
        });
        assert_eq!(taken, self.held);
    }

    /// The process ends and another begins.
    fn restart(&mut self, text: &str) {
        let now = now(self.second * 1000 + 999);
        self.control = control(now, (&self.held, &self.notices), plan(text));
    }
}

fn control(at: Now, held: (&HeldRules, &NotifyState), plan: ControlPlan) -> Control {
    let (store, (rules, notify), guard) = (StoreId([7; 16]), held, &GuardState::default());
    let key = &SecretKey::new([1; 32]);
    Control::new(at, Held { store, rules, notify, guard, key }, plan)
}

fn now(millis: i64) -> Now {
    Now { wall: Timestamp(millis), mono: Mono(Duration::from_millis(millis.unsigned_abs())) }
}

fn rows() -> impl Strategy<Value = Vec<String>> {
    let row = prop::collection::vec(0..5_u8, 1..30);
    prop::collection::vec(row, 1..4).prop_map(|rows| {
        let text = |(at, row): (usize, &Vec<u8>)| {
            let value = |value: &u8| match value {
                4 => "stale".to_owned(),
                value => value.to_string(),
            };
            let values: Vec<String> = row.iter().map(value).collect();
            format!("x{{i=\"{at}\"}} {}", values.join(" "))
        };
        rows.iter().enumerate().map(text).collect()
    })
}

proptest! {
    #[test]
    fn what_is_held_is_what_lives_and_a_restart_changes_nothing(
        rows in rows(),
        restarts in prop::collection::btree_set(0..30_usize, 0..5),
    ) {
        let mut world = World::new(&rows, RULES);
        let mut other = World::new(&rows, RULES);
        for second in 0..30 {
            prop_assert_eq!(world.second(true).is_empty(), other.second(true).is_empty());
            if restarts.contains(&second) {
                world.restart(RULES);
            }
            world.check();
            prop_assert_eq!(world.alerts(), other.alerts());
        }
        prop_assert_eq!(world.control.stats().missed, 0);
    }

    #[test]
    fn a_slot_that_the_journal_has_no_room_for_never_was(
        rows in rows(),
        full in prop::collection::btree_set(0..29_usize, 0..15),
    ) {
        let mut world = World::new(&rows, RULES);
        for second in 0..30 {
            world.second(!full.contains(&second));
            if world.held.keys().next().is_some() {
                world.check();
            }
        }
        prop_assert_eq!(world.control.stats().unrecorded, full.len() as u64);
    }
}

#[test]
fn a_rule_that_is_moved_takes_its_state_along_and_one_that_is_gone_leaves_none() {
    let mut world = World::new(&["x{i=\"0\"} 9x30".to_owned()], RULES);
    (0..5).for_each(|_| drop(world.second(true)));
    let changed = "\
groups:
- name: g
  interval: 1s
  rules:
  - {alert: Any, expr: sum(x) > 3, labels: {severity: page}}
  - {record: total, expr: sum(x)}
";
    let began = |world: &World| {
        let states = world.alerts();
        let any = states.iter().flat_map(Alerts::active);
        let any = any.filter(|(labels, _)| labels.get("alertname") == Some("Any"));
        any.map(|(_, alert)| alert.active_at).collect::<Vec<_>>()
    };
    let before = began(&world);
    assert_eq!(before.len(), 1);
    for how in ["reload", "restart"] {
        if how == "reload" {
            let at = now(world.second * 1000 + 999);
            world.run(at, Event::Plan(plan(changed)), true);
        } else {
            world.restart(changed);
        }
        world.second(true);
        world.check();
        assert_eq!(began(&world), before, "{how}");
        assert_eq!(world.alerts().len(), 2, "{how}");
    }
    // A group that is gone from the files ends, here and at a start.
    let other = "groups:\n- {name: h, interval: 1s, rules: [{record: a, expr: x}]}\n";
    world.restart(other);
    world.second(true);
    let names: BTreeSet<&str> = world.held.keys().map(|key| &*key.name).collect();
    assert_eq!(names, ["h"].into());
}

#[test]
fn nothing_is_evaluated_while_hosts_are_on_their_way() {
    let mut world = World::new(&["x 9x30".to_owned()], RULES);
    let tick = |at: Now, hosts_late| Event::Tick { complete: at.wall, hosts_late };
    for second in 1..=10 {
        let at = now(second * 1000 - 1);
        assert!(world.run(at, tick(at, true), true).is_empty());
    }
    let at = now(10_999);
    assert!(!world.run(at, tick(at, true), true).is_empty(), "not for ever");
    assert_eq!(world.control.stats().missed, 0);
}

#[test]
fn a_delta_without_its_base_is_refused_and_the_group_forgotten() {
    let mut world = World::new(&["x 9x30".to_owned()], RULES);
    world.second(true);
    let key = GroupKey { file: "r.yml".into(), name: "g".into() };
    let mut held = world.held.clone();
    let skipped = evaluation::Evaluation {
        group: key.clone(),
        number: 7,
        slot: Timestamp(9000),
        time: Timestamp(9000),
        rules: Vec::new(),
        columns: Vec::new(),
        values: Vec::new(),
        alerts: Vec::new(),
    };
    assert_eq!(held.apply(&skipped), Err(held::BaseMissing));
    assert!(held.get(&key).is_none());
}

#[test]
fn each_rule_is_timed_by_itself() {
    let world = World::new(&["x{i=\"1\"} 1 2 3".to_owned()], RULES);
    let live = world.control.groups.values().next().unwrap();
    let job = Job {
        key: live.planned.key.clone(),
        generation: 0,
        rules: Arc::clone(&live.planned.rules),
        state: Arc::clone(&live.state),
        slot: Timestamp(1000),
        is_slow: false,
    };
    let (stop, site) = (AtomicBool::new(false), Site::default());
    let budget = Budget { samples_max: 10_000, stop: &stop };
    let means = Means { options: Options::default(), pool: &Serial, budget, site: &site };
    // The first rule takes 1 ms, the second 2 ms.
    let (mut at, mut step) = (5000, 0);
    let mut clock = || {
        at += step;
        step += 1;
        now(at)
    };
    let done = job.run(&world.view, means, &mut clock);
    let time =
        |began, took| RuleTime { began: Timestamp(began), took: Duration::from_millis(took) };
    assert_eq!(done.times, [time(5000, 1), time(5001, 2), time(5003, 3), time(5006, 4)]);
    assert_eq!(done.took, Duration::from_millis(10));
}

#[test]
fn rules_that_change_while_a_slot_is_on_its_way_wait_for_it() {
    for has_room in [true, false] {
        let mut world = World::new(&["x{i=\"0\"} 9x30".to_owned()], RULES);
        let at = now(999);
        let tick = Event::Tick { complete: at.wall, hosts_late: false };
        let mut effects = Vec::new();
        world.control.step(at, tick, &mut effects);
        let Some(Effect::Evaluate(job)) = effects.pop() else { panic!("{effects:?}") };
        let done = world.evaluate(job);
        world.control.step(at, Event::Evaluated(Box::new(done)), &mut effects);
        let Some(Effect::Record(bytes)) = effects.pop() else { panic!("{effects:?}") };
        let is_known = |world: &World| world.alerts().iter().any(|a| a.iter().next().is_some());
        assert!(!is_known(&world), "nothing follows from what has no position");
        world.control.step(at, Event::Plan(plan(RULES)), &mut effects);
        assert!(effects.is_empty(), "{effects:?}");
        let position = world.record(&bytes, has_room);
        world.control.step(at, Event::Recorded(position), &mut effects);
        assert_eq!(is_known(&world), has_room, "a slot without a position never was");
        assert_eq!(world.control.generation, 1);
        world.second += 1;
        world.second(true);
        world.check();
    }
}

#[test]
fn a_rule_that_yields_more_than_an_entry_fails_and_its_group_goes_on() {
    let text = "z".repeat(4000);
    let rules = format!(
        "groups:\n- name: g\n  interval: 1s\n  rules:\n\
         \x20 - {{record: big, expr: 'x > 0', labels: {{text: '{text}'}}}}\n\
         \x20 - {{record: small, expr: 'sum(x)'}}\n\
         \x20 - {{alert: A, expr: 'sum(x) > 0'}}\n"
    );
    let rows: Vec<String> = (0..4200).map(|i| format!("x{{i=\"{i}\"}} 0 1x5")).collect();
    let mut world = World::new(&rows, &rules);
    for _ in 0..3 {
        world.second(true);
    }
    let key = world.held.keys().next().unwrap().clone();
    let errors: Vec<_> = {
        let state = world.control.state(&key).unwrap();
        state.rules.iter().map(|rule| rule.error.clone()).collect()
    };
    let error = errors[0].as_deref().unwrap();
    assert!(error.contains("more than an entry holds"), "{error}");
    assert_eq!(errors[1..], [None, None]);
    assert!(world.control.stats().failures >= 1 && world.control.stats().samples > 0);
    assert!(world.alerts()[2].iter().next().is_some(), "the alert beside it fires");
    world.check();
}

#[test]
fn an_alert_that_yields_more_than_an_entry_fails_and_keeps_its_state() {
    let text = "z".repeat(16_000);
    let rules = format!(
        "groups:\n- name: g\n  interval: 1s\n  rules:\n\
         \x20 - {{alert: A, expr: 'x > 0', annotations: {{text: '{text}'}}}}\n"
    );
    let rows: Vec<String> = (0..1100).map(|i| format!("x{{i=\"{i}\"}} 0 1x5")).collect();
    let mut world = World::new(&rows, &rules);
    world.second(true);
    world.second(true);
    world.check();
    let key = world.held.keys().next().unwrap();
    let error = world.control.state(key).unwrap().rules[0].error.clone().unwrap();
    assert!(error.contains("more than an entry holds"), "{error}");
    assert_eq!(world.control.stats().failures, 1);
    assert!(world.alerts()[0].iter().next().is_none());
}
