//! `adjtimex`: how the kernel's clock is kept in step, and how far off it may be.
//!
//! Nothing is set, only asked. The error bounds grow with every second, hence the slow pace.

use crate::pure::family::FamilySpec;
use crate::pure::files::{FileId, ReadError};
use crate::pure::input::singles::Singles;
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "timex",
    about: "the kernel's clock: whether and how it is kept in step, and how far off it may be",
    files: &[],
    is_default: true,
    filters: &[],
    pace: Pace::Slow,
    families: FAMILIES,
    make: |setup| Box::new(Timex::new(setup)),
};
/// In the order of [`SCALES`], then whether the clock is in step.
const FAMILIES: &[FamilySpec] = &[
    FamilySpec::gauge("node_timex_status", "Bits of the clock's state."),
    FamilySpec::gauge("node_timex_offset_seconds", "Seconds that the clock is yet to be moved."),
    FamilySpec::gauge(
        "node_timex_frequency_adjustment_ratio",
        "How fast the clock is made to run, 1 being as built.",
    ),
    FamilySpec::gauge("node_timex_maxerror_seconds", "Seconds that the clock may be off."),
    FamilySpec::gauge("node_timex_estimated_error_seconds", "Seconds that it probably is off."),
    FamilySpec::gauge("node_timex_loop_time_constant", "Time constant of the control loop."),
    FamilySpec::gauge("node_timex_tick_seconds", "Seconds from tick to tick."),
    FamilySpec::gauge("node_timex_pps_frequency_hertz", "Frequency told by a pulse per second."),
    FamilySpec::gauge("node_timex_pps_jitter_seconds", "Jitter of the pulse."),
    FamilySpec::gauge("node_timex_pps_shift_seconds", "Seconds over which the pulse is watched."),
    FamilySpec::gauge("node_timex_pps_stability_hertz", "Mean change of the pulse's frequency."),
    FamilySpec::counter("node_timex_pps_jitter_total", "Pulses that came with too much jitter."),
    FamilySpec::counter("node_timex_pps_calibration_total", "Calibrations by the pulse."),
    FamilySpec::counter("node_timex_pps_error_total", "Calibrations that failed."),
    FamilySpec::counter(
        "node_timex_pps_stability_exceeded_total",
        "Calibrations that the frequency was too unstable for.",
    ),
    FamilySpec::gauge("node_timex_tai_offset_seconds", "Seconds that atomic time is ahead of UTC."),
    FamilySpec::gauge("node_timex_sync_status", "Whether the clock is in step with a server."),
];
/// The fields after the state, in the order in which they are told.
const SCALES: [Scale; 16] = {
    use Scale::{Fine, Frequency, Micros, Ratio, Whole};
    [
        Whole, Fine, Ratio, Micros, Micros, Whole, Micros, Frequency, Fine, Whole, Frequency,
        Whole, Whole, Whole, Whole, Whole,
    ]
};
const SYNC: usize = SCALES.len();
/// The state of a clock that nobody keeps in step.
const TIME_ERROR: i64 = 5;
/// The bit of the status that says that fine fields are in nanoseconds.
const STA_NANO: i64 = 0x2000;

#[derive(Clone, Copy)]
enum Scale {
    Whole,
    /// Microseconds.
    Micros,
    /// Microseconds or nanoseconds, as the status says.
    Fine,
    /// Parts per million, of which 65,536 are one.
    Frequency,
    /// The same, added to 1.
    Ratio,
}

struct Timex {
    clock: FileId,
    series: Singles,
}

impl Timex {
    fn new(setup: &mut Setup<'_>) -> Timex {
        Timex { clock: setup.files.ask_clock(), series: Singles::new(FAMILIES) }
    }
}

impl Input for Timex {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Collect { files, row, .. } = at;
        let text = match files.bytes(self.clock) {
            Err(ReadError::Denied) => return Err(InputError::Absent),
            _ => files.needed(self.clock)?,
        };
        let bad = || InputError::parse("adjtimex", 1, "seventeen whole numbers expected");
        let mut fields = scan::fields(text).map(scan::signed);
        let state = fields.next().flatten().ok_or_else(bad)?;
        let mut fine = 1e6;
        for (place, scale) in SCALES.into_iter().enumerate() {
            let value = fields.next().flatten().ok_or_else(bad)?;
            if place == 0 && value & STA_NANO != 0 {
                fine = 1e9;
            }
            let float = scan::signed_float(value);
            let value = match scale {
                Scale::Whole => float,
                Scale::Micros => float / 1e6,
                Scale::Fine => float / fine,
                Scale::Frequency => float / 65_536e6,
                Scale::Ratio => 1.0 + float / 65_536e6,
            };
            self.series.set(place, value, row)?;
        }
        self.series.set(SYNC, f64::from(u8::from(state != TIME_ERROR)), row)
    }
}
