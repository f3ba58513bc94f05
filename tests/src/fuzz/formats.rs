//! The binary formats under test. CRCs would stop every mutation at the door, so that what lies
//! behind them is given to its reader directly.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bellwether_collector::pure::entry::{self, Entry, UpEntry, UpValue};
use bellwether_model::id::{AgentId, BootId, GroupId, Incarnation, Nonce, Seq, StoreId, Stream};
use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::series::{MetricType, ValueKind};
use bellwether_model::time::{Nanos, Timestamp};
use bellwether_model::wire::answer::{Answer, Case};
use bellwether_model::wire::decode::{Decoder, Purpose};
use bellwether_model::wire::encode::{Encoder, Origin};
use bellwether_model::wire::envelope::{Envelope, Skip, SkipReason};
use bellwether_model::wire::frame::{Frame, Header, Inflater};
use bellwether_model::wire::table::{ColumnSpec, Table};
use bellwether_platform::disk::Disk;
use bellwether_platform::disk::sim::SimDisk;
use bellwether_platform::journal::{Class, Journal, Loss, Options};
use bellwether_store::chunk;

/// Rows that the chunk target asks for.
const ROWS: usize = 40;
const SEGMENT: u64 = 4096;

fn frames() -> Vec<Vec<u8>> {
    let target = LabelSet::new([("job", "node"), ("instance", "a")]).expect("labels");
    let mut table = Table::new(target, Duration::from_secs(1));
    let origin = Origin { incarnation: Incarnation(1), nonce: Nonce(2), boot: BootId::default() };
    let mut encoder = Encoder::new(origin);
    let mut frames = Vec::new();
    for row in 0..4_i32 {
        let name = format!("m{row}_total");
        let column = table.add(ColumnSpec {
            labels: LabelSet::new([(METRIC_NAME, name.as_str()), ("cpu", "0")]).expect("labels"),
            kind: MetricType::Counter,
            value_kind: ValueKind::Float,
            unit: "".into(),
            help: "A count.".into(),
            start: (row == 1).then_some(Timestamp(5)),
        });
        table.begin_row();
        table.set(column, f64::from(row) / 3.0);
        encoder.begin(Timestamp(999));
        encoder.row(GroupId(1), &mut table, Timestamp(0));
        let mut frame = Vec::new();
        encoder.finish(&mut frame).expect("a frame");
        frames.push(frame);
    }
    frames
}

pub(super) fn frame_seeds() -> Vec<Vec<u8>> {
    frames()
}

pub(super) fn section_seeds() -> Vec<Vec<u8>> {
    let mut inflater = Inflater::default();
    let mut sections = |bytes: Vec<u8>| {
        let (frame, _) = Frame::read(&bytes).expect("a frame");
        frame.sections(&mut inflater).expect("sections").to_vec()
    };
    frames().into_iter().map(&mut sections).collect()
}

/// A header as the agent of the seeds would have written it.
pub(super) fn header(n: u32, sections: u32) -> Header {
    Header {
        seq: Seq::new(Incarnation(1), n),
        nonce: Nonce(2),
        boot: BootId::default(),
        complete_through: Timestamp(999),
        sections,
        opens_segment: false,
    }
}

pub(super) fn read_frame(input: &[u8]) {
    if let Ok((frame, rest)) = Frame::read(input) {
        assert_eq!(frame.bytes().len() + rest.len(), input.len());
        drop(frame.sections(&mut Inflater::default()).map(<[u8]>::len));
    }
}

/// The second frame of the seeds' session, after a good first one.
pub(super) fn read_sections(input: &[u8]) {
    let first = section_seeds().swap_remove(0);
    for count in 0..3 {
        let mut decoder = Decoder::new(2000);
        decoder.read(&header(1, 1), &first, Purpose::Apply).expect("the seed");
        for purpose in [Purpose::Load, Purpose::Apply] {
            if decoder.read(&header(2, count), input, purpose).is_err() {
                assert!(decoder.groups().next().is_none(), "an error empties the decoder");
            }
        }
    }
}

pub(super) fn envelope_seeds() -> Vec<Vec<u8>> {
    let seq = |n| Seq::new(Incarnation(1), n);
    let envelope = Envelope {
        agent: AgentId([1; 16]),
        stream: Stream::Metrics,
        goodbye: false,
        sent_wall: Nanos(1),
        sent_mono: 2,
        skips: vec![Skip { first: seq(3), last: seq(4), reason: SkipReason::SpoolFull }],
        frames: 1,
    };
    let mut bytes = Vec::new();
    envelope.put(&mut bytes);
    vec![bytes]
}

pub(super) fn read_envelope(input: &[u8]) {
    if let Ok((envelope, rest)) = Envelope::read(input) {
        let mut again = Vec::new();
        envelope.put(&mut again);
        assert_eq!(again.len() + rest.len(), input.len());
    }
}

pub(super) fn answer_seeds() -> Vec<Vec<u8>> {
    let mut answer = Answer::new(Case::Gap, StoreId([3; 16]));
    answer.text = "expected 1:2".to_owned();
    let mut bytes = Vec::new();
    answer.put(&mut bytes);
    vec![bytes]
}

pub(super) fn read_answer(input: &[u8]) {
    if let Ok(answer) = Answer::read(input) {
        let mut again = Vec::new();
        answer.put(&mut again);
        assert!(again.len() <= input.len(), "numbers may be written longer than needed");
    }
}

pub(super) fn entry_seeds() -> Vec<Vec<u8>> {
    let mut up = Vec::new();
    let entry = UpEntry {
        job: "node".to_owned(),
        instance: "a".to_owned(),
        time: Timestamp(1),
        value: UpValue::Up,
    };
    entry::put_up(&mut up, &entry);
    let mut goodbye = Vec::new();
    entry::put_goodbye(&mut goodbye, AgentId([1; 16]), Timestamp(7));
    let mut snapshot = vec![4];
    snapshot.extend_from_slice(&[0; 40]);
    vec![up, goodbye, snapshot]
}

pub(super) fn read_entry(input: &[u8]) {
    drop(Entry::read(input));
}

pub(super) fn chunk_seeds() -> Vec<Vec<u8>> {
    let columns: [fn(i32) -> f64; 4] =
        [|_| 1.0, f64::from, |i| f64::from(i) / 3.0, |i| f64::from(i * i) / 100.0];
    let encode = |column: fn(i32) -> f64| {
        let rows = i32::try_from(ROWS).expect("few");
        let values: Vec<f64> = (0..rows).map(column).collect();
        let mut bytes = Vec::new();
        chunk::Encoder::default().encode(&values, &mut bytes);
        bytes
    };
    columns.into_iter().map(encode).collect()
}

pub(super) fn read_chunk(input: &[u8]) {
    let mut values = vec![0.5];
    match chunk::decode(input, ROWS, &mut values) {
        Ok(()) => assert!(values.len() == ROWS + 1 || input.is_empty()),
        Err(_) => assert_eq!(values, [0.5]),
    }
}

fn disk() -> (SimDisk, Arc<dyn Disk>) {
    let sim = SimDisk::new(1);
    (sim.clone(), Arc::new(sim))
}

fn open(disk: &Arc<dyn Disk>, each: &mut dyn FnMut(&[u8])) -> Option<Journal> {
    let options =
        Options { segment_bytes: SEGMENT, spares: 1, loss: Loss::Accept, ..Options::default() };
    let mut replay = |_, entry: &[u8]| {
        each(entry);
        Ok(())
    };
    Journal::open(Arc::clone(disk), Path::new("/j"), options, &mut replay).ok().map(|(j, _)| j)
}

const SEGMENT_FILE: &str = "/j/0000000000000001.journal";

pub(super) fn segment_seeds() -> Vec<Vec<u8>> {
    let (_, disk) = disk();
    let mut journal = open(&disk, &mut |_| ()).expect("a journal");
    for entry in [&b"one"[..], b"two, longer", b""] {
        journal.append(Class::Data, entry).expect("an entry");
        journal.write().expect("a batch");
        journal.sync(bellwether_platform::disk::SyncPoint::JournalCommit).expect("a sync");
    }
    let file = disk.open(Path::new(SEGMENT_FILE), bellwether_platform::disk::Access::Read);
    let mut bytes = vec![0; 512];
    file.expect("the segment").read_at(&mut bytes, 0).expect("a read");
    vec![bytes]
}

/// Any bytes as the only segment: the journal opens or refuses, and what opens takes entries.
pub(super) fn read_segment(input: &[u8]) {
    let (_, disk) = disk();
    let made = disk
        .create_dir_all(Path::new("/j"))
        .and_then(|()| disk.create(Path::new(SEGMENT_FILE)))
        .and_then(|mut file| file.write_at(input, 0));
    made.expect("a simulated disk");
    let mut bytes = 0;
    let Some(mut journal) = open(&disk, &mut |entry| bytes += entry.len()) else { return };
    assert!(bytes <= input.len());
    let position = journal.append(Class::Data, b"next").expect("an entry");
    journal.write().expect("a batch");
    assert_eq!(journal.written(), position);
}
