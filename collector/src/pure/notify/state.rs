//! What the notifier remembers over a restart: the fold of its records.
//!
//! A group's alerts are *known* from the notification that tells them first to the delivery of the
//! one that tells their end. So an alert that fired in a notification which never arrived stays,
//! until a later notification of the group has told of it.

mod bytes;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::label::LabelSet;
use bellwether_model::time::Timestamp;

use super::record::{GiveUp, Intent, Outcome, Record, ToldAlert, Verdict, Why};

/// Notifications that have ended and are kept for `why`.
pub const HISTORY: usize = 1000;
/// How long they are kept.
pub const HISTORY_FOR: Duration = Duration::from_secs(24 * 3600);
/// Attempts kept of one notification, the newest.
pub const ATTEMPTS: usize = 16;
/// Alerts kept of a notification that has ended, by their labels.
const HISTORY_ALERTS: usize = 20;

/// The state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NotifyState {
    /// Notifications made so far.
    pub(super) made: u64,
    /// The latest time of any record.
    pub(super) latest: Timestamp,
    pub(super) receivers: BTreeMap<Arc<str>, ReceiverState>,
    /// By number.
    pub(super) open: BTreeMap<u64, Open>,
    /// The oldest first.
    pub(super) history: VecDeque<Arc<Finished>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ReceiverState {
    pub(super) groups: BTreeMap<LabelSet, GroupState>,
    /// It asked that nothing comes before.
    pub(super) not_before: Option<Timestamp>,
    /// It said that it is gone; it is tried again then.
    pub(super) gone_until: Option<Timestamp>,
    /// Its notifications that are being tried, and the bytes of their bodies.
    pub(super) open: usize,
    pub(super) open_bytes: usize,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct GroupState {
    pub(super) known: BTreeMap<u64, Known>,
    /// When its last notification was decided.
    pub(super) flushed_at: Timestamp,
    /// When one was delivered last.
    pub(super) told_at: Option<Timestamp>,
    /// The number of the notification that is being tried.
    pub(super) open: Option<u64>,
}

/// An alert that was in a notification of its group.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    /// As the newest notification has it.
    pub(super) alert: ToldAlert,
    /// Whether the receiver surely takes it for firing.
    pub(super) is_told: bool,
}

/// A notification that is being tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    /// The notification.
    pub intent: Arc<Intent>,
    /// All attempts made.
    pub tries: u32,
    /// The newest of them.
    pub attempts: VecDeque<Attempt>,
    /// An attempt that is not kept any more may have arrived.
    pub unsure: bool,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// When it was made.
    pub at: Timestamp,
    /// When, how, and what follows; `None`: on its way, or cut off by the end of the process.
    pub ended: Option<(Timestamp, Outcome, Verdict)>,
}

/// A notification that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// Its number.
    pub number: u64,
    /// What receivers know it by.
    pub id: String,
    /// Its receiver.
    pub receiver: Arc<str>,
    /// The labels of its alert group.
    pub group: LabelSet,
    /// When it was decided.
    pub made_at: Timestamp,
    /// Why then.
    pub reason: Why,
    /// What it told, by fingerprint.
    pub alerts: BTreeMap<u64, ToldAlert>,
    /// Alerts that it told and that are not kept here.
    pub more: u32,
    /// All attempts made.
    pub tries: u32,
    /// The newest of them.
    pub attempts: VecDeque<Attempt>,
    /// When it ended.
    pub at: Timestamp,
    /// How.
    pub end: End,
}

/// How a notification ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The receiver has it.
    Delivered,
    /// It is not tried any more.
    GaveUp(GiveUp),
    /// A newer one of its group, of this number, tells what it told.
    Superseded(u64),
}

impl Attempt {
    /// Whether the receiver may have it though it never said so.
    #[must_use]
    pub fn may_have_arrived(&self) -> bool {
        self.ended.as_ref().is_none_or(|(_, outcome, _)| outcome.may_have_arrived())
    }
}

impl Open {
    /// Whether an attempt may have arrived.
    #[must_use]
    pub fn may_have_arrived(&self) -> bool {
        self.unsure || self.attempts.iter().any(Attempt::may_have_arrived)
    }
}

impl NotifyState {
    /// Takes in one record. Records that do not fit the state change nothing.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Intent(intent) => self.intend(intent),
            Record::Attempt { number, attempt, at } => {
                self.see(*at);
                let Some(open) = self.open.get_mut(number) else { return };
                if open.attempts.len() == ATTEMPTS {
                    let oldest = open.attempts.pop_front();
                    open.unsure |= oldest.is_some_and(|attempt| attempt.may_have_arrived());
                }
                open.tries = open.tries.max(*attempt);
                open.attempts.push_back(Attempt { number: *attempt, at: *at, ended: None });
            }
            Record::Result { number, attempt, at, outcome, verdict } => {
                self.see(*at);
                self.end_attempt((*number, *attempt), *at, outcome, *verdict);
            }
            Record::GaveUp { number, at, reason } => {
                self.see(*at);
                self.finish(*number, *at, End::GaveUp(*reason));
            }
            Record::Settled { receiver, group, at, .. } => {
                self.see(*at);
                let held = self.receivers.get_mut(receiver).and_then(|r| r.groups.remove(group));
                if let Some(number) = held.and_then(|group| group.open) {
                    self.finish(number, *at, End::GaveUp(GiveUp::Outdated));
                }
            }
            Record::ReceiverGone { receiver, at } => {
                self.see(*at);
                let groups = self.receivers.remove(receiver).map(|held| held.groups);
                let open = groups.into_iter().flatten().filter_map(|(_, group)| group.open);
                for number in open.collect::<Vec<_>>() {
                    self.finish(number, *at, End::GaveUp(GiveUp::Removed));
                }
            }
            Record::ReceiverBack { receiver } => {
                if let Some(held) = self.receivers.get_mut(receiver) {
                    held.gone_until = None;
                }
            }
            Record::ClockBack { at } => self.set_back(*at),
        }
    }

    fn see(&mut self, at: Timestamp) {
        self.latest = self.latest.max(at);
        let oldest = at.saturating_sub(HISTORY_FOR);
        while self.history.front().is_some_and(|finished| finished.at < oldest) {
            self.history.pop_front();
        }
    }

    fn intend(&mut self, intent: &Arc<Intent>) {
        self.see(intent.at);
        self.made = self.made.max(intent.number);
        let group = |state: &mut NotifyState| {
            let receiver = state.receivers.entry(Arc::clone(&intent.receiver)).or_default();
            receiver.groups.get(&intent.group).and_then(|group| group.open)
        };
        if let Some(older) = group(self) {
            self.finish(older, intent.at, End::Superseded(intent.number));
        }
        let receiver = self.receivers.entry(Arc::clone(&intent.receiver)).or_default();
        let group = receiver.groups.entry(intent.group.clone()).or_default();
        let known = |(fingerprint, alert): (&u64, &ToldAlert)| {
            let is_told = group.known.get(fingerprint).is_some_and(|known| known.is_told);
            (*fingerprint, Known { alert: alert.clone(), is_told })
        };
        group.known = intent.alerts.iter().map(known).collect();
        group.flushed_at = intent.at;
        group.open = Some(intent.number);
        let intent = Arc::clone(intent);
        let open = Open { intent, tries: 0, attempts: VecDeque::new(), unsure: false };
        self.put_open(open);
    }

    /// Adds an open notification; receivers count theirs.
    fn put_open(&mut self, open: Open) {
        if let Some(receiver) = self.receivers.get_mut(&open.intent.receiver) {
            receiver.open += 1;
            receiver.open_bytes += open.intent.body.len();
        }
        if let Some(other) = self.open.insert(open.intent.number, open) {
            self.uncount(&other.intent);
        }
    }

    fn uncount(&mut self, intent: &Intent) {
        if let Some(receiver) = self.receivers.get_mut(&intent.receiver) {
            receiver.open = receiver.open.saturating_sub(1);
            receiver.open_bytes = receiver.open_bytes.saturating_sub(intent.body.len());
        }
    }

    fn end_attempt(
        &mut self,
        (number, attempt): (u64, u32),
        at: Timestamp,
        outcome: &Outcome,
        verdict: Verdict,
    ) {
        let Some(open) = self.open.get_mut(&number) else { return };
        let Some(held) = open.attempts.iter_mut().find(|held| held.number == attempt) else {
            return;
        };
        held.ended = Some((at, outcome.clone(), verdict));
        let Some(receiver) = self.receivers.get_mut(&open.intent.receiver) else { return };
        match verdict {
            Verdict::Retry { at } if outcome.asks_to_wait() => receiver.not_before = Some(at),
            Verdict::Retry { .. } | Verdict::Final => {}
            Verdict::Gone { until } => receiver.gone_until = Some(until),
            Verdict::Delivered => {
                receiver.gone_until = None;
                let key = open.intent.group.clone();
                let Some(group) = receiver.groups.get_mut(&key) else { return };
                group.known.retain(|_, known| known.alert.ends_at.is_none());
                group.known.values_mut().for_each(|known| known.is_told = true);
                group.told_at = Some(at);
                group.open = None;
                if group.known.is_empty() {
                    receiver.groups.remove(&key);
                }
                self.finish(number, at, End::Delivered);
            }
        }
    }

    /// Moves an open notification to the history.
    fn finish(&mut self, number: u64, at: Timestamp, end: End) {
        let Some(open) = self.open.remove(&number) else { return };
        self.uncount(&open.intent);
        let unsure = end != End::Delivered && open.may_have_arrived();
        let Open { intent, tries, attempts, .. } = open;
        let receiver = self.receivers.get_mut(&intent.receiver);
        if let Some(group) = receiver.and_then(|held| held.groups.get_mut(&intent.group)) {
            if group.open == Some(number) {
                group.open = None;
            }
            // Where an end may have arrived, the receiver may not take the alert for firing.
            let ended = intent.alerts.iter().filter(|(_, alert)| alert.ends_at.is_some());
            for (fingerprint, _) in ended.filter(|_| unsure) {
                if let Some(known) = group.known.get_mut(fingerprint) {
                    known.is_told = false;
                }
            }
        }
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        let told = intent.alerts.len();
        let kept = intent.alerts.iter().filter_map(|(key, alert)| Some((*key, alert.named()?)));
        let alerts: BTreeMap<u64, ToldAlert> = kept.take(HISTORY_ALERTS).collect();
        self.history.push_back(Arc::new(Finished {
            number,
            id: intent.id.clone(),
            receiver: Arc::clone(&intent.receiver),
            group: intent.group.clone(),
            made_at: intent.at,
            reason: intent.reason,
            more: u32::try_from(told - alerts.len()).unwrap_or(u32::MAX),
            alerts,
            tries,
            attempts,
            at,
            end,
        }));
    }

    /// Moves all times that count by as much as the clock was set back.
    fn set_back(&mut self, now: Timestamp) {
        let by = self.latest.millis_since(now);
        if by <= 0 {
            return;
        }
        let back = |at: &mut Timestamp| at.0 = at.0.saturating_sub(by);
        back(&mut self.latest);
        for receiver in self.receivers.values_mut() {
            receiver.not_before.iter_mut().chain(&mut receiver.gone_until).for_each(back);
            for group in receiver.groups.values_mut() {
                back(&mut group.flushed_at);
                group.told_at.iter_mut().for_each(back);
            }
        }
        for open in self.open.values_mut() {
            let mut intent = Intent::clone(&open.intent);
            back(&mut intent.at);
            back(&mut intent.deadline);
            open.intent = Arc::new(intent);
            for attempt in &mut open.attempts {
                back(&mut attempt.at);
                if let Some((ended, _, Verdict::Retry { at })) = &mut attempt.ended {
                    back(ended);
                    back(at);
                }
            }
        }
    }
}
