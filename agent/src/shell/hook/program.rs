//! Programs: started without a shell and with nothing of this process but PATH, their output
//! bounded, killed with all of their process group when their time is over.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bellwether_model::signal::{Kind, Signal};
use bellwether_platform::clock::Clock;
use bellwether_platform::disk::{Lock, LockError, lock};
use rustix::process::{Pid, Signal as Kill, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Caught, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::metrics::Metrics;
use super::runner::Programs;
use crate::pure::hook::Lane;
use crate::pure::hook::config::{AllowPlan, ProgramPlan};
use crate::pure::hook::decide::Event;
use crate::pure::hook::output::{Exit, Ran, Tail, version};

/// Where programs are looked for that programs start.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// For the output of a group that has been killed.
const REST: Duration = Duration::from_secs(1);
const READ_BYTES: usize = 4096;

/// A program that runs.
pub struct Running {
    child: Child,
    pid: Pid,
    children: Caught,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub exit: Exit,
    /// What it printed, the end of it.
    pub stdout: Tail,
    /// The same with what it printed of errors.
    pub output: String,
}

/// What a program gets of a signal.
#[must_use]
pub fn variables(lane: &Lane, signal: Option<&Signal>) -> Vec<(&'static str, String)> {
    let action = match signal.map(|signal| signal.kind) {
        None => "observe",
        Some(Kind::Rollback) => "rollback",
        Some(Kind::Hold) => "hold",
    };
    let mut variables = vec![
        ("BELLWETHER_ACTION", action.to_owned()),
        ("BELLWETHER_SERVICE", lane.service.clone()),
        ("BELLWETHER_ENVIRONMENT", lane.environment.clone()),
    ];
    if let Some(Signal { data, .. }) = signal {
        variables.extend([
            ("BELLWETHER_KEY", data.key.clone()),
            ("BELLWETHER_GENERATION", data.generation.to_string()),
            ("BELLWETHER_ROLLOUT", data.rollout.clone()),
            ("BELLWETHER_FROM", data.from.clone()),
            ("BELLWETHER_TO", data.to.clone()),
        ]);
    }
    variables
}

/// Starts a program in a directory, in a process group of its own.
///
/// # Errors
/// It cannot be started, in words.
pub fn start(
    plan: &ProgramPlan,
    dir: &Path,
    variables: Vec<(&'static str, String)>,
) -> Result<Running, String> {
    let (program, arguments) = plan.run.split_first().expect("invariant: a program is named");
    let failed = |error: std::io::Error| format!("cannot start {program}: {error}");
    // Caught from before the start, so that no end is missed.
    let children = signal(SignalKind::child()).map_err(failed)?;
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from(PATH));
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", path)
        .envs(variables)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let pid = pid.expect("invariant: a child that nobody has waited for has a number");
    Ok(Running { child, pid, children })
}

impl Running {
    /// Waits for the end, at most for a time; then, and also after it, what is left of the process
    /// group is killed.
    pub async fn end(self, limit: Duration) -> Ended {
        let Running { mut child, pid, mut children } = self;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (mut out, mut errors) = (Tail::default(), Tail::default());
        let timed_out = {
            let reading = async {
                tokio::join!(read(stdout, &mut out), read(stderr, &mut errors));
            };
            tokio::pin!(reading);
            let mut is_read = false;
            let ending = timeout(limit, ended(pid, &mut children));
            tokio::pin!(ending);
            let in_time = loop {
                tokio::select! {
                    in_time = &mut ending => break in_time.is_ok(),
                    () = &mut reading, if !is_read => is_read = true,
                }
            };
            // The child is not reaped yet, so that the number is still its group's. An error says
            // that nothing of the group is left.
            kill_process_group(pid, Kill::KILL).ok();
            if !is_read {
                drop(timeout(REST, reading).await);
            }
            !in_time
        };
        let exit = match child.wait().await {
            _ if timed_out => Exit::TimedOut(limit),
            Ok(status) => exit(status),
            Err(error) => Exit::Lost(format!("its end is not known: {error}")),
        };
        let output = [out.text(), errors.text()].join(" ");
        Ended { exit, stdout: out, output: output.trim().to_owned() }
    }
}

fn exit(status: ExitStatus) -> Exit {
    let code = status.code().map(Exit::Code);
    code.or_else(|| status.signal().map(Exit::Signal))
        .unwrap_or_else(|| Exit::Lost(status.to_string()))
}

/// Waits until a child has ended, and leaves it to be reaped.
async fn ended(pid: Pid, children: &mut Caught) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    while let Ok(None) = waitid(WaitId::Pid(pid), options) {
        children.recv().await;
    }
}

async fn read(stream: Option<impl AsyncRead + Unpin>, tail: &mut Tail) {
    let Some(mut stream) = stream else { return };
    let mut buffer = [0; READ_BYTES];
    while let Ok(count) = stream.read(&mut buffer).await {
        match buffer.get(..count) {
            Some([]) | None => return,
            Some(bytes) => tail.push(bytes),
        }
    }
}

/// Asks a program which version serves.
///
/// # Errors
/// It does not say, in words.
pub async fn observe(lane: &Lane, plan: &ProgramPlan, dir: &Path) -> Result<String, String> {
    let ended = start(plan, dir, variables(lane, None))?.end(plan.timeout).await;
    version(&ended.exit, &ended.stdout, &ended.output)
}

/// The programs of this host. A lane's lock is held by this process, and by what it starts in the
/// lane: as long as something runs that a killed runner has started, no other begins there.
pub struct HostPrograms {
    dir: PathBuf,
    locks: Vec<Option<Lock>>,
    events: mpsc::Sender<(usize, Event)>,
    metrics: Metrics,
    clock: Clock,
}

impl HostPrograms {
    /// In a directory, for as many lanes as `events` has places; no lock is taken yet.
    #[must_use]
    pub fn new(
        dir: &Path,
        events: mpsc::Sender<(usize, Event)>,
        metrics: Metrics,
        clock: Clock,
    ) -> HostPrograms {
        let locks = (0..events.max_capacity()).map(|_| None).collect();
        HostPrograms { dir: dir.to_owned(), locks, events, metrics, clock }
    }

    /// Takes the lock of a lane; false while another process has it.
    ///
    /// # Errors
    /// The file cannot be opened or locked.
    pub fn acquire(&mut self, at: usize, lane: &Lane) -> Result<bool, LockError> {
        match lock(&self.dir.join(format!("{lane}.lock"))) {
            Ok(held) => {
                *self.locks.get_mut(at).expect("invariant: a lock for each lane") = Some(held);
                Ok(true)
            }
            Err(LockError::Held { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Programs for HostPrograms {
    fn observe(&mut self, at: usize, plan: &AllowPlan) {
        let program = plan.observe.clone().expect("invariant: only who can observe is asked");
        let (lane, dir, events) = (plan.lane.clone(), self.dir.clone(), self.events.clone());
        tokio::spawn(async move {
            let seen = observe(&lane, &program, &dir).await;
            // Whoever has gone needs no event.
            events.send((at, Event::Observed(seen))).await.ok();
        });
    }

    fn run(&mut self, at: usize, plan: &AllowPlan, signal: &Signal) {
        let program = plan.program(signal.kind).expect("invariant: it was allowed");
        let limit = program.timeout;
        let begin = || start(program, &self.dir, variables(&plan.lane, Some(signal)));
        let lock = self.locks.get(at).and_then(Option::as_ref);
        let running = lock.expect("invariant: a free lane is locked").shared(begin);
        let running = running.map_err(|error| format!("cannot share the lane's lock: {error}"));
        let (events, clock) = (self.events.clone(), self.clock.clone());
        let seconds = self.metrics.seconds(signal.kind);
        self.metrics.started(signal.kind);
        let begun = clock.now().mono;
        tokio::spawn(async move {
            let ran = match running.and_then(|running| running) {
                Ok(running) => {
                    let Ended { exit, output, .. } = running.end(limit).await;
                    Ran { exit, output }
                }
                Err(words) => Ran { exit: Exit::Lost(words), output: String::new() },
            };
            seconds.inc_by(clock.now().mono.since(begun).as_secs_f64());
            events.send((at, Event::Ended(ran))).await.ok();
        });
    }
}

#[cfg(test)]
mod tests;
