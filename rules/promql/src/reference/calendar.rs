//! Dates in UTC from seconds since 1970, by counting years.

/// A moment taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) year: i64,
    /// From 1.
    pub(super) month: i64,
    /// From 1.
    pub(super) day_of_month: i64,
    /// From 1.
    pub(super) day_of_year: i64,
    /// Sunday is 0.
    pub(super) day_of_week: i64,
    pub(super) days_in_month: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
}

/// Days in 400 years, after which the calendar repeats.
const CYCLE_DAYS: i64 = 146_097;

pub(super) fn moment(seconds: i64) -> Moment {
    let days = seconds.div_euclid(86_400);
    let of_day = seconds.rem_euclid(86_400);
    let mut year = 1970 + 400 * days.div_euclid(CYCLE_DAYS);
    let mut left = days.rem_euclid(CYCLE_DAYS);
    while left >= year_days(year) {
        left -= year_days(year);
        year += 1;
    }
    let day_of_year = left + 1;
    let mut month = 1;
    while left >= month_days(year, month) {
        left -= month_days(year, month);
        month += 1;
    }
    Moment {
        year,
        month,
        day_of_month: left + 1,
        day_of_year,
        // 1 January 1970 was a Thursday.
        day_of_week: (days.rem_euclid(7) + 4) % 7,
        days_in_month: month_days(year, month),
        hour: of_day / 3600,
        minute: of_day % 3600 / 60,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn year_days(year: i64) -> i64 {
    if is_leap(year) { 366 } else { 365 }
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_known_to_everyone() {
        let leap_day = moment(951_782_400);
        assert_eq!((leap_day.year, leap_day.month, leap_day.day_of_month), (2000, 2, 29));
        assert_eq!(
            (leap_day.day_of_week, leap_day.day_of_year, leap_day.days_in_month),
            (2, 60, 29)
        );
        let before = moment(-1);
        assert_eq!((before.year, before.month, before.day_of_month), (1969, 12, 31));
        assert_eq!((before.hour, before.minute, before.day_of_week), (23, 59, 3));
    }
}
