use std::thread;

use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;
const START: i64 = 1_700_000_000 * SECOND;

/// Both clocks at `up` nanoseconds after boot, the date `wrong` nanoseconds off the true one.
fn reading(up: i64, wrong: i64) -> Reading {
    Reading { mono: Mono(duration_of(up)), system: Nanos(START + up + wrong) }
}

/// An exchange in which the collector's wall time is `wrong` off the true one.
fn exchange(collector: usize, up: i64, there: i64, back: i64, wrong: i64) -> Exchange {
    let at = Nanos(START + up + there + wrong);
    Exchange {
        collector,
        sent: Mono(duration_of(up)),
        received: at,
        answered: at,
        got: Mono(duration_of(up + there + back)),
    }
}

#[test]
fn the_collector_steps_forward_only_after_a_minute() {
    let mut clock = CollectorClock::new(reading(0, 0));
    for second in 1..=60 {
        let wall = clock.wall(reading(second * SECOND, HOUR)).0 - START;
        assert!(wall - second * SECOND < SECOND, "stepped after {second} s");
    }
    assert_eq!(clock.stats().steps, 0);
    assert_eq!(clock.wall(reading(61 * SECOND, HOUR)).0, START + 61 * SECOND + HOUR);
    assert_eq!((clock.stats().steps, clock.stats().ahead_of_system_nanos), (1, 0));
}

#[test]
fn a_forward_jump_taken_back_in_time_is_not_followed() {
    let mut clock = CollectorClock::new(reading(0, 0));
    for second in 1..=300 {
        // Every half minute the date is right for one reading, so no difference lasts.
        let wrong = if second % 30 == 0 { 0 } else { HOUR };
        clock.wall(reading(second * SECOND, wrong));
    }
    assert_eq!(clock.stats().steps, 0);
}

#[test]
fn a_backward_jump_only_moves_the_exported_offset() {
    let mut clock = CollectorClock::new(reading(0, 0));
    for second in 1..=1000 {
        let wall = clock.wall(reading(second * SECOND, -HOUR));
        assert_eq!(wall.0, START + second * SECOND);
    }
    assert_eq!(clock.stats().ahead_of_system_nanos, HOUR);
    assert_eq!(clock.stats().steps, 0);
}

#[test]
fn small_differences_are_slewed_at_the_stated_rate() {
    for wrong in [SECOND / 2, -SECOND / 2] {
        let mut clock = CollectorClock::new(reading(0, 0));
        let after_10_s = clock.wall(reading(10 * SECOND, wrong)).0 - START - 10 * SECOND;
        assert_eq!(after_10_s, wrong.signum() * 5_000_000);
        let after_1000_s = clock.wall(reading(1000 * SECOND, wrong)).0 - START - 1000 * SECOND;
        assert_eq!(after_1000_s, wrong);
        assert_eq!(clock.stats().steps, 0);
    }
}

#[test]
fn an_agent_without_collectors_follows_the_date_and_holds_when_it_goes_back() {
    let mut clock = AgentClock::new(reading(0, 0));
    assert_eq!(clock.wall(reading(SECOND, 0)).0, START + SECOND);
    assert_eq!(clock.wall(reading(2 * SECOND, HOUR)).0, START + 2 * SECOND + HOUR);
    assert_eq!(clock.stats().steps, 1);
    assert_eq!(clock.wall(reading(3 * SECOND, 0)).0, START + 2 * SECOND + HOUR);
    assert_eq!(clock.stats().holding, duration_of(HOUR - SECOND));
    assert_eq!(clock.wall(reading(4 * SECOND + HOUR, 0)).0, START + 4 * SECOND + HOUR);
    assert_eq!(clock.stats().holding, Duration::ZERO);
}

#[test]
fn once_a_collector_answered_the_date_does_not_matter() {
    let mut clock = AgentClock::new(reading(0, -HOUR));
    clock.observe(exchange(0, SECOND, 0, 0, 0)).unwrap();
    assert_eq!(clock.wall(reading(2 * SECOND, -HOUR)).0, START + 2 * SECOND);
    assert_eq!(clock.stats().ahead_of_system_nanos, HOUR);
    assert_eq!(clock.wall(reading(9 * HOUR, 5 * HOUR)).0, START + 9 * HOUR);
}

#[test]
fn before_its_first_row_an_agent_takes_the_time_either_way() {
    let mut clock = AgentClock::unbegun(reading(0, HOUR));
    assert_eq!(clock.wall(reading(SECOND, HOUR)).0, START + SECOND + HOUR);
    clock.observe(exchange(0, SECOND, 1000, 1000, 0)).unwrap();
    let wall = clock.wall(reading(2 * SECOND, HOUR)).0;
    assert_eq!(wall, START + 2 * SECOND, "a date that was ahead is put right at once");
    clock.begin();
    clock.observe(exchange(0, 2 * SECOND, 1000, 1000, -HOUR)).unwrap();
    assert_eq!(clock.wall(reading(3 * SECOND, HOUR)).0, wall, "from the first row on it holds");
}

#[test]
fn the_median_outvotes_one_wrong_collector_and_takes_the_earlier_of_two() {
    let mut clock = AgentClock::new(reading(0, -HOUR));
    clock.observe(exchange(0, SECOND, 0, 0, HOUR)).unwrap();
    clock.observe(exchange(1, SECOND, 0, 0, 7)).unwrap();
    assert_eq!(clock.wall(reading(2 * SECOND, -HOUR)).0, START + 2 * SECOND + 7);
    clock.observe(exchange(2, 2 * SECOND, 0, 0, 9)).unwrap();
    assert_eq!(clock.wall(reading(3 * SECOND, -HOUR)).0, START + 3 * SECOND + 9);
}

#[test]
fn a_silent_collector_stops_counting_while_another_is_heard() {
    let mut clock = AgentClock::new(reading(0, -HOUR));
    clock.observe(exchange(0, 0, 0, 0, 0)).unwrap();
    clock.observe(exchange(1, 0, 0, 0, SECOND)).unwrap();
    let later = 601 * SECOND;
    clock.observe(exchange(1, later, 0, 0, SECOND)).unwrap();
    assert_eq!(clock.wall(reading(later, -HOUR)).0, START + later + SECOND);
}

#[test]
fn the_shortest_round_trip_counts() {
    let mut clock = AgentClock::new(reading(0, -HOUR));
    clock.observe(exchange(0, SECOND, 2_000_000, 0, 0)).unwrap();
    clock.observe(exchange(0, 2 * SECOND, 100, 100, 0)).unwrap();
    clock.observe(exchange(0, 3 * SECOND, 3_000_000, 0, 0)).unwrap();
    assert_eq!(clock.wall(reading(4 * SECOND, -HOUR)).0, START + 4 * SECOND);
}

#[test]
fn a_moved_collector_is_followed_at_the_first_exchange() {
    let mut clock = AgentClock::new(reading(0, 0));
    clock.observe(exchange(0, SECOND, 10, 10, 0)).unwrap();
    clock.observe(exchange(0, 2 * SECOND, 1_000_000, 1_000_000, HOUR)).unwrap();
    assert_eq!(clock.wall(reading(3 * SECOND, 0)).0, START + 3 * SECOND + HOUR);
}

#[test]
fn exchanges_that_cannot_be_are_refused_and_counted() {
    let mut clock = AgentClock::new(reading(0, 0));
    let good = exchange(0, SECOND, 10, 10, 0);
    let bad = [
        (Exchange { got: Mono::default(), ..good }, RefusedExchange::Impossible),
        (Exchange { answered: Nanos(good.received.0 - 1), ..good }, RefusedExchange::Impossible),
        (Exchange { answered: Nanos(good.received.0 + 21), ..good }, RefusedExchange::Impossible),
        (
            Exchange { answered: Nanos(i64::MAX), received: Nanos(i64::MIN), ..good },
            RefusedExchange::Impossible,
        ),
        (
            Exchange { got: good.got + Duration::from_secs(6), ..good },
            RefusedExchange::TooSlow(Duration::from_nanos(6 * 1_000_000_000 + 20)),
        ),
        (Exchange { collector: 16, ..good }, RefusedExchange::UnknownCollector(16)),
    ];
    for (exchange, why) in bad {
        assert_eq!(clock.observe(exchange), Err(why), "{exchange:?}");
    }
    assert_eq!(clock.stats().refused_exchanges, 6);
    let (collector, _) = Clock::manual(reading(0, 0));
    assert_eq!(collector.observe(good), Err(RefusedExchange::NotAnAgent));
}

#[test]
fn the_shared_handle_reads_steers_and_answers() {
    let (clock, time) = Clock::manual_agent(reading(0, 0));
    let other = clock.clone();
    time.advance(Duration::from_millis(1500));
    let at = START + SECOND / 2 * 3;
    assert_eq!(clock.nanos(), Nanos(at));
    assert_eq!(other.now().wall, Timestamp(at / 1_000_000));
    assert_eq!(other.now().mono, Mono(Duration::from_millis(1500)));
    time.set_system(Nanos(START - HOUR));
    clock.observe(exchange(0, SECOND, 0, 0, 3 * SECOND)).unwrap();
    assert_eq!(other.nanos(), Nanos(at + 3 * SECOND));
    assert_eq!(clock.stats().ahead_of_system_nanos, at + 3 * SECOND - START + HOUR);
}

#[test]
fn the_real_clocks_never_go_backward_across_threads() {
    let clock = Clock::collector();
    let first = clock.nanos();
    assert!(first > Nanos(START), "the date of this machine is before 2023");
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let clock = clock.clone();
            thread::spawn(move || {
                let mut last = clock.nanos();
                for _ in 0..2000 {
                    let next = clock.nanos();
                    assert!(next >= last);
                    last = next;
                }
                last
            })
        })
        .collect();
    let last = threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap();
    assert!(clock.nanos() >= last);
}

#[derive(Clone, Debug)]
enum Step {
    Pass(i64),
    SetDate(i64),
    Answer { collector: usize, there: i64, back: i64, wrong: i64 },
}

fn wrongs() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(HOUR),
        Just(-HOUR),
        Just(0),
        -2 * SECOND..2 * SECOND,
        -SECOND / 1000..SECOND / 1000,
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..5 * SECOND).prop_map(Step::Pass),
        1 => (0..1000 * SECOND).prop_map(Step::Pass),
        1 => wrongs().prop_map(Step::SetDate),
        3 => (0..4_usize, 0..SECOND / 10, 0..SECOND / 10, wrongs()).prop_map(
            |(collector, there, back, wrong)| Step::Answer { collector, there, back, wrong }
        ),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn a_collectors_wall_time_never_goes_back_and_comes_to_its_date(steps in steps()) {
        let (mut up, mut wrong) = (0, 0);
        let mut clock = CollectorClock::new(reading(up, wrong));
        let mut last = clock.wall(reading(up, wrong));
        for step in steps {
            let before = up;
            match step {
                Step::Pass(time) => up += time,
                Step::SetDate(to) => wrong = to,
                Step::Answer { .. } => {}
            }
            let (stepped, wall) = (clock.stats().steps, clock.wall(reading(up, wrong)));
            prop_assert!(wall >= last);
            if clock.stats().steps == stepped {
                let off_rate = (wall.0 - last.0 - (up - before)).abs();
                prop_assert!(off_rate <= (up - before) / 2000, "slewed too fast");
            }
            last = wall;
        }
        // At 500 ppm, 1 s takes 2,000 s; a step takes one minute.
        for _ in 0..42 {
            up += 60 * SECOND;
            clock.wall(reading(up, wrong));
        }
        let ahead = clock.stats().ahead_of_system_nanos;
        prop_assert!(ahead == 0 || ahead > SECOND, "{ahead} ns off the date");
    }

    #[test]
    fn an_agents_wall_time_never_goes_back_and_comes_to_its_collectors(
        steps in steps(),
        right in wrongs(),
    ) {
        let (mut up, mut wrong) = (0, 0);
        let mut clock = AgentClock::new(reading(up, wrong));
        let mut last = clock.wall(reading(up, wrong));
        for step in steps {
            match step {
                Step::Pass(time) => up += time,
                Step::SetDate(to) => wrong = to,
                Step::Answer { collector, there, back, wrong } => {
                    clock.observe(exchange(collector, up, there, back, wrong)).unwrap();
                    up += there + back;
                }
            }
            let wall = clock.wall(reading(up, wrong));
            prop_assert!(wall >= last);
            last = wall;
        }
        // Collectors that agree, for one window; then whatever is left to hold.
        for _ in 0..8 {
            for collector in 0..4 {
                up += SECOND;
                clock.observe(exchange(collector, up, 500, 500, right)).unwrap();
                let wall = clock.wall(reading(up + 1000, wrong));
                prop_assert!(wall >= last);
                last = wall;
            }
        }
        up += 3 * HOUR;
        let off = clock.wall(reading(up, wrong)).0 - START - up - right;
        prop_assert!(off.abs() <= 1000, "{off} ns off the collectors");
    }
}
