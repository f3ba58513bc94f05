//! Sealing and merging, and the ways out: age, bytes, and sources that are gone.
//!
//! Open rows are sealed into a part; parts are merged, first to [`PART_ROWS`] and then to a whole
//! block of at most [`ROWS_MAX`] rows, so that a row is encoded three times at most and open memory
//! stays small. A block is dropped in two steps. First it is marked with the epoch that is about to
//! begin: views made from then on do not see it. It goes when no view of an earlier epoch lives, or
//! [`SLACK`] later. A series goes with the last block that names it. Blocks in chunk files go file
//! by file (`filing`).

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwether_model::id::GroupId;
use bellwether_model::time::Timestamp;

use super::Writer;
use super::columns::LaneState;
use crate::block::merge::merge;
use crate::block::open::OPEN_ROWS;
use crate::block::{Block, Names};
use crate::chunk::ROWS_MAX;
use crate::files::Pending;
use crate::lane::{Epoch, KEPT, LaneId, Piece, Sealed};
use crate::liveness::Change;
use crate::store::SLACK;
use crate::{Source, lock, write};

/// Rows of small parts that are merged into a larger one.
const PART_ROWS: usize = 96;

/// A block by age; blocks of one lane are numbered as they are sealed.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Oldest {
    last: Timestamp,
    lane: LaneId,
    number: u64,
    bytes: usize,
    samples: u64,
}

/// What was dropped and is still seen by older views.
#[derive(Debug)]
pub(super) struct Doomed {
    pub(super) what: What,
    pub(super) epoch: Epoch,
    pub(super) at: Timestamp,
    pub(super) bytes: usize,
}

/// A block of a lane, its oldest, or all blocks of a file.
#[derive(Debug)]
pub(super) enum What {
    Block(LaneId),
    File(u32, BTreeSet<LaneId>),
}

impl Writer {
    /// Seals a lane's open rows into a part. Readers wait only for the exchange.
    pub(super) fn seal(&mut self, lane: LaneId) {
        let Some(state) = self.lanes.get_mut(lane.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        let block = crate::read(&state.shared.rows).open.seal(&mut self.encoder);
        let Some(block) = block else { return };
        state.sealed();
        self.stats.open_bytes += block.bytes() + state.hold(&block.names);
        self.stats.parts += 1;
        let mut rows = write(&state.shared.rows);
        rows.parts.push(Arc::new(block));
        rows.open.clear();
        rows.seals += 1;
        let parts: Vec<usize> = rows.parts.iter().map(|part| part.rows).collect();
        drop(rows);
        let total: usize = parts.iter().sum();
        let small = parts.iter().rev().take_while(|rows| **rows < PART_ROWS);
        let (count, small) = small.fold((0, 0), |(count, sum), rows| (count + 1, sum + rows));
        let whole = self.shared.limits.block_rows.clamp(OPEN_ROWS, ROWS_MAX);
        if total > whole {
            self.close(lane, parts.len() - 1);
        } else if total == whole {
            self.close(lane, parts.len());
        } else if small >= PART_ROWS {
            self.join(lane, count);
        }
    }

    /// Merges the newest parts into one.
    fn join(&mut self, lane: LaneId, count: usize) {
        let Some(Some(state)) = self.lanes.get_mut(lane.0 as usize) else { return };
        let parts = crate::read(&state.shared.rows).parts.clone();
        let parts = parts.get(parts.len() - count..).unwrap_or_default();
        let Some(block) = merge(parts, &state.layout.names, &mut self.encoder) else { return };
        self.stats.open_bytes += block.bytes() + state.hold(&block.names);
        self.stats.open_bytes -= let_go(state, parts);
        self.stats.parts -= count - 1;
        let mut rows = write(&state.shared.rows);
        let kept = rows.parts.len() - count;
        rows.parts.truncate(kept);
        rows.parts.push(Arc::new(block));
    }

    /// Merges the oldest parts into a whole block, which may be dropped one day.
    fn close(&mut self, lane: LaneId, count: usize) {
        let Some(Some(state)) = self.lanes.get_mut(lane.0 as usize) else { return };
        let parts = crate::read(&state.shared.rows).parts.clone();
        let parts = parts.get(..count).unwrap_or_default();
        let Some(block) = merge(parts, &state.layout.names, &mut self.encoder) else { return };
        self.stats.open_bytes += state.hold(&block.names);
        self.stats.open_bytes -= let_go(state, parts);
        self.stats.parts -= count;
        self.stats.blocks += 1;
        self.stats.sealed_bytes += block.bytes();
        self.stats.samples_sealed += block.samples;
        let block = Arc::new(block);
        if let Some(files) = &mut self.files {
            let names = state.names_id(&block.names).expect("invariant: noted above");
            files.pending.push(Pending { lane, names, block: Arc::clone(&block) });
        } else {
            self.oldest.insert(Oldest {
                last: block.last_time(),
                lane,
                number: state.next_block,
                bytes: block.bytes(),
                samples: block.samples,
            });
            state.next_block += 1;
        }
        let mut rows = write(&state.shared.rows);
        rows.parts.drain(..count);
        rows.sealed.push_back(Sealed { piece: Piece::Held(block), dropped: KEPT });
    }

    /// Seals and closes all that a lane has.
    fn close_all(&mut self, lane: LaneId) {
        self.seal(lane);
        let Some(Some(state)) = self.lanes.get(lane.0 as usize) else { return };
        let parts = crate::read(&state.shared.rows).parts.len();
        self.close(lane, parts);
    }

    /// Drops the oldest blocks while the bytes are over their bound.
    pub(super) fn evict(&mut self) {
        let max = self.shared.limits.bytes_max;
        self.evict_files(max);
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
        self.expire_files(horizon);
        let mut dropped = Vec::new();
        while self.oldest.first().is_some_and(|block| block.last < horizon) {
            let Some(block) = self.oldest.pop_first() else { break };
            self.stats.samples_expired += block.samples;
            self.stats.sealed_bytes -= block.bytes;
            dropped.push(block);
        }
        self.doom(dropped);
        self.purge();
        write(&self.shared.published).front.marks.forget_before(horizon);
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
            if let Some(sealed) = rows.sealed.iter_mut().find(|s| s.dropped == KEPT) {
                sealed.dropped = epoch;
            }
            self.stats.blocks -= 1;
            self.stats.pinned_bytes += block.bytes;
            let (what, bytes) = (What::Block(block.lane), block.bytes);
            self.doomed.push_back(Doomed { what, epoch, at: self.now, bytes });
        }
        lock(&self.shared.views).advance();
        self.purge();
    }

    /// Frees dropped blocks that no living view sees, or that have waited for long enough.
    pub(super) fn purge(&mut self) {
        let oldest = lock(&self.shared.views).oldest();
        let late = self.now.saturating_sub(SLACK);
        while self.doomed.front().is_some_and(|d| d.epoch <= oldest || d.at < late) {
            let Some(doomed) = self.doomed.pop_front() else { break };
            self.stats.pinned_bytes -= doomed.bytes;
            match doomed.what {
                What::Block(lane) => drop(self.release_oldest(lane, |_| true)),
                What::File(number, lanes) => {
                    let in_it =
                        |piece: &Piece| matches!(piece, Piece::Filed(f) if f.file.number == number);
                    for lane in lanes {
                        while self.release_oldest(lane, in_it) {}
                    }
                }
            }
        }
    }

    /// Frees the oldest block of a lane, with the series that it alone names, if it is such a one.
    fn release_oldest(&mut self, lane: LaneId, is_it: impl Fn(&Piece) -> bool) -> bool {
        let Some(Some(state)) = self.lanes.get_mut(lane.0 as usize) else { return false };
        let mut rows = write(&state.shared.rows);
        if !rows.sealed.front().is_some_and(|sealed| is_it(&sealed.piece)) {
            return false;
        }
        let Some(sealed) = rows.sealed.pop_front() else { return false };
        drop(rows);
        if let Some(names) = state.release(sealed.piece.names()) {
            self.stats.open_bytes -= size_of_val(&*names);
            let gone = state.unnamed(names.iter().copied());
            self.leave(lane, &gone);
        }
        true
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
            self.close_all(lane);
            let Some(Some(state)) = self.lanes.get_mut(lane.0 as usize) else { continue };
            self.stats.open_bytes -= state.open_bytes;
            let names = Arc::clone(&state.layout.names);
            let held = state.fall_asleep();
            self.sources.entry(state.source).or_default().columns -= held;
            let gone = state.unnamed(names.iter().copied());
            self.leave(lane, &gone);
            self.release_fresh(lane);
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
        let dead = lanes.filter(|s| s.asleep && s.used.is_empty() && forgotten(&s.source));
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

/// Lets a lane go of parts whose series a newer block names. Gives the bytes.
fn let_go(state: &mut LaneState, parts: &[Arc<Block>]) -> usize {
    let names = |names: Names| size_of_val(&*names);
    let of = |part: &Arc<Block>| part.bytes() + state.release(&part.names).map_or(0, names);
    parts.iter().map(of).sum()
}
