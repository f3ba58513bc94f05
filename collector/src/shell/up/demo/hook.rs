//! The hook of the demo: `bellwether-hook` as a child process, with a script that switches traffic.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use bellwether_platform::disk::{Disk, DiskError, RealDisk, make_dir, replace_file};
use rustix::fs::{Mode, chmod};
use tokio::process::{Child, Command};

/// Which versions get requests of the demo's own proxy; the newest stands last.
const SERVING: &str = "serving";
/// What the hook is called.
pub(super) const NAME: &str = "demo";

/// Switches the demo's own proxy.
pub(super) const SCRIPT: &str = "#!/bin/sh
# Written anew by each `bellwether up --demo`. Which versions get requests stands in a file.
set -eu
file=$(dirname -- \"$0\")/serving
case \"${1:-}\" in
    observe) sed 's/.* //' \"$file\" ;;
    *) printf '%s\\n' \"$BELLWETHER_TO\" >\"$file.new\" && mv -- \"$file.new\" \"$file\" ;;
esac
";

/// The script that switches traffic, and what it is given before the action.
pub(super) struct Switch {
    pub(super) script: &'static str,
    pub(super) arguments: Vec<String>,
}

/// Writes the file that the demo's own proxy follows.
///
/// # Errors
/// The disk failed.
pub(super) fn write_serving(
    dir: &Path,
    versions: &[(String, SocketAddr)],
) -> Result<PathBuf, DiskError> {
    let file = dir.join(SERVING);
    let names: Vec<&str> = versions.iter().map(|(version, _)| version.as_str()).collect();
    replace_file(&RealDisk, &file, format!("{}\n", names.join(" ")).as_bytes())?;
    Ok(file)
}

/// Writes the script and the hook's configuration, whose file it gives.
///
/// # Errors
/// The disk failed.
pub(super) fn write(
    dir: &Path,
    collector: SocketAddr,
    (token_file, secret): (&Path, &str),
    switch: &Switch,
) -> Result<PathBuf, DiskError> {
    make_dir(&RealDisk, dir)?;
    let script = dir.join("switch.sh");
    let (config, secret_file) = (dir.join("hook.yaml"), dir.join("hook.key"));
    replace_file(&RealDisk, &script, switch.script.as_bytes())?;
    replace_file(&RealDisk, &secret_file, secret.as_bytes())?;
    for (path, mode) in [(&script, Mode::RWXU), (&secret_file, Mode::RUSR | Mode::WUSR)] {
        // A program that cannot be started is told by the hook itself.
        chmod(path, mode).ok();
    }
    let mut text = String::from("# Written anew by each `bellwether up --demo`.\n");
    let token = token_file.display();
    let mut run = format!("'{}'", script.display());
    switch.arguments.iter().for_each(|argument| run += &format!(", '{argument}'"));
    writeln!(text, "collector: {{url: 'http://{collector}', token_file: '{token}'}}").ok();
    writeln!(text, "name: {NAME}\nsecret_file: '{}'", secret_file.display()).ok();
    writeln!(text, "state_dir: '{}'\nallow:", dir.join("hook").display()).ok();
    writeln!(text, "- service: demo\n  environment: demo").ok();
    writeln!(text, "  versions: '[0-9.]+'\n  rollback: {{run: [{run}, rollback]}}").ok();
    writeln!(text, "  observe: {{run: [{run}, observe]}}").ok();
    RealDisk.create(&config)?.write_at(text.as_bytes(), 0)?;
    Ok(config)
}

/// Starts the hook; it ends with what is returned.
///
/// # Errors
/// It cannot be started.
pub(super) fn start(program: &Path, config: &Path) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.arg("run").arg("--config").arg(config);
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn()
}
