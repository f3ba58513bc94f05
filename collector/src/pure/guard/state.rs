//! What lasts of rollouts over a restart: the fold of the guard's records.

mod bytes;

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::time::Timestamp;
use bellwether_rules::record::Hash;
use bellwether_rules::verdict::{Outcome, Verdict};

use super::lane::state::LanesState;
use super::record::{Announced, End, Record, Second, Word};

/// Rollouts that are watched at a time.
pub const OPEN_MAX: usize = 1000;
/// Rollouts that have ended and are remembered.
pub const ENDED_MAX: usize = 1000;
/// How long they are remembered: seven days.
pub const REMEMBERED_MS: i64 = 7 * 24 * 3600 * 1000;
/// What people said of one rollout, at most; the oldest goes.
const SAID_MAX: usize = 100;

/// Rollouts and signals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GuardState {
    /// By name, open and ended.
    pub rollouts: BTreeMap<Arc<str>, Rollout>,
    /// The hash of the newest decision record.
    pub chain: Option<Hash>,
    /// Signals.
    pub lanes: LanesState,
}

/// One rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// As announced.
    pub announced: Arc<Announced>,
    /// Names of strata, by number.
    pub strata: Vec<String>,
    /// What was judged; dropped once it has ended and the files of its records are written.
    pub seconds: Vec<Second>,
    /// What people said.
    pub said: Vec<Said>,
    /// Verdicts that have a record.
    pub decided: Vec<Decided>,
    /// How it ended.
    pub ended: Option<(End, Timestamp)>,
    /// It has ended, and the files of its records are written.
    pub is_kept: bool,
}

/// What a person or a pipeline said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What.
    pub word: Word,
    /// Who.
    pub by: String,
    /// In their words.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// A verdict with a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// By which SLI.
    pub sli: Arc<str>,
    /// What.
    pub verdict: Verdict,
    /// The grounds, as the record has them.
    pub grounds: Arc<Outcome>,
    /// The hash of its record's file.
    pub record: Hash,
    /// The hash of the record before it.
    pub previous: Option<Hash>,
    /// How many seconds were judged then; 0 once these are dropped.
    pub seconds: usize,
    /// When.
    pub at: Timestamp,
}

impl GuardState {
    /// Takes a record.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Announced(announced) => {
                self.forget(announced.at);
                let rollout = Rollout::new(Arc::clone(announced));
                self.rollouts.insert(Arc::clone(&announced.rollout), rollout);
            }
            Record::Judged { rollout, strata, seconds } => {
                let Some(rollout) = self.rollouts.get_mut(rollout) else { return };
                rollout.strata.extend_from_slice(strata);
                rollout.seconds.extend_from_slice(seconds);
            }
            Record::Said { rollout, word, by, reason, at } => {
                let Some(rollout) = self.rollouts.get_mut(rollout) else { return };
                if rollout.said.len() == SAID_MAX {
                    rollout.said.remove(0);
                }
                let (by, reason) = (by.clone(), reason.clone());
                rollout.said.push(Said { word: *word, by, reason, at: *at });
            }
            Record::Decided { rollout, sli, verdict, grounds, record, at } => {
                let previous = self.chain.replace(*record);
                let Some(rollout) = self.rollouts.get_mut(rollout) else { return };
                rollout.decided.push(Decided {
                    sli: Arc::clone(sli),
                    verdict: *verdict,
                    grounds: Arc::clone(grounds),
                    record: *record,
                    previous,
                    seconds: rollout.seconds.len(),
                    at: *at,
                });
            }
            Record::Ended { rollout, end, at } => {
                let Some(rollout) = self.rollouts.get_mut(rollout) else { return };
                rollout.ended = Some((*end, *at));
                if *end == End::Watched {
                    self.lanes.trust(&rollout.announced.lane(), &rollout.announced.to);
                }
            }
            Record::Kept { rollout } => {
                let Some(rollout) = self.rollouts.get_mut(rollout) else { return };
                rollout.is_kept = true;
                rollout.seconds = Vec::new();
                rollout.decided.iter_mut().for_each(|decided| decided.seconds = 0);
            }
            signal => self.lanes.apply(signal),
        }
    }

    /// Rollouts that are watched.
    pub fn open(&self) -> impl Iterator<Item = &Rollout> {
        self.rollouts.values().filter(|rollout| rollout.ended.is_none())
    }

    /// Forgets what ended long ago, and the oldest of too many.
    fn forget(&mut self, now: Timestamp) {
        let is_old = |rollout: &Rollout| {
            rollout.ended.is_some_and(|(_, at)| now.millis_since(at) > REMEMBERED_MS)
        };
        self.rollouts.retain(|_, rollout| !is_old(rollout));
        let mut ended: Vec<(Timestamp, Arc<str>)> = self
            .rollouts
            .iter()
            .filter_map(|(name, rollout)| Some((rollout.ended?.1, Arc::clone(name))))
            .collect();
        ended.sort();
        let too_many = (ended.len() + 1).saturating_sub(ENDED_MAX);
        for (_, name) in ended.into_iter().take(too_many) {
            self.rollouts.remove(&name);
        }
    }
}

impl Rollout {
    /// One that is new.
    #[must_use]
    pub fn new(announced: Arc<Announced>) -> Rollout {
        Rollout {
            announced,
            strata: Vec::new(),
            seconds: Vec::new(),
            said: Vec::new(),
            decided: Vec::new(),
            ended: None,
            is_kept: false,
        }
    }

    /// The same, for whoever does not judge.
    #[must_use]
    pub fn without_seconds(&self) -> Rollout {
        Rollout {
            announced: Arc::clone(&self.announced),
            strata: self.strata.clone(),
            seconds: Vec::new(),
            said: self.said.clone(),
            decided: self.decided.clone(),
            ended: self.ended,
            is_kept: self.is_kept,
        }
    }

    /// When it was said, first.
    #[must_use]
    pub fn said_at(&self, word: Word) -> Option<Timestamp> {
        self.said.iter().find(|said| said.word == word).map(|said| said.at)
    }

    /// The verdict that has failed it.
    #[must_use]
    pub fn failure(&self) -> Option<&Decided> {
        self.decided.iter().find(|decided| decided.verdict == Verdict::Fail)
    }
}
