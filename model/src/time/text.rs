//! Times as people and clients write them: Unix seconds, or RFC 3339.

use super::Timestamp;

/// What Prometheus' clients send for "from the beginning" and "to the end".
const FIRST: &str = "-292273086-05-16T16:47:06Z";
const LAST: &str = "292277025-08-18T07:12:54.999999999Z";

/// Reads a time, rounded to milliseconds if given in seconds, cut to them if as a date.
///
/// # Errors
/// Neither form; the text is in the message.
pub fn parse(text: &str) -> Result<Timestamp, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => return Ok(from_seconds(seconds)),
        _ => {}
    }
    match text {
        FIRST => Ok(Timestamp::MIN),
        LAST => Ok(Timestamp::MAX),
        _ => rfc3339(text).ok_or_else(|| format!("cannot parse {text:?} to a valid timestamp")),
    }
}

/// In the steps of Go, so that the same digits give the same millisecond: the fraction rounded to
/// three places, made nanoseconds, cut to milliseconds.
#[expect(clippy::cast_possible_truncation, reason = "saturates, as meant")]
fn from_seconds(seconds: f64) -> Timestamp {
    let fraction = (seconds.fract() * 1000.0).round() / 1000.0;
    let millis = ((fraction * 1e9) as i64).div_euclid(1_000_000);
    Timestamp((seconds.trunc() as i64).saturating_mul(1000).saturating_add(millis))
}

/// `2015-07-01T20:10:51.781Z`, or with an offset: `…+02:00`.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let mut rest = text;
    let year = number(&mut rest, 4)?;
    let month = after(&mut rest, "-").and_then(|()| number(&mut rest, 2))?;
    let day = after(&mut rest, "-").and_then(|()| number(&mut rest, 2))?;
    let hour = after(&mut rest, "T").and_then(|()| number(&mut rest, 2))?;
    let minute = after(&mut rest, ":").and_then(|()| number(&mut rest, 2))?;
    let second = after(&mut rest, ":").and_then(|()| number(&mut rest, 2))?;
    let mut millis = 0;
    if after(&mut rest, ".").is_some() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (fraction, tail) = rest.split_at_checked(digits).filter(|(f, _)| !f.is_empty())?;
        rest = tail;
        millis = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    }
    let offset_minutes = match rest {
        "Z" => 0,
        _ => {
            let sign = if after(&mut rest, "+").is_some() { 1 } else { -1 };
            if sign < 0 {
                after(&mut rest, "-")?;
            }
            let hours = number(&mut rest, 2).filter(|h| *h < 24)?;
            after(&mut rest, ":")?;
            let minutes = number(&mut rest, 2).filter(|m| *m < 60 && rest.is_empty())?;
            sign * (hours * 60 + minutes)
        }
    };
    let valid = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let minutes = (days_before(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
    valid.then_some(Timestamp((minutes * 60 + second) * 1000 + millis))
}

/// A time to the second as RFC 3339 writes it, in UTC; what [`parse`] reads.
#[must_use]
pub fn date(at: Timestamp) -> String {
    let seconds = at.0.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Reads a date of HTTP, `Sun, 06 Nov 1994 08:49:37 GMT`: the form that RFC 9110 (5.6.7) has
/// senders write. The day of the week is not looked at.
#[must_use]
pub fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, mut rest) = text.split_once(", ")?;
    let day = number(&mut rest, 2)?;
    let (month, tail) = rest.strip_prefix(' ')?.split_at_checked(3)?;
    let month = (1..).zip(MONTHS).find_map(|(n, name)| (name == month).then_some(n))?;
    let (year, clock) = tail.strip_prefix(' ')?.split_once(' ')?;
    let clock = clock.strip_suffix(" GMT").filter(|clock| clock.len() == "08:49:37".len())?;
    rfc3339(&format!("{year}-{month:02}-{day:02}T{clock}Z"))
}

/// What Go prints where there is no time.
pub const NEVER: &str = "0001-01-01T00:00:00Z";

/// A time to the millisecond as RFC 3339 writes it, in UTC, without zeros at the end of the
/// fraction: what Go prints.
#[must_use]
pub fn date_millis(at: Timestamp) -> String {
    let millis = at.0.rem_euclid(1000);
    let mut text = date(at);
    if millis > 0 {
        text.pop();
        let fraction = format!("{millis:03}");
        text = format!("{text}.{}Z", fraction.trim_end_matches('0'));
    }
    text
}

/// Takes exactly `digits` digits.
fn number(rest: &mut &str, digits: usize) -> Option<i64> {
    let (number, tail) = rest.split_at_checked(digits)?;
    *rest = tail;
    number.bytes().all(|b| b.is_ascii_digit()).then(|| number.parse().ok()).flatten()
}

fn after(rest: &mut &str, prefix: &str) -> Option<()> {
    *rest = rest.strip_prefix(prefix)?;
    Some(())
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the epoch to a date of a year from 0 on.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let leaps = |years: i64| years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400);
    let years = (year - 1970) * 365 + leaps(year - 1) - leaps(1969);
    years + (1..month).map(|m| days_in(year, m)).sum::<i64>() + day - 1
}

/// Year, month and day of a day since 1970, in the Gregorian calendar (Howard Hinnant's
/// `civil_from_days`: years begin in March).
#[must_use]
pub fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_dates() {
        for (text, millis) in [
            ("0", 0),
            ("1700000000", 1_700_000_000_000),
            ("1700000000.123", 1_700_000_000_123),
            ("1700000000.1234999", 1_700_000_000_123),
            ("1.7e9", 1_700_000_000_000),
            ("-1.5", -1500),
            ("1970-01-01T00:00:00Z", 0),
            ("2015-07-01T20:10:51.781Z", 1_435_781_451_781),
            ("2015-07-01T22:10:51.7819+02:00", 1_435_781_451_781),
            ("2015-07-01T20:10:51-00:30", 1_435_783_251_000),
            ("1969-12-31T23:59:59.5Z", -500),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
            ("2000-03-01T00:00:00Z", 951_868_800_000),
            ("1900-03-01T00:00:00Z", -2_203_891_200_000),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000),
            (FIRST, i64::MIN),
            (LAST, i64::MAX),
            ("1e300", i64::MAX),
        ] {
            assert_eq!(parse(text), Ok(Timestamp(millis)), "{text}");
        }
        for text in [
            "",
            "now",
            "NaN",
            "inf",
            "2015-07-01",
            "2015-07-01 20:10:51Z",
            "2015-07-01T20:10:51",
            "2015-07-01T20:10:51.Z",
            "2015-13-01T20:10:51Z",
            "2023-02-29T20:10:51Z",
            "2015-07-01T24:10:51Z",
            "2015-07-01T20:10:51+2:00",
            "2015-07-01T20:10:51Zz",
            "+015-07-01T20:10:51Z",
            "2015-07-01T20:10:5é",
        ] {
            let refusal = format!("cannot parse {text:?} to a valid timestamp");
            assert_eq!(parse(text), Err(refusal));
        }
    }

    #[test]
    fn dates_of_http_are_read() {
        for (text, seconds) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
        ] {
            assert_eq!(http_date(text), Some(Timestamp(seconds * 1000)), "{text}");
        }
        for text in [
            "",
            "0",
            "06 Nov 1994",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 ovD 1994 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37.5 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT GMT",
            "Sun, 06 Noé 1994 08:49:37 GMT",
        ] {
            assert_eq!(http_date(text), None, "{text}");
        }
    }

    #[test]
    fn dates_are_read_back() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (1_709_164_800_999, "2024-02-29T00:00:00Z"),
            (951_868_800_000, "2000-03-01T00:00:00Z"),
            (-2_203_891_200_000, "1900-03-01T00:00:00Z"),
        ] {
            assert_eq!(date(Timestamp(millis)), text);
            let whole = Timestamp(millis.div_euclid(1000) * 1000);
            assert_eq!(parse(text), Ok(whole));
        }
    }
}
