//! Selectors: the samples of series, read once for all steps.

use std::ops::ControlFlow;

use bellwether_model::label::LabelSet;
use bellwether_model::select::{Column, Window};
use bellwether_model::series::{SeriesRef, is_stale};
use bellwether_model::time::Timestamp;

use super::context::{Context, Evaluated, Grid, Sink};
use super::frame::{BLOCK, Block, Frame, Name};
use crate::pool;
use crate::tree::{Expr, Node, RangeSelector, Selector, Subquery};

/// Blocks made before they are handed on, per thread of the pool.
const WAVE: usize = 8;

/// Whether a step's value is the sample's or its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    Value,
    Time,
}

/// Makes blocks part by part, a wave at a time, and hands them on in order.
pub(crate) fn in_waves<T: Send>(
    context: &Context<'_>,
    parts: usize,
    part: impl Fn(usize) -> Evaluated<T> + Sync,
    mut take: impl FnMut(T) -> Evaluated<Block>,
    sink: Sink<'_>,
) -> Evaluated<()> {
    let wave = context.pool.width().max(1) * WAVE;
    let mut from = 0;
    while from < parts {
        let count = wave.min(parts - from);
        let made = pool::map(context.pool, count, |i| part(from + i));
        let blocks = made.into_iter().map(|one| take(one?)).collect::<Evaluated<Vec<_>>>()?;
        context.check(blocks.iter().map(Block::size).sum())?;
        sink(blocks)?;
        from += count;
    }
    Ok(())
}

/// The series of a selector that may have samples in a window.
fn found(context: &Context<'_>, selector: &Selector, window: Window) -> Evaluated<Vec<SeriesRef>> {
    let left = context.left();
    let series = context.view.series(&selector.matchers, window, left);
    context.check(series.len())?;
    Ok(series)
}

fn block_of(series: &[SeriesRef], part: usize) -> &[SeriesRef] {
    let from = part * BLOCK;
    series.get(from..(from + BLOCK).min(series.len())).unwrap_or(&[])
}

/// Calls `visit` with each series that has samples in a window.
fn each(
    context: &Context<'_>,
    series: &[SeriesRef],
    window: Window,
    mut visit: impl FnMut(LabelSet, &mut Column) -> Evaluated<()>,
) -> Evaluated<()> {
    let mut result = Ok(());
    context.view.each(series, window, &mut |labels, column| {
        result = context.check(column.len());
        if result.is_ok() && !column.is_empty() {
            result = visit(labels, column);
        }
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    result
}

/// The last sample of each series at each step.
pub(crate) fn instant(
    context: &Context<'_>,
    selector: &Selector,
    take: Take,
    grid: Grid,
    sink: Sink<'_>,
) -> Evaluated<()> {
    let reads = context.reads(&selector.when, grid)?;
    let Some(window) = span(&reads, context.lookback) else { return Ok(()) };
    let series = found(context, selector, window)?;
    let part = |part: usize| {
        let refs = block_of(&series, part);
        let mut block = Block::new(grid.count, refs.len());
        each(context, refs, window, |labels, column| {
            block.push(Name { labels, drops_name: false }, |out| {
                last_at_steps(column, &reads, context.lookback, take, |step, value| {
                    out.set(step, value);
                });
            });
            Ok(())
        })?;
        Ok(block)
    };
    in_waves(context, series.len().div_ceil(BLOCK), part, Ok, sink)
}

/// One walk: the times read never go back.
fn last_at_steps(
    column: &Column,
    reads: &[i64],
    lookback: i64,
    take: Take,
    mut set: impl FnMut(usize, f64),
) {
    let (times, values) = (column.times.as_slice(), column.values.as_slice());
    let mut next = 0;
    for (step, read) in reads.iter().enumerate() {
        while times.get(next).is_some_and(|time| time.0 <= *read) {
            next += 1;
        }
        let Some(last) = next.checked_sub(1) else { continue };
        let (Some(time), Some(value)) = (times.get(last), values.get(last)) else { continue };
        if time.0 > read.saturating_sub(lookback) && !is_stale(*value) {
            set(step, if take == Take::Value { *value } else { seconds(time.0) });
        }
    }
}

/// Milliseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "as Prometheus converts")]
pub(crate) fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

/// The window that all windows of a length which end at `ends` lie in.
fn span(ends: &[i64], length: i64) -> Option<Window> {
    let (first, last) = (ends.first()?, ends.last()?);
    Some(Window { start: Timestamp(first.saturating_sub(length)), end: Timestamp(*last) })
}

/// Series whose samples are read window by window.
pub(crate) struct Tracks<'a> {
    context: &'a Context<'a>,
    source: Source,
    /// Where the windows end, step by step; never falling.
    pub(crate) ends: Vec<i64>,
    /// Length of the windows, in milliseconds.
    pub(crate) length: i64,
}

enum Source {
    Stored(Vec<SeriesRef>, Window),
    /// The values of a subquery at its own times.
    Computed(Frame, Vec<Timestamp>),
}

impl<'a> Tracks<'a> {
    /// The tracks of a range selector or a subquery.
    pub(crate) fn of(
        context: &'a Context<'a>,
        expr: &Expr,
        grid: Grid,
        notes: &mut super::context::Notes,
    ) -> Evaluated<Tracks<'a>> {
        match &expr.bare().node {
            Node::Range(range) => Tracks::stored(context, range, grid),
            Node::Subquery(subquery) => Tracks::computed(context, subquery, grid, notes),
            _ => Err(super::unsupported(expr)),
        }
    }

    fn stored(
        context: &'a Context<'a>,
        range: &RangeSelector,
        grid: Grid,
    ) -> Evaluated<Tracks<'a>> {
        let length = context.positive(&range.range)?;
        let ends = context.reads(&range.selector.when, grid)?;
        let source = match span(&ends, length) {
            None => Source::Computed(Frame::new(0), Vec::new()),
            Some(window) => Source::Stored(found(context, &range.selector, window)?, window),
        };
        Ok(Tracks { context, source, ends, length })
    }

    fn computed(
        context: &'a Context<'a>,
        subquery: &Subquery,
        grid: Grid,
        notes: &mut super::context::Notes,
    ) -> Evaluated<Tracks<'a>> {
        let length = context.positive(&subquery.range)?;
        let ends = context.reads(&subquery.when, grid)?;
        let step = match &subquery.step {
            None => context.subquery_step,
            Some(step) => context.positive(step)?.max(1),
        };
        let inner = match span(&ends, length) {
            None => Grid { start: 0, step, count: 0, is_range: false },
            Some(window) => aligned(window, step),
        };
        context.check(inner.count)?;
        let frame = context.frame(&subquery.expr, inner, notes)?;
        let times = inner.times().map(Timestamp).collect();
        Ok(Tracks { context, source: Source::Computed(frame, times), ends, length })
    }

    /// Into how many parts the series are cut.
    pub(crate) fn parts(&self) -> usize {
        match &self.source {
            Source::Stored(series, _) => series.len().div_ceil(BLOCK),
            Source::Computed(frame, _) => frame.blocks.len(),
        }
    }

    /// Series in a part, at most.
    pub(crate) fn part_len(&self, part: usize) -> usize {
        match &self.source {
            Source::Stored(series, _) => block_of(series, part).len(),
            Source::Computed(frame, _) => frame.blocks.get(part).map_or(0, Block::len),
        }
    }

    /// Calls `visit` with each series of a part that has samples, stale markers left out.
    pub(crate) fn each(
        &self,
        part: usize,
        mut visit: impl FnMut(Name, &Column) -> Evaluated<()>,
    ) -> Evaluated<()> {
        match &self.source {
            Source::Stored(series, window) => {
                each(self.context, block_of(series, part), *window, |labels, column| {
                    without_markers(column);
                    if column.is_empty() {
                        return Ok(());
                    }
                    visit(Name { labels, drops_name: false }, column)
                })?;
            }
            Source::Computed(frame, times) => {
                let mut column = Column::default();
                for (name, col) in frame.blocks.get(part).iter().flat_map(|block| block.iter()) {
                    self.context.check(0)?;
                    column.clear();
                    col.each(|step, value| {
                        if let Some(time) = times.get(step) {
                            column.push(*time, value);
                        }
                    });
                    visit(name.clone(), &column)?;
                }
            }
        }
        Ok(())
    }
}

/// The times in a window that are multiples of a step.
fn aligned(window: Window, step: i64) -> Grid {
    let first = window.start.0.div_euclid(step).saturating_add(1).saturating_mul(step);
    let after = window.end.0.saturating_sub(first);
    let count = if after < 0 { 0 } else { usize::try_from(after / step + 1).unwrap_or(0) };
    Grid { start: first, step, count, is_range: first < window.end.0 }
}

fn without_markers(column: &mut Column) {
    if !column.values.iter().any(|value| is_stale(*value)) {
        return;
    }
    let Column { times, values } = column;
    let mut stale = values.iter().map(|value| is_stale(*value));
    times.retain(|_| !stale.next().unwrap_or(false));
    values.retain(|value| !is_stale(*value));
}
