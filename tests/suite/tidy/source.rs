//! One file of the tree as the rules see it: its text, and for Rust its code alone.

use std::path::Path;

/// A file of the repository.
#[derive(Debug)]
pub(crate) struct Source {
    /// Path from the root of the repository, with forward slashes.
    pub(crate) path: String,
    /// Length in bytes.
    pub(crate) size: usize,
    /// The text, or nothing if the file is not UTF-8.
    pub(crate) text: String,
    /// For Rust: the text with comments, literals and in-file tests blanked; lines stay in place.
    pub(crate) code: String,
    /// For Rust: the text without its literals, which rustfmt does not break.
    pub(crate) breakable: String,
    /// For Rust: lines before the in-file tests.
    pub(crate) code_lines: usize,
}

impl Source {
    /// A file from its path and content.
    pub(crate) fn new(path: &str, content: Vec<u8>) -> Source {
        let size = content.len();
        let text = String::from_utf8(content).unwrap_or_default();
        let mut source = Source {
            path: path.to_owned(),
            size,
            text,
            code: String::new(),
            breakable: String::new(),
            code_lines: 0,
        };
        if source.is_rust() {
            let mut code = blank_comments_and_literals(&source.text);
            if let Some(start) = code.find("#[cfg(test)]\nmod tests {") {
                code.truncate(start);
            }
            source.code_lines = code.lines().count();
            source.code = code;
            source.breakable = without_literals(&source.text);
        }
        source
    }

    /// Whether this is Rust.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether this file holds tests and what serves only them.
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "testing.rs"))
    }

    /// Whether this is code of the pure part: a pure package, or a `pure/` tree of a daemon.
    pub(crate) fn is_pure(&self) -> bool {
        let pure = ["model/src/", "rules/src/", "rules/promql/src/"];
        let daemon = ["agent/src/pure", "collector/src/pure"];
        self.is_rust()
            && !self.is_test()
            && pure.iter().chain(&daemon).any(|prefix| self.path.starts_with(prefix))
    }

    /// Whether this is the root module of a library.
    pub(crate) fn is_library_root(&self) -> bool {
        self.path.ends_with("src/lib.rs")
    }

    /// Identifiers of the code with the lines they stand on, in order.
    pub(crate) fn words(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().flat_map(|(at, line)| {
            line.split(|c: char| !c.is_alphanumeric() && c != '_')
                .filter(|word| !word.is_empty())
                .map(move |word| (at + 1, word))
        })
    }

    /// Names of the functions whose text holds any of `needles`; imports above them do not count.
    pub(crate) fn functions_with(&self, needles: &[&str]) -> Vec<String> {
        let is_start = |line: &str| {
            let line = line.trim_start().trim_start_matches("pub(crate) ");
            line.trim_start_matches("pub ").trim_start_matches("const ").starts_with("fn ")
        };
        let mut functions: Vec<String> = Vec::new();
        let mut current = String::new();
        for line in self.code.lines() {
            if is_start(line) {
                let after = line.split("fn ").nth(1).unwrap_or_default();
                current = after.split(['(', '<']).next().unwrap_or_default().to_owned();
            }
            let reads = needles.iter().any(|needle| has_path(line, needle));
            if reads && !current.is_empty() && functions.last() != Some(&current) {
                functions.push(current.clone());
            }
        }
        functions
    }
}

/// Whether `text` holds `path` (such as `Instant::now`) not as a part of a longer word.
pub(crate) fn has_path(text: &str, path: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(path).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + path.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Every file of the tree, without what git made and without folders marked as caches, such as
/// cargo's.
pub(crate) fn all(root: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let kind = entry.file_type().unwrap();
            if name == ".git" || entry.path().join("CACHEDIR.TAG").exists() {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.push(Source::new(&path, std::fs::read(entry.path()).unwrap()));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// The text with every comment and literal replaced by blanks.
fn blank_comments_and_literals(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for token in tokens(text) {
        if is_comment(token.as_bytes()) || is_literal(token) {
            out.extend(token.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            out.push_str(token);
        }
    }
    out
}

/// The text without its literals.
fn without_literals(text: &str) -> String {
    let keep = |token: &str| match is_literal(token) {
        true => "\n".repeat(token.matches('\n').count()),
        false => token.to_owned(),
    };
    tokens(text).map(keep).collect()
}

/// Comments and literals whole, everything else character by character.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (before, rest) = text.as_bytes().split_at(at);
        let length = (!rest.is_empty()).then(|| token_length(rest, before.last().copied()))?;
        at += length;
        text.get(at - length..at)
    })
}

/// Whether a token is a string or a character.
fn is_literal(token: &str) -> bool {
    token.len() > 1 && !is_comment(token.as_bytes()) && token.ends_with(['"', '\'', '#'])
}

fn is_comment(rest: &[u8]) -> bool {
    rest.starts_with(b"//") || rest.starts_with(b"/*")
}

/// Length of the comment, the literal or the single character that `rest` begins with.
fn token_length(rest: &[u8], before: Option<u8>) -> usize {
    let in_word = before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    if rest.starts_with(b"//") {
        return rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return block_comment_length(rest);
    }
    if let Some(length) = (!in_word).then(|| raw_string_length(rest)).flatten() {
        return length;
    }
    match rest[0] {
        b'"' => quoted_length(rest, b'"'),
        // A lifetime has no closing quote within reach of one character.
        b'\'' if rest.get(1) == Some(&b'\\') => quoted_length(rest, b'\''),
        b'\'' => {
            let width = std::str::from_utf8(&rest[1..rest.len().min(9)])
                .map_or_else(|e| e.valid_up_to(), str::len);
            let first = std::str::from_utf8(&rest[1..1 + width]).unwrap_or_default();
            let length = first.chars().next().map_or(1, char::len_utf8);
            if rest.get(1 + length) == Some(&b'\'') { length + 2 } else { 1 }
        }
        byte if byte.is_ascii() => 1,
        _ => (1..rest.len()).find(|at| rest[*at] & 0xC0 != 0x80).unwrap_or(rest.len()),
    }
}

fn block_comment_length(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Length of a raw string (`r"…"`, `br#"…"#`), if `rest` begins with one.
fn raw_string_length(rest: &[u8]) -> Option<usize> {
    let marks = if rest.starts_with(b"br") { 2 } else { usize::from(rest.starts_with(b"r")) };
    let hashes = rest[marks..].iter().take_while(|b| **b == b'#').count();
    if marks == 0 || rest.get(marks + hashes) != Some(&b'"') {
        return None;
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let start = marks + hashes + 1;
    let end = rest[start..].windows(close.len()).position(|window| window == close)?;
    Some(start + end + close.len())
}

fn quoted_length(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}
