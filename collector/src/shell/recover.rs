//! The state after a start: the newest good checkpoint, the chunk files it names, and the journal
//! behind its position. The daemon and the simulator start by this.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_model::id::{Position, StoreId};
use bellwether_model::time::Now;
use bellwether_platform::disk::{Disk, DiskError};
use bellwether_platform::journal::{self, Journal, JournalError, Loss, Options, Recovery};
use bellwether_store::checkpoint::{CheckpointError, Checkpoints};
use bellwether_store::{FileLimits, GoneFile, Limits, Restoring, Store};

use super::blocks::BlockWriter;
use crate::pure::keeper::checkpoint::KeeperRestoring;
use crate::pure::keeper::{Keeper, KeeperLimits};

/// What a start is told.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Bounds of the store.
    pub store: Limits,
    /// Bounds of the keeper.
    pub keeper: KeeperLimits,
    /// Bounds of one chunk file.
    pub files: FileLimits,
    /// How the journal lies on the disk; its `held` is found here.
    pub journal: Options,
    /// The id of a store that is new.
    pub id: StoreId,
    /// The time of the start.
    pub now: Now,
}

/// What a start came to.
pub struct Recovered {
    /// Sessions and the store's writer.
    pub keeper: Keeper,
    /// The store's readers.
    pub store: Store,
    /// Chunk files and checkpoints, for the thread that writes them.
    pub blocks: BlockWriter,
    /// The journal, ready for the next entry.
    pub journal: Journal,
    /// What was found in the journal.
    pub recovery: Recovery,
    /// The checkpoint's position; 0 without one.
    pub held: Position,
    /// Checkpoints that were damaged and are removed, each with what is wrong.
    pub damaged: Vec<String>,
    /// Entries that the state needs and that are gone, which a person has accepted.
    pub journal_gone: Option<JournalGone>,
    /// Chunk files with rows within retention that are gone.
    pub files_gone: Vec<GoneFile>,
    /// Chunk files whose index is damaged, with what is wrong.
    pub files_broken: Vec<(u32, &'static str)>,
}

/// What of a journal is gone as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalGone {
    /// It begins with an entry that does not follow what is held.
    Beginning(Position),
    /// It ends with an entry before the checkpoint's; 0 without any.
    End(Position),
}

/// How often a start found something gone that the state needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartDamage {
    /// Gaps in the journal, its beginning or its end.
    pub journal: u64,
    /// Chunk files.
    pub files: u64,
}

impl Recovered {
    /// What is gone, counted.
    #[must_use]
    pub fn damage(&self) -> StartDamage {
        let gaps = self.recovery.lost.iter().filter(|lost| lost.last > self.held).count();
        let journal = gaps + usize::from(self.journal_gone.is_some());
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        StartDamage { journal: count(journal), files: count(self.files_gone.len()) }
    }
}

/// Why there is no start.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Another version wrote a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Entries that the state needs are neither in a checkpoint nor in the journal.
    #[error(
        "{}: the journal begins after the newest checkpoint that can be read, or there is none{}; \
         --accept-loss goes on without what is missing",
        dir.display(), damaged.iter().map(|what| format!("; {what}")).collect::<String>()
    )]
    Missing {
        /// The collector's directory.
        dir: PathBuf,
        /// What is wrong with each damaged checkpoint.
        damaged: Vec<String>,
    },
}

/// Where things lie in the collector's directory.
pub const JOURNAL: &str = "journal";
/// See [`JOURNAL`].
pub const CHUNKS: &str = "chunks";
/// See [`JOURNAL`].
pub const CHECKPOINTS: &str = "checkpoints";

/// A checkpoint that is good, or the beginning.
struct Found {
    store: Restoring,
    keeper: KeeperRestoring,
    held: Position,
    damaged: Vec<String>,
    /// The numbers of the damaged ones.
    unusable: Vec<u64>,
}

/// Reads all of it; `seen` is given every entry behind the checkpoint.
///
/// # Errors
/// The disk failed, or what is needed is gone and that is not accepted.
pub fn recover(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    start: Start,
    seen: &mut dyn FnMut(Position, &[u8]),
) -> Result<Recovered, RecoverError> {
    let mut checkpoints = Checkpoints::open(Arc::clone(disk), &dir.join(CHECKPOINTS))?;
    let found = newest(&mut checkpoints, &start)?;
    let held = found.held;
    let oldest = journal::oldest(&**disk, &dir.join(JOURNAL))?;
    let begins = oldest.map_or(held, |oldest| Position(oldest.0.saturating_sub(1)));
    // Without a checkpoint a journal may begin anywhere, unless one is known to be gone.
    let lost = match held {
        Position(0) => !found.damaged.is_empty() && (oldest.is_none() || begins > held),
        _ => begins > held,
    };
    if lost && start.journal.loss == Loss::Refuse {
        return Err(RecoverError::Missing { dir: dir.to_owned(), damaged: found.damaged });
    }
    for number in &found.unusable {
        checkpoints.discard(*number)?;
    }
    let restored = found.store.finish(Arc::clone(disk), &dir.join(CHUNKS), start.files)?;
    let horizon = start.now.wall.saturating_sub(start.store.retention);
    let mut files_gone = restored.files_gone;
    files_gone.retain(|file| file.ended.is_none_or(|ended| ended >= horizon));
    let mut keeper = found.keeper.finish(start.now, held, start.id, restored.writer);
    let mut each = |position: Position, bytes: &[u8]| {
        if position > held {
            seen(position, bytes);
        }
        keeper.replay(start.now, position, bytes).map_err(Into::into)
    };
    let options = Options { held, ..start.journal };
    let dir = dir.join(JOURNAL);
    let (journal, recovery) = Journal::open(Arc::clone(disk), &dir, options, &mut each)?;
    keeper.replayed(start.now);
    let journal_gone = if recovery.last < held {
        Some(JournalGone::End(recovery.last))
    } else {
        lost.then_some(JournalGone::Beginning(recovery.first))
    };
    Ok(Recovered {
        keeper,
        store: restored.store,
        blocks: BlockWriter::new(restored.filer, checkpoints),
        journal,
        recovery,
        held,
        damaged: found.damaged,
        journal_gone,
        files_gone,
        files_broken: restored.files_broken,
    })
}

/// The newest checkpoint that can be read to its end.
fn newest(checkpoints: &mut Checkpoints, start: &Start) -> Result<Found, RecoverError> {
    let (mut damaged, mut unusable) = (Vec::new(), Vec::new());
    let mut numbers = checkpoints.numbers();
    while let Some(number) = numbers.pop() {
        let mut store = Restoring::new(start.store);
        let mut keeper = KeeperRestoring::new(start.keeper);
        let mut each = |kind, bytes: &[u8]| {
            if store.record(kind, bytes)? { Ok(()) } else { keeper.record(kind, bytes) }
        };
        match checkpoints.read(number, &mut each) {
            Ok(held) => {
                older(checkpoints, &numbers, &mut damaged, &mut unusable)?;
                return Ok(Found { store, keeper, held, damaged, unusable });
            }
            Err(error @ CheckpointError::Damaged { .. }) => {
                damaged.push(error.to_string());
                unusable.push(number);
            }
            Err(error) => return Err(error.into()),
        }
    }
    let (store, keeper) = (Restoring::new(start.store), KeeperRestoring::new(start.keeper));
    Ok(Found { store, keeper, held: Position(0), damaged, unusable })
}

/// Looks at the heads of the older ones: how far back the journal is kept follows from them.
fn older(
    checkpoints: &mut Checkpoints,
    numbers: &[u64],
    damaged: &mut Vec<String>,
    unusable: &mut Vec<u64>,
) -> Result<(), RecoverError> {
    for number in numbers {
        match checkpoints.position(*number) {
            Ok(_) => {}
            Err(error @ CheckpointError::Damaged { .. }) => {
                damaged.push(error.to_string());
                unusable.push(*number);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
