//! What the collector answers is what the kernel says, within seconds of the start.

use std::fs;
use std::time::Duration;

use bellwether_model::time::Timestamp;
use bellwether_platform::clock::Clock;
use bellwether_tests::harness::until;

use super::{Up, query};

/// From the start of `up` to an answer for every input.
const FIRST_ANSWERS: Duration = Duration::from_secs(5);
/// For a sample that was taken after a reading, with room for a busy machine.
const NEXT_SAMPLE: Duration = Duration::from_secs(10);

/// A selector, and the kernel's own value for it.
struct Truth {
    selector: String,
    read: Box<dyn Fn() -> f64>,
}

fn truth(selector: impl Into<String>, read: impl Fn() -> f64 + 'static) -> Truth {
    Truth { selector: selector.into(), read: Box::new(read) }
}

/// The field `column` (from 0) of the line of `path` whose field `key_column` is `key`.
fn field(path: &str, key_column: usize, key: &str, column: usize) -> f64 {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = lines.into_iter().find(|fields| fields.get(key_column) == Some(&key));
    let line = line.unwrap_or_else(|| panic!("{path} has no line of {key}"));
    line[column].parse().unwrap()
}

/// The first disk that is neither a partition nor a RAM, loop or floppy device.
fn a_disk() -> Option<String> {
    let mut names: Vec<String> = fs::read_dir("/sys/block")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !["ram", "zram", "loop", "fd"].iter().any(|kind| name.starts_with(kind)))
        .collect();
    names.sort();
    names.into_iter().next()
}

/// Counters: the value of a sample lies between readings before and after it.
fn counters() -> Vec<Truth> {
    const TICKS: f64 = 100.0;
    let mut counters = vec![
        truth(r#"node_cpu_seconds_total{cpu="0",mode="user"}"#, || {
            field("/proc/stat", 0, "cpu0", 1) / TICKS
        }),
        truth(r#"node_cpu_seconds_total{cpu="0",mode="system"}"#, || {
            field("/proc/stat", 0, "cpu0", 3) / TICKS
        }),
        truth("node_context_switches_total", || field("/proc/stat", 0, "ctxt", 1)),
        truth("node_intr_total", || field("/proc/stat", 0, "intr", 1)),
        truth("node_forks_total", || field("/proc/stat", 0, "processes", 1)),
        truth(r#"node_network_receive_bytes_total{device="lo"}"#, || {
            field("/proc/net/dev", 0, "lo:", 1)
        }),
        truth(r#"node_network_transmit_packets_total{device="lo"}"#, || {
            field("/proc/net/dev", 0, "lo:", 10)
        }),
    ];
    if let Some(disk) = a_disk() {
        for (family, column, unit) in [
            ("node_disk_writes_completed_total", 7, 1.0),
            ("node_disk_written_bytes_total", 9, 512.0),
        ] {
            let name = disk.clone();
            let read = move || field("/proc/diskstats", 2, &name, column) * unit;
            counters.push(truth(format!("{family}{{device=\"{disk}\"}}"), read));
        }
    }
    counters
}

/// Values that stay as they are.
fn constants() -> Vec<Truth> {
    vec![
        truth("node_memory_MemTotal_bytes", || field("/proc/meminfo", 0, "MemTotal:", 1) * 1024.0),
        truth("node_memory_SwapTotal_bytes", || {
            field("/proc/meminfo", 0, "SwapTotal:", 1) * 1024.0
        }),
        truth("node_boot_time_seconds", || field("/proc/stat", 0, "btime", 1)),
        truth(
            format!("node_uname_info{{release=\"{}\"}}", trimmed("/proc/sys/kernel/osrelease")),
            || 1.0,
        ),
        truth(r#"up{job="node"}"#, || 1.0),
    ]
}

fn trimmed(path: &str) -> String {
    fs::read_to_string(path).unwrap().trim().to_owned()
}

fn wall() -> Timestamp {
    Clock::collector().now().wall
}

/// The first sample of `selector` stamped after `after`.
fn sample_after(collector: &str, selector: &str, after: Timestamp) -> f64 {
    until(&format!("a sample of {selector}"), NEXT_SAMPLE, || {
        let answer = query(collector, &format!("{selector}[30s]"))?;
        assert_eq!(answer.len(), 1, "{selector} is more than one series: {answer:?}");
        answer[0].samples.iter().find(|(at, _)| *at > after.0).map(|(_, value)| *value)
    })
}

#[test]
fn every_input_answers_within_seconds_and_agrees_with_the_kernel() {
    let clock = Clock::collector();
    let started = clock.now().mono;
    let up = Up::start();
    let (counters, constants) = (counters(), constants());
    let mut selectors: Vec<&str> = vec!["node_load1", "node_time_seconds"];
    selectors.extend(counters.iter().chain(&constants).map(|truth| truth.selector.as_str()));
    for selector in selectors {
        let left = FIRST_ANSWERS.saturating_sub(clock.now().mono.since(started));
        until(&format!("{selector} answers"), left, || query(&up.collector, selector));
    }

    for Truth { selector, read } in counters {
        let (low, from) = (read(), wall());
        let value = sample_after(&up.collector, &selector, from);
        let high = read();
        assert!(low <= value && value <= high, "{selector}: {value} is not in {low}..={high}");
    }
    for Truth { selector, read } in constants {
        let value = query(&up.collector, &selector).unwrap()[0].samples[0].1;
        assert!((value - read()).abs() < f64::EPSILON, "{selector}: {value}, not {}", read());
    }

    // Load changes every five seconds: one of two readings around the sample is its value.
    until("node_load1 is the kernel's", NEXT_SAMPLE, || {
        let load = || trimmed("/proc/loadavg").split(' ').next().unwrap().parse::<f64>().unwrap();
        let (before, from) = (load(), wall());
        let value = sample_after(&up.collector, "node_load1", from);
        [before, load()].contains(&value).then_some(())
    });
    let from = wall();
    let seconds = sample_after(&up.collector, "node_time_seconds", from) * 1000.0;
    let to = wall();
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are below 2^53")]
    let (low, high) = (from.0 as f64 - 1.0, to.0 as f64 + 1.0);
    assert!(low <= seconds && seconds <= high, "{seconds} is not in {low}..={high}");
}
