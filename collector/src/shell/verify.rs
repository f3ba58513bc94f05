//! `verify`: checks decision records, in the order they are given.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use bellwether_platform::log::complain;
use bellwether_rules::record::{self, RECORD_BYTES_MAX, Report, verdict_name};

use super::cli::Verify;
use super::{judge, key};

const FINDINGS: u8 = 1;
const COULD_NOT_RUN: u8 = 2;

/// Checks each record and says what is wrong with it.
///
/// # Errors
/// The key cannot be read, or the output cannot be written. A record that cannot be read is told on
/// standard error and in the exit code.
pub fn run(verify: &Verify) -> anyhow::Result<ExitCode> {
    let key = key::checking(&verify.key)?;
    let (mut after, mut is_whole, mut is_good) = (verify.after, true, true);
    let mut out = String::new();
    for path in &verify.records {
        let file = path.display().to_string();
        let bytes = match judge::read(path, RECORD_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) => {
                complain(format_args!("bellwether: cannot read {file}: {error}"));
                is_whole = false;
                continue;
            }
        };
        let report = record::verify(&bytes, &key, after);
        is_good &= report.failures.is_empty();
        out += &shown(path, &report);
        after = Some(report.hash);
    }
    io::stdout().write_all(out.as_bytes()).context("cannot write")?;
    Ok(match (is_whole, is_good) {
        (false, _) => ExitCode::from(COULD_NOT_RUN),
        (true, false) => ExitCode::from(FINDINGS),
        (true, true) => ExitCode::SUCCESS,
    })
}

fn shown(path: &Path, report: &Report) -> String {
    let file = path.display();
    if report.failures.is_empty()
        && let Some(record) = &report.record
    {
        let decided = record.outcome.decision_second;
        let decided = decided.map(|second| format!(" in second {second}")).unwrap_or_default();
        return format!(
            "{file}: good: {}{decided}, α {}, {} ticks, version {}\n  hash {}\n",
            verdict_name(record.outcome.verdict),
            record.config.alpha,
            record.ticks.len(),
            record.config.version,
            report.hash
        );
    }
    let failures = report.failures.iter().map(|failure| format!("  {failure}\n"));
    format!("{file}: FAILED\n{}", failures.collect::<String>())
}
