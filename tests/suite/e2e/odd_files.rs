//! Pipes in the places of files: nobody waits for them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bellwether_tests::harness::{Daemon, Folder, Process, daemon, get, until};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::START;
use super::pair::{AGENT, COLLECTOR, Pair, SOON};

/// How long an end may take that nothing but a pipe holds up.
const END: Duration = Duration::from_secs(10);

fn pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

#[test]
fn a_pipe_as_configuration_is_refused_at_a_start_and_at_a_reload() {
    let mut pair = Pair::new("pipe-config", "", "");
    pair.start_collector();
    pair.start_agent();
    for (name, file) in [(AGENT, "agent.yaml"), (COLLECTOR, "collector.yaml")] {
        let path = pair.folder.join(file);
        fs::remove_file(&path).unwrap();
        pipe(&path);
        pair.process(name).hang_up();
        let reason = pair.process(name).line("configuration not reloaded", SOON);
        assert!(reason.contains("it is no regular file"), "{reason}");
        pair.process(name).terminate();
        assert!(pair.process(name).end(END).success(), "{name}");
    }
    for (program, verb, file) in
        [(Daemon::Agent, "run", "agent.yaml"), (Daemon::Collector, "serve", "collector.yaml")]
    {
        let mut command = Command::new(daemon(program));
        command.arg(verb).arg("--config").arg(pair.folder.join(file));
        let mut process = Process::start(verb, command.arg("--data-dir").arg(pair.folder.path()));
        assert!(!process.end(END).success(), "{verb}");
        assert!(process.lines().iter().any(|line| line.contains("it is no regular file")));
    }
}

#[test]
fn a_pipe_in_the_tree_of_the_kernel_fails_one_input_and_holds_up_nothing() {
    let folder = Folder::new("pipe-proc");
    fs::create_dir(folder.join("proc")).unwrap();
    pipe(&folder.join("proc/loadavg"));
    folder.write("proc/entropy", "");
    folder.write("proc/uptime", "");
    let config = "exporter: {listen: '127.0.0.1:0'}\ninputs: {sequence: {enabled: true}}\n";
    let mut command = Command::new(daemon(Daemon::Agent));
    command.arg("run").arg("--config").arg(folder.write("agent.yaml", config));
    command.arg("--procfs").arg(folder.join("proc")).arg("--data-dir").arg(folder.join("data"));
    let mut agent = Process::start("agent", &mut command);
    let page = agent.line("bellwether-agent: listening on http://", START);
    let failed = "node_scrape_collector_success{collector=\"loadavg\"} 0\n";
    until("a row with a failed input", SOON, || {
        let page = get(&page, "/metrics").ok()?.body;
        let others = "node_scrape_collector_success{collector=\"sequence\"} 1\n";
        (page.contains(failed) && page.contains(others)).then_some(())
    });
    agent.terminate();
    assert!(agent.end(END).success());
}
