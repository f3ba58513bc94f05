//! The rows of a lane in a span, made ready to be asked for many series.
//!
//! What is the same for all of them is worked out once, when it is first needed: which rows of a
//! block lie in the span, their stamps, and the head of a block that lies in a file. Open rows are
//! looked at under the lane's lock at each question. What was open when the reading was made and
//! became a part since is missing here: the reading says so, and a new one is to be made.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bellwether_model::series::{SeriesRef, is_absent};
use bellwether_model::time::Timestamp;

use super::{Epoch, Lane, Piece};
use crate::block::{Names, Run, Span, Stamps};
use crate::files::record::Head;
use crate::{Source, read};

/// Rows were sealed since the reading was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outdated;

/// The rows of a lane in a span; see the module.
#[derive(Debug)]
pub(crate) struct Reading {
    lane: Arc<Lane>,
    span: Span,
    /// The oldest first.
    blocks: Vec<BlockIn>,
    seals: u64,
}

/// A block in a span.
#[derive(Debug)]
struct BlockIn {
    piece: Piece,
    known: OnceLock<Known>,
}

/// Its rows in the span, their stamps, and its head if it lies in a file.
#[derive(Debug, Default)]
struct Known {
    rows: Range<usize>,
    stamps: Stamps,
    head: Option<Head>,
}

impl Reading {
    /// What a view of that epoch sees of a lane.
    pub(crate) fn new(lane: &Arc<Lane>, span: Span, epoch: Epoch) -> Reading {
        let rows = read(&lane.rows);
        let (near, seals) = (rows.near(span, epoch), rows.seals);
        drop(rows);
        let block = |piece| BlockIn { piece, known: OnceLock::new() };
        let blocks = near.into_iter().map(block).collect();
        Reading { lane: Arc::clone(lane), span, blocks, seals }
    }

    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    /// Rows that it may come to hold stamps of.
    pub(crate) fn rows(&self) -> usize {
        self.blocks.iter().map(|block| block.piece.rows()).sum()
    }

    /// Whether a series has a sample. The answer for the rows up to a cut never changes.
    ///
    /// # Errors
    /// Rows were sealed.
    pub(crate) fn has(&self, series: SeriesRef) -> Result<bool, Outdated> {
        let rows = read(&self.lane.rows);
        if rows.seals != self.seals {
            return Err(Outdated);
        }
        if rows.open.shows(series, self.span) {
            return Ok(true);
        }
        drop(rows);
        Ok(self.blocks.iter().rev().any(|block| block.has(series, self.lane.source, self.span)))
    }

    /// Appends a series' samples in order; `values` is overwritten.
    ///
    /// # Errors
    /// Rows were sealed; `out` is as it was.
    pub(crate) fn read(
        &self,
        series: SeriesRef,
        values: &mut Vec<f64>,
        out: &mut Run,
    ) -> Result<(), Outdated> {
        let before = out.column.len();
        let mut found: Option<(&Names, Option<usize>)> = None;
        for block in &self.blocks {
            let names = block.piece.names();
            // Blocks of a lane mostly share their names.
            let at = match found {
                Some((known, at)) if Arc::ptr_eq(known, names) => at,
                _ => names.binary_search(&series).ok(),
            };
            found = Some((names, at));
            if let Some(at) = at {
                block.read(at, (self.lane.source, self.span), values, out);
            }
        }
        let rows = read(&self.lane.rows);
        if rows.seals != self.seals {
            out.truncate(before);
            return Err(Outdated);
        }
        rows.open.read(series, self.span, out);
        Ok(())
    }

    /// A series' newest sample; the newest blocks are looked into first.
    ///
    /// # Errors
    /// Rows were sealed.
    pub(crate) fn last(&self, series: SeriesRef) -> Result<Option<(Timestamp, f64)>, Outdated> {
        let mut run = Run::default();
        let rows = read(&self.lane.rows);
        if rows.seals != self.seals {
            return Err(Outdated);
        }
        rows.open.read(series, self.span, &mut run);
        drop(rows);
        if let Some(newest) = run.newest() {
            return Ok(Some(newest));
        }
        let mut values = Vec::new();
        Ok(self.blocks.iter().rev().find_map(|block| {
            let at = block.piece.names().binary_search(&series).ok()?;
            block.read(at, (self.lane.source, self.span), &mut values, &mut run);
            run.newest()
        }))
    }
}

impl BlockIn {
    fn has(&self, series: SeriesRef, source: Source, span: Span) -> bool {
        let Ok(at) = self.piece.names().binary_search(&series) else { return false };
        // Nothing needs to be read to know it.
        if let Piece::Filed(filed) = &self.piece
            && filed.full
            && span.covers(filed.time, filed.position)
        {
            return true;
        }
        let known = self.known(source, span);
        if known.rows.is_empty() {
            return false;
        }
        let is_full = match (&self.piece, &known.head) {
            (Piece::Held(block), _) => block.is_full(at),
            (Piece::Filed(_), head) => head.as_ref().is_some_and(|head| head.is_full(at)),
        };
        is_full || {
            let mut values = Vec::new();
            self.values(at, source, known, &mut values);
            !values.iter().all(|value| is_absent(*value))
        }
    }

    /// Appends a column's samples in the span.
    fn read(
        &self,
        at: usize,
        (source, span): (Source, Span),
        values: &mut Vec<f64>,
        out: &mut Run,
    ) {
        let known = self.known(source, span);
        if !known.rows.is_empty() {
            self.values(at, source, known, values);
            known.stamps.put(values, out);
        }
    }

    /// The values of a column in the span's rows, in place of what `out` held; nothing if they are
    /// damaged.
    fn values(&self, at: usize, source: Source, known: &Known, out: &mut Vec<f64>) {
        out.clear();
        match (&self.piece, &known.head) {
            (Piece::Held(block), _) => block.values_of(at, &known.rows, out),
            (Piece::Filed(filed), Some(head)) => {
                filed.values(source, head, at, out);
                out.truncate(known.rows.end);
                out.drain(..known.rows.start.min(out.len()));
            }
            (Piece::Filed(_), None) => {}
        }
    }

    fn known(&self, source: Source, span: Span) -> &Known {
        self.known.get_or_init(|| {
            let (mut stamps, head) = match &self.piece {
                Piece::Held(block) => (block.stamps(), None),
                Piece::Filed(filed) => match filed.head(source) {
                    Some(mut head) => (std::mem::take(&mut head.stamps), Some(head)),
                    None => return Known::default(),
                },
            };
            let rows = stamps.rows_of(span);
            stamps.keep(&rows);
            Known { rows, stamps, head }
        })
    }
}
