//! The host's time, time zone and clock sources.
//!
//! The zone is the host's (`/etc/localtime` below `--rootfs`), not that of the process; without the
//! file it is UTC.

use std::time::Duration;

use bellwether_model::time::Timestamp;
use tz::TimeZone;

use crate::pure::columns::{Column, Row};
use crate::pure::family::{Family, FamilySpec};
use crate::pure::files::{Asks, FileId, Refresh, Root};
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "time",
    about: "the host's time, time zone and clock sources",
    files: &["etc/localtime", AVAILABLE, CURRENT],
    is_default: true,
    filters: &[],
    pace: Pace::Common,
    families: FAMILIES,
    make: |setup| Box::new(Time::new(setup)),
};
const AVAILABLE: &str = "devices/system/clocksource/clocksource0/available_clocksource";
const CURRENT: &str = "devices/system/clocksource/clocksource0/current_clocksource";
const FAMILIES: &[FamilySpec] = &[SECONDS, ZONE, SOURCES, SOURCE];
const SECONDS: FamilySpec = FamilySpec::gauge("node_time_seconds", "The host's time, Unix time.");
const ZONE: FamilySpec = FamilySpec::gauge(
    "node_time_zone_offset_seconds",
    "Seconds that the host's time zone is ahead of UTC.",
);
const SOURCES: FamilySpec = FamilySpec::gauge(
    "node_time_clocksource_available_info",
    "A source of time that the kernel could use, in a label.",
);
const SOURCE: FamilySpec = FamilySpec::gauge(
    "node_time_clocksource_current_info",
    "The source of time that the kernel uses, in a label.",
);
/// The kernel changes its source when it finds one unstable; zones change by hand.
const REFRESH: Refresh = Refresh::Every(Duration::from_secs(15));

struct Time {
    localtime: FileId,
    available: FileId,
    current: FileId,
    seconds: Option<Column>,
    zone: Zone,
    sources: Sources,
}

/// The zone as read, and its column.
struct Zone {
    reading: u64,
    rules: TimeZone,
    shown: Option<(String, Column)>,
}

/// The clock sources as read, and their columns.
#[derive(Default)]
struct Sources {
    readings: (u64, u64),
    text: (Vec<u8>, Vec<u8>),
    columns: Vec<Column>,
}

impl Time {
    fn new(setup: &mut Setup<'_>) -> Time {
        Time {
            localtime: setup.files.ask(Root::Host, "etc/localtime", REFRESH),
            available: setup.files.ask(Root::Sys, AVAILABLE, REFRESH),
            current: setup.files.ask(Root::Sys, CURRENT, REFRESH),
            seconds: None,
            zone: Zone { reading: 0, rules: TimeZone::utc(), shown: None },
            sources: Sources::default(),
        }
    }
}

impl Input for Time {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Collect { files, row, now } = at;
        let seconds = match self.seconds {
            Some(column) => column,
            None => *self.seconds.insert(row.add(Family::new(&SECONDS).column(&[])?)),
        };
        row.set(seconds, unix_seconds(now.wall));
        self.zone.show(self.localtime, now.wall, files, row)?;
        self.sources.show((self.available, self.current), files, row)
    }
}

/// Unix time in seconds with milliseconds.
#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are below 2^53")]
fn unix_seconds(at: Timestamp) -> f64 {
    at.0 as f64 / 1000.0
}

impl Zone {
    fn show(
        &mut self,
        file: FileId,
        now: Timestamp,
        files: &Asks<'_>,
        row: &mut Row<'_>,
    ) -> Result<(), InputError> {
        if files.readings(file) != self.reading {
            self.reading = files.readings(file);
            let rules = files.bytes(file).ok().and_then(|text| TimeZone::from_tz_data(text).ok());
            self.rules = rules.unwrap_or_else(TimeZone::utc);
        }
        let local = self.rules.as_ref().find_local_time_type(now.0.div_euclid(1000)).ok();
        let offset = local.map_or(0, tz::LocalTimeType::ut_offset);
        let name = local.map_or("", tz::LocalTimeType::time_zone_designation);
        let name = if name.is_empty() { "UTC" } else { name };
        let column = match &self.shown {
            Some((shown, column)) if shown == name => *column,
            before => {
                if let Some((_, column)) = before {
                    row.end(*column);
                }
                let column = row.add(Family::new(&ZONE).column(&[("time_zone", name)])?);
                self.shown = Some((name.to_owned(), column));
                column
            }
        };
        row.set(column, f64::from(offset));
        Ok(())
    }
}

impl Sources {
    fn show(
        &mut self,
        (available, current): (FileId, FileId),
        files: &Asks<'_>,
        row: &mut Row<'_>,
    ) -> Result<(), InputError> {
        let readings = (files.readings(available), files.readings(current));
        if readings != self.readings {
            self.readings = readings;
            let text = |file| files.bytes(file).unwrap_or_default().to_vec();
            let text = (text(available), text(current));
            if text != self.text {
                self.text = text;
                self.columns.drain(..).for_each(|column| row.end(column));
                let sources = scan::fields(&self.text.0).map(|name| (&SOURCES, name));
                let source = scan::fields(&self.text.1).take(1).map(|name| (&SOURCE, name));
                for (family, name) in sources.chain(source) {
                    let name = String::from_utf8_lossy(name);
                    // The kernel has one place where sources are chosen; its number is 0.
                    let labels = [("clocksource", &*name), ("device", "0")];
                    self.columns.push(row.add(Family::new(family).column(&labels)?));
                }
            }
        }
        self.columns.iter().for_each(|column| row.set(*column, 1.0));
        Ok(())
    }
}
