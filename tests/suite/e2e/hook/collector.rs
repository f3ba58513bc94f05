//! A collector that has signals for one hook and nothing else, and treats answers as it is told.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use bellwether_model::signal::{
    Answer, Data, Kind, Precondition, Signal, Signals, Signed, Status, id_of, results_path,
    signals_path,
};
use bellwether_model::time::{Timestamp, date_millis};
use bellwether_platform::clock::Clock;
use bellwether_platform::sign::SigningKey;
use bellwether_tests::harness::until;

use super::SOON;

/// The hook's name and token.
pub(super) const NAME: &str = "web-1";
pub(super) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// How long a poll is held here.
const HOLD: Duration = Duration::from_secs(5);
/// How long a late reply takes if no poll comes.
const LATE: Duration = Duration::from_secs(2);

/// What becomes of answers, and how signals are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Manner {
    /// As agreed.
    #[default]
    Plain,
    /// Each signal twice in each answer, whatever was seen.
    Doubled,
    /// The first answers to signals are lost on the way.
    Lost(u32),
    /// Answers are taken, but the hook learns it only after its next poll.
    Late,
}

pub(super) struct Collector {
    pub(super) address: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    manner: Manner,
    open: Vec<Signal>,
    raw: Vec<Signed>,
    answers: Vec<Answer>,
    polls: u64,
}

pub(super) fn key() -> SigningKey {
    SigningKey::parse(&SigningKey::encode(&[7; 32])).unwrap()
}

pub(super) fn now() -> Timestamp {
    Clock::collector().now().wall
}

/// A wish to go from 2.4.0 to 2.3.9, which `number` tells from others.
pub(super) fn signal(number: u8) -> Signal {
    Signal {
        kind: Kind::Rollback,
        timestamp: date_millis(now()),
        data: Data {
            key: format!("{number:02x}").repeat(32),
            generation: u64::from(number),
            service: "checkout".to_owned(),
            environment: "production".to_owned(),
            rollout: format!("gh-{number}"),
            from: "2.4.0".to_owned(),
            to: "2.3.9".to_owned(),
            precondition: Precondition { current_version: "2.4.0".to_owned() },
            deadline: date_millis(now().saturating_add(Duration::from_secs(120))),
            reason: "4 of 83 requests failed".to_owned(),
            record: None,
        },
    }
}

/// A signal as it is sent at a time, signed with a key.
pub(super) fn signed(signal: &Signal, at: Timestamp, key: &SigningKey) -> Signed {
    let body = serde_json::to_string(signal).unwrap();
    let (id, timestamp) = (id_of(&signal.data.key), at.0.div_euclid(1000));
    let signature = key.sign(&id, timestamp, body.as_bytes());
    Signed { id, timestamp, signature, body }
}

impl Collector {
    pub(super) fn start(manner: Manner) -> Collector {
        Collector::listen(TcpListener::bind("127.0.0.1:0").unwrap(), manner)
    }

    pub(super) fn listen(listener: TcpListener, manner: Manner) -> Collector {
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared::default());
        shared.state().manner = manner;
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (shared, stream) = (Arc::clone(&serving), stream.unwrap());
                // The hook may be killed at any point.
                thread::spawn(move || drop(shared.serve(&stream)));
            }
        });
        Collector { address, shared }
    }

    pub(super) fn open(&self, signal: Signal) {
        self.shared.state().open.push(signal);
        self.shared.changed.notify_all();
    }

    /// Sends this as it is, at every poll.
    pub(super) fn open_raw(&self, signed: Signed) {
        self.shared.state().raw.push(signed);
        self.shared.changed.notify_all();
    }

    pub(super) fn answers(&self) -> Vec<Answer> {
        self.shared.state().answers.clone()
    }

    pub(super) fn polls(&self) -> u64 {
        self.shared.state().polls
    }

    /// Waits for an answer to a signal that says how it ended, after the first `skipped` of them.
    pub(super) fn ended(&self, number: u8, skipped: usize) -> Answer {
        let key = signal(number).data.key;
        until("an answer", SOON, || {
            let answers = self.answers().into_iter();
            let mut ended = answers.filter(|one| one.key == key && one.status != Status::Accepted);
            ended.nth(skipped)
        })
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("invariant: whoever holds it does not panic")
    }

    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let (line, authorized, body) = request(&mut reader)?;
            let target = line.split(' ').nth(1).unwrap_or_default();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let (status, text) = if !authorized {
                (401, "who are you\n".to_owned())
            } else if path == signals_path(NAME) {
                (200, serde_json::to_string(&self.poll(query)).unwrap())
            } else if path == results_path(NAME) {
                let answer: Answer = serde_json::from_slice(&body).unwrap();
                if !self.take(answer) {
                    return Ok(());
                }
                (200, "{}".to_owned())
            } else {
                (404, "no such hook\n".to_owned())
            };
            let length = text.len();
            let mut stream = stream;
            write!(stream, "HTTP/1.1 {status} As told\r\ncontent-length: {length}\r\n\r\n{text}")?;
        }
    }

    fn poll(&self, query: &str) -> Signals {
        let seen = query.split_once("seen=").map_or("", |(_, keys)| keys);
        let mut state = self.state();
        state.polls += 1;
        self.changed.notify_all();
        let clock = Clock::collector();
        let begun = clock.now().mono;
        loop {
            let twice = state.manner == Manner::Doubled;
            let is_new = |signal: &&Signal| twice || !seen.contains(&signal.data.key);
            let open = state.open.iter().filter(is_new);
            let mut signals: Vec<Signed> =
                open.map(|signal| signed(signal, now(), &key())).collect();
            if twice {
                signals.extend(signals.clone());
            }
            signals.extend(state.raw.clone());
            let left = HOLD.saturating_sub(clock.now().mono.since(begun));
            if !signals.is_empty() || left.is_zero() {
                return Signals { signals };
            }
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Whether the hook is told that it arrived.
    fn take(&self, answer: Answer) -> bool {
        let mut state = self.state();
        if let Manner::Lost(left @ 1..) = state.manner {
            state.manner = Manner::Lost(left - 1);
            return false;
        }
        state.answers.push(answer);
        if state.manner == Manner::Late {
            let polls = state.polls;
            let waited = self.changed.wait_timeout_while(state, LATE, |state| state.polls == polls);
            drop(waited);
        }
        true
    }
}

/// The first line, whether the token is there, the body.
fn request(reader: &mut impl BufRead) -> std::io::Result<(String, bool, Vec<u8>)> {
    let (mut first, mut authorized, mut length) = (String::new(), false, 0);
    if reader.read_line(&mut first)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let lower = line.trim().to_lowercase();
        if lower.is_empty() {
            break;
        }
        authorized |= lower == format!("authorization: bearer {TOKEN}");
        if let Some(text) = lower.strip_prefix("content-length: ") {
            length = text.parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((first, authorized, body))
}
