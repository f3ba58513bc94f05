//! A tree to its answer over a view.
//!
//! A query is evaluated node by node; each node yields whole columns: one value per series and
//! step. Samples of a series are read once for all steps. Semantics are those of Prometheus 3.14
//! with delayed removal of the metric's name.

mod aggregate;
mod arithmetic;
mod binary;
pub(crate) mod calendar;
mod call;
mod context;
mod finish;
mod frame;
mod histogram;
mod info;
mod key;
mod labels;
mod node;
mod recurring;
mod select;
mod sort;
#[cfg(test)]
mod tests;
mod window;

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bellwether_model::label::LabelSet;
use bellwether_model::select::{Column, Select};
use bellwether_model::time::Timestamp;

use self::context::{Context, Grid, Notes};
pub use self::recurring::{Recurring, Remembered, recurring};

use crate::annotation::Annotations;
use crate::pool::Pool;
use crate::tree::{Expr, Span};

/// How old a sample an instant selector still takes, unless asked otherwise.
pub const LOOKBACK: Duration = Duration::from_secs(300);

/// Distance of the steps of a subquery that says none: Prometheus' default evaluation interval.
pub const SUBQUERY_STEP: Duration = Duration::from_secs(60);

/// What one evaluation may take.
#[derive(Clone, Copy, Debug)]
pub struct Budget<'a> {
    /// Samples held at once, results included.
    pub samples_max: usize,
    /// Set to end the evaluation soon.
    pub stop: &'a AtomicBool,
}

/// The times of an evaluation: `start`, `start + step`, … up to `end`.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    /// 0 of an instant.
    pub(crate) step: i64,
}

impl Steps {
    /// `None` if the step is shorter than 1 ms or does not fit, or the end is before the start.
    #[must_use]
    pub fn new(start: Timestamp, end: Timestamp, step: Duration) -> Option<Steps> {
        let step = i64::try_from(step.as_millis()).ok().filter(|step| *step > 0)?;
        (start <= end).then_some(Steps { start, end, step })
    }

    /// One time.
    #[must_use]
    pub fn instant(at: Timestamp) -> Steps {
        Steps { start: at, end: at, step: 0 }
    }

    /// Whether it is one time, asked for as such: its answer is a vector and keeps its order.
    #[must_use]
    pub fn is_instant(&self) -> bool {
        self.step == 0
    }

    /// How many times.
    #[must_use]
    pub fn count(&self) -> usize {
        let span = i128::from(self.end.0) - i128::from(self.start.0);
        let after = span / i128::from(self.step.max(1));
        usize::try_from(after).map_or(usize::MAX, |after| after.saturating_add(1))
    }

    /// All times.
    pub fn iter(&self) -> impl Iterator<Item = Timestamp> + use<> {
        let (start, step) = (self.start.0, self.step);
        (0..self.count()).map(move |i| {
            let after = i64::try_from(i).unwrap_or(i64::MAX).saturating_mul(step);
            Timestamp(start.saturating_add(after))
        })
    }
}

/// What an evaluation takes from its server.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How old a sample an instant selector still takes.
    pub lookback: Duration,
    /// Distance of the steps of a subquery that says none.
    pub subquery_step: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options { lookback: LOOKBACK, subquery_step: SUBQUERY_STEP }
    }
}

/// What a query yields.
#[derive(Clone, Debug)]
pub enum Value {
    /// A number.
    Scalar(f64),
    /// A string.
    Text(String),
    /// Series with one value; sorted if the query sorts, else in no particular order.
    Vector(Vec<(LabelSet, f64)>),
    /// Series with samples, sorted by labels.
    Matrix(Vec<(LabelSet, Column)>),
}

/// A query's value and what it must be read with.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The value.
    pub value: Value,
    /// Warnings and infos.
    pub annotations: Annotations,
}

/// A query could not be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    /// Strings and range vectors have no value per step.
    #[error("invalid expression type {0:?} for range query, must be Scalar or instant Vector")]
    NotForRange(&'static str),
    /// The budget's samples were not enough.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// The budget's stop flag was set.
    #[error("query was stopped")]
    Stopped,
    /// The data or a value does not allow it.
    #[error("{0}")]
    Failed(String),
    /// The evaluator does not know it.
    #[error("not supported yet: {what}")]
    Unsupported {
        /// What.
        what: String,
        /// Where in the query's text.
        span: Span,
    },
}

/// Evaluates a query at the steps given.
///
/// # Errors
/// See [`EvaluateError`].
pub fn evaluate(
    view: &dyn Select,
    expr: &Expr,
    steps: Steps,
    options: &Options,
    pool: &dyn Pool,
    budget: Budget<'_>,
) -> Result<Answer, EvaluateError> {
    answer(&Context::new(view, pool, steps, options, budget), expr)
}

/// Evaluates an expression at one time, with what recurs in it: the parts that were evaluated
/// before are not evaluated again. All that is remembered together is of one view, one time and one
/// set of options.
///
/// # Errors
/// See [`EvaluateError`].
pub fn evaluate_remembering(
    view: &dyn Select,
    (expr, recurring): (&Expr, &Recurring),
    at: Timestamp,
    options: &Options,
    pool: &dyn Pool,
    budget: Budget<'_>,
    remembered: &Remembered,
) -> Result<Answer, EvaluateError> {
    let context = Context::new(view, pool, Steps::instant(at), options, budget);
    answer(&context.remembering(recurring, remembered), expr)
}

fn answer(context: &Context<'_>, expr: &Expr) -> Result<Answer, EvaluateError> {
    let grid = Grid::of(&context.query);
    let mut notes = Notes::default();
    let value = if context.query.is_instant() {
        finish::instant(context, expr, grid, &mut notes)?
    } else {
        finish::range(context, expr, grid, &mut notes)?
    };
    Ok(Answer { value, annotations: notes.into_annotations() })
}

fn unsupported(expr: &Expr) -> EvaluateError {
    EvaluateError::Unsupported { what: expr.to_string(), span: expr.span }
}
