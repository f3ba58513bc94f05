//! Configuration files as people get them wrong: `check config`, and the daemons that are started
//! with them, show the same findings, which are kept beside each file.
//!
//! `tests/suite/broken/NAME.yaml` is a file, `NAME.txt` what is said of it. With
//! `BELLWETHER_GOLDEN=write` the second is written anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bellwether_tests::harness::{Daemon, Folder, daemon};

const FILES_MIN: usize = 20;
const FINDINGS: i32 = 1;
const COULD_NOT_RUN: i32 = 2;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("suite/broken")
}

/// Runs in the folder of the files, so that their names are short; without this machine's
/// environment, which may say what a file leaves open.
fn run(which: Daemon, arguments: &[&str]) -> Output {
    let mut command = Command::new(daemon(which));
    command.current_dir(folder()).args(arguments).env_clear();
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What `check config` says of a file.
fn checked(file: &str) -> String {
    let agent = daemon(Daemon::Agent);
    let agent = agent.to_str().unwrap();
    let output = run(Daemon::Collector, &["check", "config", "--agent-bin", agent, file]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(FINDINGS), "{file}: {shown}{}", text(&output.stderr));
    shown
}

/// What a daemon says that is started with the file.
fn started(file: &str) -> String {
    let data = Folder::new("broken");
    let data = data.path().to_str().unwrap();
    let (which, command) = if file.starts_with("agent") {
        (Daemon::Agent, "run")
    } else {
        (Daemon::Collector, "serve")
    };
    let output = run(which, &[command, "--config", file, "--data-dir", data]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(COULD_NOT_RUN), "{file}: {said}");
    said
}

#[test]
fn each_broken_file_has_its_findings_whoever_reads_it() {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned))
        .collect();
    names.sort();
    assert!(names.len() >= FILES_MIN, "{} files", names.len());
    let is_writing = std::env::var("BELLWETHER_GOLDEN").is_ok_and(|word| word == "write");
    let mut differ = Vec::new();
    for name in names {
        let (file, golden) = (format!("{name}.yaml"), folder().join(format!("{name}.txt")));
        let shown = checked(&file);
        let said = started(&file);
        assert!(said.contains(shown.trim_end()), "{file}: check: {shown}\nstarted: {said}");
        if is_writing {
            fs::write(&golden, &shown).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if shown != expected {
            differ.push(format!("{file}\n--- expected\n{expected}--- shown\n{shown}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
