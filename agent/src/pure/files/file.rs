//! One file that inputs ask for: where it lies, its bytes as last read, and when it is due again.

use std::time::Duration;

use bellwether_model::time::Mono;

use super::FILES_MAX;

/// Bytes of one file; longer ones are refused. `/proc/stat` of a large host has some 100 KiB.
pub const FILE_BYTES_MAX: usize = 4 << 20;
/// Longest pause between tries of a file that cannot be read.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// How long an answer from apart may take before the file is stuck.
pub const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Where a path begins; each root is an argument of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Root {
    /// `--procfs`
    Proc,
    /// `--sysfs`
    Sys,
    /// `--rootfs`
    Host,
}

/// Where the bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A file that answers at once.
    Text,
    /// A file whose reading may wait for a device or a lock.
    TextApart,
    /// What `statfs` says of the file system at the path, which may wait for a server: size, free
    /// and available bytes, inodes and free inodes, as decimal numbers with blanks between.
    SpaceApart,
    /// What `adjtimex` says of the kernel's clock, its name in place of the path: its state and the
    /// fields of `timex` that [`crate::pure::input`] names, as numbers with blanks between.
    Clock,
}

impl Source {
    /// Whether it is read on another thread.
    #[must_use]
    pub fn is_apart(self) -> bool {
        matches!(self, Source::TextApart | Source::SpaceApart)
    }
}

/// How often a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refresh {
    /// For every row; the file is kept open.
    EachRow,
    /// When the last reading is older.
    Every(Duration),
    /// Until it was read.
    Once,
}

/// Why there are no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is no such file, or its device is gone.
    #[error("no such file")]
    Missing,
    /// The process may not read it.
    #[error("permission denied")]
    Denied,
    /// Longer than [`FILE_BYTES_MAX`].
    #[error("longer than {FILE_BYTES_MAX} bytes")]
    TooLong,
    /// No answer within [`ANSWER_MAX`], or while a tick waits.
    #[error("no answer in time")]
    Stuck,
    /// More than [`FILES_MAX`] files are asked for.
    #[error("more than {FILES_MAX} files are asked for")]
    TooMany,
    /// Another error of the system, by its number.
    #[error("system error {0}")]
    System(i32),
}

/// One file asked for.
#[derive(Debug)]
pub struct File {
    source: Source,
    root: Root,
    path: Box<str>,
    pub(super) refresh: Refresh,
    /// How many inputs want it.
    pub(super) inputs: u32,
    /// Tells this file from an earlier one with the same number.
    serial: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) readings: u64,
    pub(super) state: State,
    /// Since when an answer from apart is awaited.
    awaited: Option<Mono>,
    /// Whether its buffer is with whoever reads it.
    is_lent: bool,
    /// Whether an input that asked for it is slow.
    pub(super) is_slow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum State {
    Unread,
    Read { row: u64, at: Mono },
    Failed { error: ReadError, row: u64, again: Mono, tries: u32 },
}

impl File {
    /// A file that nobody has read yet.
    pub(super) fn new(source: Source, at: (Root, &str), refresh: Refresh, serial: u64) -> File {
        File {
            source,
            root: at.0,
            path: at.1.into(),
            refresh,
            inputs: 0,
            serial,
            bytes: Vec::new(),
            readings: 0,
            state: State::Unread,
            awaited: None,
            is_lent: false,
            is_slow: false,
        }
    }

    /// Where the bytes come from.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// Where the path begins.
    #[must_use]
    pub fn root(&self) -> Root {
        self.root
    }

    /// The path below the root.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How often it is read.
    #[must_use]
    pub fn refresh(&self) -> Refresh {
        self.refresh
    }

    /// Tells this file from an earlier one with the same number.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Whether an input that asked for it is slow.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.is_slow
    }

    /// Whether it is read apart: what never was read is waited for, unless it may hang.
    pub(super) fn is_apart(&self) -> bool {
        self.source.is_apart() || (self.is_slow && self.state != State::Unread)
    }

    /// The buffer to read into, kept from reading to reading.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The buffer, for whoever reads: nobody else is sent meanwhile.
    pub fn lend(&mut self) -> Vec<u8> {
        self.is_lent = true;
        std::mem::take(&mut self.bytes)
    }

    /// The buffer comes back, or an empty one in its place.
    pub fn give_back(&mut self, bytes: Vec<u8>) {
        self.is_lent = false;
        self.bytes = bytes;
    }

    /// Whether what was read at `at` has to be read again.
    fn is_old(&self, at: Mono, now: Mono) -> bool {
        match self.refresh {
            Refresh::EachRow => true,
            Refresh::Every(age) => now.since(at) >= age,
            Refresh::Once => false,
        }
    }

    /// Whether it must be read at once for the row `row`, at `now`.
    #[must_use]
    pub fn is_due(&self, row: u64, now: Mono) -> bool {
        !self.is_apart()
            && self.awaited.is_none()
            && !self.is_lent
            && match self.state {
                State::Unread => true,
                State::Read { row: read, at } => read != row && self.is_old(at, now),
                State::Failed { row: tried, again, .. } => tried != row && now >= again,
            }
    }

    /// Whether it must be asked for apart at `now`: for the first time, or for the row to come.
    #[must_use]
    pub fn is_due_apart(&self, due: DueApart, now: Mono) -> bool {
        self.is_apart()
            && self.awaited.is_none()
            && match self.state {
                State::Unread => true,
                State::Read { at, .. } => due == DueApart::All && self.is_old(at, now),
                State::Failed { again, .. } => due == DueApart::All && now >= again,
            }
    }

    /// It was asked for apart.
    pub fn awaits(&mut self, now: Mono) {
        self.awaited = Some(now);
    }

    /// The answer from apart has come; what it is follows.
    pub fn answered(&mut self) {
        self.awaited = None;
    }

    /// Marks it as stuck if the answer takes too long.
    pub fn check_answer(&mut self, row: u64, now: Mono) {
        let is_stuck = self.awaited.is_some_and(|since| now.since(since) >= ANSWER_MAX);
        let is_marked = matches!(self.state, State::Failed { error: ReadError::Stuck, .. });
        if is_stuck && !is_marked {
            self.was_not_read(ReadError::Stuck, row, now);
        }
    }

    /// The buffer holds the file's bytes.
    pub fn was_read(&mut self, row: u64, now: Mono) {
        self.readings += 1;
        self.state = State::Read { row, at: now };
    }

    /// The file could not be read.
    pub fn was_not_read(&mut self, error: ReadError, row: u64, now: Mono) {
        let tries = match self.state {
            State::Failed { tries, .. } => tries.saturating_add(1),
            _ => 0,
        };
        let pause = Duration::from_secs(1 << tries.min(6)).min(RETRY_MAX);
        self.readings += 1;
        self.state = State::Failed { error, row, again: now + pause, tries };
        self.bytes = Vec::new();
    }
}

/// Which files are asked for apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueApart {
    /// Those that were never asked for.
    New,
    /// All: the next tick needs them.
    All,
}
