use super::*;
use crate::pure::config::{Overrides, Plan, Surroundings, docs, read};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn plan(text: &str) -> Result<Plan, String> {
    match read("c.yaml", text, &Surroundings::default(), &Overrides::default()) {
        Ok((plan, warnings)) if warnings.is_empty() => Ok(plan),
        Ok((_, warnings)) => Err(warnings.to_string()),
        Err(problems) => Err(problems.to_string()),
    }
}

#[test]
fn a_url_is_all_that_a_receiver_needs() {
    let plan = plan("notify: {receivers: {ops: {webhook: {url: 'http://h/x?token=y'}}}}").unwrap();
    let ops = &plan.notify.receivers["ops"];
    assert_eq!(ops.group_by, GroupBy::Labels(vec!["alertname".to_owned()]));
    assert_eq!((ops.group_wait, ops.group_interval), (Duration::ZERO, GROUP_INTERVAL));
    assert_eq!((ops.repeat_interval, ops.deadline), (REPEAT_INTERVAL, DEADLINE));
    assert!(ops.send_resolved && ops.matchers.is_empty() && ops.secrets.is_empty());
    assert_eq!((ops.max_alerts, ops.endpoint.timeout), (0, TIMEOUT));
    assert!(ops.endpoint.way.is_none());
}

#[test]
fn everything_can_be_said() {
    let plan = plan(&format!(
        "external_labels: {{site: north}}\nnotify:\n  receivers:\n    a:\n      webhook:\n        \
         url_file: /u\n        secrets: [{{secret: {KEY}}}, {{secret_file: /k}}]\n        \
         send_resolved: false\n        max_alerts: 5\n        timeout: 3s\n        deadline: 1m\n        \
         match: ['severity=page', 'team=~\"db|web\"', 'x!=\"a\\\"b\"', \"y !~ z.*\"]\n        \
         group_by: [job, instance, job]\n        group_wait: 30s\n        group_interval: 1s\n        \
         repeat_interval: 1d\n        bearer_token_file: /t\n        ca_file: /ca\n        \
         proxy: none\n    b: {{webhook: {{url: 'http://h', secret_file: /k, group_by: ['...']}}}}\n  \
         alertmanagers:\n    - {{url: 'http://127.0.0.1:9093/am/'}}\n    \
         - {{url: 'https://am', basic_auth: {{username: u, password_file: /p}}}}\n    \
         - {{url: 'https://am:443'}}\n  heartbeat: {{url: 'https://beat/x', every: 10s}}\n"
    ))
    .unwrap();
    let a = &plan.notify.receivers["a"];
    assert_eq!(a.secrets, [Secret::text(KEY), Secret::file("/k")]);
    let matchers: Vec<String> = a.matchers.iter().map(ToString::to_string).collect();
    let expected = [r#"severity="page""#, r#"team=~"db|web""#, r#"x!="a\"b""#, r#"y!~"z.*""#];
    assert_eq!(matchers, expected);
    assert_eq!(a.group_by, GroupBy::Labels(vec!["instance".to_owned(), "job".to_owned()]));
    assert_eq!(plan.notify.receivers["b"].group_by, GroupBy::All);
    assert_eq!(a.endpoint.url, Secret::file("/u"));
    assert_eq!(a.endpoint.way, Some(Way::Direct));
    let names: Vec<&str> = plan.notify.alertmanagers.iter().map(|am| &*am.name).collect();
    assert_eq!(names, ["http://127.0.0.1:9093/am", "https://am:443", "https://am:443#2"]);
    assert_eq!(plan.notify.heartbeat.unwrap().every, SECOND * 10);
    assert_eq!(plan.notify.external_labels.to_string(), r#"{site="north"}"#);
}

#[test]
fn every_problem_is_told_and_no_secret() {
    let text = "notify:\n  receivers:\n    a: {webhook: {url: 'http://u:hunter2@h/', \
        secret: whsec_hunter2}}\n    b: {}\n    \
        c: {webhook: {url: 'ftp://hunter2/', match: ['severity', 'a=~\"(\"'], timeout: 0s, \
        group_by: [], secret_file: /k, secrets: [{secret: hunter2hunter2}]}}\n    \
        d: {webhook: {url_file: /u, bearer_token: hunter2, basic_auth: {username: u, \
        password: hunter2}}}\n  alertmanagers: [{url: hunter3}, {}]\n  heartbeat: {every: 5}\n";
    let problems = plan(text).unwrap_err();
    assert!(!problems.contains("hunter2"), "{problems}");
    insta::assert_snapshot!(problems);
    for text in [
        "notify: {receivers: {a: {pagerduty: {routing_key: hunter2}}}}",
        "notify: {receivers: {a: {webhook: 'https://h/hunter2'}}}",
        "notify: {heartbeat: 'https://h/hunter2', alertmanager: [hunter2]}",
    ] {
        let problems = plan(text).unwrap_err();
        assert!(!problems.contains("hunter2"), "{problems}");
    }
    let open = "notify: {alertmanagers: [{url: 'http://am', bearer_token: hunter2}]}";
    let warning = plan(open).unwrap_err();
    assert!(warning.contains("without TLS") && !warning.contains("hunter2"), "{warning}");
}

#[test]
fn the_reference_page_has_the_section() {
    let docs = docs();
    for name in [
        "notify.receivers.<name>.webhook.url",
        "notify.receivers.<name>.webhook.secrets[].secret",
        "notify.receivers.<name>.webhook.group_wait",
        "notify.alertmanagers[].basic_auth.password",
        "notify.heartbeat.every",
    ] {
        assert!(docs.iter().any(|doc| doc.name == name), "{name}");
    }
}
