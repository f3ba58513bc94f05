//! What a judge makes of what is counted, where targets are read at different moments.

use bellwether_rules::verdict::{Config, Guard, Judge, Outcome, Tick, Verdict};

use super::*;

/// A generator of its own: the same runs on every machine.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    /// So many of `n`, each with the chance `per_million`.
    fn of(&mut self, n: u64, per_million: u64) -> u64 {
        (0..n).filter(|_| self.below(1_000_000) < per_million).count() as u64
    }
}

/// One target: its version, requests in a tenth of a second, and when it is read.
struct Target {
    version: &'static str,
    rate: u64,
    every: i64,
    phase: i64,
    good: u64,
    bad: u64,
    /// Requests, and bad ones, since the last row.
    untold: [u64; 2],
}

impl Target {
    fn new(version: &'static str, rate: u64, every: i64, draws: &mut Draws) -> Target {
        let phase = 100 * draws.below(every.unsigned_abs() / 100).cast_signed();
        Target { version, rate, every, phase, good: 0, bad: 0, untold: [0; 2] }
    }
}

/// How many of a million requests fail, of the canary and of the baseline, at a time.
type Chances<'a> = &'a dyn Fn(i64) -> (u64, u64);

/// Serves for so many seconds, and judges what is counted, and beside it what the rows of each
/// second alone say. Rows are stamped with the second that ships them.
fn judged(
    targets: &mut [Target],
    seconds: i64,
    config: Config,
    chances: Chances<'_>,
    draws: &mut Draws,
) -> [Judge; 2] {
    let (mut map, mut counting) = (Map::default(), counting(plan()));
    let [mut judge, mut plain] = [0, 1].map(|_| Judge::new(config).unwrap());
    for second in 1..=seconds {
        let mut told = count((0, 0), (0, 0));
        for tenth in 0..10 {
            let millis = 1000 * (second - 1) + 100 * tenth;
            let (canary, baseline) = chances(millis);
            for (target, number) in targets.iter_mut().zip(0..) {
                let n = draws.below(2 * target.rate + 1);
                let bad = draws.of(n, if target.version == "2" { canary } else { baseline });
                target.good += n - bad;
                target.bad += bad;
                target.untold = [target.untold[0] + n, target.untold[1] + bad];
                if millis % target.every == target.phase {
                    let (instance, version) = (format!("i{number}"), target.version);
                    let row = [
                        (series(version, &instance, "200"), target.good as f64),
                        (series(version, &instance, "500"), target.bad as f64),
                    ];
                    map.row(number, at(1000 * second), &row);
                    let arm = if version == "2" { &mut told.canary } else { &mut told.baseline };
                    let [n, bad] = std::mem::take(&mut target.untold);
                    *arm = Arm { n: arm.n + n, bad: arm.bad + bad };
                }
            }
        }
        let Count { canary, baseline, .. } = told;
        plain.step(&[Tick { second: START + second, stratum: 0, canary, baseline }]).unwrap();
        if second % 5 == 0 || second == seconds {
            map.now = at(1000 * second + 20);
            judge_seconds(&mut judge, &counting.read(&map, map.now));
        }
    }
    [judge, plain]
}

fn judge_seconds(judge: &mut Judge, read: &Read) {
    for Second { second, counts, .. } in &read.seconds {
        let ticks: Vec<Tick> = counts
            .iter()
            .map(|count| Tick {
                second: *second,
                stratum: count.stratum,
                canary: count.canary,
                baseline: count.baseline,
            })
            .collect();
        judge.step(&ticks).unwrap();
    }
}

fn unguarded() -> Config {
    Config { guard: Guard::OFF, ..Config::default() }
}

/// Outages of both arms, of 300 ms to 40 s, sharp at both ends. The targets of both arms are read
/// each 1, 5 or 15 s, at any phase.
fn shared_outages(seed: u64, every: [i64; 2], config: Config) -> [Judge; 2] {
    let mut draws = Draws(0x9e37_79b9_7f4a_7c15 ^ (seed + 1).wrapping_mul(0x2545_f491_4f6c_dd1d));
    (0..9).for_each(|_| assert!(draws.below(2) < 2));
    let rate = draws.one_of(&[1, 3, 10]);
    let mut targets = vec![Target::new("2", rate, every[0], &mut draws)];
    let baseline = 1 + draws.below(3);
    targets.extend((0..baseline).map(|_| Target::new("1", 10, every[1], &mut draws)));
    let outages: Vec<(i64, i64)> = (0..5)
        .map(|at| {
            let from = 20_000 + 30_000 * at + draws.below(10_000).cast_signed();
            let length = draws.one_of(&[300, 1_000, 7_000, 40_000]);
            (from, from + length)
        })
        .collect();
    let chances = |millis: i64| {
        let is_out = outages.iter().any(|(from, to)| (*from..*to).contains(&millis));
        let chance = if is_out { 900_000 } else { 2_000 };
        (chance, chance)
    };
    judged(&mut targets, 180, config, &chances, &mut draws)
}

/// Each pair of cadences in turn, with the guard against trains and without it. What the rows of
/// each second say, unaligned, fails many.
#[test]
fn a_shared_outage_fails_nobody_however_targets_are_read() {
    let cadences = [1_000, 5_000, 15_000];
    let (mut failed, mut plainly) = (Vec::new(), 0);
    for (seed, place) in (0..1_000).zip(0_usize..) {
        let every = [cadences[place % 3], cadences[place / 3 % 3]];
        let config = if seed % 2 == 0 { unguarded() } else { Config::default() };
        let [counted, plain] = shared_outages(seed, every, config).map(|judge| judge.outcome());
        if counted.verdict == Verdict::Fail {
            failed.push((seed, every, counted.log_e_max));
        }
        plainly += u32::from(plain.verdict == Verdict::Fail);
    }
    assert_eq!(failed, [], "of 1,000");
    assert!(plainly > 100, "{plainly} of 1,000");
}

/// A canary of a twentieth of 200 requests a second.
fn canary(chances: Chances<'_>, every: i64, config: Config) -> Outcome {
    let mut draws = Draws(88_172_645_463_325_252);
    let mut targets = vec![Target::new("2", 1, every, &mut draws)];
    targets.extend((0..2).map(|_| Target::new("1", 10, every, &mut draws)));
    let [counted, _] = judged(&mut targets, 300, config, chances, &mut draws);
    counted.outcome()
}

#[test]
fn health_fails_nobody_and_a_fifth_of_errors_fails_within_seconds() {
    let healthy = canary(&|_| (1_000, 1_000), 1_000, Config::default());
    assert_ne!(healthy.verdict, Verdict::Fail);
    assert!(healthy.canary_n > 2_800 && healthy.baseline_n > 50_000, "{healthy:?}");
    let fault = |millis| (if millis < 120_000 { 1_000 } else { 200_000 }, 1_000);
    let after = |every, config| {
        let outcome = canary(&fault, every, config);
        assert_eq!(outcome.verdict, Verdict::Fail);
        outcome.decision_second.unwrap() - START - 120
    };
    let seconds = [1_000, 5_000, 15_000].map(|every| after(every, unguarded()));
    assert!(seconds[0] <= 5 && seconds[1] <= 10 && seconds[2] <= 30, "{seconds:?}");
    let guarded = after(1_000, Config::default());
    assert!(guarded <= 25, "{guarded}");
}
