//! `check rules` and `test rules`: rule files and their tests, read as Prometheus and promtool do.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use bellwether_platform::log::complain;
use bellwether_rules::unit::{self, Report};

use super::cli::{CheckRules, TestRules};
use super::files::{collect_within, matched, text};
use super::rule_files::{self, Checked};

const FINDINGS: u8 = 1;
const COULD_NOT_RUN: u8 = 2;

/// Checks rule files and shows every problem.
///
/// # Errors
/// The output cannot be written. A file that cannot be read is told on standard error and in the
/// exit code.
pub fn check(arguments: &CheckRules) -> anyhow::Result<ExitCode> {
    let mut paths = Vec::new();
    let mut is_whole = true;
    let mut told = |error: anyhow::Error| {
        complain(format_args!("bellwether: {error:#}"));
        is_whole = false;
    };
    for path in &arguments.paths {
        collect_within(path, &mut paths).unwrap_or_else(&mut told);
    }
    let mut is_fine = true;
    for path in &paths {
        match rule_files::read(path) {
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
                complain(format_args!("bellwether: {error:#}"));
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
            complain(format_args!("bellwether: {}: no file is like {pattern:?}", path.display()));
        }
        for path in found {
            match rule_files::read(&path)? {
                Ok((file, _)) => rules.push(file),
                Err(problems) => return Ok(Err(problems)),
            }
        }
    }
    Ok(Ok(unit::run(&test, &rules)))
}
