//! The section `rules`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwether_model::config::{Fields, code};
use bellwether_model::diagnostic::{Code, Diagnostic};
use bellwether_rules::packs;

use crate::pure::control::schedule::INTERVAL_MIN;

/// `col004`: a rule file is not there, or cannot be read.
pub const UNREADABLE: Code = Code { name: "col004", meaning: "a rule file cannot be read" };

const INTERVAL: Duration = Duration::from_secs(15);
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 3600);
const OFFSET_MAX: Duration = Duration::from_secs(3600);

/// Which rules are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesPlan {
    /// Files, directories, paths with stars.
    pub files: Vec<PathBuf>,
    /// Names of packs that come with the program.
    pub packs: Vec<String>,
    /// Of groups that say none.
    pub interval: Duration,
    /// Of groups that say none.
    pub query_offset: Duration,
}

impl Default for RulesPlan {
    fn default() -> RulesPlan {
        RulesPlan {
            files: Vec::new(),
            packs: Vec::new(),
            interval: INTERVAL,
            query_offset: Duration::ZERO,
        }
    }
}

pub(super) fn describe(f: &mut Fields<'_>) -> RulesPlan {
    const HELP: &str =
        "Rule files, directories of them, or paths with stars, from this file's directory on.";
    let files = files(f, HELP);
    let packs = f.list("packs", "Packs of rules that come with the program.", |item| {
        let name = item.text();
        if packs::pack(&name).is_none() {
            let known: Vec<&str> = packs::ALL.iter().map(|(known, _)| *known).collect();
            let message = format!("there is no pack `{name}`");
            let problem = Diagnostic::error(code::INVALID, Some(item.place()), message);
            item.push(problem.with_help(format!("there are: {}", known.join(", "))));
        }
        name
    });
    let packs = packs.or(Vec::new());
    let interval = f
        .duration("interval", "Between evaluations of groups that say none.")
        .between(INTERVAL_MIN, INTERVAL_MAX)
        .or(INTERVAL);
    let query_offset = f
        .duration("query_offset", "How much earlier than their slot such groups read.")
        .between(Duration::ZERO, OFFSET_MAX)
        .or(Duration::ZERO);
    RulesPlan { files, packs, interval, query_offset }
}

/// The key `files`: paths, from the directory of the configuration file on.
pub(super) fn files(f: &mut Fields<'_>, help: &'static str) -> Vec<PathBuf> {
    let files = f.list("files", help, |item| {
        let beside = Path::new(&*item.place().file).parent().map(Path::to_path_buf);
        beside.unwrap_or_default().join(item.text())
    });
    files.or(Vec::new())
}
