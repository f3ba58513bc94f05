//! The subcommands beside `run`, and the page.

use std::process::Output;

use bellwether_model::signal::Status;
use bellwether_tests::harness::{get, until};
use serde_json::Value;

use super::collector::{Collector, Manner, signal};
use super::{Host, SOON, Sight};

/// A sample of the hook's page; 0 if it is not there.
pub(super) fn metric(page: &str, name: &str) -> f64 {
    let text = get(page, "/metrics").unwrap().body;
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.map_or(0.0, |value| value.trim().parse().unwrap())
}

fn run(host: &Host, subcommand: &str) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = host.command(subcommand).output().unwrap();
    let text = [stdout, stderr].concat();
    (status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn once_does_what_is_open_and_status_shows_it() {
    let collector = Collector::start(Manner::Plain);
    let host = Host::new(&collector.address, Sight::Observed);
    assert_eq!(run(&host, "check"), (Some(0), String::new()));
    assert_eq!(run(&host, "observe"), (Some(0), "checkout production 2.4.0\n".to_owned()));
    let (code, text) = run(&host, "status");
    assert!(code == Some(0) && text.starts_with("does not run\n"), "{text}");
    collector.open(signal(1));
    let (code, text) = run(&host, "once");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("\"status\":\"done\",\"current_version\":\"2.3.9\""), "{text}");
    assert_eq!(collector.ended(1, 0).status, Status::Done);
    assert_eq!(host.ran().len(), 1);
    assert_eq!(run(&host, "observe"), (Some(0), "checkout production 2.3.9\n".to_owned()));

    let (runner, page) = host.start();
    let output = host.command("status").args(["-o", "json"]).output().unwrap();
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["runs"], true);
    assert_eq!(status["lanes"][0]["generation"], 1);
    assert_eq!(status["signals"][0]["status"], "done");
    assert_eq!(status["signals"][0]["detail"], "exit code 0: toggled to 2.3.9");
    let (code, text) = run(&host, "once");
    assert!(code == Some(2) && text.contains("is held by another process"), "{text}");
    let name = "bellwether_hook_answers_total{status=\"already_done\"}";
    until(name, SOON, || (metric(&page, name) >= 1.0).then_some(()));
    assert!(metric(&page, "bellwether_hook_last_poll_success_timestamp_seconds") > 1e9);
    assert_eq!(get(&page, "/-/healthy").unwrap().status, 200);
    drop(runner);
}

#[test]
fn check_names_what_is_wrong_and_no_secret() {
    let host = Host::new("127.0.0.1:1", Sight::Blind);
    let (code, text) = run(&host, "check");
    assert!(code == Some(1) && text.contains("hok001"), "{text}");
    host.configure("127.0.0.1:1", "rollback: {run: [/nonexistent/switch], tmeout: 1s}");
    let text = std::fs::read_to_string(&host.config).unwrap();
    std::fs::write(&host.config, text.replace("secret_file:", "secret: whsec_short #")).unwrap();
    let (code, text) = run(&host, "check");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("tmeout") && text.contains("`secret` must be"), "{text}");
    assert!(!text.contains("whsec_short"), "{text}");
    let (code, text) = run(&host, "run");
    assert!(code == Some(2) && text.contains("tmeout"), "{text}");
}
