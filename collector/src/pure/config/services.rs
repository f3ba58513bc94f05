//! The section `services`: where services and environments are described.

use std::path::PathBuf;

use bellwether_model::config::{Fields, code};
use bellwether_model::diagnostic::{Code, Diagnostic};

use super::rules::files;

/// `col005`: a service file is not there, or cannot be read.
pub const SERVICE_UNREADABLE: Code =
    Code { name: "col005", meaning: "a service file cannot be read" };

/// Where services and environments are described.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServicesPlan {
    /// Files, directories, paths with stars.
    pub files: Vec<PathBuf>,
}

pub(super) fn describe(f: &mut Fields<'_>) -> ServicesPlan {
    const HELP: &str = "Files of services and environments, directories of them, or paths with \
                        stars, from this file's directory on.";
    ServicesPlan { files: files(f, HELP) }
}

/// There is one place for environments, and it is not the configuration.
pub(super) fn no_environments(fields: &mut Fields<'_>) {
    const KEY: &str = "environments";
    // Named, so that it is told once; what stands in it is not looked at.
    if fields.has(KEY) {
        drop(fields.map(KEY, "", |_, _| ()));
        let message = "`environments` are not described here";
        let problem = Diagnostic::error(code::INVALID, fields.place_of(KEY), message);
        fields.push(problem.with_help(
            "each has a file of its own, `environment: NAME`, among those that `services.files` \
             names",
        ));
    }
}
