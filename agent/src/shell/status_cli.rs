//! The subcommand `status`: asks the agent that runs with a directory, and shows what it says.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::shell::cli::Output;
use crate::shell::ship::{CollectorReport, Counted};
use crate::shell::status::{AgentStatus, SOCKET};

/// The agent answers at once, or has no time.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const ANSWER_BYTES: u64 = 16 << 20;

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Nobody listens.
    #[error("no agent runs with the directory {}", .0.display())]
    NotRunning(PathBuf),
    /// It is another user's.
    #[error("the agent in {} is another user's: ask as that user, or as root", .0.display())]
    Denied(PathBuf),
    /// Something else.
    #[error("the agent in {} does not answer: {error}", dir.display())]
    Io {
        /// Its directory.
        dir: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Asks the agent of a directory.
///
/// # Errors
/// None runs there, or it does not answer.
pub fn ask(dir: &Path) -> Result<(AgentStatus, String), StatusError> {
    let io = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            StatusError::NotRunning(dir.to_owned())
        }
        io::ErrorKind::PermissionDenied => StatusError::Denied(dir.to_owned()),
        _ => StatusError::Io { dir: dir.to_owned(), error },
    };
    let stream = UnixStream::connect(dir.join(SOCKET)).map_err(io)?;
    stream.set_read_timeout(Some(ANSWER_TIME)).map_err(io)?;
    let mut text = String::new();
    stream.take(ANSWER_BYTES).read_to_string(&mut text).map_err(io)?;
    let status = serde_json::from_str(&text).map_err(|error| io(io::Error::other(error)))?;
    Ok((status, text))
}

/// Shows what an agent said.
///
/// # Errors
/// The output cannot be written.
pub fn show(status: &AgentStatus, json: &str, output: Output) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match output {
        Output::Json => out.write_all(json.as_bytes()),
        Output::Table => out.write_all(table(status).as_bytes()),
    }
}

fn table(status: &AgentStatus) -> String {
    let shipping = &status.shipping;
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string does not fail.
        writeln!(out, "{name:<12}{value}").ok();
    };
    line("agent", format!("{} run {}", shipping.agent, shipping.incarnation));
    line("version", status.version.clone());
    line("labels", status.labels.clone());
    line("page", status.page.clone());
    let reload = if status.config_reload_successful { "" } else { "; the last reload failed" };
    line("config", format!("read at {}{reload}", status.config_read_at));
    line("collected", counted(shipping.collected));
    line("spooled", counted(shipping.spooled));
    let (bytes, max) = (shipping.spool_bytes, shipping.spool_bytes_max);
    line("spool", format!("{bytes} of {max} bytes, {} segments", shipping.spool_segments));
    line("clock", format!("{:+.3} s beside the host's", shipping.clock_ahead_seconds));
    for collector in &shipping.collectors {
        out.push_str(&of_collector(collector));
    }
    if shipping.collectors.is_empty() {
        out.push_str("\nno collector is configured\n");
    }
    let rows = status.inputs.iter().map(|input| {
        let last =
            input.last_success_ms.map_or_else(|| "-".to_owned(), |ms| (ms / 1000).to_string());
        let error = input.error.as_deref().filter(|_| input.state != "absent").unwrap_or_default();
        [
            input.name.clone(),
            input.state.clone(),
            input.series.to_string(),
            last,
            format!("{:.6}", input.duration_seconds),
            printable(error),
        ]
    });
    let head = ["INPUT", "STATE", "SERIES", "LAST SUCCESS", "SECONDS", "ERROR"].map(str::to_owned);
    out.push('\n');
    out.push_str(&columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>()));
    out
}

fn of_collector(collector: &CollectorReport) -> String {
    let mut lines = vec![[printable(&collector.url), collector.state.clone()]];
    let mut line = |name: &str, value: String| lines.push([format!("  {name}"), value]);
    if let Some(error) = &collector.last_error {
        line("last error", printable(error));
    }
    line("acked", format!("{}, up to {}", counted(collector.acked), collector.acked_seq));
    line("held", counted(collector.held));
    if let Some(age) = collector.oldest_unacked_seconds {
        line("oldest", format!("{age:.1} s"));
    }
    if collector.returned != Counted::default() {
        line("returned", counted(collector.returned));
    }
    for (reason, count) in &collector.dropped {
        line("dropped", format!("{reason}: {}", counted(*count)));
    }
    for (reason, columns) in &collector.columns_refused {
        line("refused", format!("{reason}: {columns} columns"));
    }
    for skip in &collector.declared {
        line("declared", format!("{}: {} to {}", skip.reason, skip.first, skip.last));
    }
    format!("\n{}", columns(&lines))
}

fn counted(count: Counted) -> String {
    format!("{} samples in {} frames", count.samples, count.frames)
}

/// Cells in columns; the last one of a line is not padded.
pub(crate) fn columns<const N: usize>(lines: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for line in lines {
        let padded = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        out.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// Texts come from the network and from files: control characters are not let onto a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests;
