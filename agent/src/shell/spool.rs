//! The spool: frames on disk from their making to their acknowledgement.
//!
//! One journal per identity, in `<dir>/<agent id>/`. Each segment of the wire opens with a state
//! entry: incarnation, the oldest frame held, the cursors, what is declared to whom, the account.
//! What is held at a start is what was held at the last state that is left, and the frames after
//! it, less what was damaged: so the sums of that state go on. Whole segments of the wire go; their
//! space is free once all that share a file with them are gone: the files hold the frames of
//! the bound and at most four files more. The table of contents ([`Backlog`]) is built from the
//! files at each start.
//!
//! Synced are: incarnation and nonce before the first frame (DESIGN §5); what is declared, before
//! a collector hears of it; state and frames, before a file goes; and the frames themselves only
//! when the oldest that is neither acknowledged nor synced is over ten seconds old: a power cut of
//! the host takes at most that and one tick. A cursor lost is only a repeat.

mod adopt;
mod books;
mod identity;
mod load;
mod read;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::id::{AgentId, BootId, Incarnation, Nonce, Position, Seq};
use bellwether_model::time::{Mono, Now};
use bellwether_model::wire::encode::Origin;
use bellwether_model::wire::envelope::{Skip, SkipReason};
use bellwether_model::wire::frame::{Frame, FrameError, Header};
use bellwether_platform::disk::{Disk, DiskError, SyncPoint, make_dir, replace_file};
use bellwether_platform::journal::{Class, Journal, JournalError};
use bytes::Bytes;

use crate::pure::account::{Account, Count, DropReason, Tally};
use crate::pure::config::SpoolSync;
use crate::pure::ship::backlog::{Backlog, Bounds, Segment};
use books::settle;
use load::{Loaded, load, segment};
use state::{Declared, FRAME_HEAD, State};

/// A file holds a frame of any size with a state entry.
const FILE_BYTES: u64 = (1 << 20) + (256 << 10);
/// Files of a spool of a few bytes are smaller, but not below this.
const FILE_BYTES_MIN: u64 = 16 << 10;
/// Headers of a batch and of the entries of a segment's first frame.
const ENTRY_ROOM: usize = 256;
/// Frames kept in memory for the collector that keeps up.
const RECENT_BYTES: usize = 256 << 10;
/// A frame neither acknowledged nor synced is synced at this age.
const SYNC_AGE: Duration = Duration::from_secs(10);
/// Frames set aside that are kept for a person to look at.
const ASIDE_MAX: usize = 8;

/// The spool cannot go on: the process ends.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The journal or its disk.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file beside it.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A frame that is none.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// What is held cannot be shipped by this build.
    #[error(
        "{}: frames of version {version} are not shipped by this build: let the one that wrote \
         them ship them, or remove the directory", dir.display()
    )]
    Version {
        /// The spool of one agent.
        dir: PathBuf,
        /// Of its frames.
        version: u8,
    },
}

/// How a spool is opened.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where it lies.
    pub dir: PathBuf,
    /// How much it holds.
    pub bounds: Bounds,
    /// When it syncs.
    pub sync: SpoolSync,
    /// What binds the identity; empty if the host has none.
    pub machine: String,
    /// The host's boot.
    pub boot: BootId,
}

/// Random numbers for one opening.
#[derive(Clone, Copy, Debug)]
pub struct Random {
    /// The id, if a new one is needed.
    pub agent: AgentId,
    /// The incarnation's nonce.
    pub nonce: Nonce,
}

/// What a frame's way into the spool has brought about.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Numbers that will never be sent, to be declared to every collector.
    pub skips: Vec<Skip>,
    /// Whether the frame is in the spool.
    pub kept: bool,
}

/// The spool of one stream.
pub struct Spool {
    disk: Arc<dyn Disk>,
    setup: Setup,
    agent: AgentId,
    origin: Origin,
    journal: Journal,
    backlog: Backlog,
    cursors: BTreeMap<String, Declared>,
    account: Account,
    recent: VecDeque<(Seq, Bytes)>,
    recent_bytes: usize,
    /// Frames written and not synced, with the time of their writing.
    unsynced: VecDeque<(Seq, Mono)>,
    /// Frames are passed over until one opens a segment: the one before could not be written.
    broken: bool,
}

impl Spool {
    /// Opens the spool, takes up or makes the identity, and begins an incarnation: both are durable
    /// when this returns.
    ///
    /// # Errors
    /// The disk, a journal of a later version, or frames of another one.
    pub fn open(disk: Arc<dyn Disk>, setup: Setup, random: Random) -> Result<Spool, SpoolError> {
        make_dir(&*disk, &setup.dir)?;
        let held = identity::read(&*disk, &setup.dir)?;
        match held {
            Some(held) if held.machine == setup.machine => {
                let loaded = load(&disk, &setup, held.agent)?;
                Spool::begin(disk, setup, held.agent, random.nonce, loaded)
            }
            Some(held) => {
                let old = load(&disk, &setup, held.agent)?;
                Spool::new_identity(disk, setup, random, (held.agent, &old.backlog), old.state)
            }
            None => Spool::without_identity(disk, setup, random),
        }
    }

    /// Goes on with the newest journal, or begins one.
    fn without_identity(
        disk: Arc<dyn Disk>,
        setup: Setup,
        random: Random,
    ) -> Result<Spool, SpoolError> {
        let Some((agent, loaded)) = adopt::newest(&disk, &setup)? else {
            let none = (random.agent, &Backlog::default());
            return Spool::new_identity(disk, setup, random, none, State::default());
        };
        let spool = Spool::begin(disk, setup, agent, random.nonce, loaded)?;
        identity::write(&*spool.disk, &spool.setup.dir, agent, &spool.setup.machine)?;
        Ok(spool)
    }

    /// Goes on under a new id after 410: the backlog stays on disk, set aside, and is declared; one
    /// set aside before goes.
    ///
    /// # Errors
    /// As [`Spool::open`].
    pub fn renew(&mut self, random: Random) -> Result<(), SpoolError> {
        let (disk, setup) = (Arc::clone(&self.disk), self.setup.clone());
        let old = (self.agent, &self.backlog);
        *self = Spool::new_identity(disk, setup, random, old, self.state())?;
        Ok(())
    }

    fn new_identity(
        disk: Arc<dyn Disk>,
        setup: Setup,
        random: Random,
        (old_agent, old): (AgentId, &Backlog),
        state: State,
    ) -> Result<Spool, SpoolError> {
        let mut loaded = load(&disk, &setup, random.agent)?;
        loaded.state.incarnation = state.incarnation;
        let mut account = state.account;
        for (collector, declared) in state.cursors {
            let after = Seq(declared.cursor.0 + 1);
            let unsent = old.segments().filter(|segment| segment.last >= after).map(|segment| {
                let first = segment.first.max(after);
                Skip { first, last: segment.last, reason: SkipReason::Clone }
            });
            let lost = old.held(declared.cursor, &declared.skips);
            if let Some(tally) = account.collectors.get_mut(&collector) {
                tally.drop(DropReason::Skipped(SkipReason::Clone), lost);
            }
            let skips = declared.skips.into_iter().chain(unsent).collect();
            let declared = Declared { cursor: Seq(0), skips, passed: Vec::new() };
            loaded.state.cursors.insert(collector, declared);
        }
        loaded.state.account = account;
        let spool = Spool::begin(disk, setup, random.agent, random.nonce, loaded)?;
        // Last: until the journal of the new id is durable, a crash finds the old one.
        identity::write(&*spool.disk, &spool.setup.dir, random.agent, &spool.setup.machine)?;
        identity::empty_others(&*spool.disk, &spool.setup.dir, [old_agent, random.agent])?;
        Ok(spool)
    }

    fn begin(
        disk: Arc<dyn Disk>,
        setup: Setup,
        agent: AgentId,
        nonce: Nonce,
        loaded: Loaded,
    ) -> Result<Spool, SpoolError> {
        let incarnation = Incarnation(loaded.state.incarnation.0.saturating_add(1));
        let origin = Origin { incarnation, nonce, boot: setup.boot };
        let mut spool = Spool {
            disk,
            setup,
            agent,
            origin,
            journal: loaded.journal,
            backlog: loaded.backlog,
            cursors: loaded.state.cursors,
            account: loaded.state.account,
            recent: VecDeque::new(),
            recent_bytes: 0,
            unsynced: VecDeque::new(),
            broken: false,
        };
        spool.reconcile();
        spool.make_room()?;
        spool.write_state()?;
        spool.journal.sync(SyncPoint::SpoolOpen)?;
        Ok(spool)
    }

    /// The id that frames are sent under.
    #[must_use]
    pub fn agent(&self) -> AgentId {
        self.agent
    }

    /// Whose frames are taken.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// What is held.
    #[must_use]
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// Bytes on the disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.journal.bytes()
    }

    /// How much it may hold.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.setup.bounds
    }

    /// Holds as much, and syncs as often, as is said from now on.
    pub fn set_bounds(&mut self, bounds: Bounds, sync: SpoolSync) {
        (self.setup.bounds, self.setup.sync) = (bounds, sync);
    }

    /// Where a collector stands, and what is declared to it.
    #[must_use]
    pub fn cursor(&self, collector: &str) -> (Seq, Vec<Skip>) {
        self.cursors
            .get(collector)
            .map_or((Seq(0), Vec::new()), |declared| (declared.cursor, declared.skips.clone()))
    }

    /// Forgets cursors of collectors that are not configured any more.
    pub fn keep_cursors(&mut self, collectors: &[String]) {
        self.cursors.retain(|name, _| collectors.contains(name));
        self.account.collectors.retain(|name, _| collectors.contains(name));
        for name in collectors {
            let at = self.cursors.entry(name.clone()).or_default();
            let owed = || Tally::owed(self.backlog.held(at.cursor, &at.skips));
            self.account.collectors.entry(name.clone()).or_insert_with(owed);
        }
    }

    /// Writes a frame with so many samples. A frame of another incarnation (made before
    /// [`Spool::renew`]) is passed over.
    ///
    /// # Errors
    /// The disk failed otherwise than by being full.
    pub fn append(
        &mut self,
        now: Now,
        bytes: &Bytes,
        samples: u32,
    ) -> Result<Appended, SpoolError> {
        let (frame, _) = Frame::read(bytes)?;
        let header = *frame.header();
        let mut appended = Appended::default();
        if header.nonce != self.origin.nonce {
            let of_old = DropReason::Skipped(SkipReason::Clone);
            self.never_made(of_old, Count::frame(samples));
            return Ok(appended);
        }
        let seq = header.seq;
        self.broken &= !header.opens_segment;
        let skip = Skip { first: seq, last: seq, reason: SkipReason::Disk };
        if self.broken {
            self.never_made(DropReason::Skipped(SkipReason::Disk), Count::frame(samples));
            appended.skips.push(skip);
            return Ok(appended);
        }
        let position = match self.write_frame(bytes, samples, &header, &mut appended.skips) {
            Ok(position) => position,
            Err(SpoolError::Journal(error)) if is_refusal(&error) => {
                self.broken = true;
                self.never_made(DropReason::Skipped(SkipReason::Disk), Count::frame(samples));
                appended.skips.push(skip);
                return Ok(appended);
            }
            Err(error) => return Err(error),
        };
        appended.kept = true;
        self.account.collect(Count::frame(samples));
        self.account.spooled += Count::frame(samples);
        self.backlog.push(segment(&frame, samples, position), header.opens_segment);
        self.remember(seq, bytes);
        self.unsynced.push_back((seq, now.mono));
        self.evict(now, &mut appended.skips)?;
        if self.setup.sync == SpoolSync::Always {
            self.sync()?;
        }
        Ok(appended)
    }

    fn write_frame(
        &mut self,
        bytes: &[u8],
        samples: u32,
        header: &Header,
        skips: &mut Vec<Skip>,
    ) -> Result<Position, SpoolError> {
        let (mut state, mut entry) = (Vec::new(), Vec::with_capacity(bytes.len() + FRAME_HEAD));
        if header.opens_segment {
            self.state().put(&mut state);
        }
        state::put_frame(&mut entry, header.seq, samples, bytes);
        let needed = state.len() + entry.len() + ENTRY_ROOM;
        while !self.journal.has_room(needed) {
            let Err(error) = self.journal.prepare_spares() else { break };
            if self.journal.has_room(needed) {
                break;
            }
            let Some(oldest) = self.pop_for(&error) else { return Err(error.into()) };
            skips.push(self.dropped(&oldest, SkipReason::SpoolFull));
            self.remove_dropped()?;
        }
        if header.opens_segment {
            self.journal.append(Class::Data, &state)?;
        }
        let position = self.journal.append(Class::Data, &entry)?;
        self.journal.write()?;
        Ok(position)
    }

    fn write_state(&mut self) -> Result<(), SpoolError> {
        let mut entry = Vec::new();
        self.state().put(&mut entry);
        self.journal.append(Class::Data, &entry)?;
        self.journal.write()?;
        Ok(())
    }

    fn state(&self) -> State {
        State {
            incarnation: self.origin.incarnation,
            first: self.backlog.first().unwrap_or(Seq::new(self.origin.incarnation, 0)),
            cursors: self.cursors.clone(),
            account: self.account.clone(),
        }
    }

    fn remember(&mut self, seq: Seq, bytes: &Bytes) {
        self.recent_bytes += bytes.len();
        self.recent.push_back((seq, bytes.clone()));
        while self.recent_bytes > RECENT_BYTES {
            let Some((_, oldest)) = self.recent.pop_front() else { break };
            self.recent_bytes -= oldest.len();
        }
    }

    /// Drops what is over the bounds; the caller declares it.
    fn evict(&mut self, now: Now, skips: &mut Vec<Skip>) -> Result<(), SpoolError> {
        let before = skips.len();
        while let Some((segment, reason)) = self.backlog.pop_over(now.wall, self.setup.bounds) {
            skips.push(self.dropped(&segment, reason));
        }
        if skips.len() > before { self.remove_dropped() } else { Ok(()) }
    }

    /// Gives up the oldest segment for room on a full disk; what shares the last file gives none.
    fn pop_for(&mut self, error: &JournalError) -> Option<Segment> {
        let helps = error.is_full() && self.journal.segment_count() > 1;
        helps.then(|| self.backlog.pop_oldest()).flatten()
    }

    /// Takes note for every collector that a segment will not come.
    fn dropped(&mut self, segment: &Segment, reason: SkipReason) -> Skip {
        let skip = Skip { first: segment.first, last: segment.last, reason };
        for (name, declared) in &mut self.cursors {
            if let Some(tally) = self.account.collectors.get_mut(name) {
                let left = segment.left(declared.cursor, &declared.skips);
                tally.drop(DropReason::Skipped(reason), left);
            }
            declared.skips.push(skip);
        }
        skip
    }

    /// Makes it durable that segments are dropped, then removes their files: a frame that was
    /// declared must not be sent after a power cut. A disk that is full is not kept full by that.
    fn remove_dropped(&mut self) -> Result<(), SpoolError> {
        let written = self.sync_state()?;
        if self.has_needless() { self.remove_needless(written) } else { Ok(()) }
    }

    /// Writes the state, if the disk has room for it, and syncs. Returns whether it had.
    fn sync_state(&mut self) -> Result<bool, SpoolError> {
        let has_room = self.journal.has_room(self.state().len() + ENTRY_ROOM);
        if has_room {
            self.write_state()?;
        }
        self.sync()?;
        Ok(has_room)
    }

    /// Whether a file holds nothing that is needed.
    fn has_needless(&self) -> bool {
        let keep = self.keep();
        self.journal.segments().get(1).is_some_and(|second| second.first <= keep)
    }

    /// What the journal must hold begins here.
    fn keep(&self) -> Position {
        let oldest = self.backlog.segments().next();
        oldest.map_or(self.journal.next(), |oldest| oldest.position)
    }

    /// Removes the files before the oldest frame held. What is left is durable before: it alone
    /// says which incarnation this is, and what became of the frames that go.
    fn remove_popped(&mut self) -> Result<(), SpoolError> {
        if self.has_needless() {
            let written = self.sync_state()?;
            self.remove_needless(written)?;
        }
        Ok(())
    }

    /// Removes the files; a state that had no room before has it now.
    fn remove_needless(&mut self, written: bool) -> Result<(), SpoolError> {
        self.journal.remove_before(self.keep())?;
        if !written {
            // Spares that cannot be had leave the state for later.
            drop(self.journal.prepare_spares());
            self.sync_state()?;
        }
        Ok(())
    }

    /// Takes note of what a collector has and what it will never get, which is durable when this
    /// returns; drops what nobody needs. A collector that has lost what it had takes its cursor
    /// back.
    ///
    /// # Errors
    /// The disk failed.
    pub fn note(&mut self, collector: &str, cursor: Seq, skips: &[Skip]) -> Result<(), SpoolError> {
        let Some(declared) = self.cursors.get_mut(collector) else { return Ok(()) };
        if declared.cursor == cursor && declared.skips == skips {
            return Ok(());
        }
        if let Some(tally) = self.account.collectors.get_mut(collector) {
            settle(tally, &self.backlog, declared, (cursor, skips));
        }
        let is_new = !skips.iter().all(|skip| declared.covers(skip.first, skip.last));
        declared.cursor = cursor;
        skips.clone_into(&mut declared.skips);
        if is_new {
            self.sync_state()?;
        }
        let everyone = self.everyone();
        while self.unsynced.front().is_some_and(|(seq, _)| *seq <= everyone) {
            self.unsynced.pop_front();
        }
        let mut popped = false;
        while self.backlog.pop_acked(everyone).is_some() {
            popped = true;
        }
        if popped { self.remove_popped() } else { Ok(()) }
    }

    /// All collectors have acknowledged up to here.
    fn everyone(&self) -> Seq {
        self.cursors.values().map(|declared| declared.cursor).min().unwrap_or(Seq(0))
    }

    /// Syncs if frames have waited long enough, evicts, and makes ready what the next segment
    /// needs. To be called about once a second.
    ///
    /// # Errors
    /// The disk failed.
    pub fn tick(&mut self, now: Now) -> Result<Vec<Skip>, SpoolError> {
        let mut skips = Vec::new();
        self.evict(now, &mut skips)?;
        let due = |(_, written): &(Seq, Mono)| now.mono.since(*written) > SYNC_AGE;
        if self.unsynced.front().is_some_and(due) {
            self.sync()?;
        }
        // A disk without room is met, and declared, when a frame needs it.
        drop(self.journal.prepare_spares());
        Ok(skips)
    }

    fn sync(&mut self) -> Result<(), SpoolError> {
        self.journal.sync(SyncPoint::SpoolAge)?;
        self.unsynced.clear();
        Ok(())
    }

    /// Keeps a copy of a frame that a collector could not read, for a person to look at.
    ///
    /// # Errors
    /// The disk failed; a full one is no error.
    pub fn set_aside(&mut self, seq: Seq) -> Result<(), SpoolError> {
        let Some((_, bytes)) = self.read(seq)?.into_iter().find(|(held, _)| *held == seq) else {
            return Ok(());
        };
        let is_aside = |name: &String| name.starts_with("aside-");
        let mut old: Vec<String> = self.disk.list(&self.setup.dir)?;
        old.retain(is_aside);
        old.sort_unstable();
        let surplus = (old.len() + 1).saturating_sub(ASIDE_MAX);
        for name in old.iter().take(surplus) {
            self.disk.remove(&self.setup.dir.join(name))?;
        }
        let path = self.setup.dir.join(format!("aside-{:016x}.frame", seq.0));
        match replace_file(&*self.disk, &path, &bytes) {
            Err(error) if !error.is_full() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Writes the cursors, so that the next start repeats little.
    ///
    /// # Errors
    /// The disk failed.
    pub fn close(mut self) -> Result<(), SpoolError> {
        self.sync_state().map(drop)
    }

    /// Makes room for the opening of an incarnation, at the cost of the oldest frames.
    fn make_room(&mut self) -> Result<(), SpoolError> {
        loop {
            let needed = self.state().len() + ENTRY_ROOM;
            if self.journal.has_room(needed) {
                return Ok(());
            }
            let Err(error) = self.journal.prepare_spares() else { return Ok(()) };
            if self.journal.has_room(needed) {
                return Ok(());
            }
            let Some(oldest) = self.pop_for(&error) else { return Err(error.into()) };
            self.dropped(&oldest, SkipReason::SpoolFull);
            self.remove_popped()?;
        }
    }
}

/// Whether the journal is as it was without the frame.
fn is_refusal(error: &JournalError) -> bool {
    error.is_full() || matches!(error, JournalError::TooLarge { .. })
}
