//! Calls of functions.

use bellwether_model::label::LabelSet;

use super::calendar::Moment;
use super::context::{Context, Evaluated, Grid, Notes, Sink};
use super::frame::{Block, Frame, Name};
use super::node::scalar_block;
use super::select::{self, Take, seconds};
use super::{EvaluateError, arithmetic, histogram, info, labels, sort, window};
use crate::function::Body;
use crate::tree::{Call, Expr, Kind, Node, Span};

/// A function that yields a vector.
#[expect(clippy::too_many_lines, reason = "one match, an arm a function")]
pub(crate) fn stream(
    context: &Context<'_>,
    call: &Call,
    span: Span,
    grid: Grid,
    notes: &mut Notes,
    sink: Sink<'_>,
) -> Evaluated<()> {
    let arg = |i: usize| argument(call, i);
    match call.function.body {
        Body::Each(f) => mapped(context, arg(0)?, grid, notes, f, sink),
        Body::Calendar(f) => match call.args.first() {
            Some(arg) => mapped(context, arg, grid, notes, |value| f(Moment::of(value)), sink),
            None => {
                // Cut towards 1970, as in Prometheus.
                let at = |time: i64| f(Moment::at(time / 1000));
                sink(vec![scalar_block(&grid.times().map(at).collect::<Vec<_>>())])
            }
        },
        Body::Window(body) => window::call(context, call, body, grid, notes, sink),
        Body::Absent => {
            let mut present = vec![false; grid.count];
            context.stream(arg(0)?, grid, notes, &mut |blocks| {
                for (_, col) in blocks.iter().flat_map(Block::iter) {
                    col.each(|step, _| {
                        present.iter_mut().skip(step).take(1).for_each(|p| *p = true)
                    });
                }
                Ok(())
            })?;
            sink(vec![absent(arg(0)?, &present, false)])
        }
        Body::AbsentOverTime => {
            let present = window::presence(context, arg(0)?, grid, notes)?;
            sink(vec![absent(arg(0)?, &present, true)])
        }
        Body::Clamp | Body::ClampMax | Body::ClampMin => clamp(context, call, grid, notes, sink),
        Body::Round => {
            let nearest = match call.args.get(1) {
                Some(arg) => context.scalar(arg, grid, notes)?,
                None => vec![1.0; grid.count],
            };
            context.stream(arg(0)?, grid, notes, &mut |blocks| {
                sink(context.changed(blocks, |block| {
                    block.choose(|step, value| {
                        let inverse = 1.0 / nearest.get(step).copied().unwrap_or(1.0);
                        Some((value * inverse + 0.5).floor() / inverse)
                    });
                    block.drop_names();
                }))
            })
        }
        Body::Timestamp => timestamp(context, arg(0)?, grid, notes, sink),
        Body::Vector => {
            let values = context.scalar(arg(0)?, grid, notes)?;
            sink(vec![scalar_block(&values)])
        }
        Body::Nothing => context.stream(arg(0)?, grid, notes, &mut |_| Ok(())),
        Body::HistogramFraction | Body::HistogramQuantile | Body::HistogramQuantiles => {
            whole(context, grid, sink, |grid| histogram::call(context, call, grid, notes))
        }
        Body::LabelJoin => {
            whole(context, grid, sink, |grid| labels::join(context, call, grid, notes))
        }
        Body::LabelReplace => {
            whole(context, grid, sink, |grid| labels::replace(context, call, grid, notes))
        }
        Body::Sort(_) | Body::SortByLabel(_) => {
            whole(context, grid, sink, |grid| sort::call(context, call, span, grid, notes))
        }
        Body::Info => whole(context, grid, sink, |grid| info::call(context, call, grid, notes)),
        Body::End
        | Body::MaxOf
        | Body::MinOf
        | Body::Pi
        | Body::Range
        | Body::Scalar
        | Body::Start
        | Body::Step
        | Body::Time => sink(vec![scalar_block(&scalar(context, call, grid, notes)?)]),
    }
}

/// A node that is made whole and then handed on.
fn whole(
    context: &Context<'_>,
    grid: Grid,
    sink: Sink<'_>,
    make: impl FnOnce(Grid) -> Evaluated<Frame>,
) -> Evaluated<()> {
    let before = context.held();
    let frame = make(grid)?;
    context.hold(before)?;
    sink(frame.blocks)
}

/// A function that yields a number.
pub(crate) fn scalar(
    context: &Context<'_>,
    call: &Call,
    grid: Grid,
    notes: &mut Notes,
) -> Evaluated<Vec<f64>> {
    let constant = |value: f64| Ok(vec![value; grid.count]);
    match call.function.body {
        Body::Time => Ok(grid.times().map(seconds).collect()),
        Body::Pi => constant(std::f64::consts::PI),
        Body::Start => constant(seconds(context.query.start.0)),
        Body::End => constant(seconds(context.query.end.0)),
        Body::Range => constant(context.query_range()),
        Body::Step if context.query.start == context.query.end => constant(0.0),
        Body::Step => constant(seconds(context.query.step)),
        Body::MaxOf | Body::MinOf => {
            let mut left = context.scalar(argument(call, 0)?, grid, notes)?;
            let right = context.scalar(argument(call, 1)?, grid, notes)?;
            let is_max = matches!(call.function.body, Body::MaxOf);
            for (left, right) in left.iter_mut().zip(right) {
                let choose = if is_max { arithmetic::greatest } else { arithmetic::least };
                *left = choose(*left, right);
            }
            Ok(left)
        }
        Body::Scalar => {
            let mut found = vec![None; grid.count];
            context.stream(argument(call, 0)?, grid, notes, &mut |blocks| {
                for (_, col) in blocks.iter().flat_map(Block::iter) {
                    col.each(|step, value| {
                        if let Some(one) = found.get_mut(step) {
                            // A second value makes it none.
                            *one = Some(if one.is_none() { value } else { f64::NAN });
                        }
                    });
                }
                Ok(())
            })?;
            Ok(found.into_iter().map(|one| one.unwrap_or(f64::NAN)).collect())
        }
        _ => Err(EvaluateError::Failed("invariant: the function yields a number".to_owned())),
    }
}

/// An argument of a call, without parentheses around it.
pub(crate) fn argument(call: &Call, i: usize) -> Evaluated<&Expr> {
    let missing = || EvaluateError::Failed("invariant: arguments are counted".to_owned());
    call.args.get(i).map(Expr::bare).ok_or_else(missing)
}

/// A string among the arguments.
pub(crate) fn text(call: &Call, i: usize) -> Evaluated<&str> {
    match &argument(call, i)?.node {
        Node::Text(text) => Ok(text),
        _ => Err(EvaluateError::Failed("invariant: kinds of arguments are checked".to_owned())),
    }
}

fn mapped(
    context: &Context<'_>,
    arg: &Expr,
    grid: Grid,
    notes: &mut Notes,
    f: impl Fn(f64) -> f64 + Sync,
    sink: Sink<'_>,
) -> Evaluated<()> {
    context.stream(arg, grid, notes, &mut |blocks| {
        sink(context.changed(blocks, |block| {
            block.change(&f);
            block.drop_names();
        }))
    })
}

fn clamp(
    context: &Context<'_>,
    call: &Call,
    grid: Grid,
    notes: &mut Notes,
    sink: Sink<'_>,
) -> Evaluated<()> {
    let bound = |i: usize, notes: &mut Notes| context.scalar(argument(call, i)?, grid, notes);
    let (least, greatest) = match call.function.body {
        Body::ClampMax => (vec![f64::NEG_INFINITY; grid.count], bound(1, notes)?),
        Body::ClampMin => (bound(1, notes)?, vec![f64::INFINITY; grid.count]),
        _ => (bound(1, notes)?, bound(2, notes)?),
    };
    context.stream(argument(call, 0)?, grid, notes, &mut |blocks| {
        sink(context.changed(blocks, |block| {
            block.choose(|step, value| {
                let (least, greatest) = (*least.get(step)?, *greatest.get(step)?);
                let inside = arithmetic::greatest(least, arithmetic::least(greatest, value));
                if greatest < least { None } else { Some(inside) }
            });
            block.drop_names();
        }))
    })
}

/// The times of a selector's samples; of anything else the step's time.
fn timestamp(
    context: &Context<'_>,
    arg: &Expr,
    grid: Grid,
    notes: &mut Notes,
    sink: Sink<'_>,
) -> Evaluated<()> {
    let mut named = |blocks| sink(context.changed(blocks, |block: &mut Block| block.drop_names()));
    if let Node::Selector(selector) = &arg.node {
        return select::instant(context, selector, Take::Time, grid, &mut named);
    }
    context.stream(arg, grid, notes, &mut |blocks| {
        named(context.changed(blocks, |block| {
            block.choose(|step, _| Some(seconds(grid.time(step))));
        }))
    })
}

/// 1 where nothing is present, with the labels that a selector asks for.
fn absent(arg: &Expr, present: &[bool], drops_name: bool) -> Block {
    let labels = match &arg.node {
        Node::Selector(selector) => labels::asked(&selector.matchers),
        Node::Range(range) => labels::asked(&range.selector.matchers),
        _ => LabelSet::default(),
    };
    debug_assert!(matches!(arg.kind(), Kind::Vector | Kind::Matrix), "absent of a vector");
    let mut block = Block::new(present.len(), 1);
    block.push(Name { labels, drops_name }, |out| {
        present.iter().enumerate().filter(|(_, p)| !**p).for_each(|(step, _)| out.set(step, 1.0));
    });
    block
}
