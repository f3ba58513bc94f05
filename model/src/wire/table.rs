//! A column group as its writer sees it: the columns of one input or target that share cadence and
//! time, and the row being filled.
//!
//! An input owns a [`Table`]: it adds a column when a device appears, ends it when the device goes,
//! and sets values between [`Table::begin_row`] and the encoding of the row. Column numbers are
//! stable for the table's life; the place of an ended column is given to the next one added after a
//! key row has carried its end.

use std::sync::Arc;
use std::time::Duration;

use crate::label::LabelSet;
use crate::series::{ABSENT, MetricType, ValueKind};
use crate::time::Timestamp;

/// What a column is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnSpec {
    /// Metric name and labels, without the labels of the target.
    pub labels: LabelSet,
    /// Counter, gauge, …
    pub kind: MetricType,
    /// Floats; a place for native histograms.
    pub value_kind: ValueKind,
    /// The unit, empty if unsaid.
    pub unit: Arc<str>,
    /// The text of the `# HELP` line.
    pub help: Arc<str>,
    /// When a counter began, if known.
    pub start: Option<Timestamp>,
}

/// A column's place in its table. Kept by the input that added it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnIndex(pub u32);

/// A change of the columns since the last row was encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// A column was added at this place, which was empty.
    Added(ColumnIndex),
    /// The column at this place ended; its place stays, empty.
    Ended(ColumnIndex),
}

/// Columns, the row being filled, and what changed since the last encoded row.
#[derive(Clone, Debug)]
pub struct Table {
    target: LabelSet,
    cadence: Duration,
    columns: Vec<Option<ColumnSpec>>,
    values: Vec<f64>,
    edits: Vec<Edit>,
    /// Whether no row has carried the column at a place yet.
    unsent: Vec<bool>,
    /// Places whose end a key row has carried: free for new columns.
    free: Vec<ColumnIndex>,
    /// Places that a row has carried: readers know them.
    carried: usize,
    live: usize,
    /// Whether a key row has told of its columns.
    is_keyed: bool,
}

impl Table {
    /// An empty group. `target` holds the labels all columns share (job, instance, environment);
    /// `cadence` is the time from row to row, zero if irregular.
    #[must_use]
    pub fn new(target: LabelSet, cadence: Duration) -> Table {
        Table {
            target,
            cadence,
            columns: Vec::new(),
            values: Vec::new(),
            edits: Vec::new(),
            unsent: Vec::new(),
            free: Vec::new(),
            carried: 0,
            live: 0,
            is_keyed: false,
        }
    }

    /// Labels that all columns share.
    #[must_use]
    pub fn target(&self) -> &LabelSet {
        &self.target
    }

    /// Time from row to row.
    #[must_use]
    pub fn cadence(&self) -> Duration {
        self.cadence
    }

    /// Rows come at another pace from now on. Readers learn it from the next key row.
    pub fn set_cadence(&mut self, cadence: Duration) {
        self.cadence = cadence;
    }

    /// Adds a column; its value is absent until set.
    ///
    /// # Panics
    /// Past [`crate::limit::COLUMNS`]: inputs bound their columns below it.
    pub fn add(&mut self, spec: ColumnSpec) -> ColumnIndex {
        let index = self.free.pop().unwrap_or_else(|| {
            assert!(self.columns.len() < crate::limit::COLUMNS, "a column group has a bound");
            let index = ColumnIndex(u32::try_from(self.columns.len()).expect("invariant: bounded"));
            self.columns.push(None);
            self.values.push(ABSENT);
            self.unsent.push(false);
            index
        });
        if let Some(unsent) = self.unsent.get_mut(index.0 as usize) {
            *unsent = true;
        }
        if let Some(slot) = self.columns.get_mut(index.0 as usize) {
            *slot = Some(spec);
        }
        self.live += 1;
        self.edits.push(Edit::Added(index));
        index
    }

    /// Ends a column: readers see a stale marker at the next row. Its place is not used again
    /// before a key row has carried the end. Ending twice changes nothing.
    pub fn end(&mut self, index: ColumnIndex) {
        let i = index.0 as usize;
        let Some(slot) = self.columns.get_mut(i) else { return };
        if slot.take().is_none() {
            return;
        }
        self.live -= 1;
        if let Some(value) = self.values.get_mut(i) {
            *value = ABSENT;
        }
        let is_unsent = self.unsent.get_mut(i).is_some_and(std::mem::take);
        let unsent = || self.edits.iter().rposition(|edit| *edit == Edit::Added(index));
        let Some(unsent) = is_unsent.then(unsent).flatten() else {
            self.edits.push(Edit::Ended(index));
            return;
        };
        // No row has carried the column: it is as if it had never been.
        self.edits.remove(unsent);
        self.free.push(index);
        while self.columns.len() > self.carried && self.columns.last() == Some(&None) {
            self.columns.pop();
            self.values.pop();
            self.unsent.pop();
            let len = self.columns.len();
            self.free.retain(|free| (free.0 as usize) < len);
        }
    }

    /// Starts a row: every value is absent until set.
    pub fn begin_row(&mut self) {
        self.values.fill(ABSENT);
    }

    /// Sets a value of the current row; an ended or unknown column is passed over.
    pub fn set(&mut self, index: ColumnIndex, value: f64) {
        let i = index.0 as usize;
        if let (Some(Some(_)), Some(slot)) = (self.columns.get(i), self.values.get_mut(i)) {
            *slot = value;
        }
    }

    /// The columns by place; `None` where one has ended.
    #[must_use]
    pub fn columns(&self) -> &[Option<ColumnSpec>] {
        &self.columns
    }

    /// The current row, as long as [`Table::columns`]; [`ABSENT`] where nothing was set.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Changes since the last encoded row, in order.
    #[must_use]
    pub fn edits(&self) -> &[Edit] {
        &self.edits
    }

    /// Forgets the edits: the row is in a frame.
    pub(crate) fn row_done(&mut self) {
        for edit in self.edits.drain(..) {
            let (Edit::Added(place) | Edit::Ended(place)) = edit;
            if let Some(unsent) = self.unsent.get_mut(place.0 as usize) {
                *unsent = false;
            }
        }
        self.carried = self.columns.len();
    }

    /// Forgets the edits and frees the places of ended columns: a key row is in a frame.
    pub(crate) fn key_row_done(&mut self) {
        self.row_done();
        self.is_keyed = true;
        self.free.clear();
        let empty = self.columns.iter().zip(0..).filter(|(column, _)| column.is_none());
        self.free.extend(empty.map(|(_, place)| ColumnIndex(place)));
        self.free.reverse();
    }

    /// Whether a key row has told of its columns: without one a reader takes them for those of the
    /// group's table before.
    pub(crate) fn is_keyed(&self) -> bool {
        self.is_keyed
    }

    /// Number of columns that have not ended.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live
    }
}
