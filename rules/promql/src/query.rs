//! The tree of a query, as evaluated. It shares no type with the grammar's crate.

use std::time::Duration;

use bellwether_model::matcher::Matcher;
use bellwether_model::time::Timestamp;

/// One query.
#[derive(Clone, Debug)]
pub enum Query {
    /// The last sample of each series.
    Instant(Selector),
    /// The samples of each series in a window of this length; never zero.
    Range(Selector, Duration),
    /// A number.
    Number(f64),
    /// A string.
    Text(String),
}

impl Query {
    /// What the query yields, in the words of Prometheus' documentation.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Query::Instant(_) => "instant vector",
            Query::Range(..) => "range vector",
            Query::Number(_) => "scalar",
            Query::Text(_) => "string",
        }
    }
}

/// Which series, and at what time they are read.
#[derive(Clone, Debug)]
pub struct Selector {
    /// All must be met; the metric's name is one of them.
    pub matchers: Vec<Matcher>,
    /// `offset`: how many milliseconds earlier the series are read; negative is later.
    pub offset: i64,
    /// `@`: the time read instead of the evaluation's.
    pub at: Option<At>,
}

/// The time after `@`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// A stamp.
    Time(Timestamp),
    /// `start()`: the first step.
    Start,
    /// `end()`: the end of the range asked for.
    End,
}

impl Selector {
    /// The time that is read when the query is evaluated at `step` of `start..=end`.
    pub(crate) fn read_at(&self, step: Timestamp, start: Timestamp, end: Timestamp) -> Timestamp {
        let base = match self.at {
            None => step,
            Some(At::Time(time)) => time,
            Some(At::Start) => start,
            Some(At::End) => end,
        };
        Timestamp(base.0.saturating_sub(self.offset))
    }
}
