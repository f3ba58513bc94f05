//! Metric families as the inputs declare them, and their columns.

use std::sync::Arc;
use std::time::Duration;

use bellwether_model::label::{LabelError, LabelSet, METRIC_NAME};
use bellwether_model::series::{MetricType, ValueKind};
use bellwether_model::wire::table::ColumnSpec;

/// A family in an input's static list: the catalogue of metrics is made of these.
#[derive(Clone, Copy, Debug)]
pub struct FamilySpec {
    /// The metric's name.
    pub name: &'static str,
    /// Counter, gauge, …
    pub kind: MetricType,
    /// The text of the `# HELP` line.
    pub help: &'static str,
}

impl FamilySpec {
    /// A counter.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str) -> FamilySpec {
        FamilySpec { name, kind: MetricType::Counter, help }
    }

    /// A gauge.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str) -> FamilySpec {
        FamilySpec { name, kind: MetricType::Gauge, help }
    }
}

/// A family in use: what its columns share.
#[derive(Clone, Debug)]
pub struct Family {
    name: Arc<str>,
    kind: MetricType,
    help: Arc<str>,
    unit: Arc<str>,
}

impl Family {
    /// A family of the static list.
    #[must_use]
    pub fn new(spec: &FamilySpec) -> Family {
        Family::named(spec.name, spec.kind, spec.help)
    }

    /// A family whose name is known only on the host. The unit is read from the name.
    #[must_use]
    pub fn named(name: &str, kind: MetricType, help: &str) -> Family {
        let base = name.strip_suffix("_total").unwrap_or(name);
        let unit = ["seconds", "bytes"].into_iter().find(|unit| base.ends_with(unit));
        Family { name: name.into(), kind, help: help.into(), unit: unit.unwrap_or("").into() }
    }

    /// The text of its `# HELP` line.
    #[must_use]
    pub fn help(&self) -> Arc<str> {
        Arc::clone(&self.help)
    }

    /// Its unit, empty if the name says none.
    #[must_use]
    pub fn unit(&self) -> Arc<str> {
        Arc::clone(&self.unit)
    }

    /// One column of the family.
    ///
    /// # Errors
    /// A label longer than the limit.
    pub fn column(&self, labels: &[(&str, &str)]) -> Result<ColumnSpec, LabelError> {
        let name = (METRIC_NAME, &*self.name);
        Ok(ColumnSpec {
            labels: LabelSet::new(labels.iter().copied().chain([name]))?,
            kind: self.kind,
            value_kind: ValueKind::Float,
            unit: Arc::clone(&self.unit),
            help: Arc::clone(&self.help),
            start: None,
        })
    }
}

/// How long something took, in seconds without the digits below a microsecond: they are noise and
/// cost bytes.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "microseconds of one tick or probe are below 2^53")]
pub fn seconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_in_the_name() {
        let unit = |name| Family::named(name, MetricType::Gauge, "").unit.to_string();
        assert_eq!(unit("node_cpu_seconds_total"), "seconds");
        assert_eq!(unit("node_memory_MemFree_bytes"), "bytes");
        assert_eq!(unit("node_load1"), "");
    }
}
