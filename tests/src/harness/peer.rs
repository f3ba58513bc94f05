//! Where the programs are: our daemons, built as they now stand, and other people's.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// One of our daemons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Daemon {
    /// `bellwether`.
    Collector,
    /// `bellwether-agent`.
    Agent,
    /// `bellwether-hook`.
    Hook,
}

/// The path of a daemon, built beside the running test with the same profile.
///
/// # Panics
/// If cargo cannot build it.
#[must_use]
pub fn daemon(which: Daemon) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(build).join(match which {
        Daemon::Collector => "bellwether",
        Daemon::Agent => "bellwether-agent",
        Daemon::Hook => "bellwether-hook",
    })
}

/// Builds the daemons, so that no test runs yesterday's, and returns the folder they are in.
fn build() -> PathBuf {
    let test = env::current_exe().expect("the path of the running test");
    let folder = test.parent().and_then(Path::parent).expect("target/<profile>/deps/<test>");
    let mut cargo = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    // What was built before, so that nothing is compiled twice: all targets by `tests/run.sh`, the
    // programs by `tests/bench.sh`.
    cargo.args(["build", "--workspace", "--offline", "--quiet"]);
    cargo.args(match folder.ends_with("release") {
        true => ["--bins", "--release"].as_slice(),
        false => &["--all-targets"],
    });
    cargo.arg("--target-dir").arg(folder.parent().expect("the folder of all profiles"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    // What cargo told this test of its package; build scripts that look at the like would run anew,
    // and all that stands on them.
    let told = ["CARGO_MANIFEST_", "CARGO_PKG_"];
    for (name, _) in env::vars_os() {
        if told.iter().any(|of_us| name.to_string_lossy().starts_with(of_us)) {
            cargo.env_remove(name);
        }
    }
    let output = cargo.output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder.to_path_buf()
}

/// The path of someone else's program, if it is installed.
#[must_use]
pub fn peer(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Says that a test did not run and why, in the line that `tests/run.sh` counts.
pub fn skip(reason: &str) {
    // Past libtest's capture, which shows nothing of a test that returns.
    let line = format!("\nskipped: {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error");
}
