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
//!
//! Two things are kept for those who ask again: what matchers have found in the index (for all
//! views, as long as it holds) and what a lane's rows in a window are (`readings`, for one view).

mod follow;
mod merge;
mod readings;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use bellwether_model::id::Position;
use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::matcher::Matcher;
use bellwether_model::select::{Column, Metadata, Select, Window};
use bellwether_model::series::SeriesRef;
use bellwether_model::time::Timestamp;

use self::readings::{Reader, Readings};
use crate::block::{Run, Span};
use crate::index::Entry;
use crate::index::answers::{self, Answers, Found};
use crate::index::postings::order_key;
use crate::lane::reading::{Outdated, Reading};
use crate::lane::{Epoch, Lane, LaneId};
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
    readings: Mutex<Readings>,
}

impl View {
    pub(crate) fn new(shared: Arc<Shared>, now: Timestamp) -> View {
        let published = read(&shared.published);
        let (cut, marks) = (published.cut, published.front.marks.clone());
        let complete = published.front.complete_through(now);
        // Under the lock: a block with rows up to the cut is not dropped between the two.
        let epoch = lock(&shared.views).enter();
        drop(published);
        View { shared, now, cut, epoch, marks, complete, readings: Mutex::default() }
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

    /// Hands each matched series with a visible row in the window to `found`, in no order.
    fn matched(
        &self,
        matchers: &[Matcher],
        window: Window,
        mut found: impl FnMut(SeriesRef, Entry),
    ) {
        let question = read(&self.shared.index).postings.question(matchers);
        let matched: Vec<u32> = question.answer(matchers).into_iter().collect();
        let mut reader = Reader::new(self, window);
        for batch in matched.chunks(BATCH) {
            for (series, entry) in self.entries(batch) {
                if entry.lanes.iter().any(|lane| reader.has(*lane, series)) {
                    found(series, entry);
                }
            }
        }
    }

    /// All series that meet the matchers in the order of their labels; `None` if they are too many
    /// to be kept.
    fn answer(&self, matchers: &[Matcher]) -> Option<Found> {
        let key = answers::key(matchers);
        let metric = answers::exact(matchers, METRIC_NAME);
        let index = read(&self.shared.index);
        let (version, question) = (index.version(metric), index.postings.question(matchers));
        drop(index);
        if let Some(found) = lock(&self.shared.answers).get(&key, version) {
            return Some(found);
        }
        let matched: Vec<u32> = question.answer(matchers).into_iter().collect();
        if !Answers::takes(matched.len()) {
            return None;
        }
        let mut found = Vec::with_capacity(matched.len());
        for batch in matched.chunks(BATCH) {
            found.extend(self.entries(batch));
        }
        found.sort_by_cached_key(|(_, entry)| order_key(&entry.labels));
        let found = Found::from(found);
        lock(&self.shared.answers).put(key, version, &found);
        Some(found)
    }

    fn entries(&self, batch: &[u32]) -> Vec<(SeriesRef, Entry)> {
        let index = read(&self.shared.index);
        let series = batch.iter().map(|number| SeriesRef(*number));
        series.filter_map(|s| index.get(s).map(|entry| (s, entry.clone()))).collect()
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

    /// A lane's samples of a series, appended to `run`.
    fn run(&self, lane: &Arc<Lane>, series: SeriesRef, span: Span, mut run: Run) -> Run {
        let mut values = Vec::new();
        while let Err(Outdated) =
            Reading::new(lane, span, self.epoch).read(series, &mut values, &mut run)
        {}
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
        if let Some(found) = self.answer(matchers) {
            let mut reader = Reader::new(self, window);
            let visible = found.iter().filter(|(series, entry)| {
                entry.lanes.iter().any(|lane| reader.has(*lane, *series))
            });
            return visible.map(|(series, _)| *series).take(limit.saturating_add(1)).collect();
        }
        let mut sorted = Vec::new();
        self.matched(matchers, window, |series, entry| {
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
        let lanes = self.entry(series).map(|entry| entry.lanes);
        Reader::new(self, window).read(series, lanes.as_deref().unwrap_or_default(), out);
    }

    fn each(
        &self,
        series: &[SeriesRef],
        window: Window,
        visit: &mut dyn FnMut(LabelSet, &mut Column) -> ControlFlow<()>,
    ) {
        let mut reader = Reader::new(self, window);
        let mut column = Column::default();
        for batch in series.chunks(BATCH) {
            let numbers: Vec<u32> = batch.iter().map(|series| series.0).collect();
            for (series, entry) in self.entries(&numbers) {
                reader.read(series, &entry.lanes, &mut column);
                if visit(entry.labels, &mut column).is_break() {
                    return;
                }
            }
        }
    }

    fn label_names(&self, matchers: &[Matcher], window: Window) -> Vec<String> {
        let mut names = BTreeSet::new();
        self.matched(matchers, window, |_, entry| {
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
        self.matched(matchers, window, |_, entry| {
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
