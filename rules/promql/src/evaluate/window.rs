//! Functions of windows: `rate`, `*_over_time` and their kind.
//!
//! The windows of a series slide over its samples, so that every sample enters and leaves once.
//! What can be carried along is (the places of resets); sums are taken anew in each window, since
//! a sum that is carried along has other bits.

mod counter;
mod fold;
mod trend;

use bellwether_model::select::Column;
use bellwether_model::time::Timestamp;

use super::context::{Context, Evaluated, Grid, Notes, Sink};
use super::frame::{Block, ColMut, Name};
use super::select::{Tracks, in_waves, seconds};
use super::{EvaluateError, arithmetic};
use crate::annotation::Annotation;
use crate::function::WindowBody;
use crate::tree::{Call, Expr, Kind, Span};

/// The samples of one window.
#[derive(Clone, Copy)]
struct View<'a> {
    times: &'a [Timestamp],
    values: &'a [f64],
}

impl View<'_> {
    fn first(&self) -> Option<(i64, f64)> {
        Some((self.times.first()?.0, *self.values.first()?))
    }

    fn last(&self) -> Option<(i64, f64)> {
        Some((self.times.last()?.0, *self.values.last()?))
    }

    fn iter(&self) -> impl Iterator<Item = (i64, f64)> {
        self.times.iter().map(|time| time.0).zip(self.values.iter().copied())
    }
}

/// Where windows lie and the scalars that belong to them.
struct Windows<'a> {
    ends: &'a [i64],
    length: i64,
    grid: Grid,
    scalars: &'a [Vec<f64>],
    /// The expression that the windows are of.
    span: Span,
    /// The first scalar's.
    scalar_span: Span,
}

impl Windows<'_> {
    fn scalar(&self, which: usize, step: usize) -> f64 {
        self.scalars.get(which).and_then(|s| s.get(step)).copied().unwrap_or(f64::NAN)
    }
}

/// A function of windows over series.
pub(crate) fn call(
    context: &Context<'_>,
    call: &Call,
    body: WindowBody,
    grid: Grid,
    notes: &mut Notes,
    sink: Sink<'_>,
) -> Evaluated<()> {
    let mut scalars = Vec::new();
    let mut matrix = None;
    let mut scalar_span = Span::default();
    for arg in &call.args {
        if arg.kind() == Kind::Matrix {
            matrix = Some((arg, Tracks::of(context, arg, grid, notes)?));
        } else {
            if scalars.is_empty() {
                scalar_span = arg.bare().span;
            }
            scalars.push(context.scalar(arg, grid, notes)?);
        }
    }
    let Some((arg, tracks)) = matrix else {
        return Err(EvaluateError::Failed("invariant: a window function has windows".into()));
    };
    let windows = Windows {
        ends: &tracks.ends,
        length: tracks.length,
        grid,
        scalars: &scalars,
        span: arg.bare().span,
        scalar_span,
    };
    let keeps_name = matches!(body, WindowBody::First | WindowBody::Last);
    let part = |part: usize| {
        let mut block = Block::new(grid.count, tracks.part_len(part));
        let mut notes = Notes::default();
        let mut scratch = Scratch::default();
        tracks.each(part, |name, column| {
            let drops_name = name.drops_name || !keeps_name;
            let metric = name.labels.clone();
            let mut result = Ok(());
            let name = Name { labels: name.labels, drops_name };
            let stays = block.push(name, |out| {
                result = slide(body, column, &windows, &mut scratch, &mut notes, out);
            });
            if stays && matches!(body, WindowBody::Rate | WindowBody::Increase) {
                notes.not_a_counter(metric.name(), windows.span);
            }
            result
        })?;
        Ok((block, notes))
    };
    let take = |(block, part): (Block, Notes)| {
        notes.merge(part);
        Ok(block)
    };
    in_waves(context, tracks.parts(), part, take, sink)
}

/// Memory that windows of one part share.
#[derive(Default)]
struct Scratch {
    values: Vec<f64>,
    places: Vec<usize>,
}

fn slide(
    body: WindowBody,
    column: &Column,
    windows: &Windows<'_>,
    scratch: &mut Scratch,
    notes: &mut Notes,
    out: &mut ColMut<'_>,
) -> Evaluated<()> {
    let each = |out: &mut ColMut<'_>, f: &mut dyn FnMut(View<'_>, usize) -> Option<f64>| {
        each_window(column, windows, |view, _, step| {
            if let Some(value) = f(view, step) {
                out.set(step, value);
            }
        });
    };
    match body {
        WindowBody::Rate | WindowBody::Increase | WindowBody::Delta => {
            counter::extrapolated(body, column, windows, &mut scratch.places, out);
        }
        WindowBody::Changes | WindowBody::Resets => {
            counter::counted(body, column, windows, &mut scratch.places, out);
        }
        WindowBody::Irate => each(out, &mut |view, _| counter::instant(view, true)),
        WindowBody::Idelta => each(out, &mut |view, _| counter::instant(view, false)),
        WindowBody::Avg => each(out, &mut |view, _| Some(fold::mean(view.values))),
        WindowBody::Sum => each(out, &mut |view, _| Some(fold::sum(view.values))),
        WindowBody::Count => each(out, &mut |view, _| Some(arithmetic::count(view.values.len()))),
        WindowBody::Present => each(out, &mut |_, _| Some(1.0)),
        WindowBody::First => each(out, &mut |view, _| view.first().map(|(_, value)| value)),
        WindowBody::Last => each(out, &mut |view, _| view.last().map(|(_, value)| value)),
        WindowBody::TimeOfFirst => {
            each(out, &mut |view, _| view.first().map(|(time, _)| seconds(time)));
        }
        WindowBody::TimeOfLast => {
            each(out, &mut |view, _| view.last().map(|(time, _)| seconds(time)));
        }
        WindowBody::Max => {
            each(out, &mut |view, _| fold::extreme(view.values, |new, old| new > old))
        }
        WindowBody::Min => {
            each(out, &mut |view, _| fold::extreme(view.values, |new, old| new < old))
        }
        WindowBody::TimeOfMax => {
            each(out, &mut |view, _| fold::time_of_extreme(view, |new, old| new >= old));
        }
        WindowBody::TimeOfMin => {
            each(out, &mut |view, _| fold::time_of_extreme(view, |new, old| new <= old));
        }
        WindowBody::Stdvar => each(out, &mut |view, _| Some(fold::variance(view.values))),
        WindowBody::Stddev => each(out, &mut |view, _| Some(fold::variance(view.values).sqrt())),
        WindowBody::Mad => {
            each(out, &mut |view, _| Some(fold::deviation(view.values, &mut scratch.values)));
        }
        WindowBody::Quantile => each(out, &mut |view, step| {
            let q = windows.scalar(0, step);
            if !(0.0..=1.0).contains(&q) {
                notes.add(Annotation::bad_quantile(q, windows.scalar_span));
            }
            scratch.values.clear();
            scratch.values.extend_from_slice(view.values);
            Some(arithmetic::quantile(q, &mut scratch.values))
        }),
        WindowBody::Deriv => each(out, &mut |view, _| trend::slope(view)),
        WindowBody::PredictLinear => each(out, &mut |view, step| {
            trend::predicted(view, windows.grid.time(step), windows.scalar(0, step))
        }),
        WindowBody::Smooth => {
            let mut refused = Ok(());
            each(out, &mut |view, step| {
                let (level, slope) = (windows.scalar(0, step), windows.scalar(1, step));
                match trend::smoothed(view.values, level, slope) {
                    Ok(value) => value,
                    Err(message) => {
                        refused = Err(EvaluateError::Failed(message));
                        None
                    }
                }
            });
            return refused;
        }
    }
    Ok(())
}

/// Calls `visit` with the samples of each window that has some, the place of the first of them in
/// the column, and the step.
fn each_window(
    column: &Column,
    windows: &Windows<'_>,
    mut visit: impl FnMut(View<'_>, usize, usize),
) {
    let (times, values) = (column.times.as_slice(), column.values.as_slice());
    let (mut from, mut to) = (0, 0);
    for (step, end) in windows.ends.iter().enumerate() {
        let start = end.saturating_sub(windows.length);
        while times.get(to).is_some_and(|time| time.0 <= *end) {
            to += 1;
        }
        while from < to && times.get(from).is_some_and(|time| time.0 <= start) {
            from += 1;
        }
        if let (Some(times), Some(values)) = (times.get(from..to), values.get(from..to))
            && !times.is_empty()
        {
            visit(View { times, values }, from, step);
        }
    }
}

/// Which steps have a sample in their window in any series.
pub(crate) fn presence(
    context: &Context<'_>,
    arg: &Expr,
    grid: Grid,
    notes: &mut Notes,
) -> Evaluated<Vec<bool>> {
    let tracks = Tracks::of(context, arg, grid, notes)?;
    let windows = Windows {
        ends: &tracks.ends,
        length: tracks.length,
        grid,
        scalars: &[],
        span: arg.span,
        scalar_span: arg.span,
    };
    let parts = crate::pool::map(context.pool, tracks.parts(), |part| {
        let mut present = vec![false; grid.count];
        tracks.each(part, |_, column| {
            each_window(column, &windows, |_, _, step| {
                if let Some(seen) = present.get_mut(step) {
                    *seen = true;
                }
            });
            Ok(())
        })?;
        Ok(present)
    });
    let mut all = vec![false; grid.count];
    for part in parts {
        for (seen, new) in all.iter_mut().zip(part?) {
            *seen |= new;
        }
    }
    Ok(all)
}
