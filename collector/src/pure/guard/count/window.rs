//! Closing seconds.
//!
//! # Windows
//!
//! A window is as long as the longest interval C between two reads of any target of either arm, in
//! whole seconds; a second where all are read each second. Whatever a target counts up to a sample
//! in the window happened in it or in the C seconds before. What a window counts stands in its last
//! second, so that a judge never has the request counts of one arm in one second and those of the
//! other in the next.
//!
//! # Jumps
//!
//! The bad requests of both arms fall into windows by when their targets were read. If an outage of
//! both begins within an interval, the canary's part of a window may hold most of an outage whose
//! baseline's part lies in the window before or after. While the share of bad requests is steady,
//! this adds and takes alike; where it jumps it would be evidence against the canary, a window's
//! worth of it, and no bound would hold. So if the baseline's bad requests of a window and of those
//! around it (the C seconds before and after) differ by more than chance makes them, all of them
//! count as the baseline's bad requests of this window, among no more requests than a window has.
//! That is never less than the baseline's part of what the canary's requests of this window met:
//! the evidence is at most what it would be had both arms been read at one moment, and what bounds
//! that bounds it. The cost is a slower verdict around an outage of the baseline's.
//!
//! What comes after the window is waited for only if the canary has a burst of bad requests in it:
//! with fewer, one jump is worth less than a judge needs. Where the baseline was not read around a
//! burst of the canary's, nobody knows whether it met the same, and the window is judged for
//! neither.

use bellwether_model::time::Timestamp;
use bellwether_rules::service::Sli;
use bellwether_rules::verdict::{Arm, Tick};

use super::bucket::{Cells, Key, Sum};
use super::target::When;
use super::{Arms, Counting, Dropped, Read, SECONDS_PER_READ, Side};
use crate::pure::guard::record::{Count, Second, Sight};

/// From how many bad requests of the canary in a window on the one after it is waited for.
const BURST: u64 = 4;

/// The sums of a window and of what lies around it, kept for their memory.
#[derive(Default)]
struct Around {
    own: Cells,
    before: Cells,
    after: Cells,
}

/// Requests of the baseline in a window and around it.
#[derive(Clone, Copy, Default)]
struct Three {
    before: Arm,
    own: Arm,
    after: Option<Arm>,
}

impl Counting {
    /// Closes all windows that can be.
    pub(super) fn close(&mut self, complete: Timestamp, now: Timestamp, read: &mut Read) {
        let when = When { complete, now };
        let mut around = Around::default();
        let mut minute = self.closed.div_euclid(60);
        while read.seconds.len() < SECONDS_PER_READ {
            let start = self.closed.saturating_add(1);
            let length = self.targets.window(start);
            let end = start.saturating_add(length);
            if !self.targets.are_settled(end, &when) {
                break;
            }
            self.buckets.sum(start, end, &mut around.own);
            let is_burst = self.is_burst(&around.own);
            if is_burst && !self.targets.are_settled(end.saturating_add(length), &when) {
                break;
            }
            self.buckets.sum(start.saturating_sub(length), start, &mut around.before);
            around.after.clear();
            if is_burst {
                self.buckets.sum(end, end.saturating_add(length), &mut around.after);
            }
            self.emit(start, end, is_burst, &around, read);
            self.closed = end.saturating_sub(1);
            self.buckets.forget_before(end);
            if minute != self.closed.div_euclid(60) {
                minute = self.closed.div_euclid(60);
                self.forget_old();
            }
        }
    }

    fn emit(&mut self, start: i64, end: i64, is_burst: bool, around: &Around, read: &mut Read) {
        let sight = |side| match *self.refused.of(side) {
            0 => self.targets.sight(side, start, end),
            _ => Sight::Blind,
        };
        self.sights = Arms { canary: sight(Side::Canary), baseline: sight(Side::Baseline) };
        let Arms { canary, baseline } = self.sights;
        let is_known = |sight| matches!(sight, Sight::Seen | Sight::None);
        let length = end - start;
        let seen = |from, to| self.targets.sight(Side::Baseline, from, to) == Sight::Seen;
        let is_judged = is_known(canary)
            && is_known(baseline)
            && (!is_burst || seen(start - length, start) && seen(end, end + length));
        let counts = if is_judged {
            self.counts(is_burst, around, &mut read.dropped)
        } else {
            let both = around.own.iter().map(|cell| cell.arms.canary.all + cell.arms.baseline.all);
            read.dropped.unpaired += both.sum::<u64>();
            Vec::new()
        };
        let last = end - 1;
        let empty = |second| Second { second, canary, baseline, counts: Vec::new() };
        read.seconds.extend((start..last).map(empty));
        read.seconds.push(Second { counts, ..empty(last) });
    }

    /// Whether the canary has a burst of bad requests, over all strata of an SLI.
    fn is_burst(&self, cells: &Cells) -> bool {
        let mut bad = 0;
        let mut of = None;
        for cell in cells.iter() {
            if of != Some(cell.key.sli) {
                (of, bad) = (Some(cell.key.sli), 0);
            }
            bad += self.arm(cell.key.sli, cell.arms.canary, &mut Dropped::default()).bad;
            if bad >= BURST {
                return true;
            }
        }
        false
    }

    fn counts(&self, is_burst: bool, around: &Around, dropped: &mut Dropped) -> Vec<Count> {
        let mut counts = Vec::with_capacity(around.own.iter().count());
        let mut jumps = None;
        for cell in around.own.iter() {
            let sli = cell.key.sli;
            let canary = self.arm(sli, cell.arms.canary, dropped);
            let own = self.arm(sli, cell.arms.baseline, dropped);
            if canary.n == 0 && own.n == 0 {
                continue;
            }
            let sli_jumps = match jumps {
                Some((of, jumps)) if of == sli => jumps,
                _ => self.all_of(sli, is_burst, around).jump(),
            };
            jumps = Some((sli, sli_jumps));
            let three = self.three(cell.key, own, is_burst, around);
            let baseline = if sli_jumps || three.jump() { three.together() } else { own };
            counts.push(Count { sli, stratum: cell.key.stratum, canary, baseline });
        }
        counts
    }

    /// The baseline's requests of one SLI and stratum.
    fn three(&self, key: Key, own: Arm, is_burst: bool, around: &Around) -> Three {
        let mut ignored = Dropped::default();
        let mut arm = |cells: &Cells| self.arm(key.sli, cells.get(key).baseline, &mut ignored);
        let before = arm(&around.before);
        Three { before, own, after: is_burst.then(|| arm(&around.after)) }
    }

    /// The baseline's requests of one SLI.
    fn all_of(&self, sli: u16, is_burst: bool, around: &Around) -> Three {
        let mut ignored = Dropped::default();
        let mut sum = |cells: &Cells| {
            let mut sum = Arm::default();
            for cell in cells.iter().filter(|cell| cell.key.sli == sli) {
                let arm = self.arm(sli, cell.arms.baseline, &mut ignored);
                sum = Arm { n: sum.n + arm.n, bad: sum.bad + arm.bad };
            }
            sum
        };
        let (before, own) = (sum(&around.before), sum(&around.own));
        Three { before, own, after: is_burst.then(|| sum(&around.after)) }
    }

    /// Requests as a judge takes them.
    fn arm(&self, sli: u16, sum: Sum, dropped: &mut Dropped) -> Arm {
        let Sum { all, part } = sum;
        let n = all.min(Tick::REQUESTS_MAX);
        let is_good = matches!(self.plan.slis.get(usize::from(sli)), Some(Sli::Good { .. }));
        let bad = if is_good { all.saturating_sub(part) } else { part };
        dropped.clamped += u64::from(part > all || all > n);
        Arm { n, bad: bad.min(n) }
    }
}

impl Three {
    /// Whether bad requests differ by more than chance makes them: by four, and four times the
    /// deviation of the fewest.
    fn jump(self) -> bool {
        let bad = || [Some(self.before), Some(self.own), self.after].into_iter().flatten();
        let most = bad().map(|arm| arm.bad).max().unwrap_or(0);
        let least = bad().map(|arm| arm.bad).min().unwrap_or(0);
        most - least > 4 + 4 * least.isqrt()
    }

    /// All bad requests, among those of one window: its own, or a usual one if that has fewer.
    fn together(self) -> Arm {
        let after = self.after.unwrap_or_default();
        let windows = if self.after.is_some() { 3 } else { 2 };
        let n = self.before.n + self.own.n + after.n;
        let n = self.own.n.min(n.div_ceil(windows));
        Arm { n, bad: (self.before.bad + self.own.bad + after.bad).min(n) }
    }
}
