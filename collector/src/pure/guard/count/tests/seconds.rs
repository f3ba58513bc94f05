//! One rule each.

use super::*;
use crate::pure::guard::record::Sight;

type Values = Vec<(Vec<(&'static str, String)>, f64)>;

/// Two targets, a row a second each, of the versions 2 (`c`) and 1 (`b`).
struct World {
    map: Map,
    counting: Counting,
    read: Read,
}

impl World {
    fn of(plan: CountPlan) -> World {
        World { map: Map::default(), counting: counting(plan), read: Read::default() }
    }

    /// A row; without values one of a scrape whose connection was refused.
    fn row(&mut self, instance: &str, millis: i64, values: &[(&str, &str, f64)]) {
        let refused = f64::from(u8::from(values.is_empty()));
        self.scraped(instance, millis, values, Some(refused));
    }

    /// A row, with what it says of the connection, if anything.
    fn scraped(
        &mut self,
        instance: &str,
        millis: i64,
        values: &[(&str, &str, f64)],
        refused: Option<f64>,
    ) {
        let mut row: Values =
            values.iter().map(|(v, code, n)| (series(v, instance, code), *n)).collect();
        row.push((scrape("up", instance), if values.is_empty() { 0.0 } else { 1.0 }));
        row.push((scrape("scrape_duration_seconds", instance), 0.1));
        row.extend(refused.map(|refused| (scrape("scrape_target_refused", instance), refused)));
        self.map.row(u32::from(instance.as_bytes()[0]), at(millis), &row);
    }

    /// A row of a healthy baseline, ten requests a second.
    fn baseline(&mut self, millis: i64) {
        self.row("b", millis, &[("1", "200", millis as f64 / 100.0)]);
    }

    fn read(&mut self, millis: i64) -> Read {
        self.map.now = at(millis);
        let read = self.counting.read(&self.map, at(millis));
        self.read.seconds.extend(read.seconds.clone());
        self.read.dropped.add(&read.dropped);
        read
    }

    /// Both arms, second by second; the canary's rows are those given.
    fn canary(rows: &[&[(&str, &str, f64)]]) -> World {
        let mut world = World::of(plan());
        for (row, millis) in rows.iter().zip((1..).map(|second| second * 1000)) {
            world.baseline(millis);
            world.row("c", millis, row);
            world.read(millis + 20);
        }
        world
    }

    fn arms(&self) -> Vec<(u64, u64)> {
        counted(&self.read).iter().map(|(_, c)| (c.canary.n, c.canary.bad)).collect()
    }

    fn sights(&self) -> Vec<(Sight, Sight)> {
        self.read.seconds.iter().map(|second| (second.canary, second.baseline)).collect()
    }
}

#[test]
fn a_first_error_counts_and_a_first_scrape_does_not() {
    let world = World::canary(&[
        &[("2", "200", 500.0), ("2", "503", 7.0)],
        &[("2", "200", 510.0), ("2", "503", 8.0)],
        &[("2", "200", 520.0), ("2", "503", 8.0), ("2", "500", 3.0)],
    ]);
    let seconds = [(1, count((11, 1), (10, 0))), (2, count((13, 3), (10, 0)))];
    assert_eq!(counted(&world.read), seconds);
    assert_eq!(world.read.seconds.len(), 3, "each second, also the first");
    assert_eq!(world.read.dropped, Dropped::default());
    let arms = world.counting.arms();
    assert_eq!(arms.canary.series, 3);
    assert_eq!(arms.canary.sight, Sight::Seen);
    let target = &arms.canary.targets[0];
    assert_eq!((&*target.job, &*target.instance, target.interval_seconds), ("web", "c", 1));
}

/// A failed scrape ends all series; what the next has is not new.
#[test]
fn resets_count_their_value_and_series_that_come_again_go_on() {
    let world = World::canary(&[
        &[("2", "200", 500.0)],
        &[("2", "200", 4.0)],
        &[],
        &[("2", "200", 25.0)],
        &[("2", "200", 26.0)],
        &[("2", "200", 27.0)],
    ]);
    // What was served in two seconds, of which one was not read, makes a window of two seconds.
    assert_eq!(world.arms(), [(4, 0), (22, 0)]);
    assert_eq!(world.sights()[2].0, Sight::Dead);
}

#[test]
fn an_interval_of_unknown_seconds_is_not_counted() {
    let mut world = World::canary(&[&[("2", "200", 1.0)], &[("2", "200", 2.0)]]);
    for second in 3..12 {
        world.baseline(second * 1000);
        if second > 9 {
            world.row("c", second * 1000, &[("2", "200", second as f64 * 1000.0)]);
        }
        world.read(second * 1000 + 20);
    }
    world.read(20_000);
    let canary: Vec<u64> = world.arms().iter().map(|arm| arm.0).filter(|n| *n > 0).collect();
    assert_eq!(canary, [1, 1000]);
    assert_eq!(world.read.dropped.intervals, 1);
    assert!(world.sights()[3..8].iter().all(|sights| *sights == (Sight::Blind, Sight::Seen)));
    assert!(world.read.dropped.unpaired >= 60, "{:?}", world.read.dropped);
}

#[test]
fn a_second_waits_two_seconds_and_late_samples_count_nowhere() {
    let mut world = World::of(plan());
    for second in 1..=4 {
        world.baseline(second * 1000);
        if second < 3 {
            world.row("c", second * 1000, &[("2", "200", second as f64)]);
        }
        world.read(second * 1000 + 20);
    }
    assert_eq!(world.read.seconds.len(), 2, "the third is waited for");
    world.read(4_999);
    assert_eq!(world.read.seconds.len(), 2);
    world.read(5_000);
    assert_eq!(world.read.seconds.last().unwrap().canary, Sight::Blind);
    assert_eq!(world.read.seconds.len(), 3);
    world.row("c", 3000, &[("2", "200", 50.0)]);
    world.row("c", 4000, &[("2", "200", 51.0)]);
    world.read(5_100);
    assert_eq!(world.read.dropped.late, 1);
    assert_eq!(counted(&world.read).last().unwrap(), &(3, count((1, 0), (10, 0))));
}

#[test]
fn dead_blind_and_gone_are_told_apart() {
    let alive = |second: i64| [("2", "200", second as f64)];
    let run = |row: &dyn Fn(&mut World, i64)| {
        let mut world = World::of(plan());
        for second in 1..=10 {
            world.baseline(second * 1000);
            if second <= 5 {
                world.row("c", second * 1000, &alive(second));
            } else {
                row(&mut world, second * 1000);
            }
            world.read(second * 1000 + 20);
        }
        world.read(11_990);
        world.sights()[5..9].iter().map(|sights| sights.0).collect::<Vec<_>>()
    };
    assert_eq!(run(&|world, millis| world.row("c", millis, &[])), [Sight::Dead; 4]);
    assert_eq!(run(&|_, _| ()), [Sight::Blind; 4]);
    // A page that cannot be read is no process that is gone, and the newest scrape holds.
    let failed = |by: &dyn Fn(i64) -> Option<f64>| {
        run(&|world, millis| world.scraped("c", millis, &[], by(millis)))
    };
    assert_eq!(failed(&|_| Some(0.0)), [Sight::Blind; 4]);
    assert_eq!(failed(&|_| None), [Sight::Blind; 4], "an agent that does not tell");
    let later = |millis| Some(f64::from(u8::from(millis < 8_000)));
    assert_eq!(failed(&later), [Sight::Dead, Sight::Dead, Sight::Blind, Sight::Blind]);
    let updated = |millis| (millis > 7_000).then_some(1.0);
    assert_eq!(failed(&updated), [Sight::Blind, Sight::Blind, Sight::Dead, Sight::Dead]);
    let other = |world: &mut World, millis| world.row("c", millis, &[("1", "200", 5.0)]);
    assert_eq!(run(&other), [Sight::None; 4]);
    // The collector's own word of its agents has no scrape beside it.
    let kept = |world: &mut World, millis| {
        world.map.row(7, at(millis), &[(scrape("up", "c"), 0.0)]);
    };
    assert_eq!(run(&kept), [Sight::Blind; 4]);
    let none = World::of(plan()).counting.arms();
    assert_eq!((none.canary.sight, none.canary.targets.len()), (Sight::None, 0));
}

/// Before the canary is there its baseline is counted.
#[test]
fn the_history_of_a_baseline_is_counted() {
    let mut world = World::of(plan());
    (1..=5).for_each(|second| world.baseline(second * 1000));
    world.read(5_020);
    let expected = (1..5).map(|second| (second, count((0, 0), (10, 0))));
    assert_eq!(counted(&world.read), expected.collect::<Vec<_>>());
    assert_eq!(world.sights(), [(Sight::None, Sight::Seen); 5]);
}

/// The same process under the other version's name brings nothing with it; another process does.
#[test]
fn a_version_that_changes_in_place_goes_on_from_the_old_one() {
    let flip = |after: f64| {
        let mut world = World::of(plan());
        for second in 1..=6 {
            world.baseline(second * 1000);
            let version = if second < 4 { "1" } else { "2" };
            let base = if second < 4 { 1000.0 } else { after };
            world.row("c", second * 1000, &[(version, "200", base + second as f64)]);
            world.read(second * 1000 + 20);
        }
        world.arms()[2..].iter().map(|arm| arm.0).collect::<Vec<_>>()
    };
    assert_eq!(flip(1000.0), [1, 1, 1]);
    assert_eq!(flip(0.0), [4, 1, 1]);
}

#[test]
fn good_counters_histograms_and_impossible_counts() {
    let good = [requests(), vec![matcher("code", MatchOp::Equal, "200")]].concat();
    let total = [requests(), vec![matcher("code", MatchOp::Equal, "all")]].concat();
    let mut world = World::of(CountPlan { slis: vec![Sli::Good { total, good }], ..plan() });
    for (second, good) in [(1, 0.0), (2, 8.0), (3, 30.0), (4, 31.0), (5, 41.0)] {
        let all = second as f64 * 10.0;
        world.row("c", second * 1000, &[("2", "200", good), ("2", "all", all)]);
        world.row("b", second * 1000, &[("1", "200", all), ("1", "all", all)]);
        world.read(second * 1000 + 20);
    }
    world.read(9_000);
    assert_eq!(world.arms(), [(10, 2), (10, 0), (10, 9), (10, 0)]);
    assert_eq!(world.read.dropped.clamped, 1);
    let bad = [requests(), vec![matcher("code", MatchOp::Equal, "bad")]].concat();
    let total = [requests(), vec![matcher("code", MatchOp::Equal, "all")]].concat();
    let mut world = World::of(CountPlan { slis: vec![Sli::Bad { total, bad }], ..plan() });
    for (second, bad, all) in [(1, 0.0, 0.0), (2, 5.0, 3.0), (3, 6.0, 1e15), (4, f64::NAN, 1e15)] {
        world.row("c", second * 1000, &[("2", "bad", bad), ("2", "all", all)]);
        world.row("b", second * 1000, &[("1", "bad", 0.0), ("1", "all", all)]);
        world.read(second * 1000 + 20);
    }
    world.read(9_000);
    assert_eq!(world.arms(), [(3, 3), (1 << 32, 1)]);
    assert_eq!((world.read.dropped.clamped, world.read.dropped.unreadable), (3, 1));
}

#[test]
fn strata_are_counted_apart_and_told_once() {
    let by_code = CountPlan { stratum_label: Some("code".to_owned()), ..plan() };
    let mut world = World::of(by_code);
    world.row("b", 1000, &[("1", "200", 0.0), ("1", "500", 0.0)]);
    world.row("c", 1000, &[("2", "200", 0.0), ("2", "404", 0.0)]);
    assert_eq!(world.read(1020).strata, ["200", "500", "404"]);
    world.row("b", 2000, &[("1", "200", 5.0), ("1", "500", 2.0)]);
    world.row("c", 2000, &[("2", "200", 3.0), ("2", "404", 1.0)]);
    let read = world.read(2020);
    assert_eq!(read.strata, Vec::<String>::new());
    let strata: Vec<u16> = counted(&read).iter().map(|(_, count)| count.stratum).collect();
    assert_eq!(strata, [0, 1, 2]);
    let old = Counting::new(Arc::clone(&world.counting.plan), START, vec!["500".to_owned()]);
    world.counting = old;
    assert_eq!(world.read(2040).strata, ["200", "404"]);
}

#[test]
fn what_is_too_old_is_left_out_and_too_much_comes_in_parts() {
    let mut world = World::of(plan());
    let read = world.read(2_000_000);
    assert_eq!((read.dropped.skipped, read.seconds.len()), (1101, 899));
    assert_eq!(read.seconds[0].second, START + 1101);
    let mut world = World::of(CountPlan { from: "3".into(), ..plan() });
    for (second, number) in (0..SERIES_MAX + 1).zip(0_u32..) {
        let labels = series("2", &format!("i{}", second / 100), &second.to_string());
        world.map.row(number, at(1000), &[(labels, 1.0)]);
    }
    let read = world.read(4000);
    assert_eq!((read.dropped.refused, read.seconds[0].canary), (1, Sight::Blind));
    let arms = world.counting.arms();
    assert_eq!((arms.canary.refused, arms.canary.series), (1, SERIES_MAX));
}

/// Another store under the same cursor is read from the start, and no second twice.
#[test]
fn another_store_is_read_anew() {
    let mut world = World::canary(&[&[("2", "200", 1.0)], &[("2", "200", 2.0)]]);
    world.map = Map::default();
    for second in 1..=4 {
        world.baseline(second * 1000);
        world.row("c", second * 1000, &[("2", "200", second as f64 * 5.0)]);
    }
    world.counting.cursor = Some(Cursor(bellwether_model::id::Position(1 << 40)));
    world.read(4020);
    let seconds: Vec<i64> = world.read.seconds.iter().map(|second| second.second - START).collect();
    assert_eq!(seconds, [0, 1, 2, 3]);
    assert_eq!(world.arms(), [(1, 0), (5, 0), (5, 0)]);
}
