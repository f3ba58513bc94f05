//! Attempts: what is tried again, until when, and what is told in the end.

use super::*;
use crate::pure::notify::record::{GiveUp, RetryAfter};
use crate::pure::notify::state::{ATTEMPTS, End};

fn x(since: i64) -> AlertNow {
    firing("alertname=Down,instance=x", since)
}

fn y(since: i64) -> AlertNow {
    firing("alertname=Down,instance=y", since)
}

fn x_ended(since: i64, ended: i64) -> AlertNow {
    resolved("alertname=Down,instance=x", since, ended)
}

fn last_end(rig: &Rig) -> End {
    rig.notifier.state().history.back().expect("something has ended").end
}

fn attempt_of(sent: &Sent) -> u32 {
    let Ticket::Notification { attempt, .. } = sent.ticket else { panic!("no notification") };
    attempt
}

fn asked_to_wait(by: u32) -> Outcome {
    Outcome::answered(429, Some(RetryAfter::Seconds(by)), "slowly")
}

#[test]
fn what_fails_is_tried_again_with_the_same_id_and_bytes() {
    let mut rig = Rig::new(plan([receiver("a")]));
    rig.feed(0, vec![x(0)]);
    let first = rig.only();
    let mut last = first.clone();
    let outcomes = [refused(), status(429), status(503), status(408), status(425), status(302)];
    let mut waits = Vec::new();
    for (n, outcome) in outcomes.into_iter().enumerate() {
        rig.answer(&last, outcome);
        assert!(rig.is_quiet());
        waits.push(rig.next());
        last = rig.only();
        assert_eq!((&last.id, &last.body), (&first.id, &first.body));
        assert_eq!(attempt_of(&last) as usize, n + 2);
        // Of these only the 503 may have arrived.
        assert_eq!(last.repeated, n >= 2);
    }
    assert!(waits[0] >= Duration::from_millis(150) && waits[0] <= Duration::from_millis(250));
    assert!(waits[5] >= Duration::from_millis(4800) && waits[5] <= seconds(8), "{waits:?}");
    rig.answer(&last, status(200));
    assert_eq!(last_end(&rig), End::Delivered);
    let stats = &rig.notifier.stats().receivers["a"];
    assert_eq!((stats.attempts, stats.repeated, stats.delivered), (7, 4, 1));
    assert_eq!(stats.failed["rate_limited"], 1);
    assert_eq!(rig.fold.history[0].tries, 7);
}

#[test]
fn an_answer_that_says_when_is_heeded_for_all_of_the_receiver() {
    let each = ReceiverPlan { group_by: GroupBy::All, ..receiver("a") };
    let mut rig = Rig::new(plan([each]));
    rig.feed(0, vec![x(0), y(0)]);
    let first = rig.only();
    rig.answer(&first, asked_to_wait(40));
    assert_eq!(rig.next(), seconds(40));
    let mut told = [rig.only(), first];
    told.sort_by_key(|sent| sent.ticket.clone());
    rig.answer(&told[1].clone(), status(200));
    let second = rig.only();
    // As a date; behind the deadline it counts for as long as a notification is tried.
    let date = RetryAfter::At(rig.now.saturating_add(seconds(7200)));
    rig.answer(&second, Outcome::answered(503, Some(date), ""));
    assert_eq!(rig.next(), seconds(300));
    assert_eq!(last_end(&rig), End::GaveUp(GiveUp::Deadline));
    let anew = rig.only();
    assert_eq!(anew.told(), second.told());
    assert_ne!(anew.id, second.id);
}

#[test]
fn a_refusal_is_final_and_told_anew_when_the_group_may_be_told_again() {
    let mut rig = Rig::new(plan([receiver("a")]));
    rig.feed(0, vec![x(0)]);
    let first = rig.only();
    rig.answer(&first, status(400));
    assert_eq!(last_end(&rig), End::GaveUp(GiveUp::Refused));
    assert_eq!(rig.next(), seconds(300));
    let second = rig.only();
    assert_ne!(second.id, first.id);
    assert_eq!(second.told(), "x firing");
    assert!(!second.repeated);
    rig.answer(&second, status(202));
    assert_eq!(rig.notifier.stats().receivers["a"].given_up["refused"], 1);
    assert_eq!((rig.given_up.len(), &rig.given_up[0].id), (1, &first.id));
}

#[test]
fn a_receiver_that_is_gone_rests_until_it_is_time_or_until_a_reload() {
    let mut rig = Rig::new(plan([receiver("a")]));
    rig.feed(0, vec![x(0)]);
    let first = rig.only();
    rig.answer(&first, status(410));
    rig.feed(1, vec![firing("alertname=Other", 0)]);
    rig.restart();
    assert!(rig.is_quiet());
    assert_eq!(rig.next(), seconds(4 * 3600));
    let second = rig.only();
    rig.answer(&second, status(410));
    rig.after(seconds(3600));
    assert!(rig.is_quiet());
    rig.set_plan(rig.plan.clone());
    let third = rig.only();
    rig.answer(&third, status(200));
    assert!(rig.fold.receivers["a"].gone_until.is_none());
}

#[test]
fn a_newer_notification_tells_what_an_older_one_could_not() {
    let mut rig = Rig::new(plan([receiver("a")]));
    rig.feed(0, vec![x(0)]);
    let first = rig.only();
    rig.answer(&first, refused());
    rig.now = rig.now.saturating_add(Duration::from_millis(50));
    rig.feed(0, vec![x_ended(0, 0), y(0)]);
    assert!(rig.is_quiet(), "not before it would have been tried again");
    rig.next();
    let second = rig.only();
    assert_ne!(second.id, first.id);
    assert_eq!(second.told(), "y firing; x resolved");
    assert_eq!(last_end(&rig), End::Superseded(2));
    // It does not arrive either, its time ends, and everything ends: x and y are still told.
    let mut last = second;
    while last_end(&rig) == End::Superseded(2) {
        rig.answer(&last, refused());
        rig.next();
        if let Some(sent) = rig.sent.pop() {
            last = sent;
        }
    }
    assert_eq!(last_end(&rig), End::GaveUp(GiveUp::Deadline));
    assert_eq!(last.told(), "y firing; x resolved");
    rig.feed(0, Vec::new());
    rig.answer(&last, refused());
    rig.next();
    let third = rig.only();
    assert_eq!(third.told().matches("resolved").count(), 2, "{}", third.told());
    rig.answer(&third, status(200));
    assert!(rig.fold.receivers["a"].groups.is_empty());
    assert_eq!(rig.notifier.stats().receivers["a"].superseded, 2);
}

#[test]
fn an_end_that_may_have_arrived_makes_the_next_firing_news() {
    let mut rig = Rig::new(plan([receiver("a")]));
    rig.feed(0, vec![x(0)]);
    assert_eq!(rig.told(), "x firing");
    for (outcome, is_news) in [(refused(), false), (timed_out(), true)] {
        rig.after(seconds(300));
        rig.feed(0, vec![x_ended(0, 300)]);
        let end = rig.only();
        assert_eq!(end.told(), "x resolved");
        rig.feed(0, vec![x(301)]);
        rig.answer(&end, outcome);
        rig.next();
        // The notification says less than there is to say, so that another takes its place.
        let next = rig.only();
        assert_eq!(next.told(), "x firing");
        let known = &rig.fold.receivers["a"].groups.values().next().unwrap().known;
        assert_eq!(known.values().next().unwrap().is_told, !is_news);
        rig.answer(&next, status(200));
        rig.feed(0, vec![x(0)]);
    }
}

#[test]
fn a_receiver_that_wants_no_ends_still_learns_what_fired() {
    let plain = ReceiverPlan { send_resolved: false, ..receiver("a") };
    let mut rig = Rig::new(plan([plain]));
    rig.feed(0, vec![x(0)]);
    let first = rig.only();
    rig.answer(&first, refused());
    rig.feed(0, vec![x_ended(0, 1)]);
    rig.next();
    let again = rig.only();
    assert_eq!((again.id.clone(), again.told()), (first.id, "x firing".to_owned()));
    rig.answer(&again, status(400));
    assert_eq!(rig.next(), seconds(300) - Duration::from_millis(rig_millis(&rig)));
    assert_eq!(rig.told(), "x resolved");
    assert!(rig.fold.receivers["a"].groups.is_empty());
}

/// Milliseconds from the begin to the second attempt.
fn rig_millis(rig: &Rig) -> u64 {
    let second = rig.fold.history[0].attempts[1].at;
    second.millis_since(Timestamp(BEGIN)).unsigned_abs()
}

#[test]
fn what_a_receiver_is_owed_is_forgotten_after_a_day_and_counted() {
    let mut rig = Rig::new(plan([receiver("a")]));
    rig.feed(0, vec![x(0)]);
    let first = rig.only();
    rig.answer(&first, status(404));
    rig.feed(0, vec![x_ended(0, 1)]);
    let mut tries = 0;
    while rig.notifier.next_wakeup().is_some() {
        rig.next();
        if let Some(sent) = rig.sent.pop() {
            tries += 1;
            rig.answer(&sent, status(404));
        }
    }
    assert!((280..300).contains(&tries), "{tries} notifications in a day");
    assert!(rig.fold.receivers["a"].groups.is_empty());
    assert_eq!(rig.notifier.stats().receivers["a"].untold, 1);
    assert!(rig.records.iter().any(|r| matches!(r, Record::Settled { untold: 1, .. })));
}

#[test]
fn after_a_restart_an_interrupted_attempt_is_made_again_and_marked() {
    let mut rig = Rig::new(plan([receiver("a")]));
    rig.feed(0, vec![x(0)]);
    let first = rig.only();
    rig.restart();
    let again = rig.only();
    assert_eq!((&again.id, &again.body), (&first.id, &first.body));
    assert_eq!((attempt_of(&again), again.repeated), (2, true));
    // The outcome of the first attempt belongs to a process that is no more.
    rig.answer(&first, status(200));
    assert_eq!(rig.notifier.state().open.len(), 1);
    rig.answer(&again, status(200));
    assert_eq!(last_end(&rig), End::Delivered);
    rig.restart();
    assert!(rig.is_quiet());
    rig.feed(0, vec![x_ended(0, 5)]);
    rig.restart();
    rig.next();
    let end = rig.only();
    assert_eq!(end.json()["alerts"][0]["startsAt"], first.json()["alerts"][0]["startsAt"]);
    assert_eq!(end.told(), "x resolved");
}

#[test]
fn an_outcome_that_never_comes_back_holds_up_nothing() {
    let mut rig = Rig::new(plan([receiver("a")]));
    rig.feed(0, vec![x(0)]);
    let first = rig.only();
    assert_eq!(rig.next(), seconds(40));
    rig.answer(&first, status(200));
    assert_eq!(rig.notifier.state().open.len(), 1, "too late");
    rig.next();
    assert!(rig.only().repeated);
}

#[test]
fn attempts_are_counted_though_only_the_newest_are_kept() {
    let long = ReceiverPlan { deadline: seconds(3600), ..receiver("a") };
    let mut rig = Rig::new(plan([long]));
    rig.feed(0, vec![x(0)]);
    let mut last = rig.only();
    for _ in 0..40 {
        rig.answer(&last, status(500));
        rig.next();
        last = rig.only();
    }
    let open = rig.notifier.state().open.values().next().unwrap();
    assert_eq!((open.tries, open.attempts.len()), (41, ATTEMPTS));
    rig.restart();
    assert_eq!(attempt_of(&rig.only()), 42);
}

#[test]
fn a_removed_receiver_ends_what_was_open() {
    let mut rig = Rig::new(plan([receiver("a")]));
    rig.feed(0, vec![x(0)]);
    let sent = rig.only();
    rig.set_plan(plan([]));
    assert_eq!(last_end(&rig), End::GaveUp(GiveUp::Removed));
    let given_up = GivenUp { receiver: "a".into(), id: sent.id.clone(), reason: GiveUp::Removed };
    assert_eq!(rig.given_up, [given_up]);
    rig.answer(&sent, status(200));
    // The same while no process ran.
    rig.set_plan(plan([receiver("a")]));
    rig.told();
    rig.plan = plan([]);
    rig.restart();
    assert!(matches!(rig.records.last(), Some(Record::ReceiverGone { .. })));
    assert!(rig.notifier.state().receivers.is_empty());
}

#[test]
fn a_receiver_has_so_many_notifications_open_and_others_wait() {
    let each = ReceiverPlan { group_by: GroupBy::All, ..receiver("a") };
    let mut rig = Rig::new(plan([each]));
    let alerts = (0..1500).map(|n| firing(&format!("alertname=A,n={n}"), 0)).collect();
    rig.feed(0, alerts);
    let mut most = 0;
    for _ in 0..3000 {
        let Some(sent) = rig.sent.pop() else {
            rig.next();
            continue;
        };
        most = most.max(rig.notifier.state().open.len());
        rig.answer(&sent, refused());
    }
    assert_eq!(most, 1000);
    // None is lost: once it answers, all arrive.
    let mut told = std::collections::BTreeSet::new();
    while told.len() < 1500 {
        match rig.sent.pop() {
            Some(sent) => {
                told.insert(sent.told());
                rig.answer(&sent, status(200));
            }
            None => drop(rig.next()),
        }
    }
}

#[test]
fn a_notification_whose_group_has_nothing_left_to_tell_is_given_up_and_counted() {
    let quiet = ReceiverPlan { send_resolved: false, ..receiver("a") };
    let mut rig = Rig::new(plan([quiet.clone()]));
    rig.feed(0, vec![x(0)]);
    rig.told();
    rig.after(seconds(1));
    rig.feed(0, vec![x(0), y(1)]);
    rig.next();
    assert_eq!(rig.told(), "x firing; y firing");
    // An end that is owed to it, and then is no end: the alert fires in another group.
    rig.set_plan(plan([ReceiverPlan { send_resolved: true, ..quiet.clone() }]));
    rig.feed(0, vec![x_ended(0, 2), y(1)]);
    rig.next();
    let sent = rig.only();
    assert_eq!(sent.told(), "y firing; x resolved");
    rig.answer(&sent, refused());
    let by_instance = GroupBy::Labels(vec!["instance".to_owned()]);
    rig.set_plan(plan([ReceiverPlan { group_by: by_instance, ..quiet }]));
    rig.feed(0, vec![x(700), y(1)]);
    for _ in 0..4 {
        let sent = std::mem::take(&mut rig.sent);
        sent.iter().for_each(|sent| rig.answer(sent, status(200)));
        rig.next();
    }
    assert_eq!(rig.given_up.len(), 1, "{:?}", rig.given_up);
    assert_eq!((&rig.given_up[0].id, rig.given_up[0].reason), (&sent.id, GiveUp::Outdated));
    assert_eq!(rig.notifier.stats().receivers["a"].given_up["outdated"], 1);
    let ends = rig.notifier.state().history.iter().map(|finished| finished.end);
    assert_eq!(ends.filter(|end| *end == End::GaveUp(GiveUp::Outdated)).count(), 1);
}

#[test]
fn receivers_count_what_is_open_for_them() {
    let each = |name| ReceiverPlan { group_by: GroupBy::All, ..receiver(name) };
    let mut rig = Rig::new(plan([each("a"), each("b")]));
    rig.feed(0, (0..20).map(|n| firing(&format!("alertname=A,n={n}"), 0)).collect());
    for (n, status_of) in [200, 400, 500, 200, 410].into_iter().cycle().take(60).enumerate() {
        let Some(sent) = rig.sent.pop() else {
            rig.next();
            continue;
        };
        rig.answer(&sent, status(status_of));
        if n % 20 == 19 {
            rig.restart();
        }
        for (name, held) in &rig.notifier.state().receivers {
            let open = rig.notifier.state().open.values();
            let open = open.filter(|open| open.intent.receiver == *name);
            let sizes: Vec<usize> = open.map(|open| open.intent.body.len()).collect();
            assert_eq!((held.open, held.open_bytes), (sizes.len(), sizes.iter().sum()), "{n}");
        }
    }
}
