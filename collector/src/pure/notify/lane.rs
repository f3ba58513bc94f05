//! One receiver's alert groups: what is due, and one delivery at a time.
//!
//! A notification is made when it is due, and waits where the receiver is busy or away. When its
//! turn comes and it does not tell the newest any more, a newer one takes its place. Groups take
//! turns in the order in which they were due.

mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::label::LabelSet;
use bellwether_model::time::Timestamp;

use super::alerts::Alerts;
use super::plan::ReceiverPlan;
use super::record::{ToldAlert, Verdict, Why};
use super::report::{GroupRow, Next, ReceiverRow};
use super::state::{GroupState, Known, NotifyState, Open};

/// Notifications of one receiver that are being tried.
const OPEN: usize = 1000;
/// Bytes of their bodies; a new one waits until there is room.
const OPEN_BYTES: usize = 16 << 20;
/// How long a receiver is owed the end of an alert that it could not be told of.
const OWED_FOR: Duration = Duration::from_secs(24 * 3600);

/// What a lane looks at.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) state: &'a NotifyState,
    pub(super) alerts: &'a Alerts,
    /// All rules have been told since the start.
    pub(super) restored: bool,
    pub(super) now: Timestamp,
}

/// One receiver.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) plan: Arc<ReceiverPlan>,
    /// What fires, by group.
    members: BTreeMap<LabelSet, BTreeSet<u64>>,
    /// The groups by the time they are due, and the reverse.
    due: BTreeSet<(Timestamp, LabelSet)>,
    times: BTreeMap<LabelSet, Timestamp>,
    /// Groups of an earlier plan, whose alerts belong to others now.
    orphans: Vec<LabelSet>,
    pub(super) in_flight: Option<InFlight>,
}

/// The attempt on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    number: u64,
    attempt: u32,
    /// When its outcome should have come.
    overdue: Timestamp,
}

/// What a notification of a group tells.
struct Content {
    /// What fires first, then by labels.
    alerts: Vec<(u64, ToldAlert)>,
    reason: Why,
    /// Alerts that it was never told of, and that it is not told of now.
    untold: u32,
}

impl Lane {
    pub(super) fn new(plan: Arc<ReceiverPlan>, in_flight: Option<InFlight>) -> Lane {
        Lane {
            plan,
            members: BTreeMap::new(),
            due: BTreeSet::new(),
            times: BTreeMap::new(),
            orphans: Vec::new(),
            in_flight,
        }
    }

    /// Takes note of an alert that begins or ceases to fire.
    pub(super) fn touch(&mut self, key: u64, labels: &LabelSet, fires: bool) {
        if !self.plan.wants(labels) {
            return;
        }
        let group = self.plan.group_of(labels);
        if fires {
            self.members.entry(group).or_default().insert(key);
        } else if let Some(members) = self.members.get_mut(&group) {
            members.remove(&key);
            if members.is_empty() {
                self.members.remove(&group);
            }
        }
    }

    /// Finds out when the groups of alerts are due, each group once.
    pub(super) fn plan_alerts<'a>(
        &mut self,
        alerts: impl Iterator<Item = &'a LabelSet>,
        sight: Sight<'_>,
    ) {
        let wanted = alerts.filter(|labels| self.plan.wants(labels));
        let groups: BTreeSet<LabelSet> = wanted.map(|labels| self.plan.group_of(labels)).collect();
        if groups.is_empty() {
            return;
        }
        groups.iter().for_each(|key| self.plan_group(key, sight));
        for key in std::mem::take(&mut self.orphans) {
            self.plan_group(&key, sight);
            if self.group(&key, sight.state).is_some() {
                self.orphans.push(key);
            }
        }
    }

    /// Finds out when each group is due.
    pub(super) fn plan_all(&mut self, sight: Sight<'_>) {
        let mut keys: BTreeSet<LabelSet> = self.keys(sight.state).cloned().collect();
        keys.extend(self.times.keys().cloned());
        keys.iter().for_each(|key| self.plan_group(key, sight));
        let is_orphan = |key: &LabelSet| {
            let known = self.group(key, sight.state).into_iter().flat_map(|g| g.known.values());
            let mut details = known.map(|known| known.alert.detail.as_ref());
            details.any(|detail| detail.is_none_or(|d| self.plan.group_of(&d.labels) != *key))
        };
        let orphans: Vec<LabelSet> = keys.iter().filter(|key| is_orphan(key)).cloned().collect();
        self.orphans = orphans;
    }

    fn keys<'a>(&'a self, state: &'a NotifyState) -> impl Iterator<Item = &'a LabelSet> {
        let held = state.receivers.get(&self.plan.name);
        self.members.keys().chain(held.into_iter().flat_map(|held| held.groups.keys()))
    }

    fn plan_group(&mut self, key: &LabelSet, sight: Sight<'_>) {
        if let Some(at) = self.times.remove(key) {
            self.due.remove(&(at, key.clone()));
        }
        if let Some((at, _)) = self.due(key, sight) {
            self.times.insert(key.clone(), at);
            self.due.insert((at, key.clone()));
        }
    }

    /// When something of a group is due, and what; `None` there is the end of the group.
    fn due(&self, key: &LabelSet, sight: Sight<'_>) -> Option<(Timestamp, Option<Next>)> {
        let group = self.group(key, sight.state);
        if let Some(open) = open_of(group, sight.state) {
            let is_away = self.in_flight.is_some_and(|away| away.number == open.intent.number);
            let at = open.retry_at().min(open.intent.deadline);
            return (!is_away).then_some((at, Some(Next::Retry)));
        }
        if !sight.restored {
            return None;
        }
        let members = self.members.get(key);
        let after = |at: Timestamp, by| at.saturating_add(by);
        match (self.news(key, sight), group) {
            (Some(why), None) => {
                let starts = members.into_iter().flatten();
                let starts = starts.filter_map(|key| sight.alerts.firing(*key));
                let first = starts.map(|alert| alert.original.starts_at).min()?;
                // A start that lies ahead is of a clock that was set back.
                Some((after(first.min(sight.now), self.plan.group_wait), Some(Next::Notify(why))))
            }
            (Some(why), Some(group)) => {
                let at = after(group.flushed_at, self.plan.group_interval);
                Some((at, Some(Next::Notify(why))))
            }
            (None, Some(group)) if members.is_some() => {
                let told = group.told_at.unwrap_or(group.flushed_at);
                let repeat = after(told, self.plan.repeat_interval);
                let at = repeat.max(after(group.flushed_at, self.plan.group_interval));
                Some((at, Some(Next::Notify(Why::Repeat))))
            }
            (None, Some(_)) => Some((sight.now, None)),
            (None, None) => None,
        }
    }

    fn group<'a>(&self, key: &LabelSet, state: &'a NotifyState) -> Option<&'a GroupState> {
        state.receivers.get(&self.plan.name)?.groups.get(key)
    }

    /// What the receiver of a group does not know.
    fn news(&self, key: &LabelSet, sight: Sight<'_>) -> Option<Why> {
        let known = self.group(key, sight.state).map(|group| &group.known);
        let is_told = |key| known.and_then(|known| known.get(key)).is_some_and(|k| k.is_told);
        if self.members.get(key).into_iter().flatten().any(|key| !is_told(key)) {
            return Some(Why::Firing);
        }
        let mut known = known.into_iter().flatten();
        known.any(|(key, known)| self.owes(*key, known, sight)).then_some(Why::Resolved)
    }

    /// Whether the receiver is to be told of the end of an alert: where it wants that, and where it
    /// was never told of the alert. One that fires in another group has not ended.
    fn owes(&self, key: u64, known: &Known, sight: Sight<'_>) -> bool {
        let oldest = sight.now.saturating_sub(OWED_FOR);
        let is_old = known.alert.ends_at.is_some_and(|at| at < oldest);
        let wanted = self.plan.send_resolved || !known.is_told;
        wanted && !is_old && !sight.alerts.fires(key)
    }

    /// Whether a notification tells less than there is to tell, or what is over.
    fn is_stale(&self, open: &Open, key: &LabelSet, sight: Sight<'_>) -> bool {
        if !sight.restored {
            return false;
        }
        let told = &open.intent.alerts;
        let mut members = self.members.get(key).into_iter().flatten();
        if members.any(|key| told.get(key).is_none_or(|alert| alert.ends_at.is_some())) {
            return true;
        }
        // An end of what fires again, be it in another group, must not be the last word.
        if told.iter().any(|(key, alert)| alert.ends_at.is_some() && sight.alerts.fires(*key)) {
            return true;
        }
        let mut firing = told.iter().filter(|(_, alert)| alert.ends_at.is_none());
        self.plan.send_resolved && firing.any(|(key, _)| !sight.alerts.fires(*key))
    }

    /// What a notification of a group would tell now.
    fn content(&self, key: &LabelSet, sight: Sight<'_>) -> Content {
        let mut alerts = Vec::new();
        for key in self.members.get(key).into_iter().flatten() {
            let Some(fed) = sight.alerts.firing(*key) else { continue };
            let (starts_at, detail) = (fed.original.starts_at, Some(Arc::clone(&fed.detail)));
            alerts.push((*key, ToldAlert { starts_at, ends_at: None, detail }));
        }
        let mut untold = 0;
        let known = self.group(key, sight.state).map(|group| &group.known);
        for (key, known) in known.into_iter().flatten() {
            if sight.alerts.fires(*key) {
                continue;
            }
            if !self.owes(*key, known, sight) {
                untold += u32::from(!known.is_told);
                continue;
            }
            let resolved = sight.alerts.resolved(*key);
            let ended = resolved.and_then(|fed| fed.original.ends_at);
            let detail = resolved.map(|fed| &fed.detail).or(known.alert.detail.as_ref());
            let told = ToldAlert {
                starts_at: known.alert.starts_at,
                ends_at: Some(known.alert.ends_at.or(ended).unwrap_or(sight.now)),
                detail: detail.cloned(),
            };
            alerts.push((*key, told));
        }
        let labels = |alert: &ToldAlert| alert.detail.as_ref().map(|detail| detail.labels.clone());
        alerts.sort_by_cached_key(|(_, alert)| {
            let labels = labels(alert);
            (alert.ends_at.is_some(), labels.is_none(), labels)
        });
        let reason = self.news(key, sight).unwrap_or(Why::Repeat);
        Content { alerts, reason, untold }
    }

    /// The group whose turn it is; with `only_open`, of those that have an open notification.
    fn turn(&self, state: &NotifyState, now: Timestamp, only_open: bool) -> Option<&LabelSet> {
        if !self.is_free(state, now) {
            return None;
        }
        let mut due = self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, key)| key);
        due.find(|key| !only_open || open_of(self.group(key, state), state).is_some())
    }

    /// Whether there may be something to do.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let is_overdue = self.in_flight.is_some_and(|away| away.overdue <= now);
        is_overdue || self.due.first().is_some_and(|(at, _)| *at <= now)
    }

    /// Whether something may be sent.
    fn is_free(&self, state: &NotifyState, now: Timestamp) -> bool {
        self.in_flight.is_none() && self.held_until(state).is_none_or(|until| until <= now)
    }

    /// The group without an open notification that is due first, and when, if there is room for
    /// one. Nothing is decided for a receiver that said it is gone.
    fn undecided(&self, state: &NotifyState) -> Option<(Timestamp, &LabelSet)> {
        if !self.has_room(state) {
            return None;
        }
        let is_open = |key| open_of(self.group(key, state), state).is_some();
        let (at, key) = self.due.iter().find(|(_, key)| !is_open(key))?;
        let gone_until = state.receivers.get(&self.plan.name).and_then(|held| held.gone_until);
        Some((gone_until.map_or(*at, |until| until.max(*at)), key))
    }

    /// Whether another notification may be open.
    fn has_room(&self, state: &NotifyState) -> bool {
        let held = state.receivers.get(&self.plan.name);
        held.is_none_or(|held| held.open < OPEN && held.open_bytes < OPEN_BYTES)
    }

    /// Nothing is sent before.
    fn held_until(&self, state: &NotifyState) -> Option<Timestamp> {
        let held = state.receivers.get(&self.plan.name)?;
        held.not_before.max(held.gone_until)
    }

    pub(super) fn next_wakeup(&self, state: &NotifyState) -> Option<Timestamp> {
        let undecided = self.undecided(state).map(|(at, _)| at);
        let next = match &self.in_flight {
            Some(away) => Some(away.overdue),
            None => {
                let is_open = |key| open_of(self.group(key, state), state).is_some();
                let open = self.due.iter().find(|(_, key)| is_open(key)).map(|(at, _)| *at);
                open.map(|at| self.held_until(state).map_or(at, |until| until.max(at)))
            }
        };
        next.into_iter().chain(undecided).min()
    }

    pub(super) fn row(&self, state: &NotifyState) -> ReceiverRow {
        let held = state.receivers.get(&self.plan.name);
        ReceiverRow {
            plan: Arc::clone(&self.plan),
            not_before: held.and_then(|held| held.not_before),
            gone_until: held.and_then(|held| held.gone_until),
        }
    }

    pub(super) fn groups(&self, sight: Sight<'_>) -> Vec<GroupRow> {
        let keys: BTreeSet<&LabelSet> = self.keys(sight.state).collect();
        let row = |key: &LabelSet| {
            let group = self.group(key, sight.state);
            let known = group.into_iter().flat_map(|group| &group.known);
            GroupRow {
                receiver: Arc::clone(&self.plan.name),
                group: key.clone(),
                firing: self.members.get(key).into_iter().flatten().copied().collect(),
                told: known.filter(|(_, known)| known.is_told).map(|(key, _)| *key).collect(),
                next: self.due(key, sight).and_then(|(at, next)| {
                    let held = self.held_until(sight.state);
                    Some((held.map_or(at, |held| held.max(at)), next?))
                }),
            }
        };
        keys.into_iter().map(row).collect()
    }
}

impl Open {
    /// When the next attempt is due; one that was cut off is made again at once.
    fn retry_at(&self) -> Timestamp {
        let Some(last) = self.attempts.back() else { return self.intent.at };
        match &last.ended {
            None => last.at,
            Some((_, _, Verdict::Retry { at })) => *at,
            Some(_) => self.intent.deadline,
        }
    }
}

fn open_of<'a>(group: Option<&GroupState>, state: &'a NotifyState) -> Option<&'a Open> {
    state.open.get(&group?.open?)
}
