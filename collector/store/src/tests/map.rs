//! Lanes ≡ a map: random histories against a list of samples, searched from one end to the other.

mod feed;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use bellwether_model::feed::Origin;
use bellwether_model::series::{ABSENT, STALE, is_absent, is_stale};
use bellwether_model::wire::table::ColumnIndex;
use bellwether_platform::disk::sim::SimDisk;
use proptest::prelude::*;

use super::*;
use crate::checkpoint::Checkpoints;
use crate::chunk::ROWS_MAX;

const RETENTION: i64 = 60_000;
const LANES: [(u32, u32); 4] = [(0, 0), (0, 1), (1, 0), (900, 0)];

#[derive(Clone, Debug)]
enum Op {
    Define(usize, Vec<Option<u8>>),
    Add(usize, u32, u8),
    End(usize, u32),
    Rows {
        lane: usize,
        count: usize,
        step: i64,
        seed: u64,
    },
    Frame {
        step: i64,
        seed: u64,
    },
    /// A row at the time of another lane's.
    Echo(usize, usize),
    LateRow(usize, i64),
    Wait(i64),
    Mark {
        source: usize,
        back: i64,
    },
    Goodbye(usize),
    Publish,
    Retain,
    View,
    Poll {
        back: usize,
    },
    File,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let lane = 0..LANES.len();
    let label = 0_u8..6;
    let places = prop::collection::vec(prop::option::weighted(0.8, label.clone()), 0..5);
    prop_oneof![
        3 => (lane.clone(), places).prop_map(|(lane, places)| Op::Define(lane, places)),
        2 => (lane.clone(), 0_u32..6, label).prop_map(|(l, place, label)| Op::Add(l, place, label)),
        2 => (lane.clone(), 0_u32..6).prop_map(|(lane, place)| Op::End(lane, place)),
        8 => (lane.clone(), 1_usize..150, 1_i64..1500, any::<u64>())
            .prop_map(|(lane, count, step, seed)| Op::Rows { lane, count, step, seed }),
        4 => (1_i64..9000, any::<u64>()).prop_map(|(step, seed)| Op::Frame { step, seed }),
        1 => (lane.clone(), 0_i64..3000).prop_map(|(lane, back)| Op::LateRow(lane, back)),
        3 => (lane.clone(), any::<usize>()).prop_map(|(lane, pick)| Op::Echo(lane, pick)),
        2 => (0_i64..20_000).prop_map(Op::Wait),
        1 => (0_i64..500_000).prop_map(Op::Wait),
        4 => (lane.clone(), 0_i64..4000).prop_map(|(source, back)| Op::Mark { source, back }),
        1 => lane.prop_map(Op::Goodbye),
        5 => Just(Op::Publish),
        2 => Just(Op::Retain),
        3 => Just(Op::View),
        3 => (0_usize..3).prop_map(|back| Op::Poll { back }),
        2 => Just(Op::File),
        2 => Just(Op::Restart),
    ]
}

#[derive(Clone, Debug)]
struct Held {
    label: u8,
    held: bool,
    settled: bool,
}

#[derive(Clone, Debug, Default)]
struct NaiveLane {
    places: Vec<Option<Held>>,
    ending: Vec<u8>,
    /// Labels that the newest row holds and that have had a value since they entered.
    born: BTreeSet<u8>,
    last: Option<i64>,
    seen: Option<i64>,
    asleep: bool,
}

impl NaiveLane {
    fn define(&mut self, columns: &[Option<u8>]) {
        let before: Vec<Held> = self.places.iter().flatten().filter(|p| p.held).cloned().collect();
        let mut taken = BTreeSet::new();
        self.places = columns
            .iter()
            .map(|column| {
                let label = (*column)?;
                let held = taken.insert(label);
                let settled = held && before.iter().any(|p| p.label == label && p.settled);
                Some(Held { label, held, settled })
            })
            .collect();
        let left = before.iter().filter(|p| p.settled && !taken.contains(&p.label));
        self.ending.extend(left.map(|p| p.label));
        self.asleep = false;
    }

    fn wake(&mut self) {
        if self.asleep {
            let columns: Vec<_> = self.places.iter().map(|p| p.as_ref().map(|p| p.label)).collect();
            self.define(&columns);
        }
    }

    fn holds(&self, label: u8) -> bool {
        self.places.iter().flatten().any(|p| p.held && p.label == label)
    }

    fn end(&mut self, place: usize) {
        let old = self.places.get_mut(place).and_then(Option::take);
        self.ending.extend(old.filter(|p| p.settled).map(|p| p.label));
    }

    fn add(&mut self, place: usize, label: u8) {
        self.wake();
        self.end(place);
        let held = !self.holds(label);
        if self.places.len() <= place {
            self.places.resize(place + 1, None);
        }
        self.places[place] = Some(Held { label, held, settled: false });
    }

    /// The samples of a row, the labels born with it, and whether others go on.
    fn row(&mut self, values: &[f64]) -> (Vec<(u8, f64)>, BTreeSet<u8>, bool) {
        self.wake();
        let mut row = Vec::new();
        let places = self.places.iter().flatten();
        let held: BTreeSet<u8> = places.filter(|p| p.held).map(|p| p.label).collect();
        self.born.retain(|label| held.contains(label));
        let goes_on = !self.born.is_empty();
        let mut births = BTreeSet::new();
        for (place, value) in self.places.iter_mut().zip(values) {
            if let Some(place) = place.as_mut().filter(|p| p.held)
                && !is_absent(*value)
            {
                row.push((place.label, *value));
                if self.born.insert(place.label) {
                    births.insert(place.label);
                }
            }
        }
        for label in std::mem::take(&mut self.ending) {
            if !self.holds(label) {
                row.push((label, STALE));
            }
        }
        self.places.iter_mut().flatten().for_each(|p| p.settled = p.held);
        (row, births, goes_on)
    }
}

#[derive(Clone, Debug)]
struct Naive {
    /// label, lane, position, time, value
    samples: Vec<(u8, usize, u64, i64, f64)>,
    /// by source: ends, and whether the last is closed
    ends: Vec<(Vec<i64>, bool)>,
    /// label, position, time, origin
    births: Vec<(u8, u64, i64, Origin)>,
    births_since: u64,
    cut: u64,
    now: i64,
}

impl Naive {
    fn markers(&self, lane: usize, run: &[(i64, f64)]) -> Vec<i64> {
        let source = LANES.iter().position(|(s, _)| *s == LANES[lane].0).unwrap();
        let ends = &self.ends[source].0;
        let mut markers = Vec::new();
        for (i, end) in ends.iter().enumerate() {
            let seen = i + 1 < ends.len() || *end <= self.now;
            let before = if i == 0 { i64::MIN } else { ends[i - 1] };
            let Some((time, value)) = run.iter().rev().find(|(t, _)| t <= end) else { continue };
            let at = if time == end { end + 1 } else { *end };
            let taken = run.iter().any(|(t, _)| *t == at);
            let recent = *time > before && *time > end - 300_000;
            if seen && recent && !taken && !is_stale(*value) {
                markers.push(at);
            }
        }
        markers
    }

    fn column(&self, label: u8, window: Window) -> Vec<(i64, u64)> {
        let mut events: Vec<(i64, bool, u64, bool, usize, f64)> = Vec::new();
        for lane in 0..LANES.len() {
            let own = self.samples.iter().filter(|s| s.0 == label && s.1 == lane);
            let own: Vec<_> = own.filter(|s| s.2 <= self.cut).collect();
            let run: Vec<(i64, f64)> = own.iter().map(|s| (s.3, s.4)).collect();
            events.extend(own.iter().map(|s| (s.3, true, s.2, !is_stale(s.4), lane, s.4)));
            let markers = self.markers(lane, &run);
            events.extend(markers.iter().map(|at| (*at, false, 0, false, lane, STALE)));
        }
        let mut out = Vec::new();
        let times: BTreeSet<i64> = events.iter().map(|e| e.0).collect();
        for time in times {
            let at = |e: &&(i64, bool, u64, bool, usize, f64)| e.0 == time && e.1;
            let winner = events.iter().filter(at).max_by_key(|e| (e.2, e.3, e.4));
            let alive = (0..LANES.len()).any(|lane| {
                let last = events.iter().filter(|e| e.4 == lane && e.0 <= time);
                let last = last.max_by_key(|e| e.0);
                last.is_some_and(|e| e.1 && e.3 && e.0 > time - 300_000)
            });
            match winner {
                Some(e) => out.push((time, e.5.to_bits())),
                None if !alive => out.push((time, STALE.to_bits())),
                None => {}
            }
        }
        let oldest = self.now - RETENTION;
        out.retain(|(t, _)| *t > oldest && window.contains(Timestamp(*t)));
        out
    }

    /// Labels with a sample in the window.
    fn present(&self, window: Window) -> BTreeSet<u8> {
        let visible = self.samples.iter().filter(|s| s.2 <= self.cut);
        let inside =
            visible.filter(|s| s.3 > self.now - RETENTION && window.contains(Timestamp(s.3)));
        inside.map(|s| s.0).collect()
    }
}

/// The disk's side of a store with chunk files.
struct Filing {
    disk: SimDisk,
    filer: Filer,
    checkpoints: Checkpoints,
}

/// Where blocks go, and whether they are dropped for the bytes.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Memory,
    Evicting,
    Files,
}

struct Both {
    files: Option<Filing>,
    store: Store,
    writer: Writer,
    lanes: Vec<LaneId>,
    naive_lanes: Vec<NaiveLane>,
    naive: Naive,
    staged: Vec<(Vec<i64>, bool)>,
    marked: Vec<i64>,
    position: u64,
    clock: i64,
    views: Vec<(View, Naive, Dump)>,
    follower: feed::Follower,
    evicting: bool,
}

type Dump = Vec<(LabelSet, Vec<(i64, u64)>)>;

fn label_set(label: u8) -> LabelSet {
    labels(["m", "n"][usize::from(label % 2)], &(label / 2).to_string())
}

fn value(seed: u64) -> f64 {
    match seed % 16 {
        0 | 1 => ABSENT,
        2 => STALE,
        3 => f64::from_bits(seed),
        4..8 => (seed >> 32) as u32 as f64 / 100.0,
        _ => 42.0,
    }
}

fn dump(view: &View, window: Window) -> Dump {
    let mut out = Column::default();
    let series = view.series(&[], window, 100);
    let shown = |labels, column: &Column| {
        let bits = column.values.iter().map(|v| v.to_bits());
        (labels, column.times.iter().map(|t| t.0).zip(bits).collect())
    };
    let mut together: Dump = Vec::new();
    view.each(&series, window, &mut |labels, column| {
        together.push(shown(labels, column));
        ControlFlow::Continue(())
    });
    let one_by_one = series.into_iter().map(|series| {
        view.samples(series, window, &mut out);
        shown(view.labels(series), &out)
    });
    assert_eq!(one_by_one.collect::<Dump>(), together);
    together
}

impl Both {
    fn limits(mode: Mode) -> Limits {
        let bytes_max = if mode == Mode::Evicting { 30_000 } else { usize::MAX };
        let retention = Duration::from_millis(RETENTION.unsigned_abs());
        let block_rows = if mode == Mode::Files { 32 } else { ROWS_MAX };
        Limits { series_max: 100, bytes_max, retention, block_rows }
    }

    fn new(mode: Mode) -> Both {
        let (mut files, (mut store, mut writer)) = (None, Store::new(Both::limits(mode)));
        if mode == Mode::Files {
            let disk = SimDisk::new(0);
            let restored = restore(&disk, Restoring::new(Both::limits(mode)));
            let checkpoints = Checkpoints::open(Arc::new(disk.clone()), Path::new("/c")).unwrap();
            (store, writer) = (restored.store, restored.writer);
            files = Some(Filing { disk, filer: restored.filer, checkpoints });
        }
        let evicting = mode == Mode::Evicting;
        let lanes = LANES.iter().map(|(s, g)| writer.lane(Source(*s), GroupId(*g))).collect();
        writer.unmarked(Source(900));
        writer.retain(Timestamp(1_000_000));
        let now = 1_000_000;
        let lane = NaiveLane { seen: Some(now), ..NaiveLane::default() };
        Both {
            files,
            store,
            writer,
            lanes,
            naive_lanes: vec![lane; LANES.len()],
            naive: Naive {
                samples: Vec::new(),
                ends: vec![(vec![], false); 4],
                births: Vec::new(),
                births_since: 0,
                cut: 0,
                now,
            },
            staged: vec![(vec![], false); 4],
            marked: vec![now; 4],
            position: 0,
            clock: now,
            views: Vec::new(),
            follower: feed::Follower::default(),
            evicting,
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Define(lane, places) => {
                let column = |label: u8| definition(label_set(label));
                let columns: Vec<_> = places.iter().map(|p| p.map(column)).collect();
                self.writer.define(self.lanes[lane], &columns, 100);
                self.naive_lanes[lane].define(&places);
            }
            Op::Add(lane, place, label) => {
                let column = definition(label_set(label));
                let refused = self.writer.add(self.lanes[lane], ColumnIndex(place), column);
                self.naive_lanes[lane].add(place as usize, label);
                let held = self.naive_lanes[lane].places[place as usize].as_ref().unwrap().held;
                assert_eq!(refused.is_none(), held);
            }
            Op::End(lane, place) => {
                self.writer.end(self.lanes[lane], ColumnIndex(place));
                self.naive_lanes[lane].end(place as usize);
            }
            Op::Rows { lane, count, step, seed } => {
                for i in 0..count as u64 {
                    self.clock += step;
                    self.position += 1;
                    self.row(lane, seed.wrapping_add(i / 3));
                }
            }
            Op::Frame { step, seed } => {
                self.clock += step;
                self.position += 1;
                (0..LANES.len()).for_each(|lane| self.row(lane, seed.wrapping_add(lane as u64)));
            }
            Op::Echo(lane, pick) => self.echo(lane, pick),
            Op::LateRow(lane, back) => self.late(lane, back),
            Op::Wait(time) => self.clock += time,
            Op::Mark { source, back } => self.mark(source, back),
            Op::Goodbye(source) => {
                self.writer.end_source(Source(LANES[source].0), Timestamp(self.marked[source]));
                let (at, first) = (self.marked[source], self.first(source));
                let (ends, closed) = &mut self.staged[first];
                if first != 3
                    && !*closed
                    && let Some(end) = ends.pop()
                {
                    let floor = ends.last().map_or(i64::MIN, |before| before + 1);
                    ends.push(if end == i64::MIN { end } else { at.max(floor) });
                    *closed = true;
                }
            }
            Op::Publish => self.publish(),
            Op::Retain => self.retain(),
            Op::View => self.view(),
            Op::Poll { back } => self.poll(back),
            Op::File => self.file(),
            Op::Restart => self.restart(),
        }
    }

    fn file(&mut self) {
        let Some(files) = &mut self.files else { return };
        files.filer.forget(&self.writer.take_gone());
        let filing = self.writer.take_filing();
        self.writer.filed(files.filer.append(Timestamp(self.clock), filing).unwrap());
    }

    /// A store from a checkpoint in place of the one before; views of that one stay.
    fn restart(&mut self) {
        self.publish();
        let Some(files) = &mut self.files else { return };
        files.filer.forget(&self.writer.take_gone());
        let mut capture = self.writer.capture();
        let filing = capture.take_filing();
        files.filer.append(Timestamp(self.clock), filing).unwrap();
        files.filer.sync().unwrap();
        let filer = &files.filer;
        let at = capture.position();
        files.checkpoints.write(at, |sections| capture.put(filer, sections)).unwrap();
        files.filer.unlink().unwrap();
        let before = dump(&self.store.view(Timestamp(self.clock)), ALL);
        files.disk.power_cut(self.position);
        let disk = Arc::new(files.disk.clone());
        files.checkpoints = Checkpoints::open(disk, Path::new("/c")).unwrap();
        let mut restoring = Restoring::new(Both::limits(Mode::Files));
        let newest = *files.checkpoints.numbers().last().unwrap();
        let mut each =
            |kind, bytes: &[u8]| restoring.record(kind, bytes).map(|known| assert!(known));
        assert_eq!(files.checkpoints.read(newest, &mut each).unwrap(), at);
        let restored = restore(&files.disk, restoring);
        (self.store, self.writer, files.filer) = (restored.store, restored.writer, restored.filer);
        assert_eq!(dump(&self.store.view(Timestamp(self.clock)), ALL), before);
        self.naive.births_since = self.position;
        // Blocks in files cannot be read after the cut by those who had opened them before.
        self.views.clear();
    }

    fn first(&self, source: usize) -> usize {
        LANES.iter().position(|(s, _)| *s == LANES[source].0).unwrap()
    }

    fn echo(&mut self, lane: usize, pick: usize) {
        let last = self.naive_lanes[lane].last;
        let times: BTreeSet<i64> = self.naive.samples.iter().map(|s| s.3).collect();
        let later: Vec<i64> = times.into_iter().filter(|time| Some(*time) > last).collect();
        if later.is_empty() {
            return;
        }
        self.position += 1;
        let clock = std::mem::replace(&mut self.clock, later[pick % later.len()]);
        self.row(lane, pick as u64);
        self.clock = clock;
    }

    fn row(&mut self, lane: usize, seed: u64) {
        let mix = |i: u64| (seed ^ (i << 7)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        let values: Vec<f64> = (0..5).map(|i| value(mix(i))).collect();
        let (at, time) = (Position(self.position), Timestamp(self.clock));
        let appended = self.writer.append(self.lanes[lane], at, time, &values);
        let last = self.naive_lanes[lane].last;
        let (row, births, goes_on) = self.naive_lanes[lane].row(&values);
        assert_eq!(appended.samples as usize, row.len());
        assert_eq!(appended.out_of_order, 0);
        self.naive_lanes[lane].last = Some(self.clock);
        let (position, clock) = (self.position, self.clock);
        for label in births {
            let after = last.filter(|_| goes_on).map(Timestamp);
            let mut origin = after.map_or(Origin::First, Origin::After);
            if (0..LANES.len()).any(|other| other != lane && self.holds(other, label)) {
                origin = Origin::Elsewhere;
            }
            self.naive.births.push((label, position, clock, origin));
        }
        let row = row.into_iter().map(|(label, value)| (label, lane, position, clock, value));
        self.naive.samples.extend(row);
    }

    /// Whether a lane of a source that lives holds a label.
    fn holds(&self, lane: usize, label: u8) -> bool {
        let source = self.first(lane);
        let (ends, _) = &self.naive.ends[source];
        let lives = ends.last().is_none_or(|end| self.clock < *end);
        lives && self.naive_lanes[lane].born.contains(&label)
    }

    fn late(&mut self, lane: usize, back: i64) {
        let Some(last) = self.naive_lanes[lane].last else { return };
        self.position += 1;
        let (at, time) = (Position(self.position), Timestamp(last - back));
        let appended = self.writer.append(self.lanes[lane], at, time, &[1.0, ABSENT, 2.0]);
        assert_eq!(appended, Appended { out_of_order: 2, ..Appended::default() });
    }

    fn mark(&mut self, source: usize, back: i64) {
        let first = self.first(source);
        let from = self.marked[first].max(self.clock - back);
        let through = from.max(self.clock);
        self.writer.mark(Source(LANES[source].0), Timestamp(from), Timestamp(through));
        for (other, _) in LANES.iter().enumerate().filter(|(_, l)| l.0 == LANES[source].0) {
            self.marked[other] = through;
        }
        if first == 3 {
            return;
        }
        let (ends, closed) = &mut self.staged[first];
        match ends.last_mut() {
            Some(end) if !*closed && from <= *end => *end = through + 5_000,
            Some(end) => {
                let fresh = (through + 5_000).max(*end + 1);
                ends.push(fresh);
            }
            None => ends.push(through + 5_000),
        }
        *closed = false;
    }

    fn publish(&mut self) {
        self.writer.publish(Position(self.position));
        self.naive.cut = self.position;
        self.naive.ends = self.staged.clone();
    }

    fn retain(&mut self) {
        // What a view of this age still sees is not promised.
        let old = |(view, ..): &(View, Naive, Dump)| view.now() < Timestamp(self.clock - 300_000);
        let (old, young): (Vec<_>, _) = std::mem::take(&mut self.views).into_iter().partition(old);
        self.views = young;
        for (view, naive, seen) in old {
            self.compare(&view, &naive, &seen);
        }
        self.naive.now = self.clock;
        self.writer.retain(Timestamp(self.clock));
        for lane in self.naive_lanes.iter_mut().filter(|lane| !lane.asleep) {
            let last = lane.last.unwrap_or_else(|| *lane.seen.get_or_insert(self.naive.now));
            if last < self.clock - RETENTION - 300_000 {
                lane.asleep = true;
                lane.ending.clear();
                lane.born.clear();
                lane.places.iter_mut().flatten().for_each(|p| (p.held, p.settled) = (false, false));
            }
        }
    }

    fn view(&mut self) {
        self.naive.now = self.clock;
        let view = self.store.view(Timestamp(self.clock));
        let seen = dump(&view, ALL);
        self.views.push((view, self.naive.clone(), seen));
        if self.views.len() > 3 {
            let (view, naive, seen) = self.views.remove(1);
            self.compare(&view, &naive, &seen);
        }
    }

    fn compare(&self, view: &View, naive: &Naive, seen: &Dump) {
        assert_eq!(&dump(view, ALL), seen, "a view stays the same for its life");
        assert!(seen.is_sorted_by(|a, b| a.0 < b.0), "series are sorted and listed once");
        if self.evicting {
            return;
        }
        let middle = naive.now - RETENTION / 3;
        let windows = [
            ALL,
            Window { start: Timestamp(middle - 10_000), end: Timestamp(middle) },
            Window { start: Timestamp(naive.now - 5_000), end: Timestamp(naive.now) },
        ];
        for window in windows {
            let dump = dump(view, window);
            for label in naive.present(window) {
                let found = dump.iter().any(|(labels, _)| *labels == label_set(label));
                assert!(found, "{} has samples in {window:?}", label_set(label));
            }
            for (labels, column) in &dump {
                let label = (0..6).find(|l| label_set(*l) == *labels).unwrap();
                assert_eq!(column, &naive.column(label, window), "{labels} in {window:?}");
            }
        }
    }
}

fn restore(disk: &SimDisk, restoring: Restoring) -> Restored {
    let limits = FileLimits { bytes: 3000, span: Duration::from_secs(50) };
    let disk = Arc::new(disk.clone());
    let restored = restoring.finish(disk, Path::new("/f"), limits).unwrap();
    assert!(restored.files_broken.is_empty());
    restored
}

fn run(ops: Vec<Op>, mode: Mode) {
    let mut both = Both::new(mode);
    ops.into_iter().for_each(|op| both.apply(op));
    both.publish();
    both.view();
    both.poll(0);
    both.follower.finish(&both.naive, both.evicting);
    for (view, naive, seen) in std::mem::take(&mut both.views) {
        both.compare(&view, &naive, &seen);
    }
    both.writer.retain(Timestamp(both.clock + 10 * 300_000));
    both.writer.publish(Position(both.position));
    let stats = both.store.stats();
    assert_eq!(stats.blocks_damaged, 0);
    if mode == Mode::Files {
        return;
    }
    assert_eq!((stats.series, stats.blocks, stats.views), (0, 0, 0), "all is past retention");
    assert_eq!((stats.sealed_bytes, stats.pinned_bytes), (0, 0));
    assert_eq!(stats.series_created, stats.series_removed);
    assert_eq!(stats.samples_appended, both.naive.samples.len() as u64);
    assert_eq!(stats.samples_sealed, stats.samples_appended);
    assert_eq!(stats.samples_sealed, stats.samples_expired + stats.samples_evicted);
    assert!(both.store.view(Timestamp(both.clock)).series(&[], ALL, 100).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, max_shrink_iters: 4000, ..Default::default() })]

    #[test]
    fn lanes_are_a_map(ops in prop::collection::vec(op(), 1..40)) {
        run(ops, Mode::Memory);
    }

    #[test]
    fn files_and_restarts_do_not_show(ops in prop::collection::vec(op(), 1..40)) {
        run(ops, Mode::Files);
    }

    #[test]
    fn views_outlive_what_is_evicted(ops in prop::collection::vec(op(), 1..40)) {
        run(ops, Mode::Evicting);
    }
}
