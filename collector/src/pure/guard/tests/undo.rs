//! Rollbacks: when one is over, and which ones a person decides on.

use super::*;

#[test]
fn a_rollback_is_seen_in_the_series_once_the_hook_has_answered() {
    let mut world = World::announced(Mode::Act, "");
    while world.posted.is_empty() {
        world.count((10, 10), (190, 0));
    }
    // The canary is down: that is no rollback.
    (0..10).for_each(|_| world.count((0, 0), (200, 0)));
    assert_eq!(world.posted.len(), 1);
    world.answers(Status::Accepted, None);
    (0..3).for_each(|_| world.count((0, 0), (200, 0)));
    assert_eq!(world.rollout().ended.map(|(end, _)| end), Some(End::Failed));
}

#[test]
fn a_hook_that_has_failed_restores_nothing() {
    let mut world = World::announced(Mode::Act, "");
    while world.posted.is_empty() {
        world.count((10, 10), (190, 0));
    }
    world.answers(Status::Failed, None);
    (0..10).for_each(|_| world.count((0, 0), (200, 0)));
    assert_eq!(world.rollout().ended, None, "the canary is down, and still in place");
}

#[test]
fn a_canary_with_few_requests_is_not_gone_between_two_of_them() {
    let mut world = World::announced(Mode::Act, "");
    let quiet = |second: i64| (u64::from(second % 4 == 0), u64::from(second % 4 == 0));
    while world.posted.is_empty() {
        let second = world.second;
        world.count(quiet(second), (5, 0));
        assert!(second - BEGAN < 400, "it is found");
    }
    world.answers(Status::Accepted, None);
    (0..40).for_each(|at| world.count(quiet(at), (5, 0)));
    assert_eq!((world.rollout().ended, world.posted.len()), (None, 1));
    // Seven requests would have come in 28 s.
    (0..20).for_each(|_| world.count((0, 0), (5, 0)));
    assert_eq!(world.rollout().ended, None);
    (0..15).for_each(|_| world.count((0, 0), (5, 0)));
    assert_eq!(world.rollout().ended.map(|(end, _)| end), Some(End::Failed));
}

#[test]
fn a_frozen_rollback_waits_for_a_person() {
    let mut world = World::announced(Mode::Act, ",\"irreversible\":true");
    assert!(matches!(world.say(Word::Confirm), Reply::Conflict(_)), "nothing to confirm");
    (0..30).for_each(|_| world.count((10, 10), (190, 0)));
    assert_eq!(world.posted.iter().map(|one| one.kind).collect::<Vec<_>>(), [Kind::Hold]);
    world.answer(Status::Done, "1.1");
    assert!(world.posted.is_empty());
    (0..30).for_each(|_| world.count((10, 10), (190, 0)));
    assert!(world.posted.is_empty(), "held once");
    assert!(matches!(world.say(Word::Confirm), Reply::Done));
    assert_eq!(world.posted.iter().map(|one| one.kind).collect::<Vec<_>>(), [Kind::Rollback]);
}

/// Announces a rollout of the same service.
fn again(world: &mut World, id: &str, from: &str, to: &str) {
    let text = format!(
        "{{\"id\":\"{id}\",\"service\":\"shop\",\"environment\":\"production\",\
         \"from\":\"{from}\",\"to\":\"{to}\",\"watch\":\"1m\"}}"
    );
    let reply = world.announce(&text);
    assert!(matches!(reply, Reply::Begun(_)), "{reply:?}");
}

#[test]
fn a_version_that_was_rolled_back_is_no_target_but_by_a_person_or_after_a_good_watch() {
    let rolled_back = || {
        let mut world = World::announced(Mode::Act, "");
        (0..30).for_each(|_| world.count((10, 10), (190, 0)));
        world.answer(Status::Done, "1.0");
        world
    };
    let kinds = |world: &World| world.posted.iter().map(|one| one.kind).collect::<Vec<_>>();
    let mut world = rolled_back();
    again(&mut world, "r2", "1.1", "1.2");
    (0..30).for_each(|_| world.count((10, 10), (190, 0)));
    assert_eq!((world.action_of("r2"), kinds(&world)), ("freeze", vec![Kind::Hold]));
    let told = world.alerts().find(|alert| alert.ends_at.is_none()).unwrap();
    let frozen = "it is frozen, since 1.1 was rolled back itself: confirm";
    assert!(told.annotations["description"].contains(frozen), "{told:?}");
    assert!(matches!(world.say_of("r2", Word::Confirm), Reply::Done));
    assert_eq!((world.action_of("r2"), kinds(&world)), ("roll back", vec![Kind::Rollback]));

    let mut world = rolled_back();
    again(&mut world, "r2", "1.0", "1.1");
    (0..60).for_each(|_| world.count((10, 0), (190, 0)));
    assert!(matches!(world.say_of("r2", Word::Finish), Reply::Done));
    (0..61).for_each(|_| world.count((10, 0), (190, 0)));
    world.restart();
    again(&mut world, "r3", "1.1", "1.2");
    (0..30).for_each(|_| world.count((10, 10), (190, 0)));
    assert_eq!((world.action_of("r3"), kinds(&world)), ("roll back", vec![Kind::Rollback]));
}

#[test]
fn an_environment_that_no_file_names_is_refused_where_files_name_any() {
    let mut world = World::new(plan(Mode::Act, Risk::Critical));
    let text = announce("").replace("production", "Production");
    let Reply::Wrong(problems) = world.announce(&text) else { panic!("it is taken") };
    let said = "no file describes the environment `Production`: did you mean `production`?";
    assert_eq!(problems, [said]);
    let mut plan = plan(Mode::Act, Risk::Low);
    let mut catalogue = Catalogue::clone(&plan.catalogue);
    catalogue.environments.clear();
    plan.catalogue = Arc::new(catalogue);
    assert!(matches!(World::new(plan).announce(&text), Reply::Begun(_)));
}
