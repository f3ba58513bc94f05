//! The long runs that `tests/soak.sh` asks for, part by part, each with its count.
//!
//! `soak seeds|power|day|pages|signals COUNT [FIRST]` runs so many seeds of a simulation, `soak
//! fuzz SECONDS [SEED]` mutated inputs through every target in turn. Exit code 1: something was
//! found, and said so that it can be repeated.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use bellwether_platform::clock::Clock;
use bellwether_tests::fuzz::{TARGETS, drive};
use bellwether_tests::sim::{Scenario, paging, run, signals};

/// Inputs of one target before the next has its turn.
const INPUTS: u64 = 20_000;
/// From one line of progress to the next.
const TOLD_EVERY: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |at: usize| words.get(at).map(|word| word.parse::<u64>());
    let (part, Some(Ok(count)), Ok(first)) =
        (words.first().copied(), number(1), number(2).unwrap_or(Ok(0)))
    else {
        return usage();
    };
    let found = match part {
        Some("seeds") => simulate(count, first, |seed| world(&Scenario::everything(seed), seed)),
        Some("power") => {
            simulate(count, first, |seed| world(&Scenario::power_cuts(seed, None), seed))
        }
        Some("day") => simulate(count, first, |seed| world(&Scenario::day(), seed)),
        Some("pages") => simulate(count, first, paging::run),
        Some("signals") => simulate(count, first, signals::run),
        Some("fuzz") => fuzz(Duration::from_secs(count), first),
        _ => return usage(),
    };
    match found {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            println!("{what}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: soak seeds|power|day|pages|signals COUNT [FIRST]\n       soak fuzz SECONDS [SEED]"
    );
    ExitCode::from(2)
}

/// Says so from time to time how far it is.
struct Progress {
    clock: Clock,
    next: Duration,
}

impl Progress {
    fn new() -> Progress {
        let clock = Clock::collector();
        let next = clock.now().mono.0 + TOLD_EVERY;
        Progress { clock, next }
    }

    fn tell(&mut self, what: impl Fn() -> String) {
        if self.clock.now().mono.0 >= self.next {
            self.next += TOLD_EVERY;
            println!("  {}", what());
        }
    }
}

fn world(scenario: &Scenario, seed: u64) -> Result<paging::Counts, String> {
    run(scenario, seed).map(|summary| summary.counts)
}

fn simulate(
    count: u64,
    first: u64,
    one: impl Fn(u64) -> Result<paging::Counts, String>,
) -> Result<(), String> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut progress = Progress::new();
    for (done, seed) in (first..first.saturating_add(count)).enumerate() {
        progress.tell(|| format!("{done} of {count} seeds"));
        let happened =
            one(seed).map_err(|what| format!("{what}\nFAILED after {done} of {count} seeds"))?;
        for (what, times) in happened {
            *counts.entry(what).or_default() += times;
        }
    }
    let counts: Vec<String> =
        counts.iter().map(|(what, times)| format!("{what} {times}")).collect();
    println!("{}", counts.join(", "));
    println!("passed {count} seeds, {first} to {}", first.saturating_add(count).saturating_sub(1));
    Ok(())
}

fn fuzz(time: Duration, first: u64) -> Result<(), String> {
    let mut progress = Progress::new();
    let end = progress.clock.now().mono.0 + time;
    let mut inputs: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in first.. {
        for target in TARGETS {
            if progress.clock.now().mono.0 >= end {
                let all: u64 = inputs.values().sum();
                let each: Vec<String> =
                    inputs.iter().map(|(name, count)| format!("{name} {count}")).collect();
                println!("{}", each.join(", "));
                println!("passed {all} inputs, seeds {first} to {seed}");
                return Ok(());
            }
            progress.tell(|| format!("{} inputs", inputs.values().sum::<u64>()));
            drive(target, seed, INPUTS)
                .map_err(|failure| format!("{failure:?}\nFAILED at seed {seed}"))?;
            *inputs.entry(target.name).or_default() += INPUTS;
        }
    }
    Ok(())
}
