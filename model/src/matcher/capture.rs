//! Patterns whose groups are put into templates: for relabelling and `label_replace`.

use regex_automata::meta::{self, Regex};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;

use super::{CACHE_BYTES, PROGRAM_BYTES, go_pattern};

/// A pattern of Go's syntax that must match a whole text, `^(?s:…)$`, with its groups.
#[derive(Clone, Debug)]
pub struct Capturing {
    program: Regex,
    written: String,
}

/// What the groups of a pattern have matched in one text.
#[derive(Debug)]
pub struct Groups<'v> {
    value: &'v str,
    captures: Captures,
}

/// One of Go's templates: `$1`, `${1}`, `$name` and `${name}` stand for groups, `$$` for a dollar.
/// A name reaches as far as letters, digits and underscores do; a group that is not there is
/// empty, and a dollar before anything else stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Number(usize),
    Name(String),
}

impl Capturing {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// In words: it does not parse, or compiles to more than the size limit.
    pub fn new(pattern: &str) -> Result<Capturing, String> {
        let whole = format!("^(?s:{})$", go_pattern(pattern)?);
        let config = meta::Config::new()
            .nfa_size_limit(Some(PROGRAM_BYTES))
            .hybrid_cache_capacity(CACHE_BYTES)
            .utf8_empty(false);
        let program = meta::Builder::new()
            .configure(config)
            .syntax(syntax::Config::new().utf8(false))
            .build(&whole)
            .map_err(|error| match error.size_limit() {
                Some(limit) => format!("the pattern compiles to more than {limit} bytes"),
                None => error.syntax_error().map_or_else(|| error.to_string(), super::reason),
            })?;
        Ok(Capturing { program, written: pattern.to_owned() })
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Whether it matches the whole text.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        self.program.is_match(value)
    }

    /// The groups, if it matches the whole text.
    #[must_use]
    pub fn captures<'v>(&self, value: &'v str) -> Option<Groups<'v>> {
        let mut captures = self.program.create_captures();
        self.program.captures(value, &mut captures);
        captures.is_match().then_some(Groups { value, captures })
    }
}

impl Groups<'_> {
    /// A template with the groups put in.
    #[must_use]
    pub fn expand(&self, template: &Template) -> String {
        let mut out = String::new();
        for part in &template.0 {
            let span = match part {
                Part::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Part::Number(number) => self.captures.get_group(*number),
                Part::Name(name) => self.captures.get_group_by_name(name),
            };
            // An ASCII `\B` may stand within a character; what no text begins at is empty.
            let text = span.and_then(|span| self.value.get(span.range()));
            out.push_str(text.unwrap_or_default());
        }
        out
    }
}

impl Template {
    /// Reads a template; every text is one.
    #[must_use]
    pub fn new(mut rest: &str) -> Template {
        let mut parts = Vec::new();
        let text = |text: &str| Part::Text(text.to_owned());
        while let Some((plain, after)) = rest.split_once('$') {
            parts.push(text(plain));
            if let Some(after) = after.strip_prefix('$') {
                parts.push(text("$"));
                rest = after;
                continue;
            }
            let (braced, body) = match after.strip_prefix('{') {
                Some(body) => (true, body),
                None => (false, after),
            };
            let is_word = |c: char| c == '_' || c.is_alphanumeric();
            let end = body.find(|c| !is_word(c)).unwrap_or(body.len());
            let (word, tail) = body.split_at(end);
            let closed = if braced { tail.strip_prefix('}') } else { Some(tail) };
            match closed.filter(|_| !word.is_empty()) {
                Some(tail) => {
                    let is_number = word.bytes().all(|b| b.is_ascii_digit());
                    parts.push(match word.parse() {
                        Ok(number) if is_number => Part::Number(number),
                        _ => Part::Name(word.to_owned()),
                    });
                    rest = tail;
                }
                None => {
                    parts.push(text("$"));
                    rest = after;
                }
            }
        }
        parts.push(text(rest));
        parts.retain(|part| *part != Part::Text(String::new()));
        Template(parts)
    }

    /// The text, if it has no groups.
    #[must_use]
    pub fn plain(&self) -> Option<String> {
        self.0
            .iter()
            .map(|part| if let Part::Text(text) = part { Some(&**text) } else { None })
            .collect()
    }
}
