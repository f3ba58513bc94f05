//! The rows of one column group of one source.
//!
//! Rows rise in time and in position: sealed blocks, then parts, then open rows. Only the writer
//! adds, seals, merges and drops them; a reader holds the lock while it copies pointers to blocks
//! and the few open values it wants ([`reading`]). A block that was dropped stays for the views
//! made before, and is no part of those made after.

pub(crate) mod reading;

use std::collections::VecDeque;
use std::sync::{Arc, RwLock};

use bellwether_model::id::Position;
use bellwether_model::time::Timestamp;

use crate::Source;
use crate::block::open::Open;
use crate::block::{Block, Names, Span};
use crate::files::filed::Filed;

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
    /// How often open rows became a part.
    pub(crate) seals: u64,
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

    fn rows(&self) -> usize {
        match self {
            Piece::Held(block) => block.rows,
            Piece::Filed(filed) => usize::from(filed.rows),
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

impl Lane {
    pub(crate) fn new(source: Source) -> Lane {
        Lane { source, rows: RwLock::default() }
    }
}
