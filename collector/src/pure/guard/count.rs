//! Counts of both arms of a rollout, second by second, from the series that a store shows
//! (`collector/ROLLOUTS.md`, "Seconds").
//!
//! [`Counting`] follows the store: each reading takes what came since the one before, lays the
//! increases of the counters into the seconds of their samples (`bucket.rs`), and closes seconds in
//! order. How often it is read decides only when a second is closed, not what is in it, as long as
//! samples come in time.
//!
//! What is compared must have been served at the same time, or what befalls both arms passes for a
//! difference between them. Two things stand against that, and `window.rs` has what is done:
//!
//! - a counter that is read every 15 s tells what happened some time in those 15 s. Seconds are
//!   therefore closed in *windows* as long as the slowest interval between two reads of a target,
//!   and what a window counts lies in its last second;
//! - targets are read at different moments of an interval, so that a window of one arm lies up to
//!   an interval before or after that of the other. Where the baseline's bad requests jump, those
//!   of the neighbouring windows are therefore counted against the canary's as well: whatever the
//!   moment was, the baseline's own share of what happened is then among them.
//!
//! Samples of seconds that are closed are counted nowhere: laid into a later second, an outage of
//! both arms that is told late by one of them would be a difference.

mod bucket;
mod counter;
mod discover;
mod drops;
mod select;
mod strata;
mod target;
#[cfg(test)]
mod tests;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::feed::{Birth, Cursor, Feed, Unknown};
use bellwether_model::label::LabelSet;
use bellwether_model::matcher::Matcher;
use bellwether_model::select::Column;
use bellwether_model::series::SeriesRef;
use bellwether_model::time::Timestamp;
use bellwether_rules::service::Sli;

pub use drops::Dropped;
pub use target::TargetState;

use super::record::{Second, Sight};
use bucket::Buckets;
use counter::{Begin, Counter, Taken};
use select::{Role, Selectors};
use strata::Strata;
use target::Targets;

/// Series of an arm. With more of them an arm is not judged.
pub const SERIES_MAX: usize = 10_000;
/// Seconds that one reading closes at most; the rest come with the next.
pub const SECONDS_PER_READ: usize = 900;
/// How far behind the reading's time seconds are closed at all, in seconds: what is older is left
/// out. Longer than the history that a rollout begins with.
pub const SECONDS_BACK: i64 = 900;
/// How far ahead of the reading's time a sample may be stamped, in seconds.
const SECONDS_AHEAD: i64 = 60;
/// The longest interval of a counter that is counted, in seconds; the windows are no longer.
const INTERVAL_SECONDS: i64 = 60;
/// How far back samples are read for what a counter stood at, and how long a target that is not
/// read any more belongs to its arm, in milliseconds.
const LOOKBACK_MS: i64 = 300_000;

/// What is counted for a rollout.
#[derive(Clone, Debug)]
pub struct CountPlan {
    /// The service's SLIs, by name.
    pub slis: Vec<Sli>,
    /// The label that tells versions apart.
    pub version_label: String,
    /// The label that requests are compared within, if any.
    pub stratum_label: Option<String>,
    /// Which series are of the environment.
    pub environment: Vec<Matcher>,
    /// The version that serves: the baseline's.
    pub from: Arc<str>,
    /// The version that comes: the canary's.
    pub to: Arc<str>,
    /// Matchers of the canary beside the version's.
    pub canary: Vec<Matcher>,
    /// Matchers of the baseline beside the version's.
    pub baseline: Vec<Matcher>,
}

/// Something of each arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arms<T> {
    /// The new version's.
    pub canary: T,
    /// The old version's.
    pub baseline: T,
}

/// What one reading gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// The seconds that are closed now, in order. If [`SECONDS_PER_READ`] of them, there are more.
    pub seconds: Vec<Second>,
    /// Strata seen for the first time; their numbers go on from the last one's.
    pub strata: Vec<String>,
    /// What was not counted.
    pub dropped: Dropped,
}

/// An arm as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArmState {
    /// What was seen of it in the second that was closed last.
    pub sight: Sight,
    /// Its targets, by job and instance.
    pub targets: Vec<TargetState>,
    /// How many series are followed.
    pub series: usize,
    /// How many more there are, for which there is no room. With any the arm is blind.
    pub refused: usize,
}

/// Which arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Canary,
    Baseline,
}

/// A counter that is followed.
#[derive(Debug)]
struct Followed {
    side: Side,
    target: u32,
    stratum: u16,
    roles: Box<[Role]>,
    /// Its labels without the version's: the same counter in both versions.
    twin: LabelSet,
    counter: Counter,
}

/// Counts one rollout. Holds nothing of the store, and moves with the job that reads.
#[derive(Debug)]
pub struct Counting {
    plan: Arc<CountPlan>,
    selectors: Selectors,
    /// The last second that is closed.
    closed: i64,
    cursor: Option<Cursor>,
    strata: Strata,
    series: BTreeMap<SeriesRef, Followed>,
    twins: BTreeMap<LabelSet, Arms<Option<SeriesRef>>>,
    targets: Targets,
    buckets: Buckets,
    refused: Arms<usize>,
    sights: Arms<Sight>,
    /// All series are looked for again at the next reading.
    searches: bool,
    /// Kept for its memory.
    column: Column,
}

impl<T> Arms<T> {
    fn of(&self, side: Side) -> &T {
        match side {
            Side::Canary => &self.canary,
            Side::Baseline => &self.baseline,
        }
    }

    fn of_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Canary => &mut self.canary,
            Side::Baseline => &mut self.baseline,
        }
    }
}

impl Side {
    const ALL: [Side; 2] = [Side::Canary, Side::Baseline];

    fn other(self) -> Side {
        match self {
            Side::Canary => Side::Baseline,
            Side::Baseline => Side::Canary,
        }
    }
}

impl Counting {
    /// Counts the seconds after `after`, which is the last one that is judged already. `strata` are
    /// those known from before, in the order of their numbers.
    #[must_use]
    pub fn new(plan: Arc<CountPlan>, after: i64, strata: Vec<String>) -> Counting {
        let selectors = Selectors::of(&plan);
        let strata = Strata::new(plan.stratum_label.clone(), strata);
        Counting {
            plan,
            selectors,
            closed: after,
            cursor: None,
            strata,
            series: BTreeMap::new(),
            twins: BTreeMap::new(),
            targets: Targets::default(),
            buckets: Buckets::after(after),
            refused: Arms::default(),
            sights: Arms { canary: Sight::None, baseline: Sight::None },
            searches: false,
            column: Column::default(),
        }
    }

    /// The last second that is closed.
    #[must_use]
    pub fn closed(&self) -> i64 {
        self.closed
    }

    /// Reads what came, and closes seconds: in order, each once, none left out but those that are
    /// more than [`SECONDS_BACK`] old.
    pub fn read(&mut self, view: &dyn Feed, now: Timestamp) -> Read {
        let mut read = Read::default();
        self.leave_out(now, &mut read.dropped);
        let followed = match self.cursor {
            Some(since) => self.follow(view, since, now, &mut read.dropped),
            None => self.search(view, Cursor::default(), now, &mut read.dropped),
        };
        if followed.is_err() {
            // Another store, or an older view: all that is not closed yet is read anew.
            self.forget_all();
            // Without a cursor nothing lies ahead.
            if self.search(view, Cursor::default(), now, &mut read.dropped).is_err() {
                return read;
            }
        }
        self.cursor = Some(view.cursor());
        self.close(view.complete_through(), now, &mut read);
        read.strata = self.strata.take_new();
        read
    }

    /// Both arms, as of the second that was closed last.
    #[must_use]
    pub fn arms(&self) -> Arms<ArmState> {
        let arm = |side| ArmState {
            sight: *self.sights.of(side),
            targets: self.targets.states(side, self.closed),
            series: self.series.values().filter(|series| series.side == side).count(),
            refused: *self.refused.of(side),
        };
        Arms { canary: arm(Side::Canary), baseline: arm(Side::Baseline) }
    }

    /// Passes over the seconds that are too old to be closed.
    fn leave_out(&mut self, now: Timestamp, dropped: &mut Dropped) {
        let oldest = now.0.div_euclid(1000).saturating_sub(SECONDS_BACK);
        if self.closed < oldest {
            dropped.skipped += oldest.abs_diff(self.closed);
            self.closed = oldest;
            self.buckets.forget_before(oldest);
        }
    }

    /// Takes what came since the last reading.
    fn follow(
        &mut self,
        view: &dyn Feed,
        since: Cursor,
        now: Timestamp,
        dropped: &mut Dropped,
    ) -> Result<(), Unknown> {
        if since > view.cursor() {
            return Err(Unknown::Ahead { end: view.cursor() });
        }
        self.follow_ups(view, since)?;
        let mut column = std::mem::take(&mut self.column);
        let numbers: Vec<SeriesRef> = self.series.keys().copied().collect();
        for series in numbers {
            view.news(series, since, &mut column)?;
            self.take(series, &column, now, &|_, _| Begin::Unknown, dropped);
        }
        self.column = column;
        if self.searches {
            self.searches = false;
            return self.search(view, since, now, dropped);
        }
        let mut fresh = BTreeMap::new();
        let mut births = BTreeMap::new();
        for at in 0..self.selectors.len() {
            let Some(selector) = self.selectors.get(at) else { break };
            match view.births(&selector.matchers, since) {
                Ok(born) => {
                    for Birth { series, time, origin } in born {
                        births.insert((series, time), origin);
                        discover::note(&mut fresh, series, selector);
                    }
                }
                Err(Unknown::Past { .. }) => return self.search(view, since, now, dropped),
                Err(ahead) => return Err(ahead),
            }
        }
        self.begin(view, fresh, &births, now, dropped);
        Ok(())
    }

    /// Takes samples of a counter.
    fn take(
        &mut self,
        series: SeriesRef,
        column: &Column,
        now: Timestamp,
        begin: &dyn Fn(&Targets, Timestamp) -> Begin,
        dropped: &mut Dropped,
    ) {
        if column.is_empty() {
            return;
        }
        let Some(followed) = self.series.get_mut(&series) else { return };
        let ahead = now.0.div_euclid(1000).saturating_add(SECONDS_AHEAD);
        for (time, value) in column.times.iter().zip(&column.values) {
            let second = second_of(*time);
            let is_known = followed.counter.is_known();
            let start = if is_known { Begin::Unknown } else { begin(&self.targets, *time) };
            let Some(target) = self.targets.get_mut(followed.target) else { return };
            let start = match is_known && followed.counter.has_ended() {
                true => target.read_well_before(*time).map_or(start, |at| Begin::At(at, 0)),
                false => start,
            };
            let taken = followed.counter.take(*time, *value, start);
            if second > ahead {
                dropped.ahead += 1;
                continue;
            }
            let (by, since) = match taken {
                Taken::Marker => continue,
                Taken::Disordered => {
                    dropped.disordered += 1;
                    continue;
                }
                Taken::Unreadable => {
                    dropped.unreadable += 1;
                    continue;
                }
                Taken::Began => (0, None),
                Taken::Increase { by, since } => (by, Some(since)),
            };
            target.row(followed.side, *time);
            let Some(since) = since.filter(|_| by > 0) else { continue };
            if !target.counts(followed.side, since, *time) {
                dropped.intervals += 1;
                continue;
            }
            if second <= self.closed && self.cursor.is_some() {
                dropped.late += 1;
            }
            for role in &followed.roles {
                let key = bucket::Key { sli: role.sli, stratum: followed.stratum };
                self.buckets.add(second, key, followed.side, role.part, by);
            }
        }
    }

    fn forget_all(&mut self) {
        self.series.clear();
        self.twins.clear();
        self.targets = Targets::default();
        self.buckets = Buckets::after(self.closed);
        self.refused = Arms::default();
        self.cursor = None;
    }

    /// Forgets what is not needed any more, now and then.
    fn forget_old(&mut self) {
        let gone = self.targets.forget(self.closed);
        if gone.is_empty() && self.refused == Arms::default() {
            return;
        }
        self.series.retain(|_, followed| !gone.contains(&followed.target));
        let known = &self.series;
        self.twins.retain(|_, twins| {
            for side in Side::ALL {
                let twin = twins.of_mut(side);
                *twin = twin.filter(|series| known.contains_key(series));
            }
            twins.canary.is_some() || twins.baseline.is_some()
        });
        self.searches = self.refused != Arms::default();
    }
}

/// The second that a sample tells of: it is stamped at its end, or within it.
fn second_of(time: Timestamp) -> i64 {
    time.0.saturating_sub(1).div_euclid(1000)
}

/// When a second begins, which is when the one before ends, in milliseconds.
fn millis_of(second: i64) -> i64 {
    second.saturating_mul(1000)
}
