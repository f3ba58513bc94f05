//! Functions of one number: mathematics, and dates of seconds since 1970.

use super::calendar::{Moment, moment};
use super::number::{larger, smaller};

/// The value of a function that looks at one number at a time, with the scalars that follow it in
/// the call; `None` if the function is of another kind.
pub(super) fn call(function: &str, value: f64, numbers: &[f64]) -> Option<f64> {
    let pi = std::f64::consts::PI;
    Some(match function {
        "abs" => libm::fabs(value),
        "acos" => libm::acos(value),
        "acosh" => libm::acosh(value),
        "asin" => libm::asin(value),
        "asinh" => libm::asinh(value),
        "atan" => libm::atan(value),
        "atanh" => libm::atanh(value),
        "ceil" => libm::ceil(value),
        "clamp" => larger(numbers[0], smaller(numbers[1], value)),
        "clamp_max" => larger(f64::NEG_INFINITY, smaller(numbers[0], value)),
        "clamp_min" => larger(numbers[0], smaller(f64::INFINITY, value)),
        "cos" => libm::cos(value),
        "cosh" => libm::cosh(value),
        "deg" => value * 180.0 / pi,
        "exp" => libm::exp(value),
        "floor" => libm::floor(value),
        "ln" => libm::log(value),
        "log10" => libm::log10(value),
        "log2" => libm::log2(value),
        "rad" => value * pi / 180.0,
        "round" => {
            let per = 1.0 / numbers.first().copied().unwrap_or(1.0);
            libm::floor(value * per + 0.5) / per
        }
        "sgn" if value < 0.0 => -1.0,
        "sgn" if value > 0.0 => 1.0,
        "sgn" => value,
        "sin" => libm::sin(value),
        "sinh" => libm::sinh(value),
        "sqrt" => libm::sqrt(value),
        "tan" => libm::tan(value),
        "tanh" => libm::tanh(value),
        _ => return date(function, whole_seconds(value)),
    })
}

/// A part of a date; `None` if the function is of another kind.
pub(super) fn date(function: &str, seconds: i64) -> Option<f64> {
    let part: fn(Moment) -> i64 = match function {
        "day_of_month" => |moment| moment.day_of_month,
        "day_of_week" => |moment| moment.day_of_week,
        "day_of_year" => |moment| moment.day_of_year,
        "days_in_month" => |moment| moment.days_in_month,
        "hour" => |moment| moment.hour,
        "minute" => |moment| moment.minute,
        "month" => |moment| moment.month,
        "year" => |moment| moment.year,
        _ => return None,
    };
    Some(part(moment(seconds)) as f64)
}

/// Cut towards zero.
#[expect(clippy::cast_possible_truncation, reason = "saturates, as meant")]
fn whole_seconds(value: f64) -> i64 {
    value as i64
}

/// A binary operator on two numbers; comparisons give 1 or 0.
pub(super) fn operate(operator: &str, left: f64, right: f64) -> f64 {
    let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
    match operator {
        "+" => left + right,
        "-" => left - right,
        "*" => left * right,
        "/" => left / right,
        "%" => libm::fmod(left, right),
        "^" => libm::pow(left, right),
        "atan2" => libm::atan2(left, right),
        "==" => truth(left == right),
        "!=" => truth(left != right),
        ">" => truth(left > right),
        "<" => truth(left < right),
        ">=" => truth(left >= right),
        "<=" => truth(left <= right),
        other => unreachable!("the reference lacks {other}"),
    }
}
