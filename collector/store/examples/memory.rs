//! Measures what a series costs in memory: agents of 500 columns, a fifth of which change, over
//! 480 rows: `cargo run --release -p bellwether-store --example memory -- 100000`. Resident bytes
//! are this process's, less those before; the rows being appended are not among them.
use std::sync::Arc;

use bellwether_model::id::{GroupId, Position};
use bellwether_model::label::LabelSet;
use bellwether_model::select::Metadata;
use bellwether_model::time::Timestamp;
use bellwether_platform::clock::Clock;
use bellwether_store::{Definition, LaneId, Limits, Source, Store};

const COLUMNS: usize = 500;

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
    let clock = Clock::collector();
    let before = resident();
    let (store, mut writer) = Store::new(Limits::default());
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
    for second in 1..=480_u64 {
        row(second, &mut noise, &mut values);
        let start = clock.now().mono;
        for lane in &lanes {
            position += 1;
            let time = Timestamp(second.cast_signed() * 1000);
            writer.append(*lane, Position(position), time, &values);
        }
        writer.publish(Position(position));
        nanos += clock.now().mono.since(start).as_nanos();
        if [15, 96, 384, 479].contains(&second) {
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
    Ok(())
}
