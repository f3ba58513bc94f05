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
use bellwether_model::series::{ABSENT, SeriesRef, is_absent};
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
    /// The first position that counts.
    pub(crate) from: Position,
}

impl Span {
    /// Whether rows of these first and last stamps and positions may lie inside.
    pub(crate) fn meets(
        self,
        time: (Timestamp, Timestamp),
        position: (Position, Position),
    ) -> bool {
        time.0 <= self.window.end && self.window.start < time.1 && self.has(position)
    }

    /// Whether all of them do.
    pub(crate) fn covers(
        self,
        time: (Timestamp, Timestamp),
        position: (Position, Position),
    ) -> bool {
        self.window.start < time.0
            && self.window.contains(time.1)
            && self.from <= position.0
            && position.1 <= self.cut
    }

    fn has(self, position: (Position, Position)) -> bool {
        position.0 <= self.cut && self.from <= position.1
    }
}

/// Samples of one series in one lane; with their positions only where they are asked for.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) column: Column,
    pub(crate) positions: Option<Vec<Position>>,
}

impl Run {
    /// No samples yet, with positions.
    pub(crate) fn positioned() -> Run {
        Run { positions: Some(Vec::new()), ..Run::default() }
    }

    pub(crate) fn newest(&self) -> Option<(Timestamp, f64)> {
        self.column.times.last().copied().zip(self.column.values.last().copied())
    }

    /// Keeps the first samples.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.column.times.truncate(len);
        self.column.values.truncate(len);
        self.positions.iter_mut().for_each(|positions| positions.truncate(len));
    }

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
    /// A part as a checkpoint holds it; `None` if it is none.
    pub(crate) fn restore(
        names: Names,
        rows: usize,
        lengths: &[usize],
        bytes: &[u8],
    ) -> Option<Block> {
        let mut ends = Vec::with_capacity(lengths.len());
        let mut at = 0_u32;
        for len in lengths {
            at = at.checked_add(u32::try_from(*len).ok()?)?;
            ends.push(at);
        }
        if rows == 0
            || rows > chunk::ROWS_MAX
            || ends.len() != names.len() + 1
            || at as usize != bytes.len()
        {
            return None;
        }
        let (stamps, rest) = Stamps::read(bytes.get(..*ends.first()? as usize)?, rows)?;
        let time = (*stamps.times.first()?, *stamps.times.last()?);
        let position = (*stamps.positions.first()?, *stamps.positions.last()?);
        let mut block = Block {
            names,
            rows,
            samples: 0,
            time,
            position,
            full: None,
            ends: ends.into(),
            bytes: bytes.into(),
        };
        let (mut full, mut scratch) = (vec![0; block.names.len().div_ceil(8)], Vec::new());
        for column in 0..block.names.len() {
            let is_full = chunk::is_full(block.chunk(column));
            if let Some(byte) = full.get_mut(column / 8) {
                *byte |= u8::from(is_full) << (column % 8);
            }
            block.samples += if is_full {
                rows as u64
            } else {
                scratch.clear();
                block.values(column, &mut scratch);
                scratch.iter().map(|v| u64::from(!is_absent(*v))).sum()
            };
        }
        let all = (0..block.names.len()).all(|column| chunk::is_full(block.chunk(column)));
        block.full = (!all).then(|| full.into());
        rest.is_empty().then_some(block)
    }

    /// First and last stamp, first and last position.
    pub(crate) fn bounds(&self) -> ((Timestamp, Timestamp), (Position, Position)) {
        (self.time, self.position)
    }

    /// Whether every column has a value in every row.
    pub(crate) fn all_full(&self) -> bool {
        self.full.is_none()
    }

    /// A bit for each column: whether it has a value in every row; nothing if all have.
    pub(crate) fn full_bits(&self) -> &[u8] {
        self.full.as_deref().unwrap_or_default()
    }

    /// Stamps and positions, encoded.
    pub(crate) fn stamp_bytes(&self) -> &[u8] {
        self.part(0)
    }

    /// All chunks, and stamps and positions before them.
    pub(crate) fn all_bytes(&self) -> &[u8] {
        &self.bytes
    }

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
        span.meets(self.time, self.position)
    }

    pub(crate) fn is_full(&self, column: usize) -> bool {
        let bit = |full: &[u8]| full.get(column / 8).is_some_and(|b| b >> (column % 8) & 1 == 1);
        self.full.as_deref().is_none_or(bit)
    }

    /// Appends the values of a column, absent ones among them.
    pub(crate) fn values(&self, column: usize, out: &mut Vec<f64>) {
        decode(self.chunk(column), self.rows, out);
    }

    /// Appends the values of some rows of a column, absent ones among them.
    pub(crate) fn values_of(&self, column: usize, rows: &Range<usize>, out: &mut Vec<f64>) {
        decode_some(self.chunk(column), self.rows, rows, out);
    }

    pub(crate) fn chunk(&self, column: usize) -> &[u8] {
        self.part(column + 1)
    }

    pub(crate) fn stamps(&self) -> Stamps {
        let read = Stamps::read(self.part(0), self.rows);
        read.expect("invariant: a block holds its own stamps").0
    }

    fn part(&self, at: usize) -> &[u8] {
        let start = if at == 0 { Some(&0) } else { self.ends.get(at - 1) };
        let range = start.zip(self.ends.get(at)).map(|(s, e)| *s as usize..*e as usize);
        range.and_then(|r| self.bytes.get(r)).expect("invariant: offsets lie in the block")
    }
}

/// Appends what a chunk says. One that says nothing sensible holds no value: its bytes are our own,
/// but a checkpoint may have carried them.
pub(crate) fn decode(chunk: &[u8], rows: usize, out: &mut Vec<f64>) {
    decode_some(chunk, rows, &(0..rows), out);
}

/// The same of some of the rows.
fn decode_some(chunk: &[u8], rows: usize, some: &Range<usize>, out: &mut Vec<f64>) {
    let end = out.len() + some.len();
    if chunk::decode_some(chunk, rows, some, out).is_err() {
        out.resize(end, ABSENT);
    }
}

/// Times and positions of rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stamps {
    pub(crate) times: Vec<Timestamp>,
    pub(crate) positions: Vec<Position>,
}

impl Stamps {
    /// Reads the stamps of `rows` rows, which rise; gives the bytes behind them too.
    pub(crate) fn read(bytes: &[u8], rows: usize) -> Option<(Stamps, &[u8])> {
        let (mut times, mut positions) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        let mut reader = Reader(bytes);
        ints::take(&mut reader, Order::Second, rows, |i| times.push(Timestamp(i))).ok()?;
        let put = |i: i64| positions.push(Position(i.cast_unsigned()));
        ints::take(&mut reader, Order::Second, rows, put).ok()?;
        let outside = |at: i64| !(-ints::MAGNITUDE_MAX..=ints::MAGNITUDE_MAX).contains(&at);
        let sound = times.is_sorted_by(|a, b| a < b)
            && positions.is_sorted()
            && !times.iter().any(|time| outside(time.0))
            && !positions.iter().any(|position| outside(position.0.cast_signed()));
        sound.then_some((Stamps { times, positions }, reader.0))
    }

    /// Keeps some of the rows.
    pub(crate) fn keep(&mut self, rows: &Range<usize>) {
        self.times.truncate(rows.end);
        self.times.drain(..rows.start.min(self.times.len()));
        self.positions.truncate(rows.end);
        self.positions.drain(..rows.start.min(self.positions.len()));
    }

    /// Appends the samples that a column of as many values has.
    pub(crate) fn put(&self, values: &[f64], out: &mut Run) {
        if values.len() == self.times.len() && !values.iter().any(|v| is_absent(*v)) {
            out.column.times.extend_from_slice(&self.times);
            out.column.values.extend_from_slice(values);
            if let Some(positions) = &mut out.positions {
                positions.extend_from_slice(&self.positions);
            }
            return;
        }
        for ((time, position), value) in self.times.iter().zip(&self.positions).zip(values) {
            if !is_absent(*value) {
                out.push(*time, *position, *value);
            }
        }
    }

    pub(crate) fn rows_of(&self, span: Span) -> Range<usize> {
        let end = self.positions.partition_point(|p| *p <= span.cut);
        let start = self.positions.partition_point(|p| *p < span.from);
        let rows = rows_within(&self.times, end, span.window);
        rows.start.max(start).min(rows.end)..rows.end
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

    /// Adds the next column from the chunks of all parts, if they can be joined as they are.
    fn joined(&mut self, parts: &[Arc<Block>], chunks: &[Option<&[u8]>]) -> bool {
        if chunks.iter().any(Option::is_none) {
            return false;
        }
        let rows = parts.iter().map(|part| part.rows);
        let joined = self.encoder.join(chunks.iter().flatten().copied().zip(rows), &mut self.bytes);
        if joined {
            self.ended(true, self.rows);
        }
        joined
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
