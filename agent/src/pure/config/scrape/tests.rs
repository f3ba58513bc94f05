use std::collections::BTreeMap;

use bellwether_model::diagnostic::Diagnostics;
use bellwether_platform::dial::Way;
use bellwether_platform::tls::Trust;

use super::super::{Overrides, Plan, Surroundings, read};
use super::*;
use crate::pure::scrape::Authorization;

fn plan(section: &str) -> Result<(Plan, Diagnostics), Diagnostics> {
    let environment = BTreeMap::from([("TOKEN".to_owned(), "from-outside".to_owned())]);
    let around = Surroundings { host_name: "h".to_owned(), environment, ..Surroundings::default() };
    read("agent.yaml", section, &around, &Overrides::default())
}

/// As somebody has it in Prometheus' file, indented.
const PASTED: &str = r#"
labels: {team: sre}
inputs:
  scrape:
    interval: 1s
    scrape_configs:
      - job_name: blackbox
        metrics_path: /probe
        params:
          module: [http_2xx]
        static_configs:
          - targets: [shop.example, api.example]
            labels:
              tier: web
              empty: ""
        relabel_configs:
          - source_labels: [__address__]
            target_label: __param_target
          - source_labels: [__param_target]
            target_label: instance
          - target_label: __address__
            replacement: 127.0.0.1:9115
      - job_name: node
        scrape_interval: 15s
        scrape_timeout: 3s
        scheme: https
        honor_labels: true
        honor_timestamps: false
        sample_limit: 100
        label_limit: 30
        body_size_limit: 10MiB
        authorization:
          credentials: ${TOKEN}
        tls_config:
          insecure_skip_verify: true
        proxy_url: http://proxy:3128
        file_sd_configs:
          - files: [/etc/targets/*.yml]
            refresh_interval: 1m
        metric_relabel_configs:
          - source_labels: [__name__, device]
            separator: ""
            regex: 'go_(.+)${x}'
            action: drop
          - regex: 'id'
            action: labeldrop
          - source_labels: [a]
            regex: ''
            target_label: b
            replacement: '${1}-$1-$$'
        version: {build_info: app_build_info}
"#;

#[test]
fn a_scrape_config_is_taken_as_prometheus_has_it() {
    let (plan, warnings) = plan(PASTED).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(warnings.is_empty(), "{warnings}");
    let [blackbox, node] = &plan.scrapes.jobs[..] else { panic!("two jobs") };
    assert_eq!((blackbox.interval.as_secs(), blackbox.timeout.as_secs()), (1, 1));
    let found = targets(blackbox, &blackbox.groups).targets;
    assert_eq!(
        found[0].shown.to_string(),
        r#"{environment="production",instance="shop.example",job="blackbox",team="sre",tier="web"}"#
    );
    let url = "http://127.0.0.1:9115/probe?module=http_2xx&target=shop.example";
    assert_eq!(found[0].url.to_string(), url);
    assert_eq!((node.interval.as_secs(), node.timeout.as_secs()), (15, 3));
    assert_eq!(node.scheme, Scheme::Https);
    assert!(node.reading.honor_labels);
    let limits = Limits { samples: 100, labels: 30, ..Limits::default() };
    assert_eq!(node.reading.limits, limits);
    assert_eq!(node.reading.relabel.len(), 3);
    assert_eq!(node.fetch.trust, Trust::Anyone);
    assert_eq!(node.fetch.body_bytes_max, 10 << 20);
    assert!(matches!(node.fetch.way, Way::Proxy(_)));
    let Some(Authorization::Scheme(kind, secret)) = &node.fetch.authorization else {
        panic!("no credentials")
    };
    assert_eq!((kind.as_str(), format!("{secret:?}").as_str()), ("Bearer", "Secret(…)"));
    let files = FilesPlan {
        patterns: vec!["/etc/targets/*.yml".to_owned()],
        refresh: Duration::from_secs(5),
    };
    assert_eq!(node.files, [files]);
    let build = VersionPlan::BuildInfo { metric: "app_build_info".into(), label: "version".into() };
    assert_eq!(node.reading.version, Some(build));
}

#[test]
fn a_change_of_what_is_read_is_another_reading() {
    let mark = |more: &str| {
        let text = format!(
            "inputs: {{scrape: {{scrape_configs: [{{job_name: a, {more} \
             static_configs: [{{targets: ['a:1']}}]}}]}}}}\n"
        );
        let plan = plan(&text).unwrap_or_else(|problems| panic!("{problems}")).0;
        let job = &plan.scrapes.jobs[0];
        targets(job, &job.groups).targets[0].mark
    };
    let plain = mark("");
    assert_eq!(plain, mark("scrape_interval: 1s, scrape_timeout: 1s, sample_limit: 5,"));
    for other in [
        "honor_labels: true,",
        "metrics_path: /other,",
        "params: {a: [b]},",
        "metric_relabel_configs: [{regex: a, action: labeldrop}],",
        "version: {header: X-Version},",
    ] {
        assert_ne!(plain, mark(other), "{other}");
    }
}

#[test]
fn what_is_wrong_is_said_all_at_once_with_its_place() {
    let text = r#"inputs:
  scrape:
    interval: 500ms
    scrape_configs:
      - job_name: a
        scrape_interval: 5s
        scrape_timeout: 10s
        static_configs:
          - targets: ["http://a/metrics", b]
        relabel_configs:
          - {action: hashmod, source_labels: [x], target_label: y}
          - {action: labeldrop, regex: "("}
          - {acton: keep}
          - {action: Keep}
        version: {label: v, file: /x}
        bearer_token: hunter2
        basic_auth: {username: "u:x", password: p}
      - job_name: a
        metric_path: /m
        file_sd_configs: [{files: [targets.txt]}]
        static_configs: [{targets: [b]}]
        version: {header: "no header"}
"#;
    let problems = plan(text).unwrap_err();
    let all: Vec<String> = problems.into_iter().map(|problem| problem.to_string()).collect();
    let expected = [
        "agent.yaml:3:15: error[cfg009]: `interval` must be between 1s and 1h",
        "agent.yaml:7:25: error[cfg012]: `scrape_timeout` must not be longer than `scrape_interval`",
        "agent.yaml:9:13: error[cfg013]: the target `http://a/metrics` cannot be scraped: \
         \"http://a/metrics\" is not HOST:PORT",
        "agent.yaml:11:13: error[cfg013]: `modulus` must be there and above 0 for `hashmod`",
        "agent.yaml:12:40: error[cfg013]: `regex` is no regular expression: missing closing )",
        "agent.yaml:13:14: error[cfg001]: unknown key `acton` (did you mean `action`?)",
        "`action` must be one of `replace`",
        "`version` takes one of `label`, `build_info`, `file` and `header`",
        "a user's name cannot have a colon",
        "`basic_auth`, `authorization` and `bearer_token` exclude each other",
        "another job has the name `a`",
        "unknown key `metric_path` (did you mean `metrics_path`?)",
        "`targets.txt` is no path of files with targets",
        "`header` is no name of a header",
    ];
    for words in expected {
        assert!(all.iter().any(|line| line.contains(words)), "{words}\n{all:#?}");
    }
    assert!(!all.iter().any(|line| line.contains("hunter2")));
}

#[test]
fn a_target_of_two_jobs_is_warned_of() {
    let text = "inputs: {scrape: {scrape_configs: [\
                {job_name: a, static_configs: [{targets: ['b:1', 'b:1']}]}, \
                {job_name: c, static_configs: [{targets: ['b:1'], labels: {job: a}}]}]}}\n";
    let (_, warnings) = plan(text).unwrap();
    let all: Vec<String> = warnings.into_iter().map(|warning| warning.to_string()).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].contains("another target has the labels"), "{all:?}");
}
