//! Counts by stratum, kept until both arms of it have served.
//!
//! A second in which one arm of a stratum served nothing says nothing on its own. Its counts wait
//! for the other arm, for ten seconds at most: what is compared must have been served at about the
//! same time, or a rate that changes would pass for a difference between the arms.

use super::counts::{Arm, Tick};

/// How long counts wait, in seconds.
const WAIT_SECONDS: i64 = 10;

/// Both arms of one stratum.
#[derive(Debug, Clone, Copy)]
struct Stratum {
    stratum: u16,
    since: i64,
    canary: Arm,
    baseline: Arm,
}

/// All strata seen so far, in the order of their numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Strata {
    strata: Vec<Stratum>,
}

impl Strata {
    /// Adds the counts of a tick. Allocates when its stratum is new.
    pub(super) fn add(&mut self, tick: &Tick) {
        let found = self.strata.binary_search_by_key(&tick.stratum, |known| known.stratum);
        let place = found.unwrap_or_else(|place| {
            let (canary, baseline) = (Arm::default(), Arm::default());
            let new = Stratum { stratum: tick.stratum, since: tick.second, canary, baseline };
            self.strata.insert(place, new);
            place
        });
        let Some(known) = self.strata.get_mut(place) else { return };
        let waits = known.canary.n > 0 || known.baseline.n > 0;
        if !waits || tick.second - known.since >= WAIT_SECONDS {
            known.clear();
            known.since = tick.second;
        }
        known.canary.add(tick.canary);
        known.baseline.add(tick.baseline);
    }

    /// Takes the strata in which both arms have served, in the order of their numbers.
    pub(super) fn take(&mut self, mut ready: impl FnMut(Arm, Arm)) {
        for known in &mut self.strata {
            if known.canary.n > 0 && known.baseline.n > 0 {
                ready(known.canary, known.baseline);
                known.clear();
            }
        }
    }

    /// Forgets what waits.
    pub(super) fn clear(&mut self) {
        for known in &mut self.strata {
            known.clear();
        }
    }
}

impl Stratum {
    fn clear(&mut self) {
        self.canary = Arm::default();
        self.baseline = Arm::default();
    }
}
