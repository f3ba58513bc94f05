//! Unit tests of rules in promtool's files, unchanged.
//!
//! A test loads series, evaluates rule groups at each interval and compares alerts and queries with
//! what is expected. What needs native histograms is skipped and counted: series that are loaded
//! as such, and samples that are expected as such.

mod read;
mod run;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::diagnostic::Place;
use bellwether_model::label::LabelSet;
use bellwether_model::time::Timestamp;
use bellwether_promql::script::series::Point;
use bellwether_promql::tree::Expr;

use crate::template::Site;

pub use read::read;
pub use run::{Report, run};

/// One file of tests.
#[derive(Clone, Debug)]
pub struct TestFile {
    /// Rule files as written: paths relative to the test file, stars in them.
    pub rule_files: Vec<String>,
    /// Between evaluations of the rules.
    pub evaluation_interval: Duration,
    /// Groups that are evaluated before others, in this order.
    pub group_order: Vec<String>,
    /// Whether values may differ in their last bit.
    pub fuzzy: bool,
    /// In the file's order.
    pub tests: Vec<Test>,
}

/// Series and what is expected of the rules over them.
#[derive(Clone, Debug)]
pub struct Test {
    /// As the file names it, or `unnamed#N`.
    pub name: String,
    /// Between the points of the series; the interval of groups that have none.
    pub interval: Duration,
    /// Time of the first point, and of the first evaluation.
    pub start: Timestamp,
    /// Points by series.
    pub series: Vec<(LabelSet, Vec<Point>)>,
    /// Expected alerts.
    pub alerts: Vec<AlertCase>,
    /// Expected answers.
    pub queries: Vec<QueryCase>,
    /// External labels and URL.
    pub site: Site,
}

/// The alerts of one name that fire at a time.
#[derive(Clone, Debug)]
pub struct AlertCase {
    /// Where the file says so.
    pub place: Place,
    /// After the start.
    pub after: Duration,
    /// The alert.
    pub name: String,
    /// Labels, the alert's name among them, and annotations of each; sorted.
    pub firing: Vec<(LabelSet, BTreeMap<String, String>)>,
}

/// The answer of a query at a time.
#[derive(Clone, Debug)]
pub struct QueryCase {
    /// Where the file says so.
    pub place: Place,
    /// After the start.
    pub after: Duration,
    /// As written.
    pub text: String,
    /// Read.
    pub expr: Expr,
    /// Samples in the order of their labels; `None` if one is a native histogram.
    pub samples: Option<Vec<(LabelSet, f64)>>,
}

impl Test {
    /// The last time that is asked for, after the start.
    #[must_use]
    pub fn last(&self) -> Duration {
        let alerts = self.alerts.iter().map(|case| case.after);
        alerts.chain(self.queries.iter().map(|case| case.after)).max().unwrap_or_default()
    }
}
