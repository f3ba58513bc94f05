//! Counts by stratum, kept until both arms of it have served.
//!
//! A second in which one arm of a stratum served nothing says nothing on its own. Its counts wait
//! for the other arm, for ten seconds at most: what is compared must have been served at about the
//! same time, or a rate that changes would pass for a difference between the arms. What the canary
//! served meanwhile and is never compared is counted: of that nothing is known.

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
    /// Those of the last second alone.
    now: Pair,
}

/// Counts of both arms of one stratum.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pair {
    pub(super) canary: Arm,
    pub(super) baseline: Arm,
}

/// All strata seen so far, in the order of their numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Strata {
    strata: Vec<Stratum>,
    /// What the canary served alone since it was last asked.
    alone: Arm,
}

impl Strata {
    /// Adds the counts of a tick. Allocates when its stratum is new.
    pub(super) fn add(&mut self, tick: &Tick) {
        let found = self.strata.binary_search_by_key(&tick.stratum, |known| known.stratum);
        let place = found.unwrap_or_else(|place| {
            let (canary, baseline) = (Arm::default(), Arm::default());
            let (stratum, since, now) = (tick.stratum, tick.second, Pair::default());
            let new = Stratum { stratum, since, canary, baseline, now };
            self.strata.insert(place, new);
            place
        });
        let Some(known) = self.strata.get_mut(place) else { return };
        let waits = known.canary.n > 0 || known.baseline.n > 0;
        if !waits || tick.second - known.since >= WAIT_SECONDS {
            self.alone.add(known.canary);
            known.clear();
            known.since = tick.second;
        }
        known.canary.add(tick.canary);
        known.baseline.add(tick.baseline);
        known.now.canary.add(tick.canary);
        known.now.baseline.add(tick.baseline);
    }

    /// Takes the strata in which both arms have served, in the order of their numbers: what has
    /// waited, and the part of it that is of the last second.
    pub(super) fn take(&mut self, mut ready: impl FnMut(Pair, Pair)) {
        for known in &mut self.strata {
            let now = std::mem::take(&mut known.now);
            if known.canary.n > 0 && known.baseline.n > 0 {
                ready(Pair { canary: known.canary, baseline: known.baseline }, now);
                known.clear();
            }
        }
    }

    /// What the canary has served since the last call beside which the baseline served nothing.
    pub(super) fn take_alone(&mut self) -> Arm {
        std::mem::take(&mut self.alone)
    }

    /// Forgets what waits.
    pub(super) fn clear(&mut self) {
        for known in &mut self.strata {
            known.clear();
            known.now = Pair::default();
        }
        self.alone = Arm::default();
    }
}

impl Stratum {
    fn clear(&mut self) {
        self.canary = Arm::default();
        self.baseline = Arm::default();
    }
}
