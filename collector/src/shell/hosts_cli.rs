//! `host list`, `host drain` and `host forget`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use bellwether_model::id::AgentId;
use hyper::{Method, StatusCode};

use super::ask::{AskError, Form, answer, ask, refused};
use super::cli::{Host, HostDrain, HostForget, HostList, Output, Target};
use super::hosts::{DRAIN, PATH};
use super::keep::HostRow;
use super::table::{columns, printable};

/// From one look at a host that is drained to the next.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const FINDINGS: u8 = 1;

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

async fn show(list: &HostList) -> anyhow::Result<ExitCode> {
    let rows: Vec<HostRow> = answer(&list.target, PATH).await?;
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
    match ask(&one.target, method, &format!("{PATH}/{agent}{DRAIN}"), Form::None).await? {
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
        let rows: Vec<HostRow> = answer(target, PATH).await?;
        if !rows.iter().any(is_there) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
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
        vec![
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
    let head = head.map(str::to_owned).to_vec();
    columns(&std::iter::once(head).chain(cells).collect::<Vec<_>>())
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
}
