//! One thread that reads files for the sampler, which waits for it only so long.
//!
//! What is handed over at once is of several inputs, one after the other. An input whose files do
//! not answer in the time that a tick has, [`READ_MAX`], loses its row, and holds up the others by
//! no more than that, once: the thread that hangs is left to itself, and what it has not begun
//! comes back. Once a tick has waited for [`WAITS`], no further input is begun.
//! The caller asks for nothing of an input that hangs until [`Hung::is_over`], so that there is one
//! such thread for each input at most. Threads are never joined: one that hangs ends with the
//! process.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use bellwether_model::time::Mono;
use bellwether_platform::clock::Clock;
use bellwether_platform::small_file::open_at_once;

use crate::pure::files::FILE_BYTES_MAX;
use crate::shell::calls::Ask;

/// How long a tick waits for files in all: long enough for a host that is overloaded.
pub const READ_MAX: Duration = Duration::from_secs(1);
/// Once a tick has waited so long, what was read before has to do for the inputs that are left.
pub const WAITS: Duration = Duration::from_millis(500);
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
    /// The input that it is read for.
    pub input: usize,
    /// The file's number.
    pub number: u32,
    /// What to do.
    pub job: Job,
    /// Where the bytes go.
    pub bytes: Vec<u8>,
    /// How it went.
    pub result: io::Result<()>,
    /// How long it took.
    pub took: Duration,
}

/// What is handed over, and what has come back.
#[derive(Default)]
pub struct Readings {
    /// Not begun, those of an input one after the other.
    pub asked: VecDeque<Reading>,
    /// Done.
    pub done: Vec<Reading>,
}

/// The thread, which waits for work.
pub struct Reader(Arc<Shared>);

/// A thread that was left to itself.
pub struct Hung {
    /// For which input.
    pub input: usize,
    /// The file that it reads, and has taken along.
    pub number: Option<u32>,
    shared: Arc<Shared>,
}

struct Shared {
    desk: Mutex<Desk>,
    turned: Condvar,
    clock: Clock,
}

struct Desk {
    readings: Readings,
    /// When they were handed over.
    begun: Mono,
    /// The input whose files are read.
    input: usize,
    /// The file that is read.
    number: Option<u32>,
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
    pub fn start(clock: Clock) -> io::Result<Reader> {
        let desk = Desk {
            readings: Readings::default(),
            begun: Mono::default(),
            input: 0,
            number: None,
            stage: Stage::Idle,
        };
        let shared = Arc::new(Shared { desk: Mutex::new(desk), turned: Condvar::new(), clock });
        let theirs = Arc::clone(&shared);
        let builder = Builder::new().name("reader".to_owned()).stack_size(STACK_BYTES);
        builder.spawn(move || theirs.work())?;
        Ok(Reader(shared))
    }

    /// Reads, waiting so long. What is done comes back so, and what was not begun as it was: all of
    /// inputs that there was no time left for.
    ///
    /// # Errors
    /// The files of an input take too long: the one that is read is lost with the thread.
    pub fn read(self, readings: &mut Readings, time: Duration) -> Result<Reader, Hung> {
        let mut desk = self.0.lock();
        std::mem::swap(&mut desk.readings, readings);
        desk.stage = Stage::Asked;
        desk.begun = self.0.clock.now().mono;
        desk.input = desk.readings.asked.front().map_or(0, |first| first.input);
        drop(desk);
        self.0.turned.notify_all();
        let is_reading = |desk: &mut Desk| desk.stage == Stage::Asked;
        let (mut desk, _) = (self.0.turned)
            .wait_timeout_while(self.0.lock(), time, is_reading)
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut desk.readings, readings);
        if desk.stage == Stage::Asked {
            desk.stage = Stage::Left;
            let (input, number) = (desk.input, desk.number);
            return Err(Hung { input, number, shared: Arc::clone(&self.0) });
        }
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
    /// Whether its answer has come after all.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.shared.lock().stage == Stage::Over
    }
}

impl Desk {
    /// The next to read: of another input only where there is time left.
    fn next(&mut self, now: Mono) -> Option<Reading> {
        let Reading { input, number, .. } = *self.readings.asked.front()?;
        if input != self.input && now.since(self.begun) >= WAITS {
            return None;
        }
        (self.input, self.number) = (input, Some(number));
        self.readings.asked.pop_front()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of the thread.
    fn work(&self) {
        let mut scratch = vec![0; BUFFER_BYTES];
        let mut desk = self.lock();
        loop {
            let waits = |desk: &mut Desk| desk.stage == Stage::Idle;
            desk = self.turned.wait_while(desk, waits).unwrap_or_else(PoisonError::into_inner);
            let mut now = self.clock.now().mono;
            while desk.stage == Stage::Asked
                && let Some(mut reading) = desk.next(now)
            {
                drop(desk);
                reading.result = reading.job.run(&mut scratch, &mut reading.bytes);
                let after = self.clock.now().mono;
                reading.took = after.since(now);
                now = after;
                desk = self.lock();
                if desk.stage == Stage::Asked {
                    desk.number = None;
                    desk.readings.done.push(reading);
                }
            }
            if desk.stage == Stage::Left {
                desk.stage = Stage::Over;
                return;
            }
            desk.stage = Stage::Idle;
            drop(desk);
            self.turned.notify_all();
            desk = self.lock();
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
    use std::sync::mpsc::{Sender, channel};

    use bellwether_model::time::Nanos;
    use bellwether_platform::clock::Reading as ClockReading;

    use super::*;

    fn readings(jobs: impl IntoIterator<Item = (usize, Job)>) -> Readings {
        let reading = |(input, job)| Reading {
            input,
            number: 0,
            job,
            bytes: Vec::new(),
            result: Ok(()),
            took: Duration::ZERO,
        };
        Readings { asked: jobs.into_iter().map(reading).collect(), done: Vec::new() }
    }

    fn started() -> Reader {
        Reader::start(Clock::agent()).unwrap()
    }

    fn quick() -> Job {
        Job::Call(Arc::new(|| Ok(b"1".to_vec())))
    }

    /// A call that waits until it may end.
    fn hanging() -> (Job, Sender<()>) {
        let (release, released) = channel::<()>();
        let released = Mutex::new(released);
        let hang = move || {
            released.lock().unwrap().recv().map_err(io::Error::other)?;
            Ok(Vec::new())
        };
        (Job::Call(Arc::new(hang)), release)
    }

    fn inputs<'a>(readings: impl IntoIterator<Item = &'a Reading>) -> Vec<usize> {
        readings.into_iter().map(|reading| reading.input).collect()
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
            (0, Job::File { open: None, stays, path: PathBuf::from("/proc/uptime"), is_proc: true })
        };
        let mut readings = readings([file(true), file(false)]);
        let _reader = started().read(&mut readings, READ_MAX).ok().unwrap();
        assert!(readings.done.iter().all(|reading| reading.bytes.ends_with(b"\n")));
        let is_open = |r: &Reading| matches!(r.job, Job::File { open: Some(_), .. });
        assert_eq!(readings.done.iter().map(is_open).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn one_that_hangs_is_left_and_ends_when_its_answer_comes() {
        let mut all = readings([(7, quick())]);
        let reader = started().read(&mut all, READ_MAX).ok().unwrap();
        assert_eq!((all.done.len(), &*all.done[0].bytes), (1, &b"1"[..]));
        let (job, release) = hanging();
        let mut all = readings([(1, quick()), (2, quick()), (2, job), (2, quick()), (3, quick())]);
        let hung = reader.read(&mut all, READ_MAX).err().unwrap();
        assert_eq!((hung.input, hung.number), (2, Some(0)));
        assert_eq!((inputs(&all.done), inputs(&all.asked)), (vec![1, 2], vec![2, 3]));
        assert!(!hung.is_over());
        release.send(()).unwrap();
        while !hung.is_over() {
            std::thread::yield_now();
        }
    }

    /// An input is begun only while there is time; one that is begun is read to its end.
    #[test]
    fn after_a_while_no_further_input_is_begun() {
        let first = ClockReading { mono: Mono(Duration::from_secs(1)), system: Nanos(0) };
        let (clock, time) = Clock::manual_agent(first);
        let slow = move || {
            time.advance(WAITS / 2);
            Ok(Vec::new())
        };
        let slow: Arc<Ask> = Arc::new(slow);
        let jobs = [1, 2, 2, 2, 3, 4].map(|input| (input, Job::Call(Arc::clone(&slow))));
        let mut all = readings(jobs);
        let reader = Reader::start(clock).unwrap().read(&mut all, READ_MAX).ok().unwrap();
        assert_eq!((inputs(&all.done), inputs(&all.asked)), (vec![1, 2, 2, 2], vec![3, 4]));
        assert!(all.done.iter().all(|reading| reading.took == WAITS / 2));
        all.done.clear();
        let _reader = reader.read(&mut all, READ_MAX).ok().unwrap();
        assert_eq!((inputs(&all.done), all.asked.len()), (vec![3, 4], 0));
    }
}
