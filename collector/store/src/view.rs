//! A view: what the store held at one position, for as long as anybody looks.
//!
//! A view is a cut (the last published position), the epoch in which it was made and the marks of
//! that moment. Rows up to the cut never change and are found wherever they lie, open or sealed,
//! whole; rows after it are passed over; blocks dropped after the view's epoch stay until the view
//! is gone, or for [`crate::SLACK`] if it is not. Windows are clamped to the retention before the
//! view's `now`, and blocks are dropped for age only when they are older than retention and slack,
//! so that it does not show where blocks begin. Series and postings are looked up as they are at
//! the call: a series counts only if a visible row has a value of it, so what the index gains or
//! loses later does not show either. Metadata alone is always the newest.
//!
//! The writer waits for a reader only while it copies pointers (an index part, a list of blocks, up
//! to 1,024 label sets) or one column of open rows.

mod follow;
mod merge;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwether_model::id::Position;
use bellwether_model::label::LabelSet;
use bellwether_model::matcher::Matcher;
use bellwether_model::select::{Column, Metadata, Select, Window};
use bellwether_model::series::SeriesRef;
use bellwether_model::time::Timestamp;

use crate::block::{Run, Span};
use crate::index::Entry;
use crate::index::postings::order_key;
use crate::lane::{Epoch, Lane, LaneId, Shown};
use crate::liveness::Marks;
use crate::store::Shared;
use crate::{lock, read};

/// Series looked up under one hold of the index's lock.
const BATCH: usize = 1024;

/// An immutable view of a store; see [`crate::Store::view`].
#[derive(Debug)]
pub struct View {
    shared: Arc<Shared>,
    now: Timestamp,
    cut: Position,
    epoch: Epoch,
    marks: Marks,
    complete: Timestamp,
}

impl View {
    pub(crate) fn new(shared: Arc<Shared>, now: Timestamp) -> View {
        let published = read(&shared.published);
        let (cut, marks) = (published.cut, published.front.marks.clone());
        let complete = published.front.complete_through(now);
        // Under the lock: a block with rows up to the cut is not dropped between the two.
        let epoch = lock(&shared.views).enter();
        drop(published);
        View { shared, now, cut, epoch, marks, complete }
    }

    /// The last position whose rows the view shows.
    #[must_use]
    pub fn cut(&self) -> Position {
        self.cut
    }

    /// The time the view was made for.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    fn clamp(&self, window: Window) -> Window {
        let oldest = self.now.saturating_sub(self.shared.limits.retention);
        Window { start: window.start.max(oldest), end: window.end }
    }

    /// Hands each matched series with a visible row in the window to `found`, by number.
    fn each(&self, matchers: &[Matcher], window: Window, mut found: impl FnMut(SeriesRef, Entry)) {
        let span = self.span(window);
        let question = read(&self.shared.index).postings.question(matchers);
        let matched: Vec<u32> = question.answer(matchers).into_iter().collect();
        let mut lanes = BTreeMap::new();
        for batch in matched.chunks(BATCH) {
            let entries = self.entries(batch);
            for (series, entry) in entries {
                let visible = entry.lanes.iter().any(|lane| {
                    lanes.entry(*lane).or_insert_with(|| self.shown(*lane, span)).has(series)
                });
                if visible {
                    found(series, entry);
                }
            }
        }
    }

    fn entries(&self, batch: &[u32]) -> Vec<(SeriesRef, Entry)> {
        let index = read(&self.shared.index);
        let series = batch.iter().map(|number| SeriesRef(*number));
        series.filter_map(|s| index.get(s).map(|entry| (s, entry.clone()))).collect()
    }

    fn shown(&self, lane: LaneId, span: Span) -> Shown {
        self.lane(lane).map(|lane| lane.shown(span, self.epoch)).unwrap_or_default()
    }

    fn lane(&self, lane: LaneId) -> Option<Arc<Lane>> {
        read(&self.shared.lanes).get(&lane).cloned()
    }

    fn lanes_of(&self, series: SeriesRef) -> Vec<Arc<Lane>> {
        let lanes = self.entry(series).map(|entry| entry.lanes);
        let lanes = lanes.iter().flat_map(|lanes| lanes.iter());
        lanes.filter_map(|lane| self.lane(*lane)).collect()
    }

    /// All that a window shows.
    fn span(&self, window: Window) -> Span {
        Span { window: self.clamp(window), cut: self.cut, from: Position(0) }
    }

    /// A lane's samples of a series, with their positions.
    fn run(&self, lane: &Lane, series: SeriesRef, span: Span) -> Run {
        let mut run = Run { positions: Some(Vec::new()), ..Run::default() };
        lane.read(series, span, self.epoch, &mut run);
        run
    }

    fn entry(&self, series: SeriesRef) -> Option<Entry> {
        read(&self.shared.index).get(series).cloned()
    }
}

impl Drop for View {
    fn drop(&mut self) {
        lock(&self.shared.views).leave(self.epoch);
    }
}

impl Select for View {
    fn series(&self, matchers: &[Matcher], window: Window, limit: usize) -> Vec<SeriesRef> {
        let mut sorted = Vec::new();
        self.each(matchers, window, |series, entry| {
            sorted.push((order_key(&entry.labels), series));
        });
        sorted.sort_unstable();
        sorted.truncate(limit.saturating_add(1));
        sorted.into_iter().map(|(_, series)| series).collect()
    }

    fn labels(&self, series: SeriesRef) -> LabelSet {
        self.entry(series).map(|entry| entry.labels).unwrap_or_default()
    }

    fn samples(&self, series: SeriesRef, window: Window, out: &mut Column) {
        out.clear();
        let lanes = self.lanes_of(series);
        let window = self.clamp(window);
        let ends = |lane: &Lane, start| {
            let intervals = self.marks.of(lane.source);
            intervals.into_iter().flat_map(move |i| i.ends(start, window.end, self.now))
        };
        // A marker depends on what lies before it: only where one may stand is more read.
        let marked = lanes.iter().any(|lane| ends(lane, window.start).next().is_some());
        let back = if marked { merge::HORIZON } else { std::time::Duration::ZERO };
        let start = window.start.saturating_sub(back);
        let span = Span { window: Window { start, end: window.end }, ..self.span(window) };
        if let ([lane], false) = (lanes.as_slice(), marked) {
            let mut run = Run { column: std::mem::take(out), positions: None };
            lane.read(series, span, self.epoch, &mut run);
            *out = run.column;
            return;
        }
        let part = |lane: &Arc<Lane>| {
            let run = self.run(lane, series, span);
            let markers = merge::markers(&run.column, ends(lane, start));
            merge::Part { run, markers }
        };
        let duplicates = merge::merge(&lanes.iter().map(part).collect::<Vec<_>>(), window, out);
        if duplicates > 0 {
            self.shared.duplicates.fetch_add(duplicates, Ordering::Relaxed);
        }
    }

    fn label_names(&self, matchers: &[Matcher], window: Window) -> Vec<String> {
        let mut names = BTreeSet::new();
        self.each(matchers, window, |_, entry| {
            for (name, _) in entry.labels.iter() {
                if !names.contains(name) {
                    names.insert(name.to_owned());
                }
            }
        });
        names.into_iter().collect()
    }

    fn label_values(&self, name: &str, matchers: &[Matcher], window: Window) -> Vec<String> {
        let mut values = BTreeSet::new();
        self.each(matchers, window, |_, entry| {
            if let Some(value) = entry.labels.get(name).filter(|v| !values.contains(*v)) {
                values.insert(value.to_owned());
            }
        });
        values.into_iter().collect()
    }

    fn metadata(&self, metric: &str) -> Option<Cow<'_, Metadata>> {
        let known = read(&self.shared.index).metadata(metric).cloned()?;
        Some(Cow::Owned(Metadata::clone(&known)))
    }
}
