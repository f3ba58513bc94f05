//! What the notifier has counted, as metrics. Beside each stands the name that users of Prometheus
//! and Alertmanager know.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

use crate::pure::notify::QUEUE;
use crate::pure::notify::stats::{Figures, PushStats, ReceiverStats};

const VALID: &str = "invariant: the name is valid";

/// Where the counts are.
pub type FiguresSource = Arc<dyn Fn() -> Figures + Send + Sync>;

/// Turns counts into metrics at each scrape.
pub struct NotifyMetrics(pub FiguresSource);

impl Collector for NotifyMetrics {
    /// Without descriptions the registry does not check for repeats; a test does.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let figures = (self.0)();
        let mut families = counters(&figures);
        families.extend(gauges(&figures));
        families
    }
}

/// A counter with its value for each of some labels.
struct Family(IntCounterVec);

impl Family {
    fn new(name: &str, help: &str, labels: &[&str]) -> Family {
        let name = format!("bellwether_notifications_{name}");
        Family(IntCounterVec::new(Opts::new(name, help), labels).expect(VALID))
    }

    fn set(&self, labels: &[&str], value: u64) {
        self.0.with_label_values(labels).inc_by(value);
    }

    fn done(self) -> Vec<MetricFamily> {
        self.0.collect()
    }
}

type PerReceiver = (&'static str, &'static str, fn(&ReceiverStats) -> u64);
type PerAlertmanager = (&'static str, &'static str, fn(&PushStats) -> u64);

const PER_RECEIVER: [PerReceiver; 7] = [
    ("attempts_total", "Attempts to deliver (alertmanager_notification_requests_total).", |s| {
        s.attempts
    }),
    ("repeated_total", "Attempts of which an earlier one may have arrived.", |s| s.repeated),
    ("delivered_total", "Notifications that a receiver has taken.", |s| s.delivered),
    ("superseded_total", "Notifications that gave way to a newer one of their group.", |s| {
        s.superseded
    }),
    ("alerts_truncated_total", "Alerts that a body had no room for.", |s| s.truncated),
    ("alerts_untold_total", "Alerts that fired and that a receiver was never told of.", |s| {
        s.untold
    }),
    ("delivery_milliseconds_total", "From decision to delivery, of all delivered.", |s| {
        s.delivery_millis
    }),
];

const PER_ALERTMANAGER: [PerAlertmanager; 4] = [
    ("alertmanager_sent_total", "Alerts pushed (prometheus_notifications_sent_total).", |s| s.sent),
    (
        "alertmanager_errors_total",
        "Alerts that an Alertmanager did not take (prometheus_notifications_errors_total).",
        |s| s.failed,
    ),
    (
        "alertmanager_dropped_total",
        "Alerts that left a full queue (prometheus_notifications_dropped_total).",
        |s| s.dropped,
    ),
    ("alertmanager_batches_total", "Requests to an Alertmanager.", |s| s.batches),
];

fn counters(figures: &Figures) -> Vec<MetricFamily> {
    let stats = &figures.stats;
    let mut families = Vec::new();
    for (name, help, value) in PER_RECEIVER {
        let family = Family::new(name, help, &["receiver"]);
        stats.receivers.iter().for_each(|(name, stats)| family.set(&[name], value(stats)));
        families.extend(family.done());
    }
    for (name, help, value) in PER_ALERTMANAGER {
        let family = Family::new(name, help, &["alertmanager"]);
        stats.alertmanagers.iter().for_each(|(name, stats)| family.set(&[name], value(stats)));
        families.extend(family.done());
    }
    let made = Family::new(
        "total",
        "Notifications decided, by reason (alertmanager_notifications_total).",
        &["receiver", "reason"],
    );
    let failed = Family::new(
        "failed_total",
        "Attempts that failed, by reason (alertmanager_notification_requests_failed_total).",
        &["receiver", "reason"],
    );
    let given_up = Family::new(
        "given_up_total",
        "Notifications not tried any more (alertmanager_notifications_failed_total).",
        &["receiver", "reason"],
    );
    for (name, stats) in &stats.receivers {
        let all =
            [(&made, &stats.notifications), (&failed, &stats.failed), (&given_up, &stats.given_up)];
        for (family, counts) in all {
            counts.iter().for_each(|(reason, count)| family.set(&[name, reason], *count));
        }
    }
    families.extend([made, failed, given_up].into_iter().flat_map(Family::done));
    let plain = [
        ("heartbeats_total", "Heartbeats sent.", stats.heartbeats),
        ("heartbeats_failed_total", "Heartbeats not answered with 2xx.", stats.heartbeats_failed),
        ("alerts_refused_total", "Alerts beyond the bound, not told.", stats.alerts_refused),
        ("texts_cut_total", "Annotations and URLs that were cut.", stats.texts_cut),
        ("bodies_cut_total", "Notifications of over 4 MiB, with texts cut.", stats.bodies_cut),
    ];
    for (name, help, value) in plain {
        let family = Family::new(name, help, &[]);
        family.set(&[], value);
        families.extend(family.done());
    }
    families
}

fn gauges(figures: &Figures) -> Vec<MetricFamily> {
    let gauge = |name: &str, help: &str, label: &str| {
        let options = Opts::new(format!("bellwether_notifications_{name}"), help);
        IntGaugeVec::new(options, &[label]).expect(VALID)
    };
    let number = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
    let open = gauge("open", "Notifications that are being tried.", "receiver");
    let gone = gauge("receiver_gone", "Whether a receiver has answered 410.", "receiver");
    for (name, row) in &figures.receivers {
        open.with_label_values(&[&**name]).set(number(row.open));
        gone.with_label_values(&[&**name]).set(i64::from(row.is_gone));
    }
    let queued = gauge(
        "alertmanager_queue_length",
        "Alerts that wait (prometheus_notifications_queue_length).",
        "alertmanager",
    );
    let capacity = gauge(
        "alertmanager_queue_capacity",
        "Alerts that may wait (prometheus_notifications_queue_capacity).",
        "alertmanager",
    );
    for (name, length) in &figures.queued {
        queued.with_label_values(&[&**name]).set(number(*length));
        capacity.with_label_values(&[&**name]).set(number(QUEUE));
    }
    [open, gone, queued, capacity].iter().flat_map(Collector::collect).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use prometheus::{Registry, TextEncoder};

    use super::*;
    use crate::pure::notify::stats::{ReceiverFigures, Stats};

    #[test]
    fn counts_become_metrics_each_under_one_name() {
        let receiver = ReceiverStats {
            failed: BTreeMap::from([("timeout", 3)]),
            attempts: 4,
            ..ReceiverStats::default()
        };
        let push = PushStats { sent: 9, ..PushStats::default() };
        let stats = Stats {
            receivers: BTreeMap::from([("ops".into(), receiver)]),
            alertmanagers: BTreeMap::from([("am".into(), push)]),
            heartbeats: 2,
            ..Stats::default()
        };
        let figures = Figures {
            stats,
            receivers: BTreeMap::from([("ops".into(), ReceiverFigures { open: 1, is_gone: true })]),
            queued: BTreeMap::from([("am".into(), 5)]),
        };
        let registry = Registry::new();
        let source: FiguresSource = Arc::new(move || figures.clone());
        registry.register(Box::new(NotifyMetrics(source))).unwrap();
        let families = registry.gather();
        let names: BTreeSet<&str> = families.iter().map(|family| family.name()).collect();
        assert_eq!(names.len(), families.len());
        let text = TextEncoder::new().encode_to_string(&families).unwrap();
        for line in [
            r#"bellwether_notifications_failed_total{reason="timeout",receiver="ops"} 3"#,
            r#"bellwether_notifications_attempts_total{receiver="ops"} 4"#,
            r#"bellwether_notifications_alertmanager_sent_total{alertmanager="am"} 9"#,
            r#"bellwether_notifications_alertmanager_queue_length{alertmanager="am"} 5"#,
            r#"bellwether_notifications_receiver_gone{receiver="ops"} 1"#,
            "bellwether_notifications_heartbeats_total 2",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} is not in\n{text}");
        }
    }
}
