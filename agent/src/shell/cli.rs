//! The command line: what is asked, and what the flags say over the configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::pure::config::Overrides;
use crate::shell::host::Roots;

/// Collects what happens on this host and ships it to a collector.
#[derive(Debug, Parser)]
#[command(name = "bellwether-agent", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Collect and ship until stopped
    Run(Run),
    /// Say what is wrong with the configuration; exit with 1 if something is
    Check(Settings),
    /// Print one Prometheus page of this host and exit
    Once(Settings),
    /// Show what the agent that runs on this host tells of itself
    Status(Status),
}

/// The arguments of `status`.
#[derive(Clone, Debug, Args)]
pub struct Status {
    /// Its configuration file [default: /etc/bellwether/agent.yaml if there is one]
    #[arg(long, value_name = "FILE", env = "BELLWETHER_AGENT_CONFIG")]
    pub config: Option<PathBuf>,
    /// Its directory of all state, if not as the configuration says
    #[arg(long, value_name = "DIR", env = "BELLWETHER_AGENT_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// How it is shown
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

/// How results are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}

/// The arguments of `run`.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// What all subcommands have.
    #[command(flatten)]
    pub settings: Settings,
    /// Stop when standard input closes, as it does when the program that started this one ends
    #[arg(long)]
    pub stop_on_stdin_close: bool,
}

/// Flags over environment variables over the configuration file.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// Configuration file [default: /etc/bellwether/agent.yaml if there is one]
    #[arg(long, value_name = "FILE", env = "BELLWETHER_AGENT_CONFIG")]
    pub config: Option<PathBuf>,
    /// Directory of all state; the agent's is `agent` below it
    #[arg(long, value_name = "DIR", env = "BELLWETHER_AGENT_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address of the agent's own page; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", env = "BELLWETHER_AGENT_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Collector to ship to, such as <http://127.0.0.1:9797>, in place of those of the file
    #[arg(long, value_name = "URL", env = "BELLWETHER_AGENT_COLLECTOR")]
    pub collector: Option<String>,
    /// File with the token for that collector
    #[arg(long, value_name = "FILE", env = "BELLWETHER_AGENT_TOKEN_FILE", requires = "collector")]
    pub token_file: Option<PathBuf>,
    /// Authorities to trust for that collector, in place of the system's
    #[arg(long, value_name = "FILE", env = "BELLWETHER_AGENT_CA_FILE", requires = "collector")]
    pub ca_file: Option<PathBuf>,
    /// Where the host's /proc is
    #[arg(long, value_name = "DIR", default_value = "/proc")]
    pub procfs: PathBuf,
    /// Where the host's /sys is
    #[arg(long, value_name = "DIR", default_value = "/sys")]
    pub sysfs: PathBuf,
    /// Where the host's / is
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub rootfs: PathBuf,
}

impl Settings {
    /// The host's trees.
    #[must_use]
    pub fn roots(&self) -> Roots {
        Roots { proc: self.procfs.clone(), sys: self.sysfs.clone(), host: self.rootfs.clone() }
    }

    /// What is said over the file.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides {
            data_dir: self.data_dir.clone(),
            listen: self.listen,
            collector: self.collector.clone(),
            token_file: self.token_file.clone(),
            ca_file: self.ca_file.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let cli = Cli::parse_from(["bellwether-agent", "run", "--listen", "127.0.0.1:0"]);
        let Command::Run(Run { settings, stop_on_stdin_close: false }) = cli.command else {
            panic!("not run")
        };
        assert_eq!(settings.overrides().listen, Some(([127, 0, 0, 1], 0).into()));
        assert_eq!(settings.roots(), Roots::default());
    }
}
