//! Properties of the wire: round trip, segments that decode alone, and nothing lost, swapped or
//! repeated without notice. The tables of `WIRE.md` are compared with the code.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::answer::{Answer, Case, RefusedColumn, RefusedReason};
use super::bytes::Reader;
use super::decode::{Change, DecodeError, Decoder, Purpose};
use super::encode::{EncodeError, Encoder, Origin};
use super::envelope::{Envelope, Skip, SkipReason};
use super::frame::{Frame, FrameError, Inflater};
use super::table::{ColumnIndex, ColumnSpec, Table};
use crate::id::{AgentId, BootId, GroupId, Incarnation, Nonce, Seq, StoreId, Stream};
use crate::label::{LabelSet, METRIC_NAME};
use crate::series::{MetricType, ValueKind, is_absent};
use crate::time::{Nanos, Timestamp};

/// One thing an input does in a tick.
#[derive(Clone, Debug)]
enum Op {
    Add,
    End(prop::sample::Index),
    Set(prop::sample::Index, f64),
    Drop(prop::sample::Index),
    Cut,
    Tick,
}

fn op() -> impl Strategy<Value = Op> {
    let value = prop_oneof![
        any::<i32>().prop_map(f64::from),
        any::<i32>().prop_map(|i| f64::from(i) / 100.0),
        any::<u64>().prop_map(f64::from_bits).prop_filter("absence", |v| !is_absent(*v)),
    ];
    prop_oneof![
        2 => Just(Op::Add),
        1 => any::<prop::sample::Index>().prop_map(Op::End),
        6 => (any::<prop::sample::Index>(), value).prop_map(|(i, v)| Op::Set(i, v)),
        1 => any::<prop::sample::Index>().prop_map(Op::Drop),
        1 => Just(Op::Cut),
        6 => Just(Op::Tick),
    ]
}

fn column(number: usize) -> ColumnSpec {
    let device = format!("dev{number}");
    ColumnSpec {
        labels: LabelSet::new([(METRIC_NAME, "test_total"), ("device", device.as_str())]).unwrap(),
        kind: MetricType::Counter,
        value_kind: ValueKind::Float,
        unit: Arc::from(""),
        help: Arc::from("A count."),
        start: number.is_multiple_of(3).then_some(Timestamp(77)),
    }
}

fn origin() -> Origin {
    Origin { incarnation: Incarnation(3), nonce: Nonce(9), boot: BootId([4; 16]) }
}

/// A row as labels to bits.
type Row = BTreeMap<String, u64>;

/// Runs the operations; returns each frame with its expected row.
fn encode(ops: &[Op]) -> Vec<(Vec<u8>, Row)> {
    let target = LabelSet::new([("job", "node"), ("instance", "a")]).unwrap();
    let mut table = Table::new(target, Duration::from_secs(1));
    let mut encoder = Encoder::new(origin());
    let mut held: BTreeMap<ColumnIndex, f64> = BTreeMap::new();
    let (mut added, mut frames) = (0, Vec::new());
    for op in ops.iter().chain([&Op::Tick]) {
        match op {
            Op::Add if held.len() < 20 => {
                held.insert(table.add(column(added)), 0.0);
                added += 1;
            }
            Op::End(i) if !held.is_empty() => {
                let place = *held.keys().nth(i.index(held.len())).unwrap();
                table.end(place);
                held.remove(&place);
            }
            Op::Set(i, value) if !held.is_empty() => {
                let nth = i.index(held.len());
                *held.values_mut().nth(nth).unwrap() = *value;
            }
            Op::Drop(i) if !held.is_empty() => {
                let nth = i.index(held.len());
                *held.values_mut().nth(nth).unwrap() = crate::series::ABSENT;
            }
            Op::Cut => encoder.cut(),
            Op::Tick => frames.push(tick(&mut encoder, &mut table, &held, frames.len())),
            _ => {}
        }
    }
    frames
}

fn tick(
    encoder: &mut Encoder,
    table: &mut Table,
    held: &BTreeMap<ColumnIndex, f64>,
    second: usize,
) -> (Vec<u8>, Row) {
    let time = Timestamp(1_000_000 + 1000 * i64::try_from(second).unwrap());
    table.begin_row();
    let mut row = Row::new();
    for (place, value) in held {
        table.set(*place, *value);
        let labels = table.columns()[place.0 as usize].as_ref().unwrap().labels.to_string();
        if !is_absent(*value) {
            row.insert(labels, value.to_bits());
        }
    }
    encoder.begin(Timestamp(time.0 + 999));
    encoder.row(GroupId(5), table, time);
    let mut frame = Vec::new();
    encoder.finish(&mut frame).unwrap();
    (frame, row)
}

/// A reader that keeps columns by place, as a store does.
#[derive(Default)]
struct Reading {
    inflater: Inflater,
    columns: BTreeMap<u32, String>,
}

impl Reading {
    fn read(&mut self, decoder: &mut Decoder, bytes: &[u8]) -> Result<Row, DecodeError> {
        let (frame, rest) = Frame::read(bytes).unwrap();
        assert!(rest.is_empty());
        let sections = frame.sections(&mut self.inflater).unwrap();
        decoder.read(frame.header(), sections, Purpose::Apply)?;
        let group = decoder.group_mut(GroupId(5)).unwrap();
        assert_eq!(group.target().get("job"), Some("node"));
        let places: Vec<(u32, Option<ColumnSpec>)> = match group.take_change() {
            Change::Same => Vec::new(),
            Change::Key(columns) => {
                self.columns.clear();
                (0..).zip(columns).collect()
            }
            Change::Edits(edits) => edits,
        };
        for (place, column) in places {
            match column {
                Some(column) => self.columns.insert(place, column.labels.to_string()),
                None => self.columns.remove(&place),
            };
        }
        let values = group.values();
        let present = self.columns.iter().filter(|(p, _)| !is_absent(values[**p as usize]));
        Ok(present.map(|(p, labels)| (labels.clone(), values[*p as usize].to_bits())).collect())
    }
}

fn opens_segment(bytes: &[u8]) -> bool {
    Frame::read(bytes).unwrap().0.header().opens_segment
}

proptest! {
    #[test]
    fn rows_round_trip(ops in prop::collection::vec(op(), 0..400)) {
        let (mut decoder, mut reading) = (Decoder::new(1000), Reading::default());
        for (bytes, row) in encode(&ops) {
            prop_assert_eq!(reading.read(&mut decoder, &bytes).unwrap(), row);
        }
    }

    #[test]
    fn a_decoder_goes_on_from_its_state(ops in prop::collection::vec(op(), 0..200)) {
        let (mut decoder, mut reading) = (Decoder::new(1000), Reading::default());
        for (bytes, row) in encode(&ops) {
            prop_assert_eq!(reading.read(&mut decoder, &bytes).unwrap(), row);
            let mut state = Vec::new();
            decoder.put_state(&mut state);
            let mut reader = Reader::new(&state);
            decoder = Decoder::take_state(&mut reader, 1000).unwrap();
            prop_assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn any_segment_decodes_alone(
        ops in prop::collection::vec(op(), 0..400),
        from: prop::sample::Index,
    ) {
        let frames = encode(&ops);
        let opened: Vec<usize> =
            (0..frames.len()).filter(|i| opens_segment(&frames[*i].0)).collect();
        let from = opened[from.index(opened.len())];
        let (mut decoder, mut reading) = (Decoder::new(1000), Reading::default());
        for (bytes, row) in &frames[from..] {
            prop_assert_eq!(&reading.read(&mut decoder, bytes).unwrap(), row);
        }
    }

    /// A frame left out, repeated or swapped is noticed by the next delta, unless a key row
    /// follows.
    #[test]
    fn loss_swap_and_repeat_are_noticed(
        ops in prop::collection::vec(op(), 0..200),
        at: prop::sample::Index,
        kind in 0..3,
    ) {
        let mut frames = encode(&ops);
        let at = at.index(frames.len());
        match kind {
            0 => drop(frames.remove(at)),
            1 => frames.insert(at, frames[at].clone()),
            _ if at + 1 < frames.len() => frames.swap(at, at + 1),
            _ => {}
        }
        let (mut decoder, mut reading) = (Decoder::new(1000), Reading::default());
        for (bytes, row) in &frames {
            let (frame, _) = Frame::read(bytes).unwrap();
            match reading.read(&mut decoder, bytes) {
                Ok(read) => prop_assert_eq!(&read, row),
                Err(DecodeError::Base { .. }) => {
                    prop_assert!(!frame.header().opens_segment);
                    prop_assert!(decoder.groups().next().is_none());
                }
                Err(other) => panic!("{other}"),
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed(
        ops in prop::collection::vec(op(), 0..50),
        at: prop::sample::Index,
        bit in 0..8,
    ) {
        let (mut bytes, _) = encode(&ops).pop().unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(Frame::read(&bytes).is_err());
    }

    #[test]
    fn envelopes_round_trip(
        agent: [u8; 16], wall: i64, mono: u64, goodbye: bool, frames in 0_u16..1024,
        ranges in prop::collection::vec((1_u32..1000, 0_u32..50, 0_usize..7), 0..100),
    ) {
        let mut next = 1;
        let skips: Vec<Skip> = ranges.iter().map(|(gap, len, reason)| {
            let first = next + gap;
            next = first + len + 1;
            let seq = |n| Seq::new(Incarnation(4), n);
            Skip { first: seq(first), last: seq(first + len), reason: SkipReason::ALL[*reason] }
        }).collect();
        let envelope = Envelope {
            agent: AgentId(agent), stream: Stream::Metrics, goodbye, sent_wall: Nanos(wall),
            sent_mono: mono, skips, frames,
        };
        let mut bytes = Vec::new();
        envelope.put(&mut bytes);
        bytes.push(1);
        let (read, rest) = Envelope::read(&bytes).unwrap();
        prop_assert_eq!(read, envelope);
        prop_assert_eq!(rest, &[1_u8][..]);
    }

    #[test]
    fn answers_round_trip(
        case in 0..Case::ALL.len(),
        drain: bool,
        acked: u64,
        at in proptest::option::of(any::<u64>()),
        took in proptest::option::of(0..5_000_000_000_i64),
        places: Vec<u32>,
        text: String,
    ) {
        let mut answer = Answer::new(Case::ALL[case], StoreId([7; 16]));
        answer.drain = drain;
        (answer.acked, answer.at) = (Seq(acked), Seq(at.unwrap_or(acked)));
        answer.received = Nanos(17);
        answer.answered = Nanos(took.map_or(0, |took| 17 + took));
        answer.refused = u32::try_from(places.len()).unwrap();
        answer.columns = places.iter().take(64).map(|place| RefusedColumn {
            group: GroupId(1), place: *place, reason: RefusedReason::SeriesTotal,
        }).collect();
        answer.text = text.chars().take(100).collect();
        let mut bytes = Vec::new();
        answer.put(&mut bytes);
        for cut in 0..bytes.len() {
            prop_assert!(Answer::read(&bytes[..cut]).is_err());
        }
        prop_assert_eq!(Answer::read(&bytes).unwrap(), answer);
    }
}

#[test]
fn an_answer_that_says_little_is_short() {
    let mut answer = Answer::new(Case::Applied, StoreId([7; 16]));
    (answer.acked, answer.at) = (Seq(9), Seq(9));
    (answer.received, answer.answered) = (Nanos(5), Nanos(900));
    let len = |answer: &Answer| {
        let mut bytes = Vec::new();
        answer.put(&mut bytes);
        assert_eq!(Answer::read(&bytes).as_ref(), Ok(answer));
        bytes.len()
    };
    assert_eq!(len(&answer), 40);
    answer.at = Seq(8);
    assert_eq!(len(&answer), 66);
}

#[test]
fn a_full_segment_is_cut_and_nothing_is_used_up() {
    let mut table = Table::new(LabelSet::default(), Duration::from_secs(1));
    let places: Vec<ColumnIndex> = (0..30_000).map(|i| table.add(column(i))).collect();
    let mut encoder = Encoder::new(origin());
    let (mut bits, mut full, mut frames) = (1_u64, 0, Vec::new());
    while frames.len() < 20 {
        table.begin_row();
        for place in &places {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            #[expect(clippy::cast_precision_loss, reason = "any value will do")]
            table.set(*place, (bits >> 20) as f64 / 3.0);
        }
        encoder.begin(Timestamp(5));
        encoder.row(GroupId(5), &mut table, Timestamp(5));
        let mut frame = Vec::new();
        match encoder.finish(&mut frame) {
            Ok(encoded) => {
                assert_eq!(encoded.seq.n() as usize, frames.len() + 1);
                frames.push(frame);
            }
            Err(EncodeError::SegmentFull) => full += 1,
        }
    }
    assert!(full > 0);
    let mut decoder = Decoder::new(100_000);
    let mut reading = Reading { inflater: Inflater::default(), columns: BTreeMap::new() };
    let mut segment = 0;
    for bytes in &frames {
        segment = if opens_segment(bytes) { 0 } else { segment } + bytes.len();
        assert!(segment <= crate::limit::SEGMENT_BYTES);
        let (frame, _) = Frame::read(bytes).unwrap();
        let sections = frame.sections(&mut reading.inflater).unwrap();
        decoder.read(frame.header(), sections, Purpose::Apply).unwrap();
    }
}

#[test]
fn too_many_places_are_refused_before_they_cost() {
    let frames = encode(&[Op::Add, Op::Add, Op::Add, Op::Tick]);
    let mut decoder = Decoder::new(2);
    let (frame, _) = Frame::read(&frames[0].0).unwrap();
    let mut inflater = Inflater::default();
    let sections = frame.sections(&mut inflater).unwrap();
    let error = decoder.read(frame.header(), sections, Purpose::Apply).unwrap_err();
    assert!(matches!(error, DecodeError::Malformed(_)), "{error}");
}

/// A key section of a group that has no place and names its strings.
fn strings_section(group: u64, strings: usize, len: usize) -> Vec<u8> {
    use super::bytes::{put_text, put_varint, put_zigzag};
    let mut description = Vec::new();
    put_varint(&mut description, 0);
    put_varint(&mut description, strings as u64);
    (0..strings).for_each(|_| put_text(&mut description, &"x".repeat(len)));
    description.extend_from_slice(&[0, 0]);
    let mut body = Vec::new();
    put_varint(&mut body, description.len() as u64);
    body.extend_from_slice(&description);
    let mut section = vec![0];
    put_varint(&mut section, group);
    put_zigzag(&mut section, 0);
    put_varint(&mut section, body.len() as u64);
    section.extend_from_slice(&body);
    section
}

#[test]
fn groups_and_strings_are_bounded() {
    let header = |sections| super::frame::Header {
        seq: Seq::new(Incarnation(1), 1),
        nonce: Nonce(1),
        boot: BootId::default(),
        complete_through: Timestamp(5),
        sections,
        opens_segment: true,
    };
    let mut decoder = Decoder::new(1000);
    let few = strings_section(u64::from(crate::limit::GROUPS) - 1, 2, 10);
    assert!(decoder.read(&header(1), &few, Purpose::Apply).is_ok());
    let beyond = strings_section(u64::from(crate::limit::GROUPS), 0, 0);
    assert!(decoder.read(&header(1), &beyond, Purpose::Apply).is_err());
    // Strings that nothing refers to are paid for all the same, over the whole frame.
    let count = crate::limit::FRAME_LABEL_BYTES / 4096 / 4;
    let many: Vec<u8> = (0..5).flat_map(|group| strings_section(group, count, 4096)).collect();
    assert!(decoder.read(&header(5), &many, Purpose::Apply).is_err());
}

/// A frame that declares these sizes, with a CRC that holds.
fn declaring(stored: u64, inflated: u64) -> Vec<u8> {
    use super::bytes::{put_crc, put_varint};
    let mut bytes = b"BF\x02\x03\x01".to_vec();
    [stored, inflated, 3, 1].iter().for_each(|number| put_varint(&mut bytes, *number));
    bytes.extend_from_slice(&[0; 8 + 16 + 1]);
    bytes.extend_from_slice(&[0; 100]);
    put_crc(&mut bytes, 0);
    bytes
}

#[test]
fn declared_sizes_are_checked_before_inflating() {
    let read = |stored, inflated| match Frame::read(&declaring(stored, inflated)) {
        Ok((frame, _)) => frame.sections(&mut Inflater::default()).map(drop),
        Err(error) => Err(error),
    };
    let over = |bound: usize| {
        Err(FrameError::TooLarge { seq: Seq::new(Incarnation(3), 1), declared: bound + 1, bound })
    };
    let inflated = crate::limit::FRAME_INFLATED_BYTES;
    assert_eq!(read(100, inflated as u64 + 1), over(inflated));
    assert!(matches!(read(100, 50), Err(FrameError::Contents { .. })), "no zstd frame");
    assert!(matches!(read(u64::from(u32::MAX), 1), Err(FrameError::TooLarge { .. })));
    assert!(matches!(read(u64::MAX, 1), Err(FrameError::Broken(_))));
    assert!(matches!(read(101, 50), Err(FrameError::Broken(_))), "cut short");
}

#[test]
fn frames_of_another_version_are_refused_by_it() {
    assert_eq!(Frame::read(b"BWF1\x01\x02").map(drop), Err(FrameError::Version(1)));
    assert_eq!(Frame::read(b"BF\x03\x00").map(drop), Err(FrameError::Version(3)));
    assert!(matches!(Frame::read(b"BWP1"), Err(FrameError::Broken(_))));
}

/// A row of counters as a host has them, of which most rest.
#[test]
fn a_row_that_is_foreseen_takes_few_bytes() {
    let mut table = Table::new(LabelSet::default(), Duration::from_secs(1));
    let places: Vec<ColumnIndex> = (0..1000).map(|i| table.add(column(i))).collect();
    let mut encoder = Encoder::new(origin());
    let (mut total, mut largest) = (0, 0);
    for second in 0..200_u32 {
        table.begin_row();
        for place in &places {
            let step = if place.0 % 5 == 0 { 100 + place.0 % 7 } else { 0 };
            table.set(*place, f64::from(second * step));
        }
        encoder.begin(Timestamp(5));
        encoder.row(GroupId(5), &mut table, Timestamp(5));
        let mut frame = Vec::new();
        encoder.finish(&mut frame).unwrap();
        if second >= 100 {
            total += frame.len();
            largest = largest.max(frame.len());
        }
    }
    // 200 steps of six bits that nothing foretells, and the frame's head.
    assert!(total < 100 * 220 && largest < 240, "{total} bytes, {largest} at most");
}

#[test]
fn load_reaches_the_same_state_from_any_repeat() {
    let frames =
        encode(&[Op::Add, Op::Tick, Op::Tick, Op::Cut, Op::Tick, Op::Add, Op::Tick, Op::Tick]);
    let mut inflater = Inflater::default();
    let mut decoder = Decoder::new(100);
    let mut read = |decoder: &mut Decoder, i: usize, purpose| {
        let (frame, _) = Frame::read(&frames[i].0).unwrap();
        let sections = frame.sections(&mut inflater).unwrap().to_vec();
        decoder.read(frame.header(), &sections, purpose).map(<[GroupId]>::len)
    };
    for i in 0..4 {
        assert_eq!(read(&mut decoder, i, Purpose::Apply), Ok(1));
    }
    for i in [0, 2, 3, 1] {
        assert_eq!(read(&mut decoder, i, Purpose::Load), Ok(0), "an old frame moves nothing back");
    }
    decoder.clear();
    assert_eq!(read(&mut decoder, 3, Purpose::Load), Ok(0), "a delta alone loads nothing");
    assert_eq!(read(&mut decoder, 2, Purpose::Load), Ok(1));
    assert_eq!(read(&mut decoder, 3, Purpose::Load), Ok(1));
    assert_eq!(read(&mut decoder, 4, Purpose::Apply), Ok(1));
}

const WIRE: &str = include_str!("../../WIRE.md");

/// The cells of the table rows of `WIRE.md` that begin with one of these words.
fn rows(first: &[&str]) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let lines = WIRE.lines().filter(|line| line.starts_with('|')).map(cells);
    lines.filter(|cells| first.contains(&cells[0].as_str())).collect()
}

#[test]
fn the_table_of_answers_is_the_code() {
    let names: Vec<&str> = Case::ALL.iter().map(|case| case.as_str()).collect();
    let written = rows(&names);
    assert_eq!(written.len(), Case::ALL.len());
    for (case, row) in Case::ALL.iter().zip(written) {
        let coded = [
            case.as_str().to_owned(),
            (*case as u8).to_string(),
            case.status().to_string(),
            row[3].clone(),
            case.next_step().as_str().to_owned(),
        ];
        assert_eq!(row, coded);
        let step = format!("- **{}**:", case.next_step().as_str());
        assert!(WIRE.contains(&step), "{step} is not explained");
    }
}

#[test]
fn reasons_and_scales_are_the_code() {
    for reason in SkipReason::ALL {
        assert!(WIRE.contains(&format!("{} `{}`", reason as u8, reason.as_str())));
    }
    for reason in RefusedReason::ALL {
        assert!(WIRE.contains(&format!("{} `{}`", reason as u8, reason.as_str())));
    }
    let scales: Vec<String> = (0..=8).map(|i| i.to_string()).collect();
    let scales: Vec<&str> = scales.iter().map(String::as_str).collect();
    assert_eq!(
        rows(&scales).iter().filter(|row| row.len() == 2 && row[1].contains('m')).count(),
        9
    );
}
