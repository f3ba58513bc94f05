//! Reads files whose format others have set: each key is asked for once, what nobody asked for is
//! unknown, and every problem is kept with its place. Texts mean what is written: there are no
//! variables.

use std::str::FromStr;
use std::time::Duration;

use bellwether_model::config::{Entry, Node, Value, parse_within};
use bellwether_model::diagnostic::{Code, Diagnostic, Diagnostics, Place, Source, nearest};
use bellwether_model::duration;

macro_rules! codes {
    ($($constant:ident $name:literal $meaning:literal;)*) => {
        $(#[doc = concat!("`", $name, "`: ", $meaning)]
        pub(crate) const $constant: Code = Code { name: $name, meaning: $meaning };)*

        /// All codes of rule files and their tests, in order.
        pub const ALL: &[Code] = &[$($constant),*];
    };
}

codes! {
    UNKNOWN_KEY "rul001" "no such key exists here";
    WRONG_TYPE "rul002" "a value is not of the key's type";
    GROUP_NAME "rul003" "a rule group has no name, or one that an earlier group has";
    RULE_KIND "rul004" "a rule is neither an alert nor a recording, or both";
    EXPRESSION "rul005" "an expression is missing or does not parse";
    RECORDING "rul006" "a recording rule has a key that only alerts have, or a bad name";
    LABEL "rul007" "a label or annotation has a bad name";
    TEMPLATE "rul008" "a template does not parse";
    REPEATED_RULE "rul009" "two rules of a file write the same series";
    NO_VECTOR "rul010" "an expression yields neither a vector nor a number";
    TEST_FILE "rul011" "a test file does not make sense";
    UNEXPECTED "rul012" "what a test expects is not what the rules do";
}

/// Bytes of a file.
pub(crate) const FILE_BYTES: usize = 16 << 20;

/// One file being read.
pub(crate) struct Reading {
    source: Source,
    problems: Diagnostics,
}

impl Reading {
    /// Reads the text into a tree; `None` if there is none.
    pub(crate) fn new(file: &str, text: &str) -> (Reading, Option<Node>) {
        let source = Source::new(file, text);
        let (root, problems) = parse_within(source.clone(), FILE_BYTES);
        (Reading { source, problems }, root)
    }

    /// All problems, and whether the file is refused.
    pub(crate) fn finish(self) -> Diagnostics {
        self.problems
    }

    pub(crate) fn error(&mut self, code: Code, place: &Place, message: impl Into<String>) {
        self.problems.push(Diagnostic::error(code, Some(place.clone()), message));
    }

    pub(crate) fn warning(&mut self, code: Code, place: &Place, message: impl Into<String>) {
        self.problems.push(Diagnostic::warning(code, Some(place.clone()), message));
    }

    /// The keys of a mapping; nothing is an empty one.
    pub(crate) fn keys<'n>(&mut self, node: &'n Node, what: &str) -> Keys<'n> {
        let entries = match &node.value {
            Value::Mapping(entries) => entries.as_slice(),
            _ if node.is_null() => &[],
            _ => {
                self.error(WRONG_TYPE, &node.place, format!("{what} must be a mapping"));
                &[]
            }
        };
        Keys { entries, place: node.place.clone(), known: Vec::new() }
    }

    /// A scalar's text; null is an empty one.
    pub(crate) fn text(&mut self, node: &Node, what: &str) -> String {
        match &node.value {
            _ if node.is_null() => String::new(),
            Value::Scalar { text, .. } => text.clone(),
            _ => {
                self.error(WRONG_TYPE, &node.place, format!("{what} must be a text"));
                String::new()
            }
        }
    }

    /// What a type of its own reads; `wanted` completes `… must be …`.
    pub(crate) fn parsed<T: FromStr>(
        &mut self,
        node: &Node,
        what: &str,
        wanted: &str,
    ) -> Option<T> {
        let value = match &node.value {
            Value::Scalar { text, .. } => text.parse().ok(),
            _ => None,
        };
        if value.is_none() {
            self.error(WRONG_TYPE, &node.place, format!("{what} must be {wanted}"));
        }
        value
    }

    /// A duration of Prometheus' kind.
    pub(crate) fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        let Value::Scalar { text, .. } = &node.value else {
            self.error(WRONG_TYPE, &node.place, format!("{what} must be a duration"));
            return None;
        };
        match duration::parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(WRONG_TYPE, &node.place, format!("{what}: {error}"));
                None
            }
        }
    }

    /// The items of a list; nothing is an empty one.
    pub(crate) fn items<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.value {
            Value::List(items) => items,
            _ if node.is_null() => &[],
            _ => {
                self.error(WRONG_TYPE, &node.place, format!("{what} must be a list"));
                &[]
            }
        }
    }

    /// Names and texts of a mapping with keys of the user's choice, in the file's order.
    pub(crate) fn texts<'n>(&mut self, node: &'n Node, what: &str) -> Vec<(&'n Entry, String)> {
        let entries = self.keys(node, what).entries;
        entries.iter().map(|entry| (entry, self.text(&entry.node, &entry.key))).collect()
    }

    /// Reports the keys nobody asked for.
    pub(crate) fn close(&mut self, keys: &Keys<'_>) {
        let is_known = |entry: &&Entry| !keys.known.contains(&entry.key.as_str());
        for entry in keys.entries.iter().filter(is_known) {
            let message = format!("unknown key `{}`", entry.key);
            let problem = Diagnostic::error(UNKNOWN_KEY, Some(entry.place.clone()), message);
            let unused = keys.known.iter().filter(|known| !keys.has(known)).copied();
            self.problems.push(match nearest(&entry.key, unused) {
                Some(near) => problem.with_help(format!("did you mean `{near}`?")),
                None => problem,
            });
        }
    }

    /// The place of some bytes of a scalar, as its text counts them. Where the file writes the text
    /// otherwise (quotes with escapes, folded lines) the place of the whole.
    pub(crate) fn within(&self, node: &Node, line: usize, column: usize) -> Place {
        let Value::Scalar { text, .. } = &node.value else { return node.place.clone() };
        let span = node.place.span.clone();
        let raw = self.source.text().get(span.clone()).unwrap_or("");
        let wanted = text.lines().nth(line.saturating_sub(1)).unwrap_or("");
        let mut start = span.start;
        // A block's first line holds its mark, a plain or quoted text its beginning.
        let skip = if raw.starts_with(['|', '>']) { line } else { line.saturating_sub(1) };
        for (at, written) in raw.split_inclusive('\n').enumerate() {
            if let Some(found) = written.find(wanted).filter(|_| at == skip) {
                let byte = start + found + column.saturating_sub(1);
                return self.source.place(byte..byte + 1);
            }
            start += written.len();
        }
        node.place.clone()
    }
}

/// The keys of one mapping.
pub(crate) struct Keys<'n> {
    entries: &'n [Entry],
    pub(crate) place: Place,
    known: Vec<&'static str>,
}

impl<'n> Keys<'n> {
    /// The value of a key, which is known from now on; nothing written is no value.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<&'n Node> {
        self.known.push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        (!entry.node.is_null()).then_some(&entry.node)
    }

    fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }
}
