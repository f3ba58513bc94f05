//! The judge as others call it.

use proptest::prelude::*;

use super::*;

fn tick(second: i64, canary: (u64, u64), baseline: (u64, u64)) -> Tick {
    let arm = |(n, bad)| Arm { n, bad };
    Tick { second, stratum: 0, canary: arm(canary), baseline: arm(baseline) }
}

fn unguarded() -> Config {
    Config { guard: Guard::OFF, ..Config::default() }
}

fn judge(config: Config, ticks: &[Tick]) -> Judge {
    let mut judge = Judge::new(config).unwrap();
    for tick in ticks {
        judge.step(std::slice::from_ref(tick)).unwrap();
    }
    judge
}

/// Ten requests of the canary and 190 of the baseline a second, of which every fifth second one of
/// the baseline's is bad, and of the canary's as many as the function says.
fn course(seconds: i64, bad: impl Fn(i64) -> u64) -> Vec<Tick> {
    let course = (0..seconds).map(|at| tick(at, (10, bad(at)), (190, u64::from(at % 5 == 4))));
    course.collect()
}

#[test]
fn a_bad_deploy_fails_and_stays_so() {
    let bad = course(600, |at| if at < 40 { 2 } else { 0 });
    let outcome = judge(Config::default(), &bad).outcome();
    assert_eq!(outcome.verdict, Verdict::Fail);
    assert_eq!((outcome.first_bad_second, outcome.decision_second), (Some(0), Some(13)));
    assert!(outcome.log_e < outcome.log_e_max);
    let words = "the canary fails 12.7 times as often as the baseline (80 bad of 6000 against 120 \
                 of 114000); so much comes by chance in at most 1 of 1000 rollouts that are no \
                 worse than 1.2 times the baseline, even if one train of up to 20 bad requests \
                 within 15 s is left out";
    assert_eq!(outcome.reason, words);
    let at = |config| judge(config, &bad).outcome().decision_second;
    assert_eq!(at(unguarded()), Some(1));
    let opening = Guard { opening_seconds: 8, ..Guard::default() };
    assert_eq!(at(Config { guard: opening, ..Config::default() }), Some(1));
}

#[test]
fn a_train_alone_fails_nobody_and_is_said() {
    let train = course(300, |at| if (240..250).contains(&at) { 2 } else { 0 });
    let judged = judge(Config::default(), &train[..250]).outcome();
    assert_eq!(judged.verdict, Verdict::Inconclusive { missing: Missing::Burst });
    assert!(judged.log_e < 0.0 && judged.log_e_unguarded > 20.0, "{judged:?}");
    assert!(judged.reason.contains("one client or one host could explain"), "{}", judged.reason);
    assert_eq!(judge(unguarded(), &train).outcome().verdict, Verdict::Fail);
}

#[test]
fn health_passes_once_enough_was_seen() {
    let well = course(3600, |at| u64::from(at % 100 == 50));
    let early = judge(Config::default(), &well[..149]).outcome();
    let Verdict::Inconclusive { missing: Missing::Requests { canary } } = early.verdict else {
        panic!("{early:?}");
    };
    assert!((1_000..100_000).contains(&canary), "{canary}");
    assert!(early.smallest_ratio.unwrap() > 5.0, "{early:?}");
    let late = judge(Config::default(), &well).outcome();
    assert_eq!(late.verdict, Verdict::Pass);
    assert_eq!(late.ratio_at_most, Some(2.4));
    assert!(late.decision_second.unwrap() > 600, "{late:?}");
    assert!(late.smallest_ratio < early.smallest_ratio);
    assert!(late.reason.starts_with("the canary's share of bad requests is at most 2.4 times"));
    // A ratio of three is neither within the limit nor found by then.
    let worse = judge(Config::default(), &course(500, |at| u64::from(at % 33 == 20))).outcome();
    assert_eq!(worse.verdict, Verdict::Inconclusive { missing: Missing::Requests { canary: 0 } });
}

/// No number of good requests alone bounds a ratio.
#[test]
fn arms_without_a_bad_request_are_told_what_a_pass_takes() {
    let said = |bad| {
        let course: Vec<Tick> = (0..60).map(|at| tick(at, (10, 0), (190, bad))).collect();
        judge(Config::default(), &course).outcome().reason
    };
    assert!(said(0).contains("a pass takes bad requests of the baseline"), "{}", said(0));
    assert!(!said(1).contains("a pass takes"), "{}", said(1));
    let worse = judge(Config::default(), &[tick(0, (10, 1), (190, 1))]).outcome().reason;
    assert!(worse.contains("at these ratios it will not pass"), "{worse}");
}

#[test]
fn a_fault_after_an_hour_is_found_as_one_after_a_minute() {
    let after = |health: i64| {
        let bad = course(health + 60, |at| if at >= health { 2 } else { u64::from(at % 100 == 7) });
        judge(Config::default(), &bad).outcome().decision_second.unwrap() - health
    };
    assert!(after(60) <= 16 && after(3600) <= 18, "{} {}", after(60), after(3600));
}

#[test]
fn missing_data_is_neither_health_nor_failure() {
    let missing = |ticks: &[Tick]| judge(Config::default(), ticks).outcome().verdict;
    let says = |missing| Verdict::Inconclusive { missing };
    assert_eq!(missing(&[]), says(Missing::Canary));
    assert_eq!(missing(&[tick(1, (0, 0), (100, 3))]), says(Missing::Canary));
    assert_eq!(missing(&[tick(1, (100, 100), (0, 0))]), says(Missing::Baseline));
    let config = Config { warm_up_seconds: 30, ..Config::default() };
    let cold = course(40, |at| if at < 30 { 9 } else { 0 });
    let verdict = |seconds: usize| judge(config, &cold[..seconds]).outcome();
    assert_eq!(verdict(10).verdict, says(Missing::WarmUp { seconds: 21 }));
    let warm = verdict(40);
    assert!(warm.log_e < 0.5 && warm.first_bad_second.is_none(), "{warm:?}");
    assert_eq!((warm.canary_n, warm.canary_bad), (400, 270));
    let half = Config { share: Some(0.5), ..Config::default() };
    assert_eq!(judge(half, &cold).outcome().verdict, Verdict::Fail);
    assert_eq!(judge(half, &course(40, |_| 0)).outcome().verdict, says(Missing::Share));
    let meant = Config { share: Some(0.05), ..Config::default() };
    assert_ne!(judge(meant, &course(40, |_| 0)).outcome().verdict, says(Missing::Share));
}

/// A canary of one request every three seconds is compared with what the baseline served since.
#[test]
fn counts_wait_for_the_other_arm_but_not_long() {
    let slow = |bad| (0..300).map(move |at| tick(at, (u64::from(at % 3 == 2), bad), (10, 0)));
    let bad: Vec<Tick> = slow(0)
        .map(|tick| Tick { canary: Arm { bad: tick.canary.n, ..tick.canary }, ..tick })
        .collect();
    let third: Vec<Tick> = bad.iter().copied().filter(|tick| tick.canary.n > 0).collect();
    let log_e = |ticks: &[Tick]| judge(Config::default(), ticks).outcome().log_e;
    assert!(log_e(&bad) > log_e(&third) + 20.0, "{} {}", log_e(&bad), log_e(&third));
    // What the baseline served more than ten seconds before says nothing about now.
    let gap = [tick(0, (1, 0), (10, 0)), tick(1, (0, 0), (10_000, 0)), tick(20, (1, 1), (10, 9))];
    let near = [gap[0], gap[2]];
    assert_eq!(log_e(&gap).to_bits(), log_e(&near).to_bits());
}

#[test]
fn counts_that_cannot_be_change_nothing() {
    let mut judge = Judge::new(Config::default()).unwrap();
    judge.step(&[tick(5, (10, 1), (10, 0))]).unwrap();
    let before = judge.outcome();
    for (ticks, error) in [
        (vec![tick(6, (1, 2), (1, 0))], "second 6, canary: 2 bad requests of 1"),
        (vec![tick(6, (1, 0), (1, 2))], "second 6, baseline: 2 bad requests of 1"),
        (vec![tick(5, (1, 0), (1, 0))], "second 5 does not follow second 5"),
        (
            vec![tick(6, (1, 1), (9, 0)), tick(7, (1, 0), (1, 0))],
            "second 7 does not follow second 6",
        ),
        (
            vec![tick(6, (1, 1), (9, 0)), Tick { stratum: 256, ..tick(6, (1, 0), (1, 0)) }],
            "second 6: stratum 256, but a judge takes 256",
        ),
        (
            vec![tick(6, (u64::MAX, 1), (9, 0))],
            "second 6, canary: 18446744073709551615 requests are more than a judge can count",
        ),
    ] {
        assert_eq!(judge.step(&ticks).unwrap_err().to_string(), error);
        assert_eq!(judge.outcome(), before);
    }
    assert_eq!(judge.step(&[]).unwrap().second, 5);
    let refused = |config: Config| Judge::new(config).unwrap_err().to_string();
    assert_eq!(
        refused(Config { version: 2, ..Config::default() }),
        "version 2 of the verdict is unknown here, the newest is 1"
    );
    for alpha in [0.0, 0.6, f64::NAN] {
        let text = refused(Config { alpha, ..Config::default() });
        assert!(text.starts_with("alpha: "), "{text}");
    }
}

#[test]
fn what_is_compared_with_nothing_is_no_ground_for_a_pass() {
    let missing = Verdict::Inconclusive { missing: Missing::Baseline };
    let well = course(3600, |at| u64::from(at % 100 == 50));
    let mut judge = judge(Config::default(), &well);
    assert_eq!(judge.outcome().verdict, Verdict::Pass);
    // The baseline is gone, and all that the canary serves is bad.
    for at in 3600..3700 {
        judge.step(&[tick(at, (10, 10), (0, 0))]).unwrap();
    }
    assert_eq!(judge.outcome().verdict, missing, "{}", judge.outcome().reason);
    // A route that the baseline does not have.
    let mut judge = Judge::new(Config::default()).unwrap();
    for at in 0..3600 {
        let bad = u64::from(at % 100 == 50);
        let old = tick(at, (10, bad), (190, u64::from(at % 5 == 4)));
        let new = Tick { stratum: 1, ..tick(at, (1, 1), (0, 0)) };
        judge.step(&[old, new]).unwrap();
    }
    assert_eq!(judge.outcome().verdict, missing, "{}", judge.outcome().reason);
    assert!(judge.outcome().reason.contains("a route of its own"));
}

/// Both arms fail alike in each second, and serve in some of them only.
#[test]
fn without_the_guard_seconds_are_compared_with_themselves() {
    let outage = |at: i64| at % 60 == 9;
    let ticks: Vec<Tick> = (0..3000)
        .map(|at| {
            let n_c = u64::from(at % 10 == 9);
            let bad = u64::from(outage(at));
            tick(at, (n_c, n_c * bad), (1, bad))
        })
        .collect();
    let outcome = judge(unguarded(), &ticks).outcome();
    assert_ne!(outcome.verdict, Verdict::Fail, "{}", outcome.reason);
}

/// A generator of its own, since these numbers must never change.
fn golden_course() -> impl Iterator<Item = [Tick; 2]> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut draw = move |bound: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % bound
    };
    (0..900_i64).map(move |second| {
        [0_u16, 3].map(|stratum| {
            let (n_c, n_b) = (draw(12), 150 + draw(90));
            let often = if second < 600 { 300 } else { 90 };
            let bad = u64::from(draw(often) < n_c);
            let bad_b = u64::from(draw(800) < n_b) * (1 + draw(2) * draw(2));
            let tick = tick(second, (n_c, bad), (n_b, bad_b));
            Tick { stratum, ..tick }
        })
    })
}

#[test]
fn the_same_bits_on_every_machine() {
    let mut found = Vec::new();
    for config in [Config::default(), unguarded()] {
        let mut judge = Judge::new(config).unwrap();
        for ticks in golden_course() {
            let step = judge.step(&ticks).unwrap();
            if [1, 60, 599, 640, 899].contains(&step.second) {
                found.push(step.log_e.to_bits());
            }
        }
        let outcome = judge.outcome();
        let bits = |value: Option<f64>| value.map_or(0, f64::to_bits);
        found.push(outcome.log_e_max.to_bits());
        found.push(bits(outcome.smallest_ratio));
        found.push(bits(outcome.ratio_at_most));
        found.push(outcome.decision_second.map_or(0, i64::cast_unsigned));
    }
    assert_eq!(found, GOLDEN, "found: {found:#018x?}");
}

/// Guarded, then not: five seconds' evidence, the greatest, two ratios, the second of the decision.
const GOLDEN: [u64; 18] = [
    0xbfe0_365b_2c34_c6a7,
    0xbfe8_4ad3_0ca8_2a19,
    0xbff1_799c_0708_4d07,
    0xbfe9_c90b_ca34_7162,
    0x4034_b9b2_7197_398b,
    0x4034_b9b2_7197_398b,
    0x4008_e661_a803_9c4a,
    0x4028_0000_0000_0000,
    0x0000_0000_0000_0321,
    0x3fe6_846c_7d3c_9ffb,
    0xbfe5_5938_aea8_941f,
    0xbfd9_59ec_9913_31a5,
    0x4015_9202_13d7_05fe,
    0x403c_f13d_0e0d_4499,
    0x403c_f13d_0e0d_4499,
    0x4008_e661_a803_9c4a,
    0x4028_0000_0000_0000,
    0x0000_0000_0000_026a,
];

prop_compose! {
    fn arms()(
        n_c in 0..20_u64,
        n_b in 0..300_u64,
        bad_c in 0..5_u64,
        bad_b in 0..4_u64,
        rare in 0..4_u8,
    ) -> ((u64, u64), (u64, u64)) {
        let bad = |n: u64, bad: u64| if rare == 0 { n.min(bad) } else { 0 };
        ((n_c, bad(n_c, bad_c)), (n_b, bad(n_b, bad_b)))
    }
}

prop_compose! {
    fn ticks()(arms in prop::collection::vec(arms(), 1..120)) -> Vec<Tick> {
        let arms = arms.into_iter().zip(0..);
        arms.map(|((canary, baseline), at)| tick(at, canary, baseline)).collect()
    }
}

proptest! {
    #[test]
    fn moving_all_seconds_changes_nothing(ticks in ticks(), by in -1_000_000_i64..1_000_000) {
        let moved: Vec<Tick> =
            ticks.iter().map(|tick| Tick { second: tick.second + by, ..*tick }).collect();
        let (here, there) = (judge(Config::default(), &ticks), judge(Config::default(), &moved));
        prop_assert_eq!(here.outcome().log_e.to_bits(), there.outcome().log_e.to_bits());
        prop_assert_eq!(here.outcome().verdict, there.outcome().verdict);
    }

    /// Seconds that are `times` as long move the weights of the starts, and nothing else.
    #[test]
    fn slower_time_costs_its_logarithm_at_most(ticks in ticks(), times in 2..10_i64) {
        let dense: Vec<Tick> = ticks.iter().filter(|t| t.canary.n > 0 && t.baseline.n > 0)
            .copied().zip(0..).map(|(tick, second)| Tick { second, ..tick }).collect();
        let slow: Vec<Tick> =
            dense.iter().map(|tick| Tick { second: tick.second * times, ..*tick }).collect();
        let log_e = |ticks: &[Tick]| judge(unguarded(), ticks).outcome().log_e;
        let moved = (log_e(&dense) - log_e(&slow)).abs();
        prop_assert!(moved <= libm::log(times as f64) + 1e-9, "{}", moved);
    }

    #[test]
    fn the_order_within_a_second_does_not_matter(
        parts in prop::collection::vec(prop::collection::vec((arms(), 0..4_u16), 1..6), 1..40),
        turn in 0..5_usize,
    ) {
        let (mut one, mut other) =
            (Judge::new(Config::default()).unwrap(), Judge::new(Config::default()).unwrap());
        for (part, second) in parts.iter().zip(0..) {
            let mut ticks: Vec<Tick> = part.iter().map(|((canary, baseline), stratum)| {
                Tick { stratum: *stratum, ..tick(second, *canary, *baseline) }
            }).collect();
            let here = one.step(&ticks).unwrap();
            let length = ticks.len();
            ticks.rotate_left(turn % length);
            ticks.reverse();
            let there = other.step(&ticks).unwrap();
            // Strata that are new come in another order, and stand in the same.
            prop_assert_eq!(here.log_e.to_bits(), there.log_e.to_bits());
        }
        prop_assert_eq!(one.outcome(), other.outcome());
    }

    /// A second of a stratum may be told in parts, as by several hosts.
    #[test]
    fn parts_of_a_second_are_as_their_sum(
        parts in prop::collection::vec(prop::collection::vec((arms(), 0..3_u16), 1..9), 1..60),
        apart in 1..12_i64,
    ) {
        let (mut one, mut other) =
            (Judge::new(Config::default()).unwrap(), Judge::new(Config::default()).unwrap());
        for (part, at) in parts.iter().zip(0..) {
            let ticks: Vec<Tick> = part.iter().map(|((canary, baseline), stratum)| {
                Tick { stratum: *stratum, ..tick(at * apart, *canary, *baseline) }
            }).collect();
            let mut sums: Vec<Tick> = Vec::new();
            for tick in &ticks {
                match sums.iter_mut().find(|sum| sum.stratum == tick.stratum) {
                    Some(sum) => {
                        sum.canary.add(tick.canary);
                        sum.baseline.add(tick.baseline);
                    }
                    None => sums.push(*tick),
                }
            }
            let (here, there) = (one.step(&ticks).unwrap(), other.step(&sums).unwrap());
            prop_assert_eq!(here.log_e.to_bits(), there.log_e.to_bits());
        }
        prop_assert_eq!(one.outcome(), other.outcome());
    }

    /// One second cannot speak against both arms.
    #[test]
    fn arms_swapped_are_not_both_worse(
        n_c in 1..500_u64,
        n_b in 1..500_u64,
        bad in (0..50_u64, 0..50_u64),
    ) {
        let (canary, baseline) = ((n_c, bad.0.min(n_c)), (n_b, bad.1.min(n_b)));
        let log_e = |a, b| judge(unguarded(), &[tick(0, a, b)]).outcome().log_e;
        let (one, other) = (log_e(canary, baseline), log_e(baseline, canary));
        prop_assert!(one < 1e-12 || other < 1e-12, "{} {}", one, other);
    }

    /// While the guard stands still: it holds for each temper, and so without the guard.
    #[test]
    fn more_bad_requests_never_lower_the_evidence(ticks in ticks(), at in 0..120_usize) {
        let mut more = ticks.clone();
        let at = at % more.len();
        if more[at].canary.bad < more[at].canary.n {
            more[at].canary.bad += 1;
        }
        let log_e = |ticks: &[Tick]| judge(unguarded(), ticks).outcome().log_e;
        prop_assert!(log_e(&more) >= log_e(&ticks) - 1e-9);
        let mut less = ticks.clone();
        if less[at].baseline.bad < less[at].baseline.n {
            less[at].baseline.bad += 1;
        }
        prop_assert!(log_e(&less) <= log_e(&ticks) + 1e-9);
    }
}
