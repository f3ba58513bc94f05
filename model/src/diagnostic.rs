//! Problems of what people write, each with a stable code and a place, shown with the line they
//! stand on.
//!
//! All problems are kept, ordered by place, up to a bound. A shown line never holds a secret:
//! spans that a reader names as secret, and whatever follows a key that sounds like one, are
//! masked. Codes are static tables beside the code that finds the problem ([`Code`]).

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

mod distance;
mod render;
#[cfg(test)]
mod tests;

pub use distance::nearest;

/// Problems kept; more are counted.
const PROBLEMS_MAX: usize = 200;

/// A kind of problem. The name never changes its meaning and is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Code {
    /// Three letters for the part and three digits: `cfg001`.
    pub name: &'static str,
    /// What it means, in one line.
    pub meaning: &'static str,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The input is refused.
    Error,
    /// The input is taken; a person should look.
    Warning,
}

/// Where something stands in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's name as the user gave it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// The bytes in the text.
    pub span: Range<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its kind.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// Where; `None` for what stands nowhere, such as an unreadable file.
    pub place: Option<Place>,
    /// What is wrong, in lower case, without a full stop; never a secret.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error.
    #[must_use]
    pub fn error(code: Code, place: Option<Place>, message: impl Into<String>) -> Diagnostic {
        Diagnostic { code, severity: Severity::Error, place, message: message.into(), help: None }
    }

    /// A warning.
    #[must_use]
    pub fn warning(code: Code, place: Option<Place>, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, place, message) }
    }

    /// Adds what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }
}

/// In one line: `agent.yaml:3:1: error[cfg001]: unknown key …`.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}[{}]: {}", self.code.name, self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// A text that places point into.
#[derive(Clone, Debug)]
pub struct Source {
    file: Arc<str>,
    text: Arc<str>,
    line_starts: Arc<[usize]>,
}

impl Source {
    /// Keeps a text under the name that places show.
    #[must_use]
    pub fn new(file: &str, text: &str) -> Source {
        let feeds = memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1);
        let line_starts = std::iter::once(0).chain(feeds).collect();
        Source { file: Arc::from(file), text: Arc::from(text), line_starts }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The place of some bytes; what lies beyond the text or within a character is moved to the
    /// next place before.
    #[must_use]
    pub fn place(&self, span: Range<usize>) -> Place {
        let start = floor_boundary(&self.text, span.start);
        let end = floor_boundary(&self.text, span.end).max(start);
        let line = self.line_starts.partition_point(|begin| *begin <= start).max(1);
        let begin = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let column = 1 + self.text.get(begin..start).map_or(0, |head| head.chars().count());
        Place { file: Arc::clone(&self.file), line, column, span: start..end }
    }

    /// The line of a number from 1, without its end, and where it begins.
    fn line(&self, number: usize) -> (&str, usize) {
        let begin = self.line_starts.get(number - 1).copied().unwrap_or(self.text.len());
        let end = self.line_starts.get(number).copied().unwrap_or(self.text.len());
        let line = self.text.get(begin..end).unwrap_or_default();
        (line.trim_end_matches(['\n', '\r']), begin)
    }
}

/// The end of the last whole character at or before a byte.
fn floor_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The problems of one or more texts, ordered by place: first those without one, then by file in
/// the order the files were added, then as they stand in it.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    sources: Vec<Source>,
    secrets: Vec<(Arc<str>, Range<usize>)>,
    found: Vec<Diagnostic>,
    omitted: usize,
}

impl Diagnostics {
    /// An empty collection for one text.
    #[must_use]
    pub fn of(source: Source) -> Diagnostics {
        Diagnostics { sources: vec![source], ..Diagnostics::default() }
    }

    /// Adds a problem; beyond the bound it is only counted.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.found.len() == PROBLEMS_MAX {
            self.omitted += 1;
            return;
        }
        let rank = self.rank(&diagnostic);
        let at = self.found.partition_point(|other| self.rank(other) <= rank);
        self.found.insert(at, diagnostic);
    }

    fn rank(&self, diagnostic: &Diagnostic) -> (usize, usize) {
        let Some(place) = &diagnostic.place else { return (0, 0) };
        let file = self.sources.iter().position(|source| source.file == place.file);
        (1 + file.unwrap_or(self.sources.len()), place.span.start)
    }

    /// Names bytes that no rendering shows.
    pub fn mask(&mut self, place: &Place) {
        self.secrets.push((Arc::clone(&place.file), place.span.clone()));
    }

    /// Takes over the problems and texts of another collection.
    pub fn extend(&mut self, other: Diagnostics) {
        self.sources.extend(other.sources);
        self.secrets.extend(other.secrets);
        self.omitted += other.omitted;
        for diagnostic in other.found {
            self.push(diagnostic);
        }
    }

    /// The problems in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.found.iter()
    }

    /// Problems found, those beyond the bound included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len() + self.omitted
    }

    /// Whether there is no problem.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether the input is refused. What was only counted counts as an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.omitted > 0 || self.found.iter().any(|found| found.severity == Severity::Error)
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// All problems with their lines, as for a terminal without colours.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        render::render(self, f)
    }
}

impl std::error::Error for Diagnostics {}
