//! The daemons as real processes, seen from outside.
//!
//! Each test starts its own; run them two at a time at most (`--test-threads=2`), since they share
//! the machine's cores and some have deadlines.

mod account;
mod alertmanager;
mod broken_files;
mod broken_rules;
mod broken_services;
mod daemons;
mod demo;
mod exactly_once;
mod faults;
mod hook;
mod host_agrees;
mod judge;
mod odd_files;
mod pair;
mod peers;
mod probe;
mod promql;
mod reload;
mod rollback;
mod rules;
mod runbooks;
mod same_page;
mod scrape;
mod secrets;
mod services;
mod sync_before_ack;
mod tls;
mod tokens;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use bellwether_tests::harness::{Daemon, Folder, Process, Response, daemon, escape, get, until};
use serde_json::Value;

/// How long a daemon may take to say its address.
const START: Duration = Duration::from_secs(10);
/// How long `up` may take to end: its agent has ten seconds, the collector less.
const END: Duration = Duration::from_secs(20);

/// `bellwether up` with its agent, in a folder of its own.
struct Up {
    /// Address of the collector.
    collector: String,
    /// Address of the agent's page.
    agent: String,
    process: Process,
    _folder: Folder,
}

impl Up {
    fn start() -> Up {
        Up::start_with(&[])
    }

    fn start_with(arguments: &[&str]) -> Up {
        let folder = Folder::new("up");
        let process = Process::start(
            "bellwether up",
            Command::new(daemon(Daemon::Collector))
                .arg("up")
                .args(arguments)
                .arg("--data-dir")
                .arg(folder.join("data"))
                .args(["--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0", "--for", "180s"])
                .arg("--agent-bin")
                .arg(daemon(Daemon::Agent)),
        );
        let collector = process.line("bellwether: listening on http://", START);
        let agent = process.line("bellwether-agent: listening on http://", START);
        Up { collector, agent, process, _folder: folder }
    }
}

/// One series of an answer of `/api/v1/query`.
#[derive(Clone, Debug)]
struct Series {
    labels: BTreeMap<String, String>,
    /// Stamps in ms and values, in the order of the answer.
    samples: Vec<(i64, f64)>,
}

/// The answer to an instant query; `None` while the server cannot be reached or gives no data.
fn query(address: &str, expression: &str) -> Option<Vec<Series>> {
    answered(expression, &get(address, &query_target(expression)).ok()?)
}

fn query_target(expression: &str) -> String {
    format!("/api/v1/query?query={}", escape(expression))
}

fn answered(expression: &str, answer: &Response) -> Option<Vec<Series>> {
    let document = json(answer)?;
    assert_eq!(document["status"], "success", "{expression}: {}", answer.body);
    let result = document["data"]["result"].as_array().unwrap();
    (!result.is_empty()).then(|| result.iter().map(series).collect())
}

fn series(result: &Value) -> Series {
    let labels = result["metric"].as_object().unwrap().iter();
    let labels = labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
    let instant = std::slice::from_ref(&result["value"]);
    let samples = result["values"].as_array().map_or(instant, Vec::as_slice);
    Series { labels: labels.collect(), samples: samples.iter().map(sample).collect() }
}

/// A `[seconds, "value"]` of the API.
fn sample(pair: &Value) -> (i64, f64) {
    // Stamps are whole milliseconds, printed as seconds.
    let millis = format!("{:.0}", pair[0].as_f64().unwrap() * 1000.0);
    (millis.parse().unwrap(), pair[1].as_str().unwrap().parse().unwrap())
}

/// The body of a good answer as JSON; `None` for 503, which a collector that starts gives.
fn json(answer: &Response) -> Option<Value> {
    if answer.status == 503 {
        return None;
    }
    assert_eq!(answer.status, 200, "{}", answer.body);
    Some(serde_json::from_str(&answer.body).unwrap())
}

#[test]
fn up_ends_cleanly_when_interrupted() {
    let mut up = Up::start();
    query_until(&up.collector, "node_load1");
    up.process.interrupt();
    let summary = up.process.line("bellwether: ran ", END);
    assert!(summary.ends_with(", lost 0"), "{summary}");
    assert!(up.process.end(END).success());
    assert!(get(&up.agent, "/metrics").is_err(), "the agent outlives `up`");
}

/// Waits for a line that holds `mark`.
fn says(process: &Process, mark: &str, limit: Duration) {
    let _rest = process.line(mark, limit);
}

/// Waits until `expression` has an answer.
fn query_until(address: &str, expression: &str) -> Vec<Series> {
    until(&format!("an answer to {expression}"), START, || query(address, expression))
}
