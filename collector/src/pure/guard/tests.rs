mod ends;
mod undo;

use std::time::Duration;

use bellwether_model::label::LabelSet;
use bellwether_model::signal::{Answer, Signal, Status};
use bellwether_model::time::Mono;
use bellwether_model::wire::bytes::Reader;
use bellwether_rules::record::{Hash, verify};
use bellwether_rules::service::{Catalogue, Environment, Mode, Risk, Service, Sli};
use bellwether_rules::verdict::{Arm, Verdict};

use super::action::{Action, Finding, Lack, Missing, Side, action};
use super::announce::Announce;
use super::count::Read;
use super::event::{Ask, Reply};
use super::plan::{HookPlan, HooksPlan};
use super::record::{Count, Second, Sight};
use super::*;
use crate::pure::notify::event::AlertNow;
use crate::pure::notify::select::read_matcher;

/// The second of the announce.
const BEGAN: i64 = 1_780_000_000;

fn now(second: i64) -> Now {
    let wall = Timestamp(second * 1000 + 100);
    Now { wall, mono: Mono(Duration::from_secs(second.unsigned_abs())) }
}

fn key() -> SecretKey {
    SecretKey::new([7; 32])
}

fn plan(mode: Mode, floor: Risk) -> GuardPlan {
    let matchers = |text: &str| vec![read_matcher(text).unwrap()];
    let sli = Sli::Bad { total: matchers("__name__=requests"), bad: matchers("__name__=bad") };
    let service = Service {
        name: "shop".into(),
        owner: String::new(),
        runbook: Some("https://wiki/shop".to_owned()),
        version_label: "version".to_owned(),
        stratum_label: None,
        train_requests: 20,
        mode,
        hook: Some("switch".into()),
        slis: [("errors".to_owned(), sli)].into(),
        environments: BTreeMap::new(),
        cost_key: None,
    };
    let environment = Environment {
        name: "production".into(),
        mode: Mode::Act,
        risk_floor: floor,
        matchers: Vec::new(),
        alert_labels: LabelSet::new([("team", "ops")]).unwrap(),
    };
    let catalogue = Catalogue {
        services: [("shop".into(), Arc::new(service))].into(),
        environments: [("production".into(), Arc::new(environment))].into(),
    };
    let hook = HookPlan::Runner { secrets: Vec::new() };
    let hooks = HooksPlan([("switch".into(), Arc::new(hook))].into());
    GuardPlan { catalogue: Arc::new(catalogue), hooks }
}

fn announce(more: &str) -> String {
    format!(
        "{{\"id\":\"r1\",\"service\":\"shop\",\"environment\":\"production\",\
         \"from\":\"1.0\",\"to\":\"1.1\"{more}}}"
    )
}

/// A guard, the fold of what it had journalled, and what it did.
struct World {
    guard: Guard,
    folded: GuardState,
    second: i64,
    posted: Vec<Arc<Intent>>,
    files: BTreeMap<String, Vec<u8>>,
    jobs: Vec<CountJob>,
    replies: Vec<Reply>,
    plan: GuardPlan,
    disk: Disk,
    /// It is made anew after each second.
    restarts: bool,
}

/// What becomes of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Works,
    Full,
    /// The process ends before it has written any.
    Unreached,
}

impl World {
    fn new(plan: GuardPlan) -> World {
        World {
            guard: Guard::new(GuardState::default(), plan.clone(), key()),
            folded: GuardState::default(),
            second: BEGAN - 1,
            posted: Vec::new(),
            files: BTreeMap::new(),
            jobs: Vec::new(),
            replies: Vec::new(),
            plan,
            disk: Disk::Works,
            restarts: false,
        }
    }

    fn announced(mode: Mode, more: &str) -> World {
        let mut world = World::new(plan(mode, Risk::Low));
        let reply = world.announce(&announce(more));
        assert!(matches!(reply, Reply::Begun(_)), "{reply:?}");
        world
    }

    fn step(&mut self, event: Event) {
        let mut out = Vec::new();
        self.guard.step(self.now(), event, &mut out);
        let mut kept = Vec::new();
        for effect in out {
            match effect {
                Effect::Record(record) => self.folded.apply(&record),
                Effect::Post(signal) => self.posted.push(signal),
                Effect::Closed(signal) => self.posted.retain(|one| one.number != signal.number),
                Effect::Keep(job) if self.disk == Disk::Works => {
                    let before = self.files.insert(job.name.clone(), job.bytes.clone());
                    let is_same = before.is_none_or(|before| before == job.bytes);
                    assert!(is_same, "the same bytes again");
                    kept.push(Event::Kept { job, is_written: true });
                }
                Effect::Keep(job) if self.disk == Disk::Full => {
                    kept.push(Event::Kept { job, is_written: false });
                }
                Effect::Keep(_) => {}
                Effect::Count(job) => self.jobs.push(job),
                Effect::Reply { reply, .. } => self.replies.push(reply),
                Effect::Send(delivery) => panic!("no webhook is configured: {delivery:?}"),
            }
        }
        assert_eq!(*self.guard.state(), self.folded, "the state is the fold of its records");
        kept.into_iter().for_each(|event| self.step(event));
    }

    fn tick(&mut self) {
        self.second += 1;
        self.step(Event::Tick { complete: self.now().wall });
    }

    /// The second after the one that is counted has begun.
    fn now(&self) -> Now {
        now(self.second + 1)
    }

    /// From the bytes of a checkpoint.
    fn restart(&mut self) {
        let mut state = GuardState::default();
        self.folded.put_rollouts(&mut |bytes| {
            let mut reader = Reader::new(bytes);
            state.take_rollout(&mut reader).unwrap();
            reader.finish().unwrap();
        });
        let mut rest = Vec::new();
        self.folded.put_rest(&mut rest);
        state.take_rest(&mut Reader::new(&rest)).unwrap();
        assert_eq!(state, self.folded);
        self.guard = Guard::new(state, self.plan.clone(), key());
        self.jobs.clear();
    }

    fn ask(&mut self, ask: Ask) -> Reply {
        self.step(Event::Asked { ticket: 1, by: "ci".to_owned(), ask });
        self.replies.pop().unwrap()
    }

    fn announce(&mut self, text: &str) -> Reply {
        match Announce::read(text.as_bytes()) {
            Ok(announce) => {
                let reply = self.ask(Ask::Announce(Box::new(announce)));
                // What is left of its own second is not judged.
                self.second += 1;
                reply
            }
            Err(problems) => Reply::Wrong(problems),
        }
    }

    fn say(&mut self, word: Word) -> Reply {
        self.say_of("r1", word)
    }

    fn say_of(&mut self, rollout: &str, word: Word) -> Reply {
        self.ask(Ask::Say { rollout: rollout.into(), word, reason: String::new() })
    }

    fn answer(&mut self, status: Status, version: &str) {
        self.answers(status, Some(version));
    }

    fn answers(&mut self, status: Status, version: Option<&str>) {
        let key = self.posted.first().unwrap().key.to_string();
        let current_version = version.map(str::to_owned);
        let retry = status == Status::Failed;
        let answer = Answer { key, status, current_version, detail: String::new(), retry };
        let reply = self.ask(Ask::Answer { hook: "switch".into(), answer });
        assert!(matches!(reply, Reply::Heard(Ok(()))), "{reply:?}");
    }

    /// The next second has these counts: (n, bad) of canary and baseline.
    fn count(&mut self, canary: (u64, u64), baseline: (u64, u64)) {
        self.sees((Sight::Seen, canary), (Sight::Seen, baseline));
    }

    /// A second within a window of slow targets: it has no counts.
    fn sees_nothing(&mut self, canary: Sight) {
        self.second(canary, Sight::Seen, Vec::new());
    }

    fn sees(&mut self, canary: (Sight, (u64, u64)), baseline: (Sight, (u64, u64))) {
        let arm = |(n, bad): (u64, u64)| Arm { n, bad };
        let is_counted = canary.0 != Sight::Blind && baseline.0 != Sight::Blind;
        let count = Count { sli: 0, stratum: 0, canary: arm(canary.1), baseline: arm(baseline.1) };
        let counts = if is_counted { vec![count] } else { Vec::new() };
        self.second(canary.0, baseline.0, counts);
    }

    fn second(&mut self, canary: Sight, baseline: Sight, counts: Vec<Count>) {
        self.tick();
        let second = Second { second: self.second, canary, baseline, counts };
        let strata = if self.folded.rollouts.values().all(|one| one.strata.is_empty()) {
            vec![String::new()]
        } else {
            Vec::new()
        };
        let Some(job) = self.jobs.pop() else {
            assert_eq!(self.folded.open().count(), 0, "what is open is counted");
            return;
        };
        let read = Read { seconds: vec![second], strata, ..Read::default() };
        self.step(Event::Counted(Box::new(Counted { job, read })));
        if self.restarts {
            self.restart();
        }
    }

    fn action(&self) -> &'static str {
        self.action_of("r1")
    }

    fn action_of(&self, rollout: &str) -> &'static str {
        self.guard.row(rollout).unwrap().action
    }

    fn alerts(&self) -> impl Iterator<Item = AlertNow> {
        let alerts = self.guard.alerts(self.now().wall, "http://c");
        alerts.into_iter().flat_map(|(_, alerts)| alerts)
    }

    fn told(&self) -> Vec<String> {
        let firing = self.alerts().filter(|alert| alert.ends_at.is_none());
        firing.map(|alert| alert.labels.get("alertname").unwrap().to_owned()).collect()
    }

    /// The only one.
    fn file(&self) -> &Vec<u8> {
        assert_eq!(self.files.len(), 1);
        self.files.values().next().unwrap()
    }

    fn rollout(&self) -> &state::Rollout {
        self.folded.rollouts.get("r1").unwrap()
    }
}

#[test]
fn a_healthy_rollout_is_watched_to_its_end_and_has_a_record_that_verifies() {
    for restarts in [false, true] {
        let mut world = World::announced(Mode::Act, ",\"watch\":\"1m\"");
        world.restarts = restarts;
        (0..120).for_each(|i| world.count((10, u64::from(i % 60 == 0)), (190, 1)));
        assert!(matches!(world.say(Word::Finish), Reply::Done));
        (0..61).for_each(|_| world.count((10, 0), (190, 1)));
        let (end, _) = world.rollout().ended.unwrap();
        assert_eq!(end, End::Watched);
        assert!(world.posted.is_empty() && world.told().is_empty());
        let file = world.file();
        let report = verify(file, &key().public(), None);
        assert_eq!(report.failures, []);
        assert_ne!(report.record.unwrap().outcome.verdict, Verdict::Fail);
        assert!(matches!(world.announce(&announce("")), Reply::Conflict(_)), "a replay");
    }
}

#[test]
fn a_bad_canary_is_rolled_back_once_whenever_the_collector_restarts() {
    let mut bodies = BTreeSet::new();
    for restarts in [false, true] {
        let mut world = World::announced(Mode::Act, "");
        world.restarts = restarts;
        (0..60).for_each(|_| world.count((10, 0), (190, 0)));
        let mut bad = 0;
        while world.posted.is_empty() {
            world.count((10, 10), (190, 0));
            bad += 1;
            assert!(bad < 10, "{bad} seconds of nothing but errors");
        }
        let signal = Arc::clone(world.posted.first().unwrap());
        bodies.insert(signal.body.to_vec());
        let read: Signal = serde_json::from_slice(&signal.body).unwrap();
        assert_eq!((&*read.data.from, &*read.data.to), ("1.1", "1.0"));
        assert_eq!(read.data.generation, 1);
        let record = read.data.record.unwrap();
        let file = world.files.get(&record.name).unwrap();
        let report = verify(file, &key().public(), None);
        assert_eq!((report.failures, report.hash.to_string()), (Vec::new(), record.sha256));
        assert_eq!(report.record.unwrap().outcome.verdict, Verdict::Fail);
        assert_eq!(world.told(), ["BellwetherRolloutFailed"]);
        (0..20).for_each(|_| world.count((10, 10), (190, 0)));
        assert!(world.posted.iter().all(|one| one.number == signal.number), "asked once");
        world.answer(Status::Done, "1.0");
        assert!(world.posted.is_empty());
        assert_eq!(world.rollout().ended.map(|(end, _)| end), Some(End::Failed));
        assert!(world.told().is_empty());
    }
    assert_eq!(bodies.len(), 1, "the same bytes with restarts and without");
}

#[test]
fn what_a_version_did_before_its_announce_is_not_held_against_it() {
    let mut world = World::announced(Mode::Act, "");
    world.step(Event::Tick { complete: now(BEGAN).wall });
    let count = Count {
        sli: 0,
        stratum: 0,
        canary: Arm { n: 10, bad: 10 },
        baseline: Arm { n: 190, bad: 0 },
    };
    let (canary, baseline) = (Sight::Seen, Sight::Seen);
    let second = |second| Second { second, canary, baseline, counts: vec![count] };
    let seconds = (BEGAN - 300..=BEGAN).map(second).collect();
    let (job, strata) = (world.jobs.pop().unwrap(), vec![String::new()]);
    let read = Read { seconds, strata, ..Read::default() };
    world.step(Event::Counted(Box::new(Counted { job, read })));
    assert_eq!((world.action(), world.posted.len()), ("go", 0));
    (0..60).for_each(|_| world.count((10, 0), (190, 0)));
    assert_eq!((world.action(), world.posted.len()), ("go", 0));
    while world.posted.is_empty() {
        world.count((10, 10), (190, 0));
    }
}

#[test]
fn a_second_is_counted_once_its_targets_are_read_and_not_all_the_time() {
    let mut world = World::announced(Mode::Act, "");
    world.count((10, 0), (190, 0));
    let end = (world.second + 2) * 1000;
    let next = |world: &World| world.guard.next_wakeup().unwrap().0;
    assert_eq!(next(&world), end, "nothing is to be counted before");
    // It has ended, and nothing is read yet.
    world.tick();
    let job = world.jobs.pop().unwrap();
    world.step(Event::Counted(Box::new(Counted { job, read: Read::default() })));
    assert_eq!(next(&world), world.now().wall.0 + 100);
}

#[test]
fn what_comes_after_the_failure_is_not_kept() {
    let mut world = World::announced(Mode::Act, ",\"irreversible\":true");
    (0..60).for_each(|_| world.count((10, 10), (190, 0)));
    let counted = world.rollout().seconds.iter().filter(|second| !second.counts.is_empty());
    assert_eq!(counted.count(), world.rollout().decided[0].seconds);
    assert_eq!(world.rollout().seconds.len(), 60);
}

#[test]
fn an_outage_of_both_arms_rolls_nothing_back() {
    let mut world = World::announced(Mode::Act, ",\"risk\":\"low\"");
    (0..30).for_each(|_| world.count((10, 0), (190, 0)));
    (0..60).for_each(|_| world.count((10, 5), (190, 95)));
    assert_eq!((world.action(), world.posted.len()), ("go", 0));
    assert!(world.told().is_empty());
}

#[test]
fn what_mode_and_risk_let_be_done_is_done() {
    for (mode, risk, expected, signals, told) in [
        (Mode::Observe, "critical", "record", 0, 0),
        (Mode::Advise, "medium", "advise", 0, 1),
        (Mode::Act, "low", "roll back", 1, 1),
        (Mode::Act, "high", "roll back", 1, 1),
        (Mode::Act, "critical", "freeze", 1, 1),
    ] {
        let mut world = World::announced(mode, &format!(",\"risk\":\"{risk}\""));
        (0..30).for_each(|_| world.count((10, 10), (190, 0)));
        assert_eq!(world.action(), expected, "{mode:?} {risk}");
        assert_eq!(world.posted.len(), signals, "{mode:?} {risk}");
        assert_eq!(world.told().len(), told, "{mode:?} {risk}");
        assert_eq!(world.files.len(), 1, "each has its record");
    }
}

#[test]
fn a_canary_that_is_gone_fails_and_a_baseline_that_is_gone_does_not() {
    let (here, gone) = ((Sight::Seen, (190, 0)), (Sight::Dead, (0, 0)));
    let mut world = World::announced(Mode::Act, "");
    (0..10).for_each(|_| world.count((10, 0), (190, 0)));
    (0..7).for_each(|_| world.sees(gone, here));
    assert_eq!((world.action(), world.posted.len()), ("roll back", 1));
    let mut world = World::announced(Mode::Act, "");
    (0..10).for_each(|_| world.count((10, 0), (190, 0)));
    (0..7).for_each(|_| world.sees((Sight::Seen, (10, 0)), gone));
    assert_eq!((world.action(), world.posted.len()), ("hold", 0));
    let mut world = World::announced(Mode::Act, "");
    (0..7).for_each(|_| world.sees(gone, gone));
    assert_eq!((world.action(), world.posted.len()), ("hold", 0), "both: nobody's fault");
}

#[test]
fn one_failed_read_of_a_slow_target_is_no_death() {
    let mut world = World::announced(Mode::Act, "");
    let mut slow = |canary: (Sight, (u64, u64)), windows: u32| {
        for _ in 0..windows {
            (0..14).for_each(|_| world.sees_nothing(canary.0));
            match canary.0 {
                Sight::Dead => world.sees_nothing(Sight::Dead),
                _ => world.sees(canary, (Sight::Seen, (190, 0))),
            }
        }
        (world.action(), world.posted.len())
    };
    assert_eq!(slow((Sight::Seen, (10, 0)), 4), ("go", 0));
    assert_eq!(slow((Sight::Dead, (0, 0)), 2).1, 0, "two of them are none either");
    assert_eq!(slow((Sight::Seen, (10, 0)), 4), ("go", 0));
    assert_eq!(slow((Sight::Dead, (0, 0)), 4), ("roll back", 1));
}

#[test]
fn missing_data_does_what_risk_says_for_each_lack_and_arm() {
    let done = |risk: Risk| match risk {
        Risk::Low => "note",
        Risk::Medium | Risk::High => "hold",
        Risk::Critical => "freeze",
    };
    let (canary, baseline) = ((Sight::Seen, (10, 0)), (Sight::Seen, (190, 0)));
    for risk in Risk::ALL {
        for (sight, seconds) in [(Sight::Seen, 60), (Sight::Blind, 10), (Sight::Dead, 5)] {
            for side in [Side::Canary, Side::Baseline] {
                let more = format!(",\"risk\":\"{}\"", risk.name());
                let mut world = World::announced(Mode::Act, &more);
                (0..5).for_each(|_| world.sees(canary, baseline));
                let lacks = (sight, (0, 0));
                for _ in 0..=seconds {
                    match side {
                        Side::Canary => world.sees(lacks, baseline),
                        Side::Baseline => world.sees(canary, lacks),
                    }
                }
                let fails = sight == Sight::Dead && side == Side::Canary;
                let expected = match (fails, risk) {
                    (true, Risk::Critical) => "freeze",
                    (true, _) => "roll back",
                    (false, _) => done(risk),
                };
                assert_eq!(world.action(), expected, "{risk:?} {sight:?} {side:?}");
                assert_eq!(world.posted.len(), usize::from(fails), "{risk:?} {sight:?} {side:?}");
                let told = usize::from(fails || matches!(risk, Risk::High | Risk::Critical));
                assert_eq!(world.told().len(), told, "{risk:?} {sight:?} {side:?}");
                if fails {
                    continue;
                }
                world.sees(canary, baseline);
                assert_eq!(world.action(), "go", "{risk:?} {sight:?} {side:?}: data is back");
            }
        }
    }
}

#[test]
fn medium_risk_tells_of_missing_data_after_ten_minutes() {
    let Reply::Begun(announced) = World::new(plan(Mode::Act, Risk::Low)).announce(&announce(""))
    else {
        panic!("announced")
    };
    let missing = |seconds| {
        let missing = Missing { side: Side::Canary, lack: Lack::Blind, seconds };
        action(&announced, Finding::Missing(missing))
    };
    assert_eq!(missing(9), Action::Go);
    assert_eq!(missing(10), Action::Hold { told: false });
    assert_eq!(missing(600), Action::Hold { told: true });
}

#[test]
fn announces_are_taken_once_and_wrong_ones_say_all_that_is_wrong() {
    let mut world = World::announced(Mode::Act, "");
    assert!(matches!(world.announce(&announce("")), Reply::Known(_)));
    assert!(matches!(world.announce(&announce(",\"risk\":\"high\"")), Reply::Conflict(_)));
    let other = announce("").replace("r1", "r2");
    assert!(matches!(world.announce(&other), Reply::Conflict(_)), "one of a lane at a time");
    assert!(matches!(world.say(Word::Abort), Reply::Done));
    assert_eq!(world.rollout().ended.map(|(end, _)| end), Some(End::Aborted));
    assert!(matches!(world.announce(&other), Reply::Begun(_)));

    let mut world = World::new(plan(Mode::Act, Risk::High));
    let Reply::Begun(begun) = world.announce(&announce(",\"risk\":\"low\"")) else {
        panic!("begun")
    };
    assert_eq!((begun.risk, begun.alpha), (Risk::High, 1e-3), "the floor holds");

    let mut world = World::new(plan(Mode::Act, Risk::Low));
    for (text, problems) in [
        ("[]", 1),
        ("{", 1),
        ("{}", 5),
        (&announce(",\"x\":1,\"risk\":\"no\",\"alpha\":0,\"watch\":3,\"canary\":[\"=\"]"), 5),
        (&announce(",\"alpha\":0.02"), 1),
        (&announce(",\"at\":\"2020-01-01T00:00:00Z\""), 1),
        (&announce("").replace("1.1", "1.0"), 1),
        (&announce("").replace("shop", "stock"), 1),
        (&announce("").replace("1.1", "$(reboot)"), 1),
    ] {
        let Reply::Wrong(found) = world.announce(text) else { panic!("{text} is taken") };
        assert_eq!(found.len(), problems, "{text}: {found:?}");
    }
    assert_eq!(world.folded, GuardState::default());
}

#[test]
fn a_service_that_the_journal_cannot_keep_is_refused() {
    let mut plan = plan(Mode::Act, Risk::Low);
    let mut catalogue = Catalogue::clone(&plan.catalogue);
    let mut service = Service::clone(&catalogue.services["shop"]);
    let many = vec![read_matcher("a=b").unwrap(); 1000];
    let sli = Sli::Bad { total: many.clone(), bad: many };
    service.slis = [("errors".to_owned(), sli)].into();
    catalogue.services.insert("shop".into(), Arc::new(service));
    plan.catalogue = Arc::new(catalogue);
    let mut world = World::new(plan);
    let Reply::Wrong(problems) = world.announce(&announce("")) else { panic!("it is taken") };
    assert!(problems[0].contains("longer than the journal keeps"), "{problems:?}");
}

#[test]
fn a_record_with_one_byte_changed_does_not_verify() {
    let mut world = World::announced(Mode::Observe, "");
    (0..20).for_each(|_| world.count((10, 10), (190, 0)));
    let mut file = world.file().clone();
    let middle = file.len() / 2;
    file[middle] ^= 1;
    assert!(!verify(&file, &key().public(), None).failures.is_empty());
}

#[test]
fn a_report_tells_people_what_happened() {
    let mut world = World::announced(Mode::Act, "");
    (0..20).for_each(|_| world.count((10, 10), (190, 0)));
    let text = view::markdown(&world.guard.row("r1").unwrap());
    for part in
        ["# shop 1.1 in production: failed", "| errors | fail |", "rollback to switch: intended"]
    {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let list = view::list(&world.guard.report(world.now().wall));
    let one = list.rollouts.first().unwrap();
    assert!(one.hold && one.reason.starts_with("errors: "), "{one:?}");
}
