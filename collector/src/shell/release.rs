//! Replies that wait for the disk. The keeper lays them here; each goes out once its position is
//! durable. One task waits for all of them, so that neither the keeper nor the journal's thread has
//! to wake every connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bellwether_model::id::Position;
use bellwether_platform::journal::commit::CommitQueue;
use tokio::sync::{Notify, oneshot};

use crate::pure::keeper::Reply;

/// The way out for replies; clones are the same.
#[derive(Clone)]
pub struct Release {
    queue: CommitQueue,
    waiting: Arc<Mutex<Waiting>>,
    /// A reply was laid here whose position is durable already.
    due: Arc<Notify>,
}

#[derive(Default)]
struct Waiting {
    /// No more than the keeper has requests under way.
    replies: Vec<(Reply, oneshot::Sender<Reply>)>,
    /// The journal has ended: nothing becomes durable any more.
    closed: bool,
}

impl Release {
    /// Nothing waits yet.
    #[must_use]
    pub fn new(queue: CommitQueue) -> Release {
        Release { queue, waiting: Arc::default(), due: Arc::default() }
    }

    fn locked(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a reply once its position is durable; drops it if the journal ends before.
    pub fn put(&self, reply: Reply, to: oneshot::Sender<Reply>) {
        let position = reply.release;
        let mut waiting = self.locked();
        if waiting.closed {
            return;
        }
        waiting.replies.push((reply, to));
        drop(waiting);
        // A sync that has ended before did not find it; one that ends from now on will.
        if self.queue.synced() >= position {
            self.due.notify_one();
        }
    }

    /// Sends replies as they become due, until the journal has ended.
    pub async fn run(&self) {
        let mut durable = self.queue.subscribe();
        loop {
            let synced = *durable.borrow_and_update();
            self.send(synced);
            tokio::select! {
                changed = durable.changed() => if changed.is_err() {
                    break;
                },
                () = self.due.notified() => {}
            }
        }
        self.send(self.queue.synced());
        let mut waiting = self.locked();
        waiting.closed = true;
        waiting.replies.clear();
    }

    fn send(&self, synced: Position) {
        let mut waiting = self.locked();
        let due = waiting.replies.extract_if(.., |(reply, _)| reply.release <= synced);
        // A caller who has gone needs no reply.
        due.for_each(|(reply, to)| drop(to.send(reply)));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bellwether_model::id::StoreId;
    use bellwether_model::wire::answer::{Answer, Case};
    use bellwether_platform::disk::sim::SimDisk;
    use bellwether_platform::journal::commit::{Committer, commit_queue};
    use bellwether_platform::journal::{Class, Journal, Options};
    use oneshot::error::TryRecvError;
    use tokio::task::yield_now;

    use super::*;

    fn journal() -> (CommitQueue, Committer) {
        let (disk, options) = (Arc::new(SimDisk::new(1)), Options::default());
        let opened = Journal::open(disk, Path::new("/journal"), options, &mut |_, _| Ok(()));
        commit_queue(opened.unwrap().0)
    }

    fn put(release: &Release, position: Position) -> oneshot::Receiver<Reply> {
        let (to, reply) = oneshot::channel();
        let answer = Answer::new(Case::Applied, StoreId::default());
        release.put(Reply { answer, release: position }, to);
        reply
    }

    async fn ready(reply: &mut oneshot::Receiver<Reply>) -> Result<Position, TryRecvError> {
        // Once to begin, once for what was notified.
        yield_now().await;
        yield_now().await;
        reply.try_recv().map(|reply| reply.release)
    }

    fn block_on(test: impl Future) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
    }

    #[test]
    fn a_reply_waits_for_its_own_sync() {
        block_on(async {
            let (queue, committer) = journal();
            let release = Release::new(queue.clone());
            let running = tokio::spawn({
                let release = release.clone();
                async move { release.run().await }
            });
            let position = queue.push(Class::Data, b"one").unwrap();
            let mut held = put(&release, position);
            let mut due = put(&release, Position(0));
            assert_eq!(ready(&mut due).await, Ok(Position(0)), "nothing to wait for");
            assert_eq!(ready(&mut held).await, Err(TryRecvError::Empty));
            drop(put(&release, position));
            queue.close();
            committer.run().unwrap();
            let mut late = put(&release, position);
            assert_eq!(held.await.unwrap().release, position);
            assert_eq!(ready(&mut late).await, Ok(position), "its sync was before it");
            running.await.unwrap();
        });
    }

    #[test]
    fn what_never_becomes_durable_is_not_answered() {
        block_on(async {
            let (queue, committer) = journal();
            let release = Release::new(queue.clone());
            let position = queue.push(Class::Data, b"one").unwrap();
            let held = put(&release, position);
            drop(committer);
            release.run().await;
            assert!(held.await.is_err());
            assert!(put(&release, position).await.is_err());
        });
    }
}
