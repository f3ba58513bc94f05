//! `run`: the parts of the agent put together, and the order in which they start and end.
//!
//! Address first, then the sampler's thread, then the page. The first part that returns stops all;
//! the row under way is finished and handed on.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use bellwether_model::label::LabelError;
use bellwether_platform::clock::Clock;
use bellwether_platform::listener::{BindError, Callers, Limits, Listener, Safeguards};
use bellwether_platform::principal::{
    Anonymous, PrincipalError, PrincipalSpec, Principals, Scope, TokenSource,
};
use bellwether_platform::stop::{Signals, Stop, Stopper};
use bellwether_platform::tls::{ServerTls, TlsError};
use tokio::sync::Notify;
use tracing::info;

use crate::pure::config::{ExporterPlan, Plan};
use crate::pure::input::Facts;
use crate::shell::calls::Calls;
use crate::shell::collection::Collection;
use crate::shell::host::{Host, Roots};
use crate::shell::latest::Latest;
use crate::shell::metrics::Metrics;
use crate::shell::page::Page;
use crate::shell::sampler::{Sampler, Sink};

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
    #[error("{0}")]
    Readers(String),
    /// An input's name is no label.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// The system refuses a thread, a signal handler or a socket.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The sampler's thread panicked.
    #[error("the sampler ended unexpectedly")]
    Sampler,
}

/// Page and sampler, bound and built but not started.
pub struct Agent {
    listener: Listener,
    page: Page,
    sampler: Sampler,
}

impl Agent {
    /// Takes the page's address and builds the inputs. `metrics` are the agent's own, `sink` takes
    /// the rows of each tick.
    ///
    /// # Errors
    /// The address is taken, certificate or token cannot be used, or an input's name is no label.
    pub fn new(
        plan: &Plan,
        roots: Roots,
        clock: Clock,
        facts: Facts,
        metrics: Metrics,
        sink: Box<dyn Sink>,
    ) -> Result<Agent, RunError> {
        let listener = listen(&plan.exporter)?;
        let readers = plan.exporter.token.clone().map(readers).transpose()?;
        let host = Host::new(roots, Calls::system(), clock.clone());
        let collection = Collection::new(&plan.inputs, &plan.target, host, clock.clone(), facts)?;
        let latest = Arc::new(Latest::default());
        let page = Page::new(Arc::clone(&latest), metrics.clone(), clock.clone(), readers);
        let sampler = Sampler { collection, clock, latest, metrics, sink };
        Ok(Agent { listener, page, sampler })
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
    /// The system refuses a thread or a socket, or the sampler panicked.
    pub async fn run(self, stopper: &Stopper, stop: Stop) -> Result<Box<dyn Sink>, RunError> {
        let Agent { listener, page, sampler } = self;
        let guard = stopper.on_return();
        info!(address = %listener.address(), "page listens");
        let thread = sampler.start(stop.clone(), stopper.on_return())?;
        let served = listener.serve(page, Limits::default(), stop).await;
        drop(guard);
        let sink = join(thread);
        served?;
        sink
    }
}

fn listen(plan: &ExporterPlan) -> Result<Listener, RunError> {
    let tls = plan.tls.clone().map(ServerTls::open).transpose()?;
    let callers = if plan.has_readers() { Callers::Known } else { Callers::Anyone };
    Ok(Listener::bind_guarded(plan.listen, Safeguards { tls, callers })?)
}

/// Whoever has the token may read.
fn readers(token: TokenSource) -> Result<Principals, RunError> {
    let name = "exporter".to_owned();
    let spec = PrincipalSpec { name, token, scopes: [Scope::Read].into_iter().collect() };
    Principals::new(vec![spec], Anonymous::Nothing).map_err(|errors| {
        let words = errors.iter().map(PrincipalError::to_string).collect::<Vec<_>>();
        RunError::Readers(words.join("; "))
    })
}

/// The sampler has been told to stop and ends after the row under way.
fn join(thread: JoinHandle<Box<dyn Sink>>) -> Result<Box<dyn Sink>, RunError> {
    thread.join().map_err(|_| RunError::Sampler)
}

/// Lets the signals of the system stop the agent, for as long as the runtime runs.
///
/// # Errors
/// The system refuses a handler.
pub fn catch_signals(stopper: &Stopper) -> io::Result<()> {
    let signals = Signals::catch()?;
    // A changed configuration is taken up at the next start.
    tokio::spawn(signals.run(stopper.clone(), Arc::new(Notify::new())));
    Ok(())
}
