//! The query interface with real data: promtool asks us, a real Prometheus with the same samples
//! answers the same, and bombs are stopped by their budgets while frames go on being acknowledged.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use bellwether_tests::harness::{
    Daemon, Folder, Process, daemon, escape, free_port, get, peer, skip, until, within,
};
use serde_json::Value;

use super::{START, Series, Up, query, query_until};

/// For as many seconds of samples as the queries look back.
const COLLECTED: Duration = Duration::from_secs(60);
const ANSWERED: Duration = Duration::from_secs(60);

/// Seconds that every range below fits into.
const SECONDS: usize = 16;

/// Queries whose meaning did not change from Prometheus 2 to 3 at times between the samples, where
/// it makes no difference which end of a window is open. The steps of a subquery lie on samples, so
/// that the window within begins between them.
const INSTANT: [&str; 45] = [
    "node_load1",
    "-node_load1",
    "rate(node_cpu_seconds_total[10s])",
    "irate(node_cpu_seconds_total[10s])",
    "increase(node_context_switches_total[10s])",
    "delta(node_memory_MemAvailable_bytes[10s])",
    "idelta(node_memory_MemAvailable_bytes[10s])",
    "deriv(node_memory_MemAvailable_bytes[10s])",
    "predict_linear(node_memory_MemAvailable_bytes[10s], 60)",
    "changes(node_memory_MemAvailable_bytes[10s])",
    "resets(node_cpu_seconds_total[10s])",
    "sum by (cpu) (rate(node_cpu_seconds_total[10s]))",
    "sum without (cpu, mode) (node_cpu_seconds_total)",
    "avg by (mode) (node_cpu_seconds_total)",
    "min by (mode) (node_cpu_seconds_total)",
    "max by (mode) (node_cpu_seconds_total)",
    "count by (mode) (node_cpu_seconds_total)",
    "stddev by (mode) (node_cpu_seconds_total)",
    "stdvar by (mode) (node_cpu_seconds_total)",
    "quantile by (mode) (0.7, node_cpu_seconds_total)",
    "group by (mode) (node_cpu_seconds_total)",
    "count_values(\"n\", floor(node_cpu_seconds_total / 1000))",
    "topk(3, node_cpu_seconds_total)",
    "bottomk by (cpu) (2, node_cpu_seconds_total)",
    "avg_over_time(node_load1[10s])",
    "sum_over_time(node_memory_MemFree_bytes[10s])",
    "min_over_time(node_memory_MemFree_bytes[10s])",
    "max_over_time(node_memory_MemFree_bytes[10s])",
    "stddev_over_time(node_memory_MemFree_bytes[10s])",
    "quantile_over_time(0.9, node_memory_MemFree_bytes[10s])",
    "last_over_time(node_load1[10s])",
    "count_over_time(node_load1[10s])",
    "max_over_time(rate(node_context_switches_total[4500ms])[8s:2s])",
    "node_memory_MemFree_bytes / node_memory_MemTotal_bytes",
    "1 - avg by (cpu) (rate(node_cpu_seconds_total{mode=\"idle\"}[10s]))",
    "node_cpu_seconds_total{mode=\"idle\"} \
     / ignoring (mode) group_left () sum without (mode) (node_cpu_seconds_total)",
    "node_load1 > bool node_load15",
    "node_memory_MemFree_bytes > 1 and on (instance) node_load1",
    "node_load1 or node_load5",
    "node_cpu_seconds_total unless node_cpu_seconds_total{mode=~\"i.+|user\"}",
    "label_replace(node_load1, \"host\", \"$1\", \"instance\", \"(.).*\")",
    "label_join(node_load1, \"both\", \"-\", \"job\", \"instance\")",
    "absent(node_none{a=\"b\"})",
    "clamp_max(round(node_load1 * 100, 0.5), 50)",
    "sort_desc(sum by (mode) (node_cpu_seconds_total offset 3s))",
];

const RANGES: [&str; 5] = [
    "rate(node_cpu_seconds_total[5s])",
    "sum by (mode) (irate(node_cpu_seconds_total[5s]))",
    "topk(2, node_cpu_seconds_total)",
    "avg_over_time(node_load1[4s]) * 2",
    "node_memory_MemFree_bytes / on (instance) node_memory_MemTotal_bytes",
];

/// All series of the host over the last minute.
fn recorded(up: &Up) -> Vec<Series> {
    let enough = format!("count_over_time(node_load1[1m]) >= {SECONDS}");
    until("enough samples of the host", COLLECTED, || query(&up.collector, &enough));
    query_until(&up.collector, "{__name__=~\"node_.+\"}[1m]")
}

/// The samples as OpenMetrics, for promtool to make blocks of.
fn open_metrics(all: &[Series]) -> String {
    let mut text = String::new();
    for series in all {
        let labels: Vec<String> = series
            .labels
            .iter()
            .filter(|(name, _)| *name != "__name__")
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        for (millis, value) in &series.samples {
            let (name, labels) = (&series.labels["__name__"], labels.join(","));
            let (seconds, rest) = (millis / 1000, millis % 1000);
            writeln!(text, "{name}{{{labels}}} {value} {seconds}.{rest:03}").unwrap();
        }
    }
    text + "# EOF\n"
}

/// A Prometheus over blocks of these samples.
fn prometheus(folder: &Folder, all: &[Series]) -> Option<(Process, String)> {
    let (prometheus, promtool) = (peer("prometheus")?, peer("promtool")?);
    let data = folder.join("data");
    let made = Command::new(promtool)
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .arg(folder.write("recorded.om", &open_metrics(all)))
        .arg(&data)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let address = format!("127.0.0.1:{}", free_port());
    let process = Process::start(
        "prometheus",
        Command::new(prometheus)
            .arg("--config.file")
            .arg(folder.write("prometheus.yml", "scrape_configs: []\n"))
            .arg("--storage.tsdb.path")
            .arg(data)
            .arg(format!("--web.listen-address={address}")),
    );
    until("a Prometheus that is ready", START, || {
        get(&address, "/-/ready").ok().filter(|answer| answer.status == 200)
    });
    Some((process, address))
}

/// What a server answers: the series by their labels, in order.
fn answer(address: &str, path: &str) -> Vec<(String, Vec<(i64, f64)>)> {
    let answer = get(address, path).unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    let result = document["data"]["result"].as_array().unwrap();
    let all = result.iter().map(super::series);
    let mut all: Vec<_> = all.map(|one| (format!("{:?}", one.labels), one.samples)).collect();
    if !path.contains("sort") {
        all.sort_by(|a, b| a.0.cmp(&b.0));
    }
    all
}

/// Whether two answers are the same but for the roundings of sums, which Prometheus 3 compensates.
fn agree(ours: &[(String, Vec<(i64, f64)>)], theirs: &[(String, Vec<(i64, f64)>)]) -> bool {
    let close = |a: f64, b: f64| {
        a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
    };
    let same = |a: &[(i64, f64)], b: &[(i64, f64)]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && close(a.1, b.1))
    };
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(a, b)| a.0 == b.0 && same(&a.1, &b.1))
}

#[test]
fn prometheus_answers_the_same_over_the_same_samples() {
    let up = Up::start();
    let all = recorded(&up);
    let folder = Folder::new("differential");
    let Some((_prometheus, theirs)) = prometheus(&folder, &all) else {
        return skip("prometheus or promtool is not installed");
    };
    let stamps = || all.iter().flat_map(|series| &series.samples).map(|(at, _)| *at);
    let last = stamps().max().unwrap();
    // Between two ticks, before the newest: what has come since is not asked for.
    let at = last - 1500;
    let phase = last.rem_euclid(1000);
    assert!(stamps().all(|at| at.rem_euclid(1000) != (phase + 500) % 1000), "a sample at the edge");
    let mut series = 0;
    let mut compare = |path: String| {
        let (ours, theirs) = (answer(&up.collector, &path), answer(&theirs, &path));
        assert!(agree(&ours, &theirs), "{path}\nours:   {ours:?}\ntheirs: {theirs:?}");
        assert!(!ours.is_empty(), "{path} has no answer");
        series += ours.len();
    };
    let seconds = |millis: i64| format!("{}.{:03}", millis / 1000, millis % 1000);
    for query in INSTANT {
        compare(format!("/api/v1/query?query={}&time={}", escape(query), seconds(at)));
    }
    for query in RANGES {
        let (start, end) = (seconds(at - 8000), seconds(at));
        let query = escape(query);
        compare(format!("/api/v1/query_range?query={query}&start={start}&end={end}&step=2"));
    }
    assert!(series > 100, "{series} series compared");
}

#[test]
fn promtool_asks_us() {
    let Some(promtool) = peer("promtool") else {
        return skip("promtool is not installed");
    };
    let up = Up::start();
    query_until(&up.collector, "node_load1 and on () up");
    let url = format!("http://{}", up.collector);
    let ask = |arguments: &[&str]| {
        let done = Command::new(&promtool).arg("query").args(arguments).output().unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{arguments:?}: {text}{errors}");
        text
    };
    let instant = ask(&["instant", &url, "sum by (job) (up)"]);
    assert!(instant.starts_with("{job=\"node\"} => 1 @["), "{instant}");
    let scalar = ask(&["instant", &url, "1 + 1"]);
    assert!(scalar.starts_with("scalar: 2 @["), "{scalar}");
    let range = ask(&["range", "--step=1s", &url, "node_load1 * 0"]);
    assert!(range.contains("job=\"node\"") && range.contains("\n0 @["), "{range}");
    let series = ask(&["series", "--match=up", &url]);
    assert!(series.contains("__name__=\"up\""), "{series}");
    let labels = ask(&["labels", &url, "job"]);
    assert_eq!(labels.trim(), "node");
    let refused =
        Command::new(&promtool).args(["query", "instant", &url, "sum("]).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("parse error"), "{refused:?}");
}

#[test]
fn the_command_line_asks_and_draws() {
    let up = Up::start();
    query_until(&up.collector, "node_load1 and on () up");
    let url = format!("http://{}", up.collector);
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(daemon(Daemon::Collector));
        command.arg("query").args(arguments).args(["--url", &url]).output().unwrap()
    };
    let text = |output: &std::process::Output| String::from_utf8(output.stdout.clone()).unwrap();
    let table = ask(&["count by (job) (up)"]);
    assert_eq!(text(&table), "job   VALUE\nnode  1\n");
    let plot = text(&ask(&["node_load1 * 0 + 3", "--range", "5s", "--step", "1s"]));
    assert!(plot.contains("┤") && plot.contains("a  {") && plot.contains("last 3"), "{plot}");
    let json: Value = serde_json::from_slice(&ask(&["1", "-o", "json"]).stdout).unwrap();
    assert_eq!(json["resultType"], "scalar");
    let refused = ask(&["sum("]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("bad_data"), "{refused:?}");
}

/// How a bomb is stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stopped {
    /// Refused with this status, in these words.
    Refused(u16, &'static str),
    /// By the budget of samples.
    BySamples,
    /// By the budget of samples or that of time, as quick as this machine is.
    BySamplesOrTime,
}

impl Stopped {
    /// Whether an answer says so.
    fn is_said(self, status: u16, body: &str) -> bool {
        let by_samples = status == 422 && body.contains("would load too many samples into memory");
        let by_time = status == 503 && body.contains("query timed out");
        match self {
            Stopped::Refused(with, words) => status == with && body.contains(words),
            Stopped::BySamples => by_samples,
            Stopped::BySamplesOrTime => by_samples || by_time,
        }
    }
}

/// Queries that would take all there is, and what stops them. `at` is in ms.
fn bombs(at: i64) -> Vec<(String, Stopped)> {
    let of =
        |query: &str, stopped: Stopped| (format!("/api/v1/query?query={}", escape(query)), stopped);
    let all = r#"{__name__=~".+"}"#;
    let seconds = |millis: i64| format!("{}.{:03}", millis / 1000, millis % 1000);
    let every = format!("start={}&end={}&step=0.001", seconds(at - 11_000), seconds(at));
    let steps = |query: &str| {
        let path = format!("/api/v1/query_range?query={}&{every}", escape(query));
        (path, Stopped::BySamplesOrTime)
    };
    let deep = Stopped::Refused(400, "query is nested deeper than");
    vec![
        // A pattern that compiles to more than it may.
        of(
            r#"{__name__=~"(\\pL{1,1000}){1,1000}"}"#,
            Stopped::Refused(400, "the pattern compiles to more than"),
        ),
        // Every series with every other.
        of(
            &format!("{all} * on () group_left () {all}"),
            Stopped::Refused(422, "duplicate series"),
        ),
        // A day at every second, and an hour of hours.
        of(&format!("max_over_time({all}[1d:1s])"), Stopped::BySamples),
        of("max_over_time(max_over_time(node_load1[5m:10ms])[1h:10ms])", Stopped::BySamples),
        // Ten million samples, as they are and made of each other.
        steps(all),
        steps(&format!("{all} and on () ({all} or {all})")),
        // Depth.
        of(&format!("{}1{}", "(".repeat(1000), ")".repeat(1000)), deep),
        of(&format!("{}up", "-".repeat(2000)), deep),
        of(&vec!["up"; 1000].join("+"), deep),
    ]
}

#[test]
fn bombs_are_stopped_while_frames_are_acknowledged() {
    let folder = Folder::new("bombs");
    let config = "limits: {query_samples: 200000, query_timeout: 20s}\n";
    let up = Up::start_with(&["--config", folder.write("c.yaml", config).to_str().unwrap()]);
    query_until(&up.collector, "node_load1");
    let acked = || {
        let page = get(&up.agent, "/metrics").unwrap().body;
        let line = page.lines().find(|line| line.starts_with("bellwether_agent_acked_seq"));
        line.and_then(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).unwrap_or(0)
    };
    let (done, by_samples) = (AtomicBool::new(false), AtomicUsize::new(0));
    let before = acked();
    let newest = query_until(&up.collector, "node_load1")[0].samples[0].0;
    thread::scope(|scope| {
        let bombing: Vec<_> = bombs(newest)
            .into_iter()
            .map(|(path, stopped)| {
                let (done, collector, by_samples) = (&done, &up.collector, &by_samples);
                scope.spawn(move || {
                    // At least once, and again as long as frames are counted.
                    loop {
                        let answer = get(collector, &path).unwrap();
                        let shown: String = path.chars().take(200).collect();
                        let (status, body) = (answer.status, &answer.body);
                        let start = body.get(..300);
                        assert!(stopped.is_said(status, body), "{shown}: {status} {start:?}");
                        if stopped == Stopped::BySamples {
                            by_samples.fetch_add(1, Ordering::Relaxed);
                        }
                        if done.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                })
            })
            .collect();
        let went_on = within(ANSWERED, || (acked() >= before + 15).then_some(()));
        done.store(true, Ordering::Relaxed);
        assert!(went_on.is_some(), "frames are not acknowledged under bombs");
        for bomb in bombing {
            bomb.join().unwrap();
        }
    });
    assert!(by_samples.into_inner() >= 2, "the budget of samples has stopped queries");
    assert!(query(&up.collector, "node_load1").is_some(), "the collector answers after all");
}

#[test]
fn a_client_that_goes_away_frees_its_place() {
    let folder = Folder::new("gone");
    // One place for queries, the other is the rules'.
    let config = folder.write("c.yaml", "limits: {queries: 2}\n");
    let up = Up::start_with(&["--config", config.to_str().unwrap()]);
    let newest = query_until(&up.collector, "node_load1")[0].samples[0].0 / 1000;
    // A minute of work at the least, in pieces that fit into the budget.
    let slow = vec![r#"sum(rate({job="node"}[5m]))"#; 200].join("+");
    let (start, end) = (newest - 11, newest);
    let mut gone = TcpStream::connect(&up.collector).unwrap();
    write!(
        gone,
        "GET /api/v1/query_range?query={}&start={start}&end={end}&step=0.001 HTTP/1.1\r\n\
         Host: x\r\n\r\n",
        escape(&slow)
    )
    .unwrap();
    let status = || get(&up.collector, "/api/v1/labels").map(|answer| answer.status).ok();
    until("a place that is taken", START, || status().filter(|status| *status == 503));
    drop(gone);
    until("a place that is free again", START, || status().filter(|status| *status == 200));
}
