//! Evaluation of a [`Query`] over a view, at one time or at the steps of a range.
//!
//! Windows are open on the left. A stale marker ends a series: it makes an instant selector answer
//! nothing and is left out of ranges. Results are in the view's order, by labels, the metric's name
//! kept.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bellwether_model::label::LabelSet;
use bellwether_model::matcher::Matcher;
use bellwether_model::select::{Column, Select, Window};
use bellwether_model::series::is_stale;
use bellwether_model::time::Timestamp;

use crate::query::{Query, Selector};

/// How far back an instant selector looks if nothing else is said, as in Prometheus.
pub const LOOKBACK: Duration = Duration::from_secs(300);

/// What one query may take.
#[derive(Clone, Copy, Debug)]
pub struct Budget<'a> {
    /// Samples held at once, results included.
    pub samples_max: usize,
    /// Set by the caller when the answer is no longer wanted.
    pub stop: &'a AtomicBool,
}

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    /// [`Budget::samples_max`] is exceeded.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// [`Budget::stop`] was set.
    #[error("query was canceled in query execution")]
    Stopped,
    /// Ranges are made of instant vectors and scalars only; the query yields this.
    #[error("invalid expression type {0:?} for range query, must be Scalar or instant Vector")]
    NotForRange(&'static str),
}

/// What a query yields.
#[derive(Clone, Debug)]
pub enum Value {
    /// One number.
    Scalar(f64),
    /// One string.
    Text(String),
    /// One value per series, all at the time of evaluation.
    Vector(Vec<(LabelSet, f64)>),
    /// Samples per series; no series is without.
    Matrix(Vec<(LabelSet, Column)>),
}

/// The times of a range query: `start`, `start + step`, … up to `end`.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    start: Timestamp,
    end: Timestamp,
    step: i64,
}

impl Steps {
    /// Builds the times; `None` if `step` is under a millisecond or `end` before `start`.
    #[must_use]
    pub fn new(start: Timestamp, end: Timestamp, step: Duration) -> Option<Steps> {
        let step = i64::try_from(step.as_millis()).ok()?;
        (step > 0 && start <= end).then_some(Steps { start, end, step })
    }

    fn iter(self) -> impl Iterator<Item = Timestamp> {
        let next = move |at: &Timestamp| at.0.checked_add(self.step).map(Timestamp);
        std::iter::successors(Some(self.start), next).take_while(move |at| *at <= self.end)
    }
}

/// Evaluates at one time. `lookback` bounds the age of an instant selector's samples.
///
/// # Errors
/// The budget is exceeded or the stop flag set.
pub fn evaluate_instant(
    view: &dyn Select,
    query: &Query,
    at: Timestamp,
    lookback: Duration,
    budget: Budget<'_>,
) -> Result<Value, EvaluateError> {
    let mut spent = Spent::new(budget);
    match query {
        Query::Number(value) => Ok(Value::Scalar(*value)),
        Query::Text(text) => Ok(Value::Text(text.clone())),
        Query::Instant(selector) => {
            let window = Window::ending(selector.read_at(at, at, at), lookback);
            let mut vector = Vec::new();
            each_series(view, &selector.matchers, window, &mut spent, |labels, column| {
                if let Some(value) = column.values.last().filter(|value| !is_stale(**value)) {
                    vector.push((labels, *value));
                }
                None
            })?;
            Ok(Value::Vector(vector))
        }
        Query::Range(selector, range) => {
            let window = Window::ending(selector.read_at(at, at, at), *range);
            let mut matrix = Vec::new();
            each_series(view, &selector.matchers, window, &mut spent, |labels, column| {
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
    }
}

/// Evaluates at each step; a series has a sample for each step at which it has a value.
///
/// # Errors
/// A range selector or string, the budget exceeded, or the stop flag set.
pub fn evaluate_range(
    view: &dyn Select,
    query: &Query,
    steps: Steps,
    lookback: Duration,
    budget: Budget<'_>,
) -> Result<Value, EvaluateError> {
    let mut spent = Spent::new(budget);
    match query {
        Query::Range(..) | Query::Text(_) => Err(EvaluateError::NotForRange(query.kind())),
        Query::Number(value) => {
            let mut column = Column::default();
            for at in steps.iter() {
                spent.take(1)?;
                column.push(at, *value);
            }
            Ok(Value::Matrix(vec![(LabelSet::default(), column)]))
        }
        Query::Instant(selector) => {
            let read = |at| selector.read_at(at, steps.start, steps.end);
            let window = Window {
                start: Window::ending(read(steps.start), lookback).start,
                end: read(steps.end),
            };
            let mut matrix = Vec::new();
            each_series(view, &selector.matchers, window, &mut spent, |labels, column| {
                let kept = at_steps(selector, steps, lookback, column, budget.samples_max);
                keep(&mut matrix, labels, kept)
            })?;
            Ok(Value::Matrix(matrix))
        }
    }
}

/// The value of one series at each step. One walk: the times read never go back. It ends at
/// `samples_max`, which the caller then finds exceeded.
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
        let window = Window::ending(selector.read_at(at, steps.start, steps.end), lookback);
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

/// Adds a series that has samples; says how many.
fn keep(
    matrix: &mut Vec<(LabelSet, Column)>,
    labels: LabelSet,
    mut column: Column,
) -> Option<usize> {
    let len = column.len();
    if len > 0 {
        column.times.shrink_to_fit();
        column.values.shrink_to_fit();
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

#[cfg(test)]
mod tests;
