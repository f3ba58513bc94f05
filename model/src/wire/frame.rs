//! One frame: header, sections, CRC. Immutable once built.

use super::bytes::{Malformed, Reader, put_crc};
use crate::id::{BootId, Nonce, Seq};
use crate::limit;
use crate::time::Timestamp;

const MAGIC: [u8; 4] = *b"BWF1";
const VERSION: u8 = 1;
const ZSTD: u8 = 1;
const OPENS_SEGMENT: u8 = 2;
const LEVEL: i32 = 1;
/// Bytes before the sections.
const HEAD: usize = 56;

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its number.
    pub seq: Seq,
    /// The nonce of its incarnation.
    pub nonce: Nonce,
    /// The host's boot.
    pub boot: BootId,
    /// Nothing stamped at or before this follows.
    pub complete_through: Timestamp,
    /// Number of sections.
    pub sections: u16,
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
    #[error("frame version {0} is not spoken here")]
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
        let mut reader = Reader::new(bytes);
        if reader.array().map_err(broken)? != MAGIC {
            return Err(FrameError::Broken("not a frame"));
        }
        let [version, flags] = reader.array().map_err(broken)?;
        let sections = reader.u16().map_err(broken)?;
        let stored_len = reader.u32().map_err(broken)? as usize;
        let inflated_len = reader.u32().map_err(broken)? as usize;
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let header = Header {
            seq: Seq(reader.u64().map_err(broken)?),
            nonce: Nonce(reader.u64().map_err(broken)?),
            boot: BootId(reader.array().map_err(broken)?),
            complete_through: Timestamp(reader.i64().map_err(broken)?),
            sections,
            opens_segment: flags & OPENS_SEGMENT != 0,
        };
        if stored_len > limit::FRAME_BYTES - HEAD - 4 {
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
        } else if usize::from(self.header.sections) > limit::SECTIONS {
            "too many sections"
        } else if self.header.seq.n() == 0 || self.header.seq.incarnation().0 == 0 {
            "frame numbers begin at 1"
        } else if !self.compressed && self.inflated_len != self.stored.len() {
            "inflated length is not met"
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

/// Builds frames from sections; its compressor and buffer are used again and again.
pub struct Builder {
    compressor: zstd::bulk::Compressor<'static>,
    compressed: Vec<u8>,
}

impl Default for Builder {
    fn default() -> Builder {
        let compressor = zstd::bulk::Compressor::new(LEVEL).expect("invariant: zstd can be set up");
        Builder { compressor, compressed: Vec::new() }
    }
}

impl Builder {
    /// Appends a frame of encoded sections to `out`; they are compressed where that is shorter.
    ///
    /// # Errors
    /// Sections over their bound, inflated or stored.
    pub fn build(
        &mut self,
        header: &Header,
        sections: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), FrameError> {
        if sections.len() > limit::FRAME_INFLATED_BYTES {
            let (len, bound) = (sections.len(), limit::FRAME_INFLATED_BYTES);
            return Err(too_large(header.seq, len, bound));
        }
        let room = zstd::zstd_safe::compress_bound(sections.len());
        if self.compressed.len() < room {
            self.compressed.resize(room, 0);
        }
        let stored = match self.compressor.compress_to_buffer(sections, &mut self.compressed[..]) {
            Ok(len) if len < sections.len() => &self.compressed[..len],
            _ => sections,
        };
        if stored.len() > limit::FRAME_BYTES - HEAD - 4 {
            return Err(too_large(header.seq, stored.len() + HEAD + 4, limit::FRAME_BYTES));
        }
        let start = out.len();
        let zstd = if stored.len() < sections.len() { ZSTD } else { 0 };
        let opens = if header.opens_segment { OPENS_SEGMENT } else { 0 };
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, zstd | opens]);
        out.extend_from_slice(&header.sections.to_le_bytes());
        out.extend_from_slice(&(stored.len() as u32).to_le_bytes());
        out.extend_from_slice(&(sections.len() as u32).to_le_bytes());
        out.extend_from_slice(&header.seq.0.to_le_bytes());
        out.extend_from_slice(&header.nonce.0.to_le_bytes());
        out.extend_from_slice(&header.boot.0);
        out.extend_from_slice(&header.complete_through.0.to_le_bytes());
        out.extend_from_slice(stored);
        put_crc(out, start);
        Ok(())
    }
}
