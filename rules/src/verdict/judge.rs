//! The judge: counts in, evidence out.

use super::bets::Increment;
use super::bound::Bound;
use super::config::{Config, ConfigError};
use super::counts::{Arm, Tick, TickError};
use super::dispersion::Dispersion;
use super::evidence::{self, Evidence};
use super::outcome::{Missing, Outcome, Verdict};
use super::reach::Exposure;
use super::strata::{Pair, Strata};
use super::words;

/// How far back "lately" reaches.
const LATELY_SECONDS: f64 = 60.0;

/// What one second did to the evidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The second.
    pub second: i64,
    /// The natural logarithm of the evidence after it.
    pub log_e: f64,
    /// Whether the evidence has reached 1/α, now or before.
    pub failed: bool,
}

/// Judges one rollout. [`Judge::step`] allocates nothing once every stratum has been seen.
#[derive(Debug, Clone)]
pub struct Judge {
    config: Config,
    /// −ln α.
    log_inverse: f64,
    strata: Strata,
    evidence: Evidence,
    dispersion: Dispersion,
    bound: Bound,
    /// The first second told, the last, the canary's first, the first judged.
    first: Option<i64>,
    last: Option<i64>,
    began: Option<i64>,
    judged_from: Option<i64>,
    /// Since the canary's first request, warm-up included.
    served: Arms,
    judged: Arms,
    compared: Compared,
    log_e: f64,
    log_e_max: f64,
    failed_at: Option<i64>,
    passed_at: Option<i64>,
    first_bad: Option<i64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Arms {
    canary: Arm,
    baseline: Arm,
}

impl Judge {
    /// A judge who has seen nothing.
    ///
    /// # Errors
    ///
    /// A value of the configuration is out of its range.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            config,
            log_inverse: -libm::log(config.alpha),
            strata: Strata::default(),
            evidence: Evidence::new(config.guard),
            dispersion: Dispersion::default(),
            bound: Bound::new(config.rho * (1.0 + config.delta)),
            first: None,
            last: None,
            began: None,
            judged_from: None,
            served: Arms::default(),
            judged: Arms::default(),
            compared: Compared::default(),
            log_e: 0.0,
            log_e_max: 0.0,
            failed_at: None,
            passed_at: None,
            first_bad: None,
        })
    }

    /// The configuration it judges by.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Takes the counts of one second: one tick for each stratum, in any order. A second without
    /// any tick need not be told. Seconds before the canary's first request are the history of the
    /// baseline: they are judged by nobody, but bursts are learned from them.
    ///
    /// # Errors
    ///
    /// Counts that cannot be, or seconds out of order; the judge is then as before.
    pub fn step(&mut self, ticks: &[Tick]) -> Result<Step, TickError> {
        let Some(second) = self.check(ticks)? else {
            let second = self.last.unwrap_or_default();
            return Ok(self.say(second));
        };
        let mut now = Arms::default();
        for tick in ticks {
            now.canary.add(tick.canary);
            now.baseline.add(tick.baseline);
            self.strata.add(tick);
        }
        let first = *self.first.get_or_insert(second);
        self.last = Some(second);
        let since_first = second.saturating_sub(first);
        self.dispersion.step(since_first, now.canary.bad, now.baseline.bad);
        if now.canary.n > 0 {
            self.began.get_or_insert(second);
        }
        if self.began.is_some() {
            self.served.add(now);
        }
        if self.warm_up_left(second) == Some(0) {
            self.weigh(second, now);
        } else {
            self.strata.clear();
        }
        Ok(self.say(second))
    }

    /// Whether the evidence has reached 1/α, now or before.
    pub fn has_failed(&self) -> bool {
        self.failed_at.is_some()
    }

    /// The verdict by now, with its grounds.
    pub fn outcome(&self) -> Outcome {
        let (exponent, left_out) = self.caution();
        let verdict = self.verdict();
        let mut outcome = Outcome {
            verdict,
            decision_second: match verdict {
                Verdict::Fail => self.failed_at,
                Verdict::Pass => self.passed_at,
                Verdict::Inconclusive { .. } => None,
            },
            first_bad_second: self.first_bad,
            log_e: self.log_e,
            log_e_unguarded: self.evidence.log_plain(),
            log_e_max: self.log_e_max,
            smallest_ratio: self.exposure().smallest_ratio(),
            ratio_at_most: self.bound.at_most(exponent, left_out, self.log_inverse),
            canary_n: self.served.canary.n,
            canary_bad: self.served.canary.bad,
            baseline_n: self.served.baseline.n,
            baseline_bad: self.served.baseline.bad,
            reason: String::new(),
        };
        outcome.reason = words::reason(&self.config, &outcome);
        outcome
    }

    /// Checks ticks before any of them counts; their second, if there are any.
    fn check(&self, ticks: &[Tick]) -> Result<Option<i64>, TickError> {
        let Some(first) = ticks.first() else { return Ok(None) };
        let second = first.second;
        if let Some(after) = self.last
            && second <= after
        {
            return Err(TickError::Order { second, after });
        }
        for tick in ticks {
            tick.check()?;
            if tick.second != second {
                return Err(TickError::Order { second: tick.second, after: second });
            }
        }
        Ok(Some(second))
    }

    /// Seconds of warm-up after `second`; 0 if it is judged, `None` before the rollout.
    fn warm_up_left(&self, second: i64) -> Option<u32> {
        let since = second.saturating_sub(self.began?);
        let left = i64::from(self.config.warm_up_seconds) - since;
        Some(u32::try_from(left.max(0)).unwrap_or(u32::MAX))
    }

    fn weigh(&mut self, second: i64, now: Arms) {
        let mut increment = Increment::default();
        let (rho, bound, judged) = (self.config.rho, &mut self.bound, &mut self.judged);
        let (before, waits) = (judged.canary.n, self.config.guard.is_on());
        let mut any = false;
        self.strata.take(|waited, now| {
            any = true;
            let Pair { canary, baseline } = if waits { waited } else { now };
            if canary.n > 0 && baseline.n > 0 {
                increment.add(rho, canary, baseline);
            }
            let Pair { canary, baseline } = waited;
            bound.add(canary, baseline);
            judged.add(Arms { canary, baseline });
        });
        self.compared.step(second, judged.canary.n - before, self.strata.take_alone());
        if now.canary.bad > 0 {
            self.first_bad.get_or_insert(second);
        }
        if any {
            let from = *self.judged_from.get_or_insert(second);
            self.evidence.step(second, second.saturating_sub(from) as f64, &increment);
        }
        self.log_e = self.log_evidence(second);
        self.log_e_max = self.log_e_max.max(self.log_e);
        if self.log_e >= self.log_inverse {
            self.failed_at.get_or_insert(second);
        }
        let (exponent, left_out) = self.caution();
        if self.is_compared() && self.bound.log_pass(exponent, left_out) >= self.log_inverse {
            self.passed_at.get_or_insert(second);
        } else {
            self.passed_at = None;
        }
    }

    fn log_evidence(&self, second: i64) -> f64 {
        let guard = self.config.guard;
        let opening = self
            .judged_from
            .is_some_and(|from| second.saturating_sub(from) < i64::from(guard.opening_seconds));
        if guard.is_on() && !opening {
            self.evidence.log_guarded(self.temper())
        } else {
            self.evidence.log_plain()
        }
    }

    /// The temper that the bursts so far ask for.
    fn temper(&self) -> usize {
        let canary = self.judged.canary.n as f64;
        let all = canary + self.judged.baseline.n as f64;
        self.dispersion.temper(if all > 0.0 { canary / all } else { 0.0 })
    }

    /// The exponent and the train left out, for what speaks for the canary.
    fn caution(&self) -> (f64, f64) {
        let guard = self.config.guard;
        if guard.is_on() {
            let exponent = evidence::exponent(self.temper());
            (exponent, f64::from(guard.train_requests))
        } else {
            (1.0, 0.0)
        }
    }

    fn say(&self, second: i64) -> Step {
        Step { second, log_e: self.log_e, failed: self.failed_at.is_some() }
    }

    fn verdict(&self) -> Verdict {
        if self.failed_at.is_some() {
            return Verdict::Fail;
        }
        match self.missing() {
            None => Verdict::Pass,
            Some(missing) => Verdict::Inconclusive { missing },
        }
    }

    fn missing(&self) -> Option<Missing> {
        if self.began.is_none() {
            return Some(Missing::Canary);
        }
        let left = self.last.and_then(|second| self.warm_up_left(second)).unwrap_or(0);
        if left > 0 {
            return Some(Missing::WarmUp { seconds: left });
        }
        if self.judged.canary.n == 0 {
            let baseline = self.served.baseline.n == 0;
            return Some(if baseline {
                Missing::Baseline
            } else {
                Missing::Requests { canary: 1 }
            });
        }
        if self.share_is_off() {
            return Some(Missing::Share);
        }
        if !self.is_compared() {
            return Some(Missing::Baseline);
        }
        if self.evidence.log_plain() >= self.log_inverse {
            return Some(Missing::Burst);
        }
        if self.passed_at.is_some() {
            return None;
        }
        Some(Missing::Requests { canary: self.requests_missing() })
    }

    /// Whether nearly all that the canary serves is compared with something, and nearly all of what
    /// is bad, but for one train.
    fn is_compared(&self) -> bool {
        let Compared { alone, .. } = self.compared;
        let few = |part: u64, rest: u64| part.saturating_mul(9) <= rest;
        self.compared.is_so_lately()
            && few(alone.n, self.judged.canary.n)
            && (alone.bad <= self.config.guard.train_requests.into()
                || few(alone.bad, self.judged.canary.bad))
    }

    /// A quarter more or less than the share that was meant, and by five standard deviations if
    /// requests came in groups of four (connections, sessions). A check, not a test with a bound.
    fn share_is_off(&self) -> bool {
        let Some(share) = self.config.share else { return false };
        let canary = self.served.canary.n as f64;
        let all = canary + self.served.baseline.n as f64;
        let off = canary - share * all;
        off * off > (0.25 * share * all) * (0.25 * share * all)
            && off * off > 25.0 * 4.0 * share * (1.0 - share) * all
    }

    /// How many more requests a pass takes, if what speaks for it grows as it has.
    fn requests_missing(&self) -> u64 {
        let (exponent, left_out) = self.caution();
        let reached = self.bound.log_pass(exponent, left_out);
        let without_train = self.bound.log_pass(exponent, 0.0);
        if without_train <= 0.0 {
            return 0;
        }
        let more = (self.log_inverse - reached) / without_train * self.judged.canary.n as f64;
        whole(more)
    }

    fn exposure(&self) -> Exposure {
        let seconds = match (self.judged_from, self.last) {
            (Some(from), Some(last)) => last.saturating_sub(from).saturating_add(1) as f64,
            _ => 1.0,
        };
        let (exponent, train_requests) = self.caution();
        Exposure {
            canary: self.judged.canary,
            baseline: self.judged.baseline,
            seconds,
            rho: self.config.rho,
            log_inverse: self.log_inverse,
            exponent,
            train_requests,
            train_seconds: f64::from(self.config.guard.train_seconds),
        }
    }
}

/// How much of what the canary served was compared with something.
#[derive(Debug, Clone, Copy, Default)]
struct Compared {
    /// What never was.
    alone: Arm,
    /// Of about the last minute: requests that were, and that were not.
    lately: (f64, f64),
    last: Option<i64>,
}

impl Compared {
    fn step(&mut self, second: i64, compared: u64, alone: Arm) {
        let since = self.last.map_or(0, |last| second.saturating_sub(last));
        self.last = Some(second);
        let keep = libm::exp(-(since as f64) / LATELY_SECONDS);
        let (with, without) = self.lately;
        self.lately = (with * keep + compared as f64, without * keep + alone.n as f64);
        self.alone.add(alone);
    }

    fn is_so_lately(&self) -> bool {
        let (with, without) = self.lately;
        without * 9.0 <= with
    }
}

impl Arms {
    fn add(&mut self, other: Self) {
        self.canary.add(other.canary);
        self.baseline.add(other.baseline);
    }
}

/// The whole number at or above a value, at most 10¹⁵.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
fn whole(value: f64) -> u64 {
    libm::ceil(value).clamp(0.0, 1e15) as u64
}
