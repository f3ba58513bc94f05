//! How much judging costs: 10,000 rollouts, each judged every second, on one core.
//!
//! `bench-judges [ROLLOUTS [SECONDS]]`. Three kinds of traffic: hardly any errors, 1 % of them, and
//! a canary that fails a fifth of its requests while the guard leaves its trains out.

use std::process::ExitCode;
use std::{env, iter};

use bellwether_platform::clock::Clock;
use bellwether_rules::verdict::{Arm, Config, Judge, Tick};
use bellwether_tests::rollouts::Random;

/// Requests of both arms in a second.
const REQUESTS: (u64, u64) = (10, 190);

fn main() -> ExitCode {
    let numbers: Option<Vec<usize>> = env::args().skip(1).map(|word| word.parse().ok()).collect();
    let (rollouts, seconds) = match numbers.as_deref() {
        Some([]) => (10_000, 60),
        Some([rollouts]) => (*rollouts, 60),
        Some([rollouts, seconds]) => (*rollouts, *seconds),
        _ => (0, 0),
    };
    if rollouts == 0 || seconds == 0 {
        eprintln!("usage: bench-judges [ROLLOUTS [SECONDS]]");
        return ExitCode::from(2);
    }
    let clock = Clock::collector();
    for (name, canary, baseline) in [
        ("0.1 % errors", 0.001, 0.001),
        ("1 % errors", 0.01, 0.01),
        ("20 % in the canary", 0.2, 0.01),
    ] {
        let mut random = Random::new(1, 0);
        let judge = Judge::new(Config::default()).expect("invariant: the defaults are in range");
        let mut judges: Vec<Judge> = iter::repeat_n(judge, rollouts).collect();
        // A minute's counts are drawn before, and told to each rollout from another second on.
        let counts: Vec<(Arm, Arm)> = (0..997)
            .map(|_| {
                let arm = |n: u64, error: f64, random: &mut Random| {
                    let bad = (0..n).filter(|_| random.happens(error)).count() as u64;
                    Arm { n, bad }
                };
                let canary = arm(REQUESTS.0, canary, &mut random);
                (canary, arm(REQUESTS.1, baseline, &mut random))
            })
            .collect();
        let mut failed = 0;
        let started = clock.now().mono;
        for second in 0..seconds {
            failed = 0;
            for (at, judge) in judges.iter_mut().enumerate() {
                let counts = counts.get((at * 31 + second) % counts.len());
                let (canary, baseline) = counts.copied().unwrap_or_default();
                let tick = Tick { second: second as i64, stratum: 0, canary, baseline };
                let step = judge.step(&[tick]).expect("invariant: counts that can be");
                failed += usize::from(step.failed);
            }
        }
        let spent = clock.now().mono.since(started).as_secs_f64();
        println!(
            "{name}: {rollouts} rollouts judged for {seconds} s in {spent:.2} s, {:.1} ms for each \
             second, {:.2} µs a tick, {failed} failed",
            spent * 1e3 / seconds as f64,
            spent * 1e6 / (rollouts * seconds) as f64,
        );
    }
    ExitCode::SUCCESS
}
