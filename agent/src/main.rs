//! `bellwether-agent`: the command line, and the exit codes 0 fine, 1 findings, 2 could not run.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use bellwether_agent::shell::calls::Calls;
use bellwether_agent::shell::cli::{Cli, Command, Run, Settings, Status};
use bellwether_agent::shell::daemon::{self, Ends};
use bellwether_agent::shell::host::Host;
use bellwether_agent::shell::once::once;
use bellwether_agent::shell::scrape::discovery::Discovery;
use bellwether_agent::shell::startup::{self, StartError};
use bellwether_agent::shell::status_cli;
use bellwether_platform::clock::Clock;
use bellwether_platform::log;
use clap::Parser;

const FINDINGS: u8 = 1;
const COULD_NOT_RUN: u8 = 2;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(arguments) => run(&arguments),
        Command::Check(settings) => check(&settings),
        Command::Once(settings) => print_once(&settings),
        Command::Status(arguments) => status(&arguments),
    };
    result.unwrap_or_else(|error| {
        log::complain(format_args!("bellwether-agent: {error:#}"));
        ExitCode::from(COULD_NOT_RUN)
    })
}

fn run(arguments: &Run) -> anyhow::Result<ExitCode> {
    let settings = &arguments.settings;
    log::start()?;
    let (plan, warnings) = startup::plan(settings)?;
    for warning in &warnings {
        tracing::warn!(%warning, "configuration");
    }
    let ends = if arguments.stop_on_stdin_close { Ends::WithInput } else { Ends::BySignal };
    daemon::run(plan, settings, ends)?;
    Ok(ExitCode::SUCCESS)
}

fn check(settings: &Settings) -> anyhow::Result<ExitCode> {
    match startup::plan(settings) {
        Ok((plan, warnings)) => {
            let found = Discovery::check(&plan.scrapes);
            let found = found.files.iter().chain(&found.targets);
            let found: String = found.map(|line| format!("{}\n", line.trim_end())).collect();
            let between = if warnings.is_empty() || found.is_empty() { "" } else { "\n" };
            write!(io::stdout(), "{warnings}{between}{found}")?;
            let is_fine = warnings.is_empty() && found.is_empty();
            Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
        }
        Err(StartError::Wrong(findings)) => {
            write!(io::stdout(), "{findings}")?;
            Ok(ExitCode::from(FINDINGS))
        }
        Err(error) => Err(error.into()),
    }
}

fn status(arguments: &Status) -> anyhow::Result<ExitCode> {
    // With its directory named, an agent is found whatever became of its file since.
    let dir = match &arguments.data_dir {
        Some(dir) => dir.join("agent"),
        None => startup::state_dir(arguments.config.as_deref())?,
    };
    let (status, json) = status_cli::ask(&dir)?;
    status_cli::show(&status, &json, arguments.output).context("cannot write the status")?;
    Ok(ExitCode::SUCCESS)
}

fn print_once(settings: &Settings) -> anyhow::Result<ExitCode> {
    let (plan, _) = startup::plan(settings)?;
    let clock = Clock::agent();
    let host = Host::new(settings.roots(), Calls::system(), clock.clone());
    let asked = (&*plan.inputs, &*plan.probes, &plan.scrapes);
    let once = once(asked, &plan.target, host, clock, startup::facts())?;
    io::stdout().write_all(&once.page).context("cannot write the page")?;
    for (input, error) in &once.failed {
        log::complain(format_args!("{input}: {error}"));
    }
    Ok(if once.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
}
