//! `/proc/diskstats`: the counters of each disk, and what udev knows of it.
//!
//! Sectors are of 512 bytes whatever the disk, times are in milliseconds. How many counters there
//! are depends on the kernel: 11, then 15 with discards, then 17 with flushes.

mod info;

use info::Info;

use crate::pure::columns::{Column, Row};
use crate::pure::family::{Family, FamilySpec};
use crate::pure::files::{Asks, FileId, Refresh, Root};
use crate::pure::filter::{FilterSpec, NameFilter};
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::roster::Roster;
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "diskstats",
    about: "operations, bytes and times of each disk, with its model and use as udev knows them",
    files: &[PATH, "block/*/queue/rotational", "run/udev/data/b*"],
    is_default: true,
    // Memory, loop and floppy devices, and partitions.
    filters: &[FilterSpec::DEVICES.without(r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$")],
    pace: Pace::Common,
    families: FAMILIES,
    make: |setup| Box::new(Diskstats::new(setup)),
};
const PATH: &str = "diskstats";
const COUNTERS: usize = 17;
/// Counters of the oldest kernels.
const COUNTERS_MIN: usize = 11;

#[derive(Clone, Copy)]
enum Scale {
    Count,
    /// 512 bytes each.
    Sectors,
    /// Milliseconds, given in seconds.
    Millis,
}

/// The counters of a line, in its order; what udev knows follows.
const FAMILIES: &[FamilySpec] = &[
    FamilySpec::counter("node_disk_reads_completed_total", "Reads completed."),
    FamilySpec::counter("node_disk_reads_merged_total", "Reads merged with another."),
    FamilySpec::counter("node_disk_read_bytes_total", "Bytes read."),
    FamilySpec::counter("node_disk_read_time_seconds_total", "Seconds that reads took, summed."),
    FamilySpec::counter("node_disk_writes_completed_total", "Writes completed."),
    FamilySpec::counter("node_disk_writes_merged_total", "Writes merged with another."),
    FamilySpec::counter("node_disk_written_bytes_total", "Bytes written."),
    FamilySpec::counter("node_disk_write_time_seconds_total", "Seconds that writes took, summed."),
    FamilySpec::gauge("node_disk_io_now", "Operations in progress."),
    FamilySpec::counter("node_disk_io_time_seconds_total", "Seconds with operations in progress."),
    FamilySpec::counter(
        "node_disk_io_time_weighted_seconds_total",
        "Seconds with operations in progress, times their number.",
    ),
    FamilySpec::counter("node_disk_discards_completed_total", "Discards completed."),
    FamilySpec::counter("node_disk_discards_merged_total", "Discards merged with another."),
    FamilySpec::counter("node_disk_discarded_sectors_total", "Sectors discarded."),
    FamilySpec::counter("node_disk_discard_time_seconds_total", "Seconds discards took, summed."),
    FamilySpec::counter("node_disk_flush_requests_total", "Flushes completed."),
    FamilySpec::counter(
        "node_disk_flush_requests_time_seconds_total",
        "Seconds that flushes took, summed.",
    ),
    info::INFO,
    info::FILESYSTEM,
    info::MAPPER,
    info::ATA_CACHE,
    info::ATA_CACHE_ENABLED,
    info::ATA_RPM,
];
const SCALES: [Scale; COUNTERS] = {
    use Scale::{Count, Millis, Sectors};
    [
        Count, Count, Sectors, Millis, Count, Count, Sectors, Millis, Count, Millis, Millis, Count,
        Count, Count, Millis, Count, Millis,
    ]
};

struct Diskstats {
    file: FileId,
    filter: NameFilter,
    families: Vec<Family>,
    /// `None` for a device that is left out.
    devices: Roster<Option<Device>>,
}

struct Device {
    columns: Vec<Column>,
    info: Info,
}

impl Diskstats {
    fn new(setup: &mut Setup<'_>) -> Diskstats {
        Diskstats {
            file: setup.files.ask(Root::Proc, PATH, Refresh::EachRow),
            filter: setup.filter(0),
            families: FAMILIES.iter().take(COUNTERS).map(Family::new).collect(),
            devices: Roster::default(),
        }
    }
}

/// The counters of one line and how many there are.
struct Counters([u64; COUNTERS], usize);

fn counters(fields: scan::Fields<'_>) -> Option<Counters> {
    let mut counters = Counters([0; COUNTERS], 0);
    for (field, place) in fields.zip(&mut counters.0) {
        *place = scan::integer(field)?;
        counters.1 += 1;
    }
    (counters.1 >= COUNTERS_MIN).then_some(counters)
}

impl Input for Diskstats {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Collect { files, row, .. } = at;
        self.devices.begin();
        for (number, line) in scan::lines(files.needed(self.file)?) {
            let bad = |what| InputError::parse(PATH, number, what);
            let mut fields = scan::fields(line);
            let ((Some(major), Some(minor)), Some(name)) =
                ((fields.integer(), fields.integer()), fields.next())
            else {
                return Err(bad("device numbers and a name expected"));
            };
            let known = self.devices.find(name);
            if matches!(known, Some(None)) {
                continue;
            }
            if known.is_none() && !self.filter.takes(name) {
                self.devices.add(name, None).ok_or(InputError::TooManyDevices)?;
                continue;
            }
            let counters =
                counters(fields).ok_or_else(|| bad("eleven counters or more expected"))?;
            let device = match known {
                Some(device) => device,
                None => {
                    let device = Device::new(name, &self.families, counters.1, row)?;
                    self.devices.add(name, Some(device)).ok_or(InputError::TooManyDevices)?
                }
            };
            let Some(device) = device else { continue };
            device.info.numbers = (major, minor);
            for ((column, count), scale) in device.columns.iter().zip(counters.0).zip(SCALES) {
                row.set(*column, scaled(count, scale));
            }
        }
        self.devices.take_gone(|device| {
            if let Some(device) = device {
                device.end(files, row);
            }
        });
        for (name, device) in self.devices.iter_mut() {
            if let Some(device) = device {
                device.info.show(name, files, row)?;
            }
        }
        Ok(())
    }
}

fn scaled(count: u64, scale: Scale) -> f64 {
    match scale {
        Scale::Count => scan::float(count),
        Scale::Sectors => scan::float(count) * 512.0,
        Scale::Millis => scan::float(count) / 1000.0,
    }
}

impl Device {
    fn new(
        name: &[u8],
        families: &[Family],
        counters: usize,
        row: &mut Row<'_>,
    ) -> Result<Device, InputError> {
        let name = String::from_utf8_lossy(name);
        let mut columns = Vec::with_capacity(counters);
        for family in families.iter().take(counters) {
            columns.push(row.add(family.column(&[("device", &name)])?));
        }
        Ok(Device { columns, info: Info::default() })
    }

    fn end(self, files: &mut Asks<'_>, row: &mut Row<'_>) {
        self.columns.into_iter().for_each(|column| row.end(column));
        self.info.end(files, row);
    }
}
