//! Files of services and environments as people get them wrong: `check rollout` shows findings,
//! which are kept beside each file.
//!
//! `tests/suite/broken_services/NAME.yaml` is a file and `NAME/` a directory of files that
//! contradict each other; `NAME.txt` is what is said of it. With `BELLWETHER_GOLDEN=write` the last
//! is written anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bellwether_rules::service::CODES;
use bellwether_tests::harness::{Daemon, daemon};

const FILES_MIN: usize = 30;
const FINDINGS: i32 = 1;
/// What only a configuration tells: see `hooks` in the tests of the collector; and the bounds.
const ELSEWHERE: [&str; 2] = ["svc012", "svc015"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("suite/broken_services")
}

/// What is said of a file or directory, in its folder, so that its name is short.
fn shown(entry: &str) -> String {
    let mut command = Command::new(daemon(Daemon::Collector));
    command.current_dir(folder()).args(["check", "rollout", entry]).env_clear();
    let output = command.output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(FINDINGS), "{entry}: {shown}{errors}");
    shown
}

#[test]
fn each_broken_service_file_has_its_findings() {
    let is_writing = std::env::var("BELLWETHER_GOLDEN").is_ok_and(|word| word == "write");
    let entries = fs::read_dir(folder()).unwrap();
    let entries = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let entries: BTreeSet<String> = entries.filter(|name| !name.ends_with(".txt")).collect();
    assert!(entries.len() >= FILES_MIN, "{} files", entries.len());
    let (mut differ, mut codes) = (Vec::new(), BTreeSet::new());
    for entry in entries {
        let name = entry.strip_suffix(".yaml").unwrap_or(&entry);
        let golden = folder().join(format!("{name}.txt"));
        let shown = shown(&entry);
        if is_writing {
            fs::write(&golden, &shown).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if shown != expected {
            differ.push(format!("{entry}\n--- expected\n{expected}--- shown\n{shown}"));
        }
        let all = CODES.iter().map(|code| code.name);
        codes.extend(all.filter(|code| shown.contains(&format!("[{code}]"))));
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    let all = CODES.iter().map(|code| code.name).filter(|code| !ELSEWHERE.contains(code));
    let unseen: Vec<_> = all.filter(|code| !codes.contains(code)).collect();
    assert!(unseen.is_empty(), "no file shows {unseen:?}");
}
