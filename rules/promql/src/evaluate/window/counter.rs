//! Counters: how much they rose in a window, resets accounted for, and what changed.

use bellwether_model::select::Column;

use super::super::arithmetic;
use super::super::frame::ColMut;
use super::super::select::seconds;
use super::{View, Windows, each_window};
use crate::function::WindowBody;

/// `rate`, `increase` and `delta`: the rise from the first sample to the last, extended to the
/// window's ends as far as samples may be expected there.
pub(super) fn extrapolated(
    body: WindowBody,
    column: &Column,
    windows: &Windows<'_>,
    resets: &mut Vec<usize>,
    out: &mut ColMut<'_>,
) {
    let is_counter = body != WindowBody::Delta;
    resets.clear();
    if is_counter {
        places(&column.values, resets, |before, after| after < before);
    }
    let mut passed = 0;
    let per_second = (body == WindowBody::Rate).then(|| whole_seconds(windows.length));
    each_window(column, windows, |view, from, step| {
        let (Some(first), Some(last)) = (view.first(), view.last()) else { return };
        if view.values.len() < 2 {
            return;
        }
        let mut rise = last.1 - first.1;
        // A reset counts where the sample before it is in the window too.
        while resets.get(passed).is_some_and(|place| *place <= from) {
            passed += 1;
        }
        for place in resets.iter().skip(passed) {
            let Some(before) = view.values.get(place - 1 - from) else { break };
            if place - from >= view.values.len() {
                break;
            }
            rise += before;
        }
        let Some(end) = windows.ends.get(step) else { return };
        let bounds = (end.saturating_sub(windows.length), *end);
        let gaps = arithmetic::count(view.values.len() - 1);
        let mut factor = extension(bounds, first, last.0, gaps, is_counter.then_some(rise));
        if let Some(length) = per_second {
            factor /= length;
        }
        out.set(step, rise * factor);
    });
}

/// By how much a rise between samples is extended to the ends of the window. `rise` is a
/// counter's.
fn extension(
    (start, end): (i64, i64),
    (first, first_value): (i64, f64),
    last: i64,
    gaps: f64,
    rise: Option<f64>,
) -> f64 {
    let sampled = seconds(last - first);
    let average = sampled / gaps;
    let threshold = average * 1.1;
    let mut before = seconds(first - start);
    let mut after = seconds(end - last);
    if before >= threshold {
        before = average / 2.0;
    }
    if let Some(rise) = rise {
        // A counter is not extended below zero.
        let to_zero =
            if rise > 0.0 && first_value >= 0.0 { sampled * (first_value / rise) } else { before };
        if to_zero < before {
            before = to_zero;
        }
    }
    if after >= threshold {
        after = average / 2.0;
    }
    if sampled == 0.0 { 1.0 } else { (sampled + before + after) / sampled }
}

/// Milliseconds as seconds, the fraction added as Go's `Duration.Seconds` does.
#[expect(clippy::cast_precision_loss, reason = "as Go converts")]
fn whole_seconds(millis: i64) -> f64 {
    (millis / 1000) as f64 + (millis % 1000 * 1_000_000) as f64 / 1e9
}

/// `changes` and `resets`: how many samples differ from the one before them.
pub(super) fn counted(
    body: WindowBody,
    column: &Column,
    windows: &Windows<'_>,
    found: &mut Vec<usize>,
    out: &mut ColMut<'_>,
) {
    found.clear();
    if body == WindowBody::Resets {
        places(&column.values, found, |before, after| after < before);
    } else {
        places(&column.values, found, |before, after| {
            after != before && !(after.is_nan() && before.is_nan())
        });
    }
    let (mut passed, mut reached) = (0, 0);
    each_window(column, windows, |view, from, step| {
        let to = from + view.values.len();
        while found.get(passed).is_some_and(|place| *place <= from) {
            passed += 1;
        }
        while found.get(reached).is_some_and(|place| *place < to) {
            reached += 1;
        }
        out.set(step, arithmetic::count(reached.saturating_sub(passed)));
    });
}

/// The places of samples that meet a test with the one before them.
fn places(values: &[f64], places: &mut Vec<usize>, test: impl Fn(f64, f64) -> bool) {
    let pairs = values.iter().zip(values.iter().skip(1)).enumerate();
    places.extend(pairs.filter(|(_, (a, b))| test(**a, **b)).map(|(i, _)| i + 1));
}

/// `irate` and `idelta`: from the last but one sample to the last.
pub(super) fn instant(view: View<'_>, is_rate: bool) -> Option<f64> {
    let (last, value) = view.last()?;
    let before = view.values.len().checked_sub(2)?;
    let (time, previous) = (view.times.get(before)?.0, *view.values.get(before)?);
    if time == last {
        return None;
    }
    let rise = if is_rate && value < previous { value } else { value - previous };
    Some(if is_rate { rise / seconds(last - time) } else { rise })
}
