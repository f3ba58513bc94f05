//! Files that a configuration or a command line names: found, and read.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bellwether_platform::small_file::read_text;

/// Bytes of a file; the readers' own bounds are below.
const FILE_BYTES: usize = 64 << 20;
/// Directories within directories, and files of one star.
const DEPTH: usize = 8;
const MATCHES_MAX: usize = 10_000;

/// The files of one item of the configuration: a file, a directory, or a path with stars. A path
/// without stars must be there.
///
/// # Errors
/// It is not there, a directory without such files, or cannot be read.
pub(super) fn found(pattern: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    if pattern.to_str().is_some_and(|text| text.contains(['*', '?'])) {
        for path in matched(pattern)? {
            collect_within(&path, &mut paths)?;
        }
    } else {
        collect_within(pattern, &mut paths)?;
    }
    Ok(paths)
}

/// A file's text. Never waits for a pipe.
///
/// # Errors
/// It cannot be read, is no regular file, or too long.
pub(super) fn text(path: &Path) -> anyhow::Result<String> {
    read_text(path, FILE_BYTES).with_context(|| path.display().to_string())
}

/// The files that a path stands for, those of a directory in order, without hidden ones.
///
/// # Errors
/// It is not there, or a directory without files that end in `.yml` or `.yaml`.
pub(super) fn collect_within(path: &Path, paths: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    collect(path, DEPTH, paths)
}

fn collect(path: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let about = || path.display().to_string();
    if !fs::metadata(path).with_context(about)?.is_dir() {
        paths.push(path.to_owned());
        return Ok(());
    }
    if depth == 0 {
        bail!("{}: more than {DEPTH} directories within each other", path.display());
    }
    let before = paths.len();
    for entry in names(path)? {
        let entry = path.join(entry);
        let is_yaml = entry.extension().is_some_and(|ending| ending == "yml" || ending == "yaml");
        if entry.is_dir() || is_yaml {
            collect(&entry, depth - 1, paths)?;
        }
    }
    if depth == DEPTH && paths.len() == before {
        bail!("{}: no file there ends in .yml or .yaml", path.display());
    }
    Ok(())
}

/// The names in a directory, sorted.
fn names(path: &Path) -> anyhow::Result<BTreeSet<String>> {
    let about = || path.display().to_string();
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(path).with_context(about)? {
        names.extend(entry.with_context(about)?.file_name().into_string());
    }
    // A directory that Kubernetes mounts has all its files once more in hidden ones.
    names.retain(|name| !name.starts_with('.'));
    Ok(names)
}

/// The files that a path with stars stands for, sorted. A star is any part of one name; what is
/// not there is no file.
///
/// # Errors
/// A directory cannot be read, or too many files are like it.
pub(super) fn matched(pattern: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let part = Path::new(part.as_os_str());
        let star = part.to_str().filter(|text| text.contains(['*', '?']));
        let mut next = Vec::new();
        for base in found {
            let Some(star) = star else {
                next.push(base.join(part));
                continue;
            };
            let base = if base.as_os_str().is_empty() { PathBuf::from(".") } else { base };
            let names = if base.is_dir() { names(&base)? } else { BTreeSet::new() };
            next.extend(
                names.iter().filter(|name| is_like(star, name)).map(|name| base.join(name)),
            );
            if next.len() > MATCHES_MAX {
                bail!("{}: more than {MATCHES_MAX} files are like it", pattern.display());
            }
        }
        found = next;
    }
    Ok(found.into_iter().filter(|path| path.exists()).collect())
}

/// Whether a name is like a pattern: `*` is any text, `?` any one character.
fn is_like(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut read) = (0, 0);
    // Where the last star stands, and how much of the name it covers at least.
    let mut star = None;
    while read < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || name.get(read) == Some(wanted) => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((after, covered)) = star else { return false };
                star = Some((after, covered + 1));
                (at, read) = (after + 1, covered + 1);
            }
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_part_of_a_name() {
        for (pattern, name, like) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("a*c?.yml", "abbcd.yml", true),
            ("a*c?.yml", "abbc.yml", false),
            ("*", "", true),
            ("ä?", "äö", true),
        ] {
            assert_eq!(is_like(pattern, name), like, "{pattern} {name}");
        }
    }
}
