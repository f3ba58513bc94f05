use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::id::{BootId, Incarnation, Nonce};
use crate::label::{LabelSet, METRIC_NAME};
use crate::series::{MetricType, ValueKind, is_absent};
use crate::time::Timestamp;
use crate::wire::decode::{Change, Decoder, Purpose};
use crate::wire::encode::{EncodeError, Encoded, Encoder, Origin};
use crate::wire::frame::{Frame, Inflater};
use crate::wire::table::{ColumnIndex, ColumnSpec, Table};

const HOST: GroupId = GroupId(0);
const TARGET: GroupId = GroupId::TARGETS;

fn column(name: &str) -> ColumnSpec {
    ColumnSpec {
        labels: LabelSet::new([(METRIC_NAME, name)]).unwrap(),
        kind: MetricType::Gauge,
        value_kind: ValueKind::Float,
        unit: "".into(),
        help: "".into(),
        start: None,
    }
}

/// Groups of many columns, with what a reader makes of their frames.
struct Bench {
    encoder: Encoder,
    tables: BTreeMap<GroupId, (Table, Vec<ColumnIndex>)>,
    bits: u64,
    second: i64,
    decoder: Decoder,
    inflater: Inflater,
    names: BTreeMap<GroupId, Vec<Option<String>>>,
}

/// What came of a tick.
struct Ticked {
    encoded: Encoded,
    left_out: Vec<GroupId>,
    bytes: usize,
}

impl Bench {
    fn new(groups: &[(GroupId, usize)]) -> Bench {
        let origin = Origin { incarnation: Incarnation(1), nonce: Nonce(2), boot: BootId([3; 16]) };
        let mut bench = Bench {
            encoder: Encoder::new(origin),
            tables: BTreeMap::new(),
            bits: 1,
            second: 0,
            decoder: Decoder::new(1 << 20),
            inflater: Inflater::default(),
            names: BTreeMap::new(),
        };
        for (group, columns) in groups {
            let mut table = Table::new(LabelSet::default(), Duration::from_secs(1));
            let columns = (0..*columns).map(|n| table.add(column(&format!("m{n}")))).collect();
            bench.tables.insert(*group, (table, columns));
        }
        bench
    }

    fn random(&mut self) -> f64 {
        self.bits = self.bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        f64::from_bits(self.bits >> 12 | 0x3ff0_0000_0000_0000) / 3.0
    }

    /// Fills the rows, those of `noisy` with values that nothing makes shorter, encodes them, and
    /// has a reader find in the frame what was put there and nothing else.
    fn tick(&mut self, noisy: &[GroupId]) -> Ticked {
        self.second += 1;
        let groups: Vec<GroupId> = self.tables.keys().copied().collect();
        for group in &groups {
            let (_, columns) = &self.tables[group];
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            let values: Vec<f64> = match noisy.contains(group) {
                true => (0..columns.len()).map(|_| self.random()).collect(),
                false => vec![self.second as f64; columns.len()],
            };
            let (table, columns) = self.tables.get_mut(group).unwrap();
            table.begin_row();
            columns.iter().zip(values).for_each(|(at, value)| table.set(*at, value));
        }
        let mut frame = Vec::new();
        let encoded = self.encode(&mut frame).or_else(|error| {
            assert_eq!(error, EncodeError::SegmentFull);
            self.encode(&mut frame)
        });
        let left_out = self.encoder.left_out().to_vec();
        let has = self.read(&frame);
        let stays: Vec<GroupId> =
            groups.iter().filter(|group| !left_out.contains(group)).copied().collect();
        assert_eq!(has, stays);
        Ticked { encoded: encoded.unwrap(), left_out, bytes: frame.len() }
    }

    fn encode(&mut self, frame: &mut Vec<u8>) -> Result<Encoded, EncodeError> {
        let time = Timestamp(self.second * 1000);
        self.encoder.begin(Timestamp(time.0 + 999));
        for (group, (table, _)) in &mut self.tables {
            self.encoder.row(*group, table, time);
        }
        self.encoder.finish(frame)
    }

    /// The groups of a frame, whose rows are those of the tables.
    fn read(&mut self, bytes: &[u8]) -> Vec<GroupId> {
        let (frame, rest) = Frame::read(bytes).unwrap();
        assert!(rest.is_empty());
        let sections = frame.sections(&mut self.inflater).unwrap();
        let touched = self.decoder.read(frame.header(), sections, Purpose::Apply).unwrap().to_vec();
        for group in &touched {
            let names = self.names.entry(*group).or_default();
            let read = self.decoder.group_mut(*group).unwrap();
            let name = |column: &ColumnSpec| column.labels.to_string();
            match read.take_change() {
                Change::Same => {}
                Change::Key(columns) => {
                    *names = columns.iter().map(|column| column.as_ref().map(name)).collect();
                }
                Change::Edits(edits) => {
                    for (place, column) in edits {
                        let place = place as usize;
                        names.resize(names.len().max(place + 1), None);
                        names[place] = column.as_ref().map(name);
                    }
                }
            }
            let row = |names: &[Option<String>], values: &[f64]| -> Vec<(String, u64)> {
                let places = names.iter().zip(values).filter(|(_, value)| !is_absent(**value));
                places.map(|(name, value)| (name.clone().unwrap(), value.to_bits())).collect()
            };
            let (table, _) = &self.tables[group];
            let theirs: Vec<_> = table.columns().iter().map(|at| at.as_ref().map(name)).collect();
            assert!(row(names, read.values()) == row(&theirs, table.values()), "{group:?}");
        }
        touched
    }
}

#[test]
fn a_group_that_does_not_fit_costs_the_others_nothing_and_opens_anew() {
    let (large, larger) = (GroupId(70), GroupId(71));
    let mut bench = Bench::new(&[(HOST, 300), (large, 70_000), (larger, 80_000)]);
    assert_eq!(bench.tick(&[]).left_out, []);
    let calm = bench.tick(&[]);
    assert_eq!((calm.encoded.samples, calm.encoded.samples_left_out), (150_300, 0));
    // 1.2 MB of noise: the larger of the two goes, and the row of the host builds on the one
    // before.
    let noisy = bench.tick(&[large, larger]);
    assert_eq!(noisy.left_out, [larger]);
    assert_eq!((noisy.encoded.samples, noisy.encoded.samples_left_out), (70_300, 80_000));
    // Meanwhile a column ends and another takes its place.
    let (table, columns) = bench.tables.get_mut(&larger).unwrap();
    table.end(columns[7]);
    columns[7] = table.add(column("another"));
    table.end(columns.pop().unwrap());
    let after = bench.tick(&[]);
    assert_eq!((after.left_out, after.encoded.samples), (vec![], 150_299));
    let calm = bench.tick(&[]);
    assert!(calm.left_out.is_empty() && calm.bytes < 200_000, "{} bytes", calm.bytes);
}

#[test]
fn a_group_too_large_for_any_frame_comes_once_it_fits_and_the_segment_goes_on() {
    let mut bench = Bench::new(&[(HOST, 300), (TARGET, 0)]);
    assert_eq!(bench.tick(&[]).left_out, []);
    let names: Vec<String> = (0..90_000)
        .map(|_| format!("m{:x}{:x}", bench.random().to_bits(), bench.random().to_bits()))
        .collect();
    let (table, columns) = bench.tables.get_mut(&TARGET).unwrap();
    columns.extend(names.iter().map(|name| table.add(column(name))));
    for _ in 0..3 {
        let ticked = bench.tick(&[HOST]);
        assert_eq!(ticked.left_out, [TARGET]);
        assert!(!ticked.encoded.opens_segment && ticked.bytes < 4000, "{} bytes", ticked.bytes);
    }
    let (table, columns) = bench.tables.get_mut(&TARGET).unwrap();
    columns.drain(20_000..).for_each(|at| table.end(at));
    for _ in 0..3 {
        let ticked = bench.tick(&[]);
        assert_eq!((ticked.left_out, ticked.encoded.samples), (vec![], 20_300));
    }
}

#[test]
fn of_many_groups_no_more_go_than_must_and_the_agents_own_go_last() {
    // A key row of the host is larger than any of the others.
    let many = (0..200).map(|n| (GroupId(TARGET.0 + n), 1000));
    let groups: Vec<(GroupId, usize)> = [(HOST, 8000)].into_iter().chain(many).collect();
    let all: Vec<GroupId> = groups.iter().map(|(group, _)| *group).collect();
    let mut bench = Bench::new(&groups);
    let ticked = bench.tick(&all);
    assert!(!ticked.left_out.is_empty() && !ticked.left_out.contains(&HOST));
    assert!(ticked.bytes > frame::ROOM / 4 * 3, "{} bytes", ticked.bytes);
    assert_eq!(ticked.encoded.samples + ticked.encoded.samples_left_out, 208_000);
    // An own group that is too large for any frame does not take the targets with it.
    let mut bench = Bench::new(&[(HOST, 90_000), (GroupId(1), 90_000), (TARGET, 50)]);
    let ticked = bench.tick(&[HOST, GroupId(1)]);
    assert_eq!(ticked.encoded.samples + ticked.encoded.samples_left_out, 180_050);
    assert!(ticked.encoded.samples >= 90_000);
}

#[test]
fn labels_that_a_reader_would_refuse_come_in_two_frames() {
    let (one, other, endless) = (GroupId(70), GroupId(71), GroupId(72));
    let mut bench = Bench::new(&[(HOST, 300), (one, 0), (other, 0), (endless, 0)]);
    let text = "x".repeat(limit::LABEL_BYTES);
    let names: Vec<String> = (0..60).map(|n| format!("label{n}")).collect();
    for (group, count) in [(one, 100), (other, 80), (endless, 200)] {
        let (table, columns) = bench.tables.get_mut(&group).unwrap();
        for n in 0..count {
            let name = format!("m{n}");
            let long = names.iter().map(|name| (name.as_str(), text.as_str()));
            let labels = LabelSet::new(long.chain([(METRIC_NAME, name.as_str())])).unwrap();
            columns.push(table.add(ColumnSpec { labels, ..column(&name) }));
        }
    }
    // 24.6 and 19.7 MB of texts, and more than any reader takes, in a few kilobytes.
    let ticked = bench.tick(&[]);
    assert_eq!((ticked.left_out, ticked.encoded.samples), (vec![one, endless], 380));
    let ticked = bench.tick(&[]);
    assert_eq!((ticked.left_out, ticked.encoded.samples), (vec![endless], 480));
    assert_eq!(bench.tick(&[]).encoded.samples_left_out, 200);
}
