//! The machine, answer by answer. Sequences with faults are the simulator's.

use bellwether_model::id::{Incarnation, Position};
use bellwether_model::time::Timestamp;

use super::backlog::Held;
use super::*;
use crate::pure::account::Count;

fn seq(incarnation: u32, n: u32) -> Seq {
    Seq::new(Incarnation(incarnation), n)
}

/// Segments from one number to another.
fn backlog(ranges: &[(Seq, Seq)]) -> Backlog {
    let mut backlog = Backlog::default();
    for (first, last) in ranges {
        let (first, last, position) = (*first, *last, Position(first.0));
        let frame = Held { samples: 1, through: Timestamp(0) };
        let frames = (first.0..=last.0).map(|_| frame).collect();
        let newest = Timestamp(0);
        backlog.push(Segment { first, last, position, bytes: 1, newest, frames }, true);
    }
    backlog
}

fn at(millis: u64) -> Now {
    Now { wall: Timestamp(0), mono: Mono(Duration::from_millis(millis)) }
}

fn answer(case: Case, acked: Seq, at: Seq) -> Answer {
    let mut answer = Answer::new(case, StoreId::default());
    (answer.acked, answer.at) = (acked, at);
    answer
}

fn wake(shipper: &mut Shipper, now: Now, backlog: &Backlog) -> Vec<Effect> {
    let mut effects = Vec::new();
    shipper.step(now, Event::Wake, backlog, &mut effects);
    effects
}

fn answered(shipper: &mut Shipper, answer: &Answer, backlog: &Backlog) -> Vec<Effect> {
    let mut effects = Vec::new();
    let event = Event::Answered { answer, retry_after: None };
    shipper.step(at(0), event, backlog, &mut effects);
    effects
}

fn send(from: Seq, skips: &[Skip]) -> Effect {
    Effect::Send(Request { from: Some(from), skips: skips.to_vec(), goodbye: false })
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_is_another_process() {
    let backlog = backlog(&[(seq(3, 1), seq(3, 9))]);
    let mut shipper = Shipper::new(seq(2, 7), 1);
    assert_eq!(wake(&mut shipper, at(0), &backlog), [send(seq(3, 1), &[])]);
    shipper.sent(seq(3, 5));
    let duplicate = answer(Case::Duplicate, seq(4, 7), seq(3, 5));
    let effects = answered(&mut shipper, &duplicate, &backlog);
    assert_eq!(effects, [Effect::Acked(seq(3, 5)), send(seq(3, 6), &[])]);
    let clone = answer(Case::Clone, seq(4, 7), seq(3, 6));
    assert_eq!(answered(&mut shipper, &clone, &backlog).first(), Some(&Effect::NewIdentity));
}

#[test]
fn a_store_that_lost_frames_gets_those_held_and_the_rest_declared() {
    let backlog = backlog(&[(seq(1, 50), seq(1, 60)), (seq(1, 61), seq(1, 70))]);
    let mut shipper = Shipper::new(seq(1, 40), 1);
    wake(&mut shipper, at(0), &backlog);
    shipper.sent(seq(1, 70));
    let gap = answer(Case::Gap, seq(1, 30), seq(1, 31));
    let effects = answered(&mut shipper, &gap, &backlog);
    let had = Skip { first: seq(1, 31), last: seq(1, 40), reason: SkipReason::Store };
    let gone = Skip { first: seq(1, 41), last: seq(1, 49), reason: SkipReason::Corrupt };
    assert_eq!(
        effects,
        [Effect::Declared(had), Effect::Declared(gone), send(seq(1, 50), &[had, gone])]
    );
    assert_eq!(shipper.cursor(), seq(1, 30));
    let applied = answer(Case::Applied, seq(1, 70), seq(1, 70));
    assert_eq!(answered(&mut shipper, &applied, &backlog), [Effect::Acked(seq(1, 70))]);
    assert_eq!(shipper.skips(), []);
}

#[test]
fn a_frame_that_cannot_be_read_takes_the_rest_of_its_segment() {
    let mut held = backlog(&[(seq(1, 1), seq(1, 5))]);
    let mut shipper = Shipper::new(Seq(0), 1);
    wake(&mut shipper, at(0), &held);
    shipper.sent(seq(1, 5));
    let bad = answer(Case::BadFrame, seq(1, 2), seq(1, 3));
    let effects = answered(&mut shipper, &bad, &held);
    assert_eq!(effects, [Effect::SetAside(seq(1, 3)), Effect::Cut], "the live one is cut");
    assert_eq!(wake(&mut shipper, at(60_000), &held), [], "it may still grow");
    let next =
        Segment { first: seq(1, 7), last: seq(1, 7), ..held.segments().next().unwrap().clone() };
    held.push(next, true);
    let skip = Skip { first: seq(1, 3), last: seq(1, 5), reason: SkipReason::Refused };
    let effects = wake(&mut shipper, at(60_000), &held);
    assert_eq!(effects, [Effect::Declared(skip), send(seq(1, 7), &[skip])]);
}

#[test]
fn the_same_base_twice_is_a_frame_at_fault() {
    let backlog = backlog(&[(seq(1, 1), seq(1, 5)), (seq(1, 6), seq(1, 9))]);
    let mut shipper = Shipper::new(seq(1, 3), 1);
    wake(&mut shipper, at(0), &backlog);
    shipper.sent(seq(1, 9));
    let base = answer(Case::Base, seq(1, 3), seq(1, 4));
    assert_eq!(answered(&mut shipper, &base, &backlog), [send(seq(1, 1), &[])]);
    let effects = answered(&mut shipper, &base, &backlog);
    assert_eq!(effects, [Effect::SetAside(seq(1, 4))]);
}

#[test]
fn attempts_are_put_off_longer_and_longer() {
    let backlog = backlog(&[(seq(1, 1), seq(1, 5))]);
    let mut shipper = Shipper::new(Seq(0), 1);
    let (mut now, mut pauses) = (0, Vec::new());
    for _ in 0..9 {
        assert_eq!(wake(&mut shipper, at(now), &backlog).len(), 1);
        shipper.step(at(now), Event::Failed, &backlog, &mut Vec::new());
        let due = shipper.next_wakeup(&backlog).unwrap().0.as_millis();
        let due = u64::try_from(due).unwrap() + 1;
        pauses.push(due - now);
        now = due;
    }
    for (pause, most) in pauses.iter().zip([100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]) {
        assert!((most * 3 / 4..=most + 1).contains(pause), "{pauses:?}");
    }
}

#[test]
fn the_time_is_asked_for_without_frames_and_once() {
    let mut shipper = Shipper::new(Seq(0), 1);
    let none = backlog(&[]);
    assert_eq!(wake(&mut shipper, at(0), &none), []);
    let mut effects = Vec::new();
    shipper.step(at(0), Event::Ask, &none, &mut effects);
    let empty = Request { from: None, skips: Vec::new(), goodbye: false };
    assert_eq!(effects, [Effect::Send(empty)]);
    let applied = answer(Case::Applied, Seq(0), Seq(0));
    let again = answered(&mut shipper, &applied, &none);
    assert!(!again.iter().any(|effect| matches!(effect, Effect::Send(_))), "{again:?}");
}

#[test]
fn ranges_are_declared_once_and_in_order() {
    let skip = |first, last, reason| Skip { first: seq(1, first), last: seq(1, last), reason };
    let mut shipper = Shipper::new(seq(1, 4), 1);
    assert!(shipper.declare(skip(10, 12, SkipReason::Disk)));
    assert!(shipper.declare(skip(1, 20, SkipReason::SpoolFull)));
    assert!(!shipper.declare(skip(6, 11, SkipReason::Corrupt)));
    assert!(shipper.declare(skip(21, 22, SkipReason::SpoolFull)));
    let (full, disk) = (SkipReason::SpoolFull, SkipReason::Disk);
    assert_eq!(shipper.skips(), [skip(5, 9, full), skip(10, 12, disk), skip(13, 22, full)]);
}

#[test]
fn what_is_held_for_a_collector_is_after_its_cursor_and_not_declared() {
    let held = backlog(&[(seq(1, 4), seq(1, 9)), (seq(2, 1), seq(2, 3))]);
    let skip = |first, last| Skip { first, last, reason: SkipReason::Refused };
    let count = |frames| Count { frames, samples: frames };
    assert_eq!(held.held(Seq(0), &[]), count(9));
    assert_eq!(held.held(seq(1, 6), &[]), count(6));
    assert_eq!(held.held(seq(1, 6), &[skip(seq(1, 8), seq(1, 9))]), count(4));
    assert_eq!(held.held(seq(2, 3), &[]), count(0));
    assert_eq!(held.count(seq(1, 5), seq(2, 1), &[skip(seq(1, 1), seq(1, 5))]), count(5));
    assert_eq!(held.count(seq(1, 5), seq(1, 4), &[]), count(0));
    assert_eq!(held.oldest_unacked(seq(2, 3), &[]), None);
}
