//! From node to node.

use bellwether_model::label::LabelSet;

use super::aggregate;
use super::binary;
use super::context::{Context, Evaluated, Grid, Notes, Sink, collected};
use super::frame::{Block, Frame, Name};
use super::select::{self, Take};
use super::{call, unsupported};
use crate::pool;
use crate::tree::{Expr, Kind, Node, Sign};

impl Context<'_> {
    /// The series of a vector, all at once.
    pub(crate) fn frame(&self, expr: &Expr, grid: Grid, notes: &mut Notes) -> Evaluated<Frame> {
        collected(self, grid, |sink| self.stream(expr, grid, notes, sink))
    }

    /// The series of a vector, handed on block by block, in order.
    pub(crate) fn stream(
        &self,
        expr: &Expr,
        grid: Grid,
        notes: &mut Notes,
        sink: Sink<'_>,
    ) -> Evaluated<()> {
        self.check(0)?;
        match self.remembered(expr, grid) {
            Some((remembered, part)) => remembered
                .stream(part, notes, sink, |notes, sink| self.streamed(expr, grid, notes, sink)),
            None => self.streamed(expr, grid, notes, sink),
        }
    }

    fn streamed(
        &self,
        expr: &Expr,
        grid: Grid,
        notes: &mut Notes,
        sink: Sink<'_>,
    ) -> Evaluated<()> {
        if expr.kind() == Kind::Scalar {
            let values = self.scalar(expr, grid, notes)?;
            return sink(vec![scalar_block(&values)]);
        }
        match &expr.node {
            Node::Selector(selector) => select::instant(self, selector, Take::Value, grid, sink),
            Node::Paren(inner) | Node::Unary(Sign::Plus, inner) => {
                self.stream(inner, grid, notes, sink)
            }
            Node::Unary(Sign::Minus, inner) => self.stream(inner, grid, notes, &mut |blocks| {
                sink(self.changed(blocks, |block| {
                    block.change(|value| -value);
                    block.drop_names();
                }))
            }),
            Node::Binary(binary) => binary::stream(self, binary, grid, notes, sink),
            Node::Aggregate(aggregate) => {
                let before = self.held();
                let frame = aggregate::aggregate(self, aggregate, grid, notes)?;
                self.hold(before)?;
                sink(frame.blocks)
            }
            Node::Call(one) => call::stream(self, one, expr.span, grid, notes, sink),
            _ => Err(unsupported(expr)),
        }
    }

    /// The number of each step.
    pub(crate) fn scalar(&self, expr: &Expr, grid: Grid, notes: &mut Notes) -> Evaluated<Vec<f64>> {
        self.room(grid, 1)?;
        match &expr.node {
            Node::Number(number) => Ok(vec![number.value; grid.count]),
            Node::Paren(inner) | Node::Unary(Sign::Plus, inner) => self.scalar(inner, grid, notes),
            Node::Unary(Sign::Minus, inner) => {
                let mut values = self.scalar(inner, grid, notes)?;
                values.iter_mut().for_each(|value| *value = -*value);
                Ok(values)
            }
            Node::Binary(binary) => {
                let mut left = self.scalar(&binary.left, grid, notes)?;
                let right = self.scalar(&binary.right, grid, notes)?;
                for (left, right) in left.iter_mut().zip(right) {
                    *left = super::arithmetic::number(binary.op, *left, right);
                }
                Ok(left)
            }
            Node::Call(one) => call::scalar(self, one, grid, notes),
            _ => Err(unsupported(expr)),
        }
    }

    /// Blocks changed one by one.
    pub(crate) fn changed(
        &self,
        blocks: Vec<Block>,
        change: impl Fn(&mut Block) + Sync,
    ) -> Vec<Block> {
        pool::map_items(self.pool, blocks, |mut block| {
            change(&mut block);
            block
        })
    }
}

/// A number per step as a vector of one series without labels.
pub(crate) fn scalar_block(values: &[f64]) -> Block {
    let mut block = Block::new(values.len(), 1);
    let name = Name { labels: LabelSet::default(), drops_name: false };
    block.push(name, |out| {
        values.iter().enumerate().for_each(|(step, value)| out.set(step, *value));
    });
    block
}
