//! The state at a start: read, and what damage was found said.

use std::path::Path;
use std::sync::Arc;

use bellwether_model::id::StoreId;
use bellwether_platform::clock::Clock;
use bellwether_platform::disk::{Access, Disk, DiskError};
use bellwether_platform::journal::{Loss, Options};
use bellwether_store::{FileLimits, Limits as StoreLimits};
use tracing::{error, info, warn};

use super::super::recover::{self, JournalGone, Recovered, Start, recover};
use super::ServeError;
use crate::pure::keeper::KeeperLimits;

/// A segment holds the largest group of entries that one sync covers.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Of the disk's room at the start, samples take so much at most (DESIGN §8).
const DISK_PERCENT: u64 = 80;

fn new_store_id() -> StoreId {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("invariant: the system has random numbers");
    StoreId(bytes)
}

/// Reads checkpoint, chunk files and journal.
pub(super) fn replay(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    (store, keeper): (StoreLimits, KeeperLimits),
    loss: Loss,
    clock: &Clock,
) -> Result<Recovered, ServeError> {
    let begun = clock.now();
    // Samples share the disk with the journal and with others.
    let free = disk.free_bytes(dir)?;
    let room = free.saturating_add(chunk_bytes(&**disk, &dir.join(recover::CHUNKS))?);
    let room = usize::try_from(room / 100 * DISK_PERCENT).unwrap_or(usize::MAX);
    let store = StoreLimits { bytes_max: store.bytes_max.min(room), ..store };
    let options = Options { segment_bytes: SEGMENT_BYTES, loss, ..Options::default() };
    let start = Start {
        store,
        keeper,
        files: FileLimits::default(),
        journal: options,
        id: new_store_id(),
        now: begun,
    };
    let mut recovered = recover(disk, dir, start, &mut |_, _| {})?;
    report(&mut recovered);
    info!(
        entries = recovered.journal.written().0.saturating_sub(recovered.held.0),
        checkpoint = recovered.held.0,
        sessions = recovered.keeper.sessions(),
        series = recovered.store.stats().series,
        seconds = clock.now().mono.since(begun.mono).as_secs_f64(),
        "state read"
    );
    Ok(recovered)
}

/// Bytes of the files in a directory.
fn chunk_bytes(disk: &dyn Disk, dir: &Path) -> Result<u64, DiskError> {
    if !disk.exists(dir)? {
        return Ok(0);
    }
    let names = disk.list(dir)?.into_iter();
    names.map(|name| disk.open(&dir.join(name), Access::Read)?.len()).sum()
}

/// Says what damage was found.
fn report(found: &mut Recovered) {
    let recovery = &found.recovery;
    if recovery.torn_bytes > 0 {
        info!(bytes = recovery.torn_bytes, "unfinished end of the journal cut off");
    }
    for what in &found.damaged {
        error!(what, "a checkpoint is damaged: an older state and more of the journal are read");
    }
    for (file, what) in &found.files_broken {
        error!(file, what, "the index of a chunk file is damaged: read block by block");
    }
    for gone in &found.files_gone {
        let file = &gone.name;
        error!(file, "a chunk file is gone: the samples in it are lost");
    }
    let checkpoint = found.held;
    match found.journal_gone {
        None => {}
        Some(JournalGone::Beginning(first)) => {
            error!(%checkpoint, %first, "entries of the journal behind the checkpoint are lost");
        }
        Some(JournalGone::End(last)) => {
            error!(%checkpoint, %last, "the journal ended before the checkpoint: what came \
                                        after the checkpoint is lost");
        }
    }
    for lost in &recovery.lost {
        let (first, last) = (lost.first, lost.last);
        if last <= found.held {
            warn!(%first, %last, "damaged entries of the journal: the checkpoint holds them");
            continue;
        }
        let (segment, offset) = (lost.segment, lost.offset);
        error!(%first, %last, segment, offset, "entries of the journal are damaged and lost");
    }
    for lost in found.keeper.take_losses() {
        let (agent, first, last) = (lost.agent, lost.first, lost.last);
        error!(%agent, %first, %last, "frames are lost with entries of the journal");
    }
}
