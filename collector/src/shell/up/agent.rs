//! The agent as a child of `up`: started, watched, started again when it ends, ended with us.
//!
//! It holds the other end of its standard input, and stops when that closes: so it does not outlive
//! this process, however that ends. What it says on standard output is passed on; its log goes to
//! the same standard error as ours.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bellwether_platform::clock::Clock;
use bellwether_platform::stop::Stop;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use super::backoff::Backoff;
use super::{Screen, rest};
use crate::shell::status::AgentState;

/// How long the agent may take to end: the row under way, the last acknowledgement, the goodbye.
const GRACE: Duration = Duration::from_secs(10);
/// Bytes of a line of its output; a longer one is passed on in pieces.
const LINE_BYTES: u64 = 4096;
/// What comes before the address of its page in its first line.
const LISTENS: &str = "listening on http://";

/// How the agent is started.
pub(super) struct Command {
    pub(super) program: PathBuf,
    pub(super) data_dir: PathBuf,
    pub(super) token_file: PathBuf,
    /// As it finds it itself if nothing is said here.
    pub(super) config: Option<PathBuf>,
    pub(super) collector: SocketAddr,
    /// As its own configuration says if nothing is said here.
    pub(super) listen: Option<SocketAddr>,
}

impl Command {
    fn start(&self) -> io::Result<Child> {
        let mut command = tokio::process::Command::new(&self.program);
        command.arg("run").arg("--data-dir").arg(&self.data_dir);
        command.arg("--collector").arg(format!("http://{}", self.collector));
        command.arg("--token-file").arg(&self.token_file).arg("--stop-on-stdin-close");
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        if let Some(listen) = self.listen {
            command.arg("--listen").arg(listen.to_string());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()
    }
}

/// What is known of the agent.
#[derive(Clone, Debug, Default)]
pub(super) struct AgentView {
    pub(super) state: AgentState,
    /// Address of its page, once it has said so.
    pub(super) page: Option<String>,
}

/// The agent that runs beside the collector.
pub(super) struct Beside {
    command: Command,
    clock: Clock,
    screen: Screen,
    view: watch::Sender<AgentView>,
    backoff: Backoff,
}

impl Beside {
    pub(super) fn new(
        command: Command,
        clock: Clock,
        screen: Screen,
        view: watch::Sender<AgentView>,
    ) -> Beside {
        Beside { command, clock, screen, view, backoff: Backoff::default() }
    }

    /// Keeps the agent running until told to stop, then ends it.
    pub(super) async fn run(mut self, stop: Stop) {
        for restarts in 0_u32.. {
            let state = match restarts {
                0 => AgentState::Running,
                _ => AgentState::Restarted(restarts),
            };
            self.view.send_modify(|view| view.state = state);
            let began = self.clock.now().mono;
            match self.command.start() {
                Ok(child) => {
                    if self.live(child, &stop).await {
                        return;
                    }
                }
                Err(error) => warn!(%error, "the agent cannot be started"),
            }
            let now = self.clock.now().mono;
            let wait = self.backoff.after(now.since(began));
            self.view.send_modify(|view| view.state = AgentState::Waiting(now + wait));
            info!(seconds = wait.as_secs_f64(), "the agent is started again after a pause");
            if rest(wait, &stop).await {
                return;
            }
        }
    }

    /// One life of the agent; true if it was told to end.
    async fn live(&self, mut child: Child, stop: &Stop) -> bool {
        // Waiting for a child closes its input, which this one takes as its end.
        let input = child.stdin.take();
        if let Some(output) = child.stdout.take() {
            tokio::spawn(pass_on(output, self.screen, self.view.clone()));
        }
        tokio::select! {
            biased;
            () = stop.stopped() => {
                end(child, input).await;
                true
            }
            ended = child.wait() => {
                match ended {
                    Ok(status) => warn!(%status, "the agent has ended"),
                    Err(error) => warn!(%error, "the agent cannot be waited for"),
                }
                false
            }
        }
    }
}

/// Has the agent end, and ends it where it does not.
async fn end(mut child: Child, input: Option<ChildStdin>) {
    drop(input);
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    if let Some(pid) = pid
        && let Err(error) = kill_process(pid, Signal::TERM)
    {
        warn!(%error, "the agent cannot be told to end");
    }
    match timeout(GRACE, child.wait()).await {
        Ok(Ok(status)) if status.success() => {}
        Ok(Ok(status)) => warn!(%status, "the agent did not end well"),
        Ok(Err(error)) => warn!(%error, "the agent cannot be waited for"),
        Err(_) => {
            warn!(seconds = GRACE.as_secs(), "the agent does not end and is killed");
            if let Err(error) = child.kill().await {
                warn!(%error, "the agent cannot be killed");
            }
        }
    }
}

/// Passes lines on and looks for the address of the page.
async fn pass_on(output: ChildStdout, screen: Screen, view: watch::Sender<AgentView>) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    // A pipe that fails has ended.
    while (&mut output).take(LINE_BYTES).read_until(b'\n', &mut line).await.is_ok_and(|n| n > 0) {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        screen.line(text);
        if let Some((_, page)) = text.split_once(LISTENS) {
            view.send_modify(|view| view.page = Some(page.to_owned()));
        }
        line.clear();
    }
}
