//! `/sys/devices/system/cpu`: throttling per core and package, isolated and online processors.
//!
//! All of it is optional: virtual machines have no throttling counters, and processors are listed
//! as online only where the first of them can be unplugged, as node_exporter does.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::label::LabelError;
use bellwether_model::wire::table::ColumnSpec;

use super::{CORE, ISOLATED, ONLINE, PACKAGE};
use crate::pure::columns::{Column, Row};
use crate::pure::family::Family;
use crate::pure::files::{Asks, FileId, ReadError, Refresh, Root};
use crate::pure::input::{InputError, Setup};
use crate::pure::scan;

const ROOT: &str = "devices/system/cpu";
/// Processors looked at; more have no throttling series.
const PROCESSORS_MAX: usize = 4096;
/// The list of processors changes by hand only.
const REFRESH: Refresh = Refresh::Every(Duration::from_secs(15));

pub(super) struct Sysfs {
    present: FileId,
    online: FileId,
    isolated: FileId,
    can_unplug: FileId,
    families: Families,
    /// By processor.
    onlines: BTreeMap<u32, Column>,
    isolateds: BTreeMap<u32, Column>,
    topology: BTreeMap<u32, Topology>,
    /// The reading of `present` whose processors are all in `topology`, with nothing left to place.
    settled: Option<u64>,
    /// By package and core, by package.
    cores: BTreeMap<(u64, u64), Throttle>,
    packages: BTreeMap<u64, Throttle>,
}

struct Families {
    online: Family,
    isolated: Family,
    core: Family,
    package: Family,
}

/// Where a processor is; read once.
struct Topology {
    package: FileId,
    core: FileId,
    is_placed: bool,
}

struct Throttle {
    file: FileId,
    column: Option<Column>,
}

impl Sysfs {
    pub(super) fn new(setup: &mut Setup<'_>) -> Sysfs {
        let mut ask =
            |name, refresh| setup.files.ask(Root::Sys, &format!("{ROOT}/{name}"), refresh);
        Sysfs {
            present: ask("present", REFRESH),
            online: ask("online", REFRESH),
            isolated: ask("isolated", Refresh::Once),
            can_unplug: ask("cpu0/online", REFRESH),
            families: Families {
                online: Family::new(&ONLINE),
                isolated: Family::new(&ISOLATED),
                core: Family::new(&CORE),
                package: Family::new(&PACKAGE),
            },
            onlines: BTreeMap::new(),
            isolateds: BTreeMap::new(),
            topology: BTreeMap::new(),
            settled: None,
            cores: BTreeMap::new(),
            packages: BTreeMap::new(),
        }
    }

    pub(super) fn collect(
        &mut self,
        files: &mut Asks<'_>,
        row: &mut Row<'_>,
    ) -> Result<(), InputError> {
        if files.bytes(self.can_unplug).is_ok() {
            self.show_online(files, row)?;
        }
        self.show_isolated(files, row)?;
        self.find_cores(files);
        for ((package, core), throttle) in &mut self.cores {
            throttle.show(files, row, || {
                let (package, core) = (package.to_string(), core.to_string());
                self.families.core.column(&[("package", &package), ("core", &core)])
            })?;
        }
        for (package, throttle) in &mut self.packages {
            throttle.show(files, row, || {
                self.families.package.column(&[("package", &package.to_string())])
            })?;
        }
        Ok(())
    }

    fn show_online(&mut self, files: &Asks<'_>, row: &mut Row<'_>) -> Result<(), InputError> {
        let present = files.bytes(self.present).unwrap_or_default();
        let online = files.bytes(self.online).unwrap_or_default();
        for cpu in scan::list(present).take(PROCESSORS_MAX) {
            if !self.onlines.contains_key(&cpu) {
                let column = self.families.online.column(&[("cpu", &cpu.to_string())])?;
                self.onlines.insert(cpu, row.add(column));
            }
        }
        self.onlines.values().for_each(|column| row.set(*column, 0.0));
        for cpu in scan::list(online).take(PROCESSORS_MAX) {
            if let Some(column) = self.onlines.get(&cpu) {
                row.set(*column, 1.0);
            }
        }
        Ok(())
    }

    fn show_isolated(&mut self, files: &Asks<'_>, row: &mut Row<'_>) -> Result<(), InputError> {
        if self.isolateds.is_empty() {
            let isolated = files.bytes(self.isolated).unwrap_or_default();
            for cpu in scan::list(isolated).take(PROCESSORS_MAX) {
                let column = self.families.isolated.column(&[("cpu", &cpu.to_string())])?;
                self.isolateds.insert(cpu, row.add(column));
            }
        }
        self.isolateds.values().for_each(|column| row.set(*column, 1.0));
        Ok(())
    }

    /// Asks for the counters of each core and package once it is known where a processor is.
    fn find_cores(&mut self, files: &mut Asks<'_>) {
        let reading = files.readings(self.present);
        if self.settled == Some(reading) {
            return;
        }
        let present = files.bytes(self.present).unwrap_or_default();
        let seen = self.topology.len();
        let new: Vec<u32> = scan::list(present)
            .take(PROCESSORS_MAX)
            .filter(|cpu| !self.topology.contains_key(cpu))
            .collect();
        for cpu in new {
            let mut ask = |name| {
                let path = format!("{ROOT}/cpu{cpu}/topology/{name}");
                files.ask(Root::Sys, &path, Refresh::Once)
            };
            let (package, core) = (ask("physical_package_id"), ask("core_id"));
            self.topology.insert(cpu, Topology { package, core, is_placed: false });
        }
        if self.topology.len() > seen {
            return;
        }
        self.settled = Some(reading);
        for (cpu, topology) in self.topology.iter_mut().filter(|(_, t)| !t.is_placed) {
            let read = |file| files.bytes(file).map(|text| scan::integer(scan::trim(text)));
            let (package, core) = match (read(topology.package), read(topology.core)) {
                (Ok(Some(package)), Ok(Some(core))) => (package, core),
                // Offline processors have no topology; looked at again with the next `present`.
                (Err(ReadError::Missing), _) | (_, Err(ReadError::Missing)) => continue,
                _ => {
                    topology.is_placed = true;
                    continue;
                }
            };
            topology.is_placed = true;
            files.release(topology.package);
            files.release(topology.core);
            let mut ask = |name| {
                let path = format!("{ROOT}/cpu{cpu}/thermal_throttle/{name}");
                Throttle { file: files.ask(Root::Sys, &path, Refresh::EachRow), column: None }
            };
            self.cores.entry((package, core)).or_insert_with(|| ask("core_throttle_count"));
            self.packages.entry(package).or_insert_with(|| ask("package_throttle_count"));
        }
    }
}

impl Throttle {
    fn show(
        &mut self,
        files: &Asks<'_>,
        row: &mut Row<'_>,
        spec: impl FnOnce() -> Result<ColumnSpec, LabelError>,
    ) -> Result<(), InputError> {
        let text = files.bytes(self.file).unwrap_or_default();
        let Some(count) = scan::integer(scan::trim(text)) else { return Ok(()) };
        let column = match self.column {
            Some(column) => column,
            None => *self.column.insert(row.add(spec()?)),
        };
        row.set(column, scan::float(count));
        Ok(())
    }
}
