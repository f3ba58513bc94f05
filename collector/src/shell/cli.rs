//! The command line: what is asked, and what the flags say over the configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bellwether_model::config::parse_duration;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::pure::config::Overrides;

/// Receives what agents ship, keeps it, and hands it on.
#[derive(Debug, Parser)]
#[command(name = "bellwether", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the collector until stopped
    Serve(Serve),
    /// Run everything on this machine: a collector, and the agent beside it
    Up(Up),
    /// Say what is wrong with files; exit with 1 if something is
    #[command(subcommand)]
    Check(Check),
    /// List the hosts that ship to a running collector, or forget one
    #[command(subcommand)]
    Host(Host),
    /// Ask a running collector a PromQL query; with `--range` draw the answer
    Query(Query),
    /// Run tests; exit with 1 if one fails
    #[command(subcommand)]
    Test(Test),
}

/// Flags over environment variables over the configuration file.
#[derive(Clone, Debug, Default, Args)]
pub struct Settings {
    /// Configuration file [default: /etc/bellwether/collector.yaml if there is one]
    #[arg(long, value_name = "FILE", env = "BELLWETHER_CONFIG")]
    pub config: Option<PathBuf>,
    /// Directory of all state; the collector's is `collector` below it
    #[arg(long, value_name = "DIR", env = "BELLWETHER_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address of the HTTP interface; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", env = "BELLWETHER_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Start although commands in the journal are damaged and lost
    #[arg(long)]
    pub accept_loss: bool,
}

impl Settings {
    /// What is said over the file.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides { data_dir: self.data_dir.clone(), listen: self.listen }
    }
}

/// The arguments of `serve`.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// What all daemons have.
    #[command(flatten)]
    pub settings: Settings,
}

/// The arguments of `up`.
#[derive(Clone, Debug, Args)]
pub struct Up {
    /// What all daemons have.
    #[command(flatten)]
    pub settings: Settings,
    /// Address of the agent's own page; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT")]
    pub agent_listen: Option<SocketAddr>,
    /// The agent's program [default: bellwether-agent beside this program, else in PATH]
    #[arg(long, value_name = "FILE")]
    pub agent_bin: Option<PathBuf>,
    /// End by itself after this time, such as 30s
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub run_for: Option<Duration>,
}

/// What `check` looks at.
#[derive(Clone, Debug, Subcommand)]
pub enum Check {
    /// Configuration files of the collector or the agent, told apart by their keys
    Config(CheckConfig),
    /// Alert and recording rules in Prometheus' files
    Rules(CheckRules),
}

/// The arguments of `check rules`.
#[derive(Clone, Debug, Args)]
pub struct CheckRules {
    /// Files, or directories of files that end in `.yml` or `.yaml`
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
}

/// The arguments of `check config`.
#[derive(Clone, Debug, Args)]
pub struct CheckConfig {
    /// Files to check
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// How findings are shown
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
    /// The agent's program, which checks the agent's files
    #[arg(long, value_name = "FILE")]
    pub agent_bin: Option<PathBuf>,
}

/// What `host` does.
#[derive(Clone, Debug, Subcommand)]
pub enum Host {
    /// Show all hosts
    List(HostList),
    /// Remove a host that will not come back; its `up` ends, its samples stay until they are old
    Forget(HostForget),
}

/// The arguments of `host list`.
#[derive(Clone, Debug, Args)]
pub struct HostList {
    /// Which collector.
    #[command(flatten)]
    pub target: Target,
    /// How hosts are shown
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

/// The arguments of `host forget`.
#[derive(Clone, Debug, Args)]
pub struct HostForget {
    /// Which collector.
    #[command(flatten)]
    pub target: Target,
    /// The agent's id, as `host list` shows it
    #[arg(value_name = "AGENT")]
    pub agent: String,
}

/// The arguments of `query`.
#[derive(Clone, Debug, Args)]
pub struct Query {
    /// The query
    #[arg(value_name = "EXPR", allow_hyphen_values = true)]
    pub expression: String,
    /// Ask for this long up to the time, such as 1h, and draw it
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub range: Option<Duration>,
    /// From one point of the range to the next [default: as many as the terminal shows]
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "range")]
    pub step: Option<Duration>,
    /// The time asked for, or the end of the range: seconds since 1970, or
    /// 2026-11-25T18:00:00Z [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub time: Option<String>,
    /// Which collector.
    #[command(flatten)]
    pub target: Target,
    /// How the answer is shown
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

/// What `test` runs.
#[derive(Clone, Debug, Subcommand)]
pub enum Test {
    /// Scripts of PromQL evaluations, as Prometheus' `promqltest` reads them
    Promql(TestPromql),
    /// Unit tests of rules, in promtool's files
    Rules(TestRules),
}

/// The arguments of `test rules`.
#[derive(Clone, Debug, Args)]
pub struct TestRules {
    /// Test files; the rule files they name are looked for beside them
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

/// The arguments of `test promql`.
#[derive(Clone, Debug, Args)]
pub struct TestPromql {
    /// Scripts, or directories of files that end in `.test`
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Show every difference, not only the first of each script
    #[arg(long)]
    pub all: bool,
}

/// A running collector.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// Where it listens
    #[arg(
        long,
        value_name = "URL",
        env = "BELLWETHER_URL",
        default_value = "http://127.0.0.1:9797"
    )]
    pub url: String,
    /// File with a token that it knows
    #[arg(long, value_name = "FILE", env = "BELLWETHER_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Authorities to trust for https, in place of the system's
    #[arg(long, value_name = "FILE", env = "BELLWETHER_CA_FILE")]
    pub ca_file: Option<PathBuf>,
}

/// How results are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| "expected a duration such as `30s` or `1h30m`".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        let words = std::iter::once("bellwether").chain(line.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.command)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn up_takes_what_the_quickstart_passes() {
        let line = "up --data-dir /d --listen 127.0.0.1:0 --agent-listen [::1]:0 --for 1m30s";
        let Ok(Command::Up(up)) = parse(line) else { panic!("not up") };
        assert_eq!(up.settings.overrides().listen, Some(([127, 0, 0, 1], 0).into()));
        assert_eq!(up.settings.overrides().data_dir, Some("/d".into()));
        assert_eq!(up.agent_listen.map(|address| address.to_string()), Some("[::1]:0".into()));
        assert_eq!(up.run_for, Some(Duration::from_secs(90)));
        for bad in ["up --for 0s", "up --for 5", "up --listen 9797", "serve --for 5s", "up x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_and_checks_say_how_they_are_shown() {
        let Ok(Command::Host(Host::List(list))) = parse("host list -o json") else {
            panic!("not host list")
        };
        assert_eq!(list.output, Output::Json);
        assert_eq!(list.target.url, "http://127.0.0.1:9797");
        let Ok(Command::Check(Check::Config(check))) = parse("check config a.yaml b.yaml") else {
            panic!("not check config")
        };
        assert_eq!((check.paths.len(), check.output), (2, Output::Table));
        for bad in ["check config", "host forget", "host drain x", "host list -o yaml", ""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn queries_and_tests_are_read() {
        let Ok(Command::Query(query)) = parse("query -up --range 1h --step 15s --time -5") else {
            panic!("not query")
        };
        assert_eq!((query.expression.as_str(), query.time.as_deref()), ("-up", Some("-5")));
        assert_eq!(query.range, Some(Duration::from_secs(3600)));
        assert_eq!(query.step, Some(Duration::from_secs(15)));
        let Ok(Command::Test(Test::Promql(test))) = parse("test promql a.test b") else {
            panic!("not test promql")
        };
        assert_eq!(test.paths.len(), 2);
        for bad in ["query", "query up --step 15s", "query up --range 0s", "test promql", "test x"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
