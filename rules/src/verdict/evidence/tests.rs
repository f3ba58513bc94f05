use proptest::prelude::*;

use super::super::bets::RATIOS;
use super::super::counts::Arm;
use super::*;

const RHO: f64 = 1.2;

fn increment(canary: (u64, u64), baseline: (u64, u64)) -> Increment {
    let mut increment = Increment::default();
    let arm = |(n, bad)| Arm { n, bad };
    increment.add(RHO, arm(canary), arm(baseline));
    increment
}

/// Seconds of 10 + 190 requests, with so many bad ones.
fn run(guard: Guard, bad: &[(u64, u64)]) -> Evidence {
    let mut evidence = Evidence::new(guard);
    for ((canary, baseline), second) in bad.iter().zip(0..) {
        let increment = increment((10, *canary), (190, *baseline));
        evidence.step(second, second as f64, &increment);
    }
    evidence
}

fn choose(n: u64, k: u64) -> f64 {
    (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product()
}

/// Both arms failing alike, the canary's bad requests are hypergeometric given all.
#[test]
fn bets_are_fair_given_the_number_of_bad_requests() {
    for (n_c, n_b, bad) in [(1, 9, 3), (5, 5, 4), (3, 40, 6), (20, 20, 15), (8, 2, 7)] {
        let mut mean = [0.0; RATIOS.len()];
        for canary in 0..=n_c.min(bad) {
            if bad - canary > n_b {
                continue;
            }
            let ways = choose(n_c, canary) * choose(n_b, bad - canary) / choose(n_c + n_b, bad);
            let increment = increment((n_c, canary), (n_b, bad - canary));
            let logs = increment.gain.iter().zip(increment.loss);
            for (mean, (gain, loss)) in mean.iter_mut().zip(logs) {
                *mean += ways * libm::exp(gain + loss);
            }
        }
        assert!(mean.iter().all(|mean| *mean <= 1.0 + 1e-12), "{n_c} {n_b} {bad}: {mean:?}");
    }
}

/// Clusters that fall into one arm as requests do, at every share and up to the size 1/λ.
#[test]
fn tempered_bets_are_fair_for_clusters() {
    for n_c in [1_000, 10_000, 50_000, 200_000, 500_000, 900_000] {
        let n_b = 1_000_000 - n_c;
        let share = n_c as f64 / 1e6;
        let (canary, baseline) = (increment((n_c, 1), (n_b, 0)), increment((n_c, 0), (n_b, 1)));
        for (temper, largest) in [1, 2, 4, 8, 20].into_iter().enumerate() {
            for size in 1..=largest {
                let u = exponent(temper) * f64::from(size);
                for (gain, loss) in canary.gain.iter().zip(baseline.loss) {
                    let mean = share * libm::exp(u * gain) + (1.0 - share) * libm::exp(u * loss);
                    assert!(mean <= 1.0 + 1e-9, "{share} {temper} {size}: {mean}");
                }
            }
        }
    }
}

#[test]
fn merged_ticks_say_what_they_said_apart() {
    let mut apart = increment((10, 2), (190, 1));
    let second = increment((30, 1), (570, 3));
    let merged = increment((40, 3), (760, 4));
    apart.canary_bad += second.canary_bad;
    for (sum, more) in apart.gain.iter_mut().zip(second.gain) {
        *sum += more;
    }
    for (sum, more) in apart.loss.iter_mut().zip(second.loss) {
        *sum += more;
    }
    let near = |a: &Bets, b: &Bets| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
    assert!(near(&apart.gain, &merged.gain) && near(&apart.loss, &merged.loss));
}

#[test]
fn nothing_overflows_and_nothing_is_allocated() {
    let guard = Guard::default();
    let mut evidence = Evidence::new(guard);
    let room = evidence.open.capacity();
    for second in 0..5000 {
        let increment = increment((1000, 900), (1000, 1));
        evidence.step(second, second as f64, &increment);
        assert!(evidence.open.len() <= guard.train_seconds as usize + 1);
    }
    assert_eq!(evidence.open.capacity(), room);
    assert!(evidence.log_plain() > 600.0 && evidence.log_plain().is_finite());
    let before = evidence.log_plain();
    let far = Increment::default();
    evidence.step(i64::MAX, 1e18, &far);
    assert!((evidence.log_plain() - before).abs() < 1e-6);
}

prop_compose! {
    fn rare()(bad in prop::collection::vec((0..40_u64, 0..40_u64), 1..80)) -> Vec<(u64, u64)> {
        let few = |bad: u64, most: u64| if bad < most { bad } else { 0 };
        bad.into_iter().map(|(c, b)| (few(c, 4), few(b, 3))).collect()
    }
}

proptest! {
    /// What bounds the guarded evidence: it is no greater than what there would be without the
    /// train, wherever one within the guard's limits is put, at every temper.
    #[test]
    fn whatever_one_train_did_is_left_out(
        bad in rare(),
        from in 0..80_usize,
        train in prop::collection::vec(0..9_u64, 1..=15),
    ) {
        let mut with = bad.clone();
        let mut left = 20;
        for (at, more) in train.into_iter().enumerate() {
            let more = more.min(left).min(10 - bad.get(from + at).map_or(0, |bad| bad.0));
            if let Some(second) = with.get_mut(from + at) {
                second.0 += more;
                left -= more;
            }
        }
        let (guarded, without) = (run(Guard::default(), &with), run(Guard::default(), &bad));
        for temper in 0..TEMPERS {
            let plain = without.log_of(without.plain[temper]);
            prop_assert!(guarded.log_guarded(temper) <= plain + 1e-9);
            let plain = guarded.log_of(guarded.plain[temper]);
            prop_assert!(guarded.log_guarded(temper) <= plain + 1e-9);
        }
    }

    #[test]
    fn more_bad_requests_never_lower_the_guarded_evidence(bad in rare(), at in 0..80_usize) {
        let at = at % bad.len();
        let (mut canary, mut baseline) = (bad.clone(), bad.clone());
        canary[at].0 += 1;
        baseline[at].1 += 1;
        let [here, canary, baseline] =
            [bad, canary, baseline].map(|bad| run(Guard::default(), &bad));
        for temper in 0..TEMPERS {
            prop_assert!(canary.log_guarded(temper) >= here.log_guarded(temper) - 1e-9);
            prop_assert!(baseline.log_guarded(temper) <= here.log_guarded(temper) + 1e-9);
        }
    }
}
