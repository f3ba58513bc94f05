//! Measures what a series costs in memory and what a checkpoint costs: agents of 500 columns, a
//! fifth of which change, over three blocks' rows and some:
//! `cargo run --release -p bellwether-store --example memory -- 100000 EMPTY-DIRECTORY`.
//! Resident bytes are this process's, less those before; the rows being appended are not among
//! them.
use std::path::Path;
use std::sync::Arc;

use bellwether_model::id::{GroupId, Position};
use bellwether_model::label::LabelSet;
use bellwether_model::select::Metadata;
use bellwether_model::time::Timestamp;
use bellwether_platform::clock::Clock;
use bellwether_platform::disk::RealDisk;
use bellwether_store::checkpoint::Checkpoints;
use bellwether_store::{
    Capture, Definition, FileLimits, Filer, LaneId, Limits, Restored, Restoring, Source,
};

const COLUMNS: usize = 500;
const ROWS: u64 = 3 * 480 + 400;

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok());
    kibibytes.unwrap_or(0) * 1024
}

fn definitions(agent: u32) -> Vec<Option<Definition>> {
    let metadata = Arc::new(Metadata::default());
    let instance = format!("host-{agent:05}.example.org:9100");
    let definition = |i: usize| {
        let (name, device) =
            (format!("node_some_metric_{}_total", i / 10), format!("dev{}", i % 10));
        let pairs = [
            ("__name__", name.as_str()),
            ("device", &device),
            ("environment", "production"),
            ("instance", &instance),
            ("job", "node"),
        ];
        let labels = LabelSet::new(pairs).ok()?;
        Some(Definition { labels, metadata: Arc::clone(&metadata) })
    };
    (0..COLUMNS).map(definition).collect()
}

/// The row of a second: the same on all hosts but for an offset.
fn row(second: u64, noise: &mut u64, values: &mut [f64]) {
    for (i, value) in values.iter_mut().enumerate() {
        *noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let random = (*noise >> 33) as f64;
        *value = match i % 10 {
            0 => {
                1000.0 + (second * (i as u64 % 90)) as f64 / 100.0 + (random % 30.0).floor() / 100.0
            }
            1 => 8_000_000_000.0 + 4096.0 * (random % 2000.0),
            _ => 1234.0 + i as f64,
        };
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let series: usize = std::env::args().nth(1).unwrap_or_else(|| "100000".to_owned()).parse()?;
    let agents = u32::try_from(series / COLUMNS)?;
    let dir = std::env::args().nth(2).ok_or("an empty directory is missing")?;
    let dir = Path::new(&dir);
    let clock = Clock::collector();
    let before = resident();
    let Restored { store, mut writer, mut filer, .. } =
        Restoring::new(Limits::default()).finish(Arc::new(RealDisk), dir, FileLimits::default())?;
    let lanes: Vec<LaneId> = (0..agents)
        .map(|agent| {
            let lane = writer.lane(Source(agent), GroupId(0));
            writer.define(lane, &definitions(agent), COLUMNS);
            lane
        })
        .collect();
    writer.publish(Position(0));
    println!("{series} series: {} bytes each, without rows", (resident() - before) / series);
    let (mut noise, mut values, mut position) = (7, vec![0.0; COLUMNS], 0);
    let mut nanos = 0;
    for second in 1..=ROWS {
        row(second, &mut noise, &mut values);
        let start = clock.now().mono;
        for lane in &lanes {
            position += 1;
            let time = Timestamp(second.cast_signed() * 1000);
            writer.append(*lane, Position(position), time, &values);
        }
        writer.publish(Position(position));
        nanos += clock.now().mono.since(start).as_nanos();
        let filing = writer.take_filing();
        writer.filed(filer.append(Timestamp(0), filing)?);
        if [15, 96, 384, 479, ROWS].contains(&second) {
            let stats = store.stats();
            println!(
                "after {second:3} rows: {} bytes each resident; open rows and parts {}, blocks {}",
                (resident() - before) / series,
                stats.open_bytes / series,
                stats.sealed_bytes / series,
            );
        }
    }
    let stats = store.stats();
    println!("{:.2} ns a sample", nanos as f64 / stats.samples_appended as f64);
    println!("{:.3} bytes a sample", stats.sealed_bytes as f64 / stats.samples_sealed as f64);
    let start = clock.now().mono;
    let mut capture = writer.capture();
    println!("copied in {:.1} ms", clock.now().mono.since(start).as_secs_f64() * 1e3);
    writer.filed(filer.append(Timestamp(0), capture.take_filing())?);
    checkpoint(&clock, dir, &filer, &capture)
}

/// Writes a checkpoint, and reads it into another store.
fn checkpoint(
    clock: &Clock,
    dir: &Path,
    filer: &Filer,
    capture: &Capture,
) -> Result<(), Box<dyn std::error::Error>> {
    let start = clock.now().mono;
    let mut checkpoints = Checkpoints::open(Arc::new(RealDisk), dir)?;
    checkpoints.write(capture.position(), |sections| capture.put(filer, sections))?;
    let written = clock.now().mono;
    let seconds = written.since(start).as_secs_f64();
    let bytes = std::fs::metadata(dir.join("0000000000000001.checkpoint"))?.len();
    println!("written in {seconds:.2} s: {:.1} MB", bytes as f64 / 1e6);
    let mut restoring = Restoring::new(Limits::default());
    let mut each = |kind, record: &[u8]| restoring.record(kind, record).map(drop);
    checkpoints.read(1, &mut each)?;
    let restored = restoring.finish(Arc::new(RealDisk), dir, FileLimits::default())?;
    let seconds = clock.now().mono.since(written).as_secs_f64();
    println!("read in {seconds:.2} s: {} series", restored.store.stats().series);
    Ok(())
}
