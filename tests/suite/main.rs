//! The suite of the whole workspace: house rules, and real processes on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test binary: a panic here is the failure it reports"
)]

mod contract;
mod e2e;
mod packs;
mod readme;
mod rollouts;
mod scrape_feed;
mod scripts;
mod sim;
mod tidy;

use std::env;
use std::path::{Path, PathBuf};

use bellwether_tests::harness::skip;

/// A file or folder of the test inputs by others, which are read where they lie: in
/// `BELLWETHER_CONFORMANCE`, or in `shared/conformance` beside the checkout. Says so if it is not
/// here.
fn conformance(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
    let path = env::var_os("BELLWETHER_CONFORMANCE").map_or_else(beside, PathBuf::from).join(name);
    if !path.exists() {
        skip(&format!("{name} is not beside the checkout nor in BELLWETHER_CONFORMANCE"));
        return None;
    }
    Some(path)
}
