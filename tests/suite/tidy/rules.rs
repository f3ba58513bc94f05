//! The rules over one file, as a table.

use super::source::{Source, has_path};

/// One house rule.
pub(crate) struct Rule {
    /// What a finding is called.
    pub(crate) name: &'static str,
    /// Every place where a file breaks the rule.
    pub(crate) find: fn(&Source) -> Vec<Finding>,
    /// A file (path, content) that the rule must catch.
    pub(crate) caught: Sample,
    /// A file close to it that the rule must let pass.
    pub(crate) passed: Sample,
}

/// A small file for a rule's own test. Parts of the content are joined, so that this file does not
/// itself contain what the rules look for.
pub(crate) type Sample = (&'static str, Joined);

#[derive(Clone, Copy)]
pub(crate) struct Joined(&'static [&'static str], usize);

impl Joined {
    /// The content: the parts joined, repeated as often as the rule's test needs.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0.concat().repeat(self.1).into_bytes()
    }
}

/// A place where a rule is broken.
#[derive(Debug)]
pub(crate) struct Finding {
    /// Line, from 1.
    pub(crate) line: usize,
    /// What stands there, and what to write instead.
    pub(crate) what: String,
}

/// Reads of the operating system's clock.
pub(crate) const CLOCK_READS: &[&str] =
    &["SystemTime::now", "Instant::now", "clock_gettime", "gettimeofday"];

const LINES_MAX: usize = 600;
const COLUMNS_MAX: usize = 100;
const BLOB_BYTES_MAX: usize = 256 * 1024;

/// What pure code may not name, and what it uses instead.
const BARRED_IN_PURE: &[(&str, &str)] = &[
    ("tokio", "return an effect; the shell waits"),
    ("async", "return an effect; the shell waits"),
    ("await", "return an effect; the shell waits"),
    ("std::fs", "take bytes; the shell reads files"),
    ("std::net", "return an effect; the shell has the sockets; addresses are in `core::net`"),
    ("std::thread", "take a `Pool`; the shell has the threads"),
    ("std::process", "return an effect; the shell starts programs"),
    ("std::env", "take the value as an argument"),
    ("tracing", "put the explanation into the outcome"),
    ("println", "put the explanation into the outcome"),
    ("eprintln", "put the explanation into the outcome"),
    ("SystemTime", "take `now: Timestamp`"),
    ("std::time::Instant", "take `now: Mono`"),
    ("rand", "take a seed"),
    ("getrandom", "take the bytes as an argument"),
    ("RandomState", "use BTreeMap, or a hasher built from a seed"),
    ("std::collections::HashMap", "use BTreeMap, or a hasher built from a seed"),
    ("std::collections::HashSet", "use BTreeSet, or a hasher built from a seed"),
    ("thread_local", "make it a field of the machine"),
    ("static mut", "make it a field of the machine"),
    ("lazy_static", "build it once and pass it in"),
    ("LazyLock", "build it once and pass it in"),
    ("LazyCell", "build it once and pass it in"),
    ("OnceLock", "build it once and pass it in"),
    ("OnceCell", "build it once and pass it in"),
];

/// Floating-point methods whose last bit depends on the machine; `libm` has them all.
const BARRED_FLOATS: &[&str] = &[
    "ln", "ln_1p", "log", "log2", "log10", "exp", "exp2", "exp_m1", "powf", "powi", "sin", "cos",
    "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh",
    "cbrt", "hypot", "sin_cos",
];

const BARRED_NAMES: &[&str] = &[
    "manager",
    "managers",
    "helper",
    "helpers",
    "util",
    "utils",
    "utility",
    "utilities",
    "common",
    "core",
    "prelude",
];

/// Marks of unfinished work, in two parts so that this file does not hold them.
const MARKS: &[(&str, &str)] = &[
    ("TO", "DO"),
    ("FIX", "ME"),
    ("XX", "X:"),
    ("#[ign", "ore"),
    ("todo", "!("),
    ("unimplem", "ented!("),
];

const SYNCS: &[&str] =
    &["sync_all", "sync_data", "fsync", "fdatasync", "syncfs", "sync_file_range"];

/// Writes to files, all of which belong to `Disk`.
const WRITES: &[&str] = &[
    "File::create",
    "File::create_new",
    "write(true)",
    "append(true)",
    "create(true)",
    "create_new(true)",
    "truncate(true)",
    "fs::write",
    "fs::rename",
    "fs::copy",
    "fs::remove_file",
    "fs::remove_dir_all",
    "fs::create_dir",
    "fs::create_dir_all",
    "fs::hard_link",
];

/// Directories of one person's machine, in two parts for the same reason.
const MACHINE_PATHS: &[(&str, &str)] =
    &[("/wo", "rk/"), ("/ho", "me/"), ("/tmp/bash", "_jobs"), ("/Us", "ers/")];

/// Every rule over one file.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "pure code names an impure thing",
        find: barred_in_pure,
        caught: ("agent/src/pure/x.rs", Joined(&["use std::{collections::HashMap, fmt};"], 1)),
        passed: ("agent/src/shell/x.rs", Joined(&["use std::collections::HashMap;"], 1)),
    },
    Rule {
        name: "pure code computes with the machine's floats",
        find: barred_floats,
        caught: ("model/src/x.rs", Joined(&["let y = x.ln() + f64::exp(x);"], 1)),
        passed: ("model/src/x.rs", Joined(&["let y = libm::log(x) + x.sqrt(); // x.ln()"], 1)),
    },
    Rule {
        name: "file too long",
        find: too_long,
        caught: ("model/src/x.rs", Joined(&["a();\n"], LINES_MAX + 1)),
        passed: ("model/src/x.rs", Joined(&["a();\n"], LINES_MAX)),
    },
    Rule {
        name: "line too long",
        find: too_wide,
        caught: ("model/src/x.rs", Joined(&["é"], COLUMNS_MAX + 1)),
        passed: ("model/src/x.rs", Joined(&["é"], COLUMNS_MAX)),
    },
    Rule {
        name: "name that says nothing",
        find: barred_names,
        caught: ("agent/src/disk_utils.rs", Joined(&["struct RuleManager;"], 1)),
        passed: ("agent/src/disk.rs", Joined(&["use core::fmt; struct Scores; fn common() {}"], 1)),
    },
    Rule {
        name: "unfinished work",
        find: marks,
        caught: ("README.md", Joined(&["- TO", "DO: write this"], 1)),
        passed: ("README.md", Joined(&["autodo is a word"], 1)),
    },
    Rule {
        name: "blob too large",
        find: blobs,
        caught: ("tests/x.bin", Joined(&["."], BLOB_BYTES_MAX + 1)),
        passed: ("tests/x.bin", Joined(&["."], BLOB_BYTES_MAX)),
    },
    Rule {
        name: "module file of the old kind",
        find: old_module_files,
        caught: ("agent/src/pure/mod.rs", Joined(&[""], 1)),
        passed: ("agent/src/pure/model.rs", Joined(&[""], 1)),
    },
    Rule {
        name: "sync without a SyncPoint",
        find: syncs,
        caught: ("platform/src/journal.rs", Joined(&["file.sync_all()?;"], 1)),
        passed: ("platform/src/disk/real.rs", Joined(&["file.sync_all()?;"], 1)),
    },
    Rule {
        name: "write past the Disk",
        find: writes,
        caught: ("agent/src/shell/identity.rs", Joined(&["std::fs::write(path, bytes)?;"], 1)),
        passed: ("agent/src/shell/identity.rs", Joined(&["std::fs::read(path)?;"], 1)),
    },
    Rule {
        name: "clock read outside platform/src/clock",
        find: clock_reads,
        caught: ("collector/src/shell/x.rs", Joined(&["let now = std::time::Instant::now();"], 1)),
        passed: ("platform/src/clock.rs", Joined(&["let now = std::time::Instant::now();"], 1)),
    },
    Rule {
        name: "path of one machine",
        find: machine_paths,
        caught: ("README.md", Joined(&["see /ho", "me/me/x"], 1)),
        passed: ("README.md", Joined(&["see https://example.org/ho", "me/ and /var/lib"], 1)),
    },
    Rule {
        name: "public items may lack documentation",
        find: missing_docs,
        caught: ("collector/store/src/lib.rs", Joined(&["//! #![warn(missing_docs)]"], 1)),
        passed: ("collector/store/src/lib.rs", Joined(&["#![warn(missing_docs)]"], 1)),
    },
];

fn finding(line: usize, what: impl Into<String>) -> Finding {
    Finding { line, what: what.into() }
}

/// One finding per line of `text` for which `what` has something to say.
fn by_line(text: &str, what: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let lines = text.lines().enumerate();
    lines.filter_map(|(at, line)| what(line).map(|what| finding(at + 1, what))).collect()
}

fn barred_in_pure(file: &Source) -> Vec<Finding> {
    if !file.is_pure() {
        return Vec::new();
    }
    let mut findings = by_line(&file.code, |line| {
        let (word, instead) = BARRED_IN_PURE.iter().find(|(word, _)| has_path(line, word))?;
        Some(format!("`{word}`: {instead}"))
    });
    // Grouped imports: `use std::{fs, collections::HashMap}` names the same things.
    for (at, path) in grouped_imports(&file.code) {
        if let Some((word, instead)) = BARRED_IN_PURE.iter().find(|(word, _)| has_path(&path, word))
        {
            findings.push(finding(at, format!("`{word}`: {instead}")));
        }
    }
    findings
}

/// Each leaf of each braced `use std::{…}` of the code as a whole path, with its line.
fn grouped_imports(code: &str) -> Vec<(usize, String)> {
    let mut leaves = Vec::new();
    for (start, _) in code.match_indices("use std::") {
        let line = code[..start].lines().count().max(1);
        let tree = code[start + 4..].split(';').next().unwrap_or_default();
        let tree: String = tree.split_whitespace().collect();
        if !tree.contains('{') {
            continue;
        }
        let (mut stack, mut prefix, mut leaf) = (Vec::new(), String::new(), String::new());
        for c in tree.chars() {
            match c {
                '{' => {
                    stack.push(prefix.clone());
                    prefix = format!("{prefix}{leaf}");
                    leaf.clear();
                }
                ',' | '}' => {
                    if !leaf.is_empty() {
                        leaves.push((line, format!("{prefix}{leaf}")));
                        leaf.clear();
                    }
                    if c == '}' {
                        prefix = stack.pop().unwrap_or_default();
                    }
                }
                c => leaf.push(c),
            }
        }
    }
    leaves
}

fn barred_floats(file: &Source) -> Vec<Finding> {
    if !file.is_pure() {
        return Vec::new();
    }
    by_line(&file.code, |line| {
        let name = BARRED_FLOATS.iter().find(|name| {
            line.contains(&format!(".{name}(")) || has_path(line, &format!("f64::{name}"))
        })?;
        Some(format!("`{name}` of f64: use the function of `libm`"))
    })
}

fn too_long(file: &Source) -> Vec<Finding> {
    let is_tests = file.path.ends_with("/tests.rs") || file.path.contains("/tests/");
    if file.code_lines <= LINES_MAX || is_tests {
        return Vec::new();
    }
    vec![finding(LINES_MAX, format!("{} lines of at most {LINES_MAX}", file.code_lines))]
}

fn too_wide(file: &Source) -> Vec<Finding> {
    by_line(&file.breakable, |line| {
        let columns = line.chars().count();
        (columns > COLUMNS_MAX).then(|| format!("{columns} columns of at most {COLUMNS_MAX}"))
    })
}

/// Splits `RuleManager`, `rule_manager` or `rule-manager.rs` into lower-case words.
fn name_words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if !c.is_alphanumeric() || c.is_uppercase() {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words.last_mut().unwrap().extend(c.to_lowercase());
        }
    }
    words
}

fn barred_names(file: &Source) -> Vec<Finding> {
    let is_barred =
        |name: &str| name_words(name).iter().any(|w| BARRED_NAMES.contains(&w.as_str()));
    let mut findings = Vec::new();
    // Fixtures have the kernel's names.
    if !file.path.contains("/fixtures/") && file.path.split('/').any(is_barred) {
        findings.push(finding(1, format!("the path {}: say what it does", file.path)));
    }
    let mut before = "";
    for (line, word) in file.words() {
        let declares = matches!(before, "mod" | "struct" | "enum" | "trait" | "type" | "union");
        if declares && is_barred(word) {
            findings.push(finding(line, format!("`{word}`: say what it does")));
        }
        before = word;
    }
    findings
}

fn marks(file: &Source) -> Vec<Finding> {
    if matches!(file.path.as_str(), "Cargo.lock" | "LICENSE") {
        return Vec::new();
    }
    by_line(&file.text, |line| {
        let (head, tail) = MARKS.iter().find(|(head, tail)| {
            let mark = format!("{head}{tail}");
            line.contains(&mark)
        })?;
        Some(format!("`{head}{tail}`: do it, or open an issue"))
    })
}

fn blobs(file: &Source) -> Vec<Finding> {
    let too_large = file.size > BLOB_BYTES_MAX;
    too_large.then(|| finding(1, format!("{} bytes", file.size))).into_iter().collect()
}

fn old_module_files(file: &Source) -> Vec<Finding> {
    let is_old = file.path.rsplit('/').next() == Some("mod.rs");
    is_old.then(|| finding(1, "write foo.rs beside foo/")).into_iter().collect()
}

fn syncs(file: &Source) -> Vec<Finding> {
    if file.path.starts_with("platform/src/disk") {
        return Vec::new();
    }
    let found = file.words().filter(|(_, word)| SYNCS.contains(word));
    found.map(|(line, word)| finding(line, format!("`{word}`: sync through `Disk`"))).collect()
}

fn writes(file: &Source) -> Vec<Finding> {
    if file.path.starts_with("platform/src/disk") || file.is_test() {
        return Vec::new();
    }
    by_line(&file.code, |line| {
        let name = WRITES.iter().find(|name| has_path(line, name))?;
        Some(format!("`{name}`: write through `Disk`"))
    })
}

fn clock_reads(file: &Source) -> Vec<Finding> {
    if file.path.starts_with("platform/src/clock") {
        return Vec::new();
    }
    by_line(&file.code, |line| {
        let name = CLOCK_READS.iter().find(|name| has_path(line, name))?;
        Some(format!("`{name}`: take `now` as an argument"))
    })
}

fn machine_paths(file: &Source) -> Vec<Finding> {
    by_line(&file.text, |line| {
        let (head, tail) = MACHINE_PATHS.iter().find(|(head, tail)| {
            let path = format!("{head}{tail}");
            // A part of a URL is preceded by its host.
            line.match_indices(&path).any(|(at, _)| {
                !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-*]}".contains(c))
            })
        })?;
        Some(format!("`{head}{tail}…` exists on one machine only"))
    })
}

fn missing_docs(file: &Source) -> Vec<Finding> {
    let documented = ["model/", "rules/", "rules/promql/", "collector/store/"];
    let applies =
        file.is_library_root() && documented.iter().any(|d| file.path == format!("{d}src/lib.rs"));
    if !applies || file.code.contains("#![warn(missing_docs)]") {
        return Vec::new();
    }
    vec![finding(1, "write #![warn(missing_docs)] at the top")]
}
