//! The keeper against the contract, request by request. Sequences with faults are the simulator's.

mod broken;
mod hosts;

use std::time::Duration;

use bellwether_model::id::{
    AgentId, BootId, GroupId, Incarnation, Nonce, Position, Seq, StoreId, Stream,
};
use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::limit;
use bellwether_model::matcher::{MatchOp, Matcher};
use bellwether_model::select::{Column, Select, Window};
use bellwether_model::series::{MetricType, ValueKind, is_stale};
use bellwether_model::time::{Mono, Nanos, Now, Timestamp};
use bellwether_model::wire::answer::{Answer, Case, RefusedReason};
use bellwether_model::wire::encode::{Encoder, Origin};
use bellwether_model::wire::envelope::Envelope;
use bellwether_model::wire::table::{ColumnIndex, ColumnSpec, Table};
use bellwether_store::{Limits, Store};

use super::{Batch, EntryClass, JournalClosed, Keeper, KeeperLimits, Submit, UpEntry};

const AGENT: AgentId = AgentId([1; 16]);
const START: i64 = 1_700_000_000_000;

/// A journal in memory.
#[derive(Default)]
struct Entries {
    entries: Vec<Vec<u8>>,
    full: bool,
}

impl Batch for Entries {
    fn has_room(&self, _: usize) -> bool {
        !self.full
    }

    fn push(&mut self, _: EntryClass, entry: &[u8]) -> Result<Position, JournalClosed> {
        self.entries.push(entry.to_vec());
        Ok(Position(self.entries.len() as u64))
    }
}

struct Bench {
    keeper: Keeper,
    store: Store,
    journal: Entries,
    encoder: Encoder,
    table: Table,
    second: i64,
    released: Position,
    /// Who pushes.
    key: (AgentId, Stream),
}

fn now(second: i64) -> Now {
    let mono = Mono(Duration::from_secs(second.unsigned_abs()));
    Now { wall: Timestamp(START + second * 1000), mono }
}

fn column(name: &str, labels: &[(&str, &str)]) -> ColumnSpec {
    let pairs = labels.iter().copied().chain([(METRIC_NAME, name)]);
    ColumnSpec {
        labels: LabelSet::new(pairs).unwrap(),
        kind: MetricType::Gauge,
        value_kind: ValueKind::Float,
        unit: "".into(),
        help: "A gauge.".into(),
        start: None,
    }
}

impl Bench {
    fn new(limits: KeeperLimits) -> Bench {
        let (store, writer) = Store::new(Limits::default());
        let target = LabelSet::new([("job", "node"), ("instance", "a")]).unwrap();
        let origin =
            Origin { incarnation: Incarnation(1), nonce: Nonce(7), boot: BootId::default() };
        Bench {
            keeper: Keeper::new(StoreId([9; 16]), limits, writer),
            store,
            journal: Entries::default(),
            encoder: Encoder::new(origin),
            table: Table::new(target, Duration::from_secs(1)),
            second: 0,
            released: Position(0),
            key: (AGENT, Stream::Metrics),
        }
    }

    /// With one column, of which one row is applied.
    fn pushed(limits: KeeperLimits) -> Bench {
        let mut bench = Bench::new(limits);
        bench.table.add(column("m", &[]));
        let one = bench.frame(1.0);
        assert_eq!(bench.push(&[&one], false).case, Case::Applied);
        bench
    }

    /// The frame of the next second; every column has the value given.
    fn frame(&mut self, value: f64) -> Vec<u8> {
        self.second += 1;
        let time = now(self.second).wall;
        self.table.begin_row();
        for place in 0..self.table.columns().len() {
            self.table.set(ColumnIndex(u32::try_from(place).unwrap()), value);
        }
        self.encoder.begin(Timestamp(time.0 + 999));
        self.encoder.row(GroupId(0), &mut self.table, time);
        let mut frame = Vec::new();
        self.encoder.finish(&mut frame).unwrap();
        frame
    }

    fn push(&mut self, frames: &[&[u8]], goodbye: bool) -> Answer {
        let envelope = Envelope {
            agent: self.key.0,
            stream: self.key.1,
            goodbye,
            sent_wall: Nanos(0),
            sent_mono: 0,
            skips: Vec::new(),
            frames: u16::try_from(frames.len()).unwrap(),
        };
        let mut body = Vec::new();
        envelope.put(&mut body);
        frames.iter().for_each(|frame| body.extend_from_slice(frame));
        let received = Nanos(now(self.second).wall.0 * 1_000_000);
        let submit = Submit { body: &body, received };
        let reply = self.keeper.admit(now(self.second), submit, &mut self.journal).unwrap();
        assert!(reply.release <= Position(self.journal.entries.len() as u64));
        self.released = reply.release;
        reply.answer
    }

    /// Values of a metric, stale markers as `None`.
    fn values(&self, name: &str) -> Vec<Option<f64>> {
        values(&self.store, self.second, name)
    }
}

fn values(store: &Store, second: i64, name: &str) -> Vec<Option<f64>> {
    let at = now(second + 60).wall;
    let view = store.view(at);
    let matcher = Matcher::new(METRIC_NAME, MatchOp::Equal, name).unwrap();
    let window = Window { start: Timestamp(START - 1), end: at };
    let mut column = Column::default();
    let Some(series) = view.series(&[matcher], window, 1).first().copied() else {
        return Vec::new();
    };
    view.samples(series, window, &mut column);
    column.values.iter().map(|value| (!is_stale(*value)).then_some(*value)).collect()
}

fn seq(n: u32) -> Seq {
    Seq::new(Incarnation(1), n)
}

#[test]
fn frames_are_applied_once_and_answered_by_prefix() {
    let mut bench = Bench::new(KeeperLimits::default());
    bench.table.add(column("m", &[]));
    let (one, two, three) = (bench.frame(1.0), bench.frame(2.0), bench.frame(3.0));
    let answer = bench.push(&[&one, &two], false);
    assert_eq!(
        (answer.case, answer.acked, answer.store),
        (Case::Applied, seq(2), StoreId([9; 16]))
    );
    let answer = bench.push(&[&one, &two], false);
    assert_eq!((answer.case, answer.acked), (Case::Duplicate, seq(2)));
    let answer = bench.push(&[&two, &three], false);
    assert_eq!((answer.case, answer.acked), (Case::Applied, seq(3)));
    let five = {
        bench.frame(4.0);
        bench.frame(5.0)
    };
    let answer = bench.push(&[&five], false);
    assert_eq!((answer.case, answer.at, answer.acked), (Case::Gap, seq(4), seq(3)));
    assert_eq!(bench.values("m")[..3], [Some(1.0), Some(2.0), Some(3.0)]);
    assert_eq!(bench.journal.entries.len(), 3, "only what is applied is journalled");
}

#[test]
fn a_journal_with_frames_of_another_version_is_refused_in_words() {
    let mut bench = Bench::new(KeeperLimits::default());
    bench.table.add(column("m", &[]));
    let one = bench.frame(1.0);
    bench.push(&[&one], false);
    let (_store, writer) = Store::new(Limits::default());
    let mut keeper = Keeper::new(StoreId([1; 16]), KeeperLimits::default(), writer);
    let entry = bench.journal.entries.iter().find(|entry| entry.ends_with(&one)).unwrap();
    let mut old = entry[..entry.len() - one.len()].to_vec();
    old.extend_from_slice(b"BWF1\x01\x02\x01\x00 and so on");
    let error = keeper.replay(now(1), Position(1), &old).unwrap_err();
    assert!(error.to_string().contains("another build of this program"), "{error}");
    assert_eq!(keeper.replay(now(1), Position(1), entry), Ok(()));
}

/// What a row unfolds to counts, however short its frame.
#[test]
fn a_request_ends_where_its_rows_would_take_too_much() {
    let mut bench = Bench::new(KeeperLimits { series_per_agent: 1, ..KeeperLimits::default() });
    for _ in 0..limit::COLUMNS {
        bench.table.add(column("m", &[]));
    }
    let frames: Vec<Vec<u8>> = (0..60).map(|_| bench.frame(1.0)).collect();
    let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    let bytes: usize = frames.iter().map(|frame| frame.len()).sum();
    assert!(bytes < limit::REQUEST_BYTES, "{bytes}");
    let answer = bench.push(&frames, false);
    let rows = u32::try_from(limit::REQUEST_INFLATED_BYTES / (8 * limit::COLUMNS)).unwrap();
    assert!((seq(rows - 5)..=seq(rows)).contains(&answer.at), "{answer:?}");
    let on = answer.at.n() as usize;
    assert_eq!(bench.push(&frames[on..], false).at, seq(60), "the rest follows");
}

#[test]
fn a_lost_decoder_asks_for_the_segment_again() {
    let mut bench = Bench::new(KeeperLimits::default());
    bench.table.add(column("m", &[]));
    let (one, two, three) = (bench.frame(1.0), bench.frame(2.0), bench.frame(3.0));
    bench.push(&[&one, &two], false);
    let key = (AGENT, Stream::Metrics);
    bench.keeper.sessions.get_mut(&key).unwrap().decoder.clear();
    let answer = bench.push(&[&three], false);
    assert_eq!((answer.case, answer.at), (Case::Base, seq(3)));
    assert_eq!(bench.push(&[&one, &two, &three], false).case, Case::Applied);
    assert_eq!(bench.values("m")[..3], [Some(1.0), Some(2.0), Some(3.0)]);
}

#[test]
fn rows_of_an_older_incarnation_never_fill_the_decoder() {
    let mut bench = Bench::new(KeeperLimits::default());
    bench.table.add(column("old", &[]));
    let old = [bench.frame(1.0), bench.frame(2.0)];
    bench.push(&[&old[0], &old[1]], false);
    let origin = Origin { incarnation: Incarnation(2), nonce: Nonce(8), boot: BootId::default() };
    bench.encoder = Encoder::new(origin);
    bench.table = Table::new(bench.table.target().clone(), Duration::from_secs(1));
    bench.table.add(column("new", &[]));
    let new = [bench.frame(3.0), bench.frame(4.0)];
    bench.push(&[&new[0]], false);
    let key = (AGENT, Stream::Metrics);
    bench.keeper.sessions.get_mut(&key).unwrap().decoder.clear();
    assert_eq!(bench.push(&[&old[0]], false).case, Case::Duplicate);
    assert_eq!(bench.push(&[&new[1]], false).case, Case::Base);
    assert_eq!(bench.push(&[&new[0], &new[1]], false).case, Case::Applied);
    assert_eq!(bench.values("new")[..2], [Some(3.0), Some(4.0)]);
    assert_eq!(bench.values("old").iter().flatten().count(), 2);
}

#[test]
fn a_row_from_the_future_stops_nothing() {
    let mut bench = Bench::new(KeeperLimits::default());
    bench.table.add(column("m", &[]));
    let one = bench.frame(1.0);
    let second = std::mem::replace(&mut bench.second, 100_000);
    let ahead = bench.frame(2.0);
    bench.second = second;
    let two = bench.frame(3.0);
    assert_eq!(bench.push(&[&one, &ahead, &two], false).case, Case::Applied);
    assert_eq!(bench.keeper.stats().samples_ahead, 1);
    assert_eq!(bench.values("m")[..2], [Some(1.0), Some(3.0)]);
}

#[test]
fn sessions_of_agents_that_are_gone_are_forgotten() {
    let limits = KeeperLimits { retention: Duration::from_secs(60), ..KeeperLimits::default() };
    let mut bench = Bench::pushed(limits);
    bench.push(&[], true);
    for (second, sessions) in [(2, 1), (50, 1), (70, 0)] {
        bench.keeper.tick(now(second), &mut bench.journal).unwrap();
        assert_eq!(bench.keeper.sessions(), sessions, "{second}");
    }
    assert!(bench.keeper.sources.is_empty());
}

#[test]
fn a_full_journal_takes_nothing_and_the_same_frame_later() {
    let mut bench = Bench::new(KeeperLimits::default());
    bench.table.add(column("m", &[]));
    let (one, two) = (bench.frame(1.0), bench.frame(2.0));
    bench.push(&[&one], false);
    bench.journal.full = true;
    let answer = bench.push(&[&two], false);
    assert_eq!((answer.case, answer.acked), (Case::Overloaded, seq(1)));
    bench.journal.full = false;
    assert_eq!(bench.push(&[&two], false).case, Case::Applied);
}

#[test]
fn columns_over_a_limit_are_named_and_the_rest_is_kept() {
    let mut bench = Bench::new(KeeperLimits { series_per_agent: 2, ..KeeperLimits::default() });
    bench.table.add(column("m", &[("job", "mine")]));
    for name in ["a", "b", "c"] {
        bench.table.add(column(name, &[]));
    }
    let one = bench.frame(1.0);
    let answer = bench.push(&[&one], false);
    assert_eq!((answer.case, answer.refused), (Case::RefusedColumns, 2));
    let mut named: Vec<_> = answer.columns.iter().map(|c| (c.place, c.reason)).collect();
    named.sort_unstable();
    assert_eq!(named, [(0, RefusedReason::Labels), (3, RefusedReason::SeriesPerAgent)]);
    assert_eq!(bench.values("a").first(), Some(&Some(1.0)));
    assert!(bench.values("c").is_empty());
    let two = bench.frame(2.0);
    assert_eq!(bench.push(&[&two], false).case, Case::Applied, "told once");
}

#[test]
fn too_many_agents_are_put_off() {
    let mut bench = Bench::new(KeeperLimits { agents: 0, ..KeeperLimits::default() });
    bench.table.add(column("m", &[]));
    let one = bench.frame(1.0);
    assert_eq!(bench.push(&[&one], false).case, Case::Overloaded);
}

#[test]
fn goodbye_ends_the_series_and_up() {
    let mut bench = Bench::new(KeeperLimits::default());
    bench.table.add(column("m", &[]));
    for value in [1.0, 2.0] {
        let frame = bench.frame(value);
        bench.push(&[&frame], false);
        bench.keeper.tick(now(bench.second), &mut bench.journal).unwrap();
    }
    bench.second += 1;
    let entries = bench.journal.entries.len() as u64;
    assert_eq!(bench.push(&[], true).case, Case::Applied);
    assert_eq!(bench.released, Position(entries + 1), "the goodbye is answered once it is durable");
    bench.keeper.tick(now(bench.second), &mut bench.journal).unwrap();
    assert_eq!(bench.values("m"), [Some(1.0), Some(2.0), None]);
    assert_eq!(bench.values("up"), [Some(1.0), None]);
}

#[test]
fn the_journal_alone_gives_the_same_keeper() {
    let mut bench = Bench::new(KeeperLimits::default());
    bench.keeper.snapshot(now(0), &mut bench.journal).unwrap();
    let first = bench.table.add(column("m", &[]));
    for second in 0..300_i32 {
        if second == 100 {
            bench.table.end(first);
            bench.table.add(column("n", &[]));
            bench.keeper.snapshot(now(bench.second), &mut bench.journal).unwrap();
        }
        let frame = bench.frame(f64::from(second));
        assert_eq!(bench.push(&[&frame], false).case, Case::Applied);
        bench.keeper.tick(now(bench.second), &mut bench.journal).unwrap();
    }
    let (store, writer) = Store::new(Limits::default());
    let mut keeper = Keeper::new(StoreId([1; 16]), KeeperLimits::default(), writer);
    for (position, entry) in (1..).zip(&bench.journal.entries) {
        keeper.replay(now(bench.second), Position(position), entry).unwrap();
    }
    keeper.replayed(now(bench.second));
    assert!(!keeper.is_new());
    assert_eq!(keeper.store(), StoreId([9; 16]));
    assert_eq!(
        keeper.session(AGENT, Stream::Metrics),
        bench.keeper.session(AGENT, Stream::Metrics)
    );
    assert_eq!(keeper.presence().state(), bench.keeper.presence().state());
    for name in ["m", "n", "up"] {
        let replayed = values(&store, bench.second, name);
        assert_eq!(replayed, bench.values(name), "{name}");
        assert!(replayed.len() > 1);
    }
}

#[test]
fn a_hundred_thousand_series_of_one_agent_are_named_and_the_rest_kept() {
    let mut bench = Bench::new(KeeperLimits::default());
    for place in 0..100_000 {
        bench.table.add(column("m", &[("n", &place.to_string())]));
    }
    let one = bench.frame(1.0);
    let answer = bench.push(&[&one], false);
    assert_eq!((answer.case, answer.refused), (Case::RefusedColumns, 80_000));
    assert_eq!(answer.case.status(), 200);
    assert_eq!(answer.columns[0].reason, RefusedReason::SeriesPerAgent);
    let two = bench.frame(2.0);
    assert_eq!(bench.push(&[&two], false).case, Case::Applied, "told once");
    assert_eq!(bench.keeper.stats().samples, 40_000);
    let stats = bench.store.stats();
    assert_eq!((stats.series, stats.samples_refused), (20_000, 160_000));
    assert_eq!(bench.values("m")[..2], [Some(1.0), Some(2.0)]);
}

#[test]
fn the_end_of_one_up_leaves_the_others_whole() {
    use super::super::entry::UpValue;

    let mut bench = Bench::new(KeeperLimits::default());
    let mut up = |instance: &str, second: i64, value: UpValue| {
        let up = UpEntry {
            job: "node".to_owned(),
            instance: instance.to_owned(),
            time: now(second).wall,
            value,
        };
        let position = bench.journal.push(EntryClass::Data, b"").unwrap();
        bench.keeper.up(now(second), &up, position);
    };
    up("a", 1, UpValue::Up);
    up("a", 2, UpValue::End);
    up("a", 3, UpValue::Up);
    // In the same second as its last sample, after it.
    up("b", 3, UpValue::Up);
    up("c", 3, UpValue::Up);
    bench.second = 3;
    let view = bench.store.view(now(63).wall);
    let window = Window { start: Timestamp(START - 1), end: now(63).wall };
    let mut found = Vec::new();
    for series in view.series(&[], window, 10) {
        let mut column = Column::default();
        view.samples(series, window, &mut column);
        let values = column.values.iter().filter(|value| !is_stale(**value)).count();
        found.push((view.labels(series).get("instance").unwrap().to_owned(), values));
    }
    assert_eq!(found, [("a".to_owned(), 2), ("b".to_owned(), 1), ("c".to_owned(), 1)]);
}

#[test]
fn an_agent_that_asks_too_often_is_put_off_and_loses_nothing() {
    let limits = KeeperLimits { requests_per_agent: 10, ..KeeperLimits::default() };
    let mut bench = Bench::new(limits);
    bench.table.add(column("m", &[]));
    let one = bench.frame(1.0);
    let cases: Vec<Case> = (0..30).map(|_| bench.push(&[&one], false).case).collect();
    let too_many = cases.iter().filter(|case| **case == Case::TooMany).count();
    // The first opens the session; two seconds of requests and one more may come at once.
    assert_eq!((cases[0], too_many), (Case::Applied, 30 - 1 - 21), "{cases:?}");
    let two = bench.frame(2.0);
    assert_eq!(bench.push(&[&two], false).case, Case::Applied, "a second later");
    assert_eq!(bench.keeper.recount(AGENT, Stream::Metrics).unwrap().frames, 2);
}

#[test]
fn the_recount_adds_up_and_is_replayed() {
    let mut bench = Bench::new(KeeperLimits { series_per_agent: 2, ..KeeperLimits::default() });
    bench.keeper.snapshot(now(0), &mut bench.journal).unwrap();
    for name in ["a", "b", "c"] {
        bench.table.add(column(name, &[]));
    }
    let frames: Vec<Vec<u8>> = (0..4).map(|n| bench.frame(f64::from(n))).collect();
    bench.push(&[&frames[0], &frames[1]], false);
    bench.push(&[&frames[1]], false);
    bench.keeper.snapshot(now(bench.second), &mut bench.journal).unwrap();
    bench.push(&[&frames[2]], false);
    // A row of a time that has passed.
    bench.second -= 4;
    let late = bench.frame(9.0);
    bench.second += 3;
    bench.push(&[&frames[3], &late], false);
    let count = *bench.keeper.recount(AGENT, Stream::Metrics).unwrap();
    assert!(count.is_whole(), "{count:?}");
    assert_eq!((count.frames, count.samples, count.duplicates), (5, 15, 1));
    assert_eq!((count.stored, count.unplaced, count.out_of_order), (8, 4, 3));
    let refused: Vec<u64> = count.refused().map(|(_, count)| count).collect();
    assert_eq!(refused, [1, 0, 0]);
    let (_, writer) = Store::new(Limits::default());
    let limits = KeeperLimits { series_per_agent: 2, ..KeeperLimits::default() };
    let mut keeper = Keeper::new(StoreId([1; 16]), limits, writer);
    for (position, entry) in (1..).zip(&bench.journal.entries) {
        keeper.replay(now(bench.second), Position(position), entry).unwrap();
    }
    assert_eq!(keeper.recount(AGENT, Stream::Metrics), Some(&count));
}

#[test]
fn raised_limits_let_in_what_was_refused() {
    let limits = |series_per_agent| KeeperLimits { series_per_agent, ..KeeperLimits::default() };
    let mut bench = Bench::new(limits(1));
    bench.table.add(column("a", &[]));
    bench.table.add(column("b", &[]));
    let one = bench.frame(1.0);
    assert_eq!(bench.push(&[&one], false).case, Case::RefusedColumns);
    bench.keeper.set_limits(limits(2));
    let two = bench.frame(2.0);
    assert_eq!(bench.push(&[&two], false).case, Case::Base, "the rows are gone with the columns");
    assert_eq!(bench.push(&[&one, &two], false).case, Case::Applied);
    assert_eq!(bench.values("b").first(), Some(&Some(2.0)));
}

#[test]
fn groups_of_targets_do_not_say_who_an_agent_is() {
    let mut bench = Bench::new(KeeperLimits::default());
    let target = LabelSet::new([("job", "blackbox"), ("instance", "http://a")]).unwrap();
    let mut probe = Table::new(target, Duration::from_secs(1));
    let success = probe.add(column("probe_success", &[]));
    probe.begin_row();
    probe.set(success, 1.0);
    bench.second += 1;
    let time = now(bench.second).wall;
    bench.encoder.begin(Timestamp(time.0 + 999));
    bench.encoder.row(GroupId::TARGETS, &mut probe, time);
    let mut frame = Vec::new();
    bench.encoder.finish(&mut frame).unwrap();
    assert_eq!(bench.push(&[&frame], false).case, Case::Applied);
    assert_eq!(bench.keeper.presence().hosts().count(), 0);
    assert_eq!(bench.values("probe_success")[..1], [Some(1.0)]);
    bench.table.add(column("m", &[]));
    let frame = bench.frame(2.0);
    bench.push(&[&frame], false);
    let hosts: Vec<_> = bench.keeper.presence().hosts().map(|(_, host)| host.instance()).collect();
    assert_eq!(hosts, ["a"]);
}
