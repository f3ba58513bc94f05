//! Every acknowledged row is kept once, whoever is killed: seen from outside.
//!
//! The agent's input `sequence` gives each row its own number: in the bits above 2^32 the run of
//! the agent, below them n, one more in each row and so in each frame. Both sides are killed at
//! random moments while it runs, and in the end everything is read back through the query API.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use bellwether_tests::harness::{Daemon, Folder, Process, daemon, free_port, get, until, within};

use super::{START, query};

/// Kills, unless `BELLWETHER_KILLS` asks for more.
const KILLS: u32 = 20;
const SEED: u64 = 0x5eed_0002;
/// The longest time from a start to the next kill.
const LIFE_MAX_MS: u64 = 1500;
const ROWS_PER_SECOND: u32 = 100;
/// For the backlog to be acknowledged once the kills are over.
const SETTLED: Duration = Duration::from_secs(60);

/// A small generator of numbers: splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// A collector and an agent that can be killed and started again on the same state.
struct Pair {
    folder: Folder,
    collector: String,
    page: String,
    processes: BTreeMap<&'static str, Process>,
    /// The highest acknowledged n seen, by run of the agent.
    acked: BTreeMap<u64, u64>,
}

impl Pair {
    fn start() -> Pair {
        let folder = Folder::new("exactly-once");
        let token = folder.write_secret("token", "0123456789abcdef0123456789abcdef\n");
        let token = token.display();
        folder.write(
            "collector.yaml",
            &format!("principals:\n  agents:\n    token_file: {token}\n    scopes: [ingest]\n"),
        );
        folder.write(
            "agent.yaml",
            &format!(
                "inputs: {{sequence: {{enabled: true, rows_per_second: {ROWS_PER_SECOND}}}}}\n"
            ),
        );
        let address = || format!("127.0.0.1:{}", free_port());
        let mut pair = Pair {
            folder,
            collector: address(),
            page: address(),
            processes: BTreeMap::new(),
            acked: BTreeMap::new(),
        };
        pair.start_collector();
        pair.start_agent();
        pair
    }

    fn start_collector(&mut self) {
        let mut command = Command::new(daemon(Daemon::Collector));
        command
            .args(["serve", "--listen", &self.collector, "--data-dir"])
            .arg(self.folder.join("data"))
            .arg("--config")
            .arg(self.folder.join("collector.yaml"));
        self.start_process("bellwether", &mut command);
    }

    fn start_agent(&mut self) {
        let mut command = Command::new(daemon(Daemon::Agent));
        command
            .args(["run", "--listen", &self.page, "--data-dir"])
            .arg(self.folder.join("data"))
            .arg("--config")
            .arg(self.folder.join("agent.yaml"))
            .args(["--collector", &format!("http://{}", self.collector)])
            .arg("--token-file")
            .arg(self.folder.join("token"));
        self.start_process("bellwether-agent", &mut command);
    }

    fn start_process(&mut self, name: &'static str, command: &mut Command) {
        let process = Process::start(name, command);
        let _address = process.line(&format!("{name}: listening on http://"), START);
        self.processes.insert(name, process);
    }

    fn kill(&mut self, name: &'static str) {
        self.processes.get_mut(name).unwrap().kill();
        match name {
            "bellwether" => self.start_collector(),
            _ => self.start_agent(),
        }
    }

    /// The last acknowledged frame the agent's page tells of: run and n.
    fn look(&mut self) -> Option<(u64, u64)> {
        let page = get(&self.page, "/metrics").ok()?.body;
        let value = |name: &str| {
            let mut lines = page.lines().filter(|line| line.starts_with(name));
            lines.next()?.rsplit_once(' ')?.1.parse::<u64>().ok()
        };
        assert_eq!(value("bellwether_agent_samples_dropped_total").unwrap_or(0), 0);
        let seq = value("bellwether_agent_acked_seq")?;
        let (run, n) = (seq >> 32, seq & 0xffff_ffff);
        let seen = self.acked.entry(run).or_default();
        *seen = n.max(*seen);
        Some((run, n))
    }
}

#[test]
fn every_acked_row_is_read_back_once_after_kills_of_both() {
    let mut pair = Pair::start();
    let mut random = Random(SEED);
    let mut killed: BTreeMap<&str, u32> = BTreeMap::new();
    let kills = std::env::var("BELLWETHER_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    for _ in 0..kills {
        let name = ["bellwether", "bellwether-agent"][usize::from(random.below(2) == 1)];
        // A random moment of its life; nothing is waited for.
        let life = Duration::from_millis(random.below(LIFE_MAX_MS));
        within(life, || {
            pair.look();
            None::<()>
        });
        pair.kill(name);
        *killed.entry(name).or_default() += 1;
    }
    assert!(killed.len() == 2 && killed.values().all(|count| *count >= 5), "{killed:?}");

    // Old runs are sent to their end first: an acknowledgement of this run covers them all.
    let last_run = 1 + u64::from(killed["bellwether-agent"]);
    until("acknowledgements of the last run", SETTLED, || {
        pair.look().filter(|(run, n)| *run == last_run && *n > u64::from(ROWS_PER_SECOND))
    });
    let agent = pair.processes.get_mut("bellwether-agent").unwrap();
    agent.terminate();
    assert!(agent.end(Duration::from_secs(15)).success());

    let answer = query(&pair.collector, "bellwether_agent_sequence[1h]").unwrap();
    assert_eq!(answer.len(), 1, "one host, one series: {answer:?}");
    let mut rows: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (_, value) in &answer[0].samples {
        let value: u64 = format!("{value:.0}").parse().unwrap();
        rows.entry(value >> 32).or_default().push(value & 0xffff_ffff);
    }
    let stamps: BTreeSet<i64> = answer[0].samples.iter().map(|(at, _)| *at).collect();
    assert_eq!(stamps.len(), answer[0].samples.len(), "two rows with one stamp");
    println!("killed: {killed:?}");
    println!("acked, by run: {:?}", pair.acked);
    println!("kept, by run: {:?}", rows.iter().map(|(run, n)| (run, n.len())).collect::<Vec<_>>());
    // Also runs that ended before an acknowledgement of theirs was seen.
    let runs: BTreeSet<u64> = pair.acked.keys().chain(rows.keys()).copied().collect();
    for run in &runs {
        let read = rows.get(run).map(Vec::as_slice).unwrap_or_default();
        let acked = pair.acked.get(run).unwrap_or(&0);
        let whole: Vec<u64> = (1..=read.len() as u64).collect();
        assert_eq!(read, whole, "run {run}: every row once and in order");
        assert!(read.len() as u64 >= *acked, "run {run}: acked {acked}, kept {}", read.len());
    }
    assert!(rows.keys().all(|run| (1..=last_run).contains(run)), "{:?}", rows.keys());
}
