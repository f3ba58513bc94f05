//! The rows of one column group of one source.
//!
//! Rows rise in time and in position: sealed blocks, then parts, then open rows. Only the writer
//! adds, seals, merges and drops them; a reader holds the lock while it copies pointers to blocks
//! and the few open values it wants. A block that was dropped stays for the views made before, and
//! is no part of those made after.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, RwLock};

use bellwether_model::series::SeriesRef;

use crate::block::open::Open;
use crate::block::{Block, Run, Span};
use crate::{Source, read};

/// A lane of one writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub(crate) u32);

/// Counts the times blocks were dropped; a view sees what was dropped after it was made.
pub(crate) type Epoch = u64;

#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) source: Source,
    pub(crate) rows: RwLock<Rows>,
}

#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) open: Open,
    /// Blocks that are still to be merged; never dropped.
    pub(crate) parts: Vec<Arc<Block>>,
    pub(crate) sealed: VecDeque<Sealed>,
}

#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) block: Arc<Block>,
    pub(crate) dropped: Option<Epoch>,
}

impl Rows {
    /// Blocks with stamps near the span, as a view of that epoch sees them.
    fn near(&self, span: Span, epoch: Epoch) -> Vec<Arc<Block>> {
        let start = self.sealed.partition_point(|s| s.block.last_time() <= span.window.start);
        let visible = self.sealed.range(start..);
        let visible = visible.filter(move |s| s.dropped.is_none_or(|at| at > epoch));
        let blocks = visible.map(|s| &s.block).chain(&self.parts);
        blocks.filter(|block| block.near(span)).cloned().collect()
    }
}

/// The rows of a lane in a span, to ask which series have a value there.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    open: Vec<SeriesRef>,
    blocks: Vec<(Arc<Block>, Range<usize>)>,
}

impl Shown {
    /// Whether a series has a sample. The answer for the rows up to a cut never changes.
    pub(crate) fn has(&self, series: SeriesRef) -> bool {
        self.open.binary_search(&series).is_ok()
            || self.blocks.iter().rev().any(|(block, rows)| block.shows(series, rows))
    }
}

impl Lane {
    pub(crate) fn new(source: Source) -> Lane {
        Lane { source, rows: RwLock::default() }
    }

    /// The rows in a span.
    pub(crate) fn shown(&self, span: Span, epoch: Epoch) -> Shown {
        let rows = read(&self.rows);
        let blocks = rows.near(span, epoch);
        let open = rows.open.shown(span);
        drop(rows);
        let blocks = blocks.into_iter().map(|block| {
            let rows = block.rows_of(span);
            (block, rows)
        });
        Shown { open, blocks: blocks.collect() }
    }

    /// Appends a series' samples in a span, in order.
    pub(crate) fn read(&self, series: SeriesRef, span: Span, epoch: Epoch, out: &mut Run) {
        let mut open = Run { positions: out.positions.is_some().then(Vec::new), ..Run::default() };
        let rows = read(&self.rows);
        let blocks = rows.near(span, epoch);
        rows.open.read(series, span, &mut open);
        drop(rows);
        let mut scratch = Vec::new();
        for block in blocks {
            block.read(series, span, &mut scratch, out);
        }
        out.column.times.append(&mut open.column.times);
        out.column.values.append(&mut open.column.values);
        if let (Some(positions), Some(mut newest)) = (&mut out.positions, open.positions) {
            positions.append(&mut newest);
        }
    }
}
