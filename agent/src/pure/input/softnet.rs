//! `/proc/net/softnet_stat`: packets as each processor handled them.
//!
//! A line for each processor, of hexadecimal numbers; how many there are depends on the kernel.
//! The thirteenth is the processor's number; in older kernels the line's place stands for it.

use crate::pure::columns::{Column, Row};
use crate::pure::family::{Family, FamilySpec};
use crate::pure::files::{FileId, Refresh, Root};
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::roster::Roster;
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "softnet",
    about: "packets each processor handled and dropped, and how often it had no time for more",
    files: &[PATH],
    is_default: true,
    filters: &[],
    pace: Pace::Common,
    families: FAMILIES,
    make: |setup| Box::new(Softnet::new(setup)),
};
const PATH: &str = "net/softnet_stat";
/// In the order of [`PLACES`].
const FAMILIES: &[FamilySpec] = &[
    FamilySpec::counter("node_softnet_processed_total", "Packets handled."),
    FamilySpec::counter("node_softnet_dropped_total", "Packets dropped from a full queue."),
    FamilySpec::counter(
        "node_softnet_times_squeezed_total",
        "Times that packets were left because time or budget was used up.",
    ),
    FamilySpec::counter(
        "node_softnet_cpu_collision_total",
        "Times that another processor held the lock for sending.",
    ),
    FamilySpec::counter(
        "node_softnet_received_rps_total",
        "Times that another processor asked for packets to be handled.",
    ),
    FamilySpec::counter(
        "node_softnet_flow_limit_count_total",
        "Times that the limit of a flow was reached.",
    ),
    FamilySpec::gauge("node_softnet_backlog_len", "Packets that wait in the queue."),
];
/// Where each family is in a line.
const PLACES: [usize; 7] = [0, 1, 2, 8, 9, 10, 11];
const NUMBER: usize = 12;
const FIELDS: usize = 13;
/// Fields of the oldest kernels.
const FIELDS_MIN: usize = 9;

struct Softnet {
    file: FileId,
    families: Vec<Family>,
    processors: Roster<Vec<Column>>,
}

impl Softnet {
    fn new(setup: &mut Setup<'_>) -> Softnet {
        Softnet {
            file: setup.files.ask(Root::Proc, PATH, Refresh::EachRow),
            families: FAMILIES.iter().map(Family::new).collect(),
            processors: Roster::default(),
        }
    }
}

/// The numbers of a line and how many there are, thirteen at most.
fn numbers(line: &[u8]) -> Option<([u64; FIELDS], usize)> {
    let (mut numbers, mut count) = ([0; FIELDS], 0);
    for (place, field) in numbers.iter_mut().zip(scan::fields(line)) {
        *place = scan::hexadecimal(field)?;
        count += 1;
    }
    (count >= FIELDS_MIN).then_some((numbers, count))
}

impl Input for Softnet {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Collect { files, row, .. } = at;
        self.processors.begin();
        for (number, line) in scan::lines(files.needed(self.file)?) {
            let (numbers, count) = numbers(line).ok_or_else(|| {
                InputError::parse(PATH, number, "nine hexadecimal numbers or more expected")
            })?;
            let processor = match numbers.get(NUMBER) {
                Some(processor) if count > NUMBER => *processor,
                _ => u64::from(number - 1),
            };
            let key = processor.to_be_bytes();
            let columns = match self.processors.find(&key) {
                Some(columns) => columns,
                None => {
                    let columns = columns(&self.families, processor, count, row)?;
                    self.processors.add(&key, columns).ok_or(InputError::TooManyDevices)?
                }
            };
            for (column, place) in columns.iter().zip(PLACES) {
                row.set(*column, scan::float(numbers.get(place).copied().unwrap_or_default()));
            }
        }
        self.processors.take_gone(|columns| columns.into_iter().for_each(|c| row.end(c)));
        Ok(())
    }
}

/// Columns for as many families as a line of `count` numbers has.
fn columns(
    families: &[Family],
    processor: u64,
    count: usize,
    row: &mut Row<'_>,
) -> Result<Vec<Column>, InputError> {
    let processor = processor.to_string();
    let mut columns = Vec::new();
    for (family, place) in families.iter().zip(PLACES) {
        if place < count {
            columns.push(row.add(family.column(&[("cpu", &processor)])?));
        }
    }
    Ok(columns)
}
