//! `up --demo`, as a person sees it: a fault, its alert, its page, their end; and `up` without it.

use std::process::Command;
use std::time::Duration;

use bellwether_tests::harness::{Daemon, Folder, Process, daemon, get};

use super::{END, START, Up, json, query, query_until};

/// The demo promises to end within a minute, and its agent may take ten seconds to.
const DEMO: Duration = Duration::from_secs(70);

/// What follows each other, by the words that a step is known by: the alert and its page, and
/// beside them the rollout and its rollback.
const ALERT: [&str; 9] = [
    ", 100 requests a second, a probe of each every second",
    "healthy: every backend answers its probes",
    "fault injected: backend canary answers every request with 500",
    "alert pending: DemoBackendDown",
    "alert firing: DemoBackendDown",
    "page received, signature good: firing DemoBackendDown: demo backend canary fails",
    "fault removed: backend canary answers well",
    "resolved received, signature good: resolved DemoBackendDown",
    "end: paged ",
];
const ROLLBACK: [&str; 7] = [
    "healthy: ",
    "rollout watched: both versions, second by second",
    "fault injected: ",
    "rollout failed: errors: the canary fails and the baseline does not",
    "hook asked to roll back",
    "traffic restored: only the old version serves",
    "fault removed: ",
];
const ALSO: [&str; 2] = [
    "signature good, judged again to the same verdict",
    "page received, signature good: firing BellwetherRolloutFailed",
];

fn demo(folder: &Folder, more: &[&str]) -> Process {
    let mut command = Command::new(daemon(Daemon::Collector));
    command.args(["up", "--demo", "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0"]);
    command.arg("--data-dir").arg(folder.join("data"));
    command.arg("--agent-bin").arg(daemon(Daemon::Agent)).args(more);
    Process::start("bellwether up --demo", &mut command)
}

/// The seconds at which a step was told.
fn seconds(step: &str) -> f64 {
    let (at, _) = step.trim_start().split_once(' ').unwrap();
    at.parse().unwrap()
}

#[test]
fn a_fault_is_shown_from_its_injection_to_its_page_and_its_end() {
    let folder = Folder::new("demo");
    let mut process = demo(&folder, &[]);
    // A reload changes nothing of it: neither its rules nor its receiver stand in a file.
    let _healthy = process.line(ALERT[1], DEMO);
    process.hang_up();
    let _reloaded = process.line("configuration reloaded", DEMO);
    let status = process.end(DEMO);
    let lines = process.lines();
    let steps: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("demo ")).collect();
    let steps: Vec<&str> =
        steps.into_iter().filter(|step| !step.starts_with("         ")).collect();
    assert!(status.success(), "{status}: {lines:#?}");
    for words in [&ALERT[..], &ROLLBACK] {
        let mut left = steps.iter();
        for words in words {
            assert!(left.any(|step| step.contains(words)), "no {words:?} in its place: {steps:#?}");
        }
    }
    for words in ALSO {
        assert!(steps.iter().any(|step| step.contains(words)), "no {words:?}: {steps:#?}");
    }
    for words in ["refused", "not of this fault", "not verify", "in time"] {
        assert!(!steps.iter().any(|step| step.contains(words)), "{words:?}: {steps:#?}");
    }
    assert!(steps.is_sorted_by(|a, b| seconds(a) <= seconds(b)), "{steps:#?}");
    let (_, took) = lines.iter().find_map(|line| line.split_once("end: paged ")).unwrap();
    println!("demo: paged {took}");
    assert!(lines.iter().any(|line| line.ends_with(", lost 0")), "{lines:#?}");
}

#[test]
fn a_demo_that_ends_before_its_page_has_not_succeeded() {
    let folder = Folder::new("demo-short");
    let mut process = demo(&folder, &["--for", "3s"]);
    assert_eq!(process.end(END).code(), Some(1));
}

#[test]
fn up_without_it_injects_nothing() {
    let mut up = Up::start();
    query_until(&up.collector, "node_load1");
    assert!(query(&up.collector, "{job=\"demo\"}").is_none());
    let rules = json(&get(&up.collector, "/api/v1/rules").unwrap()).unwrap();
    let groups = rules["data"]["groups"].as_array().unwrap();
    assert!(groups.iter().all(|group| group["name"] != "demo"), "{groups:?}");
    up.process.interrupt();
    let _summary = up.process.line("bellwether: ran ", START);
    assert!(up.process.end(END).success());
    assert!(up.process.lines().iter().all(|line| !line.starts_with("demo ")));
}
