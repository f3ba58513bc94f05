//! From a bad request to a rollback: nginx before two versions, and every program of ours.

use std::process::Command;

use bellwether_tests::harness::{Daemon, daemon, skip};
use bellwether_tests::rollback::Scene;

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
    let record = status["decided"][0]["record"].as_str().unwrap();
    let (record, key) = scene.record(record);
    let mut verify = Command::new(&collector);
    let done = verify.arg("verify").arg(&record).arg("--key").arg(&key).output().unwrap();
    assert!(done.status.success(), "{done:?}");
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
