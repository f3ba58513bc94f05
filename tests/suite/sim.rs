//! Agents and collectors in the simulator: loss, duplication, reordering, ends of both sides, clones,
//! wiped and restored collectors. `BELLWETHER_SIM_SEEDS` sets the number of seeds.

use std::collections::BTreeMap;
use std::time::Instant;

use bellwether_tests::sim::{FaultKind, Scenario, run};

/// Seeds of a test: so many, or as the environment says.
fn seeds(usual: u64) -> std::ops::Range<u64> {
    let asked = std::env::var("BELLWETHER_SIM_SEEDS").ok().and_then(|text| text.parse().ok());
    0..asked.unwrap_or(usual)
}

/// Runs all seeds; gives what happened in all of them together.
fn run_all(usual: u64, scenario: impl Fn(u64) -> Scenario) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for seed in seeds(usual) {
        let summary = run(&scenario(seed), seed).unwrap_or_else(|what| panic!("{what}"));
        for (what, count) in summary.counts {
            *counts.entry(what).or_default() += count;
        }
    }
    counts
}

fn only(kinds: &[FaultKind]) -> Scenario {
    Scenario { faults: kinds.to_vec(), faults_until: 150_000, ..Scenario::quiet() }
}

#[test]
fn sim_quiet() {
    println!("{:?}", run_all(5, |_| Scenario::quiet()));
}

#[test]
fn sim_links() {
    let s = |_| Scenario { link_hurts_one_in: 8, ..only(&[]) };
    println!("{:?}", run_all(50, s));
}

#[test]
fn sim_each() {
    let pick = std::env::var("KIND").unwrap_or_default();
    for kind in FaultKind::ALL {
        if !format!("{kind:?}").contains(&pick) {
            continue;
        }
        let start = Instant::now();
        let counts = std::panic::catch_unwind(|| run_all(30, |_| Scenario{link_hurts_one_in: 15, ..only(&[kind])}));
        println!("{kind:?} {:?} {counts:?}", start.elapsed());
    }
}

#[test]
fn sim_all() {
    let scenario = |seed: u64| Scenario {
        agents: 1 + seed as usize % 3,
        collectors: 1 + seed as usize % 2,
        link_hurts_one_in: 15,
        fault_every: 5000 + 1000 * (seed % 10),
        spool_bytes_max: if seed % 3 == 0 { 5000 } else { 1 << 20 },
        sync_always: seed % 5 == 0,
        ..only(&FaultKind::ALL)
    };
    println!("All {:?}", run_all(100, scenario));
}
