//! The columns of a lane: which places hold which series, and how a change of them becomes a new
//! layout.
//!
//! A place is *held* (it has a series), *refused* (it has a definition only) or empty. Changes are
//! noted and settled before the next row: open rows are laid out anew. A series that left its place
//! after a row was written under it is *ending*: the next row holds its stale marker, at its old
//! column if that place is still empty, else in a column behind the places. Its column goes when
//! the rows are sealed.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::id::{GroupId, Position};
use bellwether_model::series::SeriesRef;
use bellwether_model::time::Timestamp;
use bellwether_model::wire::table::ColumnIndex;

use super::{Definition, Writer};
use crate::block::Names;
use crate::block::open::{Layout, Open};
use crate::lane::{Lane, LaneId};
use crate::{Source, read, write};

/// A defined column; without a series it is refused, or its lane sleeps.
#[derive(Debug)]
pub(super) struct Place {
    /// `None` once a limit has refused it: what is not kept takes no memory.
    pub(super) definition: Option<Definition>,
    pub(super) series: Option<SeriesRef>,
    /// Whether a row was written with it: only then its end is marked.
    pub(super) settled: bool,
}

/// The names of some blocks, and how many have them, parts among them.
#[derive(Debug)]
pub(super) struct Used {
    /// Its number in the lane; chunk files name it by that.
    pub(super) id: u32,
    pub(super) names: Names,
    pub(super) blocks: usize,
}

/// The writer's side of a lane.
#[derive(Debug)]
pub(super) struct LaneState {
    pub(super) id: LaneId,
    pub(super) source: Source,
    pub(super) group: GroupId,
    pub(super) shared: Arc<Lane>,
    /// The list of this lane alone, shared by its series.
    pub(super) alone: Arc<[LaneId]>,
    pub(super) places: Vec<Option<Place>>,
    pub(super) refused: usize,
    /// Its rows were past retention: the series are let go, the definitions stay.
    pub(super) asleep: bool,
    pub(super) unsettled: bool,
    /// Series that left their place since the last row.
    pub(super) ending: Vec<SeriesRef>,
    /// Ending series with their columns, settled.
    pub(super) marking: Vec<(SeriesRef, usize)>,
    /// Series whose marker is among the open rows; their columns stay until these are sealed.
    pub(super) ended: Vec<SeriesRef>,
    /// Series that the index has located here since the last settling.
    pub(super) fresh: Vec<SeriesRef>,
    /// The open rows' layout.
    pub(super) layout: Arc<Layout>,
    /// The names of all blocks.
    pub(super) used: Vec<Used>,
    /// Series that entered and have had no value yet, rising, with their columns (`bearing`).
    pub(super) unborn: Vec<(SeriesRef, usize)>,
    /// Series whose first value is in the newest row.
    pub(super) newborn: Vec<SeriesRef>,
    /// Columns that stand for places.
    pub(super) width: usize,
    /// By column: whether the place's value is stored.
    pub(super) live: Vec<bool>,
    /// Whether every column is live.
    pub(super) plain: bool,
    pub(super) last: Option<(Timestamp, Position)>,
    pub(super) open_rows: usize,
    pub(super) open_bytes: usize,
    /// When retention first saw it without rows.
    pub(super) seen: Option<Timestamp>,
    pub(super) next_block: u64,
    pub(super) next_names: u32,
}

impl LaneState {
    pub(super) fn new(id: LaneId, source: Source, group: GroupId, shared: Arc<Lane>) -> LaneState {
        let layout = Arc::clone(&read(&shared.rows).open.layout);
        LaneState {
            id,
            source,
            group,
            shared,
            alone: Arc::from([id]),
            places: Vec::new(),
            refused: 0,
            asleep: false,
            unsettled: false,
            ending: Vec::new(),
            marking: Vec::new(),
            ended: Vec::new(),
            fresh: Vec::new(),
            layout,
            used: Vec::new(),
            unborn: Vec::new(),
            newborn: Vec::new(),
            width: 0,
            live: Vec::new(),
            plain: true,
            last: None,
            open_rows: 0,
            open_bytes: 0,
            seen: None,
            next_block: 0,
            next_names: 0,
        }
    }

    pub(super) fn is_unsettled(&self) -> bool {
        self.unsettled || self.asleep
    }

    pub(super) fn is_defined_as(&self, columns: &[Option<Definition>]) -> bool {
        let same = |place: &Option<Place>, column: &Option<Definition>| {
            place.as_ref().and_then(|p| p.definition.as_ref()) == column.as_ref()
        };
        self.refused == 0
            && !self.asleep
            && self.places.len() == columns.len()
            && self.places.iter().zip(columns).all(|(place, column)| same(place, column))
    }

    /// Empties a place; true if it held a series.
    pub(super) fn end(&mut self, place: ColumnIndex) -> bool {
        let Some(place) = self.places.get_mut(place.0 as usize).and_then(Option::take) else {
            return false;
        };
        self.unsettled = true;
        if place.series.is_none() && !self.asleep {
            self.refused -= 1;
        }
        self.ending.extend(place.series.filter(|_| place.settled));
        place.series.is_some()
    }

    /// The series of the places, and whether each is settled.
    pub(super) fn held(&self) -> BTreeMap<SeriesRef, bool> {
        let places = self.places.iter().flatten();
        places.filter_map(|p| Some((p.series?, p.settled))).collect()
    }

    /// The columns the next row needs, and how many of them stand for places.
    fn target(&self) -> (Vec<Option<SeriesRef>>, usize) {
        let places = self.places.iter().map(|p| p.as_ref().and_then(|p| p.series));
        let mut columns: Vec<_> = places.collect();
        while columns.last() == Some(&None) {
            columns.pop();
        }
        let width = columns.len();
        let left = self.ending.iter().chain(&self.ended);
        let mut left: Vec<_> =
            left.filter_map(|s| Some((self.layout.column_of(*s)?, *s))).collect();
        left.sort_unstable();
        for (at, series) in left {
            match columns.get_mut(at) {
                Some(column @ None) => *column = Some(series),
                Some(Some(_)) => columns.push(Some(series)),
                None => {
                    columns.resize(at, None);
                    columns.push(Some(series));
                }
            }
        }
        (columns, width)
    }

    /// Notes which columns a row's values go to.
    pub(super) fn enliven(
        &mut self,
        columns: &[Option<SeriesRef>],
        held: &BTreeMap<SeriesRef, bool>,
    ) {
        self.live = columns.iter().map(|c| c.is_some_and(|s| held.contains_key(&s))).collect();
        self.plain = self.live.iter().all(|live| *live);
    }

    /// After a seal: the columns of ended series go with the next row.
    pub(super) fn sealed(&mut self) {
        self.open_rows = 0;
        self.unsettled |= !self.ended.is_empty();
        self.ended.clear();
    }

    /// Lets go of the series and the memory of open rows, which are sealed; the definitions stay
    /// for the next row. Returns how many columns were held.
    pub(super) fn fall_asleep(&mut self) -> usize {
        let held = self.held().len();
        for place in self.places.iter_mut().flatten() {
            (place.series, place.settled) = (None, false);
        }
        self.ending.clear();
        self.marking.clear();
        self.ended.clear();
        self.unborn.clear();
        self.live.clear();
        (self.width, self.plain, self.refused, self.asleep) = (0, true, 0, true);
        let empty = Open::default();
        self.layout = Arc::clone(&empty.layout);
        self.open_bytes = 0;
        write(&self.shared.rows).open = empty;
        held
    }

    /// The series that no row and no place of this lane names.
    pub(super) fn unnamed(&self, series: impl Iterator<Item = SeriesRef>) -> Vec<SeriesRef> {
        let held = if self.unsettled { self.held() } else { BTreeMap::new() };
        let named = |s: &SeriesRef| {
            held.contains_key(s)
                || self.layout.column_of(*s).is_some()
                || self.used.iter().any(|used| used.names.binary_search(s).is_ok())
        };
        series.filter(|s| !named(s)).collect()
    }

    /// Notes a block more with these names. Gives their bytes if they are new.
    pub(super) fn hold(&mut self, names: &Names) -> usize {
        let known = self.used.iter_mut().rev().find(|used| Arc::ptr_eq(&used.names, names));
        if let Some(used) = known {
            used.blocks += 1;
            return 0;
        }
        let id = self.next_names;
        self.next_names += 1;
        self.used.push(Used { id, names: Arc::clone(names), blocks: 1 });
        size_of_val(&**names)
    }

    /// The number of names that a block has.
    pub(super) fn names_id(&self, names: &Names) -> Option<u32> {
        let known = self.used.iter().rev().find(|used| Arc::ptr_eq(&used.names, names));
        known.map(|used| used.id)
    }

    /// Notes a block less. Gives the names if it was the last with them.
    pub(super) fn release(&mut self, names: &Names) -> Option<Names> {
        let at = self.used.iter().position(|used| Arc::ptr_eq(&used.names, names))?;
        let used = self.used.get_mut(at)?;
        used.blocks -= 1;
        (used.blocks == 0).then(|| self.used.remove(at).names)
    }
}

impl Writer {
    /// Lays the open rows out as the places say.
    pub(super) fn settle(&mut self, lane: LaneId) {
        self.wake(lane);
        let at = lane.0 as usize;
        let Some(state) = self.lanes.get_mut(at).and_then(Option::as_mut) else { return };
        let held = state.held();
        let layout = Arc::clone(&state.layout);
        state.ending.retain(|s| !held.contains_key(s) && layout.column_of(*s).is_some());
        state.ended.retain(|s| !held.contains_key(s));
        let entering = state.entering(&held);
        let (columns, width) = state.target();
        state.width = width;
        state.enliven(&columns, &held);
        let changed = *columns != *layout.columns();
        if changed {
            let known = state.used.last().map_or(&layout.names, |used| &used.names);
            state.layout = Arc::new(Layout::new(columns, known));
            write(&state.shared.rows).open.lay_out(Arc::clone(&state.layout));
        }
        state.expect(entering);
        let ending = state.ending.drain(..);
        state.marking = ending.filter_map(|s| Some((s, state.layout.column_of(s)?))).collect();
        state.unsettled = false;
        for place in state.places.iter_mut().flatten() {
            place.settled = true;
        }
        if changed {
            let gone = state.unnamed(layout.names.iter().copied());
            self.leave(lane, &gone);
        }
        self.release_fresh(lane);
    }

    /// Lets go of series that were located here and gone again before any row.
    pub(super) fn release_fresh(&mut self, lane: LaneId) {
        let Some(Some(state)) = self.lanes.get_mut(lane.0 as usize) else { return };
        let fresh = std::mem::take(&mut state.fresh);
        let gone = state.unnamed(fresh.into_iter());
        self.leave(lane, &gone);
    }

    /// Takes series out of a lane, and out of the index where no other holds them.
    pub(super) fn leave(&mut self, lane: LaneId, series: &[SeriesRef]) {
        if series.is_empty() {
            return;
        }
        let mut index = write(&self.shared.index);
        let gone = series.iter().filter(|s| index.leave(**s, lane)).count();
        self.stats.series_removed += gone as u64;
    }
}
