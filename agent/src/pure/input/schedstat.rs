//! `/proc/schedstat`: how long each processor ran tasks and tasks waited for it.
//!
//! Kernels may be built without it; then there are no such series.

use crate::pure::columns::Column;
use crate::pure::family::{Family, FamilySpec};
use crate::pure::files::{FileId, ReadError, Refresh, Root};
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::roster::Roster;
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "schedstat",
    about: "seconds each processor ran tasks and tasks waited for it, and how many it ran",
    files: &[PATH],
    is_default: true,
    filters: &[],
    pace: Pace::Common,
    families: FAMILIES,
    make: |setup| Box::new(Schedstat::new(setup)),
};
const PATH: &str = "schedstat";
/// In the order of the last three numbers of a line.
const FAMILIES: &[FamilySpec] = &[
    FamilySpec::counter("node_schedstat_running_seconds_total", "Seconds that it ran tasks."),
    FamilySpec::counter(
        "node_schedstat_waiting_seconds_total",
        "Seconds that tasks waited for it.",
    ),
    FamilySpec::counter("node_schedstat_timeslices_total", "Slices of time that it gave to tasks."),
];
/// Numbers of a line before those.
const BEFORE: usize = 6;

struct Schedstat {
    file: FileId,
    families: Vec<Family>,
    processors: Roster<Vec<Column>>,
}

impl Schedstat {
    fn new(setup: &mut Setup<'_>) -> Schedstat {
        Schedstat {
            file: setup.files.ask(Root::Proc, PATH, Refresh::EachRow),
            families: FAMILIES.iter().map(Family::new).collect(),
            processors: Roster::default(),
        }
    }
}

impl Input for Schedstat {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Collect { files, row, .. } = at;
        self.processors.begin();
        let text = match files.bytes(self.file) {
            Err(ReadError::Missing) => return Err(InputError::Absent),
            _ => files.needed(self.file)?,
        };
        for (number, line) in scan::lines(text) {
            let Some(line) = line.strip_prefix(b"cpu") else { continue };
            let mut fields = scan::fields(line);
            let name = fields.next().unwrap_or_default();
            let mut fields = fields.skip(BEFORE).map(scan::integer);
            let mut next = || fields.next().flatten();
            let (Some(running), Some(waiting), Some(slices)) = (next(), next(), next()) else {
                return Err(InputError::parse(PATH, number, "nine whole numbers expected"));
            };
            let columns = match self.processors.find(name) {
                Some(columns) => columns,
                None => {
                    let label = String::from_utf8_lossy(name);
                    let mut columns = Vec::with_capacity(FAMILIES.len());
                    for family in &self.families {
                        columns.push(row.add(family.column(&[("cpu", &label)])?));
                    }
                    self.processors.add(name, columns).ok_or(InputError::TooManyDevices)?
                }
            };
            // Times are in nanoseconds.
            let values =
                [scan::float(running) / 1e9, scan::float(waiting) / 1e9, scan::float(slices)];
            columns.iter().zip(values).for_each(|(column, value)| row.set(*column, value));
        }
        self.processors.take_gone(|columns| columns.into_iter().for_each(|c| row.end(c)));
        Ok(())
    }
}
