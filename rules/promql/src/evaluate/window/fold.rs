//! Values of a window to one value.

use super::super::arithmetic::{Compensated, Mean, count, quantile};
use super::super::select::seconds;
use super::View;

pub(super) fn sum(values: &[f64]) -> f64 {
    let mut sum = Compensated::default();
    for value in values {
        sum.add(*value);
    }
    if sum.sum.is_infinite() { sum.sum } else { sum.sum + sum.rest }
}

/// The mean of at least one value.
pub(super) fn mean(values: &[f64]) -> f64 {
    let Some((first, rest)) = values.split_first() else { return f64::NAN };
    let mut mean = Mean::of(*first);
    for value in rest {
        mean.add(*value);
    }
    mean.value()
}

/// The value that beats all before it; NaN is beaten by everything.
pub(super) fn extreme(values: &[f64], beats: impl Fn(f64, f64) -> bool) -> Option<f64> {
    let mut best = *values.first()?;
    for value in values {
        if beats(*value, best) || best.is_nan() {
            best = *value;
        }
    }
    Some(best)
}

/// When the value stands that beats all before it, in seconds.
pub(super) fn time_of_extreme(view: View<'_>, beats: impl Fn(f64, f64) -> bool) -> Option<f64> {
    let (mut when, mut best) = view.first()?;
    for (time, value) in view.iter() {
        if beats(value, best) || best.is_nan() {
            (when, best) = (time, value);
        }
    }
    Some(seconds(when))
}

/// The variance of all values, not of a sample of them.
pub(super) fn variance(values: &[f64]) -> f64 {
    let (mut mean, mut squares) = (Compensated::default(), Compensated::default());
    for (i, value) in values.iter().enumerate() {
        let delta = value - (mean.sum + mean.rest);
        mean.add(delta / count(i + 1));
        squares.add(delta * (value - (mean.sum + mean.rest)));
    }
    (squares.sum + squares.rest) / count(values.len())
}

/// The median of the distances to the median.
pub(super) fn deviation(values: &[f64], scratch: &mut Vec<f64>) -> f64 {
    if values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    scratch.clear();
    scratch.extend_from_slice(values);
    let median = quantile(0.5, scratch);
    scratch.iter_mut().for_each(|value| *value = (*value - median).abs());
    quantile(0.5, scratch)
}
