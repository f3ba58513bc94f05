//! Sealed rows, column by column, with times and positions once.
//!
//! A [`Block`] is immutable and names the series of its columns. The newest of a lane are *parts*,
//! few rows each, merged until they are whole ([`merge`]); the rows before any part are
//! [`open::Open`].

pub(crate) mod merge;
pub(crate) mod open;

use std::ops::Range;
use std::sync::Arc;

use bellwether_model::id::Position;
use bellwether_model::select::{Column, Window};
use bellwether_model::series::{SeriesRef, is_absent};
use bellwether_model::time::Timestamp;

use crate::chunk::ints::{self, Order, Reader};
use crate::chunk::{self, Encoder};

/// The series of a block's columns, rising; blocks with the same columns share it.
pub(crate) type Names = Arc<[SeriesRef]>;

/// What a reader may see of a lane's rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) window: Window,
    pub(crate) cut: Position,
}

/// Samples of one series in one lane; with their positions only where they are asked for.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) column: Column,
    pub(crate) positions: Option<Vec<Position>>,
}

impl Run {
    fn push(&mut self, time: Timestamp, position: Position, value: f64) {
        self.column.push(time, value);
        if let Some(positions) = &mut self.positions {
            positions.push(position);
        }
    }
}

/// The end of what is written, as an offset. 100,000 columns of 480 raw values are below 2³² bytes.
fn end(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("invariant: columns and rows are bounded")
}

fn rows_within(times: &[Timestamp], end: usize, window: Window) -> Range<usize> {
    let start = times.partition_point(|t| *t <= window.start);
    let end = times.partition_point(|t| *t <= window.end).min(end);
    start.min(end)..end
}

/// Sealed rows: times, positions and one chunk per column, in one run of bytes.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) names: Names,
    pub(crate) rows: usize,
    pub(crate) samples: u64,
    time: (Timestamp, Timestamp),
    position: (Position, Position),
    /// A bit for each column: whether it has a value in every row. `None` if all have.
    full: Option<Box<[u8]>>,
    /// Where times and positions, and then each chunk, end.
    ends: Box<[u32]>,
    bytes: Box<[u8]>,
}

impl Block {
    /// Bytes held, but for the names, which blocks share.
    pub(crate) fn bytes(&self) -> usize {
        let full = self.full.as_ref().map_or(0, |full| full.len());
        size_of::<Block>() + size_of_val(&*self.ends) + self.bytes.len() + full
    }

    pub(crate) fn last_time(&self) -> Timestamp {
        self.time.1
    }

    /// Whether the stamps of the block and the span overlap; a row in it is not sure.
    pub(crate) fn near(&self, span: Span) -> bool {
        self.time.0 <= span.window.end
            && span.window.start < self.time.1
            && self.position.0 <= span.cut
    }

    /// The rows in the span.
    pub(crate) fn rows_of(&self, span: Span) -> Range<usize> {
        if !self.near(span) {
            return 0..0;
        }
        let whole = span.window.start < self.time.0 && span.window.contains(self.time.1);
        if whole && self.position.1 <= span.cut {
            return 0..self.rows;
        }
        self.stamps().rows_of(span)
    }

    /// Whether the series has a value in some of the rows.
    pub(crate) fn shows(&self, series: SeriesRef, rows: &Range<usize>) -> bool {
        let Some(at) = self.names.binary_search(&series).ok().filter(|_| !rows.is_empty()) else {
            return false;
        };
        self.is_full(at) || {
            let mut values = Vec::new();
            self.values(at, &mut values);
            values.get(rows.clone()).is_some_and(|values| !values.iter().all(|v| is_absent(*v)))
        }
    }

    /// Appends a series' samples in the span.
    pub(crate) fn read(
        &self,
        series: SeriesRef,
        span: Span,
        scratch: &mut Vec<f64>,
        out: &mut Run,
    ) {
        let found = self.names.binary_search(&series).ok();
        let Some(at) = found.filter(|_| self.near(span)) else { return };
        scratch.clear();
        self.values(at, scratch);
        let stamps = self.stamps();
        let stamped = stamps.times.iter().zip(&stamps.positions).zip(scratch.iter());
        let rows = stamps.rows_of(span);
        for ((time, position), value) in stamped.skip(rows.start).take(rows.len()) {
            if !is_absent(*value) {
                out.push(*time, *position, *value);
            }
        }
    }

    fn is_full(&self, column: usize) -> bool {
        let bit = |full: &[u8]| full.get(column / 8).is_some_and(|b| b >> (column % 8) & 1 == 1);
        self.full.as_deref().is_none_or(bit)
    }

    /// Appends the values of a column, absent ones among them.
    fn values(&self, column: usize, out: &mut Vec<f64>) {
        let chunk = self.chunk(column);
        chunk::decode(chunk, self.rows, out).expect("invariant: a block holds its own chunks");
    }

    fn chunk(&self, column: usize) -> &[u8] {
        self.part(column + 1)
    }

    fn stamps(&self) -> Stamps {
        let mut stamps = Stamps {
            times: Vec::with_capacity(self.rows),
            positions: Vec::with_capacity(self.rows),
        };
        let mut reader = Reader(self.part(0));
        let times = |i| stamps.times.push(Timestamp(i));
        ints::take(&mut reader, Order::Second, self.rows, times)
            .expect("invariant: a block holds its own stamps");
        let positions = |i: i64| stamps.positions.push(Position(i.cast_unsigned()));
        ints::take(&mut reader, Order::Second, self.rows, positions)
            .expect("invariant: a block holds its own positions");
        stamps
    }

    fn part(&self, at: usize) -> &[u8] {
        let start = if at == 0 { Some(&0) } else { self.ends.get(at - 1) };
        let range = start.zip(self.ends.get(at)).map(|(s, e)| *s as usize..*e as usize);
        range.and_then(|r| self.bytes.get(r)).expect("invariant: offsets lie in the block")
    }
}

/// Times and positions of rows.
#[derive(Debug, Default)]
struct Stamps {
    times: Vec<Timestamp>,
    positions: Vec<Position>,
}

impl Stamps {
    fn rows_of(&self, span: Span) -> Range<usize> {
        let end = self.positions.partition_point(|p| *p <= span.cut);
        rows_within(&self.times, end, span.window)
    }
}

/// Builds a block column by column.
struct Builder<'a> {
    encoder: &'a mut Encoder,
    rows: usize,
    time: (Timestamp, Timestamp),
    position: (Position, Position),
    samples: u64,
    full: Vec<u8>,
    all_full: bool,
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl<'a> Builder<'a> {
    /// `None` if there are no rows.
    fn new(encoder: &'a mut Encoder, stamps: &Stamps, columns: usize) -> Option<Builder<'a>> {
        let time = (*stamps.times.first()?, *stamps.times.last()?);
        let position = (*stamps.positions.first()?, *stamps.positions.last()?);
        let mut bytes = Vec::with_capacity(columns * 8 + 64);
        let times: Vec<i64> = stamps.times.iter().map(|t| t.0).collect();
        ints::put(&times, Order::Second, &mut bytes);
        let positions: Vec<i64> = stamps.positions.iter().map(|p| p.0.cast_signed()).collect();
        ints::put(&positions, Order::Second, &mut bytes);
        let mut ends = Vec::with_capacity(columns + 1);
        ends.push(end(&bytes));
        let full = vec![0; columns.div_ceil(8)];
        let rows = times.len();
        let counts = (0, true);
        let (samples, all_full) = counts;
        Some(Builder { encoder, rows, time, position, samples, full, all_full, ends, bytes })
    }

    /// Adds the next column.
    fn column(&mut self, values: &[f64]) {
        let start = self.bytes.len();
        self.encoder.encode(values, &mut self.bytes);
        let full = self.bytes.get(start..).is_some_and(chunk::is_full);
        let absent = if full { 0 } else { values.iter().filter(|v| is_absent(**v)).count() };
        self.ended(full, values.len() - absent);
    }

    /// Adds the next column, of one value in all rows, by its chunk.
    fn constant(&mut self, chunk: &[u8]) {
        self.bytes.extend_from_slice(chunk);
        self.ended(true, self.rows);
    }

    fn ended(&mut self, full: bool, samples: usize) {
        let column = self.ends.len() - 1;
        if let Some(byte) = self.full.get_mut(column / 8) {
            *byte |= u8::from(full) << (column % 8);
        }
        self.all_full &= full;
        self.samples += samples as u64;
        self.ends.push(end(&self.bytes));
    }

    fn finish(self, names: Names) -> Block {
        assert_eq!(self.ends.len(), names.len() + 1, "invariant: a chunk for each name");
        Block {
            names,
            rows: self.rows,
            samples: self.samples,
            time: self.time,
            position: self.position,
            full: (!self.all_full).then(|| self.full.into()),
            ends: self.ends.into(),
            bytes: self.bytes.into(),
        }
    }
}
