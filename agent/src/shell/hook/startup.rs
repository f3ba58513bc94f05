//! From the command line to a plan, and what of the plan lies outside the file: programs and the
//! key.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bellwether_model::config::{Secret, SecretSource};
use bellwether_model::diagnostic::{Diagnostic, Diagnostics};
use bellwether_platform::sign::SigningKey;
use bellwether_platform::small_file::SmallFile;
use bellwether_platform::surroundings;
use rustix::fs::{Access, access};

use super::cli;
use crate::pure::hook::config::{self, PROGRAM, Plan, ProgramPlan};
use crate::shell::startup::StartError;

/// Read if the command line names no other.
const CONFIG: &str = "/etc/bellwether/hook.yaml";
const KEY_BYTES_MAX: usize = 1024;

/// The plan, with warnings about it.
///
/// # Errors
/// The file cannot be read, or something in it is wrong.
pub fn plan(file: &cli::File) -> Result<(Plan, Diagnostics), StartError> {
    let path = file.config.as_deref().unwrap_or(Path::new(CONFIG));
    let (name, text) = surroundings::config_file(Some(path), CONFIG)?;
    let read = config::read(&name, &text, &surroundings::environment());
    let (plan, mut warnings) = read.map_err(StartError::Wrong)?;
    for entry in &plan.allow {
        for program in [&entry.rollback, &entry.hold, &entry.observe].into_iter().flatten() {
            if let Err(words) = look(program) {
                let problem = Diagnostic::warning(PROGRAM, program.place.clone(), words);
                warnings.push(problem);
            }
        }
    }
    Ok((plan, warnings))
}

/// Whether a program can be started, and only by those who should decide what it does.
fn look(program: &ProgramPlan) -> Result<(), String> {
    let path = Path::new(program.run.first().map_or("", String::as_str));
    let shown = path.display();
    let meta = fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?;
    if !meta.is_file() || access(path, Access::EXEC_OK).is_err() {
        return Err(format!("{shown} is no program that this user can start"));
    }
    if meta.mode() & 0o002 != 0 {
        return Err(format!("{shown} can be changed by everyone"));
    }
    Ok(())
}

/// The key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Its file cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// Others may use it.
    #[error("{0} can be read by everyone; run chmod 600 on it")]
    OpenToOthers(String),
    /// It is none.
    #[error("the key {0}")]
    Bad(#[from] bellwether_platform::sign::BadKey),
}

/// The key that signals are signed with, read at each use.
///
/// # Errors
/// [`KeyError`].
pub fn key(secret: &Secret) -> Result<SigningKey, KeyError> {
    let path = match secret.reveal() {
        SecretSource::Text(text) => return Ok(SigningKey::parse(text)?),
        SecretSource::File(path) => path,
    };
    let shown = || path.display().to_string();
    let unreadable = |error| KeyError::Unreadable { path: shown(), error };
    let file = SmallFile::open(path).map_err(unreadable)?;
    if file.meta().mode() & 0o007 != 0 {
        return Err(KeyError::OpenToOthers(shown()));
    }
    let bytes = file.read(KEY_BYTES_MAX).map_err(|reason| unreadable(reason.into()))?;
    Ok(SigningKey::parse(&String::from_utf8_lossy(&bytes))?)
}
