//! Own metrics of scrapes.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::register;
use crate::pure::scrape::Reason;
use crate::shell::targets::ScrapeTally;

/// Handles, registered.
#[derive(Clone, Debug)]
pub(super) struct ScrapeMetrics {
    targets: IntGauge,
    scrapes: IntCounter,
    failures: IntCounterVec,
    dropped: IntCounter,
    duplicates: IntCounter,
    times: IntCounter,
    refused: IntCounter,
}

impl ScrapeMetrics {
    pub(super) fn new(registry: &Registry) -> ScrapeMetrics {
        let counter = |name, help| {
            let counter = IntCounter::new(name, help).expect("invariant: the name is valid");
            register(registry, &counter);
            counter
        };
        let targets = IntGauge::new("bellwether_agent_scrape_targets", "Targets scraped now.");
        let targets = targets.expect("invariant: the name is valid");
        register(registry, &targets);
        let failures = Opts::new(
            "bellwether_agent_scrape_failures_total",
            "Scrapes that failed, by the kind of reason.",
        );
        let failures =
            IntCounterVec::new(failures, &["reason"]).expect("invariant: the name is valid");
        register(registry, &failures);
        for (_, word) in Reason::WORDS {
            failures.with_label_values(&[word]).inc_by(0);
        }
        ScrapeMetrics {
            targets,
            failures,
            scrapes: counter("bellwether_agent_scrapes_total", "Scrapes that have ended."),
            dropped: counter(
                "bellwether_agent_scrape_results_dropped_total",
                "Results of scrapes that were given up because newer ones waited for a tick too.",
            ),
            duplicates: counter(
                "bellwether_agent_scrape_samples_duplicate_total",
                "Samples of series that a page has twice; the first is taken.",
            ),
            times: counter(
                "bellwether_agent_scrape_timestamps_ignored_total",
                "Explicit timestamps of samples, which have that of their row.",
            ),
            refused: counter(
                "bellwether_agent_scrape_series_refused_total",
                "Samples left out because their series has too many or too long labels.",
            ),
        }
    }

    pub(super) fn count(&self, tally: &ScrapeTally) {
        self.targets.set(i64::try_from(tally.targets).unwrap_or(i64::MAX));
        self.scrapes.inc_by(tally.scrapes);
        self.dropped.inc_by(tally.dropped);
        self.duplicates.inc_by(tally.duplicates);
        self.times.inc_by(tally.times);
        self.refused.inc_by(tally.refused);
        for ((_, word), count) in Reason::WORDS.into_iter().zip(tally.failures) {
            if count > 0 {
                self.failures.with_label_values(&[word]).inc_by(count);
            }
        }
    }
}
