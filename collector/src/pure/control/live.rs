//! One rule group as it runs.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::series::is_stale;
use bellwether_model::time::Timestamp;
use bellwether_rules::group::{GroupState, Outcome, RuleState};

use super::super::entry::{self, ENTRY_BYTES_MAX};
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

    /// The entry of a slot, and how many samples are left out of it since an earlier rule of the
    /// group has written the same series. Where it is more than an entry holds, the rules that
    /// yield most of it fail; `None` if what is left is too much as well.
    pub(super) fn entry(
        &mut self,
        slot: Timestamp,
        state: &mut GroupState,
        outcome: &mut Outcome,
    ) -> Option<(Vec<u8>, u64)> {
        loop {
            let PlannedGroup { key, rules, .. } = &self.planned;
            let (evaluation, doubles) =
                self.recorder.record(key, rules, (&self.state, state), (slot, outcome));
            let mut bytes = Vec::new();
            entry::put_evaluation(&mut bytes, &evaluation);
            let over = bytes.len().saturating_sub(ENTRY_BYTES_MAX);
            if over == 0 {
                return Some((bytes, doubles));
            }
            self.recorder.reset();
            self.shed(over, state, outcome)?;
        }
    }

    /// Fails rules that have written samples, recording rules and the largest first, until so many
    /// bytes are saved or none is left; `None` if there was none.
    fn shed(&self, over: usize, state: &mut GroupState, outcome: &mut Outcome) -> Option<()> {
        let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
        for sample in outcome.samples.iter().filter(|sample| !is_stale(sample.value)) {
            let labels = sample.labels.iter().map(|(name, value)| name.len() + value.len());
            *sizes.entry(sample.rule).or_default() += labels.sum::<usize>();
        }
        let is_alert = |rule: usize| {
            self.planned.rules.rules.get(rule).is_some_and(|rule| rule.alert().is_some())
        };
        let mut rules: Vec<(usize, usize)> = sizes.into_iter().collect();
        rules.sort_by_key(|(rule, size)| (is_alert(*rule), Reverse(*size)));
        let mut saved = 0;
        for (rule, size) in rules {
            if saved >= over {
                break;
            }
            saved += size;
            let error =
                "the rule yields most of a group that is more than an entry holds".to_owned();
            let (before, after) = (self.state.rules.get(rule)?, state.rules.get_mut(rule)?);
            let evaluated_at = after.evaluated_at;
            *after = RuleState { error: Some(error.clone()), evaluated_at, ..before.clone() };
            outcome.samples.retain(|sample| sample.rule != rule);
            outcome.failures.push((rule, error));
        }
        (saved > 0).then_some(())
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
