//! The agent as a whole: lock, spool, sampler and page, shipping; in which order they start and
//! end.
//!
//! Start: lock, spool (a durable incarnation), then everything at once. End: the sampler with the
//! row under way, then shipping, which says goodbye if all is acknowledged in time.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_model::id::BootId;
use bellwether_platform::clock::Clock;
use bellwether_platform::disk::{DiskError, Lock, LockError, RealDisk, lock, make_dir};
use bellwether_platform::process::raise_open_files;
use bellwether_platform::small_file::read_text;
use bellwether_platform::stop::{self, Stop, Stopper};
use tracing::info;

use crate::pure::config::Plan;
use crate::pure::ship::backlog::Bounds;
use crate::shell::cli::Settings;
use crate::shell::host::Roots;
use crate::shell::metrics::Metrics;
use crate::shell::reload::{self, Reloader};
use crate::shell::run::{Agent, RunError, Shared, catch_signals};
use crate::shell::ship::{Ask, BadUrl, Frames, Ship, ShipMetrics, frames, random};
use crate::shell::spool::{Setup, Spool, SpoolError};
use crate::shell::startup;

/// Open files that an agent may need: 400 of inputs, a connection to each of 1,400 targets with
/// what opens it, the page's connections, and few besides.
const OPEN_FILES: u64 = 4096;
/// Bytes of a file that says one thing of the host.
const LINE_FILE_BYTES: usize = 4096;

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
    reloader: Reloader,
    state_dir: PathBuf,
    _lock: Lock,
}

impl Daemon {
    /// Takes directory and address, and begins an incarnation.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub fn open(plan: Plan, settings: &Settings, clock: Clock) -> Result<Daemon, DaemonError> {
        raise_open_files(OPEN_FILES);
        let roots = settings.roots();
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
        let metrics = Metrics::new(plan.inputs.iter().map(|input| input.spec.name));
        metrics.configured(Some(clock.now().wall));
        let account = ShipMetrics::new(metrics.registry(), Arc::clone(&facts.own));
        let (sink, feed): (Frames, _) = frames(spool.origin());
        let ship = Ship::new(spool, clock.clone(), &plan.collectors, feed, account)?;
        let (reload, requests) = reload::requests();
        let shared = Shared {
            clock: clock.clone(),
            metrics: metrics.clone(),
            sink: Box::new(sink),
            ship: ship.asks(),
            reload,
        };
        let (agent, levers) = Agent::new(&plan, roots, facts.clone(), shared)?;
        let state_dir = plan.agent.state_dir.clone();
        let reloader = Reloader {
            settings: settings.clone(),
            plan,
            clock,
            facts,
            inputs: levers.inputs,
            ship: ship.asks(),
            readers: levers.readers,
            labels: levers.labels,
            metrics,
            requests,
        };
        Ok(Daemon { agent, ship, reloader, state_dir, _lock: lock })
    }

    /// Runs until a signal, a part that ends, or `stop`.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub async fn run(self, stopper: &Stopper, stop: Stop) -> Result<(), DaemonError> {
        let hangup = catch_signals(stopper)?;
        let (scheme, address) = (self.agent.scheme(), self.agent.address());
        writeln!(io::stdout(), "bellwether-agent: listening on {scheme}://{address}")?;
        let Daemon { agent, mut ship, reloader, state_dir, _lock } = self;
        let (telling, reloading) = (stop.clone(), stop.clone());
        let status = agent.status();
        let beside = async {
            tokio::join!(status.serve(&state_dir, telling), reloader.run(hangup, reloading));
        };
        ship.ask_time().await;
        let asks = ship.asks();
        let shipping_ends = stopper.on_return();
        let ship = async move {
            let shipped = ship.run(stopper).await;
            drop(shipping_ends);
            shipped
        };
        let collect = async {
            // The sink's end is the end of the frames, which lets the shipping end.
            let collected = agent.run(stopper, stop).await;
            if collected.is_err() {
                // A sampler that hangs has it still. Shipping that has ended needs no telling.
                asks.send(Ask::End).await.ok();
            }
            collected.map(drop)
        };
        let (collected, shipped, ()) = tokio::join!(collect, ship, beside);
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
pub fn run(plan: Plan, settings: &Settings, ends: Ends) -> Result<(), DaemonError> {
    let daemon = Daemon::open(plan, settings, Clock::agent())?;
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
    let text = read_text(path, LINE_FILE_BYTES).unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().chars().take(256).collect()
}

fn boot(roots: &Roots) -> BootId {
    line(&roots.proc.join("sys/kernel/random/boot_id")).parse().unwrap_or_default()
}
