//! The agent's own account, shipped as any other series: few of them, since the page has the rest.
//!
//! Shipping writes the figures once a second, this input reads them; where an agent ships to
//! several collectors, each figure is that of the one that is worst off.

use core::sync::atomic::{AtomicU64, Ordering};

use bellwether_model::series::ABSENT;

use crate::pure::account::DropReason;
use crate::pure::columns::Column;
use crate::pure::family::{Family, FamilySpec};
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};

/// Its name: `once` has no account to show.
pub const NAME: &str = "self";

pub(super) const SPEC: InputSpec = InputSpec {
    name: NAME,
    about: "the agent's own account: collected, spooled, acknowledged, held, dropped",
    files: &[],
    is_default: true,
    filters: &[],
    pace: Pace::Slow,
    families: FAMILIES,
    make: |setup| Box::new(Own::new(setup)),
};

/// The families, which the agent's page has from its own counters.
pub const FAMILIES: &[FamilySpec] = &[
    FamilySpec::counter(
        "bellwether_agent_samples_collected_total",
        "Samples collected since the spool was made.",
    ),
    FamilySpec::counter(
        "bellwether_agent_samples_spooled_total",
        "Samples written to the spool since it was made.",
    ),
    FamilySpec::counter(
        "bellwether_agent_samples_acked_total",
        "Samples that a collector has acknowledged.",
    ),
    FamilySpec::gauge(
        "bellwether_agent_samples_held",
        "Samples that wait in the spool for a collector.",
    ),
    FamilySpec::gauge(
        "bellwether_agent_oldest_unacked_seconds",
        "Age of the oldest frame that a collector has not acknowledged; 0 if none.",
    ),
    FamilySpec::gauge("bellwether_agent_spool_bytes", "Bytes of the spool on disk."),
    FamilySpec::gauge(
        "bellwether_agent_spool_bytes_max",
        "Bytes of frames that the spool may hold.",
    ),
    FamilySpec::gauge(
        "bellwether_agent_clock_ahead_of_system_seconds",
        "How far the agent's clock, which follows the collectors', is ahead of the host's.",
    ),
    FamilySpec::counter(
        "bellwether_agent_samples_dropped_total",
        "Samples that a collector will never get, by reason.",
    ),
];
const PLAIN: usize = FAMILIES.len() - 1;
const COUNT: usize = PLAIN + DropReason::ALL.len();

/// One figure that has no label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Samples collected.
    Collected,
    /// Samples spooled.
    Spooled,
    /// Samples acknowledged.
    Acked,
    /// Samples held.
    Held,
    /// Seconds.
    Oldest,
    /// Bytes.
    Spool,
    /// Bytes.
    SpoolMax,
    /// Seconds.
    ClockAhead,
}

/// The figures of one agent, as bits of floats; absent until they are set.
#[derive(Debug)]
pub struct Figures([AtomicU64; COUNT]);

impl Default for Figures {
    fn default() -> Figures {
        Figures([const { AtomicU64::new(ABSENT.to_bits()) }; COUNT])
    }
}

impl Figures {
    /// Sets a figure.
    pub fn set(&self, figure: Figure, value: f64) {
        self.put(figure as usize, value);
    }

    /// Sets what was dropped for a reason.
    pub fn set_dropped(&self, reason: DropReason, value: f64) {
        let place = DropReason::ALL.iter().position(|this| *this == reason);
        place.into_iter().for_each(|place| self.put(PLAIN + place, value));
    }

    fn put(&self, place: usize, value: f64) {
        if let Some(slot) = self.0.get(place) {
            slot.store(value.to_bits(), Ordering::Relaxed);
        }
    }
}

struct Own {
    figures: std::sync::Arc<Figures>,
    columns: Vec<Column>,
}

impl Own {
    fn new(setup: &mut Setup<'_>) -> Own {
        Own { figures: std::sync::Arc::clone(&setup.facts.own), columns: Vec::new() }
    }

    fn add(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Some((dropped, plain)) = FAMILIES.split_last() else { return Ok(()) };
        for family in plain {
            self.columns.push(at.row.add(Family::new(family).column(&[])?));
        }
        let dropped = Family::new(dropped);
        for reason in DropReason::ALL {
            let column = dropped.column(&[("reason", reason.as_str())])?;
            self.columns.push(at.row.add(column));
        }
        Ok(())
    }
}

impl Input for Own {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        if self.columns.is_empty() {
            self.add(at)?;
        }
        for (column, bits) in self.columns.iter().zip(&self.figures.0) {
            at.row.set(*column, f64::from_bits(bits.load(Ordering::Relaxed)));
        }
        Ok(())
    }
}
