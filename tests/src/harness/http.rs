//! A client for HTTP/1.1 on loopback, one connection for each request.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The longest wait for a connection's next bytes.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The largest answer read.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header lines, as sent.
    pub headers: Vec<String>,
    /// The body, without its transfer coding; what is not UTF-8 is replaced.
    pub body: String,
}

/// Asks `address` (`127.0.0.1:9797`) for `target` (`/metrics`).
///
/// # Errors
/// If the connection fails, or the answer is not HTTP/1.1.
pub fn get(address: &str, target: &str) -> Result<Response> {
    ask(address, &format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n"))
}

/// The same with a bearer token.
///
/// # Errors
/// As [`get`].
pub fn get_as(address: &str, target: &str, token: &str) -> Result<Response> {
    ask(address, &format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n{}", bearer(token)))
}

/// Posts nothing to `target`, with a bearer token if there is one.
///
/// # Errors
/// As [`get`].
pub fn post(address: &str, target: &str, token: Option<&str>) -> Result<Response> {
    let bearer = token.map(bearer).unwrap_or_default();
    let head = format!("POST {target} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n");
    ask(address, &format!("{head}{bearer}"))
}

/// Deletes `target`, with a bearer token if there is one.
///
/// # Errors
/// As [`get`].
pub fn delete(address: &str, target: &str, token: Option<&str>) -> Result<Response> {
    let bearer = token.map(bearer).unwrap_or_default();
    ask(address, &format!("DELETE {target} HTTP/1.1\r\nHost: {address}\r\n{bearer}"))
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn ask(address: &str, head: &str) -> Result<Response> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    parse(&answer).ok_or_else(|| Error::new(ErrorKind::InvalidData, "not an answer of HTTP/1.1"))
}

fn parse(answer: &[u8]) -> Option<Response> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = (std::str::from_utf8(answer.get(..end)?).ok()?, answer.get(end + 4..)?);
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let headers: Vec<String> = lines.map(str::to_owned).collect();
    let is_chunked = headers.iter().any(|h| h.eq_ignore_ascii_case("transfer-encoding: chunked"));
    let body = if is_chunked { unchunk(body)? } else { whole(&headers, body)? };
    Some(Response { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

/// A body of a declared length, refused when the connection broke before its end.
fn whole(headers: &[String], body: &[u8]) -> Option<Vec<u8>> {
    let length = headers.iter().find_map(|header| {
        let (name, value) = header.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let is_whole = length.is_none_or(|length| length == body.len());
    is_whole.then(|| body.to_vec())
}

/// Joins the chunks of a chunked body; `None` when one is missing.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..end)?).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 2 + size + 2..)?;
    }
}

/// Percent-encodes a value of a query string.
#[must_use]
pub fn escape(value: &str) -> String {
    let mut escaped = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped += &format!("%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                       3\r\nabc\r\n1;x\r\nd\r\n0\r\n\r\n";
        let answer = parse(chunked.as_bytes()).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "abcd"));
        assert!(parse(&chunked.as_bytes()[..chunked.len() - 6]).is_none());

        let sized = b"HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\nno";
        assert_eq!(parse(sized).unwrap().status, 503);
        assert!(parse(&sized[..sized.len() - 1]).is_none());
    }

    #[test]
    fn query_values_are_escaped() {
        assert_eq!(escape("a{b=\"ü\"}"), "a%7Bb%3D%22%C3%BC%22%7D");
    }
}
