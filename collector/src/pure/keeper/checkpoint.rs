//! The keeper's state in a checkpoint: sessions with their decoders, sources, hosts and `up`,
//! beside the store's. The records are listed in `collector/JOURNAL.md`.

use bellwether_model::id::{AgentId, Position, StoreId, Stream};
use bellwether_model::limit;
use bellwether_model::time::{Now, Timestamp};
use bellwether_model::wire::bytes::{Malformed, Reader, put_text, put_varint, put_zigzag};
use bellwether_model::wire::decode::Decoder;
use bellwether_store::checkpoint::FIRST_KIND_OF_COLLECTOR;
use bellwether_store::{Capture, Damage, Filing, Placed, Source, Writer};

use super::super::control::evaluation::GroupKey;
use super::super::control::held::HeldRules;
use super::super::entry::{self, Entry, Snapshot};
use super::super::guard::state::GuardState;
use super::super::notify::state::NotifyState;
use super::{Held, Keeper, KeeperLimits, PLACES_PER_SERIES};

const CONTROL: u8 = FIRST_KIND_OF_COLLECTOR;
const AGENT: u8 = CONTROL + 1;
const UP: u8 = CONTROL + 2;
const SESSION: u8 = CONTROL + 3;
const GROUP: u8 = CONTROL + 4;
const RULES: u8 = CONTROL + 5;
const NOTIFY: u8 = CONTROL + 6;
const ROLLOUT: u8 = CONTROL + 7;
const SIGNALS: u8 = CONTROL + 8;

/// Takes the records of a checkpoint: kind and bytes.
pub type Put<'a> = &'a mut dyn FnMut(u8, &[u8]);

/// All of a collector's state at one position; see [`Keeper::capture`].
pub struct KeeperCapture {
    /// The store's.
    pub store: Capture,
    control: Snapshot,
    next_source: u32,
    agents: Vec<(AgentId, Source)>,
    ups: Vec<((String, String), Source)>,
    sessions: Vec<(AgentId, Stream, Timestamp, Decoder)>,
    groups: Vec<(GroupKey, Source)>,
    rules: HeldRules,
    notify: NotifyState,
    guard: GuardState,
}

impl KeeperCapture {
    /// The last position whose entry it holds.
    #[must_use]
    pub fn position(&self) -> Position {
        self.store.position()
    }

    /// Gives the records beside the store's.
    pub fn put(&self, put: Put<'_>) {
        let mut out = Vec::new();
        put_varint(&mut out, u64::from(self.next_source));
        entry::put_snapshot(&mut out, &self.control);
        put(CONTROL, &out);
        for (agent, source) in &self.agents {
            out.clear();
            out.extend_from_slice(&agent.0);
            put_varint(&mut out, u64::from(source.0));
            put(AGENT, &out);
        }
        for ((job, instance), source) in &self.ups {
            out.clear();
            put_text(&mut out, job);
            put_text(&mut out, instance);
            put_varint(&mut out, u64::from(source.0));
            put(UP, &out);
        }
        for (agent, stream, seen, decoder) in &self.sessions {
            out.clear();
            out.extend_from_slice(&agent.0);
            out.push(*stream as u8);
            put_zigzag(&mut out, seen.0);
            decoder.put_state(&mut out);
            put(SESSION, &out);
        }
        for (group, source) in &self.groups {
            out.clear();
            group.put(&mut out);
            put_varint(&mut out, u64::from(source.0));
            put(GROUP, &out);
        }
        self.rules.put(&mut |bytes| put(RULES, bytes));
        out.clear();
        self.notify.put(&mut out);
        put(NOTIFY, &out);
        self.guard.put_rollouts(&mut |bytes| put(ROLLOUT, bytes));
        out.clear();
        self.guard.put_rest(&mut out);
        put(SIGNALS, &out);
    }
}

/// Builds a keeper from the records of a checkpoint; without any, a new one.
#[derive(Debug)]
pub struct KeeperRestoring {
    limits: KeeperLimits,
    control: Option<(u32, Snapshot)>,
    agents: Vec<(AgentId, Source)>,
    ups: Vec<((String, String), Source)>,
    sessions: Vec<(AgentId, Stream, Timestamp, Decoder)>,
    groups: Vec<(GroupKey, Source)>,
    rules: HeldRules,
    notify: NotifyState,
    guard: GuardState,
}

impl KeeperRestoring {
    /// Nothing yet.
    #[must_use]
    pub fn new(limits: KeeperLimits) -> KeeperRestoring {
        KeeperRestoring {
            limits,
            control: None,
            agents: Vec::new(),
            ups: Vec::new(),
            sessions: Vec::new(),
            groups: Vec::new(),
            rules: HeldRules::default(),
            notify: NotifyState::default(),
            guard: GuardState::default(),
        }
    }

    /// Takes a record that is not the store's.
    ///
    /// # Errors
    /// The bytes are no such record, or of an unknown kind.
    pub fn record(&mut self, kind: u8, bytes: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(bytes);
        match kind {
            CONTROL => {
                let next_source = reader.small()?;
                let Entry::Snapshot(control) = Entry::read(reader.take(reader.left())?)? else {
                    return Err(reader.malformed("another entry than a snapshot"));
                };
                self.control = Some((next_source, control));
            }
            AGENT => {
                let agent = AgentId(reader.array()?);
                self.agents.push((agent, Source(reader.small()?)));
            }
            UP => {
                let job = reader.text(limit::LABEL_BYTES)?.to_owned();
                let instance = reader.text(limit::LABEL_BYTES)?.to_owned();
                self.ups.push(((job, instance), Source(reader.small()?)));
            }
            SESSION => {
                let agent = AgentId(reader.array()?);
                let stream = Stream::from_wire(reader.byte()?);
                let stream = stream.ok_or(reader.malformed("no such stream"))?;
                let seen = Timestamp(reader.zigzag()?);
                let places = self.limits.places_per_session();
                self.sessions.push((
                    agent,
                    stream,
                    seen,
                    Decoder::take_state(&mut reader, places)?,
                ));
            }
            GROUP => {
                let group = GroupKey::take(&mut reader)?;
                self.groups.push((group, Source(reader.small()?)));
            }
            NOTIFY => self.notify = NotifyState::take(&mut reader)?,
            ROLLOUT => self.guard.take_rollout(&mut reader)?,
            SIGNALS => self.guard.take_rest(&mut reader)?,
            RULES => self.rules.take(&mut reader)?,
            _ => return Err(reader.malformed("a record of an unknown kind")),
        }
        reader.finish()
    }

    /// The keeper over the store of the same checkpoint, at its position. `id` is for a new one.
    #[must_use]
    pub fn finish(self, now: Now, at: Position, id: StoreId, writer: Writer) -> Keeper {
        let mut keeper = Keeper::new(id, self.limits, writer);
        let Some((next_source, control)) = self.control else { return keeper };
        (keeper.store, keeper.next_source) = (control.store, next_source);
        (keeper.held, keeper.believes) = (at, true);
        keeper.retention.restore(now, control.taken);
        keeper.sources = self.agents.into_iter().collect();
        keeper.ups = self.ups.into_iter().collect();
        (keeper.groups, keeper.rules) = (self.groups.into_iter().collect(), self.rules);
        (keeper.notify, keeper.guard) = (self.notify, self.guard);
        for (agent, stream, session, recount) in control.sessions {
            let held = keeper.held(&(agent, stream));
            (held.session, held.recount) = (session, recount);
        }
        for (agent, stream, seen, decoder) in self.sessions {
            let held: &mut Held = keeper.held(&(agent, stream));
            (held.seen, held.decoder) = (seen, decoder);
        }
        keeper.drop_strays();
        keeper.presence.restore(now, &control.hosts, &control.ups, &control.draining);
        keeper
    }
}

impl KeeperLimits {
    /// Places of one session's decoder: columns come and go, and columns over the limit must be
    /// read so that they can be named.
    pub(super) fn places_per_session(&self) -> usize {
        self.series_per_agent.saturating_mul(PLACES_PER_SERIES).max(limit::COLUMNS)
    }
}

impl Keeper {
    /// Copies all state as of the last entry, for a checkpoint. What [`Keeper::take_filing`] gave
    /// must have come back.
    pub fn capture(&mut self, now: Timestamp) -> KeeperCapture {
        let sessions = self
            .sessions
            .iter()
            .map(|((agent, stream), held)| (*agent, *stream, held.seen, held.decoder.clone()));
        KeeperCapture {
            sessions: sessions.collect(),
            control: self.control(self.retention.last(now)),
            next_source: self.next_source,
            agents: self.sources.iter().map(|(agent, source)| (*agent, *source)).collect(),
            ups: self.ups.iter().map(|(up, source)| (up.clone(), *source)).collect(),
            groups: self.groups.iter().map(|(group, source)| (group.clone(), *source)).collect(),
            rules: self.rules.clone(),
            notify: self.notify.clone(),
            guard: self.guard.clone(),
            store: self.writer.capture(),
        }
    }

    /// Sealed blocks that wait for a file.
    pub fn take_filing(&mut self) -> Filing {
        self.writer.take_filing()
    }

    /// Files that were dropped.
    pub fn take_gone(&mut self) -> Vec<u32> {
        self.writer.take_gone()
    }

    /// Takes up what became of a filing.
    pub fn filed(&mut self, placed: Placed) {
        self.writer.filed(placed);
    }

    /// Blocks that were found damaged since the last call, each with its agent where that is known.
    pub fn take_damages(&mut self) -> Vec<(Option<AgentId>, Damage)> {
        let damages = self.writer.take_damages().into_iter();
        let agent = |source| self.sources.iter().find(|(_, s)| **s == source).map(|(a, _)| *a);
        damages.map(|damage| (agent(damage.source), damage)).collect()
    }

    /// Counts a checkpoint that was due.
    pub fn checkpointed(&mut self, outcome: CheckpointOutcome) {
        match outcome {
            CheckpointOutcome::Written => self.stats.checkpoints += 1,
            CheckpointOutcome::NoSpace => self.stats.checkpoints_failed += 1,
        }
    }
}

/// What became of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointOutcome {
    /// It is durable.
    Written,
    /// There was no space; the one before stands.
    NoSpace,
}
