//! Five shapes of query over 50,000 series, beside Prometheus over the same samples.
//!
//! `bench-promql fill ADDRESS TOKEN_FILE FILE` pushes 65 minutes of 50,000 series at 15 s and a
//! day of 500 more to a collector, and writes the same samples to FILE as OpenMetrics, for
//! `promtool tsdb create-blocks-from`; it prints the time of the newest sample.
//! `bench-promql ask TIME ADDRESS PID ADDRESS PID` asks both servers each shape several times up to
//! TIME, compares the answers roughly, and prints the medians of wall and CPU time.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::process::ExitCode;
use std::time::Duration;
use std::{env, thread};

use bellwether_model::id::{AgentId, BootId, GroupId, Incarnation, Nonce, Stream};
use bellwether_model::label::LabelSet;
use bellwether_model::series::{MetricType, ValueKind};
use bellwether_model::time::{Nanos, Timestamp};
use bellwether_model::wire::answer::{Answer, Case};
use bellwether_model::wire::encode::{Encoder, Origin};
use bellwether_model::wire::envelope::Envelope;
use bellwether_model::wire::table::{ColumnSpec, Table};
use bellwether_platform::clock::Clock;
use bellwether_platform::dial::{Dialer, Route, Target, Way};
use bellwether_platform::tls::ClientFiles;
use bellwether_tests::harness::{escape, get};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;

const STEP: Duration = Duration::from_secs(15);
/// Agents with the short history, a thousand series each.
const AGENTS: u8 = 50;
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

/// One host: its series, and how many rows it has.
struct Host {
    number: u8,
    series: Vec<LabelSet>,
    rows: u32,
}

fn set(pairs: &[(&str, &str)]) -> LabelSet {
    LabelSet::new(pairs.iter().copied()).expect("labels")
}

/// 700 counters, 200 buckets and 100 gauges; of the last one 500 counters.
fn host(number: u8) -> Host {
    if number == AGENTS {
        let series = (0..LONG_SERIES)
            .map(|i| set(&[("__name__", "bench_day_total"), ("place", &i.to_string())]))
            .collect();
        return Host { number, series, rows: LONG };
    }
    let mut series = Vec::new();
    let objects = ["users", "orders", "carts", "items", "search"];
    let codes = ["200", "204", "301", "404", "500", "502", "503"];
    let both = objects.iter().cycle().zip(codes.iter().cycle());
    for (i, (object, code)) in both.take(700).enumerate() {
        let path = format!("/api/v{}/{object}/{}", i % 3 + 1, i / 7);
        series.push(set(&[("__name__", "bench_requests_total"), ("path", &path), ("code", code)]));
    }
    let bounds = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];
    for handler in 0..20 {
        for bound in bounds {
            let handler = handler.to_string();
            let labels =
                [("__name__", "bench_seconds_bucket"), ("handler", &handler), ("le", bound)];
            series.push(set(&labels));
        }
    }
    for pod in 0..100 {
        let pod = pod.to_string();
        series.push(set(&[("__name__", "bench_memory_bytes"), ("pod", &pod)]));
    }
    Host { number, series, rows: SHORT }
}

impl Host {
    fn target(&self) -> LabelSet {
        set(&[("instance", &format!("host-{}", self.number)), ("job", "bench")])
    }

    /// The value of a series in a row: counters that rise by their own steps, some not always, and
    /// buckets that hold those below them.
    fn value(&self, place: usize, row: u32) -> f64 {
        let (place, row) = (u32::try_from(place).expect("a place"), u64::from(row));
        let mixed = u64::from(place * 7919 + u32::from(self.number) * 104_729);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let value = match self.series.len() {
            1000 if (700..900).contains(&place) => u64::from((place - 700) % 10 + 1) * row * 3,
            1000 if place >= 900 => 1_000_000 + (mixed * (row + 1)) % 9973 * 4096,
            _ => row / (mixed % 4 + 1) * (mixed % 97 + 1),
        } as f64;
        value
    }
}

fn fill(address: &str, token_file: &str, file: &str) {
    let token = fs::read_to_string(token_file).expect("the token file").trim().to_owned();
    let now = Clock::collector().now().wall;
    // Whole steps, so that the servers' grids are the same.
    let newest = Timestamp(now.0 / 15_000 * 15_000);
    let hosts: Vec<Host> = (0..=AGENTS).map(host).collect();
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

fn stamp(host: &Host, newest: Timestamp, row: u32) -> Timestamp {
    newest.saturating_sub(STEP * (host.rows - 1 - row))
}

/// OpenMetrics, series by series.
fn write(hosts: &[Host], newest: Timestamp, file: &str) {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file).expect("a file"));
    let mut line = String::new();
    for host in hosts {
        let target = host.target();
        for (place, labels) in host.series.iter().enumerate() {
            let name = labels.overlaid(&target).expect("labels").to_string();
            for row in 0..host.rows {
                let at = stamp(host, newest, row);
                line.clear();
                writeln!(line, "{name} {} {at}", host.value(place, row)).expect("memory");
                out.write_all(line.as_bytes()).expect("room on the disk");
            }
        }
    }
    out.write_all(b"# EOF\n").expect("room on the disk");
    out.flush().expect("room on the disk");
}

async fn push(host: &Host, newest: Timestamp, address: &str, token: &str) {
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
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        let answer = connection.send(request).await.expect("an answer");
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        let answer = Answer::read(&body).expect("a collector's answer");
        assert_eq!(answer.case, Case::Applied, "{}", answer.text);
    }
}

/// The requests of one host, in order, a frame each.
fn bodies(host: &Host, newest: Timestamp) -> impl Iterator<Item = Vec<u8>> {
    let mut table = Table::new(host.target(), STEP);
    let columns: Vec<_> = host
        .series
        .iter()
        .map(|labels| {
            table.add(ColumnSpec {
                labels: labels.clone(),
                kind: MetricType::Counter,
                value_kind: ValueKind::Float,
                unit: "".into(),
                help: "".into(),
                start: None,
            })
        })
        .collect();
    let agent = AgentId([host.number + 1; 16]);
    let mut encoder = Encoder::new(Origin {
        incarnation: Incarnation(1),
        nonce: Nonce(u64::from(host.number) + 1),
        boot: BootId([host.number + 1; 16]),
    });
    (0..host.rows).map(move |row| {
        table.begin_row();
        for (place, column) in columns.iter().enumerate() {
            table.set(*column, host.value(place, row));
        }
        let time = stamp(host, newest, row);
        encoder.begin(time.saturating_add(STEP - Duration::from_millis(1)));
        encoder.row(GroupId(0), &mut table, time);
        let envelope = Envelope {
            agent,
            stream: Stream::Metrics,
            goodbye: false,
            sent_wall: Nanos(time.0 * 1_000_000),
            sent_mono: 0,
            skips: Vec::new(),
            frames: 1,
        };
        let mut body = Vec::new();
        envelope.put(&mut body);
        encoder.finish(&mut body).expect("a frame of 1,000 samples fits");
        body
    })
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
