//! The one writer: defines columns, appends rows, marks sources, and publishes.
//!
//! Nothing is visible before [`Writer::publish`]; what a frame brings becomes visible whole. In
//! steady state an append copies the row and allocates nothing; every 16th row of a lane seals a
//! part. Changes of columns take effect with the next row: several make one new layout.

mod admission;
mod bearing;
mod blocks;
mod capture;
mod columns;
mod filing;
mod restore;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bellwether_model::id::{GroupId, Position};
use bellwether_model::label::LabelSet;
use bellwether_model::select::Metadata;
use bellwether_model::series::{ABSENT, STALE, is_absent};
use bellwether_model::time::Timestamp;
use bellwether_model::wire::table::ColumnIndex;

use crate::births::Event;
use crate::block::open::OPEN_ROWS;
use crate::chunk::Encoder;
use crate::chunk::ints::MAGNITUDE_MAX;
use crate::lane::{Lane, LaneId};
use crate::liveness::Change;
use crate::stats::Stats;
use crate::store::Shared;
use crate::{Source, write};
use blocks::{Doomed, Oldest};
pub use capture::Capture;
use columns::LaneState;
use filing::Files;
pub use restore::{Restored, Restoring};

/// What a column is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// All labels of the series, the target's among them.
    pub labels: LabelSet,
    /// Type, help and unit. Kept once per metric.
    pub metadata: Arc<Metadata>,
}

/// Why a column is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// [`crate::Limits::series_max`] is reached.
    #[error("the store holds as many series as it may")]
    StoreFull,
    /// The source's limit is reached.
    #[error("the source has as many series as it may")]
    SourceFull,
    /// An earlier column of the group has the same labels.
    #[error("another column of the group has the same labels")]
    Repeated,
    /// The place lies past [`bellwether_model::limit::COLUMNS`].
    #[error("the group has too many columns")]
    TooWide,
}

/// A refused column. Its values are passed over; it is tried again when its group is next defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which.
    pub place: ColumnIndex,
    /// Why.
    pub reason: Refusal,
}

/// What became of a row's values. Absent places count nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Stored, the stale markers of ended columns among them.
    pub samples: u32,
    /// Refused with their whole row: it is not newer than the lane's last.
    pub out_of_order: u32,
    /// Refused one by one: no series at their place.
    pub refused: u32,
}

/// Adds to a store; see [`crate::Store::new`].
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    lanes: Vec<Option<LaneState>>,
    by_group: BTreeMap<(Source, GroupId), LaneId>,
    sources: BTreeMap<Source, SourceState>,
    /// Blocks in memory that may be dropped; none where there are files.
    oldest: BTreeSet<Oldest>,
    doomed: VecDeque<Doomed>,
    /// Where sealed blocks go; `None` if they stay in memory.
    files: Option<Files>,
    changes: Vec<(Source, Change)>,
    /// Since the last publication.
    births: Vec<Event>,
    stats: Stats,
    encoder: Encoder,
    now: Timestamp,
}

#[derive(Debug)]
struct SourceState {
    /// Columns with a series, over all lanes.
    columns: usize,
    /// As the last definition said.
    series_max: usize,
    forgotten: bool,
}

impl Default for SourceState {
    fn default() -> SourceState {
        SourceState { columns: 0, series_max: usize::MAX, forgotten: false }
    }
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>) -> Writer {
        Writer {
            shared,
            lanes: Vec::new(),
            by_group: BTreeMap::new(),
            sources: BTreeMap::new(),
            oldest: BTreeSet::new(),
            doomed: VecDeque::new(),
            files: None,
            changes: Vec::new(),
            births: Vec::new(),
            stats: Stats::default(),
            encoder: Encoder::default(),
            now: Timestamp::MIN,
        }
    }

    /// The lane of a column group, made if new.
    ///
    /// # Panics
    /// After 2³² lanes.
    pub fn lane(&mut self, source: Source, group: GroupId) -> LaneId {
        if let Some(lane) = self.by_group.get(&(source, group)) {
            return *lane;
        }
        let id = LaneId(u32::try_from(self.lanes.len()).expect("invariant: fewer than 2³² lanes"));
        let rows = Arc::new(Lane::new(source));
        write(&self.shared.lanes).insert(id, Arc::clone(&rows));
        self.lanes.push(Some(LaneState::new(id, source, group, rows)));
        self.by_group.insert((source, group), id);
        self.sources.entry(source).or_default();
        self.stats.lanes += 1;
        id
    }

    /// Replaces a lane's columns, as a key section lists them: `None` where a place is empty.
    /// Columns over a limit are refused by place, those the lane holds already after all others. A
    /// series that is no longer listed ends: a stale marker takes its place in the next row. The
    /// same list as before costs a comparison, unless a column was refused: then all are tried
    /// again. `series_max` bounds the columns of the lane's source over all its lanes.
    pub fn define(
        &mut self,
        lane: LaneId,
        columns: &[Option<Definition>],
        series_max: usize,
    ) -> Vec<Refused> {
        let Some(state) = self.lanes.get(lane.0 as usize).and_then(Option::as_ref) else {
            return Vec::new();
        };
        self.sources.entry(state.source).or_default().series_max = series_max;
        if state.is_defined_as(columns) {
            return Vec::new();
        }
        self.redefine(lane, columns)
    }

    /// Sets the column at one place; one that stood there ends. Bounded as by [`Writer::define`],
    /// with the source's last limit.
    pub fn add(
        &mut self,
        lane: LaneId,
        place: ColumnIndex,
        definition: Definition,
    ) -> Option<Refused> {
        self.admit_one(lane, place, definition)
    }

    /// Ends the column at a place: a stale marker takes its place in the lane's next row. Unknown
    /// places are passed over.
    pub fn end(&mut self, lane: LaneId, place: ColumnIndex) {
        let Some(state) = self.lanes.get_mut(lane.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        if state.end(place) {
            self.sources.entry(state.source).or_default().columns -= 1;
        }
    }

    /// Appends a row; `values` by place. A row that is not newer than the lane's last, or whose
    /// stamp is past ±2⁶⁰ ms, is refused whole.
    ///
    /// # Panics
    /// Positions of one lane fall, or reach 2⁶⁰.
    pub fn append(
        &mut self,
        lane: LaneId,
        position: Position,
        time: Timestamp,
        values: &[f64],
    ) -> Appended {
        let at = lane.0 as usize;
        let Some(state) = self.lanes.get(at).and_then(Option::as_ref) else {
            return self.refuse(values);
        };
        if state.last.is_some_and(|(last, _)| time <= last) || outside(time) {
            let out_of_order = count(values);
            self.stats.samples_out_of_order += u64::from(out_of_order);
            return Appended { out_of_order, ..Appended::default() };
        }
        let (last, before) = state.last.unzip();
        let before = before.unwrap_or_default();
        assert!(before <= position && !outside(Timestamp(position.0.cast_signed())), "{position}");
        if state.is_unsettled() {
            self.settle(lane);
        }
        let Some(state) = self.lanes.get_mut(at).and_then(Option::as_mut) else {
            return self.refuse(values);
        };
        self.stats.open_bytes -= state.open_bytes;
        let appended = state.append(position, time, values);
        self.stats.open_bytes += state.open_bytes;
        self.stats.rows_appended += 1;
        self.stats.samples_appended += u64::from(appended.samples);
        self.stats.samples_refused += u64::from(appended.refused);
        let full = state.open_rows == OPEN_ROWS;
        if !state.newborn.is_empty() {
            self.bear(lane, position, time, last);
        }
        if full {
            self.seal(lane);
            self.evict();
        }
        appended
    }

    fn refuse(&mut self, values: &[f64]) -> Appended {
        let refused = count(values);
        self.stats.samples_refused += u64::from(refused);
        Appended { refused, ..Appended::default() }
    }

    /// A frame of a source is applied: it begins at `from` and promises that nothing stamped at or
    /// before `complete_through` follows. Takes effect with the next publication.
    pub fn mark(&mut self, source: Source, from: Timestamp, complete_through: Timestamp) {
        self.changes.push((source, Change::Mark { from, through: complete_through }));
    }

    /// The source said goodbye: its series end at this time, not [`crate::GRACE`] after its mark.
    pub fn end_source(&mut self, source: Source, at: Timestamp) {
        self.changes.push((source, Change::End(at)));
    }

    /// The source's series never end by silence (the keeper's own). A source without a mark is so
    /// until it is marked; one declared so stays so.
    pub fn unmarked(&mut self, source: Source) {
        self.changes.push((source, Change::Unmarked));
    }

    /// No row of this source follows: its lanes and marks go when their rows are past retention.
    /// Until then nothing changes. Its number may not be used again.
    pub fn forget(&mut self, source: Source) {
        self.sources.entry(source).or_default().forgotten = true;
    }

    /// Makes visible all that was appended and marked, as of this position. Views made before stay
    /// as they are.
    pub fn publish(&mut self, position: Position) {
        self.stats.series = crate::read(&self.shared.index).len();
        let mut published = write(&self.shared.published);
        published.cut = published.cut.max(position);
        if !self.births.is_empty() {
            let mut births = write(&self.shared.births);
            self.births.drain(..).for_each(|event| births.push(event));
        }
        for (source, change) in self.changes.drain(..) {
            let forgotten = published.front.apply(source, change);
            self.stats.gaps_forgotten += u64::from(forgotten);
        }
        published.stats = self.stats;
    }
}

fn outside(time: Timestamp) -> bool {
    !(-MAGNITUDE_MAX..=MAGNITUDE_MAX).contains(&time.0)
}

/// Values that are not absent.
fn count(values: &[f64]) -> u32 {
    values.iter().map(|v| u32::from(!is_absent(*v))).sum()
}

impl LaneState {
    /// Copies a row; the layout is settled and the row is in order.
    fn append(&mut self, position: Position, time: Timestamp, values: &[f64]) -> Appended {
        let mut rows = write(&self.shared.rows);
        let row = rows.open.push(position, time);
        for (cell, value) in row.iter_mut().zip(values.iter().take(self.width)) {
            *cell = *value;
        }
        if !self.plain {
            let live = row.iter_mut().zip(&self.live);
            for (cell, _) in live.filter(|(_, live)| !**live) {
                *cell = ABSENT;
            }
        }
        if !self.unborn.is_empty() {
            LaneState::deliver(&mut self.unborn, &mut self.newborn, row);
        }
        let mut stored = count(row);
        let all_placed = self.plain && values.len() <= self.width;
        let refused = if all_placed { 0 } else { count(values) - stored };
        for (series, at) in self.marking.drain(..) {
            if let Some(cell) = row.get_mut(at) {
                *cell = STALE;
                stored += 1;
            }
            self.ended.push(series);
        }
        self.open_rows += 1;
        self.open_bytes = rows.open.bytes();
        self.last = Some((time, position));
        Appended { samples: stored, out_of_order: 0, refused }
    }
}
