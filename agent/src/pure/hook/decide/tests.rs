//! Every state of a lane and every way out of it.

use super::super::testing::{NOW, signal};
use super::*;

/// A lane with all that it asked for.
struct Lane {
    machine: LaneMachine,
    effects: Vec<Effect>,
}

fn lane(sight: Sight) -> Lane {
    Lane { machine: LaneMachine::new(sight), effects: Vec::new() }
}

fn arrived(signal: Signal, known: Known) -> Event {
    Event::Arrived(Box::new(Arrived { signal, known, highest: None }))
}

fn seen(version: &str) -> Event {
    Event::Observed(Ok(version.to_owned()))
}

fn blind() -> Event {
    Event::Observed(Err("observe: exit code 1".to_owned()))
}

fn ended(exit: Exit) -> Event {
    Event::Ended(Ran { exit, output: "said".to_owned() })
}

fn started(signal: Signal) -> Box<Started> {
    Box::new(Started { at: date_millis(NOW), signal })
}

impl Lane {
    /// The effects of one event.
    fn on(&mut self, event: Event) -> Vec<Effect> {
        self.effects.clear();
        self.machine.step(NOW, event, &mut self.effects);
        self.effects.clone()
    }

    /// The one answer to an event, after which nothing is under way.
    fn answer(&mut self, event: Event) -> Answer {
        let effects = self.on(event);
        let [Effect::Answer(answer)] = effects.as_slice() else { panic!("{effects:?}") };
        assert_eq!(self.machine.key(), None);
        answer.clone()
    }

    /// The answer that is kept and then told.
    fn kept(&mut self, event: Event) -> Answer {
        let effects = self.on(event);
        let [Effect::Keep(done)] = effects.as_slice() else { panic!("{effects:?}") };
        let told = self.answer(Event::Kept);
        assert_eq!(done.answer, told, "what is told is what is kept");
        told
    }

    /// Up to the running program.
    fn running(sight: Sight) -> Lane {
        let mut lane = lane(sight);
        let effects = lane.on(arrived(signal(1, 1), Known::Nothing));
        if sight == Sight::Observed {
            assert_eq!(effects, [Effect::Observe]);
            lane.on(seen("2.4.0"));
        }
        assert_eq!(lane.effects, [Effect::Begin(started(signal(1, 1)))]);
        let effects = lane.on(Event::Begun);
        let accepted = Effect::Answer(answer(&signal(1, 1), Status::Accepted, String::new()));
        assert_eq!(effects, [accepted, Effect::Run(Box::new(signal(1, 1)))]);
        lane
    }
}

#[test]
fn a_signal_is_looked_at_begun_run_looked_at_and_kept() {
    let mut lane = Lane::running(Sight::Observed);
    assert_eq!(lane.on(ended(Exit::Code(0))), [Effect::Observe]);
    let told = lane.kept(seen("2.3.9"));
    assert_eq!(told.status, Status::Done);
    assert_eq!(told.current_version.as_deref(), Some("2.3.9"));
    assert_eq!(told.detail, "exit code 0: said");
}

#[test]
fn what_serves_before_decides_whether_anything_is_begun() {
    let before = |event: Event| {
        let mut lane = lane(Sight::Observed);
        lane.on(arrived(signal(1, 1), Known::Nothing));
        lane.answer(event)
    };
    let told = before(seen("2.3.9"));
    assert_eq!(
        (told.status, told.current_version.as_deref()),
        (Status::AlreadyDone, Some("2.3.9"))
    );
    let told = before(seen("2.5.0"));
    assert_eq!(told.status, Status::PreconditionFailed);
    assert_eq!(told.current_version.as_deref(), Some("2.5.0"));
    let told = before(blind());
    assert_eq!((told.status, told.retry), (Status::Failed, true), "nothing was begun");
}

#[test]
fn what_serves_after_decides_what_was_done() {
    let after = |exit: Exit, event: Event| {
        let mut lane = Lane::running(Sight::Observed);
        lane.on(ended(exit));
        let told = lane.kept(event);
        assert!(!told.retry, "a key that was begun is not begun again");
        told.status
    };
    use Status::{AlreadyDone, Done, Failed, PreconditionFailed, Refused};
    let killed = || Exit::TimedOut(std::time::Duration::from_secs(30));
    assert_eq!(after(Exit::Code(3), seen("2.3.9")), AlreadyDone);
    assert_eq!(after(Exit::Code(1), seen("2.3.9")), Done);
    assert_eq!(after(killed(), seen("2.3.9")), Done);
    assert_eq!(after(Exit::Code(0), seen("2.4.0")), Failed);
    assert_eq!(after(Exit::Code(3), seen("2.4.0")), Failed);
    assert_eq!(after(Exit::Code(4), seen("2.4.0")), PreconditionFailed);
    assert_eq!(after(Exit::Code(5), seen("2.4.0")), Refused);
    assert_eq!(after(killed(), seen("2.4.0")), Failed);
    assert_eq!(after(Exit::Code(0), blind()), Done);
    assert_eq!(after(Exit::Signal(9), blind()), Failed);
}

#[test]
fn without_observe_the_exit_code_is_all_there_is() {
    use Status::{AlreadyDone, Done, Failed, PreconditionFailed, Refused};
    for (code, status) in
        [(0, Done), (3, AlreadyDone), (4, PreconditionFailed), (5, Refused), (1, Failed)]
    {
        let told = Lane::running(Sight::Blind).kept(ended(Exit::Code(code)));
        assert_eq!((told.status, told.current_version), (status, None));
    }
}

#[test]
fn a_hold_is_not_measured_by_versions() {
    let mut hold = signal(1, 1);
    hold.kind = Kind::Hold;
    let mut lane = lane(Sight::Observed);
    let effects = lane.on(arrived(hold.clone(), Known::Nothing));
    assert_eq!(effects, [Effect::Begin(started(hold.clone()))]);
    lane.on(Event::Begun);
    lane.on(ended(Exit::Code(0)));
    let told = lane.kept(seen("2.4.0"));
    assert_eq!((told.status, told.current_version.as_deref()), (Status::Done, Some("2.4.0")));
    let told = lane.kept(Event::CutOff(started(hold)));
    assert_eq!(told.status, Status::Unknown);
}

#[test]
fn a_ledger_that_cannot_take_it_lets_nothing_begin() {
    for (why, retry) in [
        (NotBegun::Passing("is full".to_owned()), true),
        (NotBegun::Lasting("cannot be synced".to_owned()), false),
    ] {
        let mut lane = lane(Sight::Blind);
        lane.on(arrived(signal(1, 1), Known::Nothing));
        let told = lane.answer(Event::NotBegun(why));
        assert_eq!((told.status, told.retry), (Status::Failed, retry));
        assert!(told.detail.starts_with("nothing was begun, the ledger: "), "{}", told.detail);
    }
}

#[test]
fn a_key_that_comes_again_is_answered_from_the_ledger() {
    let done = |status| {
        let answer = answer(&signal(1, 1), status, "said".to_owned());
        let (at, output) = (date_millis(NOW), String::new());
        Known::Done(Box::new(Done { at, signal: signal(1, 1), answer, output }))
    };
    for sight in [Sight::Observed, Sight::Blind] {
        let again = |known| lane(sight).answer(arrived(signal(1, 1), known));
        assert_eq!(again(done(Status::Done)).status, Status::AlreadyDone);
        for status in [Status::AlreadyDone, Status::Failed, Status::Unknown, Status::Refused] {
            assert_eq!(again(done(status)).status, status);
        }
        assert_eq!(again(Known::Unreadable).status, Status::Unknown);
        let mut other = signal(1, 1);
        other.data.to = "2.3.8".to_owned();
        let told = lane(sight).answer(arrived(other.clone(), done(Status::Done)));
        assert_eq!(told.status, Status::Refused);
        let told = lane(sight).answer(arrived(other, Known::Started(started(signal(1, 1)))));
        assert_eq!(told.status, Status::Refused);
    }
}

#[test]
fn what_was_cut_off_is_never_run_again() {
    let events = [
        || Event::CutOff(started(signal(1, 1))),
        || arrived(signal(1, 1), Known::Started(started(signal(1, 1)))),
    ];
    for event in events {
        let observed = |seen: Event| {
            let mut lane = lane(Sight::Observed);
            assert_eq!(lane.on(event()), [Effect::Observe]);
            let told = lane.kept(seen);
            assert!(!told.retry && told.detail.starts_with("the runner was cut off"));
            told.status
        };
        assert_eq!(observed(seen("2.3.9")), Status::Done);
        assert_eq!(observed(seen("2.4.0")), Status::Failed);
        assert_eq!(observed(seen("2.5.0")), Status::Unknown);
        assert_eq!(observed(blind()), Status::Unknown);
        assert_eq!(lane(Sight::Blind).kept(event()).status, Status::Unknown);
    }
    let done = orphaned(NOW, *started(signal(1, 1)));
    assert_eq!(done.answer.status, Status::Unknown);
}

#[test]
fn an_older_generation_is_refused_and_so_is_a_second_of_the_same() {
    let told = |generation: u64, highest: u64, key: u8| {
        let key = signal(key, 1).data.key;
        let highest = Some(Highest { generation: highest, key });
        let (signal, known) = (signal(1, generation), Known::Nothing);
        let effects =
            lane(Sight::Blind).on(Event::Arrived(Box::new(Arrived { signal, known, highest })));
        match effects.as_slice() {
            [Effect::Answer(answer)] => Some(answer.status),
            [Effect::Begin(_)] => None,
            _ => panic!("{effects:?}"),
        }
    };
    assert_eq!(told(4, 5, 1), Some(Status::Refused));
    assert_eq!(told(5, 5, 2), Some(Status::Refused));
    assert_eq!(told(5, 5, 1), None, "the ledger's generation is written before its key");
    assert_eq!(told(6, 5, 2), None);
}

#[test]
fn nothing_begins_after_the_deadline_not_even_after_a_slow_look() {
    let mut late = signal(1, 1);
    late.data.deadline = date_millis(Timestamp(NOW.0 - 1));
    assert_eq!(lane(Sight::Observed).answer(arrived(late, Known::Nothing)).status, Status::Refused);
    let mut lane = lane(Sight::Observed);
    lane.on(arrived(signal(1, 1), Known::Nothing));
    let mut effects = Vec::new();
    lane.machine.step(Timestamp(NOW.0 + 120_001), seen("2.4.0"), &mut effects);
    let [Effect::Answer(told)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(told.status, Status::Refused);
}

#[test]
fn one_signal_of_a_lane_is_under_way_at_a_time() {
    let mut lane = Lane::running(Sight::Observed);
    assert_eq!(lane.on(arrived(signal(2, 2), Known::Nothing)), []);
    assert_eq!(lane.on(arrived(signal(1, 1), Known::Nothing)), []);
    assert_eq!(lane.machine.key(), Some(signal(1, 1).data.key.as_str()));
}
