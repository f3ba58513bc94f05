//! Spans of time that are computed when the query's step and range are known.

use super::{Evaluator, Failure, instant, number};
use crate::tree::{DurationNode, Expr, Length, Node, Sign};

impl Evaluator<'_> {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    pub(super) fn millis(&self, length: &Length) -> Result<i64, Failure> {
        let seconds = match length {
            Length::Millis(millis) => return Ok(*millis),
            Length::Computed(duration) => self.seconds(&duration.node)?,
        };
        if !seconds.is_finite() || seconds.abs() > 2f64.powi(63) / 1e9 {
            return Err(Failure::BadDuration);
        }
        Ok((seconds * 1000.0) as i64)
    }

    fn seconds(&self, node: &DurationNode) -> Result<f64, Failure> {
        let of_range = (self.times.end - self.times.start) as f64 / 1000.0;
        Ok(match node {
            DurationNode::Number(number) => number.value,
            DurationNode::Step => self.times.step as f64 / 1000.0,
            DurationNode::Range => of_range,
            DurationNode::MinOf(a, b) => {
                number::smaller(self.seconds(&a.node)?, self.seconds(&b.node)?)
            }
            DurationNode::MaxOf(a, b) => {
                number::larger(self.seconds(&a.node)?, self.seconds(&b.node)?)
            }
            DurationNode::Unary(Sign::Plus, inner) => self.seconds(&inner.node)?,
            DurationNode::Unary(Sign::Minus, inner) => -self.seconds(&inner.node)?,
            DurationNode::Binary(op, left, right) => {
                let (left, right) = (self.seconds(&left.node)?, self.seconds(&right.node)?);
                if matches!(op.as_str(), "/" | "%") && right == 0.0 {
                    return Err(Failure::BadDuration);
                }
                instant::operate(op.as_str(), left, right)
            }
        })
    }

    /// Computes every duration of the query, before anything is read.
    pub(super) fn check_durations(&self, expr: &Expr) -> Result<(), Failure> {
        let positive = |length: &Length| match self.millis(length) {
            Ok(_) if matches!(length, Length::Millis(_)) => Ok(()),
            Ok(_) => match length {
                Length::Computed(duration) if self.seconds(&duration.node)? > 0.0 => Ok(()),
                _ => Err(Failure::BadDuration),
            },
            Err(failure) => Err(failure),
        };
        match &expr.node {
            Node::Number(_) | Node::Text(_) => Ok(()),
            Node::Selector(selector) => self.millis(&selector.when.offset).map(drop),
            Node::Range(range) => {
                self.millis(&range.selector.when.offset)?;
                positive(&range.range)
            }
            Node::Subquery(subquery) => {
                self.millis(&subquery.when.offset)?;
                positive(&subquery.range)?;
                subquery.step.as_ref().map_or(Ok(()), positive)?;
                self.check_durations(&subquery.expr)
            }
            Node::Paren(inner) | Node::Unary(_, inner) => self.check_durations(inner),
            Node::Binary(binary) => {
                self.check_durations(&binary.left)?;
                self.check_durations(&binary.right)
            }
            Node::Aggregate(aggregate) => {
                aggregate.param.as_ref().map_or(Ok(()), |param| self.check_durations(param))?;
                self.check_durations(&aggregate.expr)
            }
            Node::Call(call) => call.args.iter().try_for_each(|arg| self.check_durations(arg)),
        }
    }
}
