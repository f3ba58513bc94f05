//! `judge`: a verdict on the counts of files, without a collector.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use bellwether_platform::disk::{RealDisk, replace_file};
use bellwether_rules::record::{Context, Hash, RECORD_BYTES_MAX, Record, TEXT_BYTES_MAX};
use bellwether_rules::verdict::{Config, Guard};

use super::cli::{self, Judge, Switch};
use super::key;
use crate::pure::judge::together::{Answer, Of, TABLES_MAX, Together};
use crate::pure::judge::{self, Screen, TABLE_BYTES_MAX};

const FAILED: u8 = 1;
const INCONCLUSIVE: u8 = 3;
/// Characters across where the environment names no other number.
const COLUMNS: usize = 80;

/// Judges the counts of files, and shows and records what follows.
///
/// # Errors
/// A file cannot be read or has problems, an option is out of its range, the record cannot be
/// signed or written, or the output cannot be written.
pub fn run(judge: &Judge) -> anyhow::Result<ExitCode> {
    if judge.files.len() > TABLES_MAX {
        bail!("{} tables, at most {TABLES_MAX} are judged together", judge.files.len());
    }
    if judge.together.is_none() && judge.record.is_some() && judge.files.len() > 1 {
        bail!("a record is of one table");
    }
    let mut tables = Vec::new();
    for file in &judge.files {
        tables.push((file.display().to_string(), record(judge, file)?));
    }
    let (shown, answer) = match (judge.together, tables.as_slice()) {
        (None, [(_, record)]) => {
            let shown = if judge.json {
                pretty(&judge::json(record))?
            } else {
                judge::text(record, screen())
            };
            (shown, Answer::of(record))
        }
        (None, _) => bail!("several tables are judged `--together` measures or rollouts"),
        (Some(of), tables) => {
            let of = match of {
                cli::Together::Measures => Of::Measures,
                cli::Together::Rollouts => Of::Rollouts,
            };
            let together = Together::new(of, judge.alpha, tables);
            let shown =
                if judge.json { pretty(&together.json())? } else { together.text(screen()) };
            (shown, together.answer())
        }
    };
    io::stdout().write_all(shown.as_bytes())?;
    Ok(match answer {
        Answer::Pass => ExitCode::SUCCESS,
        Answer::Fail => ExitCode::from(FAILED),
        Answer::Inconclusive => ExitCode::from(INCONCLUSIVE),
    })
}

/// Judges the counts of one file, and writes its record if that is wanted.
fn record(judge: &Judge, path: &Path) -> anyhow::Result<Record> {
    let file = path.display().to_string();
    let table = read(path, TABLE_BYTES_MAX).with_context(|| format!("cannot read {file}"))?;
    let counts = match judge::read(&file, &table) {
        Ok(counts) => counts,
        Err(problems) => bail!("{file} cannot be judged\n\n{problems}"),
    };
    drop(table);
    let context = Context {
        previous: judge.previous.as_deref().map(previous).transpose()?,
        subject: BTreeMap::from([("source".to_owned(), clipped(&file))]),
        strata: counts.strata,
    };
    let record = Record::judge(config(judge), counts.ticks, context)?;
    if let Some(out) = &judge.record {
        check_target(judge, out)?;
        let key = key::signing(judge.key.as_deref(), judge.data_dir.as_deref())?;
        replace_file(&RealDisk, out, &record.seal(&key))
            .with_context(|| format!("cannot write the record {}", out.display()))?;
    }
    Ok(record)
}

/// A record takes the place of nothing but an older one: of no device, and of no file of its own.
fn check_target(judge: &Judge, out: &Path) -> anyhow::Result<()> {
    let Ok(found) = fs::metadata(out) else { return Ok(()) };
    if !found.is_file() {
        bail!("{} is no file: a record is not written there", out.display());
    }
    let real = fs::canonicalize(out)?;
    let mut inputs = judge.files.iter().chain(&judge.key).chain(&judge.previous);
    if inputs.any(|input| fs::canonicalize(input).is_ok_and(|input| input == real)) {
        bail!("{} is read by this very command: a record is not written there", out.display());
    }
    Ok(())
}

fn pretty(value: &serde_json::Value) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(value)?))
}

fn config(judge: &Judge) -> Config {
    let default = Config::default();
    Config {
        alpha: judge.alpha,
        rho: judge.rho.unwrap_or(default.rho),
        delta: judge.delta.unwrap_or(default.delta),
        warm_up_seconds: judge.warm_up.unwrap_or(default.warm_up_seconds),
        share: judge.share,
        guard: match judge.guard {
            Switch::On => default.guard,
            Switch::Off => Guard::OFF,
        },
        ..default
    }
}

/// Reads a file of at most so many bytes and one more, by which the reader knows that it is longer.
pub(super) fn read(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The hash of the record that the new one follows.
fn previous(path: &Path) -> anyhow::Result<Hash> {
    let file = path.display();
    let bytes = read(path, RECORD_BYTES_MAX).with_context(|| format!("cannot read {file}"))?;
    bellwether_rules::record::read(&bytes).with_context(|| format!("{file} is no record"))?;
    Ok(Hash::of(&bytes))
}

/// The end of a text that is too long to be kept.
fn clipped(text: &str) -> String {
    let least = text.len().saturating_sub(TEXT_BYTES_MAX);
    let start = (least..=text.len()).find(|at| text.is_char_boundary(*at));
    text.get(start.unwrap_or(0)..).unwrap_or_default().to_owned()
}

/// What the environment says of the terminal; shells that do not export it leave the default.
fn screen() -> Screen {
    let columns = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    Screen { columns: columns.unwrap_or(COLUMNS) }
}
