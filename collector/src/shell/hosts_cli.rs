//! `host list`, `host drain` and `host forget`: asks a running collector over HTTP or HTTPS.

use std::collections::BTreeMap;
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

use super::cli::{Host, HostDrain, HostForget, HostList, Output, Target};
use super::hosts::{DRAIN, PATH};
use super::keep::HostRow;
use super::startup;

/// For connecting, asking and answering together.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// From one look at a host that is drained to the next.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const FINDINGS: u8 = 1;
/// A row has about 500 bytes.
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
        Host::Drain(one) => drain(one).await,
        Host::Forget(one) => forget(one).await,
    }
}

async fn rows(target: &Target) -> Result<Vec<HostRow>, AskError> {
    let (status, body) = ask(target, Method::GET, PATH).await?;
    if status != StatusCode::OK {
        return Err(refused(target, status, &body));
    }
    serde_json::from_slice(&body).map_err(|error| {
        let reason = format!("not an answer of a collector: {error}");
        AskError::Unreachable { url: target.url.clone(), reason }
    })
}

async fn show(list: &HostList) -> anyhow::Result<ExitCode> {
    let rows = rows(&list.target).await?;
    let mut out = io::stdout().lock();
    match list.output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?,
        Output::Table if list.wide => out.write_all(wide(&rows).as_bytes())?,
        Output::Table => out.write_all(table(&rows).as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Has a host drained, and waits until it has gone.
async fn drain(one: &HostDrain) -> anyhow::Result<ExitCode> {
    let agent: AgentId = one.agent.parse()?;
    let method = if one.cancel { Method::DELETE } else { Method::PUT };
    match ask(&one.target, method, &format!("{PATH}/{agent}{DRAIN}")).await? {
        (StatusCode::NO_CONTENT, _) => {}
        (status, body) => return Err(refused(&one.target, status, &body).into()),
    }
    let mut out = io::stdout().lock();
    if one.cancel {
        writeln!(out, "not drained any more: {agent}")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "draining: {agent}")?;
    if one.wait.is_zero() {
        return Ok(ExitCode::SUCCESS);
    }
    match tokio::time::timeout(one.wait, gone(&one.target, agent)).await {
        Ok(gone) => {
            gone?;
            writeln!(out, "drained: {agent}")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(_) => {
            writeln!(out, "not drained yet: {agent} still ships; it stays marked")?;
            Ok(ExitCode::from(FINDINGS))
        }
    }
}

/// Waits until a host that is drained has gone.
async fn gone(target: &Target, agent: AgentId) -> Result<(), AskError> {
    let agent = agent.to_string();
    loop {
        let is_there = |row: &HostRow| row.agent == agent && row.state == "draining";
        if !rows(target).await?.iter().any(is_there) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
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
    let proxy = from_environment(&server, &startup::around().environment)
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

/// What was taken, lost and refused of each host.
fn wide(rows: &[HostRow]) -> String {
    let head = [
        "AGENT",
        "INSTANCE",
        "STATE",
        "FRAMES",
        "SAMPLES",
        "STORED",
        "UNPLACED",
        "LATE",
        "AHEAD",
        "DUPLICATES",
        "SKIPPED",
        "COLUMNS REFUSED",
    ];
    let named = |counts: &BTreeMap<String, u64>| {
        let named = counts.iter().map(|(name, count)| format!("{}={count}", printable(name)));
        let named: Vec<String> = named.collect();
        if named.is_empty() { "-".to_owned() } else { named.join(",") }
    };
    let cells = rows.iter().map(|row| {
        let counts = &row.counts;
        let numbers = [counts.frames, counts.samples, counts.stored, counts.unplaced];
        let more = [counts.out_of_order, counts.ahead, counts.duplicates];
        let [frames, samples, stored, unplaced] = numbers.map(|n| n.to_string());
        let [late, ahead, duplicates] = more.map(|n| n.to_string());
        let (instance, state) = (printable(&row.instance), row.state.clone());
        let (skipped, refused) = (named(&counts.skipped), named(&counts.columns_refused));
        [
            row.agent.clone(),
            instance,
            state,
            frames,
            samples,
            stored,
            unplaced,
            late,
            ahead,
            duplicates,
            skipped,
            refused,
        ]
    });
    columns(&std::iter::once(head.map(str::to_owned)).chain(cells).collect::<Vec<_>>())
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
    columns(&lines)
}

/// Cells in columns; the last one of a line is not padded.
fn columns<const N: usize>(lines: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for line in lines {
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
    use crate::shell::keep::HostCounts;

    fn row(instance: &str, state: &str, lag_ms: i64, applied: &str) -> HostRow {
        HostRow {
            agent: AgentId([0xab; 16]).to_string(),
            job: "node".to_owned(),
            instance: instance.to_owned(),
            state: state.to_owned(),
            mark_ms: 0,
            lag_ms,
            applied: applied.to_owned(),
            counts: HostCounts {
                frames: 17,
                skipped: [("spool_full".to_owned(), 3)].into(),
                ..HostCounts::default()
            },
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
        insta::assert_snapshot!(wide(&rows));
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
