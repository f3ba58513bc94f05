//! What the guard has counted, as metrics.

use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};

use crate::pure::guard::report::GuardFigures;

const VALID: &str = "invariant: the name is valid";

/// Turns counts into metrics at each scrape.
pub(super) struct GuardMetrics(pub Arc<dyn Fn() -> GuardFigures + Send + Sync>);

impl GuardMetrics {
    pub(super) fn collect(&self) -> Vec<MetricFamily> {
        let GuardFigures { open, stats, records_waiting, signals_open, lanes } = (self.0)();
        let gauges = [
            ("rollouts_open", "Rollouts that are watched.", open),
            (
                "rollout_records_waiting",
                "Decision records whose file is not written.",
                records_waiting,
            ),
            ("signals_open", "Signals that are neither done nor given up.", signals_open),
        ];
        let counters = [
            ("rollouts_announced_total", "Announces taken.", stats.announced),
            ("rollouts_refused_total", "Announces refused.", stats.refused),
            ("rollouts_failed_total", "Rollouts whose canary has failed.", stats.failed),
            (
                "rollout_records_lost_total",
                "Decision records without a file that another key has signed.",
                stats.records_lost,
            ),
            ("rollout_seconds_judged_total", "Seconds of rollouts judged.", stats.seconds),
            ("signals_attempts_total", "Attempts to ask a hook.", lanes.attempts),
            (
                "signals_repeated_total",
                "Attempts of which an earlier one may have arrived.",
                lanes.repeated,
            ),
            ("signals_ignored_total", "Answers of hooks that said nothing new.", lanes.ignored),
            ("signals_bare_total", "Answers 2xx that said nothing.", lanes.bare),
            ("signals_refused_total", "Signals for which there was no room.", lanes.full),
        ];
        let reasons = stats.dropped.reasons().into_iter().collect();
        let labelled = [
            (
                "rollout_counts_dropped_total",
                "What rollouts' seconds leave out: samples, series, requests or seconds.",
                "reason",
                &reasons,
            ),
            ("signals_intended_total", "Signals decided.", "kind", &lanes.intended),
            ("signals_failed_attempts_total", "Attempts that failed.", "reason", &lanes.failed),
            ("signals_answers_total", "Answers of hooks.", "status", &lanes.answers),
            ("signals_closed_total", "Signals that are over.", "outcome", &lanes.closed),
        ];
        let mut families = Vec::new();
        for (name, help, value) in gauges {
            let gauge = IntGauge::new(format!("bellwether_{name}"), help).expect(VALID);
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            families.extend(gauge.collect());
        }
        for (name, help, value) in counters {
            let counter = IntCounter::new(format!("bellwether_{name}"), help).expect(VALID);
            counter.inc_by(value);
            families.extend(counter.collect());
        }
        for (name, help, label, values) in labelled {
            let options = Opts::new(format!("bellwether_{name}"), help);
            let counter = IntCounterVec::new(options, &[label]).expect(VALID);
            values.iter().for_each(|(of, value)| counter.with_label_values(&[*of]).inc_by(*value));
            families.extend(counter.collect());
        }
        families
    }
}
