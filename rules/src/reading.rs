//! Reads files whose format others have set: each key is asked for once, what nobody asked for is
//! unknown, and every problem is kept with its place. Texts mean what is written: there are no
//! variables.

use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use bellwether_model::config::{Entry, Node, Value, parse_within};
use bellwether_model::diagnostic::{Code, Diagnostic, Diagnostics, Place, Source, nearest};
use bellwether_model::duration::{self, BadDuration};
use bellwether_promql::tree::Position;

macro_rules! codes {
    ($($constant:ident $name:literal $meaning:literal;)*) => {
        $(#[doc = concat!("`", $name, "`: ", $meaning)]
        pub(crate) const $constant: Code = Code { name: $name, meaning: $meaning };)*

        /// All codes of this part, in order.
        pub const ALL: &[Code] = &[$($constant),*];
    };
}
pub(crate) use codes;

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

/// How a duration is written.
const DURATIONS: &str = "write `30s`, `5m`, `1h30m` or `1d`: whole numbers with units, the largest \
                         unit first";

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
        let (root, found) = parse_within(source.clone(), FILE_BYTES);
        let mut problems = Diagnostics::of(source.clone());
        for problem in &found {
            let line = problem.place.as_ref().map(|place| place.line);
            let text = line.and_then(|line| text.lines().nth(line.saturating_sub(1)));
            let tab =
                problem.message.contains(" tab").then_some("indent with blanks, not with tabs");
            problems.push(match tab.or_else(|| text.and_then(unquoted)) {
                Some(help) if problem.help.is_none() => problem.clone().with_help(help),
                _ => problem.clone(),
            });
        }
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
        self.text_if_one(node, what).unwrap_or_default()
    }

    /// A scalar's text, null an empty one; `None` of what is no scalar, which has been reported.
    pub(crate) fn text_if_one(&mut self, node: &Node, what: &str) -> Option<String> {
        match &node.value {
            _ if node.is_null() => Some(String::new()),
            Value::Scalar { text, .. } => Some(text.clone()),
            _ => {
                self.error(WRONG_TYPE, &node.place, format!("{what} must be a text"));
                None
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
                let message = format!("{what}: {error}");
                let problem = Diagnostic::error(WRONG_TYPE, Some(node.place.clone()), message);
                self.problems.push(match error {
                    BadDuration::TooLong => problem,
                    _ => problem.with_help(DURATIONS),
                });
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

    /// Names and texts of a mapping with keys of the user's choice, in the file's order; `each`
    /// is what one of them is called.
    pub(crate) fn texts<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        each: &str,
    ) -> Vec<(&'n Entry, String)> {
        let entries = self.keys(node, what).entries.iter();
        let text =
            |entry: &'n Entry| (entry, self.text(&entry.node, &format!("{each} {:?}", entry.key)));
        entries.map(text).collect()
    }

    /// Reports the keys nobody asked for.
    pub(crate) fn close(&mut self, keys: &Keys<'_>) {
        self.close_with(keys, |_| None);
    }

    /// Reports the keys nobody asked for; `help` knows what to say of some.
    pub(crate) fn close_with(
        &mut self,
        keys: &Keys<'_>,
        help: impl Fn(&str) -> Option<&'static str>,
    ) {
        let is_known = |entry: &&Entry| !keys.known.contains(&entry.key.as_str());
        for entry in keys.entries.iter().filter(is_known) {
            let message = format!("unknown key `{}`", entry.key);
            let problem = Diagnostic::error(UNKNOWN_KEY, Some(entry.place.clone()), message);
            let unused = || keys.known.iter().filter(|known| !keys.has(known)).copied();
            let near = nearest(&entry.key, unused());
            // A word that was written out: `expression`.
            let near = near.or_else(|| unused().find(|known| entry.key.starts_with(known)));
            self.problems.push(match (help(&entry.key), near) {
                (Some(help), _) => problem.with_help(help),
                (None, Some(near)) => problem.with_help(format!("did you mean `{near}`?")),
                (None, None) => problem,
            });
        }
    }

    /// The place of what an expression's error points to.
    pub(crate) fn within_expression(&self, node: &Node, at: Option<Position>) -> Place {
        match (&node.value, at) {
            (Value::Scalar { text, .. }, Some(at)) => self.within(node, byte_of(text, at)),
            _ => node.place.clone(),
        }
    }

    /// The place of a character of a scalar, by its byte in the text that was read. Where quotes
    /// hold escapes that are not followed, the place of the whole.
    pub(crate) fn within(&self, node: &Node, byte: usize) -> Place {
        let Value::Scalar { text, .. } = &node.value else { return node.place.clone() };
        place_within(&self.source, &node.place, text, byte)
    }
}

/// The place of a character of a scalar that stands at `whole`, by its byte in the text that was
/// read. Where quotes hold escapes that are not followed, the place of the whole.
pub(crate) fn place_within(source: &Source, whole: &Place, text: &str, byte: usize) -> Place {
    let span = whole.span.clone();
    let raw = source.text().get(span.clone()).unwrap_or("");
    match written_at(raw, text, byte) {
        Some(at) => source.place(span.start + at..span.start + at + 1),
        None => whole.clone(),
    }
}

/// The byte of a place that counts lines and bytes of a line.
pub(crate) fn byte_of(text: &str, at: Position) -> usize {
    let before = text.split_inclusive('\n').take(at.line.saturating_sub(1)).map(str::len);
    before.sum::<usize>() + at.column.saturating_sub(1)
}

/// What helps if a line is no YAML because of a text that should be in quotes.
fn unquoted(line: &str) -> Option<&'static str> {
    let (key, value) = line.split_once(": ")?;
    let value = value.trim_start();
    if key.contains(['"', '\'', '{', '[']) || value.starts_with(['"', '\'', '|', '>']) {
        return None;
    }
    let is_template = value.starts_with("{{");
    let is_plain = !value.starts_with(['{', '[']) && value.contains(": ");
    (is_template || is_plain)
        .then_some("put the text in quotes: it begins with a brace, or a colon stands in it")
}

/// Where a scalar as written has the character that its text has at a byte; behind the text's last
/// word where there is none. White space is passed over, since folding makes one of another.
fn written_at(raw: &str, text: &str, byte: usize) -> Option<usize> {
    let mut written = characters(raw)?.into_iter();
    let mut behind = 0;
    for (at, wanted) in text.char_indices().filter(|(_, c)| !c.is_whitespace()) {
        let (span, found) = written.next()?;
        if found != wanted {
            return None;
        }
        if at >= byte {
            return Some(span.start);
        }
        behind = span.end;
    }
    Some(behind)
}

/// The characters that a scalar as written stands for, but for white space, and where each is
/// written; `None` where an escape names a character by its number.
fn characters(raw: &str) -> Option<Vec<(Range<usize>, char)>> {
    let quote = raw.chars().next().filter(|c| matches!(c, '"' | '\''));
    let mut rest = raw.char_indices().skip(usize::from(quote.is_some())).peekable();
    let mut all = Vec::new();
    while let Some((at, c)) = rest.next() {
        let meant = match (quote, c) {
            (Some('\''), '\'') => rest.next_if(|(_, next)| *next == '\'').map(|(_, c)| c),
            (Some('"'), '"') => None,
            (Some('"'), '\\') => match rest.next() {
                Some((_, 'n' | 't' | 'r' | ' ' | '\n')) => Some(' '),
                Some((_, c @ ('"' | '\\' | '/'))) => Some(c),
                _ => return None,
            },
            _ => Some(c),
        };
        // The closing quote.
        let Some(meant) = meant else { break };
        if !meant.is_whitespace() {
            let end = rest.peek().map_or(raw.len(), |(next, _)| *next);
            all.push((at..end, meant));
        }
    }
    Some(all)
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

    /// Whether nothing is written.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_of_a_text_is_found_where_the_text_is_written() {
        for (raw, text, byte, shown) in [
            ("rate(up)", "rate(up)", 5, "up)"),
            ("rate(\n      up)", "rate( up)", 6, "up)"),
            ("a\n  b\n\n  c\n", "a\nb\n\nc\n", 5, "c\n"),
            ("a\n  b\n\n  c\n", "a b\nc\n", 4, "c\n"),
            ("'it''s {{ x'", "it's {{ x", 5, "{{ x'"),
            ("\"a\\\"b\\nc\\\\d\"", "a\"b\nc\\d", 5, "\\\\d\""),
            ("up ==\n", "up ==\n", 6, "\n"),
            ("ä = ö", "ä = ö", 5, "ö"),
        ] {
            let at = written_at(raw, text, byte).unwrap();
            assert_eq!(raw.get(at..), Some(shown), "{raw:?} {byte}");
        }
        assert_eq!(written_at("\"\\x41\"", "A", 0), None);
        assert_eq!(written_at("|2\n  a", "a", 0), None);
    }

    #[test]
    fn a_line_without_quotes_is_recognised() {
        for line in ["    summary: {{ $value }}", "  a: b: c"] {
            assert!(unquoted(line).is_some(), "{line}");
        }
        for line in ["a: 'b: {{ c }}'", "a: b", "a: {b: c}", "- x", "'a: b': c: d"] {
            assert!(unquoted(line).is_none(), "{line}");
        }
    }
}
