//! The suite of the whole workspace: house rules, and real processes on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test binary: a panic here is the failure it reports"
)]

mod contract;
mod e2e;
mod packs;
mod rollouts;
mod scripts;
mod sim;
mod tidy;
