//! What the notifier is told, and what it has others do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::label::LabelSet;
use bellwether_model::time::Timestamp;

use super::super::guard::lane::effect::SignalDelivery;
use super::plan::{AlertmanagerPlan, HeartbeatPlan, ReceiverPlan};
use super::record::{GiveUp, Outcome, Record};

/// An alerting rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleRef {
    /// The rule file as configured.
    pub file: Arc<str>,
    /// The rule group.
    pub group: Arc<str>,
    /// The alert's name.
    pub alert: Arc<str>,
    /// Its number in the group, which it keeps where a reload moves it to another place.
    pub number: usize,
}

/// An alert that fires, or is resolved and remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertNow {
    /// Its identity, `alertname` among them; without external labels.
    pub labels: LabelSet,
    /// Texts for people.
    pub annotations: BTreeMap<String, String>,
    /// The expression's value.
    pub value: f64,
    /// Since when it fires; the same after a restart.
    pub starts_at: Timestamp,
    /// When it was resolved.
    pub ends_at: Option<Timestamp>,
    /// A page that shows the expression.
    pub generator_url: String,
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A rule's slot: all its alerts that fire, or are resolved and remembered; as they were where
    /// the rule has failed. After a start the same comes once of each rule, from the restored
    /// states.
    Rule {
        /// Which rule.
        rule: RuleRef,
        /// Between its evaluations.
        interval: Duration,
        /// When it was evaluated, well or not.
        slot: Timestamp,
        /// By labels, each once; never pending.
        alerts: Vec<AlertNow>,
    },
    /// A rule is no more: what fires of it is resolved.
    RuleGone {
        /// Which rule.
        rule: RuleRef,
    },
    /// After a start: all rules have been told once. Before it, nothing that was told earlier is
    /// taken for resolved.
    Restored,
    /// Rules are being evaluated.
    Alive,
    /// A timer.
    Tick,
    /// A delivery has ended.
    Delivered {
        /// Which.
        ticket: Ticket,
        /// How.
        outcome: Outcome,
    },
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// To be journaled, in order.
    Record(Record),
    /// To be sent once all records before it are synced.
    Send(Delivery),
    /// A person may have to know: a notification is not tried any more.
    GaveUp(GivenUp),
}

/// A notification that is not tried any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// Its receiver.
    pub receiver: Arc<str>,
    /// What receivers know it by.
    pub id: String,
    /// Why.
    pub reason: GiveUp,
}

/// Which delivery an outcome is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ticket {
    /// An attempt of a notification.
    Notification {
        /// Its receiver.
        receiver: Arc<str>,
        /// The notification's number.
        number: u64,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// A batch of alerts to an Alertmanager.
    Push {
        /// Its name.
        alertmanager: Arc<str>,
        /// The number of the batch since the start.
        batch: u64,
    },
    /// The heartbeat.
    Heartbeat {
        /// Its number since the start.
        beat: u64,
    },
    /// An attempt of a signal: the guard's, not the notifier's.
    Signal {
        /// The signal's number.
        signal: u64,
        /// Which attempt, from 1.
        attempt: u32,
    },
}

/// Something to be sent. At most one of each receiver, Alertmanager and heartbeat is on its way.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Comes back with the outcome.
    pub ticket: Ticket,
    /// What is sent, and where.
    pub request: Request,
}

/// The kinds of deliveries.
#[derive(Clone, Debug)]
pub enum Request {
    /// A notification as a webhook.
    Webhook {
        /// Where.
        to: Arc<ReceiverPlan>,
        /// The notification's id, the same at each attempt.
        id: String,
        /// The body, the same at each attempt.
        body: Arc<[u8]>,
        /// Whether an earlier attempt may have arrived.
        repeated: bool,
    },
    /// Alerts to an Alertmanager.
    Push {
        /// Where.
        to: Arc<AlertmanagerPlan>,
        /// The body.
        body: Arc<[u8]>,
    },
    /// A call without a body.
    Heartbeat {
        /// Where.
        to: Arc<HeartbeatPlan>,
    },
    /// A signal to a deploy hook; what it answers is kept.
    Signal(SignalDelivery),
}

impl From<SignalDelivery> for Delivery {
    fn from(delivery: SignalDelivery) -> Delivery {
        let SignalDelivery { signal, attempt, .. } = delivery;
        Delivery { ticket: Ticket::Signal { signal, attempt }, request: Request::Signal(delivery) }
    }
}
