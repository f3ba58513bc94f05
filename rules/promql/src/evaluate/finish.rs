//! The end of a query: metric names taken off, series in order.

use bellwether_model::label::LabelSet;
use bellwether_model::select::Column;
use bellwether_model::time::Timestamp;

use super::context::{Context, Evaluated, Grid, Notes};
use super::frame::{Frame, Name};
use super::key::Keys;
use super::labels::{SAME_LABELS, merged, without_metric};
use super::select::Tracks;
use super::{EvaluateError, Value};
use crate::tree::{Expr, Kind, Node};

/// The value of a query at one time.
pub(super) fn instant(
    context: &Context<'_>,
    expr: &Expr,
    grid: Grid,
    notes: &mut Notes,
) -> Evaluated<Value> {
    match expr.kind() {
        Kind::Text => match &expr.bare().node {
            Node::Text(text) => Ok(Value::Text(text.clone())),
            _ => Err(super::unsupported(expr)),
        },
        Kind::Scalar => {
            let values = context.scalar(expr, grid, notes)?;
            Ok(Value::Scalar(values.first().copied().unwrap_or(f64::NAN)))
        }
        Kind::Matrix => samples(context, expr, grid, notes),
        Kind::Vector => {
            let frame = named(context.frame(expr, grid, notes)?);
            let value = |(name, col): (&Name, super::frame::Col<'_>)| {
                Some((name.labels.clone(), col.get(0)?))
            };
            let vector: Vec<(LabelSet, f64)> = frame.iter().filter_map(value).collect();
            let mut keys = Keys::default();
            if !vector.iter().all(|(labels, _)| keys.number(labels.as_bytes()).1) {
                return Err(EvaluateError::Failed(SAME_LABELS.to_owned()));
            }
            Ok(Value::Vector(vector))
        }
    }
}

/// The values of a query at the steps of a range.
pub(super) fn range(
    context: &Context<'_>,
    expr: &Expr,
    grid: Grid,
    notes: &mut Notes,
) -> Evaluated<Value> {
    if matches!(expr.kind(), Kind::Matrix | Kind::Text) {
        return Err(EvaluateError::NotForRange(expr.kind().documented()));
    }
    let frame = merged(named(context.frame(expr, grid, notes)?))?;
    let mut matrix: Vec<(LabelSet, Column)> = Vec::with_capacity(frame.len());
    for (name, col) in frame.iter() {
        let mut column = Column::default();
        let len = col.count();
        column.times.reserve_exact(len);
        column.values.reserve_exact(len);
        col.each(|step, value| column.push(Timestamp(grid.time(step)), value));
        if len > 0 {
            matrix.push((name.labels.clone(), column));
        }
    }
    matrix.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(Value::Matrix(matrix))
}

/// The samples of a range selector or subquery.
fn samples(context: &Context<'_>, expr: &Expr, grid: Grid, notes: &mut Notes) -> Evaluated<Value> {
    let tracks = Tracks::of(context, expr, grid, notes)?;
    let mut matrix: Vec<(LabelSet, Column)> = Vec::new();
    let mut held = context.held();
    for part in 0..tracks.parts() {
        tracks.each(part, |name, column| {
            held = held.saturating_add(column.len());
            context.hold(held)?;
            let labels = if name.drops_name { without_metric(&name.labels) } else { name.labels };
            matrix.push((labels, column.clone()));
            Ok(())
        })?;
    }
    matrix.sort_by(|(a, _), (b, _)| a.cmp(b));
    let repeats = matrix.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b));
    if repeats {
        return Err(EvaluateError::Failed(SAME_LABELS.to_owned()));
    }
    Ok(Value::Matrix(matrix))
}

/// Takes the metric's name off where it was marked.
fn named(mut frame: Frame) -> Frame {
    for name in frame.blocks.iter_mut().flat_map(|block| &mut block.names) {
        if name.drops_name {
            *name = Name { labels: without_metric(&name.labels), drops_name: false };
        }
    }
    frame
}
