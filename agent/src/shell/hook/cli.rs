//! The command line of `bellwether-hook`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::shell::cli::Output;

/// Does on this host what a collector asks for, as far as its own file allows it.
#[derive(Debug, Parser)]
#[command(name = "bellwether-hook", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask and do until stopped
    Run(File),
    /// Say what is wrong with the configuration; exit with 1 if something is
    Check(File),
    /// Ask once, do what is asked, answer and exit; with 1 if something was not done
    Once(File),
    /// Show what was asked and done here
    Status(Status),
    /// Print which version serves in each entry of the allow-list; exit with 1 if one is not known
    Observe(File),
}

/// The configuration file.
#[derive(Clone, Debug, Args)]
pub struct File {
    /// Configuration file [default: /etc/bellwether/hook.yaml]
    #[arg(long, value_name = "FILE", env = "BELLWETHER_HOOK_CONFIG")]
    pub config: Option<PathBuf>,
}

/// The arguments of `status`.
#[derive(Clone, Debug, Args)]
pub struct Status {
    /// Which configuration.
    #[command(flatten)]
    pub file: File,
    /// How it is shown
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let cli = Cli::parse_from(["bellwether-hook", "status", "-o", "json"]);
        let Command::Status(Status { output: Output::Json, .. }) = cli.command else {
            panic!("{cli:?}")
        };
    }
}
