//! What is known of rollouts, for whoever asks.

use std::sync::Arc;

use bellwether_model::time::Timestamp;
use bellwether_rules::verdict::Outcome;

use super::action::{Finding, action};
use super::lane::report::SignalRow;
use super::state::{Decided, Rollout};
use super::{Guard, Stats, lane, watch};

/// All rollouts as of now.
#[derive(Clone, Debug)]
pub struct GuardReport {
    /// When this was so.
    pub at: Timestamp,
    /// By name.
    pub rollouts: Vec<RolloutRow>,
}

/// What was counted since the start, and what is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardFigures {
    /// Rollouts that are watched.
    pub open: u64,
    /// Of rollouts.
    pub stats: Stats,
    /// Files of decision records that are not known to be written.
    pub records_waiting: u64,
    /// Signals that are open.
    pub signals_open: u64,
    /// Of signals.
    pub lanes: lane::report::Stats,
}

/// One rollout.
#[derive(Clone, Debug)]
pub struct RolloutRow {
    /// What is kept of it; without its seconds.
    pub known: Rollout,
    /// What is known of it while it is open.
    pub finding: Option<Finding>,
    /// What is done about it: a word.
    pub action: &'static str,
    /// Whether its pipeline is to wait.
    pub hold: bool,
    /// The last second judged.
    pub last: Option<i64>,
    /// How each SLI stands, by name; at the end, those that have a record.
    pub outcomes: Vec<(Arc<str>, Outcome)>,
    /// −ln of each SLI's part of α: the evidence that fails.
    pub log_limit: f64,
    /// Its signals.
    pub signals: Vec<SignalRow>,
    /// Why, in one sentence.
    pub reason: String,
}

pub(super) fn report(guard: &Guard, at: Timestamp) -> GuardReport {
    GuardReport { at, rollouts: guard.state.rollouts.values().map(|one| row(guard, one)).collect() }
}

pub(super) fn row(guard: &Guard, known: &Rollout) -> RolloutRow {
    let name = &known.announced.rollout;
    let open = guard.open.get(name);
    let finding = guard.finding(name);
    let done = finding.map(|finding| action(&known.announced, finding));
    let slis = known.announced.measured.slis.iter().map(|sli| Arc::clone(&sli.name));
    RolloutRow {
        known: known.without_seconds(),
        finding,
        action: done.map_or("over", |done| done.name()),
        hold: done.is_some_and(|done| done.holds()),
        last: open.and_then(|open| open.watch.last()),
        outcomes: match open {
            Some(open) => slis.zip(open.watch.outcomes()).collect(),
            None => known.decided.iter().map(decided).collect(),
        },
        log_limit: -libm::log(watch::config(&known.announced).alpha),
        signals: guard.lanes.signals(|signal| signal.rollout == *name),
        reason: guard.reason(name),
    }
}

/// How an SLI stood in the end.
fn decided(decided: &Decided) -> (Arc<str>, Outcome) {
    (Arc::clone(&decided.sli), Outcome::clone(&decided.grounds))
}

pub(super) fn figures(guard: &Guard) -> GuardFigures {
    GuardFigures {
        open: guard.open.len() as u64,
        stats: guard.stats,
        records_waiting: guard.keeping.len() as u64,
        signals_open: guard.lanes.state().open().count() as u64,
        lanes: guard.lanes.stats().clone(),
    }
}
