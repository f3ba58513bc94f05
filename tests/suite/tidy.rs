//! The house rules that a compiler does not know, read from the sources themselves.
//!
//! Every rule is one entry of [`rules::RULES`]: a name, a finder over one file, a text that must be
//! found and a text that must not. Rules over the whole tree (edges of packages, paths named in
//! ARCHITECTURE.md, reads of the clock) are tests of their own below. Formatting and lengths of
//! functions belong to rustfmt and clippy.

mod rules;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use rules::RULES;
use source::Source;

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

#[test]
fn every_rule_can_fail() {
    for rule in RULES {
        let (path, text) = rule.caught;
        let bad = Source::new(path, text.into_bytes());
        assert!(!(rule.find)(&bad).is_empty(), "{} does not find its own bad text", rule.name);
        let (path, text) = rule.passed;
        let good = Source::new(path, text.into_bytes());
        let found = (rule.find)(&good);
        assert!(found.is_empty(), "{} finds fault with its good text: {found:?}", rule.name);
    }
}

#[test]
fn the_tree_is_tidy() {
    let files = source::all(&root());
    assert!(files.len() > 30, "the walk over the tree found only {} files", files.len());
    let mut report = String::new();
    for file in &files {
        for rule in RULES {
            for finding in (rule.find)(file) {
                let line = finding.line;
                report += &format!("{}:{line}: {}: {}\n", file.path, rule.name, finding.what);
            }
        }
    }
    assert!(report.is_empty(), "house rules are broken:\n{report}");
}

/// What each package may depend on (DESIGN §1): edges not listed are refused, for tests too.
const EDGES: &[(&str, &str, &[&str])] = &[
    ("bellwether-model", "model", &[]),
    ("bellwether-platform", "platform", &["bellwether-model"]),
    ("bellwether-promql", "rules/promql", &["bellwether-model"]),
    ("bellwether-rules", "rules", &["bellwether-model", "bellwether-promql"]),
    ("bellwether-store", "collector/store", &["bellwether-model", "bellwether-platform"]),
    ("bellwether-agent", "agent", &["bellwether-model", "bellwether-platform"]),
    (
        "bellwether-collector",
        "collector",
        &[
            "bellwether-model",
            "bellwether-platform",
            "bellwether-promql",
            "bellwether-rules",
            "bellwether-store",
        ],
    ),
    ("bellwether-tests", "tests", ANYTHING),
];
const ANYTHING: &[&str] = &[
    "bellwether-model",
    "bellwether-platform",
    "bellwether-promql",
    "bellwether-rules",
    "bellwether-store",
    "bellwether-agent",
    "bellwether-collector",
];

/// What is wrong with the packages of a `cargo metadata` document, as sentences.
fn wrong_edges(metadata: &serde_json::Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        seen.insert(name);
        let Some((_, folder, allowed)) = EDGES.iter().find(|(package, ..)| *package == name) else {
            wrong.push(format!("package {name} is not in the table of edges"));
            continue;
        };
        let manifest = package["manifest_path"].as_str().unwrap();
        if !manifest.ends_with(&format!("/{folder}/Cargo.toml")) {
            wrong.push(format!("package {name} is at {manifest}, not in {folder}/"));
        }
        for dependency in package["dependencies"].as_array().unwrap() {
            let to = dependency["name"].as_str().unwrap();
            let kind = dependency["kind"].as_str().unwrap_or("normal");
            if !dependency["path"].is_null() && !allowed.contains(&to) {
                wrong.push(format!("{name} may not depend on {to} ({kind})"));
            }
        }
    }
    for (name, ..) in EDGES.iter().filter(|(name, ..)| !seen.contains(name)) {
        wrong.push(format!("package {name} is gone"));
    }
    wrong
}

#[test]
fn packages_depend_only_along_the_allowed_edges() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(wrong_edges(&metadata), Vec::<String>::new());

    // The check can fail: a backward edge and a package out of place are both named.
    let packages = metadata["packages"].as_array_mut().unwrap();
    let model = packages.iter_mut().find(|p| p["name"] == "bellwether-model").unwrap();
    model["manifest_path"] = "/elsewhere/Cargo.toml".into();
    model["dependencies"] =
        serde_json::json!([{"name": "bellwether-platform", "kind": "dev", "path": "/platform"}]);
    assert_eq!(wrong_edges(&metadata).len(), 2);
}

/// Paths that a Markdown text names in backticks: words with a slash that do not start with one,
/// with `{a,b}` written out.
fn named_paths(text: &str) -> BTreeSet<String> {
    let is_path = |word: &&str| {
        word.contains('/')
            && !word.starts_with('/')
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "._-/{},".contains(c))
    };
    let mut paths = BTreeSet::new();
    for word in text.split('`').skip(1).step_by(2).filter(is_path) {
        match (word.find('{'), word.find('}')) {
            (Some(open), Some(close)) if open < close => {
                for choice in word[open + 1..close].split(',') {
                    paths.insert(format!("{}{choice}{}", &word[..open], &word[close + 1..]));
                }
            }
            _ => {
                paths.insert(word.to_owned());
            }
        }
    }
    paths
}

#[test]
fn architecture_names_paths_that_exist() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    // A fenced block would shift the pairs of backticks.
    let outside: String = text.split("```").step_by(2).collect();
    let paths = named_paths(&outside);
    assert!(paths.len() > 5, "ARCHITECTURE.md names hardly any path: {paths:?}");
    let files = source::all(&root());
    // Only files count: an empty folder is not in a clone. `pure/` alone stands in several places.
    let exists = |path: &str| {
        let folder = format!("{}/", path.trim_end_matches('/'));
        let anywhere = format!("/{folder}");
        files.iter().any(|file| {
            file.path == path
                || file.path.starts_with(&folder)
                || path.ends_with('/') && file.path.contains(&anywhere)
        })
    };
    let gone: Vec<_> = paths.iter().filter(|path| !exists(path)).collect();
    assert!(gone.is_empty(), "ARCHITECTURE.md names what does not exist: {gone:?}");

    let found = named_paths("`a/b.rs` and `c/{d,e}.rs`, not `/api/v1`, `x::y/z` or f/g");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a/b.rs", "c/d.rs", "c/e.rs"]);
}

#[test]
fn two_functions_read_the_clock() {
    let mut readers: BTreeMap<String, usize> = BTreeMap::new();
    for file in source::all(&root()).iter().filter(|f| f.path.starts_with("platform/src/clock")) {
        for function in file.functions_with(rules::CLOCK_READS) {
            *readers.entry(format!("{}: {function}", file.path)).or_default() += 1;
        }
    }
    assert!((1..=2).contains(&readers.len()), "functions that read the clock: {readers:?}");

    let text = "fn a() { clock_gettime(Monotonic) }\nfn b() { a() }\nfn c() { Instant::now() }";
    let file = Source::new("platform/src/clock.rs", text.into());
    assert_eq!(file.functions_with(rules::CLOCK_READS), ["a", "c"]);
}

#[test]
fn comments_strings_and_tests_are_not_code() {
    let text = [
        r##"let a = "tokio"; // tokio"##,
        r##"let b = r#"to"kio"#; /* a /* b */ tokio */ c('"', "\"tokio");"##,
        "fn f<'a>(x: &'a str) {}",
        "#[cfg(test)]\nmod tests {\n    tokio\n}",
    ]
    .join("\n");
    let file = Source::new("model/src/x.rs", text.into());
    assert!(!file.code.contains("tokio"), "{}", file.code);
    assert!(file.code.contains("fn f<'a>(x: &'a str) {}"), "{}", file.code);
    assert_eq!(file.code_lines, 3);
}
