//! Files of decision records on their way to the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::time::Timestamp;

use super::event::{Effect, KeepJob};

/// Until one that could not be written is tried again.
const PAUSE_MS: i64 = 30_000;

/// Files that are not known to be written.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    /// How many, by rollout.
    files: BTreeMap<Arc<str>, usize>,
    /// Those that could not be written, and when they are tried again; in that order.
    again: Vec<(Timestamp, KeepJob)>,
}

impl Keeping {
    /// Has a file written.
    pub(super) fn keep(&mut self, job: KeepJob, out: &mut Vec<Effect>) {
        *self.files.entry(Arc::clone(&job.rollout)).or_default() += 1;
        out.push(Effect::Keep(job));
    }

    /// A file is written, or could not be.
    pub(super) fn ended(&mut self, now: Timestamp, job: KeepJob, is_written: bool) {
        if !is_written {
            self.again.push((Timestamp(now.0.saturating_add(PAUSE_MS)), job));
        } else if let Some(files) = self.files.get_mut(&job.rollout) {
            *files -= 1;
            if *files == 0 {
                self.files.remove(&job.rollout);
            }
        }
    }

    /// Has those written whose time has come.
    pub(super) fn tick(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let due = self.again.partition_point(|(at, _)| *at <= now);
        out.extend(self.again.drain(..due).map(|(_, job)| Effect::Keep(job)));
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.files.values().sum()
    }

    /// Whether files of a rollout are on their way.
    pub(super) fn has(&self, rollout: &str) -> bool {
        self.files.contains_key(rollout)
    }

    /// When one is tried again.
    pub(super) fn next_wakeup(&self) -> Option<Timestamp> {
        self.again.first().map(|(at, _)| *at)
    }
}
