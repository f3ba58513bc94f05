//! `host list` and `host forget`.

use std::io::{self, Write};
use std::process::ExitCode;

use bellwether_model::id::AgentId;
use hyper::{Method, StatusCode};

use super::ask::{AskError, Form, ask, refused};
use super::cli::{Host, HostForget, HostList, Output};
use super::hosts::PATH;
use super::keep::HostRow;
use super::table::{columns, printable};

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
    let (status, body) = ask(&list.target, Method::GET, PATH, Form::None).await?;
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
    match ask(&one.target, Method::DELETE, &path, Form::None).await? {
        (StatusCode::NO_CONTENT, _) => {
            writeln!(io::stdout(), "forgotten: {agent}")?;
            Ok(ExitCode::SUCCESS)
        }
        (status, body) => Err(refused(&one.target, status, &body).into()),
    }
}

/// Rows in columns.
fn table(rows: &[HostRow]) -> String {
    let header = ["AGENT", "JOB", "INSTANCE", "STATE", "LAG", "APPLIED"].map(str::to_owned);
    let cells = |row: &HostRow| {
        let lag = row.lag_ms.max(0).unsigned_abs();
        let lag = format!("{}.{} s", lag / 1000, lag % 1000 / 100);
        let text = |text: &str| if text.is_empty() { "-".to_owned() } else { printable(text) };
        vec![
            row.agent.clone(),
            text(&row.job),
            text(&row.instance),
            row.state.clone(),
            lag,
            text(&row.applied),
        ]
    };
    let lines: Vec<Vec<String>> =
        std::iter::once(header.to_vec()).chain(rows.iter().map(cells)).collect();
    columns(&lines)
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
}
