//! Aggregations that choose series of a group: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use super::super::EvaluateError;
use super::super::arithmetic::index;
use super::super::context::{Context, Evaluated, Grid, Notes};
use super::super::frame::{Block, Col, Frame, Name};
use super::super::key;
use super::{Groups, extent};
use crate::annotation::Annotation;
use crate::tree::{Aggregate, AggregateOp};

/// A value and the place of its series.
type Ranked = (f64, usize);

/// Which of two values lies nearer to the root of a heap.
type Below = fn(f64, f64) -> bool;

pub(super) fn choose(
    context: &Context<'_>,
    aggregate: &Aggregate,
    params: &[f64],
    mut groups: Groups<'_>,
    grid: Grid,
    notes: &mut Notes,
) -> Evaluated<Frame> {
    let frame = context.frame(aggregate.expr.bare(), grid, notes)?;
    if !check(aggregate, params, notes)? {
        return Ok(Frame::new(grid.count));
    }
    let rows: Vec<(&Name, Col<'_>)> = frame.iter().collect();
    let numbers: Vec<usize> = rows.iter().map(|(name, _)| groups.number(name)).collect();
    if aggregate.op == AggregateOp::LimitRatio {
        return Ok(by_ratio(&rows, params, grid));
    }
    // As many as there are series are all.
    let counts: Vec<usize> = params.iter().map(|k| index(*k).min(rows.len())).collect();
    let kept = match aggregate.op {
        AggregateOp::Topk => ranked(&rows, &numbers, groups.names.len(), &counts, below),
        AggregateOp::Bottomk => ranked(&rows, &numbers, groups.names.len(), &counts, above),
        _ => first(&rows, &numbers, groups.names.len(), &counts),
    };
    if grid.is_single() {
        return Ok(in_order(&rows, &kept, grid));
    }
    let mut chosen: Vec<Vec<usize>> = vec![Vec::new(); rows.len()];
    for (place, heap) in kept.iter().enumerate() {
        for (_, row) in heap {
            let step = place % grid.count.max(1);
            chosen.iter_mut().skip(*row).take(1).for_each(|steps| steps.push(step));
        }
    }
    Ok(only(&rows, &chosen, grid))
}

/// Whether anything is chosen at all.
fn check(aggregate: &Aggregate, params: &[f64], notes: &mut Notes) -> Evaluated<bool> {
    let failed = |message: String| Err(EvaluateError::Failed(message));
    let (least, greatest) = extent(params);
    let has_nan = params.iter().any(|param| param.is_nan());
    let span = aggregate.param.as_ref().map(|param| param.bare().span).unwrap_or_default();
    if aggregate.op == AggregateOp::LimitRatio {
        if has_nan {
            return failed("Ratio value is NaN".to_owned());
        }
        if greatest == 0.0 && least == 0.0 {
            return Ok(false);
        }
        if greatest > 1.0 {
            notes.add(Annotation::bad_ratio(greatest, 1.0, span));
        }
        if least < -1.0 {
            notes.add(Annotation::bad_ratio(least, -1.0, span));
        }
        return Ok(true);
    }
    if greatest < 1.0 && !has_nan {
        return Ok(false);
    }
    if has_nan {
        return failed("Parameter value is NaN".to_owned());
    }
    // 2⁶³
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if least <= -LIMIT {
        return failed(format!("Scalar value {} underflows int64", crate::print::short(least)));
    }
    if greatest >= LIMIT {
        return failed(format!("Scalar value {} overflows int64", crate::print::short(greatest)));
    }
    Ok(true)
}

fn below(a: f64, b: f64) -> bool {
    a.is_nan() || a < b
}

fn above(a: f64, b: f64) -> bool {
    a.is_nan() || a > b
}

/// For each group and step, the greatest values (those that are last in the order of `before`),
/// greatest first. Equal values leave in the order in which Go's heap would lose them.
fn ranked(
    rows: &[(&Name, Col<'_>)],
    numbers: &[usize],
    groups: usize,
    counts: &[usize],
    before: Below,
) -> Vec<Vec<Ranked>> {
    let steps = counts.len();
    let mut heaps: Vec<Vec<Ranked>> = vec![Vec::new(); groups * steps];
    for (row, ((_, col), group)) in rows.iter().zip(numbers).enumerate() {
        let (_, own) = heaps.split_at_mut(group * steps);
        col.each(|step, value| {
            let (Some(heap), Some(k)) = (own.get_mut(step), counts.get(step)) else { return };
            let root = heap.first().map(|(root, _)| *root);
            if heap.len() < *k {
                heap.push((value, row));
                sift_up(heap, before);
            } else if let Some(root) = root
                && before(root, value)
                && !value.is_nan()
                && let Some(slot) = heap.first_mut()
            {
                *slot = (value, row);
                sift_down(heap, before);
            }
        });
    }
    for heap in &mut heaps {
        sort_backwards(heap, before);
    }
    heaps
}

/// Sorts so that what is before comes last; stable.
fn sort_backwards(heap: &mut [Ranked], before: Below) {
    // Insertion as Go's sort does for short slices; values are few or the rest is merge sort.
    heap.sort_by(|(a, _), (b, _)| match (before(*b, *a), before(*a, *b)) {
        (true, true) => std::cmp::Ordering::Equal,
        (true, false) => std::cmp::Ordering::Less,
        (false, true) => std::cmp::Ordering::Greater,
        (false, false) => std::cmp::Ordering::Equal,
    });
}

fn sift_up(heap: &mut [Ranked], before: Below) {
    let mut child = heap.len().saturating_sub(1);
    while child > 0 {
        let parent = (child - 1) / 2;
        if !is_before(heap, child, parent, before) {
            return;
        }
        heap.swap(child, parent);
        child = parent;
    }
}

fn sift_down(heap: &mut [Ranked], before: Below) {
    let mut parent = 0;
    loop {
        let left = 2 * parent + 1;
        if left >= heap.len() {
            return;
        }
        let right = left + 1;
        let child =
            if right < heap.len() && is_before(heap, right, left, before) { right } else { left };
        if !is_before(heap, child, parent, before) {
            return;
        }
        heap.swap(child, parent);
        parent = child;
    }
}

fn is_before(heap: &[Ranked], a: usize, b: usize, before: Below) -> bool {
    match (heap.get(a), heap.get(b)) {
        (Some((a, _)), Some((b, _))) => before(*a, *b),
        _ => false,
    }
}

/// For each group and step, the first series.
fn first(
    rows: &[(&Name, Col<'_>)],
    numbers: &[usize],
    groups: usize,
    counts: &[usize],
) -> Vec<Vec<Ranked>> {
    let steps = counts.len();
    let mut kept: Vec<Vec<Ranked>> = vec![Vec::new(); groups * steps];
    for (row, ((_, col), group)) in rows.iter().zip(numbers).enumerate() {
        let (_, own) = kept.split_at_mut(group * steps);
        col.each(|step, value| {
            if let (Some(list), Some(k)) = (own.get_mut(step), counts.get(step))
                && list.len() < *k
            {
                list.push((value, row));
            }
        });
    }
    kept
}

/// Series whose hash lies below the ratio, or above its complement if it is negative.
fn by_ratio(rows: &[(&Name, Col<'_>)], params: &[f64], grid: Grid) -> Frame {
    let takes = |ratio: f64, offset: f64| {
        let ratio = ratio.clamp(-1.0, 1.0);
        (ratio >= 0.0 && offset < ratio) || (ratio < 0.0 && offset >= 1.0 + ratio)
    };
    let mut block = Block::new(grid.count, rows.len());
    for (name, col) in rows {
        #[expect(clippy::cast_precision_loss, reason = "as Prometheus computes")]
        let offset = key::hash(&name.labels) as f64 / u64::MAX as f64;
        block.push((*name).clone(), |out| {
            col.each(|step, value| {
                if params.get(step).is_some_and(|ratio| takes(*ratio, offset)) {
                    out.set(step, value);
                }
            });
        });
    }
    Frame::of(grid.count, block)
}

/// The series chosen at one step, in the order of their ranks.
fn in_order(rows: &[(&Name, Col<'_>)], kept: &[Vec<Ranked>], grid: Grid) -> Frame {
    let mut block = Block::new(grid.count, kept.iter().map(Vec::len).sum());
    for (_, row) in kept.iter().flatten() {
        if let Some((name, col)) = rows.get(*row) {
            block.push_copy((*name).clone(), *col);
        }
    }
    Frame::of(grid.count, block)
}

/// The series chosen at some steps, with their values there.
fn only(rows: &[(&Name, Col<'_>)], chosen: &[Vec<usize>], grid: Grid) -> Frame {
    let mut block = Block::new(grid.count, 0);
    for ((name, col), steps) in rows.iter().zip(chosen).filter(|(_, steps)| !steps.is_empty()) {
        block.push((*name).clone(), |out| {
            for step in steps {
                if let Some(value) = col.get(*step) {
                    out.set(*step, value);
                }
            }
        });
    }
    Frame::of(grid.count, block)
}
