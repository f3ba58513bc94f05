//! Fifty hosts of a thousand series each, as frames and as values.

use std::time::Duration;

use bellwether_model::id::{AgentId, BootId, GroupId, Incarnation, Nonce, Stream};
use bellwether_model::label::LabelSet;
use bellwether_model::series::{MetricType, ValueKind};
use bellwether_model::time::{Nanos, Timestamp};
use bellwether_model::wire::encode::{Encoder, Origin};
use bellwether_model::wire::envelope::Envelope;
use bellwether_model::wire::table::{ColumnIndex, ColumnSpec, Table};

/// How many there are, numbered from 0.
pub(crate) const HOSTS: u8 = 50;

/// One host: its series.
pub(crate) struct Host {
    pub(crate) number: u8,
    pub(crate) series: Vec<LabelSet>,
}

fn set(pairs: &[(&str, &str)]) -> LabelSet {
    LabelSet::new(pairs.iter().copied()).expect("labels")
}

impl Host {
    /// 700 counters, 200 buckets and 100 gauges.
    pub(crate) fn new(number: u8) -> Host {
        let mut series = Vec::new();
        let objects = ["users", "orders", "carts", "items", "search"];
        let codes = ["200", "204", "301", "404", "500", "502", "503"];
        let both = objects.iter().cycle().zip(codes.iter().cycle());
        for (i, (object, code)) in both.take(700).enumerate() {
            let path = format!("/api/v{}/{object}/{}", i % 3 + 1, i / 7);
            series.push(set(&[
                ("__name__", "bench_requests_total"),
                ("path", &path),
                ("code", code),
            ]));
        }
        let bounds = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];
        for handler in 0..20 {
            for bound in bounds {
                let handler = handler.to_string();
                let labels =
                    [("__name__", "bench_seconds_bucket"), ("handler", &handler), ("le", bound)];
                series.push(set(&labels));
            }
        }
        for pod in 0..100 {
            let pod = pod.to_string();
            series.push(set(&[("__name__", "bench_memory_bytes"), ("pod", &pod)]));
        }
        Host { number, series }
    }

    /// The same, with a route of seven codes in place of each path.
    #[allow(dead_code, reason = "only some of the programs ask by route")]
    pub(crate) fn routed(number: u8) -> Host {
        let mut host = Host::new(number);
        for (i, labels) in host.series.iter_mut().take(700).enumerate() {
            let route = set(&[("route", &(i / 7).to_string())]);
            *labels = labels.without("path").overlaid(&route).expect("labels");
        }
        host
    }

    /// Counters of one name.
    #[allow(dead_code, reason = "only some of the programs have a long history")]
    pub(crate) fn with_one_counter(number: u8, series: usize) -> Host {
        let series = (0..series)
            .map(|i| set(&[("__name__", "bench_day_total"), ("place", &i.to_string())]))
            .collect();
        Host { number, series }
    }

    pub(crate) fn target(&self) -> LabelSet {
        set(&[("instance", &format!("host-{}", self.number)), ("job", "bench")])
    }

    /// The value of a series in a row: counters that rise by their own steps, some not always, and
    /// buckets that hold those below them.
    pub(crate) fn value(&self, place: usize, row: u32) -> f64 {
        let (place, row) = (u32::try_from(place).expect("a place"), u64::from(row));
        let mixed = u64::from(place * 7919 + u32::from(self.number) * 104_729);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let value = match self.series.len() {
            1000 if (700..900).contains(&place) => u64::from((place - 700) % 10 + 1) * row * 3,
            1000 if place >= 900 => 1_000_000 + (mixed * (row + 1)) % 9973 * 4096,
            _ => row / (mixed % 4 + 1) * (mixed % 97 + 1),
        } as f64;
        value
    }
}

/// What makes the frames of one host.
pub(crate) struct Frames<'a> {
    host: &'a Host,
    cadence: Duration,
    table: Table,
    columns: Vec<ColumnIndex>,
    encoder: Encoder,
}

impl<'a> Frames<'a> {
    pub(crate) fn new(host: &'a Host, cadence: Duration) -> Frames<'a> {
        let mut table = Table::new(host.target(), cadence);
        let column = |labels: &LabelSet| ColumnSpec {
            labels: labels.clone(),
            kind: MetricType::Counter,
            value_kind: ValueKind::Float,
            unit: "".into(),
            help: "".into(),
            start: None,
        };
        let columns = host.series.iter().map(|labels| table.add(column(labels))).collect();
        let encoder = Encoder::new(Origin {
            incarnation: Incarnation(1),
            nonce: Nonce(u64::from(host.number) + 1),
            boot: BootId([host.number + 1; 16]),
        });
        Frames { host, cadence, table, columns, encoder }
    }

    /// A request of one frame: the values of a row, stamped `time`.
    pub(crate) fn body(&mut self, row: u32, time: Timestamp) -> Vec<u8> {
        let envelope = Envelope {
            agent: AgentId([self.host.number + 1; 16]),
            stream: Stream::Metrics,
            goodbye: false,
            sent_wall: Nanos(time.0 * 1_000_000),
            sent_mono: 0,
            skips: Vec::new(),
            frames: 1,
        };
        let mut body = Vec::new();
        envelope.put(&mut body);
        let begun = body.len();
        self.row(row, time);
        if self.encoder.finish(&mut body).is_err() {
            // The segment is full: the same row opens the next one.
            body.truncate(begun);
            self.row(row, time);
            self.encoder.finish(&mut body).expect("a frame of 1,000 samples fits");
        }
        body
    }

    fn row(&mut self, row: u32, time: Timestamp) {
        self.table.begin_row();
        for (place, column) in self.columns.iter().enumerate() {
            self.table.set(*column, self.host.value(place, row));
        }
        self.encoder.begin(time.saturating_add(self.cadence - Duration::from_millis(1)));
        self.encoder.row(GroupId(0), &mut self.table, time);
    }
}
