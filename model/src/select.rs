//! Reading: what the query language and the rules see of a store.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::label::LabelSet;
use crate::matcher::Matcher;
use crate::series::{MetricType, SeriesRef};
use crate::time::Timestamp;

/// A span of time, open on the left as in Prometheus 3: `start < t ≤ end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Not part of the window.
    pub start: Timestamp,
    /// Part of the window.
    pub end: Timestamp,
}

impl Window {
    /// The window of length `back` that ends at `end`.
    #[must_use]
    pub fn ending(end: Timestamp, back: Duration) -> Window {
        Window { start: end.saturating_sub(back), end }
    }

    /// Whether a stamp lies inside.
    #[must_use]
    pub fn contains(self, at: Timestamp) -> bool {
        self.start < at && at <= self.end
    }
}

/// Samples of one series as two columns of one length, times rising.
#[derive(Clone, Debug, Default)]
pub struct Column {
    /// Stamps, strictly rising.
    pub times: Vec<Timestamp>,
    /// Values, stale markers among them.
    pub values: Vec<f64>,
}

impl Column {
    /// Empties both columns; their memory is kept.
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
    }

    /// Adds a sample.
    pub fn push(&mut self, time: Timestamp, value: f64) {
        self.times.push(time);
        self.values.push(value);
    }

    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }
}

/// What is known of a metric beside its samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Counter, gauge, …
    pub kind: MetricType,
    /// The text of the `# HELP` line.
    pub help: Box<str>,
    /// The unit, empty if unsaid.
    pub unit: Box<str>,
}

/// An immutable view: it shows whole rows only and stays the same for its life (DESIGN §4). The
/// threads of one query share it.
pub trait Select: Sync {
    /// The series that meet every matcher and may have a sample in the window, sorted by labels.
    /// At most `limit + 1` are returned: one more than the caller can use tells it so.
    fn series(&self, matchers: &[Matcher], window: Window, limit: usize) -> Vec<SeriesRef>;

    /// The labels of a series that this view returned.
    fn labels(&self, series: SeriesRef) -> LabelSet;

    /// The samples of a series in the window, in order, put in place of what `out` held. What ends
    /// a series without a marker in the data (a silent agent, DESIGN §7.13) appears as a stale
    /// marker.
    fn samples(&self, series: SeriesRef, window: Window, out: &mut Column);

    /// Hands the labels and the samples in the window of each of some series to `visit`, in their
    /// order, until it breaks off; a series that this view did not return may be left out. What
    /// `visit` does to the column is forgotten.
    fn each(
        &self,
        series: &[SeriesRef],
        window: Window,
        visit: &mut dyn FnMut(LabelSet, &mut Column) -> ControlFlow<()>,
    ) {
        let mut column = Column::default();
        for one in series {
            self.samples(*one, window, &mut column);
            if visit(self.labels(*one), &mut column).is_break() {
                return;
            }
        }
    }

    /// The names of all labels of the matched series, sorted.
    fn label_names(&self, matchers: &[Matcher], window: Window) -> Vec<String>;

    /// The values of one label over the matched series, sorted.
    fn label_values(&self, name: &str, matchers: &[Matcher], window: Window) -> Vec<String>;

    /// What is known of a metric; `None` if nothing.
    fn metadata(&self, metric: &str) -> Option<Cow<'_, Metadata>>;
}
