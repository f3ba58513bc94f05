//! Steady requests to one address, evenly in time.

use std::io::{Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bellwether_platform::clock::Clock;
use bellwether_platform::stop::{Stop, Stopper, stop};

/// Connections over which requests go.
const CONNECTIONS: u64 = 4;
const TIMEOUT: Duration = Duration::from_secs(5);

/// Requests until it is dropped.
pub struct Load {
    counts: Arc<Counts>,
    stopper: Stopper,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    good: AtomicU64,
    bad: AtomicU64,
}

impl Load {
    /// So many requests a second.
    #[must_use]
    pub fn start(address: SocketAddr, rate: u64) -> Load {
        let counts = Arc::<Counts>::default();
        let (stopper, stop) = stop();
        let thread = |place: u64| {
            let (counts, stop) = (Arc::clone(&counts), stop.clone());
            thread::spawn(move || counts.send(address, (place, rate), &stop))
        };
        let threads = (0..CONNECTIONS).map(thread).collect();
        Load { counts, stopper, threads }
    }

    /// Requests that were answered well so far, and all others.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let Counts { good, bad, .. } = &*self.counts;
        (good.load(Ordering::Relaxed), bad.load(Ordering::Relaxed))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stopper.stop();
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

impl Counts {
    fn send(&self, address: SocketAddr, (place, rate): (u64, u64), stop: &Stop) {
        let clock = Clock::collector();
        let began = clock.now().mono;
        let step = Duration::from_secs(CONNECTIONS) / u32::try_from(rate).unwrap_or(1).max(1);
        let offset =
            step * u32::try_from(place).unwrap_or(0) / u32::try_from(CONNECTIONS).unwrap_or(1);
        let mut connection = None;
        for number in 0_u32.. {
            if stop.wait_until(&clock, began + offset + step * number) {
                return;
            }
            // A connection that broke is not kept.
            let is_good = ask(&mut connection, address).unwrap_or(false);
            (if is_good { &self.good } else { &self.bad }).fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One request over the connection that is kept, or a new one.
fn ask(kept: &mut Option<TcpStream>, address: SocketAddr) -> Result<bool> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream
        }
    };
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes())?;
    let (mut answer, mut piece) = (Vec::new(), [0; 2048]);
    loop {
        let read = stream.read(&mut piece)?;
        answer.extend_from_slice(piece.get(..read).unwrap_or_default());
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
            if body.len() >= length {
                let is_good = head.starts_with("HTTP/1.1 200");
                *kept = Some(stream);
                return Ok(is_good);
            }
        }
        if read == 0 {
            return Ok(false);
        }
    }
}
