//! Measures appends into one lane of 500 columns, of which a fifth change from row to row, and the
//! bytes that its rows take: `cargo run --release -p bellwether-store --example append`. Times are
//! those of the fastest of some rounds: other processes disturb it little.
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::id::{GroupId, Position};
use bellwether_model::label::LabelSet;
use bellwether_model::select::{Column, Metadata, Select, Window};
use bellwether_model::time::Timestamp;
use bellwether_platform::clock::Clock;
use bellwether_store::{Definition, Limits, Source, Store, Writer};

const COLUMNS: usize = 500;
const ROWS: u64 = 10_800;
const BATCH: u64 = 120;
const ROUNDS: usize = 7;

/// A small generator with a fixed seed: the same rows in each run.
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: u64) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound) as f64
    }
}

/// As on a host: most columns stand still; the others are jiffy counters in hundredths, byte and
/// packet counters, gauges in whole kibibytes, and a few ratios.
fn step(row: &mut [f64], jiffies: &mut [f64], noise: &mut Noise) {
    let changing = row.iter_mut().zip(jiffies).enumerate().filter(|(i, _)| i % 5 == 0);
    for (i, (value, exact)) in changing {
        match i / 5 % 10 {
            0..4 => {
                *exact += noise.below(if i % 4 == 0 { 100 } else { 4 });
                *value = *exact / 100.0;
            }
            4 | 5 => *value += noise.below(200_000),
            6 => *value += noise.below(200),
            7 | 8 => *value = 8_000_000_000.0 + 4096.0 * noise.below(2_000),
            _ => *value = noise.below(1 << 40) / (1_u64 << 40) as f64,
        }
    }
}

fn definitions() -> Vec<Option<Definition>> {
    let metadata = Arc::new(Metadata::default());
    let definition = |i: usize| {
        let (name, device) = (format!("metric_{}", i / 10), format!("device{}", i % 10));
        let pairs = [("__name__", name.as_str()), ("device", &device), ("instance", "one")];
        let labels = LabelSet::new(pairs).ok()?;
        Some(Definition { labels, metadata: Arc::clone(&metadata) })
    };
    (0..COLUMNS).map(definition).collect()
}

/// Appends all rows; returns the samples and the nanoseconds it took.
fn append(writer: &mut Writer, clock: &Clock) -> (u64, f64) {
    let lane = writer.lane(Source(1), GroupId(1));
    writer.define(lane, &definitions(), COLUMNS);
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let (mut row, mut jiffies) = (vec![1234.0; COLUMNS], vec![123_400.0; COLUMNS]);
    let (mut samples, mut nanos) = (0, 0.0);
    for batch in 0..ROWS / BATCH {
        let rows: Vec<Vec<f64>> = (0..BATCH)
            .map(|_| {
                step(&mut row, &mut jiffies, &mut noise);
                row.clone()
            })
            .collect();
        nanos += timed(clock, || {
            for (row, i) in rows.iter().zip(batch * BATCH + 1..) {
                let time = Timestamp(i.cast_signed() * 1000);
                samples += u64::from(writer.append(lane, Position(i), time, row).samples);
                writer.publish(Position(i));
            }
        });
    }
    (samples, nanos)
}

fn timed(clock: &Clock, work: impl FnOnce()) -> f64 {
    let start = clock.now().mono;
    work();
    clock.now().mono.since(start).as_nanos() as f64
}

fn main() {
    let clock = Clock::collector();
    let mut fastest = f64::INFINITY;
    let (mut store, mut writer) = Store::new(Limits::default());
    for _ in 0..ROUNDS {
        (store, writer) = Store::new(Limits::default());
        let (samples, nanos) = append(&mut writer, &clock);
        fastest = fastest.min(nanos / samples as f64);
    }
    drop(writer);
    println!("append, seal and publish: {fastest:.2} ns a sample");
    let stats = store.stats();
    let bytes = stats.sealed_bytes as f64 / stats.samples_sealed as f64;
    println!("sealed: {bytes:.3} bytes a sample in {} blocks", stats.blocks);
    println!("open: {} bytes a column", stats.open_bytes / COLUMNS);
    let now = Timestamp(ROWS.cast_signed() * 1000);
    let view = store.view(now);
    let all = Window { start: Timestamp::MIN, end: now };
    let series = view.series(&[], all, COLUMNS);
    for (name, seconds) in [("5 minutes", 300), ("3 hours", 10_800)] {
        let window = Window::ending(now, Duration::from_secs(seconds));
        let (mut out, mut fastest, mut read) = (Column::default(), f64::INFINITY, 0);
        for _ in 0..ROUNDS {
            read = 0;
            fastest = fastest.min(timed(&clock, || {
                for series in &series {
                    view.samples(*series, window, &mut out);
                    read += out.len();
                }
            }));
        }
        println!("read {name}: {:.2} ns a sample", fastest / read as f64);
    }
}
