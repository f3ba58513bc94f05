//! Which series there are: by number, by label set and by label (postings), with the lanes that
//! hold rows of each, and what is known of each metric.
//!
//! Only the writer changes it. Readers copy pointers under the lock and work without it; a part
//! that a reader still holds is copied by the writer when it next changes it. Numbers rise and are
//! never used again. Nothing here depends on the order of a hash.

pub(crate) mod answers;
pub(crate) mod postings;

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::label::LabelSet;
use bellwether_model::select::Metadata;
use bellwether_model::series::SeriesRef;
use postings::Postings;

use crate::lane::LaneId;

/// What the index holds of one series.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) labels: LabelSet,
    /// Lanes with rows of the series, rising; shared by the series of one lane.
    pub(crate) lanes: Arc<[LaneId]>,
}

#[derive(Debug)]
struct Metric {
    metadata: Arc<Metadata>,
    series: usize,
    /// Of its series and their lanes.
    version: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    next: u32,
    table: BTreeMap<SeriesRef, Entry>,
    by_labels: BTreeMap<ByBytes, SeriesRef>,
    metrics: BTreeMap<Box<str>, Metric>,
    /// Of all series and their lanes.
    version: u64,
    pub(crate) postings: Postings,
}

/// Label sets in the order of their bytes: cheaper to compare than label by label, and enough to
/// find one.
#[derive(Debug, PartialEq, Eq)]
struct ByBytes(LabelSet);

impl Ord for ByBytes {
    fn cmp(&self, other: &ByBytes) -> std::cmp::Ordering {
        self.0.as_bytes().cmp(other.0.as_bytes())
    }
}

impl PartialOrd for ByBytes {
    fn partial_cmp(&self, other: &ByBytes) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn find(&self, labels: &LabelSet) -> Option<SeriesRef> {
        self.by_labels.get(&ByBytes(labels.clone())).copied()
    }

    pub(crate) fn get(&self, series: SeriesRef) -> Option<&Entry> {
        self.table.get(&series)
    }

    /// Adds a series that [`Index::find`] does not know; `None` after 2³² of them.
    pub(crate) fn insert(&mut self, labels: &LabelSet) -> Option<SeriesRef> {
        let series = SeriesRef(self.next);
        self.next = self.next.checked_add(1)?;
        self.put(series, labels);
        Some(series)
    }

    /// Puts a series back under its number; false if the number or the labels are known already, or
    /// the number was never given.
    pub(crate) fn restore(&mut self, series: SeriesRef, labels: &LabelSet) -> bool {
        let fresh = series.0 < self.next
            && !self.table.contains_key(&series)
            && self.find(labels).is_none();
        if fresh {
            self.put(series, labels);
        }
        fresh
    }

    /// The next number, and that it be at least this one.
    pub(crate) fn begin_at(&mut self, next: u32) {
        self.next = self.next.max(next);
    }

    pub(crate) fn next(&self) -> u32 {
        self.next
    }

    /// All series with their labels, by number.
    pub(crate) fn all(&self) -> impl Iterator<Item = (SeriesRef, &LabelSet)> {
        self.table.iter().map(|(series, entry)| (*series, &entry.labels))
    }

    /// All metrics with what is known of them, by name.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = (&str, &Arc<Metadata>)> {
        self.metrics.iter().map(|(name, metric)| (&**name, &metric.metadata))
    }

    /// Removes the series that no lane holds.
    pub(crate) fn drop_homeless(&mut self) {
        let homeless = self.table.iter().filter(|(_, entry)| entry.lanes.is_empty());
        let homeless: Vec<SeriesRef> = homeless.map(|(series, _)| *series).collect();
        for series in homeless {
            self.leave(series, LaneId(u32::MAX));
        }
    }

    fn put(&mut self, series: SeriesRef, labels: &LabelSet) {
        self.postings.insert(series, labels);
        self.by_labels.insert(ByBytes(labels.clone()), series);
        self.table.insert(series, Entry { labels: labels.clone(), lanes: Arc::from([]) });
        let fresh = || Metric { metadata: Arc::default(), series: 0, version: 0 };
        self.metrics.entry(labels.name().into()).or_insert_with(fresh).series += 1;
        self.changed(labels);
    }

    /// A number that changes with the series of a metric and their lanes, or of all metrics. One
    /// that there is no series of has 0.
    pub(crate) fn version(&self, metric: Option<&str>) -> u64 {
        match metric {
            Some(metric) => self.metrics.get(metric).map_or(0, |known| known.version),
            None => self.version,
        }
    }

    /// Notes that a series came, goes or has other lanes.
    fn changed(&mut self, labels: &LabelSet) {
        self.version += 1;
        if let Some(metric) = self.metrics.get_mut(labels.name()) {
            metric.version = self.version;
        }
    }

    /// Notes that a lane holds the series; false if that was known. `alone` is the list of that
    /// lane only.
    pub(crate) fn locate(
        &mut self,
        series: SeriesRef,
        lane: LaneId,
        alone: &Arc<[LaneId]>,
    ) -> bool {
        let Some(entry) = self.table.get_mut(&series) else { return false };
        let Err(at) = entry.lanes.binary_search(&lane) else { return false };
        if entry.lanes.is_empty() {
            entry.lanes = Arc::clone(alone);
        } else {
            let mut lanes = entry.lanes.to_vec();
            lanes.insert(at, lane);
            entry.lanes = lanes.into();
        }
        let labels = entry.labels.clone();
        self.changed(&labels);
        true
    }

    /// Notes that a lane no longer holds the series; without a lane it is gone. True if it went.
    pub(crate) fn leave(&mut self, series: SeriesRef, lane: LaneId) -> bool {
        let Some(entry) = self.table.get_mut(&series) else { return false };
        entry.lanes = entry.lanes.iter().copied().filter(|l| *l != lane).collect();
        let (labels, is_held) = (entry.labels.clone(), !entry.lanes.is_empty());
        self.changed(&labels);
        if is_held {
            return false;
        }
        if let Some(entry) = self.table.remove(&series) {
            self.postings.remove(series, &entry.labels);
            self.forget_metric(entry.labels.name());
            self.by_labels.remove(&ByBytes(entry.labels));
        }
        true
    }

    /// Notes what is known of a metric and returns the kept copy; the newest word counts.
    pub(crate) fn describe(&mut self, metric: &str, metadata: &Arc<Metadata>) -> Arc<Metadata> {
        let Some(known) = self.metrics.get_mut(metric) else { return Arc::clone(metadata) };
        if known.metadata != *metadata {
            known.metadata = Arc::clone(metadata);
        }
        Arc::clone(&known.metadata)
    }

    pub(crate) fn metadata(&self, metric: &str) -> Option<&Arc<Metadata>> {
        self.metrics.get(metric).map(|known| &known.metadata)
    }

    fn forget_metric(&mut self, name: &str) {
        let Some(metric) = self.metrics.get_mut(name) else { return };
        metric.series -= 1;
        if metric.series == 0 {
            self.metrics.remove(name);
        }
    }
}
