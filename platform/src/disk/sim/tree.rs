//! The simulated directories: durable names, visible names, and the changes between them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Component, Path};

use super::SplitMix;
use super::file::FileState;

const ROOT: u64 = 0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    File(u64),
    Dir(u64),
}

/// A change of names in one directory.
enum Change {
    Add { name: String, entry: Entry },
    Rename { from: String, to: String, entry: Entry },
    Remove { name: String, entry: Entry },
}

type Names = BTreeMap<String, Entry>;

#[derive(Default)]
struct Dir {
    durable: Names,
    current: Names,
    changes: Vec<Change>,
}

pub(super) struct Tree {
    dirs: BTreeMap<u64, Dir>,
    files: BTreeMap<u64, FileState>,
    next: u64,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree { dirs: BTreeMap::from([(ROOT, Dir::default())]), files: BTreeMap::new(), next: 1 }
    }
}

impl Tree {
    pub(super) fn entry(&self, path: &Path) -> Option<Entry> {
        let mut at = Entry::Dir(ROOT);
        for component in path.components() {
            match (component, at) {
                (Component::RootDir | Component::CurDir, _) => {}
                (Component::Normal(name), Entry::Dir(dir)) => {
                    at = *self.dirs.get(&dir)?.current.get(name.to_str()?)?;
                }
                _ => return None,
            }
        }
        Some(at)
    }

    /// An open file, by number; it may have no name any more.
    pub(super) fn file(&mut self, inode: u64) -> &mut FileState {
        self.files.get_mut(&inode).expect("invariant: a handle's file lives until the next cut")
    }

    pub(super) fn file_at(&mut self, path: &Path) -> Option<&mut FileState> {
        match self.entry(path)? {
            Entry::File(inode) => self.files.get_mut(&inode),
            Entry::Dir(_) => None,
        }
    }

    pub(super) fn names(&self, dir: &Path) -> Result<Vec<String>, ErrorKind> {
        match self.entry(dir) {
            Some(Entry::Dir(dir)) => Ok(self.dir(dir).current.keys().cloned().collect()),
            Some(Entry::File(_)) => Err(ErrorKind::NotADirectory),
            None => Err(ErrorKind::NotFound),
        }
    }

    pub(super) fn create(&mut self, path: &Path) -> Result<u64, ErrorKind> {
        match self.entry(path) {
            Some(Entry::File(inode)) => {
                self.file(inode).set_len(0);
                Ok(inode)
            }
            Some(Entry::Dir(_)) => Err(ErrorKind::IsADirectory),
            None => {
                let (dir, name) = self.place(path)?;
                let inode = self.number();
                self.files.insert(inode, FileState::default());
                self.change(dir, Change::Add { name, entry: Entry::File(inode) });
                Ok(inode)
            }
        }
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), ErrorKind> {
        let entry = self.entry(from).ok_or(ErrorKind::NotFound)?;
        let (from_dir, from) = self.place(from)?;
        let (to_dir, to) = self.place(to)?;
        if from_dir == to_dir {
            self.change(from_dir, Change::Rename { from, to, entry });
        } else {
            self.change(to_dir, Change::Add { name: to, entry });
            self.change(from_dir, Change::Remove { name: from, entry });
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> Result<(), ErrorKind> {
        match self.entry(path) {
            Some(entry @ Entry::File(_)) => {
                let (dir, name) = self.place(path)?;
                self.change(dir, Change::Remove { name, entry });
                Ok(())
            }
            Some(Entry::Dir(_)) => Err(ErrorKind::IsADirectory),
            None => Err(ErrorKind::NotFound),
        }
    }

    pub(super) fn make_dirs(&mut self, path: &Path) -> Result<(), ErrorKind> {
        match self.entry(path) {
            Some(Entry::Dir(_)) => return Ok(()),
            Some(Entry::File(_)) => return Err(ErrorKind::AlreadyExists),
            None => {}
        }
        self.make_dirs(path.parent().ok_or(ErrorKind::NotFound)?)?;
        let (dir, name) = self.place(path)?;
        let made = self.number();
        self.dirs.insert(made, Dir::default());
        self.change(dir, Change::Add { name, entry: Entry::Dir(made) });
        Ok(())
    }

    /// Makes a directory's names durable; with `apply` false it only looks whether it could.
    pub(super) fn sync_dir(&mut self, path: &Path, apply: bool) -> Result<(), ErrorKind> {
        match self.entry(path) {
            Some(Entry::Dir(dir)) => {
                if apply {
                    self.dir_mut(dir).sync();
                }
                Ok(())
            }
            Some(Entry::File(_)) => Err(ErrorKind::NotADirectory),
            None => Err(ErrorKind::NotFound),
        }
    }

    /// Makes all names durable.
    pub(super) fn settle(&mut self) {
        self.dirs.values_mut().for_each(Dir::sync);
    }

    /// The lengths of all files that have a name, together.
    pub(super) fn bytes(&self) -> u64 {
        let names = self.dirs.values().flat_map(|dir| dir.current.values());
        let files = names.filter_map(|entry| match entry {
            Entry::File(inode) => self.files.get(inode),
            Entry::Dir(_) => None,
        });
        files.map(FileState::len).sum()
    }

    pub(super) fn power_cut(&mut self, random: &mut SplitMix) {
        self.dirs.values_mut().for_each(|dir| dir.power_cut(random));
        let mut reached = BTreeSet::from([ROOT]);
        let mut pending = vec![ROOT];
        while let Some(dir) = pending.pop() {
            for entry in self.dir(dir).current.values() {
                let (Entry::File(number) | Entry::Dir(number)) = *entry;
                if reached.insert(number) && matches!(entry, Entry::Dir(_)) {
                    pending.push(number);
                }
            }
        }
        self.dirs.retain(|number, _| reached.contains(number));
        self.files.retain(|number, _| reached.contains(number));
        self.files.values_mut().for_each(|file| file.power_cut(random));
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn dir(&self, dir: u64) -> &Dir {
        self.dirs.get(&dir).expect("invariant: a named directory is there")
    }

    fn dir_mut(&mut self, dir: u64) -> &mut Dir {
        self.dirs.get_mut(&dir).expect("invariant: a named directory is there")
    }

    /// The directory of a path, and the name in it.
    fn place(&self, path: &Path) -> Result<(u64, String), ErrorKind> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or(ErrorKind::InvalidFilename)?;
        match self.entry(path.parent().ok_or(ErrorKind::InvalidFilename)?) {
            Some(Entry::Dir(dir)) => Ok((dir, name.to_owned())),
            Some(Entry::File(_)) => Err(ErrorKind::NotADirectory),
            None => Err(ErrorKind::NotFound),
        }
    }

    fn change(&mut self, dir: u64, change: Change) {
        let dir = self.dir_mut(dir);
        change.apply(&mut dir.current);
        dir.changes.push(change);
    }
}

impl Dir {
    fn sync(&mut self) {
        self.changes.clear();
        self.durable.clone_from(&self.current);
    }

    fn power_cut(&mut self, random: &mut SplitMix) {
        let prefix = random.below(self.changes.len() as u64 + 1);
        let subset = random.once_in(2);
        for (number, change) in (0_u64..).zip(self.changes.drain(..)) {
            let kept = if subset { random.once_in(2) } else { number < prefix };
            if kept {
                change.apply(&mut self.durable);
            }
        }
        self.current.clone_from(&self.durable);
    }
}

impl Change {
    /// A removal of a name that means another file by now does nothing.
    fn apply(&self, names: &mut Names) {
        match self {
            Change::Add { name, entry } => {
                names.insert(name.clone(), *entry);
            }
            Change::Rename { from, to, entry } => {
                forget(names, from, *entry);
                names.insert(to.clone(), *entry);
            }
            Change::Remove { name, entry } => forget(names, name, *entry),
        }
    }
}

fn forget(names: &mut Names, name: &str, entry: Entry) {
    if names.get(name) == Some(&entry) {
        names.remove(name);
    }
}
