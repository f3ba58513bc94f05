//! `kill -9` at every state of the ledger, with answers doubled, lost and late: the toggling
//! program is started once.

use std::fs;
use std::process::Command;
use std::time::Duration;

use bellwether_model::signal::Status;
use bellwether_tests::harness::{Daemon, Process, daemon, peer, skip, until};

use super::super::says;
use super::collector::{Collector, Manner, signal};
use super::{Host, SOON, Sight};

/// The calls by which the ledger changes.
const CALLS: [&str; 3] = ["rename", "fdatasync", "fsync"];
/// More than a runner makes of any for one signal.
const CALLS_MAX: u32 = 20;

/// Kills the runner at its `nth` call; false if it made fewer until the signal was answered.
fn kill_at(host: &Host, collector: &Collector, call: &str, nth: u32) -> bool {
    let mut command = Command::new("strace");
    command.args(["-qq", "-o", "/dev/null", "-e"]);
    command.arg(format!("trace={call}")).arg("-e");
    command.arg(format!("inject={call}:signal=KILL:when={nth}"));
    command.arg(daemon(Daemon::Hook)).args(["run", "--config"]).arg(&host.config);
    let mut process = Process::start("strace", &mut command);
    let is_done = || {
        let mut answers = collector.answers().into_iter();
        answers.any(|answer| answer.status != Status::Accepted).then_some(false)
    };
    let was_killed = until("a kill or an answer", SOON, || {
        if process.is_running() { is_done() } else { Some(true) }
    });
    if !was_killed {
        process.terminate();
        // What strace is told ends strace; the runner goes with its process group.
    }
    was_killed
}

fn kills(manner: Manner, sight: Sight) {
    if peer("strace").is_none() {
        return skip("strace is not installed");
    }
    let mut killed = 0;
    for call in CALLS {
        let mut nth = 1;
        loop {
            assert!(nth < CALLS_MAX, "the runner does not stop calling {call}");
            let collector = Collector::start(manner);
            let host = Host::new(&collector.address, sight);
            collector.open(signal(1));
            let case = format!("{manner:?}, {sight:?}, {call} {nth}");
            let was_killed = kill_at(&host, &collector, call, nth);
            if !was_killed {
                assert_eq!((host.ran().len(), host.serves().as_str()), (1, "2.3.9"), "{case}");
                break;
            }
            killed += 1;
            let (_again, _) = host.start();
            let ended = collector.ended(1, 0);
            // Asked again, it is answered from the ledger.
            let (ran, serves) = (host.ran(), host.serves());
            assert!(ran.len() <= 1, "{case}: {ran:?}");
            match ended.status {
                Status::Done | Status::AlreadyDone => assert_eq!(serves, "2.3.9", "{case}"),
                Status::Failed => assert_eq!(serves, "2.4.0", "{case}: {}", ended.detail),
                Status::Unknown => assert_eq!(sight, Sight::Blind, "{case}: {}", ended.detail),
                status => panic!("{case}: {status:?}: {}", ended.detail),
            }
            nth += 1;
        }
    }
    assert!(killed >= 10, "{killed} kills");
}

#[test]
fn killed_anywhere_with_doubled_signals() {
    kills(Manner::Doubled, Sight::Blind);
}

#[test]
fn killed_anywhere_with_lost_answers() {
    kills(Manner::Lost(2), Sight::Observed);
}

#[test]
fn killed_anywhere_with_late_answers() {
    kills(Manner::Late, Sight::Blind);
}

#[test]
fn a_program_that_outlives_its_runner_is_waited_for() {
    let collector = Collector::start(Manner::Plain);
    let host = Host::new(&collector.address, Sight::Observed);
    host.write("gate-run", "");
    let (mut first, _) = host.start();
    collector.open(signal(1));
    host.until_ran();
    first.kill();
    let (second, _) = host.start();
    says(&second, "the lane waits", SOON);
    // A second signal of the lane waits as well, however often it comes.
    let mut other = signal(2);
    other.data.generation = 2;
    collector.open(other);
    let polls = collector.polls();
    until("polls", SOON, || (collector.polls() > polls + 1).then_some(()));
    assert_eq!(host.ran().len(), 1);
    host.remove("gate-run");
    let ended = collector.ended(1, 0);
    assert_eq!(ended.status, Status::Done, "{}", ended.detail);
    assert_eq!(collector.ended(2, 0).status, Status::AlreadyDone);
    assert_eq!((host.ran().len(), host.serves().as_str()), (1, "2.3.9"));
}

#[test]
fn a_runner_that_is_told_to_stop_waits_for_its_program_and_answers() {
    let collector = Collector::start(Manner::Plain);
    let host = Host::new(&collector.address, Sight::Observed);
    host.write("gate-run", "");
    let (mut runner, _) = host.start();
    collector.open(signal(1));
    host.until_ran();
    runner.terminate();
    collector.open(signal(2));
    host.remove("gate-run");
    assert!(runner.end(SOON).success());
    assert_eq!(collector.ended(1, 0).status, Status::Done);
    assert_eq!(host.ran(), [signal(1).data.key], "nothing else was begun");
    assert!(host.has(".done") && host.has(".generation"));
}

#[test]
fn a_power_cut_that_takes_the_end_away_leaves_it_to_observe() {
    for (serves, status) in [("2.3.9", Status::Done), ("2.4.0", Status::Failed)] {
        let collector = Collector::start(Manner::Plain);
        let host = Host::new(&collector.address, Sight::Observed);
        let (mut runner, _) = host.start();
        collector.open(signal(1));
        assert_eq!(collector.ended(1, 0).status, Status::Done);
        runner.kill();
        let done = format!("state/{}.done", signal(1).data.key);
        fs::remove_file(host.folder.join(&done)).unwrap();
        host.write("serves", serves);
        let (_again, _) = host.start();
        assert_eq!(collector.ended(1, 1).status, status);
        assert_eq!(host.ran().len(), 1);
    }
}

#[test]
fn a_collector_that_was_away_is_found_again() {
    let port = bellwether_tests::harness::free_port();
    let host = Host::new(&format!("127.0.0.1:{port}"), Sight::Observed);
    let (runner, page) = host.start();
    says(&runner, "the collector cannot be asked", SOON);
    let failed =
        || super::commands::metric(&page, "bellwether_hook_polls_total{result=\"failed\"}");
    until("failed polls", SOON, || (failed() > 2.0).then_some(()));
    let told = runner.lines().iter().filter(|line| line.contains("cannot be asked")).count();
    assert_eq!(told, 1, "it is said once");
    assert!(host.ran().is_empty());
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let collector = Collector::listen(listener, Manner::Plain);
    collector.open(signal(1));
    assert_eq!(collector.ended(1, 0).status, Status::Done);
    let _rest = runner.line("the collector answers", Duration::from_secs(1));
}
