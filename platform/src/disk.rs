//! The disk, as a pair of traits: everything that writes goes through [`Disk`] (DESIGN §6.9).
//!
//! [`RealDisk`] is the operating system's; [`sim::SimDisk`] is a disk in memory that loses what was
//! not synced. Every sync names its [`SyncPoint`], so that a test can leave one out and show the
//! harm. There is no buffering, no path logic and no retry here.

mod real;
pub mod sim;

use std::io;
use std::path::{Path, PathBuf};

pub use real::{Lock, LockError, RealDisk, lock};

/// Every sync of the product, by name. Each is here because a test shows harm without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SyncPoint {
    /// The parent of a directory that was made, before anything in it counts as durable.
    MakeDir,
    /// What the journal read at its start, before it counts as durable: the process before may
    /// have died between its write and its sync.
    JournalOpen,
    /// A torn tail cut off, before anything is appended in its place.
    JournalTruncate,
    /// The name of a new segment, before anything in it counts as durable.
    JournalSegment,
    /// Entries, before they are acknowledged.
    JournalCommit,
    /// The removal of a segment, before the next is removed or its space is written again.
    JournalRemove,
    /// The agent's incarnation and nonce, before the first frame.
    SpoolOpen,
    /// The agent's spool, once its oldest unacknowledged frame is over 10 s old.
    SpoolAge,
    /// The new content of a replaced file, before it takes its name.
    ReplaceData,
    /// The name of a replaced file, before the replacement counts as done.
    ReplaceDir,
    /// The blocks in the store's chunk files, before a checkpoint names them.
    ChunkData,
    /// The names of chunk files, before a checkpoint names them.
    ChunkDir,
    /// The content of a checkpoint, before it takes its name.
    CheckpointData,
    /// The name of a checkpoint, before the one before the last and the journal behind the last go.
    CheckpointDir,
    /// What a hook's ledger read at its start, before it is told to anyone: the process before may
    /// have died between a change of a name and its sync.
    LedgerOpen,
    /// What a hook is about to do, before that has its name.
    LedgerBeginData,
    /// The name of what a hook is about to do, before its program starts.
    LedgerBeginDir,
    /// The removal of what a hook began, before the removal of what became of it.
    LedgerPrune,
}

impl SyncPoint {
    /// All of them, in the order of their declaration.
    pub const ALL: [SyncPoint; 18] = [
        SyncPoint::MakeDir,
        SyncPoint::JournalOpen,
        SyncPoint::JournalTruncate,
        SyncPoint::JournalSegment,
        SyncPoint::JournalCommit,
        SyncPoint::JournalRemove,
        SyncPoint::SpoolOpen,
        SyncPoint::SpoolAge,
        SyncPoint::ReplaceData,
        SyncPoint::ReplaceDir,
        SyncPoint::ChunkData,
        SyncPoint::ChunkDir,
        SyncPoint::CheckpointData,
        SyncPoint::CheckpointDir,
        SyncPoint::LedgerOpen,
        SyncPoint::LedgerBeginData,
        SyncPoint::LedgerBeginDir,
        SyncPoint::LedgerPrune,
    ];
}

/// An operation on a path failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}: {source}", path.display())]
pub struct DiskError {
    /// The operation as a verb: `open`, `write`, `sync`, …
    pub operation: &'static str,
    /// The file or directory, by the name under which it was opened.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl DiskError {
    /// Names the operation and the path that an error belongs to.
    #[must_use]
    pub fn new(operation: &'static str, path: &Path, source: io::Error) -> DiskError {
        DiskError { operation, path: path.to_path_buf(), source }
    }

    /// Whether space or quota is used up.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Whether the file or directory does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// Whether the same operation may succeed later without a person doing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        use io::ErrorKind::{Interrupted, ResourceBusy, TimedOut, WouldBlock};
        let busy = [Interrupted, ResourceBusy, TimedOut, WouldBlock];
        self.is_full() || busy.contains(&self.source.kind())
    }
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// A place for files and directories. Used as `Arc<dyn Disk>`.
///
/// Nothing is durable before its sync: bytes by [`File::sync`], names (made, renamed, removed) by
/// [`Disk::sync_dir`] of the directory that holds them.
///
/// # Errors
/// Every operation names itself and the path it failed on.
pub trait Disk: Send + Sync {
    /// Opens a file that exists.
    fn open(&self, path: &Path, access: Access) -> Result<Box<dyn File>, DiskError>;

    /// Makes a file, or empties the one there, for reading and writing. Mode 0600.
    fn create(&self, path: &Path) -> Result<Box<dyn File>, DiskError>;

    /// Whether a file or directory of this name is there.
    fn exists(&self, path: &Path) -> Result<bool, DiskError>;

    /// The names in a directory, sorted; names that are not UTF-8 are left out.
    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError>;

    /// Gives a file another name, in place of a file that has it.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> Result<(), DiskError>;

    /// Makes a directory and those above it that are missing. Mode 0700. [`make_dir`] makes it
    /// durable too.
    fn create_dir_all(&self, dir: &Path) -> Result<(), DiskError>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path, point: SyncPoint) -> Result<(), DiskError>;

    /// Bytes that this process may still write on the file system of a path.
    fn free_bytes(&self, path: &Path) -> Result<u64, DiskError>;
}

/// An open file, by offset. It stays open under a rename and after a removal, and may be read by
/// several threads at once.
///
/// # Errors
/// Every operation names itself and the path it failed on.
pub trait File: Send + Sync {
    /// Reads at an offset into the buffer; less than its length only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, DiskError>;

    /// Writes all bytes at an offset; the file grows as needed.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> Result<(), DiskError>;

    /// Cuts the file, or grows it with zeros that take no space.
    fn set_len(&mut self, len: u64) -> Result<(), DiskError>;

    /// Grows the file to at least `len` bytes with zeros, and takes the space for them: a later
    /// write below `len` does not find the disk full.
    fn allocate(&mut self, len: u64) -> Result<(), DiskError>;

    /// The length in bytes.
    fn len(&self) -> Result<u64, DiskError>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> Result<bool, DiskError> {
        Ok(self.len()? == 0)
    }

    /// Makes the bytes and the length durable; the name is the directory's.
    fn sync(&mut self, point: SyncPoint) -> Result<(), DiskError>;
}

/// Replaces a small file as a whole, mode 0600: after any end it has the old or the new content,
/// and the new once this has returned. Goes through `<path>.tmp`.
///
/// # Errors
/// If any step fails; the old content is then still there.
pub fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    place_file(disk, path, bytes, [SyncPoint::ReplaceData, SyncPoint::ReplaceDir])
}

/// [`replace_file`] with syncs of other names: of the content, and of the directory.
///
/// # Errors
/// As [`replace_file`]; after a failed sync of the directory the file may have either content.
pub fn place_file(
    disk: &dyn Disk,
    path: &Path,
    bytes: &[u8],
    [data, dir]: [SyncPoint; 2],
) -> Result<(), DiskError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let tmp = PathBuf::from(name);
    let mut file = disk.create(&tmp)?;
    file.write_at(bytes, 0)?;
    file.sync(data)?;
    drop(file);
    disk.rename(&tmp, path)?;
    disk.sync_dir(parent(path), dir)
}

/// Reads a small file as a whole; `None` if there is none.
///
/// # Errors
/// If it cannot be read, or has more than `bytes_max` bytes.
pub fn read_file(
    disk: &dyn Disk,
    path: &Path,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, DiskError> {
    let file = match disk.open(path, Access::Read) {
        Ok(file) => file,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
    if len > bytes_max {
        let text = format!("{len} bytes, expected at most {bytes_max}");
        return Err(DiskError::new("read", path, io::Error::other(text)));
    }
    let mut bytes = vec![0; len];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

/// Makes a directory with those above it that are missing, each durable before the next. The name
/// of the first that was there is synced too: its maker may have died before the sync.
///
/// # Errors
/// If a directory cannot be made, or a parent cannot be synced.
pub fn make_dir(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    let mut missing = Vec::new();
    let mut at = dir;
    while !disk.exists(at)? {
        missing.push(at);
        at = parent(at);
    }
    match disk.sync_dir(parent(at), SyncPoint::MakeDir) {
        // A directory that this process may not even read is not one it made.
        Err(error) if error.source.kind() == io::ErrorKind::PermissionDenied => {}
        result => result?,
    }
    for dir in missing.into_iter().rev() {
        disk.create_dir_all(dir)?;
        disk.sync_dir(parent(dir), SyncPoint::MakeDir)?;
    }
    Ok(())
}

/// The directory that holds a path; `.` for a bare name.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}
