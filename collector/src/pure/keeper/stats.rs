//! What a keeper counts.

use std::collections::BTreeMap;

/// What the keeper has counted since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeeperStats {
    /// Frames applied.
    pub frames: u64,
    /// Frames that had been applied before.
    pub duplicates: u64,
    /// Samples given to the store.
    pub samples: u64,
    /// Samples stamped too far ahead of their arrival, not stored.
    pub samples_ahead: u64,
    /// Columns refused, each time they were described, by reason.
    pub refused_columns: BTreeMap<&'static str, u64>,
    /// Samples of applied frames whose column was refused.
    pub samples_unplaced: u64,
    /// Samples of applied frames not newer than the last row of their group.
    pub samples_out_of_order: u64,
    /// Numbers that agents declared as never to come, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Frames in the journal that corruption has taken, or that could not be decoded again.
    pub lost_frames: u64,
    /// Evaluations in the journal that build on one that corruption has taken.
    pub lost_evaluations: u64,
    /// Series of rules that were refused.
    pub refused_series: u64,
    /// Hosts whose agents live by their last word, and are behind.
    pub hosts_late: u64,
    /// Whether the date is too far ahead of what it was for samples to expire by it.
    pub date_doubted: bool,
    /// Checkpoints written.
    pub checkpoints: u64,
    /// Checkpoints put off for want of space.
    pub checkpoints_failed: u64,
    /// Newest less oldest of the last frame's receipt and its complete-through, in ms.
    pub lag_millis: i64,
}
