//! Frames to rows: the collector's side. A [`Decoder`] holds the last row of each column group of
//! one session. It allocates when columns change, not when values do.
//!
//! After any error the decoder is empty: the agent sends again from the start of a segment, where
//! every group opens with a key section.

mod state;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::bytes::{Malformed, Reader};
use super::encode::{
    ADDED, DELTA, ENDED, HAS_ABSENT, HAS_START, KEY, NEXT_TEXT, OCCUPIED, RECORDS,
};
use super::frame::Header;
use super::range;
use super::row::Sizes;
use super::scale::{Accumulator, Scale};
use super::table::ColumnSpec;
use crate::id::GroupId;
use crate::label::{LabelSet, METRIC_NAME};
use crate::limit;
use crate::series::{ABSENT, MetricType, ValueKind, is_absent};
use crate::time::Timestamp;

/// What a frame is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is the next frame: every section must fit, every row counts.
    Apply,
    /// It was applied before: sections load groups that are empty or just behind it.
    Load,
}

/// Why sections could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A delta whose base row is not the decoder's.
    #[error("group {group}: the delta builds on row {base}, the decoder has {has:?}")]
    Base {
        /// The group's number.
        group: u32,
        /// n of the base row.
        base: u32,
        /// n of the row held.
        has: Option<u32>,
    },
    /// Bytes that do not follow the contract.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// How a row's columns differ from those of the group's row before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change {
    /// Not at all.
    #[default]
    Same,
    /// All columns are described anew, by place.
    Key(Vec<Option<ColumnSpec>>),
    /// Places filled and emptied, in order.
    Edits(Vec<(u32, Option<ColumnSpec>)>),
}

/// One column group of a session.
#[derive(Clone, Debug, Default)]
pub struct Group {
    row: u32,
    time: Timestamp,
    target: LabelSet,
    /// Of the last description; 0 if edits have outdated it.
    fingerprint: Fingerprint,
    occupied: Vec<bool>,
    accumulators: Vec<Accumulator>,
    /// Made when a row is read that changes something: a group may well have no place.
    sizes: Option<Box<Sizes>>,
    values: Vec<f64>,
    any_absent: bool,
    change: Change,
}

impl Group {
    /// The row's stamp.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// Labels that all columns share.
    #[must_use]
    pub fn target(&self) -> &LabelSet {
        &self.target
    }

    /// The row by place; [`ABSENT`] where there is no value.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Takes what changed with this row.
    pub fn take_change(&mut self) -> Change {
        std::mem::take(&mut self.change)
    }
}

/// The groups of one session.
#[derive(Clone, Debug)]
pub struct Decoder {
    groups: BTreeMap<GroupId, Group>,
    touched: Vec<GroupId>,
    places: usize,
    places_max: usize,
    /// Bytes of label text that the frame being read may still describe: a short frame could name
    /// one long text over and over.
    text_left: usize,
}

const TEXTS: &str = "texts over their bound";

/// Tells descriptions apart without keeping them. Only a sender's own columns hang on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fingerprint {
    len: usize,
    crc: u32,
    hash: u64,
}

impl Fingerprint {
    fn of(bytes: &[u8]) -> Fingerprint {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Fingerprint { len: bytes.len(), crc: crc32c::crc32c(bytes), hash: hasher.finish() }
    }
}

/// A section's head.
struct Section<'a> {
    kind: u8,
    group: GroupId,
    time: Timestamp,
    body: Reader<'a>,
}

impl Decoder {
    /// An empty decoder that keeps at most `places_max` places over all its groups.
    #[must_use]
    pub fn new(places_max: usize) -> Decoder {
        Decoder {
            groups: BTreeMap::new(),
            touched: Vec::new(),
            places: 0,
            places_max,
            text_left: 0,
        }
    }

    /// Keeps at most so many places from now on; those it has stay.
    pub fn set_places_max(&mut self, places_max: usize) {
        self.places_max = places_max.max(self.places);
    }

    /// Forgets every group: only key sections can be read.
    pub fn clear(&mut self) {
        self.groups.clear();
        self.touched.clear();
        self.places = 0;
    }

    /// A group that has been read.
    pub fn group_mut(&mut self, group: GroupId) -> Option<&mut Group> {
        self.groups.get_mut(&group)
    }

    /// The groups that the last frame had a row of.
    #[must_use]
    pub fn touched(&self) -> &[GroupId] {
        &self.touched
    }

    /// Bytes of the values that the last frame has led to: coded rows may be far shorter.
    #[must_use]
    pub fn unfolded(&self) -> usize {
        let touched = self.touched.iter().filter_map(|id| self.groups.get(id));
        touched.map(|group| size_of_val(&*group.values)).sum()
    }

    /// All groups, by number.
    pub fn groups(&self) -> impl Iterator<Item = (GroupId, &Group)> {
        self.groups.iter().map(|(id, group)| (*id, group))
    }

    /// Reads the inflated sections of one frame. Returns the groups whose row (with
    /// [`Purpose::Load`]: whose state) is now this frame's.
    ///
    /// # Errors
    /// [`DecodeError`]; the decoder is then empty.
    pub fn read(
        &mut self,
        header: &Header,
        sections: &[u8],
        purpose: Purpose,
    ) -> Result<&[GroupId], DecodeError> {
        self.touched.clear();
        self.text_left = limit::FRAME_LABEL_BYTES;
        match self.sections(header, sections, purpose) {
            Ok(()) => Ok(&self.touched),
            Err(error) => {
                self.clear();
                Err(error)
            }
        }
    }

    fn sections(
        &mut self,
        header: &Header,
        sections: &[u8],
        purpose: Purpose,
    ) -> Result<(), DecodeError> {
        let mut reader = Reader::new(sections);
        for _ in 0..header.sections {
            let section = Section::read(&mut reader, header)?;
            self.section(header.seq.n(), section, purpose)?;
        }
        Ok(reader.finish()?)
    }

    fn section(
        &mut self,
        n: u32,
        mut section: Section<'_>,
        purpose: Purpose,
    ) -> Result<(), DecodeError> {
        let id = section.group;
        let held = self.groups.get(&id).map(|group| group.row);
        if held == Some(n) && self.touched.contains(&id) {
            return Err(section.body.malformed("a group's second section").into());
        }
        let before = self.groups.get(&id).map_or(0, |group| group.accumulators.len());
        let places_left = self.places_max - self.places + before;
        match section.kind {
            KEY if purpose == Purpose::Load && held.is_some_and(|row| row >= n) => return Ok(()),
            KEY => {
                let group = self.groups.entry(id).or_default();
                group.key(&mut section.body, places_left, &mut self.text_left)?;
            }
            DELTA => {
                let back = section.body.varint()?;
                let base = u32::try_from(back).ok().filter(|back| *back > 0);
                let base = base.and_then(|back| n.checked_sub(back)).unwrap_or(0);
                match self.groups.get_mut(&id) {
                    Some(group) if held == Some(base) => {
                        group.delta(&mut section.body, places_left)?;
                    }
                    _ if purpose == Purpose::Load => return Ok(()),
                    _ => return Err(DecodeError::Base { group: id.0, base, has: held }),
                }
            }
            RECORDS => return Err(section.body.malformed("log records in version 1").into()),
            _ => return Err(section.body.malformed("no such section").into()),
        }
        section.body.finish()?;
        let group = self.groups.entry(id).or_default();
        group.row = n;
        group.time = section.time;
        self.places = self.places - before + group.accumulators.len();
        self.touched.push(id);
        Ok(())
    }
}

impl<'a> Section<'a> {
    fn read(reader: &mut Reader<'a>, header: &Header) -> Result<Section<'a>, Malformed> {
        let kind = reader.byte()?;
        let group = u32::try_from(reader.varint()?).ok().filter(|group| *group < limit::GROUPS);
        let group = group.ok_or(reader.malformed("group's number"))?;
        let lag = reader.zigzag()?;
        let time = header.complete_through.0.checked_add(lag);
        let time = time.filter(|t| *t >= 0).ok_or(reader.malformed("row's stamp"))?;
        let len = reader.count(limit::FRAME_INFLATED_BYTES)?;
        let body = Reader::new(reader.take(len)?);
        Ok(Section { kind, group: GroupId(group), time: Timestamp(time), body })
    }
}

impl Group {
    fn key(
        &mut self,
        reader: &mut Reader<'_>,
        places_max: usize,
        text_left: &mut usize,
    ) -> Result<(), Malformed> {
        let len = reader.count(limit::FRAME_INFLATED_BYTES)?;
        let description = reader.take(len)?;
        let fingerprint = Fingerprint::of(description);
        if self.fingerprint != fingerprint {
            self.describe(description, places_max, text_left)?;
            self.fingerprint = fingerprint;
        }
        if let Some(sizes) = &mut self.sizes {
            **sizes = Sizes::default();
        }
        for (occupied, accumulator) in self.occupied.iter().zip(&mut self.accumulators) {
            let scale = if *occupied { scale(reader)? } else { Scale::default() };
            *accumulator = Accumulator::new(scale);
        }
        let bitmap = reader.take(self.occupied.len().div_ceil(8))?;
        self.values.clear();
        self.values.resize(self.occupied.len(), ABSENT);
        self.any_absent = true;
        for place in Bits::new(bitmap, self.occupied.len(), reader)? {
            if !self.occupied[place] {
                return Err(reader.malformed("value of an empty place"));
            }
            self.values[place] = self.accumulators[place].take(reader)?;
        }
        Ok(())
    }

    fn describe(
        &mut self,
        description: &[u8],
        places_max: usize,
        text_left: &mut usize,
    ) -> Result<(), Malformed> {
        let mut reader = Reader::new(description);
        // How often rows come is for readers that plan; this one does not.
        reader.varint()?;
        let mut texts = Texts::read(&mut reader, text_left)?;
        let target = labels(&mut reader, &mut |reader| texts.text(reader))?;
        let count = reader.count(limit::COLUMNS.min(places_max))?;
        let mut columns = Vec::with_capacity(count);
        for _ in 0..count {
            let tag = reader.byte()?;
            let column = if tag == 0 { None } else { Some(place(tag, &mut reader, &mut texts)?) };
            columns.push(column);
        }
        reader.finish()?;
        self.occupied.clear();
        self.occupied.extend(columns.iter().map(Option::is_some));
        self.accumulators.clear();
        self.accumulators.resize(count, Accumulator::default());
        self.target = target;
        self.change = Change::Key(columns);
        Ok(())
    }

    fn delta(&mut self, reader: &mut Reader<'_>, places_max: usize) -> Result<(), Malformed> {
        let edits = reader.count(limit::COLUMNS)?;
        if edits > 0 {
            self.edits(edits, reader, places_max)?;
        }
        let flags = reader.byte()?;
        if flags & !HAS_ABSENT != 0 {
            return Err(reader.malformed("unknown flags"));
        }
        if self.any_absent {
            self.revive();
        }
        self.any_absent = flags & HAS_ABSENT != 0;
        if self.any_absent {
            let len = self.occupied.len();
            let absent = reader.take(len.div_ceil(8))?;
            for place in Bits::new(absent, len, reader)? {
                self.values[place] = ABSENT;
            }
        }
        self.steps(reader)
    }

    /// The coded row: the rest of the body.
    fn steps(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let start = reader.offset();
        let mut coder = range::Decoder::new(reader.take(reader.left())?);
        let sizes = self.sizes.get_or_insert_default();
        let places = self.occupied.iter().zip(&mut self.accumulators).zip(&mut self.values);
        for ((occupied, accumulator), value) in places {
            if *occupied
                && !is_absent(*value)
                && let Some(step) = accumulator.take_step(&mut coder, sizes)?
            {
                *value = step;
            }
        }
        coder.finish().map_err(|at| Malformed { offset: start + at.offset, ..at })
    }

    /// Places without a value in the row before have their last one again, unless absent anew.
    fn revive(&mut self) {
        let places = self.values.iter_mut().zip(&self.occupied).zip(&self.accumulators);
        for ((value, occupied), accumulator) in places {
            if *occupied && is_absent(*value) {
                *value = accumulator.value();
            }
        }
    }

    fn edits(
        &mut self,
        count: usize,
        reader: &mut Reader<'_>,
        places_max: usize,
    ) -> Result<(), Malformed> {
        let mut edits = Vec::new();
        for _ in 0..count {
            let kind = reader.byte()?;
            let number = u32::try_from(reader.varint()?).unwrap_or(u32::MAX);
            let at = number as usize;
            let occupied = self.occupied.get(at).copied();
            match kind {
                ADDED if occupied != Some(true) && at < limit::COLUMNS.min(places_max) => {
                    let tag = reader.byte()?;
                    let column = place(tag, reader, &mut Inline)?;
                    let scale = scale(reader)?;
                    if at >= self.occupied.len() {
                        self.occupied.resize(at + 1, false);
                        self.accumulators.resize(at + 1, Accumulator::default());
                        self.values.resize(at + 1, ABSENT);
                    }
                    self.occupied[at] = true;
                    self.accumulators[at] = Accumulator::new(scale);
                    edits.push((number, Some(column)));
                }
                ENDED if occupied == Some(true) => {
                    self.occupied[at] = false;
                    self.accumulators[at] = Accumulator::default();
                    self.values[at] = ABSENT;
                    edits.push((number, None));
                }
                _ => return Err(reader.malformed("an edit that does not fit its place")),
            }
        }
        self.any_absent = true;
        self.fingerprint = Fingerprint::default();
        self.change = Change::Edits(edits);
        Ok(())
    }
}

fn scale(reader: &mut Reader<'_>) -> Result<Scale, Malformed> {
    Scale::from_wire(reader.byte()?).ok_or(reader.malformed("no such scale"))
}

/// Where a place's texts come from: the section's strings, or inline.
trait Text<'a> {
    fn text(&mut self, reader: &mut Reader<'a>) -> Result<&'a str, Malformed>;
    fn shared(&mut self, reader: &mut Reader<'a>) -> Result<Arc<str>, Malformed>;
}

struct Inline;

impl<'a> Text<'a> for Inline {
    fn text(&mut self, reader: &mut Reader<'a>) -> Result<&'a str, Malformed> {
        reader.text(limit::LABEL_BYTES)
    }

    fn shared(&mut self, reader: &mut Reader<'a>) -> Result<Arc<str>, Malformed> {
        self.text(reader).map(Arc::from)
    }
}

/// A description's strings; units and helps are shared between its columns.
struct Texts<'a, 'b> {
    texts: Vec<&'a str>,
    /// Index of the last text that was referred to as the next one.
    used: usize,
    text_left: &'b mut usize,
    shared: BTreeMap<usize, Arc<str>>,
}

impl<'a, 'b> Texts<'a, 'b> {
    fn read(reader: &mut Reader<'a>, left: &'b mut usize) -> Result<Texts<'a, 'b>, Malformed> {
        let count = reader.count(limit::STRINGS)?;
        let mut texts = vec![""];
        for _ in 0..count {
            let text = reader.text(limit::LABEL_BYTES)?;
            *left = left.checked_sub(text.len()).ok_or(reader.malformed(TEXTS))?;
            texts.push(text);
        }
        Ok(Texts { texts, used: 0, text_left: left, shared: BTreeMap::new() })
    }

    fn index(&mut self, reader: &mut Reader<'a>) -> Result<(usize, &'a str), Malformed> {
        let index = match reader.varint()? {
            NEXT_TEXT => {
                self.used += 1;
                self.used
            }
            other => usize::try_from(other - 1).unwrap_or(usize::MAX),
        };
        let text = self.texts.get(index).ok_or(reader.malformed("no such string"))?;
        Ok((index, text))
    }
}

impl<'a> Text<'a> for Texts<'a, '_> {
    fn text(&mut self, reader: &mut Reader<'a>) -> Result<&'a str, Malformed> {
        let (_, text) = self.index(reader)?;
        let left = self.text_left.checked_sub(text.len());
        *self.text_left = left.ok_or(reader.malformed(TEXTS))?;
        Ok(text)
    }

    fn shared(&mut self, reader: &mut Reader<'a>) -> Result<Arc<str>, Malformed> {
        let (index, text) = self.index(reader)?;
        Ok(Arc::clone(self.shared.entry(index).or_insert_with(|| Arc::from(text))))
    }
}

fn place<'a>(
    tag: u8,
    reader: &mut Reader<'a>,
    texts: &mut dyn Text<'a>,
) -> Result<ColumnSpec, Malformed> {
    let kind = MetricType::ALL.get(usize::from(tag >> 1 & 7)).copied();
    let kind = kind.ok_or(reader.malformed("no such type"))?;
    if tag & OCCUPIED == 0 || tag & 0x80 != 0 {
        return Err(reader.malformed("place's tag"));
    }
    if tag >> 4 & 3 != ValueKind::Float as u8 {
        return Err(reader.malformed("native histograms in version 1"));
    }
    let labels = labels(reader, &mut |reader| texts.text(reader))?;
    if labels.get(METRIC_NAME).is_none() {
        return Err(reader.malformed("a column without a metric name"));
    }
    let unit = texts.shared(reader)?;
    let help = texts.shared(reader)?;
    let start = if tag & HAS_START != 0 { Some(Timestamp(reader.zigzag()?)) } else { None };
    Ok(ColumnSpec { labels, kind, value_kind: ValueKind::Float, unit, help, start })
}

fn labels<'a>(
    reader: &mut Reader<'a>,
    text: &mut dyn FnMut(&mut Reader<'a>) -> Result<&'a str, Malformed>,
) -> Result<LabelSet, Malformed> {
    let count = reader.count(limit::LABELS)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        pairs.push((text(reader)?, text(reader)?));
    }
    LabelSet::new(pairs).map_err(|_| reader.malformed("labels break a bound"))
}

/// The set bits of a bitmap.
struct Bits<'a> {
    bytes: &'a [u8],
    next: usize,
    current: u8,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8], len: usize, reader: &Reader<'_>) -> Result<Bits<'a>, Malformed> {
        let used = len % 8;
        let spare = if used == 0 { 0 } else { bytes.last().map_or(0, |last| last >> used) };
        if spare != 0 {
            return Err(reader.malformed("bits past the last place"));
        }
        Ok(Bits { bytes, next: 0, current: bytes.first().copied().unwrap_or(0) })
    }
}

impl Iterator for Bits<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        while self.current == 0 {
            self.next += 1;
            self.current = *self.bytes.get(self.next)?;
        }
        let bit = self.current.trailing_zeros() as usize;
        self.current &= self.current - 1;
        Some(self.next * 8 + bit)
    }
}
