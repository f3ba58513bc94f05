//! Numbers: compensated sums, quantiles, and the operators between numbers.

use crate::tree::BinaryOp;

/// A sum and what rounding took from it (Kahan's method with Neumaier's improvement).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Compensated {
    pub(crate) sum: f64,
    pub(crate) rest: f64,
}

impl Compensated {
    pub(crate) fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        if sum.is_infinite() {
            self.rest = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.rest += (self.sum - sum) + value;
        } else {
            self.rest += (value - sum) + self.sum;
        }
        self.sum = sum;
    }
}

/// A mean: a compensated sum until it would overflow, then a mean that is carried along.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mean {
    sum: Compensated,
    count: f64,
    is_carried: bool,
}

impl Mean {
    pub(crate) fn of(first: f64) -> Mean {
        Mean { sum: Compensated { sum: first, rest: 0.0 }, count: 1.0, is_carried: false }
    }

    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.is_carried {
            let mut sum = self.sum;
            sum.add(value);
            if !sum.sum.is_infinite() {
                self.sum = sum;
                return;
            }
            self.is_carried = true;
            self.sum.sum /= self.count - 1.0;
            self.sum.rest /= self.count - 1.0;
        }
        let share = (self.count - 1.0) / self.count;
        self.sum = Compensated { sum: share * self.sum.sum, rest: share * self.sum.rest };
        self.sum.add(value / self.count);
    }

    pub(crate) fn value(&self) -> f64 {
        if self.is_carried {
            self.sum.sum + self.sum.rest
        } else {
            self.sum.sum / self.count + self.sum.rest / self.count
        }
    }
}

/// A number of things.
#[expect(clippy::cast_precision_loss, reason = "there are fewer than 2⁵³ of anything")]
pub(crate) fn count(things: usize) -> f64 {
    things as f64
}

/// NaN first, then rising.
pub(crate) fn rising(a: &f64, b: &f64) -> std::cmp::Ordering {
    a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// The quantile of values, which it sorts: between two of them in proportion.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(rising);
    let last = values.len() - 1;
    let rank = q * count(last);
    let weight = rank - rank.floor();
    let lower = index(rank).min(last);
    let value = |i: usize| values.get(i).copied().unwrap_or(f64::NAN);
    value(lower) * (1.0 - weight) + value((lower + 1).min(last)) * weight
}

/// A number that is not negative cut to an index.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, as meant")]
pub(crate) fn index(value: f64) -> usize {
    value as usize
}

/// The lesser, as Go's `math.Min`: NaN if one is, unless the other is -Inf.
pub(crate) fn least(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        return f64::NEG_INFINITY;
    }
    if a.is_nan() || b.is_nan() {
        return f64::NAN;
    }
    if a == b {
        // Of two zeros the negative one.
        return if a.is_sign_negative() { a } else { b };
    }
    libm::fmin(a, b)
}

/// The greater, as Go's `math.Max`: NaN if one is, unless the other is +Inf.
pub(crate) fn greatest(a: f64, b: f64) -> f64 {
    -least(-a, -b)
}

/// An operator between numbers; a comparison yields 0 or 1.
pub(crate) fn number(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => libm::fmod(left, right),
        BinaryOp::Pow => libm::pow(left, right),
        BinaryOp::Atan2 => libm::atan2(left, right),
        _ => f64::from(u8::from(compares(op, left, right))),
    }
}

/// Whether a comparison holds.
pub(crate) fn compares(op: BinaryOp, left: f64, right: f64) -> bool {
    match op {
        BinaryOp::Equal => left == right,
        BinaryOp::NotEqual => left != right,
        BinaryOp::Less => left < right,
        BinaryOp::LessEqual => left <= right,
        BinaryOp::Greater => left > right,
        BinaryOp::GreaterEqual => left >= right,
        _ => false,
    }
}

/// What an operator makes of two values of a vector; `None` takes the value away.
pub(crate) fn element(op: BinaryOp, left: f64, right: f64) -> Option<f64> {
    if op.is_comparison() {
        return compares(op, left, right).then_some(left);
    }
    Some(number(op, left, right))
}

/// As Go's `%f`.
pub(crate) fn fixed(value: f64) -> String {
    match value {
        v if v.is_nan() => "NaN".to_owned(),
        v if v.is_infinite() => if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        v => format!("{v:.6}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_compensated() {
        let mut sum = Compensated::default();
        for value in [1.0, 1e100, 1.0, -1e100] {
            sum.add(value);
        }
        assert_eq!(sum.sum + sum.rest, 2.0);
        let mut mean = Mean::of(f64::MAX);
        mean.add(f64::MAX);
        mean.add(-f64::MAX);
        assert!((mean.value() / (f64::MAX / 3.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn quantiles_lie_between() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(quantile(0.75, &mut [0.0, 1.0]), 0.75);
        assert_eq!(quantile(1.5, &mut [0.0]), f64::INFINITY);
        assert_eq!(quantile(-1.0, &mut [0.0]), f64::NEG_INFINITY);
        assert!(quantile(0.0, &mut [f64::NAN, 1.0]).is_nan());
        assert_eq!(quantile(1.0, &mut [f64::NAN, 1.0]), 1.0);
    }

    #[test]
    fn extremes_are_gos() {
        assert!(least(f64::NAN, 1.0).is_nan());
        assert_eq!(least(f64::NAN, f64::NEG_INFINITY), f64::NEG_INFINITY);
        assert_eq!(greatest(f64::INFINITY, f64::NAN), f64::INFINITY);
        assert_eq!(greatest(1.0, 2.0), 2.0);
        assert!(least(-0.0, 0.0).is_sign_negative() && least(0.0, -0.0).is_sign_negative());
        assert!(greatest(-0.0, 0.0).is_sign_positive() && greatest(0.0, -0.0).is_sign_positive());
    }
}
