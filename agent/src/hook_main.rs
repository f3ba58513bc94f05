//! `bellwether-hook`: the command line, and the exit codes 0 fine, 1 findings, 2 could not run.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use bellwether_agent::shell::cli::Output;
use bellwether_agent::shell::hook::cli::{Cli, Command, File, Status};
use bellwether_agent::shell::hook::program::observe;
use bellwether_agent::shell::hook::status::{self, is_good};
use bellwether_agent::shell::hook::{daemon, startup};
use bellwether_agent::shell::startup::StartError;
use bellwether_platform::log;
use clap::Parser;

const FINDINGS: u8 = 1;
const COULD_NOT_RUN: u8 = 2;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(file) => run(&file),
        Command::Check(file) => check(&file),
        Command::Once(file) => once(&file),
        Command::Status(arguments) => show(&arguments),
        Command::Observe(file) => look(&file),
    };
    result.unwrap_or_else(|error| {
        log::complain(format_args!("bellwether-hook: {error:#}"));
        ExitCode::from(COULD_NOT_RUN)
    })
}

fn run(file: &File) -> anyhow::Result<ExitCode> {
    log::start()?;
    let (plan, warnings) = startup::plan(file)?;
    for warning in &warnings {
        tracing::warn!(%warning, "configuration");
    }
    daemon::run(plan)?;
    Ok(ExitCode::SUCCESS)
}

fn check(file: &File) -> anyhow::Result<ExitCode> {
    let findings = match startup::plan(file) {
        Ok((plan, warnings)) => {
            startup::key(&plan.secret)?;
            warnings
        }
        Err(StartError::Wrong(findings)) => findings,
        Err(error) => return Err(error.into()),
    };
    if findings.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    write!(io::stdout(), "{findings}")?;
    Ok(ExitCode::from(FINDINGS))
}

fn once(file: &File) -> anyhow::Result<ExitCode> {
    log::start()?;
    let answers = daemon::once(startup::plan(file)?.0)?;
    let all_good = answers.iter().all(|answer| is_good(answer.status));
    for answer in &answers {
        serde_json::to_writer(io::stdout(), answer).context("cannot write the answers")?;
        writeln!(io::stdout())?;
    }
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
}

fn show(arguments: &Status) -> anyhow::Result<ExitCode> {
    let status = status::look(&startup::plan(&arguments.file)?.0)?;
    let text = match arguments.output {
        Output::Table => status::table(&status),
        Output::Json => serde_json::to_string_pretty(&status)? + "\n",
    };
    io::stdout().write_all(text.as_bytes()).context("cannot write the status")?;
    Ok(ExitCode::SUCCESS)
}

fn look(file: &File) -> anyhow::Result<ExitCode> {
    let (plan, _) = startup::plan(file)?;
    // A runner that never ran has made no directory yet.
    let is_there = plan.state_dir.is_dir();
    let dir = if is_there { plan.state_dir.as_path() } else { Path::new("/") };
    let mut is_known = true;
    for entry in &plan.allow {
        let asked = async {
            match &entry.observe {
                Some(program) => observe(&entry.lane, program, dir).await,
                None => Err("the entry has no `observe`".to_owned()),
            }
        };
        match daemon::runtime()?.block_on(asked) {
            Ok(version) => {
                let lane = &entry.lane;
                writeln!(io::stdout(), "{} {} {version}", lane.service, lane.environment)?;
            }
            Err(words) => {
                is_known = false;
                log::complain(format_args!("{}: {words}", entry.lane));
            }
        }
    }
    Ok(if is_known { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
}
