//! The hook of the demo: `bellwether-hook` as a child process, with a script that switches the
//! proxy's file.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use bellwether_platform::disk::{Disk, DiskError, RealDisk, make_dir, replace_file};
use rustix::fs::{Mode, chmod};
use tokio::process::{Child, Command};

/// Which versions get requests; the newest stands last.
pub(super) const SERVING: &str = "serving";
/// What the hook is called.
pub(super) const NAME: &str = "demo";

const SCRIPT: &str = "#!/bin/sh
# Written anew by each `bellwether up --demo`. Which versions get requests stands in a file.
set -eu
file=$(dirname -- \"$0\")/serving
case \"${1:-}\" in
    observe) sed 's/.* //' \"$file\" ;;
    *) printf '%s\\n' \"$BELLWETHER_TO\" >\"$file.new\" && mv -- \"$file.new\" \"$file\" ;;
esac
";

/// The files of the hook, below a directory.
pub(super) struct Files {
    /// The hook's configuration.
    pub(super) config: PathBuf,
    /// Which versions get requests.
    pub(super) serving: PathBuf,
}

/// Writes the script, the file that it switches, and the hook's configuration.
///
/// # Errors
/// The disk failed.
pub(super) fn write(
    dir: &Path,
    collector: SocketAddr,
    (token_file, secret): (&Path, &str),
    versions: &[&str],
) -> Result<Files, DiskError> {
    make_dir(&RealDisk, dir)?;
    let (script, serving) = (dir.join("switch.sh"), dir.join(SERVING));
    let (config, secret_file) = (dir.join("hook.yaml"), dir.join("hook.key"));
    replace_file(&RealDisk, &script, SCRIPT.as_bytes())?;
    replace_file(&RealDisk, &serving, format!("{}\n", versions.join(" ")).as_bytes())?;
    replace_file(&RealDisk, &secret_file, secret.as_bytes())?;
    for (path, mode) in [(&script, Mode::RWXU), (&secret_file, Mode::RUSR | Mode::WUSR)] {
        // A program that cannot be started is told by the hook itself.
        chmod(path, mode).ok();
    }
    let mut text = String::from("# Written anew by each `bellwether up --demo`.\n");
    let (token, script) = (token_file.display(), script.display());
    writeln!(text, "collector: {{url: 'http://{collector}', token_file: '{token}'}}").ok();
    writeln!(text, "name: {NAME}\nsecret_file: '{}'", secret_file.display()).ok();
    writeln!(text, "state_dir: '{}'\nallow:", dir.join("hook").display()).ok();
    writeln!(text, "- service: demo\n  environment: demo").ok();
    writeln!(text, "  versions: '[0-9.]+'\n  rollback: {{run: ['{script}']}}").ok();
    writeln!(text, "  observe: {{run: ['{script}', observe]}}").ok();
    RealDisk.create(&config)?.write_at(text.as_bytes(), 0)?;
    Ok(Files { config, serving })
}

/// Starts the hook; it ends with what is returned.
///
/// # Errors
/// It cannot be started.
pub(super) fn start(program: &Path, files: &Files) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.arg("run").arg("--config").arg(&files.config);
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn()
}
