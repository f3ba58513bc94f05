//! One frame: header, sections, CRC. Immutable once built.

use super::bytes::{Malformed, Reader, put_crc, put_varint, put_zigzag};
use crate::id::{BootId, Incarnation, Nonce, Seq};
use crate::limit;
use crate::time::Timestamp;

use zstd::zstd_safe::CParameter;

const MAGIC: [u8; 2] = *b"BF";
/// The frame version of this build.
pub const VERSION: u8 = 2;
/// How frames of version 1 began.
const FIRST_VERSION: [u8; 4] = *b"BWF1";
const ZSTD: u8 = 1;
const OPENS_SEGMENT: u8 = 2;
/// What is compressed is mostly texts, sent again with each segment.
const LEVEL: i32 = 6;
/// log2 of the places in the compressor's tables, which the sections of a host hardly fill: its
/// default takes three times the memory for as many bytes.
const TABLES: u32 = 14;
/// Bytes before and after the sections at most: two and two fixed, five numbers of five, one of
/// ten, nonce, boot, CRC.
const FRAMING: usize = 4 + 5 * 5 + 10 + 8 + 16 + 4;
/// Bytes of sections, as stored, that surely fit a frame.
pub(super) const ROOM: usize = limit::FRAME_BYTES - FRAMING;

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its number.
    pub seq: Seq,
    /// The nonce of its incarnation.
    pub nonce: Nonce,
    /// The host's boot; zero where no segment is opened.
    pub boot: BootId,
    /// Nothing stamped at or before this follows.
    pub complete_through: Timestamp,
    /// Number of sections.
    pub sections: u32,
    /// Whether a segment begins here, so that every group opens with a key section.
    pub opens_segment: bool,
}

/// Why bytes are not a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes end before the frame does, or the CRC does not hold: broken on the way.
    #[error("frame is broken: {0}")]
    Broken(&'static str),
    /// A frame of another version.
    #[error("frame version {0} is not spoken here, {VERSION} is")]
    Version(u8),
    /// Declared sizes over their bounds.
    #[error("frame {seq} of {declared} bytes is over the bound of {bound}")]
    TooLarge {
        /// Which frame.
        seq: Seq,
        /// What the header says.
        declared: usize,
        /// The bound.
        bound: usize,
    },
    /// The CRC holds, the contents do not.
    #[error("frame {seq}: {at}")]
    Contents {
        /// Which frame.
        seq: Seq,
        /// Where in its sections.
        at: Malformed,
    },
}

/// A frame whose CRC holds, in the caller's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    header: Header,
    bytes: &'a [u8],
    stored: &'a [u8],
    inflated_len: usize,
    compressed: bool,
}

impl<'a> Frame<'a> {
    /// Reads the frame at the start of `bytes`; what follows it is `rest`.
    ///
    /// # Errors
    /// [`FrameError`]: cut short, CRC, version, bounds.
    pub fn read(bytes: &'a [u8]) -> Result<(Frame<'a>, &'a [u8]), FrameError> {
        let broken = |_: Malformed| FrameError::Broken("cut short");
        if bytes.starts_with(&FIRST_VERSION) {
            return Err(FrameError::Version(1));
        }
        let mut reader = Reader::new(bytes);
        if reader.array().map_err(broken)? != MAGIC {
            return Err(FrameError::Broken("not a frame"));
        }
        let [version, flags] = reader.array().map_err(broken)?;
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let sections = small(&mut reader)?;
        let stored_len = small(&mut reader)?;
        let inflated_len = if flags & ZSTD != 0 { small(&mut reader)? } else { stored_len };
        let incarnation = Incarnation(small(&mut reader)?);
        let seq = Seq::new(incarnation, small(&mut reader)?);
        let (stored_len, inflated_len) = (stored_len as usize, inflated_len as usize);
        let nonce = Nonce(reader.u64().map_err(broken)?);
        let opens_segment = flags & OPENS_SEGMENT != 0;
        let boot = if opens_segment { reader.array().map_err(broken)? } else { [0; 16] };
        let header = Header {
            seq,
            nonce,
            boot: BootId(boot),
            complete_through: Timestamp(reader.zigzag().map_err(broken)?),
            sections,
            opens_segment,
        };
        if stored_len > ROOM {
            return Err(too_large(header.seq, stored_len, limit::FRAME_BYTES));
        }
        let stored = reader.take(stored_len).map_err(broken)?;
        let len = reader.offset() + 4;
        let crc = reader.u32().map_err(broken)?;
        let (whole, rest) = bytes.split_at(len);
        if crc32c::crc32c(&whole[..len - 4]) != crc {
            return Err(FrameError::Broken("CRC does not hold"));
        }
        let frame =
            Frame { header, bytes: whole, stored, inflated_len, compressed: flags & ZSTD != 0 };
        frame.check(flags)?;
        Ok((frame, rest))
    }

    /// What the CRC vouches for and the contract still bounds.
    fn check(&self, flags: u8) -> Result<(), FrameError> {
        if self.inflated_len > limit::FRAME_INFLATED_BYTES {
            let (len, bound) = (self.inflated_len, limit::FRAME_INFLATED_BYTES);
            return Err(too_large(self.header.seq, len, bound));
        }
        let problem = if flags & !(ZSTD | OPENS_SEGMENT) != 0 {
            "unknown flags"
        } else if self.header.sections as usize > limit::SECTIONS {
            "too many sections"
        } else if self.header.seq.n() == 0 || self.header.seq.incarnation().0 == 0 {
            "frame numbers begin at 1"
        } else {
            return Ok(());
        };
        Err(self.contents(Malformed { offset: 0, what: problem }))
    }

    /// What the frame says of itself.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes of the sections once inflated.
    #[must_use]
    pub fn inflated_len(&self) -> usize {
        self.inflated_len
    }

    /// The whole frame, as it goes into the journal.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// An error in this frame's sections.
    #[must_use]
    pub fn contents(&self, at: Malformed) -> FrameError {
        FrameError::Contents { seq: self.header.seq, at }
    }

    /// The sections, inflated into `inflater`'s buffer if they are compressed.
    ///
    /// # Errors
    /// Not zstd, or not of the declared size.
    pub fn sections<'b>(&self, inflater: &'b mut Inflater) -> Result<&'b [u8], FrameError>
    where
        'a: 'b,
    {
        if !self.compressed {
            return Ok(self.stored);
        }
        inflater
            .inflate(self.stored, self.inflated_len)
            .map_err(|what| self.contents(Malformed { offset: 0, what }))
    }
}

/// A number that may be any, but for its bits; bounds are checked where they are known.
fn small(reader: &mut Reader<'_>) -> Result<u32, FrameError> {
    let number = reader.varint().map_err(|_| FrameError::Broken("cut short"))?;
    u32::try_from(number).map_err(|_| FrameError::Broken("number over 32 bits"))
}

fn too_large(seq: Seq, declared: usize, bound: usize) -> FrameError {
    FrameError::TooLarge { seq, declared, bound }
}

/// A zstd decoder and its buffer, used again and again.
pub struct Inflater {
    decoder: zstd::bulk::Decompressor<'static>,
    buffer: Vec<u8>,
}

impl Default for Inflater {
    fn default() -> Inflater {
        let decoder = zstd::bulk::Decompressor::new().expect("invariant: zstd can be set up");
        Inflater { decoder, buffer: Vec::new() }
    }
}

impl Inflater {
    /// `len` has been checked against its bound; the buffer grows no further than that.
    fn inflate(&mut self, stored: &[u8], len: usize) -> Result<&[u8], &'static str> {
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
        let room = &mut self.buffer[..len];
        match self.decoder.decompress_to_buffer(stored, room) {
            Ok(got) if got == len => Ok(room),
            Ok(_) => Err("inflated length is not met"),
            Err(_) => Err("sections do not inflate"),
        }
    }
}

/// How sections are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packing {
    /// As they are.
    #[default]
    Plain,
    /// As one zstd frame, where that is shorter.
    Zstd,
}

/// Appends a frame of encoded sections to `out`.
///
/// # Errors
/// Sections over their bound, inflated or stored.
///
/// # Panics
/// zstd cannot be set up: no memory.
pub fn build(
    header: &Header,
    sections: &[u8],
    packing: Packing,
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    if sections.len() > limit::FRAME_INFLATED_BYTES {
        let (len, bound) = (sections.len(), limit::FRAME_INFLATED_BYTES);
        return Err(too_large(header.seq, len, bound));
    }
    let packed = match packing {
        Packing::Plain => None,
        Packing::Zstd => Some(compressed(sections)),
    };
    let packed = packed.filter(|packed| packed.len() < sections.len());
    let stored = packed.as_deref().unwrap_or(sections);
    if stored.len() > ROOM {
        return Err(too_large(header.seq, stored.len() + FRAMING, limit::FRAME_BYTES));
    }
    let start = out.len();
    let zstd = if packed.is_some() { ZSTD } else { 0 };
    let opens = if header.opens_segment { OPENS_SEGMENT } else { 0 };
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[VERSION, zstd | opens]);
    put_varint(out, u64::from(header.sections));
    put_varint(out, stored.len() as u64);
    if packed.is_some() {
        put_varint(out, sections.len() as u64);
    }
    put_varint(out, u64::from(header.seq.incarnation().0));
    put_varint(out, u64::from(header.seq.n()));
    out.extend_from_slice(&header.nonce.0.to_le_bytes());
    if header.opens_segment {
        out.extend_from_slice(&header.boot.0);
    }
    put_zigzag(out, header.complete_through.0);
    out.extend_from_slice(stored);
    put_crc(out, start);
    Ok(())
}

/// What compresses is made anew each time: that is rare, and its tables are as large as much else
/// that shipping holds.
pub(super) fn compressed(sections: &[u8]) -> Vec<u8> {
    const VALID: &str = "invariant: zstd can be set up";
    let mut compressor = zstd::bulk::Compressor::new(LEVEL).expect(VALID);
    let tables = [CParameter::HashLog(TABLES), CParameter::ChainLog(TABLES)];
    for parameter in tables.into_iter().chain([CParameter::ContentSizeFlag(false)]) {
        compressor.set_parameter(parameter).expect(VALID);
    }
    compressor.compress(sections).expect(VALID)
}
