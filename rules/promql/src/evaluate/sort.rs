//! Orders of a vector: by value or by labels.

use std::cmp::Ordering;

use super::EvaluateError;
use super::arithmetic::rising;
use super::call::{argument, text};
use super::context::{Context, Evaluated, Grid, Notes};
use super::frame::{Block, Col, Frame, Name};
use crate::annotation::Annotation;
use crate::function::{Body, Order};
use crate::tree::{Call, Span};

/// `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`; without effect over several steps.
pub(crate) fn call(
    context: &Context<'_>,
    call: &Call,
    span: Span,
    grid: Grid,
    notes: &mut Notes,
) -> Evaluated<Frame> {
    let frame = context.frame(argument(call, 0)?, grid, notes)?;
    if !grid.is_single() {
        notes.add(Annotation::sorted_range(span));
        return Ok(frame);
    }
    let mut rows: Vec<(&Name, Col<'_>)> = frame.iter().collect();
    let value = |(_, col): &(&Name, Col<'_>)| col.get(0).unwrap_or(f64::NAN);
    match call.function.body {
        // NaN comes last in either order.
        Body::Sort(Order::Rising) => rows.sort_by(|a, b| nan_last(value(a), value(b), false)),
        Body::Sort(Order::Falling) => rows.sort_by(|a, b| nan_last(value(a), value(b), true)),
        Body::SortByLabel(order) => {
            let labels =
                (1..call.args.len()).map(|i| text(call, i)).collect::<Evaluated<Vec<_>>>()?;
            rows.sort_by(|(a, _), (b, _)| {
                let rising = by_labels(&labels, a, b);
                if order == Order::Rising { rising } else { rising.reverse() }
            });
        }
        _ => return Err(EvaluateError::Failed("invariant: the function sorts".to_owned())),
    }
    let mut block = Block::new(grid.count, rows.len());
    rows.into_iter().for_each(|(name, col)| block.push_copy(name.clone(), col));
    Ok(Frame::of(grid.count, block))
}

fn nan_last(a: f64, b: f64, falling: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) if falling => rising(&b, &a),
        (false, false) => rising(&a, &b),
        (a, b) => a.cmp(&b),
    }
}

fn by_labels(labels: &[&str], a: &Name, b: &Name) -> Ordering {
    for label in labels {
        let (a, b) = (a.labels.get(label).unwrap_or(""), b.labels.get(label).unwrap_or(""));
        let order = natural(a, b);
        if order != Ordering::Equal {
            return order;
        }
    }
    a.labels.cmp(&b.labels)
}

/// Runs of digits as numbers, everything else as text.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        match (chunk(&mut left), chunk(&mut right)) {
            (None, None) => return a.cmp(b),
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => {
                let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
                let order = if is_number(x) && is_number(y) {
                    let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
                    x.len().cmp(&y.len()).then_with(|| x.cmp(y))
                } else {
                    x.cmp(y)
                };
                if order != Ordering::Equal {
                    return order;
                }
            }
        }
    }
}

/// Takes a run of digits, or of anything else.
fn chunk<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let digit = rest.bytes().next()?.is_ascii_digit();
    let end = rest.bytes().position(|byte| byte.is_ascii_digit() != digit).unwrap_or(rest.len());
    let (chunk, after) = rest.split_at_checked(end)?;
    *rest = after;
    Some(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_labels_sort_by_value() {
        let mut texts = ["a10", "a2", "", "b", "a02", "10", "9"];
        texts.sort_by(|a, b| natural(a, b));
        assert_eq!(texts, ["", "9", "10", "a02", "a2", "a10", "b"]);
    }
}
