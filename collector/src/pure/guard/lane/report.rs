//! What is known of signals, for people and metrics.

use std::collections::BTreeMap;

use bellwether_model::time::Timestamp;

use super::super::record::{Close, Intent};
use super::Lanes;
use super::state::Open;

/// A signal.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalRow {
    /// With its times, attempts and last answer.
    pub signal: Open,
    /// How far it is.
    pub state: SignalState,
    /// Why the last attempt of this process had no answer; empty if it had one.
    pub failure: String,
    /// When it is tried again; of a runner never, it comes by itself.
    pub next_at: Option<Timestamp>,
    /// How, why and when it ended.
    pub ended: Option<(Close, String, Timestamp)>,
}

/// How far a signal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignalState {
    /// It is decided that it goes.
    Intended,
    /// It is sent, or shown to its runner.
    Sent,
    /// The hook has answered.
    Acknowledged,
    /// What was asked for is seen.
    Observed,
    /// It is over.
    Closed,
}

/// What was counted since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Signals intended, by kind.
    pub intended: BTreeMap<&'static str, u64>,
    /// Attempts made at webhooks.
    pub attempts: u64,
    /// Of these, where an earlier one may have arrived.
    pub repeated: u64,
    /// Attempts that failed, by how.
    pub failed: BTreeMap<&'static str, u64>,
    /// Answers that counted, by status.
    pub answers: BTreeMap<&'static str, u64>,
    /// Answers that said nothing new, or of signals that are over.
    pub ignored: u64,
    /// 2xx without an answer of ours.
    pub bare: u64,
    /// Signals that are over, by outcome.
    pub closed: BTreeMap<&'static str, u64>,
    /// Wishes refused because a bound was reached.
    pub full: u64,
}

impl Lanes {
    /// What is known of the signals that are asked for: the open ones by number, then those that
    /// are over, the newest first.
    #[must_use]
    pub fn signals(&self, is_asked: impl Fn(&Intent) -> bool) -> Vec<SignalRow> {
        let open = self.state.open().filter(|open| is_asked(&open.intent));
        let open = open.map(|open| SignalRow {
            signal: open.clone(),
            state: SignalState::of(open),
            failure: self
                .away
                .get(&open.intent.number)
                .map_or_else(String::new, |away| away.failure.clone()),
            next_at: self.due(open.intent.number),
            ended: None,
        });
        let closed = self.state.closed.iter().rev();
        let closed = closed.filter(|finished| is_asked(&finished.signal.intent));
        let closed = closed.map(|finished| SignalRow {
            signal: finished.signal.clone(),
            state: SignalState::Closed,
            failure: String::new(),
            next_at: None,
            ended: Some((finished.outcome, finished.detail.clone(), finished.at)),
        });
        open.chain(closed).collect()
    }
}

impl SignalState {
    /// A word for reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SignalState::Intended => "intended",
            SignalState::Sent => "sent",
            SignalState::Acknowledged => "acknowledged",
            SignalState::Observed => "observed",
            SignalState::Closed => "closed",
        }
    }

    /// How far an open signal is.
    #[must_use]
    pub fn of(open: &Open) -> SignalState {
        match open {
            Open { observed: Some(_), .. } => SignalState::Observed,
            Open { answer: Some(_), .. } => SignalState::Acknowledged,
            Open { tries: 0, .. } => SignalState::Intended,
            _ => SignalState::Sent,
        }
    }
}
