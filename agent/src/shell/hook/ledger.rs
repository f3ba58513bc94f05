//! The ledger on a disk. What it says of a key and of a lane is durable before it is said.
//!
//! A sync that fails leaves it open what the disk has, and a second one may succeed without having
//! done what the first could not: from then on nothing is begun until the runner starts anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_model::signal::Signal;
use bellwether_model::time::Timestamp;
use bellwether_platform::disk::{
    Disk, DiskError, SyncPoint, make_dir, place_file, read_file, replace_file,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::pure::hook::Lane;
use crate::pure::hook::decide::NotBegun;
use crate::pure::hook::ledger::{
    Done, FILE_BYTES_MAX, Highest, KEYS_MAX, Kept, Known, Name, Started, outlived,
};

/// What a file has while it is written.
const UNFINISHED: &str = ".tmp";

/// A ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file that says how far a lane is cannot be read, and nothing else says it.
    #[error(
        "{} is damaged; where nothing is under way in its lane, remove it and start again",
        .0.display()
    )]
    Damaged(PathBuf),
}

/// Everything in a ledger's directory.
#[derive(Debug, Default)]
pub struct Entries {
    /// What was done.
    pub done: Vec<Done>,
    /// What was begun and is not done.
    pub started: Vec<Started>,
    /// Keys whose file cannot be read.
    pub unreadable: BTreeSet<String>,
    /// The highest generation of each lane.
    pub highest: BTreeMap<Lane, Highest>,
    /// Files that were not finished.
    unfinished: Vec<String>,
}

/// Reads a ledger's directory, which may be another process's.
///
/// # Errors
/// The disk, or a damaged generation.
pub fn entries(disk: &dyn Disk, dir: &Path) -> Result<Entries, LedgerError> {
    let mut entries = Entries::default();
    let names = disk.list(dir)?;
    for name in &names {
        if name.ends_with(UNFINISHED) {
            entries.unfinished.push(name.clone());
        }
        let Some(parsed) = Name::parse(name) else { continue };
        match parsed {
            Name::Done(key) => match read(disk, dir, &Name::Done(key.clone()))? {
                Some(done) => entries.done.push(done),
                None => drop(entries.unreadable.insert(key)),
            },
            // The names are sorted, but `done` and `started` of one key are two files.
            Name::Started(key) if names.contains(&Name::Done(key.clone()).file()) => {}
            Name::Started(key) => match read(disk, dir, &Name::Started(key.clone()))? {
                Some(started) => entries.started.push(started),
                None => drop(entries.unreadable.insert(key)),
            },
            Name::Generation(lane) => {
                let name = Name::Generation(lane.clone());
                let highest = read(disk, dir, &name)?;
                let highest = highest.ok_or_else(|| LedgerError::Damaged(dir.join(name.file())))?;
                entries.highest.insert(lane, highest);
            }
        }
    }
    Ok(entries)
}

/// A ledger that is this process's.
pub struct Ledger {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    done: BTreeMap<String, Kept>,
    started: BTreeSet<String>,
    highest: BTreeMap<Lane, Highest>,
    /// Why nothing is begun any more.
    failed: Option<String>,
}

impl Ledger {
    /// Opens the ledger of a directory, made if missing; beside it comes what was cut off. The
    /// directory must be this process's alone.
    ///
    /// # Errors
    /// The disk, or a damaged generation.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<(Ledger, Vec<Started>), LedgerError> {
        make_dir(&*disk, dir)?;
        // The process before may have changed names and died before it synced them.
        disk.sync_dir(dir, SyncPoint::LedgerOpen)?;
        let found = entries(&*disk, dir)?;
        for name in &found.unfinished {
            disk.remove(&dir.join(name))?;
        }
        let key = |signal: &Signal| signal.data.key.clone();
        let never = Kept { done: Timestamp::MAX, deadline: Timestamp::MAX };
        let done = found.done.iter().map(|done| (key(&done.signal), Kept::of(done)));
        let lost = found.unreadable.into_iter().map(|key| (key, never));
        let ledger = Ledger {
            disk,
            dir: dir.to_owned(),
            done: done.chain(lost).collect(),
            started: found.started.iter().map(|started| key(&started.signal)).collect(),
            highest: found.highest,
            failed: None,
        };
        Ok((ledger, found.started))
    }

    /// What it has of a key.
    ///
    /// # Errors
    /// The disk does not say.
    pub fn known(&self, key: &str) -> Result<Known, DiskError> {
        let (disk, dir) = (&*self.disk, self.dir.as_path());
        let known = if self.done.contains_key(key) {
            let done = read(disk, dir, &Name::Done(key.to_owned()))?;
            done.map(|done| Known::Done(Box::new(done)))
        } else if self.started.contains(key) {
            let started = read(disk, dir, &Name::Started(key.to_owned()))?;
            started.map(|started| Known::Started(Box::new(started)))
        } else {
            return Ok(Known::Nothing);
        };
        Ok(known.unwrap_or(Known::Unreadable))
    }

    /// The highest generation begun in a lane.
    #[must_use]
    pub fn highest(&self, lane: &Lane) -> Option<&Highest> {
        self.highest.get(lane)
    }

    /// Takes down what is about to be done; its program may start only once this has returned.
    ///
    /// # Errors
    /// It is not durable, and must not be done.
    ///
    /// # Panics
    /// The key was begun before.
    pub fn begin(&mut self, now: Timestamp, started: &Started) -> Result<(), NotBegun> {
        let data = &started.signal.data;
        let is_new = !self.done.contains_key(&data.key) && !self.started.contains(&data.key);
        assert!(is_new, "invariant: a key is begun once");
        if let Some(words) = &self.failed {
            return Err(NotBegun::Lasting(words.clone()));
        }
        if self.done.len() + self.started.len() >= KEYS_MAX {
            self.remove_outlived(now).map_err(|error| self.fail(&error))?;
        }
        if self.done.len() + self.started.len() >= KEYS_MAX {
            let words = format!("holds {KEYS_MAX} keys whose deadline has not passed");
            return Err(NotBegun::Passing(words));
        }
        let lane = Lane::of(&started.signal);
        let highest = Highest { generation: data.generation, key: data.key.clone() };
        if self.highest.get(&lane) != Some(&highest) {
            let name = Name::Generation(lane.clone());
            self.replace(&name, &highest).map_err(|error| self.fail(&error))?;
            self.highest.insert(lane, highest);
        }
        let path = self.dir.join(Name::Started(data.key.clone()).file());
        let points = [SyncPoint::LedgerBeginData, SyncPoint::LedgerBeginDir];
        let placed = place_file(&*self.disk, &path, &text(started), points);
        placed.map_err(|error| self.fail(&error))?;
        self.started.insert(data.key.clone());
        Ok(())
    }

    /// Takes down what was done.
    ///
    /// # Errors
    /// It is not durable; the key stays begun.
    pub fn finish(&mut self, done: &Done) -> Result<(), String> {
        let key = &done.signal.data.key;
        let replaced = self.replace(&Name::Done(key.clone()), done);
        replaced.map_err(|error| {
            self.fail(&error);
            error.to_string()
        })?;
        self.started.remove(key);
        self.done.insert(key.clone(), Kept::of(done));
        Ok(())
    }

    /// Removes what nobody can ask for any more; says how many keys.
    ///
    /// # Errors
    /// The disk; what is left is removed another time.
    pub fn prune(&mut self, now: Timestamp) -> Result<usize, String> {
        let removed = self.remove_outlived(now);
        removed.map_err(|error| {
            self.fail(&error);
            error.to_string()
        })
    }

    fn remove_outlived(&mut self, now: Timestamp) -> Result<usize, DiskError> {
        let total = self.done.len() + self.started.len();
        let keys = outlived(&self.done, total, now);
        if keys.is_empty() {
            return Ok(0);
        }
        for key in &keys {
            self.remove(&Name::Started(key.clone()))?;
        }
        // A key that is begun and not done would otherwise come back.
        self.disk.sync_dir(&self.dir, SyncPoint::LedgerPrune)?;
        for key in &keys {
            self.remove(&Name::Done(key.clone()))?;
            self.done.remove(key);
        }
        Ok(keys.len())
    }

    fn remove(&self, name: &Name) -> Result<(), DiskError> {
        match self.disk.remove(&self.dir.join(name.file())) {
            Err(error) if !error.is_missing() => Err(error),
            _ => Ok(()),
        }
    }

    fn replace<T: Serialize>(&self, name: &Name, value: &T) -> Result<(), DiskError> {
        replace_file(&*self.disk, &self.dir.join(name.file()), &text(value))
    }

    /// What an error of the disk means for what was to be begun.
    fn fail(&mut self, error: &DiskError) -> NotBegun {
        let words = error.to_string();
        if error.operation != "sync" {
            return NotBegun::Passing(words);
        }
        let words = format!("{words}; nothing is begun until the runner starts anew");
        self.failed = Some(words.clone());
        NotBegun::Lasting(words)
    }
}

fn text<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("invariant: texts and numbers");
    bytes.push(b'\n');
    bytes
}

/// `None` if it is not what was written.
fn read<T: DeserializeOwned>(
    disk: &dyn Disk,
    dir: &Path,
    name: &Name,
) -> Result<Option<T>, DiskError> {
    let bytes = read_file(disk, &dir.join(name.file()), FILE_BYTES_MAX)?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

#[cfg(test)]
mod tests;
