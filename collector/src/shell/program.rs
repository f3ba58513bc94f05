//! Where the agent's program is: named, beside this one, or in `PATH`.

use std::env;
use std::io;
use std::path::{Path, PathBuf, absolute};

use rustix::fs::{Access, access};

const NAME: &str = "bellwether-agent";

/// There is no agent to start.
#[derive(Debug, thiserror::Error)]
pub enum NoAgent {
    /// The one that was named.
    #[error("{} is not a program", .0.display())]
    Named(PathBuf),
    /// None anywhere.
    #[error("there is no {NAME} beside this program or in PATH; name it with --agent-bin")]
    Nowhere,
    /// The working directory is gone.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Finds the agent's program.
///
/// # Errors
/// [`NoAgent`].
pub fn find(named: Option<&Path>) -> Result<PathBuf, NoAgent> {
    if let Some(named) = named {
        // A path, not a name to be looked up in PATH.
        let path = absolute(named)?;
        return if is_program(&path) { Ok(path) } else { Err(NoAgent::Named(path)) };
    }
    let beside = env::current_exe().ok().map(|own| own.with_file_name(NAME));
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = env::split_paths(&path).filter(|dir| dir.is_absolute());
    let mut places = beside.into_iter().chain(dirs.map(|dir| dir.join(NAME)));
    places.find(|place| is_program(place)).ok_or(NoAgent::Nowhere)
}

fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_must_be_a_program() {
        let own = env::current_exe().unwrap();
        assert_eq!(find(Some(&own)).unwrap(), own);
        for wrong in [own.parent().unwrap(), Path::new("/nowhere/agent"), Path::new(NAME)] {
            let error = find(Some(wrong)).unwrap_err();
            assert!(matches!(error, NoAgent::Named(_)), "{error}");
        }
    }
}
