//! Damage: what is lost is named, what is not is kept, and a torn tail is told from both.

use std::path::PathBuf;

use super::*;
use crate::disk::sim::SplitMix;
use crate::disk::{Disk, SyncPoint};
use crate::journal::segment_path;

/// Batches of 512 bytes, eight to a segment, each synced; so each claims the one before.
fn filled(batches: u64) -> (SimDisk, Journal) {
    let disk = SimDisk::new(7);
    let (mut journal, ..) = open(&disk);
    for _ in 0..batches {
        commit(&mut journal, &[440]);
    }
    (disk, journal)
}

fn segment(number: u64) -> PathBuf {
    segment_path(Path::new(DIR), number)
}

fn positions(entries: &Entries) -> Vec<u64> {
    entries.iter().map(|(position, _)| *position).collect()
}

fn lost(recovery: &Recovery) -> Vec<(u64, u64, u64, u64)> {
    let tuple =
        |lost: &super::super::LostRange| (lost.first.0, lost.last.0, lost.segment, lost.offset);
    recovery.lost.iter().map(tuple).collect()
}

#[test]
fn a_flipped_bit_takes_its_own_entry_and_no_other() {
    let bad_at = |offset: u64| {
        let (disk, journal) = filled(20);
        disk.corrupt(&segment(9), offset);
        let (_, recovery, entries) = open(&disk);
        assert!(entries.iter().all(|(position, bytes)| *bytes == entry(*position, 440)));
        assert_eq!(recovery.lost_entries, 20 - entries.len() as u64);
        assert_eq!(read(&journal, 1).unwrap(), entries, "reading passes over it too");
        (lost(&recovery), positions(&entries))
    };
    let without = |gone: &[u64]| (1..=20).filter(|p| !gone.contains(p)).collect::<Vec<_>>();
    assert_eq!(bad_at(3 * 512 + 100), (vec![(12, 12, 9, 3 * 512)], without(&[12])), "bytes");
    assert_eq!(bad_at(3 * 512 + 64), (vec![(12, 12, 9, 3 * 512)], without(&[12])), "length");
    assert_eq!(bad_at(3 * 512 + 9), (vec![(12, 12, 9, 3 * 512)], without(&[12])), "header");
    assert_eq!(bad_at(1), (vec![(9, 9, 9, 0)], without(&[9])), "the first of a segment");
    assert_eq!(bad_at(7 * 512 + 9), (vec![(16, 16, 9, 7 * 512)], without(&[16])), "the last");
}

#[test]
fn one_entry_of_a_group_is_lost_alone_unless_lengths_are_gone() {
    let damaged = |offset: u64| {
        let disk = SimDisk::new(7);
        let (mut journal, ..) = open(&disk);
        commit(&mut journal, &[20]);
        commit(&mut journal, &[32, 32, 32, 32]);
        commit(&mut journal, &[20]);
        disk.corrupt(&segment(1), offset);
        let (_, recovery, entries) = open(&disk);
        (lost(&recovery), positions(&entries))
    };
    let batch = 128;
    assert_eq!(damaged(batch + 64 + 40 + 10), (vec![(3, 3, 1, batch)], vec![1, 2, 4, 5, 6]));
    assert_eq!(damaged(batch + 64 + 40 + 1), (vec![(3, 5, 1, batch)], vec![1, 2, 6]));
}

#[test]
fn zeroed_pages_and_a_missing_segment_are_named() {
    let (disk, _) = filled(30);
    disk.alter(&segment(1), |bytes| bytes[1024..2048].fill(0));
    let (journal, recovery, entries) = open(&disk);
    assert_eq!(lost(&recovery), [(3, 4, 1, 1024)]);
    assert_eq!(entries.len(), 28);
    drop(journal);

    disk.remove(&segment(9)).unwrap();
    let (mut journal, recovery, entries) = open(&disk);
    assert_eq!(lost(&recovery), [(3, 4, 1, 1024), (9, 16, 1, 4096)]);
    assert_eq!(positions(&entries)[5..7], [8, 17]);
    assert_eq!(commit(&mut journal, &[440]), Position(31));

    disk.alter(&segment(1), |bytes| bytes.fill(0));
    let (_, recovery, entries) = open(&disk);
    assert_eq!(lost(&recovery), [(1, 16, 1, 0)]);
    assert_eq!(positions(&entries), (17..=31).collect::<Vec<_>>());
}

#[test]
fn damage_that_no_later_batch_claims_is_a_torn_tail() {
    for offset in [9, 100] {
        let (disk, _) = filled(20);
        disk.corrupt(&segment(17), 3 * 512 + offset);
        let (mut journal, recovery, entries) = open(&disk);
        assert_eq!((recovery.lost.len(), recovery.last), (0, Position(19)));
        assert_eq!(positions(&entries), (1..=19).collect::<Vec<_>>());
        assert_eq!(commit(&mut journal, &[440]), Position(20));
    }
}

/// Two unsynced batches, the first torn: the second must not follow a new batch of the same size.
#[test]
fn a_batch_behind_the_cut_does_not_come_back() {
    let (disk, mut journal) = filled(1);
    for text in [b"lost a", b"lost b"] {
        let mut bytes = entry(0, 440);
        bytes[..6].copy_from_slice(text);
        journal.append(Class::Data, &bytes).unwrap();
        journal.write().unwrap();
    }
    disk.corrupt(&segment(1), 512 + 100);
    let (mut journal, recovery, _) = open(&disk);
    assert_eq!((recovery.last, recovery.torn_bytes), (Position(1), 1024));
    assert_eq!(disk.syncs(SyncPoint::JournalTruncate), 1);
    commit(&mut journal, &[440]);
    let (_, recovery, entries) = open(&disk);
    assert_eq!((recovery.last, recovery.torn_bytes), (Position(2), 0));
    assert_eq!(entries, [(1, entry(1, 440)), (2, entry(2, 440))]);
}

/// Corruption and a torn tail in one journal.
#[test]
fn damage_before_and_behind_the_last_claim() {
    let (disk, _) = filled(20);
    disk.corrupt(&segment(1), 2 * 512 + 20);
    disk.corrupt(&segment(17), 3 * 512 + 20);
    let (_, recovery, entries) = open(&disk);
    assert_eq!((lost(&recovery), recovery.last), (vec![(3, 3, 1, 1024)], Position(19)));
    assert_eq!(entries.len(), 18);
}

/// A journal with a control entry at 5 and data around it, ten batches in all.
fn with_control() -> SimDisk {
    let disk = SimDisk::new(8);
    let (mut journal, ..) = open(&disk);
    for position in 1..=10 {
        let class = if position == 5 { Class::Control } else { Class::Data };
        journal.append(class, &entry(position, 440)).unwrap();
        journal.write().unwrap();
        journal.sync(SyncPoint::JournalCommit).unwrap();
    }
    disk
}

#[test]
fn a_lost_control_entry_refuses_the_start() {
    for damage in [4 * 512 + 9, 4 * 512 + 64, 4 * 512 + 100] {
        let disk = with_control();
        disk.corrupt(&segment(1), damage);
        let before = disk.content(&segment(1));
        let Err(error) = open_with(&disk, SMALL) else { panic!("opened without entry 5") };
        let text = error.to_string();
        assert!(text.contains("entries 5 to 5") && text.contains("--accept-loss"), "{text}");
        assert_eq!(disk.content(&segment(1)), before);

        let accept = Options { loss: Loss::Accept, ..SMALL };
        let (mut journal, recovery, entries) = open_with(&disk, accept).unwrap();
        assert_eq!((entries.len(), recovery.lost.len()), (9, 1));
        assert!(recovery.lost[0].control);
        commit(&mut journal, &[10]);
        drop(journal);
        let (_, recovery, _) = open(&disk);
        assert_eq!(recovery.lost.len(), 1, "still reported, but accepted");

        disk.corrupt(&segment(1), 5 * 512 + 100);
        assert_eq!(open(&disk).1.lost_entries, 2, "data beside it");
    }
}

/// The only claim on a lost control entry is that of a batch which is itself torn or cut short.
#[test]
fn a_torn_batch_still_tells_of_a_lost_control_entry() {
    for cut_short in [false, true] {
        for damage in [512 + 9, 512 + 100] {
            let disk = SimDisk::new(8);
            let (mut journal, ..) = open(&disk);
            commit(&mut journal, &[440]);
            journal.append(Class::Control, &entry(2, 440)).unwrap();
            journal.write().unwrap();
            journal.sync(SyncPoint::JournalCommit).unwrap();
            journal.append(Class::Data, &entry(3, 440)).unwrap();
            journal.write().unwrap();
            disk.corrupt(&segment(1), damage);
            if cut_short {
                disk.alter(&segment(1), |bytes| bytes.truncate(1024 + 100));
            } else {
                disk.corrupt(&segment(1), 1024 + 100);
            }
            let refused = open_with(&disk, SMALL).err();
            assert!(matches!(refused, Some(JournalError::ControlLost { .. })), "{refused:?}");
            let accept = Options { loss: Loss::Accept, ..SMALL };
            let (mut journal, recovery, entries) = open_with(&disk, accept).unwrap();
            assert_eq!((positions(&entries), recovery.last), (vec![1], Position(2)));
            assert_eq!(commit(&mut journal, &[10]), Position(3));
        }
    }
}

#[test]
fn lost_data_beside_a_control_entry_does_not_refuse() {
    for batch in [3, 5] {
        for damage in [9, 100] {
            let disk = with_control();
            disk.corrupt(&segment(1), batch * 512 + damage);
            let (_, recovery, entries) = open(&disk);
            assert_eq!((entries.len(), recovery.lost[0].control), (9, false));
        }
    }
}

#[test]
fn a_control_entry_among_others_of_its_batch_is_noticed() {
    let disk = SimDisk::new(9);
    let (mut journal, ..) = open(&disk);
    for class in [Class::Data, Class::Control, Class::Data, Class::Control] {
        journal.append(class, &[1; 32]).unwrap();
    }
    journal.write().unwrap();
    journal.sync(SyncPoint::JournalCommit).unwrap();
    commit(&mut journal, &[10]);
    let kept = disk.content(&segment(1)).unwrap();
    for (at, control) in [(0, false), (1, true), (2, false), (3, true)] {
        disk.alter(&segment(1), |bytes| bytes.clone_from(&kept));
        disk.corrupt(&segment(1), 64 + at * 40 + 20);
        let refused = open_with(&disk, SMALL).err();
        let matched = matches!(refused, Some(JournalError::ControlLost { .. }));
        assert_eq!(matched, control, "entry {at}: {refused:?}");
    }
}

#[test]
fn a_later_format_is_refused_in_words() {
    let (disk, _) = filled(2);
    disk.alter(&segment(1), |bytes| {
        bytes[4] = 2;
        let seed = crc32c::crc32c(&1_u64.to_le_bytes());
        let crc = crc32c::crc32c_append(seed, &bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    });
    let error = open_with(&disk, SMALL).err().unwrap().to_string();
    assert!(error.contains("journal format 2 is newer"), "{error}");
}

/// A segment's remains in a recycled spare have another seed, so that even the right positions at
/// the right places would not do.
#[test]
fn the_remains_of_an_older_segment_are_not_data() {
    let (disk, mut journal) = filled(8);
    let old = disk.content(&segment(1)).unwrap();
    commit(&mut journal, &[440]);
    disk.alter(&segment(9), |bytes| bytes[512..].copy_from_slice(&old[512..]));
    let (_, recovery, entries) = open(&disk);
    assert_eq!((entries.len(), recovery.torn_bytes), (9, 0));

    let disk = SimDisk::new(10);
    let (mut journal, ..) = open(&disk);
    for _ in 0..60 {
        let position = commit(&mut journal, &[440]);
        journal.remove_before(position).unwrap();
    }
    commit(&mut journal, &[440]);
    let live = journal.segments().last().unwrap().number;
    let content = disk.content(&segment(live)).unwrap();
    let first = journal.first().0;
    assert!(content[2048..].windows(4).any(|four| four == b"BWJL"), "a recycled segment");
    let (_, recovery, entries) = open(&disk);
    assert_eq!((recovery.torn_bytes, recovery.lost_entries), (0, 0));
    assert_eq!(positions(&entries), (first..=61).collect::<Vec<_>>());
}

/// Random damage anywhere: it opens or refuses, gives nothing that was not written, names every
/// synced entry that it does not give, and goes on.
#[test]
fn random_damage_is_survived_and_told() {
    for seed in 0..300 {
        let mut random = SplitMix(seed);
        let disk = SimDisk::new(seed);
        let (mut journal, ..) = open(&disk);
        for _ in 0..20 {
            let lens: Vec<usize> = (0..=random.below(4))
                .map(|_| usize::try_from(random.below(400)).unwrap())
                .collect();
            commit(&mut journal, &lens);
        }
        let written = read(&journal, 1).unwrap();
        let segments = journal.segments();
        for _ in 0..=random.below(6) {
            let hit = &segments[usize::try_from(random.below(segments.len() as u64)).unwrap()];
            let from = usize::try_from(random.below(4096)).unwrap();
            let len = usize::try_from(1 + random.below(600)).unwrap().min(4096 - from);
            disk.alter(&segment(hit.number), |bytes| match random.below(3) {
                0 => bytes[from..from + len].fill(0),
                1 => bytes[from] ^= 1 << random.below(8),
                _ => random.fill(&mut bytes[from..from + len]),
            });
        }
        let (mut journal, recovery, entries) = open(&disk);
        let last = recovery.last.0;
        let lost: u64 = recovery.lost.iter().map(|lost| lost.last.0 - lost.first.0 + 1).sum();
        assert_eq!(lost, recovery.lost_entries, "seed {seed}");
        let kept: Entries = written
            .into_iter()
            .filter(|(position, _)| {
                let mut ranges = recovery.lost.iter();
                *position <= last && !ranges.any(|l| (l.first.0..=l.last.0).contains(position))
            })
            .collect();
        assert_eq!(entries, kept, "seed {seed}");
        assert_eq!(commit(&mut journal, &[30]).0, last + 1);
        let (_, again, entries) = open(&disk);
        assert_eq!(again.lost, recovery.lost, "seed {seed}");
        assert_eq!(entries.len(), kept.len() + 1);
    }
}

/// Any bytes at all as segments: no panic, and an opened journal works.
#[test]
fn arbitrary_segments_are_survived() {
    for seed in 0..200 {
        let mut random = SplitMix(seed);
        let disk = SimDisk::new(seed);
        for number in [1, 2, 7, u64::MAX] {
            if random.once_in(2) {
                let len = usize::try_from(random.below(5000)).unwrap();
                let mut bytes = vec![0; len];
                random.fill(&mut bytes);
                disk.put(&segment(number), &bytes);
            }
        }
        disk.put(&Path::new(DIR).join("spare-9"), b"old");
        let (mut journal, recovery, entries) = open(&disk);
        assert!(entries.is_empty());
        if recovery.last.0 < 10 {
            commit(&mut journal, &[20]);
        }
    }
}
