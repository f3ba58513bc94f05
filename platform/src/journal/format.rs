//! Batches as bytes: FORMAT.md, both directions. Pure; positions and offsets are the callers'.
#![expect(
    clippy::indexing_slicing,
    reason = "a codec: every range lies in a fixed array, or was checked against the length"
)]

use std::ops::Range;

use super::Class;

/// Bytes of a batch's header.
pub(super) const HEADER_BYTES: usize = 64;
/// Bytes before each entry's own.
pub(super) const ENTRY_BYTES: usize = 8;
/// Batches begin at multiples of this, so that no header lies in two sectors.
pub(super) const ALIGN: usize = HEADER_BYTES;
/// What every header begins with.
pub(super) const MAGIC: [u8; 4] = *b"BWJL";

const VERSION: u16 = 1;
const CRC_AT: usize = 60;
const CONTROL_BIT: u32 = 1 << 31;

/// The front of a batch whose checksum was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) first: u64,
    pub(super) synced: u64,
    pub(super) control: u64,
    pub(super) accepted: u64,
    pub(super) payload: u32,
    pub(super) entries: u32,
    pub(super) controls: u32,
    /// Binds the header to its payload: the CRC of all entries' length and CRC fields.
    pub(super) fields: u32,
}

impl Header {
    /// The position after the batch's last entry.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.entries))
    }

    /// Bytes of the batch in the file, padding included.
    pub(super) fn size(&self) -> u64 {
        let bytes = HEADER_BYTES as u64 + u64::from(self.payload);
        bytes.next_multiple_of(ALIGN as u64)
    }
}

/// What the bytes at a place are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Header(Header),
    /// A good header of a version that this program does not know.
    Newer(u16),
    Nothing,
}

/// What the checksums in a segment start from.
pub(super) fn seed(number: u64) -> u32 {
    crc32c::crc32c(&number.to_le_bytes())
}

/// Reads a header. A good one has at least one entry, and claims nothing of itself as synced.
pub(super) fn parse_header(bytes: &[u8], seed: u32) -> Parsed {
    if bytes.len() < HEADER_BYTES || bytes[..4] != MAGIC {
        return Parsed::Nothing;
    }
    if crc32c::crc32c_append(seed, &bytes[..CRC_AT]) != u32_at(bytes, CRC_AT) {
        return Parsed::Nothing;
    }
    let version = u16::from_le_bytes([bytes[4], bytes[5]]);
    if version != VERSION {
        return Parsed::Newer(version);
    }
    let header = Header {
        first: u64_at(bytes, 8),
        synced: u64_at(bytes, 16),
        control: u64_at(bytes, 24),
        accepted: u64_at(bytes, 32),
        payload: u32_at(bytes, 40),
        entries: u32_at(bytes, 44),
        controls: u32_at(bytes, 48),
        fields: u32_at(bytes, 52),
    };
    let least = u64::from(header.entries) * ENTRY_BYTES as u64;
    let sound = header.entries > 0
        && header.controls <= header.entries
        && u64::from(header.payload) >= least
        && header.synced < header.first
        && header.control < header.first
        && header.first.checked_add(u64::from(header.entries)).is_some();
    if sound { Parsed::Header(header) } else { Parsed::Nothing }
}

/// One entry of a payload, as its length field has it.
struct Framed {
    class: Class,
    crc: u32,
    bytes: Range<usize>,
}

impl Framed {
    fn at(payload: &[u8], offset: usize) -> Option<Framed> {
        let start = offset.checked_add(ENTRY_BYTES)?;
        if start > payload.len() {
            return None;
        }
        let field = u32_at(payload, offset);
        let len = usize::try_from(field & !CONTROL_BIT).ok()?;
        let class = if field & CONTROL_BIT == 0 { Class::Data } else { Class::Control };
        let end = start.checked_add(len).filter(|end| *end <= payload.len())?;
        Some(Framed { class, crc: u32_at(payload, offset + 4), bytes: start..end })
    }

    fn is_good(&self, payload: &[u8], seed: u32) -> bool {
        let field = self.bytes.start - ENTRY_BYTES;
        self.crc == entry_crc(&payload[field..field + 4], &payload[self.bytes.clone()], seed)
    }
}

fn entry_crc(field: &[u8], bytes: &[u8], seed: u32) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed, field), bytes)
}

/// Whether every entry of a batch is good, and is the one that the header was written with.
pub(super) fn is_whole(header: &Header, payload: &[u8], seed: u32) -> bool {
    let (mut offset, mut controls, mut fields) = (0, 0, seed);
    for _ in 0..header.entries {
        match Framed::at(payload, offset) {
            Some(entry) if entry.is_good(payload, seed) => {
                controls += u32::from(entry.class == Class::Control);
                fields = crc32c::crc32c_append(fields, &payload[offset..entry.bytes.start]);
                offset = entry.bytes.end;
            }
            _ => return false,
        }
    }
    offset == payload.len() && controls == header.controls && fields == header.fields
}

/// The entries of a batch that is whole.
pub(super) fn entries<'a>(
    header: &Header,
    payload: &'a [u8],
) -> impl Iterator<Item = (u64, Class, &'a [u8])> {
    let mut offset = 0;
    (header.first..header.end()).map_while(move |position| {
        let entry = Framed::at(payload, offset)?;
        offset = entry.bytes.end;
        Some((position, entry.class, &payload[entry.bytes]))
    })
}

/// The entries of a damaged batch, `None` for each that is bad, if the lengths of all add up to the
/// payload; else those before the first bad one. What the answer is too short for is lost.
pub(super) fn salvage(
    header: &Header,
    payload: &[u8],
    seed: u32,
) -> Vec<Option<(Class, Range<usize>)>> {
    let mut found = Vec::new();
    let mut offset = 0;
    for _ in 0..header.entries {
        let Some(entry) = Framed::at(payload, offset) else { break };
        offset = entry.bytes.end;
        let good = entry.is_good(payload, seed);
        found.push(good.then_some((entry.class, entry.bytes)));
    }
    let all = usize::try_from(header.entries).expect("invariant: at most the payload's bytes");
    if found.len() < all || offset != payload.len() {
        let good = found.iter().take_while(|entry| entry.is_some()).count();
        found.truncate(good);
    }
    found
}

/// Entries being gathered, laid out as they will be written.
pub(super) struct Batch {
    bytes: Vec<u8>,
    entries: u32,
    controls: u32,
    last_control: Option<u32>,
}

impl Batch {
    pub(super) fn new() -> Batch {
        Batch { bytes: vec![0; HEADER_BYTES], entries: 0, controls: 0, last_control: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    pub(super) fn entries(&self) -> u32 {
        self.entries
    }

    /// The number within the batch, from 0, of its last control entry.
    pub(super) fn last_control(&self) -> Option<u32> {
        self.last_control
    }

    /// Bytes in the file, padding included.
    pub(super) fn size(&self) -> u64 {
        self.bytes.len().next_multiple_of(ALIGN) as u64
    }

    /// Bytes in the file with one more entry of `len` bytes.
    pub(super) fn size_with(&self, len: usize) -> u64 {
        let bytes = (self.bytes.len() as u64).saturating_add(ENTRY_BYTES as u64);
        bytes.saturating_add(len as u64).div_ceil(ALIGN as u64).saturating_mul(ALIGN as u64)
    }

    /// Adds an entry, given in parts.
    pub(super) fn push(&mut self, class: Class, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let len = u32::try_from(len).ok().filter(|len| len & CONTROL_BIT == 0);
        let len = len.expect("invariant: callers bound an entry by a segment");
        let field = if class == Class::Control { len | CONTROL_BIT } else { len };
        self.bytes.extend_from_slice(&field.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        if class == Class::Control {
            self.controls += 1;
            self.last_control = Some(self.entries);
        }
        self.entries += 1;
    }

    /// Completes the batch: checksums, header and padding. `place` gives the header's fields that
    /// a batch does not know itself.
    pub(super) fn seal(&mut self, number: u64, place: &Place) -> &[u8] {
        let seed = seed(number);
        let end = self.bytes.len();
        let (mut offset, mut fields) = (HEADER_BYTES, seed);
        while offset < end {
            let len = u32_at(&self.bytes, offset) & !CONTROL_BIT;
            let start = offset + ENTRY_BYTES;
            let next = start + usize::try_from(len).expect("invariant: push bounded it");
            let crc = entry_crc(&self.bytes[offset..offset + 4], &self.bytes[start..next], seed);
            self.bytes[offset + 4..start].copy_from_slice(&crc.to_le_bytes());
            fields = crc32c::crc32c_append(fields, &self.bytes[offset..start]);
            offset = next;
        }
        let payload = u32::try_from(end - HEADER_BYTES).expect("invariant: below a segment");
        let header = &mut self.bytes[..HEADER_BYTES];
        header.fill(0);
        header[..4].copy_from_slice(&MAGIC);
        header[4..6].copy_from_slice(&VERSION.to_le_bytes());
        header[8..16].copy_from_slice(&place.first.to_le_bytes());
        header[16..24].copy_from_slice(&place.synced.to_le_bytes());
        header[24..32].copy_from_slice(&place.control.to_le_bytes());
        header[32..40].copy_from_slice(&place.accepted.to_le_bytes());
        header[40..44].copy_from_slice(&payload.to_le_bytes());
        header[44..48].copy_from_slice(&self.entries.to_le_bytes());
        header[48..52].copy_from_slice(&self.controls.to_le_bytes());
        header[52..56].copy_from_slice(&fields.to_le_bytes());
        let crc = crc32c::crc32c_append(seed, &header[..CRC_AT]);
        header[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        self.bytes.resize(end.next_multiple_of(ALIGN), 0);
        &self.bytes
    }

    /// Empties the batch; its memory is kept.
    pub(super) fn clear(&mut self) {
        self.bytes.truncate(HEADER_BYTES);
        self.entries = 0;
        self.controls = 0;
        self.last_control = None;
    }
}

/// The fields of a header that the journal knows.
pub(super) struct Place {
    pub(super) first: u64,
    pub(super) synced: u64,
    pub(super) control: u64,
    pub(super) accepted: u64,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
