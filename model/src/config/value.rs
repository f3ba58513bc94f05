//! Durations and sizes: numbers with units.

use std::time::Duration;

use crate::duration;

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

/// Reads a duration as Prometheus does: `1h30m`, units `y w d h m s ms` in this order, each at
/// most once; `0` needs none.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    duration::parse(text).ok()
}

/// A duration as [`parse_duration`] reads it; parts of a millisecond are cut.
#[must_use]
pub fn show_duration(length: Duration) -> String {
    duration::show(length)
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
