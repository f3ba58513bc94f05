//! A whole day of a host, stretched from ten recorded minutes: the alerts of a pack must stay
//! silent over it, and speak once a fault is put in.
//!
//! The recording (`host_day/healthy.txt`, made by `host_day/record.sh`) is a series in the notation
//! of scripts per line. It is of a virtual machine with two processors and no time server, the
//! quietest ten minutes of an hour in which programs were built on it: 37 % busy. Counters go on by
//! their recorded steps, over and over, times the activity of the hour; gauges repeat, those that
//! follow load times the activity. For an hour at night a backup reads all of the disk, compresses
//! it and sends it away. Nothing here is random: the same day has the same samples.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a part of tests: a panic is a failure"
)]

mod evaluate;
mod fault;

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::time::Timestamp;
use bellwether_promql::script::load::Loaded;
use bellwether_promql::script::series::{Point, read_metric, read_points};

pub use evaluate::fired;
pub use fault::{FAULTS, Fault};

const RECORDED: &str = include_str!("host_day/healthy.txt");
/// From one recorded point to the next, and from one sample of the day to the next.
pub const STEP: Duration = Duration::from_secs(15);
/// Midnight of some day.
pub const MIDNIGHT: Timestamp = Timestamp(1_767_225_600_000);
/// Samples of a day.
pub const SAMPLES: usize = 24 * 240;
const STEPS_AN_HOUR: usize = 240;

/// How a day goes.
#[derive(Clone, Copy, Debug)]
pub struct Day {
    /// Activity at four in the morning, over the recorded one.
    pub quiet: f64,
    /// Activity at four in the afternoon, over the recorded one.
    pub busy: f64,
    /// The hour of the backup.
    pub backup: usize,
}

impl Day {
    /// As most hosts have it.
    pub const USUAL: Day = Day { quiet: 0.3, busy: 1.4, backup: 2 };

    /// Activity at a step, over the recorded one: a cosine.
    fn activity(self, step: usize) -> f64 {
        let hours = to_float(step) / to_float(STEPS_AN_HOUR);
        let swing = libm::cos((hours - 16.0) / 24.0 * core::f64::consts::TAU);
        self.quiet + (self.busy - self.quiet) * (1.0 + swing) / 2.0
    }

    fn is_backup(self, step: usize) -> bool {
        step / STEPS_AN_HOUR == self.backup
    }
}

/// A host's series over a day: a value for each step, NaN where there is none.
#[derive(Clone, Debug)]
pub struct HostDay(BTreeMap<LabelSet, Vec<f64>>);

impl HostDay {
    /// Stretches the recording.
    ///
    /// # Panics
    /// The recording cannot be read.
    #[must_use]
    pub fn stretched(day: Day) -> HostDay {
        let recorded = recorded();
        let worked = worked(&recorded);
        let mut all = HostDay(BTreeMap::new());
        for (labels, points) in &recorded {
            let worked = worked.get(labels.get("cpu").unwrap_or("")).map_or(&[][..], Vec::as_slice);
            let series = Stretch { day, labels, points, worked };
            all.0.insert(labels.clone(), series.values());
        }
        all
    }

    /// The names of the metrics that are there.
    #[must_use]
    pub fn metrics(&self) -> Vec<&str> {
        self.0.keys().map(name).collect()
    }

    /// As a view.
    ///
    /// # Panics
    /// More samples than a view takes.
    #[must_use]
    pub fn view(&self) -> Loaded {
        let point =
            |value: &f64| if value.is_nan() { Point::Missing } else { Point::Value(*value) };
        let series = self.0.iter().map(|(labels, values)| {
            let points: Vec<Point> = values.iter().map(point).collect();
            (labels.clone(), points)
        });
        let mut loaded = Loaded::default();
        loaded.add(MIDNIGHT, STEP, &series.collect::<Vec<_>>()).unwrap();
        loaded
    }

    /// Puts what `value` says in place of a metric's values from a step on; it is told the steps
    /// since, the value before, and the healthy one.
    fn change(&mut self, metric: &str, from: usize, value: impl Fn(f64, f64, f64) -> f64) {
        for (_, values) in self.0.iter_mut().filter(|(labels, _)| name(labels) == metric) {
            let before = values[from];
            for (since, place) in values[from..].iter_mut().enumerate() {
                *place = value(to_float(since), before, *place);
            }
        }
    }

    /// Adds a series of the host that begins at a step.
    fn begin(&mut self, metric: &str, label: (&str, &str), from: usize, value: f64) {
        let host = self.0.keys().find(|labels| name(labels) == "node_time_seconds").unwrap();
        let labels = host.iter().filter(|(known, _)| *known != METRIC_NAME);
        let labels = LabelSet::new(labels.chain([(METRIC_NAME, metric), label])).unwrap();
        let mut values = vec![f64::NAN; SAMPLES];
        values[from..].fill(value);
        self.0.insert(labels, values);
    }
}

const CPU: &str = "node_cpu_seconds_total";
/// The part of a processor that the backup takes, waiting for disks among it.
const BACKUP_WORK: f64 = 0.5;

/// One series on its way from ten minutes to a day.
struct Stretch<'a> {
    day: Day,
    labels: &'a LabelSet,
    points: &'a [f64],
    /// What its processor worked in each recorded step, in seconds.
    worked: &'a [f64],
}

impl Stretch<'_> {
    fn values(&self) -> Vec<f64> {
        let first = self.points[0];
        let mut now = first;
        let mut values = Vec::with_capacity(SAMPLES);
        for step in 0..SAMPLES {
            values.push(match self.kind() {
                Kind::Clock => first + to_float(step) * STEP.as_secs_f64(),
                Kind::Counter => now,
                Kind::Load => self.at(step) * self.day.activity(step),
                Kind::Level => self.at(step),
            });
            now += self.grown(step);
        }
        values
    }

    fn kind(&self) -> Kind {
        let name = name(self.labels);
        match name {
            "node_time_seconds" => Kind::Clock,
            "node_procs_running" | "node_filefd_allocated" | "node_nf_conntrack_entries" => {
                Kind::Load
            }
            _ if name.ends_with("_total") => Kind::Counter,
            _ if name.starts_with("node_vmstat_") || name.starts_with("node_netstat_") => {
                Kind::Counter
            }
            _ => Kind::Level,
        }
    }

    fn at(&self, step: usize) -> f64 {
        self.points[step % self.points.len()]
    }

    /// What a counter grows by after a step. No share of time grows by more than there is.
    fn grown(&self, step: usize) -> f64 {
        let steps = self.points.len() - 1;
        let recorded = self.points[step % steps + 1] - self.points[step % steps];
        let backup = if self.day.is_backup(step) { 1.0 } else { 0.0 };
        let (room, activity) = (0.97 * STEP.as_secs_f64(), self.day.activity(step));
        let added = backup * self.backup() * STEP.as_secs_f64();
        match name(self.labels) {
            CPU => {
                let worked = self.worked[step % steps];
                let taken = backup * BACKUP_WORK * STEP.as_secs_f64();
                let activity = activity.min((room - taken) / worked.max(0.01));
                if self.labels.get("mode") == Some("idle") {
                    return STEP.as_secs_f64() - worked * activity - taken;
                }
                recorded * activity + added
            }
            "node_disk_io_time_seconds_total" => (recorded * activity + added).min(room),
            name if name.starts_with("node_pressure_") => (recorded * activity + added).min(room),
            _ => recorded * activity + added,
        }
    }

    /// What the backup adds each second: a disk read from end to end, compressed, sent.
    fn backup(&self) -> f64 {
        let label = |name| self.labels.get(name).unwrap_or("");
        match name(self.labels) {
            CPU => match label("mode") {
                "user" => 0.3,
                "system" => 0.08,
                "iowait" => 0.12,
                _ => 0.0,
            },
            "node_disk_io_time_seconds_total" => 0.9,
            "node_disk_io_time_weighted_seconds_total" => 11.0,
            "node_disk_reads_completed_total" => 400.0,
            "node_disk_read_time_seconds_total" => 10.0,
            "node_disk_writes_completed_total" => 20.0,
            "node_disk_write_time_seconds_total" => 1.0,
            "node_pressure_io_waiting_seconds_total" => 0.85,
            "node_pressure_io_stalled_seconds_total" => 0.7,
            "node_pressure_cpu_waiting_seconds_total" => 0.4,
            "node_pressure_memory_waiting_seconds_total" => 0.03,
            "node_pressure_memory_stalled_seconds_total" => 0.01,
            "node_network_transmit_bytes_total" if label("device") == "eth0" => 110e6,
            "node_network_transmit_packets_total" if label("device") == "eth0" => 80e3,
            "node_network_receive_packets_total" if label("device") == "eth0" => 20e3,
            "node_netstat_Tcp_OutSegs" => 80e3,
            "node_netstat_Tcp_RetransSegs" => 80.0,
            "node_softnet_processed_total" => 50e3,
            _ => 0.0,
        }
    }
}

/// How a series goes on after its ten minutes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The host's clock.
    Clock,
    /// By its steps.
    Counter,
    /// Over again, as high as the host is busy.
    Load,
    /// Over again.
    Level,
}

/// By processor, what it worked in each recorded step, in seconds.
fn worked(recorded: &BTreeMap<LabelSet, Vec<f64>>) -> BTreeMap<String, Vec<f64>> {
    let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (labels, points) in recorded {
        if name(labels) == CPU && labels.get("mode") != Some("idle") {
            let cpu = labels.get("cpu").unwrap_or("").to_owned();
            let sums = all.entry(cpu).or_insert_with(|| vec![0.0; points.len() - 1]);
            sums.iter_mut()
                .zip(points.windows(2))
                .for_each(|(sum, pair)| *sum += pair[1] - pair[0]);
        }
    }
    all
}

/// The recording; a point that is missing is as the one before.
fn recorded() -> BTreeMap<LabelSet, Vec<f64>> {
    let lines = RECORDED.lines().filter(|line| !line.starts_with('#'));
    let series = |line: &str| {
        let (labels, points) = line.split_once('\t').unwrap();
        let mut last = 0.0;
        let value = |point: &Point| {
            if let Point::Value(value) = point {
                last = *value;
            }
            last
        };
        let points: Vec<f64> = read_points(points).unwrap().iter().map(value).collect();
        (read_metric(labels).unwrap(), points)
    };
    lines.map(series).collect()
}

fn name(labels: &LabelSet) -> &str {
    labels.get(METRIC_NAME).unwrap_or("")
}

#[expect(clippy::cast_precision_loss, reason = "steps of a day")]
fn to_float(count: usize) -> f64 {
    count as f64
}
