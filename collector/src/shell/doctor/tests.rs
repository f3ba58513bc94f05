use std::fs;
use std::path::PathBuf;

use super::*;
use crate::pure::config::{Overrides, Surroundings, read};

fn plan(text: &str) -> Plan {
    read("collector.yaml", text, &Surroundings::default(), &Overrides::default()).unwrap().0
}

/// A directory of its own, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let dir =
            std::env::temp_dir().join(format!("bellwether-doctor-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn said(checkup: &Checkup) -> Vec<String> {
    let line = |check: &doctor::Check| format!("{} {}", check.status.name(), check.check);
    checkup.0.iter().map(line).collect()
}

#[test]
fn an_address_that_stands_for_all_is_asked_on_loopback() {
    let tls =
        "tls: {cert_file: /c, key_file: /k}\nprincipals: {a: {token_file: /t, scopes: [read]}}\n";
    for (text, url) in [
        ("", "http://127.0.0.1:9797"),
        (&format!("listen: 0.0.0.0:1\n{tls}"), "https://127.0.0.1:1"),
        (&format!("listen: '[::]:1'\n{tls}"), "https://[::1]:1"),
    ] {
        assert_eq!(url_of(&plan(text)), url);
    }
}

#[test]
fn what_lies_here_is_looked_at() {
    let scratch = Scratch::new("here");
    let dir = scratch.0.display();
    fs::write(scratch.0.join("s.yaml"), "service: s\nowner: o\nmode: act\nslis: {}\n").unwrap();
    let text = format!(
        "data_dir: {dir}/state\nrules: {{files: [{dir}/none.yaml]}}\n\
         services: {{files: [{dir}/*.yaml]}}\n\
         tls: {{cert_file: {dir}/cert, key_file: {dir}/key}}\n\
         principals: {{a: {{token_file: {dir}/token, scopes: [ingest]}}}}\n"
    );
    let mut checkup = Checkup::default();
    here(&plan(&text), &mut checkup);
    let mut lines = said(&checkup);
    // How much room there is here is nobody's to know.
    assert!(lines.remove(1).ends_with(" disk"));
    let expected =
        ["ok data directory", "fail tls", "fail principals", "fail rules", "fail service files"];
    assert_eq!(lines, expected, "{checkup:?}");
    assert!(checkup.0.iter().all(|check| check.status == Status::Ok || !check.message.is_empty()));
}

#[tokio::test]
async fn what_is_called_is_looked_up() {
    let scratch = Scratch::new("outside");
    let key = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    fs::write(scratch.0.join("key"), key).unwrap();
    fs::write(scratch.0.join("bad"), "whsec_x").unwrap();
    let dir = scratch.0.display();
    let text = format!(
        "notify:\n  receivers:\n    \
         here: {{webhook: {{url: 'http://127.0.0.1:1/secret-path', secret_file: {dir}/key}}}}\n    \
         gone: {{webhook: {{url_file: {dir}/url}}}}\n  \
         heartbeat: {{url: 'http://localhost:1/x'}}\n\
         hooks:\n  \
         bad: {{runner: {{secret_file: {dir}/bad}}}}\n  \
         good: {{webhook: {{url: 'http://[::1]:1/x', secret_file: {dir}/key, proxy: none, \
         ca_file: {dir}/ca}}}}\n"
    );
    let mut checkup = Checkup::default();
    outside::all(&plan(&text), &mut checkup).await;
    let expected = [
        "fail receiver gone",
        "ok receiver here",
        "ok heartbeat",
        "fail hook bad",
        "ok hook bad",
        "fail hook good",
        "ok hook good",
    ];
    assert_eq!(said(&checkup), expected, "{checkup:?}");
    let shown = table(&checkup);
    assert!(!shown.contains("secret-path") && !shown.contains("MDEyMz"), "{shown}");
}

#[tokio::test]
async fn a_collector_that_does_not_run_is_a_warning() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let plan = plan(&format!("listen: '127.0.0.1:{port}'\n"));
    let asked = Doctor {
        config: None,
        data_dir: None,
        listen: None,
        url: None,
        token_file: None,
        ca_file: None,
        output: Output::Table,
    };
    let mut checkup = Checkup::default();
    running(&asked, Some(&plan), &mut checkup).await;
    assert_eq!(said(&checkup), ["ok port", "warn collector"]);
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let mut other = Checkup::default();
    super::port(taken.local_addr().unwrap(), false, &mut other);
    assert_eq!(said(&other), ["fail port"]);
}

#[test]
fn checks_stand_in_columns() {
    let mut checkup = Checkup::default();
    checkup.add("disk", (Status::Ok, "5 MiB".to_owned())).help("not said");
    checkup.add("data directory", (Status::Fail, "a\u{1b}b".to_owned())).help("look");
    let expected = "ok    disk            5 MiB\n\
                    fail  data directory  a\u{fffd}b\n      look\n";
    assert_eq!(table(&checkup), expected);
}
