//! What a daemon finds where it starts: its configuration file, its environment, the directory for
//! its state.

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::small_file;

/// The directory of all state of a system's service.
const STATE: &str = "/var/lib/bellwether";
/// Bytes of a configuration file; longer ones are refused.
const CONFIG_BYTES_MAX: usize = 16 << 20;

/// A configuration file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {error}", path.display())]
pub struct Unreadable {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

/// The name and the text of a configuration file. The default one may be missing: it is empty then.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub fn config_file(named: Option<&Path>, default: &str) -> Result<(String, String), Unreadable> {
    let path = named.map_or_else(|| default.into(), Path::to_path_buf);
    let text = match read_text(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => String::new(),
        Err(error) => return Err(Unreadable { path, error }),
    };
    Ok((path.display().to_string(), text))
}

/// Reads a configuration file. Never waits for a pipe.
///
/// # Errors
/// It cannot be read, is no regular file, or not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    small_file::read_text(path, CONFIG_BYTES_MAX)
}

/// The environment variables that are text.
#[must_use]
pub fn environment() -> BTreeMap<String, String> {
    let texts = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    texts.collect()
}

/// The system's directory for state if this user can write there, else the user's.
#[must_use]
pub fn state_dir() -> PathBuf {
    let can_write = |path: &str| access(path, Access::WRITE_OK).is_ok();
    let is_there = Path::new(STATE).exists();
    if can_write(STATE) || (!is_there && can_write("/var/lib")) {
        return STATE.into();
    }
    let home = |name| env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let state = home("XDG_STATE_HOME").or_else(|| Some(home("HOME")?.join(".local/state")));
    state.map_or_else(|| STATE.into(), |state| state.join("bellwether"))
}
