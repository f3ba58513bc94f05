//! Measures what rules and guards ask of a store while it grows: publishing and asking for the time
//! up to which 20,000 sources are complete; polling 1,000 series of ten targets each second, for an
//! hour: `cargo run --release -p bellwether-store --example follow`.
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::feed::Feed;
use bellwether_model::id::{GroupId, Position};
use bellwether_model::label::LabelSet;
use bellwether_model::matcher::{MatchOp, Matcher};
use bellwether_model::select::{Column, Metadata, Select, Window};
use bellwether_model::time::Timestamp;
use bellwether_platform::clock::Clock;
use bellwether_store::{Definition, LaneId, Limits, Source, Store, Writer};

const SOURCES: u32 = 20_000;
const TARGETS: u32 = 10;
const COLUMNS: usize = 100;
const SECONDS: i64 = 3600;

fn definition(target: u32, column: usize) -> Option<Definition> {
    let (target, column) = (target.to_string(), column.to_string());
    let pairs = [("__name__", "http_requests_total"), ("instance", &target), ("code", &column)];
    let metadata = Arc::new(Metadata::default());
    LabelSet::new(pairs).ok().map(|labels| Definition { labels, metadata })
}

fn nanos(clock: &Clock, since: Duration, count: u32) -> u128 {
    (clock.now().mono.0 - since).as_nanos() / u128::from(count)
}

/// Publishes a frame of every source, with as many marks in order or none.
fn publish(clock: &Clock, writer: &mut Writer, at: Timestamp) -> u128 {
    let start = clock.now().mono.0;
    for source in 0..SOURCES {
        writer.mark(Source(source), at, Timestamp(at.0 + 999));
        writer.publish(Position(u64::from(source)));
    }
    nanos(clock, start, SOURCES)
}

fn fleet(clock: &Clock) {
    let (store, mut writer) = Store::new(Limits::default());
    let mut costs: Vec<u128> =
        (1..20).map(|second| publish(clock, &mut writer, Timestamp(second * 1000))).collect();
    costs.sort_unstable();
    let asked = 100_000;
    let start = clock.now().mono.0;
    let mut sum = 0;
    for i in 0..i64::from(asked) {
        sum += store.complete_through(Timestamp(19_000 + i % 2_000)).0;
    }
    let cost = nanos(clock, start, asked);
    println!("{SOURCES} sources: mark and publish {:?} ns a frame", costs.first());
    println!("{SOURCES} sources: complete_through {cost} ns (sum {sum})");
}

fn targets(writer: &mut Writer) -> Vec<LaneId> {
    let lane = |target| {
        let lane = writer.lane(Source(target), GroupId(0));
        let columns: Vec<_> = (0..COLUMNS).map(|column| definition(target, column)).collect();
        writer.define(lane, &columns, COLUMNS);
        lane
    };
    (0..TARGETS).map(lane).collect()
}

fn poll(clock: &Clock) {
    let (store, mut writer) = Store::new(Limits::default());
    let lanes = targets(&mut writer);
    let mut row = vec![0.0; COLUMNS];
    let (mut series, mut cursor, mut position) = (Vec::new(), None, 0);
    let (mut column, mut samples, mut costs) = (Column::default(), 0, Vec::new());
    let matcher = Matcher::new("__name__", MatchOp::Equal, "http_requests_total");
    let matchers: Vec<Matcher> = matcher.into_iter().collect();
    for second in 1..=SECONDS {
        let time = Timestamp(second * 1000);
        for (i, value) in row.iter_mut().enumerate() {
            *value += (i % 7) as f64;
        }
        for (lane, source) in lanes.iter().zip(0..) {
            position += 1;
            writer.append(*lane, Position(position), time, &row);
            writer.mark(Source(source), time, Timestamp(time.0 + 999));
            writer.publish(Position(position));
        }
        let start = clock.now().mono.0;
        let view = store.view(time);
        if let Some(since) = cursor {
            let births = view.births(&matchers, since);
            assert!(births.is_ok_and(|births| births.is_empty()), "all were there before");
            for series in &series {
                assert_eq!(view.news(*series, since, &mut column), Ok(()), "it is of this store");
                samples += column.len();
            }
            costs.push((clock.now().mono.0 - start).as_micros());
        } else {
            let window = Window { start: Timestamp(0), end: time };
            series = view.series(&matchers, window, 10_000);
        }
        cursor = Some(view.cursor());
    }
    costs.sort_unstable();
    let at = |part: usize| costs.get(costs.len() * part / 1000).copied().unwrap_or_default();
    let polls = costs.len();
    let mean = costs.iter().sum::<u128>() / polls.max(1) as u128;
    println!("{} series, {polls} polls, {samples} samples: mean {mean} µs a poll", series.len());
    println!("median {} µs, p99 {} µs, p99.9 {} µs", at(500), at(990), at(999));
}

fn main() {
    let clock = Clock::collector();
    fleet(&clock);
    poll(&clock);
}
