//! A real Prometheus scrapes us, and its own linter reads our pages.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bellwether_tests::harness::{Folder, Process, free_port, get, peer, skip, until};

use super::{Up, json, query};

/// For Prometheus to start and scrape every target at 1 s.
const SCRAPED: Duration = Duration::from_secs(30);

fn configuration(up: &Up) -> String {
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: hosts
    honor_labels: true
    metrics_path: /federate
    params: {{'match[]': ['{{job=\"node\"}}']}}
    static_configs: [{{targets: ['{collector}']}}]
  - job_name: collector
    static_configs: [{{targets: ['{collector}']}}]
  - job_name: page
    static_configs: [{{targets: ['{agent}']}}]
",
        collector = up.collector,
        agent = up.agent,
    )
}

#[test]
fn prometheus_scrapes_federate_metrics_and_the_page() {
    let Some(prometheus) = peer("prometheus") else {
        return skip("prometheus is not installed");
    };
    let up = Up::start();
    let folder = Folder::new("prometheus");
    let address = format!("127.0.0.1:{}", free_port());
    let _prometheus = Process::start(
        "prometheus",
        Command::new(prometheus)
            .arg("--config.file")
            .arg(folder.write("prometheus.yml", &configuration(&up)))
            .arg("--storage.tsdb.path")
            .arg(folder.join("data"))
            .arg(format!("--web.listen-address={address}")),
    );
    let jobs = until("every target of Prometheus is up", SCRAPED, || {
        let answer = get(&address, "/api/v1/targets?state=active").ok()?;
        let document = json(&answer)?;
        let targets = document["data"]["activeTargets"].as_array()?;
        let is_up = |target: &serde_json::Value| target["health"] == "up";
        let jobs: BTreeSet<String> = targets
            .iter()
            .filter(|target| is_up(target))
            .filter_map(|target| Some(target["labels"]["job"].as_str()?.to_owned()))
            .collect();
        (jobs.len() == 3).then_some(jobs)
    });
    assert_eq!(jobs.into_iter().collect::<Vec<_>>(), ["collector", "hosts", "page"]);

    // The same series under the same labels, through Prometheus and from us.
    let federated = r#"node_cpu_seconds_total{cpu="0",mode="idle",job="node"}"#;
    let there =
        until("node_cpu_seconds_total through Prometheus", SCRAPED, || query(&address, federated));
    let here = query(&up.collector, federated).unwrap();
    assert_eq!(there[0].labels, here[0].labels);
    until("the agent's page through Prometheus", SCRAPED, || {
        query(&address, r#"node_cpu_seconds_total{cpu="0",mode="idle",job="page"}"#)
    });
    until("own metrics of the collector through Prometheus", SCRAPED, || {
        query(&address, r#"{__name__=~"bellwether_collector_.+",job="collector"}"#)
    });
    // Federation gives a sample once: what Prometheus scraped again must not be out of order.
    let dropped = r#"prometheus_target_scrapes_sample_out_of_order_total"#;
    let page = get(&address, "/metrics").unwrap().body;
    let count = page.lines().find_map(|line| line.strip_prefix(dropped)).unwrap();
    assert_eq!(count.trim(), "0");
}

/// What `promtool check metrics` finds fault with on a page.
fn findings(promtool: &Path, page: &str) -> BTreeSet<String> {
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let findings: BTreeSet<String> =
        String::from_utf8(text).unwrap().lines().map(str::to_owned).collect();
    // Exit code 3 is "linted, with findings"; a page that does not parse is 1.
    assert!(matches!(output.status.code(), Some(0 | 3)), "the page does not parse: {findings:?}");
    assert_eq!(output.status.success(), findings.is_empty());
    findings
}

/// A page, once its samples are there.
fn page(address: &str, family: &str) -> String {
    until(&format!("{family} on the page of {address}"), Duration::from_secs(10), || {
        let answer = get(address, "/metrics").ok()?;
        (answer.status == 200 && answer.body.contains(family)).then_some(answer.body)
    })
}

#[test]
fn promtool_finds_nothing_that_it_does_not_find_on_node_exporter() {
    let (Some(promtool), Some(exporter)) = (peer("promtool"), peer("prometheus-node-exporter"))
    else {
        return skip("promtool or prometheus-node-exporter is not installed");
    };
    let up = Up::start();
    let address = format!("127.0.0.1:{}", free_port());
    let _exporter = Process::start(
        "node_exporter",
        Command::new(exporter)
            .arg(format!("--web.listen-address={address}"))
            // Later versions take more fields by default than the one installed may.
            .arg("--collector.netstat.fields=.*"),
    );
    let known = findings(&promtool, &page(&address, "node_memory_MemTotal_bytes"));
    assert!(!known.is_empty(), "promtool finds fault with node_exporter's own names");

    let of_agent = findings(&promtool, &page(&up.agent, "node_memory_MemTotal_bytes"));
    let new: Vec<_> = of_agent.difference(&known).collect();
    assert!(new.is_empty(), "only on the agent's page: {new:#?}");

    let of_collector = findings(&promtool, &page(&up.collector, "bellwether_collector_"));
    assert!(of_collector.is_empty(), "on the collector's page: {of_collector:#?}");
}
