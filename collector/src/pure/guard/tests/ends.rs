//! How rollouts end, and what is left of them.

use super::*;

/// One that has ended while no file could be written.
fn ended_without_file(disk: Disk) -> World {
    let mut world = World::announced(Mode::Act, "");
    world.disk = disk;
    (0..60).for_each(|_| world.count((10, 0), (190, 1)));
    assert!(matches!(world.say(Word::Abort), Reply::Done));
    assert!(world.rollout().ended.is_some() && !world.rollout().is_kept);
    assert!(world.files.is_empty());
    world.disk = Disk::Works;
    world
}

fn assert_has_its_file(world: &World) {
    let file = world.file();
    assert_eq!(verify(file, &key().public(), None).failures, []);
    assert_eq!(Hash::of(file), world.rollout().decided[0].record);
    assert!(world.rollout().is_kept && world.rollout().seconds.is_empty());
}

#[test]
fn a_record_whose_file_the_process_did_not_reach_is_made_again_after_the_end() {
    let mut world = ended_without_file(Disk::Unreached);
    world.restart();
    world.tick();
    assert_has_its_file(&world);
    // Not once more.
    world.files.clear();
    world.restart();
    world.tick();
    assert!(world.files.is_empty());
}

#[test]
fn a_record_that_a_full_disk_refuses_is_tried_again() {
    let mut world = ended_without_file(Disk::Full);
    assert_eq!(world.guard.figures().records_waiting, 1);
    (0..29).for_each(|_| world.tick());
    assert!(world.files.is_empty());
    world.tick();
    assert_has_its_file(&world);
    assert_eq!(world.guard.figures().records_waiting, 0);
}

#[test]
fn a_record_that_another_key_would_sign_is_counted_as_lost() {
    let mut world = ended_without_file(Disk::Unreached);
    let other = SecretKey::new([8; 32]);
    world.guard = Guard::new(world.folded.clone(), world.plan.clone(), other);
    world.tick();
    assert!(world.files.is_empty());
    assert_eq!(world.guard.figures().stats.records_lost, 1);
    assert!(world.rollout().is_kept, "nothing waits for it");
}

#[test]
fn what_has_ended_still_says_why_and_how() {
    let mut world = World::announced(Mode::Act, "");
    (0..20).for_each(|_| world.count((10, 10), (190, 0)));
    let before = view::markdown(&world.guard.row("r1").unwrap());
    world.answer(Status::Done, "1.0");
    let row = world.guard.row("r1").unwrap();
    let text = view::markdown(&row);
    let why = "Errors: the canary fails";
    for part in ["# shop 1.1 in production: failed", "| errors | fail | ", why, "over: failed"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(before.contains(why), "{before}");
    let told = world.alerts().next().unwrap();
    assert!(told.ends_at.is_some());
    let description = &told.annotations["description"];
    assert!(description.starts_with("errors: the canary fails"), "{description}");
    assert!(description.ends_with("; 1.0 serves again"), "{description}");
}

#[test]
fn an_abort_is_told_as_one() {
    let mut world = World::announced(Mode::Act, "");
    (0..20).for_each(|_| world.count((10, 10), (190, 0)));
    assert!(matches!(world.say(Word::Abort), Reply::Done));
    let told = world.alerts().next().unwrap();
    assert!(told.annotations["description"].ends_with("; the rollout was aborted"), "{told:?}");
}

/// A name that is forgotten.
fn forgotten(world: &World) -> World {
    let mut state = world.folded.clone();
    state.rollouts.clear();
    let mut again = World::new(world.plan.clone());
    again.guard = Guard::new(state.clone(), world.plan.clone(), key());
    (again.folded, again.second) = (state, world.second + 1);
    again.files = world.files.clone();
    again
}

#[test]
fn a_name_that_comes_again_has_files_of_its_own_and_no_signals() {
    let mut world = World::announced(Mode::Act, "");
    world.count((10, 0), (190, 0));
    assert!(matches!(world.say(Word::Abort), Reply::Done));
    let mut again = forgotten(&world);
    assert!(matches!(again.announce(&announce("")), Reply::Begun(_)));
    again.count((10, 0), (190, 0));
    assert!(matches!(again.say(Word::Abort), Reply::Done));
    assert_eq!(again.files.len(), 2, "{:?}", again.files.keys());

    let mut world = World::announced(Mode::Act, "");
    (0..20).for_each(|_| world.count((10, 10), (190, 0)));
    world.answer(Status::Done, "1.0");
    let reply = forgotten(&world).announce(&announce(""));
    assert!(matches!(&reply, Reply::Conflict(text) if text.contains("another id")), "{reply:?}");
}
