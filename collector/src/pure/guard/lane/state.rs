//! What the lanes remember over a restart: the fold of the guard's records that are of signals.

mod bytes;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::signal::{Answer, Kind};
use bellwether_model::time::Timestamp;

use super::super::record::{Close, Intent, Record, Sighting};

/// Signals that have ended and are remembered: two of each rollout that is.
pub const CLOSED: usize = 2000;
/// How long they are remembered.
pub const CLOSED_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// Versions of one lane that were rolled back and are remembered, the newest.
pub const ROLLED_BACK: usize = 64;

/// The state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LanesState {
    /// Signals made so far.
    pub(super) made: u64,
    pub(super) lanes: BTreeMap<LaneKey, LaneState>,
    /// By number.
    pub(super) open: BTreeMap<u64, Open>,
    /// The oldest first.
    pub(super) closed: VecDeque<Arc<Finished>>,
}

/// What a lane is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneKey {
    /// The service.
    pub service: Arc<str>,
    /// The environment.
    pub environment: Arc<str>,
}

/// A lane. It is never forgotten: receivers refuse a generation that they have seen the like of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct LaneState {
    /// The last signal's.
    pub(super) generation: u64,
    /// The number of the signal that is open.
    pub(super) open: Option<u64>,
    /// The oldest first.
    pub(super) rolled_back: VecDeque<Arc<str>>,
}

/// A signal that is open.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    /// The signal.
    pub intent: Arc<Intent>,
    /// Attempts made.
    pub tries: u32,
    /// When the last was made.
    pub tried_at: Option<Timestamp>,
    /// The hook's last answer that counts.
    pub answer: Option<(Answer, Timestamp)>,
    /// By what it was seen, and when.
    pub observed: Option<(Sighting, Timestamp)>,
}

/// A signal that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// The signal, without its body.
    pub signal: Open,
    /// How it ended.
    pub outcome: Close,
    /// Why, in words.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

impl LaneKey {
    /// The lane of a signal.
    #[must_use]
    pub fn of(intent: &Intent) -> LaneKey {
        let (service, environment) = (&intent.service, &intent.environment);
        LaneKey { service: Arc::clone(service), environment: Arc::clone(environment) }
    }
}

impl LaneState {
    fn roll_back(&mut self, version: &Arc<str>) {
        self.rolled_back.retain(|held| held != version);
        if self.rolled_back.len() == ROLLED_BACK {
            self.rolled_back.pop_front();
        }
        self.rolled_back.push_back(Arc::clone(version));
    }
}

impl LanesState {
    /// Takes in one record. Those that are not of signals, or do not fit the state, change nothing.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Intended(intent) => self.intend(intent),
            Record::Attempt { signal, attempt, at } => {
                let Some(open) = self.open.get_mut(signal) else { return };
                open.tries = open.tries.max(*attempt);
                open.tried_at = Some(*at);
            }
            Record::Answered { signal, answer, at } => {
                let Some(open) = self.open.get_mut(signal) else { return };
                open.answer = Some((answer.clone(), *at));
            }
            Record::Observed { signal, by, at } => {
                let Some(open) = self.open.get_mut(signal) else { return };
                open.observed = Some((*by, *at));
            }
            Record::Closed { signal, outcome, detail, at } => {
                self.close(*signal, *outcome, detail, *at);
            }
            Record::Announced(_)
            | Record::Judged { .. }
            | Record::Said { .. }
            | Record::Decided { .. }
            | Record::Ended { .. }
            | Record::Kept { .. } => {}
        }
    }

    /// The signals that are open, by number.
    pub fn open(&self) -> impl Iterator<Item = &Open> {
        self.open.values()
    }

    /// Those that are over and remembered, the oldest first.
    pub fn closed(&self) -> impl DoubleEndedIterator<Item = &Finished> {
        self.closed.iter().map(AsRef::as_ref)
    }

    /// Whether signals of a rollout are known.
    #[must_use]
    pub fn has(&self, rollout: &str) -> bool {
        self.known().any(|intent| *intent.rollout == *rollout)
    }

    /// All signals that are known.
    pub(super) fn known(&self) -> impl Iterator<Item = &Intent> {
        let closed = self.closed().map(|finished| &*finished.signal.intent);
        self.open().map(|open| &*open.intent).chain(closed)
    }

    /// Whether a version of a lane was rolled back itself, and has not been watched well since.
    #[must_use]
    pub fn was_rolled_back(&self, lane: &LaneKey, version: &str) -> bool {
        let held = self.lanes.get(lane).map(|lane| &lane.rolled_back);
        held.is_some_and(|versions| versions.iter().any(|held| &**held == version))
    }

    /// A version of a lane was watched to its end, and did not fail.
    pub fn trust(&mut self, lane: &LaneKey, version: &str) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.rolled_back.retain(|held| **held != *version);
        }
    }

    fn intend(&mut self, intent: &Arc<Intent>) {
        let key = LaneKey::of(intent);
        if let Some(older) = self.lanes.get(&key).and_then(|lane| lane.open) {
            // Only damage can take the end of a signal from the journal.
            self.close(older, Close::Failed, "its end is lost", intent.at);
        }
        self.made = self.made.max(intent.number);
        let lane = self.lanes.entry(key).or_default();
        lane.generation = lane.generation.max(intent.generation);
        lane.open = Some(intent.number);
        let intent = Arc::clone(intent);
        let open = Open { intent, tries: 0, tried_at: None, answer: None, observed: None };
        self.open.insert(open.intent.number, open);
    }

    fn close(&mut self, signal: u64, outcome: Close, detail: &str, at: Timestamp) {
        let Some(mut open) = self.open.remove(&signal) else { return };
        if let Some(lane) = self.lanes.get_mut(&LaneKey::of(&open.intent)) {
            lane.open.take_if(|open| *open == signal);
            // What a person takes back says nothing of the version.
            if open.intent.kind == Kind::Rollback && outcome != Close::Withdrawn {
                lane.roll_back(&open.intent.from);
            }
        }
        open.intent = Arc::new(Intent { body: [][..].into(), ..(*open.intent).clone() });
        let detail = detail.to_owned();
        self.closed.push_back(Arc::new(Finished { signal: open, outcome, detail, at }));
        let oldest = at.saturating_sub(CLOSED_FOR);
        while self.closed.len() > CLOSED || self.closed.front().is_some_and(|f| f.at < oldest) {
            self.closed.pop_front();
        }
    }
}
