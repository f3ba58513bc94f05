//! A child process with its log, and the folder and port it works in.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use bellwether_platform::clock::Clock;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::wait::{left, until};

/// Lines of a process shown when its test fails.
const LINES_SHOWN: usize = 120;

/// A running child in a process group of its own, killed with what it started when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Arc<Log>,
}

/// Lines of stdout and stderr, in the order in which they came.
#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Log {
    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().expect("invariant: no reader of a log panics")
    }

    fn follow(self: &Arc<Log>, stream: impl Read + Send + 'static) {
        let log = Arc::clone(self);
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                log.lines().push(String::from_utf8_lossy(&line).into_owned());
                log.grown.notify_all();
            }
        });
    }
}

impl Process {
    /// Starts `command`; its standard input is empty, its output becomes the log.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let log = Arc::new(Log::default());
        log.follow(child.stdout.take().expect("invariant: stdout is piped"));
        log.follow(child.stderr.take().expect("invariant: stderr is piped"));
        Process { name: name.to_owned(), child, log }
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that holds `mark` and returns what follows the mark in it.
    ///
    /// # Panics
    /// If no such line comes within `limit`.
    #[must_use]
    pub fn line(&self, mark: &str, limit: Duration) -> String {
        let clock = Clock::collector();
        let deadline = clock.now().mono + limit;
        let mut lines = self.log.lines();
        loop {
            if let Some((_, rest)) = lines.iter().find_map(|line| line.split_once(mark)) {
                return rest.to_owned();
            }
            let left = left(&clock, deadline);
            if left.is_zero() {
                // The log is shown once more when the process is dropped.
                drop(lines);
                panic!("{} did not say {mark:?} within {limit:?}", self.name);
            }
            let waited = self.log.grown.wait_timeout(lines, left);
            (lines, _) = waited.expect("invariant: no reader of a log panics");
        }
    }

    /// All lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.log.lines().clone()
    }

    /// Whether it has not ended.
    ///
    /// # Panics
    /// If the operating system does not say.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("invariant: the child is ours to wait for").is_none()
    }

    /// `kill -9` to this process alone, and waits until it is gone.
    pub fn kill(&mut self) {
        // An error says that it is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Sends SIGTERM to this process alone.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGINT to this process alone.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Sends SIGHUP to this process alone.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    fn signal(&self, signal: Signal) {
        // An error says that it is gone already.
        kill_process(self.pid(), signal).ok();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not end within `limit`.
    pub fn end(&mut self, limit: Duration) -> ExitStatus {
        let name = self.name.clone();
        until(&format!("the end of {name}"), limit, || {
            self.child.try_wait().expect("invariant: the child is ours to wait for")
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group may hold what this process started; errors say that nothing is left of it.
        kill_process_group(self.pid(), Signal::KILL).ok();
        self.child.wait().ok();
        if thread::panicking() {
            let lines = self.log.lines();
            let shown = lines.len().saturating_sub(LINES_SHOWN);
            let tail: Vec<&str> = lines.iter().skip(shown).map(String::as_str).collect();
            eprintln!("--- {} said, last:\n{}\n---", self.name, tail.join("\n"));
        }
    }
}

/// A new empty folder, removed when dropped; kept and named when its test fails.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes a folder whose name begins with `name`.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bellwether-{name}-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a temporary folder");
        Folder { path }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `name` in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes the file `name` in it and returns its path.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, content).expect("a file in a temporary folder");
        path
    }

    /// Writes a file that only its owner may read, as secrets must be, and returns its path.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write_secret(&self, name: &str, content: &str) -> PathBuf {
        let path = self.write(name, content);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a file of our own");
        path
    }

    /// Writes a file that can be run, and returns its path.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write_program(&self, name: &str, content: &str) -> PathBuf {
        let path = self.write(name, content);
        fs::set_permissions(&path, Permissions::from_mode(0o700)).expect("a file of our own");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("kept: {}", self.path.display());
        } else {
            // What cannot be removed stays in the system's temporary folder.
            fs::remove_dir_all(&self.path).ok();
        }
    }
}

/// A port of 127.0.0.1 that nothing listened on a moment ago, for peers that cannot choose one.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("the address of a bound listener").port()
}
