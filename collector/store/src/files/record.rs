//! The bytes of a record of a chunk file (`FORMAT.md`, chunk files): header, head, body.
//!
//! A block's columns lie in pages of [`PAGE_COLUMNS`], each with its own CRC, so that one column is
//! read without the others. The decoder never panics and bounds what it makes by the bytes given.
#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a codec; its decoder is fuzzed"
)]

use std::ops::Range;

use bellwether_model::id::Position;
use bellwether_model::limit::COLUMNS;
use bellwether_model::time::Timestamp;
use bellwether_model::wire::bytes::{Malformed, Reader, put_varint, put_zigzag};

use crate::block::{Block, Stamps};
use crate::chunk::ROWS_MAX;
use crate::lane::LaneId;

/// Bytes of a record's header.
pub(crate) const HEADER_BYTES: usize = 64;
/// Columns of one page.
const PAGE_COLUMNS: usize = 16;
const MAGIC: [u8; 4] = *b"BWCR";
const BLOCK: u8 = 1;
const INDEX: u8 = 2;
const FULL: u8 = 1;
/// Bytes of a page, at most: raw columns and their lengths.
const PAGE_BYTES: usize = PAGE_COLUMNS * (ROWS_MAX * 9 + 64);

/// What is known of a block in a chunk file without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) lane: LaneId,
    /// Which of its lane's lists of names it has.
    pub(crate) names: u32,
    pub(crate) rows: u16,
    /// Whether every column has a value in every row.
    pub(crate) full: bool,
    pub(crate) samples: u64,
    pub(crate) time: (Timestamp, Timestamp),
    pub(crate) position: (Position, Position),
    /// Where the record begins.
    pub(crate) offset: u64,
    /// Its bytes.
    pub(crate) bytes: u64,
}

impl Entry {
    fn first(&self) -> [u64; 4] {
        let times = [self.time.0.0.cast_unsigned(), self.time.1.0.cast_unsigned()];
        [times[0], times[1], self.position.0.0, self.position.1.0]
    }

    /// Appends the entry as lists of them hold it.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.lane.0));
        put_varint(out, u64::from(self.names));
        put_varint(out, u64::from(self.rows) << 1 | u64::from(self.full));
        put_varint(out, self.samples);
        put_zigzag(out, self.time.0.0);
        put_varint(out, self.time.1.0.wrapping_sub(self.time.0.0).cast_unsigned());
        put_varint(out, self.position.0.0);
        put_varint(out, self.position.1.0.wrapping_sub(self.position.0.0));
        put_varint(out, self.offset);
        put_varint(out, self.bytes);
    }

    /// Reads what [`Entry::put`] has written.
    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Entry, Malformed> {
        let lane = LaneId(reader.small()?);
        let names = reader.small()?;
        let rows = reader.varint()?;
        let full = rows & 1 == 1;
        let rows = u16::try_from(rows >> 1).ok().filter(|rows| usize::from(*rows) <= ROWS_MAX);
        let rows = rows.ok_or(reader.malformed("rows of a block"))?;
        let samples = reader.varint()?;
        let first = reader.zigzag()?;
        let last = first.checked_add_unsigned(reader.varint()?);
        let last = last.ok_or(reader.malformed("times of a block"))?;
        let from = reader.varint()?;
        let to = from.checked_add(reader.varint()?).ok_or(reader.malformed("positions"))?;
        let (offset, bytes) = (reader.varint()?, reader.varint()?);
        let time = (Timestamp(first), Timestamp(last));
        let position = (Position(from), Position(to));
        Ok(Entry { lane, names, rows, full, samples, time, position, offset, bytes })
    }
}

/// Appends the record of a block. `offset` is where it will begin in file `number`.
pub(crate) fn put_block(
    out: &mut Vec<u8>,
    (number, offset): (u32, u64),
    (lane, names): (LaneId, u32),
    block: &Block,
) -> Entry {
    let start = out.len();
    let (time, position) = block.bounds();
    let mut entry = Entry {
        lane,
        names,
        rows: block.rows as u16,
        full: block.all_full(),
        samples: block.samples,
        time,
        position,
        offset,
        bytes: 0,
    };
    let columns = block.names.len();
    let mut head = block.stamp_bytes().to_vec();
    head.extend_from_slice(block.full_bits());
    let mut body = Vec::new();
    for page in (0..columns).step_by(PAGE_COLUMNS) {
        let from = body.len();
        let within = page..columns.min(page + PAGE_COLUMNS);
        within.clone().for_each(|at| put_varint(&mut body, block.chunk(at).len() as u64));
        within.for_each(|at| body.extend_from_slice(block.chunk(at)));
        put_varint(&mut head, (body.len() - from) as u64);
        head.extend_from_slice(&crc(number, &[&body[from..]]).to_le_bytes());
    }
    put_record(out, number, BLOCK, &entry, columns as u32, &head, &body);
    entry.bytes = (out.len() - start) as u64;
    entry
}

/// Appends the record that ends a file: the entries of all its blocks.
pub(crate) fn put_index(out: &mut Vec<u8>, number: u32, entries: &[Entry]) {
    let mut body = Vec::new();
    entries.iter().for_each(|entry| entry.put(&mut body));
    let head = crc(number, &[&body]).to_le_bytes();
    let entry = Entry {
        lane: LaneId(0),
        names: 0,
        rows: 0,
        full: false,
        samples: 0,
        time: (Timestamp(0), Timestamp(0)),
        position: (Position(0), Position(0)),
        offset: 0,
        bytes: 0,
    };
    put_record(out, number, INDEX, &entry, entries.len() as u32, &head, &body);
}

fn put_record(
    out: &mut Vec<u8>,
    number: u32,
    kind: u8,
    entry: &Entry,
    columns: u32,
    head: &[u8],
    body: &[u8],
) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[kind, u8::from(entry.full) * FULL]);
    out.extend_from_slice(&entry.rows.to_le_bytes());
    for word in [entry.lane.0, entry.names, columns, head.len() as u32, body.len() as u32] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    entry.first().iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    let crc = crc(number, &[&out[start..], head]);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(head);
    out.extend_from_slice(body);
}

/// The lengths that a header declares: of head and body; `None` if it is no header.
pub(crate) fn lengths(header: &[u8]) -> Option<(usize, usize)> {
    let good = header.len() >= HEADER_BYTES && header[..4] == MAGIC;
    let word = |at: usize| u32_at(header, at) as usize;
    good.then(|| (word(20), word(24)))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The CRC of a file's bytes goes on from that of its number.
fn crc(number: u32, parts: &[&[u8]]) -> u32 {
    let seed = crc32c::crc32c(&number.to_le_bytes());
    parts.iter().fold(seed, |crc, part| crc32c::crc32c_append(crc, part))
}

/// The head of a block's record.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) stamps: Stamps,
    full: Option<Box<[u8]>>,
    columns: usize,
    /// Offset in the record, length and CRC of each page.
    pages: Vec<(u64, u32, u32)>,
}

impl Head {
    /// Reads header and head; `bytes` begin with the record and hold both.
    ///
    /// # Errors
    /// They are damaged, or not those of the entry: what is wrong.
    pub(crate) fn read(number: u32, rows: u16, bytes: &[u8]) -> Result<Head, &'static str> {
        let (head, _) = lengths(bytes).ok_or("no record begins here")?;
        let end = HEADER_BYTES.checked_add(head).filter(|end| *end <= bytes.len());
        let end = end.ok_or("the head is longer than its record")?;
        let head = &bytes[HEADER_BYTES..end];
        if crc(number, &[&bytes[..60], head]) != u32_at(bytes, 60) {
            return Err("the CRC of the head is wrong");
        }
        let columns = u32_at(bytes, 16) as usize;
        let same = bytes[4] == BLOCK && [bytes[6], bytes[7]] == rows.to_le_bytes();
        if !same || columns > COLUMNS * 2 || usize::from(rows) > ROWS_MAX {
            return Err("the record is another one");
        }
        let full = bytes[5] & FULL != 0;
        Head::parse(usize::from(rows), columns, full, head, end as u64)
    }

    fn parse(
        rows: usize,
        columns: usize,
        full: bool,
        head: &[u8],
        mut at: u64,
    ) -> Result<Head, &'static str> {
        let (stamps, rest) = Stamps::read(head, rows).ok_or("the stamps are broken")?;
        let bits = if full { 0 } else { columns.div_ceil(8) };
        let mut reader = Reader::new(rest);
        let broken = |_| "the head is broken";
        let bits = reader.take(bits).map_err(broken)?;
        let mut pages = Vec::new();
        for _ in 0..columns.div_ceil(PAGE_COLUMNS) {
            let len = reader.varint().map_err(broken)?;
            let len = u32::try_from(len).ok().filter(|len| *len as usize <= PAGE_BYTES);
            let len = len.ok_or("a page is too long")?;
            pages.push((at, len, reader.u32().map_err(broken)?));
            at += u64::from(len);
        }
        reader.finish().map_err(broken)?;
        Ok(Head { stamps, full: (!full).then(|| bits.into()), columns, pages })
    }

    /// Whether a column has a value in every row.
    pub(crate) fn is_full(&self, column: usize) -> bool {
        let bit = |full: &[u8]| full.get(column / 8).is_some_and(|b| b >> (column % 8) & 1 == 1);
        self.full.as_deref().is_none_or(bit)
    }

    /// Where in the record the page of a column lies.
    pub(crate) fn page(&self, column: usize) -> Option<Page> {
        let (offset, len, crc) = *self.pages.get(column / PAGE_COLUMNS)?;
        let within = column % PAGE_COLUMNS;
        let columns = (self.columns - (column - within)).min(PAGE_COLUMNS);
        (within < columns).then_some(Page { offset, len, crc, columns, within })
    }
}

/// One page of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    pub(crate) offset: u64,
    pub(crate) len: u32,
    crc: u32,
    columns: usize,
    within: usize,
}

impl Page {
    /// The chunk of the column that the page was asked for, in the page's bytes.
    ///
    /// # Errors
    /// The page is damaged.
    pub(crate) fn chunk<'a>(&self, number: u32, bytes: &'a [u8]) -> Result<&'a [u8], &'static str> {
        if crc(number, &[bytes]) != self.crc {
            return Err("the CRC of a page is wrong");
        }
        self.find(bytes).ok_or("a page is broken")
    }

    fn find<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let mut reader = Reader::new(bytes);
        let mut range: Range<usize> = 0..0;
        for column in 0..self.columns {
            let len = usize::try_from(reader.varint().ok()?).ok()?;
            if column <= self.within {
                range = range.end..range.end.checked_add(len)?;
            }
        }
        bytes.get(reader.offset()..)?.get(range)
    }
}

/// The entry of a block by its record, whose header and head `bytes` begin with; `None` if they are
/// damaged. How many samples it has is not known then.
pub(crate) fn entry_of(number: u32, offset: u64, bytes: &[u8]) -> Option<Entry> {
    let (head, body) = lengths(bytes)?;
    let rows = u16::from_le_bytes([bytes[6], bytes[7]]);
    Head::read(number, rows, bytes).ok()?;
    let word = |at: usize| bytes[at..].first_chunk::<8>().map_or(0, |w| u64::from_le_bytes(*w));
    let time = |at: usize| Timestamp(word(at).cast_signed());
    Some(Entry {
        lane: LaneId(u32_at(bytes, 8)),
        names: u32_at(bytes, 12),
        rows,
        full: bytes[5] & FULL != 0,
        samples: 0,
        time: (time(28), time(36)),
        position: (Position(word(44)), Position(word(52))),
        offset,
        bytes: (HEADER_BYTES + head + body) as u64,
    })
}

/// Reads what lies behind the CRCs of a block's record, every column of it; gives how many values
/// there are. Nothing that the product does: mutated bytes would not pass the CRCs.
///
/// # Errors
/// Head or body are broken.
pub fn read_unchecked(
    rows: usize,
    columns: usize,
    head: &[u8],
    body: &[u8],
) -> Result<usize, &'static str> {
    if rows > ROWS_MAX || columns > COLUMNS * 2 {
        return Err("the record is another one");
    }
    let head = Head::parse(rows, columns, false, head, 0)?;
    let mut values = Vec::new();
    for column in 0..columns {
        let page = head.page(column).ok_or("the column is missing")?;
        let start = page.offset as usize;
        let bytes = body.get(start..start + page.len as usize).ok_or("the page is missing")?;
        crate::block::decode(page.find(bytes).ok_or("a page is broken")?, rows, &mut values);
    }
    Ok(values.len())
}

/// The entries of the record that ends a file; `bytes` are the record.
///
/// # Errors
/// It is damaged.
pub(crate) fn read_index(number: u32, bytes: &[u8]) -> Result<Vec<Entry>, &'static str> {
    let (head, body) = lengths(bytes).ok_or("no record begins here")?;
    let rest = &bytes[HEADER_BYTES..];
    if bytes[4] != INDEX || head != 4 || head.checked_add(body) != Some(rest.len()) {
        return Err("the index is another record");
    }
    let (head, body) = rest.split_at(4);
    let whole = crc(number, &[&bytes[..60], head]) == u32_at(bytes, 60);
    if !whole || crc(number, &[body]) != u32_at(head, 0) {
        return Err("the CRC of the index is wrong");
    }
    let mut reader = Reader::new(body);
    let mut entries = Vec::new();
    for _ in 0..u32_at(bytes, 16) {
        entries.push(Entry::take(&mut reader).map_err(|_| "the index is broken")?);
    }
    reader.finish().map_err(|_| "the index is broken")?;
    Ok(entries)
}
