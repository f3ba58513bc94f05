//! Rule files: found, read, and made into the groups that are run.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bellwether_model::diagnostic::{Diagnostic, Diagnostics};
use bellwether_rules::file::{self, RuleFile};
use bellwether_rules::packs;

use super::files::{found, text};
use crate::pure::config::{RulesPlan, UNREADABLE};
use crate::pure::control::PlannedGroup;
use crate::pure::control::evaluation::GroupKey;

/// What a file's text came to: its rules with warnings, or every problem.
pub type Checked<T> = Result<T, Diagnostics>;

/// All groups of a plan, and warnings about them.
///
/// # Errors
/// What cannot be read, and every problem of what can.
pub fn load(plan: &RulesPlan) -> Result<(Vec<PlannedGroup>, Diagnostics), Diagnostics> {
    let mut problems = Diagnostics::default();
    let mut files = Vec::new();
    let mut unreadable = Vec::new();
    let mut take = |checked: Checked<(RuleFile, Diagnostics)>| match checked {
        Ok((file, found)) => {
            problems.extend(found);
            files.push(file);
        }
        Err(found) => problems.extend(found),
    };
    for pack in &plan.packs {
        let text = packs::pack(pack).expect("invariant: the configuration names packs there are");
        take(file::read(&format!("pack:{pack}"), text));
    }
    let mut paths = BTreeSet::new();
    for pattern in &plan.files {
        found(pattern).map_or_else(|error| unreadable.push(error), |found| paths.extend(found));
    }
    for path in &paths {
        read(path).map_or_else(|error| unreadable.push(error), &mut take);
    }
    for error in unreadable {
        problems.push(Diagnostic::error(UNREADABLE, None, format!("{error:#}")));
    }
    if problems.has_errors() {
        return Err(problems);
    }
    Ok((files.into_iter().flat_map(|file| planned(plan, file)).collect(), problems))
}

/// The groups of a file, with what the configuration says where the file says nothing.
fn planned(plan: &RulesPlan, file: RuleFile) -> impl Iterator<Item = PlannedGroup> {
    let (interval, offset) = (plan.interval, plan.query_offset);
    file.groups.into_iter().map(move |mut group| {
        group.query_offset = group.query_offset.or(Some(offset));
        PlannedGroup {
            key: GroupKey { file: Arc::clone(&file.name), name: group.name.as_str().into() },
            interval: group.interval.unwrap_or(interval),
            rules: Arc::new(group),
        }
    })
}

/// Reads a rule file.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> anyhow::Result<Checked<(RuleFile, Diagnostics)>> {
    Ok(file::read(&path.display().to_string(), &text(path)?))
}
