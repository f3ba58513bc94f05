//! Pushing to existing Alertmanagers as Prometheus does (`rules/alerting.go`, `notifier/`), and the
//! heartbeat. Neither is journaled.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::time::Timestamp;

use super::GRACE;
use super::alerts::{Fed, Held};
use super::body;
use super::event::{Delivery, Request, Ticket};
use super::plan::{AlertmanagerPlan, HeartbeatPlan};
use super::record::Outcome;
use super::report::{AlertmanagerRow, HeartbeatRow};
use super::stats::PushStats;

/// Alerts that wait for one Alertmanager; the oldest leave first.
pub const QUEUE: usize = 10_000;
/// Alerts in one request.
const BATCH: usize = 256;
/// From one sending of an alert to the next.
const RESEND: Duration = Duration::from_secs(60);

/// Whether an alert of a rule is to be pushed at a slot, and when it then ends: when it was
/// resolved, or four times as far ahead as it is sent again.
pub(super) fn due(held: &Held, interval: Duration, slot: Timestamp) -> Option<Timestamp> {
    let alert = &held.alert.original;
    let is_due = held.pushed_at.is_none_or(|at| {
        alert.ends_at.is_some_and(|ended| ended > at) || at.saturating_add(RESEND) < slot
    });
    let valid_until = slot.saturating_add(interval.max(RESEND) * 4);
    is_due.then(|| alert.ends_at.unwrap_or(valid_until))
}

/// The queue of one Alertmanager.
#[derive(Debug)]
pub(super) struct Pusher {
    plan: Arc<AlertmanagerPlan>,
    queue: VecDeque<(Arc<Fed>, Timestamp)>,
    /// The batch on its way, how many alerts are in it, and when its outcome is overdue.
    in_flight: Option<(u64, usize, Timestamp)>,
    batches: u64,
    last: Option<(Timestamp, Outcome)>,
}

impl Pusher {
    /// With the queue of the one before it, if there was one.
    pub(super) fn new(plan: Arc<AlertmanagerPlan>, before: Option<Pusher>) -> Pusher {
        match before {
            Some(before) => Pusher { plan, ..before },
            None => {
                Pusher { plan, queue: VecDeque::new(), in_flight: None, batches: 0, last: None }
            }
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.plan.name
    }

    /// Alerts that wait.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Queues an alert; returns how many had to leave for it.
    pub(super) fn take(&mut self, alert: &Arc<Fed>, ends_at: Timestamp) -> u64 {
        let is_full = self.queue.len() >= QUEUE;
        if is_full {
            self.queue.pop_front();
        }
        self.queue.push_back((Arc::clone(alert), ends_at));
        u64::from(is_full)
    }

    /// The next batch, if none is on its way.
    pub(super) fn run(&mut self, now: Timestamp, stats: &mut PushStats) -> Option<Delivery> {
        if self.in_flight.is_some() || self.queue.is_empty() {
            return None;
        }
        let size = self.queue.len().min(BATCH);
        let batch: Vec<(Arc<Fed>, Timestamp)> = self.queue.drain(..size).collect();
        let alerts = batch.iter().map(|(fed, ends)| (&*fed.detail, fed.original.starts_at, *ends));
        let body = body::alerts(alerts).into();
        self.batches += 1;
        stats.batches += 1;
        let overdue = now.saturating_add(self.plan.endpoint.timeout + GRACE);
        self.in_flight = Some((self.batches, size, overdue));
        let ticket = Ticket::Push { alertmanager: Arc::clone(self.name()), batch: self.batches };
        let request = Request::Push { to: Arc::clone(&self.plan), body };
        Some(Delivery { ticket, request })
    }

    /// The batch whose outcome should have come.
    pub(super) fn overdue(&self, now: Timestamp) -> Option<u64> {
        self.in_flight.filter(|(_, _, overdue)| *overdue <= now).map(|(batch, _, _)| batch)
    }

    pub(super) fn ended(
        &mut self,
        now: Timestamp,
        batch: u64,
        outcome: Outcome,
        stats: &mut PushStats,
    ) {
        let Some((_, size, _)) = self.in_flight.filter(|(number, _, _)| *number == batch) else {
            return;
        };
        self.in_flight = None;
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        if outcome.is_success() {
            stats.sent += size;
        } else {
            stats.failed += size;
        }
        self.last = Some((now, outcome));
    }

    pub(super) fn next_wakeup(&self) -> Option<Timestamp> {
        self.in_flight.map(|(_, _, overdue)| overdue)
    }

    pub(super) fn row(&self) -> AlertmanagerRow {
        let (name, queued, last) = (Arc::clone(self.name()), self.queue.len(), self.last.clone());
        AlertmanagerRow { name, queued, last }
    }
}

/// The heartbeat: one call each period in which rules were evaluated.
#[derive(Debug, Default)]
pub(super) struct Beat {
    plan: Option<Arc<HeartbeatPlan>>,
    /// Rules were evaluated since the last call.
    is_alive: bool,
    sent_at: Option<Timestamp>,
    in_flight: Option<(u64, Timestamp)>,
    beats: u64,
    last: Option<(Timestamp, Outcome)>,
}

impl Beat {
    pub(super) fn set_plan(&mut self, plan: Option<Arc<HeartbeatPlan>>) {
        self.plan = plan;
    }

    pub(super) fn alive(&mut self) {
        self.is_alive = true;
    }

    fn due(&self) -> Option<Timestamp> {
        let plan = self.plan.as_ref().filter(|_| self.is_alive && self.in_flight.is_none())?;
        Some(self.sent_at.map_or(Timestamp::MIN, |at| at.saturating_add(plan.every)))
    }

    pub(super) fn run(&mut self, now: Timestamp) -> Option<Delivery> {
        self.due().filter(|due| *due <= now)?;
        let to = Arc::clone(self.plan.as_ref()?);
        self.is_alive = false;
        self.sent_at = Some(now);
        self.beats += 1;
        self.in_flight = Some((self.beats, now.saturating_add(to.endpoint.timeout + GRACE)));
        let ticket = Ticket::Heartbeat { beat: self.beats };
        Some(Delivery { ticket, request: Request::Heartbeat { to } })
    }

    pub(super) fn overdue(&self, now: Timestamp) -> Option<u64> {
        self.in_flight.filter(|(_, overdue)| *overdue <= now).map(|(beat, _)| beat)
    }

    /// Whether it failed.
    pub(super) fn ended(&mut self, now: Timestamp, beat: u64, outcome: Outcome) -> bool {
        if self.in_flight.is_none_or(|(number, _)| number != beat) {
            return false;
        }
        self.in_flight = None;
        let failed = !outcome.is_success();
        self.last = Some((now, outcome));
        failed
    }

    pub(super) fn next_wakeup(&self) -> Option<Timestamp> {
        self.due().or(self.in_flight.map(|(_, overdue)| overdue))
    }

    pub(super) fn row(&self) -> Option<HeartbeatRow> {
        let plan = self.plan.as_ref()?;
        Some(HeartbeatRow { every: plan.every, sent_at: self.sent_at, last: self.last.clone() })
    }
}
