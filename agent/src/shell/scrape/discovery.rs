//! The targets of all jobs: those of the configuration, and those of files, which are read again
//! when they change.
//!
//! A file that cannot be read any more leaves the targets that it had; one that is gone takes them
//! along.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::diagnostic::Diagnostics;
use bellwether_platform::mark::Mark;
use bellwether_platform::small_file::SmallFile;
use tracing::warn;

use crate::pure::scrape::discover::{FILE_BYTES, TargetGroup, meets, read};
use crate::pure::scrape::target::{Found, ScrapeTarget, targets};
use crate::pure::scrape::{JobPlan, ScrapePlan, TARGETS_MAX};

/// Files of one agent; more are left out, in the order of their names.
const FILES_MAX: usize = 500;
/// The label that tells a target's file.
const FILE_PATH: &str = "__meta_filepath";

/// Where targets are found.
#[derive(Debug)]
pub struct Discovery {
    jobs: Vec<Arc<JobPlan>>,
    files: BTreeMap<PathBuf, Held>,
    /// What was said of files and targets the last time: it is said once.
    said: BTreeSet<String>,
}

/// A file as it was last read.
#[derive(Debug, Default)]
struct Held {
    mark: Option<Mark>,
    groups: Arc<[TargetGroup]>,
}

/// What is wrong with the files of a plan, for people.
#[derive(Debug, Default)]
pub struct Findings {
    /// Files that cannot be used: each rendered with its places.
    pub files: Vec<String>,
    /// Targets that cannot be scraped.
    pub targets: Vec<String>,
}

impl Discovery {
    /// Nothing was looked at yet.
    #[must_use]
    pub fn new(plan: &ScrapePlan) -> Discovery {
        Discovery { jobs: plan.jobs.clone(), files: BTreeMap::new(), said: BTreeSet::new() }
    }

    /// Whether there are files to look at.
    #[must_use]
    pub fn has_files(&self) -> bool {
        self.jobs.iter().any(|job| !job.files.is_empty())
    }

    /// How often files are looked at; `None` if there are none.
    #[must_use]
    pub fn refresh(&self) -> Option<Duration> {
        self.jobs.iter().flat_map(|job| &job.files).map(|files| files.refresh).min()
    }

    /// The targets that there are now.
    pub fn look(&mut self) -> Vec<ScrapeTarget> {
        let mut findings = Findings::default();
        self.read_files(&mut findings);
        let targets = self.targets(&mut findings);
        self.say(findings);
        targets
    }

    /// The targets, if a file has changed, come or gone.
    pub fn look_again(&mut self) -> Option<Vec<ScrapeTarget>> {
        let mut findings = Findings::default();
        let has_changed = self.read_files(&mut findings);
        let targets = has_changed.then(|| self.targets(&mut findings));
        if has_changed || !findings.files.is_empty() {
            self.say(findings);
        }
        targets
    }

    /// What is wrong with files and targets, each file read once.
    #[must_use]
    pub fn check(plan: &ScrapePlan) -> Findings {
        let mut findings = Findings::default();
        let mut discovery = Discovery::new(plan);
        discovery.read_files(&mut findings);
        discovery.targets(&mut findings);
        findings
    }

    /// Logs what was not found the last time.
    fn say(&mut self, findings: Findings) {
        let before = std::mem::take(&mut self.said);
        for reason in findings.files {
            if !before.contains(&reason) {
                warn!(%reason, "file with targets cannot be used");
            }
            self.said.insert(reason);
        }
        for reason in findings.targets {
            if !before.contains(&reason) {
                warn!(%reason, "target cannot be scraped");
            }
            self.said.insert(reason);
        }
    }

    /// Reads files that have changed. Returns whether something is different.
    fn read_files(&mut self, findings: &mut Findings) -> bool {
        let patterns = self.jobs.iter().flat_map(|job| &job.files).flat_map(|f| &f.patterns);
        let mut paths: BTreeSet<PathBuf> = patterns.flat_map(|p| expanded(p)).collect();
        while paths.len() > FILES_MAX {
            if let Some(path) = paths.pop_last() {
                findings.files.push(format!("{}: more than {FILES_MAX} files", path.display()));
            }
        }
        let before = self.files.len();
        self.files.retain(|path, _| paths.contains(path));
        let mut has_changed = before != self.files.len();
        for path in paths {
            let mark = Mark::at(&path);
            let held = self.files.get(&path);
            if held.is_some_and(|held| mark.is_some() && held.mark == mark) {
                continue;
            }
            match file(&path) {
                Ok(groups) => {
                    let is_same = held.is_some_and(|held| *held.groups == *groups);
                    has_changed |= !is_same;
                    self.files.insert(path, Held { mark, groups: groups.into() });
                }
                Err(reason) => {
                    findings.files.push(reason);
                    // What it had stays; it is read again when it changes, or can be read.
                    self.files.entry(path).or_default().mark = mark;
                }
            }
        }
        has_changed
    }

    fn targets(&self, findings: &mut Findings) -> Vec<ScrapeTarget> {
        let mut all: Vec<ScrapeTarget> = Vec::new();
        let mut seen = BTreeSet::new();
        for job in &self.jobs {
            let mut groups = job.groups.clone();
            for pattern in job.files.iter().flat_map(|files| &files.patterns) {
                for (path, held) in &self.files {
                    if is_of(pattern, path) {
                        groups.extend(held.groups.iter().cloned());
                    }
                }
            }
            let Found { targets, wrong } = targets(job, &groups);
            let name = &job.name;
            let words = wrong.into_iter().map(|(to, why)| format!("job {name}, {to}: {why}"));
            findings.targets.extend(words);
            if job.target_limit > 0 && targets.len() > job.target_limit {
                let (found, max) = (targets.len(), job.target_limit);
                let words = format!("job {name}: {found} targets, target_limit is {max}");
                findings.targets.push(words);
                continue;
            }
            for target in targets {
                if !seen.insert(target.labels.clone()) {
                    let words = format!("job {name}: another target is {}", target.labels);
                    findings.targets.push(words);
                } else if all.len() == TARGETS_MAX {
                    let words = format!("job {name}: more than {TARGETS_MAX} targets in all");
                    findings.targets.push(words);
                    return all;
                } else {
                    all.push(target);
                }
            }
        }
        all
    }
}

fn file(path: &Path) -> Result<Vec<TargetGroup>, String> {
    let shown = path.display().to_string();
    let bytes = SmallFile::open(path).map_err(|error| error.to_string());
    let bytes = bytes.and_then(|file| file.read(FILE_BYTES).map_err(|error| error.to_string()));
    let text = bytes.and_then(|b| String::from_utf8(b).map_err(|_| "it is not UTF-8".to_owned()));
    let text = text.map_err(|reason| format!("{shown}: {reason}"))?;
    let first = |problems: Diagnostics| problems.to_string();
    let mut groups = read(&shown, &text).map_err(first)?;
    for group in &mut groups {
        group.labels.retain(|(name, _)| name != FILE_PATH);
        group.labels.push((FILE_PATH.to_owned(), shown.clone()));
    }
    Ok(groups)
}

/// Folder and pattern of a name.
fn parts(pattern: &str) -> (&Path, &str) {
    match pattern.rsplit_once('/') {
        Some(("", name)) => (Path::new("/"), name),
        Some((folder, name)) => (Path::new(folder), name),
        None => (Path::new("."), pattern),
    }
}

fn expanded(pattern: &str) -> Vec<PathBuf> {
    let (folder, name) = parts(pattern);
    if !name.contains(['*', '?']) {
        return vec![PathBuf::from(pattern)];
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let folder = pattern.rsplit_once('/').map_or("", |(folder, _)| folder);
    let rooted = pattern.contains('/');
    let path =
        |found: String| PathBuf::from(if rooted { format!("{folder}/{found}") } else { found });
    names.filter(|found| meets(name, found)).map(path).collect()
}

fn is_of(pattern: &str, path: &Path) -> bool {
    let Some(text) = path.to_str() else { return false };
    match (pattern.rsplit_once('/'), text.rsplit_once('/')) {
        (Some((folder, name)), Some((of, found))) => folder == of && meets(name, found),
        (None, None) => meets(pattern, text),
        _ => false,
    }
}
