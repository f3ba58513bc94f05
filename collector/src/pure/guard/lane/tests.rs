//! The rules of `collector/SIGNALS.md`, one by one. What happens under faults is simulated
//! (`tests/src/sim/signals.rs`).

use bellwether_model::config::Secret;
use bellwether_model::signal::{Signal, Status};
use bellwether_model::time::Mono;
use bellwether_model::wire::bytes::Reader;
use bellwether_platform::tls::ClientFiles;
use bellwether_rules::record::Hash;

use super::effect::Wanted;
use super::report::SignalState;
use super::*;
use crate::pure::notify::plan::Endpoint;
use crate::pure::notify::record::RetryAfter;

const START: i64 = 1_780_000_000_000;

fn at(millis: i64) -> Now {
    let mono = Mono(Duration::from_millis(millis.unsigned_abs()));
    Now { wall: Timestamp(START + millis), mono }
}

fn hooks() -> HooksPlan {
    let endpoint = Endpoint {
        url: Secret::text("http://hook.invalid/"),
        authorization: None,
        tls: ClientFiles { ca: None, identity: None },
        way: None,
        timeout: Duration::from_secs(3),
    };
    let endpoint = Box::new(endpoint);
    let web = HookPlan::Webhook { endpoint, secrets: Vec::new() };
    let runner = HookPlan::Runner { secrets: Vec::new() };
    HooksPlan([("web".into(), Arc::new(web)), ("run".into(), Arc::new(runner))].into())
}

fn wish(rollout: &str, kind: Kind, (from, to): (&str, &str), hook: &str) -> Wish {
    Wish {
        rollout: rollout.into(),
        service: "checkout".into(),
        environment: "production".into(),
        announced_at: at(0).wall,
        kind,
        confirmed: false,
        from: from.into(),
        to: to.into(),
        hook: (!hook.is_empty()).then(|| hook.into()),
        reason: "errors: 5.1 %, baseline 0.1 %".to_owned(),
        record: None,
    }
}

fn rollback(rollout: &str, hook: &str) -> Wish {
    wish(rollout, Kind::Rollback, ("2", "1"), hook)
}

/// The machine with what it has had done; each step is compared with the fold of its records.
struct Fixture {
    lanes: Lanes,
    folded: LanesState,
    out: Vec<Effect>,
}

impl Fixture {
    fn new() -> Fixture {
        let lanes = Lanes::new(LanesState::default(), hooks());
        Fixture { lanes, folded: LanesState::default(), out: Vec::new() }
    }

    fn want(&mut self, millis: i64, wish: Wish) -> (Wanted, Vec<String>) {
        let wanted = self.lanes.want(at(millis), wish, &mut self.out);
        (wanted, self.done())
    }

    fn tick(&mut self, millis: i64) -> Vec<String> {
        self.lanes.tick(at(millis), &mut self.out);
        self.done()
    }

    fn status(&mut self, millis: i64, attempt: (u64, u32), status: u16) -> Vec<String> {
        let outcome = Outcome::answered(status, None, "");
        self.lanes.delivered(at(millis), attempt, &outcome, b"", &mut self.out);
        self.done()
    }

    fn says(&mut self, millis: i64, attempt: (u64, u32), answer: &Answer) -> Vec<String> {
        let body = serde_json::to_vec(answer).unwrap();
        let outcome = Outcome::answered(200, None, "");
        self.lanes.delivered(at(millis), attempt, &outcome, &body, &mut self.out);
        self.done()
    }

    fn answer(&self, signal: u64, status: Status, version: Option<&str>) -> Answer {
        let known = self.lanes.state.known().find(|intent| intent.number == signal);
        Answer {
            key: known.unwrap().key.to_string(),
            status,
            current_version: version.map(str::to_owned),
            detail: String::new(),
            retry: false,
        }
    }

    /// What is to be done, in words.
    fn done(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        for effect in self.out.drain(..) {
            words.push(match effect {
                Effect::Record(record) => {
                    self.folded.apply(&record);
                    match record {
                        Record::Intended(intent) => {
                            let (number, generation) = (intent.number, intent.generation);
                            let kind = kind(intent.kind);
                            format!("{kind} {number} of generation {generation} intended")
                        }
                        Record::Attempt { signal, attempt, .. } => {
                            format!("{signal} try {attempt}")
                        }
                        Record::Answered { signal, answer, .. } => {
                            format!("{signal} {}", answer.status.name())
                        }
                        Record::Observed { signal, by, .. } => format!("{signal} seen by {by:?}"),
                        Record::Closed { signal, outcome, detail, .. } => {
                            format!("{signal} {} {detail}", outcome.as_str()).trim().to_owned()
                        }
                        other => panic!("{other:?}"),
                    }
                }
                Effect::Send(delivery) => {
                    assert!(self.lanes.is_wanted(delivery.signal, delivery.attempt));
                    let again = if delivery.repeated { " again" } else { "" };
                    format!("send {}{again}", delivery.signal)
                }
                Effect::Post(intent) => format!("post {}", intent.number),
                // What closes it is recorded before.
                Effect::Closed { .. } => continue,
            });
        }
        assert_eq!(self.folded, *self.lanes.state());
        words
    }

    /// The machine ends, and another begins with what was journalled.
    fn restart(&mut self) {
        let mut bytes = Vec::new();
        self.folded.put(&mut bytes);
        let mut reader = Reader::new(&bytes);
        let state = LanesState::take(&mut reader).unwrap();
        assert_eq!(reader.finish(), Ok(()));
        assert_eq!(state, self.folded);
        self.lanes = Lanes::new(state, hooks());
    }
}

fn kind(kind: Kind) -> &'static str {
    kind.name()
}

#[test]
fn a_webhook_is_tried_until_it_answers_and_is_seen() {
    let mut fixture = Fixture::new();
    let (wanted, done) = fixture.want(0, rollback("gh-1", "web"));
    assert_eq!(wanted, Wanted::Intended);
    assert_eq!(done, ["rollback 1 of generation 1 intended", "1 try 1", "send 1"]);
    assert_eq!(fixture.want(1, rollback("gh-1", "web")), (Wanted::Known, vec![]));
    // Nothing while it is on its way; after a refusal again, after a failure marked as repeated.
    assert!(fixture.tick(2900).is_empty());
    assert!(fixture.status(3000, (1, 1), 404).is_empty());
    let wakes = fixture.lanes.next_wakeup().unwrap();
    assert_eq!(fixture.tick(wakes.0 - START), ["1 try 2", "send 1"]);
    assert!(fixture.status(3200, (1, 2), 500).is_empty());
    assert_eq!(fixture.tick(4000), ["1 try 3", "send 1 again"]);
    // No outcome ever comes.
    assert!(fixture.tick(4000 + 7999).is_empty());
    assert_eq!(fixture.tick(4000 + 8000), ["1 try 4", "send 1 again"]);
    // Nothing but 2xx is taken for accepted, which is asked again each five seconds.
    assert_eq!(fixture.status(12_000, (1, 4), 200), ["1 accepted"]);
    assert!(fixture.tick(16_999).is_empty());
    assert_eq!(fixture.tick(17_000), ["1 try 5", "send 1 again"]);
    let done = fixture.answer(1, Status::Done, None);
    assert_eq!(fixture.says(17_100, (1, 5), &done), ["1 done"]);
    assert!(fixture.tick(60_000).is_empty(), "it is not asked again");
    fixture.lanes.observed(at(61_000), 1, Sighting::Series, &mut fixture.out);
    assert_eq!(fixture.done(), ["1 seen by Series", "1 restored"]);
    assert!(fixture.says(62_000, (1, 5), &done).is_empty(), "it is over");
    let state = fixture.lanes.signals(|_| true)[0].state;
    assert_eq!((state, fixture.lanes.stats().ignored), (SignalState::Closed, 1));
    assert_eq!(fixture.lanes.next_wakeup(), None);
}

#[test]
fn a_signal_has_one_body_that_says_all() {
    let mut fixture = Fixture::new();
    let record = bellwether_model::signal::RecordRef {
        name: "gh-1-1.json".to_owned(),
        sha256: "ab".repeat(32),
    };
    let wished = Wish { record: Some(record.clone()), ..rollback("gh-1", "run") };
    assert_eq!(fixture.want(412, wished).0, Wanted::Intended);
    let intent = Arc::clone(fixture.lanes.open_of("run").next().unwrap());
    let signal: Signal = serde_json::from_slice(&intent.body).unwrap();
    assert_eq!(signal.kind, Kind::Rollback);
    assert_eq!(signal.timestamp, "2026-05-28T20:26:40.412Z");
    assert_eq!(signal.data.deadline, "2026-05-28T20:28:40.412Z");
    assert_eq!(signal.data.precondition.current_version, "2");
    assert_eq!((signal.data.generation, signal.data.record), (1, Some(record)));
    let text = b"rollback.requested\0checkout\0production\0gh-1\x002\x001\x00\
                 2026-05-28T20:26:40Z\0";
    assert_eq!(signal.data.key, Hash::of(text).to_string());
    assert_eq!(intent.id(), format!("rb_{}", &signal.data.key[..32]));
    assert_eq!(fixture.lanes.open_of("web").count(), 0);
}

#[test]
fn a_lane_has_one_open_signal_and_a_rollback_waits_for_no_hold() {
    let mut fixture = Fixture::new();
    let hold = |rollout| wish(rollout, Kind::Hold, ("2", "1"), "web");
    let (_, done) = fixture.want(0, hold("a"));
    assert_eq!(done, ["hold 1 of generation 1 intended", "1 try 1", "send 1"]);
    assert_eq!(fixture.want(1, hold("b")), (Wanted::Waits, vec![]));
    assert_eq!(fixture.want(2, hold("b")), (Wanted::Known, vec![]));
    let (wanted, done) = fixture.want(3, rollback("c", "web"));
    let superseded = "1 withdrawn a rollback takes its place";
    let intended = "rollback 2 of generation 2 intended";
    assert_eq!((wanted, done.len()), (Wanted::Intended, 4));
    assert_eq!(done[..2], [superseded, intended]);
    assert!(!fixture.lanes.is_wanted(1, 1), "what waits for the journal is not sent any more");
    // A rollback waits for another, before any hold; what it says a hold need not say.
    let second = wish("b", Kind::Rollback, ("3", "1"), "web");
    assert_eq!(fixture.want(4, second), (Wanted::Waits, vec![]));
    assert_eq!(fixture.lanes.waiting.len(), 1);
    assert_eq!(fixture.want(5, hold("b")), (Wanted::Known, vec![]));
    let refused = fixture.answer(2, Status::Refused, None);
    let done = fixture.says(6, (2, 1), &refused);
    let next = "rollback 3 of generation 3 intended";
    assert_eq!(done[..3], ["2 refused", "2 refused the hook refuses it", next]);
    // Another lane is free.
    let other = Wish { environment: "staging".into(), ..rollback("d", "web") };
    assert_eq!(fixture.want(7, other).1[0], "rollback 4 of generation 1 intended");
}

#[test]
fn a_rollout_is_rolled_back_once_and_never_to_what_was_rolled_back() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.want(0, rollback("a", "web")).0, Wanted::Intended);
    let restored = fixture.answer(1, Status::AlreadyDone, Some("1"));
    let done = fixture.says(1, (1, 1), &restored);
    assert_eq!(done, ["1 already_done", "1 seen by Hook", "1 restored"]);
    let other_way = wish("a", Kind::Rollback, ("2", "0"), "web");
    assert_eq!(fixture.want(2, other_way).0, Wanted::Known);
    fixture.restart();
    let to_the_bad = wish("b", Kind::Rollback, ("3", "2"), "run");
    let (wanted, done) = fixture.want(3, to_the_bad.clone());
    assert_eq!(wanted, Wanted::Intended);
    assert_eq!(done[0], "hold 2 of generation 2 intended");
    let signal: Signal =
        serde_json::from_slice(&fixture.lanes.open_of("run").next().unwrap().body).unwrap();
    assert_eq!(signal.kind, Kind::Hold);
    assert!(signal.data.reason.starts_with("2 was rolled back itself"), "{signal:?}");
    assert_eq!(fixture.want(4, to_the_bad).0, Wanted::Known);
    let accepted = fixture.answer(2, Status::Accepted, None);
    fixture.lanes.answered(at(5), "run", accepted, &mut fixture.out).unwrap();
    assert_eq!(fixture.done(), ["2 accepted", "2 seen by Hook", "2 restored"]);
    // A rollback that a person has taken back says nothing of its version.
    assert_eq!(fixture.want(6, wish("c", Kind::Rollback, ("5", "1"), "web")).0, Wanted::Intended);
    fixture.lanes.withdraw(at(7), "c", &mut fixture.out);
    assert_eq!(fixture.done(), ["3 withdrawn"]);
    let (_, done) = fixture.want(8, wish("d", Kind::Rollback, ("6", "5"), "web"));
    assert_eq!(done[0], "rollback 4 of generation 4 intended");
}

#[test]
fn every_answer_ends_or_waits_as_the_contract_says() {
    use Status::{Accepted, Done, Failed, PreconditionFailed, Refused, Unknown};
    let close = |status, version: Option<&str>, retry| {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.want(0, rollback("a", "run")).0, Wanted::Intended);
        let answer = Answer { retry, ..fixture.answer(1, status, version) };
        fixture.lanes.answered(at(1), "run", answer.clone(), &mut fixture.out).unwrap();
        let done = fixture.done();
        fixture.lanes.answered(at(2), "run", answer, &mut fixture.out).unwrap();
        assert!(fixture.done().is_empty(), "a doubled answer says nothing");
        done.get(1).cloned().unwrap_or_default()
    };
    assert_eq!(close(Accepted, None, false), "");
    assert_eq!(close(Done, None, false), "");
    assert_eq!(close(Done, Some("2"), false), "");
    assert_eq!(close(Done, Some("1"), false), "1 seen by Hook");
    assert_eq!(close(Accepted, Some("1"), false), "1 seen by Hook");
    assert_eq!(close(PreconditionFailed, Some("1"), false), "1 seen by Hook");
    assert_eq!(close(PreconditionFailed, Some("0"), false), "1 refused 0 serves, not 2");
    assert_eq!(close(Refused, None, false), "1 refused the hook refuses it");
    assert_eq!(close(Failed, None, false), "1 failed the hook tried and failed");
    assert_eq!(close(Failed, None, true), "");
    assert!(close(Unknown, None, false).starts_with("1 failed it was begun and cut off"));
}

#[test]
fn what_is_done_stays_done_whatever_late_answers_say() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.want(0, rollback("a", "web")).0, Wanted::Intended);
    let done = fixture.answer(1, Status::Done, None);
    assert_eq!(fixture.says(1, (1, 1), &done), ["1 done"]);
    for status in [Status::Accepted, Status::PreconditionFailed, Status::Failed, Status::Unknown] {
        let late = fixture.answer(1, status, None);
        assert!(fixture.says(2, (1, 1), &late).is_empty(), "{status:?}");
    }
    let strange = Answer { key: "0".repeat(64), ..done };
    assert!(fixture.says(3, (1, 1), &strange).is_empty(), "it is of another signal");
    assert_eq!(fixture.lanes.stats().bare, 1);
    let taken = |answer: Answer, hook: &str, fixture: &mut Fixture| {
        fixture.lanes.answered(at(4), hook, answer, &mut fixture.out)
    };
    assert_eq!(taken(strange, "web", &mut fixture), Err(AnswerError::Unknown));
    let ours = fixture.answer(1, Status::Done, None);
    assert_eq!(taken(ours, "run", &mut fixture), Err(AnswerError::OtherHook));
}

#[test]
fn texts_of_answers_are_kept_within_their_bounds() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.want(0, rollback("a", "run")).0, Wanted::Intended);
    let answer = fixture.answer(1, Status::Failed, Some("not a version"));
    let answer = Answer { detail: format!("a\nb{}", "ä".repeat(2000)), ..answer };
    fixture.lanes.answered(at(1), "run", answer, &mut fixture.out).unwrap();
    fixture.done();
    let finished = fixture.lanes.state().closed().next().unwrap();
    let (answer, _) = finished.signal.answer.as_ref().unwrap();
    assert_eq!(answer.current_version, None);
    assert!(answer.detail.starts_with("a bä") && answer.detail.len() <= 1024);
    assert_eq!(finished.detail, answer.detail);
}

#[test]
fn the_deadline_ends_what_has_no_answer_and_what_is_not_seen() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.want(0, rollback("a", "run")).0, Wanted::Intended);
    let other = Wish { service: "cart".into(), ..rollback("b", "run") };
    assert_eq!(fixture.want(0, other).0, Wanted::Intended);
    let done = fixture.answer(2, Status::Done, None);
    fixture.lanes.answered(at(1), "run", done, &mut fixture.out).unwrap();
    fixture.done();
    assert!(fixture.tick(119_999).is_empty());
    let expired = "2 expired the hook said done, and 1 was not seen by the deadline";
    assert_eq!(fixture.tick(120_000), ["1 failed no answer by the deadline", expired]);
}

#[test]
fn a_hook_that_asks_to_wait_is_heeded_for_half_a_minute() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.want(0, rollback("a", "web")).0, Wanted::Intended);
    let busy = |seconds| Outcome::answered(429, Some(RetryAfter::Seconds(seconds)), "slowly");
    fixture.lanes.delivered(at(100), (1, 1), &busy(3), b"", &mut fixture.out);
    assert!(fixture.tick(3099).is_empty());
    assert_eq!(fixture.tick(3100), ["1 try 2", "send 1"]);
    fixture.lanes.delivered(at(3200), (1, 2), &busy(3600), b"", &mut fixture.out);
    assert!(fixture.tick(33_199).is_empty());
    assert_eq!(fixture.tick(33_200), ["1 try 3", "send 1"]);
    let row = &fixture.lanes.signals(|_| true)[0];
    assert_eq!((row.state, row.failure.as_str()), (SignalState::Sent, "status 429: slowly"));
}

#[test]
fn a_service_without_a_hook_fails_at_once_and_so_does_what_a_reload_removes() {
    let mut fixture = Fixture::new();
    let (wanted, done) = fixture.want(0, rollback("a", ""));
    assert_eq!(wanted, Wanted::Intended);
    let intended = "rollback 1 of generation 1 intended";
    let closed = "1 failed the service checkout has no hook in production";
    assert_eq!(done, [intended, closed]);
    let (_, done) = fixture.want(1, rollback("b", "gone"));
    assert_eq!(done[1], "2 failed no hook is called gone");
    assert_eq!(fixture.want(2, rollback("c", "run")).1[2], "post 3");
    fixture.lanes.set_plan(at(3), HooksPlan::default(), &mut fixture.out);
    assert_eq!(fixture.done(), ["3 failed no hook is called run"]);
    let unfit = Wish { from: "$(x)".into(), ..rollback("d", "web") };
    assert_eq!(fixture.want(4, unfit), (Wanted::Unfit, vec![]));
}

#[test]
fn a_start_goes_on_where_the_journal_ends() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.want(0, rollback("a", "web")).0, Wanted::Intended);
    let runs = Wish { service: "cart".into(), ..rollback("b", "run") };
    assert_eq!(fixture.want(0, runs).0, Wanted::Intended);
    fixture.restart();
    assert_eq!(fixture.lanes.next_wakeup(), Some(Timestamp::MIN));
    // The runner's signal is shown again; the webhook's goes again in its time, perhaps doubled.
    assert_eq!(fixture.tick(10), ["post 2"]);
    assert_eq!(fixture.tick(1000), ["1 try 2", "send 1 again"]);
    // A clock that is set back by an hour makes nothing wait for an hour.
    fixture.restart();
    let back = -3_600_000;
    assert_eq!(fixture.tick(back), ["post 2"]);
    assert_eq!(fixture.tick(back + 1000), ["1 try 3", "send 1 again"]);
    assert_eq!(fixture.tick(back + 120_000).len(), 2, "nothing is open for longer than it may be");
    // What is in the journal of an answer without its end is concluded.
    assert_eq!(fixture.want(back + 130_000, rollback("c", "run")).0, Wanted::Intended);
    let answer = fixture.answer(3, Status::Refused, None);
    fixture.folded.apply(&Record::Answered { signal: 3, answer, at: Timestamp(START) });
    fixture.restart();
    assert_eq!(fixture.tick(back + 131_000), ["3 refused the hook refuses it"]);
}

#[test]
fn bounds_are_kept_and_told() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.want(0, rollback("first", "run")).0, Wanted::Intended);
    for number in 0..WAITING {
        let wish = rollback(&format!("r{number}"), "run");
        assert_eq!(fixture.lanes.want(at(1), wish, &mut fixture.out), Wanted::Waits);
    }
    assert_eq!(fixture.want(2, rollback("last", "run")), (Wanted::Full, vec![]));
    assert_eq!(fixture.lanes.stats().full, 1);
    fixture.lanes.withdraw(at(3), "r0", &mut fixture.out);
    assert_eq!(fixture.want(4, rollback("last", "run")).0, Wanted::Waits);
}
