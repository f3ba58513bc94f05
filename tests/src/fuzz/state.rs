//! What a checkpoint and a chunk file hold, behind their CRCs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bellwether_collector::pure::keeper::checkpoint::KeeperRestoring;
use bellwether_collector::pure::keeper::{Batch, EntryClass, JournalClosed, KeeperLimits, Submit};
use bellwether_model::id::{AgentId, GroupId, Position, StoreId, Stream};
use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::select::{Column, Metadata, Select, Window};
use bellwether_model::series::{ABSENT, SeriesRef};
use bellwether_model::time::{Mono, Nanos, Now, Timestamp};
use bellwether_model::wire::bytes::Reader;
use bellwether_model::wire::decode::Decoder;
use bellwether_model::wire::envelope::Envelope;
use bellwether_platform::disk::sim::SimDisk;
use bellwether_store::checkpoint::{self, Checkpoints};
use bellwether_store::files::read_unchecked;
use bellwether_store::{Definition, FileLimits, Limits, Restored, Restoring, Source, Writer};

use super::formats;

const ALL: Window = Window { start: Timestamp::MIN, end: Timestamp::MAX };
const NOW: Now = Now { wall: Timestamp(100_000), mono: Mono(Duration::from_secs(9)) };

fn limits() -> Limits {
    Limits { series_max: 5, block_rows: 16, ..Limits::default() }
}

fn build(restoring: Restoring) -> Restored {
    let disk = Arc::new(SimDisk::new(1));
    restoring.finish(disk, Path::new("/f"), FileLimits::default()).expect("a simulated disk")
}

fn definition(name: &str) -> Option<Definition> {
    let labels = LabelSet::new([(METRIC_NAME, name), ("x", "1")]).expect("labels");
    Some(Definition { labels, metadata: Arc::new(Metadata::default()) })
}

/// Rows in two lanes, columns that end, are refused or stand twice, blocks in a file.
fn fill(writer: &mut Writer) {
    let lanes = [0, 1].map(|source| writer.lane(Source(source), GroupId(3)));
    for i in 1..=38_u32 {
        let third = if i < 30 { "c" } else { "d" };
        let columns = ["a", "b", third, "a", "e", "f"].map(definition);
        for lane in lanes {
            writer.define(lane, &columns, 20);
            let values = [f64::from(i), ABSENT, f64::from(i / 7), 1.0, 0.5, 2.0];
            let time = Timestamp(i64::from(i) * 1000);
            writer.append(lane, Position(u64::from(i)), time, &values);
        }
        writer.mark(Source(0), Timestamp(i64::from(i) * 900), Timestamp(i64::from(i) * 1000));
    }
    writer.unmarked(Source(1));
    writer.publish(Position(38));
}

/// A journal that keeps nothing.
struct Nowhere(u64);

impl Batch for Nowhere {
    fn has_room(&self, _: usize) -> bool {
        true
    }

    fn push(&mut self, _: EntryClass, _: &[u8]) -> Result<Position, JournalClosed> {
        self.0 += 1;
        Ok(Position(self.0))
    }
}

fn put(records: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    records.push(kind);
    records.extend_from_slice(&u16::try_from(bytes.len()).expect("a short record").to_le_bytes());
    records.extend_from_slice(bytes);
}

/// The records of a checkpoint, end to end: kind, two bytes of length, bytes.
pub(super) fn state_seeds() -> Vec<Vec<u8>> {
    let Restored { mut writer, mut filer, .. } = build(Restoring::new(limits()));
    fill(&mut writer);
    let mut capture = writer.capture();
    let filing = capture.take_filing();
    writer.filed(filer.append(NOW.wall, filing).expect("a simulated disk"));
    let disk = Arc::new(SimDisk::new(2));
    let mut checkpoints = Checkpoints::open(disk, Path::new("/c")).expect("a simulated disk");
    let written = checkpoints.write(Position(38), |sections| capture.put(&filer, sections));
    written.expect("a simulated disk");
    let mut store = Vec::new();
    let mut each = |kind, bytes: &[u8]| {
        put(&mut store, kind, bytes);
        Ok(())
    };
    checkpoints.read(1, &mut each).expect("a checkpoint");

    let Restored { writer, .. } = build(Restoring::new(Limits::default()));
    let restoring = KeeperRestoring::new(KeeperLimits::default());
    let mut keeper = restoring.finish(NOW, Position(0), StoreId([1; 16]), writer);
    for frame in formats::frame_seeds() {
        let envelope = Envelope {
            agent: AgentId([1; 16]),
            stream: Stream::Metrics,
            goodbye: false,
            sent_wall: Nanos(1),
            sent_mono: 2,
            skips: Vec::new(),
            frames: 1,
        };
        let mut body = Vec::new();
        envelope.put(&mut body);
        body.extend_from_slice(&frame);
        let submit = Submit { body: &body, received: Nanos(99_000_000_000) };
        keeper.admit(NOW, submit, &mut Nowhere(9)).expect("an answer");
    }
    keeper.tick(NOW, &mut Nowhere(50)).expect("a tick");
    let mut records = Vec::new();
    keeper.capture(NOW.wall).put(&mut |kind, bytes| put(&mut records, kind, bytes));
    vec![store, records]
}

/// A checkpoint of any records is refused, or makes a store and a keeper that work.
pub(super) fn read_state(input: &[u8]) {
    let mut store = Restoring::new(limits());
    let mut keeper = KeeperRestoring::new(KeeperLimits::default());
    let mut reader = Reader::new(input);
    while reader.left() > 0 {
        let (Ok(kind), Ok(len)) = (reader.byte(), reader.u16()) else { return };
        let Ok(bytes) = reader.take(usize::from(len)) else { return };
        let taken = store.record(kind, bytes).and_then(|known| match known {
            true => Ok(()),
            false => keeper.record(kind, bytes),
        });
        if taken.is_err() {
            return;
        }
    }
    let Restored { store, writer, .. } = build(store);
    let mut column = Column::default();
    let view = store.view(NOW.wall);
    for series in view.series(&[], ALL, 100) {
        view.samples(series, ALL, &mut column);
    }
    let mut keeper = keeper.finish(NOW, Position(0), StoreId([1; 16]), writer);
    keeper.tick(NOW, &mut Nowhere(1 << 59)).expect("a tick");
    let mut again = Vec::new();
    keeper.capture(NOW.wall).put(&mut |kind, bytes| put(&mut again, kind, bytes));
}

/// The same, of the store alone, which goes on being written.
pub(super) fn write_on(input: &[u8]) {
    let mut store = Restoring::new(limits());
    let mut reader = Reader::new(input);
    while let (Ok(kind), Ok(len)) = (reader.byte(), reader.u16()) {
        let Ok(bytes) = reader.take(usize::from(len)) else { return };
        if store.record(kind, bytes).is_err() {
            return;
        }
    }
    let Restored { store, mut writer, .. } = build(store);
    let lane = writer.lane(Source(0), GroupId(3));
    writer.define(lane, &["d", "a"].map(definition), 20);
    for i in 0..20 {
        writer.append(lane, Position(1 << 59), Timestamp((1 << 58) + i), &[1.0, 2.0]);
    }
    writer.publish(Position(1 << 59));
    writer.retain(Timestamp(1 << 59));
    let view = store.view(Timestamp(1 << 59));
    let mut column = Column::default();
    (0..10).for_each(|series| view.samples(SeriesRef(series), ALL, &mut column));
}

pub(super) fn section_seeds() -> Vec<Vec<u8>> {
    let raw: Vec<u8> = [[3, 1, 2, 3], [3, 1, 2, 3]].concat();
    vec![zstd::bulk::compress(&raw, 1).expect("a buffer")]
}

pub(super) fn read_section(input: &[u8]) {
    let mut bytes = 0;
    let mut each = |_, record: &[u8]| {
        bytes += record.len();
        Ok(())
    };
    if checkpoint::records(7, 8, input, &mut each).is_ok() {
        assert!(bytes < 8);
    }
}

/// Rows, columns, bytes of the head, head, body.
pub(super) fn block_seeds() -> Vec<Vec<u8>> {
    let columns = formats::chunk_seeds();
    let (count, rows) = (u8::try_from(columns.len()).expect("few"), 40);
    // Times 0, 1, 2 …, and positions 5 throughout: integers of the second order.
    let mut head = vec![0, 3, 0, 36, 10, 0, 37, 0x0f];
    let mut body: Vec<u8> = Vec::new();
    columns.iter().for_each(|chunk| put_len(&mut body, chunk.len()));
    body.extend(columns.concat());
    put_len(&mut head, body.len());
    head.extend_from_slice(&[0; 4]);
    let mut input = vec![rows, count, u8::try_from(head.len()).expect("few")];
    input.extend(head);
    input.extend(body);
    assert_eq!(read(&input), Some(Ok(160)), "the seed is good");
    vec![input]
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    bellwether_model::wire::bytes::put_varint(out, len as u64);
}

fn read(input: &[u8]) -> Option<Result<usize, &'static str>> {
    let ([rows, columns, head], rest) = input.split_first_chunk::<3>()?;
    let (head, body) = rest.split_at_checked(usize::from(*head))?;
    Some(read_unchecked(usize::from(*rows), usize::from(*columns), head, body))
}

pub(super) fn read_block(input: &[u8]) {
    if let Some(Ok(values)) = read(input) {
        assert!(values <= 255 * 255);
    }
}

/// The state of a session's decoder.
pub(super) fn decoder_seeds() -> Vec<Vec<u8>> {
    let state = |mut decoder: Decoder, sections: &[u8]| {
        let header = formats::header(1, 1);
        let purpose = bellwether_model::wire::decode::Purpose::Apply;
        let groups = decoder.read(&header, sections, purpose).expect("the seed").to_vec();
        for group in groups {
            drop(decoder.group_mut(group).map(|group| group.take_change()));
        }
        let mut out = Vec::new();
        decoder.put_state(&mut out);
        out
    };
    vec![state(Decoder::new(100), &formats::section_seeds().swap_remove(0))]
}

/// A state is refused, or comes back as it was.
pub(super) fn read_decoder(input: &[u8]) {
    let Ok(decoder) = Decoder::take_state(&mut Reader::new(input), 100) else { return };
    let (mut once, mut twice) = (Vec::new(), Vec::new());
    decoder.put_state(&mut once);
    let again = Decoder::take_state(&mut Reader::new(&once), 100).expect("what we write, we read");
    again.put_state(&mut twice);
    assert_eq!(once, twice);
}
