//! The rows of one column group of one source.
//!
//! Rows rise in time and in position: sealed blocks, then parts, then open rows. Only the writer
//! adds, seals, merges and drops them; a reader holds the lock while it copies pointers to blocks
//! and the few open values it wants. A block that was dropped stays for the views made before, and
//! is no part of those made after.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, RwLock};

use bellwether_model::id::Position;
use bellwether_model::series::SeriesRef;
use bellwether_model::time::Timestamp;

use crate::block::open::Open;
use crate::block::{Block, Names, Run, Span};
use crate::files::filed::Filed;
use crate::files::record::Head;
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
    pub(crate) piece: Piece,
    /// The epoch it was dropped in; [`KEPT`] if it was not.
    pub(crate) dropped: Epoch,
}

/// No block was dropped in this epoch.
pub(crate) const KEPT: Epoch = Epoch::MAX;

/// A block, wherever it lies.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// In memory: a part, or a block that is to be filed.
    Held(Arc<Block>),
    /// In a chunk file.
    Filed(Filed),
}

impl Piece {
    pub(crate) fn names(&self) -> &Names {
        match self {
            Piece::Held(block) => &block.names,
            Piece::Filed(filed) => &filed.names,
        }
    }

    pub(crate) fn last_time(&self) -> Timestamp {
        match self {
            Piece::Held(block) => block.last_time(),
            Piece::Filed(filed) => filed.time.1,
        }
    }

    fn last_position(&self) -> Position {
        match self {
            Piece::Held(block) => block.bounds().1.1,
            Piece::Filed(filed) => filed.position.1,
        }
    }

    fn near(&self, span: Span) -> bool {
        match self {
            Piece::Held(block) => block.near(span),
            Piece::Filed(filed) => span.meets(filed.time, filed.position),
        }
    }

    fn read(&self, of: (Source, SeriesRef), span: Span, scratch: &mut Vec<f64>, out: &mut Run) {
        match self {
            Piece::Held(block) => block.read(of.1, span, scratch, out),
            Piece::Filed(filed) => filed.read(of.0, of.1, span, scratch, out),
        }
    }
}

impl Rows {
    /// Blocks with stamps near the span, as a view of that epoch sees them.
    fn near(&self, span: Span, epoch: Epoch) -> Vec<Piece> {
        let start = self.sealed.partition_point(|s| {
            s.piece.last_time() <= span.window.start || s.piece.last_position() < span.from
        });
        let visible = self.sealed.range(start..);
        let sealed = visible.filter(move |s| s.dropped > epoch).map(|s| &s.piece);
        let mut near: Vec<Piece> = sealed.filter(|piece| piece.near(span)).cloned().collect();
        let parts = self.parts.iter().filter(|part| part.near(span));
        near.extend(parts.map(|part| Piece::Held(Arc::clone(part))));
        near
    }
}

/// The rows of a lane in a span, to ask which series have a value there.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    open: Vec<SeriesRef>,
    blocks: Vec<ShownBlock>,
}

/// A block in a span; what lies in a file is read when it is first asked for.
#[derive(Debug)]
struct ShownBlock {
    piece: Piece,
    source: Source,
    span: Span,
    known: OnceCell<Known>,
}

/// Its rows in the span, and its head if it lies in a file.
#[derive(Debug)]
struct Known {
    rows: Range<usize>,
    head: Option<Head>,
}

impl ShownBlock {
    fn has(&self, series: SeriesRef) -> bool {
        let whole = match &self.piece {
            Piece::Held(_) => false,
            // Nothing needs to be read to know it.
            Piece::Filed(filed) => filed.full && self.span.covers(filed.time, filed.position),
        };
        if whole {
            return self.piece.names().binary_search(&series).is_ok();
        }
        let known = self.known.get_or_init(|| self.know());
        match (&self.piece, &known.head) {
            (Piece::Held(block), _) => block.shows(series, &known.rows),
            (Piece::Filed(filed), Some(head)) => {
                filed.shows(self.source, head, series, &known.rows)
            }
            (Piece::Filed(_), None) => false,
        }
    }

    fn know(&self) -> Known {
        match &self.piece {
            Piece::Held(block) => Known { rows: block.rows_of(self.span), head: None },
            Piece::Filed(filed) => {
                let head = filed.head(self.source);
                let rows = head.as_ref().map(|head| head.stamps.rows_of(self.span));
                Known { rows: rows.unwrap_or_default(), head }
            }
        }
    }
}

impl Shown {
    /// Whether a series has a sample. The answer for the rows up to a cut never changes.
    pub(crate) fn has(&self, series: SeriesRef) -> bool {
        self.open.binary_search(&series).is_ok()
            || self.blocks.iter().rev().any(|block| block.has(series))
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
        let source = self.source;
        let blocks = blocks.into_iter().map(|piece| {
            let known = OnceCell::new();
            ShownBlock { piece, source, span, known }
        });
        Shown { open, blocks: blocks.collect() }
    }

    /// A series' newest sample in a span; the newest blocks are looked into first.
    pub(crate) fn last(
        &self,
        series: SeriesRef,
        span: Span,
        epoch: Epoch,
    ) -> Option<(Timestamp, f64)> {
        let mut run = Run::default();
        let newest =
            |run: &Run| run.column.times.last().copied().zip(run.column.values.last().copied());
        let rows = read(&self.rows);
        rows.open.read(series, span, &mut run);
        if let Some(newest) = newest(&run) {
            return Some(newest);
        }
        let blocks = rows.near(span, epoch);
        drop(rows);
        let mut scratch = Vec::new();
        blocks.iter().rev().find_map(|block| {
            block.read((self.source, series), span, &mut scratch, &mut run);
            newest(&run)
        })
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
            block.read((self.source, series), span, &mut scratch, out);
        }
        out.column.times.append(&mut open.column.times);
        out.column.values.append(&mut open.column.values);
        if let (Some(positions), Some(mut newest)) = (&mut out.positions, open.positions) {
            positions.append(&mut newest);
        }
    }
}
