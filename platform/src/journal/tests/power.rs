//! Power cuts and kills at any operation, over many generations. The check takes a sync away and
//! must then fail: a test of the test, and of the sync.

use std::collections::BTreeMap;

use super::*;
use crate::disk::SyncPoint;
use crate::disk::sim::SplitMix;
use crate::journal::segment_path;

const SEEDS: u64 = 400;

/// What the journal promised so far.
struct World {
    disk: SimDisk,
    options: Options,
    random: SplitMix,
    /// Everything appended that may still be there.
    appended: BTreeMap<u64, Vec<u8>>,
    /// The last position that was called durable.
    durable: u64,
    /// Entries before this may be gone.
    floor: u64,
}

fn run(seed: u64, disabled: Option<SyncPoint>) -> Result<(), String> {
    let mut world = World::new(seed);
    disabled.into_iter().for_each(|point| world.disk.disable(point));
    for generation in 0..12 {
        world.generation().map_err(|what| format!("seed {seed}, {generation}: {what}"))?;
        if world.random.once_in(3) {
            world.disk.kill();
        } else {
            let cut = world.random.draw();
            world.disk.power_cut(cut);
        }
    }
    Ok(())
}

impl World {
    fn new(seed: u64) -> World {
        World {
            disk: SimDisk::new(seed),
            // Segments of 16 KiB are mostly rolled early, and trimmed.
            options: Options {
                segment_bytes: if seed.is_multiple_of(3) { 16 << 10 } else { 4096 },
                ..SMALL
            },
            random: SplitMix(seed ^ 0xb311),
            appended: BTreeMap::new(),
            durable: 0,
            floor: 1,
        }
    }

    /// One life of a process: recovery, then random work, up to a random operation.
    fn generation(&mut self) -> Result<(), String> {
        if self.random.once_in(2) {
            let more = if self.random.once_in(2) { 30 } else { 120 };
            self.disk.stop_at(self.disk.operations() + self.random.below(more));
        }
        let most = if self.random.once_in(2) { 6 } else { 50 };
        let steps = self.random.below(most);
        self.live(steps)
    }

    /// Recovery and some random work; an error of the disk ends it.
    fn live(&mut self, steps: u64) -> Result<(), String> {
        let (mut journal, recovery, entries) = match open_with(&self.disk, self.options) {
            Ok(opened) => opened,
            Err(JournalError::Disk(_)) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        self.check(&journal, &recovery, &entries)?;
        for _ in 0..steps {
            match self.step(&mut journal) {
                Ok(()) => {}
                Err(JournalError::Disk(_)) => {
                    let after = journal.append(Class::Data, b"").err();
                    let poisoned = matches!(after, Some(JournalError::Poisoned { .. }) | None);
                    return if poisoned { Ok(()) } else { Err(format!("{after:?}")) };
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    fn live_and_count(mut self, steps: u64) -> u64 {
        self.live(steps).unwrap();
        self.disk.operations()
    }

    fn check(
        &mut self,
        journal: &Journal,
        recovery: &Recovery,
        entries: &Entries,
    ) -> Result<(), String> {
        let (first, last) = (recovery.first.0, recovery.last.0);
        if recovery.lost_entries > 0 {
            return Err(format!("lost {:?}", recovery.lost));
        }
        if last < self.durable {
            return Err(format!("ends at {last}, but {} was durable", self.durable));
        }
        if first > self.floor {
            return Err(format!("begins at {first}, but {} was not removed", self.floor));
        }
        if !entries.iter().map(|(position, _)| *position).eq(first..=last) {
            return Err(format!("a gap or a repeat in {first} to {last}"));
        }
        if journal.synced().0 != last || journal.first().0 != first {
            return Err("the journal stands elsewhere than it read".into());
        }
        for (position, bytes) in entries {
            if self.appended.get(position) != Some(bytes) {
                return Err(format!("entry {position} is not what was appended"));
            }
        }
        self.appended.split_off(&(last + 1));
        self.durable = last;
        Ok(())
    }

    fn step(&mut self, journal: &mut Journal) -> Result<(), JournalError> {
        match self.random.below(20) {
            0..10 => {
                let lens = [440, 440, 440, 440, 0, 8, 952, 3000];
                let len = lens[usize::try_from(self.random.below(8)).unwrap()];
                let class = if self.random.once_in(4) { Class::Control } else { Class::Data };
                let mut bytes = vec![0; len];
                self.random.fill(&mut bytes);
                let position = journal.append(class, &bytes)?;
                self.appended.insert(position.0, bytes);
                if self.random.once_in(3) {
                    return Ok(());
                }
                journal.write().map(drop)
            }
            10..14 => {
                let synced = journal.sync(SyncPoint::JournalCommit)?;
                self.durable = synced.0;
                Ok(())
            }
            14 | 15 => journal.roll(),
            16 => {
                let position = self.random.below(journal.written().0 + 2);
                self.floor = self.floor.max(position);
                journal.remove_before(Position(position))
            }
            17 | 18 => journal.prepare_spares(),
            _ => {
                let from = journal.first().0 + self.random.below(20);
                let read = read(journal, from)?;
                let expected = self.appended.range(from..from.max(journal.written().0 + 1));
                let expected = expected.map(|(position, bytes)| (*position, bytes.clone()));
                assert_eq!(read, expected.collect::<Entries>());
                Ok(())
            }
        }
    }
}

#[test]
fn what_was_synced_survives_any_power_cut() {
    for seed in 0..SEEDS {
        run(seed, None).unwrap();
    }
}

/// The last full segment goes while the name of the next is new: one of the two must stay, for the
/// position's sake.
#[test]
fn a_removal_waits_for_the_names_that_remain() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let (mut journal, ..) = open(&disk);
        commit(&mut journal, &[10]);
        journal.roll().unwrap();
        disk.inject(|op| {
            (op.point == Some(SyncPoint::JournalRemove)).then_some(std::io::ErrorKind::Other)
        });
        assert!(journal.remove_before(Position(2)).is_err());
        disk.heal();
        disk.power_cut(seed);
        assert_eq!(open(&disk).1.last, Position(1), "seed {seed}");
    }
}

/// The same life, ended at each of its operations, by a kill and by a power cut; also while the
/// next one recovers.
#[test]
fn a_process_may_end_at_any_operation() {
    let whole = World::new(3).live_and_count(100);
    assert!(whole > 100);
    for stop in 0..whole {
        for cut in [None, Some(stop), Some(!stop)] {
            let mut world = World::new(3);
            let end = |world: &World| match cut {
                None => world.disk.kill(),
                Some(seed) => world.disk.power_cut(seed),
            };
            world.disk.stop_at(stop);
            world.live(100).unwrap();
            end(&world);
            world.disk.stop_at(world.disk.operations() + stop % 40);
            world.live(2).unwrap();
            end(&world);
            world.live(2).unwrap();
        }
    }
}

/// Each sync of the journal, left out, loses something.
#[test]
fn every_sync_of_the_journal_is_needed() {
    let points = [
        SyncPoint::MakeDir,
        SyncPoint::JournalOpen,
        SyncPoint::JournalTruncate,
        SyncPoint::JournalSegment,
        SyncPoint::JournalCommit,
        SyncPoint::JournalRemove,
    ];
    for point in points {
        let found = (0..SEEDS).any(|seed| run(seed, Some(point)).is_err());
        assert!(found, "nothing is lost without {point:?}");
    }
}

/// A new header reaches the disk without its payload, in the place of a cut batch with an equal
/// header.
#[test]
fn a_header_takes_no_payload_but_its_own() {
    let image = |byte: u8| {
        let disk = SimDisk::new(0);
        let (mut journal, ..) = open(&disk);
        journal.append(Class::Data, &[byte; 440]).unwrap();
        journal.write().unwrap();
        (disk.content(&segment_path(Path::new(DIR), 1)).unwrap(), disk)
    };
    let ((old, _), (new, disk)) = (image(1), image(2));
    assert_eq!(old[..52], new[..52]);
    disk.alter(&segment_path(Path::new(DIR), 1), |bytes| {
        bytes[64..].copy_from_slice(&old[64..]);
    });
    assert_eq!(open(&disk).1.last, Position(0));
}
