//! The samples of one series from the lanes that hold it, as one column.
//!
//! At one time the sample of the later position wins; at one position a value before a stale
//! marker, then the lane made later. The marker of a silent source stands only if no other lane has
//! a live sample of the series then: one that is no stale marker, is not ended by its own source,
//! and lies within [`HORIZON`]. Nothing depends on where the window begins, provided that the runs
//! begin [`HORIZON`] before it.

use std::cmp::Reverse;
use std::time::Duration;

use bellwether_model::id::Position;
use bellwether_model::select::{Column, Window};
use bellwether_model::series::{STALE, is_stale};
use bellwether_model::time::Timestamp;

use crate::block::Run;

/// A sample older than Prometheus' lookback is not alive, and needs no marker to end it.
pub(super) const HORIZON: Duration = Duration::from_secs(300);

/// One lane's share of a series.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) run: Run,
    /// Times at which the lane's source ended, rising.
    pub(super) markers: Vec<Timestamp>,
}

/// Where the ends of a source (each with the end before it) leave a marker behind a run's samples.
pub(super) fn markers(
    run: &Column,
    ends: impl Iterator<Item = (Option<Timestamp>, Timestamp)>,
) -> Vec<Timestamp> {
    let mut markers = Vec::new();
    for (before, end) in ends {
        let next = run.times.partition_point(|t| *t <= end);
        let last = next.checked_sub(1).and_then(|i| run.times.get(i).zip(run.values.get(i)));
        let Some((time, value)) = last else { continue };
        let alive = !is_stale(*value)
            && before.is_none_or(|before| *time > before)
            && *time > end.saturating_sub(HORIZON);
        let at = if *time == end { Timestamp(end.0.saturating_add(1)) } else { end };
        if alive && run.times.get(next).is_none_or(|next| *next > at) {
            markers.push(at);
        }
    }
    markers
}

/// Merges the parts into `out`, within the window; returns how many samples gave way to another of
/// the same time.
pub(super) fn merge(parts: &[Part], window: Window, out: &mut Column) -> u64 {
    let mut cursors: Vec<Cursor<'_>> = parts.iter().map(Cursor::new).collect();
    let mut duplicates = 0;
    while let Some(time) = cursors.iter().filter_map(Cursor::time).min() {
        let mut winner = None;
        let (mut samples, mut ended) = (0, false);
        for (lane, cursor) in cursors.iter_mut().enumerate() {
            match cursor.take(time) {
                Some(Event::Sample { position, value }) => {
                    samples += 1;
                    winner = winner.max(Some((position, !is_stale(value), lane, value.to_bits())));
                }
                Some(Event::End) => ended = true,
                None => {}
            }
        }
        duplicates += u64::from(window.contains(time)) * (samples.max(1) - 1);
        let since = time.saturating_sub(HORIZON);
        let alive = || cursors.iter().any(|c| c.alive.is_some_and(|last| last > since));
        let value = match winner {
            Some((.., bits)) => f64::from_bits(bits),
            None if ended && !alive() => STALE,
            None => continue,
        };
        if window.contains(time) {
            out.push(time, value);
        }
    }
    duplicates
}

/// Merges runs with their positions into `out`: at one time the sample of the earlier position wins,
/// and counts only if it is at `from` or later.
pub(super) fn first_come(runs: &[Run], from: Position, out: &mut Column) {
    let mut at = vec![0; runs.len()];
    let time_of = |(run, at): (&Run, &usize)| run.column.times.get(*at).copied();
    while let Some(time) = runs.iter().zip(&at).filter_map(time_of).min() {
        let mut first = None;
        for ((lane, run), at) in runs.iter().enumerate().zip(&mut at) {
            if run.column.times.get(*at) != Some(&time) {
                continue;
            }
            let position = run.positions.as_ref().and_then(|positions| positions.get(*at));
            if let Some((position, value)) = position.zip(run.column.values.get(*at)) {
                let rank = (Reverse(*position), !is_stale(*value), lane, value.to_bits());
                first = first.max(Some(rank));
            }
            *at += 1;
        }
        if let Some((.., bits)) = first.filter(|(Reverse(position), ..)| *position >= from) {
            out.push(time, f64::from_bits(bits));
        }
    }
}

enum Event {
    Sample { position: Position, value: f64 },
    End,
}

/// How far a part is read.
struct Cursor<'a> {
    part: &'a Part,
    sample: usize,
    marker: usize,
    /// The last sample's time, if it is no stale marker and its source has not ended since.
    alive: Option<Timestamp>,
}

impl Cursor<'_> {
    fn new(part: &Part) -> Cursor<'_> {
        Cursor { part, sample: 0, marker: 0, alive: None }
    }

    fn time(&self) -> Option<Timestamp> {
        let sample = self.part.run.column.times.get(self.sample);
        let marker = self.part.markers.get(self.marker);
        sample.into_iter().chain(marker).min().copied()
    }

    fn take(&mut self, time: Timestamp) -> Option<Event> {
        let run = &self.part.run;
        if run.column.times.get(self.sample) == Some(&time) {
            let value = run.column.values.get(self.sample)?;
            let position = run.positions.as_ref()?.get(self.sample)?;
            self.sample += 1;
            self.alive = (!is_stale(*value)).then_some(time);
            return Some(Event::Sample { position: *position, value: *value });
        }
        if self.part.markers.get(self.marker) == Some(&time) {
            self.marker += 1;
            self.alive = None;
            return Some(Event::End);
        }
        None
    }
}
