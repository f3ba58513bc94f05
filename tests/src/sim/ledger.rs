//! What a collector's journal holds, kept beside it: each entry as it was pushed. From it follows
//! what sessions, presence and store must be after any end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_collector::pure::entry::{Entry, UpEntry, UpValue};
use bellwether_model::id::{AgentId, GroupId, Nonce, Position, Seq};
use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::time::Timestamp;
use bellwether_model::wire::envelope::Skip;
use bellwether_model::wire::frame::Frame;

use super::account::Account;

/// Rows stamped further ahead of their arrival are not stored (`model/WIRE.md`, sessions).
const AHEAD_MAX: Duration = Duration::from_secs(600);

/// A frame, wherever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FrameKey {
    /// The id it was made under.
    pub agent: AgentId,
    /// Of its incarnation.
    pub nonce: Nonce,
    /// Its number.
    pub seq: Seq,
}

/// An entry, without bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noted {
    /// A frame, what its envelope declared, and when it arrived.
    Frame(FrameKey, Vec<Skip>, Timestamp),
    /// A sample of `up`.
    Up(UpEntry),
    /// Anything else.
    Other(u8),
}

/// Bits by time; more than one where several agents had the same series.
pub type Times = BTreeMap<Timestamp, Vec<u64>>;

/// Samples by series and time.
#[derive(Debug, Default)]
pub struct Samples {
    /// All of them.
    pub series: BTreeMap<LabelSet, Times>,
    /// Hosts that had several agents: the end of a series at one may hide the other's sample.
    pub shared: BTreeSet<String>,
}

/// All entries, by position.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<Position, Noted>,
    frames: BTreeMap<AgentId, Vec<(Position, Seq)>>,
}

/// The entry of these bytes.
#[must_use]
pub fn noted(bytes: &[u8]) -> Noted {
    match Entry::read(bytes).unwrap() {
        Entry::Frame(entry) => {
            let (frame, _) = Frame::read(entry.frame).unwrap();
            let header = frame.header();
            let key = FrameKey { agent: entry.agent, nonce: header.nonce, seq: header.seq };
            Noted::Frame(key, entry.skips, Timestamp::from(entry.received))
        }
        Entry::Up(up) => Noted::Up(up),
        _ => Noted::Other(bytes[0]),
    }
}

impl Ledger {
    /// Takes note of an entry.
    pub fn push(&mut self, position: Position, entry: Noted) {
        if let Noted::Frame(key, ..) = &entry {
            self.frames.entry(key.agent).or_default().push((position, key.seq));
        }
        self.entries.insert(position, entry);
    }

    /// The entry at a position.
    #[must_use]
    pub fn get(&self, position: Position) -> Option<&Noted> {
        self.entries.get(&position)
    }

    /// Forgets what comes after a position: an end has taken it.
    pub fn truncate(&mut self, last: Position) {
        self.entries.split_off(&Position(last.0 + 1));
        for frames in self.frames.values_mut() {
            frames.retain(|(position, _)| *position <= last);
        }
    }

    /// The newest frame of an agent at or before a position.
    #[must_use]
    pub fn applied(&self, agent: AgentId, until: Position) -> Seq {
        let frames = self.frames.get(&agent).map_or(&[][..], Vec::as_slice);
        let held = frames.partition_point(|(position, _)| *position <= until);
        frames[..held].last().map_or(Seq(0), |(_, seq)| *seq)
    }

    /// All frames.
    pub fn frames(&self) -> impl Iterator<Item = (&FrameKey, &[Skip])> {
        self.entries.values().filter_map(|entry| match entry {
            Noted::Frame(key, skips, _) => Some((key, skips.as_slice())),
            _ => None,
        })
    }

    /// Whether each agent's frames stand in order, each once, with every gap declared.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check_order(&self) -> Result<(), String> {
        let mut last: BTreeMap<AgentId, FrameKey> = BTreeMap::new();
        for (key, skips) in self.frames() {
            let before = last.insert(key.agent, *key);
            let (mut next, same) = match before {
                Some(before) if before.seq.incarnation() == key.seq.incarnation() => {
                    (Seq(before.seq.0 + 1), before.nonce == key.nonce)
                }
                before => {
                    let rises = before.is_none_or(|before| before.seq < key.seq);
                    (Seq::new(key.seq.incarnation(), 1), rises)
                }
            };
            if !same || key.seq < next {
                return Err(format!("{key:?} is applied after {before:?}"));
            }
            for skip in skips {
                if skip.first <= next && next <= skip.last {
                    next = Seq(skip.last.0 + 1);
                }
            }
            if key.seq > next {
                return Err(format!("{key:?} is applied, but {next} is missing and not declared"));
            }
        }
        Ok(())
    }

    /// Whether `up` moves as it may.
    ///
    /// # Errors
    /// The first step that it may not take.
    pub fn check_up(&self) -> Result<(), String> {
        let mut last: BTreeMap<(&str, &str), &UpEntry> = BTreeMap::new();
        for entry in self.entries.values() {
            let Noted::Up(up) = entry else { continue };
            let before = last.insert((&up.job, &up.instance), up);
            let legal = match before {
                None => up.value != UpValue::End,
                Some(before) if before.value == UpValue::End => up.value != UpValue::End,
                Some(before) => before.time < up.time,
            };
            if !legal {
                return Err(format!("up goes from {before:?} to {up:?}"));
            }
        }
        Ok(())
    }

    /// The last sample of `up` of a host.
    #[must_use]
    pub fn last_up(&self, instance: &str) -> Option<UpValue> {
        self.entries.values().rev().find_map(|entry| match entry {
            Noted::Up(up) if up.instance == instance => Some(up.value),
            _ => None,
        })
    }

    /// The numbers that a frame's request declared and the frame passed, by reason.
    #[must_use]
    pub fn passed(&self, key: &FrameKey, skips: &[Skip]) -> Vec<(&'static str, u64)> {
        let after = self.applied(key.agent, Position(u64::MAX));
        let counted = skips.iter().filter_map(|skip| {
            let (first, last) = (skip.first.0.max(after.0 + 1), skip.last.0.min(key.seq.0 - 1));
            (first <= last).then(|| (skip.reason.as_str(), last - first + 1))
        });
        counted.collect()
    }

    /// What the store must show: rows of one group of one agent count while their stamps rise, and
    /// do not run ahead of their arrival.
    #[must_use]
    pub fn samples(&self, account: &Account) -> Samples {
        let mut samples = Samples::default();
        let mut owners: BTreeMap<String, AgentId> = BTreeMap::new();
        let mut lanes: BTreeMap<(AgentId, GroupId), Timestamp> = BTreeMap::new();
        for entry in self.entries.values() {
            let Noted::Frame(key, _, arrived) = entry else { continue };
            for row in account.rows(key) {
                let last = lanes.entry((key.agent, row.group)).or_insert(Timestamp::MIN);
                if row.time <= *last || row.time > arrived.saturating_add(AHEAD_MAX) {
                    continue;
                }
                *last = row.time;
                for (labels, bits) in &row.values {
                    let instance = labels.get("instance").unwrap();
                    if owners.get(instance) != Some(&key.agent)
                        && owners.insert(instance.to_owned(), key.agent).is_some()
                    {
                        samples.shared.insert(instance.to_owned());
                    }
                    let series = samples.series.entry(labels.clone()).or_default();
                    series.entry(row.time).or_default().push(*bits);
                }
            }
        }
        self.up_samples(&mut samples);
        samples
    }

    /// Those of `up` count while their stamps rise; one that has ended begins anew.
    fn up_samples(&self, samples: &mut Samples) {
        let mut last: BTreeMap<(&str, &str), Timestamp> = BTreeMap::new();
        for entry in self.entries.values() {
            let Noted::Up(up) = entry else { continue };
            let key = (&*up.job, &*up.instance);
            let value: f64 = match up.value {
                UpValue::Down => 0.0,
                UpValue::Up => 1.0,
                UpValue::End => {
                    last.remove(&key);
                    continue;
                }
            };
            let last = last.entry(key).or_insert(Timestamp::MIN);
            if up.time <= *last {
                continue;
            }
            *last = up.time;
            let labels = [(METRIC_NAME, "up"), ("job", key.0), ("instance", key.1)];
            let series = samples.series.entry(LabelSet::new(labels).unwrap()).or_default();
            series.entry(up.time).or_default().push(value.to_bits());
        }
    }
}
