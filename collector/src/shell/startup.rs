//! From the command line to a plan: reads the file, the environment and what the machine says.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bellwether_model::diagnostic::Diagnostics;
use bellwether_platform::journal::Loss;
use rustix::fs::{Access, access};
use tracing::level_filters::LevelFilter;

use super::cli::Settings;
use super::serve::ServePlan;
use crate::pure::config::{self, Plan, Surroundings};

/// Read if the command line names no other and it exists.
const CONFIG: &str = "/etc/bellwether/collector.yaml";
/// The directory of all state of a system's service.
const STATE: &str = "/var/lib/bellwether";
/// How much is logged: `error`, `warn`, `info` (the default), `debug`, `trace` or `off`.
const LOG: &str = "BELLWETHER_LOG";
/// Bytes of a configuration file read; longer ones are refused by the reader.
const CONFIG_BYTES_MAX: u64 = 16 << 20;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is wrong.
    #[error("the configuration is wrong\n\n{0}")]
    Wrong(Diagnostics),
    /// The environment variable for the log is no level.
    #[error("{LOG} must be one of off, error, warn, info, debug, trace")]
    Level,
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
    let file = path.display().to_string();
    config::read(&file, &text, &surroundings(), &settings.overrides()).map_err(StartError::Wrong)
}

/// The plan as the daemon takes it.
#[must_use]
pub fn serve_plan(plan: Plan, settings: &Settings) -> ServePlan {
    ServePlan {
        listen: plan.listen,
        tls: plan.tls,
        data_dir: plan.data_dir.join("collector"),
        principals: plan.principals,
        anonymous: plan.anonymous,
        store: plan.store,
        keeper: plan.keeper,
        queries: plan.queries,
        external_labels: plan.external_labels,
        loss: if settings.accept_loss { Loss::Accept } else { Loss::Refuse },
    }
}

/// What this machine gives where the file says nothing.
#[must_use]
pub fn surroundings() -> Surroundings {
    let texts = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Surroundings { data_dir: data_dir(), environment: texts.collect() }
}

/// Reads a configuration file.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(CONFIG_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Logs to standard error from now on.
///
/// # Errors
/// [`StartError::Level`].
pub fn log() -> Result<(), StartError> {
    let level = env::var_os(LOG).filter(|level| !level.is_empty());
    let level = level.map_or(Some(LevelFilter::INFO), |level| level.to_str()?.parse().ok());
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_max_level(level.ok_or(StartError::Level)?)
        .init();
    Ok(())
}

/// The system's directory for state if this user can write there, else the user's.
fn data_dir() -> PathBuf {
    let can_write = |path: &str| access(path, Access::WRITE_OK).is_ok();
    let is_there = Path::new(STATE).exists();
    if can_write(STATE) || (!is_there && can_write("/var/lib")) {
        return STATE.into();
    }
    let home = |name| env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let state = home("XDG_STATE_HOME").or_else(|| Some(home("HOME")?.join(".local/state")));
    state.map_or_else(|| STATE.into(), |state| state.join("bellwether"))
}
