use std::sync::mpsc;
use std::time::Duration;

use bellwether_model::label::LabelSet;
use bellwether_model::time::{Mono, Nanos, Timestamp};
use bellwether_platform::clock::Reading;
use bellwether_platform::stop;

use super::*;
use crate::pure::config::InputPlan;
use crate::pure::input::{Facts, INPUTS};
use crate::shell::calls::Calls;
use crate::shell::host::{Host, Roots};

#[test]
fn rows_are_stamped_with_whole_ticks_and_missed_ones_are_counted() {
    let first = Reading { mono: Mono(Duration::from_secs(9)), system: Nanos(5_999_000_000) };
    let (clock, time) = Clock::manual_agent(first);
    let plan = InputPlan::new(INPUTS.iter().find(|spec| spec.name == "sequence").unwrap());
    let host = Host::new(Roots::default(), Calls::system(), clock.clone());
    let facts = Facts::default();
    let collection =
        Collection::new(&[plan], &LabelSet::default(), host, clock.clone(), facts).unwrap();
    let latest = Arc::new(Latest::default());
    let metrics = Metrics::new(["sequence"]);
    let (stopper, stop) = stop::stop();
    let (rows, taken) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    let (at, wall) = (time.clone(), clock.clone());
    // Time after the first row: within the next second, then four seconds on.
    let mut steps = [1300, 5300].into_iter();
    let mut start = None;
    let sink = move |tick: Tick, groups: &mut [Group]| {
        rows.send((tick, groups[0].due, groups[0].table.values().to_vec())).unwrap();
        let start = *start.get_or_insert_with(|| {
            wait.recv().unwrap();
            tick.time
        });
        match steps.next() {
            Some(after) => {
                let left = start.0 + after - wall.now().wall.0;
                at.advance(Duration::from_millis(left.try_into().unwrap()));
            }
            None => stopper.stop(),
        }
    };
    let guard = stop::stop().0.on_return();
    let sampler = Sampler {
        collection,
        clock,
        latest: Arc::clone(&latest),
        metrics,
        sink: Box::new(sink),
        changed: Handover::default(),
    };
    let thread = sampler.start(stop, guard).unwrap();
    // The first tick is a second or less ahead of whenever the thread read the clock.
    let first = loop {
        time.advance(Duration::from_millis(100));
        if let Ok(row) = taken.recv_timeout(Duration::from_millis(1)) {
            break row;
        }
    };
    go.send(()).unwrap();
    let whole = first.0.time;
    assert_eq!(whole.0 % 1000, 0);
    drop(thread.join().unwrap());
    let rest: Vec<_> = taken.into_iter().collect();
    let tick = |after: i64, missed| Tick {
        time: Timestamp(whole.0 + after),
        complete_through: Timestamp(whole.0 + after + 999),
        missed,
    };
    assert_eq!(first.0.complete_through, Timestamp(whole.0 + 999));
    assert_eq!(rest.iter().map(|row| row.0).collect::<Vec<_>>(), [tick(1000, 0), tick(5000, 3)]);
    assert!(rest.iter().all(|row| row.1));
    assert_eq!([first.2[2], rest[0].2[2], rest[1].2[2]], [1.0, 2.0, 3.0]);
    assert!(latest.is_filled());
}

#[test]
fn of_two_changes_before_one_tick_the_newer_is_taken_up() {
    let changed = |seconds| {
        let clock = Clock::agent();
        let plan = InputPlan::new(INPUTS.iter().find(|spec| spec.name == "loadavg").unwrap());
        let plan = InputPlan { interval: Duration::from_secs(seconds), ..plan };
        let host = Host::new(Roots::default(), Calls::system(), clock.clone());
        Collection::new(&[plan], &LabelSet::default(), host, clock, Facts::default()).unwrap()
    };
    let handover = Handover::default();
    handover.put(changed(2));
    handover.put(changed(3));
    assert_eq!(handover.take().map(|taken| taken.base()), Some(Duration::from_secs(3)));
    assert!(handover.take().is_none());
}
