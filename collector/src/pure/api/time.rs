//! Durations as parameters: float seconds or Prometheus' durations.

use std::time::Duration;

use bellwether_model::duration;

/// Reads a duration in nanoseconds; float seconds may be negative.
///
/// # Errors
/// Neither form, or out of range; the text is in the message.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => {
            let nanos = seconds * 1e9;
            #[expect(clippy::cast_precision_loss, reason = "a bound, as Go compares it")]
            let bound = i64::MAX as f64;
            if nanos.abs() > bound {
                return Err(format!(
                    "cannot parse {text:?} to a valid duration. It overflows int64"
                ));
            }
            #[expect(clippy::cast_possible_truncation, reason = "checked above; cut as in Go")]
            return Ok(nanos as i64);
        }
        _ => {}
    }
    let parsed: Option<Duration> = duration::parse(text).ok();
    parsed
        .and_then(|duration| i64::try_from(duration.as_nanos()).ok())
        .ok_or_else(|| format!("cannot parse {text:?} to a valid duration"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_or_units() {
        assert_eq!(parse_duration("15"), Ok(15_000_000_000));
        assert_eq!(parse_duration("0.5"), Ok(500_000_000));
        assert_eq!(parse_duration("-1"), Ok(-1_000_000_000));
        assert_eq!(parse_duration("1h30m"), Ok(5_400_000_000_000));
        assert_eq!(parse_duration("5x"), Err(r#"cannot parse "5x" to a valid duration"#.into()));
        assert_eq!(parse_duration(""), Err(r#"cannot parse "" to a valid duration"#.into()));
        assert!(parse_duration("1e10").is_err_and(|e| e.ends_with("It overflows int64")));
        assert!(parse_duration("NaN").is_err());
    }
}
