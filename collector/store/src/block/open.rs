//! Rows not yet sealed, row by row, and the layout they lie under.

use std::ops::Range;
use std::sync::Arc;

use bellwether_model::id::Position;
use bellwether_model::series::{ABSENT, SeriesRef, is_absent};
use bellwether_model::time::Timestamp;

use super::{Block, Builder, Names, Run, Span, Stamps};
use crate::chunk::Encoder;

/// Open rows of a lane before they are sealed: 128 bytes a column.
pub(crate) const OPEN_ROWS: usize = 16;

/// Which series each column of the open rows holds; `None` where a place is empty.
#[derive(Debug)]
pub(crate) struct Layout {
    columns: Box<[Option<SeriesRef>]>,
    pub(crate) names: Names,
    /// The column of each name.
    order: Box<[u32]>,
}

impl Default for Layout {
    fn default() -> Layout {
        Layout { columns: Box::default(), names: Arc::from([]), order: Box::default() }
    }
}

impl Layout {
    /// `names` is shared where the new layout has the same.
    pub(crate) fn new(columns: Vec<Option<SeriesRef>>, names: &Names) -> Layout {
        let placed = columns.iter().zip(0_u32..);
        let mut sorted: Vec<_> = placed.filter_map(|(s, at)| s.map(|s| (s, at))).collect();
        sorted.sort_unstable();
        let same = names.iter().copied().eq(sorted.iter().map(|(series, _)| *series));
        Layout {
            columns: columns.into(),
            names: if same { Arc::clone(names) } else { sorted.iter().map(|(s, _)| *s).collect() },
            order: sorted.into_iter().map(|(_, at)| at).collect(),
        }
    }

    pub(crate) fn columns(&self) -> &[Option<SeriesRef>] {
        &self.columns
    }

    pub(crate) fn column_of(&self, series: SeriesRef) -> Option<usize> {
        let found = self.names.binary_search(&series).ok()?;
        self.order.get(found).map(|at| *at as usize)
    }

    /// Bytes held, but for the names.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.columns) + size_of_val(&*self.order)
    }
}

/// Rows not yet sealed, row by row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Open {
    pub(crate) layout: Arc<Layout>,
    pub(crate) stamps: Stamps,
    pub(crate) values: Vec<f64>,
}

impl Open {
    /// Bytes held, used or not.
    pub(crate) fn bytes(&self) -> usize {
        self.values.capacity() * 8 + self.stamps.times.capacity() * 16 + self.layout.bytes()
    }

    /// Puts the rows under another layout, which holds every series of the old one that has rows.
    pub(crate) fn lay_out(&mut self, layout: Arc<Layout>) {
        let old = std::mem::replace(&mut self.layout, layout);
        let values = std::mem::take(&mut self.values);
        if self.stamps.times.is_empty() {
            return;
        }
        let width = self.layout.columns.len();
        self.values.resize(width * self.stamps.times.len(), ABSENT);
        for (series, from) in old.names.iter().zip(&old.order) {
            let Some(to) = self.layout.column_of(*series) else { continue };
            let from = values.iter().skip(*from as usize).step_by(old.columns.len());
            let to = self.values.iter_mut().skip(to).step_by(width);
            to.zip(from).for_each(|(to, from)| *to = *from);
        }
    }

    /// Adds a row of absent values, to be filled by the caller.
    pub(crate) fn push(&mut self, position: Position, time: Timestamp) -> &mut [f64] {
        let (start, width) = (self.values.len(), self.layout.columns.len());
        if start + width > self.values.capacity() {
            let rows = (self.stamps.times.len() * 2).clamp(4, OPEN_ROWS);
            self.values.reserve_exact((rows * width).saturating_sub(start).max(width));
        }
        self.stamps.times.push(time);
        self.stamps.positions.push(position);
        self.values.resize(start + width, ABSENT);
        self.values.get_mut(start..).expect("invariant: the row was just added")
    }

    /// Forgets the rows; memory is kept for the next.
    pub(crate) fn clear(&mut self) {
        self.stamps.times.clear();
        self.stamps.positions.clear();
        self.values.clear();
    }

    /// The rows as a block; `None` if there are none.
    pub(crate) fn seal(&self, encoder: &mut Encoder) -> Option<Block> {
        let names = &self.layout.names;
        let mut builder = Builder::new(encoder, &self.stamps, names.len())?;
        let width = self.layout.columns.len();
        let mut column = Vec::with_capacity(OPEN_ROWS);
        for at in &self.layout.order {
            column.clear();
            let rows = self.values.chunks_exact(width);
            column.extend(rows.filter_map(|row| row.get(*at as usize)));
            builder.column(&column);
        }
        Some(builder.finish(Arc::clone(names)))
    }

    /// Whether a series has a value in the span.
    pub(crate) fn shows(&self, series: SeriesRef, span: Span) -> bool {
        let Some(at) = self.layout.column_of(series) else { return false };
        let width = self.layout.columns.len();
        // The newest mostly has one.
        let mut rows = self.stamps.rows_of(span).rev();
        rows.any(|row| self.values.get(row * width + at).is_some_and(|value| !is_absent(*value)))
    }

    /// Appends a series' samples in the span.
    pub(crate) fn read(&self, series: SeriesRef, span: Span, out: &mut Run) {
        let Some(at) = self.layout.column_of(series) else { return };
        let rows = self.stamps.rows_of(span);
        let stamps = self.stamps.times.iter().zip(&self.stamps.positions).skip(rows.start);
        for ((time, position), value) in stamps.zip(self.column(at, &rows)) {
            if !is_absent(*value) {
                out.push(*time, *position, *value);
            }
        }
    }

    fn column(&self, at: usize, rows: &Range<usize>) -> impl Iterator<Item = &f64> {
        let width = self.layout.columns.len();
        let values = self.values.iter().skip(rows.start * width + at);
        values.step_by(width.max(1)).take(rows.len())
    }
}
