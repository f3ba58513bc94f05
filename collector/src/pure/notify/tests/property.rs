//! Random rules, receivers that fail at random, restarts at any moment.

use proptest::prelude::*;

use super::*;
use crate::pure::notify::lane::Sight;

#[derive(Clone, Debug)]
enum Move {
    /// Which of an alert's states its rule tells.
    Feed {
        rule: usize,
        firing: u8,
    },
    Wait {
        seconds: u64,
    },
    /// How the oldest delivery on its way is answered.
    Answer(Kind),
    Restart,
    Reload {
        send_resolved: bool,
        group_all: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Taken,
    /// Taken, but the answer was lost.
    TakenUnknown,
    Refused,
    Failed,
    Wait,
    Rejected,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let kind = prop_oneof![
        3 => Just(Kind::Taken),
        1 => Just(Kind::TakenUnknown),
        1 => Just(Kind::Refused),
        1 => Just(Kind::Failed),
        1 => Just(Kind::Wait),
        1 => Just(Kind::Rejected),
    ];
    let one = prop_oneof![
        4 => (0..2_usize, any::<u8>()).prop_map(|(rule, firing)| Move::Feed { rule, firing }),
        3 => prop_oneof![0..3_u64, 0..400_u64, 0..20_000_u64]
            .prop_map(|seconds| Move::Wait { seconds }),
        5 => kind.prop_map(Move::Answer),
        1 => Just(Move::Restart),
        1 => any::<(bool, bool)>().prop_map(|(send_resolved, group_all)| Move::Reload {
            send_resolved,
            group_all
        }),
    ];
    proptest::collection::vec(one, 1..60)
}

/// What somebody who reads all bodies knows.
#[derive(Default)]
struct Reader {
    bodies: BTreeMap<String, Arc<[u8]>>,
    /// By receiver and alert: the last status and its start.
    last: BTreeMap<(String, String), (String, String)>,
    /// Receivers and alerts that were ever told.
    ever: std::collections::BTreeSet<(String, String)>,
}

impl Reader {
    fn read(&mut self, sent: &Sent) {
        let body = self.bodies.entry(sent.id.clone()).or_insert_with(|| Arc::clone(&sent.body));
        assert_eq!(*body, sent.body, "one id, one body");
        let json = sent.json();
        let receiver = json["receiver"].as_str().unwrap().to_owned();
        for alert in json["alerts"].as_array().unwrap() {
            let labels = alert["labels"].to_string();
            let text = |key: &str| alert[key].as_str().unwrap().to_owned();
            let key = (receiver.clone(), labels);
            self.ever.insert(key.clone());
            self.last.insert(key, (text("status"), text("startsAt")));
        }
    }
}

/// A world of two rules with four alerts each.
struct World {
    rig: Rig,
    reader: Reader,
    starts: BTreeMap<(usize, u8), Option<i64>>,
}

fn name(rule: usize, alert: u8) -> String {
    format!("alertname=A{rule},n={alert}")
}

fn planned(send_resolved: bool, group_all: bool) -> NotifyPlan {
    let group_by = if group_all { GroupBy::All } else { receiver("").group_by };
    let waits = ReceiverPlan { group_wait: seconds(30), ..receiver("b") };
    plan([ReceiverPlan { send_resolved, group_by, ..receiver("a") }, waits])
}

impl World {
    fn second(&self) -> i64 {
        (self.rig.now.0 - BEGIN) / 1000
    }

    fn feed(&mut self, rule: usize, bits: u8) {
        let now = self.second();
        let mut alerts = Vec::new();
        for alert in 0..4 {
            let starts = self.starts.entry((rule, alert)).or_default();
            let known = self.rig.fed.get(&super::rule(rule)).into_iter().flatten();
            let mut known = known.filter(|held| held.labels == labels(&name(rule, alert)));
            let known = known.next().cloned();
            if bits >> alert & 1 == 1 {
                let since = *starts.get_or_insert(now);
                alerts.push(firing(&name(rule, alert), since));
            } else if let Some(since) = starts.take() {
                alerts.push(resolved(&name(rule, alert), since, now));
            } else if let Some(old) = known.filter(|_| bits & 16 == 0) {
                // Remembered for a while.
                alerts.push(old);
            }
        }
        self.rig.feed(rule, alerts);
    }

    fn answer(&mut self, kind: Kind) {
        if self.rig.sent.is_empty() {
            return;
        }
        let sent = self.rig.sent.remove(0);
        if matches!(kind, Kind::Taken | Kind::TakenUnknown) {
            self.reader.read(&sent);
        }
        let outcome = match kind {
            Kind::Taken => status(200),
            Kind::TakenUnknown => timed_out(),
            Kind::Refused => refused(),
            Kind::Failed => status(500),
            Kind::Wait => {
                let asked = crate::pure::notify::record::RetryAfter::Seconds(50);
                Outcome::answered(429, Some(asked), "")
            }
            Kind::Rejected => status(400),
        };
        self.rig.answer(&sent, outcome);
    }

    fn make(&mut self, one: Move) {
        match one {
            Move::Feed { rule, firing } => self.feed(rule, firing),
            // Each due time is met, as the shell does.
            Move::Wait { seconds: by } => {
                let end = self.rig.now.saturating_add(seconds(by));
                while let Some(at) = self.rig.notifier.next_wakeup().filter(|at| *at <= end) {
                    self.rig.now = self.rig.now.max(at);
                    let before = self.rig.records.len();
                    self.rig.step(Event::Tick);
                    // A timer that stays due would never end.
                    let again = self.rig.notifier.next_wakeup();
                    assert!(again.is_none_or(|again| again > self.rig.now), "due for ever");
                    assert!(self.rig.records.len() < before + 100);
                }
                self.rig.now = end;
            }
            Move::Answer(kind) => self.answer(kind),
            Move::Restart => {
                // What was on its way has arrived or not; nobody heard of it.
                for (n, sent) in std::mem::take(&mut self.rig.sent).iter().enumerate() {
                    if n % 2 == 0 {
                        self.reader.read(sent);
                    }
                }
                self.rig.restart();
            }
            Move::Reload { send_resolved, group_all } => {
                self.rig.set_plan(planned(send_resolved, group_all));
            }
        }
    }

    /// A machine made from the state and told the same is the same, where nothing is on its way.
    fn is_the_same_after_a_restart(&self) {
        if !self.rig.sent.is_empty() {
            return;
        }
        let state = self.rig.notifier.state().clone();
        let mut other = Notifier::new(STORE, self.rig.plan.clone(), state);
        let now = Now { wall: self.rig.now, mono: Mono::default() };
        let mut effects = Vec::new();
        for (rule, alerts) in self.rig.fed.clone() {
            let slot = self.rig.now;
            other.step(now, Event::Rule { rule, interval: seconds(1), slot, alerts }, &mut effects);
        }
        other.step(now, Event::Restored, &mut effects);
        assert!(effects.is_empty(), "{effects:?}");
        assert_eq!(other.next_wakeup(), self.rig.notifier.next_wakeup());
        let groups = |notifier: &Notifier| {
            let Notifier { state, alerts, .. } = notifier;
            let sight = Sight { state, alerts, restored: true, now: now.wall };
            let rows = notifier.lanes.values().flat_map(|lane| lane.groups(sight));
            rows.map(|row| format!("{row:?}")).collect::<Vec<_>>()
        };
        assert_eq!(groups(&other), groups(&self.rig.notifier));
    }

    /// Once everybody answers, everybody knows.
    fn settles(&mut self) {
        self.rig.set_plan(planned(true, false));
        let mut steps = 0;
        loop {
            while !self.rig.sent.is_empty() {
                self.answer(Kind::Taken);
            }
            let soon = self.rig.now.saturating_add(seconds(1000));
            let Some(at) = self.rig.notifier.next_wakeup().filter(|at| *at <= soon) else { break };
            self.rig.now = self.rig.now.max(at);
            self.rig.step(Event::Tick);
            steps += 1;
            assert!(steps < 1000, "it never ends");
        }
        for ((rule, alert), starts) in &self.starts {
            let Some(since) = starts else { continue };
            let told = firing(&name(*rule, *alert), *since);
            let pairs = told.labels.iter().map(|(name, value)| (name.to_owned(), value.into()));
            let key = Value::Object(pairs.collect()).to_string();
            for receiver in ["a", "b"] {
                let last = self.reader.last.get(&(receiver.to_owned(), key.clone()));
                let (status, _) = last.unwrap_or_else(|| panic!("{receiver} never heard of {key}"));
                assert_eq!(status, "firing", "{receiver} of {key}");
            }
        }
        // What ended is ended for whoever was told that it fires.
        for ((receiver, key), (status, _)) in &self.reader.last {
            let fires = self.starts.iter().any(|((rule, alert), starts)| {
                let is_it =
                    key.contains(&format!("\"A{rule}\"")) && key.contains(&format!("\"{alert}\""));
                is_it && starts.is_some()
            });
            if !fires && receiver == "b" {
                assert_eq!(status, "resolved", "{receiver} of {key}");
            }
        }
        assert!(self.rig.notifier.state().open.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_page_is_lost_and_a_restart_changes_nothing(moves in moves()) {
        let rig = Rig::new(planned(true, false));
        let mut world = World { rig, reader: Reader::default(), starts: BTreeMap::new() };
        for one in moves {
            world.make(one);
            world.is_the_same_after_a_restart();
        }
        // Each notification that ended was delivered, given up or superseded; each that fired in
        // one that did not arrive is owed.
        world.settles();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn broken_bytes_are_refused_and_never_more_than_that(
        moves in moves(), flips in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..20),
    ) {
        let rig = Rig::new(planned(true, true));
        let mut world = World { rig, reader: Reader::default(), starts: BTreeMap::new() };
        moves.into_iter().for_each(|one| world.make(one));
        let mut bytes = Vec::new();
        world.rig.notifier.state().put(&mut bytes);
        for (at, value) in flips {
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
            drop(NotifyState::take(&mut bellwether_model::wire::bytes::Reader::new(&bytes)));
        }
        for record in &world.rig.records {
            let mut bytes = Vec::new();
            record.put(&mut bytes);
            for end in (0..bytes.len()).rev().take(200) {
                let mut cut = bellwether_model::wire::bytes::Reader::new(&bytes[..end]);
                prop_assert!(Record::read(&mut cut).is_err());
            }
        }
    }
}

#[test]
fn every_prefix_of_a_state_is_refused() {
    let mut rig = Rig::new(planned(true, true));
    rig.feed(0, vec![firing("alertname=A,n=1", 0), resolved("alertname=A,n=2", 0, 1)]);
    for outcome in [refused(), status(500), status(400), timed_out(), status(410), status(200)] {
        if let Some(sent) = rig.sent.pop() {
            rig.answer(&sent, outcome);
        }
        rig.next();
    }
    let mut bytes = Vec::new();
    rig.notifier.state().put(&mut bytes);
    assert!(bytes.len() > 1000);
    for end in 0..bytes.len() {
        let mut cut = bellwether_model::wire::bytes::Reader::new(&bytes[..end]);
        assert!(NotifyState::take(&mut cut).is_err(), "{end}");
    }
}
