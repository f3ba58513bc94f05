//! From the first bad request to a hook, and to traffic on the old version, with a real nginx.
//!
//! `bench-rollback BIN TRIALS HEALTH_SECONDS BAD_OF_THOUSAND` runs the programs in BIN: 200
//! requests a second, a twentieth of them to the new version, which fails so many of its requests
//! after so many seconds of health. Prints each trial's milliseconds, then median and 95th
//! percentile.

use std::env;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bellwether_platform::stop::stop;
use bellwether_tests::rollback::Scene;

const RATE: u64 = 200;
const WEIGHTS: [u32; 2] = [19, 1];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [bin, trials, health, bad] = arguments.as_slice() else {
        eprintln!("usage: bench-rollback BIN TRIALS HEALTH_SECONDS BAD_OF_THOUSAND");
        return ExitCode::from(2);
    };
    let number = |text: &String| text.parse::<u64>().expect("a number");
    let (trials, health, bad) = (number(trials), number(health), number(bad));
    let Some(scene) = Scene::start("bench-rollback", Path::new(bin), RATE, WEIGHTS) else {
        eprintln!("nginx or curl is not installed");
        return ExitCode::from(2);
    };
    // Nobody stops it: it only waits.
    let (_stopper, stop) = stop();
    let (mut hooked, mut restored) = (Vec::new(), Vec::new());
    for trial in 0..trials {
        scene.both();
        let id = format!("trial-{trial}");
        scene.announce(&id, &[]);
        // At random within a second, so that no trial keeps the pace of the scrapes.
        let _stopped = stop.wait_for(Duration::from_millis(health * 1000 + trial * 373 % 1000));
        let times = scene.fault(&id, bad);
        let millis = |at: i64| (at - times.first_bad) / 1_000_000;
        let (hook, back) = (millis(times.hooked), millis(times.restored));
        println!("trial {trial}: hook {hook} ms, traffic restored {back} ms");
        hooked.push(hook);
        restored.push(back);
    }
    for (name, mut all) in [("hook", hooked), ("restored", restored)] {
        all.sort_unstable();
        let at = |percent: usize| all.get((all.len() * percent).div_ceil(100).max(1) - 1);
        let (median, high) = (at(50).copied().unwrap_or(0), at(95).copied().unwrap_or(0));
        println!("{name}: median {median} ms, p95 {high} ms of {trials} trials");
    }
    let (good, bad) = scene.answers();
    println!("users: {good} answers good, {bad} not");
    ExitCode::SUCCESS
}
