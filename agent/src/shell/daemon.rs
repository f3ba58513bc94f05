//! The agent as a whole: lock, spool, sampler and page, shipping; in which order they start and
//! end.
//!
//! Start: lock, spool (a durable incarnation), then everything at once. End: the sampler with the
//! row under way, then shipping, which says goodbye if all is acknowledged in time.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use bellwether_model::id::BootId;
use bellwether_platform::clock::Clock;
use bellwether_platform::disk::{DiskError, Lock, LockError, RealDisk, lock, make_dir};
use bellwether_platform::stop::{self, Stop, Stopper};
use tracing::info;

use crate::pure::config::Plan;
use crate::pure::ship::backlog::Bounds;
use crate::shell::host::Roots;
use crate::shell::run::{Agent, RunError, catch_signals};
use crate::shell::ship::{BadUrl, Frames, Ship, ShipMetrics, frames, random};
use crate::shell::spool::{Setup, Spool, SpoolError};
use crate::shell::startup;

/// Why the agent does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Another process has the directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The directory cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The spool failed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Page or sampler.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A collector's URL.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// The system refuses something.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// An agent that holds its directory and its page's address.
pub struct Daemon {
    agent: Agent,
    ship: Ship,
    _lock: Lock,
}

impl Daemon {
    /// Takes directory and address, and begins an incarnation.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub fn open(plan: &Plan, roots: Roots, clock: Clock) -> Result<Daemon, DaemonError> {
        let disk = Arc::new(RealDisk);
        let dir = &plan.agent.state_dir;
        make_dir(&*disk, dir)?;
        let lock = lock(&dir.join("lock"))?;
        let setup = Setup {
            dir: dir.join("metrics"),
            bounds: Bounds { bytes_max: plan.spool.bytes_max, age_max: plan.spool.age_max },
            sync: plan.spool.sync,
            machine: line(&roots.host.join("etc/machine-id")),
            boot: boot(&roots),
        };
        let spool = Spool::open(disk, setup, random())?;
        let mut facts = startup::facts();
        facts.incarnation = spool.origin().incarnation;
        info!(agent = %spool.agent(), incarnation = facts.incarnation.0, "spool open");
        let metrics =
            crate::shell::metrics::Metrics::new(plan.inputs.iter().map(|input| input.spec.name));
        let account = ShipMetrics::new(metrics.registry());
        let (sink, feed): (Frames, _) = frames(spool.origin(), account.samples_dropped.clone());
        let agent = Agent::new(plan, roots, clock.clone(), facts, metrics, Box::new(sink))?;
        let ship = Ship::new(spool, clock, &plan.collectors, feed, account)?;
        Ok(Daemon { agent, ship, _lock: lock })
    }

    /// Runs until a signal, a part that ends, or `stop`.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub async fn run(self, stopper: &Stopper, stop: Stop) -> Result<(), DaemonError> {
        catch_signals(stopper)?;
        let (scheme, address) = (self.agent.scheme(), self.agent.address());
        writeln!(io::stdout(), "bellwether-agent: listening on {scheme}://{address}")?;
        let Daemon { agent, mut ship, _lock } = self;
        ship.ask_time().await;
        let shipping_ends = stopper.on_return();
        let ship = async move {
            let shipped = ship.run().await;
            drop(shipping_ends);
            shipped
        };
        let collect = async {
            // The sink's end is the end of the frames, which lets the shipping end.
            let collected = agent.run(stopper, stop).await;
            collected.map(drop)
        };
        let (collected, shipped) = tokio::join!(collect, ship);
        shipped?;
        Ok(collected?)
    }
}

/// What ends an agent besides its own failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// A signal.
    BySignal,
    /// A signal, or the end of standard input: whoever holds its other end has gone.
    WithInput,
}

/// Runs an agent to its end.
///
/// # Errors
/// [`DaemonError`].
pub fn run(plan: &Plan, roots: Roots, ends: Ends) -> Result<(), DaemonError> {
    let daemon = Daemon::open(plan, roots, Clock::agent())?;
    let (stopper, stop) = stop::stop();
    if ends == Ends::WithInput {
        let stopper = stopper.clone();
        // It may wait in its read for as long as the process lives: nobody joins it.
        std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
            // An input that cannot be read has ended too.
            io::copy(&mut io::stdin().lock(), &mut io::sink()).ok();
            stopper.stop();
        })?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(daemon.run(&stopper, stop))
}

/// The first line of a small file; empty if it cannot be read.
fn line(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().chars().take(256).collect()
}

fn boot(roots: &Roots) -> BootId {
    line(&roots.proc.join("sys/kernel/random/boot_id")).parse().unwrap_or_default()
}
