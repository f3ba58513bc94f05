//! The files that inputs ask for, and their bytes as last read.
//!
//! An input asks by root and path and gets a number; the shell reads what is due before each row
//! and puts bytes or the reason of a failure here. A file asked for by two inputs is read once. A
//! file that cannot be read is tried again after 1, 2, 4, … 60 s. Nothing here reads anything.
//!
//! What may hang is read *apart*, on a thread of its own, shortly before the row that needs it.
//! Until the answer comes the bytes are those read before; after [`ANSWER_MAX`] it is stuck, and
//! asked again only once the answer has come after all. What an input reads that has turned out to
//! be slow is read so too, from the second reading on: its rows then hold what was read a tick
//! before, and nobody waits for it.

mod file;

use std::collections::{BTreeMap, BTreeSet};

use bellwether_model::time::Mono;

use crate::pure::input::InputError;
use file::State;
pub use file::{ANSWER_MAX, DueApart, FILE_BYTES_MAX, File, ReadError, Refresh, Root, Source};

/// Files asked for at one time; a device costs a few.
pub const FILES_MAX: usize = 16_384;

/// What stands in the place of the clock's path, for errors.
pub const CLOCK: &str = "adjtimex";

/// A file's number; kept by the input that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId(Option<u32>);

/// All files asked for.
#[derive(Debug, Default)]
pub struct Files {
    files: Vec<Option<File>>,
    by_path: BTreeMap<(Source, Root, Box<str>), u32>,
    /// For each input the numbers of what it asked for.
    asked: Vec<Vec<u32>>,
    /// Inputs that turned out to be slow.
    slow: BTreeSet<usize>,
    serial: u64,
    released: bool,
}

impl Files {
    /// Numbers of the files that an input has asked for.
    #[must_use]
    pub fn asked(&self, input: usize) -> &[u32] {
        self.asked.get(input).map_or(&[], Vec::as_slice)
    }

    /// A file by its number.
    pub fn file_mut(&mut self, number: u32) -> Option<&mut File> {
        self.files.get_mut(number as usize)?.as_mut()
    }

    /// A file by its number.
    #[must_use]
    pub fn file(&self, number: u32) -> Option<&File> {
        self.files.get(number as usize)?.as_ref()
    }

    /// Whether an input has asked for something that nobody tried to read yet, but for what is
    /// read apart.
    #[must_use]
    pub fn has_unread(&self, input: usize) -> bool {
        let is_unread = |f: &File| f.state == State::Unread && !f.is_apart();
        self.asked(input).iter().any(|number| self.file(*number).is_some_and(is_unread))
    }

    /// An input is slow from now on, or is not any more.
    pub fn set_slow(&mut self, input: usize, is_slow: bool) {
        let has_changed = if is_slow { self.slow.insert(input) } else { self.slow.remove(&input) };
        if !has_changed {
            return;
        }
        for place in 0..self.asked(input).len() {
            let Some(number) = self.asked(input).get(place).copied() else { break };
            self.weigh(number);
        }
    }

    /// Whether an input has asked for something that is due for the row `row`, at `now`.
    #[must_use]
    pub fn has_due(&self, input: usize, row: u64, now: Mono) -> bool {
        let is_due = |number: &u32| self.file(*number).is_some_and(|file| file.is_due(row, now));
        self.asked(input).iter().any(is_due)
    }

    /// A file is slow while an input that asks for it is.
    fn weigh(&mut self, number: u32) {
        let is_slow = self.slow.iter().any(|input| self.asked(*input).contains(&number));
        if let Some(file) = self.file_mut(number) {
            file.is_slow = is_slow;
        }
    }

    /// Whether files were released since the last call.
    pub fn take_released(&mut self) -> bool {
        std::mem::take(&mut self.released)
    }

    /// Releases all that an input has asked for.
    pub fn release_all(&mut self, input: usize) {
        for number in self.asked.get_mut(input).map(std::mem::take).unwrap_or_default() {
            self.release(number);
        }
    }

    fn ask(
        &mut self,
        input: usize,
        source: Source,
        (root, path): (Root, &str),
        refresh: Refresh,
    ) -> FileId {
        let number = match self.by_path.get(&(source, root, Box::from(path))) {
            Some(number) => *number,
            None => match self.place() {
                Some(number) => {
                    self.insert(number, source, (root, path), refresh);
                    number
                }
                None => return FileId(None),
            },
        };
        if let Some(file) = self.file_mut(number) {
            file.inputs += 1;
            file.refresh = file.refresh.min(refresh);
        }
        if self.asked.len() <= input {
            self.asked.resize_with(input + 1, Vec::new);
        }
        if let Some(asked) = self.asked.get_mut(input) {
            asked.push(number);
        }
        self.weigh(number);
        FileId(Some(number))
    }

    /// An empty place, if the bound allows one.
    fn place(&self) -> Option<u32> {
        let free = self.files.iter().position(Option::is_none).unwrap_or(self.files.len());
        u32::try_from(free).ok().filter(|_| free < FILES_MAX)
    }

    fn insert(
        &mut self,
        number: u32,
        source: Source,
        (root, path): (Root, &str),
        refresh: Refresh,
    ) {
        self.serial += 1;
        let file = File::new(source, (root, path), refresh, self.serial);
        self.by_path.insert((source, root, path.into()), number);
        match self.files.get_mut(number as usize) {
            Some(place) => *place = Some(file),
            None => self.files.push(Some(file)),
        }
    }

    fn release(&mut self, number: u32) {
        let Some(place) = self.files.get_mut(number as usize) else { return };
        let Some(file) = place else { return };
        file.inputs -= 1;
        if file.inputs == 0 {
            self.by_path.remove(&(file.source(), file.root(), file.path().into()));
            *place = None;
            self.released = true;
        } else {
            self.weigh(number);
        }
    }
}

/// The files as one input sees them.
#[derive(Debug)]
pub struct Asks<'a> {
    files: &'a mut Files,
    input: usize,
}

impl<'a> Asks<'a> {
    /// The files for the input with this number.
    pub fn new(files: &'a mut Files, input: usize) -> Asks<'a> {
        Asks { files, input }
    }

    /// Asks for a file; its bytes are there when the input is called again.
    pub fn ask(&mut self, root: Root, path: &str, refresh: Refresh) -> FileId {
        self.files.ask(self.input, Source::Text, (root, path), refresh)
    }

    /// Asks for a file that is read apart, before each row.
    pub fn ask_apart(&mut self, root: Root, path: &str) -> FileId {
        self.files.ask(self.input, Source::TextApart, (root, path), Refresh::EachRow)
    }

    /// Asks for the space of the file system at a path of the host; it is learned apart.
    pub fn ask_space(&mut self, path: &str) -> FileId {
        self.files.ask(self.input, Source::SpaceApart, (Root::Host, path), Refresh::EachRow)
    }

    /// Asks for the state of the kernel's clock.
    pub fn ask_clock(&mut self) -> FileId {
        self.files.ask(self.input, Source::Clock, (Root::Host, CLOCK), Refresh::EachRow)
    }

    /// Asks no more for a file.
    pub fn release(&mut self, file: FileId) {
        let Some(number) = file.0 else { return };
        if let Some(asked) = self.files.asked.get_mut(self.input)
            && let Some(place) = asked.iter().position(|other| *other == number)
        {
            asked.remove(place);
            self.files.release(number);
        }
    }

    /// The bytes as last read; `Missing` if the file was not read yet.
    ///
    /// # Errors
    /// Why the last reading failed.
    pub fn bytes(&self, file: FileId) -> Result<&[u8], ReadError> {
        let number = file.0.ok_or(ReadError::TooMany)?;
        let file = self.files.file(number).ok_or(ReadError::Missing)?;
        match file.state {
            State::Unread => Err(ReadError::Missing),
            State::Read { .. } => Ok(&file.bytes),
            State::Failed { error, .. } => Err(error),
        }
    }

    /// The bytes of a file without which the input has nothing to say.
    ///
    /// # Errors
    /// Why the last reading failed, with the path.
    pub fn needed(&self, file: FileId) -> Result<&[u8], InputError> {
        self.bytes(file).map_err(|error| InputError::Read { path: self.path(file), error })
    }

    /// How often the file was read or tried: tells whether there is anything new in it.
    #[must_use]
    pub fn readings(&self, file: FileId) -> u64 {
        file.0.and_then(|number| self.files.file(number)).map_or(0, |file| file.readings)
    }

    /// The path of a file below its root, for errors.
    #[must_use]
    pub fn path(&self, file: FileId) -> Box<str> {
        let file = file.0.and_then(|number| self.files.file(number));
        file.map(|file| file.path().into()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono(Duration::from_secs(seconds))
    }

    #[test]
    fn a_file_asked_for_twice_is_one_and_goes_with_the_last() {
        let mut files = Files::default();
        let a = Asks::new(&mut files, 0).ask(Root::Proc, "stat", Refresh::Once);
        let b = Asks::new(&mut files, 1).ask(Root::Proc, "stat", Refresh::EachRow);
        assert_eq!(a, b);
        assert_eq!(files.file(0).unwrap().refresh(), Refresh::EachRow);
        Asks::new(&mut files, 0).release(a);
        assert!(!files.take_released());
        files.release_all(1);
        assert!(files.take_released() && files.file(0).is_none());
        let c = Asks::new(&mut files, 0).ask(Root::Sys, "x", Refresh::Once);
        assert_eq!(c, a, "the place is used again");
        assert_eq!(files.file(0).unwrap().serial(), 2, "under a new serial");
    }

    #[test]
    fn what_is_due_depends_on_the_refresh() {
        let mut files = Files::default();
        let mut asks = Asks::new(&mut files, 0);
        asks.ask(Root::Proc, "row", Refresh::EachRow);
        asks.ask(Root::Proc, "minute", Refresh::Every(Duration::from_secs(60)));
        asks.ask(Root::Proc, "once", Refresh::Once);
        let mut due = |row, now| {
            (0..3)
                .map(|n| {
                    let file = files.file_mut(n).unwrap();
                    let due = file.is_due(row, now);
                    if due {
                        file.was_read(row, now);
                    }
                    due
                })
                .collect::<Vec<bool>>()
        };
        assert_eq!(due(1, at(1)), [true, true, true]);
        assert_eq!(due(1, at(1)), [false, false, false]);
        assert_eq!(due(2, at(2)), [true, false, false]);
        assert_eq!(due(3, at(61)), [true, true, false]);
    }

    #[test]
    fn a_failure_is_tried_again_ever_later() {
        let mut files = Files::default();
        let id = Asks::new(&mut files, 0).ask(Root::Proc, "gone", Refresh::EachRow);
        let mut tries = Vec::new();
        for second in 0..200 {
            let file = files.file_mut(0).unwrap();
            if file.is_due(second, at(second)) {
                file.was_not_read(ReadError::Missing, second, at(second));
                tries.push(second);
            }
        }
        assert_eq!(tries, [0, 1, 3, 7, 15, 31, 63, 123, 183]);
        let asks = Asks::new(&mut files, 0);
        assert_eq!(asks.bytes(id), Err(ReadError::Missing));
        assert_eq!(asks.needed(id).unwrap_err().to_string(), "gone: no such file");
    }

    #[test]
    fn what_a_slow_input_has_read_once_is_read_apart() {
        let mut files = Files::default();
        let mut asks = Asks::new(&mut files, 0);
        asks.ask(Root::Proc, "row", Refresh::EachRow);
        asks.ask(Root::Proc, "minute", Refresh::Every(Duration::from_secs(60)));
        asks.ask(Root::Proc, "once", Refresh::Once);
        asks.ask(Root::Proc, "new", Refresh::EachRow);
        for number in 0..3 {
            files.file_mut(number).unwrap().was_read(1, at(1));
        }
        files.set_slow(0, true);
        let due = |files: &Files, row, now| -> Vec<(bool, bool)> {
            let file = |number| files.file(number).unwrap();
            let of = |file: &File| (file.is_due(row, now), file.is_due_apart(DueApart::All, now));
            (0..4).map(|number| of(file(number))).collect()
        };
        let (wait, apart, rest) = ((true, false), (false, true), (false, false));
        assert_eq!(due(&files, 2, at(2)), [apart, rest, rest, wait]);
        assert_eq!(due(&files, 3, at(61)), [apart, apart, rest, wait]);
        assert!(files.has_unread(0));
        // While an answer is on its way nobody reads beside it.
        files.file_mut(0).unwrap().awaits(at(61));
        files.set_slow(0, false);
        assert_eq!(due(&files, 3, at(61)), [rest, wait, rest, wait]);
        files.file_mut(0).unwrap().answered();
        assert_eq!(due(&files, 3, at(61)), [wait, wait, rest, wait]);
    }

    #[test]
    fn what_is_read_apart_is_awaited_once_and_is_stuck_after_its_time() {
        let mut files = Files::default();
        let id = Asks::new(&mut files, 0).ask_space("/data");
        assert!(!files.has_unread(0), "nobody waits for it");
        let file = files.file_mut(0).unwrap();
        assert!(!file.is_due(1, at(0)) && file.is_due_apart(DueApart::New, at(0)));
        file.awaits(at(0));
        assert!(!file.is_due_apart(DueApart::All, at(60)), "one question at a time");
        file.check_answer(1, at(4));
        assert_eq!(Asks::new(&mut files, 0).bytes(id), Err(ReadError::Missing));
        files.file_mut(0).unwrap().check_answer(2, at(5));
        assert_eq!(Asks::new(&mut files, 0).bytes(id), Err(ReadError::Stuck));
        let readings = Asks::new(&mut files, 0).readings(id);
        let file = files.file_mut(0).unwrap();
        file.check_answer(3, at(20));
        file.answered();
        file.buffer().extend_from_slice(b"1 2");
        file.was_read(4, at(20));
        assert!(!file.is_due_apart(DueApart::New, at(21)));
        assert!(file.is_due_apart(DueApart::All, at(21)));
        let asks = Asks::new(&mut files, 0);
        assert_eq!((asks.bytes(id), asks.readings(id)), (Ok(&b"1 2"[..]), readings + 1));
    }
}
