//! A collector and agents as tests of faults want them: on folders of their own, restartable, and
//! asked by the names of their metrics.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bellwether_tests::harness::{Daemon, Folder, Process, daemon, free_port, get, until};

use serde_json::Value;

use super::{START, query};

/// The token of all that push, unless a test says otherwise.
pub(super) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// An agent that is refused asks again after 30 s; everything else is sooner.
const AGAIN: Duration = Duration::from_secs(60);
/// An agent's n lies in the lower half of its numbers.
const N: u64 = 0xffff_ffff;

/// The value of a series on the page of an address; 0 where it is not.
pub(super) fn figure(address: &str, series: &str) -> u64 {
    let page = get(address, "/metrics").unwrap().body;
    let line = page.lines().find(|line| line.starts_with(series));
    line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok()).unwrap_or(0)
}

/// `bellwether serve` with one token for ingest, in the file `token`.
pub(super) struct Collector {
    pub(super) process: Process,
    pub(super) address: String,
    pub(super) data: PathBuf,
    config: PathBuf,
}

impl Collector {
    /// Starts on `data` below `folder`; `more` are further lines of the configuration.
    pub(super) fn start(folder: &Folder, more: &str) -> Collector {
        Collector::start_on(folder, &folder.join("data"), more)
    }

    /// Starts at an address that agents know already.
    pub(super) fn start_at(folder: &Folder, address: &str) -> Collector {
        Collector::open(folder, address.to_owned(), &folder.join("data"), "")
    }

    /// Starts on a directory of its own.
    pub(super) fn start_on(folder: &Folder, data: &Path, more: &str) -> Collector {
        Collector::open(folder, format!("127.0.0.1:{}", free_port()), data, more)
    }

    fn open(folder: &Folder, address: String, data: &Path, more: &str) -> Collector {
        let token = folder.write_secret("token", TOKEN);
        let config = format!(
            "principals:\n  agents: {{token_file: {}, scopes: [ingest]}}\n{more}",
            token.display()
        );
        let config = folder.write("collector.yaml", &config);
        let process = Collector::run(&address, data, &config);
        Collector { process, address, data: data.to_owned(), config }
    }

    /// What starts it, for tests of starts that fail.
    pub(super) fn command(address: &str, data: &Path, config: &Path) -> Command {
        let mut command = Command::new(daemon(Daemon::Collector));
        command.args(["serve", "--listen", address, "--data-dir"]).arg(data);
        command.arg("--config").arg(config).env("BELLWETHER_LOG", "debug");
        command
    }

    fn run(address: &str, data: &Path, config: &Path) -> Process {
        let process = Process::start("bellwether", &mut Collector::command(address, data, config));
        let _address = process.line("bellwether: listening on http://", START);
        process
    }

    /// Starts again on the same state and address, after its end.
    pub(super) fn again(&mut self) {
        self.process = Collector::run(&self.address, &self.data, &self.config);
    }

    pub(super) fn figure(&self, series: &str) -> u64 {
        figure(&self.address, series)
    }

    /// Frames that agents declared, by reason.
    pub(super) fn skipped(&self, reason: &str) -> u64 {
        self.figure(&format!("bellwether_collector_frames_skipped_total{{reason=\"{reason}\"}}"))
    }

    /// Answers of a case.
    pub(super) fn answers(&self, case: &str) -> u64 {
        self.figure(&format!("bellwether_collector_push_total{{case=\"{case}\"}}"))
    }

    /// The numbers of an agent's rows that are kept, in order of their stamps.
    pub(super) fn numbers(&self, instance: &str) -> Vec<u64> {
        let selector = format!("bellwether_agent_sequence{{instance=\"{instance}\"}}[1h]");
        let answer = query(&self.address, &selector).unwrap_or_default();
        assert!(answer.len() <= 1, "{instance} is more than one series");
        let samples = answer.first().map(|series| series.samples.as_slice()).unwrap_or_default();
        samples.iter().map(|(_, value)| format!("{value:.0}").parse().unwrap()).collect()
    }

    /// Every row of an agent that never ended, once and in order.
    pub(super) fn is_whole(&self, instance: &str) {
        let numbers = self.numbers(instance);
        let first = (1 << 32) | 1;
        let whole: Vec<u64> = (first..first + numbers.len() as u64).collect();
        assert!(!whole.is_empty() && numbers == whole, "{instance}: each row once: {numbers:?}");
    }

    /// `up` of an instance has never been 0.
    pub(super) fn was_always_up(&self, instance: &str) {
        let up = query(&self.address, &format!("up{{instance=\"{instance}\"}}[1h]")).unwrap();
        let is_up = |(_, value): &(i64, f64)| (value - 1.0).abs() < f64::EPSILON;
        assert!(up[0].samples.iter().all(is_up), "{instance}: {:?}", up[0].samples);
    }
}

/// `bellwether-agent run` whose input `sequence` numbers its rows.
pub(super) struct Agent {
    pub(super) process: Process,
    pub(super) page: String,
    pub(super) data: PathBuf,
    name: String,
    config: PathBuf,
    more: Vec<String>,
}

impl Agent {
    /// Starts on `name` below `folder`. `token` and `more` are lines of the configuration: the
    /// first of its collector, the second of the whole, `inputs` apart.
    pub(super) fn start(
        folder: &Folder,
        name: &str,
        collector: &str,
        token: &str,
        more: &str,
    ) -> Agent {
        Agent::start_with(folder, &folder.join(name), collector, token, (10, more), &[])
    }

    /// The same on a directory of its own, with so many rows in a second and with flags.
    pub(super) fn start_with(
        folder: &Folder,
        data: &Path,
        collector: &str,
        token: &str,
        (rows, more): (u32, &str),
        flags: &[&str],
    ) -> Agent {
        let name = data.file_name().unwrap().to_str().unwrap();
        let config = format!(
            "agent: {{instance: {name}}}\n\
             collectors:\n  - url: http://{collector}\n{token}\
             exporter: {{listen: '127.0.0.1:0'}}\n\
             inputs: {{sequence: {{enabled: true, rows_per_second: {rows}}}}}\n{more}"
        );
        let config = folder.write(&format!("{name}.yaml"), &config);
        let more: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let (process, page) = Agent::run(name, data, &config, &more);
        Agent { process, page, data: data.to_owned(), name: name.to_owned(), config, more }
    }

    fn run(name: &str, data: &Path, config: &Path, more: &[String]) -> (Process, String) {
        let mut command = Command::new(daemon(Daemon::Agent));
        command.arg("run").arg("--config").arg(config).arg("--data-dir").arg(data).args(more);
        let process = Process::start(name, command.env("BELLWETHER_LOG", "debug"));
        let page = process.line("bellwether-agent: listening on http://", START);
        (process, page)
    }

    /// Starts again on the same state, after its end.
    pub(super) fn again(&mut self) {
        (self.process, self.page) = Agent::run(&self.name, &self.data, &self.config, &self.more);
    }

    pub(super) fn figure(&self, series: &str) -> u64 {
        figure(&self.page, series)
    }

    /// Frames that will never be sent, by reason.
    pub(super) fn skipped(&self, reason: &str) -> u64 {
        self.figure(&format!("bellwether_agent_frames_skipped_total{{reason=\"{reason}\"}}"))
    }

    /// Requests by what came of them.
    pub(super) fn answers(&self, case: &str) -> u64 {
        self.figure(&format!("bellwether_agent_push_total{{case=\"{case}\"}}"))
    }

    /// The last acknowledged frame: run and n.
    pub(super) fn acked(&self) -> (u64, u64) {
        let seq = self.figure("bellwether_agent_acked_seq");
        (seq >> 32, seq & N)
    }

    /// Waits for ten more acknowledgements, or as many in a later run.
    pub(super) fn goes_on(&self) {
        let (run, n) = self.acked();
        until("acknowledgements that go on", AGAIN, || {
            let now = self.acked();
            let held = if now.0 == run { n } else { 0 };
            (now.0 >= run && now.1 > held + 10).then_some(())
        });
    }

    /// Waits until everything made so far is acknowledged or given up.
    pub(super) fn catches_up(&self) {
        let made = self.figure("bellwether_agent_frames_spooled_total");
        until("the backlog acknowledged", AGAIN, || (self.acked().1 >= made).then_some(()));
    }

    /// How often a warning said something.
    pub(super) fn warned(&self, what: &str) -> usize {
        self.process
            .lines()
            .iter()
            .filter(|line| line.contains(" WARN ") && line.contains(what))
            .count()
    }

    /// The label `instance` of its series.
    pub(super) fn instance(&self) -> &str {
        &self.name
    }

    /// What it tells of itself.
    pub(super) fn told(&self) -> Value {
        let mut command = Command::new(daemon(Daemon::Agent));
        command.args(["status", "-o", "json", "--config"]).arg(&self.config);
        let status = command.arg("--data-dir").arg(&self.data).output().unwrap();
        serde_json::from_slice(&status.stdout).expect("a status is JSON")
    }

    /// Writes its file anew and has it taken up.
    pub(super) fn reload(&self, config: &str) {
        std::fs::write(&self.config, config).unwrap();
        self.process.hang_up();
    }

    /// Stops it in good order.
    pub(super) fn stop(&mut self) {
        self.process.terminate();
        assert!(self.process.end(Duration::from_secs(15)).success());
    }
}

/// The line of an agent's configuration for a file with its token.
pub(super) fn token_file(folder: &Folder, name: &str) -> String {
    format!("    token_file: {}\n", folder.join(name).display())
}
