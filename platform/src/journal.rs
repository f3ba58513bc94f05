//! The journal: the durable order of a process (DESIGN §6, `platform/FORMAT.md`).
//!
//! - Entries have positions 1, 2, 3, … without a gap. [`Journal::append`] gives one at once, which
//!   is durable once [`Journal::synced`] has reached it, and not before.
//! - After any end, what was synced is read back bit for bit, in order, once; what was not is a
//!   prefix of what was appended, or nothing.
//! - Space for the next segments is taken beforehand: [`Journal::has_room`] says *before* an entry
//!   is accepted that there is none.
//! - After an error of a write or a sync every later call fails: the process ends without an ack.
//!
//! One thread owns a journal; [`commit`] shares it. It does not know what entries mean, and never
//! drops a segment unasked. Entries are synced when their owner says so, and by a roll that would
//! leave more than eight segments unsynced.

pub mod commit;
mod format;
mod open;
mod read;
mod write;

#[cfg(test)]
mod tests;

use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_model::id::Position;

use crate::disk::{Disk, DiskError, File};
use format::Batch;

/// Segments are a multiple of this: what file systems allocate by.
const SEGMENT_STEP: u64 = 4096;
/// A segment larger than this would make a batch that memory should not have to hold.
const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// How a journal lies on the disk.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of a new segment: 4 KiB to 1 GiB, a multiple of 4 KiB. It bounds a batch.
    pub segment_bytes: u64,
    /// Segments kept ready, at least 1.
    pub spares: usize,
    /// What to do when control entries are lost.
    pub loss: Loss,
    /// Entries up to here are held elsewhere, by something made when they were durable here: gaps
    /// up to here are no loss. A journal that ends before has lost what followed, and with the loss
    /// accepted goes on behind this position. 0 for none.
    pub held: Position,
}

impl Default for Options {
    /// The collector's: 64 MiB, two spares, no loss accepted.
    fn default() -> Options {
        Options { segment_bytes: 64 << 20, spares: 2, loss: Loss::Refuse, held: Position(0) }
    }
}

/// Whether a journal opens that has lost control entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It does not.
    Refuse,
    /// It does: a person said `--accept-loss`. The next batch records that.
    Accept,
}

/// What an entry is, for the question whether its loss can be borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Observations: a loss is reported.
    Data,
    /// Decisions and commands: a loss refuses the start.
    Control,
}

/// The journal of one directory.
pub struct Journal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: Options,
    /// Full segments, oldest first.
    closed: Vec<Closed>,
    /// The segment that is written; `None` before the first entry ever.
    live: Option<Live>,
    /// Files of closed segments with bytes that are not synced, oldest first.
    unsynced: Vec<(u64, Box<dyn File>)>,
    spares: Vec<Spare>,
    pending: Batch,
    written: u64,
    synced: u64,
    /// The position of the last control entry written.
    control: u64,
    accepted: u64,
    /// A segment's name may not be durable.
    dir_dirty: bool,
    poisoned: bool,
}

/// A full segment. Its last position is the one before the next segment's number.
struct Closed {
    number: u64,
    /// Where its data end.
    end: u64,
    /// Bytes of its file.
    size: u64,
}

struct Live {
    number: u64,
    file: Box<dyn File>,
    end: u64,
    size: u64,
}

struct Spare {
    name: String,
    file: Box<dyn File>,
}

/// What was found when a journal was opened.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// The oldest position kept, lost ones included; after `last` if there is none.
    pub first: Position,
    /// The newest position kept.
    pub last: Position,
    /// Entries read back.
    pub entries: u64,
    /// Bytes of torn batches cut off, as far as their headers were left.
    pub torn_bytes: u64,
    /// What corruption has taken, in order; at most [`LOST_RANGES_MAX`].
    pub lost: Vec<LostRange>,
    /// Entries lost to corruption, also those that `lost` has no place for.
    pub lost_entries: u64,
}

/// More lost ranges than this are only counted.
pub const LOST_RANGES_MAX: usize = 1024;

/// Entries lost to corruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostRange {
    /// The first position lost.
    pub first: Position,
    /// The last position lost.
    pub last: Position,
    /// The segment with the damage, by its number.
    pub segment: u64,
    /// Where the damaged batch begins in it.
    pub offset: u64,
    /// Whether a control entry is among them, or in a lost range with no good batch between.
    pub control: bool,
}

/// A segment of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The number in its file's name; equal to `first`.
    pub number: u64,
    /// The position of its first entry.
    pub first: Position,
    /// The position of its last entry; `first` − 1 if it has none.
    pub last: Position,
    /// Bytes of data in it.
    pub bytes: u64,
}

/// A journal cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is no spare segment and none can be made. Nothing was changed; the call may be
    /// repeated.
    #[error("no space for another journal segment in {}", dir.display())]
    Full {
        /// The journal's directory.
        dir: PathBuf,
    },
    /// An entry does not fit in a segment. Nothing was changed.
    #[error("a journal entry of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// The entry's length.
        bytes: usize,
        /// The longest that fits.
        limit: u64,
    },
    /// An earlier write or sync failed.
    #[error("the journal in {} failed before; the process must end", dir.display())]
    Poisoned {
        /// The journal's directory.
        dir: PathBuf,
    },
    /// Control entries are lost.
    #[error(
        "{}: decisions or commands among entries {} to {} are lost (damage at offset {}); \
         --accept-loss goes on without them",
        path.display(), lost.first, lost.last, lost.offset
    )]
    ControlLost {
        /// The damaged segment.
        path: PathBuf,
        /// The first such range.
        lost: LostRange,
    },
    /// The journal ends before a position that is held elsewhere.
    #[error(
        "{}: the journal ends with entry {last}, and the checkpoint was made at {held}: the journal \
         is gone or cut short, and commands and samples with it; bring it back, or go on without \
         them with --accept-loss",
        dir.display()
    )]
    Ended {
        /// The journal's directory.
        dir: PathBuf,
        /// Its last entry; 0 without any.
        last: Position,
        /// The position that is held elsewhere.
        held: Position,
    },
    /// The segment was written by a later version of this program.
    #[error("{}: journal format {version} is newer than this program reads", path.display())]
    Newer {
        /// The segment.
        path: PathBuf,
        /// Its format.
        version: u16,
    },
    /// The size of segments or the number of spares is out of range.
    #[error("a journal segment must have 4 KiB to 1 GiB in steps of 4 KiB, with a spare at least")]
    Options,
    /// The reader of the entries refused one.
    #[error("entry {position} of the journal in {}: {source}", dir.display())]
    Replay {
        /// The journal's directory.
        dir: PathBuf,
        /// The entry.
        position: Position,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl JournalError {
    /// Whether the journal is as it was, and the call may succeed once there is space.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            JournalError::Full { .. } => true,
            JournalError::Disk(error) => error.is_full(),
            _ => false,
        }
    }
}

/// Takes one entry at a time while a journal is opened.
pub type Replay<'a> =
    &'a mut dyn FnMut(Position, &[u8]) -> Result<(), Box<dyn Error + Send + Sync>>;

impl Journal {
    /// Opens the journal of a directory, made if missing, and gives every entry to `each`, in
    /// order. Memory is bounded by one batch. Entries count as durable only once this has
    /// returned: what `each` learns must not leave the process before.
    ///
    /// # Errors
    /// If control entries are lost and that is not accepted, a later format is found, `each`
    /// fails, or the disk does. Nothing was changed then, but for torn bytes that may be cut.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: Options,
        each: Replay<'_>,
    ) -> Result<(Journal, Recovery), JournalError> {
        open::open(disk, dir, options, each)
    }

    /// The last position that is durable; 0 before the first.
    #[must_use]
    pub fn synced(&self) -> Position {
        Position(self.synced)
    }

    /// The last position in the file, durable or not.
    #[must_use]
    pub fn written(&self) -> Position {
        Position(self.written)
    }

    /// The position that the next entry gets.
    #[must_use]
    pub fn next(&self) -> Position {
        Position(self.written + u64::from(self.pending.entries()) + 1)
    }

    /// The oldest position kept; the next one if there is none.
    #[must_use]
    pub fn first(&self) -> Position {
        let closed = self.closed.first().map(|segment| segment.number);
        let live = self.live.as_ref().map(|live| live.number);
        closed.or(live).map_or(self.next(), Position)
    }

    /// The number of segments, the one being written among them.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.closed.len() + usize::from(self.live.is_some())
    }

    /// Bytes of the segments and spares on the disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|segment| segment.size).sum();
        let live = self.live.as_ref().map_or(0, |live| live.size);
        closed + live + self.spares.len() as u64 * self.options.segment_bytes
    }

    /// The segments, oldest first; the last is the one being written.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let closed = self.closed.iter().map(|segment| (segment.number, segment.end));
        let live = self.live.iter().map(|live| (live.number, live.end));
        let mut segments: Vec<SegmentInfo> = closed
            .chain(live)
            .map(|(number, bytes)| {
                let (first, last) = (Position(number), Position(self.written));
                SegmentInfo { number, first, last, bytes }
            })
            .collect();
        let mut next = self.written + 1;
        for segment in segments.iter_mut().rev() {
            segment.last = Position(next - 1);
            next = segment.number;
        }
        segments
    }

    /// Gives the written entries from a position on to `each`, in order, until it breaks. Positions
    /// that corruption has taken are passed over, and show as a jump.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn read(
        &self,
        from: Position,
        each: &mut dyn FnMut(Position, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), JournalError> {
        for segment in self.segments() {
            if segment.last >= from
                && read::read_segment(&*self.disk, &self.dir, &segment, from, each)?.is_break()
            {
                break;
            }
        }
        Ok(())
    }
}

impl Options {
    fn check(self) -> Result<Options, JournalError> {
        let sizes = SEGMENT_STEP..=SEGMENT_BYTES_MAX;
        let sound = sizes.contains(&self.segment_bytes)
            && self.segment_bytes.is_multiple_of(SEGMENT_STEP)
            && self.spares > 0;
        if sound { Ok(self) } else { Err(JournalError::Options) }
    }
}

/// The position with which the journal of a directory begins, by its segments' names; `None` if
/// there are none.
///
/// # Errors
/// If the disk fails.
pub fn oldest(disk: &dyn Disk, dir: &Path) -> Result<Option<Position>, DiskError> {
    if !disk.exists(dir)? {
        return Ok(None);
    }
    let names = disk.list(dir)?;
    Ok(names.iter().filter_map(|name| segment_number(name)).min().map(Position))
}

/// The path of a segment.
fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.journal"))
}

/// The number in a segment's name.
fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".journal")?;
    let plain = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u64::from_str_radix(digits, 16).ok().filter(|_| plain)?;
    (number > 0 && format!("{number:016x}") == digits).then_some(number)
}

/// Whether a name is that of a spare.
fn is_spare(name: &str) -> bool {
    let digits = name.strip_prefix("spare-");
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}
