//! Sealing, and the ways out: age, bytes, and sources that are gone.
//!
//! A block is dropped in two steps. First it is marked with the epoch that is about to begin: views
//! made from then on do not see it. It goes when no view of an earlier epoch lives, or
//! [`SLACK`] later. A layout goes with its last block, and a series with its last layout.

use std::sync::Arc;

use bellwether_model::id::GroupId;
use bellwether_model::time::Timestamp;

use super::Writer;
use crate::lane::{Epoch, LaneId, Sealed};
use crate::liveness::Change;
use crate::store::SLACK;
use crate::{Source, lock, write};

/// A block by age; blocks of one lane are numbered as they are sealed.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Oldest {
    last: Timestamp,
    lane: LaneId,
    number: u64,
    bytes: usize,
    samples: u64,
}

/// A dropped block that older views still see.
#[derive(Debug)]
pub(super) struct Doomed {
    lane: LaneId,
    epoch: Epoch,
    at: Timestamp,
    bytes: usize,
}

impl Writer {
    /// Seals a lane's open rows into a block. Readers wait only for the exchange.
    pub(super) fn seal(&mut self, lane: LaneId) {
        let Some(state) = self.lanes.get_mut(lane.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        let block = crate::read(&state.shared.rows).open.seal(&mut self.encoder);
        let Some(block) = block else { return };
        let used = state.layouts.last_mut().expect("invariant: a lane has a layout");
        used.blocks += 1;
        self.stats.blocks += 1;
        self.stats.sealed_bytes += block.bytes();
        self.stats.samples_sealed += block.samples;
        self.oldest.insert(Oldest {
            last: block.last_time(),
            lane,
            number: state.next_block,
            bytes: block.bytes(),
            samples: block.samples,
        });
        state.next_block += 1;
        state.sealed();
        let mut rows = write(&state.shared.rows);
        rows.sealed.push_back(Sealed { block: Arc::new(block), dropped: None });
        rows.open.clear();
    }

    /// Drops the oldest blocks while the bytes are over their bound.
    pub(super) fn evict(&mut self) {
        let max = self.shared.limits.bytes_max;
        let mut dropped = Vec::new();
        while self.stats.sealed_bytes + self.stats.open_bytes > max {
            let Some(block) = self.oldest.pop_first() else { break };
            self.stats.samples_evicted += block.samples;
            self.stats.sealed_bytes -= block.bytes;
            dropped.push(block);
        }
        self.doom(dropped);
    }

    /// Drops what is past retention and slack at `now`, series and lanes with it. To be called
    /// every few seconds, and before a publication.
    pub fn retain(&mut self, now: Timestamp) {
        if self.now == Timestamp::MIN {
            self.doomed.iter_mut().for_each(|doomed| doomed.at = now);
        }
        self.now = self.now.max(now);
        let horizon = now.saturating_sub(self.shared.limits.retention).saturating_sub(SLACK);
        self.rest(horizon);
        let mut dropped = Vec::new();
        while self.oldest.first().is_some_and(|block| block.last < horizon) {
            let Some(block) = self.oldest.pop_first() else { break };
            self.stats.samples_expired += block.samples;
            self.stats.sealed_bytes -= block.bytes;
            dropped.push(block);
        }
        self.doom(dropped);
        self.purge();
        write(&self.shared.published).marks.forget_before(horizon);
        self.bury();
    }

    /// Marks blocks as dropped, then lets a new epoch begin.
    fn doom(&mut self, dropped: Vec<Oldest>) {
        if dropped.is_empty() {
            return;
        }
        let epoch = lock(&self.shared.views).next();
        for block in dropped {
            let Some(Some(state)) = self.lanes.get(block.lane.0 as usize) else { continue };
            let mut rows = write(&state.shared.rows);
            if let Some(sealed) = rows.sealed.iter_mut().find(|s| s.dropped.is_none()) {
                sealed.dropped = Some(epoch);
            }
            self.stats.blocks -= 1;
            self.stats.pinned_bytes += block.bytes;
            let (lane, bytes) = (block.lane, block.bytes);
            self.doomed.push_back(Doomed { lane, epoch, at: self.now, bytes });
        }
        lock(&self.shared.views).advance();
        self.purge();
    }

    /// Frees dropped blocks that no living view sees, or that have waited for long enough.
    fn purge(&mut self) {
        let oldest = lock(&self.shared.views).oldest();
        let late = self.now.saturating_sub(SLACK);
        while self.doomed.front().is_some_and(|d| d.epoch <= oldest || d.at < late) {
            let Some(doomed) = self.doomed.pop_front() else { break };
            self.stats.pinned_bytes -= doomed.bytes;
            let Some(Some(state)) = self.lanes.get_mut(doomed.lane.0 as usize) else { continue };
            let sealed = write(&state.shared.rows).sealed.pop_front();
            let Some(Sealed { block, .. }) = sealed else { continue };
            let mut layouts = state.layouts.iter_mut();
            if let Some(used) = layouts.find(|u| Arc::ptr_eq(&u.layout, &block.layout)) {
                used.blocks -= 1;
            }
            self.release_layouts(doomed.lane);
        }
    }

    /// Lets go of layouts without rows, but for the open one, and of the series only they name.
    pub(super) fn release_layouts(&mut self, lane: LaneId) {
        let Some(state) = self.lanes.get_mut(lane.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        let last = state.layouts.len() - 1;
        let (mut at, mut gone) = (0, Vec::new());
        state.layouts.retain(|used| {
            at += 1;
            let kept = used.blocks > 0 || at > last;
            if !kept {
                gone.push(Arc::clone(&used.layout));
            }
            kept
        });
        for layout in gone {
            self.stats.open_bytes -= layout.bytes();
            let Some(Some(state)) = self.lanes.get(lane.0 as usize) else { continue };
            let series = state.unnamed(layout.series());
            self.leave(lane, &series);
        }
    }

    /// Seals lanes whose last row is past the horizon and lets their series go; the definitions
    /// stay for rows that may follow.
    fn rest(&mut self, horizon: Timestamp) {
        let mut tired = Vec::new();
        for state in self.lanes.iter_mut().flatten().filter(|s| !s.asleep) {
            let seen = *state.seen.get_or_insert(self.now);
            if state.last.map_or(seen, |(time, _)| time) < horizon {
                tired.push(state.id);
            }
        }
        for lane in tired {
            self.seal(lane);
            let Some(Some(state)) = self.lanes.get_mut(lane.0 as usize) else { continue };
            self.stats.open_bytes -= state.open_bytes;
            let held = state.fall_asleep();
            self.sources.entry(state.source).or_default().columns -= held;
            self.release_fresh(lane);
            self.release_layouts(lane);
        }
    }

    /// Removes the lanes of forgotten sources once they sleep and hold no block, and then the
    /// sources.
    fn bury(&mut self) {
        if !self.sources.values().any(|s| s.forgotten) {
            return;
        }
        let forgotten = |source: &Source| self.sources.get(source).is_some_and(|s| s.forgotten);
        let lanes = self.lanes.iter().flatten();
        let dead = lanes.filter(|s| s.asleep && s.layouts.len() == 1 && forgotten(&s.source));
        let dead: Vec<_> = dead.map(|s| (s.id, s.source, s.group)).collect();
        for (lane, source, group) in dead {
            self.by_group.remove(&(source, group));
            write(&self.shared.lanes).remove(&lane);
            if let Some(slot) = self.lanes.get_mut(lane.0 as usize) {
                *slot = None;
            }
            self.stats.lanes -= 1;
        }
        let changes = &mut self.changes;
        let by_group = &self.by_group;
        self.sources.retain(|source, state| {
            let lanes = (*source, GroupId(0))..=(*source, GroupId(u32::MAX));
            let kept = !state.forgotten || by_group.range(lanes).next().is_some();
            if !kept {
                changes.push((*source, Change::Forget));
            }
            kept
        });
    }
}
