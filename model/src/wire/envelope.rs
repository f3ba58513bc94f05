//! What the agent says anew at each sending, before the frames.

use super::bytes::{Malformed, Reader, put_crc};
use crate::id::{AgentId, Seq, Stream};
use crate::limit;
use crate::time::Nanos;

const MAGIC: [u8; 4] = *b"BWP1";
/// The wire version of this build.
pub const VERSION: u16 = 1;
const GOODBYE: u8 = 1;
/// Bytes of an envelope without skips.
pub const BYTES_MIN: usize = 48;

/// Why numbers will never be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SkipReason {
    /// The spool was over its bytes.
    SpoolFull = 1,
    /// The spool was over its age.
    SpoolAge = 2,
    /// Set aside after 413 or 422.
    Refused = 3,
    /// Unreadable in the spool.
    Corrupt = 4,
    /// Could not be written to the spool.
    Disk = 5,
    /// The copied backlog of a cloned agent.
    Clone = 6,
    /// Acknowledged by an earlier state of this collector and no longer held.
    Store = 7,
}

impl SkipReason {
    /// All reasons.
    pub const ALL: [SkipReason; 7] = [
        SkipReason::SpoolFull,
        SkipReason::SpoolAge,
        SkipReason::Refused,
        SkipReason::Corrupt,
        SkipReason::Disk,
        SkipReason::Clone,
        SkipReason::Store,
    ];

    /// The word of labels and documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SkipReason::SpoolFull => "spool_full",
            SkipReason::SpoolAge => "spool_age",
            SkipReason::Refused => "refused",
            SkipReason::Corrupt => "corrupt",
            SkipReason::Disk => "disk",
            SkipReason::Clone => "clone",
            SkipReason::Store => "store",
        }
    }

    /// The reason of a wire number.
    #[must_use]
    pub fn from_wire(number: u8) -> Option<SkipReason> {
        SkipReason::ALL.into_iter().find(|reason| *reason as u8 == number)
    }
}

/// Numbers of one incarnation that will never be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skip {
    /// The first.
    pub first: Seq,
    /// The last, at or after the first.
    pub last: Seq,
    /// Why.
    pub reason: SkipReason,
}

impl Skip {
    /// Bytes on the wire.
    pub const BYTES: usize = 17;

    /// Number of its frames.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.last.0 - self.first.0 + 1
    }

    /// Appends the range.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.first.0.to_le_bytes());
        out.extend_from_slice(&self.last.0.to_le_bytes());
        out.push(self.reason as u8);
    }

    /// Reads a range.
    ///
    /// # Errors
    /// Cut short, not a range within one incarnation, or an unknown reason.
    pub fn take(reader: &mut Reader<'_>) -> Result<Skip, Malformed> {
        let (first, last) = (Seq(reader.u64()?), Seq(reader.u64()?));
        let reason =
            SkipReason::from_wire(reader.byte()?).ok_or(reader.malformed("skip reason"))?;
        let whole = first.n() > 0 && first <= last && first.incarnation() == last.incarnation();
        if !whole {
            return Err(reader.malformed("a skip is a range within one incarnation"));
        }
        Ok(Skip { first, last, reason })
    }
}

/// The envelope of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Who sends.
    pub agent: AgentId,
    /// Which sequence.
    pub stream: Stream,
    /// Orderly shutdown.
    pub goodbye: bool,
    /// The agent's wall clock at sending.
    pub sent_wall: Nanos,
    /// The agent's monotonic clock at sending, ns.
    pub sent_mono: u64,
    /// Ascending, not overlapping.
    pub skips: Vec<Skip>,
    /// Number of frames that follow.
    pub frames: u16,
}

/// Why a request's first bytes are not an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// A wire version that is not spoken here.
    #[error("wire version {0} is not spoken here, {VERSION} is")]
    Version(u16),
    /// Cut short, or its CRC does not hold.
    #[error("envelope: {0}")]
    Broken(#[from] Malformed),
}

impl Envelope {
    /// Appends the envelope.
    pub fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[self.stream as u8, if self.goodbye { GOODBYE } else { 0 }]);
        out.extend_from_slice(&self.agent.0);
        out.extend_from_slice(&self.sent_wall.0.to_le_bytes());
        out.extend_from_slice(&self.sent_mono.to_le_bytes());
        out.extend_from_slice(&(self.skips.len() as u16).to_le_bytes());
        out.extend_from_slice(&self.frames.to_le_bytes());
        self.skips.iter().for_each(|skip| skip.put(out));
        put_crc(out, start);
    }

    /// Reads the envelope at the start of a body; the frames follow as `rest`.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    pub fn read(bytes: &[u8]) -> Result<(Envelope, &[u8]), EnvelopeError> {
        let mut reader = Reader::new(bytes);
        if reader.array()? != MAGIC {
            return Err(reader.malformed("not an envelope").into());
        }
        let version = reader.u16()?;
        if version != VERSION {
            return Err(EnvelopeError::Version(version));
        }
        let [stream, flags] = reader.array()?;
        let agent = AgentId(reader.array()?);
        let sent_wall = Nanos(reader.i64()?);
        let sent_mono = reader.u64()?;
        let (skips_len, frames) = (usize::from(reader.u16()?), reader.u16()?);
        if skips_len > limit::SKIPS || usize::from(frames) > limit::FRAMES {
            return Err(reader.malformed("count over its bound").into());
        }
        let mut skips = Vec::with_capacity(skips_len);
        for _ in 0..skips_len {
            skips.push(Skip::take(&mut reader)?);
        }
        let end = reader.offset();
        let crc = reader.u32()?;
        if crc32c::crc32c(&bytes[..end]) != crc {
            return Err(reader.malformed("CRC does not hold").into());
        }
        if skips.windows(2).any(|pair| pair[0].last >= pair[1].first) {
            return Err(reader.malformed("skips are not ascending").into());
        }
        let stream = Stream::from_wire(stream).ok_or(reader.malformed("no such stream"))?;
        if flags & !GOODBYE != 0 {
            return Err(reader.malformed("unknown flags").into());
        }
        let goodbye = flags & GOODBYE != 0;
        let envelope = Envelope { agent, stream, goodbye, sent_wall, sent_mono, skips, frames };
        Ok((envelope, &bytes[reader.offset()..]))
    }
}
