//! Group commit: many threads push entries, one thread writes and syncs them (DESIGN §4).
//!
//! There is no timer: while one group syncs, the next gathers. An entry has its position as soon as
//! [`CommitQueue::push`] returns, and is durable once [`CommitQueue::synced`] has reached it. Space
//! is counted at the push, so that what was accepted can always be written.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwether_model::id::Position;
use tokio::sync::watch;

use super::format::Batch;
use super::write::Room;
use super::{Class, Journal, JournalError};
use crate::disk::SyncPoint;

/// Bytes that may gather while a group is written.
pub const GATHER_BYTES: u64 = 32 << 20;
/// Room that [`CommitQueue::has_room`] leaves for what was admitted before and is not pushed yet.
const RESERVE_BYTES: u64 = 4 << 20;
/// Headers of an entry and its batch, with room to spare.
const ENTRY_ROOM: u64 = 4096;
/// How long to wait before asking a full disk for space again.
const SPARE_RETRY: Duration = Duration::from_secs(1);

/// The way into the journal; clones are the same queue.
#[derive(Clone)]
pub struct CommitQueue {
    shared: Arc<Shared>,
}

/// The journal's thread: [`Committer::run`].
pub struct Committer {
    journal: Journal,
    shared: Arc<Shared>,
    durable: watch::Sender<Position>,
    /// Whether the last group left no room for another.
    full: bool,
}

struct Shared {
    state: Mutex<State>,
    /// There is something to write, or the queue was closed.
    work: Condvar,
    /// The gathering batch was taken, or the queue was closed.
    space: Condvar,
    durable: watch::Receiver<Position>,
    /// Bytes that the gathering batch may have.
    limit: u64,
}

struct State {
    gathering: Batch,
    /// The position of the gathering batch's first entry.
    first: u64,
    /// What is left for the gathering batch once the group before it is written.
    room: Room,
    remove_before: Position,
    closed: bool,
    status: CommitStatus,
}

/// The journal as of the last group, for `/metrics` and the status line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitStatus {
    /// The oldest position kept.
    pub first: Position,
    /// Segments, the one being written among them.
    pub segments: usize,
    /// Spare segments ready.
    pub spares: usize,
    /// Bytes of segments and spares on the disk.
    pub bytes: u64,
    /// Groups written since the start.
    pub groups: u64,
}

/// An entry was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The queue is closed, or the journal has failed.
    #[error("the journal is closed")]
    Closed,
    /// There is no space for another segment; it may come.
    #[error("no space for the journal")]
    Full,
    /// The entry does not fit in a group.
    #[error("the entry is too large for the journal")]
    TooLarge,
}

impl PushError {
    /// Whether the same push may succeed later.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        self == PushError::Full
    }
}

/// Shares a journal. The second value belongs to the journal's thread.
#[must_use]
pub fn commit_queue(journal: Journal) -> (CommitQueue, Committer) {
    let (durable, receiver) = watch::channel(journal.synced());
    let mut state = State {
        gathering: Batch::new(),
        first: journal.next().0,
        room: journal.room(),
        remove_before: Position(0),
        closed: false,
        status: CommitStatus::default(),
    };
    state.observe(&journal);
    let shared = Arc::new(Shared {
        state: Mutex::new(state),
        work: Condvar::new(),
        space: Condvar::new(),
        durable: receiver,
        limit: GATHER_BYTES.min(journal.segment_bytes()),
    });
    let queue = CommitQueue { shared: Arc::clone(&shared) };
    (queue, Committer { journal, shared, durable, full: false })
}

impl CommitQueue {
    /// Adds an entry, and gives its position. Waits while the gathering group is full.
    ///
    /// # Errors
    /// If the entry was not taken; a position is never given then.
    pub fn push(&self, class: Class, bytes: &[u8]) -> Result<Position, PushError> {
        self.push_parts(class, &[bytes])
    }

    /// As [`CommitQueue::push`], for an entry that lies in several places.
    ///
    /// # Errors
    /// If the entry was not taken.
    pub fn push_parts(&self, class: Class, parts: &[&[u8]]) -> Result<Position, PushError> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let shared = &*self.shared;
        let mut state = shared.locked();
        loop {
            let size = state.gathering.size_with(len);
            if state.closed {
                return Err(PushError::Closed);
            }
            if size <= shared.limit {
                break;
            }
            if state.gathering.is_empty() {
                return Err(PushError::TooLarge);
            }
            state = shared.space.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.room.takes(state.gathering.size_with(len)) {
            return Err(PushError::Full);
        }
        let position = Position(state.first + u64::from(state.gathering.entries()));
        let idle = state.gathering.is_empty();
        state.gathering.push(class, parts);
        drop(state);
        if idle {
            shared.work.notify_one();
        }
        Ok(position)
    }

    /// Whether there is room for an entry of so many bytes; to be asked at admission, where the
    /// answer to "no" is 503. It leaves room for what was admitted before.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        let state = self.shared.locked();
        let reserve = RESERVE_BYTES.max(bytes as u64 + ENTRY_ROOM).min(self.shared.limit);
        !state.closed && state.room.takes(state.gathering.size() + reserve)
    }

    /// The last durable position.
    #[must_use]
    pub fn synced(&self) -> Position {
        *self.shared.durable.borrow()
    }

    /// The last durable position, to wait on: `wait_for(|synced| *synced >= mine)`. It fails once
    /// the journal has ended without reaching the position: then nothing is acknowledged.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Position> {
        self.shared.durable.clone()
    }

    /// Asks that segments whose entries all lie before a position be removed. Earlier requests for
    /// a later position stand.
    pub fn remove_before(&self, position: Position) {
        let mut state = self.shared.locked();
        state.remove_before = state.remove_before.max(position);
        drop(state);
        self.shared.work.notify_one();
    }

    /// Takes no more entries. What was pushed is still written and synced; then the journal's
    /// thread ends.
    pub fn close(&self) {
        self.shared.close();
    }

    /// The journal as of the last group.
    #[must_use]
    pub fn status(&self) -> CommitStatus {
        self.shared.locked().status
    }
}

impl Shared {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.locked().closed = true;
        self.work.notify_all();
        self.space.notify_all();
    }
}

impl State {
    fn observe(&mut self, journal: &Journal) {
        self.status = CommitStatus {
            first: journal.first(),
            segments: journal.segment_count(),
            spares: journal.room().spares,
            bytes: journal.bytes(),
            groups: self.status.groups,
        };
    }
}

/// What the journal's thread does next.
struct Job {
    group: bool,
    remove_before: Position,
}

impl Committer {
    /// Writes and syncs groups until the queue is closed and empty, or the journal fails. Either
    /// way the queue is closed then.
    ///
    /// # Errors
    /// The journal's failure: the process must end, and nothing more be acknowledged.
    pub fn run(mut self) -> Result<(), JournalError> {
        let mut done = Position(0);
        while let Some(job) = self.next_job(done) {
            if job.group {
                self.journal.write()?;
                let synced = self.journal.sync(SyncPoint::JournalCommit)?;
                self.durable.send_replace(synced);
            }
            if job.remove_before > done {
                self.journal.remove_before(job.remove_before)?;
                done = job.remove_before;
            }
            self.prepare(job.group);
        }
        Ok(())
    }

    /// Waits for work and takes it; `None` once the queue is closed and empty. A full disk is asked
    /// again after a while.
    fn next_job(&mut self, done: Position) -> Option<Job> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.locked();
        while state.gathering.is_empty() && state.remove_before <= done {
            if state.closed {
                return None;
            }
            if self.journal.lacks_spares() {
                let waited = shared.work.wait_timeout(state, SPARE_RETRY);
                let timeout;
                (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                if timeout.timed_out() {
                    break;
                }
            } else {
                state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        let job = Job { group: !state.gathering.is_empty(), remove_before: state.remove_before };
        if job.group {
            self.journal.exchange(&mut state.gathering);
            let size = self.journal.pending_size();
            state.room = self.journal.room().after(size, self.journal.segment_bytes());
            state.first = self.journal.next().0;
            shared.space.notify_all();
        }
        Some(job)
    }

    /// Makes spares where they are missing, and tells the queue what there is.
    fn prepare(&mut self, group: bool) {
        if self.journal.lacks_spares()
            && let Err(error) = self.journal.prepare_spares()
        {
            tracing::debug!(%error, "no spare journal segment");
        }
        let mut state = self.shared.locked();
        state.room = self.journal.room();
        state.status.groups += u64::from(group);
        state.observe(&self.journal);
        let full = !state.room.takes(self.shared.limit);
        drop(state);
        if full && !self.full {
            tracing::warn!("no space for the journal");
        } else if self.full && !full {
            tracing::info!("the journal has space again");
        }
        self.full = full;
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.shared.close();
    }
}
