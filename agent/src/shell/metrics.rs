//! The agent's own metrics.

mod scrape;

use bellwether_model::time::Timestamp;
use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::shell::collection::Collected;
use scrape::ScrapeMetrics;

/// Handles of the agent's own metrics, and the registry they are in.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    ticks: IntCounter,
    ticks_missed: IntCounter,
    input_errors: IntCounterVec,
    series_refused: IntCounter,
    probes_dropped: IntCounter,
    scrapes: ScrapeMetrics,
    series: IntGauge,
    reload_successful: IntGauge,
    reload_success_time: IntGauge,
}

impl Metrics {
    /// Metrics at zero; `inputs` are the names of the inputs that run.
    ///
    /// # Panics
    /// Never: the names below are valid and differ.
    #[must_use]
    pub fn new<'a>(inputs: impl IntoIterator<Item = &'a str>) -> Metrics {
        let registry = Registry::new();
        let counter = |name, help| {
            let counter = IntCounter::new(name, help).expect("invariant: the name is valid");
            register(&registry, &counter);
            counter
        };
        let gauge = |name, help| {
            let gauge = IntGauge::new(name, help).expect("invariant: the name is valid");
            register(&registry, &gauge);
            gauge
        };
        let ticks = counter("bellwether_agent_ticks_total", "Ticks at which rows were taken.");
        let ticks_missed = counter(
            "bellwether_agent_ticks_missed_total",
            "Ticks at which no row was taken because the one before took too long.",
        );
        let series_refused = counter(
            "bellwether_agent_series_refused_total",
            "Series left out because an input had reached its bound.",
        );
        let probes_dropped = counter(
            "bellwether_agent_probe_results_dropped_total",
            "Results of probes that were given up because newer ones waited for a tick too.",
        );
        let errors =
            Opts::new("bellwether_agent_input_errors_total", "Rows that an input could not fill.");
        let input_errors =
            IntCounterVec::new(errors, &["input"]).expect("invariant: the name is valid");
        register(&registry, &input_errors);
        for input in inputs {
            input_errors.with_label_values(&[input]).inc_by(0);
        }
        let reload_successful = gauge(
            "bellwether_agent_config_last_reload_successful",
            "Whether the last attempt to read the configuration again went well.",
        );
        let reload_success_time = gauge(
            "bellwether_agent_config_last_reload_success_timestamp_seconds",
            "When the configuration in use was read.",
        );
        let series = gauge("bellwether_agent_series", "Series collected now.");
        let build = Opts::new("bellwether_agent_build_info", "The agent's version, in a label.");
        let build = IntGaugeVec::new(build, &["version"]).expect("invariant: the name is valid");
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        register(&registry, &build);
        let scrapes = ScrapeMetrics::new(&registry);
        Metrics {
            registry,
            ticks,
            ticks_missed,
            input_errors,
            series_refused,
            probes_dropped,
            scrapes,
            series,
            reload_successful,
            reload_success_time,
        }
    }

    /// The registry, for the metrics of other parts.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Takes note of the reading of a configuration; `None` if it was of no use.
    pub fn configured(&self, at: Option<Timestamp>) {
        self.reload_successful.set(i64::from(at.is_some()));
        at.into_iter().for_each(|at| self.reload_success_time.set(at.0 / 1000));
    }

    /// Whether the last reading of the configuration was of use, and when the one in use was read,
    /// in seconds since 1970.
    #[must_use]
    pub fn config(&self) -> (bool, i64) {
        (self.reload_successful.get() == 1, self.reload_success_time.get())
    }

    /// Counts one tick.
    pub fn count(&self, collected: &Collected, missed: u64, series: usize) {
        self.ticks.inc();
        self.ticks_missed.inc_by(missed);
        self.series_refused.inc_by(collected.refused);
        self.probes_dropped.inc_by(collected.probes_dropped);
        self.scrapes.count(&collected.scrapes);
        self.series.set(i64::try_from(series).unwrap_or(i64::MAX));
        for (input, _) in &collected.failed {
            self.input_errors.with_label_values(&[*input]).inc();
        }
    }

    /// Appends all metrics to a page.
    ///
    /// # Errors
    /// A metric of another part that cannot be written.
    pub fn write(&self, page: &mut Vec<u8>) -> Result<(), prometheus::Error> {
        page.extend(TextEncoder::new().encode_to_string(&self.registry.gather())?.into_bytes());
        Ok(())
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: &C) {
    registry.register(Box::new(collector.clone())).expect("invariant: names differ");
}
