//! From the command line to a plan: reads the file, the environment and what the machine says of
//! itself.

use std::io;
use std::path::{Path, PathBuf};

use bellwether_model::diagnostic::Diagnostics;
use rustix::fs::{Access, access};

use crate::pure::config::{self, Plan, Surroundings};
use crate::pure::input::Facts;
use crate::pure::scan;
use crate::shell::cli::Settings;
use crate::shell::host::Roots;

/// Read if the command line names no other and it exists.
const CONFIG: &str = "/etc/bellwether/agent.yaml";
/// The directory of all state of a system's service.
const STATE: &str = "/var/lib/bellwether";
/// Bytes of a configuration file read; longer ones are refused by the reader.
const CONFIG_BYTES_MAX: u64 = 16 << 20;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is wrong.
    #[error("{0}")]
    Wrong(Diagnostics),
}

/// The plan, with warnings about it.
///
/// # Errors
/// The file cannot be read, or something in it is wrong.
pub fn plan(settings: &Settings) -> Result<(Plan, Diagnostics), StartError> {
    let path = settings.config.clone().unwrap_or_else(|| CONFIG.into());
    let text = match read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && settings.config.is_none() => {
            String::new()
        }
        Err(error) => return Err(StartError::Unreadable { path, error }),
    };
    let surroundings = Surroundings {
        host_name: host_name(&settings.roots()),
        data_dir: data_dir(),
        environment: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
    };
    let file = path.display().to_string();
    config::read(&file, &text, &surroundings, &settings.overrides()).map_err(StartError::Wrong)
}

/// What does not change while the agent runs, but for its incarnation.
#[must_use]
pub fn facts() -> Facts {
    let machine = rustix::system::uname().machine().to_string_lossy().into_owned();
    let page_bytes = u64::try_from(rustix::param::page_size()).unwrap_or(0);
    Facts { machine, page_bytes, ..Facts::default() }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    io::Read::read_to_string(
        &mut io::Read::take(std::fs::File::open(path)?, CONFIG_BYTES_MAX),
        &mut text,
    )?;
    Ok(text)
}

/// The name of the host whose `/proc` is given, else of this one.
fn host_name(roots: &Roots) -> String {
    let file = std::fs::read(roots.proc.join("sys/kernel/hostname")).unwrap_or_default();
    match scan::trim(&file) {
        b"" => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        name => String::from_utf8_lossy(name).into_owned(),
    }
}

/// The system's directory for state if this user can write there, else the user's.
fn data_dir() -> PathBuf {
    let can_write = |path: &str| access(path, Access::WRITE_OK).is_ok();
    let is_there = Path::new(STATE).exists();
    if can_write(STATE) || (!is_there && can_write("/var/lib")) {
        return STATE.into();
    }
    let home = |name| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let state = home("XDG_STATE_HOME").or_else(|| Some(home("HOME")?.join(".local/state")));
    state.map_or_else(|| STATE.into(), |state| state.join("bellwether"))
}
