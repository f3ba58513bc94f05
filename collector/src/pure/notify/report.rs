//! What is known of alerts and of what was told of them, for the API. The control thread makes it
//! and publishes it whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::label::LabelSet;
use bellwether_model::time::Timestamp;
use bellwether_rules::alert::AlertState;

use super::event::RuleRef;
use super::plan::ReceiverPlan;
use super::record::{Outcome, Why};
use super::state::{Finished, Open};

/// Everything that `alert list` and `why` answer from.
#[derive(Clone, Debug, Default)]
pub struct AlertsReport {
    /// When it was made.
    pub at: Timestamp,
    /// All alerting rules, whether something is active or not.
    pub rules: Vec<Arc<RuleRow>>,
    /// What was told.
    pub notify: NotifyReport,
}

/// An alerting rule and its alerts.
#[derive(Clone, Debug)]
pub struct RuleRow {
    /// Which rule.
    pub rule: RuleRef,
    /// Its line in the file, from 1.
    pub line: usize,
    /// The expression as Prometheus prints it.
    pub expr: String,
    /// Between evaluations.
    pub interval: Duration,
    /// How long the condition must hold.
    pub hold: Duration,
    /// How long it fires on.
    pub keep_firing_for: Duration,
    /// The last slot it was evaluated at.
    pub evaluated_at: Option<Timestamp>,
    /// Why that failed.
    pub error: Option<String>,
    /// Active ones, and resolved ones that are remembered.
    pub alerts: Vec<AlertRow>,
}

/// An alert as its rule has it.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRow {
    /// Without external labels.
    pub labels: LabelSet,
    /// Texts for people.
    pub annotations: BTreeMap<String, String>,
    /// `Inactive` of one that is resolved.
    pub state: AlertState,
    /// The expression's value.
    pub value: f64,
    /// Since when the condition holds.
    pub active_at: Timestamp,
    /// Since when it fires.
    pub fired_at: Option<Timestamp>,
    /// When it was resolved.
    pub resolved_at: Option<Timestamp>,
}

/// What the notifier knows.
#[derive(Clone, Debug, Default)]
pub struct NotifyReport {
    /// By name.
    pub receivers: Vec<ReceiverRow>,
    /// Of all receivers, in their order.
    pub groups: Vec<GroupRow>,
    /// Notifications that are being tried.
    pub open: Vec<Open>,
    /// Notifications that have ended, the oldest first.
    pub history: Vec<Arc<Finished>>,
    /// In the order of the file.
    pub alertmanagers: Vec<AlertmanagerRow>,
    /// If one is configured.
    pub heartbeat: Option<HeartbeatRow>,
    /// Added to alerts that lack them.
    pub external_labels: LabelSet,
}

/// A receiver.
#[derive(Clone, Debug)]
pub struct ReceiverRow {
    /// How it is configured.
    pub plan: Arc<ReceiverPlan>,
    /// It asked that nothing comes before.
    pub not_before: Option<Timestamp>,
    /// It said that it is gone, and is tried again then.
    pub gone_until: Option<Timestamp>,
}

/// An alert group of a receiver.
#[derive(Clone, Debug)]
pub struct GroupRow {
    /// Whose.
    pub receiver: Arc<str>,
    /// Its labels.
    pub group: LabelSet,
    /// Fingerprints of what fires.
    pub firing: Vec<u64>,
    /// Fingerprints of what the receiver takes for firing.
    pub told: Vec<u64>,
    /// What comes next, and when.
    pub next: Option<(Timestamp, Next)>,
}

/// What comes next in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A notification.
    Notify(Why),
    /// Another attempt.
    Retry,
}

/// An Alertmanager.
#[derive(Clone, Debug)]
pub struct AlertmanagerRow {
    /// Its name.
    pub name: Arc<str>,
    /// Alerts that wait.
    pub queued: usize,
    /// How the last batch went.
    pub last: Option<(Timestamp, Outcome)>,
}

/// The heartbeat.
#[derive(Clone, Debug)]
pub struct HeartbeatRow {
    /// How often.
    pub every: Duration,
    /// When it was sent last.
    pub sent_at: Option<Timestamp>,
    /// How the last one went.
    pub last: Option<(Timestamp, Outcome)>,
}
