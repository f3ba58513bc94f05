//! Real programs of this host.

use rustix::process::test_kill_process;

use super::*;
use crate::pure::hook::testing::signal;

const LONG: Duration = Duration::from_secs(60);

fn plan(run: &[&str]) -> ProgramPlan {
    let run = run.iter().map(|text| (*text).to_owned()).collect();
    ProgramPlan { run, timeout: LONG, place: None }
}

fn shell(script: &str) -> ProgramPlan {
    plan(&["/bin/sh", "-c", script])
}

async fn ran(plan: &ProgramPlan, limit: Duration) -> Ended {
    let signal = signal(1, 17);
    let variables = variables(&Lane::of(&signal), Some(&signal));
    start(plan, Path::new("/"), variables).unwrap().end(limit).await
}

#[tokio::test]
async fn a_program_gets_these_variables_and_no_other() {
    let ended = ran(&plan(&["/usr/bin/env"]), LONG).await;
    assert_eq!(ended.exit, Exit::Code(0));
    let mut found: Vec<&str> =
        ended.output.split(' ').filter(|word| !word.starts_with("PATH=")).collect();
    found.sort_unstable();
    let key = format!("BELLWETHER_KEY={}", "01".repeat(32));
    let expected = [
        "BELLWETHER_ACTION=rollback",
        "BELLWETHER_ENVIRONMENT=production",
        "BELLWETHER_FROM=2.4.0",
        "BELLWETHER_GENERATION=17",
        key.as_str(),
        "BELLWETHER_ROLLOUT=gh-1",
        "BELLWETHER_SERVICE=checkout",
        "BELLWETHER_TO=2.3.9",
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn arguments_are_not_looked_at_by_a_shell() {
    let ended = ran(&plan(&["/bin/echo", "$(id)", "`id`", ";", "*"]), LONG).await;
    assert_eq!(ended.output, "$(id) `id` ; *");
}

#[tokio::test]
async fn how_a_program_ends_is_told() {
    for code in [0, 1, 3, 4, 5] {
        let ended = ran(&shell(&format!("exit {code}")), LONG).await;
        assert_eq!(ended.exit, Exit::Code(code));
    }
    assert_eq!(ran(&shell("kill -9 $$"), LONG).await.exit, Exit::Signal(9));
    let missing = start(&plan(&["/nonexistent/x"]), Path::new("/"), Vec::new());
    let words = missing.err().unwrap();
    assert!(words.starts_with("cannot start /nonexistent/x: "), "{words}");
}

#[tokio::test]
async fn input_is_empty_and_output_is_bounded() {
    let ended = ran(&shell("cat; pwd; yes | head -c 1000000; echo the end >&2"), LONG).await;
    assert_eq!(ended.exit, Exit::Code(0));
    assert!(ended.output.ends_with("y the end"), "{:?}", ended.output.get(..20));
    assert!(ended.output.len() <= 2 * crate::pure::hook::output::OUTPUT_BYTES);
}

#[tokio::test]
async fn a_whole_group_is_killed_when_its_time_is_over() {
    let script = "sleep 600 & echo $!; trap '' TERM; wait";
    let ended = ran(&shell(script), Duration::from_millis(300)).await;
    assert_eq!(ended.exit, Exit::TimedOut(Duration::from_millis(300)));
    is_gone(&ended.output).await;
}

#[tokio::test]
async fn what_a_program_leaves_behind_is_killed_with_its_end() {
    let ended = ran(&shell("sleep 600 & echo $!"), LONG).await;
    assert_eq!(ended.exit, Exit::Code(0));
    is_gone(&ended.output).await;
}

/// Waits until a process is gone: whoever inherits it has to reap it.
async fn is_gone(number: &str) {
    let pid = Pid::from_raw(number.parse().unwrap()).unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    while test_kill_process(pid).is_ok() && !state().contains(") Z ") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn observe_gives_one_version_or_a_reason() {
    let lane = Lane::of(&signal(1, 1));
    let of = async |script: &str| observe(&lane, &shell(script), Path::new("/")).await;
    assert_eq!(of("echo 2.3.9; echo noise >&2").await, Ok("2.3.9".to_owned()));
    assert_eq!(of("echo no >&2; exit 2").await, Err("observe: exit code 2: no".to_owned()));
    assert_eq!(of("true").await, Err("observe printed no version".to_owned()));
    assert_eq!(of("echo $BELLWETHER_ACTION").await, Ok("observe".to_owned()));
}
