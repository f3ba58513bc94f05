//! One thread that reads files for the sampler, which waits for it only so long.
//!
//! An input whose files do not answer in the time that a tick has, [`READ_MAX`], loses its row, and
//! holds up the others by no more than that, once: the thread that hangs is left to itself, and the
//! next input gets another.
//! The caller asks for nothing of that input until [`Hung::is_over`], so that there is one such
//! thread for each input at most. Threads are never joined: one that hangs ends with the process.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use bellwether_platform::small_file::open_at_once;

use crate::pure::files::FILE_BYTES_MAX;
use crate::shell::calls::Ask;

/// How long a tick waits for files in all: long enough for a host that is overloaded.
pub const READ_MAX: Duration = Duration::from_secs(1);
/// First size of a buffer; a page of the kernel's.
pub const BUFFER_BYTES: usize = 4096;
/// What is done here needs little.
const STACK_BYTES: usize = 128 << 10;

/// What is to be read.
pub enum Job {
    /// The answer of a call.
    Call(Arc<Ask>),
    /// A file, opened where it is not.
    File {
        /// Open since an earlier reading, or after this one.
        open: Option<File>,
        /// Whether it is to stay open.
        stays: bool,
        /// Where it is.
        path: PathBuf,
        /// Files of `/proc` may give less than was asked for before their end; those of `/sys` do
        /// not.
        is_proc: bool,
    },
}

/// What is to be read for one file of [`crate::pure::files::Files`].
pub struct Reading {
    /// The file's number.
    pub number: u32,
    /// What to do.
    pub job: Job,
    /// Where the bytes go.
    pub bytes: Vec<u8>,
    /// How it went.
    pub result: io::Result<()>,
}

/// The thread, which waits for work.
pub struct Reader(Arc<Shared>);

/// A thread that was left to itself.
pub struct Hung(Arc<Shared>);

struct Shared {
    desk: Mutex<Desk>,
    turned: Condvar,
}

struct Desk {
    readings: Vec<Reading>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The thread waits.
    Idle,
    /// It reads.
    Asked,
    /// Nobody waits for it any more.
    Left,
    /// It has ended.
    Over,
}

impl Reader {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start() -> io::Result<Reader> {
        let desk = Mutex::new(Desk { readings: Vec::new(), stage: Stage::Idle });
        let shared = Arc::new(Shared { desk, turned: Condvar::new() });
        let theirs = Arc::clone(&shared);
        let builder = Builder::new().name("reader".to_owned()).stack_size(STACK_BYTES);
        builder.spawn(move || theirs.work())?;
        Ok(Reader(shared))
    }

    /// Reads, waiting so long; the readings come back as they are done.
    ///
    /// # Errors
    /// They take too long, and are lost with the thread.
    pub fn read(self, readings: &mut Vec<Reading>, time: Duration) -> Result<Reader, Hung> {
        let mut desk = self.0.lock();
        std::mem::swap(&mut desk.readings, readings);
        desk.stage = Stage::Asked;
        self.0.turned.notify_all();
        let (mut desk, _) = self
            .0
            .turned
            .wait_timeout_while(desk, time, |desk| desk.stage == Stage::Asked)
            .unwrap_or_else(PoisonError::into_inner);
        if desk.stage == Stage::Asked {
            desk.stage = Stage::Left;
            return Err(Hung(Arc::clone(&self.0)));
        }
        std::mem::swap(&mut desk.readings, readings);
        drop(desk);
        Ok(self)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut desk = self.0.lock();
        if desk.stage != Stage::Over {
            desk.stage = Stage::Left;
            self.0.turned.notify_all();
        }
    }
}

impl Hung {
    /// Whether its readings have come back after all.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.lock().stage == Stage::Over
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of the thread.
    fn work(&self) {
        let (mut readings, mut scratch) = (Vec::new(), vec![0; BUFFER_BYTES]);
        let mut desk = self.lock();
        loop {
            let waits = |desk: &mut Desk| desk.stage == Stage::Idle;
            desk = self.turned.wait_while(desk, waits).unwrap_or_else(PoisonError::into_inner);
            if desk.stage == Stage::Left {
                desk.stage = Stage::Over;
                return;
            }
            std::mem::swap(&mut desk.readings, &mut readings);
            drop(desk);
            for reading in &mut readings {
                reading.result = reading.job.run(&mut scratch, &mut reading.bytes);
            }
            desk = self.lock();
            std::mem::swap(&mut desk.readings, &mut readings);
            if desk.stage == Stage::Asked {
                desk.stage = Stage::Idle;
                self.turned.notify_all();
            }
        }
    }
}

impl Job {
    /// Does it alone.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn answer(mut self) -> io::Result<Vec<u8>> {
        let (mut scratch, mut bytes) = (vec![0; BUFFER_BYTES], Vec::new());
        self.run(&mut scratch, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads into `scratch`, then copies: files keep only what they hold.
    fn run(&mut self, scratch: &mut Vec<u8>, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.clear();
        match self {
            Job::Call(call) => bytes.extend_from_slice(&call()?),
            Job::File { open, stays, path, is_proc } => {
                if let Some(file) = open
                    && let Ok(whole) = read_whole(file, *is_proc, scratch)
                {
                    bytes.extend_from_slice(whole);
                    return Ok(());
                }
                *open = None;
                let fresh = open_at_once(path)?;
                bytes.extend_from_slice(read_whole(&fresh, *is_proc, scratch)?);
                *open = Some(fresh).filter(|_| *stays);
            }
        }
        Ok(())
    }
}

/// Reads a file from its start to its end into a buffer that grows up to the bound.
fn read_whole<'b>(file: &File, is_proc: bool, buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
    let mut length = 0;
    loop {
        if length == buffer.len() {
            if length >= FILE_BYTES_MAX {
                return Err(ErrorKind::FileTooLarge.into());
            }
            buffer.resize(length * 2, 0);
        }
        let room = buffer.get_mut(length..).unwrap_or_default();
        let (wanted, offset) = (room.len(), u64::try_from(length).unwrap_or(u64::MAX));
        match file.read_at(room, offset) {
            Ok(0) => break,
            Ok(bytes) => {
                length += bytes;
                if !is_proc && bytes < wanted {
                    break;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(buffer.get(..length).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn reading(job: Job) -> Reading {
        Reading { number: 0, job, bytes: Vec::new(), result: Ok(()) }
    }

    #[test]
    fn long_files_grow_the_buffer_and_end_at_the_bound() {
        let zero = File::open("/dev/zero").unwrap();
        let mut buffer = vec![0; 16];
        let error = read_whole(&zero, true, &mut buffer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        let maps = File::open("/proc/self/maps").unwrap();
        let mut buffer = vec![0; 16];
        let text = read_whole(&maps, true, &mut buffer).unwrap();
        assert!(text.len() > 1000 && text.ends_with(b"\n"));
    }

    #[test]
    fn a_file_stays_open_where_that_is_wanted() {
        let file = |stays| {
            let path = PathBuf::from("/proc/uptime");
            reading(Job::File { open: None, stays, path, is_proc: true })
        };
        let mut readings = vec![file(true), file(false)];
        let _reader = Reader::start().unwrap().read(&mut readings, READ_MAX).ok().unwrap();
        assert!(readings.iter().all(|reading| reading.bytes.ends_with(b"\n")));
        let is_open = |r: &Reading| matches!(r.job, Job::File { open: Some(_), .. });
        assert_eq!(readings.iter().map(is_open).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn one_that_hangs_is_left_and_ends_when_its_answer_comes() {
        let (release, released) = channel::<()>();
        let released = Mutex::new(released);
        let hang = move || {
            released.lock().unwrap().recv().map_err(io::Error::other)?;
            Ok(Vec::new())
        };
        let mut readings = vec![reading(Job::Call(Arc::new(|| Ok(b"1".to_vec()))))];
        let reader = Reader::start().unwrap().read(&mut readings, READ_MAX).ok().unwrap();
        assert_eq!((readings.len(), &*readings[0].bytes), (1, &b"1"[..]));
        let mut readings = vec![reading(Job::Call(Arc::new(hang)))];
        let hung = reader.read(&mut readings, Duration::from_millis(1)).err().unwrap();
        assert!(!hung.is_over());
        release.send(()).unwrap();
        while !hung.is_over() {
            std::thread::yield_now();
        }
    }
}
