//! What the notifier has counted since its start.

use std::collections::BTreeMap;
use std::sync::Arc;

/// All counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// By receiver.
    pub receivers: BTreeMap<Arc<str>, ReceiverStats>,
    /// By Alertmanager.
    pub alertmanagers: BTreeMap<Arc<str>, PushStats>,
    /// Heartbeats sent.
    pub heartbeats: u64,
    /// Of these, not answered with 2xx.
    pub heartbeats_failed: u64,
    /// Alerts beyond the bound, not told, each time they came.
    pub alerts_refused: u64,
    /// Annotations and URLs that were cut.
    pub texts_cut: u64,
    /// Notifications whose body has long texts cut.
    pub bodies_cut: u64,
}

/// Of one receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiverStats {
    /// Notifications decided, by their reason.
    pub notifications: BTreeMap<&'static str, u64>,
    /// Attempts made.
    pub attempts: u64,
    /// Attempts of a notification of which an earlier one may have arrived.
    pub repeated: u64,
    /// Attempts that failed, by how.
    pub failed: BTreeMap<&'static str, u64>,
    /// Notifications delivered.
    pub delivered: u64,
    /// Notifications that gave way to a newer one of their group.
    pub superseded: u64,
    /// Notifications given up, by reason.
    pub given_up: BTreeMap<&'static str, u64>,
    /// Alerts that a body had no room for.
    pub truncated: u64,
    /// Alerts that fired and of which the receiver was never told.
    pub untold: u64,
    /// Milliseconds from deciding to delivery, of all that were delivered.
    pub delivery_millis: u64,
}

/// Of one Alertmanager.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushStats {
    /// Alerts in batches that were taken.
    pub sent: u64,
    /// Alerts in batches that were not.
    pub failed: u64,
    /// Alerts that had to leave the full queue.
    pub dropped: u64,
    /// Batches sent.
    pub batches: u64,
}

/// Counts, and how things stand: what becomes metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// The counts.
    pub stats: Stats,
    /// By name.
    pub receivers: BTreeMap<Arc<str>, ReceiverFigures>,
    /// Alerts that wait, by Alertmanager.
    pub queued: BTreeMap<Arc<str>, usize>,
}

/// How a receiver stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiverFigures {
    /// Notifications that are being tried.
    pub open: usize,
    /// It said that it is gone.
    pub is_gone: bool,
}
