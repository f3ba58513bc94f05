//! A block that lies in a chunk file: what is known of it, and how it is read.
//!
//! Bytes are read where they are wanted (`pread`) and their CRCs checked each time. What is damaged
//! is noted once and holds no sample; nothing else suffers.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use bellwether_model::id::Position;
use bellwether_model::time::Timestamp;
use bellwether_platform::disk::File;

use super::record::{self, Head};
use crate::block::{self, Names};
use crate::{Source, lock};

/// Read at once, in the hope that header and head are in it.
const HEAD_BYTES: usize = 1024;
/// A head is longer than this only in a file that lies.
const HEAD_BYTES_MAX: usize = 4 << 20;
/// Losses that wait to be told; more are only counted.
const TOLD_MAX: usize = 1024;

/// A chunk file, open for reading; kept until the last reader of a block in it is gone.
pub(crate) struct ChunkFile {
    pub(crate) number: u32,
    pub(crate) file: Box<dyn File>,
    pub(crate) damages: Arc<Damages>,
}

impl fmt::Debug for ChunkFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkFile({})", self.number)
    }
}

/// Samples that cannot be read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Whose.
    pub source: Source,
    /// The first stamp of the block.
    pub from: Timestamp,
    /// The last stamp of the block.
    pub until: Timestamp,
    /// The file's number.
    pub file: u32,
    /// Where the block begins in it.
    pub offset: u64,
    /// What is wrong with it.
    pub what: String,
}

/// What was found damaged, each block once.
#[derive(Debug, Default)]
pub(crate) struct Damages {
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    blocks: BTreeSet<(u32, u64)>,
    untold: Vec<Damage>,
}

impl Damages {
    pub(crate) fn note(&self, damage: Damage) {
        let mut found = lock(&self.found);
        if found.blocks.insert((damage.file, damage.offset)) && found.untold.len() < TOLD_MAX {
            found.untold.push(damage);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        lock(&self.found).blocks.len() as u64
    }

    pub(crate) fn take(&self) -> Vec<Damage> {
        std::mem::take(&mut lock(&self.found).untold)
    }
}

/// One block of a file.
#[derive(Clone, Debug)]
pub(crate) struct Filed {
    pub(crate) file: Arc<ChunkFile>,
    pub(crate) offset: u64,
    pub(crate) names: Names,
    pub(crate) rows: u16,
    pub(crate) full: bool,
    pub(crate) time: (Timestamp, Timestamp),
    pub(crate) position: (Position, Position),
}

impl Filed {
    /// Stamps and places of pages; `None`, noted, if they are damaged.
    pub(crate) fn head(&self, source: Source) -> Option<Head> {
        self.read_head().map_err(|what| self.note(source, what)).ok()
    }

    fn note(&self, source: Source, what: String) {
        let (from, until) = self.time;
        let (file, offset) = (self.file.number, self.offset);
        self.file.damages.note(Damage { source, from, until, file, offset, what });
    }

    fn read_head(&self) -> Result<Head, String> {
        let mut bytes = vec![0; HEAD_BYTES];
        let mut read = self.bytes(&mut bytes, 0)?;
        let (head, _) = record::lengths(bytes.get(..read).unwrap_or_default())
            .filter(|(head, _)| *head <= HEAD_BYTES_MAX)
            .ok_or("no record begins here")?;
        if record::HEADER_BYTES + head > read {
            bytes.resize(record::HEADER_BYTES + head, 0);
            read = self.bytes(&mut bytes, 0)?;
        }
        bytes.truncate(read);
        let head = Head::read(self.file.number, self.rows, &bytes)?;
        let ends = (head.stamps.times.first(), head.stamps.times.last());
        let same = ends == (Some(&self.time.0), Some(&self.time.1));
        if same { Ok(head) } else { Err("the record is another one".to_owned()) }
    }

    fn bytes(&self, buffer: &mut [u8], at: u64) -> Result<usize, String> {
        let read = self.file.file.read_at(buffer, self.offset.saturating_add(at));
        read.map_err(|error| error.to_string())
    }

    fn column(&self, head: &Head, column: usize, out: &mut Vec<f64>) -> Result<(), String> {
        let page = head.page(column).ok_or("the column is missing")?;
        let mut bytes = vec![0; page.len as usize];
        let read = self.bytes(&mut bytes, page.offset)?;
        bytes.truncate(read);
        let chunk = page.chunk(self.file.number, &bytes)?;
        block::decode(chunk, usize::from(self.rows), out);
        Ok(())
    }

    /// The values of a column in place of what `out` held, absent ones among them; nothing, noted,
    /// if they are damaged.
    pub(crate) fn values(&self, source: Source, head: &Head, column: usize, out: &mut Vec<f64>) {
        out.clear();
        if let Err(what) = self.column(head, column, out) {
            self.note(source, what);
        }
    }
}
