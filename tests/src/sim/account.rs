//! What was made and what became of it: every frame with its rows, who acknowledged it, who
//! declared it. At the end each is in the store, declared, or taken by a fault that may take it.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_agent::pure::ship::backlog::Backlog;
use bellwether_model::id::Seq;
use bellwether_model::wire::envelope::Skip;

use super::Millis;
use super::agent::UNSYNCED_MAX;
use super::ledger::{FrameKey, Ledger};
use super::rows::Row;

/// What became of a frame on its own host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The spool took it.
    Kept,
    /// The process ended while the spool took it.
    Uncertain,
    /// The spool did not take it, and declared so.
    Refused,
    /// The power failed before it had to be synced.
    Lost,
}

struct Made {
    node: usize,
    at: Millis,
    rows: Vec<Row>,
    fate: Fate,
    /// By collector: when the answer left that the agent took as its acknowledgement.
    acked: Vec<Option<Millis>>,
}

/// All frames and declarations of a run.
#[derive(Default)]
pub struct Account {
    collectors: usize,
    frames: BTreeMap<FrameKey, Made>,
    by_node: BTreeMap<usize, Vec<FrameKey>>,
    /// Numbers that a host will never send, as it said itself; not yet sent perhaps.
    skipped: BTreeMap<usize, Vec<Skip>>,
    /// The same as they stood in requests, by collector and host.
    declared: BTreeMap<(usize, usize), Vec<Skip>>,
    /// What was declared to states of collectors that are gone.
    void: BTreeMap<(usize, usize), Vec<Skip>>,
}

/// A way for frames to be missing in a collector without fault.
#[derive(Clone, Copy, Debug)]
pub struct Excuse {
    /// What was acknowledged before is gone with an earlier state of the collector.
    pub acked_before: Millis,
    /// Frames made later may still be on their way.
    pub made_after: Millis,
}

impl Account {
    /// An account with so many collectors.
    #[must_use]
    pub fn new(collectors: usize) -> Account {
        Account { collectors, ..Account::default() }
    }

    /// A frame was made.
    pub fn made(&mut self, key: FrameKey, node: usize, at: Millis, rows: Vec<Row>) {
        let acked = vec![None; self.collectors];
        self.frames.insert(key, Made { node, at, rows, fate: Fate::Uncertain, acked });
        self.by_node.entry(node).or_default().push(key);
    }

    /// What became of it on its host.
    pub fn fate(&mut self, key: &FrameKey, fate: Fate) {
        self.frames.get_mut(key).unwrap().fate = fate;
    }

    /// Number of frames made.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether no frame was made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Frames with a fate.
    #[must_use]
    pub fn count(&self, fate: Fate) -> u64 {
        self.frames.values().filter(|made| made.fate == fate).count() as u64
    }

    /// The rows of a frame.
    #[must_use]
    pub fn rows(&self, key: &FrameKey) -> &[Row] {
        self.frames.get(key).map_or(&[], |made| &made.rows)
    }

    /// A host takes all of its frames up to a number as acknowledged by an answer of `released`.
    pub fn acked(&mut self, node: usize, collector: usize, seq: Seq, released: Millis) {
        for key in self.by_node.get(&node).into_iter().flatten().rev() {
            let made = self.frames.get_mut(key).unwrap();
            if made.acked[collector].is_some() {
                // Numbers of a host grow: so were all before it.
                break;
            }
            if key.seq <= seq {
                made.acked[collector] = Some(released);
            }
        }
    }

    /// A host says that numbers will never be sent.
    pub fn skipped(&mut self, node: usize, skip: Skip) {
        note(self.skipped.entry(node).or_default(), skip);
    }

    /// A host's request declared ranges.
    pub fn declared(&mut self, collector: usize, node: usize, skips: &[Skip]) {
        let held = self.declared.entry((collector, node)).or_default();
        skips.iter().for_each(|skip| note(held, *skip));
    }

    /// A collector's state is gone, with what was declared to it.
    pub fn voided(&mut self, collector: usize) {
        for ((to, node), skips) in &mut self.declared {
            if *to == collector {
                self.void.entry((*to, *node)).or_default().append(skips);
            }
        }
    }

    /// A host's process runs again: what its spool must still hold is there. `skips` are those the
    /// spool remembers, `power` when the process had ended if the power has failed since.
    ///
    /// # Errors
    /// The first frame that is gone.
    pub fn check_spool(
        &mut self,
        node: usize,
        backlog: &Backlog,
        skips: &[Skip],
        power: Option<Millis>,
        syncs_always: bool,
    ) -> Result<(), String> {
        let skipped = self.skipped.get(&node).map_or(&[][..], Vec::as_slice);
        for key in self.by_node.get(&node).into_iter().flatten() {
            let made = self.frames.get_mut(key).unwrap();
            let settled = made.acked.iter().all(Option::is_some);
            let held = backlog.segment_of(key.seq).is_some();
            let declared = covers(skips, key.seq);
            if made.fate != Fate::Kept || settled || held || declared {
                continue;
            }
            let late = power.is_some_and(|at| made.at + UNSYNCED_MAX >= at) && !syncs_always;
            if !late {
                if covers(skipped, key.seq) {
                    continue;
                }
                return Err(format!(
                    "host {node} has lost {key:?}, spooled at {} ms, ended by power at {power:?}",
                    made.at
                ));
            }
            made.fate = Fate::Lost;
        }
        Ok(())
    }

    /// Whether every spooled frame is in the ledger of a collector, or declared to it; `pending`
    /// are declarations of hosts that wait for a frame to carry them.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check_settled(
        &self,
        collector: usize,
        ledger: &Ledger,
        pending: BTreeMap<usize, Vec<Skip>>,
        excuse: Excuse,
    ) -> Result<(), String> {
        let mut applied = BTreeSet::new();
        let mut journalled = pending;
        for (key, skips) in ledger.frames() {
            applied.insert(key);
            let held = journalled.entry(self.frames[key].node).or_default();
            skips.iter().for_each(|skip| note(held, *skip));
        }
        for (key, made) in &self.frames {
            let void = self.void.get(&(collector, made.node));
            let mut declared = journalled.get(&made.node).into_iter().chain(void);
            let excused = made.acked[collector].is_some_and(|at| at < excuse.acked_before)
                || made.at > excuse.made_after;
            if made.fate == Fate::Kept
                && !applied.contains(key)
                && !declared.any(|skips| covers(skips, key.seq))
                && !excused
            {
                return Err(format!(
                    "host {}'s {key:?}, spooled at {} ms, is neither in collector {collector} nor \
                     declared; acked {:?}",
                    made.node, made.at, made.acked
                ));
            }
        }
        Ok(())
    }
}

/// Adds a range to a list, joined with one it overlaps.
fn note(held: &mut Vec<Skip>, skip: Skip) {
    let meets = |held: &&mut Skip| {
        held.reason == skip.reason && held.first <= skip.last && skip.first.0 <= held.last.0 + 1
    };
    match held.iter_mut().find(meets) {
        Some(held) => {
            held.first = held.first.min(skip.first);
            held.last = held.last.max(skip.last);
        }
        None => held.push(skip),
    }
}

fn covers(skips: &[Skip], seq: Seq) -> bool {
    skips.iter().any(|skip| skip.first <= seq && seq <= skip.last)
}
