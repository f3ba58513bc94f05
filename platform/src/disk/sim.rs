//! A disk in memory for tests, which forgets what was not synced.
//!
//! - **Bytes**: at a power cut each 512-byte sector of a file holds what it had at the last sync,
//!   or after any later change of it; sectors choose apart from each other, and so does the
//!   length.
//! - **Names**: of the changes in a directory since its last sync, any prefix or any subset stays.
//! - Everything follows from the seed. Handles from before a cut or kill fail.
//!
//! Space counts as the sum of the files' lengths. There are no permissions, links or times.

mod file;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Access, Disk, DiskError, File, SyncPoint};
use tree::{Entry, Tree};

/// One operation, as an injected error sees it.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    /// The operation's number; the first is 0.
    pub number: u64,
    /// `open`, `create`, `look`, `list`, `rename`, `remove`, `make`, `read`, `write`, `set_len`,
    /// `allocate` or `sync`.
    pub kind: &'static str,
    /// The file or directory; of a rename the old name.
    pub path: &'a Path,
    /// Which sync it is.
    pub point: Option<SyncPoint>,
}

type Fault = Box<dyn FnMut(&Operation<'_>) -> Option<io::ErrorKind> + Send>;

/// A disk in memory; clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

struct State {
    tree: Tree,
    random: SplitMix,
    epoch: u64,
    operations: u64,
    stop_at: Option<u64>,
    stopped: bool,
    capacity: u64,
    read_only: bool,
    disabled: BTreeSet<SyncPoint>,
    syncs: BTreeMap<SyncPoint, u64>,
    fault: Option<Fault>,
}

impl SimDisk {
    /// An empty disk with a root directory `/`. The seed decides where a write is cut short.
    #[must_use]
    pub fn new(seed: u64) -> SimDisk {
        let state = State {
            tree: Tree::default(),
            random: SplitMix(seed),
            epoch: 0,
            operations: 0,
            stop_at: None,
            stopped: false,
            capacity: u64::MAX,
            read_only: false,
            disabled: BTreeSet::new(),
            syncs: BTreeMap::new(),
            fault: None,
        };
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// The power fails and comes back: what was not synced is lost, torn or reordered.
    pub fn power_cut(&self, seed: u64) {
        let mut state = self.locked();
        state.tree.power_cut(&mut SplitMix(seed));
        state.restart();
    }

    /// The process dies and starts again: nothing is lost, but every handle.
    pub fn kill(&self) {
        self.locked().restart();
    }

    /// From operation `number` on everything fails, until a kill or a power cut; if that operation
    /// is a write, a part from its front is done.
    pub fn stop_at(&self, number: u64) {
        self.locked().stop_at = Some(number);
    }

    /// The number of operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.locked().operations
    }

    /// Asks `fault` before every operation; an error kind makes it fail with nothing done. It may
    /// block, but not use this disk.
    pub fn inject(
        &self,
        fault: impl FnMut(&Operation<'_>) -> Option<io::ErrorKind> + Send + 'static,
    ) {
        self.locked().fault = Some(Box::new(fault));
    }

    /// Fails one operation: the `nth` from now on, from 0.
    pub fn fail_nth(&self, nth: u64, kind: io::ErrorKind) {
        let number = self.operations() + nth;
        self.inject(move |operation| (operation.number == number).then_some(kind));
    }

    /// Injects no more errors.
    pub fn heal(&self) {
        self.locked().fault = None;
    }

    /// Bytes that the files may have together.
    pub fn set_capacity(&self, bytes: u64) {
        self.locked().capacity = bytes;
    }

    /// Every change fails from now on.
    pub fn set_read_only(&self) {
        self.locked().read_only = true;
    }

    /// Makes a sync do nothing, and say that it did.
    pub fn disable(&self, point: SyncPoint) {
        self.locked().disabled.insert(point);
    }

    /// How often a sync was asked for.
    #[must_use]
    pub fn syncs(&self, point: SyncPoint) -> u64 {
        self.locked().syncs.get(&point).copied().unwrap_or(0)
    }

    /// Flips one bit of a stored byte.
    ///
    /// # Panics
    /// If there is no such file or byte.
    pub fn corrupt(&self, path: &Path, offset: u64) {
        self.alter(path, |bytes| {
            let at = usize::try_from(offset).expect("an offset in memory");
            *bytes.get_mut(at).expect("a byte of the file") ^= 1 << (offset % 8);
        });
    }

    /// Changes a file's content behind everyone's back, as if it had always been so.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn alter(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.locked();
        let file = state.tree.file_at(path).expect("a file to alter");
        file.alter(change);
    }

    /// Stores a file, durable at once; its directory is made too.
    ///
    /// # Panics
    /// If a directory stands in the way.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.locked();
        let dir = path.parent().expect("a path with a directory");
        state.tree.make_dirs(dir).expect("no file in the way");
        state.tree.create(path).expect("no directory in the way");
        state.tree.settle();
        drop(state);
        self.alter(path, |content| *content = bytes.to_vec());
    }

    /// A file's content as a process sees it; `None` if there is no such file.
    #[must_use]
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        self.locked().tree.file_at(path).map(|file| file.current.clone())
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(
        &self,
        state: &State,
        path: &Path,
        inode: u64,
        access: Access,
    ) -> Result<Box<dyn File>, DiskError> {
        let (disk, path) = (self.clone(), path.to_path_buf());
        Ok(Box::new(SimFile { disk, path, inode, access, epoch: state.epoch }))
    }
}

impl State {
    fn restart(&mut self) {
        self.epoch += 1;
        self.stop_at = None;
        self.stopped = false;
    }

    /// Counts an operation and says whether it may be done.
    fn begin(
        &mut self,
        kind: &'static str,
        path: &Path,
        point: Option<SyncPoint>,
    ) -> Result<(), DiskError> {
        let operation = Operation { number: self.operations, kind, path, point };
        self.operations += 1;
        self.stopped |= self.stop_at.is_some_and(|at| operation.number >= at);
        let changes = !matches!(kind, "open" | "look" | "list" | "read");
        let error = if self.stopped {
            Some(io::Error::other("the process was stopped here"))
        } else if self.read_only && changes {
            Some(io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
        } else {
            self.fault.as_mut().and_then(|fault| fault(&operation)).map(io::Error::from)
        };
        error.map_or(Ok(()), |error| Err(DiskError::new(kind, path, error)))
    }

    /// Counts a sync; says whether it is to do anything.
    fn count(&mut self, point: SyncPoint) -> bool {
        *self.syncs.entry(point).or_default() += 1;
        !self.disabled.contains(&point)
    }

    fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.tree.bytes())
    }
}

fn because(operation: &'static str, path: &Path, kind: io::ErrorKind) -> DiskError {
    DiskError::new(operation, path, io::Error::from(kind))
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, access: Access) -> Result<Box<dyn File>, DiskError> {
        let mut state = self.locked();
        state.begin("open", path, None)?;
        match state.tree.entry(path) {
            Some(Entry::File(inode)) => self.handle(&state, path, inode, access),
            Some(Entry::Dir(_)) => Err(because("open", path, io::ErrorKind::IsADirectory)),
            None => Err(because("open", path, io::ErrorKind::NotFound)),
        }
    }

    fn create(&self, path: &Path) -> Result<Box<dyn File>, DiskError> {
        let mut state = self.locked();
        state.begin("create", path, None)?;
        let inode = state.tree.create(path).map_err(|kind| because("create", path, kind))?;
        self.handle(&state, path, inode, Access::ReadWrite)
    }

    fn exists(&self, path: &Path) -> Result<bool, DiskError> {
        let mut state = self.locked();
        state.begin("look", path, None)?;
        Ok(state.tree.entry(path).is_some())
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError> {
        let mut state = self.locked();
        state.begin("list", dir, None)?;
        state.tree.names(dir).map_err(|kind| because("list", dir, kind))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let mut state = self.locked();
        state.begin("rename", from, None)?;
        state.tree.rename(from, to).map_err(|kind| because("rename", from, kind))
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        let mut state = self.locked();
        state.begin("remove", path, None)?;
        state.tree.remove(path).map_err(|kind| because("remove", path, kind))
    }

    fn create_dir_all(&self, dir: &Path) -> Result<(), DiskError> {
        let mut state = self.locked();
        state.begin("make", dir, None)?;
        state.tree.make_dirs(dir).map_err(|kind| because("make", dir, kind))
    }

    fn sync_dir(&self, dir: &Path, point: SyncPoint) -> Result<(), DiskError> {
        let mut state = self.locked();
        state.begin("sync", dir, Some(point))?;
        let enabled = state.count(point);
        state.tree.sync_dir(dir, enabled).map_err(|kind| because("sync", dir, kind))
    }

    fn free_bytes(&self, path: &Path) -> Result<u64, DiskError> {
        let mut state = self.locked();
        state.begin("look", path, None)?;
        Ok(state.free())
    }
}

struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    inode: u64,
    access: Access,
    epoch: u64,
}

impl SimFile {
    fn begin(
        &self,
        kind: &'static str,
        point: Option<SyncPoint>,
    ) -> Result<MutexGuard<'_, State>, DiskError> {
        let mut state = self.disk.locked();
        if state.epoch != self.epoch {
            let error = io::Error::other("the handle is from before the last cut or kill");
            return Err(DiskError::new(kind, &self.path, error));
        }
        let begun = state.begin(kind, &self.path, point);
        if self.access == Access::Read && !matches!(kind, "read" | "look" | "sync") {
            return Err(because(kind, &self.path, io::ErrorKind::PermissionDenied));
        }
        begun.map(|()| state)
    }

    /// Grows the file, if there is space.
    fn grow(&self, state: &mut State, len: u64, kind: &'static str) -> Result<(), DiskError> {
        let more = len.saturating_sub(state.tree.file(self.inode).len());
        if more > state.free() {
            return Err(because(kind, &self.path, io::ErrorKind::StorageFull));
        }
        if more > 0 {
            state.tree.file(self.inode).set_len(len);
        }
        Ok(())
    }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        let mut state = self.begin("read", None)?;
        Ok(state.tree.file(self.inode).read(buffer, offset))
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        let before = self.disk.locked().stopped;
        let mut state = match self.begin("write", None) {
            Ok(state) => state,
            Err(error) => {
                let mut state = self.disk.locked();
                if state.stopped && !before && state.epoch == self.epoch {
                    let done = state.random.below(bytes.len() as u64 + 1);
                    let done = usize::try_from(done).expect("invariant: at most a length");
                    state.tree.file(self.inode).write(bytes.split_at(done).0, offset);
                }
                return Err(error);
            }
        };
        let end = offset + bytes.len() as u64;
        let more = end.saturating_sub(state.tree.file(self.inode).len());
        if more > state.free() {
            return Err(because("write", &self.path, io::ErrorKind::StorageFull));
        }
        state.tree.file(self.inode).write(bytes, offset);
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> Result<(), DiskError> {
        let mut state = self.begin("set_len", None)?;
        if len < state.tree.file(self.inode).len() {
            state.tree.file(self.inode).set_len(len);
            return Ok(());
        }
        self.grow(&mut state, len, "set_len")
    }

    fn allocate(&mut self, len: u64) -> Result<(), DiskError> {
        let mut state = self.begin("allocate", None)?;
        self.grow(&mut state, len, "allocate")
    }

    fn len(&self) -> Result<u64, DiskError> {
        let mut state = self.begin("look", None)?;
        Ok(state.tree.file(self.inode).len())
    }

    fn sync(&mut self, point: SyncPoint) -> Result<(), DiskError> {
        let mut state = self.begin("sync", Some(point))?;
        if state.count(point) {
            state.tree.file(self.inode).sync();
        }
        Ok(())
    }
}

/// Sebastiano Vigna's SplitMix64: small, and the same everywhere.
#[derive(Clone, Debug)]
pub struct SplitMix(pub u64);

impl SplitMix {
    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.draw()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("invariant: below the bound")
    }

    /// Random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let random = self.draw().to_le_bytes();
            chunk.iter_mut().zip(random).for_each(|(byte, random)| *byte = random);
        }
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
