//! The command line: what is asked, and what the flags say over the configuration file.

mod rollout;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bellwether_model::config::parse_duration;
use bellwether_rules::record::Hash;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::pure::config::Overrides;

pub use rollout::{Rollout, RolloutList, RolloutOne, RolloutSay, RolloutStart};

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
    /// Judge a canary by the counts of a file; exit with 0 for pass, 1 for fail, 3 for inconclusive
    Judge(Judge),
    /// Check decision records and judge them again; exit with 1 if one is not as it was signed
    Verify(Verify),
    /// Make or show the keys that sign decision records
    #[command(subcommand)]
    Key(Key),
    /// List the hosts that ship to a running collector, retire one in order, or forget it
    #[command(subcommand)]
    Host(Host),
    /// Show the alerts of a running collector, and who was told of them
    #[command(subcommand)]
    Alert(Alert),
    /// Explain an alert: its rule and value, and each notification and attempt
    Why(Why),
    /// Announce deploys to a running collector, and see and steer how they are watched
    #[command(subcommand)]
    Rollout(Rollout),
    /// Ask a running collector a PromQL query; with `--range` draw the answer
    Query(Query),
    /// Show the services of a running collector: versions, rates, and which can be judged; exit
    /// with 1 if one cannot
    Service(Service),
    /// Say what is wrong with this collector and its surroundings; exit with 1 if something is
    Doctor(Doctor),
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
    /// Show a fault from its beginning to its page, within a minute, then end: two backends on
    /// loopback, traffic, a receiver and an injected fault, all with job="demo"
    #[arg(long)]
    pub demo: bool,
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
    /// Files of services and environments, all of them together
    Rollout(CheckRollout),
}

/// The arguments of `check rollout`.
#[derive(Clone, Debug, Args)]
pub struct CheckRollout {
    /// Files, or directories of files that end in `.yml` or `.yaml`
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
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

/// The arguments of `judge`.
#[derive(Clone, Debug, Args)]
pub struct Judge {
    /// Table with a header: second, canary_n, canary_bad, baseline_n, baseline_bad and, where arms
    /// are compared route by route, stratum
    #[arg(value_name = "FILE.csv", required = true)]
    pub files: Vec<PathBuf>,
    /// What several tables are of: measures of one rollout, which is ever failed wrongly with a
    /// probability of at most A; or rollouts, of those that fail a part of at most A being healthy
    #[arg(long, value_name = "MEASURES|ROLLOUTS", conflicts_with = "record")]
    pub together: Option<Together>,
    /// Bound of the probability that a healthy canary is ever failed, such as 0.001
    #[arg(long, value_name = "A")]
    pub alpha: f64,
    /// Ratio of the canary's part of bad requests to the baseline's that is tolerated
    /// [default: 1.2]
    #[arg(long, value_name = "R")]
    pub rho: Option<f64>,
    /// A canary passes once its ratio is at most R (1 + D) [default: 1]
    #[arg(long, value_name = "D")]
    pub delta: Option<f64>,
    /// Seconds at the start that are shown but not judged [default: 0]
    #[arg(long, value_name = "SECONDS")]
    pub warm_up: Option<u32>,
    /// Part of all requests that the canary is meant to get; what differs is no verdict
    #[arg(long, value_name = "S")]
    pub share: Option<f64>,
    /// Whether bad requests that come in trains, as retries do, are guarded against
    #[arg(long, value_name = "ON|OFF", default_value = "on")]
    pub guard: Switch,
    /// Show the verdict as JSON
    #[arg(long)]
    pub json: bool,
    /// Write the decision record, signed, to this file
    #[arg(long, value_name = "OUT")]
    pub record: Option<PathBuf>,
    /// Signing key of the record [default: record.key in the directory of all state, made at the
    /// first use]
    #[arg(long, value_name = "FILE", requires = "record")]
    pub key: Option<PathBuf>,
    /// Directory of all state, where this machine's key is
    #[arg(long, value_name = "DIR", env = "BELLWETHER_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The record that this one follows in its chain
    #[arg(long, value_name = "RECORD", requires = "record")]
    pub previous: Option<PathBuf>,
}

/// What several tables are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Together {
    /// One rollout
    Measures,
    /// One each
    Rollouts,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is done
    On,
    /// It is left out
    Off,
}

/// The arguments of `verify`.
#[derive(Clone, Debug, Args)]
pub struct Verify {
    /// Records, in the order of their chain, from its beginning
    #[arg(value_name = "RECORD", required = true)]
    pub records: Vec<PathBuf>,
    /// File with the public key that must have signed them
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Hash of the record that the first one follows, where it is not the beginning of its chain
    #[arg(long, value_name = "HASH")]
    pub after: Option<Hash>,
}

/// What `key` does.
#[derive(Clone, Debug, Subcommand)]
pub enum Key {
    /// Make a signing key in a new file, its public key beside it in FILE.pub, and print that
    Make(KeyFile),
    /// Print the public key of a signing key
    Show(KeyFile),
}

/// The file of a signing key.
#[derive(Clone, Debug, Args)]
pub struct KeyFile {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// What `host` does.
#[derive(Clone, Debug, Subcommand)]
pub enum Host {
    /// Show all hosts
    List(HostList),
    /// Retire a host in order: its agent ships what it holds, says goodbye and ends, and nobody is
    /// paged
    Drain(HostDrain),
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
    /// Show what was taken, lost and refused of each
    #[arg(long)]
    pub wide: bool,
}

/// The arguments of `host drain`.
#[derive(Clone, Debug, Args)]
pub struct HostDrain {
    /// Which collector.
    #[command(flatten)]
    pub target: Target,
    /// The agent's id, as `host list` shows it
    #[arg(value_name = "AGENT")]
    pub agent: String,
    /// Take it back: the host stays
    #[arg(long)]
    pub cancel: bool,
    /// How long to wait until the host has gone; 0s does not wait
    #[arg(long, value_name = "DURATION", value_parser = wait, default_value = "60s")]
    pub wait: Duration,
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

/// What `alert` does.
#[derive(Clone, Debug, Subcommand)]
pub enum Alert {
    /// Show pending, firing and just resolved alerts, with what receivers know of them
    List(AlertList),
}

/// The arguments of `alert list`.
#[derive(Clone, Debug, Args)]
pub struct AlertList {
    /// Which collector.
    #[command(flatten)]
    pub target: Target,
    /// How alerts are shown
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

/// The arguments of `why`.
#[derive(Clone, Debug, Args)]
pub struct Why {
    /// The alert: NAME, NAME{label=value,…} or {label=value,…}
    #[arg(value_name = "ALERT")]
    pub alert: String,
    /// Which collector.
    #[command(flatten)]
    pub target: Target,
    /// How it is explained
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
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

/// The arguments of `service`.
#[derive(Clone, Debug, Args)]
pub struct Service {
    /// Show everything of one service
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Which collector.
    #[command(flatten)]
    pub target: Target,
    /// How services are shown
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

/// The arguments of `doctor`.
#[derive(Clone, Debug, Args)]
pub struct Doctor {
    /// Configuration file [default: /etc/bellwether/collector.yaml if there is one]
    #[arg(long, value_name = "FILE", env = "BELLWETHER_CONFIG")]
    pub config: Option<PathBuf>,
    /// Directory of all state; the collector's is `collector` below it
    #[arg(long, value_name = "DIR", env = "BELLWETHER_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address of the HTTP interface
    #[arg(long, value_name = "ADDR:PORT", env = "BELLWETHER_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Where the running collector is asked [default: where the configuration lets it listen]
    #[arg(long, value_name = "URL", env = "BELLWETHER_URL")]
    pub url: Option<String>,
    /// File with a token that it knows, with the scope read
    #[arg(long, value_name = "FILE", env = "BELLWETHER_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Authorities to trust for https, in place of the system's
    #[arg(long, value_name = "FILE", env = "BELLWETHER_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// How findings are shown
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

fn wait(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "expected a duration such as `30s` or `0s`".to_owned())
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
    fn judge_takes_options_that_belong_together() {
        let line = "judge a.csv --alpha 1e-3 --rho 2 --json --record r --key k --guard off";
        let Ok(Command::Judge(judge)) = parse(line) else { panic!("not judge") };
        assert_eq!((judge.alpha, judge.rho, judge.delta), (0.001, Some(2.0), None));
        assert_eq!((judge.guard, judge.json), (Switch::Off, true));
        let zeros = "0".repeat(64);
        let Ok(Command::Verify(verify)) = parse(&format!("verify a b --key k --after {zeros}"))
        else {
            panic!("not verify")
        };
        assert_eq!((verify.records.len(), verify.after), (2, Some(Hash([0; 32]))));
        for bad in [
            "judge a.csv",
            "judge --alpha 0.1",
            "judge a.csv --alpha 0.1 --key k",
            "judge a.csv --alpha 0.1 --previous r",
            "verify --key k",
            "verify a",
            "verify a --key k --after 00",
            "key make",
        ] {
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
        for bad in ["check config", "host forget", "host drain", "host list -o yaml", ""] {
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
