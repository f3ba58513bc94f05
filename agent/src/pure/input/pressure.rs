//! `/proc/pressure`: how long tasks waited for processors, memory, devices and interrupts.
//!
//! `some` is the time in which at least one task waited, `full` that in which all did. Which lines
//! and files there are depends on the kernel; of processors only `some` says anything.

use crate::pure::family::FamilySpec;
use crate::pure::files::{FileId, ReadError, Refresh, Root};
use crate::pure::input::singles::Singles;
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "pressure",
    about: "seconds that tasks waited for processors, memory, devices and interrupts",
    files: &["pressure/*"],
    is_default: true,
    filters: &[],
    pace: Pace::Common,
    families: FAMILIES,
    make: |setup| Box::new(Pressure::new(setup)),
};
/// In the order of [`LINES`].
const FAMILIES: &[FamilySpec] = &[
    FamilySpec::counter(
        "node_pressure_cpu_waiting_seconds_total",
        "Seconds in which tasks waited for a processor.",
    ),
    FamilySpec::counter(
        "node_pressure_io_waiting_seconds_total",
        "Seconds in which tasks waited for input or output.",
    ),
    FamilySpec::counter(
        "node_pressure_io_stalled_seconds_total",
        "Seconds in which no task went on for want of input or output.",
    ),
    FamilySpec::counter(
        "node_pressure_memory_waiting_seconds_total",
        "Seconds in which tasks waited for memory.",
    ),
    FamilySpec::counter(
        "node_pressure_memory_stalled_seconds_total",
        "Seconds in which no task went on for want of memory.",
    ),
    FamilySpec::counter(
        "node_pressure_irq_stalled_seconds_total",
        "Seconds in which no task went on because of interrupts.",
    ),
];
/// The place in [`PATHS`] and the first word of the line.
const LINES: [(usize, &[u8]); 6] =
    [(0, b"some"), (1, b"some"), (1, b"full"), (2, b"some"), (2, b"full"), (3, b"full")];
const PATHS: [&str; 4] = ["pressure/cpu", "pressure/io", "pressure/memory", "pressure/irq"];

struct Pressure {
    files: [FileId; PATHS.len()],
    series: Singles,
}

impl Pressure {
    fn new(setup: &mut Setup<'_>) -> Pressure {
        let files = PATHS.map(|path| setup.files.ask(Root::Proc, path, Refresh::EachRow));
        Pressure { files, series: Singles::new(FAMILIES) }
    }
}

impl Input for Pressure {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Collect { files, row, .. } = at;
        let mut found = false;
        for (place, (file, path)) in self.files.into_iter().zip(PATHS).enumerate() {
            let text = match files.bytes(file) {
                Err(ReadError::Missing) => continue,
                _ => files.needed(file)?,
            };
            found = true;
            for (number, line) in scan::lines(text) {
                let word = scan::fields(line).next();
                let is_it = |wanted: &(usize, &[u8])| wanted.0 == place && word == Some(wanted.1);
                let Some(series) = LINES.iter().position(is_it) else { continue };
                let total = scan::fields(line).find_map(|field| field.strip_prefix(b"total="));
                let micros = total
                    .and_then(scan::integer)
                    .ok_or_else(|| InputError::parse(path, number, "a total expected"))?;
                self.series.set(series, scan::float(micros) / 1e6, row)?;
            }
        }
        if found { Ok(()) } else { Err(InputError::Absent) }
    }
}
