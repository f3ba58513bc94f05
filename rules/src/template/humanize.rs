//! Numbers in words, as Prometheus' templates write them.

use bellwether_model::time::{Timestamp, civil};

const SECONDS_A_DAY: i64 = 86_400;

/// Go's `%.4g`: four significant digits, trailing zeros cut.
pub(super) fn significant(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    let text = format!("{value:.3e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = mantissa.trim_end_matches('0').trim_end_matches('.');
    if (-4..4).contains(&exponent) {
        let decimals = usize::try_from(3 - exponent).unwrap_or(0);
        let plain = format!("{value:.decimals$}");
        if !plain.contains('.') {
            return plain;
        }
        return plain.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{trimmed}e{sign}{:02}", exponent.abs())
}

/// Divides by 1000 above one, multiplies below, and names the power.
pub(super) fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return significant(value);
    }
    if value.abs() >= 1.0 {
        return scaled(value, 1000.0, &["k", "M", "G", "T", "P", "E", "Z", "Y"]);
    }
    let (value, prefix) = small(value);
    format!("{}{prefix}", significant(value))
}

/// As [`humanize`] in powers of 1024, from one upwards only.
pub(super) fn humanize_1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return significant(value);
    }
    scaled(value, 1024.0, &["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"])
}

/// Seconds as days, hours, minutes and seconds; below a second with the power's name.
pub(super) fn humanize_duration(value: f64) -> String {
    if !value.is_finite() {
        return significant(value);
    }
    if value == 0.0 {
        return format!("{}s", significant(value));
    }
    if value.abs() < 1.0 {
        let (value, prefix) = small(value);
        return format!("{}{prefix}s", significant(value));
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let whole = whole(value.abs());
    let (seconds, minutes, hours) = (whole % 60, whole / 60 % 60, whole / 3600 % 24);
    match (whole / SECONDS_A_DAY, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", significant(value.abs())),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, ..) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        (days, ..) => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}

/// A ratio as a percentage.
pub(super) fn humanize_percentage(value: f64) -> String {
    format!("{}%", significant(value * 100.0))
}

/// Unix seconds as Go prints a time of UTC: `2026-01-02 03:04:05.5 +0000 UTC`.
///
/// # Errors
/// The time does not fit into 64 bits of nanoseconds.
pub(super) fn timestamp(seconds: f64) -> Result<String, String> {
    let nanos = seconds * 1e9;
    if !nanos.is_finite() || nanos.abs() > 9.223_372_036_854_775e18 {
        return Err(format!(
            "{seconds} cannot be represented as a nanoseconds timestamp since it overflows int64"
        ));
    }
    // Prometheus keeps milliseconds.
    let millis = whole(nanos).div_euclid(1_000_000);
    let (date, within) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    let (year, month, day) = civil(date);
    let (hour, minute, second) = (within / 3_600_000, within / 60_000 % 60, within / 1000 % 60);
    let mut out = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
    if within % 1000 != 0 {
        out.push_str(format!(".{:03}", within % 1000).trim_end_matches('0'));
    }
    out.push_str(" +0000 UTC");
    Ok(out)
}

/// Seconds as Go prints a duration: `1h2m3.5s`, `1.5ms`.
pub(super) fn go_duration(seconds: f64) -> String {
    let nanos = whole(seconds * 1e9);
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    if nanos == 0 {
        return "0s".to_owned();
    }
    for (unit, scale) in [("ns", 1_u64), ("µs", 1000), ("ms", 1_000_000)] {
        if nanos < scale * 1000 {
            return format!("{sign}{}{unit}", fraction(nanos, scale));
        }
    }
    let minutes = nanos / 60_000_000_000;
    let seconds = fraction(nanos % 60_000_000_000, 1_000_000_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// Unix seconds of a stamp.
pub(super) fn unix_seconds(at: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "stamps of this era lie below 2⁵³ ms")]
    let millis = at.0 as f64;
    millis / 1000.0
}

fn scaled(mut value: f64, step: f64, prefixes: &[&str]) -> String {
    let mut prefix = "";
    for next in prefixes {
        if value.abs() < step {
            break;
        }
        prefix = next;
        value /= step;
    }
    format!("{}{prefix}", significant(value))
}

fn small(mut value: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if value.abs() >= 1.0 {
            break;
        }
        prefix = next;
        value *= 1000.0;
    }
    (value, prefix)
}

/// `value` ÷ `scale` without trailing zeros.
fn fraction(value: u64, scale: u64) -> String {
    let digits = scale.ilog10() as usize;
    let rest = format!("{:0digits$}", value % scale);
    match rest.trim_end_matches('0') {
        "" => (value / scale).to_string(),
        rest => format!("{}.{rest}", value / scale),
    }
}

/// The whole part, at most what 64 bits hold.
#[expect(clippy::cast_possible_truncation, reason = "the cast saturates, as is wanted")]
fn whole(value: f64) -> i64 {
    value as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_digits_as_go_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (1000.0, "1000"),
            (9999.6, "1e+04"),
            (12345.0, "1.234e+04"),
            (0.000_123_456, "0.0001235"),
            (0.000_012_345, "1.234e-05"),
            (-1.5, "-1.5"),
            (999.96, "1000"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(significant(value), text, "{value}");
        }
    }

    #[test]
    fn numbers_in_words() {
        assert_eq!(humanize(1_234_567.0), "1.235M");
        assert_eq!(humanize(0.012), "12m");
        assert_eq!(humanize(1e-40), "1e-16y");
        assert_eq!(humanize_1024(1_048_576.0), "1Mi");
        assert_eq!(humanize_1024(0.5), "0.5");
        assert_eq!(humanize_percentage(0.123_456), "12.35%");
        assert_eq!(humanize_duration(0.0), "0s");
        assert_eq!(humanize_duration(61.0), "1m 1s");
        assert_eq!(humanize_duration(-3661.0), "-1h 1m 1s");
        assert_eq!(humanize_duration(899_999.0), "10d 9h 59m 59s");
        assert_eq!(humanize_duration(1.5), "1.5s");
        assert_eq!(humanize_duration(0.000_1), "100us");
    }

    #[test]
    fn times_and_durations_as_go_prints_them() {
        assert_eq!(timestamp(1_435_065_584.128).unwrap(), "2015-06-23 13:19:44.128 +0000 UTC");
        assert_eq!(timestamp(0.0).unwrap(), "1970-01-01 00:00:00 +0000 UTC");
        assert_eq!(timestamp(-1.0).unwrap(), "1969-12-31 23:59:59 +0000 UTC");
        assert!(timestamp(1e12).is_err());
        assert_eq!(go_duration(3723.5), "1h2m3.5s");
        assert_eq!(go_duration(0.0015), "1.5ms");
        assert_eq!(go_duration(0.0), "0s");
        assert_eq!(go_duration(-60.0), "-1m0s");
    }
}
