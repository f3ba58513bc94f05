//! What udev and sysfs know of a disk: model and serial, file system, device mapper, ATA settings.
//!
//! The files are read once a minute; without them the info has the device's name and numbers only.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::label::LabelError;
use bellwether_model::wire::table::ColumnSpec;

use crate::pure::columns::{Column, Row};
use crate::pure::family::{Family, FamilySpec};
use crate::pure::files::{Asks, FileId, Refresh, Root};
use crate::pure::input::InputError;
use crate::pure::scan;

pub(super) const INFO: FamilySpec =
    FamilySpec::gauge("node_disk_info", "Names, numbers and model of a disk, in labels.");
pub(super) const FILESYSTEM: FamilySpec =
    FamilySpec::gauge("node_disk_filesystem_info", "The file system on a disk, in labels.");
pub(super) const MAPPER: FamilySpec =
    FamilySpec::gauge("node_disk_device_mapper_info", "A mapped device's names, in labels.");
pub(super) const ATA_CACHE: FamilySpec =
    FamilySpec::gauge("node_disk_ata_write_cache", "Whether an ATA disk has a write cache.");
pub(super) const ATA_CACHE_ENABLED: FamilySpec =
    FamilySpec::gauge("node_disk_ata_write_cache_enabled", "Whether that cache is in use.");
pub(super) const ATA_RPM: FamilySpec = FamilySpec::gauge(
    "node_disk_ata_rotation_rate_rpm",
    "Rotations of an ATA disk in a minute; 0 for one that does not rotate.",
);

const REFRESH: Refresh = Refresh::Every(Duration::from_secs(60));
/// Bytes of one property kept; a label may hold no more.
const PROPERTY_BYTES_MAX: usize = bellwether_model::limit::LABEL_BYTES;

/// The info series of one disk.
#[derive(Default)]
pub(super) struct Info {
    /// Major and minor number of the device in this row.
    pub(super) numbers: (u64, u64),
    asked: Option<Asked>,
    shown: Vec<Shown>,
}

/// The files of one disk, and which of their readings is shown.
struct Asked {
    numbers: (u64, u64),
    udev: FileId,
    rotational: FileId,
    readings: (u64, u64),
}

struct Shown {
    spec: ColumnSpec,
    value: f64,
    column: Column,
}

impl Info {
    /// Asks for the files, then shows what they say.
    pub(super) fn show(
        &mut self,
        name: &[u8],
        files: &mut Asks<'_>,
        row: &mut Row<'_>,
    ) -> Result<(), InputError> {
        if self.asked.as_ref().is_none_or(|asked| asked.numbers != self.numbers) {
            self.release(files);
            self.asked = Some(Asked::new(name, self.numbers, files));
            return Ok(());
        }
        if let Some(asked) = &mut self.asked {
            let readings = (files.readings(asked.udev), files.readings(asked.rotational));
            if asked.readings != readings {
                asked.readings = readings;
                let specs = series(name, asked, files)?;
                self.replace(specs, row);
            }
        }
        self.shown.iter().for_each(|shown| row.set(shown.column, shown.value));
        Ok(())
    }

    /// Ends all series and asks for nothing more.
    pub(super) fn end(mut self, files: &mut Asks<'_>, row: &mut Row<'_>) {
        self.release(files);
        self.shown.iter().for_each(|shown| row.end(shown.column));
    }

    fn release(&mut self, files: &mut Asks<'_>) {
        if let Some(asked) = self.asked.take() {
            files.release(asked.udev);
            files.release(asked.rotational);
        }
    }

    fn replace(&mut self, series: Vec<(ColumnSpec, f64)>, row: &mut Row<'_>) {
        let is_same = self.shown.iter().map(|s| &s.spec).eq(series.iter().map(|(spec, _)| spec));
        if is_same {
            for (shown, (_, value)) in self.shown.iter_mut().zip(series) {
                shown.value = value;
            }
            return;
        }
        self.shown.drain(..).for_each(|shown| row.end(shown.column));
        for (spec, value) in series {
            let column = row.add(spec.clone());
            self.shown.push(Shown { spec, value, column });
        }
    }
}

impl Asked {
    fn new(name: &[u8], numbers: (u64, u64), files: &mut Asks<'_>) -> Asked {
        let (major, minor) = numbers;
        // A name with a slash is a directory's name with an exclamation mark.
        let directory = String::from_utf8_lossy(name).replace('/', "!");
        let udev = format!("run/udev/data/b{major}:{minor}");
        let rotational = format!("block/{directory}/queue/rotational");
        Asked {
            numbers,
            udev: files.ask(Root::Host, &udev, REFRESH),
            rotational: files.ask(Root::Sys, &rotational, REFRESH),
            readings: (0, 0),
        }
    }
}

/// The properties (`E:NAME=value`) of a file of udev.
fn properties(text: &[u8]) -> BTreeMap<&[u8], String> {
    let mut all = BTreeMap::new();
    for (_, line) in scan::lines(text) {
        let Some(line) = line.strip_prefix(b"E:") else { continue };
        let Some(equals) = memchr::memchr(b'=', line) else { continue };
        let (name, value) = line.split_at(equals);
        let value = String::from_utf8_lossy(value.get(1..).unwrap_or_default());
        if value.len() <= PROPERTY_BYTES_MAX {
            all.insert(name, value.into_owned());
        }
    }
    all
}

/// All info series of a disk with their values.
fn series(
    name: &[u8],
    asked: &Asked,
    files: &Asks<'_>,
) -> Result<Vec<(ColumnSpec, f64)>, LabelError> {
    let properties = properties(files.bytes(asked.udev).unwrap_or_default());
    let get = |key: &str| properties.get(key.as_bytes()).map_or("", String::as_str);
    let device = String::from_utf8_lossy(name);
    let device = ("device", &*device);
    let numbers = (asked.numbers.0.to_string(), asked.numbers.1.to_string());
    let rotational = files.bytes(asked.rotational).map(scan::trim);
    let rotational = if rotational == Ok(b"1") { "1" } else { "0" };
    // The serial number printed on the disk, if known; virtio disks have the last only.
    let serials = ["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"];
    let serial = serials.into_iter().map(get).find(|s| !s.is_empty()).unwrap_or("");
    let mut series = Vec::new();
    let mut add = |family: &FamilySpec, labels: &[(&str, &str)], value| {
        series.push((Family::new(family).column(labels)?, value));
        Ok::<(), LabelError>(())
    };
    let info = [
        device,
        ("major", &*numbers.0),
        ("minor", &*numbers.1),
        ("path", get("ID_PATH")),
        ("wwn", get("ID_WWN")),
        ("model", get("ID_MODEL")),
        ("serial", serial),
        ("revision", get("ID_REVISION")),
        ("rotational", rotational),
    ];
    add(&INFO, &info, 1.0)?;
    if !get("ID_FS_TYPE").is_empty() {
        let labels = [
            device,
            ("type", get("ID_FS_TYPE")),
            ("usage", get("ID_FS_USAGE")),
            ("uuid", get("ID_FS_UUID")),
            ("version", get("ID_FS_VERSION")),
        ];
        add(&FILESYSTEM, &labels, 1.0)?;
    }
    if !get("DM_NAME").is_empty() {
        let labels = [
            device,
            ("name", get("DM_NAME")),
            ("uuid", get("DM_UUID")),
            ("vg_name", get("DM_VG_NAME")),
            ("lv_name", get("DM_LV_NAME")),
            ("lv_layer", get("DM_LV_LAYER")),
        ];
        add(&MAPPER, &labels, 1.0)?;
    }
    if !get("ID_ATA").is_empty() {
        let settings = [
            (&ATA_CACHE, "ID_ATA_WRITE_CACHE"),
            (&ATA_CACHE_ENABLED, "ID_ATA_WRITE_CACHE_ENABLED"),
            (&ATA_RPM, "ID_ATA_ROTATION_RATE_RPM"),
        ];
        for (family, key) in settings {
            if let Some(value) = scan::decimal(get(key).as_bytes()) {
                add(family, &[device], value)?;
            }
        }
    }
    Ok(series)
}
