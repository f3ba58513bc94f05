//! Aggregations.
//!
//! Groups are found once per query: a series' key is computed once, not at every step. Values are
//! taken in the order of the series, as Prometheus does, so that sums have its bits.

mod choose;
mod fold;

use std::collections::BTreeMap;

use bellwether_model::label::LabelSet;

use super::context::{Context, Evaluated, Grid, Notes};
use super::frame::{Block, Col, Frame, Name};
use super::key::{self, Keys, Labels};
use super::{EvaluateError, arithmetic};
use crate::annotation::Annotation;
use crate::quote::quote;
use crate::tree::{Aggregate, AggregateOp, Node};

/// The groups of an aggregation as its series come.
pub(super) struct Groups<'a> {
    labels: Labels<'a>,
    keys: Keys,
    pub(super) names: Vec<Name>,
    scratch: Vec<u8>,
}

impl<'a> Groups<'a> {
    fn of(aggregate: &'a Aggregate) -> Groups<'a> {
        let names = aggregate.grouping.iter().map(String::as_str);
        let labels =
            if aggregate.is_without { Labels::without(names) } else { Labels::only(names) };
        Groups { labels, keys: Keys::default(), names: Vec::new(), scratch: Vec::new() }
    }

    /// The number of a series' group.
    pub(super) fn number(&mut self, name: &Name) -> usize {
        self.labels.write(&name.labels, &mut self.scratch);
        let (number, is_new) = self.keys.number(&self.scratch);
        if is_new {
            let labels = self.labels.kept(&name.labels);
            self.names.push(Name { labels, drops_name: name.drops_name });
        } else if name.drops_name
            && let Some(group) = self.names.get_mut(number)
        {
            group.drops_name = true;
        }
        number
    }
}

/// An aggregation.
pub(crate) fn aggregate(
    context: &Context<'_>,
    aggregate: &Aggregate,
    grid: Grid,
    notes: &mut Notes,
) -> Evaluated<Frame> {
    let mut groups = Groups::of(aggregate);
    match aggregate.op {
        AggregateOp::CountValues => count_values(context, aggregate, grid, notes),
        AggregateOp::Bottomk
        | AggregateOp::Topk
        | AggregateOp::Limitk
        | AggregateOp::LimitRatio => {
            let params = param(context, aggregate, grid, notes)?;
            choose::choose(context, aggregate, &params, groups, grid, notes)
        }
        AggregateOp::Quantile => {
            let params = param(context, aggregate, grid, notes)?;
            note_quantiles(aggregate, &params, notes);
            quantile(context, aggregate, &params, groups, grid, notes)
        }
        op => {
            let mut folds = fold::Folds::new(op, grid.count);
            let before = context.held();
            context.stream(aggregate.expr.bare(), grid, notes, &mut |blocks| {
                for (name, col) in blocks.iter().flat_map(Block::iter) {
                    folds.add(groups.number(name), col);
                }
                context.hold(before.saturating_add(folds.size()))
            })?;
            Ok(folds.finish(groups.names))
        }
    }
}

fn param(
    context: &Context<'_>,
    aggregate: &Aggregate,
    grid: Grid,
    notes: &mut Notes,
) -> Evaluated<Vec<f64>> {
    match &aggregate.param {
        Some(param) => context.scalar(param.bare(), grid, notes),
        None => Err(EvaluateError::Failed("invariant: parameters are checked".to_owned())),
    }
}

/// The least and the greatest of a parameter; NaN counts for neither.
pub(super) fn extent(params: &[f64]) -> (f64, f64) {
    let start = (f64::INFINITY, f64::NEG_INFINITY);
    params.iter().filter(|p| !p.is_nan()).fold(start, |(least, greatest), p| {
        (arithmetic::least(least, *p), arithmetic::greatest(greatest, *p))
    })
}

fn note_quantiles(aggregate: &Aggregate, params: &[f64], notes: &mut Notes) {
    let span = aggregate.param.as_ref().map(|param| param.bare().span).unwrap_or_default();
    if params.iter().any(|q| q.is_nan()) {
        notes.add(Annotation::bad_quantile(f64::NAN, span));
        return;
    }
    let (least, greatest) = extent(params);
    if greatest > 1.0 {
        notes.add(Annotation::bad_quantile(greatest, span));
    }
    if least < 0.0 {
        notes.add(Annotation::bad_quantile(least, span));
    }
}

fn quantile(
    context: &Context<'_>,
    aggregate: &Aggregate,
    params: &[f64],
    mut groups: Groups<'_>,
    grid: Grid,
    notes: &mut Notes,
) -> Evaluated<Frame> {
    let frame = context.frame(aggregate.expr.bare(), grid, notes)?;
    let mut members: Vec<Vec<Col<'_>>> = Vec::new();
    for (name, col) in frame.iter() {
        let number = groups.number(name);
        if number == members.len() {
            members.push(Vec::new());
        }
        members.iter_mut().skip(number).take(1).for_each(|group| group.push(col));
    }
    context.room(grid, members.len())?;
    let items: Vec<(Name, Vec<Col<'_>>)> = groups.names.into_iter().zip(members).collect();
    let blocks = crate::pool::map_items(context.pool, items, |(name, group)| {
        let mut block = Block::new(grid.count, 1);
        let mut values = Vec::with_capacity(group.len());
        block.push(name, |out| {
            for (step, q) in params.iter().enumerate() {
                values.clear();
                values.extend(group.iter().filter_map(|col| col.get(step)));
                if !values.is_empty() {
                    out.set(step, arithmetic::quantile(*q, &mut values));
                }
            }
        });
        block
    });
    Ok(Frame { steps: grid.count, blocks })
}

/// `count_values`: one series per group and value.
fn count_values(
    context: &Context<'_>,
    aggregate: &Aggregate,
    grid: Grid,
    notes: &mut Notes,
) -> Evaluated<Frame> {
    let Some(Node::Text(label)) = aggregate.param.as_ref().map(|param| &param.bare().node) else {
        return Err(EvaluateError::Failed("invariant: parameters are checked".to_owned()));
    };
    if label.is_empty() {
        return Err(EvaluateError::Failed(format!("invalid label name {}", quote(label))));
    }
    let names = aggregate.grouping.iter().map(String::as_str);
    let labels = if aggregate.is_without {
        Labels::without(names)
    } else {
        Labels::only(names.chain([label.as_str()]))
    };
    let mut counts: Vec<(LabelSet, BTreeMap<usize, f64>)> = Vec::new();
    let mut keys = Keys::default();
    let mut scratch = Vec::new();
    let mut held = 0;
    context.stream(aggregate.expr.bare(), grid, notes, &mut |blocks| {
        for (name, col) in blocks.iter().flat_map(Block::iter) {
            let mut last: Option<(u64, usize)> = None;
            for (step, value) in col.iter() {
                let number = match last {
                    Some((bits, number)) if bits == value.to_bits() => number,
                    _ => {
                        let mut pairs: BTreeMap<&str, &str> = name.labels.iter().collect();
                        let shown = plain(value);
                        pairs.insert(label, &shown);
                        let set = key::labels(pairs);
                        labels.write(&set, &mut scratch);
                        let (number, is_new) = keys.number(&scratch);
                        if is_new {
                            counts.push((labels.kept(&set), BTreeMap::new()));
                        }
                        number
                    }
                };
                last = Some((value.to_bits(), number));
                if let Some((_, steps)) = counts.get_mut(number) {
                    held += usize::from(!steps.contains_key(&step));
                    *steps.entry(step).or_insert(0.0) += 1.0;
                }
            }
            context.check(held)?;
        }
        Ok(())
    })?;
    context.room(grid, counts.len())?;
    let mut block = Block::new(grid.count, counts.len());
    for (labels, steps) in counts {
        block.push(Name { labels, drops_name: false }, |out| {
            steps.into_iter().for_each(|(step, count)| out.set(step, count));
        });
    }
    Ok(Frame::of(grid.count, block))
}

/// As `strconv.FormatFloat` with `'f', -1`.
pub(super) fn plain(value: f64) -> String {
    match value {
        v if v.is_nan() => "NaN".to_owned(),
        v if v.is_infinite() => if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        v => v.to_string(),
    }
}
