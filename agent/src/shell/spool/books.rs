//! The spool's account: counted where frames come, go and are acknowledged.

use bellwether_model::id::Seq;
use bellwether_model::time::Timestamp;
use bellwether_model::wire::envelope::{Skip, SkipReason};

use super::Spool;
use super::state::Declared;
use crate::pure::account::{Account, Count, DropReason, Tally};
use crate::pure::ship::backlog::Backlog;

impl Spool {
    /// What became of all that was collected.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// What is held for a collector.
    #[must_use]
    pub fn held(&self, collector: &str) -> Count {
        let cursor = self.cursors.get(collector);
        cursor.map_or_else(Count::default, |c| self.backlog.held(c.cursor, &c.skips))
    }

    /// The same, and when the oldest of it was made.
    #[must_use]
    pub fn waits(&self, collector: &str) -> (Count, Option<Timestamp>) {
        let at = self.cursors.get(collector);
        let oldest = at.and_then(|at| self.backlog.oldest_unacked(at.cursor, &at.skips));
        (self.held(collector), oldest)
    }

    /// Counts rows that were collected and never became a frame.
    pub fn never_made(&mut self, reason: DropReason, count: Count) {
        self.account.collect(count);
        self.account.drop(reason, count);
    }

    /// What damage has taken from the files is counted as lost.
    pub(super) fn reconcile(&mut self) {
        for (name, tally) in &mut self.account.collectors {
            let Some(at) = self.cursors.get(name) else { continue };
            let held = self.backlog.held(at.cursor, &at.skips);
            let missing = tally.outstanding().less(held);
            tally.drop(DropReason::Skipped(SkipReason::Corrupt), missing);
        }
    }
}

/// Counts what a collector's step from one cursor and its skips to the next has brought about,
/// frame by frame of those held.
pub(super) fn settle(
    tally: &mut Tally,
    backlog: &Backlog,
    old: &mut Declared,
    (cursor, skips): (Seq, &[Skip]),
) {
    let mut known = old.skips.clone();
    for skip in skips {
        let first = skip.first.max(Seq(old.cursor.0 + 1));
        let lost = backlog.count(first, skip.last, &known);
        tally.drop(DropReason::Skipped(skip.reason), lost);
        known.push(*skip);
    }
    if cursor >= old.cursor {
        tally.acked += backlog.count(Seq(old.cursor.0 + 1), cursor, &known);
        let is_passed = |skip: &Skip| skip.first <= cursor && !skips.contains(skip);
        old.passed.extend(known.into_iter().filter(is_passed));
        old.passed.retain(|skip| backlog.first().is_some_and(|first| skip.last >= first));
        return;
    }
    // What it had, or was told that it would not get, and is held still is owed again.
    for passed in &mut old.passed {
        let first = passed.first.max(Seq(cursor.0 + 1));
        let back = backlog.count(first, passed.last, &known);
        tally.take_back(DropReason::Skipped(passed.reason), back);
        known.push(*passed);
        passed.last = passed.last.min(cursor);
    }
    old.passed.retain(|passed| passed.first <= passed.last);
    let back = backlog.count(Seq(cursor.0 + 1), old.cursor, &known);
    tally.acked -= back;
    tally.returned += back;
}
