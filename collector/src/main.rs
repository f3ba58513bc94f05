//! `bellwether`: the command line, and the exit codes 0 fine, 1 findings, 2 could not run; `judge`
//! has 3 for a verdict that is open.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use bellwether_collector::shell::cli::{Check, Cli, Command, Serve, Test};
use bellwether_collector::shell::reload::Always;
use bellwether_collector::shell::serve::Collector;
use bellwether_collector::shell::{
    alerts_cli, check, doctor, hosts_cli, judge, key, query_cli, rollout_cli, rules_cli,
    services_cli, startup, test_cli, up, verify,
};
use bellwether_platform::log;
use bellwether_platform::stop::{self, Signals};
use clap::Parser;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

const COULD_NOT_RUN: u8 = 2;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(arguments) => serve(&arguments),
        Command::Up(arguments) => up::run(&arguments),
        Command::Check(Check::Config(arguments)) => check::run(&arguments),
        Command::Check(Check::Rules(arguments)) => rules_cli::check(&arguments),
        Command::Check(Check::Rollout(arguments)) => services_cli::check(&arguments),
        Command::Judge(arguments) => judge::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Key(arguments) => key::run(&arguments),
        Command::Host(host) => {
            runtime().and_then(|runtime| runtime.block_on(hosts_cli::run(&host)))
        }
        Command::Alert(alert) => {
            runtime().and_then(|runtime| runtime.block_on(alerts_cli::run(&alert)))
        }
        Command::Rollout(rollout) => {
            runtime().and_then(|runtime| runtime.block_on(rollout_cli::run(&rollout)))
        }
        Command::Why(asked) => {
            runtime().and_then(|runtime| runtime.block_on(alerts_cli::why(&asked)))
        }
        Command::Query(query) => {
            runtime().and_then(|runtime| runtime.block_on(query_cli::run(&query)))
        }
        Command::Service(asked) => {
            runtime().and_then(|runtime| runtime.block_on(services_cli::run(&asked)))
        }
        Command::Doctor(asked) => {
            runtime().and_then(|runtime| runtime.block_on(doctor::run(&asked)))
        }
        Command::Test(Test::Promql(test)) => test_cli::run(&test),
        Command::Test(Test::Rules(test)) => rules_cli::test(&test),
    };
    result.unwrap_or_else(|error| {
        log::complain(format_args!("bellwether: {error:#}"));
        ExitCode::from(COULD_NOT_RUN)
    })
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

fn serve(arguments: &Serve) -> anyhow::Result<ExitCode> {
    log::start()?;
    let (plan, warnings) = startup::plan(&arguments.settings)?;
    for warning in &warnings {
        tracing::warn!(%warning, "configuration");
    }
    let (stopper, stop) = stop::stop();
    let collector = Collector::open(
        startup::serve_plan(plan, &arguments.settings, Always::default()),
        &stopper,
    )?;
    let (scheme, address) = (collector.scheme(), collector.address());
    runtime()?.block_on(async {
        let hangup = Arc::new(Notify::new());
        tokio::spawn(Signals::catch()?.run(stopper.clone(), Arc::clone(&hangup)));
        // The collector is polled first, so that it answers once its address is told.
        let told = async {
            // Where nobody listens to standard output the collector serves all the same.
            writeln!(io::stdout(), "bellwether: listening on {scheme}://{address}").ok();
        };
        let (served, ()) = tokio::join!(collector.serve(stop, hangup), told);
        Ok::<_, anyhow::Error>(served?)
    })?;
    Ok(ExitCode::SUCCESS)
}
