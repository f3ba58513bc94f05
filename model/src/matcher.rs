//! One test of one label, as PromQL writes it: `name="value"`, `!=`, `=~`, `!~`.
//!
//! Patterns are Go's (RE2), anchored at both ends, and run in linear time. A pattern that means a
//! finite set, a prefix, a suffix or a part is matched without a compiled program, and an index
//! may ask for that meaning instead of testing every value.

use std::fmt;
use std::sync::Arc;

use memchr::memmem;
use regex_automata::meta;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::syntax;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, Look};

use crate::label::LabelSet;

mod capture;
mod pattern;
mod shape;
#[cfg(test)]
mod tests;

pub use capture::{Capturing, Template};
use shape::Shape;

/// Bytes of a pattern as written.
pub const PATTERN_BYTES: usize = 64 << 10;

/// Bytes of a compiled program; a counted repeat of a large class is what reaches it.
const PROGRAM_BYTES: usize = 4 << 20;

/// Bytes of the tables that matching builds as it goes, per thread and matcher.
const CACHE_BYTES: usize = 512 << 10;

/// Groups within groups, as in `regex-syntax` by default; Go allows 1000.
const NESTING: u32 = 250;

/// The four tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends
    Regex,
    /// `!~`, anchored at both ends
    NotRegex,
}

/// A pattern is not a regular expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("matcher on {label:?}: {reason}")]
pub struct BadMatcher {
    /// The label's name.
    pub label: String,
    /// What the pattern's parser says.
    pub reason: String,
}

/// One test of one label; a missing label has the empty value. A clone is cheap.
#[derive(Clone)]
pub struct Matcher(Arc<Inner>, MatchOp);

struct Inner {
    name: String,
    value: String,
    shape: Shape,
    /// Of the shape [`Shape::Other`] only.
    program: Option<meta::Regex>,
    /// Of the shape [`Shape::Part`] only.
    finder: Option<memmem::Finder<'static>>,
}

impl Matcher {
    /// Builds a test; patterns are compiled as Prometheus does, `^(?s:…)$`.
    ///
    /// # Errors
    /// The pattern does not parse or compiles to more than the size limit.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Matcher, BadMatcher> {
        let (shape, program) = match op {
            MatchOp::Equal | MatchOp::NotEqual => (Shape::Set(vec![value.to_owned()]), None),
            MatchOp::Regex | MatchOp::NotRegex => {
                compiled(value).map_err(|reason| BadMatcher { label: name.to_owned(), reason })?
            }
        };
        let finder = match &shape {
            Shape::Part(part) => Some(memmem::Finder::new(part).into_owned()),
            _ => None,
        };
        let (name, value) = (name.to_owned(), value.to_owned());
        Ok(Matcher(Arc::new(Inner { name, value, shape, program, finder }), op))
    }

    /// The label's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Which test.
    #[must_use]
    pub fn op(&self) -> MatchOp {
        self.1
    }

    /// The value or pattern, as written.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.0.value
    }

    /// Whether the test is `!=` or `!~`.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        matches!(self.1, MatchOp::NotEqual | MatchOp::NotRegex)
    }

    /// The opposite test: `=` of `!=`, `=~` of `!~` and back. An index reads a negative test as
    /// all series without those that its opposite finds.
    #[must_use]
    pub fn inverse(&self) -> Matcher {
        let op = match self.1 {
            MatchOp::Equal => MatchOp::NotEqual,
            MatchOp::NotEqual => MatchOp::Equal,
            MatchOp::Regex => MatchOp::NotRegex,
            MatchOp::NotRegex => MatchOp::Regex,
        };
        Matcher(Arc::clone(&self.0), op)
    }

    /// Whether a label value meets the test; a missing label is `""`.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        self.0.finds(value) != self.is_negative()
    }

    /// Whether a series without the label meets the test.
    #[must_use]
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// All values that can meet the test, sorted, each once, the empty one possibly among them;
    /// `None` if they are not a small finite set. A set without members matches nothing.
    #[must_use]
    pub fn set_of_values(&self) -> Option<&[String]> {
        match &self.0.shape {
            Shape::Set(values) if !self.is_negative() => Some(values),
            _ => None,
        }
    }

    /// What every value that can meet the test begins with; empty if nothing is known.
    #[must_use]
    pub fn prefix(&self) -> &str {
        match &self.0.shape {
            _ if self.is_negative() => "",
            Shape::Prefix(prefix) | Shape::LongerPrefix(prefix) | Shape::Other(prefix) => prefix,
            Shape::Set(values) => match values.as_slice() {
                [one] => one,
                _ => "",
            },
            Shape::Anything | Shape::NotEmpty | Shape::Suffix(_) | Shape::Part(_) => "",
        }
    }
}

/// Whether a set of labels meets all tests.
#[must_use]
pub fn matches_all(matchers: &[Matcher], labels: &LabelSet) -> bool {
    // The metric's name, which tells most apart, is often the last.
    matchers.iter().rev().all(|matcher| matcher.matches(labels.get(matcher.name()).unwrap_or("")))
}

impl Inner {
    fn finds(&self, value: &str) -> bool {
        match &self.shape {
            Shape::Set(values) => match values.as_slice() {
                [one] => one == value,
                many => many.binary_search_by(|one| one.as_str().cmp(value)).is_ok(),
            },
            Shape::Anything => true,
            Shape::NotEmpty => !value.is_empty(),
            Shape::Prefix(prefix) => value.starts_with(prefix.as_str()),
            Shape::LongerPrefix(prefix) => {
                value.len() > prefix.len() && value.starts_with(prefix.as_str())
            }
            Shape::Suffix(suffix) => value.ends_with(suffix.as_str()),
            Shape::Part(_) => {
                self.finder.as_ref().is_some_and(|finder| finder.find(value.as_bytes()).is_some())
            }
            Shape::Other(prefix) => {
                value.starts_with(prefix.as_str())
                    && self.program.as_ref().is_some_and(|program| program.is_match(value))
            }
        }
    }
}

/// A pattern of Go's syntax in the syntax of the `regex` crates, not anchored; capture groups keep
/// their numbers and names.
///
/// # Errors
/// What Go refuses too, in words.
pub fn go_pattern(pattern: &str) -> Result<String, String> {
    if pattern.len() > PATTERN_BYTES {
        return Err(format!("the pattern is longer than {PATTERN_BYTES} bytes"));
    }
    pattern::rewritten(pattern)
}

fn compiled(pattern: &str) -> Result<(Shape, Option<meta::Regex>), String> {
    let rewritten = go_pattern(pattern)?;
    let hir = ParserBuilder::new()
        .dot_matches_new_line(true)
        // An ASCII `\B` may stand within a character; every other part takes whole characters.
        .utf8(false)
        .nest_limit(NESTING)
        .build()
        .parse(&rewritten)
        .map_err(|error| reason(&error))?;
    let shape = shape::of(&hir);
    let Shape::Other(_) = shape else { return Ok((shape, None)) };
    let anchored = Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]);
    let program = meta::Builder::new()
        .configure(
            meta::Config::new()
                .nfa_size_limit(Some(PROGRAM_BYTES))
                .hybrid_cache_capacity(CACHE_BYTES)
                .which_captures(WhichCaptures::None)
                .utf8_empty(false),
        )
        .syntax(syntax::Config::new().utf8(false))
        .build_from_hir(&anchored)
        .map_err(|error| match error.size_limit() {
            Some(limit) => format!("the pattern compiles to more than {limit} bytes"),
            None => error.to_string(),
        })?;
    Ok((shape, Some(program)))
}

/// The parser's own words without its drawing of the pattern, which the caller shows better.
fn reason(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        other => other.to_string(),
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = match self.1 {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        };
        write!(f, "{}{op}{:?}", self.name(), self.value())
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
