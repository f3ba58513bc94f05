//! Which columns a lane gets: definitions become series within the limits of store, source and
//! group.
//!
//! What the lane holds stays before anything new is let in. A refused definition keeps its place
//! without a series; what a limit has refused is forgotten until its group is next defined.
//! Settling (`columns`) follows with the next row.

use std::collections::BTreeSet;

use bellwether_model::limit::COLUMNS;
use bellwether_model::series::SeriesRef;
use bellwether_model::wire::table::ColumnIndex;

use super::columns::{LaneState, Place};
use super::{Definition, Refusal, Refused, Writer};
use crate::index::Index;
use crate::lane::LaneId;
use crate::stats::Stats;
use crate::write;

/// Admits definitions one after another.
struct Admission<'a> {
    index: &'a mut Index,
    series_max: usize,
    /// Series that the source may still add.
    left: usize,
    lane: &'a mut LaneState,
    stats: &'a mut Stats,
}

impl Admission<'_> {
    /// The series of a definition; a new one counts against the limits.
    fn admit(&mut self, definition: &Definition) -> Result<SeriesRef, Refusal> {
        if self.left == 0 {
            return Err(Refusal::SourceFull);
        }
        let series = match self.index.find(&definition.labels) {
            Some(series) => series,
            None if self.index.len() >= self.series_max => return Err(Refusal::StoreFull),
            None => {
                self.stats.series_created += 1;
                self.index.insert(&definition.labels).ok_or(Refusal::StoreFull)?
            }
        };
        self.left -= 1;
        if self.index.locate(series, self.lane.id, &self.lane.alone) {
            self.lane.fresh.push(series);
        }
        Ok(series)
    }

    /// The place of a definition, sharing what the index keeps.
    fn place(&mut self, definition: &Definition, admitted: Result<SeriesRef, Refusal>) -> Place {
        if !matches!(admitted, Ok(_) | Err(Refusal::Repeated)) {
            return Place { definition: None, series: None, settled: false };
        }
        let mut definition = definition.clone();
        if let Some(entry) = admitted.ok().and_then(|s| self.index.get(s)) {
            definition.labels = entry.labels.clone();
            let metadata = self.index.describe(definition.labels.name(), &definition.metadata);
            definition.metadata = metadata;
        }
        Place { definition: Some(definition), series: admitted.ok(), settled: false }
    }
}

impl Stats {
    fn refuse(&mut self, reason: Refusal) {
        *match reason {
            Refusal::StoreFull => &mut self.refused_store_full,
            Refusal::SourceFull => &mut self.refused_source_full,
            Refusal::Repeated => &mut self.refused_repeated,
            Refusal::TooWide => &mut self.refused_too_wide,
        } += 1;
    }
}

impl Writer {
    /// Runs a change of a lane's places with the index locked; keeps the source's count.
    fn admission<T>(
        &mut self,
        lane: LaneId,
        change: impl FnOnce(&mut Admission<'_>) -> T,
    ) -> Option<T> {
        let lane = self.lanes.get_mut(lane.0 as usize).and_then(Option::as_mut)?;
        let source = self.sources.entry(lane.source).or_default();
        let others = source.columns - lane.held().len();
        let mut index = write(&self.shared.index);
        let mut admission = Admission {
            index: &mut index,
            series_max: self.shared.limits.series_max,
            left: source.series_max.saturating_sub(others),
            lane,
            stats: &mut self.stats,
        };
        let out = change(&mut admission);
        lane.unsettled = true;
        lane.asleep = false;
        let places = lane.places.iter().flatten();
        lane.refused = places.filter(|p| p.series.is_none()).count();
        source.columns = others + lane.held().len();
        Some(out)
    }

    pub(super) fn redefine(
        &mut self,
        lane: LaneId,
        columns: &[Option<Definition>],
    ) -> Vec<Refused> {
        self.admission(lane, |admission| replace(admission, columns)).unwrap_or_default()
    }

    pub(super) fn admit_one(
        &mut self,
        lane: LaneId,
        place: ColumnIndex,
        definition: Definition,
    ) -> Option<Refused> {
        self.wake(lane);
        let at = place.0 as usize;
        if at >= COLUMNS {
            self.stats.refuse(Refusal::TooWide);
            return Some(Refused { place, reason: Refusal::TooWide });
        }
        let result = self.admission(lane, |admission| {
            let old = admission.lane.places.get_mut(at).and_then(Option::take);
            let old = old.filter(|p| p.settled).and_then(|p| p.series);
            admission.lane.ending.extend(old);
            let held = admission.lane.held();
            admission.left = admission.left.saturating_sub(held.len());
            let known = admission.index.find(&definition.labels);
            let admitted = if known.is_some_and(|s| held.contains_key(&s)) {
                Err(Refusal::Repeated)
            } else {
                admission.admit(&definition)
            };
            let made = admission.place(&definition, admitted);
            let places = &mut admission.lane.places;
            if places.len() <= at {
                places.resize_with(at + 1, || None);
            }
            if let Some(slot) = places.get_mut(at) {
                *slot = Some(made);
            }
            admitted.err()
        });
        let reason = result.flatten()?;
        self.stats.refuse(reason);
        Some(Refused { place, reason })
    }

    /// Finds the series of a sleeping lane's definitions again; what is refused is counted.
    pub(super) fn wake(&mut self, lane: LaneId) {
        let Some(state) = self.lanes.get(lane.0 as usize).and_then(Option::as_ref) else { return };
        if state.asleep {
            let places = state.places.iter().map(|p| p.as_ref()?.definition.clone());
            let columns: Vec<_> = places.collect();
            self.redefine(lane, &columns);
        }
    }
}

/// Replaces all places: first the series the lane holds already, so that new ones are refused
/// before them, then the others by place.
fn replace(admission: &mut Admission<'_>, columns: &[Option<Definition>]) -> Vec<Refused> {
    let held = admission.lane.held();
    let wanted = columns.get(..COLUMNS).unwrap_or(columns);
    let known = |index: &Index, column: &Option<Definition>| {
        let series = index.find(&column.as_ref()?.labels)?;
        held.contains_key(&series).then_some(series)
    };
    let mut taken = BTreeSet::new();
    let mut results: Vec<Option<Result<SeriesRef, Refusal>>> = vec![None; columns.len()];
    for (column, result) in wanted.iter().zip(&mut results) {
        if let (Some(definition), Some(series)) = (column, known(admission.index, column)) {
            let repeated = taken.contains(&series).then_some(Refusal::Repeated);
            let admitted = repeated.map_or_else(|| admission.admit(definition), Err);
            taken.extend(admitted);
            *result = Some(admitted);
        }
    }
    let mut refused = Vec::new();
    let mut places = Vec::with_capacity(columns.len());
    for ((column, result), place) in columns.iter().zip(results).zip(0_u32..) {
        let Some(definition) = column else {
            places.push(None);
            continue;
        };
        let result = result.unwrap_or_else(|| {
            let known = admission.index.find(&definition.labels);
            if place as usize >= wanted.len() {
                Err(Refusal::TooWide)
            } else if known.is_some_and(|s| taken.contains(&s)) {
                Err(Refusal::Repeated)
            } else {
                admission.admit(definition)
            }
        });
        taken.extend(result);
        if let Err(reason) = result {
            admission.stats.refuse(reason);
            refused.push(Refused { place: ColumnIndex(place), reason });
        }
        let mut made = admission.place(definition, result);
        made.settled = made.series.is_some_and(|s| held.get(&s) == Some(&true));
        places.push(Some(made));
    }
    admission.lane.places = places;
    let left = held.into_iter().filter(|(s, settled)| *settled && !taken.contains(s));
    admission.lane.ending.extend(left.map(|(series, _)| series));
    refused
}
