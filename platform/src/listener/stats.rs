//! What a listener counted, by the names under which the daemons export it.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a figure is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One exported figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The name of the metric.
    pub name: &'static str,
    /// Its help text.
    pub help: &'static str,
    /// Counter or gauge.
    pub kind: FigureKind,
    /// Its value now.
    pub value: u64,
}

/// A number that several threads change.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn take(&self, by: u64) {
        self.0.fetch_sub(by, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one listener.
#[derive(Debug, Default)]
pub struct ListenerStats {
    pub(crate) accepted: Count,
    pub(crate) accept_errors: Count,
    pub(crate) refused: Count,
    pub(crate) open: Count,
    pub(crate) broken: Count,
    pub(crate) head_late: Count,
    pub(crate) idle: Count,
    pub(crate) answer_late: Count,
    pub(crate) cut_at_stop: Count,
    pub(crate) requests: Count,
    pub(crate) request_late: Count,
    pub(crate) plaintext: Count,
    pub(crate) handshakes_failed: Count,
    pub(crate) handshakes_late: Count,
    pub(crate) certificates_read: Count,
    pub(crate) certificates_unusable: Count,
}

impl ListenerStats {
    /// All figures, in a fixed order.
    #[must_use]
    pub fn figures(&self) -> Vec<Figure> {
        let mut figures = self.of_http().to_vec();
        figures.extend(self.of_tls());
        figures
    }

    fn of_http(&self) -> [Figure; 11] {
        use FigureKind::{Counter, Gauge};
        let figure =
            |name, help, kind, count: &Count| Figure { name, help, kind, value: count.get() };
        [
            figure("bellwether_listener_connections", "Connections open now.", Gauge, &self.open),
            figure(
                "bellwether_listener_connections_accepted_total",
                "Connections accepted, refused ones included.",
                Counter,
                &self.accepted,
            ),
            figure(
                "bellwether_listener_connections_refused_total",
                "Connections closed at once because the limit was reached.",
                Counter,
                &self.refused,
            ),
            figure(
                "bellwether_listener_accept_errors_total",
                "Connections that the operating system could not hand over.",
                Counter,
                &self.accept_errors,
            ),
            figure(
                "bellwether_listener_connections_broken_total",
                "Connections that ended in an error: not HTTP, or gone in the middle.",
                Counter,
                &self.broken,
            ),
            figure(
                "bellwether_listener_heads_late_total",
                "Connections closed because the head of a request did not come in time.",
                Counter,
                &self.head_late,
            ),
            figure(
                "bellwether_listener_connections_idle_closed_total",
                "Connections closed after idling.",
                Counter,
                &self.idle,
            ),
            figure(
                "bellwether_listener_answers_late_total",
                "Connections cut because an answer was not taken in time.",
                Counter,
                &self.answer_late,
            ),
            figure(
                "bellwether_listener_connections_cut_total",
                "Connections cut at the end of the grace period.",
                Counter,
                &self.cut_at_stop,
            ),
            figure(
                "bellwether_listener_requests_total",
                "Requests given to the service.",
                Counter,
                &self.requests,
            ),
            figure(
                "bellwether_listener_requests_late_total",
                "Requests answered 503 because the service took too long.",
                Counter,
                &self.request_late,
            ),
        ]
    }
    fn of_tls(&self) -> [Figure; 5] {
        let figure = |name, help, count: &Count| Figure {
            name,
            help,
            kind: FigureKind::Counter,
            value: count.get(),
        };
        [
            figure(
                "bellwether_listener_plaintext_refused_total",
                "Connections refused because they spoke HTTP without TLS.",
                &self.plaintext,
            ),
            figure(
                "bellwether_listener_handshakes_failed_total",
                "Connections that ended in the handshake of TLS.",
                &self.handshakes_failed,
            ),
            figure(
                "bellwether_listener_handshakes_late_total",
                "Connections closed because the handshake of TLS was not done in time.",
                &self.handshakes_late,
            ),
            figure(
                "bellwether_listener_certificates_read_total",
                "Changed certificates that were taken into use.",
                &self.certificates_read,
            ),
            figure(
                "bellwether_listener_certificates_unusable_total",
                "Changed certificates that could not be used; the old one stayed.",
                &self.certificates_unusable,
            ),
        ]
    }
}
