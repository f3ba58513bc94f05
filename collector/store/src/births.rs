//! The births of series, in the order of their positions; see [`bellwether_model::feed`].
//!
//! Kept in memory only, within a bound: whoever asks for older ones is told so.

use std::collections::VecDeque;
use std::sync::Arc;

use bellwether_model::feed::Origin;
use bellwether_model::id::Position;
use bellwether_model::series::SeriesRef;
use bellwether_model::time::Timestamp;

/// Series in all events: as many as a store has by default, four bytes each.
const SERIES_MAX: usize = 1 << 20;
/// Rows with births: some 64 bytes each.
const EVENTS_MAX: usize = 1 << 15;

/// Series that were born with one row, of one origin.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) position: Position,
    pub(crate) time: Timestamp,
    pub(crate) origin: Origin,
    pub(crate) series: Arc<[SeriesRef]>,
}

#[derive(Debug, Default)]
pub(crate) struct Births {
    /// Positions do not fall.
    events: VecDeque<Event>,
    series: usize,
    /// All births after this position are here.
    since: Position,
}

impl Births {
    /// None are known up to a position.
    pub(crate) fn after(since: Position) -> Births {
        Births { since, ..Births::default() }
    }

    pub(crate) fn push(&mut self, event: Event) {
        self.series += event.series.len();
        let at = self.events.partition_point(|before| before.position <= event.position);
        self.events.insert(at, event);
        while self.series > SERIES_MAX || self.events.len() > EVENTS_MAX {
            let Some(oldest) = self.events.pop_front() else { break };
            self.series -= oldest.series.len();
            self.since = self.since.max(oldest.position);
        }
    }

    /// The events after `since`, up to `cut`.
    ///
    /// # Errors
    /// The position since which they are known.
    pub(crate) fn between(&self, since: Position, cut: Position) -> Result<Vec<Event>, Position> {
        if since < self.since {
            return Err(self.since);
        }
        let from = self.events.partition_point(|event| event.position <= since);
        let to = self.events.partition_point(|event| event.position <= cut);
        Ok(self.events.range(from..to.max(from)).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(position: u64, series: usize) -> Event {
        Event {
            position: Position(position),
            time: Timestamp(0),
            origin: Origin::First,
            series: vec![SeriesRef(0); series].into(),
        }
    }

    fn positions(births: &Births, since: u64, cut: u64) -> Result<Vec<u64>, u64> {
        let events = births.between(Position(since), Position(cut)).map_err(|since| since.0)?;
        Ok(events.iter().map(|event| event.position.0).collect())
    }

    #[test]
    fn the_oldest_go_and_that_is_said() {
        let mut births = Births::after(Position(3));
        assert_eq!(positions(&births, 2, 9), Err(3));
        assert_eq!(positions(&births, 3, 9), Ok(vec![]));
        births.push(event(4, 1));
        births.push(event(6, SERIES_MAX - 1));
        assert_eq!(positions(&births, 3, 5), Ok(vec![4]));
        assert_eq!(positions(&births, 4, 6), Ok(vec![6]));
        births.push(event(7, 1));
        assert_eq!(positions(&births, 3, 9), Err(4));
        assert_eq!(positions(&births, 4, 9), Ok(vec![6, 7]));
        assert_eq!(positions(&births, 9, 7), Ok(vec![]));
        (8..8 + EVENTS_MAX as u64).for_each(|position| births.push(event(position, 1)));
        assert_eq!(positions(&births, 6, 9), Err(7));
        assert_eq!(births.events.len(), EVENTS_MAX);
    }
}
