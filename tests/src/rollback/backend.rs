//! One version of the service: HTTP/1.1 on loopback, with a page of its counters.

use std::io::{BufRead, BufReader, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bellwether_platform::clock::Clock;

/// Requests of which a part fails.
const OF: u64 = 1000;

/// A version that serves until it is dropped.
pub struct Backend {
    version: String,
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    version: String,
    clock: Clock,
    /// How many of a thousand requests fail.
    failing: AtomicU64,
    served: AtomicU64,
    failed: AtomicU64,
    /// When the first request failed since it was told to, and when the last was served.
    seen: Mutex<Seen>,
    ends: AtomicBool,
}

/// Times in nanoseconds since 1970.
#[derive(Clone, Copy, Default)]
struct Seen {
    first_bad: Option<i64>,
    last: Option<i64>,
}

impl Backend {
    /// Serves on a free port of loopback.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(version: &str) -> Result<Backend> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            version: version.to_owned(),
            clock: Clock::collector(),
            failing: AtomicU64::new(0),
            served: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            seen: Mutex::default(),
            ends: AtomicBool::new(false),
        });
        let ours = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ours.ends.load(Ordering::Relaxed) {
                    return;
                }
                let ours = Arc::clone(&ours);
                // A connection that breaks is its caller's affair.
                thread::spawn(move || drop(ours.serve(stream)));
            }
        });
        Ok(Backend { version: version.to_owned(), address, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Has so many of a thousand requests fail from now on.
    pub fn fail(&self, of_thousand: u64) {
        self.shared.lock(|seen| seen.first_bad = None);
        self.shared.failing.store(of_thousand, Ordering::Relaxed);
    }

    /// Requests served, failed ones among them; its page's do not count.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.shared.served.load(Ordering::Relaxed)
    }

    /// When the first request has failed since it was told to: nanoseconds since 1970.
    #[must_use]
    pub fn first_bad(&self) -> Option<i64> {
        self.shared.lock(|seen| seen.first_bad)
    }

    /// When the last request came: nanoseconds since 1970.
    #[must_use]
    pub fn last(&self) -> Option<i64> {
        self.shared.lock(|seen| seen.last)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        // Wakes the listener, which then sees that it is over.
        TcpStream::connect(self.address).ok();
    }
}

impl Shared {
    fn lock<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn serve(&self, stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut lines = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        let mut line = String::new();
        loop {
            line.clear();
            if lines.read_line(&mut line)? == 0 || self.ends.load(Ordering::Relaxed) {
                return Ok(());
            }
            let is_page = line.starts_with("GET /metrics ");
            // A hook that asks for the version is no user.
            let is_head = line.starts_with("HEAD ");
            while line.trim_end() != "" {
                line.clear();
                if lines.read_line(&mut line)? == 0 {
                    return Ok(());
                }
            }
            let (status, body) = match (is_page, is_head) {
                (true, _) => ("200 OK", self.page()),
                (_, true) => ("200 OK", String::new()),
                _ => self.request(),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\n\
                 x-version: {}\r\ncontent-length: {}\r\n\r\n",
                self.version,
                body.len()
            );
            stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        }
    }

    fn request(&self) -> (&'static str, String) {
        let now = self.clock.nanos().0;
        let number = self.served.fetch_add(1, Ordering::Relaxed);
        let failing = self.failing.load(Ordering::Relaxed);
        // Spread evenly, and never the same ones: a step that shares no factor with the whole.
        let is_bad = (number * 619) % OF < failing;
        if is_bad {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        self.lock(|seen| {
            seen.last = Some(now);
            if is_bad {
                seen.first_bad.get_or_insert(now);
            }
        });
        let status = if is_bad { "500 Internal Server Error" } else { "200 OK" };
        (status, format!("{}\n", self.version))
    }

    fn page(&self) -> String {
        let (served, failed) =
            (self.served.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed));
        let version = &self.version;
        let mut page = format!(
            "# TYPE http_requests_total counter\n\
             http_requests_total{{code=\"200\",version=\"{version}\"}} {}\n",
            served - failed.min(served)
        );
        // As in most services, a status has no series before its first request.
        if failed > 0 {
            page.push_str(&format!(
                "http_requests_total{{code=\"500\",version=\"{version}\"}} {failed}\n"
            ));
        }
        page
    }
}
