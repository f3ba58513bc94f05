//! Readings of lanes that a view keeps, and how they are asked.
//!
//! The queries of a view read the same windows of the same lanes again and again, a series at a
//! time: what a lane's rows in a window are is worked out once for all of them. The readings go
//! with the view, and are within a bound before that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bellwether_model::select::{Column, Window};
use bellwether_model::series::SeriesRef;
use bellwether_model::time::Timestamp;

use super::{View, merge};
use crate::block::{Run, Span};
use crate::lane::LaneId;
use crate::lane::reading::{Outdated, Reading};
use crate::liveness::Intervals;
use crate::lock;

/// Rows of the readings kept: 16 bytes each once their stamps are known. Beyond it all are let go.
const ROWS_MAX: usize = 1 << 19;
/// What a reading weighs beside its rows.
const READING_ROWS: usize = 16;

/// A lane in a window.
#[derive(Debug)]
pub(super) struct Near {
    reading: Reading,
    /// An end of its source lies in the window.
    is_marked: bool,
}

/// By lane and window.
#[derive(Debug, Default)]
pub(super) struct Readings {
    kept: BTreeMap<(LaneId, Timestamp, Timestamp), Arc<Near>>,
    rows: usize,
}

impl Readings {
    fn keep(&mut self, key: (LaneId, Timestamp, Timestamp), near: &Arc<Near>) {
        let rows = READING_ROWS + near.reading.rows();
        if self.rows + rows > ROWS_MAX {
            *self = Readings::default();
        }
        if rows <= ROWS_MAX {
            self.rows += rows;
            self.kept.insert(key, Arc::clone(near));
        }
    }
}

/// Reads series of a view in one window.
pub(super) struct Reader<'a> {
    view: &'a View,
    /// Within retention.
    window: Window,
    /// By the start of the window; `None` of lanes that are gone.
    lanes: BTreeMap<(LaneId, Timestamp), Option<Arc<Near>>>,
    values: Vec<f64>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(view: &'a View, window: Window) -> Reader<'a> {
        let window = view.clamp(window);
        Reader { view, window, lanes: BTreeMap::new(), values: Vec::new() }
    }

    /// Whether a lane has a sample of a series.
    pub(super) fn has(&mut self, lane: LaneId, series: SeriesRef) -> bool {
        let has = self.ask(lane, self.window.start, |reading| reading.has(series));
        has.unwrap_or(false)
    }

    /// The samples of a series in its lanes, put in place of what `out` held.
    pub(super) fn read(&mut self, series: SeriesRef, lanes: &[LaneId], out: &mut Column) {
        out.clear();
        let start = self.window.start;
        if let [lane] = lanes
            && self.alone(*lane, series, out)
        {
            return;
        }
        // A marker depends on what lies before it: only where one may stand is more read.
        let mut marked = false;
        for lane in lanes {
            marked |= self.near(*lane, start).is_some_and(|near| near.is_marked);
        }
        let back = if marked { merge::HORIZON } else { Duration::ZERO };
        let parts = lanes.iter().filter_map(|lane| self.part(*lane, back, series));
        let duplicates = merge::merge(&parts.collect::<Vec<_>>(), self.window, out);
        if duplicates > 0 {
            self.view.shared.duplicates.fetch_add(duplicates, Ordering::Relaxed);
        }
    }

    /// The samples of a series in its only lane; false, and nothing, if a marker may stand there.
    fn alone(&mut self, lane: LaneId, series: SeriesRef, out: &mut Column) -> bool {
        let start = self.window.start;
        let Some(mut near) = self.near(lane, start) else { return true };
        if near.is_marked {
            return false;
        }
        let mut run = Run { column: std::mem::take(out), positions: None };
        while near.reading.read(series, &mut self.values, &mut run).is_err() {
            let Some(newer) = self.renewed(lane, start) else { break };
            near = newer;
        }
        *out = run.column;
        true
    }

    /// A lane's share of a series, from as long before the window as told.
    fn part(&mut self, lane: LaneId, back: Duration, series: SeriesRef) -> Option<merge::Part> {
        let start = self.window.start.saturating_sub(back);
        let mut run = Run::positioned();
        let mut values = std::mem::take(&mut self.values);
        self.ask(lane, start, |reading| reading.read(series, &mut values, &mut run))?;
        self.values = values;
        let source = self.near(lane, start)?.reading.lane().source;
        let intervals = self.view.marks.of(source).into_iter();
        let ends = intervals.flat_map(|i| i.ends(start, self.window.end, self.view.now));
        let markers = merge::markers(&run.column, ends);
        Some(merge::Part { run, markers })
    }

    /// Asks the reading of a lane, or a newer one if rows were sealed since. A lane seals with each
    /// sixteenth row at most, so that few are needed.
    fn ask<T>(
        &mut self,
        lane: LaneId,
        start: Timestamp,
        mut ask: impl FnMut(&Reading) -> Result<T, Outdated>,
    ) -> Option<T> {
        let mut near = self.near(lane, start)?;
        loop {
            match ask(&near.reading) {
                Ok(answer) => return Some(answer),
                Err(Outdated) => near = self.renewed(lane, start)?,
            }
        }
    }

    fn near(&mut self, lane: LaneId, start: Timestamp) -> Option<Arc<Near>> {
        if let Some(known) = self.lanes.get(&(lane, start)) {
            return known.clone();
        }
        let key = (lane, start, self.window.end);
        let kept = lock(&self.view.readings).kept.get(&key).cloned();
        match kept {
            Some(near) => {
                self.lanes.insert((lane, start), Some(Arc::clone(&near)));
                Some(near)
            }
            None => self.renewed(lane, start),
        }
    }

    fn renewed(&mut self, lane: LaneId, start: Timestamp) -> Option<Arc<Near>> {
        let window = Window { start, end: self.window.end };
        let near = self.view.lane(lane).map(|lane| {
            let ends = |i: &Intervals| i.ends(start, window.end, self.view.now).next().is_some();
            let is_marked = self.view.marks.of(lane.source).is_some_and(ends);
            let span = Span { window, ..self.view.span(window) };
            Arc::new(Near { reading: Reading::new(&lane, span, self.view.epoch), is_marked })
        });
        if let Some(near) = &near {
            lock(&self.view.readings).keep((lane, start, window.end), near);
        }
        self.lanes.insert((lane, start), near.clone());
        near
    }
}
