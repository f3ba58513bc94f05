//! The account of each collector, as metrics; and the sums of it that the input `self` ships.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_platform::clock::Clock;
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::metrics::{VALID, added};
use crate::pure::account::DropReason;
use crate::pure::input::own::{Figure, Figures};
use crate::shell::spool::Spool;

/// Handles of the metrics of the account.
#[derive(Clone, Debug)]
pub(super) struct Tallies {
    collected: IntCounter,
    samples_spooled: IntCounter,
    /// Of each collector: what was acknowledged, what came back, what was dropped, what is held.
    samples_acked: IntCounterVec,
    samples_returned: IntCounterVec,
    samples_dropped: IntCounterVec,
    samples_held: IntGaugeVec,
    oldest: GaugeVec,
    spool_bytes_max: IntGauge,
    own: Arc<Figures>,
}

/// Of all collectors, each figure of the one that is worst off.
#[derive(Default)]
struct Worst {
    acked: u64,
    held: u64,
    /// Milliseconds.
    age: i64,
    dropped: BTreeMap<&'static str, (DropReason, u64)>,
}

impl Tallies {
    pub(super) fn new(registry: &Registry, own: Arc<Figures>) -> Tallies {
        let counter = |name, help| added(registry, IntCounter::new(name, help).expect(VALID));
        let gauge = |name, help| added(registry, IntGauge::new(name, help).expect(VALID));
        let of = |name, help, labels: &[&str]| {
            added(registry, IntCounterVec::new(Opts::new(name, help), labels).expect(VALID))
        };
        Tallies {
            own,
            collected: counter(
                "bellwether_agent_samples_collected_total",
                "Samples collected since the spool was made.",
            ),
            samples_spooled: counter(
                "bellwether_agent_samples_spooled_total",
                "Samples written to the spool since it was made.",
            ),
            samples_acked: of(
                "bellwether_agent_samples_acked_total",
                "Samples that a collector has acknowledged.",
                &["collector"],
            ),
            samples_returned: of(
                "bellwether_agent_samples_returned_total",
                "Samples that a collector had acknowledged and lost: they are sent again.",
                &["collector"],
            ),
            samples_dropped: of(
                "bellwether_agent_samples_dropped_total",
                "Samples that a collector will never get, by reason.",
                &["collector", "reason"],
            ),
            samples_held: added(
                registry,
                IntGaugeVec::new(
                    Opts::new(
                        "bellwether_agent_samples_held",
                        "Samples that wait in the spool for a collector.",
                    ),
                    &["collector"],
                )
                .expect(VALID),
            ),
            oldest: added(
                registry,
                GaugeVec::new(
                    Opts::new(
                        "bellwether_agent_oldest_unacked_seconds",
                        "Age of the oldest frame that a collector has not acknowledged; 0 if none.",
                    ),
                    &["collector"],
                )
                .expect(VALID),
            ),
            spool_bytes_max: gauge(
                "bellwether_agent_spool_bytes_max",
                "Bytes of frames that the spool may hold.",
            ),
        }
    }

    /// Shows the account as it stands.
    #[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
    pub(super) fn observe(&self, spool: &Spool, clock: &Clock, ahead: f64) {
        self.spool_bytes_max.set(spool.bounds().bytes_max.cast_signed());
        raise(&self.collected, spool.account().collected.samples);
        raise(&self.samples_spooled, spool.account().spooled.samples);
        let mut worst = Worst { acked: u64::MAX, ..Worst::default() };
        for (name, tally) in &spool.account().collectors {
            let name = name.as_str();
            let acked = tally.acked.samples + tally.returned.samples;
            raise(&self.samples_acked.with_label_values(&[name]), acked);
            raise(&self.samples_returned.with_label_values(&[name]), tally.returned.samples);
            for (reason, count) in tally.dropped() {
                let labels = [name, reason.as_str()];
                raise(&self.samples_dropped.with_label_values(&labels), count.samples);
                let dropped = worst.dropped.entry(reason.as_str()).or_insert((reason, 0));
                dropped.1 = dropped.1.max(count.samples);
            }
            let (held, oldest) = spool.waits(name);
            self.samples_held.with_label_values(&[name]).set(held.samples.cast_signed());
            let age = oldest.map_or(0, |at| clock.now().wall.millis_since(at).max(0));
            self.oldest.with_label_values(&[name]).set(age as f64 / 1e3);
            worst.acked = worst.acked.min(acked);
            worst.held = worst.held.max(held.samples);
            worst.age = worst.age.max(age);
        }
        self.tell(&worst, spool.bytes(), ahead);
    }

    /// What the input `self` ships.
    #[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
    fn tell(&self, worst: &Worst, spool_bytes: u64, ahead: f64) {
        let own = &self.own;
        own.set(Figure::Collected, self.collected.get() as f64);
        own.set(Figure::Spooled, self.samples_spooled.get() as f64);
        own.set(Figure::Spool, spool_bytes as f64);
        own.set(Figure::SpoolMax, self.spool_bytes_max.get() as f64);
        own.set(Figure::ClockAhead, (ahead * 1e3).round() / 1e3);
        if worst.acked < u64::MAX {
            own.set(Figure::Acked, worst.acked as f64);
            own.set(Figure::Held, worst.held as f64);
            own.set(Figure::Oldest, worst.age as f64 / 1e3);
        }
        for (reason, count) in worst.dropped.values() {
            own.set_dropped(*reason, *count as f64);
        }
    }

    /// Forgets a collector that is not configured any more. An error says that it was not known.
    pub(super) fn forget(&self, collector: &str) {
        for counters in [&self.samples_acked, &self.samples_returned] {
            counters.remove_label_values(&[collector]).ok();
        }
        for reason in DropReason::ALL {
            self.samples_dropped.remove_label_values(&[collector, reason.as_str()]).ok();
        }
        self.samples_held.remove_label_values(&[collector]).ok();
        self.oldest.remove_label_values(&[collector]).ok();
    }
}

/// Lets a counter show a total that is kept elsewhere.
fn raise(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}
