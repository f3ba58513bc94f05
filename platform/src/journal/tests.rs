//! The journal on a disk that forgets.

mod corruption;
mod group;
mod power;
mod space;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::{Class, Journal, JournalError, Loss, Options, Recovery};
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use bellwether_model::id::Position;

const DIR: &str = "/data/journal";

/// Segments of 4 KiB: a few entries each.
const SMALL: Options =
    Options { segment_bytes: 4096, spares: 2, loss: Loss::Refuse, held: Position(0) };

type Entries = Vec<(u64, Vec<u8>)>;

fn open_with(
    disk: &SimDisk,
    options: Options,
) -> Result<(Journal, Recovery, Entries), JournalError> {
    let mut entries = Vec::new();
    let (journal, recovery) =
        Journal::open(Arc::new(disk.clone()), Path::new(DIR), options, &mut |position, bytes| {
            entries.push((position.0, bytes.to_vec()));
            Ok(())
        })?;
    Ok((journal, recovery, entries))
}

fn open(disk: &SimDisk) -> (Journal, Recovery, Entries) {
    open_with(disk, SMALL).unwrap()
}

fn read(journal: &Journal, from: u64) -> Result<Entries, JournalError> {
    let mut entries = Vec::new();
    journal.read(Position(from), &mut |position, bytes| {
        entries.push((position.0, bytes.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(entries)
}

/// An entry that differs from every other one's.
fn entry(position: u64, len: usize) -> Vec<u8> {
    let mut bytes = format!("entry {position} ").into_bytes();
    bytes.resize(len, b'.');
    bytes
}

/// Appends, writes and syncs one batch of data entries.
fn commit(journal: &mut Journal, lens: &[usize]) -> Position {
    for len in lens {
        let bytes = entry(journal.next().0, *len);
        journal.append(Class::Data, &bytes).unwrap();
    }
    journal.write().unwrap();
    journal.sync(crate::disk::SyncPoint::JournalCommit).unwrap()
}

#[test]
fn entries_come_back_in_order_over_segments_and_restarts() {
    let disk = SimDisk::new(1);
    let (mut journal, recovery, _) = open(&disk);
    assert_eq!((recovery.first, recovery.last), (Position(1), Position(0)));
    assert_eq!(journal.segments(), []);
    for round in 0..40 {
        commit(&mut journal, &[round, 300, 0]);
    }
    assert_eq!(journal.synced(), Position(120));
    let segments = journal.segments();
    assert!(segments.len() > 4);
    assert!(segments.windows(2).all(|two| two[0].last.0 + 1 == two[1].first.0));
    let all = read(&journal, 1).unwrap();
    assert_eq!(all.len(), 120);
    assert_eq!(read(&journal, 77).unwrap(), all[76..]);
    let mut seen = 0;
    journal
        .read(Position(5), &mut |_, _| {
            seen += 1;
            if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!(seen, 3);

    drop(journal);
    disk.kill();
    let (mut journal, recovery, entries) = open(&disk);
    assert_eq!(entries, all);
    assert_eq!(recovery.last, Position(120));
    assert_eq!((recovery.entries, recovery.torn_bytes), (120, 0));
    assert_eq!(journal.segments(), segments);
    assert_eq!(commit(&mut journal, &[1]), Position(121));
}

#[test]
fn a_journal_that_ends_before_what_is_held_elsewhere_goes_on_behind_it_if_that_is_accepted() {
    let disk = SimDisk::new(3);
    let (mut journal, ..) = open(&disk);
    for _ in 0..30 {
        commit(&mut journal, &[300, 300]);
    }
    drop(journal);
    let held = |position| Options { held: Position(position), ..SMALL };
    let accept = |position| Options { loss: Loss::Accept, ..held(position) };
    disk.kill();
    let (journal, ..) = open_with(&disk, held(60)).unwrap();
    assert_eq!((journal.first(), journal.next()), (Position(1), Position(61)), "all is there");
    drop(journal);
    disk.kill();
    let before = disk.list(Path::new(DIR)).unwrap();
    let refused = open_with(&disk, held(61)).err().unwrap();
    assert!(refused.to_string().contains("--accept-loss"), "{refused}");
    let JournalError::Ended { last: Position(60), held: Position(61), .. } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(disk.list(Path::new(DIR)).unwrap(), before, "nothing is touched");
    let (journal, recovery, entries) = open_with(&disk, accept(75)).unwrap();
    assert_eq!((entries.len(), recovery.last), (60, Position(60)));
    drop(journal);
    disk.power_cut(3);
    // Where it stands is durable before the first entry.
    let (mut journal, ..) = open_with(&disk, held(75)).unwrap();
    assert_eq!((journal.first(), journal.next()), (Position(76), Position(76)));
    assert_eq!(commit(&mut journal, &[5]), Position(76));
    drop(journal);
    disk.power_cut(4);
    let (journal, recovery, entries) = open_with(&disk, held(75)).unwrap();
    assert_eq!((entries.len(), recovery.first), (1, Position(76)));
    assert_eq!(journal.next(), Position(77));
}

#[test]
fn a_roll_keeps_the_position_when_everything_else_is_removed() {
    let disk = SimDisk::new(2);
    let (mut journal, ..) = open(&disk);
    commit(&mut journal, &[10, 10]);
    journal.roll().unwrap();
    journal.roll().unwrap();
    assert_eq!(journal.segment_count(), 2);
    journal.remove_before(Position(2)).unwrap();
    assert_eq!(journal.segment_count(), 2, "position 2 is still needed");
    journal.remove_before(journal.next()).unwrap();
    assert_eq!(journal.segment_count(), 1);
    assert_eq!(journal.first(), Position(3));
    disk.power_cut(3);
    let (mut journal, recovery, entries) = open(&disk);
    assert!(entries.is_empty());
    assert_eq!((recovery.first, recovery.last), (Position(3), Position(2)));
    assert_eq!(commit(&mut journal, &[5]), Position(3));
}

#[test]
fn a_batch_that_would_outgrow_a_segment_is_written_first() {
    let disk = SimDisk::new(3);
    let (mut journal, ..) = open(&disk);
    for _ in 0..9 {
        let bytes = entry(journal.next().0, 1000);
        journal.append(Class::Data, &bytes).unwrap();
    }
    assert_eq!(journal.written(), Position(8));
    let largest = 4096 - 72;
    let refused = journal.append(Class::Data, &vec![0; largest + 1]);
    assert!(matches!(refused, Err(JournalError::TooLarge { limit: 4024, .. })));
    let position = journal.append(Class::Data, &vec![7; largest]).unwrap();
    assert_eq!(journal.write().unwrap(), position);
    assert_eq!(read(&journal, position.0).unwrap(), [(position.0, vec![7; largest])]);
}

#[test]
fn a_journal_runs_on_the_real_disk() {
    let dir = std::env::temp_dir().join(format!("bellwether-journal-{}", std::process::id()));
    let open = |count: &mut u64| {
        let disk = Arc::new(crate::disk::RealDisk);
        Journal::open(disk, &dir, SMALL, &mut |_, _| {
            *count += 1;
            Ok(())
        })
        .unwrap()
        .0
    };
    let mut count = 0;
    let mut journal = open(&mut count);
    for _ in 0..20 {
        commit(&mut journal, &[900]);
    }
    journal.remove_before(Position(9)).unwrap();
    drop(journal);
    let journal = open(&mut count);
    assert_eq!(journal.first(), Position(9));
    assert_eq!((count, journal.synced()), (12, Position(20)));
    assert_eq!(read(&journal, 20).unwrap(), [(20, entry(20, 900))]);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn options_are_checked() {
    for segment_bytes in [0, 4095, 5000, (1 << 30) + 4096] {
        let refused = open_with(&SimDisk::new(0), Options { segment_bytes, ..SMALL });
        assert!(matches!(refused, Err(JournalError::Options)));
    }
    let refused = open_with(&SimDisk::new(0), Options { spares: 0, ..SMALL });
    assert!(matches!(refused, Err(JournalError::Options)));
}
