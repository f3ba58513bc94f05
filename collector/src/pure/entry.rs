//! What the collector writes into its journal (`collector/JOURNAL.md`). Each durable change is one
//! entry; a frame's bytes stand in it untouched.

use bellwether_model::id::{AgentId, Incarnation, Nonce, Position, StoreId, Stream};
use bellwether_model::limit;
use bellwether_model::time::{Nanos, Timestamp};
use bellwether_model::wire::bytes::{Malformed, Reader, put_text, put_varint, put_zigzag};
use bellwether_model::wire::envelope::{Envelope, Skip};

use super::control::evaluation::{Evaluation, GroupKey};
use super::guard::record::Record as RolloutRecord;
use super::notify::record::Record;
use super::recount::Recount;
use super::session::{INCARNATIONS_MAX, Known, Session};

/// The longest entry that is taken: a journal segment holds it.
pub const ENTRY_BYTES_MAX: usize = 15 << 20;

const FRAME: u8 = 1;
const GOODBYE: u8 = 2;
const UP: u8 = 3;
const SNAPSHOT: u8 = 4;
const FORGET: u8 = 5;
const DRAIN: u8 = 6;
const LOAD: u8 = 7;
const EVALUATION: u8 = 8;
const GROUP_END: u8 = 9;
const NOTICES: u8 = 10;
const ROLLOUTS: u8 = 11;

/// A frame that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameEntry<'a> {
    /// Who sent it.
    pub agent: AgentId,
    /// Of which stream.
    pub stream: Stream,
    /// The collector's clock when it arrived.
    pub received: Nanos,
    /// The agent's wall clock at sending.
    pub sent_wall: Nanos,
    /// The agent's monotonic clock at sending.
    pub sent_mono: u64,
    /// What the envelope declared.
    pub skips: Vec<Skip>,
    /// The frame.
    pub frame: &'a [u8],
}

/// A sample of `up`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpEntry {
    /// Its label `job`.
    pub job: String,
    /// Its label `instance`.
    pub instance: String,
    /// Its stamp.
    pub time: Timestamp,
    /// What it says.
    pub value: UpValue,
}

/// The value of a sample of `up`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpValue {
    /// 0: no agent of these labels lives.
    Down,
    /// 1: one does.
    Up,
    /// The series ends.
    End,
}

/// A host as a snapshot holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostState {
    /// The agent.
    pub agent: AgentId,
    /// The labels that all its columns share.
    pub job: String,
    /// The same.
    pub instance: String,
    /// Complete through this time.
    pub mark: Timestamp,
    /// Whether it said goodbye.
    pub gone: bool,
}

/// Control state as of one position, so that older segments can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The store's id.
    pub store: StoreId,
    /// When it was taken.
    pub taken: Timestamp,
    /// All sessions, and what was counted of them.
    pub sessions: Vec<(AgentId, Stream, Session, Recount)>,
    /// All hosts.
    pub hosts: Vec<HostState>,
    /// All `up` series.
    pub ups: Vec<UpState>,
    /// All hosts that are being drained.
    pub draining: Vec<Draining>,
}

/// A host that a person has retired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draining {
    /// The agent.
    pub agent: AgentId,
    /// Its label `job` then.
    pub job: String,
    /// Its label `instance` then.
    pub instance: String,
    /// When.
    pub at: Timestamp,
}

/// A series `up` as a snapshot holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpState {
    /// Its last sample.
    pub last: UpEntry,
    /// The stamp of the first sample since which it says the same.
    pub since: Timestamp,
}

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry<'a> {
    /// A frame.
    Frame(FrameEntry<'a>),
    /// A frame applied before that has filled an empty decoder.
    Load(FrameEntry<'a>),
    /// An orderly end of an agent.
    Goodbye {
        /// Which.
        agent: AgentId,
        /// When, by the collector's clock.
        at: Timestamp,
    },
    /// A sample of `up`.
    Up(UpEntry),
    /// Control state.
    Snapshot(Snapshot),
    /// A person has a host drained, or takes that back.
    Drain {
        /// Which.
        agent: AgentId,
        /// When.
        at: Timestamp,
        /// Whether it is to be drained.
        on: bool,
    },
    /// A person had a host forgotten.
    Forget {
        /// Which.
        agent: AgentId,
        /// When.
        at: Timestamp,
    },
    /// A rule group at a slot.
    Evaluation(Evaluation),
    /// A rule group is gone from the configuration: its series end.
    GroupEnd {
        /// Which.
        group: GroupKey,
        /// When.
        at: Timestamp,
    },
    /// Changes of what receivers of alerts are told.
    Notices(Vec<Record>),
    /// Changes of what is watched of rollouts and asked of hooks.
    Rollouts(Vec<RolloutRecord>),
}

/// Appends a frame's entry; the frame is copied once, into the journal's buffer.
pub fn put_frame(out: &mut Vec<u8>, envelope: &Envelope, received: Nanos, frame: &[u8]) {
    out.push(FRAME);
    put_frame_body(out, envelope, received, frame);
}

/// Appends the entry of a frame that was applied before and fills an empty decoder.
pub fn put_load(out: &mut Vec<u8>, envelope: &Envelope, received: Nanos, frame: &[u8]) {
    out.push(LOAD);
    put_frame_body(out, envelope, received, frame);
}

fn put_frame_body(out: &mut Vec<u8>, envelope: &Envelope, received: Nanos, frame: &[u8]) {
    out.extend_from_slice(&envelope.agent.0);
    out.push(envelope.stream as u8);
    out.extend_from_slice(&received.0.to_le_bytes());
    out.extend_from_slice(&envelope.sent_wall.0.to_le_bytes());
    out.extend_from_slice(&envelope.sent_mono.to_le_bytes());
    put_varint(out, envelope.skips.len() as u64);
    envelope.skips.iter().for_each(|skip| skip.put(out));
    out.extend_from_slice(frame);
}

/// Appends the entry of a goodbye.
pub fn put_goodbye(out: &mut Vec<u8>, agent: AgentId, at: Timestamp) {
    put_event(out, GOODBYE, agent, at);
}

/// Appends the entry of a host that is forgotten.
pub fn put_forget(out: &mut Vec<u8>, agent: AgentId, at: Timestamp) {
    put_event(out, FORGET, agent, at);
}

/// Appends the entry of a host that is drained, or is not any more.
pub fn put_drain(out: &mut Vec<u8>, agent: AgentId, at: Timestamp, on: bool) {
    put_event(out, DRAIN, agent, at);
    out.push(u8::from(on));
}

/// Appends the entry of a rule group at a slot.
pub fn put_evaluation(out: &mut Vec<u8>, evaluation: &Evaluation) {
    out.push(EVALUATION);
    evaluation.put(out);
}

/// Appends the entry of a rule group that is gone.
pub fn put_group_end(out: &mut Vec<u8>, group: &GroupKey, at: Timestamp) {
    out.push(GROUP_END);
    group.put(out);
    put_zigzag(out, at.0);
}

/// Appends the entry of changes of what receivers are told: so many records, as [`Record::put`]
/// writes them one after the other.
pub fn put_notices(out: &mut Vec<u8>, count: usize, records: &[u8]) {
    out.push(NOTICES);
    put_varint(out, count as u64);
    out.extend_from_slice(records);
}

/// Appends the entry of changes of rollouts and signals: so many records, as
/// [`RolloutRecord::put`] writes them one after the other.
pub fn put_rollouts(out: &mut Vec<u8>, count: usize, records: &[u8]) {
    out.push(ROLLOUTS);
    put_varint(out, count as u64);
    out.extend_from_slice(records);
}

fn put_event(out: &mut Vec<u8>, kind: u8, agent: AgentId, at: Timestamp) {
    out.push(kind);
    out.extend_from_slice(&agent.0);
    put_zigzag(out, at.0);
}

/// Appends the entry of a sample of `up`.
pub fn put_up(out: &mut Vec<u8>, up: &UpEntry) {
    out.push(UP);
    put_up_body(out, up);
}

fn put_up_body(out: &mut Vec<u8>, up: &UpEntry) {
    put_text(out, &up.job);
    put_text(out, &up.instance);
    put_zigzag(out, up.time.0);
    out.push(up.value as u8);
}

/// Appends the entry of a snapshot.
pub fn put_snapshot(out: &mut Vec<u8>, snapshot: &Snapshot) {
    out.push(SNAPSHOT);
    out.extend_from_slice(&snapshot.store.0);
    put_zigzag(out, snapshot.taken.0);
    put_varint(out, snapshot.sessions.len() as u64);
    for (agent, stream, session, recount) in &snapshot.sessions {
        out.extend_from_slice(&agent.0);
        out.push(*stream as u8);
        put_varint(out, session.last().0);
        put_varint(out, session.known().len() as u64);
        for known in session.known() {
            put_varint(out, u64::from(known.incarnation.0));
            out.extend_from_slice(&known.nonce.0.to_le_bytes());
            put_varint(out, u64::from(known.applied));
        }
        recount.put(out);
    }
    put_varint(out, snapshot.hosts.len() as u64);
    for host in &snapshot.hosts {
        out.extend_from_slice(&host.agent.0);
        put_text(out, &host.job);
        put_text(out, &host.instance);
        put_zigzag(out, host.mark.0);
        out.push(u8::from(host.gone));
    }
    put_varint(out, snapshot.ups.len() as u64);
    for up in &snapshot.ups {
        put_up_body(out, &up.last);
        put_zigzag(out, up.since.0);
    }
    put_varint(out, snapshot.draining.len() as u64);
    for host in &snapshot.draining {
        out.extend_from_slice(&host.agent.0);
        put_text(out, &host.job);
        put_text(out, &host.instance);
        put_zigzag(out, host.at.0);
    }
}

impl<'a> Entry<'a> {
    /// Reads one entry.
    ///
    /// # Errors
    /// The bytes are no entry of this version.
    pub fn read(bytes: &'a [u8]) -> Result<Entry<'a>, Malformed> {
        let mut reader = Reader::new(bytes);
        let entry = match reader.byte()? {
            FRAME => return frame(&mut reader).map(Entry::Frame),
            LOAD => return frame(&mut reader).map(Entry::Load),
            GOODBYE => {
                Entry::Goodbye { agent: AgentId(reader.array()?), at: Timestamp(reader.zigzag()?) }
            }
            FORGET => {
                Entry::Forget { agent: AgentId(reader.array()?), at: Timestamp(reader.zigzag()?) }
            }
            DRAIN => Entry::Drain {
                agent: AgentId(reader.array()?),
                at: Timestamp(reader.zigzag()?),
                on: reader.byte()? != 0,
            },
            UP => Entry::Up(up(&mut reader)?),
            EVALUATION => Entry::Evaluation(Evaluation::take(&mut reader)?),
            GROUP_END => Entry::GroupEnd {
                group: GroupKey::take(&mut reader)?,
                at: Timestamp(reader.zigzag()?),
            },
            NOTICES => {
                let count = reader.count(usize::MAX)?;
                let records = (0..count).map(|_| Record::read(&mut reader));
                Entry::Notices(records.collect::<Result<_, _>>()?)
            }
            ROLLOUTS => {
                let count = reader.count(usize::MAX)?;
                let records = (0..count).map(|_| RolloutRecord::read(&mut reader));
                Entry::Rollouts(records.collect::<Result<_, _>>()?)
            }
            SNAPSHOT => Entry::Snapshot(snapshot(&mut reader)?),
            _ => return Err(reader.malformed("an entry of an unknown kind")),
        };
        reader.finish()?;
        Ok(entry)
    }
}

fn stream(reader: &mut Reader<'_>) -> Result<Stream, Malformed> {
    Stream::from_wire(reader.byte()?).ok_or(reader.malformed("no such stream"))
}

fn frame<'a>(reader: &mut Reader<'a>) -> Result<FrameEntry<'a>, Malformed> {
    let agent = AgentId(reader.array()?);
    let stream = stream(reader)?;
    let received = Nanos(reader.i64()?);
    let sent_wall = Nanos(reader.i64()?);
    let sent_mono = reader.u64()?;
    let count = reader.count(limit::SKIPS)?;
    let skips = (0..count).map(|_| Skip::take(reader)).collect::<Result<_, _>>()?;
    let frame = reader.take(reader.left())?;
    Ok(FrameEntry { agent, stream, received, sent_wall, sent_mono, skips, frame })
}

fn up(reader: &mut Reader<'_>) -> Result<UpEntry, Malformed> {
    Ok(UpEntry {
        job: reader.text(limit::LABEL_BYTES)?.to_owned(),
        instance: reader.text(limit::LABEL_BYTES)?.to_owned(),
        time: Timestamp(reader.zigzag()?),
        value: match reader.byte()? {
            0 => UpValue::Down,
            1 => UpValue::Up,
            2 => UpValue::End,
            _ => return Err(reader.malformed("no such value of up")),
        },
    })
}

fn snapshot(reader: &mut Reader<'_>) -> Result<Snapshot, Malformed> {
    let store = StoreId(reader.array()?);
    let taken = Timestamp(reader.zigzag()?);
    let count = reader.count(usize::MAX)?;
    let mut sessions = Vec::new();
    for _ in 0..count {
        let (agent, stream) = (AgentId(reader.array()?), stream(reader)?);
        sessions.push((agent, stream, session(reader)?, Recount::take(reader)?));
    }
    let count = reader.count(usize::MAX)?;
    let mut hosts = Vec::new();
    for _ in 0..count {
        hosts.push(HostState {
            agent: AgentId(reader.array()?),
            job: reader.text(limit::LABEL_BYTES)?.to_owned(),
            instance: reader.text(limit::LABEL_BYTES)?.to_owned(),
            mark: Timestamp(reader.zigzag()?),
            gone: reader.byte()? != 0,
        });
    }
    let count = reader.count(usize::MAX)?;
    let mut ups = Vec::new();
    for _ in 0..count {
        ups.push(UpState { last: up(reader)?, since: Timestamp(reader.zigzag()?) });
    }
    let count = reader.count(usize::MAX)?;
    let mut draining = Vec::new();
    for _ in 0..count {
        draining.push(Draining {
            agent: AgentId(reader.array()?),
            job: reader.text(limit::LABEL_BYTES)?.to_owned(),
            instance: reader.text(limit::LABEL_BYTES)?.to_owned(),
            at: Timestamp(reader.zigzag()?),
        });
    }
    Ok(Snapshot { store, taken, sessions, hosts, ups, draining })
}

fn session(reader: &mut Reader<'_>) -> Result<Session, Malformed> {
    let last = Position(reader.varint()?);
    let count = reader.count(INCARNATIONS_MAX)?;
    let mut known = Vec::with_capacity(count);
    for _ in 0..count {
        known.push(Known {
            incarnation: Incarnation(reader.small()?),
            nonce: Nonce(reader.u64()?),
            applied: reader.small()?,
        });
    }
    Ok(Session::restore(known, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bellwether_model::id::Seq;
    use bellwether_model::wire::envelope::SkipReason;

    #[test]
    fn entries_round_trip() {
        let seq = |n| Seq::new(Incarnation(1), n);
        let skips = vec![Skip { first: seq(2), last: seq(3), reason: SkipReason::Disk }];
        let envelope = Envelope {
            agent: AgentId([1; 16]),
            stream: Stream::Metrics,
            goodbye: false,
            sent_wall: Nanos(5),
            sent_mono: 6,
            skips: skips.clone(),
            frames: 1,
        };
        let mut out = Vec::new();
        put_frame(&mut out, &envelope, Nanos(4), b"frame");
        let expected = FrameEntry {
            agent: envelope.agent,
            stream: envelope.stream,
            received: Nanos(4),
            sent_wall: Nanos(5),
            sent_mono: 6,
            skips,
            frame: b"frame",
        };
        assert_eq!(Entry::read(&out), Ok(Entry::Frame(expected)));
    }

    #[test]
    fn control_state_round_trips() {
        let up = UpEntry {
            job: "node".into(),
            instance: "a".into(),
            time: Timestamp(-5),
            value: UpValue::End,
        };
        let known = Known { incarnation: Incarnation(3), nonce: Nonce(4), applied: 5 };
        let mut recount = Recount::default();
        (recount.frames, recount.samples, recount.stored) = (3, 9, 9);
        recount.skip(SkipReason::Store, 7);
        let snapshot = Snapshot {
            store: StoreId([2; 16]),
            taken: Timestamp(9),
            sessions: vec![(
                AgentId([1; 16]),
                Stream::Logs,
                Session::restore(vec![known], Position(7)),
                recount,
            )],
            hosts: vec![HostState {
                agent: AgentId([1; 16]),
                job: "node".into(),
                instance: "a".into(),
                mark: Timestamp(8),
                gone: true,
            }],
            ups: vec![UpState { last: up.clone(), since: Timestamp(-9) }],
            draining: vec![Draining {
                agent: AgentId([4; 16]),
                job: "node".into(),
                instance: "b".into(),
                at: Timestamp(3),
            }],
        };
        let mut out = Vec::new();
        put_snapshot(&mut out, &snapshot);
        assert_eq!(Entry::read(&out), Ok(Entry::Snapshot(snapshot)));
        for cut in 0..out.len() {
            assert!(Entry::read(&out[..cut]).is_err());
        }
        let mut out = Vec::new();
        put_up(&mut out, &up);
        assert_eq!(Entry::read(&out), Ok(Entry::Up(up)));
        let mut out = Vec::new();
        put_goodbye(&mut out, AgentId([3; 16]), Timestamp(1));
        let goodbye = Entry::Goodbye { agent: AgentId([3; 16]), at: Timestamp(1) };
        assert_eq!(Entry::read(&out), Ok(goodbye));
        let mut out = Vec::new();
        put_drain(&mut out, AgentId([3; 16]), Timestamp(1), true);
        let drain = Entry::Drain { agent: AgentId([3; 16]), at: Timestamp(1), on: true };
        assert_eq!(Entry::read(&out), Ok(drain));
    }
}
