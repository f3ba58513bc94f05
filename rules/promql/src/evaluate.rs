//! A tree to its answer over a view.
//!
//! A query is evaluated node by node; each node yields whole columns: one value per series and
//! step. Samples of a series are read once for all steps. Semantics are those of Prometheus 3.14
//! with delayed removal of the metric's name.

pub(crate) mod calendar;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bellwether_model::label::LabelSet;
use bellwether_model::matcher::Matcher;
use bellwether_model::select::{Column, Select, Window};
use bellwether_model::series::is_stale;
use bellwether_model::time::Timestamp;

use crate::annotation::Annotations;
use crate::pool::Pool;
use crate::tree::{At, BinaryOp, Expr, Kind, Length, Node, Selector, Sign, Span, When};

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
    /// `None` if the step is shorter than 1 ms or longer than [`bellwether_model::duration::LONGEST`],
    /// or the end is before the start.
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
    _pool: &dyn Pool,
    budget: Budget<'_>,
) -> Result<Answer, EvaluateError> {
    let value = if steps.is_instant() {
        instant(view, expr, steps.start, options.lookback, budget)?
    } else {
        range(view, expr, steps, options.lookback, budget)?
    };
    Ok(Answer { value, annotations: Annotations::default() })
}

fn unsupported(expr: &Expr) -> EvaluateError {
    EvaluateError::Unsupported { what: expr.to_string(), span: expr.span }
}

fn fold(expr: &Expr) -> Option<f64> {
    match &expr.node {
        Node::Number(number) => Some(number.value),
        Node::Paren(inner) | Node::Unary(Sign::Plus, inner) => fold(inner),
        Node::Unary(Sign::Minus, inner) => fold(inner).map(|value| -value),
        Node::Binary(binary) => {
            let (left, right) = (fold(&binary.left)?, fold(&binary.right)?);
            match binary.op {
                BinaryOp::Add => Some(left + right),
                BinaryOp::Sub => Some(left - right),
                BinaryOp::Mul => Some(left * right),
                BinaryOp::Div => Some(left / right),
                _ => None,
            }
        }
        _ => None,
    }
}

fn read_at(when: &When, step: Timestamp, start: Timestamp, end: Timestamp) -> Timestamp {
    let base = match when.at {
        None => step,
        Some(At::Time(time)) => time,
        Some(At::Start) => start,
        Some(At::End) => end,
    };
    let offset = match when.offset {
        Length::Millis(millis) => millis,
        Length::Computed(_) => 0,
    };
    Timestamp(base.0.saturating_sub(offset))
}

fn instant(
    view: &dyn Select,
    expr: &Expr,
    at: Timestamp,
    lookback: Duration,
    budget: Budget<'_>,
) -> Result<Value, EvaluateError> {
    let mut spent = Spent::new(budget);
    match &expr.bare().node {
        Node::Text(text) => Ok(Value::Text(text.clone())),
        Node::Selector(selector) => {
            let window = Window::ending(read_at(&selector.when, at, at, at), lookback);
            let mut vector = Vec::new();
            each_series(view, &selector.matchers, window, &mut spent, |labels, column| {
                if let Some(value) = column.values.last().filter(|value| !is_stale(**value)) {
                    vector.push((labels, *value));
                }
                None
            })?;
            Ok(Value::Vector(vector))
        }
        Node::Range(range) => {
            let Length::Millis(millis) = range.range else { return Err(unsupported(expr)) };
            let length = Duration::from_millis(millis.unsigned_abs());
            let window = Window::ending(read_at(&range.selector.when, at, at, at), length);
            let mut matrix = Vec::new();
            each_series(view, &range.selector.matchers, window, &mut spent, |labels, column| {
                let mut kept = Column::default();
                for (time, value) in column.times.iter().zip(&column.values) {
                    if !is_stale(*value) {
                        kept.push(*time, *value);
                    }
                }
                keep(&mut matrix, labels, kept)
            })?;
            Ok(Value::Matrix(matrix))
        }
        _ => fold(expr).map(Value::Scalar).ok_or_else(|| unsupported(expr)),
    }
}

fn range(
    view: &dyn Select,
    expr: &Expr,
    steps: Steps,
    lookback: Duration,
    budget: Budget<'_>,
) -> Result<Value, EvaluateError> {
    let mut spent = Spent::new(budget);
    if matches!(expr.kind(), Kind::Matrix | Kind::Text) {
        return Err(EvaluateError::NotForRange(expr.kind().documented()));
    }
    let Node::Selector(selector) = &expr.bare().node else {
        let value = fold(expr).ok_or_else(|| unsupported(expr))?;
        let mut column = Column::default();
        spent.take(steps.count())?;
        steps.iter().for_each(|at| column.push(at, value));
        return Ok(Value::Matrix(vec![(LabelSet::default(), column)]));
    };
    let read = |at| read_at(&selector.when, at, steps.start, steps.end);
    let start = Window::ending(read(steps.start), lookback).start;
    let window = Window { start, end: read(steps.end) };
    let mut matrix = Vec::new();
    each_series(view, &selector.matchers, window, &mut spent, |labels, column| {
        let kept = at_steps(selector, steps, lookback, column, budget.samples_max);
        keep(&mut matrix, labels, kept)
    })?;
    Ok(Value::Matrix(matrix))
}

fn at_steps(
    selector: &Selector,
    steps: Steps,
    lookback: Duration,
    column: &Column,
    samples_max: usize,
) -> Column {
    let mut kept = Column::default();
    let mut samples = column.times.iter().zip(&column.values).peekable();
    let mut last = None;
    for at in steps.iter() {
        let window = Window::ending(read_at(&selector.when, at, steps.start, steps.end), lookback);
        while let Some(sample) = samples.next_if(|(time, _)| **time <= window.end) {
            last = Some(sample);
        }
        if let Some((time, value)) = last
            && window.contains(*time)
            && !is_stale(*value)
        {
            kept.push(at, *value);
        }
        if kept.len() > samples_max {
            break;
        }
    }
    kept
}

fn keep(matrix: &mut Vec<(LabelSet, Column)>, labels: LabelSet, column: Column) -> Option<usize> {
    let len = column.len();
    if len > 0 {
        matrix.push((labels, column));
    }
    Some(len)
}

/// Calls `visit` with each series that has samples in the window. `visit` says how many samples it
/// keeps; `None` is one.
fn each_series(
    view: &dyn Select,
    matchers: &[Matcher],
    window: Window,
    spent: &mut Spent<'_>,
    mut visit: impl FnMut(LabelSet, &Column) -> Option<usize>,
) -> Result<(), EvaluateError> {
    let series = view.series(matchers, window, spent.left());
    if series.len() > spent.left() {
        return Err(EvaluateError::TooManySamples);
    }
    let mut column = Column::default();
    for one in series {
        view.samples(one, window, &mut column);
        spent.check(column.len())?;
        if !column.is_empty() {
            let kept = visit(view.labels(one), &column).unwrap_or(1);
            spent.take(kept)?;
        }
    }
    Ok(())
}

/// Counts against a budget.
struct Spent<'a> {
    budget: Budget<'a>,
    samples: usize,
}

impl<'a> Spent<'a> {
    fn new(budget: Budget<'a>) -> Spent<'a> {
        Spent { budget, samples: 0 }
    }

    fn left(&self) -> usize {
        self.budget.samples_max.saturating_sub(self.samples)
    }

    /// Whether `more` samples fit for a while.
    fn check(&self, more: usize) -> Result<(), EvaluateError> {
        if self.budget.stop.load(Ordering::Relaxed) {
            return Err(EvaluateError::Stopped);
        }
        if more > self.left() { Err(EvaluateError::TooManySamples) } else { Ok(()) }
    }

    fn take(&mut self, samples: usize) -> Result<(), EvaluateError> {
        self.check(samples)?;
        self.samples += samples;
        Ok(())
    }
}
