//! The verdict of a rollout: is the canary worse than the baseline that serves beside it?
//!
//! A [`Judge`] takes the counts of each second, of both arms, and holds the evidence against the
//! canary; [`Judge::outcome`] says what follows from it. Nothing here knows a clock or a file: the
//! same counts give the same bits on every machine.
//!
//! # What is proven
//!
//! The evidence is an e-process: if the canary's requests fail at most ρ times as often as the
//! baseline's in each second and stratum, the probability that it *ever* reaches 1/α is at most α
//! (Ville), however long and often it is looked at, and whatever happens to both arms alike. The
//! parts say why: `bets.rs` (one second), `evidence.rs` (starts, trains, clusters). This holds for
//!
//! 1. requests that fail independently, without the guard and with it; with it, where both arms
//!    serve in each second that has requests. Where an arm's seconds are empty, the guarded
//!    evidence compares what up to ten seconds brought (`strata.rs`), which an outage that comes
//!    and goes within them can tilt; without the guard only the same second is compared;
//! 2. with the guard, beside these any one train in the canary, and any number in the baseline
//!    whose requests are few beside its others (a ratio of the arms' traffic that is off by less
//!    than ρ): what the guard leaves out is never less than what the train brought;
//! 3. clusters of up to 1, 2, 4, 8 or 20 bad requests, each in one arm as requests are, and one
//!    train beside them, as long as the temper in use is theirs or a higher one.
//!
//! # What is measured
//!
//! That the temper in use is high enough is not a theorem: it is learned from the falls of both
//! arms (`dispersion.rs`), and is late for the trains under way. Two trains that meet the canary
//! before the baseline shows one, or the first has ended, can fail it: where one to three trains of
//! single clients come in half an hour, and meet a small canary as often as the baseline, some five
//! in ten thousand healthy rollouts fail at α = 0.001, fifteen at 0.01 and forty-three at 0.05.
//! `tests/suite/rollouts.rs` holds each scenario to its α, and `rules/BENCHMARK.md` has the
//! figures.
//!
//! More bad requests of the canary never lower the evidence while the temper stands still. With the
//! guard they can: requests that come together ask for a higher temper, by which all of them say
//! less.
//!
//! # What is not covered
//!
//! A host of the canary that is bad whatever it serves makes a worse canary in every count there
//! is: only several hosts on each side, or a baseline host beside it, could tell. With one host in
//! twenty it happens to one rollout in twenty of those that meet a bad host. The same holds for
//! trains that keep coming to a small canary as often as to its whole baseline, which is what a new
//! version that makes its clients retry looks like, and for a cache that is cold because the canary
//! is new; [`Config::warm_up_seconds`] is for that.
//!
//! # What the guard costs
//!
//! No judge of counts can be both as fast as without it and safe: with a twentieth of the traffic,
//! a train that starts anywhere starts in the canary with a probability of 1/20, and 20 bad
//! requests within some seconds are what a canary of 10 requests a second that fails every fifth
//! looks like for those seconds. A judge who fails that canary in five seconds, at any time, fails
//! about as large a part of the rollouts that such a train meets. So the guard waits for more than
//! one train can hold: some 25 bad requests, or some that are more than 15 s apart.
//! [`Guard::opening_seconds`] trades that for the first seconds of a rollout, where the chance of a
//! train is small, and [`Guard::OFF`] altogether, for services whose requests are known to fail
//! alone.

mod bets;
mod bound;
pub mod combine;
mod config;
mod counts;
mod dispersion;
mod evidence;
mod judge;
mod outcome;
mod reach;
mod strata;
#[cfg(test)]
mod tests;
mod words;

pub use config::{Config, ConfigError, Guard};
pub use counts::{Arm, Tick, TickError};
pub use judge::{Judge, Step};
pub use outcome::{Missing, Outcome, Verdict};

/// The version of the algorithm that new decisions use. [`Config::version`] names the one to use,
/// and older ones stay callable, so that old decision records can be recomputed.
pub const VERSION: u32 = 1;
