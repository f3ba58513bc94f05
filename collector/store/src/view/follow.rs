//! What is new in a view since another.
//!
//! Rows of a lane rise in position as they do in time, so that what lies before a cursor is passed
//! over block by block; usually all that is new lies among the open rows.

use std::sync::Arc;

use bellwether_model::feed::{Birth, Cursor, Feed, Standing, Unknown};
use bellwether_model::id::Position;
use bellwether_model::matcher::{Matcher, matches_all};
use bellwether_model::select::{Column, Select, Window};
use bellwether_model::series::{SeriesRef, is_stale};
use bellwether_model::time::Timestamp;

use super::{View, merge};
use crate::block::{Run, Span};
use crate::lane::Lane;
use crate::lane::reading::Reading;
use crate::read;

const ALL: Window = Window { start: Timestamp::MIN, end: Timestamp::MAX };

impl View {
    fn ahead(&self, since: Cursor) -> Result<(), Unknown> {
        let end = self.cursor();
        if since > end { Err(Unknown::Ahead { end }) } else { Ok(()) }
    }

    fn recent(&self) -> Window {
        Window { start: self.now.saturating_sub(merge::HORIZON), end: Timestamp::MAX }
    }

    fn meets(&self, series: SeriesRef, matchers: &[Matcher]) -> bool {
        let index = read(&self.shared.index);
        index.get(series).is_some_and(|entry| matches_all(matchers, &entry.labels))
    }

    /// What a lane alone says of a series.
    fn standing_in(&self, lane: &Arc<Lane>, series: SeriesRef) -> Standing {
        let start = self.clamp(self.recent()).start;
        // A marker may stand behind a sample that lies before.
        let window = Window { start: start.saturating_sub(merge::HORIZON), end: Timestamp::MAX };
        let span = Span { window, ..self.span(window) };
        let newest = loop {
            if let Ok(newest) = Reading::new(lane, span, self.epoch).last(series) {
                break newest;
            }
        };
        let Some((time, value)) = newest else { return Standing::Absent };
        let known = self.marks.of(lane.source).into_iter();
        let ends = known.flat_map(|known| known.ends(time, Timestamp::MAX, self.now));
        let only = Column { times: vec![time], values: vec![value] };
        let marker = merge::markers(&only, ends).last().copied();
        let (newest, ended) = marker.map_or((time, is_stale(value)), |marker| (marker, true));
        match newest > start {
            true if ended => Standing::Ended(newest),
            true => Standing::Lives,
            false => Standing::Absent,
        }
    }
}

impl Feed for View {
    fn complete_through(&self) -> Timestamp {
        self.complete
    }

    fn cursor(&self) -> Cursor {
        Cursor(self.cut)
    }

    fn births(&self, matchers: &[Matcher], since: Cursor) -> Result<Vec<Birth>, Unknown> {
        self.ahead(since)?;
        let events = read(&self.shared.births).between(since.0, self.cut);
        let events = events.map_err(|since| Unknown::Past { since: Cursor(since) })?;
        let mut births = Vec::new();
        for event in events {
            let born = event.series.iter().filter(|series| self.meets(**series, matchers));
            let (time, origin) = (event.time, event.origin);
            births.extend(born.map(|series| Birth { series: *series, time, origin }));
        }
        Ok(births)
    }

    fn news(&self, series: SeriesRef, since: Cursor, out: &mut Column) -> Result<(), Unknown> {
        out.clear();
        self.ahead(since)?;
        let lanes = self.lanes_of(series);
        let from = Position(since.0.0.saturating_add(1));
        let span = Span { from, ..self.span(ALL) };
        if let [lane] = lanes.as_slice() {
            let run = Run { column: std::mem::take(out), positions: None };
            *out = self.run(lane, series, span, run).column;
            return Ok(());
        }
        let positioned = |lane: &Arc<Lane>, span| self.run(lane, series, span, Run::positioned());
        let new: Vec<Run> = lanes.iter().map(|lane| positioned(lane, span)).collect();
        let first = new.iter().filter_map(|run| run.column.times.first()).min();
        let last = new.iter().filter_map(|run| run.column.times.last()).max();
        let Some((first, last)) = first.zip(last) else { return Ok(()) };
        // Another lane may have had a sample of one of these times long ago.
        let window = Window { start: Timestamp(first.0.saturating_sub(1)), end: *last };
        let span = self.span(window);
        let all: Vec<Run> = lanes.iter().map(|lane| positioned(lane, span)).collect();
        merge::first_come(&all, from, out);
        Ok(())
    }

    fn standing(&self, series: SeriesRef) -> Standing {
        let lanes = self.lanes_of(series);
        if let [lane] = lanes.as_slice() {
            return self.standing_in(lane, series);
        }
        let mut column = Column::default();
        self.samples(series, self.recent(), &mut column);
        match column.times.last().zip(column.values.last()) {
            Some((time, value)) if is_stale(*value) => Standing::Ended(*time),
            Some(_) => Standing::Lives,
            None => Standing::Absent,
        }
    }
}
