//! Reading one segment: the batch at an offset, and the search for the next good header.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bellwether_model::id::Position;

use super::format::{ALIGN, HEADER_BYTES, Header, MAGIC, Parsed, entries, is_whole};
use super::format::{parse_header, salvage, seed};
use super::{JournalError, SegmentInfo, segment_path};
use crate::disk::{Access, Disk, DiskError, File};

/// Bytes read at once, at least.
const WINDOW_BYTES: usize = 256 * 1024;

/// Reads a segment through a window that moves forward.
pub(super) struct SegmentReader {
    path: PathBuf,
    file: Box<dyn File>,
    seed: u32,
    len: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl SegmentReader {
    /// Opens a segment; `end` is where its data end at most.
    pub(super) fn open(
        disk: &dyn Disk,
        dir: &Path,
        number: u64,
        end: u64,
    ) -> Result<SegmentReader, DiskError> {
        let path = segment_path(dir, number);
        let file = disk.open(&path, Access::Read)?;
        let len = file.len()?.min(end);
        let window = Vec::new();
        Ok(SegmentReader { path, file, seed: seed(number), len, window, window_at: 0 })
    }

    /// The length of the file, or where its data end.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The good header at an offset, if there is one and its batch fits in the file.
    pub(super) fn header(&mut self, offset: u64) -> Result<Option<Header>, JournalError> {
        let seed = self.seed;
        let parsed = parse_header(self.bytes(offset, HEADER_BYTES as u64)?, seed);
        let end = self.len;
        Ok(self.known(parsed)?.filter(|header| fits(header, offset, end)))
    }

    /// The first good header at or after an offset, with its offset, that is `wanted`.
    pub(super) fn find_header(
        &mut self,
        from: u64,
        wanted: impl Fn(u64, &Header) -> bool,
    ) -> Result<Option<(u64, Header)>, JournalError> {
        let mut at = from;
        while at + HEADER_BYTES as u64 <= self.len {
            let seed = self.seed;
            let bytes = self.bytes(at, WINDOW_BYTES as u64)?;
            let last = bytes.len().saturating_sub(HEADER_BYTES);
            let mut newer = None;
            let mut offset = at;
            for place in bytes.windows(HEADER_BYTES).step_by(ALIGN) {
                if place.starts_with(&MAGIC) {
                    match parse_header(place, seed) {
                        Parsed::Header(header) if wanted(offset, &header) => {
                            return Ok(Some((offset, header)));
                        }
                        parsed @ Parsed::Newer(_) => newer = Some(parsed),
                        Parsed::Header(_) | Parsed::Nothing => {}
                    }
                }
                offset += ALIGN as u64;
            }
            newer.map_or(Ok(None), |newer| self.known(newer))?;
            at += (last as u64 / ALIGN as u64 + 1) * ALIGN as u64;
        }
        Ok(None)
    }

    /// The payload of a batch, and the segment's seed.
    pub(super) fn payload(
        &mut self,
        offset: u64,
        header: &Header,
    ) -> Result<(&[u8], u32), JournalError> {
        let seed = self.seed;
        let bytes = self.bytes(offset + HEADER_BYTES as u64, u64::from(header.payload))?;
        let len = usize::try_from(header.payload).expect("invariant: it fits in the file");
        Ok((bytes.split_at(len).0, seed))
    }

    /// At least `len` bytes from an offset, fewer only at the end.
    fn bytes(&mut self, offset: u64, len: u64) -> Result<&[u8], DiskError> {
        let end = offset.saturating_add(len).min(self.len);
        let window_end = self.window_at + self.window.len() as u64;
        if offset < self.window_at || end > window_end {
            let want = self.len.saturating_sub(offset).min(len.max(WINDOW_BYTES as u64));
            let want = usize::try_from(want).expect("invariant: at most a segment");
            self.window.resize(want, 0);
            let read = self.file.read_at(&mut self.window, offset)?;
            self.window.truncate(read);
            self.window_at = offset;
            // The file is shorter than it said: what is missing is read as nothing.
            if (read as u64) < want as u64 {
                self.len = self.len.min(offset + read as u64);
            }
        }
        let skip = usize::try_from(offset.saturating_sub(self.window_at)).unwrap_or(usize::MAX);
        Ok(self.window.get(skip..).unwrap_or(&[]))
    }

    fn known(&self, parsed: Parsed) -> Result<Option<Header>, JournalError> {
        match parsed {
            Parsed::Header(header) => Ok(Some(header)),
            Parsed::Nothing => Ok(None),
            Parsed::Newer(version) => Err(JournalError::Newer { path: self.path.clone(), version }),
        }
    }
}

/// Whether a batch ends within the file.
pub(super) fn fits(header: &Header, offset: u64, len: u64) -> bool {
    offset + HEADER_BYTES as u64 + u64::from(header.payload) <= len
}

/// Gives the entries of one segment from a position on to `each`. Damage is passed over.
pub(super) fn read_segment(
    disk: &dyn Disk,
    dir: &Path,
    segment: &SegmentInfo,
    from: Position,
    each: &mut dyn FnMut(Position, &[u8]) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, JournalError> {
    let mut reader = SegmentReader::open(disk, dir, segment.number, segment.bytes)?;
    let (mut offset, mut expected) = (0, segment.first.0);
    while expected <= segment.last.0 {
        let end = reader.len();
        let wanted = |at: u64, header: &Header| {
            header.first >= expected && header.end() <= segment.last.0 + 1 && fits(header, at, end)
        };
        let header = match reader.header(offset)?.filter(|header| wanted(offset, header)) {
            Some(header) => header,
            None => match reader.find_header(offset, wanted)? {
                Some((at, header)) => {
                    offset = at;
                    header
                }
                None => break,
            },
        };
        if header.end() > from.0 {
            let (payload, seed) = reader.payload(offset, &header)?;
            if give(&header, payload, seed, from.0, each).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        expected = header.end();
        offset += header.size();
    }
    Ok(ControlFlow::Continue(()))
}

/// Gives what is good in a batch, from a position on.
fn give(
    header: &Header,
    payload: &[u8],
    seed: u32,
    from: u64,
    each: &mut dyn FnMut(Position, &[u8]) -> ControlFlow<()>,
) -> ControlFlow<()> {
    if is_whole(header, payload, seed) {
        for (position, _, bytes) in entries(header, payload) {
            if position >= from {
                each(Position(position), bytes)?;
            }
        }
        return ControlFlow::Continue(());
    }
    for (position, entry) in (header.first..).zip(salvage(header, payload, seed)) {
        let bytes = entry.and_then(|(_, range)| payload.get(range));
        if let Some(bytes) = bytes.filter(|_| position >= from) {
            each(Position(position), bytes)?;
        }
    }
    ControlFlow::Continue(())
}
