//! The host's files: roots, open files, reading.
//!
//! What is read for each row stays open and is read at offset 0 into a buffer that is used again;
//! an error closes it, and it is opened once more at once, since a device may have been replaced.
//! What may hang is read by threads of its own, see [`crate::shell::apart`].

use std::collections::BTreeMap;
use std::fs::File as OpenFile;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::time::Mono;
use bellwether_platform::clock::Clock;
use bellwether_platform::small_file::open_at_once;
use rustix::io::Errno;

use crate::pure::files::{
    ANSWER_MAX, DueApart, FILE_BYTES_MAX, File, Files, ReadError, Refresh, Root, Source,
};
use crate::shell::apart::{Answer, Apart, AskedFile, Call};
use crate::shell::calls::Calls;

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
/// First size of a buffer; a page of the kernel's.
const BUFFER_BYTES: usize = 4096;
/// From look to look while waiting for what is read apart.
const LOOK: Duration = Duration::from_millis(100);

/// The open files, by the numbers of [`Files`].
#[derive(Debug)]
pub struct Host {
    roots: Roots,
    calls: Calls,
    clock: Clock,
    /// The threads of each input that has any.
    apart: BTreeMap<usize, Apart>,
    answers: Vec<Answer>,
    open: Vec<Option<Kept>>,
    kept: usize,
    /// Read into here, then copied: files keep only what they hold.
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Kept {
    serial: u64,
    file: OpenFile,
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
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    /// Asks apart for what an input wants read so, if `due`.
    pub fn ask_apart(&mut self, files: &mut Files, input: usize, due: DueApart, now: Mono) {
        for place in 0..files.asked(input).len() {
            let Some(number) = files.asked(input).get(place).copied() else { break };
            let Some(file) = files.file_mut(number).filter(|file| file.is_due_apart(due, now))
            else {
                continue;
            };
            let call = self.call(file);
            file.awaits(now);
            let clock = &self.clock;
            let apart = self.apart.entry(input).or_insert_with(|| Apart::new(clock.clone()));
            apart.ask(AskedFile { number, serial: file.serial() }, call);
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

    /// Takes what was learned apart for an input; returns how long that took.
    pub fn take_answers(
        &mut self,
        files: &mut Files,
        input: usize,
        row: u64,
        now: Mono,
    ) -> Duration {
        let Some(apart) = self.apart.get(&input) else { return Duration::ZERO };
        apart.take_answers(&mut self.answers);
        let mut took = Duration::ZERO;
        for answer in self.answers.drain(..) {
            took += answer.took;
            let AskedFile { number, serial } = answer.file;
            let Some(file) = files.file_mut(number).filter(|file| file.serial() == serial) else {
                continue;
            };
            file.answered();
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
        took
    }

    /// Whether an answer waits to be taken.
    #[cfg(test)]
    pub(crate) fn has_answers(&self) -> bool {
        self.apart.values().any(Apart::has_answers)
    }

    fn call(&self, file: &File) -> Call {
        let path = self.roots.path(file.root(), file.path());
        match file.source() {
            Source::SpaceApart => {
                let space = Arc::clone(&self.calls.space);
                Box::new(move || space(&path))
            }
            _ => Box::new(move || read_small(&path)),
        }
    }

    /// Reads what an input has asked for and is due for the row `row`.
    pub fn read(&mut self, files: &mut Files, input: usize, row: u64, now: Mono) {
        for place in 0..files.asked(input).len() {
            let Some(number) = files.asked(input).get(place).copied() else { break };
            let Some(file) = files.file_mut(number).filter(|file| file.is_due(row, now)) else {
                continue;
            };
            match self.read_file(number, file) {
                Ok(()) => file.was_read(row, now),
                Err(error) => file.was_not_read(reason(&error), row, now),
            }
        }
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

    fn read_file(&mut self, number: u32, file: &mut File) -> Result<(), Error> {
        if file.source() == Source::Clock {
            replace(file.buffer(), &(self.calls.clock)()?);
            return Ok(());
        }
        let is_proc = file.root() == Root::Proc;
        if let Some(Some(kept)) = self.open.get(number as usize)
            && kept.serial == file.serial()
        {
            match read_whole(&kept.file, is_proc, &mut self.buffer) {
                Ok(bytes) => {
                    replace(file.buffer(), bytes);
                    return Ok(());
                }
                Err(_) => self.close(number),
            }
        }
        let opened = open_at_once(&self.roots.path(file.root(), file.path()))?;
        replace(file.buffer(), read_whole(&opened, is_proc, &mut self.buffer)?);
        if file.refresh() == Refresh::EachRow {
            self.keep(number, Kept { serial: file.serial(), file: opened });
        }
        Ok(())
    }

    fn close(&mut self, number: u32) {
        if let Some(place) = self.open.get_mut(number as usize)
            && place.take().is_some()
        {
            self.kept -= 1;
        }
    }

    fn keep(&mut self, number: u32, kept: Kept) {
        self.close(number);
        if self.kept >= OPEN_MAX {
            return;
        }
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

/// Reads a file from its start to its end into a buffer that grows up to the bound.
///
/// Files of `/proc` may give less than was asked for before their end; those of `/sys` do not.
fn read_whole<'b>(
    file: &OpenFile,
    is_proc: bool,
    buffer: &'b mut Vec<u8>,
) -> Result<&'b [u8], Error> {
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
mod tests {
    use super::*;
    use crate::pure::files::Asks;

    fn roots(proc: &str) -> Roots {
        Roots { proc: proc.into(), ..Roots::default() }
    }

    #[test]
    fn files_stay_open_and_are_read_again() {
        let host = Host::new(roots("/proc"), Calls::system(), Clock::agent());
        let (mut host, mut files) = (host, Files::default());
        let uptime = Asks::new(&mut files, 0).ask(Root::Proc, "uptime", Refresh::EachRow);
        let stat = Asks::new(&mut files, 0).ask(Root::Proc, "stat", Refresh::EachRow);
        let absent = Asks::new(&mut files, 0).ask(Root::Proc, "no-such", Refresh::EachRow);
        for row in 1..3 {
            host.read(&mut files, 0, row, Mono::default());
            let asks = Asks::new(&mut files, 0);
            assert!(asks.bytes(uptime).unwrap().ends_with(b"\n"));
            assert!(asks.bytes(stat).unwrap().starts_with(b"cpu "));
            assert_eq!(asks.bytes(absent), Err(ReadError::Missing));
            assert_eq!(host.kept, 2);
        }
        files.release_all(0);
        host.close_released(&mut files);
        assert_eq!(host.kept, 0);
    }

    #[test]
    fn long_files_grow_the_buffer_and_end_at_the_bound() {
        let zero = OpenFile::open("/dev/zero").unwrap();
        let mut buffer = vec![0; 16];
        let error = read_whole(&zero, true, &mut buffer).unwrap_err();
        assert_eq!(reason(&error), ReadError::TooLong);
        let maps = OpenFile::open("/proc/self/maps").unwrap();
        let mut buffer = vec![0; 16];
        let text = read_whole(&maps, true, &mut buffer).unwrap();
        assert!(text.len() > 1000 && text.ends_with(b"\n"));
    }

    #[test]
    fn a_pipe_in_the_place_of_a_file_is_an_error_at_once() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let dir = std::env::temp_dir().join(format!("bellwether-host-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let pipe = dir.join("loadavg");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let roots = roots(dir.to_str().unwrap());
        let mut host = Host::new(roots, Calls::system(), Clock::agent());
        let mut files = Files::default();
        let load = Asks::new(&mut files, 0).ask(Root::Proc, "loadavg", Refresh::EachRow);
        host.read(&mut files, 0, 1, Mono::default());
        let no_seeking = ReadError::System(Errno::SPIPE.raw_os_error());
        assert_eq!(Asks::new(&mut files, 0).bytes(load), Err(no_seeking));
        assert_eq!(read_small(&pipe).unwrap_err().raw_os_error(), Some(29));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
