//! Rows of a lane: open ones as they came, and sealed ones column by column.
//!
//! A [`Layout`] says which series each column holds; it never changes while a row lies under it, so
//! that the series of a row are the same before and after its sealing. Times and positions are kept
//! once per row. A [`Block`] is immutable.

use std::sync::Arc;

use bellwether_model::id::Position;
use bellwether_model::select::{Column, Window};
use bellwether_model::series::{ABSENT, SeriesRef, is_absent};
use bellwether_model::time::Timestamp;

use crate::chunk::ints::{self, Order, Reader};
use crate::chunk::{self, Encoder};

/// Open rows of a lane before they are sealed. An agent writes a key section every 120 rows at the
/// latest, so runs are as long as one of its segments; a chunk's fixed cost (13 bytes) is 0.1 byte
/// a sample, and a column of open rows is under 1 KiB.
pub(crate) const OPEN_ROWS: usize = 120;

/// Which series each column holds; `None` where a place is empty.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    columns: Box<[Option<SeriesRef>]>,
    sorted: Box<[(SeriesRef, u32)]>,
}

impl Layout {
    pub(crate) fn new(columns: Vec<Option<SeriesRef>>) -> Layout {
        let placed = columns.iter().zip(0_u32..);
        let mut sorted: Vec<_> = placed.filter_map(|(s, at)| s.map(|s| (s, at))).collect();
        sorted.sort_unstable();
        Layout { columns: columns.into(), sorted: sorted.into() }
    }

    pub(crate) fn columns(&self) -> &[Option<SeriesRef>] {
        &self.columns
    }

    pub(crate) fn column_of(&self, series: SeriesRef) -> Option<usize> {
        let found = self.sorted.binary_search_by_key(&series, |(s, _)| *s).ok()?;
        self.sorted.get(found).map(|(_, at)| *at as usize)
    }

    /// The series of all columns, rising.
    pub(crate) fn series(&self) -> impl Iterator<Item = SeriesRef> + '_ {
        self.sorted.iter().map(|(series, _)| *series)
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.columns) + size_of_val(&*self.sorted)
    }
}

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

/// Rows not yet sealed, row by row.
#[derive(Debug, Default)]
pub(crate) struct Open {
    pub(crate) layout: Arc<Layout>,
    times: Vec<Timestamp>,
    positions: Vec<Position>,
    values: Vec<f64>,
}

impl Open {
    /// Bytes held, used or not, but for the layout.
    pub(crate) fn bytes(&self) -> usize {
        self.values.capacity() * 8 + self.times.capacity() * 16
    }

    /// Puts rows under another layout.
    ///
    /// # Panics
    /// Rows are open under the old one.
    pub(crate) fn lay_out(&mut self, layout: Arc<Layout>) {
        assert!(self.times.is_empty(), "invariant: rows are sealed before their layout changes");
        self.layout = layout;
        self.values = Vec::new();
    }

    /// Adds a row of absent values, to be filled by the caller.
    pub(crate) fn push(&mut self, position: Position, time: Timestamp) -> &mut [f64] {
        let (start, width) = (self.values.len(), self.layout.columns.len());
        if start + width > self.values.capacity() {
            let rows = (self.times.len() * 2).clamp(8, OPEN_ROWS);
            self.values.reserve_exact((rows * width).saturating_sub(start).max(width));
        }
        self.times.push(time);
        self.positions.push(position);
        self.values.resize(start + width, ABSENT);
        self.values.get_mut(start..).expect("invariant: the row was just added")
    }

    /// Forgets the rows; memory is kept for the next.
    pub(crate) fn clear(&mut self) {
        self.times.clear();
        self.positions.clear();
        self.values.clear();
    }

    /// The rows as a block; `None` if there are none.
    pub(crate) fn seal(&self, encoder: &mut Encoder) -> Option<Block> {
        let (first, last) = (*self.times.first()?, *self.times.last()?);
        let position = (*self.positions.first()?, *self.positions.last()?);
        let times: Vec<i64> = self.times.iter().map(|t| t.0).collect();
        let positions: Vec<i64> = self.positions.iter().map(|p| p.0.cast_signed()).collect();
        let mut bytes = Vec::with_capacity(self.values.len() / 2);
        ints::put(&times, Order::Second, &mut bytes);
        let mut ends = vec![end(&bytes)];
        ints::put(&positions, Order::Second, &mut bytes);
        ends.push(end(&bytes));
        let width = self.layout.columns.len();
        let mut column = Vec::with_capacity(self.times.len());
        let mut samples = 0;
        for (at, series) in self.layout.columns.iter().enumerate() {
            if series.is_some() {
                column.clear();
                column.extend(self.values.iter().skip(at).step_by(width).copied());
                samples += column.iter().filter(|v| !is_absent(**v)).count();
                encoder.encode(&column, &mut bytes);
            }
            ends.push(end(&bytes));
        }
        Some(Block {
            layout: Arc::clone(&self.layout),
            rows: self.times.len(),
            samples: samples as u64,
            time: (first, last),
            position,
            ends: ends.into(),
            bytes: bytes.into(),
        })
    }

    /// Whether a row lies in the span.
    pub(crate) fn meets(&self, span: Span) -> bool {
        !self.rows_of(span).is_empty()
    }

    /// Appends a series' samples in the span.
    pub(crate) fn read(&self, series: SeriesRef, span: Span, out: &mut Run) {
        let Some(at) = self.layout.column_of(series) else { return };
        let (rows, width) = (self.rows_of(span), self.layout.columns.len());
        let values = self.values.iter().skip(at).step_by(width.max(1));
        let stamps = self.times.iter().zip(&self.positions).zip(values);
        for ((time, position), value) in stamps.skip(rows.start).take(rows.len()) {
            if !is_absent(*value) {
                out.push(*time, *position, *value);
            }
        }
    }

    fn rows_of(&self, span: Span) -> std::ops::Range<usize> {
        let end = self.positions.partition_point(|p| *p <= span.cut);
        rows_within(&self.times, end, span.window)
    }
}

/// The end of what is written, as an offset. 100,000 columns of 480 raw values are below 2³² bytes.
fn end(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("invariant: columns and rows are bounded")
}

fn rows_within(times: &[Timestamp], end: usize, window: Window) -> std::ops::Range<usize> {
    let start = times.partition_point(|t| *t <= window.start);
    let end = times.partition_point(|t| *t <= window.end).min(end);
    start.min(end)..end
}

/// Sealed rows: times, positions and one chunk per column, in one run of bytes.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) layout: Arc<Layout>,
    rows: usize,
    pub(crate) samples: u64,
    time: (Timestamp, Timestamp),
    position: (Position, Position),
    /// Where times, positions and each chunk end.
    ends: Box<[u32]>,
    bytes: Box<[u8]>,
}

impl Block {
    /// Bytes held, but for the layout, which blocks share.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Block>() + size_of_val(&*self.ends) + self.bytes.len()
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

    /// Whether a row lies in the span.
    pub(crate) fn meets(&self, span: Span) -> bool {
        if !self.near(span) {
            return false;
        }
        let whole = span.window.contains(self.time.1) && self.position.1 <= span.cut;
        whole || !self.rows_of(&self.times(), span).is_empty()
    }

    /// Appends a series' samples in the span.
    pub(crate) fn read(
        &self,
        series: SeriesRef,
        span: Span,
        scratch: &mut Vec<f64>,
        out: &mut Run,
    ) {
        let Some(at) = self.layout.column_of(series).filter(|_| self.near(span)) else { return };
        let bytes = self.part(at + 2);
        if bytes.is_empty() {
            return;
        }
        let times = self.times();
        let rows = self.rows_of(&times, span);
        scratch.clear();
        chunk::decode(bytes, self.rows, scratch).expect("invariant: a block holds its own chunks");
        let positions = if out.positions.is_some() { self.positions() } else { Vec::new() };
        for (row, (time, value)) in times.iter().zip(scratch.iter()).enumerate() {
            if rows.contains(&row) && !is_absent(*value) {
                out.push(*time, positions.get(row).copied().unwrap_or_default(), *value);
            }
        }
    }

    fn rows_of(&self, times: &[Timestamp], span: Span) -> std::ops::Range<usize> {
        let end = if self.position.1 <= span.cut {
            times.len()
        } else {
            self.positions().partition_point(|p| *p <= span.cut)
        };
        rows_within(times, end, span.window)
    }

    fn times(&self) -> Vec<Timestamp> {
        self.integers(0, Timestamp)
    }

    fn positions(&self) -> Vec<Position> {
        self.integers(1, |i| Position(i.cast_unsigned()))
    }

    fn integers<T>(&self, part: usize, of: impl Fn(i64) -> T) -> Vec<T> {
        let mut out = Vec::with_capacity(self.rows);
        ints::take(&mut Reader(self.part(part)), Order::Second, self.rows, |i| out.push(of(i)))
            .expect("invariant: a block holds its own stamps");
        out
    }

    fn part(&self, at: usize) -> &[u8] {
        let start = if at == 0 { Some(&0) } else { self.ends.get(at - 1) };
        let range = start.zip(self.ends.get(at)).map(|(s, e)| *s as usize..*e as usize);
        range.and_then(|r| self.bytes.get(r)).expect("invariant: offsets lie in the block")
    }
}
