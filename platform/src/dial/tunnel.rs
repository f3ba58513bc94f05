//! CONNECT (RFC 9110 §9.3.6): a way through a proxy to an address, whose bytes it does not read.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{DialError, Proxy, Target};

/// A proxy's answer is far shorter.
const HEAD_BYTES: usize = 16 << 10;

/// Asks the proxy at the other end of the stream for the target; the stream is then the target's.
pub(super) async fn open(
    mut stream: TcpStream,
    target: &Target,
    proxy: &Proxy,
) -> Result<TcpStream, DialError> {
    let broke = |error: std::io::Error| {
        DialError::Proxy(format!("the proxy {} broke the connection: {error}", proxy.authority()))
    };
    stream.write_all(&request(target, proxy)).await.map_err(broke)?;
    let mut head = Vec::new();
    // Byte by byte, since what follows the head is not the proxy's.
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.map_err(broke)?;
        head.push(byte);
        if head.len() > HEAD_BYTES {
            return Err(refused(proxy, "its answer is too long"));
        }
    }
    match status(&head) {
        Some(200..=299) => Ok(stream),
        Some(407) => Err(refused(proxy, "it asks for user and password (407)")),
        Some(status) => Err(refused(
            proxy,
            &format!("it does not connect to {} ({status})", target.authority()),
        )),
        None => Err(refused(proxy, "its answer is not HTTP")),
    }
}

fn refused(proxy: &Proxy, reason: &str) -> DialError {
    DialError::Proxy(format!("the proxy {}: {reason}", proxy.authority()))
}

fn request(target: &Target, proxy: &Proxy) -> Vec<u8> {
    let to = target.authority();
    let mut bytes = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
    if let Some(value) = proxy.authorization() {
        bytes.extend_from_slice(b"Proxy-Authorization: ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// The status of `HTTP/1.1 200 OK`.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let (version, rest) = line.split_once(' ')?;
    version.starts_with("HTTP/1.").then(|| rest.get(..3)?.parse().ok())?
}
