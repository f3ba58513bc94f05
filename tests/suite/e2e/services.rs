//! Services at a running collector: described by files, shown, counted, looked at by `doctor`.

use std::fs;
use std::time::Duration;

use bellwether_model::label::LabelSet;
use bellwether_model::time::Timestamp;
use bellwether_platform::clock::Clock;
use bellwether_tests::harness::{LightAgent, Pushing, get, get_as, post, until};
use serde_json::Value;

use super::pair::{ADMIN, INGEST, Pair, SOON};

const SECOND: Duration = Duration::from_secs(1);
/// Requests in each second of the old version, its bad ones, and those of the new version.
const RATES: [f64; 5] = [180.0, 2.0, 10.0, 182.0, 10.0];
const SERVICE: &str = "service: checkout\nowner: payments\nmode: act\nhook: switch\nslis:\n  \
                       errors:\n    total: requests_total{job=\"light\"}\n    \
                       bad: requests_total{job=\"light\",code=\"500\"}\n";

fn counters() -> Vec<LabelSet> {
    let requests = |version, code| {
        LabelSet::new([("__name__", "requests_total"), ("version", version), ("code", code)])
    };
    let count = |version| LabelSet::new([("__name__", "time_seconds_count"), ("version", version)]);
    let all = [
        requests("2.3.9", "200"),
        requests("2.3.9", "500"),
        requests("2.4.0", "200"),
        count("2.3.9"),
        count("2.4.0"),
    ];
    all.into_iter().map(|labels| labels.unwrap()).collect()
}

/// A host ships so many seconds of requests, up to now.
fn ship(collector: &str, host: u32, seconds: u32) {
    let mut agent = LightAgent::of(host, &format!("web-{host}"), &counters());
    let mut pushing = Pushing::connect(collector, Some(INGEST)).unwrap();
    let now = Clock::collector().now().wall;
    for second in 0..=seconds {
        let time = Timestamp(now.saturating_sub(SECOND * (seconds - second)).0);
        let frame = agent.frame(time, |place| RATES[place] * f64::from(second));
        assert_eq!(pushing.push(&agent.body(&[&frame], &[])).unwrap().0, 200);
    }
}

fn shown(pair: &Pair, words: &[&str]) -> (bool, Value) {
    let (well, text) = pair.bellwether(words);
    (well, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{words:?}: {text}")))
}

#[test]
fn a_service_is_shown_and_counted_and_looked_at() {
    let more =
        "services: {files: [services.d]}\nhooks: {switch: {runner: {secret_file: hook.key}}}\n";
    let mut pair = Pair::new("services", more, "");
    let services = pair.folder.join("services.d");
    fs::create_dir(&services).unwrap();
    let describe = |text: &str| fs::write(services.join("checkout.yaml"), text).unwrap();
    describe(SERVICE);
    // What an editor leaves is not read.
    fs::write(services.join(".checkout.yaml"), "service: [").unwrap();
    pair.start_collector();

    let (well, nothing) = shown(&pair, &["service", "-o", "json"]);
    let sli = |report: &Value| report["services"][0]["environments"][0]["slis"][0].clone();
    assert!(!well && sli(&nothing)["findings"][0]["code"] == "no_series", "{nothing}");

    ship(&pair.collector, 1, 20);
    let (well, report) = shown(&pair, &["service", "-o", "json"]);
    assert!(well && report["services"][0]["judgeable"] == true, "{report}");
    let environment = &report["services"][0]["environments"][0];
    assert_eq!((&environment["mode"], &environment["hook"]), (&"act".into(), &"switch".into()));
    let versions = sli(&report)["versions"].clone();
    for (at, version, requests, bad) in [(0, "2.3.9", 182.0, 2.0), (1, "2.4.0", 10.0, 0.0)] {
        let seen = &versions[at];
        assert_eq!(seen["version"], version);
        let rate = |name: &str| seen[name].as_f64().unwrap();
        assert!((rate("requests_per_second") - requests).abs() < 1e-6, "{seen}");
        assert!((rate("bad_per_second") - bad).abs() < 1e-6, "{seen}");
    }
    let (_, table) = pair.bellwether(&["service"]);
    assert!(table.contains("2.3.9 182.0/s, 2.4.0 10.0/s  yes"), "{table}");
    let (_, whole) = pair.bellwether(&["service", "checkout"]);
    assert!(whole.contains("production: act, hook switch, risk at least low"), "{whole}");
    let (well, unknown) = pair.bellwether(&["service", "cart"]);
    assert!(!well && unknown.contains("there is no service \"cart\""), "{unknown}");
    assert_eq!(get(&pair.collector, "/api/bw/v1/services").unwrap().status, 401);

    let counted = |word: &str| {
        Pair::metric(&pair.collector, &format!("bellwether_services{{judgeable=\"{word}\"}}"))
    };
    until("the count of services", SOON * 2, || (counted("true") == Some(1.0)).then_some(()));

    // All of a reload or nothing.
    describe(&SERVICE.replace("code=\"500\"", "version=\"2.4.0\""));
    let refused = post(&pair.collector, "/-/reload", Some(ADMIN)).unwrap();
    assert_eq!(refused.status, 400);
    assert!(
        refused.body.contains("svc006") && refused.body.contains("checkout.yaml:8:"),
        "{}",
        refused.body
    );
    assert!(shown(&pair, &["service", "-o", "json"]).0, "the file before is in use");
    ship(&pair.collector, 2, 20);
    describe(
        "service: checkout\nowner: payments\nmode: act\nslis:\n  latency:\n    \
         histogram: time_seconds{job=\"light\"}\n    threshold: 300ms\n",
    );
    assert_eq!(post(&pair.collector, "/-/reload", Some(ADMIN)).unwrap().status, 200);
    let (well, report) = shown(&pair, &["service", "-o", "json"]);
    assert!(!well && sli(&report)["findings"][0]["code"] == "no_bucket", "{report}");
    until("the count of services", SOON * 2, || (counted("false") == Some(1.0)).then_some(()));

    look(&pair);
}

/// What `doctor` says while the collector runs, and after it has ended.
fn look(pair: &Pair) {
    let (config, data) = (pair.folder.join("collector.yaml"), pair.folder.join("data"));
    let (config, data) = (config.to_str().unwrap(), data.to_str().unwrap());
    let words = [
        "doctor",
        "-o",
        "json",
        "--config",
        config,
        "--data-dir",
        data,
        "--listen",
        &pair.collector,
    ];
    let (well, said) = shown(pair, &words);
    assert!(!well);
    let status = |said: &Value, check: &str| {
        let found = said.as_array().unwrap().iter().filter(|one| one["check"] == check);
        found.map(|one| one["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for check in
        ["configuration", "data directory", "port", "principals", "rules", "collector", "clock"]
    {
        assert_eq!(status(&said, check), ["ok"], "{check}: {said:#}");
    }
    assert_eq!(status(&said, "service files"), ["warn"], "it acts, and names no hook: {said:#}");
    assert_eq!(status(&said, "hook switch"), ["fail", "ok"], "its key is not there: {said:#}");
    let service = status(&said, "service checkout");
    assert!(service.contains(&"fail".to_owned()), "{said:#}");
    let text = said.to_string();
    assert!(!text.contains(ADMIN) && !text.contains(INGEST), "{text}");

    let elsewhere =
        ["doctor", "-o", "json", "--config", config, "--data-dir", data, "--listen", "127.0.0.1:0"];
    let mut command = std::process::Command::new(bellwether_tests::harness::daemon(
        bellwether_tests::harness::Daemon::Collector,
    ));
    let output = command.args(elsewhere).args(["--url", "http://127.0.0.1:1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status(&said, "collector"), ["warn"], "{said:#}");
    assert!(status(&said, "service checkout").is_empty(), "{said:#}");
    assert!(get_as(&pair.collector, "/-/healthy", ADMIN).is_ok());
}
