//! The keeper after a start: the same state from the newest checkpoint and the journal behind it.
//!
//! Without a checkpoint the journal alone is read. One that was cut at the front then begins with
//! entries whose session is not known, which are passed over up to the first snapshot.

use bellwether_model::id::{AgentId, Position, Seq, Stream};
use bellwether_model::time::{Now, Timestamp};
use bellwether_model::wire::bytes::Malformed;
use bellwether_model::wire::decode::Purpose;
use bellwether_model::wire::envelope::Skip;
use bellwether_model::wire::frame::{Frame, FrameError};

use super::super::entry::{Entry, FrameEntry, Snapshot};
use super::super::session::Verdict;
use super::{FramesLost, Keeper};

/// The position of a journal's first entry.
const FIRST: Position = Position(1);
const OTHER_FRAME: &str = "a frame of a version that is not read here: another build of this \
                           program wrote the directory, and can read it";
/// Losses told one by one; more are only counted.
const LOSSES_MAX: usize = 1024;

impl Keeper {
    /// Takes one entry of the journal, in order.
    ///
    /// # Errors
    /// The entry is of an unknown kind or broken, or its frame of another version: another build
    /// wrote it.
    pub fn replay(&mut self, now: Now, position: Position, bytes: &[u8]) -> Result<(), Malformed> {
        if position <= self.held {
            return Ok(());
        }
        let entry = Entry::read(bytes)?;
        if let Entry::Frame(entry) | Entry::Load(entry) = &entry
            && let Err(FrameError::Version(_)) = Frame::read(entry.frame)
        {
            return Err(Malformed { offset: 0, what: OTHER_FRAME });
        }
        self.believes |= position == FIRST || matches!(entry, Entry::Snapshot(_));
        if !self.believes {
            return Ok(());
        }
        match entry {
            Entry::Frame(frame) => self.replay_frame(now, position, &frame),
            Entry::Load(entry) => {
                if let Ok((frame, _)) = Frame::read(entry.frame) {
                    self.load(&(entry.agent, entry.stream), &frame);
                }
            }
            Entry::Goodbye { agent, at } => self.end(agent, at),
            Entry::Up(up) => self.up(now, &up, position),
            Entry::Snapshot(snapshot) => self.replay_snapshot(now, &snapshot),
            Entry::Drain { agent, at, on } => self.drained(agent, at, on),
            Entry::Evaluation(evaluation) => self.evaluation(&evaluation, position),
            Entry::Notices(records) => self.notices(&records),
            Entry::Rollouts(records) => self.rollouts(&records),
            Entry::GroupEnd { group, at } => self.group_end(&group, at, position),
            Entry::Forget { agent, at } => self.forgotten(agent, at),
        }
        self.writer.publish(position);
        Ok(())
    }

    fn replay_frame(&mut self, now: Now, position: Position, entry: &FrameEntry<'_>) {
        let Ok((frame, _)) = Frame::read(entry.frame) else {
            self.stats.lost_frames += 1;
            return;
        };
        let key = (entry.agent, entry.stream);
        let then = Now { wall: Timestamp::from(entry.received), mono: now.mono };
        let header = frame.header();
        let held = self.held(&key);
        match held.session.judge(header, &entry.skips) {
            // A frame is journalled once; only damage can make the numbers jump.
            Verdict::Gap { expected } => {
                held.decoder.clear();
                self.lose(&key, expected, Seq(header.seq.0 - 1));
            }
            Verdict::Next => {}
            Verdict::Duplicate | Verdict::Clone => return,
        }
        self.replay_skips(&key, &entry.skips, header.seq);
        let held = self.held(&key);
        if held.session.applied().incarnation() != header.seq.incarnation() {
            held.decoder.clear();
        }
        let Keeper { sessions, inflater, .. } = self;
        let Some(held) = sessions.get_mut(&key) else { return };
        let read = frame.sections(inflater).ok().and_then(|sections| {
            held.decoder.read(header, sections, Purpose::Apply).ok().map(drop)
        });
        if read.is_none() {
            // Rows whose base row is gone: the frame stays applied, the next key section helps.
            // Behind the front of a journal that was cut they are older than what is kept.
            let oldest = now.wall.saturating_sub(self.limits.retention);
            held.decoder.clear();
            if header.complete_through > oldest {
                self.lose(&key, header.seq, header.seq);
            }
        }
        self.apply(then, then.wall, &key, (header, position));
    }

    fn lose(&mut self, key: &(AgentId, Stream), first: Seq, last: Seq) {
        self.stats.lost_frames += last.0.saturating_sub(first.0) + 1;
        if self.losses.len() < LOSSES_MAX {
            self.losses.push(FramesLost { agent: key.0, stream: key.1, first, last });
        }
    }

    /// The frames that replay found missing, with their agents.
    pub fn take_losses(&mut self) -> Vec<FramesLost> {
        std::mem::take(&mut self.losses)
    }

    /// What was declared is part of the recount; the metrics count since the start.
    fn replay_skips(&mut self, key: &(AgentId, Stream), skips: &[Skip], next: Seq) {
        let held = self.held(key);
        for (skip, count) in held.session.passed(next, skips) {
            held.recount.skip(skip.reason, count);
        }
    }

    fn replay_snapshot(&mut self, now: Now, snapshot: &Snapshot) {
        self.store = snapshot.store;
        self.retention.restore(now, snapshot.taken);
        let known: Vec<_> = snapshot.sessions.iter().map(|(a, s, ..)| (*a, *s)).collect();
        self.sessions.retain(|key, _| known.contains(key));
        self.drop_strays();
        for (agent, stream, session, recount) in &snapshot.sessions {
            let held = self.held(&(*agent, *stream));
            held.recount = *recount;
            if held.session != *session {
                held.session = session.clone();
                held.decoder.clear();
            }
            held.seen = held.seen.max(snapshot.taken);
        }
        self.presence.restore(now, &snapshot.hosts, &snapshot.ups, &snapshot.draining);
    }

    /// The journal is read: hosts have their grace, and what is past retention goes.
    pub fn replayed(&mut self, now: Now) {
        self.is_new = !self.believes;
        self.believes = true;
        self.presence.started(now);
        self.stats.hosts_late = self.presence.late(now.wall);
        self.writer.retain(self.retention.time(now));
    }

    /// Whether the store is new: a snapshot must be its first entry.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }
}
