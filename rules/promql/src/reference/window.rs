//! Functions of the samples that one series has in one window.

use super::number::{self, Sum};

/// The samples of one series in one window, without stale markers, and the window itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<'a> {
    /// Stamps in milliseconds, rising, and values; at least one.
    pub(super) samples: &'a [(i64, f64)],
    /// Milliseconds; not part of the window.
    pub(super) start: i64,
    /// Milliseconds; part of the window.
    pub(super) end: i64,
    /// When the function is evaluated, in milliseconds: the window may end elsewhere.
    pub(super) now: i64,
}

/// A smoothing or trend factor outside of 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadFactor;

/// The value of a function at one window; `None` if it has none there.
///
/// # Errors
/// A factor of the smoothing that is not between 0 and 1.
pub(super) fn call(
    function: &str,
    window: Window<'_>,
    numbers: &[f64],
) -> Result<Option<f64>, BadFactor> {
    let samples = window.samples;
    let values: Vec<f64> = samples.iter().map(|(_, value)| *value).collect();
    let seconds = |time: i64| time as f64 / 1000.0;
    let value = match function {
        "absent_over_time" | "present_over_time" => 1.0,
        "avg_over_time" => number::mean(&values),
        "changes" => changes(&values),
        "count_over_time" => values.len() as f64,
        "delta" => return Ok(extrapolated(window, false)),
        "deriv" => return Ok(when_two(samples, || number::line(samples, samples[0].0).0)),
        "double_exponential_smoothing" => return smoothed(&values, numbers[0], numbers[1]),
        "first_over_time" => values[0],
        "idelta" => return Ok(last_difference(samples, false)),
        "increase" => return Ok(extrapolated(window, true)),
        "irate" => return Ok(last_difference(samples, true)),
        "last_over_time" => values[values.len() - 1],
        "mad_over_time" => deviation_from_median(&values),
        "max_over_time" => extreme(samples, |new, old| new > old).1,
        "min_over_time" => extreme(samples, |new, old| new < old).1,
        "predict_linear" => {
            return Ok(when_two(samples, || {
                let (slope, now) = number::line(samples, window.now);
                slope * numbers[0] + now
            }));
        }
        "quantile_over_time" => number::quantile(numbers[0], &values),
        "rate" => {
            return Ok(extrapolated_by(window, true)
                .map(|(increase, factor)| increase * (factor / range_seconds(window))));
        }
        "resets" => falls(&values).count() as f64,
        "stddev_over_time" => libm::sqrt(number::variance_over_time(&values)),
        "stdvar_over_time" => number::variance_over_time(&values),
        "sum_over_time" => {
            let sum = values.iter().fold(Sum::default(), |sum, value| sum.plus(*value));
            if sum.rounded.is_infinite() { sum.rounded } else { sum.value() }
        }
        "ts_of_first_over_time" => seconds(samples[0].0),
        "ts_of_last_over_time" => seconds(samples[samples.len() - 1].0),
        "ts_of_max_over_time" => seconds(extreme(samples, |new, old| new >= old).0),
        "ts_of_min_over_time" => seconds(extreme(samples, |new, old| new <= old).0),
        other => unreachable!("the reference lacks {other}"),
    };
    Ok(Some(value))
}

fn when_two(samples: &[(i64, f64)], value: impl Fn() -> f64) -> Option<f64> {
    (samples.len() >= 2).then(value)
}

/// Values below the one before them, with that one.
fn falls(values: &[f64]) -> impl Iterator<Item = f64> {
    values.windows(2).filter(|pair| pair[1] < pair[0]).map(|pair| pair[0])
}

fn changes(values: &[f64]) -> f64 {
    let changed = |pair: &&[f64]| pair[0] != pair[1] && !(pair[0].is_nan() && pair[1].is_nan());
    values.windows(2).filter(changed).count() as f64
}

/// The sample that wins against the one held so far, in order of time; anything wins against what
/// is not a number.
fn extreme(samples: &[(i64, f64)], wins: impl Fn(f64, f64) -> bool) -> (i64, f64) {
    let mut held = samples[0];
    for &(time, value) in samples {
        if wins(value, held.1) || held.1.is_nan() {
            held = (time, value);
        }
    }
    held
}

fn deviation_from_median(values: &[f64]) -> f64 {
    if values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let median = number::quantile(0.5, values);
    let deviations: Vec<f64> = values.iter().map(|value| libm::fabs(value - median)).collect();
    number::quantile(0.5, &deviations)
}

fn last_difference(samples: &[(i64, f64)], rate: bool) -> Option<f64> {
    let [.., (time_before, before), (time, last)] = *samples else { return None };
    let difference = if rate && last < before { last } else { last - before };
    Some(if rate { difference / ((time - time_before) as f64 / 1000.0) } else { difference })
}

fn extrapolated(window: Window<'_>, counter: bool) -> Option<f64> {
    extrapolated_by(window, counter).map(|(increase, factor)| increase * factor)
}

/// The rise from the first to the last sample, a counter's falls made good, and the factor that
/// carries it to the window's ends: all the way where a sample is near, else by half a spacing; a
/// counter's start is not carried below zero.
fn extrapolated_by(window: Window<'_>, counter: bool) -> Option<(f64, f64)> {
    let samples = window.samples;
    if samples.len() < 2 {
        return None;
    }
    let (first_time, first) = samples[0];
    let (last_time, last) = samples[samples.len() - 1];
    let mut rise = last - first;
    if counter {
        let values: Vec<f64> = samples.iter().map(|(_, value)| *value).collect();
        for before in falls(&values) {
            rise += before;
        }
    }
    let sampled = (last_time - first_time) as f64 / 1000.0;
    let spacing = sampled / (samples.len() - 1) as f64;
    let near = spacing * 1.1;
    let mut to_start = (first_time - window.start) as f64 / 1000.0;
    let mut to_end = (window.end - last_time) as f64 / 1000.0;
    if to_start >= near {
        to_start = spacing / 2.0;
    }
    if counter && rise > 0.0 && first >= 0.0 {
        let to_zero = sampled * (first / rise);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= near {
        to_end = spacing / 2.0;
    }
    Some((rise, (sampled + to_start + to_end) / sampled))
}

fn range_seconds(window: Window<'_>) -> f64 {
    let millis = window.end - window.start;
    (millis / 1000) as f64 + (millis % 1000 * 1_000_000) as f64 / 1e9
}

fn smoothed(values: &[f64], smoothing: f64, trend: f64) -> Result<Option<f64>, BadFactor> {
    // Not written as a range: what is not a number passes, as it does in Prometheus.
    if smoothing <= 0.0 || smoothing >= 1.0 || trend <= 0.0 || trend >= 1.0 {
        return Err(BadFactor);
    }
    if values.len() < 2 {
        return Ok(None);
    }
    let mut before = 0.0;
    let mut level = values[0];
    let mut slope = values[1] - values[0];
    for (at, value) in values.iter().enumerate().skip(1) {
        if at > 1 {
            slope = trend * (level - before) + (1.0 - trend) * slope;
        }
        let next = smoothing * value + (1.0 - smoothing) * (level + slope);
        before = level;
        level = next;
    }
    Ok(Some(level))
}
