//! What the evaluation of every node shares: the view, the pool, the times and the budget.

use std::sync::atomic::{AtomicUsize, Ordering};

use bellwether_model::select::Select;

use super::frame::{Block, Frame};
use super::recurring::{Part, Recurring, Remembered};
use super::{Budget, EvaluateError, Options, Steps};
use crate::annotation::{Annotation, Annotations};
use crate::pool::Pool;
use crate::tree::{At, BinaryOp, Duration, DurationNode, Expr, Length, Node, Sign, Span, When};

pub(crate) type Evaluated<T> = Result<T, EvaluateError>;

/// The times at which a node is evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) start: i64,
    pub(crate) step: i64,
    pub(crate) count: usize,
    /// From a start to an end that differ, even if only one time lies between.
    pub(crate) is_range: bool,
}

impl Grid {
    pub(crate) fn of(steps: &Steps) -> Grid {
        let is_range = steps.start != steps.end;
        Grid { start: steps.start.0, step: steps.step, count: steps.count(), is_range }
    }

    pub(crate) fn time(&self, i: usize) -> i64 {
        let after = i64::try_from(i).unwrap_or(i64::MAX).saturating_mul(self.step);
        self.start.saturating_add(after)
    }

    pub(crate) fn times(self) -> impl Iterator<Item = i64> {
        (0..self.count).map(move |i| self.time(i))
    }

    /// Whether it is one time: vectors keep their order and may repeat labels for a while.
    pub(crate) fn is_single(&self) -> bool {
        !self.is_range
    }
}

/// One evaluation.
pub(crate) struct Context<'a> {
    pub(crate) view: &'a dyn Select,
    pub(crate) pool: &'a dyn Pool,
    pub(crate) query: Steps,
    /// Milliseconds.
    pub(crate) lookback: i64,
    /// Milliseconds.
    pub(crate) subquery_step: i64,
    budget: Budget<'a>,
    held: AtomicUsize,
    recurring: Option<(&'a Recurring, &'a Remembered)>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        view: &'a dyn Select,
        pool: &'a dyn Pool,
        query: Steps,
        options: &Options,
        budget: Budget<'a>,
    ) -> Context<'a> {
        let millis =
            |length: std::time::Duration| i64::try_from(length.as_millis()).unwrap_or(i64::MAX / 2);
        Context {
            view,
            pool,
            query,
            lookback: millis(options.lookback),
            subquery_step: millis(options.subquery_step).max(1),
            budget,
            held: AtomicUsize::new(0),
            recurring: None,
        }
    }

    /// The same, which remembers what recurs.
    pub(crate) fn remembering(
        self,
        recurring: &'a Recurring,
        remembered: &'a Remembered,
    ) -> Context<'a> {
        Context { recurring: Some((recurring, remembered)), ..self }
    }

    /// Whether an expression is remembered, at the one time of its query.
    pub(crate) fn remembered(&self, expr: &Expr, grid: Grid) -> Option<(&'a Remembered, &'a Part)> {
        let (recurring, remembered) = self.recurring?;
        let is_now = self.query.is_instant() && grid.count == 1 && grid.start == self.query.start.0;
        is_now.then(|| recurring.part(expr).map(|part| (remembered, part))).flatten()
    }

    /// Samples held now. Only the thread that walks the tree changes it.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    pub(crate) fn left(&self) -> usize {
        self.budget.samples_max.saturating_sub(self.held())
    }

    /// Whether `more` samples fit for a while.
    pub(crate) fn check(&self, more: usize) -> Evaluated<()> {
        if self.budget.stop.load(Ordering::Relaxed) {
            return Err(EvaluateError::Stopped);
        }
        if more > self.left() { Err(EvaluateError::TooManySamples) } else { Ok(()) }
    }

    /// Sets what is held.
    pub(crate) fn hold(&self, samples: usize) -> Evaluated<()> {
        self.held.store(samples, Ordering::Relaxed);
        self.check(0)?;
        if samples > self.budget.samples_max {
            return Err(EvaluateError::TooManySamples);
        }
        Ok(())
    }

    /// Steps times series, refused if it cannot be held.
    pub(crate) fn room(&self, grid: Grid, series: usize) -> Evaluated<()> {
        self.check(grid.count.saturating_mul(series))
    }

    /// The time before which a node reads when evaluated at `time`, in milliseconds.
    pub(crate) fn read_at(&self, when: &When, time: i64) -> Evaluated<i64> {
        let base = match when.at {
            None => time,
            Some(At::Time(fixed)) => fixed.0,
            Some(At::Start) => self.query.start.0,
            Some(At::End) => self.query.end.0,
        };
        Ok(base.saturating_sub(self.offset(&when.offset)?))
    }

    /// The time read at every step.
    pub(crate) fn reads(&self, when: &When, grid: Grid) -> Evaluated<Vec<i64>> {
        let offset = self.offset(&when.offset)?;
        Ok(match when.at {
            None => grid.times().map(|time| time.saturating_sub(offset)).collect(),
            Some(_) => vec![self.read_at(when, 0)?; grid.count],
        })
    }

    /// Computes every length of a query, so that a bad one is refused before anything is read.
    pub(crate) fn check_lengths(&self, expr: &Expr) -> Evaluated<()> {
        match &expr.node {
            Node::Number(_) | Node::Text(_) => {}
            Node::Selector(selector) => {
                self.offset(&selector.when.offset)?;
            }
            Node::Range(range) => {
                self.offset(&range.selector.when.offset)?;
                self.positive(&range.range)?;
            }
            Node::Subquery(subquery) => {
                self.offset(&subquery.when.offset)?;
                self.positive(&subquery.range)?;
                subquery.step.as_ref().map_or(Ok(0), |step| self.positive(step))?;
                self.check_lengths(&subquery.expr)?;
            }
            Node::Paren(inner) | Node::Unary(_, inner) => self.check_lengths(inner)?,
            Node::Binary(binary) => {
                self.check_lengths(&binary.left)?;
                self.check_lengths(&binary.right)?;
            }
            Node::Aggregate(aggregate) => {
                aggregate.param.iter().try_for_each(|param| self.check_lengths(param))?;
                self.check_lengths(&aggregate.expr)?;
            }
            Node::Call(call) => call.args.iter().try_for_each(|arg| self.check_lengths(arg))?,
        }
        Ok(())
    }

    /// An offset in milliseconds.
    pub(crate) fn offset(&self, offset: &Length) -> Evaluated<i64> {
        match offset {
            Length::Millis(millis) => Ok(*millis),
            Length::Computed(duration) => self.computed(duration, Lengths::Any),
        }
    }

    /// A length in milliseconds that is more than 0.
    pub(crate) fn positive(&self, length: &Length) -> Evaluated<i64> {
        match length {
            Length::Millis(millis) => Ok(*millis),
            Length::Computed(duration) => self.computed(duration, Lengths::Positive),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    fn computed(&self, duration: &Duration, lengths: Lengths) -> Evaluated<i64> {
        let Span { start, end } = duration.span;
        let refused = |why: &str| Err(EvaluateError::Failed(format!("{start}:{end}: {why}")));
        let seconds = self.seconds(duration)?;
        let longest = bellwether_model::duration::LONGEST.as_secs_f64();
        if !seconds.is_finite() {
            return refused("duration is NaN or infinite");
        }
        if seconds <= 0.0 && lengths == Lengths::Positive {
            return refused("duration must be greater than 0");
        }
        if seconds.abs() > longest {
            return refused("duration is out of range");
        }
        Ok((seconds * 1000.0) as i64)
    }

    #[expect(clippy::cast_precision_loss, reason = "as Prometheus computes")]
    fn seconds(&self, duration: &Duration) -> Evaluated<f64> {
        let of = |inner: &Duration| self.seconds(inner);
        let Span { start, end } = duration.span;
        let by_zero =
            |what: &str| Err(EvaluateError::Failed(format!("{start}:{end}: {what} by zero")));
        Ok(match &duration.node {
            DurationNode::Number(number) => number.value,
            DurationNode::Step => self.query.step as f64 / 1000.0,
            DurationNode::Range => self.query_range(),
            DurationNode::MinOf(left, right) => super::arithmetic::least(of(left)?, of(right)?),
            DurationNode::MaxOf(left, right) => super::arithmetic::greatest(of(left)?, of(right)?),
            DurationNode::Unary(Sign::Plus, inner) => of(inner)?,
            DurationNode::Unary(Sign::Minus, inner) => -of(inner)?,
            DurationNode::Binary(op, left, right) => {
                let (left, right) = (of(left)?, of(right)?);
                match op {
                    BinaryOp::Div if right == 0.0 => return by_zero("division"),
                    BinaryOp::Mod if right == 0.0 => return by_zero("modulo"),
                    op => super::arithmetic::number(*op, left, right),
                }
            }
        })
    }

    /// Seconds from the query's start to its end.
    #[expect(clippy::cast_precision_loss, reason = "as Prometheus computes")]
    pub(crate) fn query_range(&self) -> f64 {
        self.query.end.millis_since(self.query.start) as f64 / 1000.0
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lengths {
    Positive,
    Any,
}

/// Annotations while a part of a query is evaluated.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    all: Annotations,
    last_metric: Option<Box<str>>,
}

impl Notes {
    pub(crate) fn add(&mut self, annotation: Annotation) {
        self.all.add(annotation);
    }

    /// Notes a metric that does not look like a counter. Asked for every series, so that one
    /// repeated name costs little.
    pub(crate) fn not_a_counter(&mut self, metric: &str, span: Span) {
        const ENDINGS: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];
        if metric.is_empty() || ENDINGS.iter().any(|ending| metric.ends_with(ending)) {
            return;
        }
        if self.last_metric.as_deref() != Some(metric) {
            self.last_metric = Some(metric.into());
            self.all.add(Annotation::not_a_counter(metric, span));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn merge(&mut self, other: Notes) {
        self.all.merge(other.all);
    }

    pub(crate) fn into_annotations(self) -> Annotations {
        self.all
    }
}

/// Blocks of a vector as they come, in order.
pub(crate) type Sink<'s> = &'s mut dyn FnMut(Vec<Block>) -> Evaluated<()>;

/// Puts blocks together.
pub(crate) fn collected(
    context: &Context<'_>,
    grid: Grid,
    stream: impl FnOnce(Sink<'_>) -> Evaluated<()>,
) -> Evaluated<Frame> {
    let before = context.held();
    let mut frame = Frame::new(grid.count);
    let mut held = before;
    stream(&mut |blocks| {
        held += blocks.iter().map(Block::size).sum::<usize>();
        context.hold(held)?;
        frame.blocks.extend(blocks);
        Ok(())
    })?;
    context.hold(before.saturating_add(frame.size()))?;
    Ok(frame)
}
