//! Lines through the samples of a window, and smoothing.

use super::super::arithmetic::Compensated;
use super::super::select::seconds;
use super::View;

/// `deriv`: the slope per second of the line of least squares.
pub(super) fn slope(view: View<'_>) -> Option<f64> {
    let (first, _) = view.first()?;
    (view.values.len() >= 2).then(|| regression(view, first).0)
}

/// `predict_linear`: the line of least squares `ahead` seconds after `now`.
pub(super) fn predicted(view: View<'_>, now: i64, ahead: f64) -> Option<f64> {
    if view.values.len() < 2 {
        return None;
    }
    let (slope, intercept) = regression(view, now);
    Some(slope * ahead + intercept)
}

/// Slope per second, and the value at a time in milliseconds, of the line of least squares.
fn regression(view: View<'_>, at: i64) -> (f64, f64) {
    let (mut x_sum, mut y_sum) = (Compensated::default(), Compensated::default());
    let (mut xy_sum, mut x2_sum) = (Compensated::default(), Compensated::default());
    let mut n = 0.0;
    let first = view.values.first().copied().unwrap_or(f64::NAN);
    let mut is_level = true;
    for (i, (time, y)) in view.iter().enumerate() {
        is_level &= i == 0 || y == first;
        n += 1.0;
        let x = seconds(time.saturating_sub(at));
        x_sum.add(x);
        y_sum.add(y);
        xy_sum.add(x * y);
        x2_sum.add(x * x);
    }
    if is_level {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let [x, y, xy, x2] = [x_sum, y_sum, xy_sum, x2_sum].map(|one| one.sum + one.rest);
    let covariance = xy - x * y / n;
    let variance = x2 - x * x / n;
    let slope = covariance / variance;
    (slope, y / n - slope * x / n)
}

/// `double_exponential_smoothing` with a factor of the level and one of the trend.
///
/// # Errors
/// A factor is not between 0 and 1.
pub(super) fn smoothed(values: &[f64], level: f64, trend: f64) -> Result<Option<f64>, String> {
    for (what, letter, factor) in [("smoothing", 's', level), ("trend", 't', trend)] {
        if factor <= 0.0 || factor >= 1.0 {
            let shown = super::super::arithmetic::fixed(factor);
            return Err(format!(
                "invalid {what} factor. Expected: 0 < {letter}f < 1, got: {shown}"
            ));
        }
    }
    let [first, second, ..] = values else { return Ok(None) };
    let (mut before, mut smooth, mut slope) = (0.0, *first, second - first);
    for (i, value) in values.iter().skip(1).enumerate() {
        if i > 0 {
            slope = trend * (smooth - before) + (1.0 - trend) * slope;
        }
        let next = level * value + (1.0 - level) * (smooth + slope);
        (before, smooth) = (smooth, next);
    }
    Ok(Some(smooth))
}
