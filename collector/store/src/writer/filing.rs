//! Blocks on their way to chunk files, and files on their way out.
//!
//! A block that is sealed waits for the thread that writes ([`Writer::take_filing`]) and is read
//! from memory until it has its place ([`Writer::filed`]). Files go whole, from the oldest, never
//! the live one: past retention, or over the bytes. Where the disk is full, blocks wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_model::time::Timestamp;

use super::Writer;
use super::blocks::{Doomed, What};
use crate::files::filed::{ChunkFile, Damages, Filed};
use crate::files::record::Entry;
use crate::files::{Damage, Filing, Pending, Placed};
use crate::lane::{KEPT, LaneId, Piece};
use crate::{lock, write};

/// What the writer knows of the chunk files.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) pending: Vec<Pending>,
    pub(super) held: BTreeMap<u32, FileHeld>,
    pub(super) live: Option<u32>,
    /// Dropped, to be removed from the disk.
    pub(super) gone: Vec<u32>,
    pub(super) damages: Arc<Damages>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct FileHeld {
    pub(super) last: Timestamp,
    pub(super) bytes: usize,
    pub(super) blocks: usize,
    pub(super) samples: u64,
    pub(super) lanes: BTreeSet<LaneId>,
}

impl Default for FileHeld {
    fn default() -> FileHeld {
        FileHeld { last: Timestamp::MIN, bytes: 0, blocks: 0, samples: 0, lanes: BTreeSet::new() }
    }
}

impl FileHeld {
    /// Notes a block more. Gives its bytes.
    pub(super) fn add(&mut self, entry: &Entry) -> usize {
        let bytes = usize::try_from(entry.bytes).unwrap_or(usize::MAX);
        self.last = self.last.max(entry.time.1);
        self.bytes = self.bytes.saturating_add(bytes);
        self.blocks += 1;
        self.samples += entry.samples;
        self.lanes.insert(entry.lane);
        bytes
    }
}

/// A block of a file, as readers find it.
pub(super) fn piece(file: Arc<ChunkFile>, entry: &Entry, names: crate::block::Names) -> Piece {
    Piece::Filed(Filed {
        file,
        offset: entry.offset,
        names,
        rows: entry.rows,
        full: entry.full,
        time: entry.time,
        position: entry.position,
    })
}

impl Writer {
    /// The blocks that wait for a file, for [`crate::Filer::append`]. What it gives must come back
    /// through [`Writer::filed`] before the next are taken.
    pub fn take_filing(&mut self) -> Filing {
        let files = self.files.as_mut();
        Filing { blocks: files.map(|files| std::mem::take(&mut files.pending)).unwrap_or_default() }
    }

    /// Reads blocks from their files from now on; those that found no place wait again.
    ///
    /// # Panics
    /// Blocks come back in another order than they were taken.
    pub fn filed(&mut self, placed: Placed) {
        let Some(files) = &mut self.files else { return };
        for (file, entry) in placed.placed {
            let bytes = files.held.entry(file.number).or_default().add(&entry);
            self.stats.sealed_bytes += bytes;
            let Some(Some(state)) = self.lanes.get_mut(entry.lane.0 as usize) else { continue };
            let mut rows = write(&state.shared.rows);
            let at = rows.sealed.partition_point(|s| matches!(s.piece, Piece::Filed(_)));
            let Some(sealed) = rows.sealed.get_mut(at) else { continue };
            let Piece::Held(block) = &sealed.piece else { continue };
            assert_eq!(block.bounds(), (entry.time, entry.position), "blocks are filed in order");
            self.stats.sealed_bytes -= block.bytes();
            sealed.piece = piece(file, &entry, Arc::clone(&block.names));
        }
        files.live = placed.live;
        files.pending.splice(0..0, placed.left.blocks);
        self.stats.files = files.held.len();
    }

    /// The files that were dropped, for [`crate::Filer::forget`].
    pub fn take_gone(&mut self) -> Vec<u32> {
        self.files.as_mut().map(|files| std::mem::take(&mut files.gone)).unwrap_or_default()
    }

    /// What was found damaged since the last call.
    pub fn take_damages(&mut self) -> Vec<Damage> {
        self.files.as_ref().map(|files| files.damages.take()).unwrap_or_default()
    }

    fn oldest_file(&self, may_go: impl Fn(&FileHeld) -> bool) -> Option<u32> {
        let files = self.files.as_ref()?;
        let (number, held) = files.held.first_key_value()?;
        (Some(*number) != files.live && may_go(held)).then_some(*number)
    }

    pub(super) fn evict_files(&mut self, max: usize) {
        while self.stats.sealed_bytes + self.stats.open_bytes > max {
            let Some(number) = self.oldest_file(|_| true) else { break };
            self.drop_file(number, |stats| &mut stats.samples_evicted);
        }
    }

    pub(super) fn expire_files(&mut self, horizon: Timestamp) {
        while let Some(number) = self.oldest_file(|held| held.last < horizon) {
            self.drop_file(number, |stats| &mut stats.samples_expired);
        }
    }

    /// Views made from now on do not see what lies in the file.
    fn drop_file(&mut self, number: u32, counter: impl FnOnce(&mut crate::Stats) -> &mut u64) {
        let held = self.files.as_mut().and_then(|files| files.held.remove(&number));
        let (Some(held), Some(files)) = (held, &mut self.files) else { return };
        files.gone.push(number);
        self.stats.files = files.held.len();
        *counter(&mut self.stats) += held.samples;
        self.stats.blocks -= held.blocks;
        self.stats.sealed_bytes -= held.bytes;
        self.stats.pinned_bytes += held.bytes;
        let epoch = lock(&self.shared.views).next();
        for lane in &held.lanes {
            let Some(Some(state)) = self.lanes.get(lane.0 as usize) else { continue };
            let mut rows = write(&state.shared.rows);
            let kept = rows.sealed.iter_mut().skip_while(|sealed| sealed.dropped != KEPT);
            let of_file =
                |piece: &Piece| matches!(piece, Piece::Filed(f) if f.file.number == number);
            for sealed in kept.take_while(|sealed| of_file(&sealed.piece)) {
                sealed.dropped = epoch;
            }
        }
        let (what, bytes) = (What::File(number, held.lanes), held.bytes);
        self.doomed.push_back(Doomed { what, epoch, at: self.now, bytes });
        lock(&self.shared.views).advance();
        self.purge();
    }
}
