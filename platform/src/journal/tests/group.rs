//! Group commit: what `synced` has reached is on the disk, and nothing accepted is refused later.

use std::io::ErrorKind;
use std::sync::mpsc;
use std::thread;

use super::*;
use crate::disk::SyncPoint;
use crate::journal::commit::{CommitQueue, PushError, commit_queue};

fn start(disk: &SimDisk) -> (CommitQueue, thread::JoinHandle<Result<(), JournalError>>) {
    let (queue, committer) = commit_queue(open(disk).0);
    (queue, thread::spawn(move || committer.run()))
}

fn wait(queue: &CommitQueue, position: Position) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut synced = queue.subscribe();
    runtime.block_on(async { synced.wait_for(|synced| *synced >= position).await.is_ok() })
}

#[test]
fn many_threads_push_and_everything_acknowledged_is_there() {
    let disk = SimDisk::new(1);
    let (queue, journal) = start(&disk);
    let pushers: Vec<_> = (0..4_u8)
        .map(|thread| {
            let queue = queue.clone();
            thread::spawn(move || {
                let push = |n: u8| {
                    let bytes = vec![n; usize::from(n) * 3];
                    (queue.push_parts(Class::Data, &[&[thread], &bytes]).unwrap(), bytes)
                };
                let pushed: Vec<(Position, Vec<u8>)> = (0..200).map(push).collect();
                assert!(wait(&queue, pushed.last().unwrap().0));
                (thread, pushed)
            })
        })
        .collect();
    let pushed: Vec<_> = pushers.into_iter().map(|pusher| pusher.join().unwrap()).collect();
    assert_eq!(queue.synced(), Position(800));
    disk.power_cut(5);
    let (_, _, entries) = open(&disk);
    assert_eq!(entries.len(), 800);
    for (thread, pushed) in pushed {
        assert!(pushed.windows(2).all(|two| two[0].0 < two[1].0), "in its own order");
        for (position, bytes) in pushed {
            let found = &entries[usize::try_from(position.0).unwrap() - 1];
            assert_eq!((found.1[0], &found.1[1..]), (thread, &bytes[..]));
        }
    }
    // The disk is not the journal's any more: the next group fails, and nobody is told of a sync.
    let late = queue.push(Class::Data, b"late").unwrap();
    assert!(!wait(&queue, late));
    assert!(journal.join().unwrap().is_err());
    assert_eq!(queue.push(Class::Data, b"later"), Err(PushError::Closed));
    assert!(!queue.has_room(0));
}

/// Makes every commit say that its sync has begun, and wait until it may go on.
fn hold_commits(disk: &SimDisk) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (syncing, sync_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    disk.inject(move |op| {
        if op.point == Some(SyncPoint::JournalCommit) {
            syncing.send(()).unwrap();
            may_go_on.recv().unwrap();
        }
        None
    });
    (sync_begun, go_on)
}

#[test]
fn the_next_group_gathers_while_one_syncs() {
    let disk = SimDisk::new(1);
    let (queue, journal) = start(&disk);
    let (sync_begun, go_on) = hold_commits(&disk);
    queue.push(Class::Data, b"first").unwrap();
    sync_begun.recv().unwrap();
    for _ in 0..10 {
        queue.push(Class::Data, b"next").unwrap();
    }
    assert_eq!(queue.synced(), Position(0), "nothing counts before the sync");
    go_on.send(()).unwrap();
    sync_begun.recv().unwrap();
    assert_eq!(queue.synced(), Position(1));
    go_on.send(()).unwrap();
    queue.close();
    journal.join().unwrap().unwrap();
    assert_eq!(queue.synced(), Position(11));
    assert_eq!(disk.syncs(SyncPoint::JournalCommit), 2, "ten entries shared a sync");
}

#[test]
fn a_close_writes_what_was_pushed() {
    let disk = SimDisk::new(1);
    let (queue, committer) = commit_queue(open(&disk).0);
    for n in 0..20 {
        queue.push(Class::Control, &[n]).unwrap();
    }
    queue.close();
    assert_eq!(queue.push(Class::Data, b"late"), Err(PushError::Closed));
    committer.run().unwrap();
    disk.power_cut(1);
    assert_eq!(open(&disk).2.len(), 20);
}

#[test]
fn room_counts_the_group_that_is_being_written() {
    let disk = SimDisk::new(1);
    disk.set_capacity(4096);
    let (queue, journal) = start(&disk);
    let (sync_begun, go_on) = hold_commits(&disk);
    queue.push(Class::Data, &[1; 3000]).unwrap();
    sync_begun.recv().unwrap();
    assert_eq!(queue.push(Class::Data, &[2; 3000]), Err(PushError::Full));
    assert_eq!(queue.push(Class::Data, &[3; 500]), Ok(Position(2)));
    assert_eq!(queue.push(Class::Data, &[4; 500]), Err(PushError::Full));
    go_on.send(()).unwrap();
    sync_begun.recv().unwrap();
    go_on.send(()).unwrap();
    queue.close();
    journal.join().unwrap().unwrap();
    assert_eq!(queue.synced(), Position(2));
}

#[test]
fn what_is_accepted_always_fits() {
    let disk = SimDisk::new(1);
    disk.set_capacity(4 * 4096);
    let (queue, journal) = start(&disk);
    assert_eq!(queue.push(Class::Data, &[0; 4096]), Err(PushError::TooLarge));
    let mut accepted = 0;
    loop {
        match queue.push(Class::Data, &[7; 440]) {
            Ok(_) => accepted += 1,
            Err(error) => {
                assert_eq!(error, PushError::Full);
                // In a smaller group the same entry may fit; the disk holds no more than this.
                assert!((20..=36).contains(&accepted), "{accepted}");
                break;
            }
        }
    }
    assert!(!queue.has_room(0));
    assert!(wait(&queue, Position(accepted)));
    disk.set_capacity(u64::MAX);
    queue.remove_before(Position(accepted));
    // Removal makes spares, and the push succeeds without anyone asking the disk again.
    while queue.push(Class::Data, b"x").is_err() {
        thread::yield_now();
    }
    queue.close();
    journal.join().unwrap().unwrap();
    assert_eq!(queue.synced(), Position(accepted + 1));
    assert!(queue.status().first > Position(1));
    assert_eq!(open(&disk).0.synced(), Position(accepted + 1));
}

#[test]
fn a_failed_sync_is_fatal_and_never_acknowledged() {
    let disk = SimDisk::new(1);
    let (queue, journal) = start(&disk);
    disk.inject(|op| (op.point == Some(SyncPoint::JournalCommit)).then_some(ErrorKind::Other));
    let position = queue.push(Class::Data, b"x").unwrap();
    assert!(!wait(&queue, position));
    assert!(matches!(journal.join().unwrap(), Err(JournalError::Disk(_))));
    assert_eq!(queue.synced(), Position(0));
}

/// A pusher that waits for the gathering group is woken by its write, and by the end.
#[test]
fn a_full_group_makes_pushers_wait() {
    let disk = SimDisk::new(1);
    let (queue, journal) = start(&disk);
    let pusher = {
        let queue = queue.clone();
        thread::spawn(move || {
            (0..50).try_for_each(|_| queue.push(Class::Data, &[0; 3000]).map(drop))
        })
    };
    pusher.join().unwrap().unwrap();
    assert!(wait(&queue, Position(50)));
    queue.close();
    journal.join().unwrap().unwrap();

    let (queue, committer) = commit_queue(open(&disk).0);
    queue.push(Class::Data, &[0; 3000]).unwrap();
    let waiting = {
        let queue = queue.clone();
        thread::spawn(move || queue.push(Class::Data, &[0; 3000]))
    };
    drop(committer);
    assert_eq!(waiting.join().unwrap(), Err(PushError::Closed));
}
