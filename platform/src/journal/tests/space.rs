//! Full disks, failing syncs, and what a journal takes of the disk.

use std::io::ErrorKind;

use super::*;
use crate::disk::{Disk, SyncPoint};

#[test]
fn a_full_disk_is_told_before_anything_is_accepted() {
    let disk = SimDisk::new(1);
    disk.set_capacity(4 * 4096);
    let (mut journal, ..) = open(&disk);
    let mut accepted = 0;
    while journal.has_room(440) {
        commit(&mut journal, &[440]);
        accepted += 1;
        if let Err(error) = journal.prepare_spares() {
            assert!(error.is_full());
        }
        assert!(accepted <= 32);
    }
    assert_eq!(accepted, 32);
    assert_eq!(journal.bytes(), 4 * 4096);
    assert_eq!(disk.free_bytes(Path::new(DIR)).unwrap(), 0);

    let position = journal.append(Class::Data, &[1; 440]).unwrap();
    assert!(matches!(journal.write(), Err(JournalError::Full { .. })));
    assert!(journal.roll().unwrap_err().is_full());
    journal.remove_before(Position(10)).unwrap();
    assert!(journal.has_room(440));
    assert_eq!(journal.write().unwrap(), position, "nothing was lost by the refusal");
    assert_eq!(read(&journal, 9).unwrap().len(), 25);
}

#[test]
fn a_full_disk_is_no_reason_not_to_start() {
    let disk = SimDisk::new(1);
    disk.set_capacity(1000);
    let (mut journal, ..) = open(&disk);
    assert!(!journal.has_room(1));
    journal.append(Class::Data, b"x").unwrap();
    assert!(journal.write().unwrap_err().is_full());
    disk.set_capacity(10_000);
    assert_eq!(journal.write().unwrap(), Position(1));
    assert_eq!(disk.content(&Path::new(DIR).join("0000000000000001.journal")).unwrap().len(), 4096);
}

#[test]
fn spares_are_ready_before_they_are_needed_and_come_back() {
    let disk = SimDisk::new(1);
    let (mut journal, ..) = open(&disk);
    let names = || disk.list(Path::new(DIR)).unwrap();
    assert_eq!(names(), ["spare-0", "spare-1"]);
    commit(&mut journal, &[10]);
    assert_eq!(names(), ["0000000000000001.journal", "spare-0"]);
    journal.prepare_spares().unwrap();
    for _ in 0..2 {
        journal.roll().unwrap();
        commit(&mut journal, &[10]);
    }
    journal.remove_before(Position(3)).unwrap();
    assert_eq!(names(), ["0000000000000003.journal", "spare-0", "spare-1"]);
    assert_eq!(disk.syncs(SyncPoint::JournalRemove), 2);
}

#[test]
fn a_segment_that_ends_early_gives_its_space_back() {
    let disk = SimDisk::new(1);
    let options = Options { segment_bytes: 64 << 10, ..SMALL };
    let (mut journal, ..) = open_with(&disk, options).unwrap();
    commit(&mut journal, &[5000]);
    journal.roll().unwrap();
    commit(&mut journal, &[50_000]);
    journal.roll().unwrap();
    let len = |name: &str| disk.content(&Path::new(DIR).join(name)).unwrap().len();
    assert_eq!(len("0000000000000001.journal"), 8192);
    assert_eq!(len("0000000000000002.journal"), 64 << 10, "worth more as a spare");
    assert_eq!(journal.bytes(), 8192 + 2 * (64 << 10) + journal.spares.len() as u64 * (64 << 10));
    commit(&mut journal, &[10]);
    disk.power_cut(1);
    assert_eq!(open_with(&disk, options).unwrap().2.len(), 3);
}

#[test]
fn a_failed_write_or_sync_ends_the_journal() {
    let failures: [fn(&str, Option<SyncPoint>) -> bool; 3] = [
        |kind, _| kind == "write",
        |_, point| point == Some(SyncPoint::JournalCommit),
        |_, point| point == Some(SyncPoint::JournalSegment),
    ];
    for fails in failures {
        let disk = SimDisk::new(1);
        let (mut journal, ..) = open(&disk);
        journal.append(Class::Data, b"x").unwrap();
        disk.inject(move |op| fails(op.kind, op.point).then_some(ErrorKind::Other));
        let result =
            journal.write().and_then(|_| journal.sync(SyncPoint::JournalCommit)).unwrap_err();
        assert!(matches!(result, JournalError::Disk(_)), "{result}");
        disk.heal();
        let dead = |result| matches!(result, Err(JournalError::Poisoned { .. }));
        assert!(dead(journal.append(Class::Data, b"x").map(drop)));
        assert!(dead(journal.write().map(drop)));
        assert!(dead(journal.sync(SyncPoint::JournalCommit).map(drop)));
        assert!(dead(journal.roll()));
        assert!(dead(journal.prepare_spares()));
        assert!(dead(journal.remove_before(Position(1))));
        assert_eq!(journal.synced(), Position(0));
    }
}

#[test]
fn rolls_without_a_sync_are_bounded() {
    let disk = SimDisk::new(1);
    let (mut journal, ..) = open(&disk);
    for _ in 0..30 {
        journal.append(Class::Data, &[0; 3000]).unwrap();
        journal.write().unwrap();
        assert!(journal.unsynced.len() <= 8);
    }
    assert!(journal.synced() > Position(15));
    journal.remove_before(Position(30)).unwrap();
    assert!(journal.unsynced.is_empty());
}

#[test]
fn an_entry_that_the_reader_refuses_refuses_the_start() {
    let disk = SimDisk::new(1);
    let (mut journal, ..) = open(&disk);
    commit(&mut journal, &[10, 10]);
    let refused = Journal::open(Arc::new(disk), Path::new(DIR), SMALL, &mut |position, _| {
        if position.0 == 2 { Err("unknown kind".into()) } else { Ok(()) }
    });
    let error = refused.err().unwrap().to_string();
    assert_eq!(error, "entry 2 of the journal in /data/journal: unknown kind");
}
