//! Seconds since the epoch as a date of the proleptic Gregorian calendar in UTC.

use bellwether_model::time::{Timestamp, civil, date};

/// A moment, to the second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    days: i64,
    seconds: i64,
}

const DAY: i64 = 86_400;

impl Moment {
    /// The moment of a value, cut to seconds; values out of range saturate.
    #[expect(clippy::cast_possible_truncation, reason = "saturates, as meant")]
    pub(crate) fn of(seconds: f64) -> Moment {
        Moment::at(seconds as i64)
    }

    pub(crate) fn at(seconds: i64) -> Moment {
        Moment { days: seconds.div_euclid(DAY), seconds: seconds.rem_euclid(DAY) }
    }

    /// Year, month from 1, day from 1.
    fn date(self) -> (i64, i64, i64) {
        civil(self.days)
    }

    pub(crate) fn year(self) -> f64 {
        float(self.date().0)
    }

    pub(crate) fn month(self) -> f64 {
        float(self.date().1)
    }

    pub(crate) fn day(self) -> f64 {
        float(self.date().2)
    }

    /// Sunday is 0.
    pub(crate) fn week_day(self) -> f64 {
        float((self.days + 4).rem_euclid(7))
    }

    /// From 1.
    pub(crate) fn year_day(self) -> f64 {
        let (year, month, day) = self.date();
        let before: i64 = (1..month).map(|m| days_in(year, m)).sum();
        float(before + day)
    }

    pub(crate) fn days_in_month(self) -> f64 {
        let (year, month, _) = self.date();
        float(days_in(year, month))
    }

    pub(crate) fn hour(self) -> f64 {
        float(self.seconds / 3600)
    }

    pub(crate) fn minute(self) -> f64 {
        float(self.seconds / 60 % 60)
    }

    /// `2006-01-02T15:04:05Z`
    pub(crate) fn rfc3339(self) -> String {
        date(Timestamp((self.days * DAY + self.seconds).saturating_mul(1000)))
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[expect(clippy::cast_precision_loss, reason = "parts of a date are small")]
fn float(part: i64) -> f64 {
    part as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_the_calendars() {
        for (seconds, shown, week_day, year_day) in [
            (0, "1970-01-01T00:00:00Z", 4.0, 1.0),
            (-1, "1969-12-31T23:59:59Z", 3.0, 365.0),
            (951_782_400, "2000-02-29T00:00:00Z", 2.0, 60.0),
            (1_709_251_199, "2024-02-29T23:59:59Z", 4.0, 60.0),
            (4_107_542_400, "2100-03-01T00:00:00Z", 1.0, 60.0),
        ] {
            let moment = Moment::at(seconds);
            assert_eq!(moment.rfc3339(), shown);
            assert_eq!((moment.week_day(), moment.year_day()), (week_day, year_day), "{shown}");
        }
        assert_eq!(Moment::at(951_782_400).days_in_month(), 29.0);
        assert_eq!(Moment::of(f64::NAN).year(), 1970.0);
        // The first and the last that fit do not overflow.
        Moment::at(i64::MIN).date();
        Moment::at(i64::MAX).date();
    }
}
