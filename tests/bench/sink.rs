//! Takes what a Prometheus writes remotely and counts the bytes of the connections, both ways.
//!
//! `bench-sink ADDRESS`: every POST is answered 204; `GET /bytes` tells the bytes received and sent
//! so far, and the requests. HTTP/1.1 with a declared length, which is what Prometheus speaks
//! without TLS. It shares the machine with what is measured and does nothing else.

use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

const TAKEN: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
const BODY_BYTES_MAX: usize = 64 << 20;

#[derive(Default)]
struct Counts {
    bytes: AtomicU64,
    requests: AtomicU64,
}

fn main() -> ExitCode {
    let Some(address) = std::env::args().nth(1) else {
        eprintln!("usage: bench-sink ADDRESS");
        return ExitCode::from(2);
    };
    let listener = match TcpListener::bind(&address) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("bench-sink: {address}: {error}");
            return ExitCode::from(2);
        }
    };
    println!("bench-sink: listening on http://{address}");
    let counts = Arc::new(Counts::default());
    for stream in listener.incoming().flatten() {
        let counts = Arc::clone(&counts);
        // A connection that breaks is opened again by its client.
        thread::spawn(move || serve(stream, &counts).ok());
    }
    ExitCode::SUCCESS
}

fn serve(mut stream: TcpStream, counts: &Counts) -> Result<()> {
    let mut held = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        let Some((head, length)) = head(&held) else {
            let read = stream.read(&mut piece)?;
            if read == 0 || held.len() > BODY_BYTES_MAX {
                return Ok(());
            }
            held.extend_from_slice(piece.get(..read).unwrap_or_default());
            continue;
        };
        while held.len() < head + length {
            let read = stream.read(&mut piece)?;
            if read == 0 {
                return Ok(());
            }
            held.extend_from_slice(piece.get(..read).unwrap_or_default());
        }
        if held.starts_with(b"GET ") {
            let (bytes, requests) =
                (counts.bytes.load(Ordering::Relaxed), counts.requests.load(Ordering::Relaxed));
            let body = format!("{bytes} {requests}\n");
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
        } else {
            stream.write_all(TAKEN)?;
            let bytes = u64::try_from(head + length + TAKEN.len()).unwrap_or(0);
            counts.bytes.fetch_add(bytes, Ordering::Relaxed);
            counts.requests.fetch_add(1, Ordering::Relaxed);
        }
        held.drain(..head + length);
    }
}

/// Bytes of the head that `held` begins with, and of the body it declares.
fn head(held: &[u8]) -> Option<(usize, usize)> {
    let end = held.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(held.get(..end)?).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    Some((end + 4, length.min(BODY_BYTES_MAX)))
}
