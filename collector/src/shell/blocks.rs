//! The thread that writes chunk files and checkpoints, one job at a time, and what gives it work.
//!
//! The keeper never waits for it: it hands over what was sealed and what was copied, and takes up
//! what became of it with a later tick. A checkpoint is begun when its position is durable in the
//! journal: a state that is ahead of the journal would pass over what is journalled again.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use bellwether_model::id::Position;
use bellwether_model::time::{Mono, Now, Timestamp};
use bellwether_platform::disk::DiskError;
use bellwether_store::checkpoint::Checkpoints;
use bellwether_store::{Filer, Filing, Placed};
use tracing::{debug, warn};

use crate::pure::keeper::Keeper;
use crate::pure::keeper::checkpoint::{CheckpointOutcome, KeeperCapture};

/// A checkpoint that found no space is tried again after this.
const CHECKPOINT_RETRY: Duration = Duration::from_secs(60);

/// What is to be written.
#[derive(Default)]
pub struct Job {
    /// The time by which files are closed.
    pub now: Timestamp,
    /// Files to drop.
    pub gone: Vec<u32>,
    /// Blocks to append.
    pub filing: Filing,
    /// State to write down, once the blocks are in their files.
    pub capture: Option<Box<KeeperCapture>>,
}

/// What became of a job.
#[derive(Debug)]
pub struct Done {
    /// Where the blocks are.
    pub placed: Placed,
    /// What became of the checkpoint, if there was to be one.
    pub checkpoint: Option<CheckpointOutcome>,
    /// Entries up to here are needed no more.
    pub cut: Option<Position>,
}

/// The writing end of chunk files and checkpoints.
pub struct BlockWriter {
    filer: Filer,
    checkpoints: Checkpoints,
}

impl BlockWriter {
    /// Joins the two.
    #[must_use]
    pub fn new(filer: Filer, checkpoints: Checkpoints) -> BlockWriter {
        BlockWriter { filer, checkpoints }
    }

    /// Bytes of the chunk files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.filer.bytes()
    }

    /// Does a job. A full disk is told in what it gives.
    ///
    /// # Errors
    /// The disk failed: the process must end.
    pub fn write(&mut self, job: Job) -> Result<Done, DiskError> {
        self.filer.forget(&job.gone);
        let placed = self.filer.append(job.now, job.filing)?;
        let checkpoint = match job.capture {
            None => None,
            Some(_) if placed.is_full() => Some(CheckpointOutcome::NoSpace),
            Some(capture) => Some(self.checkpoint(&capture)?),
        };
        // No checkpoint names what it drops; without space for one, space comes first.
        if checkpoint.is_some() || placed.is_full() {
            self.filer.unlink()?;
        }
        Ok(Done { placed, checkpoint, cut: self.checkpoints.cut() })
    }

    fn checkpoint(&mut self, capture: &KeeperCapture) -> Result<CheckpointOutcome, DiskError> {
        let BlockWriter { filer, checkpoints } = self;
        filer.sync()?;
        let written = checkpoints.write(capture.position(), |sections| {
            capture.store.put(filer, sections)?;
            let mut written = Ok(());
            capture.put(&mut |kind, bytes| {
                if written.is_ok() {
                    written = sections.record(kind, bytes);
                }
            });
            written
        });
        match written {
            Ok(()) => Ok(CheckpointOutcome::Written),
            Err(error) if error.is_full() => Ok(CheckpointOutcome::NoSpace),
            Err(error) => Err(error),
        }
    }
}

/// The block thread: does jobs until there are no more.
pub struct BlockThread {
    writer: BlockWriter,
    jobs: Receiver<Job>,
    done: SyncSender<Done>,
}

impl BlockThread {
    /// Runs until the keeper is gone.
    ///
    /// # Errors
    /// The disk failed.
    pub fn run(mut self) -> Result<(), DiskError> {
        while let Ok(job) = self.jobs.recv() {
            // A keeper that has ended does not ask.
            self.done.send(self.writer.write(job)?).ok();
        }
        Ok(())
    }
}

/// What is to be written next, and when.
pub struct Upkeep {
    /// State that waits for the journal.
    captured: Option<Box<KeeperCapture>>,
    due: CheckpointDue,
    bytes: u64,
    last: Mono,
}

/// When a checkpoint is due.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointDue {
    /// After this many bytes of entries.
    pub bytes: u64,
    /// After this time.
    pub every: Duration,
}

impl Default for CheckpointDue {
    /// 128 MiB, five minutes (DESIGN §9).
    fn default() -> CheckpointDue {
        CheckpointDue { bytes: 128 << 20, every: Duration::from_secs(300) }
    }
}

impl Upkeep {
    /// `since` is when the state was read.
    #[must_use]
    pub fn new(due: CheckpointDue, since: Mono) -> Upkeep {
        Upkeep { captured: None, due, bytes: 0, last: since }
    }

    /// The next job, if there is anything to do. What became of the one before must have been taken
    /// up. `synced` is the journal's position.
    pub fn next(&mut self, now: Now, keeper: &mut Keeper, synced: Position) -> Option<Job> {
        let is_due = self.bytes > self.due.bytes || now.mono.since(self.last) >= self.due.every;
        if self.captured.is_none() && is_due {
            self.captured = Some(Box::new(keeper.capture(now.wall)));
            (self.bytes, self.last) = (0, now.mono);
        }
        let mut job = Job { now: now.wall, gone: keeper.take_gone(), ..Job::default() };
        match self.captured.take_if(|captured| captured.position() <= synced) {
            Some(mut captured) => {
                job.filing = captured.store.take_filing();
                job.capture = Some(captured);
            }
            None if self.captured.is_none() => job.filing = keeper.take_filing(),
            None => {}
        }
        let idle = job.capture.is_none() && job.filing.is_empty() && job.gone.is_empty();
        (!idle).then_some(job)
    }

    /// Takes up what became of a job. Gives the position up to which entries are needed no more.
    pub fn finished(&mut self, now: Now, keeper: &mut Keeper, done: Done) -> Option<Position> {
        if done.placed.is_full() {
            warn!("no space for chunk files: sealed blocks wait in memory");
        }
        keeper.filed(done.placed);
        let outcome = done.checkpoint?;
        keeper.checkpointed(outcome);
        match outcome {
            CheckpointOutcome::Written => debug!("checkpoint written"),
            CheckpointOutcome::NoSpace => {
                warn!("no space for a checkpoint: the journal is kept until there is");
                self.last = now.mono - self.due.every.saturating_sub(CHECKPOINT_RETRY);
            }
        }
        done.cut
    }
}

/// The keeper's side of the block thread.
pub struct Blocks {
    jobs: SyncSender<Job>,
    done: Receiver<Done>,
    is_busy: bool,
    upkeep: Upkeep,
}

/// Makes the thread and the keeper's side. `since` is when the state was read.
#[must_use]
pub fn block_thread(writer: BlockWriter, since: Mono) -> (Blocks, BlockThread) {
    let (jobs, receiver) = sync_channel(1);
    let (sender, done) = sync_channel(1);
    let upkeep = Upkeep::new(CheckpointDue::default(), since);
    let blocks = Blocks { jobs, done, is_busy: false, upkeep };
    (blocks, BlockThread { writer, jobs: receiver, done: sender })
}

/// The block thread has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

impl Blocks {
    /// Where the bytes of entries are counted.
    pub fn bytes(&mut self) -> &mut u64 {
        &mut self.upkeep.bytes
    }

    /// To be called each second. `synced` is the journal's position. Gives the position up to which
    /// the journal may be cut.
    ///
    /// # Errors
    /// The thread has ended, by an error of the disk.
    pub fn tick(
        &mut self,
        now: Now,
        keeper: &mut Keeper,
        synced: Position,
    ) -> Result<Option<Position>, Ended> {
        let mut cut = None;
        if self.is_busy {
            match self.done.try_recv() {
                Ok(done) => cut = self.upkeep.finished(now, keeper, done),
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Disconnected) => return Err(Ended),
            }
        }
        let job = self.upkeep.next(now, keeper, synced);
        self.is_busy = job.is_some();
        job.map_or(Ok(()), |job| self.jobs.try_send(job).map_err(|_| Ended))?;
        Ok(cut)
    }
}
