//! The daemon: its state after a start, threads, routes; in which order they start and end.
//!
//! Start: lock, state, the three threads, the listener. End: the listener drains, then the
//! keeper, then the journal. The first that fails stops all, and nothing is acknowledged after it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::routing::get;
use axum::{Router, middleware};
use bellwether_model::diagnostic::Diagnostics;
use bellwether_model::exposition::Writer;
use bellwether_model::id::StoreId;
use bellwether_model::label::LabelSet;
use bellwether_model::time::Timestamp;
use bellwether_platform::clock::Clock;
use bellwether_platform::disk::{
    Access, Disk, DiskError, Lock, LockError, RealDisk, lock, make_dir,
};
use bellwether_platform::journal::commit::{CommitQueue, Committer, commit_queue};
use bellwether_platform::journal::{JournalError, Loss, Options};
use bellwether_platform::listener::{self, BindError, Bodies, Callers, Listener, Safeguards};
use bellwether_platform::principal::{PrincipalError, Principals};
use bellwether_platform::process;
use bellwether_platform::stop::{Stop, Stopper};
use bellwether_platform::tls::{ServerTls, TlsError};
use bellwether_rules::template::Site;
use bellwether_store::{FileLimits, Limits as StoreLimits, Store};
use prometheus::{Registry, TextEncoder};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::sync::{Notify, mpsc, watch};
use tracing::{error, info, warn};

use super::api::queries::{Queries, ViewSource};
use super::blocks::{BlockThread, block_thread};
use super::control::{self, Board, ControlHandle};
use super::deliver::{self, DeliverMetrics, Deliverer};
use super::keep::{KeeperHandle, KeeperThread, keeper_thread};
use super::recover::{self, RecoverError, Recovered, Start, recover};
use super::reload::{self, Levers, ReloadSource, Reloader};
use super::{
    alerts, api, auth, federate, forms, hosts, metrics, push, rule_files, runbooks, startup,
};
use crate::pure::api::status::About;
use crate::pure::config::{Plan, QueryLimits};
use crate::pure::control::{Control, ControlPlan, Held, PlannedGroup};
use crate::pure::keeper::{JournalClosed, KeeperLimits};
use crate::pure::notify::plan::NotifyPlan;

/// Bytes of request bodies held at a time (DESIGN §4).
const BODY_BYTES: u32 = 64 << 20;
/// A segment holds the largest group of entries that one sync covers.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Of the disk's room at the start, samples take so much at most (DESIGN §8).
const DISK_PERCENT: u64 = 80;
/// Connections beside those of agents: queries, scrapes, people.
const OTHER_CONNECTIONS: usize = 1024;
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
    /// Tokens that cannot be used.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Principals(Vec<PrincipalError>),
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
        let groups = groups(&plan)?;
        let clock = Clock::collector();
        let about = about(&plan, clock.now().wall);
        let Taken { lock, principals, recovered, listener } = take(&serve, &clock)?;
        let Recovered { keeper, store, blocks, journal, .. } = recovered;
        let held = Held { store: keeper.store(), rules: keeper.rules(), notify: keeper.notify() };
        let (scheme, address) = (listener.scheme(), listener.address());
        let site = site(&plan, scheme, address);
        let notify = notify_plan(&plan, &site);
        let control = Control::new(clock.now(), held, ControlPlan { groups, notify });
        let (queue, committer) = commit_queue(journal);
        let (blocks, writer) = block_thread(blocks, clock.now().mono);
        let (handle, thread) = keeper_thread(keeper, clock.clone(), queue.clone(), blocks);
        let mut threads = start(committer, thread, writer, stopper)?;
        let (outgoing, deliveries) = mpsc::unbounded_channel();
        let sources = control::Sources {
            store: store.clone(),
            keeper: handle.clone(),
            clock: clock.clone(),
            limits: plan.queries,
            site,
            outgoing,
        };
        let (ruling, board, ruled) = control::start(control, sources, stopper)?;
        threads.control = ruled;
        let watch = Watch { keeper: handle.clone(), store, board, clock: clock.clone() };
        let bodies = Bodies::new(BODY_BYTES);
        let counts = metrics::Sources::new(&watch, &queue, listener.stats(), &bodies);
        let (registry, answers) = metrics::registry(counts);
        threads.sending = Some(send(deliveries, &queue, &ruling, (&clock, &registry))?);
        let push = push::Push {
            keeper: handle.clone(),
            queue: queue.clone(),
            principals: principals.clone(),
            bodies,
            clock: clock.clone(),
            answers,
        };
        let parts = Parts { watch: &watch, control: &ruling, principals: &principals, registry };
        let (reads, administers) = hosts::routers(handle.clone(), queue.clone());
        let (external, labels) = watch::channel(plan.external_labels);
        let levers = Levers {
            principals: principals.clone(),
            keeper: handle.clone(),
            control: ruling.clone(),
            external,
            scheme,
            address,
            metrics: metrics::ReloadMetrics::new(&parts.registry, clock.now().wall),
            clock: clock.clone(),
        };
        let (reloader, reload) = reload::reloader(serve.source, levers);
        let administers = administers.merge(reload);
        let reads = reads.merge(parts.reading(plan.queries, about, labels));
        let reads =
            reads.layer(middleware::from_fn_with_state(push.bodies.clone(), forms::budgeted));
        let router = parts.routes(reads, administers).merge(push::router(Arc::new(push)));
        Ok(Collector {
            listener,
            router,
            reloader,
            principals,
            watch,
            control: ruling,
            queue,
            threads,
            connections: open_files(plan.keeper.agents.saturating_add(OTHER_CONNECTIONS)),
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
        tokio::spawn(self.reloader.run(hangup, stop.clone()));
        let limits = listener::Limits { connections, ..listener::Limits::default() };
        let served = listener.serve(router, limits, stop).await;
        looking.abort();
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
    let specs: Vec<_> = plan.principals.iter().chain(&source.always).cloned().collect();
    let callers = if specs.is_empty() { Callers::Anyone } else { Callers::Known };
    let principals = Principals::new(specs, plan.anonymous).map_err(ServeError::Principals)?;
    let tls = plan.tls.clone().map(ServerTls::open).transpose()?;
    let recovered = replay(&disk, data_dir, (plan.store, plan.keeper), *loss, clock)?;
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

/// What routes are made of.
struct Parts<'a> {
    watch: &'a Watch,
    control: &'a ControlHandle,
    principals: &'a Principals,
    registry: Registry,
}

impl Parts<'_> {
    fn reading(
        &self,
        limits: QueryLimits,
        about: About,
        external: watch::Receiver<LabelSet>,
    ) -> Router {
        let Watch { store, board, clock, .. } = self.watch.clone();
        let views: ViewSource = Arc::new(move |now| Some(Box::new(store.view(now))));
        let clock = Arc::new(move || clock.now().wall);
        let queries = Arc::new(Queries::new(views, clock, limits));
        let registry = self.registry.clone();
        let page = move || async move { page(&registry) };
        api::router(Arc::clone(&queries), about)
            .merge(federate::router(queries, external))
            .merge(api::rules::router(board))
            .merge(alerts::router(reports(self.control)))
            .merge(runbooks::router())
            .route("/metrics", get(page))
            .route("/", get(|| async { INDEX }))
    }

    fn routes(&self, reads: Router, administers: Router) -> Router {
        let principals = || self.principals.clone();
        let administers =
            administers.layer(middleware::from_fn_with_state(principals(), auth::administers));
        let health = Router::new()
            .route("/-/healthy", get(|| async { "Bellwether is Healthy.\n" }))
            .route("/-/ready", get(|| async { "Bellwether is Ready.\n" }));
        let reads = reads.layer(middleware::from_fn_with_state(principals(), auth::reads));
        reads.merge(administers).merge(health)
    }
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

/// Asks the control thread.
fn reports(control: &ControlHandle) -> alerts::Reports {
    let control = control.clone();
    Arc::new(move || {
        let control = control.clone();
        Box::pin(async move { control.report().await })
    })
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
        outcomes: Arc::new(move |ticket, outcome| control.delivered(ticket, outcome)),
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

const INDEX: &str = "Bellwether collector\n\n\
    /api/v1/query?query=up      Prometheus' HTTP API\n\
    /federate?match[]=up        all series, for a Prometheus to scrape\n\
    /metrics                    the collector's own metrics\n\
    /bellwether/v1/hosts        hosts that ship here\n\
    /runbooks/                  what alerts of the packs mean, and what to do\n\
    /-/healthy  /-/ready\n";

/// A page with its content type.
type Page = ([(&'static str, &'static str); 1], Vec<u8>);

/// The process's metrics and the collector's own.
fn page(registry: &Registry) -> Result<Page, String> {
    let mut text = Vec::new();
    process::write(&mut Writer::new(&mut text));
    let own = TextEncoder::new().encode_to_string(&registry.gather()).map_err(|e| e.to_string())?;
    text.extend_from_slice(own.as_bytes());
    Ok(([("content-type", "text/plain; version=0.0.4; charset=utf-8")], text))
}

/// Raises the limit of open files towards what so many connections need; gives how many it allows.
fn open_files(connections: usize) -> usize {
    /// Files, pipes and sockets that are not connections: chunk files mostly.
    const OWN: u64 = 1024;
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OWN);
    let mut limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.unwrap_or(u64::MAX).min(wanted);
    if limit.current.is_some_and(|current| current < allowed) {
        limit.current = Some(allowed);
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            warn!(%error, "the limit of open files stays as it is");
        }
    }
    let granted = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).min(wanted);
    usize::try_from(granted.saturating_sub(OWN)).unwrap_or(usize::MAX).min(connections)
}

fn new_store_id() -> StoreId {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("invariant: the system has random numbers");
    StoreId(bytes)
}

/// Reads checkpoint, chunk files and journal.
fn replay(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    (store, keeper): (StoreLimits, KeeperLimits),
    loss: Loss,
    clock: &Clock,
) -> Result<Recovered, ServeError> {
    let begun = clock.now();
    // Samples share the disk with the journal and with others.
    let free = disk.free_bytes(dir)?;
    let room = free.saturating_add(chunk_bytes(&**disk, &dir.join(recover::CHUNKS))?);
    let room = usize::try_from(room / 100 * DISK_PERCENT).unwrap_or(usize::MAX);
    let store = StoreLimits { bytes_max: store.bytes_max.min(room), ..store };
    let options = Options { segment_bytes: SEGMENT_BYTES, loss, ..Options::default() };
    let start = Start {
        store,
        keeper,
        files: FileLimits::default(),
        journal: options,
        id: new_store_id(),
        now: begun,
    };
    let mut recovered = recover(disk, dir, start, &mut |_, _| {})?;
    report(&mut recovered);
    info!(
        entries = recovered.journal.written().0.saturating_sub(recovered.held.0),
        checkpoint = recovered.held.0,
        sessions = recovered.keeper.sessions(),
        series = recovered.store.stats().series,
        seconds = clock.now().mono.since(begun.mono).as_secs_f64(),
        "state read"
    );
    Ok(recovered)
}

/// Bytes of the files in a directory.
fn chunk_bytes(disk: &dyn Disk, dir: &Path) -> Result<u64, DiskError> {
    if !disk.exists(dir)? {
        return Ok(0);
    }
    let names = disk.list(dir)?.into_iter();
    names.map(|name| disk.open(&dir.join(name), Access::Read)?.len()).sum()
}

/// Says what damage was found.
fn report(found: &mut Recovered) {
    let recovery = &found.recovery;
    if recovery.torn_bytes > 0 {
        info!(bytes = recovery.torn_bytes, "unfinished end of the journal cut off");
    }
    for what in &found.damaged {
        error!(what, "a checkpoint is damaged: an older state and more of the journal are read");
    }
    for (file, what) in &found.files_broken {
        error!(file, what, "the index of a chunk file is damaged: read block by block");
    }
    for lost in &recovery.lost {
        let (first, last) = (lost.first, lost.last);
        if last <= found.held {
            warn!(%first, %last, "damaged entries of the journal: the checkpoint holds them");
            continue;
        }
        let (segment, offset) = (lost.segment, lost.offset);
        error!(%first, %last, segment, offset, "entries of the journal are damaged and lost");
    }
    for lost in found.keeper.take_losses() {
        let (agent, first, last) = (lost.agent, lost.first, lost.last);
        error!(%agent, %first, %last, "frames are lost with entries of the journal");
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
