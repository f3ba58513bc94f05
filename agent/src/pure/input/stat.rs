//! `/proc/stat` but for the processors: interrupts, context switches, forks, boot time, processes.
//!
//! The per-vector softirq counts are left out, as node_exporter leaves them out by default.

use crate::pure::columns::Column;
use crate::pure::family::{Family, FamilySpec};
use crate::pure::files::{FileId, Refresh, Root};
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "stat",
    about: "interrupts, context switches, forks, running and blocked processes, boot time",
    files: &[PATH],
    is_default: true,
    filters: &[],
    pace: Pace::Common,
    families: FAMILIES,
    make: |setup| Box::new(Stat::new(setup)),
};
const PATH: &str = "stat";
/// In the order of [`WORDS`].
const FAMILIES: &[FamilySpec] = &[
    FamilySpec::counter("node_intr_total", "Interrupts serviced."),
    FamilySpec::counter("node_context_switches_total", "Context switches."),
    FamilySpec::gauge("node_boot_time_seconds", "When the host booted, in Unix time."),
    FamilySpec::counter("node_forks_total", "Processes and threads created."),
    FamilySpec::gauge("node_procs_running", "Processes that run or could run."),
    FamilySpec::gauge("node_procs_blocked", "Processes that wait for input or output."),
];
/// The first words of the lines, in the kernel's order.
const WORDS: [&[u8]; 6] =
    [b"intr", b"ctxt", b"btime", b"processes", b"procs_running", b"procs_blocked"];

struct Stat {
    file: FileId,
    families: Vec<Family>,
    columns: [Option<Column>; WORDS.len()],
}

impl Stat {
    fn new(setup: &mut Setup<'_>) -> Stat {
        let file = setup.files.ask(Root::Proc, PATH, Refresh::EachRow);
        Stat { file, families: FAMILIES.iter().map(Family::new).collect(), columns: [None; 6] }
    }
}

impl Input for Stat {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Collect { files, row, .. } = at;
        for (number, line) in scan::lines(files.needed(self.file)?) {
            if line.starts_with(b"cpu") {
                continue;
            }
            let mut fields = scan::fields(line);
            let word = fields.next().unwrap_or_default();
            let Some(place) = WORDS.iter().position(|w| *w == word) else { continue };
            let value = fields
                .integer()
                .ok_or_else(|| InputError::parse(PATH, number, "a whole number expected"))?;
            let (Some(slot), Some(family)) =
                (self.columns.get_mut(place), self.families.get(place))
            else {
                continue;
            };
            let column = match *slot {
                Some(column) => column,
                None => *slot.insert(row.add(family.column(&[])?)),
            };
            row.set(column, scan::float(value));
        }
        Ok(())
    }
}
