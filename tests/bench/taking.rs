//! A server for HTTP/1.1 with declared lengths, which is what Prometheus and its kin speak without
//! TLS: a thread for each connection, one answer for each request.

use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

const BODY_BYTES_MAX: usize = 64 << 20;

/// One request.
pub(crate) struct Request<'a> {
    /// The first line and the headers.
    pub(crate) head: &'a str,
    pub(crate) body: &'a [u8],
}

#[allow(dead_code, reason = "each program asks for something else")]
impl Request<'_> {
    pub(crate) fn is_get(&self) -> bool {
        self.head.starts_with("GET ")
    }

    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or("")
    }

    /// Of the request on the wire.
    pub(crate) fn bytes(&self) -> usize {
        self.head.len() + 4 + self.body.len()
    }
}

/// An answer: 204 without a body, 200 with one.
pub(crate) fn answer(body: &str) -> Vec<u8> {
    if body.is_empty() {
        return b"HTTP/1.1 204 No Content\r\n\r\n".to_vec();
    }
    // The type of an exposition page; nobody asks for another.
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: ";
    format!("{head}{}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Serves for as long as the listener lives.
pub(crate) fn serve(
    listener: &TcpListener,
    answer: impl Fn(Request<'_>) -> Vec<u8> + Send + Sync + 'static,
) {
    let answer = Arc::new(answer);
    for stream in listener.incoming().flatten() {
        let answer = Arc::clone(&answer);
        // A connection that breaks is opened again by its client.
        thread::spawn(move || connection(stream, &*answer).ok());
    }
}

fn connection(mut stream: TcpStream, answer: &impl Fn(Request<'_>) -> Vec<u8>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut held = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        let whole = head(&held).filter(|(head, length)| held.len() >= head + length);
        let Some((head, length)) = whole else {
            let read = stream.read(&mut piece)?;
            if read == 0 || held.len() > BODY_BYTES_MAX {
                return Ok(());
            }
            held.extend_from_slice(piece.get(..read).unwrap_or_default());
            continue;
        };
        let text = String::from_utf8_lossy(held.get(..head - 4).unwrap_or_default());
        let body = held.get(head..head + length).unwrap_or_default();
        stream.write_all(&answer(Request { head: &text, body }))?;
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
