//! Samples, the kinds of value, and the markers that live among the values.

use crate::time::Timestamp;

/// A series in one store's table; meaningless outside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesRef(pub u32);

/// One value at one time.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When, in milliseconds.
    pub time: Timestamp,
    /// What; [`STALE`] marks the end of a series.
    pub value: f64,
}

/// Bitwise: the markers among NaN are told apart, and NaN equals itself.
impl PartialEq for Sample {
    fn eq(&self, other: &Sample) -> bool {
        self.time == other.time && self.value.to_bits() == other.value.to_bits()
    }
}

/// What the values of a column are. Only floats now; native histograms have a place on the wire
/// (`wire::section`) and in chunks, and are refused by name until they are built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ValueKind {
    /// A 64-bit float.
    #[default]
    Float = 0,
    /// A native histogram.
    Histogram = 1,
}

/// The type of a metric, as in the exposition format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MetricType {
    /// Nothing is known.
    #[default]
    Untyped = 0,
    /// Only rises, but for restarts.
    Counter = 1,
    /// Goes up and down.
    Gauge = 2,
    /// Buckets, `_sum` and `_count`.
    Histogram = 3,
    /// Quantiles, `_sum` and `_count`.
    Summary = 4,
}

impl MetricType {
    /// All types, by their wire numbers.
    pub const ALL: [MetricType; 5] = [
        MetricType::Untyped,
        MetricType::Counter,
        MetricType::Gauge,
        MetricType::Histogram,
        MetricType::Summary,
    ];

    /// The word of a `# TYPE` line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            MetricType::Untyped => "untyped",
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::Summary => "summary",
        }
    }
}

/// The stale marker of Prometheus (`model/value`): the series ended at this time.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// No value in this row; never stored, never on the wire.
pub const ABSENT: f64 = f64::from_bits(0x7ff0_0000_0000_0bad);

/// Whether a value is the stale marker, bit for bit.
#[must_use]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE.to_bits()
}

/// Whether a place in a row holds no value.
#[must_use]
pub fn is_absent(value: f64) -> bool {
    value.to_bits() == ABSENT.to_bits()
}
