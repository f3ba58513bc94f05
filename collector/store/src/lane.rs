//! The rows of one column group of one source.
//!
//! Rows rise in time and in position. Only the writer adds, seals and drops them; a reader holds
//! the lock while it copies pointers to blocks and the few open values it wants. A block that was
//! dropped stays for the views made before, and is no part of those made after.

use std::collections::VecDeque;
use std::sync::{Arc, RwLock};

use bellwether_model::series::SeriesRef;

use crate::block::{Block, Layout, Open, Run, Span};
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
    pub(crate) sealed: VecDeque<Sealed>,
}

#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) block: Arc<Block>,
    pub(crate) dropped: Option<Epoch>,
}

impl Rows {
    /// Blocks with stamps near the span, as a view of that epoch sees them.
    fn near(&self, span: Span, epoch: Epoch) -> impl Iterator<Item = &Arc<Block>> {
        let start = self.sealed.partition_point(|s| s.block.last_time() <= span.window.start);
        let visible = self.sealed.range(start..);
        let visible = visible.filter(move |s| s.dropped.is_none_or(|at| at > epoch));
        visible.map(|s| &s.block).filter(move |block| block.near(span))
    }
}

impl Lane {
    pub(crate) fn new(source: Source) -> Lane {
        Lane { source, rows: RwLock::default() }
    }

    /// The layouts of the rows in a span. The answer for the rows up to a cut never changes.
    pub(crate) fn layouts(&self, span: Span, epoch: Epoch) -> Vec<Arc<Layout>> {
        let rows = read(&self.rows);
        let mut layouts: Vec<Arc<Layout>> = Vec::new();
        let blocks: Vec<Arc<Block>> = rows.near(span, epoch).cloned().collect();
        if rows.open.meets(span) {
            layouts.push(Arc::clone(&rows.open.layout));
        }
        drop(rows);
        for block in blocks {
            let known = layouts.iter().any(|l| Arc::ptr_eq(l, &block.layout));
            if !known && block.meets(span) {
                layouts.push(Arc::clone(&block.layout));
            }
        }
        layouts
    }

    /// Appends a series' samples in a span, in order.
    pub(crate) fn read(&self, series: SeriesRef, span: Span, epoch: Epoch, out: &mut Run) {
        let mut open = Run { positions: out.positions.is_some().then(Vec::new), ..Run::default() };
        let rows = read(&self.rows);
        let blocks: Vec<Arc<Block>> = rows.near(span, epoch).cloned().collect();
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
