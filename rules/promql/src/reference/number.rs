//! Sums, means, quantiles and a straight line through points: the arithmetic that several
//! functions and aggregations share, in Prometheus' order of operations.

/// A sum that also carries what rounding lost (Neumaier's form of Kahan's sum).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    /// The sum as the machine rounds it.
    pub(super) rounded: f64,
    /// What rounding lost so far; zero once the sum is infinite.
    pub(super) lost: f64,
}

impl Sum {
    pub(super) fn starting_with(first: f64) -> Sum {
        Sum { rounded: first, lost: 0.0 }
    }

    pub(super) fn plus(self, value: f64) -> Sum {
        let rounded = self.rounded + value;
        if rounded.is_infinite() {
            return Sum { rounded, lost: 0.0 };
        }
        let newly_lost = if libm::fabs(self.rounded) >= libm::fabs(value) {
            (self.rounded - rounded) + value
        } else {
            (value - rounded) + self.rounded
        };
        Sum { rounded, lost: self.lost + newly_lost }
    }

    pub(super) fn value(self) -> f64 {
        self.rounded + self.lost
    }
}

/// The mean of at least one value: the compensated sum over the count, and from the first value
/// that would make the sum infinite on, a running mean.
pub(super) fn mean(values: &[f64]) -> f64 {
    let mut sum = Sum::starting_with(values[0]);
    let mut count = 1.0;
    let mut running: Option<Sum> = None;
    for &value in &values[1..] {
        count += 1.0;
        if running.is_none() {
            let next = sum.plus(value);
            if !next.rounded.is_infinite() {
                sum = next;
                continue;
            }
            let before = count - 1.0;
            running = Some(Sum { rounded: sum.rounded / before, lost: sum.lost / before });
        }
        let so_far = running.expect("set just above");
        let share = (count - 1.0) / count;
        let scaled = Sum { rounded: share * so_far.rounded, lost: share * so_far.lost };
        running = Some(scaled.plus(value / count));
    }
    match running {
        Some(mean) => mean.rounded + mean.lost,
        None => sum.rounded / count + sum.lost / count,
    }
}

/// The variance over time: Welford's recurrence with both of its sums compensated.
pub(super) fn variance_over_time(values: &[f64]) -> f64 {
    let (mut count, mut mean, mut squares) = (0.0, Sum::default(), Sum::default());
    for &value in values {
        count += 1.0;
        let delta = value - mean.value();
        mean = mean.plus(delta / count);
        squares = squares.plus(delta * (value - mean.value()));
    }
    squares.value() / count
}

/// The variance across series: Welford's recurrence, not compensated. The first value decides
/// whether the result is a number: if it is not finite, the result is not a number.
pub(super) fn variance_across(values: &[f64]) -> f64 {
    let first = values[0];
    let mut squares = if first.is_finite() { 0.0 } else { f64::NAN };
    let (mut mean, mut count) = (first, 1.0);
    for &value in &values[1..] {
        count += 1.0;
        let delta = value - mean;
        mean += delta / count;
        squares += delta * (value - mean);
    }
    squares / count
}

/// The quantile of values in any order, interpolated between neighbours; values that are not
/// numbers count as the smallest.
#[expect(clippy::cast_possible_truncation, reason = "places in the list")]
pub(super) fn quantile(q: f64, values: &[f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (false, false) => a.partial_cmp(b).expect("both are numbers"),
        (a, b) => b.cmp(&a),
    });
    let last = sorted.len() as f64 - 1.0;
    let rank = q * last;
    let below = libm::floor(rank).max(0.0);
    let above = (below + 1.0).min(last);
    let weight = rank - libm::floor(rank);
    sorted[below as usize] * (1.0 - weight) + sorted[above as usize] * weight
}

/// Slope in units per second, and value at `at`, of the least-squares line through points stamped
/// in milliseconds. Points of one value give that value and no slope.
pub(super) fn line(points: &[(i64, f64)], at: i64) -> (f64, f64) {
    let first = points[0].1;
    if points.iter().all(|(_, y)| *y == first) || points.len() == 1 {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let (mut x1, mut y1, mut xy, mut x2) = <(Sum, Sum, Sum, Sum)>::default();
    for &(time, y) in points {
        let x = (time - at) as f64 / 1e3;
        x1 = x1.plus(x);
        y1 = y1.plus(y);
        xy = xy.plus(x * y);
        x2 = x2.plus(x * x);
    }
    let count = points.len() as f64;
    let (x1, y1, xy, x2) = (x1.value(), y1.value(), xy.value(), x2.value());
    let covariance = xy - x1 * y1 / count;
    let variance = x2 - x1 * x1 / count;
    let slope = covariance / variance;
    (slope, y1 / count - slope * x1 / count)
}

/// Two numbers that differ by less than their sum times the tolerance.
pub(super) fn nearly_equal(a: f64, b: f64, tolerance: f64) -> bool {
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let sum = libm::fabs(a) + libm::fabs(b);
    let difference = libm::fabs(a - b);
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < tolerance * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < tolerance
}

/// The larger; not a number if either is not, unless the other is positive infinity; zeros are
/// ordered by sign.
pub(super) fn larger(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

/// The smaller; not a number if either is not, unless the other is negative infinity.
pub(super) fn smaller(a: f64, b: f64) -> f64 {
    -larger(-a, -b)
}
