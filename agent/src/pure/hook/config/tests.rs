//! The file as people write it, right and wrong.

use super::testing::{FILE, plan};
use super::*;

fn problems(text: &str) -> String {
    match read("hook.yaml", text, &Environment::new()) {
        Ok((_, warnings)) => warnings.to_string(),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn a_file_says_what_may_be_done() {
    let plan = plan();
    assert_eq!(plan.name, "web-1");
    assert_eq!(plan.state_dir, Path::new(STATE_DIR));
    assert_eq!(plan.listen, None);
    let [entry] = plan.allow.as_slice() else { panic!("{:?}", plan.allow) };
    assert_eq!(entry.lane.to_string(), "checkout@production");
    let rollback = entry.program(Kind::Rollback).unwrap();
    assert_eq!(rollback.run, ["/usr/lib/bellwether/hooks/nginx-switch.sh"]);
    assert_eq!(rollback.timeout, Duration::from_secs(10));
    assert_eq!(entry.observe.as_ref().unwrap().timeout, OBSERVE_TIMEOUT);
    assert!(entry.program(Kind::Hold).is_none());
}

#[test]
fn versions_are_matched_as_a_whole() {
    let versions = &plan().allow[0].versions;
    assert!(versions.is_match("2.3.9"));
    for bad in ["2.3.9-rc", "x2.3.9", "2.3.9\n", "", "2.3"] {
        assert!(!versions.is_match(bad), "{bad:?}");
    }
    let either = whole("1|2").unwrap();
    assert!(either.is_match("1") && either.is_match("2"));
    assert!(!either.is_match("12") && !either.is_match("1x"));
    for bad in ["(", "a)|(b", "a{1000}{1000}"] {
        assert!(whole(bad).unwrap_err().starts_with("is no pattern"), "{bad}");
    }
}

#[test]
fn every_problem_is_named_with_its_place() {
    let text = "collector: {url: 'ftp://c', tokn_file: x}\n\
                name: ../web\n\
                secret: short\n\
                listen: 0.0.0.0:9799\n\
                alow: []\n\
                allow:\n  \
                - {service: a b, environment: e, versions: '('}\n  \
                - {service: s, environment: e, versions: '1', rollback: {run: [switch.sh]}}\n  \
                - {service: s, environment: e, versions: '1', hold: {run: [/x], timeout: 1h}}\n  \
                - {service: t, environment: e, versions: '1', hold: {run: []}}\n";
    insta::assert_snapshot!(problems(text));
}

#[test]
fn a_rollback_without_eyes_is_warned_of() {
    let text: String = FILE
        .lines()
        .filter(|line| !line.contains("observe:"))
        .fold(String::new(), |text, line| text + line + "\n");
    assert!(problems(&text).contains("hok001"), "{}", problems(&text));
}

#[test]
fn the_reference_has_every_key() {
    let docs = docs();
    let names: Vec<&str> = docs.iter().map(|doc| doc.name.as_str()).collect();
    for name in [
        "collector.url",
        "collector.token_file",
        "collector.ca_file",
        "name",
        "secret_file",
        "state_dir",
        "listen",
        "allow[].service",
        "allow[].rollback.run",
        "allow[].hold.timeout",
        "allow[].observe.timeout",
        "allow[].versions",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
}
