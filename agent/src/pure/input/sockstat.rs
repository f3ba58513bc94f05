//! `/proc/net/sockstat` and `/proc/net/sockstat6`: sockets of each protocol and their memory.
//!
//! Memory in `mem` is in pages and is given in bytes too. Where a version of IP is off its file is
//! missing, and so are its series.

use bellwether_model::series::MetricType;

use crate::pure::columns::{Column, Row};
use crate::pure::family::Family;
use crate::pure::files::{FileId, ReadError, Refresh, Root};
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::roster::Roster;
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "sockstat",
    about: "sockets of each protocol and their memory as node_sockstat_<protocol>_<field>",
    files: &PATHS,
    is_default: true,
    filters: &[],
    pace: Pace::Common,
    families: &[],
    make: |setup| Box::new(Sockstat::new(setup)),
};
const PATHS: [&str; 2] = ["net/sockstat", "net/sockstat6"];
/// What is in pages.
const PAGES: &[u8] = b"mem";

struct Sockstat {
    files: [FileId; PATHS.len()],
    page_bytes: u64,
    /// By protocol.
    protocols: [Roster<Vec<Field>>; PATHS.len()],
}

struct Field {
    name: Box<[u8]>,
    column: Column,
    bytes: Option<Column>,
}

impl Sockstat {
    fn new(setup: &mut Setup<'_>) -> Sockstat {
        Sockstat {
            files: PATHS.map(|path| setup.files.ask(Root::Proc, path, Refresh::EachRow)),
            page_bytes: setup.facts.page_bytes,
            protocols: [Roster::default(), Roster::default()],
        }
    }
}

impl Input for Sockstat {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Collect { files, row, .. } = at;
        for ((protocols, file), path) in self.protocols.iter_mut().zip(self.files).zip(PATHS) {
            protocols.begin();
            let text = match files.bytes(file) {
                Err(ReadError::Missing) => &[],
                _ => files.needed(file)?,
            };
            for (number, line) in scan::lines(text) {
                let mut words = scan::fields(line);
                let protocol = words.next().and_then(|word| word.strip_suffix(b":"));
                let protocol = protocol
                    .ok_or_else(|| InputError::parse(path, number, "a protocol expected"))?;
                let fields = match protocols.find(protocol) {
                    Some(fields) => fields,
                    None => {
                        protocols.add(protocol, Vec::new()).ok_or(InputError::TooManyDevices)?
                    }
                };
                let mut place = 0;
                while let Some(name) = words.next() {
                    let value = words.integer().ok_or_else(|| {
                        InputError::parse(path, number, "a name and a whole number expected")
                    })?;
                    Field::at(fields, place, (protocol, name), row)?.set(
                        value,
                        self.page_bytes,
                        row,
                    );
                    place += 1;
                }
                fields.drain(place..).for_each(|field| field.end(row));
            }
            protocols.take_gone(|fields| fields.into_iter().for_each(|field| field.end(row)));
        }
        Ok(())
    }
}

impl Field {
    /// The field at a place of the line, made anew if its name is another.
    fn at<'f>(
        fields: &'f mut Vec<Field>,
        place: usize,
        (protocol, name): (&[u8], &[u8]),
        row: &mut Row<'_>,
    ) -> Result<&'f mut Field, InputError> {
        if fields.get(place).is_none_or(|field| *field.name != *name) {
            fields.drain(place..).for_each(|field| field.end(row));
            let column = row.add(family(protocol, name, "").column(&[])?);
            let bytes = match name == PAGES {
                true => Some(row.add(family(protocol, name, "_bytes").column(&[])?)),
                false => None,
            };
            fields.push(Field { name: name.into(), column, bytes });
        }
        fields.get_mut(place).ok_or(InputError::TooManyDevices)
    }

    fn set(&self, value: u64, page_bytes: u64, row: &mut Row<'_>) {
        row.set(self.column, scan::float(value));
        if let Some(bytes) = self.bytes {
            row.set(bytes, scan::float(value.saturating_mul(page_bytes)));
        }
    }

    fn end(self, row: &mut Row<'_>) {
        row.end(self.column);
        if let Some(bytes) = self.bytes {
            row.end(bytes);
        }
    }
}

fn family(protocol: &[u8], field: &[u8], unit: &str) -> Family {
    let (protocol, field) = (super::metric_word(protocol), super::metric_word(field));
    let name = format!("node_sockstat_{protocol}_{field}{unit}");
    let help = match unit {
        "" => format!("{protocol}: {field}, as the kernel counts it."),
        _ => format!("{protocol}: {field} in bytes."),
    };
    Family::named(&name, MetricType::Gauge, &help)
}
