//! The host's files: roots, open files, reading.
//!
//! What is read for each row stays open and is read at offset 0 into a buffer that is used again;
//! an error closes it, and it is opened once more at once, since a device may have been replaced.
//! A thread reads, and is waited for only so long, see [`crate::shell::reader`]; what is known to
//! hang is read by threads of its own before the row, see [`crate::shell::apart`].
//!
//! What an input reads that was slow twice in a row is read so too until it is quick again, so that
//! a tick waits for none but what is new or slow for the first or second time, and for no more than
//! [`READ_MAX`] in all of what is not new. Who is taken for slow and is not loses nothing: its rows
//! hold what was read a tick before.

use std::collections::BTreeMap;
use std::fs::File as OpenFile;
use std::io::{Error, ErrorKind, Result as IoResult};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::time::Mono;
use bellwether_platform::clock::Clock;
use bellwether_platform::small_file::open_at_once;
use rustix::io::Errno;

use crate::pure::files::{ANSWER_MAX, DueApart, File, Files, ReadError, Refresh, Root, Source};
use crate::pure::input::InputError;
use crate::shell::apart::{Answer, Apart, AskedFile, Call, Subject};
use crate::shell::calls::Calls;
use crate::shell::reader::{BUFFER_BYTES, Hung, Job, READ_MAX, Reader, Reading, Readings, WAITS};

/// Where the host's trees are mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// `/proc`
    pub proc: PathBuf,
    /// `/sys`
    pub sys: PathBuf,
    /// `/`
    pub host: PathBuf,
}

impl Default for Roots {
    fn default() -> Roots {
        Roots { proc: "/proc".into(), sys: "/sys".into(), host: "/".into() }
    }
}

impl Roots {
    fn path(&self, root: Root, path: &str) -> PathBuf {
        match root {
            Root::Proc => self.proc.join(path),
            Root::Sys => self.sys.join(path),
            // Paths that the host tells begin with a slash.
            Root::Host => self.host.join(path.trim_start_matches('/')),
        }
    }
}

/// Files kept open at one time; the others are opened for each reading.
const OPEN_MAX: usize = 400;
/// An input that takes longer twice in a row is slow; a host's take a millisecond.
const SLOW: Duration = Duration::from_millis(100);
/// So many answers within [`SLOW`] in a row make an input quick again.
const QUICK_ANSWERS: u32 = 10;
/// From look to look while waiting for what is read apart.
const LOOK: Duration = Duration::from_millis(100);

/// The open files, by the numbers of [`Files`].
pub struct Host {
    roots: Roots,
    calls: Calls,
    clock: Clock,
    /// The threads of each input that has any.
    apart: BTreeMap<usize, Apart>,
    answers: Vec<Answer>,
    open: Vec<Option<Kept>>,
    kept: usize,
    /// Started when it is needed.
    reader: Option<Reader>,
    /// What is read now; empty otherwise.
    readings: Readings,
    /// The inputs for which a thread hangs, with the path that it reads.
    hung: BTreeMap<usize, (Hung, Box<str>)>,
    /// How long this tick has waited.
    waited: Duration,
    /// How long the answers took that each input has got since its last row.
    took: Vec<Duration>,
    /// The inputs whose last reading was slow; of slow ones, how many answers were quick.
    suspects: BTreeMap<usize, u32>,
}

struct Kept {
    serial: u64,
    file: OpenFile,
    path: PathBuf,
}

impl Host {
    /// Nothing open yet.
    #[must_use]
    pub fn new(roots: Roots, calls: Calls, clock: Clock) -> Host {
        Host {
            roots,
            calls,
            clock,
            apart: BTreeMap::new(),
            answers: Vec::new(),
            open: Vec::new(),
            kept: 0,
            reader: None,
            readings: Readings::default(),
            hung: BTreeMap::new(),
            waited: Duration::ZERO,
            took: Vec::new(),
            suspects: BTreeMap::new(),
        }
    }

    /// A tick begins: it has waited for nothing yet. What hangs now does so for the whole tick.
    pub fn begin_tick(&mut self) {
        self.waited = Duration::ZERO;
        self.hung.retain(|_, (hung, _)| !hung.is_over());
    }

    /// Asks apart for what an input wants read so, if `due`.
    pub fn ask_apart(&mut self, files: &mut Files, input: usize, due: DueApart, now: Mono) {
        for place in 0..files.asked(input).len() {
            let Some(number) = files.asked(input).get(place).copied() else { break };
            let Some(file) = files.file_mut(number).filter(|file| file.is_due_apart(due, now))
            else {
                continue;
            };
            let (subject, call) = self.call(file);
            file.awaits(now);
            let clock = &self.clock;
            let apart = self.apart.entry(input).or_insert_with(|| Apart::new(clock.clone()));
            apart.ask(AskedFile { number, serial: file.serial() }, subject, call);
        }
        self.tend(now);
    }

    /// Sees that somebody works on what was asked apart.
    pub fn tend(&self, now: Mono) {
        self.apart.values().for_each(|apart| apart.tend(now));
    }

    /// Waits until all that was asked apart is answered, or is stuck.
    pub fn wait_apart(&self) {
        let looks = ANSWER_MAX.as_millis().div_ceil(LOOK.as_millis());
        for _ in 0..looks {
            self.tend(self.clock.now().mono);
            if self.apart.values().all(|apart| apart.wait(LOOK)) {
                return;
            }
        }
    }

    /// Takes what was learned apart for an input.
    pub fn take_answers(&mut self, files: &mut Files, input: usize, row: u64, now: Mono) {
        let Some(apart) = self.apart.get(&input) else { return };
        apart.take_answers(&mut self.answers);
        let (mut took, mut is_of_slow) = (Duration::ZERO, false);
        for answer in self.answers.drain(..) {
            took += answer.took;
            let AskedFile { number, serial } = answer.file;
            let Some(file) = files.file_mut(number).filter(|file| file.serial() == serial) else {
                continue;
            };
            file.answered();
            is_of_slow |= file.is_slow();
            match answer.bytes {
                Ok(bytes) => {
                    replace(file.buffer(), &bytes);
                    file.was_read(row, now);
                }
                Err(error) => file.was_not_read(reason(&error), row, now),
            }
        }
        for place in 0..files.asked(input).len() {
            let Some(number) = files.asked(input).get(place).copied() else { break };
            if let Some(file) = files.file_mut(number) {
                file.check_answer(row, now);
            }
        }
        if is_of_slow {
            self.acquit(files, input, took);
        }
        count(&mut self.took, input, took);
    }

    /// How long the answers took in all that an input has got since the last call, but for those
    /// that [`Host::read`] waited for.
    pub fn take_took(&mut self, input: usize) -> Duration {
        self.took.get_mut(input).map(std::mem::take).unwrap_or_default()
    }

    /// Whether an answer waits to be taken.
    #[cfg(test)]
    pub(crate) fn has_answers(&self) -> bool {
        self.apart.values().any(Apart::has_answers)
    }

    /// Whether a thread hangs that was left to itself.
    #[cfg(test)]
    pub(crate) fn is_hung(&self) -> bool {
        self.hung.values().any(|(hung, _)| !hung.is_over())
    }

    fn call(&self, file: &File) -> (Subject, Call) {
        let path = self.roots.path(file.root(), file.path());
        let subject = (file.source(), path.clone());
        let call: Call = match file.source() {
            Source::SpaceApart => {
                let space = Arc::clone(&self.calls.space);
                Box::new(move || space(&path))
            }
            Source::TextApart => Box::new(move || read_small(&path)),
            Source::Clock => {
                let clock = Arc::clone(&self.calls.clock);
                Box::new(move || clock())
            }
            Source::Text => {
                let is_proc = file.root() == Root::Proc;
                Box::new(move || Job::File { open: None, stays: false, path, is_proc }.answer())
            }
        };
        (subject, call)
    }

    /// Takes over from the host of an earlier configuration, whose inputs have the same numbers,
    /// the threads that hang: nobody is sent after them as long as they do.
    pub fn succeed(&mut self, old: Host) {
        let Host { apart, reader, hung, .. } = old;
        self.apart = apart;
        self.apart.retain(|_, apart| !apart.is_idle());
        self.apart.values().for_each(Apart::forget);
        (self.reader, self.hung) = (reader, hung);
    }

    /// Reads what all these inputs have asked for and are due for the row `row`, at once: of those
    /// that do not answer in time only the first is stuck. What has something new to read, and what
    /// there was no time for, is left to [`Host::read`].
    pub fn read_ahead(
        &mut self,
        files: &mut Files,
        inputs: impl Iterator<Item = usize>,
        row: u64,
        now: Mono,
    ) {
        for input in inputs {
            if !self.hung.contains_key(&input) && !files.has_unread(input) {
                self.ask(files, input, row, now);
            }
        }
        let begun = self.waited;
        let Ok(hung) = self.carry_out(files, READ_MAX) else { return };
        let mut left = self.waited.saturating_sub(begun);
        for reading in &self.readings.done {
            count(&mut self.took, reading.input, reading.took);
            left = left.saturating_sub(reading.took);
        }
        if let Some(hung) = &hung {
            count(&mut self.took, hung.input, left);
        }
        self.take_readings(files, hung, row, now);
    }

    /// Reads what an input has asked for and is due for the row `row`.
    ///
    /// # Errors
    /// It does not answer in time: the input is stuck until it has answered after all.
    pub fn read(
        &mut self,
        files: &mut Files,
        input: usize,
        row: u64,
        now: Mono,
    ) -> Result<(), InputError> {
        if !self.hung.contains_key(&input) {
            if self.waited >= WAITS && files.has_due(input, row, now) {
                files.set_slow(input, true);
            }
            self.ask(files, input, row, now);
            // What was never read is waited for: there is nothing that would have to do.
            let is_new = files.has_unread(input);
            let time = if is_new { READ_MAX } else { READ_MAX.saturating_sub(self.waited) };
            match self.carry_out(files, time) {
                Ok(hung) => self.take_readings(files, hung, row, now),
                Err(error) => self.fail(files, input, reason(&error), row, now),
            }
        }
        let Some((_, path)) = self.hung.get(&input) else { return Ok(()) };
        Err(InputError::Read { path: path.clone(), error: ReadError::Stuck })
    }

    /// Takes down what is to be read for an input.
    fn ask(&mut self, files: &mut Files, input: usize, row: u64, now: Mono) {
        for place in 0..files.asked(input).len() {
            let Some(number) = files.asked(input).get(place).copied() else { break };
            if let Some(file) = files.file_mut(number).filter(|file| file.is_due(row, now)) {
                let reading = self.reading(input, number, file);
                self.readings.asked.push_back(reading);
            }
        }
    }

    /// An input that is slow twice in a row is waited for no more.
    fn suspect(&mut self, files: &mut Files, input: usize, took: Duration) {
        if took < SLOW {
            self.suspects.remove(&input);
        } else if self.suspects.insert(input, 0).is_some() {
            files.set_slow(input, true);
        }
    }

    /// A slow input whose answers are quick for a while is waited for again.
    fn acquit(&mut self, files: &mut Files, input: usize, took: Duration) {
        let quick = self.suspects.entry(input).or_default();
        *quick = if took < SLOW { *quick + 1 } else { 0 };
        if *quick >= QUICK_ANSWERS {
            self.suspects.remove(&input);
            files.set_slow(input, false);
        }
    }

    /// Lets the thread read what is taken down; tells if it hangs. What it did not begin is due
    /// still.
    fn carry_out(&mut self, files: &mut Files, time: Duration) -> IoResult<Option<Hung>> {
        if self.readings.asked.is_empty() {
            return Ok(None);
        }
        let begun = self.clock.now().mono;
        let reader = match self.reader.take() {
            Some(reader) => Ok(reader),
            None => Reader::start(self.clock.clone()),
        };
        let result = reader.map(|reader| match reader.read(&mut self.readings, time) {
            Ok(reader) => {
                self.reader = Some(reader);
                None
            }
            Err(hung) => Some(hung),
        });
        self.waited += self.clock.now().mono.since(begun);
        while let Some(reading) = self.readings.asked.pop_front() {
            self.give_back(files, reading);
        }
        result
    }

    /// Takes what was read. The file that a thread hangs at is stuck; what else its input asked for
    /// may be another's too.
    fn take_readings(&mut self, files: &mut Files, hung: Option<Hung>, row: u64, now: Mono) {
        let mut done = std::mem::take(&mut self.readings.done);
        for run in done.chunk_by(|a, b| a.input == b.input) {
            let took = run.iter().map(|reading| reading.took).sum();
            if let Some(input) = run.first().map(|first| first.input)
                && hung.as_ref().is_none_or(|hung| hung.input != input)
            {
                self.suspect(files, input, took);
            }
        }
        for mut reading in done.drain(..) {
            let number = reading.number;
            let result = std::mem::replace(&mut reading.result, Ok(()));
            self.give_back(files, reading);
            let Some(file) = files.file_mut(number) else { continue };
            match result {
                Ok(()) => file.was_read(row, now),
                Err(error) => file.was_not_read(reason(&error), row, now),
            }
        }
        self.readings.done = done;
        if let Some(hung) = hung {
            // Where the thread had not begun, at the first that it was given.
            let at = hung.number.or(files.asked(hung.input).first().copied());
            let path = at.and_then(|number| files.file(number)).map(File::path);
            let path = path.unwrap_or_default().into();
            if let Some(file) = hung.number.and_then(|number| files.file_mut(number)) {
                file.give_back(Vec::new());
                file.was_not_read(ReadError::Stuck, row, now);
            }
            self.suspect(files, hung.input, SLOW);
            self.hung.insert(hung.input, (hung, path));
        }
    }

    /// Gives a file its buffer back, and keeps it open.
    fn give_back(&mut self, files: &mut Files, reading: Reading) {
        let Some(file) = files.file_mut(reading.number) else { return };
        file.give_back(reading.bytes);
        if let Job::File { open: Some(open), path, .. } = reading.job {
            self.keep(reading.number, Kept { serial: file.serial(), file: open, path });
        }
    }

    /// Nothing that was to be read for an input is there.
    fn fail(&mut self, files: &mut Files, input: usize, error: ReadError, row: u64, now: Mono) {
        for place in 0..files.asked(input).len() {
            let Some(number) = files.asked(input).get(place).copied() else { break };
            if let Some(file) = files.file_mut(number).filter(|file| file.is_due(row, now)) {
                file.was_not_read(error, row, now);
            }
        }
    }

    /// What is to be read for a file, which lends its buffer.
    fn reading(&mut self, input: usize, number: u32, file: &mut File) -> Reading {
        let job = match file.source() {
            Source::Clock => Job::Call(Arc::clone(&self.calls.clock)),
            _ => {
                let (open, path) = match self.take(number, file.serial()) {
                    Some(Kept { file, path, .. }) => (Some(file), path),
                    None => (None, self.roots.path(file.root(), file.path())),
                };
                let open_at_once = self.kept + self.readings.asked.len();
                let stays = file.refresh() == Refresh::EachRow && open_at_once < OPEN_MAX;
                Job::File { open, stays, path, is_proc: file.root() == Root::Proc }
            }
        };
        let (result, took) = (Ok(()), Duration::ZERO);
        Reading { input, number, job, bytes: file.lend(), result, took }
    }

    /// Closes what nobody asks for any more.
    pub fn close_released(&mut self, files: &mut Files) {
        if !files.take_released() {
            return;
        }
        for (place, number) in self.open.iter_mut().zip(0_u32..) {
            let serial = files.file(number).map(File::serial);
            if place.as_ref().is_some_and(|kept| Some(kept.serial) != serial) {
                *place = None;
                self.kept -= 1;
            }
        }
    }

    /// Takes an open file out, if it is the one of this serial.
    fn take(&mut self, number: u32, serial: u64) -> Option<Kept> {
        let kept = self.open.get_mut(number as usize)?.take()?;
        self.kept -= 1;
        Some(kept).filter(|kept| kept.serial == serial)
    }

    fn keep(&mut self, number: u32, kept: Kept) {
        let place = number as usize;
        if self.open.len() <= place {
            self.open.resize_with(place + 1, || None);
        }
        if let Some(slot) = self.open.get_mut(place) {
            *slot = Some(kept);
            self.kept += 1;
        }
    }
}

/// Adds to what is counted of an input.
fn count(all: &mut Vec<Duration>, input: usize, took: Duration) {
    if all.len() <= input {
        all.resize(input + 1, Duration::ZERO);
    }
    if let Some(of_input) = all.get_mut(input) {
        *of_input += took;
    }
}

fn replace(buffer: &mut Vec<u8>, bytes: &[u8]) {
    buffer.clear();
    buffer.extend_from_slice(bytes);
}

/// Reads a file of a device's property, a page at most.
fn read_small(path: &Path) -> Result<Vec<u8>, Error> {
    let file = open_at_once(path)?;
    let mut buffer = [0; BUFFER_BYTES];
    let bytes = file.read_at(&mut buffer, 0)?;
    Ok(buffer.get(..bytes).unwrap_or_default().to_vec())
}

fn reason(error: &Error) -> ReadError {
    // The last: the kernel has the file, but not what it would tell.
    const GONE: [Errno; 4] = [Errno::NODEV, Errno::NXIO, Errno::NOTDIR, Errno::OPNOTSUPP];
    match error.kind() {
        ErrorKind::NotFound => ReadError::Missing,
        ErrorKind::PermissionDenied => ReadError::Denied,
        ErrorKind::FileTooLarge => ReadError::TooLong,
        _ => match error.raw_os_error() {
            Some(number) if GONE.iter().any(|e| e.raw_os_error() == number) => ReadError::Missing,
            number => ReadError::System(number.unwrap_or(0)),
        },
    }
}

#[cfg(test)]
mod tests;
