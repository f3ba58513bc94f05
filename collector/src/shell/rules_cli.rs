//! `check rules` and `test rules`: rule files and their tests, read as Prometheus and promtool do.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use bellwether_model::diagnostic::Diagnostics;
use bellwether_rules::file::{self, RuleFile};
use bellwether_rules::unit::{self, Report};

use super::cli::{CheckRules, TestRules};

const FINDINGS: u8 = 1;
const COULD_NOT_RUN: u8 = 2;
/// Bytes of a file; the reader's own bound is below.
const FILE_BYTES: u64 = 64 << 20;
/// Directories within directories, and files of one star.
const DEPTH: usize = 8;
const MATCHES_MAX: usize = 10_000;

/// Checks rule files and shows every problem.
///
/// # Errors
/// The output cannot be written. A file that cannot be read is told on standard error and in the
/// exit code.
pub fn check(arguments: &CheckRules) -> anyhow::Result<ExitCode> {
    let mut paths = Vec::new();
    let mut is_whole = true;
    let mut told = |error: anyhow::Error| {
        eprintln!("bellwether: {error:#}");
        is_whole = false;
    };
    for path in &arguments.paths {
        collect(path, DEPTH, &mut paths).unwrap_or_else(&mut told);
    }
    let mut is_fine = true;
    for path in &paths {
        match read_rules(path) {
            Ok(Ok((rules, warnings))) => {
                is_fine &= warnings.is_empty();
                write!(io::stdout(), "{rules}\n{warnings}")?;
            }
            Ok(Err(problems)) => {
                is_fine = false;
                writeln!(io::stdout(), "{problems}")?;
            }
            Err(error) => told(error),
        }
    }
    Ok(code(is_whole, is_fine))
}

/// Runs the tests of rules and shows what differs; the last line counts over all.
///
/// # Errors
/// The output cannot be written. A file that cannot be read is told on standard error and in the
/// exit code.
pub fn test(arguments: &TestRules) -> anyhow::Result<ExitCode> {
    let mut total = Report::default();
    let (mut is_whole, mut is_fine) = (true, true);
    for path in &arguments.files {
        let name = path.display();
        match tested(path) {
            Ok(Ok(report)) => {
                let (passed, failed) = (report.passed, report.failures.len());
                writeln!(
                    io::stdout(),
                    "{name}: {passed} passed, {failed} failed, {} skipped",
                    report.skipped
                )?;
                for (test, failure) in &report.failures {
                    let shown = failure.to_string().replace('\n', "\n  ");
                    writeln!(io::stdout(), "  {test}: {shown}")?;
                }
                total.passed += report.passed;
                total.skipped += report.skipped;
                total.failures.extend(report.failures);
            }
            Ok(Err(problems)) => {
                is_fine = false;
                writeln!(io::stdout(), "{problems}")?;
            }
            Err(error) => {
                eprintln!("bellwether: {error:#}");
                is_whole = false;
            }
        }
    }
    let (passed, failed) = (total.passed, total.failures.len());
    writeln!(io::stdout(), "{passed} passed, {failed} failed, {} skipped", total.skipped)?;
    Ok(code(is_whole, is_fine && failed == 0))
}

fn code(is_whole: bool, is_fine: bool) -> ExitCode {
    match (is_whole, is_fine) {
        (false, _) => ExitCode::from(COULD_NOT_RUN),
        (true, false) => ExitCode::from(FINDINGS),
        (true, true) => ExitCode::SUCCESS,
    }
}

type Checked<T> = Result<T, Diagnostics>;

fn read_rules(path: &Path) -> anyhow::Result<Checked<(RuleFile, Diagnostics)>> {
    Ok(file::read(&path.display().to_string(), &text(path)?))
}

/// Reads a test file and the rule files it names, and runs it.
fn tested(path: &Path) -> anyhow::Result<Checked<Report>> {
    let test = match unit::read(&path.display().to_string(), &text(path)?) {
        Ok(test) => test,
        Err(problems) => return Ok(Err(problems)),
    };
    let beside = path.parent().unwrap_or(Path::new(""));
    let mut rules = Vec::new();
    for pattern in &test.rule_files {
        let found = matched(&beside.join(pattern))?;
        if found.is_empty() {
            eprintln!("bellwether: {}: no file is like {pattern:?}", path.display());
        }
        for path in found {
            match read_rules(&path)? {
                Ok((file, _)) => rules.push(file),
                Err(problems) => return Ok(Err(problems)),
            }
        }
    }
    Ok(Ok(unit::run(&test, &rules)))
}

fn text(path: &Path) -> anyhow::Result<String> {
    let about = || path.display().to_string();
    let mut text = String::new();
    File::open(path)
        .with_context(about)?
        .take(FILE_BYTES)
        .read_to_string(&mut text)
        .with_context(about)?;
    Ok(text)
}

/// The rule files that a path stands for, those of a directory in order.
fn collect(path: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let about = || path.display().to_string();
    if !fs::metadata(path).with_context(about)?.is_dir() {
        paths.push(path.to_owned());
        return Ok(());
    }
    if depth == 0 {
        bail!("{}: more than {DEPTH} directories within each other", path.display());
    }
    let before = paths.len();
    for entry in names(path)? {
        let entry = path.join(entry);
        let is_rules = entry.extension().is_some_and(|ending| ending == "yml" || ending == "yaml");
        if entry.is_dir() || is_rules {
            collect(&entry, depth - 1, paths)?;
        }
    }
    if depth == DEPTH && paths.len() == before {
        bail!("{}: no file there ends in .yml or .yaml", path.display());
    }
    Ok(())
}

/// The names in a directory, sorted.
fn names(path: &Path) -> anyhow::Result<BTreeSet<String>> {
    let about = || path.display().to_string();
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(path).with_context(about)? {
        names.extend(entry.with_context(about)?.file_name().into_string());
    }
    Ok(names)
}

/// The files that a path with stars stands for, sorted. A star is any part of one name; what is
/// not there is no file.
fn matched(pattern: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let part = Path::new(part.as_os_str());
        let star = part.to_str().filter(|text| text.contains(['*', '?']));
        let mut next = Vec::new();
        for base in found {
            let Some(star) = star else {
                next.push(base.join(part));
                continue;
            };
            let base = if base.as_os_str().is_empty() { PathBuf::from(".") } else { base };
            let names = if base.is_dir() { names(&base)? } else { BTreeSet::new() };
            next.extend(
                names.iter().filter(|name| is_like(star, name)).map(|name| base.join(name)),
            );
            if next.len() > MATCHES_MAX {
                bail!("{}: more than {MATCHES_MAX} files are like it", pattern.display());
            }
        }
        found = next;
    }
    Ok(found.into_iter().filter(|path| path.exists()).collect())
}

/// Whether a name is like a pattern: `*` is any text, `?` any one character.
fn is_like(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut read) = (0, 0);
    // Where the last star stands, and how much of the name it covers at least.
    let mut star = None;
    while read < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || name.get(read) == Some(wanted) => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((after, covered)) = star else { return false };
                star = Some((after, covered + 1));
                (at, read) = (after + 1, covered + 1);
            }
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_part_of_a_name() {
        for (pattern, name, like) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("a*c?.yml", "abbcd.yml", true),
            ("a*c?.yml", "abbc.yml", false),
            ("*", "", true),
            ("ä?", "äö", true),
        ] {
            assert_eq!(is_like(pattern, name), like, "{pattern} {name}");
        }
    }
}
