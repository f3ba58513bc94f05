//! The operating system's disk.

use std::fs;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Access, Disk, DiskError, File, SyncPoint};

/// Space is taken in writes of this size where the file system cannot allocate.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// The file systems of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, access: Access) -> Result<Box<dyn File>, DiskError> {
        let write = access == Access::ReadWrite;
        let file = fs::OpenOptions::new().read(true).write(write).open(path);
        real_file("open", path, file)
    }

    fn create(&self, path: &Path) -> Result<Box<dyn File>, DiskError> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        real_file("create", path, options.open(path))
    }

    fn exists(&self, path: &Path) -> Result<bool, DiskError> {
        path.try_exists().map_err(|error| DiskError::new("look for", path, error))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError> {
        let names = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(dir)? {
                names.extend(entry?.file_name().into_string().ok());
            }
            names.sort_unstable();
            Ok(names)
        };
        names().map_err(|error| DiskError::new("list", dir, error))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        fs::rename(from, to).map_err(|error| DiskError::new("rename", from, error))
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        fs::remove_file(path).map_err(|error| DiskError::new("remove", path, error))
    }

    fn create_dir_all(&self, dir: &Path) -> Result<(), DiskError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| DiskError::new("make", dir, error))
    }

    fn sync_dir(&self, dir: &Path, _point: SyncPoint) -> Result<(), DiskError> {
        let synced = fs::File::open(dir).and_then(|dir| dir.sync_all());
        synced.map_err(|error| DiskError::new("sync", dir, error))
    }

    fn free_bytes(&self, path: &Path) -> Result<u64, DiskError> {
        let stat = rustix::fs::statvfs(path)
            .map_err(|error| DiskError::new("look at", path, error.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

fn real_file(
    operation: &'static str,
    path: &Path,
    file: io::Result<fs::File>,
) -> Result<Box<dyn File>, DiskError> {
    match file {
        Ok(file) => Ok(Box::new(RealFile { file, path: path.to_path_buf() })),
        Err(error) => Err(DiskError::new(operation, path, error)),
    }
}

struct RealFile {
    file: fs::File,
    path: PathBuf,
}

impl RealFile {
    fn named<T>(&self, operation: &'static str, result: io::Result<T>) -> Result<T, DiskError> {
        result.map_err(|error| DiskError::new(operation, &self.path, error))
    }

    /// Takes space by writing zeros behind the end.
    fn fill(&self, len: u64) -> io::Result<()> {
        let mut at = self.file.metadata()?.len();
        while at < len {
            let step = ZEROS.len().min(usize::try_from(len - at).unwrap_or(usize::MAX));
            self.file.write_all_at(ZEROS.split_at(step).0, at)?;
            at += step as u64;
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn reserve(&self, len: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;

        match rustix::io::retry_on_intr(|| fallocate(&self.file, FallocateFlags::empty(), 0, len)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.fill(len),
            result => Ok(result?),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn reserve(&self, len: u64) -> io::Result<()> {
        self.fill(len)
    }
}

impl File for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        let mut rest = buffer;
        let mut at = offset;
        while !rest.is_empty() {
            match self.file.read_at(rest, at) {
                Ok(0) => break,
                Ok(read) => {
                    at += read as u64;
                    rest = rest.split_at_mut(read).1;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.named("read", Err(error)),
            }
        }
        Ok(usize::try_from(at - offset).expect("invariant: no more than the buffer was read"))
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        self.named("write", self.file.write_all_at(bytes, offset))
    }

    fn set_len(&mut self, len: u64) -> Result<(), DiskError> {
        self.named("set the length of", self.file.set_len(len))
    }

    fn allocate(&mut self, len: u64) -> Result<(), DiskError> {
        if len == 0 {
            return Ok(());
        }
        self.named("allocate", self.reserve(len))
    }

    fn len(&self) -> Result<u64, DiskError> {
        Ok(self.named("look at", self.file.metadata())?.len())
    }

    fn sync(&mut self, _point: SyncPoint) -> Result<(), DiskError> {
        self.named("sync", self.file.sync_data())
    }
}

/// A data directory is this process's for as long as the value lives. The file stays.
#[derive(Debug)]
pub struct Lock {
    file: fs::File,
}

impl Lock {
    /// Calls a function; programs that it starts hold the lock too, each until it ends, and so do
    /// those that they start. Programs that other threads start in the meantime do as well.
    ///
    /// # Errors
    /// The system refuses; the function was not called.
    pub fn shared<T>(&self, start: impl FnOnce() -> T) -> io::Result<T> {
        use rustix::io::{FdFlags, fcntl_setfd};
        fcntl_setfd(&self.file, FdFlags::empty())?;
        let started = start();
        // What starts later would hold the lock as well, which only keeps it for longer.
        fcntl_setfd(&self.file, FdFlags::CLOEXEC).ok();
        Ok(started)
    }
}

/// A data directory cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error(
        "{} is held by another process{holder}: is it running on this directory already",
        path.display()
    )]
    Held {
        /// The lock file.
        path: PathBuf,
        /// ` (process 123)`, or nothing if the file does not say.
        holder: String,
    },
    /// The file cannot be opened or locked.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Takes the lock file at `path`, made if missing, and writes the process's number into it.
/// The lock ends with the process, however it ends.
///
/// # Errors
/// If another process holds it, or the file cannot be opened, locked or written.
pub fn lock(path: &Path) -> Result<Lock, LockError> {
    let named = |error| DiskError::new("lock", path, error);
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(path).map_err(|error| DiskError::new("open", path, error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let holder = holder(&mut file);
            return Err(LockError::Held { path: path.to_path_buf(), holder });
        }
        Err(fs::TryLockError::Error(error)) => return Err(named(error).into()),
    }
    let text = format!("{}\n", std::process::id());
    file.set_len(0).map_err(named)?;
    file.rewind().map_err(named)?;
    file.write_all(text.as_bytes()).map_err(named)?;
    Ok(Lock { file })
}

/// What the lock file says of its holder; a wrong file only makes the message shorter.
fn holder(file: &mut fs::File) -> String {
    let mut text = String::new();
    match file.take(20).read_to_string(&mut text) {
        Ok(_) => text.trim().parse::<u32>().map_or(String::new(), |id| format!(" (process {id})")),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::disk::{make_dir, read_file, replace_file};

    /// A directory of its own for one test, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let dir =
                std::env::temp_dir().join(format!("bellwether-{name}-{}", std::process::id()));
            make_dir(&RealDisk, &dir).unwrap();
            Scratch(dir)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn files_keep_what_is_written() {
        let scratch = Scratch::new("files");
        let path = scratch.0.join("a");
        let mut file = RealDisk.create(&path).unwrap();
        file.allocate(100_000).unwrap();
        assert_eq!(file.len().unwrap(), 100_000);
        file.write_at(b"hello", 99_998).unwrap();
        file.sync(SyncPoint::JournalCommit).unwrap();
        let mut buffer = [1; 10];
        assert_eq!(file.read_at(&mut buffer, 99_995).unwrap(), 8);
        assert_eq!(&buffer, b"\0\0\0hello\x01\x01");
        file.set_len(7).unwrap();
        file.allocate(70_000).unwrap();
        assert_eq!(file.len().unwrap(), 70_000);

        RealDisk.rename(&path, &scratch.0.join("b")).unwrap();
        assert_eq!(RealDisk.list(&scratch.0).unwrap(), ["b"]);
        assert!(!RealDisk.exists(&path).unwrap());
        assert!(RealDisk.open(&path, Access::Read).err().unwrap().is_missing());
        let mut readable = RealDisk.open(&scratch.0.join("b"), Access::Read).unwrap();
        assert!(readable.write_at(b"x", 0).is_err());
        RealDisk.remove(&scratch.0.join("b")).unwrap();
        assert!(RealDisk.list(&scratch.0).unwrap().is_empty());
        assert!(RealDisk.free_bytes(&scratch.0).unwrap() > 0);
    }

    #[test]
    fn space_is_taken_by_zeros_where_it_cannot_be_allocated() {
        let scratch = Scratch::new("fill");
        let path = scratch.0.join("a");
        fs::write(&path, b"abc").unwrap();
        let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        RealFile { file, path: path.clone() }.fill(150_000).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 150_000);
        assert!(bytes.starts_with(b"abc\0") && bytes.iter().skip(3).all(|byte| *byte == 0));
    }

    #[test]
    fn a_replaced_file_is_private_and_whole() {
        use std::os::unix::fs::PermissionsExt;

        let scratch = Scratch::new("replace");
        let path = scratch.0.join("state");
        assert_eq!(read_file(&RealDisk, &path, 10).unwrap(), None);
        replace_file(&RealDisk, &path, b"one").unwrap();
        replace_file(&RealDisk, &path, b"second").unwrap();
        assert_eq!(read_file(&RealDisk, &path, 6).unwrap().unwrap(), b"second");
        assert!(read_file(&RealDisk, &path, 5).is_err());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(RealDisk.list(&scratch.0).unwrap(), ["state"]);
    }

    /// A child has every lock of this process until it is another program.
    static FORKS: Mutex<()> = Mutex::new(());

    #[test]
    fn a_directory_has_one_holder() {
        let _no_child = FORKS.lock().unwrap();
        let scratch = Scratch::new("lock");
        let path = scratch.0.join("lock");
        let held = lock(&path).unwrap();
        let refused = lock(&path).unwrap_err().to_string();
        let expected = format!("is held by another process (process {})", std::process::id());
        assert!(refused.contains(&expected), "{refused}");
        drop(held);
        lock(&path).unwrap();
    }

    #[test]
    fn a_program_holds_the_lock_that_is_shared_with_it() {
        use std::process::{Command, Stdio};

        let _no_other = FORKS.lock().unwrap();
        let scratch = Scratch::new("shared-lock");
        let path = scratch.0.join("lock");
        let held = lock(&path).unwrap();
        let waits = || Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let mut with = held.shared(waits).unwrap().unwrap();
        let mut without = waits().unwrap();
        drop(held);
        lock(&path).unwrap_err();
        drop(with.stdin.take());
        with.wait().unwrap();
        lock(&path).unwrap();
        drop(without.stdin.take());
        without.wait().unwrap();
    }
}
