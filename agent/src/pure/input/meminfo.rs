//! `/proc/meminfo`: every field the kernel prints, under its own name.
//!
//! A field in kB is given in bytes and its name ends in `_bytes`; a field without a unit is a count
//! and keeps its name. `Active(anon)` is `Active_anon`.

use bellwether_model::series::MetricType;

use crate::pure::columns::Column;
use crate::pure::family::Family;
use crate::pure::files::{FileId, Refresh, Root};
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::roster::Roster;
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "meminfo",
    about: "all fields of /proc/meminfo as node_memory_<field>, in bytes where the kernel says kB",
    files: &[PATH],
    is_default: true,
    filters: &[],
    pace: Pace::Common,
    families: &[],
    make: |setup| Box::new(Meminfo::new(setup)),
};
const PATH: &str = "meminfo";

struct Meminfo {
    file: FileId,
    fields: Roster<Column>,
}

impl Meminfo {
    fn new(setup: &mut Setup<'_>) -> Meminfo {
        let file = setup.files.ask(Root::Proc, PATH, Refresh::EachRow);
        Meminfo { file, fields: Roster::default() }
    }
}

impl Input for Meminfo {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Collect { files, row, .. } = at;
        self.fields.begin();
        for (number, line) in scan::lines(files.needed(self.file)?) {
            let Some((name, rest)) = split_name(line) else { continue };
            let mut rest = scan::fields(rest);
            let value = rest
                .integer()
                .ok_or_else(|| InputError::parse(PATH, number, "a whole number expected"))?;
            let unit = rest.next();
            let value = match unit {
                None => scan::float(value),
                Some(b"kB") => scan::float(value) * 1024.0,
                Some(_) => return Err(InputError::parse(PATH, number, "unknown unit")),
            };
            let column = match self.fields.find(name) {
                Some(column) => *column,
                None => {
                    let column = row.add(family(name, unit.is_some()).column(&[])?);
                    *self.fields.add(name, column).ok_or(InputError::TooManyDevices)?
                }
            };
            row.set(column, value);
        }
        self.fields.take_gone(|column| row.end(column));
        Ok(())
    }
}

fn split_name(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = line.split_at(memchr::memchr(b':', line)?);
    Some((name, rest.get(1..)?))
}

/// The family of one field.
fn family(field: &[u8], is_bytes: bool) -> Family {
    let mut name = String::from("node_memory_");
    for byte in field {
        match byte {
            b')' => {}
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => name.push(char::from(*byte)),
            _ => name.push('_'),
        }
    }
    if is_bytes {
        name.push_str("_bytes");
    }
    let field = String::from_utf8_lossy(field);
    let kind = if name.ends_with("_total") { MetricType::Counter } else { MetricType::Gauge };
    Family::named(&name, kind, &format!("The field {field} of /proc/meminfo."))
}
