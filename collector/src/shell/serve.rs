//! The daemon: its state after a start, threads, routes; in which order they start and end.
//!
//! Start: lock, state, the three threads, the listener. End: the listener drains, then the
//! keeper, then the journal. The first that fails stops all, and nothing is acknowledged after it.

mod open_files;
mod routes;
mod state;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use bellwether_model::diagnostic::Diagnostics;
use bellwether_model::time::{Now, Timestamp};
use bellwether_platform::clock::Clock;
use bellwether_platform::disk::{Disk, DiskError, Lock, LockError, RealDisk, lock, make_dir};
use bellwether_platform::journal::commit::{CommitQueue, Committer, commit_queue};
use bellwether_platform::journal::{JournalError, Loss};
use bellwether_platform::listener::{
    self, Answers, BindError, Bodies, Callers, Listener, Safeguards,
};
use bellwether_platform::principal::{PrincipalError, Principals};
use bellwether_platform::stop::{Stop, Stopper};
use bellwether_platform::tls::{ServerTls, TlsError};
use bellwether_rules::template::Site;
use bellwether_store::Store;
use prometheus::Registry;
use tokio::sync::{Notify, mpsc, watch};
use tracing::{info, warn};

use self::routes::Parts;
use super::blocks::{BlockThread, block_thread};
use super::control::{self, Board, ControlHandle};
use super::deliver::{self, DeliverMetrics, Deliverer};
use super::hooks::SignalBoard;
use super::keep::{KeeperHandle, KeeperThread, keeper_thread};
use super::recover::{RecoverError, Recovered};
use super::reload::{self, ReloadSource, Reloader};
use super::services::Counting;
use super::{hosts, key, metrics, rule_files, service_files, startup};
use crate::pure::api::status::About;
use crate::pure::config::Plan;
use crate::pure::control::{Control, ControlPlan, Held, PlannedGroup};
use crate::pure::guard::event::GuardPlan;
use crate::pure::keeper::{JournalClosed, Keeper};
use crate::pure::notify::plan::NotifyPlan;
use crate::pure::services::Services;

/// Where decision records lie in the collector's directory.
const RECORDS: &str = "records";
/// Bytes of request bodies held at a time (DESIGN §4).
const BODY_BYTES: u32 = 64 << 20;
/// Bytes of answers that wait for their clients: four of the largest.
const ANSWER_BYTES: u32 = 256 << 20;
/// Token files are looked at this often.
const TOKENS_EVERY: Duration = Duration::from_secs(1);

/// What a collector is run with: nothing is missing, nothing is wrong.
#[derive(Clone, Debug)]
pub struct ServePlan {
    /// Its own directory: journal, chunk files, checkpoints and lock.
    pub data_dir: PathBuf,
    /// Whether to start although commands in the journal are lost.
    pub loss: Loss,
    /// The configuration, and where it is read again.
    pub source: ReloadSource,
}

/// Why a collector does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another process has the directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The directory cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The state cannot be read.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The keeper met the failed journal.
    #[error(transparent)]
    Closed(#[from] JournalClosed),
    /// The address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The certificate cannot be used.
    #[error("the certificate: {0}")]
    Tls(#[from] TlsError),
    /// The system refuses a thread or a socket.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Rule files that cannot be used.
    #[error("the rules are wrong\n\n{0}")]
    Rules(Diagnostics),
    /// Service files that cannot be used.
    #[error("the services are wrong\n\n{0}")]
    Services(Diagnostics),
    /// The key that signs decision records.
    #[error("the key of decision records: {0:#}")]
    Key(anyhow::Error),
    /// Tokens that cannot be used.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Principals(Vec<PrincipalError>),
    /// There is no room for connections.
    #[error(
        "the limit of open files is {limit}, and at least {least} are needed: raise it \
         (ulimit -Hn, LimitNOFILE)"
    )]
    OpenFiles {
        /// The limit.
        limit: u64,
        /// The lowest that allows a start.
        least: u64,
    },
    /// A thread ended without a word.
    #[error("the {0} thread panicked")]
    Panicked(&'static str),
}

/// A collector that has replayed its journal and holds its address.
pub struct Collector {
    listener: Listener,
    router: Router,
    reloader: Reloader,
    principals: Principals,
    watch: Watch,
    control: ControlHandle,
    queue: CommitQueue,
    threads: Threads,
    counting: Counting,
    connections: usize,
    _lock: Lock,
}

struct Threads {
    control: Vec<JoinHandle<()>>,
    sending: Option<JoinHandle<()>>,
    journal: JoinHandle<Result<(), JournalError>>,
    keeper: JoinHandle<Result<(), JournalClosed>>,
    blocks: JoinHandle<Result<(), DiskError>>,
}

/// What a status line needs to know; clones are the same.
#[derive(Clone)]
pub struct Watch {
    /// Sessions, frames and hosts.
    pub keeper: KeeperHandle,
    /// Series and samples.
    pub store: Store,
    /// What rules have come to.
    pub board: Board,
    /// Who decides.
    pub control: ControlHandle,
    /// The collector's clock.
    pub clock: Clock,
}

impl Collector {
    /// Takes the directory and the address, replays the journal and starts the threads. `stopper`
    /// fires when one of them ends.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn open(serve: ServePlan, stopper: &Stopper) -> Result<Collector, ServeError> {
        let plan = serve.source.plan.clone();
        let (groups, services) = (groups(&plan)?, services(&plan)?);
        let connections = open_files::open_files(plan.keeper.agents)?;
        let (guard, clock) = (guard_plan(&plan, &services), Clock::collector());
        let about = about(&plan, clock.now().wall);
        let Taken { lock, principals, recovered, listener } = take(&serve, &clock)?;
        let damage = recovered.damage();
        let Recovered { keeper, store, blocks, journal, .. } = recovered;
        let at = (listener.scheme(), listener.address());
        let site = site(&plan, at.0, at.1);
        let control = ControlPlan { groups, notify: notify_plan(&plan, &site), guard };
        let control = decide(&keeper, control, &plan.data_dir, clock.now())?;
        let (queue, committer) = commit_queue(journal);
        let (blocks, writer) = block_thread(blocks, clock.now().mono);
        let (handle, thread) = keeper_thread(keeper, clock.clone(), queue.clone(), blocks);
        let mut threads = start(committer, thread, writer, stopper)?;
        let (outgoing, deliveries) = mpsc::unbounded_channel();
        let signals = SignalBoard::new(plan.hooks.clone());
        let sources = control::Sources {
            store: store.clone(),
            keeper: handle.clone(),
            clock: clock.clone(),
            limits: plan.queries,
            site,
            records: serve.data_dir.join(RECORDS),
            signals: signals.clone(),
            outgoing,
        };
        let (ruling, board, ruled) = control::start(control, sources, stopper)?;
        threads.control = ruled;
        let control = ruling.clone();
        let watch = Watch { keeper: handle.clone(), store, board, control, clock: clock.clone() };
        let (bodies, held) = (Bodies::new(BODY_BYTES), Answers::new(ANSWER_BYTES));
        let counts =
            metrics::Sources::new(&watch, &queue, (&bodies, &held), (listener.stats(), damage));
        let (registry, answers) = metrics::registry(counts);
        threads.sending = Some(send(deliveries, &queue, &ruling, (&clock, &registry))?);
        let parts = Parts {
            watch: &watch,
            principals: &principals,
            queue: &queue,
            bodies: &bodies,
            held: &held,
            records: serve.data_dir.join(RECORDS),
            registry,
        };
        let (reads, administers) = hosts::routers(handle, queue.clone());
        let (seen, steers) = parts.steering(signals, stopper.listener());
        let (external, labels) = watch::channel(plan.external_labels);
        let (services, described) = watch::channel(Arc::new(services));
        let queries = parts.queries(plan.queries);
        let counting = Counting::new(Arc::clone(&queries), described.clone(), &parts.registry);
        let levers = parts.levers(at, external, services);
        let (reloader, reload) = reload::reloader(serve.source, levers);
        let reads = reads.merge(seen).merge(parts.reading(queries, about, labels, described));
        let router = parts.routes(reads, administers.merge(reload)).merge(steers);
        let router = router.merge(parts.push(answers));
        Ok(Collector {
            listener,
            router,
            reloader,
            principals,
            watch,
            control: ruling,
            queue,
            threads,
            counting,
            connections,
            _lock: lock,
        })
    }

    /// The address it got.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// `https` if it speaks TLS, else `http`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.listener.scheme()
    }

    /// What a status line needs.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Serves until stopped, and reloads when `hangup` is notified; then all that was accepted is
    /// made durable.
    ///
    /// # Errors
    /// A thread has failed: what was not acknowledged may be lost.
    pub async fn serve(self, stop: Stop, hangup: Arc<Notify>) -> Result<(), ServeError> {
        let Collector { listener, router, principals, watch, control, queue, .. } = self;
        let threads = self.threads;
        let connections = self.connections;
        let looking = tokio::spawn(watch_tokens(principals, watch.clock));
        let counting = tokio::spawn(self.counting.run());
        let keeper = watch.keeper.clone();
        let releasing = tokio::spawn(async move { keeper.release().await });
        tokio::spawn(self.reloader.run(hangup, stop.clone()));
        let limits = listener::Limits { connections, ..listener::Limits::default() };
        let served = listener.serve(router, limits, stop).await;
        looking.abort();
        counting.abort();
        releasing.abort();
        control.stop();
        let ruled: Vec<_> = threads.control.into_iter().map(|t| join(t, "control")).collect();
        let sent = threads.sending.map(|thread| join(thread, "send")).transpose();
        watch.keeper.stop();
        let kept = join(threads.keeper, "keeper");
        queue.close();
        // The keeper's error follows from that of the journal or of the block thread.
        join(threads.blocks, "block")??;
        join(threads.journal, "journal")??;
        kept??;
        ruled.into_iter().collect::<Result<(), _>>()?;
        sent?;
        Ok(served?)
    }
}

/// The control machine as of what the keeper holds.
fn decide(
    keeper: &Keeper,
    plan: ControlPlan,
    data_dir: &Path,
    now: Now,
) -> Result<Control, ServeError> {
    let key = key::signing(None, Some(data_dir)).map_err(ServeError::Key)?;
    let held = Held {
        store: keeper.store(),
        rules: keeper.rules(),
        notify: keeper.notify(),
        guard: keeper.guard(),
        key: &key,
    };
    Ok(Control::new(now, held, plan))
}

/// What a collector has before its threads.
struct Taken {
    lock: Lock,
    principals: Principals,
    recovered: Recovered,
    listener: Listener,
}

/// Takes the directory, replays the journal, and takes the address.
fn take(serve: &ServePlan, clock: &Clock) -> Result<Taken, ServeError> {
    let ServePlan { data_dir, loss, source } = serve;
    let plan = &source.plan;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    make_dir(&*disk, data_dir)?;
    let lock = lock(&data_dir.join("lock"))?;
    let specs: Vec<_> = plan.principals.iter().chain(&source.always.principals).cloned().collect();
    let callers = if specs.is_empty() { Callers::Anyone } else { Callers::Known };
    let principals = Principals::new(specs, plan.anonymous).map_err(ServeError::Principals)?;
    let tls = plan.tls.clone().map(ServerTls::open).transpose()?;
    let recovered = state::replay(&disk, data_dir, (plan.store, plan.keeper), *loss, clock)?;
    // Only now: until the journal is read, callers are refused and come again.
    let listener = Listener::bind_guarded(plan.listen, Safeguards { tls, callers })?;
    Ok(Taken { lock, principals, recovered, listener })
}

/// The groups of all rule files; warnings about them are logged.
fn groups(plan: &Plan) -> Result<Vec<PlannedGroup>, ServeError> {
    let (groups, warnings) = rule_files::load(&plan.rules).map_err(ServeError::Rules)?;
    for warning in warnings.iter() {
        warn!(%warning, "rules");
    }
    Ok(groups)
}

/// What service files describe; warnings about them are logged.
fn services(plan: &Plan) -> Result<Services, ServeError> {
    let loaded = service_files::load(plan, &startup::around().environment);
    let (services, warnings) = loaded.map_err(ServeError::Services)?;
    for warning in warnings.iter() {
        warn!(%warning, "services");
    }
    Ok(services)
}

/// What the guard goes by.
pub(super) fn guard_plan(plan: &Plan, services: &Services) -> GuardPlan {
    GuardPlan { catalogue: Arc::new(services.catalogue.clone()), hooks: plan.hooks.clone() }
}

/// How this collector is known outside.
pub(super) fn site(plan: &Plan, scheme: &str, address: SocketAddr) -> Site {
    let external_url = plan.external_url.clone().unwrap_or_else(|| format!("{scheme}://{address}"));
    Site { external_labels: plan.external_labels.clone(), external_url }
}

/// Who is told, as the notifier takes it.
pub(super) fn notify_plan(plan: &Plan, site: &Site) -> NotifyPlan {
    NotifyPlan { external_url: site.external_url.clone(), ..plan.notify.clone() }
}

/// Starts the thread that sends; it ends once the control thread has, which holds the other end of
/// its queue.
fn send(
    outgoing: mpsc::UnboundedReceiver<deliver::Outgoing>,
    queue: &CommitQueue,
    control: &ControlHandle,
    (clock, registry): (&Clock, &Registry),
) -> Result<JoinHandle<()>, std::io::Error> {
    let control = control.clone();
    let deliverer = Deliverer {
        outgoing,
        durable: queue.subscribe(),
        outcomes: Arc::new(move |ended| control.delivered(ended)),
        clock: clock.clone(),
        environment: startup::around().environment,
        metrics: DeliverMetrics::new(registry),
    };
    deliver::start(deliverer)
}

/// What the process says of itself.
fn about(plan: &Plan, now: Timestamp) -> About {
    let directory = std::env::current_dir().unwrap_or_default();
    About {
        started: now,
        directory: directory.display().to_string(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        listen: plan.listen.to_string(),
        retention: plan.store.retention,
        timeout: plan.queries.timeout,
        places: plan.queries.at_once,
        samples_max: plan.queries.samples_max,
        rule_interval: plan.rules.interval,
        external_labels: plan.external_labels.clone(),
    }
}

fn start(
    committer: Committer,
    keeper: KeeperThread,
    blocks: BlockThread,
    stopper: &Stopper,
) -> Result<Threads, std::io::Error> {
    let (first, second) = (stopper.on_return(), stopper.on_return());
    let third = stopper.on_return();
    let blocks = std::thread::Builder::new().name("block".to_owned()).spawn(move || {
        let _stops_all = third;
        blocks.run()
    })?;
    let journal = std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
        let _stops_all = first;
        committer.run()
    })?;
    let keeper = std::thread::Builder::new().name("keeper".to_owned()).spawn(move || {
        let _stops_all = second;
        keeper.run()
    })?;
    Ok(Threads { control: Vec::new(), sending: None, journal, keeper, blocks })
}

fn join<T>(thread: JoinHandle<T>, name: &'static str) -> Result<T, ServeError> {
    thread.join().map_err(|_| ServeError::Panicked(name))
}

async fn watch_tokens(principals: Principals, clock: Clock) {
    loop {
        tokio::time::sleep(TOKENS_EVERY).await;
        for change in principals.refresh(clock.now().mono) {
            match change.now {
                Ok(()) => info!(principal = change.name.as_str(), "token read again"),
                Err(error) => warn!(principal = change.name.as_str(), %error, "token unusable"),
            }
        }
    }
}
