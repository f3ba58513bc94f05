//! The simulated disk is as unkind as it says, and the small files over it survive that.

use super::*;
use crate::disk::{make_dir, read_file, replace_file};

fn path(text: &str) -> &Path {
    Path::new(text)
}

fn write(disk: &SimDisk, name: &str, bytes: &[u8]) -> Box<dyn File> {
    let mut file = disk.create(path(name)).unwrap();
    file.write_at(bytes, 0).unwrap();
    file
}

fn content(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    disk.content(path(name))
}

/// What a file may be after a cut, over many seeds.
fn after_cuts(prepare: impl Fn(&SimDisk)) -> BTreeSet<Option<Vec<u8>>> {
    let after = |seed| {
        let disk = SimDisk::new(0);
        prepare(&disk);
        disk.power_cut(seed);
        content(&disk, "/a")
    };
    (0..200).map(after).collect()
}

#[test]
fn what_is_synced_stays_and_nothing_else_must() {
    let found = after_cuts(|disk| {
        let mut file = write(disk, "/a", b"old");
        file.sync(SyncPoint::JournalCommit).unwrap();
        disk.sync_dir(path("/"), SyncPoint::MakeDir).unwrap();
    });
    assert_eq!(found, BTreeSet::from([Some(b"old".to_vec())]));

    let found = after_cuts(|disk| {
        write(disk, "/a", b"old").sync(SyncPoint::JournalCommit).unwrap();
    });
    assert_eq!(found, BTreeSet::from([None, Some(b"old".to_vec())]), "a name is not its bytes");

    let found = after_cuts(|disk| {
        write(disk, "/a", b"old");
        disk.sync_dir(path("/"), SyncPoint::MakeDir).unwrap();
    });
    let lens: BTreeSet<usize> = found.iter().flatten().map(Vec::len).collect();
    assert_eq!(lens, BTreeSet::from([0, 3]));
    assert!(found.contains(&Some(vec![0; 3])), "a length without its bytes");
}

#[test]
fn sectors_are_torn_and_reordered_but_each_is_whole() {
    let found = after_cuts(|disk| {
        let mut file = write(disk, "/a", &[0; 1536]);
        file.sync(SyncPoint::JournalCommit).unwrap();
        disk.sync_dir(path("/"), SyncPoint::MakeDir).unwrap();
        file.write_at(&[1; 1536], 0).unwrap();
        file.write_at(&[2; 1024], 256).unwrap();
    });
    let sector = |bytes: &[u8]| (bytes[0], bytes[511], bytes.is_sorted());
    let first = |version| [(0, 0, true), (1, 1, true), (1, 2, true)][version];
    let images: Vec<Vec<u8>> = found.into_iter().flatten().collect();
    for image in &images {
        let front = sector(&image[..512]);
        assert!((0..3).any(|version| first(version) == front), "{front:?}");
        assert!(matches!(sector(&image[512..1024]), (0, 0, _) | (1, 1, _) | (2, 2, _)));
    }
    let versions: BTreeSet<(u8, u8)> = images.iter().map(|i| (i[511], i[1535])).collect();
    assert!(versions.contains(&(0, 1)) && versions.contains(&(2, 0)), "in either order");
}

#[test]
fn a_cut_file_may_keep_its_tail() {
    let found = after_cuts(|disk| {
        let mut file = write(disk, "/a", &[7; 2000]);
        file.sync(SyncPoint::JournalCommit).unwrap();
        disk.sync_dir(path("/"), SyncPoint::MakeDir).unwrap();
        file.set_len(100).unwrap();
        file.allocate(2000).unwrap();
    });
    let images: Vec<Vec<u8>> = found.into_iter().flatten().collect();
    assert!(images.iter().any(|bytes| bytes.get(1999) == Some(&7)));
    assert!(images.iter().any(|bytes| bytes.len() == 2000 && bytes[100..] == [0; 1900]));
    assert!(images.iter().all(|bytes| bytes[..100] == [7; 100]));
}

#[test]
fn names_are_undone_until_the_directory_is_synced() {
    let mut found = BTreeSet::new();
    for seed in 0..100 {
        let disk = SimDisk::new(0);
        disk.put(path("/d/old"), b"1");
        write(&disk, "/d/new", b"2");
        disk.rename(path("/d/old"), path("/d/moved")).unwrap();
        disk.create_dir_all(path("/d/inner")).unwrap();
        assert_eq!(disk.list(path("/d")).unwrap(), ["inner", "moved", "new"]);
        disk.power_cut(seed);
        found.insert(disk.list(path("/d")).unwrap().join(" "));
    }
    assert_eq!(found.len(), 8, "{found:?}");
    assert!(found.contains("old") && found.contains("inner moved new"));
}

#[test]
fn handles_die_with_the_process() {
    let disk = SimDisk::new(0);
    let mut file = write(&disk, "/a", b"abc");
    disk.kill();
    assert!(file.write_at(b"x", 0).is_err());
    assert!(file.read_at(&mut [0], 0).is_err());
    assert!(file.sync(SyncPoint::JournalCommit).is_err());
    assert_eq!(content(&disk, "/a").unwrap(), b"abc", "a kill loses nothing");
    let mut file = disk.open(path("/a"), Access::Read).unwrap();
    assert!(file.write_at(b"x", 0).is_err());
    disk.power_cut(1);
    assert!(file.len().is_err());
}

#[test]
fn space_and_faults_are_as_told() {
    let disk = SimDisk::new(0);
    disk.set_capacity(100);
    let mut file = write(&disk, "/a", &[1; 60]);
    assert!(file.write_at(&[1; 50], 60).unwrap_err().is_full());
    assert!(file.allocate(101).unwrap_err().is_full());
    assert_eq!((file.len().unwrap(), disk.free_bytes(path("/")).unwrap()), (60, 40));
    file.set_len(10).unwrap();
    file.write_at(&[1; 90], 10).unwrap();
    disk.remove(path("/a")).unwrap();
    assert_eq!(disk.free_bytes(path("/")).unwrap(), 100);

    disk.fail_nth(2, io::ErrorKind::Other);
    write(&disk, "/b", b"").len().unwrap_err();
    disk.set_read_only();
    disk.heal();
    assert!(disk.remove(path("/b")).is_err());
    assert_eq!(disk.list(path("/")).unwrap(), ["b"]);
}

#[test]
fn a_stop_tears_the_write_it_falls_on() {
    let lens: BTreeSet<usize> = (0..50)
        .map(|seed| {
            let disk = SimDisk::new(seed);
            disk.stop_at(1);
            let mut file = disk.create(path("/a")).unwrap();
            assert!(file.write_at(&[1; 10], 0).is_err());
            assert!(file.write_at(&[1; 10], 0).is_err());
            assert!(disk.list(path("/")).is_err());
            disk.kill();
            content(&disk, "/a").unwrap().len()
        })
        .collect();
    assert!(lens.len() > 5 && lens.contains(&0), "{lens:?}");
}

#[test]
fn the_same_seed_cuts_the_same() {
    let image = |seed| {
        let disk = SimDisk::new(seed);
        for name in 0..20_u8 {
            write(&disk, &format!("/{name}"), &[name; 3000]);
        }
        disk.power_cut(seed);
        let names = disk.list(path("/")).unwrap();
        names.into_iter().map(|n| (content(&disk, &format!("/{n}")), n)).collect::<Vec<_>>()
    };
    assert_eq!(image(3), image(3));
    assert_ne!(image(3), image(4));
}

/// Replaces a file in a directory made for it, with a cut or a kill at any operation; it must hold
/// one of the contents whole, and the one last confirmed or a later one.
fn replaced_files_survive(disabled: Option<SyncPoint>) -> Result<(), String> {
    let contents: Vec<Vec<u8>> = (0..4_u8).map(|n| vec![n + 1; 700 * usize::from(n)]).collect();
    for seed in 0..300 {
        let disk = SimDisk::new(seed);
        disabled.into_iter().for_each(|point| disk.disable(point));
        let mut random = SplitMix(seed);
        let mut confirmed = None;
        for _ in 0..3 {
            disk.stop_at(disk.operations() + random.below(30));
            let mut replace = || {
                make_dir(&disk, path("/deep/state"))?;
                for (number, bytes) in contents.iter().enumerate() {
                    if confirmed.is_none_or(|confirmed| confirmed < number) {
                        replace_file(&disk, path("/deep/state/a"), bytes)?;
                        confirmed = Some(number);
                    }
                }
                Ok::<(), DiskError>(())
            };
            replace().unwrap_or_default();
            if random.once_in(3) {
                disk.kill()
            } else {
                disk.power_cut(random.draw())
            }
            let bytes = read_file(&disk, path("/deep/state/a"), 9999).unwrap();
            let found = match bytes {
                None => None,
                Some(bytes) => match contents.iter().position(|content| *content == bytes) {
                    Some(number) => Some(number),
                    None => return Err(format!("seed {seed}: torn")),
                },
            };
            if found < confirmed {
                return Err(format!("seed {seed}: {found:?}, but {confirmed:?} was confirmed"));
            }
        }
    }
    Ok(())
}

#[test]
fn every_sync_of_a_replaced_file_is_needed() {
    replaced_files_survive(None).unwrap();
    for point in [SyncPoint::MakeDir, SyncPoint::ReplaceData, SyncPoint::ReplaceDir] {
        assert!(replaced_files_survive(Some(point)).is_err(), "nothing is lost without {point:?}");
    }
}

#[test]
fn every_sync_point_is_listed_once() {
    let all: BTreeSet<SyncPoint> = SyncPoint::ALL.into_iter().collect();
    assert_eq!(all.len(), SyncPoint::ALL.len());
    assert_eq!(all.last(), Some(&SyncPoint::LedgerPrune), "the last one declared");
}
