//! The collector's answer, and the table of answers (`WIRE.md`), which a test compares with the
//! document.

use super::bytes::{Malformed, Reader, put_crc, put_varint};
use crate::id::{GroupId, Incarnation, Seq, StoreId};
use crate::time::Nanos;

const MAGIC: [u8; 4] = *b"BWA1";
const DRAIN: u8 = 1;
const SHORT: u8 = 2;
/// Refused columns that one answer names; all are counted.
pub const NAMED_COLUMNS: usize = 64;
/// Bytes of the text for a person.
pub const TEXT_BYTES: usize = 512;
/// The content type of an answer; a response without it is no answer.
pub const CONTENT_TYPE: &str = "application/vnd.bellwether.answer";
/// The content type of a push.
pub const PUSH_CONTENT_TYPE: &str = "application/vnd.bellwether.push";
/// Where frames are posted.
pub const PUSH_PATH: &str = "/agent/v1/push";

/// What the collector found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Case {
    /// Every frame is applied and durable.
    Applied = 1,
    /// Applied, but columns are over a limit.
    RefusedColumns = 2,
    /// Every frame had been applied before.
    Duplicate = 3,
    /// A number is missing and not declared.
    Gap = 4,
    /// A delta's base row is not the decoder's.
    Base = 5,
    /// Another process has this id.
    Clone = 6,
    /// Over a bound of size.
    TooLarge = 7,
    /// The CRC holds, the sections do not decode.
    BadFrame = 8,
    /// Broken on the way.
    BadEnvelope = 9,
    /// No token, or an unknown one.
    Unauthorized = 10,
    /// The token lacks the scope.
    Forbidden = 11,
    /// The wire version is not spoken.
    Version = 12,
    /// This agent asks too often.
    TooMany = 13,
    /// A queue, the memory or the disk is full, or the collector is stopping.
    Overloaded = 14,
}

/// What the agent does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NextStep {
    /// The cursor moves on.
    Advance,
    /// Back to the start of the segment that holds what is expected.
    Rewind,
    /// A new id; the backlog is set aside.
    NewIdentity,
    /// The frame and the rest of its segment are set aside.
    SetAside,
    /// The same again, soon.
    Retry,
    /// The same again every 30 s.
    Wait,
}

impl NextStep {
    /// The word of the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            NextStep::Advance => "advance",
            NextStep::Rewind => "rewind",
            NextStep::NewIdentity => "new_identity",
            NextStep::SetAside => "set_aside",
            NextStep::Retry => "retry",
            NextStep::Wait => "wait",
        }
    }
}

impl Case {
    /// All cases, by number.
    pub const ALL: [Case; 14] = [
        Case::Applied,
        Case::RefusedColumns,
        Case::Duplicate,
        Case::Gap,
        Case::Base,
        Case::Clone,
        Case::TooLarge,
        Case::BadFrame,
        Case::BadEnvelope,
        Case::Unauthorized,
        Case::Forbidden,
        Case::Version,
        Case::TooMany,
        Case::Overloaded,
    ];

    /// Name (the counter's label), HTTP status and next step.
    fn row(self) -> (&'static str, u16, NextStep) {
        match self {
            Case::Applied => ("applied", 200, NextStep::Advance),
            Case::RefusedColumns => ("refused_columns", 200, NextStep::Advance),
            Case::Duplicate => ("duplicate", 200, NextStep::Advance),
            Case::Gap => ("gap", 409, NextStep::Rewind),
            Case::Base => ("base", 409, NextStep::Rewind),
            Case::Clone => ("clone", 410, NextStep::NewIdentity),
            Case::TooLarge => ("too_large", 413, NextStep::SetAside),
            Case::BadFrame => ("bad_frame", 422, NextStep::SetAside),
            Case::BadEnvelope => ("bad_envelope", 400, NextStep::Retry),
            Case::Unauthorized => ("unauthorized", 401, NextStep::Wait),
            Case::Forbidden => ("forbidden", 403, NextStep::Wait),
            Case::Version => ("version", 426, NextStep::Wait),
            Case::TooMany => ("too_many", 429, NextStep::Retry),
            Case::Overloaded => ("overloaded", 503, NextStep::Retry),
        }
    }

    /// The value of the counters' label `case`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().1
    }

    /// What the agent does.
    #[must_use]
    pub fn next_step(self) -> NextStep {
        self.row().2
    }

    /// The case of a wire number.
    #[must_use]
    pub fn from_wire(number: u8) -> Option<Case> {
        Case::ALL.into_iter().find(|case| *case as u8 == number)
    }
}

/// Why a column is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RefusedReason {
    /// The agent has as many series as it may.
    SeriesPerAgent = 1,
    /// The store has as many series as it may.
    SeriesTotal = 2,
    /// Its labels break a bound, or repeat a label of the target.
    Labels = 3,
}

impl RefusedReason {
    /// All reasons.
    pub const ALL: [RefusedReason; 3] =
        [RefusedReason::SeriesPerAgent, RefusedReason::SeriesTotal, RefusedReason::Labels];

    /// The word of labels and documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RefusedReason::SeriesPerAgent => "series_per_agent",
            RefusedReason::SeriesTotal => "series_total",
            RefusedReason::Labels => "labels",
        }
    }
}

/// A column that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedColumn {
    /// Its group.
    pub group: GroupId,
    /// Its place in the group.
    pub place: u32,
    /// Why.
    pub reason: RefusedReason,
}

/// The collector's answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was found.
    pub case: Case,
    /// The host is being drained: once all is acknowledged, the agent says goodbye and ends.
    pub drain: bool,
    /// Which store answers; zero if it was not asked.
    pub store: StoreId,
    /// All frames up to here are durable; 0 if none is known to be.
    pub acked: Seq,
    /// The frame that the case is about; 0 if none.
    pub at: Seq,
    /// The collector's clock when the request had arrived.
    pub received: Nanos,
    /// The same when the answer was made.
    pub answered: Nanos,
    /// Refused columns in all.
    pub refused: u32,
    /// The first of them.
    pub columns: Vec<RefusedColumn>,
    /// Why, for a person.
    pub text: String,
}

impl Answer {
    /// An answer of a case, with nothing else known.
    #[must_use]
    pub fn new(case: Case, store: StoreId) -> Answer {
        Answer {
            case,
            drain: false,
            store,
            acked: Seq(0),
            at: Seq(0),
            received: Nanos(0),
            answered: Nanos(0),
            refused: 0,
            columns: Vec::new(),
            text: String::new(),
        }
    }

    /// Appends the answer; columns and text past their bounds are left out.
    pub fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let named = &self.columns[..self.columns.len().min(NAMED_COLUMNS)];
        let fits = |end: &usize| self.text.is_char_boundary(*end);
        let end = (0..=self.text.len().min(TEXT_BYTES)).rev().find(fits).unwrap_or(0);
        let text = &self.text[..end];
        out.extend_from_slice(&MAGIC);
        let drain = if self.drain { DRAIN } else { 0 };
        if let Some(took) = self.short() {
            out.extend_from_slice(&[self.case as u8, drain | SHORT]);
            out.extend_from_slice(&self.store.0);
            put_varint(out, u64::from(self.acked.incarnation().0));
            put_varint(out, u64::from(self.acked.n()));
            out.extend_from_slice(&self.received.0.to_le_bytes());
            out.extend_from_slice(&took.to_le_bytes());
            return put_crc(out, start);
        }
        out.extend_from_slice(&[self.case as u8, drain]);
        out.extend_from_slice(&(named.len() as u16).to_le_bytes());
        out.extend_from_slice(&self.store.0);
        out.extend_from_slice(&self.acked.0.to_le_bytes());
        out.extend_from_slice(&self.at.0.to_le_bytes());
        out.extend_from_slice(&self.received.0.to_le_bytes());
        out.extend_from_slice(&self.answered.0.to_le_bytes());
        out.extend_from_slice(&self.refused.to_le_bytes());
        for column in named {
            out.extend_from_slice(&column.group.0.to_le_bytes());
            out.extend_from_slice(&column.place.to_le_bytes());
            out.push(column.reason as u8);
        }
        out.extend_from_slice(&(text.len() as u16).to_le_bytes());
        out.extend_from_slice(text.as_bytes());
        put_crc(out, start);
    }

    /// Nanoseconds from the request to this answer, if the short form says all of it.
    fn short(&self) -> Option<u32> {
        let is_plain = self.refused == 0 && self.columns.is_empty() && self.text.is_empty();
        let took = self.answered.0.checked_sub(self.received.0)?;
        u32::try_from(took).ok().filter(|_| is_plain && self.at == self.acked)
    }

    /// Reads what the short form has after its flags.
    fn read_short(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let (incarnation, n) = (reader.varint()?, reader.varint()?);
        let small = |number| u32::try_from(number).map_err(|_| reader.malformed("acked"));
        self.acked = Seq::new(Incarnation(small(incarnation)?), small(n)?);
        self.at = self.acked;
        self.received = Nanos(reader.i64()?);
        let answered = self.received.0.checked_add(i64::from(reader.u32()?));
        self.answered = Nanos(answered.ok_or(reader.malformed("stamp over its bound"))?);
        Ok(())
    }

    /// Reads an answer; it must be the whole body.
    ///
    /// # Errors
    /// The bytes are not an answer.
    pub fn read(bytes: &[u8]) -> Result<Answer, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.array()? != MAGIC {
            return Err(reader.malformed("not an answer"));
        }
        let [case, flags] = reader.array()?;
        if flags & !(DRAIN | SHORT) != 0 {
            return Err(reader.malformed("unknown flags"));
        }
        let case = Case::from_wire(case).ok_or(reader.malformed("no such case"))?;
        let is_short = flags & SHORT != 0;
        let named = if is_short { 0 } else { usize::from(reader.u16()?) };
        if named > NAMED_COLUMNS {
            return Err(reader.malformed("count over its bound"));
        }
        let mut answer = Answer::new(case, StoreId(reader.array()?));
        answer.drain = flags & DRAIN != 0;
        if is_short {
            answer.read_short(&mut reader)?;
        } else {
            answer.read_long(&mut reader, named)?;
        }
        let end = reader.offset();
        if reader.u32()? != crc32c::crc32c(&bytes[..end]) {
            return Err(reader.malformed("CRC does not hold"));
        }
        reader.finish()?;
        Ok(answer)
    }

    fn read_long(&mut self, reader: &mut Reader<'_>, named: usize) -> Result<(), Malformed> {
        self.acked = Seq(reader.u64()?);
        self.at = Seq(reader.u64()?);
        self.received = Nanos(reader.i64()?);
        self.answered = Nanos(reader.i64()?);
        self.refused = reader.u32()?;
        for _ in 0..named {
            let (group, place) = (GroupId(reader.u32()?), reader.u32()?);
            let number = reader.byte()?;
            let reason = RefusedReason::ALL.into_iter().find(|r| *r as u8 == number);
            let reason = reason.ok_or(reader.malformed("no such reason"))?;
            self.columns.push(RefusedColumn { group, place, reason });
        }
        let len = usize::from(reader.u16()?);
        if len > TEXT_BYTES {
            return Err(reader.malformed("text over its bound"));
        }
        let text = reader.take(len)?;
        let text = std::str::from_utf8(text).map_err(|_| reader.malformed("not UTF-8"))?;
        text.clone_into(&mut self.text);
        Ok(())
    }
}
