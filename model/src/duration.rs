//! Durations as Prometheus writes them: `1h30m`, `5m`, `250ms`, `0`.

use std::time::Duration;

/// Units from long to short, in milliseconds. A year has 365 days, a week 7.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// The longest duration: what 64-bit nanoseconds hold, as in Prometheus (292 years).
pub const LONGEST: Duration = Duration::from_millis((i64::MAX / 1_000_000).unsigned_abs());

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDuration {
    /// Nothing is written.
    #[error("empty duration string")]
    Empty,
    /// Not numbers with units, each unit once, from long to short.
    #[error("not a valid duration string: {0:?}")]
    Syntax(String),
    /// A number followed by letters that are no unit.
    #[error("unknown unit {unit:?} in duration {text:?}")]
    Unit {
        /// The letters.
        unit: String,
        /// The whole.
        text: String,
    },
    /// Longer than [`LONGEST`].
    #[error("duration out of range")]
    TooLong,
}

/// Reads a duration; `0` needs no unit.
///
/// # Errors
/// Empty, malformed or longer than [`LONGEST`].
pub fn parse(text: &str) -> Result<Duration, BadDuration> {
    match text {
        "" => return Err(BadDuration::Empty),
        "0" => return Ok(Duration::ZERO),
        _ => {}
    }
    let shown = || text.chars().take(64).collect();
    let syntax = || BadDuration::Syntax(shown());
    let mut units = UNITS.iter();
    let mut millis: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits).ok_or_else(syntax)?;
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at_checked(letters).ok_or_else(syntax)?;
        if number.is_empty() || unit.is_empty() {
            return Err(syntax());
        }
        if UNITS.iter().all(|(name, _)| *name != unit) {
            let unit = unit.chars().take(64).collect();
            return Err(BadDuration::Unit { unit, text: shown() });
        }
        let (_, size) = units.by_ref().find(|(name, _)| *name == unit).ok_or_else(syntax)?;
        let count: u64 = number.parse().map_err(|_| BadDuration::TooLong)?;
        let part = count.checked_mul(*size).ok_or(BadDuration::TooLong)?;
        millis = millis.checked_add(part).ok_or(BadDuration::TooLong)?;
        rest = tail;
    }
    let whole = Duration::from_millis(millis);
    if whole > LONGEST { Err(BadDuration::TooLong) } else { Ok(whole) }
}

/// A duration as [`parse`] reads it; parts of a millisecond are cut.
#[must_use]
pub fn show(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (unit, scale) in UNITS {
        // Years and weeks only where nothing else is left, as Prometheus prints.
        if rest >= scale && (rest.is_multiple_of(scale) || !matches!(unit, "y" | "w")) {
            out.push_str(&format!("{}{unit}", rest / scale));
            rest %= scale;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_prometheus_reads() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1y2w3d4h5m6s7ms", 31_536_000_000 + 1_209_600_000 + 259_200_000 + 14_706_007),
            ("250ms", 250),
            ("01s", 1000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["1", "m", "5m1h", "1h1h", "1.5h", "-1s", "5 m", "5µs", "5m "] {
            assert_eq!(parse(text), Err(BadDuration::Syntax(text.to_owned())), "{text}");
        }
        let unit = BadDuration::Unit { unit: "ns".into(), text: "1ns".into() };
        assert_eq!(parse("1ns"), Err(unit));
        assert_eq!(parse(""), Err(BadDuration::Empty));
        assert_eq!(parse("293y"), Err(BadDuration::TooLong));
        assert_eq!(parse("99999999999999999999s"), Err(BadDuration::TooLong));
        assert!(parse("292y").is_ok());
    }

    #[test]
    fn shows_what_prometheus_shows() {
        for (millis, text) in [
            (0, "0s"),
            (300_000, "5m"),
            (5_400_000, "1h30m"),
            (604_800_000, "1w"),
            (691_200_000, "8d"),
            (31_536_000_000, "1y"),
            (1001, "1s1ms"),
        ] {
            assert_eq!(show(Duration::from_millis(millis)), text);
        }
    }
}
