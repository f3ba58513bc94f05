//! Which series have their first value in a row, and what was there before.
//!
//! A column is *unborn* from the row in which its series enters the lane until it has a value. A
//! series that is in its lane's newest row, and is not unborn, is held by the lane.

use std::collections::BTreeMap;

use bellwether_model::feed::Origin;
use bellwether_model::id::Position;
use bellwether_model::series::{SeriesRef, is_absent};
use bellwether_model::time::Timestamp;

use super::Writer;
use super::columns::LaneState;
use crate::births::Event;
use crate::lane::LaneId;
use crate::read;

impl LaneState {
    /// Whether the newest row holds the series, and it has had a value since it entered.
    pub(super) fn holds(&self, series: SeriesRef) -> bool {
        let column = self.layout.column_of(series).and_then(|at| self.live.get(at));
        column == Some(&true) && self.unborn.binary_search_by_key(&series, |(s, _)| *s).is_err()
    }

    /// The series of the next row that the newest does not hold, rising.
    pub(super) fn entering(&self, next: &BTreeMap<SeriesRef, bool>) -> Vec<SeriesRef> {
        next.keys().copied().filter(|series| !self.holds(*series)).collect()
    }

    /// Notes where the series lie that are still to be born.
    pub(super) fn expect(&mut self, series: Vec<SeriesRef>) {
        let placed = series.into_iter().filter_map(|s| Some((s, self.layout.column_of(s)?)));
        self.unborn = placed.collect();
    }

    /// Takes note of a row: who has a value is unborn no more.
    pub(super) fn deliver(
        unborn: &mut Vec<(SeriesRef, usize)>,
        newborn: &mut Vec<SeriesRef>,
        row: &[f64],
    ) {
        unborn.retain(|(series, at)| {
            let absent = row.get(*at).is_none_or(|value| is_absent(*value));
            if !absent {
                newborn.push(*series);
            }
            absent
        });
    }

    /// Whether a series that was held before the newest row still is.
    fn goes_on(&self) -> bool {
        let held = self.live.iter().filter(|live| **live).count();
        held > self.unborn.len() + self.newborn.len()
    }
}

impl Writer {
    /// Notes the births of a lane's newest row; `last` is the time of the row before.
    pub(super) fn bear(
        &mut self,
        lane: LaneId,
        position: Position,
        time: Timestamp,
        last: Option<Timestamp>,
    ) {
        let Some(Some(state)) = self.lanes.get_mut(lane.0 as usize) else { return };
        let origin = last.filter(|_| state.goes_on()).map_or(Origin::First, Origin::After);
        let newborn = std::mem::take(&mut state.newborn);
        let index = read(&self.shared.index);
        let marks = read(&self.shared.published).front.marks.clone();
        let holds = |other: LaneId, series| {
            let other = self.lanes.get(other.0 as usize).and_then(Option::as_ref);
            other.is_some_and(|other| {
                let lives = marks.of(other.source).is_none_or(|known| known.lives(time));
                other.id != lane && lives && other.holds(series)
            })
        };
        let elsewhere = |series: &SeriesRef| {
            index.get(*series).is_some_and(|e| e.lanes.iter().any(|other| holds(*other, *series)))
        };
        let (elsewhere, here): (Vec<_>, Vec<_>) = newborn.into_iter().partition(elsewhere);
        for (series, origin) in [(here, origin), (elsewhere, Origin::Elsewhere)] {
            if !series.is_empty() {
                self.births.push(Event { position, time, origin, series: series.into() });
            }
        }
    }
}
