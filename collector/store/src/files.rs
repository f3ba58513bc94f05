//! Chunk files: sealed blocks on the disk (`FORMAT.md`).
//!
//! One [`Filer`], owned by the thread that writes, appends the blocks that the writer has sealed,
//! closes files once they are large or old, and syncs them before a checkpoint names them. Files
//! are only appended to and only removed whole, once no checkpoint to come names them. What lies
//! behind the length that a checkpoint names means nothing: it is written again.

pub(crate) mod filed;
pub(crate) mod record;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::time::Timestamp;
use bellwether_model::wire::bytes::{Malformed, Reader, put_varint, put_zigzag};
use bellwether_platform::disk::{Access, Disk, DiskError, File, SyncPoint, make_dir};

use crate::block::Block;
use crate::lane::LaneId;
pub use filed::Damage;
use filed::{ChunkFile, Damages};
use record::Entry;
pub use record::read_unchecked;

/// Bytes gathered for one write.
const WRITE_BYTES: usize = 1 << 20;
const SUFFIX: &str = ".chunks";
/// A head, and a file's index, are longer only in a file that lies.
const SCAN_HEAD_BYTES_MAX: usize = 4 << 20;
const INDEX_BYTES_MAX: u64 = 1 << 30;

/// Bounds of one chunk file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLimits {
    /// Bytes after which a file is closed.
    pub bytes: u64,
    /// Time after which a file is closed: what is past retention goes file by file.
    pub span: Duration,
}

impl Default for FileLimits {
    /// 256 MiB, two hours: 24 files and more for the default retention.
    fn default() -> FileLimits {
        FileLimits { bytes: 256 << 20, span: Duration::from_secs(2 * 3600) }
    }
}

/// Sealed blocks on their way to a file.
#[derive(Debug, Default)]
pub struct Filing {
    pub(crate) blocks: Vec<Pending>,
}

impl Filing {
    /// Number of blocks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
}

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) lane: LaneId,
    pub(crate) names: u32,
    pub(crate) block: Arc<Block>,
}

/// What became of a filing; the writer takes it up with [`crate::Writer::filed`].
#[derive(Debug, Default)]
pub struct Placed {
    pub(crate) placed: Vec<(Arc<ChunkFile>, Entry)>,
    /// Blocks that found no space.
    pub(crate) left: Filing,
    /// The file that takes the next block.
    pub(crate) live: Option<u32>,
}

impl Placed {
    /// Whether the disk was full: some blocks have no place yet.
    #[must_use]
    pub fn is_full(&self) -> bool {
        !self.left.is_empty()
    }
}

/// The writing end of the chunk files of one directory.
pub struct Filer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    limits: FileLimits,
    damages: Arc<Damages>,
    files: BTreeMap<u32, Kept>,
    live: Option<u32>,
    next: u32,
    dir_dirty: bool,
    /// Dropped, and still on the disk.
    leaving: Vec<u32>,
}

/// A file that is kept.
struct Kept {
    file: Arc<ChunkFile>,
    /// Until it is closed and synced.
    writer: Option<Box<dyn File>>,
    len: u64,
    /// The blocks in it, until it is closed.
    entries: Vec<Entry>,
    /// Where the index lies once it is closed.
    index: Option<u64>,
    begun: Timestamp,
    dirty: bool,
}

/// A file as a checkpoint names it.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) number: u32,
    len: u64,
    index: Option<u64>,
    begun: Timestamp,
    pub(crate) entries: Vec<Entry>,
}

impl Named {
    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Named, Malformed> {
        let number = u32::try_from(reader.varint()?).map_err(|_| reader.malformed("number"))?;
        let len = reader.varint()?;
        let index = reader.varint()?.checked_sub(1);
        if index.is_some_and(|index| index > len) {
            return Err(reader.malformed("an index behind its file"));
        }
        let begun = Timestamp(reader.zigzag()?);
        let count = reader.count(usize::MAX)?;
        let entries = (0..count).map(|_| Entry::take(reader)).collect::<Result<_, _>>()?;
        Ok(Named { number, len, index, begun, entries })
    }
}

impl Filer {
    /// Opens the directory, made if missing, with the files that a checkpoint names; all others are
    /// removed. Gives them in the order of their numbers, those that are gone among them.
    ///
    /// # Errors
    /// The disk failed.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        limits: FileLimits,
        named: Vec<Named>,
    ) -> Result<(Filer, Vec<Opened>), DiskError> {
        make_dir(&*disk, dir)?;
        let mut filer = Filer {
            disk,
            dir: dir.to_owned(),
            limits,
            damages: Arc::default(),
            files: BTreeMap::new(),
            live: None,
            next: 0,
            dir_dirty: true,
            leaving: Vec::new(),
        };
        let numbers: Vec<u32> = named.iter().map(|named| named.number).collect();
        for name in filer.disk.list(dir)? {
            let Some(number) = number_of(&name) else { continue };
            if !numbers.contains(&number) {
                filer.disk.remove(&dir.join(&name))?;
            }
        }
        let opened = named.into_iter().map(|named| filer.take_up(named));
        let opened = opened.collect::<Result<Vec<_>, _>>()?;
        Ok((filer, opened))
    }

    fn take_up(&mut self, named: Named) -> Result<Opened, DiskError> {
        let Named { number, len, index, begun, mut entries } = named;
        self.next = self.next.max(number.saturating_add(1));
        let path = self.path(number);
        let file = match self.disk.open(&path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.is_missing() => {
                return Ok(Opened { number, begun, file: None, entries, broken: None });
            }
            Err(error) => return Err(error),
        };
        let mut broken = None;
        if let Some(index) = index {
            match read_index(number, &*file, index, len)? {
                Ok(read) => entries = read,
                Err(what) => {
                    entries = scan(number, &*file, index)?;
                    broken = Some(what);
                }
            }
        }
        let writer = if index.is_none() {
            self.live = Some(number);
            Some(self.disk.open(&path, Access::ReadWrite)?)
        } else {
            None
        };
        let file = Arc::new(ChunkFile { number, file, damages: Arc::clone(&self.damages) });
        let held = if index.is_none() { entries.clone() } else { Vec::new() };
        let kept = Kept {
            file: Arc::clone(&file),
            writer,
            len,
            entries: held,
            index,
            begun,
            dirty: false,
        };
        self.files.insert(number, kept);
        Ok(Opened { number, begun, file: Some(file), entries, broken })
    }

    pub(crate) fn damages(&self) -> Arc<Damages> {
        Arc::clone(&self.damages)
    }

    pub(crate) fn live(&self) -> Option<u32> {
        self.live
    }

    /// Appends blocks to the live file. Without space the rest is given back.
    ///
    /// # Errors
    /// The disk failed otherwise: the process must end.
    pub fn append(&mut self, now: Timestamp, filing: Filing) -> Result<Placed, DiskError> {
        let mut placed = Placed::default();
        let mut blocks = filing.blocks.into_iter().peekable();
        while blocks.peek().is_some() {
            let mut group = Vec::new();
            let done = self.append_some(now, &mut blocks, &mut group, &mut placed.placed);
            match done {
                Ok(()) => {}
                Err(error) if error.is_full() => {
                    placed.left.blocks = group.into_iter().chain(blocks).collect();
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        placed.live = self.live;
        Ok(placed)
    }

    /// Appends as many blocks as one write takes.
    fn append_some(
        &mut self,
        now: Timestamp,
        blocks: &mut impl Iterator<Item = Pending>,
        group: &mut Vec<Pending>,
        placed: &mut Vec<(Arc<ChunkFile>, Entry)>,
    ) -> Result<(), DiskError> {
        self.close_old(now)?;
        let mut bytes = Vec::new();
        let mut entries = Vec::new();
        let live = match self.live {
            Some(live) => live,
            // A block that waits must not be lost when no file can be made.
            None => match self.begin(now) {
                Ok(live) => live,
                Err(error) => {
                    group.extend(blocks);
                    return Err(error);
                }
            },
        };
        let kept = self.files.get_mut(&live).expect("invariant: the live file is kept");
        for pending in blocks {
            let at = (live, kept.len + bytes.len() as u64);
            let key = (pending.lane, pending.names);
            entries.push(record::put_block(&mut bytes, at, key, &pending.block));
            group.push(pending);
            if bytes.len() >= WRITE_BYTES || kept.len + bytes.len() as u64 >= self.limits.bytes {
                break;
            }
        }
        kept.write(&bytes)?;
        placed.extend(entries.iter().map(|entry| (Arc::clone(&kept.file), entry.clone())));
        kept.entries.append(&mut entries);
        Ok(())
    }

    fn begin(&mut self, now: Timestamp) -> Result<u32, DiskError> {
        let number = self.next;
        let path = self.path(number);
        let writer = self.disk.create(&path)?;
        let file = self.disk.open(&path, Access::Read)?;
        let file = Arc::new(ChunkFile { number, file, damages: Arc::clone(&self.damages) });
        let kept = Kept {
            file,
            writer: Some(writer),
            len: 0,
            entries: Vec::new(),
            index: None,
            begun: now,
            dirty: true,
        };
        self.files.insert(number, kept);
        self.next += 1;
        self.live = Some(number);
        self.dir_dirty = true;
        Ok(number)
    }

    /// Closes the live file if it is large or old: its index ends it.
    ///
    /// # Errors
    /// The disk failed; without space the file stays open.
    pub fn close_old(&mut self, now: Timestamp) -> Result<(), DiskError> {
        let Some(kept) = self.live.and_then(|live| self.files.get_mut(&live)) else {
            return Ok(());
        };
        let old = now >= kept.begun.saturating_add(self.limits.span);
        if kept.len < self.limits.bytes && !old {
            return Ok(());
        }
        let (mut bytes, at) = (Vec::new(), kept.len);
        record::put_index(&mut bytes, kept.file.number, &kept.entries);
        kept.write(&bytes)?;
        kept.index = Some(at);
        kept.entries = Vec::new();
        self.live = None;
        Ok(())
    }

    /// Makes durable all that was appended, names too.
    ///
    /// # Errors
    /// The disk failed: the process must end.
    pub fn sync(&mut self) -> Result<(), DiskError> {
        for kept in self.files.values_mut().filter(|kept| kept.dirty) {
            if let Some(writer) = &mut kept.writer {
                writer.sync(SyncPoint::ChunkData)?;
            }
            kept.dirty = false;
            if kept.index.is_some() {
                kept.writer = None;
            }
        }
        if std::mem::take(&mut self.dir_dirty) {
            self.disk.sync_dir(&self.dir, SyncPoint::ChunkDir)?;
        }
        Ok(())
    }

    /// Drops files: no checkpoint names them from now on. They stay on the disk until
    /// [`Filer::unlink`], so that a file that a checkpoint names and that is gone is damage.
    pub fn forget(&mut self, numbers: &[u32]) {
        for number in numbers {
            if self.files.remove(number).is_some() {
                self.live = self.live.filter(|live| live != number);
                self.leaving.push(*number);
            }
        }
    }

    /// Removes the files that were dropped: a checkpoint without them is durable, or the disk is
    /// full. One that comes back after a power cut is known to no checkpoint that follows.
    ///
    /// # Errors
    /// The disk failed.
    pub fn unlink(&mut self) -> Result<(), DiskError> {
        for number in std::mem::take(&mut self.leaving) {
            match self.disk.remove(&self.path(number)) {
                Err(error) if !error.is_missing() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|kept| kept.len).sum()
    }

    /// Appends what a checkpoint must know of each file, one after the other.
    pub(crate) fn put(&self, mut record: impl FnMut(&[u8])) {
        let mut out = Vec::new();
        for (number, kept) in &self.files {
            out.clear();
            put_varint(&mut out, u64::from(*number));
            put_varint(&mut out, kept.len);
            put_varint(&mut out, kept.index.map_or(0, |index| index + 1));
            put_zigzag(&mut out, kept.begun.0);
            put_varint(&mut out, kept.entries.len() as u64);
            kept.entries.iter().for_each(|entry| entry.put(&mut out));
            record(&out);
        }
    }

    fn path(&self, number: u32) -> PathBuf {
        self.dir.join(name_of(number))
    }
}

fn name_of(number: u32) -> String {
    format!("{number:08x}{SUFFIX}")
}

/// A file that a checkpoint names, as it was found.
pub(crate) struct Opened {
    pub(crate) number: u32,
    begun: Timestamp,
    /// `None` if it is gone.
    pub(crate) file: Option<Arc<ChunkFile>>,
    pub(crate) entries: Vec<Entry>,
    /// What is wrong with its index: its blocks are those up to the first damaged header.
    pub(crate) broken: Option<&'static str>,
}

/// A file that a checkpoint names and that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoneFile {
    /// Its name in the directory.
    pub name: String,
    /// When it was begun; its first rows are older by the time that a block takes to fill.
    pub begun: Timestamp,
    /// When the next one was begun: its rows are not newer. `None` if it was the last.
    pub ended: Option<Timestamp>,
}

impl GoneFile {
    pub(crate) fn all(opened: &[Opened]) -> Vec<GoneFile> {
        let next = opened.iter().skip(1).map(|next| Some(next.begun)).chain([None]);
        let gone = opened.iter().zip(next).filter(|(opened, _)| opened.file.is_none());
        gone.map(|(opened, ended)| GoneFile {
            name: name_of(opened.number),
            begun: opened.begun,
            ended,
        })
        .collect()
    }
}

impl Kept {
    fn write(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        let writer = self.writer.as_mut().expect("invariant: a file is written until it is closed");
        writer.write_at(bytes, self.len)?;
        self.len += bytes.len() as u64;
        self.dirty = true;
        Ok(())
    }
}

fn read_index(
    number: u32,
    file: &dyn File,
    at: u64,
    len: u64,
) -> Result<Result<Vec<Entry>, &'static str>, DiskError> {
    let Some(len) = len.checked_sub(at).filter(|len| *len <= INDEX_BYTES_MAX) else {
        return Ok(Err("the index is too long"));
    };
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let read = file.read_at(&mut bytes, at)?;
    bytes.truncate(read);
    Ok(record::read_index(number, &bytes))
}

/// The entries of a file by its records, up to the first whose header is damaged.
fn scan(number: u32, file: &dyn File, end: u64) -> Result<Vec<Entry>, DiskError> {
    let (mut entries, mut at) = (Vec::new(), 0);
    let mut bytes = Vec::new();
    while at < end {
        bytes.clear();
        bytes.resize(record::HEADER_BYTES, 0);
        let read = file.read_at(&mut bytes, at)?;
        bytes.truncate(read);
        let head = record::lengths(&bytes).filter(|(head, _)| *head <= SCAN_HEAD_BYTES_MAX);
        let Some((head, _)) = head else { break };
        bytes.resize(record::HEADER_BYTES + head, 0);
        let read = file.read_at(&mut bytes, at)?;
        bytes.truncate(read);
        let Some(entry) = record::entry_of(number, at, &bytes) else { break };
        at += entry.bytes;
        entries.push(entry);
    }
    Ok(entries)
}

/// The number in a chunk file's name.
fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(SUFFIX)?;
    let number = u32::from_str_radix(digits, 16).ok()?;
    (name_of(number) == name).then_some(number)
}
