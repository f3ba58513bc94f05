//! A receiver of webhooks that does as it is told, and remembers what came.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use serde_json::Value;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Manner {
    /// Answered with 200.
    Take,
    /// Answered with 200, but only once the sender has hung up.
    Late,
    /// Not even read.
    Hang,
    /// Read, and the connection closed.
    Close,
    /// Answered with a status, a line of the head and a text.
    Say(u16, &'static str, &'static str),
}

/// A request that was read.
#[derive(Clone, Debug)]
pub(in super::super) struct Request {
    /// Its header `webhook-id`.
    pub(in super::super) id: String,
    /// Whether it says that it may have come before.
    pub(in super::super) is_repeated: bool,
    /// Whether the receiver has taken it, whatever its sender knows of that.
    pub(in super::super) is_taken: bool,
    /// The body as it came.
    pub(in super::super) text: String,
}

/// The receiver.
pub(in super::super) struct Receiver {
    pub(in super::super) url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// How the next requests are met, and all after them.
    manners: Mutex<(VecDeque<Manner>, Option<Manner>)>,
    requests: Mutex<Vec<Request>>,
    /// Connections that hang.
    held: Mutex<Vec<TcpStream>>,
}

impl Request {
    pub(in super::super) fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// `startsAt` of the first alert.
    pub(in super::super) fn starts_at(&self) -> Value {
        self.body()["alerts"][0]["startsAt"].take()
    }
}

impl Receiver {
    /// One that takes everything after it has met the first requests like this.
    pub(in super::super) fn start(first: &[Manner]) -> Receiver {
        Receiver::listen(TcpListener::bind("127.0.0.1:0").unwrap(), first)
    }

    /// One that takes everything, on a port where nobody listened.
    pub(in super::super) fn start_at(port: u16) -> Receiver {
        Receiver::listen(TcpListener::bind(("127.0.0.1", port)).unwrap(), &[])
    }

    fn listen(listener: TcpListener, first: &[Manner]) -> Receiver {
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        lock(&shared.manners).0.extend(first);
        let receiver = Receiver { url, shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (shared, stream) = (Arc::clone(&shared), stream.unwrap());
                // Whoever sends may be killed in the middle of it.
                thread::spawn(move || drop(shared.meet(stream)));
            }
        });
        receiver
    }

    /// Meets all requests like this from now on.
    pub(in super::super) fn becomes(&self, manner: Manner) {
        *lock(&self.shared.manners) = (VecDeque::new(), Some(manner));
    }

    /// What was read so far.
    pub(in super::super) fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }

    /// What it has taken so far.
    pub(in super::super) fn taken(&self) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.is_taken).collect()
    }
}

impl Shared {
    fn meet(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let manner = {
            let mut manners = lock(&self.manners);
            let next = manners.0.pop_front();
            next.or(manners.1).unwrap_or(Manner::Take)
        };
        if manner == Manner::Hang {
            lock(&self.held).push(stream);
            return Ok(());
        }
        let (head, text) = read(&mut stream)?;
        let header = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap_or_default().to_owned()
        };
        lock(&self.requests).push(Request {
            id: header("webhook-id"),
            is_repeated: header("bellwether-repeated") == "true",
            is_taken: matches!(manner, Manner::Take | Manner::Late),
            text,
        });
        let (status, line, said) = match manner {
            Manner::Close | Manner::Hang => return Ok(()),
            Manner::Late => {
                while stream.read(&mut [0; 64])? > 0 {}
                (200, "", "")
            }
            Manner::Take => (200, "", ""),
            Manner::Say(status, line, said) => (status, line, said),
        };
        let length = said.len();
        write!(
            stream,
            "HTTP/1.1 {status} As told\r\n{line}content-length: {length}\r\n\
             connection: close\r\n\r\n{said}"
        )
    }
}

/// The head in lower case, and the body.
fn read(stream: &mut TcpStream) -> std::io::Result<(String, String)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece)?;
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.and_then(|length| length.parse().ok()) == Some(body.len()) {
                return Ok((head, body.to_owned()));
            }
        }
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn lock<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().expect("invariant: whoever holds it does not panic")
}
