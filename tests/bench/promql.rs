//! Five shapes of query over 50,000 series, beside Prometheus over the same samples.
//!
//! `bench-promql fill ADDRESS TOKEN_FILE FILE` pushes 65 minutes of 50,000 series at 15 s and a
//! day of 500 more to a collector, and writes the same samples to FILE as OpenMetrics, for
//! `promtool tsdb create-blocks-from`; it prints the time of the newest sample.
//! `bench-promql ask TIME ADDRESS PID ADDRESS PID` asks both servers each shape several times up to
//! TIME, compares the answers roughly, and prints the medians of wall and CPU time.

mod fleet;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::process::ExitCode;
use std::time::Duration;
use std::{env, thread};

use bellwether_model::time::Timestamp;
use bellwether_model::wire::answer::{Answer, Case};
use bellwether_platform::clock::Clock;
use bellwether_platform::dial::{Dialer, Route, Target, Way};
use bellwether_platform::tls::ClientFiles;
use bellwether_tests::harness::{escape, get};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Request;

use fleet::{Frames, HOSTS as AGENTS, Host};

const STEP: Duration = Duration::from_secs(15);
/// Rows of 65 minutes, and of a day.
const SHORT: u32 = 260;
const LONG: u32 = 5760;
const LONG_SERIES: usize = 500;
/// Each shape is asked so often of each server, in turn.
const ROUNDS: usize = 5;

const HOUR: (i64, &str) = (3600, "15");
const DAY: (i64, &str) = (86_400 - 600, "60");

/// Name, query, seconds of the range and step.
const SHAPES: [(&str, &str, (i64, &str)); 5] = [
    ("rate by instance", "sum by (instance) (rate(bench_requests_total[5m]))", HOUR),
    (
        "quantile of buckets",
        "histogram_quantile(0.99, sum by (le, handler) (rate(bench_seconds_bucket[5m])))",
        HOUR,
    ),
    ("topk", "topk(10, rate(bench_requests_total[5m]))", HOUR),
    (
        "regex matcher",
        "sum by (code) (bench_requests_total{path=~\"/api/v[12]/.*(users|orders).*\",\
         instance!~\"host-1.*\"})",
        HOUR,
    ),
    ("24 h range", "avg by (instance) (rate(bench_day_total[5m]))", DAY),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["fill", address, token_file, file] => fill(address, token_file, file),
        ["ask", time, ours, our_pid, theirs, their_pid] => {
            let time = time.parse().expect("a time in ms");
            ask(Timestamp(time), [(ours, our_pid), (theirs, their_pid)]);
        }
        _ => {
            eprintln!("usage: bench-promql fill ADDRESS TOKEN_FILE FILE");
            eprintln!("       bench-promql ask TIME ADDRESS PID ADDRESS PID");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// A host of the fleet, and how many rows it has.
struct History {
    host: Host,
    rows: u32,
}

fn fill(address: &str, token_file: &str, file: &str) {
    let token = fs::read_to_string(token_file).expect("the token file").trim().to_owned();
    let now = Clock::collector().now().wall;
    // Whole steps, so that the servers' grids are the same.
    let newest = Timestamp(now.0 / 15_000 * 15_000);
    let short = (0..AGENTS).map(|number| History { host: Host::new(number), rows: SHORT });
    let long = History { host: Host::with_one_counter(AGENTS, LONG_SERIES), rows: LONG };
    let hosts: Vec<History> = short.chain([long]).collect();
    thread::scope(|scope| {
        scope.spawn(|| write(&hosts, newest, file));
        for part in hosts.chunks(13) {
            let token = &token;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.expect("a runtime");
                part.iter().for_each(|host| runtime.block_on(push(host, newest, address, token)));
            });
        }
    });
    println!("{}", newest.0);
}

fn stamp(host: &History, newest: Timestamp, row: u32) -> Timestamp {
    newest.saturating_sub(STEP * (host.rows - 1 - row))
}

/// OpenMetrics, series by series.
fn write(hosts: &[History], newest: Timestamp, file: &str) {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file).expect("a file"));
    let mut line = String::new();
    for host in hosts {
        let target = host.host.target();
        for (place, labels) in host.host.series.iter().enumerate() {
            let name = labels.overlaid(&target).expect("labels").to_string();
            for row in 0..host.rows {
                let at = stamp(host, newest, row);
                line.clear();
                writeln!(line, "{name} {} {at}", host.host.value(place, row)).expect("memory");
                out.write_all(line.as_bytes()).expect("room on the disk");
            }
        }
    }
    out.write_all(b"# EOF\n").expect("room on the disk");
    out.flush().expect("room on the disk");
}

async fn push(host: &History, newest: Timestamp, address: &str, token: &str) {
    let mut dialer = Dialer::new(Route {
        target: Target::parse(&format!("http://{address}")).expect("an address"),
        way: Way::Direct,
        tls: ClientFiles { ca: None, identity: None },
        server_name: None,
    });
    let mut connection = dialer.connect().await.expect("a connection");
    for body in bodies(host, newest) {
        let request = Request::builder()
            .method("POST")
            .uri("/agent/v1/push")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/vnd.bellwether.push")
            .body(Bytes::from(body))
            .expect("a request");
        let answer = connection.send(request).await.expect("an answer");
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        let answer = Answer::read(&body).expect("a collector's answer");
        assert_eq!(answer.case, Case::Applied, "{}", answer.text);
    }
}

/// The requests of one host, in order, a frame each.
fn bodies(history: &History, newest: Timestamp) -> impl Iterator<Item = Vec<u8>> {
    let mut frames = Frames::new(&history.host, STEP);
    (0..history.rows).map(move |row| frames.body(row, stamp(history, newest, row)))
}

/// What one question took.
#[derive(Clone, Copy)]
struct Took {
    wall: Duration,
    cpu: Duration,
}

fn ask(end: Timestamp, servers: [(&str, &str); 2]) {
    println!(
        "{:<20} {:>12} {:>12} {:>7} {:>12} {:>12} {:>7}",
        "medians in ms", "bellwether", "prometheus", "ratio", "CPU", "CPU", "ratio"
    );
    for (name, query, (seconds, step)) in SHAPES {
        // Between the samples, where it makes no difference which end of a window is open.
        let end = Timestamp(end.0 - 7500);
        let start = Timestamp(end.0 - seconds * 1000);
        let path = format!(
            "/api/v1/query_range?query={}&start={start}&end={end}&step={step}",
            escape(query)
        );
        let mut took: [Vec<Took>; 2] = [Vec::new(), Vec::new()];
        let mut series = [0; 2];
        for _ in 0..ROUNDS {
            for ((took, series), (address, pid)) in took.iter_mut().zip(&mut series).zip(servers) {
                let clock = Clock::collector();
                let (began, cpu_began) = (clock.now().mono, cpu(pid));
                let answer = get(address, &path).expect("an answer");
                let (wall, cpu) = (clock.now().mono.since(began), cpu(pid) - cpu_began);
                assert_eq!(answer.status, 200, "{name}: {}", answer.body);
                *series = answer.body.matches("\"metric\":").count();
                took.push(Took { wall, cpu });
            }
        }
        let [ours, theirs] = took;
        let figures = |of: fn(&Took) -> Duration| [median(&ours, of), median(&theirs, of)];
        let ([our_wall, their_wall], [our_cpu, their_cpu]) =
            (figures(|took| took.wall), figures(|took| took.cpu));
        println!(
            "{name:<20} {our_wall:>12.1} {their_wall:>12.1} {:>7.2} {our_cpu:>12.1} \
             {their_cpu:>12.1} {:>7.2}   {} and {} series",
            their_wall / our_wall,
            their_cpu / our_cpu,
            series[0],
            series[1],
        );
    }
}

/// In milliseconds.
fn median(took: &[Took], of: fn(&Took) -> Duration) -> f64 {
    let mut all: Vec<Duration> = took.iter().map(of).collect();
    all.sort();
    all.get(all.len() / 2).map_or(f64::NAN, |middle| middle.as_secs_f64() * 1000.0)
}

/// CPU time of all threads of a process, those that have ended among them.
fn cpu(pid: &str) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process with this PID");
    // After the name, which may hold anything: user and system time are the 12th and 13th.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks =
        rest.split_ascii_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok());
    // A hundred a second wherever Linux runs.
    Duration::from_millis(ticks.sum::<u64>() * 10)
}
