//! The control thread, which drives [`Control`], and the threads that evaluate rules for it.
//!
//! The control thread does nothing that takes long: it hands jobs to the evaluators and entries to
//! the keeper, and takes up what became of them. Messages to it are bounded by what it has asked
//! for: one evaluation or one entry for each group.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bellwether_model::id::Position;
use bellwether_model::time::Mono;
use bellwether_platform::clock::Clock;
use bellwether_platform::disk::{DiskError, RealDisk, make_dir, read_file, replace_file};
use bellwether_platform::stop::{StopOnReturn, Stopper};
use bellwether_promql::evaluate::{Budget, Options};
use bellwether_promql::pool::Serial;
use bellwether_rules::group::Means;
use bellwether_rules::template::Site;
use bellwether_store::Store;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::deliver::{Ended, Outgoing};
use super::hooks::{HookAnswer, SignalBoard};
use super::keep::KeeperHandle;
use crate::pure::config::QueryLimits;
use crate::pure::control::evaluation::GroupKey;
use crate::pure::control::{Control, ControlPlan, ControlStats, Done, Effect, Event, Job, Shown};
use crate::pure::guard::event::{self as guard, Ask, CountJob, KeepJob, Reply};
use crate::pure::guard::lane::AnswerError;
use crate::pure::guard::report::{GuardFigures, GuardReport, RolloutRow};
use crate::pure::notify::event::{GivenUp, Ticket};
use crate::pure::notify::record::Outcome;
use crate::pure::notify::report::AlertsReport;
use crate::pure::notify::stats::Figures;

/// From one look at the inputs of a due slot to the next.
const LOOK: Duration = Duration::from_millis(5);
/// The longest time without a look.
const REST: Duration = Duration::from_secs(1);
/// So many groups are evaluated at a time, at least: one that is slow for the first time holds up
/// no other.
const EVALUATORS: usize = 3;
/// The deepest expression that the parser lets pass needs a part of it.
const STACK_BYTES: usize = 16 << 20;

enum Message {
    Evaluated(Box<Done>),
    Guard(guard::Event),
    Asked(String, Ask, Asker),
    Rollouts(oneshot::Sender<GuardReport>),
    Rollout(String, oneshot::Sender<Option<RolloutRow>>),
    Recorded(Option<Position>),
    Delivered(Ticket, Outcome),
    Plan(ControlPlan, Site),
    Report(oneshot::Sender<AlertsReport>),
    Stop,
}

/// What rules have come to, for whoever asks.
#[derive(Clone, Default)]
pub struct Board {
    groups: Arc<RwLock<BTreeMap<GroupKey, Arc<Shown>>>>,
    stats: Arc<Mutex<ControlStats>>,
    figures: Arc<Mutex<Figures>>,
    guard: Arc<Mutex<GuardFigures>>,
}

impl Board {
    /// All groups, by file and name.
    #[must_use]
    pub fn groups(&self) -> Vec<Arc<Shown>> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> ControlStats {
        *lock(&self.stats)
    }

    /// What was counted of notifications.
    #[must_use]
    pub fn figures(&self) -> Figures {
        lock(&self.figures).clone()
    }

    /// What was counted of rollouts and signals.
    #[must_use]
    pub fn guard(&self) -> GuardFigures {
        lock(&self.guard).clone()
    }

    fn show(&self, shown: Arc<Shown>) {
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        groups.insert(shown.key.clone(), shown);
    }

    fn hide(&self, key: &GroupKey) {
        self.groups.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// The way to the control thread; clones are the same.
#[derive(Clone)]
pub struct ControlHandle {
    messages: Sender<Message>,
}

impl ControlHandle {
    /// Goes by another configuration from now on. A thread that has ended goes by none.
    pub fn plan(&self, plan: ControlPlan, site: Site) {
        self.messages.send(Message::Plan(plan, site)).ok();
    }

    /// Tells how a delivery has ended. A thread that has ended sends it again after its start.
    pub fn delivered(&self, ended: Ended) {
        let Ended { ticket, outcome, body } = ended;
        let message = match ticket {
            Ticket::Signal { signal, attempt } => {
                let body = body.to_vec();
                Message::Guard(guard::Event::Delivered { signal, attempt, outcome, body })
            }
            ticket => Message::Delivered(ticket, outcome),
        };
        self.messages.send(message).ok();
    }

    /// Takes what a runner says; false if the thread has ended.
    #[must_use]
    pub fn heard(&self, said: HookAnswer) -> bool {
        let HookAnswer { hook, answer, reply } = said;
        let (by, ask) = (hook.to_string(), Ask::Answer { hook, answer });
        self.messages.send(Message::Asked(by, ask, Asker::Runner(reply))).is_ok()
    }

    /// Asks something of rollouts; the answer comes with the position it follows from. `None` if
    /// the thread has ended.
    pub async fn ask(&self, by: String, ask: Ask) -> Option<(Reply, Position)> {
        let (reply, answer) = oneshot::channel();
        self.messages.send(Message::Asked(by, ask, Asker::Person(reply))).ok()?;
        answer.await.ok()
    }

    /// All that is known of rollouts; `None` if the thread has ended.
    pub async fn rollouts(&self) -> Option<GuardReport> {
        let (reply, answer) = oneshot::channel();
        self.messages.send(Message::Rollouts(reply)).ok()?;
        answer.await.ok()
    }

    /// All that is known of a rollout, `None` if there is none of that name; `None` if the thread
    /// has ended.
    pub async fn rollout(&self, name: &str) -> Option<Option<RolloutRow>> {
        let (reply, answer) = oneshot::channel();
        self.messages.send(Message::Rollout(name.to_owned(), reply)).ok()?;
        answer.await.ok()
    }

    /// All that is known of alerts; `None` if the thread has ended.
    pub async fn report(&self) -> Option<AlertsReport> {
        let (reply, answer) = oneshot::channel();
        self.messages.send(Message::Report(reply)).ok()?;
        answer.await.ok()
    }

    /// Ends the thread and its evaluators.
    pub fn stop(&self) {
        self.messages.send(Message::Stop).ok();
    }
}

/// What evaluations take from the daemon.
pub struct Sources {
    /// What is read.
    pub store: Store,
    /// Where entries go.
    pub keeper: KeeperHandle,
    /// The collector's clock.
    pub clock: Clock,
    /// Bounds of one rule's expression.
    pub limits: QueryLimits,
    /// How this collector is known outside.
    pub site: Site,
    /// Where decision records go.
    pub records: PathBuf,
    /// Signals that runners are shown.
    pub signals: SignalBoard,
    /// Where deliveries go. At most one for each receiver is on its way.
    pub outgoing: UnboundedSender<Outgoing>,
}

/// One expression that is being evaluated: when it is to be stopped.
#[derive(Default)]
struct Watched {
    until: Mutex<Option<Mono>>,
    stop: AtomicBool,
}

/// Who waits for an answer.
enum Asker {
    Person(oneshot::Sender<(Reply, Position)>),
    Runner(oneshot::Sender<Result<Position, AnswerError>>),
}

/// What an evaluator does.
enum Task {
    Evaluate(Job),
    Count(CountJob),
    Keep(KeepJob),
}

/// What is to be done by each kind of evaluator.
struct Queues {
    /// Seconds of rollouts, which wait for no rule and no disk.
    guard: Sender<Task>,
    /// Decision records.
    records: Sender<Task>,
    /// Rule groups.
    groups: Sender<Task>,
    /// Rule groups that took long.
    slow: Sender<Task>,
}

/// What the threads share.
struct Shared {
    sources: Sources,
    site: RwLock<Arc<Site>>,
    /// No job is to be begun any more.
    has_ended: AtomicBool,
}

/// The control thread's own.
struct ControlThread {
    control: Control,
    shared: Arc<Shared>,
    watched: Vec<Arc<Watched>>,
    jobs: Queues,
    /// Who waits for answers, by ticket.
    asked: BTreeMap<u64, Asker>,
    next_ticket: u64,
    messages: Receiver<Message>,
    replies: Sender<Message>,
    board: Board,
    figures_due: Mono,
    _stops_all: StopOnReturn,
}

/// Starts the threads. The first join handle is the control thread's.
///
/// # Errors
/// The system refuses a thread.
pub fn start(
    control: Control,
    sources: Sources,
    stopper: &Stopper,
) -> Result<(ControlHandle, Board, Vec<JoinHandle<()>>), io::Error> {
    let (replies, messages) = channel();
    let site = RwLock::new(Arc::new(sources.site.clone()));
    let has_ended = AtomicBool::new(false);
    let shared = Arc::new(Shared { sources, site, has_ended });
    let board = Board::default();
    control.shown().for_each(|shown| board.show(shown));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (guard, for_guard) = channel();
    let (records, for_records) = channel();
    let (groups, for_groups) = channel();
    let (slow, for_slow) = channel();
    let (mut watched, mut threads) = (Vec::new(), Vec::new());
    let groups_at_once = EVALUATORS.max(cores - 1);
    let kinds = [(for_guard, 1), (for_records, 1), (for_groups, groups_at_once), (for_slow, 1)];
    for (queue, count) in kinds {
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..count {
            let evaluator = Evaluator {
                shared: Arc::clone(&shared),
                queue: Arc::clone(&queue),
                watched: Arc::default(),
                replies: replies.clone(),
            };
            watched.push(Arc::clone(&evaluator.watched));
            let stops_all = stopper.on_return();
            let builder = thread::Builder::new().name("rules".to_owned()).stack_size(STACK_BYTES);
            threads.push(builder.spawn(move || {
                let _stops_all = stops_all;
                evaluator.run();
            })?);
        }
    }
    let jobs = Queues { guard, records, groups, slow };
    let thread = ControlThread {
        control,
        shared,
        watched,
        jobs,
        asked: BTreeMap::new(),
        next_ticket: 0,
        messages,
        replies: replies.clone(),
        board: board.clone(),
        figures_due: Mono::default(),
        _stops_all: stopper.on_return(),
    };
    let builder = thread::Builder::new().name("control".to_owned());
    threads.insert(0, builder.spawn(move || thread.run())?);
    Ok((ControlHandle { messages: replies }, board, threads))
}

/// A thread that does jobs until there are no more.
struct Evaluator {
    shared: Arc<Shared>,
    queue: Arc<Mutex<Receiver<Task>>>,
    watched: Arc<Watched>,
    replies: Sender<Message>,
}

impl Evaluator {
    fn run(&self) {
        loop {
            let Ok(task) = lock(&self.queue).recv() else { return };
            let message = match task {
                Task::Evaluate(job) => match self.evaluate(job) {
                    Some(done) => Message::Evaluated(Box::new(done)),
                    None => return,
                },
                Task::Count(job) => {
                    let Sources { store, clock, .. } = &self.shared.sources;
                    let now = clock.now().wall;
                    let counted = Box::new(job.run(&store.view(now), now));
                    Message::Guard(guard::Event::Counted(counted))
                }
                Task::Keep(job) => {
                    let is_written = keep(&self.shared.sources.records, &job);
                    Message::Guard(guard::Event::Kept { job, is_written })
                }
            };
            if self.replies.send(message).is_err() {
                return;
            }
        }
    }

    /// Evaluates a group; `None` if no job is to be begun any more.
    fn evaluate(&self, job: Job) -> Option<Done> {
        let Shared { sources, site, has_ended } = &*self.shared;
        let Sources { store, clock, limits, .. } = sources;
        let begun = clock.now();
        self.watched.stop.store(false, Ordering::SeqCst);
        // Looked at after the flag is down: whoever ends the threads raises it once more.
        if has_ended.load(Ordering::SeqCst) {
            return None;
        }
        *lock(&self.watched.until) = Some(begun.mono + limits.timeout);
        let site = Arc::clone(&site.read().unwrap_or_else(PoisonError::into_inner));
        let means = Means {
            options: Options::default(),
            pool: &Serial,
            budget: Budget { samples_max: limits.samples_max, stop: &self.watched.stop },
            site: &site,
        };
        let done = job.run(&store.view(begun.wall), means, &mut || clock.now());
        *lock(&self.watched.until) = None;
        Some(done)
    }
}

impl ControlThread {
    /// Runs until told to stop, or until the keeper has ended.
    fn run(mut self) {
        let mut effects = Vec::new();
        loop {
            let message = match self.messages.recv_timeout(self.pause()) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let now = self.shared.sources.clock.now();
            match message {
                None => {}
                Some(Message::Stop) => {
                    self.shared.has_ended.store(true, Ordering::SeqCst);
                    self.watched.iter().for_each(|w| w.stop.store(true, Ordering::SeqCst));
                    return;
                }
                Some(Message::Evaluated(done)) => {
                    self.control.step(now, Event::Evaluated(done), &mut effects);
                }
                Some(Message::Recorded(position)) => {
                    self.control.step(now, Event::Recorded(position), &mut effects);
                }
                Some(Message::Delivered(ticket, outcome)) => {
                    let event = Event::Delivered { ticket, outcome };
                    self.control.step(now, event, &mut effects);
                }
                Some(Message::Plan(plan, site)) => {
                    self.shared.sources.signals.set_plan(plan.guard.hooks.clone());
                    let known = &self.shared.site;
                    *known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(site);
                    self.control.step(now, Event::Plan(plan), &mut effects);
                }
                Some(Message::Guard(event)) => {
                    self.control.step(now, Event::Guard(event), &mut effects);
                }
                Some(Message::Asked(by, ask, asker)) => {
                    self.next_ticket += 1;
                    let ticket = self.next_ticket;
                    self.asked.insert(ticket, asker);
                    let event = guard::Event::Asked { ticket, by, ask };
                    self.control.step(now, Event::Guard(event), &mut effects);
                }
                // Whoever has gone needs no report.
                Some(Message::Rollouts(reply)) => {
                    drop(reply.send(self.control.guard().report(now.wall)));
                }
                Some(Message::Rollout(name, reply)) => {
                    drop(reply.send(self.control.guard().row(&name)));
                }
                Some(Message::Report(reply)) => drop(reply.send(self.control.report(now.wall))),
            }
            let complete = self.shared.sources.store.complete_through(now.wall);
            let hosts_late = self.shared.sources.keeper.hosts_late();
            self.control.step(now, Event::Tick { complete, hosts_late }, &mut effects);
            for effect in effects.drain(..) {
                if self.perform(effect).is_none() {
                    return;
                }
            }
            *lock(&self.board.stats) = self.control.stats();
            if now.mono >= self.figures_due {
                self.figures_due = now.mono + REST;
                *lock(&self.board.figures) = self.control.figures();
                *lock(&self.board.guard) = self.control.guard().figures();
            }
            self.stop_late(now.mono);
        }
    }

    /// How long nothing is due.
    fn pause(&self) -> Duration {
        let now = self.shared.sources.clock.now().wall;
        let millis = self.control.next_wakeup().map(|next| next.millis_since(now));
        let until = millis.map_or(REST, |m| Duration::from_millis(m.max(0).unsigned_abs()));
        until.clamp(LOOK, REST)
    }

    /// Does an effect; `None` if whoever is needed has ended.
    fn perform(&mut self, effect: Effect) -> Option<()> {
        match effect {
            Effect::Evaluate(job) => {
                let queue = if job.is_slow { &self.jobs.slow } else { &self.jobs.groups };
                queue.send(Task::Evaluate(job)).ok()
            }
            Effect::Count(job) => self.jobs.guard.send(Task::Count(job)).ok(),
            Effect::Keep(job) => self.jobs.records.send(Task::Keep(job)).ok(),
            Effect::Reply { ticket, reply, after } => {
                self.answer(ticket, reply, after);
                Some(())
            }
            Effect::Signal { signal, after } => {
                let is_wanted = self.control.guard().is_wanted(signal.signal, signal.attempt);
                let outgoing = &self.shared.sources.outgoing;
                if is_wanted { outgoing.send((signal.into(), after)).ok() } else { Some(()) }
            }
            Effect::Post { signal, after } => {
                // It may be over by now.
                if self.control.guard().is_open(signal.number) {
                    self.shared.sources.signals.post(signal, after);
                }
                Some(())
            }
            Effect::Unpost(signal) => {
                self.shared.sources.signals.take_down(signal.number);
                Some(())
            }
            Effect::Record(entry) => {
                let replies = self.replies.clone();
                let reply = Box::new(move |position| {
                    // A control thread that has ended needs no reply.
                    replies.send(Message::Recorded(position)).ok();
                });
                self.shared.sources.keeper.record(entry, reply).ok()
            }
            Effect::Send { delivery, after } => {
                self.shared.sources.outgoing.send((delivery, after)).ok()
            }
            Effect::Show(shown) => {
                self.board.show(shown);
                Some(())
            }
            Effect::Hide(key) => {
                self.board.hide(&key);
                Some(())
            }
            Effect::GaveUp(GivenUp { receiver, id, reason }) => {
                let reason = reason.as_str();
                warn!(%receiver, notification = id, reason, "notification given up");
                Some(())
            }
        }
    }

    /// Answers whoever asked; who has gone needs no answer.
    fn answer(&mut self, ticket: u64, reply: Reply, after: Position) {
        match (self.asked.remove(&ticket), reply) {
            (Some(Asker::Person(asker)), reply) => {
                asker.send((reply, after)).ok();
            }
            (Some(Asker::Runner(asker)), Reply::Heard(heard)) => {
                asker.send(heard.map(|()| after)).ok();
            }
            _ => {}
        }
    }

    /// Stops expressions that have taken longer than they may.
    fn stop_late(&self, now: Mono) {
        for watched in &self.watched {
            // Held until the flag is up: the next job puts it down only after it has the lock.
            let until = lock(&watched.until);
            if until.is_some_and(|until| until <= now) {
                watched.stop.store(true, Ordering::SeqCst);
            }
        }
    }
}

/// Writes a decision record, whole or not at all; false if it cannot. One of that name that says
/// something else was written by a process that ended before its journal knew of it.
fn keep(records: &Path, job: &KeepJob) -> bool {
    let name = &job.name;
    let path = records.join(name);
    let write = || -> Result<(), DiskError> {
        let is_there =
            read_file(&RealDisk, &path, usize::MAX)?.is_some_and(|read| read == job.bytes);
        if !is_there {
            make_dir(&RealDisk, records)?;
            replace_file(&RealDisk, &path, &job.bytes)?;
        }
        Ok(())
    };
    if let Err(error) = write() {
        error!(record = name, %error, "a decision record cannot be written");
        return false;
    }
    true
}

fn lock<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
