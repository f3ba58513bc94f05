//! Scrapes by a real agent beside Debian's Prometheus, which scrapes the same pages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use bellwether_tests::harness::{Folder, Process, free_port, get, peer, skip, until};

use super::pair::{AGENT, Pair, SOON};
use super::{START, Series, answered, query_target};

/// The jobs, as both take them: node_exporter's page relabelled in several ways, and the
/// collector's own.
fn jobs(exporter: &str, collector: &str, token: &str, files: &str) -> String {
    format!(
        r#"- job_name: node
  scrape_interval: 1s
  static_configs:
    - targets: ["{exporter}"]
      labels: {{zone: z1, collector: mine}}
  metric_relabel_configs:
    - {{source_labels: [__name__], regex: "go_(gc|memstats)_.*", action: drop}}
    - {{source_labels: [cpu, mode], separator: "/", regex: "(.+)/(id|us).*", target_label: both, replacement: "${{2}}-$1"}}
    - {{source_labels: [device], modulus: 7, target_label: shard, action: hashmod}}
    - {{regex: "dev(.*)", replacement: "copy_$1", action: labelmap}}
    - {{source_labels: [mode], target_label: loud, action: uppercase}}
    - {{regex: "fstype|duplex", action: labeldrop}}
- job_name: collector
  scrape_interval: 1s
  scrape_timeout: 900ms
  bearer_token_file: {token}
  static_configs:
    - targets: ["{collector}"]
- job_name: files
  scrape_interval: 1s
  honor_labels: true
  file_sd_configs:
    - files: ["{files}/*.yml"]
  relabel_configs:
    - {{source_labels: [__address__], regex: "(.*):.*", target_label: host}}
    - {{source_labels: [pick], regex: "no", action: drop}}
    - {{source_labels: [__meta_filepath], regex: ".*/(.*)", target_label: file}}
"#
    )
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

/// Series without the labels that only one of the two has.
fn shapes(series: &[Series]) -> BTreeSet<String> {
    let shape = |series: &Series| {
        let labels = series.labels.iter().filter(|(name, _)| *name != "environment");
        let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
        labels.join(",")
    };
    series.iter().map(shape).collect()
}

/// The types of node_exporter's metrics.
fn types(address: &str, token: Option<&str>) -> Option<BTreeMap<String, String>> {
    let target = "/api/v1/metadata";
    let body = match token {
        Some(token) => bellwether_tests::harness::get_as(address, target, token),
        None => get(address, target),
    };
    let json: serde_json::Value = serde_json::from_str(&body.ok()?.body).ok()?;
    let of = |(name, about): (&String, &serde_json::Value)| {
        let kind = about.get(0)?.get("type")?.as_str()?.replace("unknown", "untyped");
        name.starts_with("node_").then(|| (name.clone(), kind))
    };
    let data = json.get("data")?.as_object()?;
    Some(data.iter().filter_map(of).collect())
}

/// Values by the labels that both have.
fn values(all: &[Series]) -> BTreeMap<String, f64> {
    let value = |series: &Series| series.samples.last().map_or(f64::NAN, |s| s.1);
    let shape = |series: &Series| shapes(std::slice::from_ref(series)).pop_first();
    all.iter().map(|s| (shape(s).unwrap_or_default(), value(s))).collect()
}

/// A Prometheus that scrapes these jobs each second, and its address.
fn prometheus(program: PathBuf, folder: &Folder, jobs: &str) -> (Process, String) {
    let config =
        format!("global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n{jobs}");
    folder.write("prometheus.yml", &config);
    let peer = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(program);
    command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
    command.arg(format!("--web.listen-address={peer}"));
    (Process::start("prometheus", &mut command), peer)
}

/// What is scraped is counted on the agent's page, and not on it.
fn has_its_own_page(pair: &Pair) {
    let page = get(&pair.page, "/metrics").unwrap().body;
    assert!(page.contains("bellwether_agent_scrape_targets 2\n"), "{page}");
    assert!(!page.contains("zone=\"z1\""), "{page}");
}

/// The connections of one job's targets are refused.
fn nobody_listens_at(pair: &Pair, job: &str) {
    let refused = pair.query("scrape_target_refused == 1").unwrap_or_default();
    let jobs = refused.iter().filter_map(|series| series.labels.get("job"));
    assert!(jobs.eq([job]), "{refused:?}");
}

#[test]
fn what_is_scraped_is_what_prometheus_scrapes() {
    let (Some(prometheus), Some(exporter)) = (peer("prometheus"), peer("prometheus-node-exporter"))
    else {
        return skip("prometheus or prometheus-node-exporter is not installed");
    };
    let folder = Folder::new("scrape-peer");
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(exporter);
    let _exporter =
        Process::start("node_exporter", command.arg(format!("--web.listen-address={address}")));
    until("node_exporter", START, || get(&address, "/metrics").ok());
    let files = folder.join("targets");
    std::fs::create_dir_all(&files).unwrap();
    let nobody = free_port();
    let text = format!(
        "- targets: ['{address}', 'localhost:{nobody}']\n  labels: {{job: named}}\n\
         - targets: ['127.0.0.1:1']\n  labels: {{pick: \"no\"}}\n"
    );
    std::fs::write(files.join("some.yml"), text).unwrap();

    let mut pair = Pair::new("scrape", "", "");
    let token = pair.folder.join("admin");
    let jobs =
        jobs(&address, &pair.collector, &token.display().to_string(), &files.display().to_string());
    let head = "agent: {job: host}\ninputs:\n  scrape:\n    scrape_configs:\n";
    pair.write_agent(&format!("{head}{}", indented(&jobs, 6)));
    pair.start_collector();
    pair.start_agent();
    let (_prometheus, peer) = self::prometheus(prometheus, &folder, &jobs);
    let theirs = |expression: &str| {
        let answer = get(&peer, &query_target(expression)).ok()?;
        answered(expression, &answer)
    };
    let jobs = "job=~'node|collector|named',host!='h'";
    for which in [format!("up{{{jobs}}} == 1"), "up{job='named'} == 0".to_owned()] {
        until("prometheus' targets", SOON, || theirs(&which).filter(|all| !all.is_empty()));
        until("our targets", SOON, || pair.query(&which).filter(|all| !all.is_empty()));
    }
    // Names and labels, until both have seen the same page: series of a page come and go.
    let not = "bellwether_.*|go_.*|process_.*|promhttp_.*|scrape_target_refused";
    let all = format!("{{{jobs},__name__!~'{not}'}}");
    until("the same series", SOON, || {
        let (ours, theirs) = (shapes(&pair.query(&all)?), shapes(&theirs(&all)?));
        let more: Vec<_> = ours.difference(&theirs).take(5).collect();
        let lacking: Vec<_> = theirs.difference(&ours).take(5).collect();
        if ours.len() < 200 || !more.is_empty() || !lacking.is_empty() {
            eprintln!("ours {} theirs {}: {more:?} {lacking:?}", ours.len(), theirs.len());
            return None;
        }
        Some(())
    });
    // Values that stand still, and what is told of scrapes.
    let still = "{__name__=~'node_(uname_info|memory_MemTotal_bytes|boot_time_seconds|\
                 network_mtu_bytes|exporter_build_info|filesystem_size_bytes)|up|\
                 scrape_samples_(scraped|post_metric_relabeling)',job=~'node|named'}";
    until("the same values", SOON, || {
        let (ours, theirs) = (values(&pair.query(still)?), values(&theirs(still)?));
        (ours.len() > 10 && ours == theirs).then_some(())
    });
    nobody_listens_at(&pair, "named");
    // Types.
    until("the same types", SOON, || {
        let (ours, theirs) =
            (types(&pair.collector, Some(super::pair::ADMIN))?, types(&peer, None)?);
        let differ = theirs.iter().filter(|(name, kind)| ours.get(*name) != Some(*kind)).count();
        (theirs.len() > 50 && differ == 0).then_some(())
    });
    // A target that is taken out of its file ends.
    std::fs::write(files.join("some.yml"), "[]\n").unwrap();
    until("the end of the file's targets", SOON, || {
        pair.query("up{job='named'}").is_none().then_some(())
    });
    assert!(pair.query("up{job='node'}").is_some());
    has_its_own_page(&pair);
    pair.process(AGENT).hang_up();
}
