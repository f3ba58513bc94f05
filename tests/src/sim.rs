//! The simulator: agents and collectors in one thread, over simulated disks, clocks and links.
//!
//! A seeded heap of (time, tie, number) holds what happens next; everything follows from the seed.
//! The agents run the product's encoder, spool and shipping (`ship::drive`), the collectors its
//! keeper, store and journal; only sockets, threads and the sampler's inputs are replaced. After
//! each restart and at the end the checkers of [`account`] and [`ledger`] compare what the nodes
//! hold with what was made, sent and promised.
//!
//! Rules and pages have a simulation of their own, [`paging`], and signals have [`signals`]. None
//! knows queries.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test: a panic here is the failure it reports"
)]

pub mod account;
pub mod agent;
pub mod collector;
pub mod fault;
pub mod ledger;
pub mod paging;
pub mod rows;
mod scenarios;
pub mod signals;
pub mod trace;
pub mod world;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwether_model::time::{Mono, Nanos};
use bellwether_platform::clock::Reading;
use bellwether_platform::disk::sim::SimDisk;
use bellwether_platform::disk::{Disk, SyncPoint};

pub use fault::FaultKind;
pub use world::{HostEnd, Summary, run};

/// Simulated time: milliseconds since the start.
pub type Millis = u64;

/// The date at which every simulation begins.
const START: i64 = 1_700_000_000_000;

/// What a simulation is made of.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Agents at the start; clones are added.
    pub agents: usize,
    /// Collectors; every agent ships to each.
    pub collectors: usize,
    /// What goes wrong, drawn one by one.
    pub faults: Vec<FaultKind>,
    /// From one fault to the next, on average.
    pub fault_every: Millis,
    /// When faults end.
    pub faults_until: Millis,
    /// How badly links behave until then: one message in so many is hurt; 0 for none.
    pub link_hurts_one_in: u64,
    /// Bytes of frames that a spool keeps.
    pub spool_bytes_max: u64,
    /// Whether spools sync each frame.
    pub sync_always: bool,
    /// How long collectors keep samples.
    pub retention: Duration,
    /// A sync that every disk leaves out.
    pub disabled: Option<SyncPoint>,
}

impl Scenario {
    /// Nothing goes wrong.
    #[must_use]
    pub fn quiet() -> Scenario {
        Scenario {
            agents: 2,
            collectors: 1,
            faults: Vec::new(),
            fault_every: 10_000,
            faults_until: 60_000,
            link_hurts_one_in: 0,
            spool_bytes_max: 512 << 20,
            sync_always: false,
            retention: Duration::from_secs(48 * 3600),
            disabled: None,
        }
    }
}

/// Both clocks of a host at a simulated time.
fn reading(now: Millis, skew: i64) -> Reading {
    let up = Duration::from_secs(1000) + Duration::from_millis(now);
    let system = (START + now.cast_signed() + skew) * 1_000_000;
    Reading { mono: Mono(up), system: Nanos(system) }
}

/// A copy of a disk as a process sees it, all of it durable.
fn copy(disk: &SimDisk, seed: u64) -> SimDisk {
    let to = SimDisk::new(seed);
    let mut pending = vec![PathBuf::from("/")];
    while let Some(dir) = pending.pop() {
        for name in disk.list(&dir).unwrap_or_default() {
            let path: PathBuf = Path::new(&dir).join(name);
            match disk.content(&path) {
                Some(bytes) => to.put(&path, &bytes),
                None => pending.push(path),
            }
        }
    }
    to
}
