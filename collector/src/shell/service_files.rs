//! Files of services and environments: found, read, and put together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_model::config::Environment;
use bellwether_model::diagnostic::{Diagnostic, Diagnostics};
use bellwether_rules::service::{self, Catalogue};

use super::files::{found, text};
use crate::pure::config::{Plan, SERVICE_UNREADABLE};
use crate::pure::services::Services;

/// All that a configuration describes, and warnings about it.
///
/// # Errors
/// What cannot be read, and every problem of what can.
pub fn load(plan: &Plan, variables: &Environment) -> Result<(Services, Diagnostics), Diagnostics> {
    let mut unreadable = Vec::new();
    let mut paths = BTreeSet::new();
    for pattern in &plan.services.files {
        found(pattern).map_or_else(|error| unreadable.push(error), |found| paths.extend(found));
    }
    let hooks = plan.hooks.names();
    let built = together(&paths.into_iter().collect::<Vec<_>>(), Some(&hooks), variables);
    let (mut problems, catalogue) = match built {
        Ok((catalogue, warnings)) => (warnings, Some(catalogue)),
        Err(problems) => (problems, None),
    };
    for error in unreadable {
        problems.push(Diagnostic::error(SERVICE_UNREADABLE, None, format!("{error:#}")));
    }
    match catalogue {
        Some(catalogue) if !problems.has_errors() => Ok((Services { catalogue, hooks }, problems)),
        _ => Err(problems),
    }
}

/// Files put together; `hooks` are those that are configured, `None` if that is not known.
///
/// # Errors
/// What cannot be read, and every problem of what can.
pub fn together(
    paths: &[PathBuf],
    hooks: Option<&BTreeSet<Arc<str>>>,
    variables: &Environment,
) -> Result<(Catalogue, Diagnostics), Diagnostics> {
    let mut problems = Diagnostics::default();
    let mut files = Vec::new();
    for path in paths {
        match read(path, variables) {
            Ok((file, warnings)) => {
                problems.extend(warnings);
                files.push(file);
            }
            Err(found) => problems.extend(found),
        }
    }
    // What can be read is put together all the same, so that all problems are told at once; but
    // what seems to be missing may stand in a file that is wrong.
    match Catalogue::build(files, hooks) {
        Ok(_) if problems.has_errors() => Err(problems),
        Ok((catalogue, warnings)) => {
            problems.extend(warnings);
            Ok((catalogue, problems))
        }
        Err(found) => {
            problems.extend(found);
            Err(problems)
        }
    }
}

fn read(
    path: &Path,
    variables: &Environment,
) -> Result<(service::ServiceFile, Diagnostics), Diagnostics> {
    let text = text(path).map_err(|error| {
        let mut problems = Diagnostics::default();
        problems.push(Diagnostic::error(SERVICE_UNREADABLE, None, format!("{error:#}")));
        problems
    })?;
    service::read(&path.display().to_string(), &text, variables)
}
