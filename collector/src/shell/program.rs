//! Where the other programs are: named, beside this one, or in `PATH`.

use std::env;
use std::io;
use std::path::{Path, PathBuf, absolute};

use rustix::fs::{Access, access};

/// The agent's.
pub const AGENT: &str = "bellwether-agent";
/// The hook's.
pub const HOOK: &str = "bellwether-hook";

/// There is no such program to start.
#[derive(Debug, thiserror::Error)]
pub enum NoProgram {
    /// The one that was named.
    #[error("{} is not a program", .0.display())]
    Named(PathBuf),
    /// None anywhere.
    #[error("there is no {name} beside this program or in PATH{}", match *name {
        AGENT => "; name it with --agent-bin",
        _ => "",
    })]
    Nowhere {
        /// Its name.
        name: &'static str,
    },
    /// The working directory is gone.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Finds the program of a name, or takes the one that is named.
///
/// # Errors
/// [`NoProgram`].
pub fn find(name: &'static str, named: Option<&Path>) -> Result<PathBuf, NoProgram> {
    if let Some(named) = named {
        // A path, not a name to be looked up in PATH.
        let path = absolute(named)?;
        return if is_program(&path) { Ok(path) } else { Err(NoProgram::Named(path)) };
    }
    let beside = env::current_exe().ok().map(|own| own.with_file_name(name));
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = env::split_paths(&path).filter(|dir| dir.is_absolute());
    let mut places = beside.into_iter().chain(dirs.map(|dir| dir.join(name)));
    places.find(|place| is_program(place)).ok_or(NoProgram::Nowhere { name })
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
        assert_eq!(find(AGENT, Some(&own)).unwrap(), own);
        for wrong in [own.parent().unwrap(), Path::new("/nowhere/agent"), Path::new(AGENT)] {
            let error = find(AGENT, Some(wrong)).unwrap_err();
            assert!(matches!(error, NoProgram::Named(_)), "{error}");
        }
    }
}
