//! The inputs of a simulated host: two column groups with columns that come, go, stay and fall
//! silent, and a sequence whose every value occurs once in a run.

use std::sync::Arc;
use std::time::Duration;

use bellwether_model::id::GroupId;
use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::series::{MetricType, ValueKind, is_absent};
use bellwether_model::time::Timestamp;
use bellwether_model::wire::encode::{EncodeError, Encoded, Encoder};
use bellwether_model::wire::table::{ColumnIndex, ColumnSpec, Table};
use bellwether_platform::disk::sim::SplitMix;
use bytes::Bytes;

use bellwether_agent::pure::ticks::Tick;

/// How fast counters move in each hour of the day: little at night, most at noon and in the
/// evening.
const HOURS: [u64; 24] = [
    40, 25, 15, 10, 8, 12, 40, 120, 260, 380, 430, 470, 500, 480, 440, 410, 390, 420, 480, 500,
    430, 300, 160, 80,
];
const HOUR: i64 = 3_600_000;
/// Devices that may be there at a time.
const DEVICES: usize = 4;
const SLOW: Duration = Duration::from_secs(5);

/// A row as it was made.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its column group.
    pub group: GroupId,
    /// Its stamp.
    pub time: Timestamp,
    /// Series and the bits of their values.
    pub values: Vec<(LabelSet, u64)>,
}

/// The tables of one process.
pub struct Tables {
    target: LabelSet,
    fast: Table,
    slow: Table,
    sequence: ColumnIndex,
    counter: ColumnIndex,
    rare: ColumnIndex,
    slow_sequence: ColumnIndex,
    devices: [Option<ColumnIndex>; DEVICES],
    counted: u64,
}

fn column(name: &str, device: Option<usize>) -> ColumnSpec {
    let device = device.map(|device| format!("d{device}"));
    let labels = [(METRIC_NAME, name), ("device", device.as_deref().unwrap_or(""))];
    ColumnSpec {
        labels: LabelSet::new(labels).unwrap(),
        kind: MetricType::Gauge,
        value_kind: ValueKind::Float,
        unit: Arc::from(""),
        help: Arc::from("A simulated column."),
        start: None,
    }
}

impl Tables {
    /// Tables of a process on the host `instance`.
    #[must_use]
    pub fn new(instance: &str) -> Tables {
        let target = LabelSet::new([("job", "node"), ("instance", instance)]).unwrap();
        let mut fast = Table::new(target.clone(), Duration::from_secs(1));
        let mut slow = Table::new(target.clone(), SLOW);
        Tables {
            sequence: fast.add(column("sim_sequence", None)),
            counter: fast.add(column("sim_counter", None)),
            rare: fast.add(column("sim_rare", None)),
            slow_sequence: slow.add(column("sim_slow_sequence", None)),
            devices: [None; DEVICES],
            target,
            fast,
            slow,
            counted: 0,
        }
    }

    /// Makes the rows of a tick and encodes them. `value` gives numbers that occur once.
    pub fn frame(
        &mut self,
        tick: Tick,
        encoder: &mut Encoder,
        random: &mut SplitMix,
        value: &mut dyn FnMut() -> f64,
    ) -> (Bytes, u32, Vec<Row>) {
        self.change_columns(random);
        let hour = usize::try_from(tick.time.0.div_euclid(HOUR).rem_euclid(24)).unwrap();
        self.fill_fast(random, HOURS[hour], value);
        let is_slow_due = tick.time.0.rem_euclid(5000) == 0;
        if is_slow_due {
            self.slow.begin_row();
            self.slow.set(self.slow_sequence, value());
        }
        let mut rows = vec![self.row(GroupId(0), &self.fast, tick.time)];
        rows.extend(is_slow_due.then(|| self.row(GroupId(1), &self.slow, tick.time)));
        let mut bytes = Vec::new();
        let mut encoded = self.encode(tick, encoder, is_slow_due, &mut bytes);
        if encoded == Err(EncodeError::SegmentFull) {
            encoded = self.encode(tick, encoder, is_slow_due, &mut bytes);
        }
        (bytes.into(), encoded.unwrap().samples, rows)
    }

    fn encode(
        &mut self,
        tick: Tick,
        encoder: &mut Encoder,
        slow: bool,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, EncodeError> {
        encoder.begin(tick.complete_through);
        encoder.row(GroupId(0), &mut self.fast, tick.time);
        if slow {
            encoder.row(GroupId(1), &mut self.slow, tick.time);
        }
        encoder.finish(out)
    }

    fn change_columns(&mut self, random: &mut SplitMix) {
        if !random.once_in(8) {
            return;
        }
        let device = random.below(DEVICES as u64) as usize;
        match self.devices[device].take() {
            Some(index) => self.fast.end(index),
            None => {
                let added = self.fast.add(column("sim_device", Some(device)));
                self.devices[device] = Some(added);
            }
        }
    }

    fn fill_fast(&mut self, random: &mut SplitMix, pace: u64, value: &mut dyn FnMut() -> f64) {
        self.fast.begin_row();
        self.fast.set(self.sequence, value());
        self.counted += random.below(pace);
        self.fast.set(self.counter, self.counted as f64);
        if !random.once_in(3) {
            self.fast.set(self.rare, (self.counted / 10) as f64 + 0.5);
        }
        for index in self.devices.into_iter().flatten() {
            if !random.once_in(10) {
                self.fast.set(index, (random.below(4) * 1000) as f64);
            }
        }
    }

    fn row(&self, group: GroupId, table: &Table, time: Timestamp) -> Row {
        let columns = table.columns().iter().zip(table.values());
        let present = columns.filter_map(|(column, value)| {
            let column = column.as_ref().filter(|_| !is_absent(*value))?;
            let labels = self.target.overlaid(&column.labels).unwrap();
            Some((labels, value.to_bits()))
        });
        Row { group, time, values: present.collect() }
    }
}
