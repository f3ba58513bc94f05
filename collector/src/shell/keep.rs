//! The keeper's thread: takes requests one by one, in the order they came, and ticks once a second.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwether_model::id::{AgentId, Position, Stream};
use bellwether_model::time::{Nanos, Timestamp};
use bellwether_platform::clock::Clock;
use bellwether_platform::journal::Class;
use bellwether_platform::journal::commit::{CommitQueue, PushError};
use bellwether_platform::listener::HeldBody;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::blocks::Blocks;
use super::release::Release;
use crate::pure::entry::ENTRY_BYTES_MAX;
use crate::pure::keeper::{
    Batch, Commanded, EntryClass, JournalClosed, Keeper, KeeperLimits, KeeperStats, Reply, Submit,
};
use crate::pure::recount::Recount;

/// Requests that wait for the keeper; their bytes are bounded by the listener's budget.
const QUEUE: usize = 4096;
const TICK: Duration = Duration::from_secs(1);
/// A host as `host list` shows it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct HostRow {
    /// The agent's id.
    pub agent: String,
    /// The label `job`.
    pub job: String,
    /// The label `instance`.
    pub instance: String,
    /// `up`, `down`, `gone`, `draining` while a drained host lives, `drained` once it does not.
    pub state: String,
    /// Complete through this time, in ms.
    pub mark_ms: i64,
    /// How far the mark is behind the collector's clock, in ms.
    pub lag_ms: i64,
    /// The last applied frame.
    pub applied: String,
    /// What was taken from it; all zero from a collector that does not count.
    #[serde(default)]
    pub counts: HostCounts,
}

/// What a collector has taken from one agent since its session began.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct HostCounts {
    /// Frames applied.
    pub frames: u64,
    /// Samples in them.
    pub samples: u64,
    /// Of these, in the store.
    pub stored: u64,
    /// Of these, of columns that were refused.
    pub unplaced: u64,
    /// Of these, not newer than the last row of their group.
    pub out_of_order: u64,
    /// Of these, stamped too far ahead of their arrival.
    pub ahead: u64,
    /// Frames that had been applied before.
    pub duplicates: u64,
    /// Frames declared as never to come, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Columns refused, each time they were described, by reason.
    pub columns_refused: BTreeMap<String, u64>,
}

impl From<&Recount> for HostCounts {
    fn from(count: &Recount) -> HostCounts {
        let named = |(name, count): (&str, u64)| (count > 0).then(|| (name.to_owned(), count));
        HostCounts {
            frames: count.frames,
            samples: count.samples,
            stored: count.stored,
            unplaced: count.unplaced,
            out_of_order: count.out_of_order,
            ahead: count.ahead,
            duplicates: count.duplicates,
            skipped: count.skipped().filter_map(|(r, n)| named((r.as_str(), n))).collect(),
            columns_refused: count.refused().filter_map(|(r, n)| named((r.as_str(), n))).collect(),
        }
    }
}

/// What others may ask of the keeper.
enum Job {
    Push { body: HeldBody, received: Nanos, reply: oneshot::Sender<Reply> },
    Hosts(oneshot::Sender<Vec<HostRow>>),
    Forget { agent: AgentId, reply: oneshot::Sender<Commanded> },
    Drain { agent: AgentId, on: bool, reply: oneshot::Sender<Commanded> },
    Limits(KeeperLimits),
    Record { entry: Vec<u8>, reply: RecordReply },
    Stop,
}

/// Is told the position of an entry, or that the journal had no room for it.
pub type RecordReply = Box<dyn FnOnce(Option<Position>) + Send>;

/// The keeper did not take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// Its queue is full.
    #[error("too many requests are waiting")]
    Full,
    /// It has ended.
    #[error("the collector is stopping")]
    Ended,
}

/// The way to the keeper; clones are the same.
#[derive(Clone)]
pub struct KeeperHandle {
    jobs: SyncSender<Job>,
    stats: Arc<Mutex<(KeeperStats, usize)>>,
    release: Release,
}

impl KeeperHandle {
    fn send(&self, job: Job) -> Result<(), KeepError> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => KeepError::Full,
            TrySendError::Disconnected(_) => KeepError::Ended,
        })
    }

    /// Has a request judged. Its reply comes once its position is durable: an answer may say
    /// nothing that a crash could take back.
    ///
    /// # Errors
    /// The queue is full, or the keeper or the journal has ended.
    pub async fn push(&self, body: HeldBody, received: Nanos) -> Result<Reply, KeepError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Push { body, received, reply })?;
        answer.await.map_err(|_| KeepError::Ended)
    }

    /// All hosts, by agent.
    ///
    /// # Errors
    /// As [`KeeperHandle::push`].
    pub async fn hosts(&self) -> Result<Vec<HostRow>, KeepError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Hosts(reply))?;
        answer.await.map_err(|_| KeepError::Ended)
    }

    /// Forgets a host.
    ///
    /// # Errors
    /// As [`KeeperHandle::push`].
    pub async fn forget(&self, agent: AgentId) -> Result<Commanded, KeepError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Forget { agent, reply })?;
        answer.await.map_err(|_| KeepError::Ended)
    }

    /// Has a host drained, or takes that back.
    ///
    /// # Errors
    /// As [`KeeperHandle::push`].
    pub async fn drain(&self, agent: AgentId, on: bool) -> Result<Commanded, KeepError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Drain { agent, on, reply })?;
        answer.await.map_err(|_| KeepError::Ended)
    }

    /// Has an entry of the control machine journalled and applied. Waits while the queue is full:
    /// the control thread has nothing to do that the keeper is not to know first.
    ///
    /// # Errors
    /// The keeper has ended.
    pub fn record(&self, entry: Vec<u8>, reply: RecordReply) -> Result<(), KeepError> {
        self.jobs.send(Job::Record { entry, reply }).map_err(|_| KeepError::Ended)
    }

    /// Has other limits kept from now on.
    ///
    /// # Errors
    /// As [`KeeperHandle::push`].
    pub fn set_limits(&self, limits: KeeperLimits) -> Result<(), KeepError> {
        self.send(Job::Limits(limits))
    }

    /// Sends the replies of [`KeeperHandle::push`]; to be run for as long as requests come.
    pub async fn release(&self) {
        self.release.run().await;
    }

    /// What the keeper counted, as of its last tick, and the number of its sessions.
    #[must_use]
    pub fn stats(&self) -> (KeeperStats, usize) {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether hosts that lived are not current, as of the keeper's last tick.
    #[must_use]
    pub fn hosts_late(&self) -> bool {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).0.hosts_late > 0
    }

    /// Ends the thread after what is queued. A keeper that has ended already needs no telling.
    pub fn stop(&self) {
        self.jobs.send(Job::Stop).ok();
    }
}

/// The keeper with its thread's tools.
pub struct KeeperThread {
    keeper: Keeper,
    clock: Clock,
    queue: CommitQueue,
    jobs: Receiver<Job>,
    stats: Arc<Mutex<(KeeperStats, usize)>>,
    release: Release,
    blocks: Blocks,
    doubted: bool,
}

/// Makes the thread's two ends.
#[must_use]
pub fn keeper_thread(
    keeper: Keeper,
    clock: Clock,
    queue: CommitQueue,
    blocks: Blocks,
) -> (KeeperHandle, KeeperThread) {
    let (sender, jobs) = sync_channel(QUEUE);
    let stats = Arc::new(Mutex::new((keeper.stats().clone(), keeper.sessions())));
    let release = Release::new(queue.clone());
    let handle = KeeperHandle { jobs: sender, stats: Arc::clone(&stats), release: release.clone() };
    (handle, KeeperThread { keeper, clock, queue, jobs, stats, release, blocks, doubted: false })
}

/// Pushes into the journal's queue and counts the bytes.
struct Counted<'a> {
    queue: &'a CommitQueue,
    bytes: &'a mut u64,
}

impl Batch for Counted<'_> {
    fn has_room(&self, bytes: usize) -> bool {
        bytes <= ENTRY_BYTES_MAX && self.queue.has_room(bytes)
    }

    fn push(&mut self, class: EntryClass, entry: &[u8]) -> Result<Position, JournalClosed> {
        let class = match class {
            EntryClass::Data => Class::Data,
            EntryClass::Control => Class::Control,
        };
        *self.bytes += entry.len() as u64;
        self.queue.push(class, entry).map_err(|error: PushError| {
            error!(%error, "the journal takes no entry");
            JournalClosed
        })
    }
}

impl KeeperThread {
    /// Runs until told to stop, or until the journal has failed: then nothing more is answered.
    ///
    /// # Errors
    /// The journal has failed.
    pub fn run(mut self) -> Result<(), JournalClosed> {
        let mut next = self.clock.now().mono;
        loop {
            let now = self.clock.now();
            if now.mono >= next {
                self.tick()?;
                next = now.mono + TICK;
            }
            let job = match self.jobs.recv_timeout(next.since(now.mono)) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            if self.job(job)?.is_none() {
                return Ok(());
            }
        }
    }

    /// Does one job; `None` if it was the last. A caller who has gone needs no reply.
    fn job(&mut self, job: Job) -> Result<Option<()>, JournalClosed> {
        let now = self.clock.now();
        let mut batch = Counted { queue: &self.queue, bytes: self.blocks.bytes() };
        match job {
            Job::Push { body, received, reply } => {
                let submit = Submit { body: &body, received };
                self.release.put(self.keeper.admit(now, submit, &mut batch)?, reply);
            }
            Job::Hosts(reply) => {
                reply.send(self.hosts(now.wall)).ok();
            }
            Job::Forget { agent, reply } => {
                reply.send(self.keeper.forget(now, agent, &mut batch)?).ok();
            }
            Job::Drain { agent, on, reply } => {
                reply.send(self.keeper.drain(now, agent, on, &mut batch)?).ok();
            }
            Job::Limits(limits) => self.keeper.set_limits(limits),
            Job::Record { entry, reply } => reply(self.keeper.record(&entry, &mut batch)?),
            Job::Stop => return Ok(None),
        }
        Ok(Some(()))
    }

    fn tick(&mut self) -> Result<(), JournalClosed> {
        let now = self.clock.now();
        let mut batch = Counted { queue: &self.queue, bytes: self.blocks.bytes() };
        self.keeper.tick(now, &mut batch)?;
        if self.keeper.is_new() && self.keeper.snapshot(now, &mut batch)?.is_none() {
            warn!("no room in the journal for the store's id");
        }
        let cut = self.blocks.tick(now, &mut self.keeper, self.queue.synced());
        if let Some(position) = cut.map_err(|_| JournalClosed)? {
            self.queue.remove_before(Position(position.0 + 1));
        }
        for (agent, damage) in self.keeper.take_damages() {
            error!(
                agent = agent.map(|agent| agent.to_string()),
                from_ms = damage.from.0,
                until_ms = damage.until.0,
                file = damage.file,
                offset = damage.offset,
                what = damage.what,
                "samples in a chunk file are damaged and missing"
            );
        }
        self.tell_doubt();
        let stats = (self.keeper.stats().clone(), self.keeper.sessions());
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
        Ok(())
    }

    /// Says when the date is doubted, and when it is not any more.
    fn tell_doubt(&mut self) {
        let doubted = self.keeper.stats().date_doubted;
        if doubted != std::mem::replace(&mut self.doubted, doubted) {
            if doubted {
                warn!(
                    "the date is over an hour ahead of what it was: no sample expires by it for \
                       a day; if it is wrong, set it right and start the collector again"
                );
            } else {
                info!("samples expire by the date again");
            }
        }
    }

    fn hosts(&self, now: Timestamp) -> Vec<HostRow> {
        let presence = self.keeper.presence();
        let hosts = presence.hosts().map(|(agent, host)| {
            let draining = presence.is_draining(agent);
            let state = match (host.gone(), host.lives(now), draining) {
                (false, true, false) => "up",
                (false, true, true) => "draining",
                (_, _, true) => "drained",
                (true, ..) => "gone",
                (false, false, false) => "down",
            };
            self.row(now, agent, (host.job(), host.instance()), (state, host.mark()))
        });
        let ended = presence.draining().filter(|host| !presence.knows(host.agent));
        let ended = ended.map(|host| {
            self.row(now, host.agent, (&host.job, &host.instance), ("drained", host.at))
        });
        let mut rows: Vec<HostRow> = hosts.chain(ended).collect();
        rows.sort_by(|one, other| one.agent.cmp(&other.agent));
        rows
    }

    fn row(
        &self,
        now: Timestamp,
        agent: AgentId,
        (job, instance): (&str, &str),
        (state, mark): (&str, Timestamp),
    ) -> HostRow {
        let session = self.keeper.session(agent, Stream::Metrics);
        let recount = self.keeper.recount(agent, Stream::Metrics);
        HostRow {
            agent: agent.to_string(),
            job: job.to_owned(),
            instance: instance.to_owned(),
            state: state.to_owned(),
            mark_ms: mark.0,
            lag_ms: now.millis_since(mark),
            applied: session.map_or_else(String::new, |session| session.applied().to_string()),
            counts: recount.map_or_else(HostCounts::default, HostCounts::from),
        }
    }
}
