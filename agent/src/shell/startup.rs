//! From the command line to a plan: reads the file, the environment and what the machine says of
//! itself.

use std::path::{Path, PathBuf};

use bellwether_model::diagnostic::Diagnostics;
use bellwether_platform::small_file::SmallFile;
use bellwether_platform::surroundings::{self, Unreadable};

use crate::pure::config::{self, Overrides, Plan, Surroundings};
use crate::pure::input::Facts;
use crate::pure::scan;
use crate::shell::cli::Settings;
use crate::shell::host::Roots;

/// Read if the command line names no other and it exists.
const CONFIG: &str = "/etc/bellwether/agent.yaml";

/// Bytes of a host's name and a newline.
const NAME_BYTES: usize = 4096;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The file is wrong.
    #[error("{0}")]
    Wrong(Diagnostics),
}

/// The plan, with warnings about it.
///
/// # Errors
/// The file cannot be read, or something in it is wrong.
pub fn plan(settings: &Settings) -> Result<(Plan, Diagnostics), StartError> {
    let (file, text) = surroundings::config_file(settings.config.as_deref(), CONFIG)?;
    let around = around(&settings.roots());
    config::read(&file, &text, &around, &settings.overrides()).map_err(StartError::Wrong)
}

/// The directory of the agent that a configuration file describes.
///
/// # Errors
/// The file cannot be read, or something in it is wrong.
pub fn state_dir(config: Option<&Path>) -> Result<PathBuf, StartError> {
    let (file, text) = surroundings::config_file(config, CONFIG)?;
    let around = around(&Roots::default());
    let plan = config::read(&file, &text, &around, &Overrides::default());
    plan.map(|(plan, _)| plan.agent.state_dir).map_err(StartError::Wrong)
}

/// What does not change while the agent runs, but for its incarnation.
#[must_use]
pub fn facts() -> Facts {
    let machine = rustix::system::uname().machine().to_string_lossy().into_owned();
    let page_bytes = u64::try_from(rustix::param::page_size()).unwrap_or(0);
    Facts { machine, page_bytes, ..Facts::default() }
}

fn around(roots: &Roots) -> Surroundings {
    Surroundings {
        host_name: host_name(roots),
        data_dir: surroundings::state_dir(),
        environment: surroundings::environment(),
    }
}

/// The name of the host whose `/proc` is given, else of this one.
fn host_name(roots: &Roots) -> String {
    let file = SmallFile::open(&roots.proc.join("sys/kernel/hostname"));
    let file = file.ok().and_then(|file| file.read(NAME_BYTES).ok()).unwrap_or_default();
    match scan::trim(&file) {
        b"" => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        name => String::from_utf8_lossy(name).into_owned(),
    }
}
