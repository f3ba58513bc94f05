//! The hook's own metrics, and the page that shows them where one is wanted.

use std::convert::Infallible;

use bellwether_model::exposition::Writer;
use bellwether_model::signal::{Kind, Status};
use bellwether_model::time::Timestamp;
use bellwether_platform::process;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use prometheus::core::Collector;
use prometheus::{
    Counter, CounterVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::pure::hook::verify::Distrust;

const TEXT: &str = "text/plain; charset=utf-8";
/// The text exposition format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Why an answer never arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The collector does not take it.
    NotTaken,
    /// Too many wait.
    Full,
}

impl Lost {
    fn reason(self) -> &'static str {
        match self {
            Lost::NotTaken => "not_taken",
            Lost::Full => "full",
        }
    }
}

/// Handles of the metrics, and the registry they are in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    polls: IntCounterVec,
    polled: IntGauge,
    answers: IntCounterVec,
    distrusted: IntCounterVec,
    lost: IntCounterVec,
    programs: IntCounterVec,
    seconds: CounterVec,
    faults: IntCounter,
    waiting: IntGauge,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// Metrics at zero.
    ///
    /// # Panics
    /// Never: the names below are valid and differ.
    #[must_use]
    pub fn new() -> Metrics {
        let registry = Registry::new();
        let vector = |name: &str, help: &str, label: &str, values: &[&str]| {
            let made = IntCounterVec::new(Opts::new(name, help), &[label]);
            let made = made.expect("invariant: the name is valid");
            values.iter().for_each(|value| made.with_label_values(&[*value]).inc_by(0));
            register(&registry, &made);
            made
        };
        let gauge = |name: &str, help: &str| {
            let made = IntGauge::new(name, help).expect("invariant: the name is valid");
            register(&registry, &made);
            made
        };
        let help = "Seconds for which programs ran.";
        let seconds =
            CounterVec::new(Opts::new("bellwether_hook_program_seconds_total", help), &["action"]);
        let seconds = seconds.expect("invariant: the name is valid");
        register(&registry, &seconds);
        let help = "Failures of the ledger's disk.";
        let faults = IntCounter::new("bellwether_hook_ledger_failures_total", help);
        let faults = faults.expect("invariant: the name is valid");
        register(&registry, &faults);
        let build = Opts::new("bellwether_hook_build_info", "The hook's version, in a label.");
        let build = IntGaugeVec::new(build, &["version"]).expect("invariant: the name is valid");
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        register(&registry, &build);
        let help = "Answers of the collector to polls, and polls without one.";
        let polls = vector("bellwether_hook_polls_total", help, "result", &["ok", "failed"]);
        let help = "Answers to signals, by status.";
        let statuses = Status::ALL.map(Status::name);
        let answers = vector("bellwether_hook_answers_total", help, "status", &statuses);
        let help = "Signals that were not believed, and not answered.";
        let reasons = Distrust::ALL.map(Distrust::reason);
        let distrusted =
            vector("bellwether_hook_signals_distrusted_total", help, "reason", &reasons);
        let help = "Answers that the collector never took.";
        let reasons = [Lost::NotTaken, Lost::Full].map(Lost::reason);
        let lost = vector("bellwether_hook_answers_dropped_total", help, "reason", &reasons);
        let help = "Programs started for signals.";
        let programs =
            vector("bellwether_hook_programs_total", help, "action", &Kind::ALL.map(Kind::name));
        let polled = gauge(
            "bellwether_hook_last_poll_success_timestamp_seconds",
            "When the collector last answered a poll.",
        );
        let waiting = gauge(
            "bellwether_hook_lanes_waiting",
            "Lanes in which something still runs that a runner started that is gone.",
        );
        Metrics {
            registry,
            polls,
            polled,
            answers,
            distrusted,
            lost,
            programs,
            seconds,
            faults,
            waiting,
        }
    }

    /// Counts a poll; one that went well has a time.
    pub fn polled(&self, result: Result<Timestamp, ()>) {
        let name = if result.is_ok() { "ok" } else { "failed" };
        self.polls.with_label_values(&[name]).inc();
        result.into_iter().for_each(|at| self.polled.set(at.0.div_euclid(1000)));
    }

    /// Counts an answer.
    pub fn answered(&self, status: Status) {
        self.answers.with_label_values(&[status.name()]).inc();
    }

    /// Counts a signal that was not believed.
    pub fn distrusted(&self, why: Distrust) {
        self.distrusted.with_label_values(&[why.reason()]).inc();
    }

    /// Counts an answer that never arrives.
    pub fn lost(&self, why: Lost) {
        self.lost.with_label_values(&[why.reason()]).inc();
    }

    /// Counts a program's start.
    pub fn started(&self, kind: Kind) {
        self.programs.with_label_values(&[kind.name()]).inc();
    }

    /// The counter of seconds for which programs ran.
    #[must_use]
    pub fn seconds(&self, kind: Kind) -> Counter {
        self.seconds.with_label_values(&[kind.name()])
    }

    /// Counts a failure of the ledger's disk.
    pub fn fault(&self) {
        self.faults.inc();
    }

    /// Shows how many lanes wait.
    pub fn waiting(&self, lanes: usize) {
        self.waiting.set(i64::try_from(lanes).unwrap_or(i64::MAX));
    }

    fn page(&self) -> Vec<u8> {
        let own = TextEncoder::new().encode_to_string(&self.registry.gather());
        let mut page = own.unwrap_or_default().into_bytes();
        process::write(&mut Writer::new(&mut page));
        page
    }

    /// Answers a request for the page.
    ///
    /// # Errors
    /// Never.
    pub async fn answer(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let is_reading = matches!(*request.method(), Method::GET | Method::HEAD);
        let (status, kind, body) = match request.uri().path() {
            _ if !is_reading => {
                (StatusCode::METHOD_NOT_ALLOWED, TEXT, b"only GET, HEAD\n".to_vec())
            }
            "/metrics" => (StatusCode::OK, EXPOSITION, self.page()),
            "/-/healthy" => (StatusCode::OK, TEXT, b"healthy\n".to_vec()),
            _ => (StatusCode::NOT_FOUND, TEXT, b"no such page; there is /metrics\n".to_vec()),
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        Ok(response)
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: &C) {
    registry.register(Box::new(collector.clone())).expect("invariant: names differ");
}
