//! `/proc/stat`: the seconds each processor spent in each mode, and what sysfs says of processors.
//!
//! `user` and `nice` include guest time, which is also given apart, as the kernel counts it. No
//! counter ever falls: the kernel's idle time may step back by a little, which is held; a step back
//! of three seconds or more means that the processor was unplugged and starts anew.

mod sysfs;

use sysfs::Sysfs;

use crate::pure::columns::{Column, Row};
use crate::pure::family::{Family, FamilySpec};
use crate::pure::files::{FileId, Refresh, Root};
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::roster::Roster;
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "cpu",
    about: "seconds of each processor in each mode; throttling, isolated and online processors",
    files: &[PATH, "devices/system/cpu/*"],
    is_default: true,
    filters: &[],
    pace: Pace::Common,
    families: FAMILIES,
    make: |setup| Box::new(Cpu::new(setup)),
};
const PATH: &str = "stat";
const FAMILIES: &[FamilySpec] = &[SECONDS, GUEST, ONLINE, ISOLATED, CORE, PACKAGE];
const SECONDS: FamilySpec = FamilySpec::counter(
    "node_cpu_seconds_total",
    "Seconds a processor spent in a mode; user and nice include guest time.",
);
const GUEST: FamilySpec = FamilySpec::counter(
    "node_cpu_guest_seconds_total",
    "Seconds a processor spent running virtual machines.",
);
const ONLINE: FamilySpec =
    FamilySpec::gauge("node_cpu_online", "Whether the processor is online and scheduled.");
const ISOLATED: FamilySpec =
    FamilySpec::gauge("node_cpu_isolated", "1 for a processor set apart from the scheduler.");
const CORE: FamilySpec =
    FamilySpec::counter("node_cpu_core_throttles_total", "Times a core was throttled.");
const PACKAGE: FamilySpec =
    FamilySpec::counter("node_cpu_package_throttles_total", "Times a package was throttled.");

/// The columns of a line, in the kernel's order; the last two are guest time.
const MODES: [&str; 10] =
    ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "user", "nice"];
const IDLE: usize = 3;
const GUEST_FROM: usize = 8;
/// Clock ticks in a second, fixed in the kernel's interface.
const HERTZ: f64 = 100.0;
/// A step back of idle time that means a processor plugged in anew: three seconds.
const HOTPLUG_TICKS: u64 = 300;

struct Cpu {
    file: FileId,
    seconds: Family,
    guest: Family,
    processors: Roster<Processor>,
    sysfs: Sysfs,
}

struct Processor {
    columns: [Column; MODES.len()],
    ticks: [u64; MODES.len()],
}

impl Cpu {
    fn new(setup: &mut Setup<'_>) -> Cpu {
        Cpu {
            file: setup.files.ask(Root::Proc, PATH, Refresh::EachRow),
            seconds: Family::new(&SECONDS),
            guest: Family::new(&GUEST),
            processors: Roster::default(),
            sysfs: Sysfs::new(setup),
        }
    }
}

impl Input for Cpu {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Collect { files, row, .. } = at;
        self.processors.begin();
        for (number, line) in scan::lines(files.needed(self.file)?) {
            let Some(line) = line.strip_prefix(b"cpu") else { break };
            let mut fields = scan::fields(line);
            if line.starts_with(b" ") {
                continue;
            }
            let name = fields.next().unwrap_or_default();
            let mut ticks = [0; MODES.len()];
            for (place, tick) in ticks.iter_mut().enumerate() {
                match fields.next() {
                    // Older kernels print fewer modes, never fewer than up to idle.
                    None if place > IDLE => break,
                    field => {
                        *tick = field.and_then(scan::integer).ok_or_else(|| {
                            InputError::parse(PATH, number, "ticks of each mode expected")
                        })?;
                    }
                }
            }
            let processor = match self.processors.find(name) {
                Some(processor) => processor,
                None => {
                    let new = Processor::new(name, &self.seconds, &self.guest, row)?;
                    self.processors.add(name, new).ok_or(InputError::TooManyDevices)?
                }
            };
            processor.advance(ticks);
            for (column, ticks) in processor.columns.iter().zip(processor.ticks) {
                row.set(*column, scan::float(ticks) / HERTZ);
            }
        }
        self.processors.take_gone(|gone| gone.columns.into_iter().for_each(|c| row.end(c)));
        self.sysfs.collect(files, row)
    }
}

impl Processor {
    fn new(
        name: &[u8],
        seconds: &Family,
        guest: &Family,
        row: &mut Row<'_>,
    ) -> Result<Processor, InputError> {
        let name = String::from_utf8_lossy(name);
        let mut columns = [Column::default(); MODES.len()];
        for (place, (column, mode)) in columns.iter_mut().zip(MODES).enumerate() {
            let family = if place < GUEST_FROM { seconds } else { guest };
            *column = row.add(family.column(&[("cpu", &name), ("mode", mode)])?);
        }
        Ok(Processor { columns, ticks: [0; MODES.len()] })
    }

    /// Takes new counts over, never downwards but after a hotplug.
    fn advance(&mut self, ticks: [u64; MODES.len()]) {
        let idle = |ticks: &[u64; MODES.len()]| ticks.get(IDLE).copied().unwrap_or_default();
        if idle(&self.ticks).saturating_sub(idle(&ticks)) >= HOTPLUG_TICKS {
            self.ticks = ticks;
            return;
        }
        for (old, new) in self.ticks.iter_mut().zip(ticks) {
            *old = new.max(*old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_hold_small_steps_back_and_follow_a_hotplug() {
        let mut processor =
            Processor { columns: [Column::default(); MODES.len()], ticks: [0; MODES.len()] };
        let ticks = |user, idle| [user, 0, 0, idle, 0, 0, 0, 0, 0, 0];
        processor.advance(ticks(50, 1000));
        processor.advance(ticks(40, 1000 - HOTPLUG_TICKS + 1));
        assert_eq!(processor.ticks, ticks(50, 1000));
        processor.advance(ticks(60, 1001));
        assert_eq!(processor.ticks, ticks(60, 1001));
        processor.advance(ticks(3, 1001 - HOTPLUG_TICKS));
        assert_eq!(processor.ticks, ticks(3, 1001 - HOTPLUG_TICKS));
    }
}
