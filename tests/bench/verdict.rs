//! How often judges roll back healthy rollouts, and how fast they find bad ones: the tables of
//! `rules/BENCHMARK.md`.
//!
//! `bench-verdict [HEALTHY [BAD]]`: rollouts of each scenario (3,000 unless told), and of each cell
//! of the tables of speed (400 unless told); 0 leaves the tables out. Seeds are 0, 1, 2, …; the
//! same numbers come out on every machine.

use std::process::ExitCode;
use std::{env, thread};

use bellwether_tests::rollouts::judges::{ALL, Kind, OURS, PLAIN, UNGUARDED};
use bellwether_tests::rollouts::trial::{self, Decisions, Speed};
use bellwether_tests::rollouts::{Fault, Plan, Regression, Scenario, Traffic, clopper_pearson};

const ALPHA: f64 = 1e-3;
const HOUR: u32 = 3600;
const ERROR: f64 = 0.001;
/// What the bounds miss at either side.
const MISS: f64 = 0.025;

fn main() -> ExitCode {
    let numbers: Option<Vec<u32>> = env::args().skip(1).map(|word| word.parse().ok()).collect();
    let (healthy, bad) = match numbers.as_deref() {
        Some([]) => (3000, 400),
        Some([healthy]) => (*healthy, 400),
        Some([healthy, bad]) => (*healthy, *bad),
        _ => {
            eprintln!("usage: bench-verdict [HEALTHY [BAD]]   (rollouts of each cell)");
            return ExitCode::from(2);
        }
    };
    if healthy > 0 {
        false_rollbacks(healthy, ALPHA, &ALL);
        for alpha in [0.01, 0.05] {
            false_rollbacks(healthy, alpha, &[OURS, UNGUARDED, PLAIN]);
        }
    }
    if bad > 0 {
        for rps in [200.0, 10.0] {
            for begins in [0, 600, HOUR] {
                speed(Traffic { rps, share: 0.05, error: ERROR }, begins, bad);
            }
        }
        multiples(bad);
    }
    ExitCode::SUCCESS
}

/// Runs seeds on all cores; the results stand in the order of the seeds.
fn all(plan: &Plan, runs: u32, alpha: f64, kinds: &[Kind]) -> Vec<Decisions> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let seeds: Vec<u64> = (0..u64::from(runs)).collect();
    thread::scope(|scope| {
        let parts = seeds.chunks(seeds.len().div_ceil(threads).max(1));
        let workers: Vec<_> = parts
            .map(|part| {
                let judged = move || {
                    let part = part.iter();
                    part.map(|seed| trial::run(plan, *seed, alpha, kinds)).collect::<Vec<_>>()
                };
                scope.spawn(judged)
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a judge")).collect()
    })
}

fn header(first: &str, columns: impl Iterator<Item = String>) {
    let columns: Vec<String> = columns.collect();
    println!("| {first} | {} |", columns.join(" | "));
    println!("|---|{}", "---|".repeat(columns.len()));
}

fn false_rollbacks(runs: u32, alpha: f64, kinds: &[Kind]) {
    println!("\n### False rollbacks of {runs} healthy rollouts of one hour, α = {alpha}\n");
    header("scenario", kinds.iter().map(|kind| kind.name.to_owned()));
    for scenario in Scenario::ALL {
        let plan = Plan { scenario, traffic: None, regression: None, seconds: HOUR };
        let decisions = all(&plan, runs, alpha, kinds);
        print!("| {} |", scenario.name());
        for index in 0..kinds.len() {
            let of = |decisions: &&Decisions| decisions.at.get(index).is_some_and(Option::is_some);
            let found = u32::try_from(decisions.iter().filter(of).count()).unwrap_or(u32::MAX);
            let (low, high) = clopper_pearson(found, runs, MISS);
            print!(" {found} ({:.2}–{:.2} %) |", low * 100.0, high * 100.0);
        }
        println!();
    }
}

/// One row of cells for each judge.
fn speed(traffic: Traffic, begins: u32, runs: u32) {
    let Traffic { rps, share, error } = traffic;
    let late = match begins {
        0 => "at once".to_owned(),
        _ => format!("after {} min of health", begins / 60),
    };
    println!(
        "\n### Seconds to the decision, {rps} rps, {} % canary, {} % baseline, fault {late}\n",
        share * 100.0,
        error * 100.0
    );
    let parts = [0.003, 0.005, 0.01, 0.05, 0.2, 1.0];
    header("judge", parts.iter().map(|part| format!("{} %", part * 100.0)));
    let columns: Vec<Vec<Speed>> =
        parts.iter().map(|part| speeds(traffic, Fault::Part(*part), begins, runs, &ALL)).collect();
    for (index, kind) in ALL.iter().enumerate() {
        let cells = columns.iter().filter_map(|column| column.get(index)).map(cell);
        println!("| {} | {} |", kind.name, cells.collect::<Vec<_>>().join(" | "));
    }
    let ours = columns.iter().filter_map(|column| column.first()?.median_bad());
    let served: Vec<String> = ours.map(|bad| bad.to_string()).collect();
    println!("\nBad requests served until ours decided, median: {}.", served.join(", "));
}

fn speeds(traffic: Traffic, fault: Fault, begins: u32, runs: u32, kinds: &[Kind]) -> Vec<Speed> {
    let plan = Plan {
        scenario: Scenario::Healthy,
        traffic: Some(traffic),
        regression: Some(Regression { fault, begins }),
        seconds: begins + HOUR,
    };
    let mut speeds = vec![Speed::default(); kinds.len()];
    for Decisions { at, bad } in all(&plan, runs, ALPHA, kinds) {
        for ((speed, at), bad) in speeds.iter_mut().zip(at).zip(bad) {
            speed.add(at, bad, begins);
        }
    }
    speeds.iter_mut().for_each(Speed::sort);
    speeds
}

/// Median and 95th percentile over all rollouts; the part found where that is less.
fn cell(speed: &Speed) -> String {
    let found = f64::from(u32::try_from(speed.seconds.len()).unwrap_or(u32::MAX));
    let percent = found / f64::from(speed.runs) * 100.0;
    let early = if speed.early > 0 { format!(", {} early", speed.early) } else { String::new() };
    let text = match (speed.quantile(0.5), speed.quantile(0.95)) {
        (Some(median), Some(late)) => format!("{median} ({late})"),
        (Some(median), None) => format!("{median}, {percent:.0} % found"),
        (None, _) if found > 0.0 => format!("{percent:.1} % found"),
        (None, _) => "never".to_owned(),
    };
    text + &early
}

fn multiples(runs: u32) {
    let times = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0];
    println!(
        "\n### Ours: seconds to the decision by ratio, {} % baseline, at once\n",
        ERROR * 100.0
    );
    header("rps, share", times.iter().map(|times| format!("{times}×")));
    for (rps, share) in [(200.0, 0.01), (200.0, 0.05), (200.0, 0.5), (2000.0, 0.05), (2000.0, 0.5)]
    {
        let traffic = Traffic { rps, share, error: ERROR };
        let cells = times.iter().map(|times| {
            let speeds = speeds(traffic, Fault::Times(*times), 0, runs, &[OURS]);
            speeds.first().map(cell).unwrap_or_default()
        });
        let cells: Vec<String> = cells.collect();
        println!("| {rps}, {} % | {} |", share * 100.0, cells.join(" | "));
    }
}
