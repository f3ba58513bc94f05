//! Frames ingested per CPU-second of a running collector, acknowledged after their sync.
//!
//! `bench-ingest ADDRESS TOKEN_FILE PID [AGENTS [FRAMES [COLUMNS]]]`: fifty connections, each an
//! agent of its own, push 600 frames, one per request, of 500 samples, of which a fifth changed,
//! and
//! wait for each answer. The CPU time is that of process PID from /proc, so that the load itself is
//! not counted; its resident memory is read at the end. Frames are encoded before the clock starts.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::{Arc, Barrier};
use std::time::Duration;
use std::{env, fs, thread};

use bellwether_model::id::{AgentId, BootId, GroupId, Incarnation, Nonce, Stream};
use bellwether_model::label::LabelSet;
use bellwether_model::series::{MetricType, ValueKind};
use bellwether_model::time::{Nanos, Timestamp};
use bellwether_model::wire::answer::{Answer, Case};
use bellwether_model::wire::encode::{Encoder, Origin};
use bellwether_model::wire::envelope::Envelope;
use bellwether_model::wire::table::{ColumnSpec, Table};
use bellwether_platform::clock::Clock;

/// What is pushed: agents, frames of each, columns of a frame.
#[derive(Clone, Copy)]
struct Load {
    agents: u16,
    frames: u32,
    columns: u32,
}

/// A fifth of the columns changes from row to row.
const CHANGED_EVERY: usize = 5;
const ROW: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, token_file, pid, sizes @ ..] = arguments.as_slice() else {
        eprintln!("usage: bench-ingest ADDRESS TOKEN_FILE PID [AGENTS [FRAMES [COLUMNS]]]");
        return ExitCode::from(2);
    };
    let size = |at: usize, usual: u32| {
        sizes.get(at).map_or(usual, |size: &String| size.parse().expect("a number"))
    };
    let agents = u16::try_from(size(0, 50)).expect("agents below 65536");
    let load = Load { agents, frames: size(1, 600), columns: size(2, 500) };
    let token = fs::read_to_string(token_file).expect("the token file").trim().to_owned();
    let clock = Clock::collector();
    let first = clock.now().wall.saturating_sub(ROW * (load.frames + 1));
    let ready = Arc::new(Barrier::new(usize::from(load.agents) + 1));
    let agents: Vec<_> = (0..load.agents)
        .map(|number| {
            let (ready, address, token) = (Arc::clone(&ready), address.clone(), token.clone());
            thread::spawn(move || {
                let bodies = bodies(number, first, load);
                ready.wait();
                push(&address, &token, &bodies)
            })
        })
        .collect();
    ready.wait();
    let (began, cpu_began) = (clock.now().mono, cpu(pid));
    let bytes: usize = agents.into_iter().map(|agent| agent.join().expect("a connection")).sum();
    let (wall, used) = (clock.now().mono.since(began), cpu(pid) - cpu_began);

    let frames = f64::from(load.agents) * f64::from(load.frames);
    let series = f64::from(load.agents) * f64::from(load.columns);
    let samples = frames * f64::from(load.columns);
    let seconds = used.as_secs_f64();
    println!(
        "frames           {frames:>12.0}  of {} samples, {} connections",
        load.columns, load.agents
    );
    println!("wall             {:>12.2}  s", wall.as_secs_f64());
    println!("collector's CPU  {seconds:>12.2}  s");
    println!("frames           {:>12.0}  per CPU-second", frames / seconds);
    println!("samples          {:>12.0}  per CPU-second", samples / seconds);
    #[expect(clippy::cast_precision_loss, reason = "a count of bytes, printed")]
    let per_sample = bytes as f64 / samples;
    println!("request bodies   {per_sample:>12.3}  bytes a sample");
    let resident = resident(pid);
    println!("resident         {:>12.1}  MiB", resident / 1_048_576.0);
    println!("resident         {:>12.0}  bytes a series, of {series:.0}", resident / series);
    ExitCode::SUCCESS
}

/// The requests of one agent, in order.
fn bodies(number: u16, first: Timestamp, load: Load) -> Vec<Vec<u8>> {
    let mut agent = AgentId([1; 16]);
    agent.0[..2].copy_from_slice(&number.to_le_bytes());
    let instance = format!("bench-{number}");
    let target = LabelSet::new([("instance", instance.as_str()), ("job", "bench")]);
    let mut table = Table::new(target.expect("labels"), ROW);
    let columns: Vec<_> = (0..load.columns)
        .map(|column| {
            let place = column.to_string();
            let labels = LabelSet::new([("__name__", "bench_total"), ("place", place.as_str())]);
            table.add(ColumnSpec {
                labels: labels.expect("labels"),
                kind: MetricType::Counter,
                value_kind: ValueKind::Float,
                unit: "".into(),
                help: "".into(),
                start: None,
            })
        })
        .collect();
    let mut values = vec![0_u32; columns.len()];
    let mut encoder = Encoder::new(Origin {
        incarnation: Incarnation(1),
        nonce: Nonce(u64::from(number) + 1),
        boot: BootId([1; 16]),
    });
    (0..load.frames)
        .map(|row| {
            table.begin_row();
            for (place, (column, value)) in columns.iter().zip(&mut values).enumerate() {
                let turn = place + usize::try_from(row).expect("a row");
                if turn.is_multiple_of(CHANGED_EVERY) {
                    // Steps of different sizes, as counters of a host have.
                    *value += u32::try_from(place).expect("a place") * 7 % 1000 + 1;
                }
                table.set(*column, f64::from(*value));
            }
            let time = first.saturating_add(ROW * row);
            encoder.begin(time.saturating_add(ROW - Duration::from_millis(1)));
            encoder.row(GroupId(0), &mut table, time);
            let envelope = Envelope {
                agent,
                stream: Stream::Metrics,
                goodbye: false,
                sent_wall: Nanos(time.0 * 1_000_000),
                sent_mono: 0,
                skips: Vec::new(),
                frames: 1,
            };
            let mut body = Vec::new();
            envelope.put(&mut body);
            encoder.finish(&mut body).expect("a frame of 500 samples fits");
            body
        })
        .collect()
}

/// Pushes all bodies over one connection; the bytes sent as bodies.
fn push(address: &str, token: &str, bodies: &[Vec<u8>]) -> usize {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    let mut sent = 0;
    for body in bodies {
        let mut request = format!(
            "POST /agent/v1/push HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/vnd.bellwether.push\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        stream.write_all(&request).expect("a request sent");
        let answer = Answer::read(&answer(&mut stream)).expect("a collector's answer");
        assert_eq!(answer.case, Case::Applied, "{}", answer.text);
        sent += body.len();
    }
    sent
}

/// The body of the next answer on a connection that stays open.
fn answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut piece = [0_u8; 4096];
    loop {
        let read = stream.read(&mut piece).expect("an answer");
        assert!(read > 0, "the collector closed the connection");
        bytes.extend_from_slice(piece.get(..read).expect("as many as were read"));
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(bytes.get(..end).expect("a head")).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.expect("content-length").trim().parse().expect("a number");
        if bytes.len() >= end + 4 + length {
            return bytes.split_off(end + 4);
        }
    }
}

/// CPU time of all threads of a process so far, from the scheduler.
fn cpu(pid: &str) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a process with this PID");
    let nanos = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// Bytes of memory that a process holds.
fn resident(pid: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kibibytes.expect("VmRSS") * 1024.0
}
