use super::*;

const PLAIN: Traffic = Traffic { rps: 200.0, share: 0.05, error: 0.01 };

fn plan(scenario: Scenario) -> Plan {
    Plan { scenario, traffic: None, regression: None, seconds: 1800 }
}

fn sum(rollout: Rollout) -> Arms {
    rollout.fold(Arms::default(), |mut sum, second| {
        sum.add(second.total());
        sum
    })
}

/// The canary's part of errors over the baseline's, over many rollouts of one traffic.
fn ratio(plan: &Plan, seeds: u64) -> f64 {
    let all = (0..seeds).fold(Arms::default(), |mut all, seed| {
        all.add(sum(Rollout::new(plan, seed)));
        all
    });
    let canary = all.canary_bad as f64 / all.canary_n as f64;
    canary / (all.baseline_bad as f64 / all.baseline_n as f64)
}

#[test]
fn the_same_seed_gives_the_same_rollout_and_a_longer_one_begins_alike() {
    for scenario in Scenario::ALL {
        let first: Vec<Second> = Rollout::new(&plan(scenario), 3).collect();
        assert!(Rollout::new(&plan(scenario), 3).eq(first.iter().copied()), "{scenario:?}");
        assert!(!Rollout::new(&plan(scenario), 4).eq(first.iter().copied()), "{scenario:?}");
        assert_eq!(first.len(), 1800);
        for second in &first {
            assert!((1..=ROUTES_MAX).contains(&second.routes().len()));
            let total = second.total();
            assert!(total.canary_bad <= total.canary_n && total.baseline_bad <= total.baseline_n);
        }
    }
    // The scenarios that place something within the length are about that length.
    for scenario in [Scenario::Healthy, Scenario::RetryTrains, Scenario::DriftingMix] {
        let longer = Plan { seconds: 3600, ..plan(scenario) };
        let begins = Rollout::new(&longer, 3).take(1800);
        assert!(begins.eq(Rollout::new(&plan(scenario), 3)), "{scenario:?}");
    }
}

#[test]
fn healthy_arms_fail_alike_and_regressions_as_they_say() {
    let healthy = Plan { traffic: Some(PLAIN), ..plan(Scenario::Healthy) };
    let found = ratio(&healthy, 20);
    assert!((found - 1.0).abs() < 0.06, "{found}");
    for fault in [Fault::Times(5.0), Fault::Part(0.05)] {
        let late = Plan { regression: Some(Regression { fault, begins: 900 }), ..healthy };
        let found = ratio(&late, 20);
        assert!((found - 3.0).abs() < 0.15, "{fault:?}: {found}");
    }
    // No more than all requests fail.
    let fault = Fault::Times(1000.0);
    let all = Plan { regression: Some(Regression { fault, begins: 0 }), ..healthy };
    let arms = sum(Rollout::new(&all, 1));
    assert_eq!(arms.canary_bad, arms.canary_n);
}

#[test]
fn dispersion_is_what_it_says() {
    let plan = Plan { traffic: Some(PLAIN), seconds: 200_000, ..plan(Scenario::Dispersion) };
    let mut kinds = [0; 2];
    for seed in 0..12 {
        // Windows of 1 minute hold whole gusts, but for those at their ends.
        let (mut sum, mut squares, mut windows) = (0.0, 0.0, 0.0);
        let mut bad = 0;
        for second in Rollout::new(&plan, seed) {
            bad += second.total().baseline_bad;
            if second.at % 60 == 59 {
                sum += bad as f64;
                squares += (bad * bad) as f64;
                windows += 1.0;
                bad = 0;
            }
        }
        let mean = sum / windows;
        let dispersion = (squares / windows - mean * mean) / mean;
        assert!((0.9..=10.8).contains(&dispersion), "seed {seed}: {dispersion}");
        kinds[usize::from(dispersion > 4.0)] += 1;
    }
    assert!(kinds.iter().all(|count| *count > 1), "{kinds:?}");
}

#[test]
fn trains_are_of_the_lengths_that_they_say() {
    let quiet = Traffic { error: 0.0, ..PLAIN };
    let storm = Plan { traffic: Some(quiet), ..plan(Scenario::ClientStorm) };
    let (mut canary, mut baseline) = (0, 0);
    for seed in 0..300 {
        let seconds: Vec<Second> = Rollout::new(&storm, seed).collect();
        let all = seconds.iter().map(Second::total).fold(Arms::default(), |mut all, arms| {
            all.add(arms);
            all
        });
        // A train at the very end is cut.
        let bad = all.canary_bad + all.baseline_bad;
        assert!(bad <= 60, "{bad}");
        canary += u64::from(all.canary_bad > 0);
        baseline += u64::from(all.baseline_bad > 0);
    }
    assert!(canary > 120 && baseline > 120, "{canary} {baseline}");

    let trains = Plan { traffic: Some(quiet), ..plan(Scenario::RetryTrains) };
    let arms = (0..200).fold(Arms::default(), |mut all, seed| {
        all.add(sum(Rollout::new(&trains, seed)));
        all
    });
    let part = arms.canary_bad as f64 / (arms.canary_bad + arms.baseline_bad) as f64;
    assert!((part - 0.05).abs() < 0.015, "{part}");
}

#[test]
fn routes_alone_are_healthy_where_the_mix_is_not() {
    let busy = Traffic { rps: 4000.0, ..PLAIN };
    let mix = Plan { traffic: Some(busy), ..plan(Scenario::DriftingMix) };
    let mut unlike = 0;
    for seed in 0..40 {
        let mut all = [Arms::default(); ROUTES_MAX];
        for second in Rollout::new(&mix, seed) {
            second.routes().iter().zip(&mut all).for_each(|(arms, all)| all.add(*arms));
        }
        let part = |bad: u64, n: u64| bad as f64 / n.max(1) as f64;
        let mut total = Arms::default();
        for arms in all {
            total.add(arms);
            let expected = arms.canary_n as f64 * part(arms.baseline_bad, arms.baseline_n);
            let slack = 5.0 * (expected + 1.0).sqrt();
            assert!((arms.canary_bad as f64 - expected).abs() < slack, "{seed}: {arms:?}");
        }
        let expected = total.canary_n as f64 * part(total.baseline_bad, total.baseline_n);
        unlike += u64::from((total.canary_bad as f64 - expected).abs() > 5.0 * expected.sqrt());
    }
    assert!(unlike > 3, "{unlike}");
}

#[test]
fn rows_are_written_as_judge_reads_them() {
    let short = Plan { seconds: 2, traffic: Some(PLAIN), ..plan(Scenario::Healthy) };
    let text = csv(Rollout::new(&short, 1));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "second,canary_n,canary_bad,baseline_n,baseline_bad");
    assert!(lines.len() == 3 && lines[1].starts_with("0,") && lines[2].starts_with("1,"), "{text}");
    let mixed = Plan { scenario: Scenario::DriftingMix, ..short };
    let text = csv(Rollout::new(&mixed, 1));
    assert!(text.starts_with("second,canary_n,canary_bad,baseline_n,baseline_bad,stratum\n"));
    assert!(text.lines().nth(1).unwrap().ends_with(",route-0"), "{text}");
}
