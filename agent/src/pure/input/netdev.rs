//! `/proc/net/dev`: the counters of each network interface, under node_exporter's names.
//!
//! The kernel sums the kinds of drops and errors in this file as node_exporter does from netlink.
//! `nohandler` is not in it and is read from `/sys/class/net/<device>/statistics/rx_nohandler`.

use crate::pure::columns::{Column, Row};
use crate::pure::family::{Family, FamilySpec};
use crate::pure::files::{Asks, FileId, Refresh, Root};
use crate::pure::filter::{FilterSpec, NameFilter};
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::roster::Roster;
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "netdev",
    about: "bytes, packets, drops and errors of each network interface",
    files: &[PATH, "class/net/*/statistics/rx_nohandler"],
    is_default: true,
    filters: &[FilterSpec::DEVICES],
    pace: Pace::Common,
    families: FAMILIES,
    make: |setup| Box::new(Netdev::new(setup)),
};
const PATH: &str = "net/dev";
/// The fields of a line, in its order; the last is from sysfs.
const FAMILIES: &[FamilySpec] = &[
    FamilySpec::counter("node_network_receive_bytes_total", "Bytes received."),
    FamilySpec::counter("node_network_receive_packets_total", "Packets received."),
    FamilySpec::counter("node_network_receive_errs_total", "Errors while receiving."),
    FamilySpec::counter(
        "node_network_receive_drop_total",
        "Packets received and dropped, those missed for lack of buffers included.",
    ),
    FamilySpec::counter("node_network_receive_fifo_total", "Overruns of the receive queue."),
    FamilySpec::counter(
        "node_network_receive_frame_total",
        "Packets received with a bad frame, length or checksum, or past a ring's end.",
    ),
    FamilySpec::counter("node_network_receive_compressed_total", "Compressed packets received."),
    FamilySpec::counter("node_network_receive_multicast_total", "Multicast packets received."),
    FamilySpec::counter("node_network_transmit_bytes_total", "Bytes sent."),
    FamilySpec::counter("node_network_transmit_packets_total", "Packets sent."),
    FamilySpec::counter("node_network_transmit_errs_total", "Errors while sending."),
    FamilySpec::counter("node_network_transmit_drop_total", "Packets dropped before sending."),
    FamilySpec::counter("node_network_transmit_fifo_total", "Overruns of the send queue."),
    FamilySpec::counter("node_network_transmit_colls_total", "Collisions while sending."),
    FamilySpec::counter(
        "node_network_transmit_carrier_total",
        "Packets not sent for loss of carrier, heartbeat or window, or aborted.",
    ),
    FamilySpec::counter("node_network_transmit_compressed_total", "Compressed packets sent."),
    FamilySpec::counter(
        "node_network_receive_nohandler_total",
        "Packets received that no protocol took.",
    ),
];
const FIELDS: usize = 16;

struct Netdev {
    file: FileId,
    filter: NameFilter,
    families: Vec<Family>,
    /// `None` for a device that is left out.
    devices: Roster<Option<Device>>,
}

struct Device {
    columns: [Column; FIELDS],
    nohandler: Nohandler,
}

/// The counter that is a file of its own.
#[derive(Clone, Copy)]
enum Nohandler {
    NotAsked,
    Asked(FileId),
    Shown(FileId, Column),
}

impl Netdev {
    fn new(setup: &mut Setup<'_>) -> Netdev {
        Netdev {
            file: setup.files.ask(Root::Proc, PATH, Refresh::EachRow),
            filter: setup.filter(0),
            families: FAMILIES.iter().map(Family::new).collect(),
            devices: Roster::default(),
        }
    }
}

impl Input for Netdev {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Collect { files, row, .. } = at;
        self.devices.begin();
        // Two lines of headings.
        for (number, line) in scan::lines(files.needed(self.file)?).skip(2) {
            let (name, counters) = split_name(line)
                .ok_or_else(|| InputError::parse(PATH, number, "a device name expected"))?;
            let device = match self.devices.find(name) {
                Some(device) => device,
                None => {
                    let device = match self.filter.takes(name) {
                        true => Some(Device::new(name, &self.families, row)?),
                        false => None,
                    };
                    self.devices.add(name, device).ok_or(InputError::TooManyDevices)?
                }
            };
            let Some(device) = device else { continue };
            let mut counters = scan::fields(counters);
            for column in device.columns {
                let value = counters
                    .integer()
                    .ok_or_else(|| InputError::parse(PATH, number, "sixteen counters expected"))?;
                row.set(column, scan::float(value));
            }
        }
        self.devices.take_gone(|device| {
            if let Some(device) = device {
                device.end(files, row);
            }
        });
        let Some(family) = self.families.get(FIELDS) else { return Ok(()) };
        for (name, device) in self.devices.iter_mut() {
            if let Some(device) = device {
                device.nohandler(name, family, files, row)?;
            }
        }
        Ok(())
    }
}

impl Device {
    fn new(name: &[u8], families: &[Family], row: &mut Row<'_>) -> Result<Device, InputError> {
        let name = String::from_utf8_lossy(name);
        let mut columns = [Column::default(); FIELDS];
        for (column, family) in columns.iter_mut().zip(families) {
            *column = row.add(family.column(&[("device", &name)])?);
        }
        Ok(Device { columns, nohandler: Nohandler::NotAsked })
    }

    /// Asks for the file, then shows what it says; older kernels have none.
    fn nohandler(
        &mut self,
        name: &[u8],
        family: &Family,
        files: &mut Asks<'_>,
        row: &mut Row<'_>,
    ) -> Result<(), InputError> {
        let read = |files: &Asks<'_>, file| {
            files.bytes(file).ok().and_then(|text| scan::integer(scan::trim(text)))
        };
        match self.nohandler {
            Nohandler::NotAsked => {
                let name = String::from_utf8_lossy(name);
                let path = format!("class/net/{name}/statistics/rx_nohandler");
                self.nohandler = Nohandler::Asked(files.ask(Root::Sys, &path, Refresh::EachRow));
            }
            Nohandler::Asked(file) => {
                if let Some(value) = read(files, file) {
                    let name = String::from_utf8_lossy(name);
                    let column = row.add(family.column(&[("device", &name)])?);
                    row.set(column, scan::float(value));
                    self.nohandler = Nohandler::Shown(file, column);
                }
            }
            Nohandler::Shown(file, column) => {
                if let Some(value) = read(files, file) {
                    row.set(column, scan::float(value));
                }
            }
        }
        Ok(())
    }

    fn end(self, files: &mut Asks<'_>, row: &mut Row<'_>) {
        self.columns.into_iter().for_each(|column| row.end(column));
        match self.nohandler {
            Nohandler::NotAsked => {}
            Nohandler::Asked(file) => files.release(file),
            Nohandler::Shown(file, column) => {
                files.release(file);
                row.end(column);
            }
        }
    }
}

/// `eth0: 1 2 …`; older kernels print the first counter without a blank.
fn split_name(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = line.split_at(memchr::memchr(b':', line)?);
    let name = scan::trim(name);
    (!name.is_empty()).then_some(())?;
    Some((name, rest.get(1..)?))
}
