//! From a bad request to a rollback: nginx before two versions, and every program of ours.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use bellwether_tests::harness::{Daemon, daemon, skip, until};
use bellwether_tests::rollback::Scene;
use serde_json::Value;

/// More of the requests go to the new version than in a careful deploy, so that it takes less time.
const WEIGHTS: [u32; 2] = [3, 1];

#[test]
fn a_bad_deploy_is_undone_once_and_its_record_verifies() {
    let collector = daemon(Daemon::Collector);
    let bin = collector.parent().unwrap();
    let Some(scene) = Scene::start("rollback", bin, 100, WEIGHTS) else {
        return skip("nginx or curl is not installed");
    };
    scene.both();
    let announce = ["rollout", "start", "--service", "checkout", "--id", "forged"];
    let announce = [&announce[..], &["--from", "2.3.9", "--to", "2.4.0"]].concat();
    let (well, text) = scene.bellwether_as("ingest", &announce);
    assert!(!well && text.contains("403"), "an agent announces nothing: {text}");
    scene.announce("gh-1", &["--risk", "medium"]);
    // The same again is the same; another deploy of the service waits its turn.
    scene.announce("gh-1", &["--risk", "medium"]);
    let start = ["rollout", "start", "--service", "checkout", "--from", "1", "--to", "2"];
    let (well, text) = scene.bellwether(&start);
    assert!(!well && text.contains("has `gh-1` open"), "{text}");
    let times = scene.fault("gh-1", 500);
    println!(
        "rollback: hook {} ms and traffic restored {} ms after the first bad request",
        (times.hooked - times.first_bad) / 1_000_000,
        (times.restored - times.first_bad) / 1_000_000
    );
    let status = scene.status("gh-1");
    assert_eq!(status["signals"][0]["outcome"], "restored", "{status:#}");
    assert_eq!(scene.hooks().len(), 1, "called once");
    verify(&scene, &status);
    let (well, text) = scene.bellwether(&[
        "rollout",
        "start",
        "--service",
        "checkout",
        "--id",
        "gh-1",
        "--from",
        "2.3.9",
        "--to",
        "2.4.0",
        "--risk",
        "medium",
    ]);
    assert!(!well && text.contains("has ended"), "a replay: {text}");
}

/// The record of a verdict, as `bellwether verify` sees it.
fn verify(scene: &Scene, status: &Value) {
    let (record, key) = scene.record(status["decided"][0]["record"].as_str().unwrap());
    let mut verify = Command::new(daemon(Daemon::Collector));
    let done = verify.arg("verify").arg(&record).arg("--key").arg(&key).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

/// How far a rollout is.
fn state(status: &Value) -> String {
    let signal = status["signals"][0]["state"].as_str();
    let decided = status["decided"].as_array().is_some_and(|all| !all.is_empty());
    match (status["ended_at"].is_string(), signal) {
        (true, _) => "over",
        (false, Some(signal)) => signal,
        (false, None) if decided => "decided",
        (false, None) => "watching",
    }
    .to_owned()
}

#[test]
fn a_collector_killed_in_each_state_of_a_signal_has_the_deploy_undone_once() {
    let bin = daemon(Daemon::Collector);
    let scene = Scene::start("rollback-kills", bin.parent().unwrap(), 100, WEIGHTS);
    let Some(mut scene) = scene else { return skip("nginx or curl is not installed") };
    scene.both();
    scene.slow_hook(2);
    scene.announce("gh-1", &["--risk", "medium"]);
    // Nobody does what is intended, until the collector was killed over it.
    scene.kill_hook();
    scene.canary().fail(1000);
    let mut killed = BTreeSet::new();
    until("the end", Duration::from_secs(240), || {
        let state = state(&scene.status_if_up("gh-1")?);
        if killed.insert(state.clone()) {
            scene.kill_collector();
            if ["intended", "sent"].contains(&state.as_str()) {
                scene.start_hook();
            }
        }
        (state == "over").then_some(())
    });
    println!("rollback: killed while {killed:?}");
    let passed = ["watching", "acknowledged", "over"];
    assert!(passed.iter().all(|state| killed.contains(*state)), "{killed:?}");
    assert!(killed.contains("intended") || killed.contains("sent"), "{killed:?}");
    let status = scene.status("gh-1");
    assert_eq!(status["state"], "failed", "{status:#}");
    assert_eq!(status["signals"].as_array().unwrap().len(), 1, "{status:#}");
    assert_eq!(status["signals"][0]["outcome"], "restored", "{status:#}");
    assert_eq!(scene.hooks().len(), 1, "called once");
    verify(&scene, &status);
}
