//! `/sys/class/net`: what each network interface is and in which state.
//!
//! The interfaces are those of `/proc/net/dev`. Some properties are asked of the device or wait for
//! a lock of the kernel's, so all are read apart; one that the device does not have (the speed of
//! one that is down, say) has no series.

use crate::pure::columns::{Column, Row};
use crate::pure::family::{Family, FamilySpec};
use crate::pure::files::{Asks, FileId, Refresh, Root};
use crate::pure::filter::{FilterSpec, NameFilter};
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::roster::Roster;
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "netclass",
    about: "state and properties of each network interface: up, carrier, speed, MTU, addresses",
    files: &[PATH, "class/net/*"],
    is_default: true,
    filters: &[FilterSpec::DEVICES],
    pace: Pace::Slow,
    families: FAMILIES,
    make: |setup| Box::new(Netclass::new(setup)),
};
const PATH: &str = "net/dev";
/// In the order of [`NUMBERS`], then the two that are made of [`TEXTS`].
const FAMILIES: &[FamilySpec] = &[
    FamilySpec::gauge("node_network_address_assign_type", "How the address came about."),
    FamilySpec::gauge("node_network_carrier", "Whether there is a carrier."),
    FamilySpec::counter("node_network_carrier_changes_total", "Times the carrier came or went."),
    FamilySpec::counter("node_network_carrier_up_changes_total", "Times the carrier came."),
    FamilySpec::counter("node_network_carrier_down_changes_total", "Times the carrier went."),
    FamilySpec::gauge("node_network_device_id", "Number that tells devices of one address apart."),
    FamilySpec::gauge("node_network_dormant", "Whether it waits for an event to be up."),
    FamilySpec::gauge("node_network_flags", "Flags of the interface as bits."),
    FamilySpec::gauge("node_network_iface_id", "Number of the interface."),
    FamilySpec::gauge("node_network_iface_link", "Number of the interface it is linked to."),
    FamilySpec::gauge("node_network_iface_link_mode", "Mode of the link."),
    FamilySpec::gauge("node_network_mtu_bytes", "Bytes of the longest packet."),
    FamilySpec::gauge("node_network_name_assign_type", "How the name came about."),
    FamilySpec::gauge("node_network_net_dev_group", "Group of the interface."),
    FamilySpec::gauge("node_network_protocol_type", "Protocol of the link, by its number."),
    FamilySpec::gauge(
        "node_network_speed_bytes",
        "Bytes that fit through in a second; negative if unknown.",
    ),
    FamilySpec::gauge("node_network_transmit_queue_length", "Packets that may wait for sending."),
    FamilySpec::gauge("node_network_up", "Whether the state is `up`."),
    FamilySpec::gauge("node_network_info", "Addresses and states of an interface, in labels."),
];
/// File names below the interface's directory.
const NUMBERS: [&str; 17] = [
    "addr_assign_type",
    "carrier",
    "carrier_changes",
    "carrier_up_count",
    "carrier_down_count",
    "dev_id",
    "dormant",
    FLAGS,
    "ifindex",
    "iflink",
    "link_mode",
    "mtu",
    "name_assign_type",
    "netdev_group",
    "type",
    SPEED,
    "tx_queue_len",
];
const FLAGS: &str = "flags";
/// In megabits per second.
const SPEED: &str = "speed";
const SPEED_BYTES: f64 = 125_000.0;
const UP: usize = NUMBERS.len();
const INFO: usize = UP + 1;
/// Labels of the info, named as their files are.
const TEXTS: [&str; 5] = ["address", "broadcast", "duplex", "ifalias", STATE];
const STATE: &str = "operstate";

struct Netclass {
    file: FileId,
    filter: NameFilter,
    families: Vec<Family>,
    /// `None` for a device that is left out.
    devices: Roster<Option<Device>>,
}

struct Device {
    numbers: [(FileId, Option<Column>); NUMBERS.len()],
    texts: [FileId; TEXTS.len()],
    up: Option<Column>,
    info: Option<Info>,
}

/// The info as shown.
struct Info {
    texts: [Vec<u8>; TEXTS.len()],
    admin: &'static str,
    column: Column,
}

impl Netclass {
    fn new(setup: &mut Setup<'_>) -> Netclass {
        Netclass {
            file: setup.files.ask(Root::Proc, PATH, Refresh::EachRow),
            filter: setup.filter(0),
            families: FAMILIES.iter().map(Family::new).collect(),
            devices: Roster::default(),
        }
    }

    /// Finds the devices of the list, new and gone.
    fn find(&mut self, files: &mut Asks<'_>, row: &mut Row<'_>) -> Result<(), InputError> {
        self.devices.begin();
        // Names are few: they are copied, so that files can be asked for.
        let mut names = Vec::new();
        for (number, line) in scan::lines(files.needed(self.file)?).skip(2) {
            let end = memchr::memchr(b':', line)
                .ok_or_else(|| InputError::parse(PATH, number, "a device name expected"))?;
            names.push(scan::trim(line.split_at(end).0).to_vec());
        }
        for name in names {
            if self.devices.find(&name).is_none() {
                let device = self.filter.takes(&name).then(|| Device::new(&name, files));
                self.devices.add(&name, device).ok_or(InputError::TooManyDevices)?;
            }
        }
        self.devices.take_gone(|device| {
            if let Some(device) = device {
                device.end(files, row);
            }
        });
        Ok(())
    }
}

impl Input for Netclass {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Collect { files, row, .. } = at;
        self.find(files, row)?;
        for (name, device) in self.devices.iter_mut() {
            if let Some(device) = device {
                device.show_numbers(name, &self.families, files, row)?;
                device.show_texts(name, &self.families, files, row)?;
            }
        }
        Ok(())
    }
}

/// A number as these files have it: decimal with a sign, or hexadecimal.
fn number(text: &[u8]) -> Option<f64> {
    let text = scan::trim(text);
    match text.starts_with(b"0x") {
        true => scan::hexadecimal(text).map(scan::float),
        false => scan::signed(text).map(scan::signed_float),
    }
}

impl Device {
    fn new(name: &[u8], files: &mut Asks<'_>) -> Device {
        let name = String::from_utf8_lossy(name);
        let mut ask = |file| files.ask_apart(Root::Sys, &format!("class/net/{name}/{file}"));
        Device {
            numbers: NUMBERS.map(|file| (ask(file), None)),
            texts: TEXTS.map(&mut ask),
            up: None,
            info: None,
        }
    }

    fn show_numbers(
        &mut self,
        name: &[u8],
        families: &[Family],
        files: &Asks<'_>,
        row: &mut Row<'_>,
    ) -> Result<(), InputError> {
        for (((file, column), of), family) in self.numbers.iter_mut().zip(NUMBERS).zip(families) {
            let Some(value) = files.bytes(*file).ok().and_then(number) else {
                column.take().into_iter().for_each(|column| row.end(column));
                continue;
            };
            let column = match column {
                Some(column) => *column,
                None => {
                    let name = String::from_utf8_lossy(name);
                    *column.insert(row.add(family.column(&[("device", &name)])?))
                }
            };
            row.set(column, if of == SPEED { value * SPEED_BYTES } else { value });
        }
        Ok(())
    }

    fn show_texts(
        &mut self,
        name: &[u8],
        families: &[Family],
        files: &Asks<'_>,
        row: &mut Row<'_>,
    ) -> Result<(), InputError> {
        // Without a state nothing has been read yet, or the device is going.
        let state = TEXTS.iter().position(|file| *file == STATE);
        let state = state.and_then(|place| self.texts.get(place)).map(|file| files.bytes(*file));
        let Some(Ok(state)) = state else {
            self.hide_texts(row);
            return Ok(());
        };
        let (Some(up), Some(info)) = (families.get(UP), families.get(INFO)) else { return Ok(()) };
        let column = match self.up {
            Some(column) => column,
            None => {
                let name = String::from_utf8_lossy(name);
                *self.up.insert(row.add(up.column(&[("device", &name)])?))
            }
        };
        row.set(column, f64::from(u8::from(scan::trim(state) == b"up")));
        let texts = self.texts.map(|file| files.bytes(file).map(scan::trim).unwrap_or_default());
        let admin = self.admin_state(files);
        if let Some(shown) = &self.info
            && shown.admin == admin
            && shown.texts.iter().zip(texts).all(|(shown, text)| shown == text)
        {
            row.set(shown.column, 1.0);
            return Ok(());
        }
        self.info.take().into_iter().for_each(|info| row.end(info.column));
        let name = String::from_utf8_lossy(name);
        let values = texts.map(String::from_utf8_lossy);
        let mut labels = vec![("device", &*name), ("adminstate", admin)];
        labels.extend(TEXTS.iter().zip(&values).map(|(label, value)| (*label, &**value)));
        let column = row.add(info.column(&labels)?);
        row.set(column, 1.0);
        self.info = Some(Info { texts: texts.map(<[u8]>::to_vec), admin, column });
        Ok(())
    }

    /// Whether somebody has switched the device on: the first bit of its flags.
    fn admin_state(&self, files: &Asks<'_>) -> &'static str {
        let place = NUMBERS.iter().position(|file| *file == FLAGS);
        let file = place.and_then(|place| self.numbers.get(place));
        let flags = file.and_then(|(file, _)| files.bytes(*file).ok());
        match flags.and_then(|text| scan::hexadecimal(scan::trim(text))) {
            None => "unknown",
            Some(flags) if flags & 1 == 1 => "up",
            Some(_) => "down",
        }
    }

    fn hide_texts(&mut self, row: &mut Row<'_>) {
        self.up.take().into_iter().for_each(|column| row.end(column));
        self.info.take().into_iter().for_each(|info| row.end(info.column));
    }

    fn end(mut self, files: &mut Asks<'_>, row: &mut Row<'_>) {
        self.hide_texts(row);
        for (file, column) in self.numbers {
            files.release(file);
            column.into_iter().for_each(|column| row.end(column));
        }
        self.texts.into_iter().for_each(|file| files.release(file));
    }
}
