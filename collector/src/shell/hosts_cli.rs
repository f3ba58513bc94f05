//! `host list` and `host forget`: asks a running collector over HTTP or HTTPS.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use bellwether_model::id::AgentId;
use bellwether_platform::dial::{self, Dialer, Route, Way, causes, from_environment};
use bellwether_platform::principal::Token;
use bellwether_platform::tls::ClientFiles;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Method, Request, StatusCode};

use super::cli::{Host, HostForget, HostList, Output, Target};
use super::hosts::PATH;
use super::keep::HostRow;
use super::startup;

/// For connecting, asking and answering together.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// A row has about 200 bytes.
const ANSWER_BYTES: usize = 64 << 20;

/// Why a collector could not be asked, or what it refused.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The address.
    #[error("{url}: expected http://HOST:PORT or https://HOST:PORT")]
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
    let bad = || AskError::BadUrl { url: target.url.clone() };
    let server = dial::Target::parse(&target.url).map_err(|_| bad())?;
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", server.base()))
        .body(Full::default())
        .map_err(|_| bad())?;
    if let Some(file) = &target.token_file {
        let token = Token::read(file)?;
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .expect("invariant: tokens are printable ASCII");
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let unreachable = |reason| AskError::Unreachable { url: target.url.clone(), reason };
    let proxy = from_environment(&server, &startup::surroundings().environment)
        .map_err(|name| unreachable(format!("{name} names no proxy that can be used")))?;
    let dialer = Dialer::new(Route {
        target: server,
        way: proxy.map_or(Way::Direct, Way::Proxy),
        tls: ClientFiles { ca: target.ca_file.clone(), identity: None },
        server_name: None,
    });
    match tokio::time::timeout(ANSWER_TIME, exchange(dialer, request)).await {
        Ok(answer) => answer.map_err(unreachable),
        Err(_) => Err(unreachable(format!("no answer within {} s", ANSWER_TIME.as_secs()))),
    }
}

async fn exchange(
    mut dialer: Dialer,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), String> {
    let mut connection = dialer.connect().await.map_err(|error| error.to_string())?;
    let answer = match connection.send(request.clone()).await {
        Err(_) if dialer.broke(&connection) => {
            let mut other = dialer.connect().await.map_err(|error| error.to_string())?;
            other.send(request).await
        }
        answer => answer,
    };
    let answer = answer.map_err(|error| causes(&error))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
    Ok((status, body.map_err(|error| causes(&*error))?.to_bytes()))
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
        let target = |url: &str| Target { url: url.to_owned(), token_file: None, ca_file: None };
        for url in ["ftp://h:1", "h:1", "http://", "http:// x:1", ""] {
            let error = ask(&target(url), Method::GET, PATH).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("{url}: expected http://HOST:PORT or https://HOST:PORT")
            );
        }
        // A port that was bound and is free again.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = ask(&target(&format!("http://{address}")), Method::GET, PATH).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("Connection refused"), "{error}");
    }
}
