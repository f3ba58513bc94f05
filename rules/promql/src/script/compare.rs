//! When a value is the one that was expected.

use bellwether_model::series::is_stale;

/// How far apart, relative to the sum of the magnitudes.
const EPSILON: f64 = 1e-6;

/// Whether two values are equal for a test: stale markers to stale markers, other NaN to other
/// NaN, numbers if they differ by less than a millionth of the sum of their magnitudes. Beside
/// zero, and where both are subnormal, only what is less than a millionth of the smallest normal
/// number is equal.
#[must_use]
pub fn almost_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

#[cfg(test)]
mod tests {
    use bellwether_model::series::STALE;

    use super::*;

    #[test]
    fn equality_is_relative_and_knows_the_markers() {
        for (a, b, equal) in [
            (1.0, 1.0, true),
            (1.0, 1.000_001_9, true),
            (1.0, 1.000_002_1, false),
            (-1.0, 1.0, false),
            (0.0, -0.0, true),
            (0.0, 1e-300, false),
            (0.0, 1e-320, true),
            (f64::NAN, f64::NAN, true),
            (f64::NAN, 1.0, false),
            (STALE, STALE, true),
            (STALE, f64::NAN, false),
            (f64::INFINITY, f64::INFINITY, true),
            (f64::INFINITY, f64::NEG_INFINITY, false),
            (f64::INFINITY, 1.0, false),
            (f64::MAX, f64::MAX * (1.0 - 1e-7), true),
        ] {
            assert_eq!(almost_equal(a, b), equal, "{a} {b}");
            assert_eq!(almost_equal(b, a), equal, "{b} {a}");
        }
    }
}
