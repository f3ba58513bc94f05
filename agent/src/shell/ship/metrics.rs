//! The account of shipping, as metrics.

use std::sync::Arc;

use bellwether_model::id::Seq;
use bellwether_model::wire::answer::Case;
use bellwether_model::wire::envelope::{Skip, SkipReason};
use bellwether_platform::clock::Clock;
use prometheus::core::Collector;
use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::tallies::Tallies;
use crate::pure::input::own::Figures;
use crate::shell::spool::Spool;

/// Handles of the metrics of spool and shipping.
#[derive(Clone, Debug)]
pub struct ShipMetrics {
    pub(super) spooled: IntCounter,
    pub(super) sent_bytes: IntCounter,
    pub(super) columns_refused: IntCounter,
    pub(super) tallies: Tallies,
    skipped: IntCounterVec,
    answers: IntCounterVec,
    acked: IntGaugeVec,
    spool_bytes: IntGauge,
    spool_segments: IntGauge,
    clock_ahead: Gauge,
    clock_holding: Gauge,
    clock_steps: IntCounter,
    exchanges_refused: IntCounter,
}

pub(super) const VALID: &str = "invariant: the name is valid";

impl ShipMetrics {
    /// Metrics at zero, registered; `own` is what the input `self` ships of them.
    ///
    /// # Panics
    /// A name is registered already.
    #[must_use]
    pub fn new(registry: &Registry, own: Arc<Figures>) -> ShipMetrics {
        let counter = |name, help| added(registry, IntCounter::new(name, help).expect(VALID));
        let gauge = |name, help| added(registry, IntGauge::new(name, help).expect(VALID));
        let seconds = |name, help| added(registry, Gauge::new(name, help).expect(VALID));
        let by = |name, help, label| {
            added(registry, IntCounterVec::new(Opts::new(name, help), &[label]).expect(VALID))
        };
        let metrics = ShipMetrics {
            tallies: Tallies::new(registry, own),
            spooled: counter(
                "bellwether_agent_frames_spooled_total",
                "Frames written to the spool.",
            ),
            sent_bytes: counter(
                "bellwether_agent_push_bytes_total",
                "Bytes of request bodies sent.",
            ),
            columns_refused: counter(
                "bellwether_agent_columns_refused_total",
                "Columns that a collector did not take, each time it said so.",
            ),
            skipped: by(
                "bellwether_agent_frames_skipped_total",
                "Frames that will never be sent, by reason.",
                "reason",
            ),
            answers: by("bellwether_agent_push_total", "Requests by what came of them.", "case"),
            acked: added(
                registry,
                IntGaugeVec::new(
                    Opts::new(
                        "bellwether_agent_acked_seq",
                        "Number of the last acknowledged frame: incarnation · 2^32 + n.",
                    ),
                    &["collector"],
                )
                .expect(VALID),
            ),
            spool_bytes: gauge("bellwether_agent_spool_bytes", "Bytes of the spool on disk."),
            spool_segments: gauge("bellwether_agent_spool_segments", "Segments in the spool."),
            clock_ahead: seconds(
                "bellwether_agent_clock_ahead_of_system_seconds",
                "How far the agent's clock, which follows the collectors', is ahead of the host's.",
            ),
            clock_holding: seconds(
                "bellwether_agent_clock_holding_seconds",
                "How long the agent's clock stands still until the collectors' has come up: no rows.",
            ),
            clock_steps: counter(
                "bellwether_agent_clock_steps_total",
                "Steps of the agent's clock forward to the collectors'.",
            ),
            exchanges_refused: counter(
                "bellwether_agent_clock_exchanges_refused_total",
                "Answers of collectors that were no use for the time.",
            ),
        };
        for reason in SkipReason::ALL {
            metrics.skipped.with_label_values(&[reason.as_str()]).inc_by(0);
        }
        let cases = Case::ALL.iter().map(|case| case.as_str());
        for case in cases.chain(["no_answer", "no_token", "proxy", "tls", "unreachable"]) {
            metrics.answers.with_label_values(&[case]).inc_by(0);
        }
        metrics
    }

    pub(super) fn skipped(&self, skip: &Skip) {
        self.skipped.with_label_values(&[skip.reason.as_str()]).inc_by(skip.frames());
    }

    pub(super) fn answered(&self, case: &str) {
        self.answers.with_label_values(&[case]).inc();
    }

    pub(super) fn acked(&self, collector: &str, seq: Seq) {
        self.acked.with_label_values(&[collector]).set(seq.0.cast_signed());
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge for people")]
    pub(super) fn observe(&self, spool: &Spool, clock: &Clock) {
        self.spool_bytes.set(spool.bytes().cast_signed());
        let segments = spool.backlog().segments().count();
        self.spool_segments.set(i64::try_from(segments).unwrap_or(i64::MAX));
        let stats = clock.stats();
        let ahead = stats.ahead_of_system_nanos as f64 / 1e9;
        self.clock_ahead.set(ahead);
        self.clock_holding.set(stats.holding.as_secs_f64());
        self.clock_steps.inc_by(stats.steps.saturating_sub(self.clock_steps.get()));
        let refused = self.exchanges_refused.get();
        self.exchanges_refused.inc_by(stats.refused_exchanges.saturating_sub(refused));
        self.tallies.observe(spool, clock, ahead);
    }

    /// Forgets a collector that is not configured any more.
    pub(super) fn forget(&self, collector: &str) {
        self.tallies.forget(collector);
        // An error says that it was not known.
        self.acked.remove_label_values(&[collector]).ok();
    }
}

pub(super) fn added<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    registry.register(Box::new(collector.clone())).expect("invariant: names differ");
    collector
}
