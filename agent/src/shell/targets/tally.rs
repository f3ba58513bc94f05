//! What came of scrapes, for the agent's own metrics.

use crate::pure::scrape::Reason;
use crate::pure::scrape::rows::Scrape;

/// Counts since they were last told; targets are those that there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrapeTally {
    /// Targets now.
    pub targets: usize,
    /// Scrapes that have ended.
    pub scrapes: u64,
    /// Those that failed, in the order of [`Reason::WORDS`].
    pub failures: [u64; Reason::WORDS.len()],
    /// Results that were given up, since newer ones waited or their target was gone.
    pub dropped: u64,
    /// Samples of a series that its page has twice.
    pub duplicates: u64,
    /// Explicit times that gave way to those of rows.
    pub times: u64,
    /// Series that were left out: too many labels, too long, or no room.
    pub refused: u64,
}

impl ScrapeTally {
    /// Counts a scrape.
    pub(super) fn count(&mut self, scrape: &Scrape) {
        self.scrapes += 1;
        if let Err(failure) = &scrape.result {
            let kinds = Reason::WORDS.iter().zip(&mut self.failures);
            for (_, count) in kinds.filter(|((reason, _), _)| *reason == failure.reason) {
                *count += 1;
            }
            return;
        }
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.duplicates += number(scrape.counts.duplicates);
        self.times += number(scrape.counts.times);
        self.refused += number(scrape.counts.refused);
    }

    /// Adds the counts of another.
    pub(super) fn add(&mut self, other: &ScrapeTally) {
        self.scrapes += other.scrapes;
        self.dropped += other.dropped;
        self.duplicates += other.duplicates;
        self.times += other.times;
        self.refused += other.refused;
        self.failures.iter_mut().zip(other.failures).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// Tells the counts and begins again.
    pub(super) fn take(&mut self) -> ScrapeTally {
        let targets = self.targets;
        std::mem::replace(self, ScrapeTally { targets, ..ScrapeTally::default() })
    }
}
