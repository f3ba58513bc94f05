//! From a bad sample to a webhook, beside Prometheus with Alertmanager.
//!
//! `bench-page rules TRIALS` prints the rules of both: a group of 1 s with one alert for each
//! trial, each on another value of `node_load1`, so that the moments of evaluation are as spread
//! as both spread their groups. `bench-page run LISTEN FILE TRIALS OURS THEIRS` takes webhooks at
//! LISTEN, `/ours` and `/theirs`, and lets the one-minute load of FILE, a `/proc/loadavg`, rise
//! at random moments, one trial after another: the *flip*. The *sample* is the first that shows
//! it, by the stamps that the two servers answer a query with. Both are fed at the same time from
//! the same file.

mod taking;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use std::{env, thread};

use bellwether_model::time::Timestamp;
use bellwether_platform::clock::Clock;
use bellwether_tests::harness::{escape, get, until};
use bellwether_tests::rollouts::Random;

/// From flip to flip, on average; a uniform time up to twice as long.
const GAP_SECONDS: f64 = 0.2;
/// For servers to start, and for the last webhooks to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Rules are evaluated for so long before the first flip.
const REST: Duration = Duration::from_secs(12);
const SIDES: [&str; 2] = ["ours", "theirs"];

/// When the webhook of each trial came, by side and trial.
type Arrivals = BTreeMap<(usize, usize), Timestamp>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["rules", trials] => rules(trials.parse().expect("a number of trials")),
        ["run", listen, file, trials, ours, theirs] => {
            run(listen, file, trials.parse().expect("a number of trials"), [ours, theirs]);
        }
        _ => {
            eprintln!("usage: bench-page rules TRIALS");
            eprintln!("       bench-page run LISTEN FILE TRIALS OURS THEIRS");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn rules(trials: usize) {
    println!("groups:");
    for trial in 0..trials {
        println!(
            "- {{name: trial-{trial}, interval: 1s, rules: [{{alert: Trial{trial}, \
             expr: node_load1 > {trial}.5, for: 0s}}]}}"
        );
    }
}

fn run(listen: &str, file: &str, trials: usize, servers: [&str; 2]) {
    let clock = Clock::collector();
    let (told, arrived) = channel();
    let listener = TcpListener::bind(listen).expect("the address of the receiver");
    let receiver = clock.clone();
    thread::spawn(move || {
        taking::serve(&listener, move |request| {
            let side = SIDES.iter().position(|side| request.path() == format!("/{side}"));
            let body = String::from_utf8_lossy(request.body);
            let trial = firing(&body);
            if let Some((side, trial)) = side.zip(trial) {
                // Nobody waits for more once all have come.
                told.send(((side, trial), receiver.now().wall)).ok();
            }
            taking::answer("")
        });
    });
    let file = fs::OpenOptions::new().write(true).open(file).expect("the file of loads");
    set(&file, 0);
    for server in servers {
        until("a load of nothing", PATIENCE, || {
            loads(server, 60).last().filter(|(_, load)| *load < 0.5).map(drop)
        });
    }
    let mut arrivals = Arrivals::new();
    take(&arrived, &mut arrivals, REST, &clock, usize::MAX);
    assert!(arrivals.is_empty(), "a page before any trial: {arrivals:?}");

    let mut random = Random::new(clock.nanos().0.unsigned_abs(), 0);
    let began = clock.now().mono;
    let mut flips = Vec::new();
    for trial in 0..trials {
        let gap = Duration::from_secs_f64(random.between(0.0, 2.0 * GAP_SECONDS));
        take(&arrived, &mut arrivals, gap, &clock, usize::MAX);
        flips.push(clock.now().wall);
        set(&file, trial + 1);
    }
    take(&arrived, &mut arrivals, PATIENCE, &clock, 2 * trials);
    let seconds = clock.now().mono.since(began).as_secs() + 10;
    report(&flips, &arrivals, servers.map(|server| loads(server, seconds)));
}

/// Which trial a firing webhook tells of.
fn firing(body: &str) -> Option<usize> {
    body.contains(r#""status":"firing""#).then_some(())?;
    let (_, rest) = body.split_once(r#""alertname":"Trial"#)?;
    rest.split_once('"')?.0.parse().ok()
}

/// As many characters whatever the load: one write, which no reader sees half of.
fn set(file: &File, load: usize) {
    let text = format!("{load:06}.00 0.00 0.00 1/100 1000\n");
    file.write_all_at(text.as_bytes(), 0).expect("room on the disk");
}

/// Takes arrivals for a time, or until there are so many.
fn take(
    arrived: &Receiver<((usize, usize), Timestamp)>,
    arrivals: &mut Arrivals,
    time: Duration,
    clock: &Clock,
    count: usize,
) {
    let end = clock.now().mono + time;
    while arrivals.len() < count {
        let left = end.since(clock.now().mono);
        let Ok((key, at)) = arrived.recv_timeout(left) else { return };
        arrivals.entry(key).or_insert(at);
    }
}

/// The samples of the load over the last seconds, as a server has them.
fn loads(server: &str, seconds: u64) -> Vec<(Timestamp, f64)> {
    let query = escape(&format!("node_load1[{seconds}s]"));
    let answer = get(server, &format!("/api/v1/query?query={query}"));
    let body = answer.map_or_else(|_| String::new(), |answer| answer.body);
    let values = body.split_once(r#""values":[["#).and_then(|(_, rest)| rest.split_once("]]"));
    let values = values.map_or("", |(values, _)| values);
    let sample = |text: &str| {
        let (time, load) = text.split_once(',')?;
        let seconds: f64 = time.parse().ok()?;
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds of this era")]
        let time = Timestamp((seconds * 1000.0).round() as i64);
        Some((time, load.trim_matches('"').parse().ok()?))
    };
    values.split("],[").filter_map(sample).collect()
}

fn report(flips: &[Timestamp], arrivals: &Arrivals, loads: [Vec<(Timestamp, f64)>; 2]) {
    let mut figures = Vec::new();
    for (side, loads) in loads.iter().enumerate() {
        let (mut from_flip, mut from_sample) = (Vec::new(), Vec::new());
        for (trial, flip) in flips.iter().enumerate() {
            let Some(at) = arrivals.get(&(side, trial)) else { continue };
            from_flip.push(at.millis_since(*flip));
            let sample = loads.iter().find(|(_, load)| *load >= trial as f64 + 1.0);
            from_sample.extend(sample.map(|(time, _)| at.millis_since(*time)));
        }
        assert_eq!(from_flip.len(), from_sample.len(), "a page without its sample");
        figures.push((from_flip, from_sample));
    }
    let [(flip, sample), (their_flip, their_sample)] = figures.as_mut_slice() else { return };
    println!(
        "{:<20} {:>12} {:>12} {:>12} {:>12} {:>7} {:>7}",
        "seconds", "bellwether", "", "prometheus", "", "ratio", "ratio"
    );
    println!(
        "{:<20} {:>12} {:>12} {:>12} {:>12} {:>7} {:>7}",
        "", "median", "p99", "median", "p99", "median", "p99"
    );
    for (name, ours, theirs) in
        [("sample to webhook", sample, their_sample), ("flip to webhook", flip, their_flip)]
    {
        let [median, p99] = [0.5, 0.99].map(|part| quantile(ours, part));
        let [their_median, their_p99] = [0.5, 0.99].map(|part| quantile(theirs, part));
        println!(
            "{name:<20} {median:>12.3} {p99:>12.3} {their_median:>12.3} {their_p99:>12.3} {:>7.2} \
             {:>7.2}   {} and {} of {} trials",
            their_median / median,
            their_p99 / p99,
            ours.len(),
            theirs.len(),
            flips.len(),
        );
    }
}

/// In seconds; the nearest rank.
fn quantile(millis: &mut [i64], part: f64) -> f64 {
    millis.sort_unstable();
    #[expect(clippy::cast_possible_truncation, reason = "a rank")]
    let rank = (part * millis.len() as f64).ceil() as usize;
    millis.get(rank.saturating_sub(1)).map_or(f64::NAN, |millis| *millis as f64 / 1e3)
}
