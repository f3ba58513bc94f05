//! `test promql`: runs scripts of evaluations and says what differs.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use bellwether_platform::log::complain;
use bellwether_promql::script::read;
use bellwether_promql::script::read::SCRIPT_BYTES;
use bellwether_promql::script::run::{Outcome, Tally, Verdict, run as run_script};

use super::cli::TestPromql;

const FINDINGS: u8 = 1;
const COULD_NOT_RUN: u8 = 2;
/// The ending of scripts in a directory.
const ENDING: &str = "test";
/// Directories within directories.
const DEPTH: usize = 8;
/// Differences shown of each script.
const SHOWN: usize = 3;

/// Runs scripts and shows what differs; the last line counts over all.
///
/// # Errors
/// The output cannot be written. A script that cannot be run is told on standard error and in the
/// exit code.
pub fn run(test: &TestPromql) -> anyhow::Result<ExitCode> {
    let mut scripts = Vec::new();
    let mut is_whole = true;
    let mut told = |error: anyhow::Error| {
        complain(format_args!("bellwether: {error:#}"));
        is_whole = false;
    };
    for path in &test.paths {
        collect(path, DEPTH, &mut scripts).unwrap_or_else(&mut told);
    }
    let mut total = Tally::default();
    for path in &scripts {
        match one(path) {
            Ok(outcomes) => {
                let tally = Tally::of(&outcomes);
                total += tally;
                let shown = shown(path, tally, &outcomes, test.all);
                io::stdout().write_all(shown.as_bytes())?;
            }
            Err(error) => told(error.context(path.display().to_string())),
        }
    }
    writeln!(io::stdout(), "{total}")?;
    Ok(match (is_whole, total.failed) {
        (false, _) => ExitCode::from(COULD_NOT_RUN),
        (true, 0) => ExitCode::SUCCESS,
        (true, _) => ExitCode::from(FINDINGS),
    })
}

/// The scripts that a path stands for, those of a directory in order.
fn collect(path: &Path, depth: usize, scripts: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let about = || path.display().to_string();
    if !fs::metadata(path).with_context(about)?.is_dir() {
        scripts.push(path.to_owned());
        return Ok(());
    }
    if depth == 0 {
        bail!("{}: more than {DEPTH} directories within each other", path.display());
    }
    let before = scripts.len();
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).with_context(about)? {
        entries.push(entry.with_context(about)?.path());
    }
    entries.sort();
    for entry in entries {
        if entry.is_dir() || entry.extension().is_some_and(|ending| ending == ENDING) {
            collect(&entry, depth - 1, scripts)?;
        }
    }
    if depth == DEPTH && scripts.len() == before {
        bail!("{}: no file there ends in .{ENDING}", path.display());
    }
    Ok(())
}

fn one(path: &Path) -> anyhow::Result<Vec<Outcome>> {
    let mut text = String::new();
    let bytes_max = u64::try_from(SCRIPT_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(bytes_max).read_to_string(&mut text)?;
    Ok(run_script(&read::read(&text)?)?)
}

fn shown(path: &Path, tally: Tally, outcomes: &[Outcome], all: bool) -> String {
    let path = path.display();
    let mut out = format!("{path}: {tally}\n");
    let limit = if all { usize::MAX } else { SHOWN };
    let failed = outcomes.iter().filter_map(|outcome| match &outcome.verdict {
        Verdict::Failed(difference) => Some((outcome, difference)),
        _ => None,
    });
    for (outcome, difference) in failed.take(limit) {
        let difference = difference.replace('\n', "\n    ");
        out += &format!("  {path}:{}: {}\n    {difference}\n", outcome.line, outcome.query);
    }
    let hidden = tally.failed.saturating_sub(limit);
    if hidden > 0 {
        out += &format!("  and {hidden} more: see them with --all\n");
    }
    out
}
