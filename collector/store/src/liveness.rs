//! When the series of a source end though no data says so: DESIGN §7.13.
//!
//! Each applied frame promises that its source is complete through a time: the source's *mark*.
//! Frames that begin within [`GRACE`] of the mark extend the source's interval; a later one begins
//! a new interval. The series of a silent source end at mark + 5 s, or at its goodbye. Nothing of
//! this is stored among the samples: a backlog that arrives later extends the interval, and the gap
//! was never there.
//!
//! A sample belongs to the first interval that ends at or after it. Samples after the last end (of
//! stamps outside the promise) are ended by nothing. A sample at an end itself is followed by its
//! marker 1 ms later.

mod front;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::time::Timestamp;
use bellwether_model::wire::bytes::{Malformed, Reader, put_varint, put_zigzag};

use crate::Source;
pub(crate) use front::Front;
pub use front::PROMPT;

/// Silence after which a source's series end.
pub const GRACE: Duration = Duration::from_secs(5);

/// Intervals kept per source; beyond it the oldest two are joined. Six hours of silences of 5 s
/// make more; a source that is silent less often than every 40 s has room for two days.
const INTERVALS: usize = 4096;

/// A change to what is known of a source's liveness; applied when its frame is published.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// A frame covers this time.
    Mark { from: Timestamp, through: Timestamp },
    /// The source said goodbye.
    End(Timestamp),
    /// The source's series never end by silence.
    Unmarked,
    /// The source is gone with its data.
    Forget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interval {
    through: Timestamp,
    end: Timestamp,
    closed: bool,
}

/// The intervals of one source, rising; none for one that is not marked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Intervals {
    kept: Vec<Interval>,
    unmarked: bool,
}

impl Intervals {
    /// Appends all of it, for a checkpoint.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.unmarked));
        put_varint(out, self.kept.len() as u64);
        for interval in &self.kept {
            put_zigzag(out, interval.through.0);
            put_zigzag(out, interval.end.0);
            out.push(u8::from(interval.closed));
        }
    }

    /// Reads what [`Intervals::put`] has written.
    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Intervals, Malformed> {
        let unmarked = reader.byte()? != 0;
        let count = reader.count(INTERVALS + 1)?;
        let kept = (0..count).map(|_| {
            Ok(Interval {
                through: Timestamp(reader.zigzag()?),
                end: Timestamp(reader.zigzag()?),
                closed: reader.byte()? != 0,
            })
        });
        Ok(Intervals { kept: kept.collect::<Result<_, Malformed>>()?, unmarked })
    }

    /// Returns whether a gap was forgotten for the bound.
    fn apply(&mut self, change: Change) -> bool {
        match change {
            Change::Mark { from, through } => self.mark(from, through),
            Change::End(at) => self.close(at),
            Change::Unmarked => *self = Intervals { kept: Vec::new(), unmarked: true },
            Change::Forget => self.kept.clear(),
        }
        let over = self.kept.len() > INTERVALS;
        if over {
            self.kept.remove(0);
        }
        over
    }

    fn mark(&mut self, from: Timestamp, through: Timestamp) {
        if self.unmarked {
            return;
        }
        let fresh = Interval { through, end: through.saturating_add(GRACE), closed: false };
        match self.kept.last_mut() {
            Some(last) if !last.closed && from <= last.end => {
                last.through = last.through.max(through);
                last.end = last.through.saturating_add(GRACE);
            }
            Some(last) => {
                let end = fresh.end.max(Timestamp(last.end.0.saturating_add(1)));
                self.kept.push(Interval { end, ..fresh });
            }
            None => self.kept.push(fresh),
        }
    }

    fn close(&mut self, at: Timestamp) {
        let before = self.kept.iter().rev().nth(1).map(|i| i.end);
        if let Some(last) = self.kept.last_mut().filter(|last| !last.closed) {
            last.end = before.map_or(at, |b| at.max(Timestamp(b.0.saturating_add(1))));
            last.closed = true;
        }
    }

    /// The source's newest promise; `None` if it has said goodbye since, or makes none.
    fn promise(&self) -> Option<Timestamp> {
        self.kept.last().filter(|last| !last.closed).map(|last| last.through)
    }

    /// Whether nothing had ended the source at a time.
    pub(crate) fn lives(&self, at: Timestamp) -> bool {
        self.kept.last().is_none_or(|last| at < last.end)
    }

    /// Ends from `start` to `end`, both included, that a view at `now` sees, each with the end of
    /// the interval before.
    pub(crate) fn ends(
        &self,
        start: Timestamp,
        end: Timestamp,
        now: Timestamp,
    ) -> impl Iterator<Item = (Option<Timestamp>, Timestamp)> {
        let first = self.kept.partition_point(|i| i.end < start);
        let last = self.kept.len().saturating_sub(1);
        let rest = self.kept.iter().enumerate().skip(first);
        let within = rest.take_while(move |(_, i)| i.end <= end);
        within.filter(move |(at, i)| *at < last || i.end <= now).map(|(at, i)| {
            let before = at.checked_sub(1).and_then(|b| self.kept.get(b));
            (before.map(|b| b.end), i.end)
        })
    }
}

/// Sources of one shard share the upper bits of their numbers: a change copies one shard at most.
const SHARD_BITS: u32 = 8;

/// The intervals of all sources. A clone is a pointer, and stays as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks(Arc<BTreeMap<u32, Arc<Shard>>>);

type Shard = BTreeMap<Source, Arc<Intervals>>;

impl Marks {
    pub(crate) fn of(&self, source: Source) -> Option<&Intervals> {
        self.0.get(&(source.0 >> SHARD_BITS))?.get(&source).map(AsRef::as_ref)
    }

    fn promise(&self, source: Source) -> Option<Timestamp> {
        self.of(source).and_then(Intervals::promise)
    }

    /// Sets the intervals of a source.
    pub(crate) fn restore(&mut self, source: Source, intervals: Intervals) {
        let shard = Arc::make_mut(&mut self.0).entry(source.0 >> SHARD_BITS).or_default();
        Arc::make_mut(shard).insert(source, Arc::new(intervals));
    }

    /// Returns whether a gap was forgotten for the bound.
    pub(crate) fn apply(&mut self, source: Source, change: Change) -> bool {
        let shard = Arc::make_mut(&mut self.0).entry(source.0 >> SHARD_BITS).or_default();
        let shard = Arc::make_mut(shard);
        if matches!(change, Change::Forget) {
            shard.remove(&source);
            return false;
        }
        Arc::make_mut(shard.entry(source).or_default()).apply(change)
    }

    /// Drops intervals that ended before the horizon; the newest of a source stays.
    pub(crate) fn forget_before(&mut self, horizon: Timestamp) {
        let old =
            |i: &Intervals| i.kept.len() > 1 && i.kept.first().is_some_and(|i| i.end < horizon);
        let stale = self.0.values().flat_map(|shard| shard.iter());
        let stale: Vec<Source> = stale.filter(|(_, i)| old(i)).map(|(source, _)| *source).collect();
        for source in stale {
            let Some(shard) = Arc::make_mut(&mut self.0).get_mut(&(source.0 >> SHARD_BITS)) else {
                continue;
            };
            if let Some(intervals) = Arc::make_mut(shard).get_mut(&source) {
                let kept = &mut Arc::make_mut(intervals).kept;
                let gone = kept.partition_point(|i| i.end < horizon).min(kept.len() - 1);
                kept.drain(..gone);
            }
        }
    }
}

#[cfg(test)]
mod tests;
