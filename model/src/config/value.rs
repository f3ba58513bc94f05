//! Durations and sizes: numbers with units.

use std::time::Duration;

/// Units of durations in the order in which they may follow one another, in milliseconds; a year
/// has 365 days, as in Prometheus.
const DURATION_UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
    ("B", 1),
];

/// The longest duration, about 292 years: what Prometheus can hold in nanoseconds.
const MILLIS_MAX: u64 = i64::MAX as u64 / 1_000_000;

/// Reads a duration as Prometheus does: `1h30m`, units `y w d h m s ms` in this order, each at
/// most once; `0` needs none.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut units = DURATION_UNITS.iter();
    let mut millis = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let (count, after) = split_number(rest)?;
        let end = after.bytes().position(|b| b.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let (_, scale) = units.find(|(name, _)| *name == unit)?;
        millis = millis.checked_add(count.checked_mul(*scale)?)?;
        rest = after;
    }
    (!text.is_empty() && millis <= MILLIS_MAX).then(|| Duration::from_millis(millis))
}

/// A duration as [`parse_duration`] reads it; parts of a millisecond are cut.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (unit, scale) in DURATION_UNITS {
        // Years and weeks only where nothing else is left, as Prometheus prints.
        if rest >= scale && (rest.is_multiple_of(scale) || !matches!(unit, "y" | "w")) {
            out.push_str(&format!("{}{unit}", rest / scale));
            rest %= scale;
        }
    }
    out
}

/// Reads a number of bytes: a whole number and a unit, `B KB MB GB TB` (powers of 1000) or
/// `KiB MiB GiB TiB` (powers of 1024), a blank between them allowed; `0` needs none.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let (count, unit) = split_number(text)?;
    if count == 0 && unit.is_empty() {
        return Some(0);
    }
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let (_, scale) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    count.checked_mul(*scale)
}

/// A size as [`parse_size`] reads it, in the largest unit that leaves a whole number.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    let fits = |(_, scale): &&(&str, u64)| bytes > 0 && bytes.is_multiple_of(*scale);
    let (unit, scale) = SIZE_UNITS.iter().find(fits).unwrap_or(&("B", 1));
    format!("{}{unit}", bytes / scale)
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}
