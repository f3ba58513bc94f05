//! Rule files as people get them wrong: `check rules` shows findings, which are kept beside each
//! file. Files whose name begins with `test-` are tests of rules and run by `test rules`.
//!
//! `tests/suite/broken_rules/NAME.yaml` is a file, `NAME.txt` what is said of it. With
//! `BELLWETHER_GOLDEN=write` the second is written anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bellwether_model::config::code;
use bellwether_rules::file::CODES;
use bellwether_tests::harness::{Daemon, daemon, peer, skip};

const FILES_MIN: usize = 30;
const FINDINGS: i32 = 1;
/// What we refuse, or show as a finding, and Prometheus takes.
const OURS: [&str; 6] = [
    "long-line",
    "long-template",
    "nested-expression",
    "repeated-rules",
    "tags-and-merges",
    "two-documents",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("suite/broken_rules")
}

/// The names of the files, without their ending.
fn names() -> Vec<String> {
    let names = fs::read_dir(folder()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned)).collect();
    names.sort();
    assert!(names.len() >= FILES_MIN, "{} files", names.len());
    names
}

/// What is said of a file, in its folder, so that its name is short.
fn shown(name: &str) -> String {
    let verb = if name.starts_with("test-") { "test" } else { "check" };
    let mut command = Command::new(daemon(Daemon::Collector));
    command.current_dir(folder()).args([verb, "rules", &format!("{name}.yaml")]);
    let output = command.output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(FINDINGS), "{name}: {shown}{errors}");
    shown
}

#[test]
fn each_broken_rule_file_has_its_findings() {
    let is_writing = std::env::var("BELLWETHER_GOLDEN").is_ok_and(|word| word == "write");
    let mut differ = Vec::new();
    let mut codes = BTreeSet::new();
    for name in names() {
        let golden = folder().join(format!("{name}.txt"));
        let shown = shown(&name);
        if is_writing {
            fs::write(&golden, &shown).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if shown != expected {
            differ.push(format!("{name}\n--- expected\n{expected}--- shown\n{shown}"));
        }
        let all = CODES.iter().chain(code::ALL).map(|code| code.name);
        codes.extend(all.filter(|code| shown.contains(&format!("[{code}]"))));
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    let unseen: Vec<_> = CODES.iter().filter(|code| !codes.contains(code.name)).collect();
    assert!(unseen.is_empty(), "no file shows {unseen:?}");
}

#[test]
fn promtool_refuses_what_we_refuse_but_for_a_list() {
    let Some(promtool) = peer("promtool") else { return skip("promtool is not installed") };
    let mut taken = Vec::new();
    for name in names().iter().filter(|name| !name.starts_with("test-")) {
        let mut command = Command::new(&promtool);
        command.current_dir(folder()).args(["check", "rules", "--lint=none"]);
        if command.arg(format!("{name}.yaml")).output().unwrap().status.success() {
            taken.push(name.clone());
        }
    }
    assert_eq!(taken, OURS);
}

#[test]
fn check_rules_takes_the_rules_that_others_ship_for_node_exporter() {
    let Some(path) = crate::packs::node_exporter::rules() else { return };
    let mut command = Command::new(daemon(Daemon::Collector));
    let output = command.args(["check", "rules"]).arg(path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains(": 2 groups, 41 rules\n"), "{said}");
}
