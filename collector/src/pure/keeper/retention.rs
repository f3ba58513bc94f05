//! The time by which samples and sessions are past retention.
//!
//! It is the collector's time, with one exception: a date that leaps ahead by more than an hour,
//! set wrong or after the collector was away, is believed once it has stood for a day without a
//! start between. Until then this time goes on as the process's own does, from where it was; a
//! start takes it from the checkpoint. So a date that is wrong for less than a day takes no sample.
//! What it costs: after an absence samples go up to a day late. The bound on bytes knows no date.

use std::time::Duration;

use bellwether_model::time::{Mono, Now, Timestamp};

use super::Keeper;

/// What a date may leap ahead and is believed at once: as much as the oldest samples that it costs.
const LEAP: Duration = Duration::from_secs(3600);
/// How long a date that leaps further is doubted: long enough for a person to see it.
const DOUBT: Duration = Duration::from_secs(24 * 3600);

/// The time of retention.
#[derive(Debug, Default)]
pub(super) struct Retention {
    at: Option<(Timestamp, Mono)>,
    /// Since when the date is doubted.
    since: Option<Mono>,
}

impl Retention {
    /// Goes on from what a checkpoint or snapshot says.
    pub(super) fn restore(&mut self, now: Now, taken: Timestamp) {
        self.at = Some((taken, now.mono));
    }

    /// The time of retention now.
    pub(super) fn time(&mut self, now: Now) -> Timestamp {
        let (time, mono) = self.at.unwrap_or((now.wall, now.mono));
        let passed = time.saturating_add(now.mono.since(mono));
        let leaps = now.wall > passed.saturating_add(LEAP);
        let since = leaps.then(|| self.since.unwrap_or(now.mono));
        self.since = since.filter(|since| now.mono.since(*since) < DOUBT);
        let time = if self.since.is_some() { passed } else { now.wall };
        self.at = Some((time, now.mono));
        time
    }

    /// The time of retention as it was told last, for a checkpoint made at `now`.
    pub(super) fn last(&self, now: Timestamp) -> Timestamp {
        self.at.map_or(now, |(time, _)| time)
    }
}

impl Keeper {
    /// Drops what is past retention.
    pub(super) fn expire(&mut self, now: Now) {
        let wall = self.retention.time(now);
        self.stats.date_doubted = self.retention.since.is_some();
        self.writer.retain(wall);
        let now = Now { wall, ..now };
        self.rest(now, self.limits.retention);
        self.drop_sessions(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_700_000_000_000;
    const HOUR: i64 = 3600;
    const YEAR: i64 = 365 * 24 * HOUR;

    fn now(second: i64, ahead: i64) -> Now {
        let mono = Mono(Duration::from_secs(second.unsigned_abs()));
        Now { wall: Timestamp(START + (second + ahead) * 1000), mono }
    }

    /// How far the time of retention is ahead of seconds that pass, in seconds.
    fn ahead(retention: &mut Retention, second: i64, ahead: i64) -> i64 {
        (retention.time(now(second, ahead)).0 - START) / 1000 - second
    }

    #[test]
    fn a_leap_is_believed_after_a_day() {
        let mut retention = Retention::default();
        assert_eq!(ahead(&mut retention, 0, 0), 0);
        assert_eq!(ahead(&mut retention, 10, HOUR), HOUR, "an hour is believed");
        assert_eq!(ahead(&mut retention, 20, 0), 0, "so is the way back");
        for second in [30, 60, 23 * HOUR] {
            assert_eq!(ahead(&mut retention, second, YEAR), 0, "{second}");
            assert!(retention.since.is_some());
        }
        assert_eq!(ahead(&mut retention, 23 * HOUR + 1, 0), 0, "the date is right again");
        assert!(retention.since.is_none());
        let again = 30 * HOUR;
        assert_eq!(ahead(&mut retention, again, YEAR), 0);
        assert_eq!(ahead(&mut retention, again + 24 * HOUR - 1, YEAR), 0);
        assert_eq!(ahead(&mut retention, again + 24 * HOUR, YEAR), YEAR);
        assert_eq!(ahead(&mut retention, again + 25 * HOUR, YEAR), YEAR);
        assert!(retention.since.is_none());
    }

    #[test]
    fn a_start_goes_on_from_the_checkpoint() {
        let mut retention = Retention::default();
        retention.restore(now(5, 0), Timestamp(START + 5000));
        assert_eq!(ahead(&mut retention, 5, HOUR), HOUR);
        retention.restore(now(6, 0), Timestamp(START + 6000));
        assert_eq!(ahead(&mut retention, 7, YEAR), 0);
    }
}
