//! The state of the store as of now, copied so that another thread can write it down.
//!
//! The copy is bounded by what is open: labels, blocks and layouts are shared by pointers, and what
//! lies in files is not looked at. [`Capture::put`] gives the records (`FORMAT.md`, checkpoints).

use std::sync::Arc;

use bellwether_model::id::Position;
use bellwether_model::label::LabelSet;
use bellwether_model::select::Metadata;
use bellwether_model::series::SeriesRef;
use bellwether_model::time::Timestamp;
use bellwether_model::wire::bytes::{put_labels, put_text, put_varint, put_zigzag};
use bellwether_platform::disk::DiskError;

use super::Writer;
use super::columns::{LaneState, Place};
use crate::block::open::Open;
use crate::block::{Block, Names};
use crate::checkpoint::Sections;
use crate::files::{Filer, Filing};
use crate::lane::LaneId;
use crate::liveness::Marks;
use crate::{Source, read};

pub(super) const STORE: u8 = 1;
pub(super) const SERIES: u8 = 2;
pub(super) const METRIC: u8 = 3;
pub(super) const SOURCE: u8 = 4;
pub(super) const LANE: u8 = 5;
pub(super) const FILE: u8 = 6;

pub(super) const EMPTY: u8 = 0;
pub(super) const HELD: u8 = 1;
pub(super) const SETTLED: u8 = 2;
pub(super) const REFUSED: u8 = 3;
pub(super) const DEFINED: u8 = 4;

/// A store's state; see [`Writer::capture`].
#[derive(Debug)]
pub struct Capture {
    cut: Position,
    next_series: u32,
    next_lane: usize,
    series: Vec<(SeriesRef, LabelSet)>,
    metrics: Vec<(Box<str>, Arc<Metadata>)>,
    sources: Vec<(Source, usize, bool)>,
    marks: Marks,
    lanes: Vec<LaneCopy>,
    filing: Filing,
}

#[derive(Debug)]
struct LaneCopy {
    id: LaneId,
    source: Source,
    group: u32,
    asleep: bool,
    unsettled: bool,
    width: usize,
    next_names: u32,
    last: Option<(Timestamp, Position)>,
    seen: Option<Timestamp>,
    places: Vec<PlaceCopy>,
    ending: Vec<SeriesRef>,
    marking: Vec<(SeriesRef, usize)>,
    ended: Vec<SeriesRef>,
    fresh: Vec<SeriesRef>,
    used: Vec<(u32, Names)>,
    unborn: Vec<SeriesRef>,
    open: Open,
    parts: Vec<Arc<Block>>,
}

#[derive(Debug)]
enum PlaceCopy {
    Empty,
    Held(SeriesRef, bool),
    Refused,
    Defined(LabelSet, Arc<Metadata>),
}

impl PlaceCopy {
    fn of(place: Option<&Place>) -> PlaceCopy {
        let Some(place) = place else { return PlaceCopy::Empty };
        match (place.series, &place.definition) {
            (Some(series), _) => PlaceCopy::Held(series, place.settled),
            (None, Some(defined)) => {
                PlaceCopy::Defined(defined.labels.clone(), Arc::clone(&defined.metadata))
            }
            (None, None) => PlaceCopy::Refused,
        }
    }

    fn put(&self, before: &mut u32, out: &mut Vec<u8>) {
        match self {
            PlaceCopy::Empty => out.push(EMPTY),
            PlaceCopy::Held(series, settled) => {
                out.push(if *settled { SETTLED } else { HELD });
                put_series(*series, before, out);
            }
            PlaceCopy::Refused => out.push(REFUSED),
            PlaceCopy::Defined(labels, metadata) => {
                out.push(DEFINED);
                put_labels(out, labels);
                put_metadata(metadata, out);
            }
        }
    }
}

impl Writer {
    /// Copies the state as of the last publication, with the blocks that wait for a file. All that
    /// [`Writer::take_filing`] has given must have come back.
    pub fn capture(&mut self) -> Capture {
        let filing = self.take_filing();
        let index = read(&self.shared.index);
        let published = read(&self.shared.published);
        let series = index.all().map(|(series, labels)| (series, labels.clone()));
        let metrics = index.metrics().map(|(name, metadata)| (name.into(), Arc::clone(metadata)));
        let sources = self.sources.iter();
        Capture {
            cut: published.cut,
            next_series: index.next(),
            next_lane: self.lanes.len(),
            series: series.collect(),
            metrics: metrics.collect(),
            sources: sources.map(|(s, state)| (*s, state.series_max, state.forgotten)).collect(),
            marks: published.front.marks.clone(),
            lanes: self.lanes.iter().flatten().map(LaneState::copy).collect(),
            filing,
        }
    }
}

impl LaneState {
    fn copy(&self) -> LaneCopy {
        let rows = read(&self.shared.rows);
        LaneCopy {
            id: self.id,
            source: self.source,
            group: self.group.0,
            asleep: self.asleep,
            unsettled: self.unsettled,
            width: self.width,
            next_names: self.next_names,
            last: self.last,
            seen: self.seen,
            places: self.places.iter().map(|place| PlaceCopy::of(place.as_ref())).collect(),
            ending: self.ending.clone(),
            marking: self.marking.clone(),
            ended: self.ended.clone(),
            fresh: self.fresh.clone(),
            unborn: self.unborn.iter().map(|(series, _)| *series).collect(),
            used: self.used.iter().map(|used| (used.id, Arc::clone(&used.names))).collect(),
            open: rows.open.clone(),
            parts: rows.parts.clone(),
        }
    }
}

impl Capture {
    /// The last position whose rows it holds.
    #[must_use]
    pub fn position(&self) -> Position {
        self.cut
    }

    /// The blocks that must be in files before it is written. What becomes of them goes to
    /// [`Writer::filed`], whether it is written or not.
    pub fn take_filing(&mut self) -> Filing {
        std::mem::take(&mut self.filing)
    }

    /// Writes the records of the store. The files of `filer` must be synced.
    ///
    /// # Errors
    /// The disk failed.
    pub fn put(&self, filer: &Filer, sections: &mut Sections<'_>) -> Result<(), DiskError> {
        let mut out = Vec::new();
        put_varint(&mut out, self.cut.0);
        put_varint(&mut out, u64::from(self.next_series));
        put_varint(&mut out, self.next_lane as u64);
        sections.record(STORE, &out)?;
        for (series, labels) in &self.series {
            out.clear();
            put_varint(&mut out, u64::from(series.0));
            put_labels(&mut out, labels);
            sections.record(SERIES, &out)?;
        }
        for (name, metadata) in &self.metrics {
            out.clear();
            put_text(&mut out, name);
            put_metadata(metadata, &mut out);
            sections.record(METRIC, &out)?;
        }
        for (source, series_max, forgotten) in &self.sources {
            out.clear();
            put_varint(&mut out, u64::from(source.0));
            put_varint(&mut out, *series_max as u64);
            out.push(u8::from(*forgotten));
            let known = self.marks.of(*source);
            out.push(u8::from(known.is_some()));
            known.into_iter().for_each(|intervals| intervals.put(&mut out));
            sections.record(SOURCE, &out)?;
        }
        for lane in &self.lanes {
            out.clear();
            lane.put(&mut out);
            sections.record(LANE, &out)?;
        }
        let mut written = Ok(());
        filer.put(|file| {
            if written.is_ok() {
                written = sections.record(FILE, file);
            }
        });
        written
    }
}

impl LaneCopy {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.id.0));
        put_varint(out, u64::from(self.source.0));
        put_varint(out, u64::from(self.group));
        out.push(u8::from(self.asleep) | u8::from(self.unsettled) << 1);
        put_varint(out, self.width as u64);
        put_varint(out, u64::from(self.next_names));
        out.push(u8::from(self.last.is_some()) | u8::from(self.seen.is_some()) << 1);
        if let Some((time, position)) = self.last {
            put_zigzag(out, time.0);
            put_varint(out, position.0);
        }
        self.seen.into_iter().for_each(|seen| put_zigzag(out, seen.0));
        let mut before = 0;
        put_varint(out, self.places.len() as u64);
        self.places.iter().for_each(|place| place.put(&mut before, out));
        for list in [&self.ending, &self.ended, &self.fresh] {
            put_list(list, out);
        }
        put_varint(out, self.marking.len() as u64);
        for (series, column) in &self.marking {
            put_varint(out, u64::from(series.0));
            put_varint(out, *column as u64);
        }
        put_varint(out, self.used.len() as u64);
        for (id, names) in &self.used {
            put_varint(out, u64::from(*id));
            put_list(names, out);
        }
        self.put_open(out);
        put_varint(out, self.parts.len() as u64);
        self.parts.iter().for_each(|part| self.put_part(part, out));
        put_list(&self.unborn, out);
    }

    fn put_open(&self, out: &mut Vec<u8>) {
        let columns = self.open.layout.columns();
        put_varint(out, columns.len() as u64);
        let mut before = 0;
        for column in columns {
            out.push(u8::from(column.is_some()));
            column.iter().for_each(|series| put_series(*series, &mut before, out));
        }
        put_varint(out, self.open.stamps.times.len() as u64);
        for (time, position) in self.open.stamps.times.iter().zip(&self.open.stamps.positions) {
            put_zigzag(out, time.0);
            put_varint(out, position.0);
        }
        self.open.values.iter().for_each(|value| {
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        });
    }

    fn put_part(&self, part: &Block, out: &mut Vec<u8>) {
        let used = self.used.iter().find(|(_, names)| Arc::ptr_eq(names, &part.names));
        put_varint(out, u64::from(used.expect("invariant: a part's names are noted").0));
        put_varint(out, part.rows as u64);
        put_varint(out, part.stamp_bytes().len() as u64);
        (0..part.names.len()).for_each(|at| put_varint(out, part.chunk(at).len() as u64));
        put_varint(out, part.all_bytes().len() as u64);
        out.extend_from_slice(part.all_bytes());
    }
}

fn put_list(series: &[SeriesRef], out: &mut Vec<u8>) {
    put_varint(out, series.len() as u64);
    let mut before = 0;
    series.iter().for_each(|series| put_series(*series, &mut before, out));
}

/// A series as the difference to the one before it.
fn put_series(series: SeriesRef, before: &mut u32, out: &mut Vec<u8>) {
    put_zigzag(out, i64::from(series.0) - i64::from(*before));
    *before = series.0;
}

fn put_metadata(metadata: &Metadata, out: &mut Vec<u8>) {
    out.push(metadata.kind as u8);
    put_text(out, &metadata.help);
    put_text(out, &metadata.unit);
}
