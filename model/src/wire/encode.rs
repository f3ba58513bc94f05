//! Tables to frames: the agent's side. An [`Encoder`] numbers the frames of one incarnation,
//! decides where a segment is cut, and writes key and delta sections.

mod fit;

use std::collections::BTreeMap;
use std::time::Duration;

use super::bytes::{put_text, put_varint, put_zigzag};
use super::frame::{self, FrameError, Header, Packing};
use super::range;
use super::row::Sizes;
use super::scale::{Accumulator, Scale};
use super::table::{ColumnSpec, Edit, Table};
use crate::id::{BootId, GroupId, Incarnation, Nonce, Seq};
use crate::label::LabelSet;
use crate::limit;
use crate::series::is_absent;
use crate::time::Timestamp;

use fit::{Room, Stays};

pub(super) const KEY: u8 = 0;
pub(super) const DELTA: u8 = 1;
pub(super) const RECORDS: u8 = 2;
pub(super) const ADDED: u8 = 0;
pub(super) const ENDED: u8 = 1;
pub(super) const OCCUPIED: u8 = 1;
pub(super) const HAS_START: u8 = 1 << 6;
pub(super) const HAS_ABSENT: u8 = 1;
/// A text that has not been referred to: most columns have a name and a help of their own, and all
/// of them are then described alike.
pub(super) const NEXT_TEXT: u64 = 0;
/// A place's seven decisions take at most 12 bits each, since no chance is below 1 in 4096, and an
/// escape 72 more: 19.5 bytes.
const STEP_BYTES_MAX: usize = 20;

/// Whose frames these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Number of this start of the process.
    pub incarnation: Incarnation,
    /// Its nonce.
    pub nonce: Nonce,
    /// The host's boot.
    pub boot: BootId,
}

/// What [`Encoder::finish`] made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The frame's number.
    pub seq: Seq,
    /// Whether it opens a segment.
    pub opens_segment: bool,
    /// Samples in it.
    pub samples: u32,
    /// Samples of the groups that did not fit it, see [`Encoder::left_out`].
    pub samples_left_out: u32,
}

/// Why no frame was made; its number was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The frame does not fit the live segment: the next attempt opens a new one.
    #[error("the segment is full")]
    SegmentFull,
}

/// Encodes the frames of one incarnation.
pub struct Encoder {
    origin: Origin,
    n: u32,
    groups: BTreeMap<GroupId, GroupState>,
    segment: Segment,
    pending: Pending,
    left_out: Vec<GroupId>,
    scratch: Vec<u8>,
}

#[derive(Default)]
struct GroupState {
    /// n of the frame that holds the last row.
    row: u32,
    rows_since_key: u32,
    /// Whether the group has been opened in the live segment.
    opened: bool,
    accumulators: Vec<Accumulator>,
    sizes: Sizes,
}

/// The live segment.
struct Segment {
    frames: u32,
    bytes: usize,
    cut: bool,
}

/// The frame being filled.
#[derive(Default)]
struct Pending {
    complete_through: Timestamp,
    opens_segment: bool,
    sections: Vec<u8>,
    /// What each section is, in their order.
    parts: Vec<Part>,
}

/// One section.
#[derive(Clone, Copy)]
struct Part {
    group: GroupId,
    /// Bytes.
    len: usize,
    /// Bytes of label texts that a reader makes of it.
    texts: usize,
    samples: u32,
    packing: Packing,
}

impl Encoder {
    /// An encoder whose first frame has n = 1 and opens a segment.
    #[must_use]
    pub fn new(origin: Origin) -> Encoder {
        Encoder {
            origin,
            n: 0,
            groups: BTreeMap::new(),
            segment: Segment { frames: 0, bytes: 0, cut: true },
            pending: Pending::default(),
            left_out: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The next frame opens a segment.
    pub fn cut(&mut self) {
        self.segment.cut = true;
    }

    /// The number the next frame will have.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        Seq::new(self.origin.incarnation, self.n.saturating_add(1))
    }

    /// Begins a frame; what was begun and not finished is dropped.
    pub fn begin(&mut self, complete_through: Timestamp) {
        let opens_segment = self.segment.cut || self.segment.frames >= limit::SEGMENT_FRAMES;
        if opens_segment {
            self.segment = Segment { frames: 0, bytes: 0, cut: true };
            self.groups.values_mut().for_each(|group| group.opened = false);
        }
        self.pending.complete_through = complete_through;
        self.pending.opens_segment = opens_segment;
        self.pending.sections.clear();
        self.pending.parts.clear();
        self.left_out.clear();
    }

    /// Adds the table's current row. At most once for each group in a frame.
    ///
    /// # Panics
    /// More sections than [`limit::SECTIONS`]: inputs are fewer.
    pub fn row(&mut self, group: GroupId, table: &mut Table, time: Timestamp) {
        assert!(self.pending.parts.len() < limit::SECTIONS, "inputs are bounded");
        let n = self.n.saturating_add(1);
        let state = self.groups.entry(group).or_default();
        let key = !state.opened || state.rows_since_key >= limit::KEY_ROWS || !table.is_keyed();
        self.scratch.clear();
        // Rows are dense already; texts are not.
        let has_texts = key || !table.edits().is_empty();
        let packing = if has_texts { Packing::Zstd } else { Packing::Plain };
        let mut texts = 0;
        if key {
            texts = state.put_key(table, &mut self.scratch);
            table.key_row_done();
        } else {
            state.put_delta(table, n, &mut self.scratch);
            table.row_done();
        }
        state.row = n;
        let out = &mut self.pending.sections;
        let start = out.len();
        out.push(if key { KEY } else { DELTA });
        put_varint(out, u64::from(group.0));
        put_zigzag(out, time.millis_since(self.pending.complete_through));
        put_varint(out, self.scratch.len() as u64);
        out.extend_from_slice(&self.scratch);
        let len = out.len() - start;
        let row = table.columns().iter().zip(table.values());
        let present = row.filter(|(column, value)| column.is_some() && !is_absent(**value));
        let samples = present.count() as u32;
        self.pending.parts.push(Part { group, len, texts, samples, packing });
    }

    /// The groups that did not fit the last frame: it holds no row of them, and their next row is a
    /// key row.
    #[must_use]
    pub fn left_out(&self) -> &[GroupId] {
        &self.left_out
    }

    /// Appends the frame to `out`. Where the rows do not fit one frame, the largest are left out.
    ///
    /// # Errors
    /// [`EncodeError`]; begin and fill again with the same tables: all groups then open anew.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<Encoded, EncodeError> {
        let seq = self.next_seq();
        let start = out.len();
        let (mut room, mut samples_left_out) = (Room::default(), 0);
        let texts: usize = self.pending.parts.iter().map(|part| part.texts).sum();
        if texts > limit::FRAME_LABEL_BYTES {
            samples_left_out += self.leave_out(Stays::Texts(limit::FRAME_LABEL_BYTES));
        }
        while let Err(error) = self.build(seq, out) {
            let (declared, bound) = match error {
                FrameError::TooLarge { declared, bound, .. } => (declared, bound),
                _ => unreachable!("invariant: only its size is against a frame"),
            };
            samples_left_out += self.leave_out(room.next(declared, bound));
        }
        let opens_segment = self.pending.opens_segment;
        let len = out.len() - start;
        if !opens_segment && self.segment.bytes + len > limit::SEGMENT_BYTES {
            out.truncate(start);
            self.segment.cut = true;
            return Err(EncodeError::SegmentFull);
        }
        self.n = seq.n();
        self.segment.frames += 1;
        self.segment.bytes += len;
        self.segment.cut = false;
        let samples = self.pending.parts.iter().map(|part| part.samples).sum();
        Ok(Encoded { seq, opens_segment, samples, samples_left_out })
    }

    /// Leaves out groups for which there is no room; returns the samples of their rows.
    fn leave_out(&mut self, stays: Stays) -> u32 {
        let mut samples = 0;
        for part in self.pending.leave_out(stays) {
            samples += part.samples;
            self.left_out.push(part.group);
            if let Some(state) = self.groups.get_mut(&part.group) {
                // Its row is in no frame, so that no delta can build on it.
                state.opened = false;
            }
        }
        samples
    }

    fn build(&self, seq: Seq, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let pending = &self.pending;
        let header = Header {
            seq,
            nonce: self.origin.nonce,
            boot: if pending.opens_segment { self.origin.boot } else { BootId::default() },
            complete_through: pending.complete_through,
            sections: pending.parts.len() as u32,
            opens_segment: pending.opens_segment,
        };
        let has_texts = pending.parts.iter().any(|part| part.packing == Packing::Zstd);
        let packing = if has_texts { Packing::Zstd } else { Packing::Plain };
        frame::build(&header, &pending.sections, packing, out)
    }
}

impl GroupState {
    /// Returns the bytes of label texts that a reader makes of it.
    fn put_key(&mut self, table: &Table, out: &mut Vec<u8>) -> usize {
        let mut description = Vec::new();
        let texts = describe(table, &mut description);
        put_varint(out, description.len() as u64);
        out.extend_from_slice(&description);
        self.accumulators.clear();
        self.sizes = Sizes::default();
        let places = table.columns().iter().zip(table.values());
        for (column, value) in places.clone() {
            let scale = if is_absent(*value) { Scale::One } else { Scale::suiting(*value) };
            self.accumulators.push(Accumulator::new(scale));
            if column.is_some() {
                out.push(scale as u8);
            }
        }
        let present =
            |(column, value): &(&Option<ColumnSpec>, &f64)| column.is_some() && !is_absent(**value);
        put_bitmap(out, places.clone().map(|place| present(&place)));
        for (place, accumulator) in places.zip(&mut self.accumulators) {
            if present(&place) {
                accumulator.put(out, *place.1);
            }
        }
        self.opened = true;
        self.rows_since_key = 1;
        texts
    }

    fn put_delta(&mut self, table: &Table, n: u32, out: &mut Vec<u8>) {
        // The longest row there can be, so that a busy second does not make the buffer grow.
        out.reserve(table.columns().len() * STEP_BYTES_MAX);
        put_varint(out, u64::from(n - self.row));
        self.put_edits(table, out);
        let places = table.columns().iter().zip(table.values());
        let absent =
            |(column, value): (&Option<ColumnSpec>, &f64)| column.is_some() && is_absent(*value);
        let any_absent = places.clone().any(absent);
        out.push(if any_absent { HAS_ABSENT } else { 0 });
        if any_absent {
            put_bitmap(out, places.clone().map(absent));
        }
        let mut coder = range::Encoder::new(out);
        for ((column, value), accumulator) in places.zip(&mut self.accumulators) {
            if column.is_some() && !is_absent(*value) {
                accumulator.put_step(&mut coder, &mut self.sizes, *value);
            }
        }
        coder.finish();
        self.rows_since_key += 1;
    }

    fn put_edits(&mut self, table: &Table, out: &mut Vec<u8>) {
        put_varint(out, table.edits().len() as u64);
        for edit in table.edits() {
            let (Edit::Added(place) | Edit::Ended(place)) = edit;
            let i = place.0 as usize;
            if i >= self.accumulators.len() {
                self.accumulators.resize(i + 1, Accumulator::default());
            }
            match (edit, &table.columns()[i]) {
                (Edit::Added(_), Some(column)) => {
                    let value = table.values()[i];
                    let scale = if is_absent(value) { Scale::One } else { Scale::suiting(value) };
                    out.push(ADDED);
                    put_varint(out, u64::from(place.0));
                    put_place(column, out, &mut |text, out| put_text(out, text));
                    out.push(scale as u8);
                    self.accumulators[i] = Accumulator::new(scale);
                }
                _ => {
                    out.push(ENDED);
                    put_varint(out, u64::from(place.0));
                    self.accumulators[i] = Accumulator::default();
                }
            }
        }
    }
}

/// Returns the bytes of its texts and of the labels they become.
fn describe(table: &Table, out: &mut Vec<u8>) -> usize {
    let mut texts: BTreeMap<&str, u64> = BTreeMap::from([("", 0)]);
    let mut list: Vec<&str> = Vec::new();
    let target = table.target().iter().flat_map(|(name, value)| [name, value]);
    let columns = table.columns().iter().flatten().flat_map(|column| {
        let labels = column.labels.iter().flat_map(|(name, value)| [name, value]);
        labels.chain([&*column.unit, &*column.help])
    });
    for text in target.chain(columns) {
        texts.entry(text).or_insert_with(|| {
            list.push(text);
            list.len() as u64
        });
    }
    put_varint(out, millis(table.cadence()));
    put_varint(out, list.len() as u64);
    list.iter().for_each(|text| put_text(out, text));
    let columns = table.columns().iter().flatten().map(|column| &column.labels);
    let labels = columns.chain([table.target()]).flat_map(LabelSet::iter);
    let labels: usize = labels.map(|(name, value)| name.len() + value.len()).sum();
    let bytes = labels + list.iter().map(|text| text.len()).sum::<usize>();
    let mut used = 0;
    let mut put = |text: &str, out: &mut Vec<u8>| {
        let index = texts.get(text).copied().unwrap_or(0);
        if index == used + 1 {
            used = index;
            put_varint(out, NEXT_TEXT);
        } else {
            put_varint(out, index + 1);
        }
    };
    put_labels(table.target(), out, &mut put);
    put_varint(out, table.columns().len() as u64);
    for column in table.columns() {
        match column {
            None => out.push(0),
            Some(column) => put_place(column, out, &mut put),
        }
    }
    bytes
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn put_place(column: &ColumnSpec, out: &mut Vec<u8>, text: &mut dyn FnMut(&str, &mut Vec<u8>)) {
    let start = if column.start.is_some() { HAS_START } else { 0 };
    out.push(OCCUPIED | (column.kind as u8) << 1 | (column.value_kind as u8) << 4 | start);
    put_labels(&column.labels, out, text);
    text(&column.unit, out);
    text(&column.help, out);
    if let Some(start) = column.start {
        put_zigzag(out, start.0);
    }
}

fn put_labels(labels: &LabelSet, out: &mut Vec<u8>, text: &mut dyn FnMut(&str, &mut Vec<u8>)) {
    put_varint(out, labels.len() as u64);
    for (name, value) in labels.iter() {
        text(name, out);
        text(value, out);
    }
}

fn put_bitmap(out: &mut Vec<u8>, bits: impl Iterator<Item = bool>) {
    let (mut byte, mut used) = (0_u8, 0);
    for bit in bits {
        byte |= u8::from(bit) << used;
        used += 1;
        if used == 8 {
            out.push(byte);
            (byte, used) = (0, 0);
        }
    }
    if used > 0 {
        out.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{MetricType, ValueKind};

    #[test]
    fn another_table_of_a_group_begins_with_a_key_row_within_a_segment() {
        let spec = |name: &str| ColumnSpec {
            labels: LabelSet::new([("__name__", name)]).unwrap(),
            kind: MetricType::Gauge,
            value_kind: ValueKind::Float,
            unit: "".into(),
            help: "".into(),
            start: None,
        };
        let table = |names: &[&str]| {
            let mut table = Table::new(LabelSet::default(), Duration::from_secs(1));
            let _places: Vec<_> = names.iter().map(|name| table.add(spec(name))).collect();
            table
        };
        let origin = Origin { incarnation: Incarnation(1), nonce: Nonce(2), boot: BootId([3; 16]) };
        let mut encoder = Encoder::new(origin);
        let mut kinds = Vec::new();
        let mut tables = [table(&["a", "b"]), table(&[])];
        for (second, which) in [0, 0, 1, 1].into_iter().enumerate() {
            let table = &mut tables[which];
            table.begin_row();
            encoder.begin(Timestamp(second as i64 * 1000 + 999));
            encoder.row(GroupId(7), table, Timestamp(second as i64 * 1000));
            kinds.push(encoder.pending.sections[0]);
            encoder.finish(&mut Vec::new()).unwrap();
        }
        assert_eq!(kinds, [KEY, DELTA, KEY, DELTA]);
    }

    #[test]
    fn the_buffer_of_a_row_has_room_for_what_was_never_foreseen() {
        const COLUMNS: usize = 1000;
        let mut table = Table::new(LabelSet::default(), Duration::from_secs(1));
        let mut columns = Vec::new();
        for number in 0..COLUMNS {
            columns.push(table.add(ColumnSpec {
                labels: LabelSet::new([("n", number.to_string().as_str())]).unwrap(),
                kind: MetricType::Gauge,
                value_kind: ValueKind::Float,
                unit: "".into(),
                help: "".into(),
                start: None,
            }));
        }
        columns.iter().for_each(|column| table.set(*column, 1.0));
        let mut state = GroupState::default();
        state.put_key(&table, &mut Vec::new());
        table.key_row_done();
        for n in 1..limit::KEY_ROWS - 1 {
            state.put_delta(&table, n, &mut Vec::new());
            state.row = n;
        }
        // A value of another scale, after a long time without a change.
        columns.iter().for_each(|column| table.set(*column, 1.0 / 3.0));
        let mut row = Vec::new();
        state.put_delta(&table, limit::KEY_ROWS - 1, &mut row);
        let room = COLUMNS * STEP_BYTES_MAX;
        assert!(row.len() <= room, "{} bytes in a buffer of {room}", row.len());
    }
}
