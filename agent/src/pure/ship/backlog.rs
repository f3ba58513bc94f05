//! Which frames the spool holds, segment by segment. The files say it; this is their table of
//! contents, and the place where room and age are judged.

use std::collections::VecDeque;
use std::time::Duration;

use bellwether_model::id::{Position, Seq};
use bellwether_model::time::Timestamp;
use bellwether_model::wire::envelope::{Skip, SkipReason};

use crate::pure::account::Count;

/// A frame of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Samples in it.
    pub samples: u32,
    /// Its complete-through.
    pub through: Timestamp,
}

/// Frames of one incarnation, one after the other, that decode alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Number of its first frame.
    pub first: Seq,
    /// Number of its last.
    pub last: Seq,
    /// Position of its first frame in the spool's journal.
    pub position: Position,
    /// Bytes of its frames.
    pub bytes: u64,
    /// Complete-through of its newest frame.
    pub newest: Timestamp,
    /// Its frames, from the first to the last.
    pub frames: Vec<Held>,
}

impl Segment {
    /// Its frames with their numbers.
    fn numbered(&self) -> impl Iterator<Item = (Seq, &Held)> {
        (self.first.0..).map(Seq).zip(&self.frames)
    }

    /// What of it is after `cursor` and not skipped.
    #[must_use]
    pub fn left(&self, cursor: Seq, skips: &[Skip]) -> Count {
        let mut count = Count::default();
        let left = self.numbered().filter(|(seq, _)| *seq > cursor && !covers(skips, *seq));
        left.for_each(|(_, held)| count += Count::frame(held.samples));
        count
    }
}

/// Whether a number is in one of the ranges.
fn covers(skips: &[Skip], seq: Seq) -> bool {
    skips.iter().any(|skip| skip.first <= seq && seq <= skip.last)
}

/// How much the spool may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of frames.
    pub bytes_max: u64,
    /// Age of a segment's newest frame.
    pub age_max: Duration,
}

/// All segments, oldest first. The last one is live: frames are still added to it.
#[derive(Clone, Debug, Default)]
pub struct Backlog {
    segments: VecDeque<Segment>,
    bytes: u64,
}

impl Backlog {
    /// Takes note of a frame that is in the spool; it follows all others.
    pub fn push(&mut self, segment: Segment, opens_segment: bool) {
        self.bytes += segment.bytes;
        match self.segments.back_mut() {
            Some(live)
                if !opens_segment
                    && live.first.incarnation() == segment.first.incarnation()
                    && live.last.0 + 1 == segment.first.0 =>
            {
                live.last = segment.last;
                live.bytes += segment.bytes;
                live.newest = live.newest.max(segment.newest);
                live.frames.extend(segment.frames);
            }
            _ => self.segments.push_back(segment),
        }
    }

    /// All segments, oldest first.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter()
    }

    /// Bytes of all frames held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts the frames from one number to another that are in none of the ranges of `without`.
    #[must_use]
    pub fn count(&self, first: Seq, last: Seq, without: &[Skip]) -> Count {
        let mut count = Count::default();
        self.frames(first).take_while(|(seq, _)| *seq <= last).for_each(|(seq, held)| {
            if !covers(without, seq) {
                count += Count::frame(held.samples);
            }
        });
        count
    }

    /// What is held for a collector: after its cursor, and not declared to it.
    #[must_use]
    pub fn held(&self, cursor: Seq, skips: &[Skip]) -> Count {
        self.count(Seq(cursor.0 + 1), Seq(u64::MAX), skips)
    }

    /// The oldest frame that a collector has not acknowledged: all before it is older than this.
    #[must_use]
    pub fn oldest_unacked(&self, cursor: Seq, skips: &[Skip]) -> Option<Timestamp> {
        let mut unacked = self.frames(Seq(cursor.0 + 1));
        unacked.find(|(seq, _)| !covers(skips, *seq)).map(|(_, held)| held.through)
    }

    /// The frames at or after a number.
    fn frames(&self, first: Seq) -> impl Iterator<Item = (Seq, &Held)> {
        let at = self.segments.partition_point(|segment| segment.last < first);
        let segments = self.segments.range(at..);
        segments.flat_map(Segment::numbered).skip_while(move |(seq, _)| *seq < first)
    }

    /// The oldest frame held.
    #[must_use]
    pub fn first(&self) -> Option<Seq> {
        self.segments.front().map(|segment| segment.first)
    }

    /// The newest frame held.
    #[must_use]
    pub fn last(&self) -> Option<Seq> {
        self.segments.back().map(|segment| segment.last)
    }

    /// The oldest frame held whose number is at least this.
    #[must_use]
    pub fn at_or_after(&self, seq: Seq) -> Option<Seq> {
        let segment = self.segments.iter().find(|segment| segment.last >= seq)?;
        Some(segment.first.max(seq))
    }

    /// The segment that holds a frame.
    #[must_use]
    pub fn segment_of(&self, seq: Seq) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.first <= seq && seq <= segment.last)
    }

    /// Removes the oldest segment if every frame of it is acknowledged and it is not live.
    pub fn pop_acked(&mut self, acked: Seq) -> Option<Segment> {
        let oldest = self.segments.front()?;
        if self.segments.len() > 1 && oldest.last <= acked { self.pop() } else { None }
    }

    /// Removes the oldest segment if a bound asks for it; never the live one, which later frames
    /// build on.
    pub fn pop_over(&mut self, now: Timestamp, bounds: Bounds) -> Option<(Segment, SkipReason)> {
        let oldest = self.segments.front().filter(|_| self.segments.len() > 1)?;
        let reason = if oldest.newest.saturating_add(bounds.age_max) < now {
            SkipReason::SpoolAge
        } else if self.bytes > bounds.bytes_max {
            SkipReason::SpoolFull
        } else {
            return None;
        };
        self.pop().map(|segment| (segment, reason))
    }

    /// Removes the oldest segment but the live one, whatever it holds: the disk is full.
    pub fn pop_oldest(&mut self) -> Option<Segment> {
        if self.segments.len() > 1 { self.pop() } else { None }
    }

    /// Removes the oldest segment when the spool is opened: nothing is live then.
    pub fn pop_done(&mut self) {
        self.pop();
    }

    fn pop(&mut self) -> Option<Segment> {
        let segment = self.segments.pop_front()?;
        self.bytes -= segment.bytes;
        Some(segment)
    }
}
