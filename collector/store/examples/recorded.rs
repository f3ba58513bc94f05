//! Replays the frames of a collector's journal into a store with chunk files and measures the bytes
//! a sample takes:
//! `cargo run --release -p bellwether-store --example recorded -- JOURNAL EMPTY-DIRECTORY [TIMES]`.
//! The journal is read so many times, one behind the other: minutes become
//! hours. With `--columns`, the metrics that take most are listed. The journal must be a copy:
//! opening one takes space for its next segments.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bellwether_model::id::Position;
use bellwether_model::label::LabelSet;
use bellwether_model::select::{Column, Metadata, Select, Window};
use bellwether_model::time::Timestamp;
use bellwether_model::wire::decode::{Change, Decoder, Purpose};
use bellwether_model::wire::frame::{Frame, Inflater};
use bellwether_model::wire::table::{ColumnIndex, ColumnSpec};
use bellwether_platform::disk::RealDisk;
use bellwether_platform::journal::{Journal, Options};
use bellwether_store::chunk::{Encoder, ROWS_MAX};
use bellwether_store::{Definition, FileLimits, LaneId, Limits, Restoring, Source, Store, Writer};

/// Where the frame's skips are counted in an entry of kind 1 (`collector/JOURNAL.md`).
const SKIPS_AT: usize = 42;
const FRAME: u8 = 1;

struct Replay {
    decoder: Decoder,
    inflater: Inflater,
    writer: Writer,
    frames: u64,
    wire_bytes: usize,
    last: Timestamp,
    /// Added to stamps, in ms, and to positions.
    shift: (i64, u64),
    first: Option<Timestamp>,
}

fn definition(target: &LabelSet, spec: &ColumnSpec) -> Option<Definition> {
    let labels = LabelSet::new(target.iter().chain(spec.labels.iter())).ok()?;
    let (help, unit) = (spec.help.as_ref().into(), spec.unit.as_ref().into());
    Some(Definition { labels, metadata: Arc::new(Metadata { kind: spec.kind, help, unit }) })
}

impl Replay {
    fn entry(&mut self, position: Position, bytes: &[u8]) {
        let frame = bytes.get(SKIPS_AT + 1..).filter(|_| bytes.first() == Some(&FRAME));
        let Some(frame) = frame else { return };
        assert_eq!(bytes.get(SKIPS_AT), Some(&0), "a recording without skips");
        let (frame, _) = Frame::read(frame).expect("a whole frame");
        let sections = frame.sections(&mut self.inflater).expect("sections");
        let read = self.decoder.read(frame.header(), sections, Purpose::Apply);
        let groups = read.expect("rows that build on each other").to_vec();
        for group in groups {
            let Some(state) = self.decoder.group_mut(group) else { continue };
            let lane = self.writer.lane(Source(1), group);
            let change = state.take_change();
            let target = state.target().clone();
            change_columns(&mut self.writer, lane, &target, change);
            let (position, time) = (Position(position.0 + self.shift.1), state.time());
            let time = Timestamp(time.0 + self.shift.0);
            self.first.get_or_insert(time);
            self.writer.append(lane, position, time, state.values());
            self.last = self.last.max(time);
        }
        self.writer.publish(Position(position.0 + self.shift.1));
        self.frames += 1;
        self.wire_bytes += frame.bytes().len();
    }
}

fn change_columns(writer: &mut Writer, lane: LaneId, target: &LabelSet, change: Change) {
    match change {
        Change::Same => {}
        Change::Key(columns) => {
            let column = |spec: &Option<ColumnSpec>| definition(target, spec.as_ref()?);
            let columns: Vec<_> = columns.iter().map(column).collect();
            writer.define(lane, &columns, usize::MAX);
        }
        Change::Edits(edits) => {
            for (place, spec) in edits {
                match spec.and_then(|spec| definition(target, &spec)) {
                    Some(definition) => drop(writer.add(lane, ColumnIndex(place), definition)),
                    None => writer.end(lane, ColumnIndex(place)),
                }
            }
        }
    }
}

/// Encodes what the store holds in chunks of their full length, metric by metric.
fn by_metric(store: &Store, now: Timestamp) {
    let view = store.view(now);
    let all = Window { start: Timestamp::MIN, end: now };
    let (mut encoder, mut out) = (Encoder::default(), Column::default());
    let mut metrics: BTreeMap<String, (usize, usize, usize)> = BTreeMap::new();
    let (mut bytes_all, mut samples_all) = (0, 0);
    for series in view.series(&[], all, usize::MAX - 1) {
        view.samples(series, all, &mut out);
        let mut bytes = Vec::new();
        for values in out.values.chunks(ROWS_MAX) {
            encoder.encode(values, &mut bytes);
        }
        let name = view.labels(series).name().to_owned();
        let metric = metrics.entry(name).or_default();
        *metric = (metric.0 + bytes.len(), metric.1 + out.len(), metric.2 + 1);
        bytes_all += bytes.len();
        samples_all += out.len();
    }
    println!("chunks alone: {:.3} bytes a sample", bytes_all as f64 / samples_all as f64);
    let mut sorted: Vec<_> = metrics.into_iter().collect();
    sorted.sort_unstable_by_key(|(_, (bytes, ..))| std::cmp::Reverse(*bytes));
    for (name, (bytes, samples, series)) in sorted.iter().take(30) {
        let each = *bytes as f64 / *samples as f64;
        println!("{bytes:9} bytes {each:6.3} a sample {series:4} series {name}");
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (flags, arguments): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let [journal, dir, times @ ..] = arguments.as_slice() else {
        return Err("the directories of a journal and of chunk files are missing".into());
    };
    let times: u64 = times.first().map_or(Ok(1), |times| times.parse())?;
    let disk = Arc::new(RealDisk);
    let restored =
        Restoring::new(Limits::default()).finish(disk, Path::new(dir), FileLimits::default())?;
    let (store, mut filer) = (restored.store, restored.filer);
    let mut replay = Replay {
        decoder: Decoder::new(1 << 20),
        inflater: Inflater::default(),
        writer: restored.writer,
        frames: 0,
        wire_bytes: 0,
        last: Timestamp(0),
        shift: (0, 0),
        first: None,
    };
    let options = Options { segment_bytes: 16 << 20, ..Options::default() };
    for _ in 0..times {
        let mut last = Position(0);
        let mut each = |position: Position, bytes: &[u8]| {
            replay.entry(position, bytes);
            last = position;
            Ok(())
        };
        Journal::open(Arc::new(RealDisk), Path::new(journal), options, &mut each)?;
        let filing = replay.writer.take_filing();
        replay.writer.filed(filer.append(replay.last, filing)?);
        let first = replay.first.take().unwrap_or_default();
        replay.shift.0 += replay.last.millis_since(first) + 1000;
        replay.shift.1 += last.0;
        replay.decoder.clear();
    }
    // With the index that ends each file.
    filer.close_old(Timestamp::MAX)?;
    filer.sync()?;
    let stats = store.stats();
    println!("{} frames, {} series, {} lanes", replay.frames, stats.series, stats.lanes);
    let wire = replay.wire_bytes as f64 / stats.samples_appended as f64;
    println!("wire: {wire:.3} bytes a sample");
    let sealed = stats.sealed_bytes as f64 / stats.samples_sealed as f64;
    println!("sealed: {sealed:.3} bytes a sample in {} blocks", stats.blocks);
    let files = filer.bytes() as f64 / stats.samples_sealed as f64;
    println!("files: {files:.3} bytes a sample, all included");
    println!("open: {} bytes a series", stats.open_bytes / stats.series.max(1));
    if flags.iter().any(|flag| flag == "--columns") {
        by_metric(&store, replay.last);
    }
    Ok(())
}
