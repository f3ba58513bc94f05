//! A light agent: frames by the product's encoder over one plain connection, without spool, inputs
//! or threads, so that a test may hold a thousand of them and send what no agent would.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

use bellwether_model::id::{AgentId, BootId, GroupId, Incarnation, Nonce, Stream};
use bellwether_model::label::LabelSet;
use bellwether_model::series::{MetricType, ValueKind};
use bellwether_model::time::{Nanos, Timestamp};
use bellwether_model::wire::answer::{Answer, PUSH_CONTENT_TYPE, PUSH_PATH};
use bellwether_model::wire::encode::{Encoder, Origin};
use bellwether_model::wire::envelope::{Envelope, Skip};
use bellwether_model::wire::table::{ColumnIndex, ColumnSpec, Table};

/// The longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(60);
const ROW: Duration = Duration::from_secs(1);

/// What makes the frames of one agent.
pub struct LightAgent {
    id: AgentId,
    table: Table,
    columns: Vec<ColumnIndex>,
    encoder: Encoder,
}

impl LightAgent {
    /// An agent whose id follows from `number`, with one group of `columns` counters
    /// `light_total{place="…"}` under `job="light"` and `instance`, in its first incarnation.
    ///
    /// # Panics
    /// `instance` is no label value, or the columns are more than a group has.
    #[must_use]
    pub fn new(number: u32, instance: &str, columns: usize) -> LightAgent {
        LightAgent::of(number, instance, &(0..columns).map(light).collect::<Vec<_>>())
    }

    /// The same with counters of other labels; `__name__` is their name.
    ///
    /// # Panics
    /// As [`LightAgent::new`].
    #[must_use]
    pub fn of(number: u32, instance: &str, counters: &[LabelSet]) -> LightAgent {
        let target = LabelSet::new([("instance", instance), ("job", "light")]);
        let mut table = Table::new(target.expect("labels"), ROW);
        let columns = counters.iter().map(|labels| table.add(column(labels))).collect();
        let mut id = [0xa1; 16];
        id[..4].copy_from_slice(&number.to_le_bytes());
        let origin = Origin {
            incarnation: Incarnation(1),
            nonce: Nonce(u64::from(number) + 1),
            boot: BootId(id),
        };
        LightAgent { id: AgentId(id), table, columns, encoder: Encoder::new(origin) }
    }

    /// The same id in another process: another nonce.
    ///
    /// # Panics
    /// As [`LightAgent::new`].
    #[must_use]
    pub fn cloned(number: u32, instance: &str) -> LightAgent {
        let mut agent = LightAgent::new(number, instance, 1);
        let origin = Origin {
            incarnation: Incarnation(1),
            nonce: Nonce(u64::MAX),
            boot: BootId(agent.id.0),
        };
        agent.encoder = Encoder::new(origin);
        agent
    }

    /// The next frame opens a segment.
    pub fn cut(&mut self) {
        self.encoder.cut();
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> AgentId {
        self.id
    }

    /// The next frame: one row at `time`, `value` of each place.
    ///
    /// # Panics
    /// The row does not fit a frame.
    pub fn frame(&mut self, time: Timestamp, value: impl Fn(usize) -> f64) -> Vec<u8> {
        let mut frame = Vec::new();
        self.row(time, &value);
        if self.encoder.finish(&mut frame).is_err() {
            // The segment is full: the same row opens the next one.
            self.row(time, &value);
            self.encoder.finish(&mut frame).expect("a row fits a frame");
        }
        frame
    }

    fn row(&mut self, time: Timestamp, value: &impl Fn(usize) -> f64) {
        self.table.begin_row();
        for (place, column) in self.columns.iter().enumerate() {
            self.table.set(*column, value(place));
        }
        self.encoder.begin(time.saturating_add(ROW - Duration::from_millis(1)));
        self.encoder.row(GroupId(0), &mut self.table, time);
    }

    /// A request of these frames.
    ///
    /// # Panics
    /// More frames than a request has.
    #[must_use]
    pub fn body(&self, frames: &[&[u8]], skips: &[Skip]) -> Vec<u8> {
        let envelope = Envelope {
            agent: self.id,
            stream: Stream::Metrics,
            goodbye: false,
            sent_wall: Nanos(0),
            sent_mono: 0,
            skips: skips.to_vec(),
            frames: u16::try_from(frames.len()).expect("few frames"),
        };
        let mut body = Vec::new();
        envelope.put(&mut body);
        frames.iter().for_each(|frame| body.extend_from_slice(frame));
        body
    }
}

fn light(place: usize) -> LabelSet {
    let place = place.to_string();
    let labels = LabelSet::new([("__name__", "light_total"), ("place", place.as_str())]);
    labels.expect("labels")
}

fn column(labels: &LabelSet) -> ColumnSpec {
    ColumnSpec {
        labels: labels.clone(),
        kind: MetricType::Counter,
        value_kind: ValueKind::Float,
        unit: "".into(),
        help: "".into(),
        start: None,
    }
}

/// A kept connection over which bodies are pushed.
pub struct Pushing {
    stream: TcpStream,
    head: String,
}

impl Pushing {
    /// Connects; each request carries `token`, if one is given.
    ///
    /// # Errors
    /// The connection fails.
    pub fn connect(address: &str, token: Option<&str>) -> Result<Pushing> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let token = token.map(|token| format!("authorization: Bearer {token}\r\n"));
        let head = format!(
            "POST {PUSH_PATH} HTTP/1.1\r\nhost: {address}\r\n{}content-type: {PUSH_CONTENT_TYPE}\r\n",
            token.unwrap_or_default()
        );
        Ok(Pushing { stream, head })
    }

    /// Pushes one body and gives the status and the answer.
    ///
    /// # Errors
    /// The connection fails, or what comes is no answer of a collector.
    pub fn push(&mut self, body: &[u8]) -> Result<(u16, Answer)> {
        let head = format!("{}content-length: {}\r\n\r\n", self.head, body.len());
        self.stream.write_all(&[head.as_bytes(), body].concat())?;
        let (status, body) = read_answer(&mut self.stream)?;
        let answer = Answer::read(&body).map_err(|error| other(&format!("{status}: {error}")))?;
        Ok((status, answer))
    }
}

/// The status and the body of the next answer on a connection that stays open.
fn read_answer(stream: &mut TcpStream) -> Result<(u16, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = [0_u8; 4096];
    loop {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(piece.get(..read).unwrap_or_default());
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).to_lowercase();
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length = length.and_then(|length| length.trim().parse::<usize>().ok());
        let (Some(status), Some(length)) = (status, length) else {
            return Err(other("neither status nor length"));
        };
        if bytes.len() >= end + 4 + length {
            return Ok((status, bytes.split_off(end + 4)));
        }
    }
}

fn other(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what.to_owned())
}
