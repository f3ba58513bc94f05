//! Writing: batches, syncs, new segments from spares, removal from the old end.

use std::mem;

use bellwether_model::id::Position;

use super::format::{Batch, ENTRY_BYTES, HEADER_BYTES, Place};
use super::{Class, Closed, Journal, JournalError, Live, SEGMENT_STEP, Spare, segment_path};
use crate::disk::{Access, DiskError, SyncPoint};

/// Closed files that may wait for a sync; one more makes the roll sync them.
const UNSYNCED_MAX: usize = 8;
/// A segment is trimmed if at least this part of it is free; else it is worth more as a spare.
const TRIM_PART: u64 = 4;

/// What can be written without asking the disk for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    /// Bytes left in the segment being written.
    pub(super) live: u64,
    /// Whole segments ready.
    pub(super) spares: usize,
}

impl Room {
    /// Whether a batch of `size` bytes can be written.
    pub(super) fn takes(self, size: u64) -> bool {
        size <= self.live || self.spares > 0
    }

    /// What is left after a batch of `size` bytes.
    pub(super) fn after(self, size: u64, segment_bytes: u64) -> Room {
        if size <= self.live {
            Room { live: self.live - size, ..self }
        } else {
            Room { live: segment_bytes - size, spares: self.spares.saturating_sub(1) }
        }
    }
}

impl Journal {
    /// Adds an entry to the batch that [`Journal::write`] will write, and gives its position. A
    /// batch that would outgrow a segment is written first.
    ///
    /// # Errors
    /// If the entry is too large for a segment; else as [`Journal::write`]. The entry is not taken.
    pub fn append(&mut self, class: Class, bytes: &[u8]) -> Result<Position, JournalError> {
        self.check_poison()?;
        let limit = self.options.segment_bytes - (HEADER_BYTES + ENTRY_BYTES) as u64;
        if bytes.len() as u64 > limit {
            return Err(JournalError::TooLarge { bytes: bytes.len(), limit });
        }
        if self.pending.size_with(bytes.len()) > self.options.segment_bytes {
            self.write()?;
        }
        let position = self.next();
        self.pending.push(class, &[bytes]);
        Ok(position)
    }

    /// Whether a batch with one more entry of `bytes` can be written without asking the disk for
    /// space. If not, [`Journal::prepare_spares`] may help; until it does, nothing may be accepted.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        let size = self.pending.size_with(bytes);
        size <= self.options.segment_bytes && self.room().takes(size)
    }

    /// Writes what was appended as one batch, without a sync. Gives the last position written.
    ///
    /// # Errors
    /// [`JournalError::Full`] if a new segment is needed and cannot be had: the batch is kept.
    /// After any other error the journal is dead.
    pub fn write(&mut self) -> Result<Position, JournalError> {
        self.check_poison()?;
        if self.pending.is_empty() {
            return Ok(self.written());
        }
        let size = self.pending.size();
        if self.room().live < size {
            self.open_segment()?;
        }
        let first = self.written + 1;
        let place =
            Place { first, synced: self.synced, control: self.control, accepted: self.accepted };
        let live = self.live.as_mut().expect("invariant: a segment with room is open");
        let result = live.file.write_at(self.pending.seal(live.number, &place), live.end);
        live.end += size;
        self.or_poison(result)?;
        self.written += u64::from(self.pending.entries());
        if let Some(number) = self.pending.last_control() {
            self.control = first + u64::from(number);
        }
        self.pending.clear();
        Ok(self.written())
    }

    /// Makes what was written durable, and gives its last position. What was appended and
    /// not written is not part of it.
    ///
    /// # Errors
    /// After an error the journal is dead.
    pub fn sync(&mut self, point: SyncPoint) -> Result<Position, JournalError> {
        self.check_poison()?;
        for (_, mut file) in mem::take(&mut self.unsynced) {
            let result = file.sync(point);
            self.or_poison(result)?;
        }
        self.sync_names()?;
        if self.synced < self.written
            && let Some(live) = &mut self.live
        {
            let result = live.file.sync(point);
            self.or_poison(result)?;
        }
        self.synced = self.written;
        Ok(self.synced())
    }

    /// Ends the segment being written: what follows goes to a new one. What was appended is written
    /// first. Nothing is done if the segment is empty.
    ///
    /// # Errors
    /// [`JournalError::Full`] if there is no space: the segment stays. After any other error
    /// the journal is dead.
    pub fn roll(&mut self) -> Result<(), JournalError> {
        self.write()?;
        match &self.live {
            Some(live) if live.end > 0 => self.open_segment(),
            _ => Ok(()),
        }
    }

    /// Makes the position durable by an empty segment of its name.
    pub(super) fn stand(&mut self) -> Result<(), JournalError> {
        self.open_segment()?;
        self.sync_names()
    }

    /// Makes spare segments up to the number wanted. To be called beside the commits, not in them.
    ///
    /// # Errors
    /// If one cannot be made, most often for want of space. The journal goes on with those it has.
    pub fn prepare_spares(&mut self) -> Result<(), JournalError> {
        self.check_poison()?;
        while self.spares.len() < self.options.spares {
            let name = self.spare_name();
            let path = self.dir.join(&name);
            let mut file = self.disk.create(&path)?;
            if let Err(error) = file.allocate(self.options.segment_bytes) {
                drop(file);
                self.disk.remove(&path)?;
                return Err(error.into());
            }
            self.spares.push(Spare { name, file });
        }
        Ok(())
    }

    /// Removes the segments whose entries all lie before `position`, never the one being
    /// written. Where spares are missing, a segment becomes one. Syncs the directory for each.
    ///
    /// # Errors
    /// After an error the journal is dead.
    pub fn remove_before(&mut self, position: Position) -> Result<(), JournalError> {
        self.check_poison()?;
        while let Some(oldest) = self.closed.first() {
            let next = self.closed.get(1).map(|next| next.number);
            let next = next.or(self.live.as_ref().map(|live| live.number));
            if next.is_none_or(|next| next > position.0) {
                break;
            }
            let (number, size) = (oldest.number, oldest.size);
            self.sync_names()?;
            let result = self.retire(number, size);
            self.or_poison(result)?;
            self.unsynced.retain(|(unsynced, _)| *unsynced != number);
            self.closed.remove(0);
        }
        Ok(())
    }

    /// What can be written without asking the disk for more.
    pub(super) fn room(&self) -> Room {
        let live = self.live.as_ref().map_or(0, |live| live.size.saturating_sub(live.end));
        Room { live, spares: self.spares.len() }
    }

    /// Gives away the batch that was gathered elsewhere, in exchange for an empty one.
    pub(super) fn exchange(&mut self, gathered: &mut Batch) {
        assert!(self.pending.is_empty(), "an exchange would drop entries");
        mem::swap(&mut self.pending, gathered);
    }

    pub(super) fn pending_size(&self) -> u64 {
        self.pending.size()
    }

    pub(super) fn segment_bytes(&self) -> u64 {
        self.options.segment_bytes
    }

    pub(super) fn lacks_spares(&self) -> bool {
        self.spares.len() < self.options.spares
    }

    /// Renames a spare to the segment that the next position opens.
    fn open_segment(&mut self) -> Result<(), JournalError> {
        if self.spares.is_empty() {
            let prepared = self.prepare_spares();
            if let Err(error) = prepared.as_ref()
                && self.spares.is_empty()
                && !error.is_full()
            {
                self.poisoned = true;
                return prepared;
            }
        }
        if self.unsynced.len() >= UNSYNCED_MAX {
            self.sync(SyncPoint::JournalCommit)?;
        }
        // Of two names that are not durable the later one could stay alone.
        self.sync_names()?;
        let Some(spare) = self.spares.pop() else {
            return Err(JournalError::Full { dir: self.dir.clone() });
        };
        let number = self.written + 1;
        let (from, to) = (self.dir.join(&spare.name), segment_path(&self.dir, number));
        let result = self.disk.rename(&from, &to);
        self.or_poison(result)?;
        self.dir_dirty = true;
        let size = self.options.segment_bytes;
        let live = Live { number, file: spare.file, end: 0, size };
        // An empty segment has the same number, and the rename has replaced it.
        if let Some(mut full) = self.live.replace(live).filter(|full| full.end > 0) {
            let size = self.trim(&mut full)?;
            self.closed.push(Closed { number: full.number, end: full.end, size });
            if self.synced < self.written {
                self.unsynced.push((full.number, full.file));
            }
        }
        Ok(())
    }

    /// Gives back the space of a segment that ended early, if it is worth it: an owner that rolls
    /// by count would otherwise hold many times its data. Gives the size of the file.
    fn trim(&mut self, full: &mut Live) -> Result<u64, JournalError> {
        let needed = full.end.next_multiple_of(SEGMENT_STEP);
        if needed > full.size - full.size / TRIM_PART {
            return Ok(full.size);
        }
        let result = full.file.set_len(needed);
        self.or_poison(result)?;
        Ok(needed)
    }

    fn sync_names(&mut self) -> Result<(), JournalError> {
        if self.dir_dirty {
            let result = self.disk.sync_dir(&self.dir, SyncPoint::JournalSegment);
            self.or_poison(result)?;
            self.dir_dirty = false;
        }
        Ok(())
    }

    /// Makes a spare of a segment, or removes it.
    fn retire(&mut self, number: u64, size: u64) -> Result<(), DiskError> {
        let path = segment_path(&self.dir, number);
        if self.lacks_spares() && size == self.options.segment_bytes {
            let name = self.spare_name();
            let file = self.disk.open(&path, Access::ReadWrite)?;
            self.disk.rename(&path, &self.dir.join(&name))?;
            self.disk.sync_dir(&self.dir, SyncPoint::JournalRemove)?;
            self.spares.push(Spare { name, file });
            return Ok(());
        }
        self.disk.remove(&path)?;
        self.disk.sync_dir(&self.dir, SyncPoint::JournalRemove)
    }

    /// The first spare's name that is not taken.
    fn spare_name(&self) -> String {
        let mut names = (0..).map(|number: u32| format!("spare-{number}"));
        let free = names.find(|name| self.spares.iter().all(|spare| spare.name != *name));
        free.expect("invariant: spares are few")
    }

    fn check_poison(&self) -> Result<(), JournalError> {
        match self.poisoned {
            true => Err(JournalError::Poisoned { dir: self.dir.clone() }),
            false => Ok(()),
        }
    }

    fn or_poison<T>(&mut self, result: Result<T, DiskError>) -> Result<T, JournalError> {
        self.poisoned |= result.is_err();
        Ok(result?)
    }
}
