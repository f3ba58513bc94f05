//! Random histories.

use proptest::prelude::*;

use super::*;

/// What one target serves in one second.
#[derive(Clone, Copy, Debug)]
struct Served {
    good: u64,
    bad: u64,
    /// Its process starts anew, just after the last scrape.
    restarts: bool,
    /// Its scrape fails.
    fails: bool,
    /// If so, its connection is refused.
    refused: bool,
}

/// One target: the version, and what it serves second by second.
type History = Vec<(usize, Vec<Served>)>;

fn served(fails: u32) -> impl Strategy<Value = Served> {
    let fails = prop::bool::weighted(f64::from(fails) / 100.0);
    let each = (0_u64..20, 0_u64..60, 0..40_u8, fails, any::<bool>());
    each.prop_map(|(good, bad, restarts, fails, refused)| {
        // So few that no jump of the baseline is seen.
        let bad = if bad < 3 { bad } else { 0 };
        Served { good, bad, restarts: restarts == 0, fails, refused }
    })
}

fn history(fails: u32) -> impl Strategy<Value = History> {
    let target = |version| (Just(version), prop::collection::vec(served(fails), 40));
    (target(0), target(1), target(0), target(1)).prop_map(|(a, b, c, d)| vec![a, b, c, d])
}

type Row = Vec<(Vec<(&'static str, String)>, f64)>;

/// Rows second by second, and what was served in each by canary and baseline.
struct World {
    rows: Vec<Vec<(u32, Row)>>,
    truth: Vec<Count>,
}

fn world(history: &History) -> World {
    let seconds = history[0].1.len();
    let mut world = World { rows: vec![Vec::new(); seconds], truth: Vec::new() };
    world.truth = vec![count((0, 0), (0, 0)); seconds];
    for ((version, served), number) in history.iter().zip(0_u32..) {
        let (mut good, mut bad) = (100, 0);
        let mut has_bad = false;
        let mut known = false;
        for (second, served) in served.iter().enumerate() {
            // A restart that hides behind a quick rise is none that anybody sees.
            if served.restarts && good > 20 && (bad == 0 || bad > 3) {
                (good, bad, has_bad) = (0, 0, false);
            }
            good += served.good;
            bad += served.bad;
            has_bad |= served.bad > 0;
            let instance = format!("i{number}");
            let up = f64::from(u8::from(!served.fails));
            let mut row = vec![
                (scrape("up", &instance), up),
                (scrape("scrape_duration_seconds", &instance), 0.1),
            ];
            // Agents are replaced, one after the other, by those that tell.
            if second >= 10 * usize::try_from(number).unwrap() {
                let refused = f64::from(u8::from(served.fails && served.refused));
                row.push((scrape("scrape_target_refused", &instance), refused));
            }
            if !served.fails {
                let name = ["2", "1"][*version];
                row.push((series(name, &instance, "200"), good as f64));
                if has_bad {
                    row.push((series(name, &instance, "500"), bad as f64));
                }
            }
            world.rows[second].push((number, row));
            if known {
                let truth = &mut world.truth[second];
                let arm =
                    [&mut truth.canary, &mut truth.baseline].into_iter().nth(*version).unwrap();
                arm.n += served.good + served.bad;
                arm.bad += served.bad;
            }
            known |= !served.fails;
        }
    }
    world
}

/// Reads when told to, and begins anew when told to, births being forgotten.
fn run(
    world: &World,
    reads: impl Fn(usize) -> bool,
    starts: impl Fn(usize) -> bool,
) -> Vec<Second> {
    let mut map = Map::default();
    let mut counting = counting(plan());
    let mut seconds = Vec::new();
    for (rows, second) in world.rows.iter().zip(1..) {
        for (target, row) in rows {
            map.row(*target, at(second * 1000), row);
        }
        let at_second = usize::try_from(second).unwrap();
        if reads(at_second) || at_second == world.rows.len() {
            map.now = at(second * 1000 + 20);
            seconds.extend(counting.read(&map, map.now).seconds);
        }
        if starts(at_second) {
            let after = seconds.last().map_or(START - 1, |last: &Second| last.second);
            counting = Counting::new(Arc::new(plan()), after, Vec::new());
            map.births_since = map.position;
        }
    }
    seconds
}

fn sums<'a>(counts: impl Iterator<Item = &'a Count>) -> (Arm, Arm) {
    let add = |a: Arm, b: Arm| Arm { n: a.n + b.n, bad: a.bad + b.bad };
    counts.fold((Arm::default(), Arm::default()), |sum, count| {
        (add(sum.0, count.canary), add(sum.1, count.baseline))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Second by second what was served, from the second scrape of each target on.
    #[test]
    fn counts_are_what_was_served(history in history(0)) {
        let world = world(&history);
        let seconds = run(&world, |_| true, |_| false);
        for second in &seconds {
            let truth = world.truth[usize::try_from(second.second - START).unwrap()];
            let (canary, baseline) = sums(second.counts.iter());
            prop_assert_eq!((canary, baseline), (truth.canary, truth.baseline));
        }
        // A burst of the canary in the last second waits for one more.
        prop_assert!(seconds.len() >= 39);
        prop_assert!(seconds.windows(2).all(|two| two[0].second + 1 == two[1].second));
    }

    /// Reading seldom, and starting anew at any second, changes nothing.
    #[test]
    fn neither_when_it_is_read_nor_a_restart_matters(
        history in history(6),
        reads in any::<u64>(),
        starts in any::<u64>(),
    ) {
        let world = world(&history);
        let often = run(&world, |_| true, |_| false);
        let bit = |bits: u64, second: usize| bits >> (second % 64) & 1 == 1;
        let seldom = run(&world, |second| bit(reads, second), |_| false);
        prop_assert_eq!(&seldom, &often);
        let anew = run(
            &world,
            |second| bit(reads, second),
            |second| bit(starts & starts >> 7 & reads, second),
        );
        prop_assert_eq!(&anew, &often);
    }
}
