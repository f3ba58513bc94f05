//! What this process costs: the `process_*` metrics that both daemons show on their pages, read
//! from `/proc/self` when the page is asked for; what cannot be read is left out. And how many
//! files it may open.

use std::fs;

use bellwether_model::exposition::Writer;
use bellwether_model::series::MetricType::{self, Counter, Gauge};
use rustix::process::{Resource, getrlimit, setrlimit};
use tracing::warn;

/// Clock ticks in a second, fixed in the kernel's interface.
const HERTZ: f64 = 100.0;

/// Raises the limit of open files towards `wanted`, as far as the system allows it; gives how many
/// of them there may be.
pub fn raise_open_files(wanted: u64) -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.unwrap_or(u64::MAX).min(wanted);
    if limit.current.is_some_and(|current| current < allowed) {
        limit.current = Some(allowed);
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            warn!(%error, "the limit of open files stays as it is");
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).min(wanted)
}

/// Appends the metrics of this process.
pub fn write(page: &mut Writer<'_>) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let system = fs::read_to_string("/proc/stat").unwrap_or_default();
    let mut put = |name: &str, kind: MetricType, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            page.family(name, kind, help);
            page.sample(name, [], value, None);
        }
    };
    let cpu = stat_field(&stat, 14).zip(stat_field(&stat, 15)).map(|(user, kernel)| user + kernel);
    let help = "Seconds of processor time this process has used.";
    put("process_cpu_seconds_total", Counter, help, cpu.map(|ticks| ticks / HERTZ));
    let help = "File descriptors this process may have open.";
    put("process_max_fds", Gauge, help, getrlimit(Resource::Nofile).current.map(float));
    // The directory being read is one of them.
    let open = fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count().saturating_sub(1));
    let help = "File descriptors this process has open.";
    put("process_open_fds", Gauge, help, open.and_then(|n| u64::try_from(n).ok()).map(float));
    let help = "Bytes of memory of this process that are resident.";
    put("process_resident_memory_bytes", Gauge, help, kilobytes(&status, "VmRSS:"));
    let start = line(&system, "btime ").and_then(|text| text.trim().parse::<f64>().ok());
    let start = start.zip(stat_field(&stat, 22)).map(|(boot, ticks)| boot + ticks / HERTZ);
    let help = "When this process started, in Unix time.";
    put("process_start_time_seconds", Gauge, help, start);
    let help = "Bytes of address space this process has mapped.";
    put("process_virtual_memory_bytes", Gauge, help, kilobytes(&status, "VmSize:"));
    // No limit is the largest number, as the kernel has it.
    let limit = getrlimit(Resource::As).current.unwrap_or(u64::MAX);
    let help = "Bytes of address space this process may map.";
    put("process_virtual_memory_max_bytes", Gauge, help, Some(float(limit)));
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
fn float(value: u64) -> f64 {
    value as f64
}

/// A field of `stat` by its number in proc(5); the second, in parentheses, may hold blanks.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, after) = stat.rsplit_once(')')?;
    after.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn line<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(word))
}

fn kilobytes(status: &str, word: &str) -> Option<f64> {
    let number = line(status, word)?.split_ascii_whitespace().next()?;
    Some(number.parse::<f64>().ok()? * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_after_the_name() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0 4242 1024 2\n";
        assert_eq!(stat_field(stat, 14), Some(150.0));
        assert_eq!(stat_field(stat, 22), Some(4242.0));
        assert_eq!(stat_field(stat, 60), None);
        assert_eq!(kilobytes("Name:\tx\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12_288.0));
    }

    #[test]
    fn this_process_has_all_of_them() {
        let mut page = Vec::new();
        write(&mut Writer::new(&mut page));
        let page = String::from_utf8(page).unwrap();
        assert_eq!(page.lines().filter(|line| !line.starts_with('#')).count(), 7, "{page}");
    }
}
