//! `run`: the parts of the agent put together, and the order in which they start and end.
//!
//! Address first, then the sampler's thread, then the page. The first part that returns stops all;
//! the row under way is finished and handed on.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bellwether_model::label::LabelError;
use bellwether_platform::clock::Clock;
use bellwether_platform::listener::{BindError, Callers, Limits, Listener, Safeguards};
use bellwether_platform::stop::{Signals, Stop, Stopper};
use bellwether_platform::tls::{ServerTls, TlsError};
use tokio::sync::{Notify, mpsc, watch};
use tracing::{error, info};

use crate::pure::config::{ExporterPlan, Plan};
use crate::pure::input::Facts;
use crate::shell::calls::Calls;
use crate::shell::collection::Collection;
use crate::shell::host::{Host, Roots};
use crate::shell::latest::Latest;
use crate::shell::metrics::Metrics;
use crate::shell::page::{BadReaders, Page, Readers};
use crate::shell::reload::Requests;
use crate::shell::sampler::{Handover, Sampler, Sink};
use crate::shell::ship::Ask;
use crate::shell::status::StatusSource;
use crate::shell::targets::Targets;

/// Readers of the page at once: few scrape an agent, and its own files must have room.
const CONNECTIONS: usize = 64;
/// After the stop, so long may the row under way take.
const ENDS_WITHIN: Duration = Duration::from_secs(3);
/// From one look at the sampler to the next.
const LOOK: Duration = Duration::from_millis(10);

/// Why the agent does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The page's address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The page's certificate cannot be used.
    #[error("the page's certificate: {0}")]
    Tls(#[from] TlsError),
    /// The token of the page's readers cannot be used.
    #[error(transparent)]
    Readers(#[from] BadReaders),
    /// An input's name is no label.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// The system refuses a thread, a signal handler or a socket.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The sampler's thread panicked.
    #[error("the sampler ended unexpectedly")]
    Sampler,
    /// The sampler's thread does not end.
    #[error("the sampler hangs and was not waited for")]
    Hangs,
}

/// Page and sampler, bound and built but not started.
pub struct Agent {
    listener: Listener,
    page: Page,
    sampler: Sampler,
}

/// What page and sampler share with the other parts.
pub struct Shared {
    /// The agent's clock.
    pub clock: Clock,
    /// The agent's own metrics.
    pub metrics: Metrics,
    /// What takes the rows of each tick.
    pub sink: Box<dyn Sink>,
    /// Shipping, which knows most of `status`.
    pub ship: mpsc::Sender<Ask>,
    /// Where a reload is asked for.
    pub reload: Requests,
}

/// What a reload changes of page and sampler.
pub struct Levers {
    /// Who may read the page.
    pub readers: watch::Sender<Readers>,
    /// The labels that `status` shows.
    pub labels: watch::Sender<String>,
    /// The inputs.
    pub inputs: Handover,
}

impl Agent {
    /// Takes the page's address and builds the inputs.
    ///
    /// # Errors
    /// The address is taken, certificate or token cannot be used, or an input's name is no label.
    pub fn new(
        plan: &Plan,
        roots: Roots,
        facts: Facts,
        shared: Shared,
    ) -> Result<(Agent, Levers), RunError> {
        let Shared { clock, metrics, sink, ship, reload } = shared;
        let listener = listen(&plan.exporter)?;
        let (readers, reads) = watch::channel(Readers::new(&plan.exporter)?);
        let (labels, shown) = watch::channel(plan.target.to_string());
        let host = Host::new(roots, Calls::system(), clock.clone());
        let targets = Targets::start(&plan.probes, &plan.scrapes, &clock)?;
        let collection = Collection::new(&plan.inputs, &plan.target, host, clock.clone(), facts)?;
        let collection = collection.beside(targets);
        let latest = Arc::new(Latest::default());
        let status = StatusSource {
            ship,
            latest: Arc::clone(&latest),
            labels: shown,
            page: format!("{}://{}", listener.scheme(), listener.address()),
            metrics: metrics.clone(),
        };
        let page = Page {
            latest: Arc::clone(&latest),
            metrics: metrics.clone(),
            clock: clock.clone(),
            readers: reads,
            status,
            reload,
        };
        let inputs = Handover::default();
        let changed = inputs.clone();
        let sampler = Sampler { collection, clock, latest, metrics, sink, changed };
        Ok((Agent { listener, page, sampler }, Levers { readers, labels, inputs }))
    }

    /// What `status` is made of.
    #[must_use]
    pub fn status(&self) -> StatusSource {
        self.page.status.clone()
    }

    /// The page's address; the port is the real one.
    #[must_use]
    pub fn address(&self) -> std::net::SocketAddr {
        self.listener.address()
    }

    /// `https` if the page speaks TLS, else `http`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.listener.scheme()
    }

    /// Collects and serves until stopped; returns the sink after the last row.
    ///
    /// # Errors
    /// The system refuses a thread or a socket, or the sampler panicked or hangs.
    pub async fn run(self, stopper: &Stopper, stop: Stop) -> Result<Box<dyn Sink>, RunError> {
        let Agent { listener, page, sampler } = self;
        let guard = stopper.on_return();
        info!(address = %listener.address(), "page listens");
        let thread = sampler.start(stop.clone(), stopper.on_return())?;
        let limits = Limits { connections: CONNECTIONS, ..Limits::default() };
        let served = listener.serve(page, limits, stop).await;
        drop(guard);
        let sink = ended(thread, ENDS_WITHIN).await;
        served?;
        sink
    }
}

fn listen(plan: &ExporterPlan) -> Result<Listener, RunError> {
    let tls = plan.tls.clone().map(ServerTls::open).transpose()?;
    let callers = if plan.has_readers() { Callers::Known } else { Callers::Anyone };
    Ok(Listener::bind_guarded(plan.listen, Safeguards { tls, callers })?)
}

/// The sampler has been told to stop and ends after the row under way, if who takes it does not
/// hang.
async fn ended(
    thread: JoinHandle<Box<dyn Sink>>,
    within: Duration,
) -> Result<Box<dyn Sink>, RunError> {
    for _ in 0..within.as_millis() / LOOK.as_millis() {
        if thread.is_finished() {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    if thread.is_finished() {
        return thread.join().map_err(|_| RunError::Sampler);
    }
    error!("the sampler hangs; the end does not wait for it");
    Err(RunError::Hangs)
}

/// Lets the signals of the system stop the agent, for as long as the runtime runs. Gives what
/// SIGHUP notifies.
///
/// # Errors
/// The system refuses a handler.
pub fn catch_signals(stopper: &Stopper) -> io::Result<Arc<Notify>> {
    let signals = Signals::catch()?;
    let hangup = Arc::new(Notify::new());
    tokio::spawn(signals.run(stopper.clone(), Arc::clone(&hangup)));
    Ok(hangup)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use bellwether_model::label::LabelSet;
    use bellwether_platform::stop;

    use super::*;
    use crate::pure::config::InputPlan;
    use crate::pure::input::INPUTS;

    #[tokio::test]
    async fn the_end_does_not_wait_for_a_sampler_that_hangs() {
        let (begins, begun) = channel();
        let (release, released) = channel::<()>();
        let (labels, facts, clock) = (LabelSet::default(), Facts::default(), Clock::agent());
        let host = Host::new(Roots::default(), Calls::system(), clock.clone());
        let plan = InputPlan::new(INPUTS.iter().find(|spec| spec.name == "time").unwrap());
        let plan = InputPlan { interval: LOOK, ..plan };
        let collection = Collection::new(&[plan], &labels, host, clock.clone(), facts).unwrap();
        let sampler = Sampler {
            collection,
            clock,
            latest: Arc::new(Latest::default()),
            metrics: Metrics::new(["time"]),
            sink: Box::new(move |_, _: &mut [_]| {
                begins.send(()).unwrap();
                released.recv().unwrap_err();
            }),
            changed: Handover::default(),
        };
        let (stopper, stop) = stop::stop();
        let thread = sampler.start(stop, stopper.on_return()).unwrap();
        begun.recv().unwrap();
        stopper.stop();
        assert!(matches!(ended(thread, LOOK).await, Err(RunError::Hangs)));
        drop(release);
    }
}
