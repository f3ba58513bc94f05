//! The keeper of agents' sessions: judges frames, journals what is applied, and lays it into the
//! store. The data path is plain calls (DESIGN §4); [`Keeper::replay`] is the same path after a
//! start, fed by the journal.
//!
//! Invariants: a frame is applied once; its entry has a position before its rows are in a view; an
//! answer names the position whose sync releases it, and its `acked` never runs ahead of that.

mod apply;
pub mod checkpoint;
mod command;
mod replay;
mod retention;
mod rules;
mod stats;

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::id::{AgentId, GroupId, Position, Seq, StoreId, Stream};
use bellwether_model::limit;
use bellwether_model::time::{Nanos, Now, Timestamp};
use bellwether_model::wire::answer::{Answer, Case, NAMED_COLUMNS, RefusedColumn};
use bellwether_model::wire::decode::{DecodeError, Decoder, Purpose};
use bellwether_model::wire::envelope::{Envelope, EnvelopeError, Skip};
use bellwether_model::wire::frame::{Frame, FrameError, Inflater};
use bellwether_store::{Source, Writer};

use self::retention::Retention;
use super::control::evaluation::GroupKey;
use super::control::held::HeldRules;
use super::entry::{self, Snapshot, UpEntry};
use super::guard::state::GuardState;
use super::notify::state::NotifyState;
use super::pace::Pace;
use super::presence::Presence;
use super::recount::Recount;
use super::session::{Session, Verdict};
pub use command::Commanded;
pub use stats::KeeperStats;

/// How long samples are kept by default.
pub const RETENTION: Duration = Duration::from_secs(48 * 3600);
/// Places of one session's decoder for each series its agent may have: columns come and go.
const PLACES_PER_SERIES: usize = 2;
/// Requests of one agent in a second by default: an agent asks once a second, or as fast as it is
/// answered while it has a backlog. More is a fault that must not take the keeper from others.
pub const REQUESTS_PER_AGENT: u32 = 1000;

/// Bounds that an operator may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeeperLimits {
    /// Series of one agent.
    pub series_per_agent: usize,
    /// Agents known at a time.
    pub agents: usize,
    /// How long the store keeps samples.
    pub retention: Duration,
    /// Requests of one agent in a second; twice as many may come at once.
    pub requests_per_agent: u32,
}

impl Default for KeeperLimits {
    fn default() -> KeeperLimits {
        KeeperLimits {
            series_per_agent: 20_000,
            agents: 20_000,
            retention: RETENTION,
            requests_per_agent: REQUESTS_PER_AGENT,
        }
    }
}

/// Takes entries on their way to the journal.
pub trait Batch {
    /// Whether an entry of these bytes would be taken now.
    fn has_room(&self, bytes: usize) -> bool;

    /// Takes an entry and gives its position.
    ///
    /// # Errors
    /// The journal has failed: the process is about to end.
    fn push(&mut self, class: EntryClass, entry: &[u8]) -> Result<Position, JournalClosed>;
}

/// Whether the loss of an entry can be borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryClass {
    /// An observation.
    Data,
    /// A command of a person.
    Control,
}

/// The journal takes no more entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal is closed")]
pub struct JournalClosed;

/// One request of an agent.
#[derive(Clone, Copy, Debug)]
pub struct Submit<'a> {
    /// Envelope and frames.
    pub body: &'a [u8],
    /// When it had arrived.
    pub received: Nanos,
}

/// What to answer, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The answer, but for the time of its making.
    pub answer: Answer,
    /// The position whose sync releases it.
    pub release: Position,
}

/// Sessions, hosts and the way into the store.
pub struct Keeper {
    store: StoreId,
    limits: KeeperLimits,
    sessions: BTreeMap<(AgentId, Stream), Held>,
    /// Of agents that have a session, and of no others.
    sources: BTreeMap<AgentId, Source>,
    next_source: u32,
    presence: Presence,
    /// Each series `up` is a source of its own, which goes when the series has ended.
    ups: BTreeMap<(String, String), Source>,
    /// What rules have come to, what receivers were told, and each group's source of samples.
    rules: HeldRules,
    notify: NotifyState,
    guard: GuardState,
    groups: BTreeMap<GroupKey, Source>,
    writer: Writer,
    inflater: Inflater,
    entry: Vec<u8>,
    /// The groups of the frame being applied; kept for its room.
    touched: Vec<GroupId>,
    stats: KeeperStats,
    /// Nothing of the journal's start is believed before its first snapshot, unless it is whole or
    /// there is a checkpoint.
    believes: bool,
    /// Nothing of this store is in the journal yet.
    is_new: bool,
    /// The checkpoint's position: entries up to here are in the state already.
    held: Position,
    /// Frames that replay has missed.
    losses: Vec<FramesLost>,
    retention: Retention,
}

/// Frames that were acknowledged and are gone, as replay finds them missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramesLost {
    /// Whose.
    pub agent: AgentId,
    /// Of which stream.
    pub stream: Stream,
    /// The first.
    pub first: Seq,
    /// The last.
    pub last: Seq,
}

/// A session with its decoder.
struct Held {
    session: Session,
    decoder: Decoder,
    source: Source,
    /// When its last frame came.
    seen: Timestamp,
    recount: Recount,
    pace: Pace,
}

/// Where the walk through a request's frames ended.
struct Walked {
    case: Case,
    at: Seq,
    text: String,
    refused: u32,
    columns: Vec<RefusedColumn>,
}

impl Keeper {
    /// A keeper without sessions, over an empty store.
    #[must_use]
    pub fn new(store: StoreId, limits: KeeperLimits, writer: Writer) -> Keeper {
        Keeper {
            store,
            limits,
            sessions: BTreeMap::new(),
            sources: BTreeMap::new(),
            next_source: 0,
            presence: Presence::default(),
            ups: BTreeMap::new(),
            rules: HeldRules::default(),
            notify: NotifyState::default(),
            guard: GuardState::default(),
            groups: BTreeMap::new(),
            writer,
            inflater: Inflater::default(),
            entry: Vec::new(),
            touched: Vec::new(),
            stats: KeeperStats::default(),
            believes: false,
            is_new: false,
            held: Position(0),
            losses: Vec::new(),
            retention: Retention::default(),
        }
    }

    /// The store's id.
    #[must_use]
    pub fn store(&self) -> StoreId {
        self.store
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> &KeeperStats {
        &self.stats
    }

    /// All hosts.
    #[must_use]
    pub fn presence(&self) -> &Presence {
        &self.presence
    }

    /// The session of an agent.
    #[must_use]
    pub fn session(&self, agent: AgentId, stream: Stream) -> Option<&Session> {
        self.sessions.get(&(agent, stream)).map(|held| &held.session)
    }

    /// What was taken from an agent.
    #[must_use]
    pub fn recount(&self, agent: AgentId, stream: Stream) -> Option<&Recount> {
        self.sessions.get(&(agent, stream)).map(|held| &held.recount)
    }

    /// Number of sessions.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Judges and applies one request.
    ///
    /// # Errors
    /// The journal has failed: nothing may be answered.
    pub fn admit(
        &mut self,
        now: Now,
        submit: Submit<'_>,
        batch: &mut dyn Batch,
    ) -> Result<Reply, JournalClosed> {
        let (envelope, frames) = match Envelope::read(submit.body) {
            Ok(read) => read,
            Err(error) => return Ok(self.refuse(&submit, &error)),
        };
        let key = (envelope.agent, envelope.stream);
        let rate = self.limits.requests_per_agent;
        let in_time = self.sessions.get_mut(&key).is_none_or(|h| h.pace.admit(now.mono, rate));
        if !in_time {
            let mut answer = Answer::new(Case::TooMany, self.store);
            answer.received = submit.received;
            answer.text = format!("more than {rate} requests a second");
            return Ok(Reply { answer, release: Position(0) });
        }
        let walked = self.walk(now, &envelope, frames, submit.received, batch)?;
        let whole = matches!(walked.case, Case::Applied | Case::RefusedColumns | Case::Duplicate);
        let mut release = Position(0);
        if envelope.goodbye && whole {
            release = self.goodbye(now, envelope.agent, batch)?;
        }
        let session = self.session(envelope.agent, envelope.stream);
        release = release.max(session.map_or(Position(0), Session::last));
        let mut answer = Answer::new(walked.case, self.store);
        answer.acked = session.map_or(Seq(0), Session::applied);
        answer.at = walked.at;
        answer.received = submit.received;
        answer.refused = walked.refused;
        answer.columns = walked.columns;
        answer.text = walked.text;
        answer.drain = self.presence.is_draining(envelope.agent);
        Ok(Reply { answer, release })
    }

    fn refuse(&self, submit: &Submit<'_>, error: &EnvelopeError) -> Reply {
        let case = match error {
            EnvelopeError::Version(_) => Case::Version,
            EnvelopeError::Broken(_) => Case::BadEnvelope,
        };
        let mut answer = Answer::new(case, self.store);
        answer.received = submit.received;
        answer.text = error.to_string();
        Reply { answer, release: Position(0) }
    }

    /// Takes the frames in order until one is neither applied nor a duplicate.
    fn walk(
        &mut self,
        now: Now,
        envelope: &Envelope,
        mut frames: &[u8],
        received: Nanos,
        batch: &mut dyn Batch,
    ) -> Result<Walked, JournalClosed> {
        let mut walked =
            Walked::new(if envelope.frames == 0 { Case::Applied } else { Case::Duplicate });
        let key = (envelope.agent, envelope.stream);
        if !self.sessions.contains_key(&key) && self.sessions.len() >= self.limits.agents {
            return Ok(walked.ended(Case::Overloaded, Seq(0), "too many agents".to_owned()));
        }
        let (mut inflated, mut unfolded, whole) = (0, 0, frames.len());
        for _ in 0..envelope.frames {
            let (frame, rest) = match Frame::read(frames) {
                Ok(read) => read,
                Err(error) => return Ok(walked.broken(&error)),
            };
            inflated += frame.inflated_len() + unfolded;
            if inflated > limit::REQUEST_INFLATED_BYTES && frames.len() < whole {
                // Others wait: the agent goes on after the last frame read.
                return Ok(walked);
            }
            frames = rest;
            let seq = frame.header().seq;
            let held = self.sessions.get(&key);
            let verdict = match held {
                Some(held) => held.session.judge(frame.header(), &envelope.skips),
                None => Session::default().judge(frame.header(), &envelope.skips),
            };
            match verdict {
                Verdict::Clone => {
                    let text = "another process has this id".to_owned();
                    return Ok(walked.ended(Case::Clone, seq, text));
                }
                Verdict::Gap { expected } => {
                    let text = format!("expected {expected}, got {seq}");
                    return Ok(walked.ended(Case::Gap, expected, text));
                }
                Verdict::Duplicate => {
                    if !self.reload(envelope, &frame, received, batch)? {
                        let text = "the journal has no room".to_owned();
                        return Ok(walked.ended(Case::Overloaded, seq, text));
                    }
                    walked.at = seq;
                }
                Verdict::Next => {
                    let applied = self.next(now, envelope, &frame, received, batch)?;
                    if let Some((case, text)) = applied.problem {
                        return Ok(walked.ended(case, seq, text));
                    }
                    walked.refuse(&applied.refused);
                    walked.at = seq;
                    let refused = walked.refused > 0;
                    walked.case = if refused { Case::RefusedColumns } else { Case::Applied };
                }
            }
            unfolded = self.sessions.get(&key).map_or(0, |held| held.decoder.unfolded());
        }
        if !frames.is_empty() {
            let text = "bytes after the last frame".to_owned();
            return Ok(walked.ended(Case::BadEnvelope, Seq(0), text));
        }
        Ok(walked)
    }

    /// A frame that was applied before fills a decoder that has lost its rows. That is journalled:
    /// a replay from a checkpoint does not know the frame. False without room: nothing is done.
    fn reload(
        &mut self,
        envelope: &Envelope,
        frame: &Frame<'_>,
        received: Nanos,
        batch: &mut dyn Batch,
    ) -> Result<bool, JournalClosed> {
        self.entry.clear();
        entry::put_load(&mut self.entry, envelope, received, frame.bytes());
        if !batch.has_room(self.entry.len()) {
            return Ok(false);
        }
        self.stats.duplicates += 1;
        let key = (envelope.agent, envelope.stream);
        if let Some(held) = self.sessions.get_mut(&key) {
            held.seen = held.seen.max(Timestamp::from(received));
        }
        if self.load(&key, frame) {
            let position = batch.push(EntryClass::Data, &self.entry)?;
            self.writer.publish(position);
        }
        Ok(true)
    }

    /// Whether the decoder has changed by it. Rows of an older incarnation have numbers that mean
    /// others now.
    fn load(&mut self, key: &(AgentId, Stream), frame: &Frame<'_>) -> bool {
        let Some(held) = self.sessions.get_mut(key) else { return false };
        held.recount.duplicates += 1;
        if held.session.applied().incarnation() != frame.header().seq.incarnation() {
            return false;
        }
        let Ok(sections) = frame.sections(&mut self.inflater) else { return false };
        let touched = held.decoder.read(frame.header(), sections, Purpose::Load);
        let touched = touched.map(<[_]>::to_vec).unwrap_or_default();
        // Refusals were told when the frame was applied.
        self.describe(key, &touched).clear();
        !touched.is_empty()
    }

    /// Applies the next frame.
    fn next(
        &mut self,
        now: Now,
        envelope: &Envelope,
        frame: &Frame<'_>,
        received: Nanos,
        batch: &mut dyn Batch,
    ) -> Result<apply::Applied, JournalClosed> {
        let key = (envelope.agent, envelope.stream);
        self.entry.clear();
        entry::put_frame(&mut self.entry, envelope, received, frame.bytes());
        if !batch.has_room(self.entry.len()) {
            let text = "the journal has no room".to_owned();
            return Ok(apply::Applied::problem(Case::Overloaded, text));
        }
        if let Err(error) = self.decode(&key, frame) {
            self.drop_unused(&key);
            return Ok(error);
        }
        let position = batch.push(EntryClass::Data, &self.entry)?;
        self.count_skips(&key, &envelope.skips, frame.header().seq);
        let arrived = Timestamp::from(received);
        Ok(self.apply(now, arrived, &key, (frame.header(), position)))
    }

    /// Reads a frame's sections into the session's decoder.
    fn decode(&mut self, key: &(AgentId, Stream), frame: &Frame<'_>) -> Result<(), apply::Applied> {
        let header = frame.header();
        let held = self.held(key);
        if held.session.applied().incarnation() != header.seq.incarnation() {
            held.decoder.clear();
        }
        let Keeper { sessions, inflater, .. } = self;
        let Some(held) = sessions.get_mut(key) else { return Ok(()) };
        let sections = frame.sections(inflater).map_err(|error| {
            held.decoder.clear();
            apply::Applied::problem(Case::BadFrame, error.to_string())
        })?;
        let read = held.decoder.read(header, sections, Purpose::Apply);
        read.map(drop).map_err(|error| {
            let case = match error {
                DecodeError::Base { .. } => Case::Base,
                DecodeError::Malformed(_) => Case::BadFrame,
            };
            apply::Applied::problem(case, error.to_string())
        })
    }

    /// The session of a key, made if new.
    fn held(&mut self, key: &(AgentId, Stream)) -> &mut Held {
        let source = match self.sources.get(&key.0) {
            Some(source) => *source,
            None => self.new_source(),
        };
        self.sources.insert(key.0, source);
        let places = self.limits.places_per_session();
        self.sessions.entry(*key).or_insert_with(|| Held {
            session: Session::default(),
            decoder: Decoder::new(places),
            source,
            seen: Timestamp::MIN,
            recount: Recount::default(),
            pace: Pace::default(),
        })
    }

    fn new_source(&mut self) -> Source {
        self.next_source += 1;
        Source(self.next_source - 1)
    }

    fn count_skips(&mut self, key: &(AgentId, Stream), skips: &[Skip], next: Seq) {
        let Some(held) = self.sessions.get_mut(key) else { return };
        for (skip, count) in held.session.passed(next, skips) {
            *self.stats.skipped.entry(skip.reason.as_str()).or_default() += count;
            held.recount.skip(skip.reason, count);
        }
    }

    /// Once a second: samples of `up`, and the store's retention.
    ///
    /// # Errors
    /// The journal has failed.
    pub fn tick(&mut self, now: Now, batch: &mut dyn Batch) -> Result<(), JournalClosed> {
        for up in self.presence.due(now) {
            self.entry.clear();
            entry::put_up(&mut self.entry, &up);
            if !batch.has_room(self.entry.len()) {
                break;
            }
            let position = batch.push(EntryClass::Data, &self.entry)?;
            self.up(now, &up, position);
        }
        self.expire(now);
        self.stats.hosts_late = self.presence.late(now.wall);
        Ok(())
    }

    /// Journals the control state: the first entry of a new store, which holds its id.
    ///
    /// # Errors
    /// The journal has failed.
    pub fn snapshot(
        &mut self,
        now: Now,
        batch: &mut dyn Batch,
    ) -> Result<Option<Position>, JournalClosed> {
        let snapshot = self.control(now.wall);
        self.entry.clear();
        entry::put_snapshot(&mut self.entry, &snapshot);
        if batch.has_room(self.entry.len()) {
            let position = batch.push(EntryClass::Data, &self.entry)?;
            self.writer.publish(position);
            self.is_new = false;
            Ok(Some(position))
        } else {
            Ok(None)
        }
    }

    fn control(&self, taken: Timestamp) -> Snapshot {
        let (hosts, ups) = self.presence.state();
        let sessions = self.sessions.iter();
        let sessions = sessions
            .map(|((agent, stream), held)| (*agent, *stream, held.session.clone(), held.recount));
        Snapshot {
            store: self.store,
            taken,
            sessions: sessions.collect(),
            hosts,
            ups,
            draining: self.presence.draining().cloned().collect(),
        }
    }
}

impl Walked {
    fn new(case: Case) -> Walked {
        Walked { case, at: Seq(0), text: String::new(), refused: 0, columns: Vec::new() }
    }

    /// Counts columns; names as many as an answer holds.
    fn refuse(&mut self, columns: &[RefusedColumn]) {
        let count = u32::try_from(columns.len()).unwrap_or(u32::MAX);
        self.refused = self.refused.saturating_add(count);
        let room = NAMED_COLUMNS.saturating_sub(self.columns.len());
        self.columns.extend(columns.iter().take(room));
    }

    fn ended(mut self, case: Case, at: Seq, text: String) -> Walked {
        (self.case, self.at, self.text) = (case, at, text);
        self
    }

    fn broken(self, error: &FrameError) -> Walked {
        let (case, at) = match error {
            FrameError::Broken(_) => (Case::BadEnvelope, Seq(0)),
            FrameError::Version(_) => (Case::Version, Seq(0)),
            // A length that is read before the CRC may be broken on the way: no frame is at fault.
            FrameError::TooLarge { bound: limit::FRAME_BYTES, .. } => (Case::BadEnvelope, Seq(0)),
            FrameError::TooLarge { seq, .. } => (Case::TooLarge, *seq),
            FrameError::Contents { seq, .. } => (Case::BadFrame, *seq),
        };
        self.ended(case, at, error.to_string())
    }
}

/// Time and labels of a sample of `up`, as the store takes it.
pub(super) fn up_value(up: &UpEntry) -> (Timestamp, f64) {
    let value = match up.value {
        entry::UpValue::Down => 0.0,
        entry::UpValue::Up => 1.0,
        entry::UpValue::End => bellwether_model::series::STALE,
    };
    (up.time, value)
}

#[cfg(test)]
mod tests;
