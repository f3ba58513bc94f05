//! Tokens that are wrong, missing or revoked: each is answered, counted and told, nobody else is
//! disturbed, and what was kept meanwhile arrives once the token is right.

use std::process::Command;
use std::time::Duration;

use bellwether_tests::harness::{Daemon, Folder, Process, daemon, free_port, get, until};

use super::{START, query, says};

const GOOD: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";
const WRONG: &str = "00000000000000000000000000000000";
const SOON: Duration = Duration::from_secs(20);
/// An agent that is refused asks again after 30 s.
const AGAIN: Duration = Duration::from_secs(60);

struct Agent {
    process: Process,
    page: String,
}

impl Agent {
    /// `token` is a line of the configuration, or nothing.
    fn start(folder: &Folder, name: &str, collector: &str, token: &str) -> Agent {
        let config = format!(
            "agent: {{instance: {name}}}\n\
             collectors:\n  - url: http://{collector}\n{token}\
             exporter: {{listen: '127.0.0.1:0'}}\n\
             inputs: {{sequence: {{enabled: true, rows_per_second: 10}}}}\n"
        );
        let mut command = Command::new(daemon(Daemon::Agent));
        command.arg("run").arg("--config").arg(folder.write(&format!("{name}.yaml"), &config));
        let process = Process::start(name, command.arg("--data-dir").arg(folder.join(name)));
        let page = process.line("bellwether-agent: listening on http://", START);
        Agent { process, page }
    }

    fn figure(&self, name: &str) -> u64 {
        let page = get(&self.page, "/metrics").unwrap().body;
        let line = page.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok()).unwrap_or(0)
    }

    /// The number of the last acknowledged frame of this run.
    fn acked(&self) -> u64 {
        self.figure("bellwether_agent_acked_seq") & 0xffff_ffff
    }

    fn goes_on(&self) {
        let held = self.acked();
        until("acknowledgements that go on", AGAIN, || (self.acked() > held + 10).then_some(()));
    }

    /// How often a reason was told.
    fn told(&self, reason: &str) -> usize {
        self.process.lines().iter().filter(|line| line.contains(reason)).count()
    }
}

fn file(folder: &Folder, name: &str) -> String {
    format!("    token_file: {}\n", folder.join(name).display())
}

fn refusals(collector: &str) -> u64 {
    let page = get(collector, "/metrics").unwrap().body;
    let name = "bellwether_collector_push_total{case=\"unauthorized\"}";
    let line = page.lines().find(|line| line.starts_with(name)).unwrap();
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn wrong_missing_and_revoked_tokens_are_told_and_lose_nothing() {
    let folder = Folder::new("tokens");
    for (name, token) in [
        ("good", GOOD),
        ("revoked", OTHER),
        ("good-at-agent", GOOD),
        ("revoked-at-agent", OTHER),
        ("wrong-at-agent", WRONG),
    ] {
        folder.write_secret(name, token);
    }
    let config = format!(
        "principals:\n  good:\n{}    scopes: [ingest]\n  revoked:\n{}    scopes: [ingest]\n",
        file(&folder, "good"),
        file(&folder, "revoked"),
    );
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(daemon(Daemon::Collector));
    command.args(["serve", "--listen", &address]).arg("--data-dir").arg(folder.join("data"));
    command.arg("--config").arg(folder.write("collector.yaml", &config));
    let collector = Process::start("bellwether", &mut command);
    let _address = collector.line("bellwether: listening on http://", START);

    let agent = |name, token: &str| Agent::start(&folder, name, &address, token);
    let good = agent("good-one", &file(&folder, "good-at-agent"));
    let revoked = agent("revoked-one", &file(&folder, "revoked-at-agent"));
    let wrong = agent("wrong-one", &file(&folder, "wrong-at-agent"));
    let missing = agent("missing-one", &file(&folder, "missing-at-agent"));
    let bare = agent("bare-one", "");

    says(&wrong.process, "unauthorized: the token is not known", SOON);
    says(&missing.process, "missing-at-agent\" does not exist", SOON);
    says(&bare.process, "unauthorized: this needs a token with the scope ingest", SOON);
    good.goes_on();
    revoked.goes_on();
    assert!(refusals(&address) >= 2);
    folder.write_secret("revoked", WRONG);
    says(&collector, "token read again", SOON);
    says(&revoked.process, "unauthorized: the token is not known", SOON);
    let held = revoked.acked();
    good.goes_on();
    assert_eq!((revoked.acked(), wrong.acked(), missing.acked()), (held, 0, 0));
    assert!(revoked.figure("bellwether_agent_push_total{case=\"unauthorized\"}") > 0);
    assert!(missing.figure("bellwether_agent_push_total{case=\"no_token\"}") > 0);

    // Every token put right, on the side where it was wrong; nothing is restarted.
    folder.write_secret("revoked", OTHER);
    folder.write_secret("wrong-at-agent", GOOD);
    folder.write_secret("missing-at-agent", GOOD);
    for agent in [&revoked, &wrong, &missing, &good] {
        agent.goes_on();
    }
    assert_eq!(bare.acked(), 0);
    for name in ["good-one", "revoked-one", "wrong-one", "missing-one"] {
        let rows =
            query(&address, &format!("bellwether_agent_sequence{{instance=\"{name}\"}}[1h]"));
        let rows = &rows.unwrap()[0].samples;
        let numbers: Vec<u64> =
            rows.iter().map(|(_, value)| format!("{value:.0}").parse::<u64>().unwrap()).collect();
        let first = (1 << 32) | 1;
        let whole: Vec<u64> = (first..first + numbers.len() as u64).collect();
        assert_eq!(numbers, whole, "{name}: each row once");
    }
    assert_eq!(wrong.told("the token is not known"), 1, "a state is told once");
    assert_eq!(missing.told("does not exist"), 1, "a state is told once");
    for process in [&good, &revoked, &wrong, &missing, &bare] {
        let log = process.process.lines().join("\n");
        assert!([GOOD, OTHER, WRONG].iter().all(|token| !log.contains(token)), "{log}");
    }
}
