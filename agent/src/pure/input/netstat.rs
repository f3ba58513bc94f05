//! `/proc/net/netstat`, `/proc/net/snmp` and `/proc/net/snmp6`: counters of the protocols, as
//! `node_netstat_<protocol>_<field>`.
//!
//! The first two have a line of names and a line of values for each protocol; which places of it
//! are taken is kept as long as the line of names stays the same. The third has a line for each
//! field and is missing where version 6 is off. The kernel mixes counters and levels, hence no
//! type.

use bellwether_model::series::MetricType;

use crate::pure::columns::{Column, Row};
use crate::pure::family::Family;
use crate::pure::files::{Asks, FileId, ReadError, Refresh, Root};
use crate::pure::filter::{FilterSpec, NameFilter};
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::roster::Roster;
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "netstat",
    about: "counters of IP, ICMP, TCP and UDP as node_netstat_<protocol>_<field>",
    files: &[PATHS[0], PATHS[1], PATH6],
    is_default: true,
    filters: &[FilterSpec::FIELDS.only(FIELDS)],
    pace: Pace::Common,
    families: &[],
    make: |setup| Box::new(Netstat::new(setup)),
};
const PATHS: [&str; 2] = ["net/netstat", "net/snmp"];
const PATH6: &str = "net/snmp6";
/// What node_exporter takes by default.
const FIELDS: &str = "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)\
    |Icmp6?_(InMsgs|OutMsgs)\
    |TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)\
    |Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)\
    |Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$";

struct Netstat {
    files: [FileId; PATHS.len()],
    file6: FileId,
    filter: NameFilter,
    /// By lines of names: the places taken, in order.
    protocols: [Roster<Vec<(usize, Column)>>; PATHS.len()],
    /// By names; `None` for a field that is left out.
    fields6: Roster<Option<Column>>,
}

impl Netstat {
    fn new(setup: &mut Setup<'_>) -> Netstat {
        let mut ask = |path| setup.files.ask(Root::Proc, path, Refresh::EachRow);
        Netstat {
            files: PATHS.map(&mut ask),
            file6: ask(PATH6),
            filter: setup.filter(0),
            protocols: [Roster::default(), Roster::default()],
            fields6: Roster::default(),
        }
    }

    fn lines6(&mut self, files: &Asks<'_>, row: &mut Row<'_>) -> Result<(), InputError> {
        self.fields6.begin();
        let text = match files.bytes(self.file6) {
            Err(ReadError::Missing) => &[],
            _ => files.needed(self.file6)?,
        };
        for (number, line) in scan::lines(text) {
            let mut words = scan::fields(line);
            let Some(name) = words.next() else { continue };
            let column = match self.fields6.find(name) {
                Some(column) => *column,
                None => {
                    let column = column6(name, &self.filter, row)?;
                    *self.fields6.add(name, column).ok_or(InputError::TooManyDevices)?
                }
            };
            let Some(column) = column else { continue };
            let value = words
                .next()
                .and_then(scan::signed)
                .ok_or_else(|| InputError::parse(PATH6, number, "a whole number expected"))?;
            row.set(column, scan::signed_float(value));
        }
        self.fields6.take_gone(|column| {
            if let Some(column) = column {
                row.end(column);
            }
        });
        Ok(())
    }
}

impl Input for Netstat {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Collect { files, row, .. } = at;
        for ((protocols, file), path) in self.protocols.iter_mut().zip(self.files).zip(PATHS) {
            protocols.begin();
            let mut lines = scan::lines(files.needed(file)?);
            while let Some((_, names)) = lines.next() {
                let Some((number, values)) = lines.next() else { break };
                let taken = match protocols.find(names) {
                    Some(taken) => taken,
                    None => {
                        let taken = taken(names, &self.filter, row)?;
                        protocols.add(names, taken).ok_or(InputError::TooManyDevices)?
                    }
                };
                let mut values = scan::fields(values).enumerate();
                for (place, column) in taken {
                    let value = values.find(|(at, _)| at == place);
                    let value = value
                        .and_then(|(_, value)| scan::signed(value))
                        .ok_or_else(|| InputError::parse(path, number, "a value is missing"))?;
                    row.set(*column, scan::signed_float(value));
                }
            }
            protocols.take_gone(|taken| taken.into_iter().for_each(|(_, column)| row.end(column)));
        }
        self.lines6(files, row)
    }
}

/// The places of a line of names that are taken, with columns.
fn taken(
    names: &[u8],
    filter: &NameFilter,
    row: &mut Row<'_>,
) -> Result<Vec<(usize, Column)>, InputError> {
    let mut taken = Vec::new();
    let mut words = scan::fields(names).enumerate();
    let Some((_, protocol)) = words.next() else { return Ok(taken) };
    let protocol = protocol.strip_suffix(b":").unwrap_or(protocol);
    for (place, field) in words {
        let name = [protocol, b"_", field].concat();
        if filter.takes(&name) {
            taken.push((place, row.add(family(&name).column(&[])?)));
        }
    }
    Ok(taken)
}

/// The column of a field such as `Udp6InErrors`; `None` if it is left out.
fn column6(
    name: &[u8],
    filter: &NameFilter,
    row: &mut Row<'_>,
) -> Result<Option<Column>, InputError> {
    let Some(six) = memchr::memchr(b'6', name) else { return Ok(None) };
    let (protocol, field) = name.split_at(six + 1);
    let name = [protocol, b"_", field].concat();
    Ok(match filter.takes(&name) {
        true => Some(row.add(family(&name).column(&[])?)),
        false => None,
    })
}

fn family(name: &[u8]) -> Family {
    let name = super::metric_word(name);
    let help = format!("The counter {} of the protocols.", name.replace('_', " "));
    Family::named(&format!("node_netstat_{name}"), MetricType::Untyped, &help)
}
