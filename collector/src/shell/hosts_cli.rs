//! `host list` and `host forget`: asks a running collector over HTTP.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use bellwether_model::id::AgentId;
use bellwether_platform::principal::Token;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::cli::{Host, HostForget, HostList, Output, Target};
use super::hosts::PATH;
use super::keep::HostRow;

/// For connecting, asking and answering together.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// A row has about 200 bytes.
const ANSWER_BYTES: usize = 64 << 20;

/// Why a collector could not be asked, or what it refused.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The address.
    #[error("{url}: expected http://HOST:PORT")]
    BadUrl {
        /// As given.
        url: String,
    },
    /// No collector answered.
    #[error("{url} does not answer: {reason}")]
    Unreachable {
        /// As given.
        url: String,
        /// Why.
        reason: String,
    },
    /// It answered with an error.
    #[error("{url} answered {status}: {text}")]
    Refused {
        /// As given.
        url: String,
        /// The status.
        status: StatusCode,
        /// What it said.
        text: String,
    },
    /// The token file.
    #[error(transparent)]
    Token(#[from] bellwether_platform::principal::TokenError),
}

/// Does what is asked.
///
/// # Errors
/// The collector cannot be asked, or the output not written.
pub async fn run(host: &Host) -> anyhow::Result<ExitCode> {
    match host {
        Host::List(list) => show(list).await,
        Host::Forget(one) => forget(one).await,
    }
}

async fn show(list: &HostList) -> anyhow::Result<ExitCode> {
    let (status, body) = ask(&list.target, Method::GET, PATH).await?;
    if status != StatusCode::OK {
        return Err(refused(&list.target, status, &body).into());
    }
    let rows: Vec<HostRow> = serde_json::from_slice(&body).map_err(|error| {
        let reason = format!("not an answer of a collector: {error}");
        AskError::Unreachable { url: list.target.url.clone(), reason }
    })?;
    let mut out = io::stdout().lock();
    match list.output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?,
        Output::Table => out.write_all(table(&rows).as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn forget(one: &HostForget) -> anyhow::Result<ExitCode> {
    let agent: AgentId = one.agent.parse()?;
    let path = format!("{PATH}/{agent}");
    match ask(&one.target, Method::DELETE, &path).await? {
        (StatusCode::NO_CONTENT, _) => {
            writeln!(io::stdout(), "forgotten: {agent}")?;
            Ok(ExitCode::SUCCESS)
        }
        (status, body) => Err(refused(&one.target, status, &body).into()),
    }
}

fn refused(target: &Target, status: StatusCode, body: &[u8]) -> AskError {
    let text = String::from_utf8_lossy(body).trim().chars().take(1000).collect();
    AskError::Refused { url: target.url.clone(), status, text }
}

/// One request and its answer, within a time.
async fn ask(target: &Target, method: Method, path: &str) -> Result<(StatusCode, Bytes), AskError> {
    let url = target.url.trim_end_matches('/');
    let bad = || AskError::BadUrl { url: target.url.clone() };
    let uri: Uri = format!("{url}{path}").parse().map_err(|_| bad())?;
    if uri.scheme_str() != Some("http") {
        return Err(bad());
    }
    let authority = uri.authority().ok_or_else(bad)?.clone();
    let target_path = uri.path_and_query().ok_or_else(bad)?.as_str();
    let mut request = Request::builder()
        .method(method)
        .uri(target_path)
        .header(HOST, authority.as_str())
        .body(Empty::<Bytes>::new())
        .map_err(|_| bad())?;
    if let Some(file) = &target.token_file {
        let token = Token::read(file)?;
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .expect("invariant: tokens are printable ASCII");
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let address = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
    let unreachable = |reason| AskError::Unreachable { url: target.url.clone(), reason };
    match tokio::time::timeout(ANSWER_TIME, exchange(&address, request)).await {
        Ok(answer) => answer.map_err(|error| unreachable(reason(&*error))),
        Err(_) => Err(unreachable(format!("no answer within {} s", ANSWER_TIME.as_secs()))),
    }
}

async fn exchange(
    address: &str,
    request: Request<Empty<Bytes>>,
) -> Result<(StatusCode, Bytes), Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // The request in flight reports the same error.
        connection.await.ok();
    });
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await?;
    Ok((status, body.to_bytes()))
}

/// The error with what caused it: "connection refused" says more than "client error".
fn reason(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Rows in columns.
fn table(rows: &[HostRow]) -> String {
    let header = ["AGENT", "JOB", "INSTANCE", "STATE", "LAG", "APPLIED"].map(str::to_owned);
    let cells = |row: &HostRow| {
        let lag = row.lag_ms.max(0).unsigned_abs();
        let lag = format!("{}.{} s", lag / 1000, lag % 1000 / 100);
        let text = |text: &str| if text.is_empty() { "-".to_owned() } else { printable(text) };
        [
            row.agent.clone(),
            text(&row.job),
            text(&row.instance),
            row.state.clone(),
            lag,
            text(&row.applied),
        ]
    };
    let lines: Vec<[String; 6]> = std::iter::once(header).chain(rows.iter().map(cells)).collect();
    let mut widths = [0; 6];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for line in &lines {
        let padded = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let padded: Vec<String> = padded.collect();
        out.push_str(padded.join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// Labels come from agents: control characters are not let onto a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(instance: &str, state: &str, lag_ms: i64, applied: &str) -> HostRow {
        HostRow {
            agent: AgentId([0xab; 16]).to_string(),
            job: "node".to_owned(),
            instance: instance.to_owned(),
            state: state.to_owned(),
            mark_ms: 0,
            lag_ms,
            applied: applied.to_owned(),
        }
    }

    #[test]
    fn hosts_stand_in_columns() {
        let rows = [row("web1", "up", 640, "1:17"), row("a\u{1b}[2Jb", "down", 12_345, "")];
        insta::assert_snapshot!(table(&rows), @r"
        AGENT                             JOB   INSTANCE  STATE  LAG     APPLIED
        abababababababababababababababab  node  web1      up     0.6 s   1:17
        abababababababababababababababab  node  a�[2Jb    down   12.3 s  -
        ");
        assert_eq!(table(&[]).lines().count(), 1);
    }

    #[tokio::test]
    async fn what_is_no_collector_is_said_in_words() {
        let target = |url: &str| Target { url: url.to_owned(), token_file: None };
        for url in ["https://h:1", "h:1", "http://", "http:// x:1", ""] {
            let error = ask(&target(url), Method::GET, PATH).await.unwrap_err();
            assert_eq!(error.to_string(), format!("{url}: expected http://HOST:PORT"));
        }
        // A port that was bound and is free again.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = ask(&target(&format!("http://{address}")), Method::GET, PATH).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("Connection refused"), "{error}");
    }
}
