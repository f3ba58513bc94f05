//! Targets as they are discovered: written in the configuration, or in files as Prometheus'
//! `file_sd_configs` reads them, YAML or JSON, which is YAML too.

use bellwether_model::config::{Value, code, parse_within};
use bellwether_model::diagnostic::{Diagnostic, Diagnostics, Source};

/// Bytes of one file with targets.
pub const FILE_BYTES: usize = 4 << 20;

/// Targets that share labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetGroup {
    /// Host and port of each.
    pub targets: Vec<String>,
    /// Labels of all of them before relabelling.
    pub labels: Vec<(String, String)>,
}

/// Reads a file: a list of mappings with `targets` and perhaps `labels`.
///
/// # Errors
/// Every problem of the file; nothing of it is used then.
pub fn read(path: &str, text: &str) -> Result<Vec<TargetGroup>, Diagnostics> {
    let source = Source::new(path, text);
    let (root, mut problems) = parse_within(source, FILE_BYTES);
    let Some(root) = root else { return Err(problems) };
    let mut groups = Vec::new();
    let mut wrong = |place, message: &str| {
        problems.push(Diagnostic::error(code::WRONG_TYPE, Some(place), message.to_owned()));
    };
    match root.value {
        Value::List(items) => {
            for item in items {
                let Value::Mapping(entries) = item.value else {
                    wrong(item.place, "an item must be a mapping with `targets` and `labels`");
                    continue;
                };
                let mut group = TargetGroup::default();
                for entry in entries {
                    match (entry.key.as_str(), entry.node.value) {
                        ("targets", Value::List(targets)) => {
                            for target in targets {
                                match target.value {
                                    Value::Scalar { text, .. } => group.targets.push(text),
                                    _ => wrong(target.place, "a target must be a text"),
                                }
                            }
                        }
                        ("labels", Value::Mapping(labels)) => {
                            for label in labels {
                                match label.node.value {
                                    Value::Scalar { text, .. } => {
                                        group.labels.push((label.key, text));
                                    }
                                    _ => wrong(label.place, "a label must be a text"),
                                }
                            }
                        }
                        ("labels" | "targets", Value::Scalar { text, quoted: false })
                            if matches!(text.as_str(), "" | "null" | "~") => {}
                        ("targets", _) => wrong(entry.place, "`targets` must be a list"),
                        ("labels", _) => wrong(entry.place, "`labels` must be a mapping"),
                        (key, _) => wrong(entry.place, &format!("unknown key `{key}`")),
                    }
                }
                groups.push(group);
            }
        }
        Value::Mapping(entries) if entries.is_empty() => {}
        _ => wrong(root.place, "the file must be a list of mappings with `targets`"),
    }
    if problems.has_errors() { Err(problems) } else { Ok(groups) }
}

/// Whether a name meets a pattern in which `*` stands for any letters and `?` for one.
#[must_use]
pub fn meets(pattern: &str, name: &str) -> bool {
    // Where the last star stood, and what it has taken so far.
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n, mut star) = (0, 0, None);
    while let Some(byte) = name.get(n) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(b'?') => (p, n) = (p + 1, n + 1),
            Some(other) if other == byte => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, n) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

/// Whether Prometheus takes a path as one of files with targets: stars in the last part only, and
/// a name that ends as YAML or JSON does.
#[must_use]
pub fn is_pattern(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let ends = [".json", ".yml", ".yaml", ".JSON", ".YML", ".YAML"];
    !folder.contains('*') && ends.iter().any(|end| name.len() > end.len() && name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_yaml_and_json() {
        let yaml = "- targets: ['a:1', b:2]\n  labels: {x: '1', y: yes}\n- targets:\n  labels:\n";
        let json =
            r#"[{"targets": ["a:1", "b:2"], "labels": {"x": "1", "y": "yes"}}, {"targets": null}]"#;
        let text = str::to_owned;
        let first = TargetGroup {
            targets: vec![text("a:1"), text("b:2")],
            labels: vec![(text("x"), text("1")), (text("y"), text("yes"))],
        };
        let expected = vec![first, TargetGroup::default()];
        assert_eq!(read("t.yml", yaml).unwrap(), expected);
        assert_eq!(read("t.json", json).unwrap(), expected);
        assert_eq!(read("t.yml", "").unwrap(), []);
        for (text, words) in [
            ("targets: [a]\n", "t.yml:1:1: error[cfg008]: the file must be a list"),
            ("- a\n", "t.yml:1:3: error[cfg008]: an item must be a mapping"),
            ("- {targets: a}\n", "t.yml:1:4: error[cfg008]: `targets` must be a list"),
            ("- {targets: [[a]]}\n", "error[cfg008]: a target must be a text"),
            ("- {labels: [a]}\n", "error[cfg008]: `labels` must be a mapping"),
            ("- {labels: {a: {}}}\n", "error[cfg008]: a label must be a text"),
            ("- {target: [a]}\n", "error[cfg008]: unknown key `target`"),
        ] {
            let problems = read("t.yml", text).unwrap_err();
            let all: Vec<String> = problems.into_iter().map(|p| p.to_string()).collect();
            assert!(all.iter().any(|line| line.contains(words)), "{text}: {all:?}");
        }
    }

    #[test]
    fn names_meet_patterns() {
        for (pattern, name, does) in [
            ("*.yml", "a.yml", true),
            ("*.yml", ".yml", true),
            ("a*b*c.json", "axxbxbyc.json", true),
            ("a*b*c.json", "axxbxby.json", false),
            ("a?.yml", "ab.yml", true),
            ("a?.yml", "a.yml", false),
            ("a.yml", "a.yml", true),
            ("a.yml", "a.ymlx", false),
            ("**", "", true),
        ] {
            assert_eq!(meets(pattern, name), does, "{pattern} {name}");
        }
        for (path, is) in [
            ("/etc/t/*.yml", true),
            ("t.json", true),
            ("/etc/*/a.yml", false),
            ("/etc/t/*.txt", false),
            ("/etc/t/.yml", false),
        ] {
            assert_eq!(is_pattern(path), is, "{path}");
        }
    }
}
