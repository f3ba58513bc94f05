//! A group's turn: a notification made, tried, given up, or nothing left to tell.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::label::LabelSet;
use bellwether_model::time::Timestamp;

use super::super::event::{Delivery, Effect, GivenUp, Request, Ticket};
use super::super::record::{GiveUp, Intent, Outcome, Record, ToldAlert, Verdict};
use super::super::state::Open;
use super::super::stats::ReceiverStats;
use super::super::{ALERTS, GRACE, Notifier, answer, body, no_outcome};
use super::{Content, InFlight, Lane, Sight, open_of};

/// Groups of one receiver. What fires has room for as many as there are alerts; the rest are owed.
const GROUPS: usize = 2 * ALERTS;

impl Notifier {
    /// Gives turns until something is on its way or nothing is due.
    pub(in super::super) fn run_lane(
        &mut self,
        name: &Arc<str>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let away = self.lanes.get(name).and_then(|lane| lane.in_flight);
        if let Some(away) = away.filter(|away| away.overdue <= now) {
            self.attempted(now, (name, away.number, away.attempt), no_outcome(), effects);
        }
        loop {
            let next = self.next_turn(name, now).or_else(|| self.undecided(name, now));
            let Some(key) = next else { return };
            self.turn(name, &key, now, effects);
        }
    }

    /// A group that is due and has no open notification. One is made also where it cannot be sent
    /// yet: what fires while a receiver is away and ends before it is back must not be forgotten.
    fn undecided(&self, name: &Arc<str>, now: Timestamp) -> Option<LabelSet> {
        let due = self.lanes.get(name)?.undecided(&self.state).filter(|(at, _)| *at <= now);
        due.map(|(_, key)| key.clone())
    }

    fn next_turn(&self, name: &Arc<str>, now: Timestamp) -> Option<LabelSet> {
        let lane = self.lanes.get(name)?;
        let first = lane.turn(&self.state, now, false)?;
        let is_open = open_of(lane.group(first, &self.state), &self.state).is_some();
        if is_open || lane.has_room(&self.state) {
            return Some(first.clone());
        }
        lane.turn(&self.state, now, true).cloned()
    }

    fn turn(&mut self, name: &Arc<str>, key: &LabelSet, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(lane) = self.lanes.get(name) else { return };
        let sight = self.sight(now);
        let open = open_of(lane.group(key, &self.state), &self.state);
        let replaced = open.map(|open| open.intent.number);
        if let Some(open) = open {
            let number = open.intent.number;
            if open.intent.deadline <= now {
                self.give_up(number, now, GiveUp::Deadline, effects);
                return self.replan(name, key, now);
            }
            if !lane.is_stale(open, key, sight) {
                return self.attempt(name, number, now, effects);
            }
        }
        let content = lane.content(key, sight);
        let untold = u64::from(content.untold);
        if content.alerts.is_empty() {
            let (receiver, group) = (Arc::clone(name), key.clone());
            let untold = content.untold;
            replaced.into_iter().for_each(|n| self.tell_given_up(n, GiveUp::Outdated, effects));
            self.record(Record::Settled { receiver, group, at: now, untold }, effects);
        } else {
            self.make_room_for(name, key, now, effects);
            let (intent, is_brief) = self.intent(name, key, now, content);
            self.stats.bodies_cut += u64::from(is_brief);
            let (number, truncated) = (intent.number, u64::from(intent.truncated));
            let stats = self.receiver_stats(name);
            *stats.notifications.entry(intent.reason.as_str()).or_default() += 1;
            stats.truncated += truncated;
            stats.superseded += u64::from(replaced.is_some());
            self.record(Record::Intent(Arc::new(intent)), effects);
            if self.lanes.get(name).is_some_and(|lane| lane.is_free(&self.state, now)) {
                self.attempt(name, number, now, effects);
            }
        }
        self.receiver_stats(name).untold += untold;
        self.replan(name, key, now);
    }

    /// The notification of a group, and whether texts of its body are cut.
    fn intent(
        &self,
        name: &Arc<str>,
        key: &LabelSet,
        now: Timestamp,
        content: Content,
    ) -> (Intent, bool) {
        let Lane { plan, .. } = self.lanes.get(name).expect("invariant: its turn");
        let Content { alerts, reason, .. } = content;
        let listed: Vec<_> = alerts
            .iter()
            .filter_map(|(key, alert)| Some((*key, alert, alert.detail.as_deref()?)))
            .collect();
        let more = alerts.len() - listed.len();
        let body = body::webhook(plan, key, &self.plan.external_url, (&listed, more));
        let held: Vec<u64> = listed.iter().take(body.held).map(|(key, _, _)| *key).collect();
        let truncated = alerts.len() - held.len();
        let number = self.state.made + 1;
        let mut told: BTreeMap<u64, ToldAlert> = alerts.into_iter().take(ALERTS).collect();
        let mut shown = BTreeMap::new();
        for key in held {
            shown.extend(told.remove(&key).map(|alert| (key, alert)));
        }
        // What the body has no room for is remembered, but not by all its words.
        told.values_mut().for_each(|alert| alert.detail = None);
        told.append(&mut shown);
        let intent = Intent {
            number,
            id: format!("msg_{}_{number}_{:x}", self.store, now.0),
            receiver: Arc::clone(name),
            group: key.clone(),
            at: now,
            deadline: now.saturating_add(plan.deadline),
            reason,
            body: body.bytes.into(),
            truncated: u32::try_from(truncated).unwrap_or(u32::MAX),
            alerts: told,
        };
        (intent, body.is_brief)
    }

    /// Groups that only owe give way to new ones, the oldest first.
    fn make_room_for(
        &mut self,
        name: &Arc<str>,
        key: &LabelSet,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let (Some(held), Some(lane)) = (self.state.receivers.get(name), self.lanes.get(name))
        else {
            return;
        };
        if held.groups.len() < GROUPS || held.groups.contains_key(key) {
            return;
        }
        let owing = held
            .groups
            .iter()
            .filter(|(key, group)| !lane.members.contains_key(*key) && group.open.is_none());
        let Some((oldest, group)) = owing.min_by_key(|(_, group)| group.flushed_at) else { return };
        let untold = group.known.values().filter(|known| !known.is_told).count();
        let untold = u32::try_from(untold).unwrap_or(u32::MAX);
        let (receiver, group) = (Arc::clone(name), oldest.clone());
        self.receiver_stats(name).untold += u64::from(untold);
        let settled = Record::Settled { receiver, group: group.clone(), at: now, untold };
        self.record(settled, effects);
        self.replan(name, &group, now);
    }

    fn attempt(&mut self, name: &Arc<str>, number: u64, now: Timestamp, effects: &mut Vec<Effect>) {
        let open = self.state.open.get(&number).expect("invariant: an open notification");
        let (attempt, repeated) = (open.tries.saturating_add(1), open.may_have_arrived());
        let intent = Arc::clone(&open.intent);
        self.record(Record::Attempt { number, attempt, at: now }, effects);
        let stats = self.receiver_stats(name);
        stats.attempts += 1;
        stats.repeated += u64::from(repeated);
        let lane = self.lanes.get_mut(name).expect("invariant: its turn");
        let overdue = now.saturating_add(lane.plan.endpoint.timeout + GRACE);
        lane.in_flight = Some(InFlight { number, attempt, overdue });
        let to = Arc::clone(&lane.plan);
        let (id, body) = (intent.id.clone(), Arc::clone(&intent.body));
        effects.push(Effect::Send(Delivery {
            ticket: Ticket::Notification { receiver: Arc::clone(name), number, attempt },
            request: Request::Webhook { to, id, body, repeated },
        }));
        self.replan(name, &intent.group, now);
    }

    /// Takes the outcome of an attempt.
    pub(in super::super) fn attempted(
        &mut self,
        now: Timestamp,
        (name, number, attempt): (&Arc<str>, u64, u32),
        outcome: Outcome,
        effects: &mut Vec<Effect>,
    ) {
        let Some(lane) = self.lanes.get_mut(name) else { return };
        let is_it = |away: &InFlight| (away.number, away.attempt) == (number, attempt);
        if !lane.in_flight.as_ref().is_some_and(is_it) {
            return;
        }
        lane.in_flight = None;
        let plan = Arc::clone(&lane.plan);
        let Some(open) = self.state.open.get(&number) else { return };
        let intent = Arc::clone(&open.intent);
        let verdict = answer::verdict(&outcome, &plan, &intent, attempt, now);
        let stats = self.receiver_stats(name);
        if verdict == Verdict::Delivered {
            stats.delivered += 1;
            let millis = now.millis_since(intent.at).max(0);
            stats.delivery_millis += millis.unsigned_abs();
        } else {
            *stats.failed.entry(outcome.failure()).or_default() += 1;
        }
        self.record(Record::Result { number, attempt, at: now, outcome, verdict }, effects);
        match verdict {
            Verdict::Final => self.give_up(number, now, GiveUp::Refused, effects),
            Verdict::Gone { .. } => self.give_up(number, now, GiveUp::Gone, effects),
            Verdict::Delivered | Verdict::Retry { .. } => {}
        }
        self.replan(name, &intent.group, now);
    }

    fn give_up(&mut self, number: u64, now: Timestamp, reason: GiveUp, effects: &mut Vec<Effect>) {
        self.tell_given_up(number, reason, effects);
        self.record(Record::GaveUp { number, at: now, reason }, effects);
    }

    /// Counts and tells that an open notification is about to end undelivered.
    pub(in super::super) fn tell_given_up(
        &mut self,
        number: u64,
        reason: GiveUp,
        effects: &mut Vec<Effect>,
    ) {
        let Some(Open { intent, .. }) = self.state.open.get(&number) else { return };
        let (receiver, id) = (Arc::clone(&intent.receiver), intent.id.clone());
        // A receiver that is not configured any more has no counts.
        if let Some(stats) = self.stats.receivers.get_mut(&receiver) {
            *stats.given_up.entry(reason.as_str()).or_default() += 1;
        }
        effects.push(Effect::GaveUp(GivenUp { receiver, id, reason }));
    }

    fn replan(&mut self, name: &Arc<str>, key: &LabelSet, now: Timestamp) {
        let Notifier { state, alerts, restored, .. } = self;
        let sight = Sight { state, alerts, restored: *restored, now };
        if let Some(lane) = self.lanes.get_mut(name) {
            lane.plan_group(key, sight);
        }
    }

    fn receiver_stats(&mut self, name: &Arc<str>) -> &mut ReceiverStats {
        self.stats.receivers.entry(Arc::clone(name)).or_default()
    }
}
