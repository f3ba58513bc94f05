//! A collector and an agent, each with a file, that can be ended and started again on their state.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use bellwether_tests::harness::{Daemon, Folder, Process, daemon, free_port, get_as};
use serde_json::Value;

use super::{START, Series, answered, query_target};

/// What `serve` and `run` are called in messages.
pub(super) const COLLECTOR: &str = "bellwether";
pub(super) const AGENT: &str = "bellwether-agent";
pub(super) const INGEST: &str = "0123456789abcdef0123456789abcdef";
pub(super) const ADMIN: &str = "fedcba9876543210fedcba9876543210";

pub(super) struct Pair {
    pub(super) folder: Folder,
    /// Address of the collector.
    pub(super) collector: String,
    /// Address of the agent's page.
    pub(super) page: String,
    pub(super) processes: BTreeMap<&'static str, Process>,
}

impl Pair {
    /// Writes the files, with what is given added, and starts nothing.
    pub(super) fn new(name: &str, collector: &str, agent: &str) -> Pair {
        let folder = Folder::new(name);
        folder.write_secret("token", &format!("{INGEST}\n"));
        folder.write_secret("admin", &format!("{ADMIN}\n"));
        let address = || format!("127.0.0.1:{}", free_port());
        let (to, page) = (address(), address());
        let pair = Pair { folder, collector: to, page, processes: BTreeMap::new() };
        pair.write_collector(collector);
        pair.write_agent(agent);
        pair
    }

    pub(super) fn write_collector(&self, more: &str) {
        let (token, admin) = (self.folder.join("token"), self.folder.join("admin"));
        let text = format!(
            "principals:\n  agents: {{token_file: {}, scopes: [ingest]}}\n  \
             people: {{token_file: {}, scopes: [admin, read]}}\n{more}",
            token.display(),
            admin.display()
        );
        self.folder.write("collector.yaml", &text);
    }

    pub(super) fn write_agent(&self, more: &str) {
        let text = format!(
            "collectors: [{{url: 'http://{}', token_file: {}}}]\n{more}",
            self.collector,
            self.folder.join("token").display()
        );
        self.folder.write("agent.yaml", &text);
    }

    pub(super) fn start_collector(&mut self) {
        let mut command = Command::new(daemon(Daemon::Collector));
        command.args(["serve", "--listen", &self.collector]);
        self.start(COLLECTOR, "collector.yaml", command);
    }

    pub(super) fn start_agent(&mut self) {
        let mut command = Command::new(daemon(Daemon::Agent));
        command.args(["run", "--listen", &self.page]);
        self.start(AGENT, "agent.yaml", command);
    }

    fn start(&mut self, name: &'static str, file: &str, mut command: Command) {
        command.arg("--data-dir").arg(self.folder.join("data"));
        command.arg("--config").arg(self.folder.join(file));
        let process = Process::start(name, &mut command);
        let _address = process.line(&format!("{name}: listening on http://"), START);
        self.processes.insert(name, process);
    }

    pub(super) fn process(&mut self, name: &str) -> &mut Process {
        self.processes.get_mut(name).expect("a process that was started")
    }

    /// Runs a subcommand of the collector's program against this collector.
    pub(super) fn bellwether(&self, words: &[&str]) -> (bool, String) {
        let url = format!("http://{}", self.collector);
        let mut command = Command::new(daemon(Daemon::Collector));
        command.args(words).args(["--url", &url]);
        command.arg("--token-file").arg(self.folder.join("admin"));
        output(&mut command)
    }

    /// Runs `bellwether-agent status`.
    pub(super) fn status(&self, output_as: &str) -> (bool, String) {
        let mut command = Command::new(daemon(Daemon::Agent));
        command.args(["status", "-o", output_as]).arg("--config");
        command.arg(self.folder.join("agent.yaml"));
        command.arg("--data-dir").arg(self.folder.join("data"));
        output(&mut command)
    }

    /// What the agent tells of itself, while it runs.
    pub(super) fn told(&self) -> Option<Value> {
        let (well, text) = self.status("json");
        well.then(|| serde_json::from_str(&text).expect("a status is JSON"))
    }

    /// The only host as the collector lists it.
    pub(super) fn host(&self) -> Option<Value> {
        let (well, text) = self.bellwether(&["host", "list", "-o", "json"]);
        let list: Value = serde_json::from_str(&text).ok().filter(|_| well)?;
        list.as_array()?.first().cloned()
    }

    /// The answer to an instant query; `None` while there is none.
    pub(super) fn query(&self, expression: &str) -> Option<Vec<Series>> {
        let answer = get_as(&self.collector, &query_target(expression), ADMIN).ok()?;
        answered(expression, &answer)
    }

    /// A metric without labels of a page.
    pub(super) fn metric(address: &str, name: &str) -> Option<f64> {
        let page = get_as(address, "/metrics", ADMIN).ok()?.body;
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line?.parse().ok()
    }
}

fn output(command: &mut Command) -> (bool, String) {
    let done = command.output().expect("our own program");
    let text = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// For what takes a few ticks.
pub(super) const SOON: Duration = Duration::from_secs(20);
