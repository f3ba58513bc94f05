//! Checkpoints: the state of a collector at one position of its journal, so that a start reads
//! minutes of journal, not hours (`FORMAT.md`, checkpoints).
//!
//! A checkpoint is a list of records, each of a kind, in compressed sections with CRCs. It is
//! written under another name, synced and renamed; the one before is kept until the next but one.
//! This module knows the container; what the records say is their owners' (`capture` and `restore`
//! of the writer here, the keeper in the collector).
#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a codec; its decoder is fuzzed"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_model::id::Position;
use bellwether_model::wire::bytes::{Malformed, Reader, put_varint};
use bellwether_platform::disk::{Access, Disk, DiskError, File, SyncPoint, make_dir};

/// Kinds of records from here on are the collector's.
pub const FIRST_KIND_OF_COLLECTOR: u8 = 16;
const END: u8 = 0;
const SUFFIX: &str = ".checkpoint";
const TEMPORARY: &str = ".tmp";
const MAGIC: [u8; 4] = *b"BWCP";
const VERSION: u16 = 2;
const HEADER_BYTES: usize = 64;
const SECTION_HEADER_BYTES: usize = 16;
/// A section is written once it has this many bytes.
const SECTION_BYTES: usize = 256 << 10;
/// A section may be as long as one record, which is bounded by the columns of a lane.
const SECTION_BYTES_MAX: usize = 512 << 20;
const LEVEL: i32 = 1;
/// Checkpoints that are kept.
const KEPT: usize = 2;

/// Why a checkpoint cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It is damaged.
    #[error("{}: the checkpoint is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Another version of this program wrote it.
    #[error(
        "{}: checkpoint format {version} is not read here, {VERSION} is: another build of this \
         program wrote the directory, and can read it",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        version: u16,
    },
}

/// The checkpoints of one directory.
pub struct Checkpoints {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    next: u64,
    /// Numbers and positions of the good ones, oldest first.
    kept: Vec<(u64, Position)>,
}

impl Checkpoints {
    /// Opens the directory, made if missing. Nothing is read yet.
    ///
    /// # Errors
    /// The disk failed.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Checkpoints, DiskError> {
        make_dir(&*disk, dir)?;
        let mut numbers = Vec::new();
        for name in disk.list(dir)? {
            if name.ends_with(TEMPORARY) {
                disk.remove(&dir.join(&name))?;
            }
            numbers.extend(number_of(&name));
        }
        numbers.sort_unstable();
        let next = numbers.last().map_or(1, |last| last + 1);
        let kept = numbers.into_iter().map(|number| (number, Position(0))).collect();
        Ok(Checkpoints { disk, dir: dir.to_owned(), next, kept })
    }

    /// The numbers of all checkpoints that were found, oldest first.
    #[must_use]
    pub fn numbers(&self) -> Vec<u64> {
        self.kept.iter().map(|(number, _)| *number).collect()
    }

    /// Reads a checkpoint's position, and with `each` all of its records. What `each` has built
    /// from a checkpoint that turns out damaged must be thrown away.
    ///
    /// # Errors
    /// The disk failed, or the checkpoint is damaged or newer.
    pub fn read(&mut self, number: u64, each: Each<'_>) -> Result<Position, CheckpointError> {
        let path = self.path(number);
        let file = self.disk.open(&path, Access::Read)?;
        let mut reading = Reading { file: &*file, path: &path, number, offset: 0, sections: 0 };
        let position = reading.header()?;
        while reading.section(each)? {}
        self.note(number, position);
        Ok(position)
    }

    /// Reads a checkpoint's position alone.
    ///
    /// # Errors
    /// As [`Checkpoints::read`].
    pub fn position(&mut self, number: u64) -> Result<Position, CheckpointError> {
        let path = self.path(number);
        let file = self.disk.open(&path, Access::Read)?;
        let mut reading = Reading { file: &*file, path: &path, number, offset: 0, sections: 0 };
        let position = reading.header()?;
        self.note(number, position);
        Ok(position)
    }

    fn note(&mut self, number: u64, position: Position) {
        let known = self.kept.iter_mut().find(|(known, _)| *known == number);
        known.into_iter().for_each(|(_, at)| *at = position);
    }

    /// Removes a checkpoint that is damaged: those that follow are counted without it.
    ///
    /// # Errors
    /// The disk failed.
    pub fn discard(&mut self, number: u64) -> Result<(), DiskError> {
        self.kept.retain(|(known, _)| *known != number);
        self.disk.remove(&self.path(number))
    }

    /// Writes the next checkpoint, durable once this has returned; then all but the last two go.
    /// The journal must be durable up to `position` before, and so must the chunk files that it
    /// names.
    ///
    /// # Errors
    /// The disk failed. Without space nothing has changed.
    pub fn write(
        &mut self,
        position: Position,
        put: impl FnOnce(&mut Sections<'_>) -> Result<(), DiskError>,
    ) -> Result<(), DiskError> {
        let number = self.next;
        let path = self.path(number);
        let temporary = self.dir.join(format!("{number:016x}{SUFFIX}{TEMPORARY}"));
        let written = self.write_file(&temporary, (number, position), put);
        if let Err(error) = written {
            if error.is_full() {
                self.disk.remove(&temporary)?;
            }
            return Err(error);
        }
        self.disk.rename(&temporary, &path)?;
        self.disk.sync_dir(&self.dir, SyncPoint::CheckpointDir)?;
        self.next += 1;
        self.kept.push((number, position));
        while self.kept.len() > KEPT {
            let (oldest, _) = self.kept.remove(0);
            self.disk.remove(&self.path(oldest))?;
        }
        Ok(())
    }

    fn write_file(
        &self,
        path: &Path,
        (number, position): (u64, Position),
        put: impl FnOnce(&mut Sections<'_>) -> Result<(), DiskError>,
    ) -> Result<(), DiskError> {
        let mut file = self.disk.create(path)?;
        file.write_at(&header(number, position), 0)?;
        let compressor = zstd::bulk::Compressor::new(LEVEL).expect("invariant: zstd can be set up");
        let mut sections = Sections {
            file: &mut *file,
            number,
            offset: HEADER_BYTES as u64,
            compressor,
            kind: END,
            raw: Vec::new(),
            stored: Vec::new(),
            sections: 0,
        };
        put(&mut sections)?;
        sections.finish()?;
        file.sync(SyncPoint::CheckpointData)
    }

    /// Entries up to here are needed by no checkpoint: the position of the last but one. `None`
    /// while there is only one.
    #[must_use]
    pub fn cut(&self) -> Option<Position> {
        let older = self.kept.len().checked_sub(2)?;
        self.kept.get(older).map(|(_, position)| *position)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:016x}{SUFFIX}"))
    }
}

/// The number in a checkpoint's name.
fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (format!("{number:016x}") == digits).then_some(number)
}

fn header(number: u64, position: Position) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&MAGIC);
    header[4..6].copy_from_slice(&VERSION.to_le_bytes());
    header[8..16].copy_from_slice(&number.to_le_bytes());
    header[16..24].copy_from_slice(&position.0.to_le_bytes());
    let crc = crc32c::crc32c(&header[..60]);
    header[60..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Takes the records of a checkpoint that is written.
pub struct Sections<'a> {
    file: &'a mut dyn File,
    number: u64,
    offset: u64,
    compressor: zstd::bulk::Compressor<'static>,
    kind: u8,
    raw: Vec<u8>,
    stored: Vec<u8>,
    sections: u32,
}

impl Sections<'_> {
    /// Adds a record.
    ///
    /// # Errors
    /// The disk failed.
    ///
    /// # Panics
    /// The kind is 0.
    pub fn record(&mut self, kind: u8, bytes: &[u8]) -> Result<(), DiskError> {
        assert!(kind != END, "invariant: no record is of the end's kind");
        if kind != self.kind || self.raw.len() + bytes.len() > SECTION_BYTES {
            self.flush()?;
        }
        self.kind = kind;
        put_varint(&mut self.raw, bytes.len() as u64);
        self.raw.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        if self.raw.is_empty() {
            return Ok(());
        }
        let room = zstd::zstd_safe::compress_bound(self.raw.len());
        self.stored.clear();
        self.stored.resize(SECTION_HEADER_BYTES + room, 0);
        let to = &mut self.stored[SECTION_HEADER_BYTES..];
        let len = self.compressor.compress_to_buffer(&self.raw, to);
        let len = len.expect("invariant: the room is enough");
        self.stored.truncate(SECTION_HEADER_BYTES + len);
        let (kind, raw) = (self.kind, self.raw.len());
        self.raw.clear();
        self.sections += 1;
        self.write(kind, raw)
    }

    fn write(&mut self, kind: u8, raw: usize) -> Result<(), DiskError> {
        let len = self.stored.len() - SECTION_HEADER_BYTES;
        self.stored[..4].copy_from_slice(&u32::from(kind).to_le_bytes());
        self.stored[4..8].copy_from_slice(&(raw as u32).to_le_bytes());
        self.stored[8..12].copy_from_slice(&(len as u32).to_le_bytes());
        let crc = section_crc(self.number, &self.stored);
        self.stored[12..16].copy_from_slice(&crc.to_le_bytes());
        self.file.write_at(&self.stored, self.offset)?;
        self.offset += self.stored.len() as u64;
        Ok(())
    }

    /// The end says how many sections there are.
    fn finish(mut self) -> Result<(), DiskError> {
        self.flush()?;
        self.stored = vec![0; SECTION_HEADER_BYTES];
        let sections = self.sections as usize;
        self.write(END, sections)
    }
}

/// Takes the records of a checkpoint that is read, in order: kind and bytes.
pub type Each<'a> = &'a mut dyn FnMut(u8, &[u8]) -> Result<(), Malformed>;

struct Reading<'a> {
    file: &'a dyn File,
    path: &'a Path,
    number: u64,
    offset: u64,
    sections: usize,
}

impl Reading<'_> {
    fn damaged(&self, what: impl Into<String>) -> CheckpointError {
        CheckpointError::Damaged { path: self.path.to_owned(), what: what.into() }
    }

    fn take(&mut self, len: usize) -> Result<Vec<u8>, CheckpointError> {
        let left = self.file.len()?.saturating_sub(self.offset);
        if len as u64 > left {
            return Err(self.damaged(format!("it ends at byte {}", self.offset + left)));
        }
        let mut bytes = vec![0; len];
        let read = self.file.read_at(&mut bytes, self.offset)?;
        if read < len {
            return Err(self.damaged("it ends early"));
        }
        self.offset += len as u64;
        Ok(bytes)
    }

    fn header(&mut self) -> Result<Position, CheckpointError> {
        let bytes = self.take(HEADER_BYTES)?;
        let word = |at: usize| bytes[at..].first_chunk::<8>().map_or(0, |w| u64::from_le_bytes(*w));
        let version = u16::from_le_bytes([bytes[4], bytes[5]]);
        let crc = u32_at(&bytes, 60);
        if bytes[..4] != MAGIC || crc32c::crc32c(&bytes[..60]) != crc {
            return Err(self.damaged("its header"));
        }
        if version != VERSION {
            return Err(CheckpointError::Version { path: self.path.to_owned(), version });
        }
        if word(8) != self.number {
            return Err(self.damaged("it is another one"));
        }
        Ok(Position(word(16)))
    }

    /// Reads one section; false at the end.
    fn section(&mut self, each: Each<'_>) -> Result<bool, CheckpointError> {
        let at = self.offset;
        let mut bytes = self.take(SECTION_HEADER_BYTES)?;
        let (kind, raw) = (u32_at(&bytes, 0), u32_at(&bytes, 4) as usize);
        let len = u32_at(&bytes, 8) as usize;
        if len > zstd::zstd_safe::compress_bound(SECTION_BYTES_MAX) {
            return Err(self.damaged(format!("a section at byte {at}")));
        }
        bytes.append(&mut self.take(len)?);
        let crc = u32_at(&bytes, 12);
        let kind = u8::try_from(kind).ok().filter(|_| section_crc(self.number, &bytes) == crc);
        let Some(kind) = kind else {
            return Err(self.damaged(format!("a section at byte {at}")));
        };
        if kind == END {
            let whole = raw == self.sections && len == 0;
            return if whole { Ok(false) } else { Err(self.damaged("sections are missing")) };
        }
        self.sections += 1;
        records(kind, raw, &bytes[SECTION_HEADER_BYTES..], each)
            .map_err(|what| self.damaged(format!("a section at byte {at}: {what}")))?;
        Ok(true)
    }
}

/// Gives the records of one section to `each`.
///
/// # Errors
/// The bytes are no such section.
pub fn records(kind: u8, raw: usize, stored: &[u8], each: Each<'_>) -> Result<(), String> {
    if raw > SECTION_BYTES_MAX {
        return Err("it is too long".to_owned());
    }
    let inflated = zstd::bulk::decompress(stored, raw).map_err(|error| error.to_string())?;
    if inflated.len() != raw {
        return Err("it has another length".to_owned());
    }
    let mut reader = Reader::new(&inflated);
    let mut all = || {
        while reader.left() > 0 {
            let len = reader.count(SECTION_BYTES_MAX)?;
            each(kind, reader.take(len)?)?;
        }
        Ok(())
    };
    all().map_err(|error: Malformed| error.to_string())
}

fn section_crc(number: u64, stored: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&number.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &stored[..12]);
    crc32c::crc32c_append(crc, &stored[SECTION_HEADER_BYTES..])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
