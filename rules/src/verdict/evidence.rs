//! The evidence against the canary: a mixture of bets, with one train of bad requests left out.
//!
//! *Mixture.* The bet on a bad deploy starts with the rollout. The others start at every time, with
//! a weight that has the density `T/(T + t)²`: what has not started yet counts as 1. A convex
//! combination of processes that each bet fairly is such a process, so that a fault which begins
//! late costs the logarithm of its weight and no more, however long the canary was healthy before.
//!
//! *Trains left out.* A train is a set of bad requests of one cause (the retries of one client)
//! within [`Guard::train_seconds`], [`Guard::train_requests`] of them at most or any number within
//! its first second. Beside the plain evidence there is one process for each second at which such a
//! train could have begun: in it as many of the canary's bad requests as a train can hold never
//! happened, those that say most, and no bet starts while the train lasts. The smallest of all
//! these is the evidence. Since it is no greater than the evidence without the train that there
//! was, it is bounded as that is, whatever else the train did. Processes whose train is over evolve
//! alike and keep their order, so that their minimum is all that is kept of them.
//!
//! *Tempers.* All this is held for several exponents λ. Where bad requests come in clusters of at
//! most 1/λ, each in one arm as requests are, a bet whose logarithm is multiplied by λ is fair:
//! with w the canary's share, `w·e^{au} + (1−w)·e^{−bu} − 1` is convex in u, zero at 0 and at most
//! zero at 1, hence at most zero at `u = λ·size`. `dispersion.rs` chooses among them.

#[cfg(test)]
mod tests;

use super::bets::{Bets, Increment, WEIGHTS};
use super::config::Guard;

/// How many tempers there are.
const TEMPERS: usize = 5;
/// The exponents, for clusters of one and up to 2, 4, 8 and 20 bad requests.
const EXPONENTS: [f64; TEMPERS] = [1.0, 0.5, 0.25, 0.125, 0.05];
/// Half of the later starts lie within the first so many seconds: rollouts are watched for minutes
/// to hours.
const STARTS_SECONDS: f64 = 600.0;
/// Evidence is not counted beyond this, so that it stays finite.
const MOST: f64 = 1e280;

type Tempered = [Bets; TEMPERS];
const NOTHING: Tempered = [[0.0; WEIGHTS.len()]; TEMPERS];
const NONE_STARTED: Bets = [0.0; WEIGHTS.len()];

/// Bets that began before a train that began at `since`, without what the canary's requests say.
#[derive(Debug, Clone)]
struct Window {
    since: i64,
    bets: Tempered,
}

/// A second with bad requests of the canary.
#[derive(Debug, Clone, Copy)]
struct Burst {
    second: i64,
    bad: u64,
    gain: Bets,
    gain_each: Bets,
}

/// The evidence, from nothing.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    guard: Guard,
    /// The weight of the starts to come, among the bets that start at any time.
    unstarted: f64,
    /// Whether the first second is still to come.
    fresh: bool,
    plain: Tempered,
    /// The least of the windows that are over, or without any train.
    closed: Tempered,
    /// The windows of the last seconds, in their order.
    open: Vec<Window>,
    /// What the canary's bad requests said in those seconds, that which says most first.
    bursts: Vec<Burst>,
}

/// The exponent of a temper.
pub(super) fn exponent(temper: usize) -> f64 {
    EXPONENTS.get(temper).copied().unwrap_or(0.0)
}

impl Evidence {
    pub(super) fn new(guard: Guard) -> Self {
        // One window begins in a second, and reaches into the one `train_seconds` after it.
        let windows = if guard.is_on() { guard.train_seconds as usize + 1 } else { 0 };
        Self {
            guard,
            unstarted: 1.0,
            fresh: true,
            plain: NOTHING,
            closed: NOTHING,
            open: Vec::with_capacity(windows),
            bursts: Vec::with_capacity(windows),
        }
    }

    /// Takes one second, `elapsed` seconds after the first one that was judged.
    pub(super) fn step(&mut self, second: i64, elapsed: f64, increment: &Increment) {
        let started = self.start(elapsed);
        if self.guard.is_on() {
            self.close_windows(second);
            let mut bets = self.plain;
            multiply(&mut bets, &started, None);
            self.open.push(Window { since: second, bets });
            self.remember(second, increment);
        }
        let quiet = increment.canary_bad == 0 && increment.baseline_bad == 0;
        if quiet {
            multiply(&mut self.plain, &started, None);
            multiply(&mut self.closed, &started, None);
            return;
        }
        let losses = factors(&increment.loss);
        for window in &mut self.open {
            multiply(&mut window.bets, &NONE_STARTED, Some(&losses));
        }
        let whole = factors(&sum(&increment.loss, &increment.gain));
        multiply(&mut self.plain, &started, Some(&whole));
        multiply(&mut self.closed, &started, Some(&whole));
    }

    /// The logarithm of the evidence with nothing left out, every request on its own.
    pub(super) fn log_plain(&self) -> f64 {
        self.log_of(self.plain.first().copied().unwrap_or_default())
    }

    /// The logarithm of the evidence with one train left out, at a temper.
    pub(super) fn log_guarded(&self, temper: usize) -> f64 {
        let mut least = self.closed.get(temper).copied().unwrap_or_default();
        for window in &self.open {
            let mut bets = window.bets.get(temper).copied().unwrap_or_default();
            if let Some(kept) = self.kept(window.since) {
                for (bet, kept) in bets.iter_mut().zip(kept) {
                    *bet = (*bet * libm::exp(exponent(temper) * kept)).min(MOST);
                }
            }
            lower(&mut least, &bets);
        }
        self.log_of(least)
    }

    /// The weight that starts in this second, for each bet.
    fn start(&mut self, elapsed: f64) -> Bets {
        let unstarted = STARTS_SECONDS / (STARTS_SECONDS + elapsed + 1.0);
        let mut started = [self.unstarted - unstarted; WEIGHTS.len()];
        let [deploy, ..] = &mut started;
        *deploy = if self.fresh { 1.0 } else { 0.0 };
        self.unstarted = unstarted;
        self.fresh = false;
        started
    }

    /// Ends the windows, and forgets the bursts, that a train up to this second cannot reach.
    fn close_windows(&mut self, second: i64) {
        let over = second.saturating_sub(i64::from(self.guard.train_seconds) + 1);
        let count = self.open.iter().take_while(|window| window.since <= over).count();
        for at in 0..count {
            let Some(since) = self.open.get(at).map(|window| window.since) else { break };
            let kept = self.kept(since).map(|kept| factors(&kept));
            let Some(window) = self.open.get_mut(at) else { break };
            multiply(&mut window.bets, &NONE_STARTED, kept.as_ref());
            for (least, bets) in self.closed.iter_mut().zip(&window.bets) {
                lower(least, bets);
            }
        }
        self.open.drain(..count);
        self.bursts.retain(|burst| burst.second > over);
    }

    fn remember(&mut self, second: i64, increment: &Increment) {
        if increment.canary_bad == 0 {
            return;
        }
        let Increment { canary_bad: bad, gain, gain_each, .. } = *increment;
        let says = |each: &Bets| each.iter().sum::<f64>();
        let place = self.bursts.partition_point(|known| says(&known.gain_each) >= says(&gain_each));
        self.bursts.insert(place, Burst { second, bad, gain, gain_each });
    }

    /// What the canary's bad requests since a second say, without those of a train that began then;
    /// `None` if nothing is left.
    fn kept(&self, since: i64) -> Option<Bets> {
        let first = self.bursts.iter().find(|burst| burst.second == since);
        let mut left = u64::from(self.guard.train_requests).max(first.map_or(0, |burst| burst.bad));
        let mut kept = None;
        for burst in self.bursts.iter().filter(|burst| burst.second >= since) {
            let without = burst.bad.min(left);
            left -= without;
            if without < burst.bad {
                let kept: &mut Bets = kept.get_or_insert_default();
                for ((kept, gain), each) in kept.iter_mut().zip(burst.gain).zip(burst.gain_each) {
                    *kept += (gain - without as f64 * each).max(0.0);
                }
            }
        }
        kept
    }

    fn log_of(&self, bets: Bets) -> f64 {
        let [deploy, ..] = WEIGHTS;
        let mut sum = (1.0 - deploy) * self.unstarted;
        for (bet, weight) in bets.iter().zip(WEIGHTS) {
            sum += bet * weight;
        }
        libm::log(sum)
    }
}

/// The factors of a second, from their logarithms.
fn factors(logs: &Bets) -> Tempered {
    let mut tempered = NOTHING;
    for (factors, exponent) in tempered.iter_mut().zip(EXPONENTS) {
        for (factor, log) in factors.iter_mut().zip(logs) {
            *factor = libm::exp(exponent * log);
        }
    }
    tempered
}

/// Adds what starts and multiplies by the factors; without any they are 1.
fn multiply(bets: &mut Tempered, started: &Bets, factors: Option<&Tempered>) {
    let Some(factors) = factors else {
        for bets in bets {
            for (bet, started) in bets.iter_mut().zip(started) {
                *bet += started;
            }
        }
        return;
    };
    for (bets, factors) in bets.iter_mut().zip(factors) {
        for ((bet, factor), started) in bets.iter_mut().zip(factors).zip(started) {
            *bet = ((*bet + started) * factor).min(MOST);
        }
    }
}

fn sum(a: &Bets, b: &Bets) -> Bets {
    let mut sum = *a;
    for (sum, b) in sum.iter_mut().zip(b) {
        *sum += b;
    }
    sum
}

fn lower(least: &mut Bets, bets: &Bets) {
    for (least, bet) in least.iter_mut().zip(bets) {
        *least = least.min(*bet);
    }
}
