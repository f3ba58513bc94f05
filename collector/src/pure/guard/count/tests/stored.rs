//! Views of a real store.

use std::sync::Arc;

use bellwether_model::id::{GroupId, Position};
use bellwether_model::label::LabelSet;
use bellwether_model::select::Metadata;
use bellwether_model::wire::table::ColumnIndex;
use bellwether_store::{Definition, LaneId, Limits, Source, Store, Writer};

use super::*;

struct Stored {
    store: Store,
    writer: Writer,
    position: u64,
}

fn definition(labels: &[(&'static str, String)]) -> Definition {
    let labels = LabelSet::new(labels.iter().map(|(name, value)| (*name, value.as_str()))).unwrap();
    Definition { labels, metadata: Arc::new(Metadata::default()) }
}

impl Stored {
    fn target(&mut self, source: u32, version: &str, instance: &str) -> LaneId {
        let lane = self.writer.lane(Source(source), GroupId(70));
        let columns = [
            scrape("up", instance),
            scrape("scrape_duration_seconds", instance),
            series(version, instance, "200"),
        ];
        let columns: Vec<_> = columns.iter().map(|labels| Some(definition(labels))).collect();
        self.writer.define(lane, &columns, 1000);
        lane
    }

    fn row(&mut self, source: u32, lane: LaneId, second: i64, values: &[f64]) {
        self.position += 1;
        let time = at(second * 1000);
        self.writer.append(lane, Position(self.position), time, values);
        self.writer.mark(Source(source), time, at(second * 1000 + 999));
        self.writer.publish(Position(self.position));
    }

    fn read(&self, counting: &mut Counting, second: i64) -> Read {
        let now = at(second * 1000 + 20);
        counting.read(&self.store.view(now), now)
    }
}

/// The first bad request of each version is counted, over a restart of the guard as without it.
#[test]
fn a_store_is_counted_as_a_map_is_and_over_a_restart() {
    let (store, writer) = Store::new(Limits::default());
    let mut stored = Stored { store, writer, position: 0 };
    let canary = stored.target(1, "2", "c");
    let baseline = stored.target(2, "1", "b");
    let mut counting = counting(plan());
    let (mut seconds, mut anew) = (Vec::new(), Vec::new());
    for second in 1..=20 {
        let n = 10.0 * second as f64;
        if second == 9 {
            let column = definition(&series("2", "c", "500"));
            stored.writer.add(canary, ColumnIndex(3), column);
        }
        let bad: &[f64] = if second >= 9 { &[3.0] } else { &[] };
        stored.row(1, canary, second, &[&[1.0, 0.1, n], bad].concat());
        stored.row(2, baseline, second, &[1.0, 0.1, 20.0 * n]);
        seconds.extend(stored.read(&mut counting, second).seconds);
        // A guard that is started each second reads by time.
        let after = anew.last().map_or(START - 1, |last: &Second| last.second);
        let mut fresh = Counting::new(Arc::new(plan()), after, Vec::new());
        anew.extend(stored.read(&mut fresh, second).seconds);
    }
    assert_eq!(seconds, anew);
    let read = Read { seconds, ..Read::default() };
    let expected = (1..20).map(|second| {
        let canary = if second == 8 { (13, 3) } else { (10, 0) };
        (second, count(canary, (200, 0)))
    });
    assert_eq!(counted(&read), expected.collect::<Vec<_>>());
    // The agent of the canary is silent: its series end without a marker, and the arm is blind.
    for second in 21..=30 {
        stored.row(2, baseline, second, &[1.0, 0.1, 200.0 * second as f64]);
        let read = stored.read(&mut counting, second);
        let blind = |second: &Second| second.canary == Sight::Blind;
        assert!(read.seconds.iter().all(blind), "{read:?}");
    }
    let after = counting.closed();
    assert!(after > START + 25);
    let mut fresh = Counting::new(Arc::new(plan()), after, Vec::new());
    stored.row(2, baseline, 31, &[1.0, 0.1, 6200.0]);
    let read = stored.read(&mut fresh, 31);
    assert_eq!(read.seconds.last().map(|second| second.canary), Some(Sight::Blind));
}
