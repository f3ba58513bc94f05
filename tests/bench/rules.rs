//! 500 rules over 50,000 series that live, for a collector and for Prometheus.
//!
//! `bench-rules file SECONDS WINDOW` prints the rules: 50 groups of ten, every SECONDS, over a
//! WINDOW such as `1m`: 300 alerts by instance (a ratio of rates, a rate, an average over time) and
//! 200 recorded sums, of which each reads one route's series, 50 to 500. A dozen alerts fire.
//! `bench-rules feed SECONDS LISTEN ADDRESS TOKEN_FILE` gives 50 hosts of a thousand series a new
//! row every SECONDS until it is stopped: pushes them to a collector at whole multiples, as agents
//! do, and shows the same at LISTEN as pages `/0` to `/49` to be scraped.

mod fleet;
mod taking;

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::{env, thread};

use bellwether_model::time::Timestamp;
use bellwether_model::wire::answer::Case;
use bellwether_platform::clock::Clock;
use bellwether_tests::harness::Pushing;

use fleet::{Frames, HOSTS, Host};

const GROUPS: usize = 50;
/// Of a group, five rules each.
const ROUTES: usize = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["file", seconds, window] => file(seconds.parse().expect("seconds"), window),
        ["feed", seconds, listen, address, token_file] => {
            let token = fs::read_to_string(token_file).expect("the token file").trim().to_owned();
            let cadence = Duration::from_secs(seconds.parse().expect("seconds"));
            feed(cadence, listen, address, &token);
        }
        _ => {
            eprintln!("usage: bench-rules file SECONDS WINDOW");
            eprintln!("       bench-rules feed SECONDS LISTEN ADDRESS TOKEN_FILE");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn file(seconds: u32, window: &str) {
    // The steepest counters rise by 97 from row to row.
    let steep = 96.5 / f64::from(seconds);
    println!("groups:");
    for group in 0..GROUPS {
        println!("- name: routes-{group}\n  interval: {seconds}s\n  rules:");
        for route in group * ROUTES..(group + 1) * ROUTES {
            let all = format!("bench_requests_total{{route=\"{route}\"}}[{window}]");
            let failed =
                format!("bench_requests_total{{route=\"{route}\",code=~\"5..\"}}[{window}]");
            let good = format!("bench_requests_total{{route=\"{route}\",code=\"200\"}}[{window}]");
            let memory = format!("bench_memory_bytes{{pod=\"{route}\"}}[{window}]");
            let by_instance = format!("sum by (instance) (rate({all}))");
            println!(
                "  - alert: Errors{route}\n    expr: |\n      sum by (instance) (rate({failed})) \
                 / {by_instance} > 0.99\n    for: 1m\n    labels: {{severity: page}}\n    \
                 annotations: {{summary: '{{{{ $labels.instance }}}} fails {{{{ $value }}}}'}}\n  \
                 - alert: Busy{route}\n    expr: rate({good}) > {steep}\n    \
                 annotations: {{summary: '{{{{ $labels.instance }}}} is busy'}}\n  \
                 - alert: Memory{route}\n    \
                 expr: avg by (instance) (avg_over_time({memory})) > 1e9\n  \
                 - record: instance:bench_requests:rate\n    expr: {by_instance}\n    \
                 labels: {{route: '{route}'}}\n  \
                 - record: code:bench_requests:rate\n    expr: sum by (code) (rate({all}))\n    \
                 labels: {{route: '{route}'}}"
            );
        }
    }
}

fn feed(cadence: Duration, listen: &str, address: &str, token: &str) {
    let clock = Clock::collector();
    let hosts: Arc<Vec<Host>> = Arc::new((0..HOSTS).map(Host::routed).collect());
    let millis = i64::try_from(cadence.as_millis()).expect("seconds");
    // Rows are numbered from a whole multiple on, for both.
    let first = clock.now().wall.0 / millis;
    let row = move |now: Timestamp| u32::try_from(now.0 / millis - first).unwrap_or(0);
    let listener = TcpListener::bind(listen).expect("the address of the pages");
    let (pages, now) = (Arc::clone(&hosts), clock.clone());
    let names: Vec<Vec<String>> = hosts.iter().map(names).collect();
    thread::spawn(move || {
        taking::serve(&listener, move |request| {
            let number = request.path().trim_start_matches('/').parse::<usize>().ok();
            let host = number.and_then(|number| pages.get(number).zip(names.get(number)));
            let mut page = String::new();
            for (place, name) in host.iter().flat_map(|(_, names)| names.iter().enumerate()) {
                let value = host.map_or(0.0, |(host, _)| host.value(place, row(now.now().wall)));
                writeln!(page, "{name} {value}").expect("memory");
            }
            taking::answer(&page)
        });
    });
    thread::scope(|scope| {
        for host in hosts.iter() {
            let clock = &clock;
            scope.spawn(move || {
                let mut pushing = Pushing::connect(address, Some(token)).expect("a connection");
                let mut frames = Frames::new(host, cadence);
                let mut next = Timestamp((clock.now().wall.0 / millis + 1) * millis);
                loop {
                    let left = next.millis_since(clock.now().wall);
                    if let Ok(left @ 1..) = u64::try_from(left) {
                        thread::park_timeout(Duration::from_millis(left));
                        continue;
                    }
                    let body = frames.body(row(next), next);
                    // A collector that has gone ends the feed.
                    let Ok((_, answer)) = pushing.push(&body) else { return };
                    assert_eq!(answer.case, Case::Applied, "{}", answer.text);
                    next = next.saturating_add(cadence);
                }
            });
        }
    });
}

/// The series of a host as a page names them; labels of the target are the scraper's.
fn names(host: &Host) -> Vec<String> {
    host.series.iter().map(ToString::to_string).collect()
}
