//! Scenarios that the tests and the long runs share.

use std::time::Duration;

use bellwether_platform::disk::SyncPoint;

use super::{FaultKind, Millis, Scenario};

const DAY: Millis = 24 * 3600 * 1000;

impl Scenario {
    /// Some faults, for the first two and a half minutes.
    #[must_use]
    pub fn only(kinds: &[FaultKind]) -> Scenario {
        Scenario { faults: kinds.to_vec(), faults_until: 150_000, ..Scenario::quiet() }
    }

    /// Every fault there is, in a mixture that the seed chooses.
    #[must_use]
    pub fn everything(seed: u64) -> Scenario {
        Scenario {
            agents: 1 + (seed % 3) as usize,
            collectors: 1 + (seed % 2) as usize,
            link_hurts_one_in: 15,
            fault_every: 5000 + 1000 * (seed % 10),
            spool_bytes_max: if seed.is_multiple_of(3) { 5000 } else { 1 << 20 },
            sync_always: seed.is_multiple_of(5),
            ..Scenario::only(&FaultKind::ALL)
        }
    }

    /// Power that fails again and again on both sides; `disabled` is a sync to leave out.
    #[must_use]
    pub fn power_cuts(seed: u64, disabled: Option<SyncPoint>) -> Scenario {
        let kinds = [
            FaultKind::CutAgent,
            FaultKind::CutCollector,
            FaultKind::KillAgent,
            FaultKind::KillCollector,
            FaultKind::Partition,
        ];
        Scenario {
            disabled,
            fault_every: 4000,
            spool_bytes_max: if seed.is_multiple_of(2) { 3000 } else { 1 << 20 },
            ..Scenario::only(&kinds)
        }
    }

    /// A day of one host, whose counters move with the hours: the network fails now and then,
    /// either side is stopped or ends, and the power fails.
    #[must_use]
    pub fn day() -> Scenario {
        let kinds = [
            FaultKind::KillAgent,
            FaultKind::StopAgent,
            FaultKind::CutAgent,
            FaultKind::KillCollector,
            FaultKind::CutCollector,
            FaultKind::Partition,
        ];
        Scenario {
            agents: 1,
            link_hurts_one_in: 500,
            fault_every: 900_000,
            faults_until: DAY,
            retention: Duration::from_secs(3 * 3600),
            ..Scenario::only(&kinds)
        }
    }
}
