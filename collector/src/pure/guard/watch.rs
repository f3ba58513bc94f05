//! One rollout as its seconds are judged: derived from its records, and made anew by them.

use bellwether_rules::verdict::{Config, Guard, Judge, Outcome, Tick};

use super::action::{DEAD, Lack, Missing, Side};
use super::record::{Announced, Second, Sight};

/// Seconds in which the old version serves and the new one does not, at least, after which the new
/// one is taken to be gone.
const ALONE: u32 = 3;
/// Requests that the new version would have served in them: that it gets none by chance has a
/// probability of e⁻⁷, one in a thousand.
const MISSED: f64 = 7.0;
/// Seconds with requests of the new version, from which its part of all is known.
const MEMORY: f64 = 64.0;
/// Reads of a target that find it gone, after which it is: one that fails is no proof.
const DEAD_READS: i64 = 3;
/// The longest time between two reads that is taken for their pace.
const PACE_MAX: i64 = 60;

/// What the seconds of a rollout have come to.
#[derive(Debug)]
pub(super) struct Watch {
    /// By the place of their SLI.
    judges: Vec<Judge>,
    canary: Arm,
    baseline: Arm,
    /// Seconds with requests, one after the other, in which only the old version served.
    alone: u32,
    /// What the old version has served in these.
    served_alone: f64,
    /// What both have served before, the newest seconds weighing most.
    served: (f64, f64),
    /// Between the last two seconds that had counts: where targets are read every 15 s, so far
    /// apart.
    pace: i64,
    counted: Option<i64>,
    last: Option<i64>,
    ticks: usize,
    buffer: Vec<Tick>,
}

/// How long an arm has been as it is.
#[derive(Clone, Copy, Debug)]
struct Arm {
    sight: Sight,
    /// The first second of this sight.
    since: i64,
    /// The last second with a request, or the first of all.
    served: i64,
}

/// The configuration of each judge of a rollout.
pub(super) fn config(announced: &Announced) -> Config {
    *judge(announced).config()
}

/// One that has seen nothing. Each SLI has its part of α, so that all of them together keep to it.
fn judge(announced: &Announced) -> Judge {
    let slis = announced.measured.slis.len().max(1);
    let (alpha, share) = (announced.alpha / slis as f64, announced.share);
    let guard = Guard { train_requests: announced.measured.train_requests, ..Guard::default() };
    let judge = Judge::new(Config { alpha, share, guard, ..Config::default() });
    let judge = judge.or_else(|_| Judge::new(Config::default()));
    judge.expect("invariant: the defaults are within their ranges")
}

impl Watch {
    pub(super) fn new(announced: &Announced) -> Watch {
        let judge = judge(announced);
        let began = announced.at.0.div_euclid(1000);
        let arm = Arm { sight: Sight::None, since: began, served: began };
        Watch {
            judges: vec![judge; announced.measured.slis.len().max(1)],
            canary: arm,
            baseline: arm,
            alone: 0,
            served_alone: 0.0,
            served: (0.0, 0.0),
            pace: 1,
            counted: None,
            last: None,
            ticks: 0,
            buffer: Vec::new(),
        }
    }

    /// Takes the next second.
    pub(super) fn take(&mut self, second: &Second) {
        let at = second.second;
        if self.last.is_some_and(|last| at <= last) {
            return;
        }
        self.last = Some(at);
        let (mut canary, mut baseline, mut most) = (0, 0, 0);
        for (place, judge) in self.judges.iter_mut().enumerate() {
            self.buffer.clear();
            let counts = second.counts.iter().filter(|count| usize::from(count.sli) == place);
            self.buffer.extend(counts.map(|count| Tick {
                second: at,
                stratum: count.stratum,
                canary: count.canary,
                baseline: count.baseline,
            }));
            canary += self.buffer.iter().map(|tick| tick.canary.n).sum::<u64>();
            baseline += self.buffer.iter().map(|tick| tick.baseline.n).sum::<u64>();
            most = most.max(self.buffer.len());
            // Counts that no judge can take were made whole where they were counted.
            judge.step(&self.buffer).ok();
        }
        self.ticks += most;
        self.canary.take(at, second.canary, canary);
        self.baseline.take(at, second.baseline, baseline);
        if !second.counts.is_empty() {
            self.pace = self.counted.map_or(1, |before| (at - before).clamp(1, PACE_MAX));
            self.counted = Some(at);
        }
        match (canary, baseline) {
            (0, _) if second.canary == Sight::Blind => self.expect(),
            (0, 0) => {}
            (0, _) => {
                self.alone = self.alone.saturating_add(1);
                self.served_alone += baseline as f64;
            }
            _ => {
                let (new, old) = self.served;
                let keep = 1.0 - 1.0 / MEMORY;
                let old = old * keep + self.served_alone + baseline as f64;
                self.served = (new * keep + canary as f64, old);
                self.expect();
            }
        }
    }

    /// The last second judged.
    pub(super) fn last(&self) -> Option<i64> {
        self.last
    }

    /// Ticks judged, of the SLI that has most.
    pub(super) fn ticks(&self) -> usize {
        self.ticks
    }

    /// How it stands, by the place of the SLI.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = Outcome> {
        self.judges.iter().map(Judge::outcome)
    }

    /// The place of the first SLI by which the canary has failed.
    pub(super) fn failed(&self) -> Option<usize> {
        self.judges.iter().position(Judge::has_failed)
    }

    /// The canary is gone, and the baseline is not: for seconds, and in more than two reads.
    pub(super) fn is_dead(&self) -> bool {
        let is_dead = |arm: &Arm| arm.lack(self.last) == Some(Lack::Dead);
        let least = DEAD.max(self.pace.saturating_mul(DEAD_READS));
        is_dead(&self.canary)
            && self.canary.seconds(Lack::Dead, self.last) >= least
            && self.baseline.sight == Sight::Seen
    }

    /// What is missing longest; the canary's before the baseline's.
    pub(super) fn missing(&self) -> Option<Missing> {
        let arms = [(Side::Canary, self.canary), (Side::Baseline, self.baseline)];
        let found = arms.into_iter().filter_map(|(side, arm)| {
            let lack = arm.lack(self.last)?;
            Some(Missing { side, lack, seconds: arm.seconds(lack, self.last) })
        });
        found.max_by_key(|missing| (missing.is_missed(), missing.seconds))
    }

    /// Whether only the old version serves by now: for longer than a new version with its part of
    /// the requests is without any.
    pub(super) fn is_restored(&self) -> bool {
        let (new, old) = self.served;
        self.alone >= ALONE && self.served_alone * new >= MISSED * old
    }

    /// What was done is to be seen anew.
    pub(super) fn expect(&mut self) {
        (self.alone, self.served_alone) = (0, 0.0);
    }
}

impl Arm {
    fn take(&mut self, second: i64, sight: Sight, requests: u64) {
        if sight != self.sight {
            (self.sight, self.since) = (sight, second);
        }
        if requests > 0 {
            self.served = second;
        }
    }

    /// What is wrong with it.
    fn lack(&self, last: Option<i64>) -> Option<Lack> {
        match self.sight {
            Sight::Blind => Some(Lack::Blind),
            Sight::Dead => Some(Lack::Dead),
            Sight::None => Some(Lack::Idle),
            Sight::Seen => last.is_some_and(|last| last > self.served).then_some(Lack::Idle),
        }
    }

    fn seconds(&self, lack: Lack, last: Option<i64>) -> i64 {
        let since = if lack == Lack::Idle { self.served.min(self.since) } else { self.since };
        last.map_or(0, |last| last.saturating_sub(since).max(0))
    }
}
