//! One rule group as it runs.

use std::sync::Arc;
use std::time::Duration;

use bellwether_model::time::Timestamp;
use bellwether_rules::group::{GroupState, RuleState};

use super::super::notify::event::RuleRef;
use super::held::aligned;
use super::recorder::Recorder;
use super::schedule::Slots;
use super::{PlannedGroup, RuleTime, Shown, telling};

/// One group.
pub(super) struct Live {
    pub(super) planned: PlannedGroup,
    /// Its alerting rules, with their places.
    pub(super) alerting: Vec<(usize, RuleRef)>,
    /// By place: the number of each rule, which it keeps at another place.
    numbers: Vec<usize>,
    pub(super) slots: Slots,
    pub(super) next: Timestamp,
    /// The last slot that was evaluated, whether it has an entry or not.
    pub(super) tried: Option<Timestamp>,
    pub(super) is_running: bool,
    pub(super) state: Arc<GroupState>,
    pub(super) recorder: Recorder,
    pub(super) evaluated_at: Option<Timestamp>,
    pub(super) took: Duration,
    pub(super) times: Arc<[RuleTime]>,
}

impl Live {
    pub(super) fn new(planned: PlannedGroup, state: GroupState, since: Timestamp) -> Live {
        let numbers = (0..planned.rules.rules.len()).collect();
        Live::numbered(planned, state, since, numbers)
    }

    fn numbered(
        planned: PlannedGroup,
        state: GroupState,
        since: Timestamp,
        numbers: Vec<usize>,
    ) -> Live {
        let slots = Slots::new(&planned.key, planned.interval);
        Live {
            alerting: telling::alerting(&planned, &numbers),
            numbers,
            planned,
            slots,
            next: slots.after(since),
            tried: None,
            is_running: false,
            state: Arc::new(state),
            recorder: Recorder::default(),
            evaluated_at: None,
            took: Duration::ZERO,
            times: Arc::default(),
        }
    }

    /// The slot failed as a whole: states stay, and every rule says why.
    pub(super) fn fail(&mut self, error: &str) {
        let state = Arc::make_mut(&mut self.state);
        state.rules.iter_mut().for_each(|rule| rule.error = Some(error.to_owned()));
        self.recorder.reset();
        self.is_running = false;
    }

    /// The same group with other rules, which take what those of the same identity had.
    pub(super) fn replanned(self, planned: PlannedGroup, now: Timestamp) -> Live {
        let states = self.state.rules.iter().cloned().zip(self.numbers.iter().copied());
        let identities = self.planned.rules.rules.iter().map(|rule| rule.identity());
        let mut unused = self.numbers.iter().max().map_or(0, |number| number + 1)..;
        let aligned = aligned(&planned.rules, identities.zip(states).collect()).into_iter();
        let mut new = || Some((RuleState::default(), unused.next()?));
        let (rules, numbers) = aligned.filter_map(|known| known.or_else(&mut new)).unzip();
        let evaluated = self.state.rules.iter().filter_map(|rule| rule.evaluated_at).max();
        let since = evaluated.map_or(now, |slot| slot.max(now));
        let fresh = Live::numbered(planned, GroupState { rules }, since, numbers);
        Live { evaluated_at: self.evaluated_at, took: self.took, tried: self.tried, ..fresh }
    }

    pub(super) fn shown(&self) -> Arc<Shown> {
        Arc::new(Shown {
            key: self.planned.key.clone(),
            interval: self.slots.interval(),
            rules: Arc::clone(&self.planned.rules),
            state: Arc::clone(&self.state),
            evaluated_at: self.evaluated_at,
            took: self.took,
            times: Arc::clone(&self.times),
        })
    }
}
