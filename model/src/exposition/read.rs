//! The reader of a page: one pass, borrowing from the text; a label or name is copied only where
//! it holds an escape.
//!
//! As tolerant as Prometheus' own reader: blanks between tokens, a comma before the closing brace,
//! an empty brace, names in quotes, a missing last line feed, comments of any kind (`# EOF` is
//! one). The first problem ends the reading, with its line and column.
//!
//! OpenMetrics 1.0 is the same but for its types, `# UNIT`, times in seconds, exemplars, which are
//! read over, and `# EOF`, which must be the last line.
#![allow(
    clippy::indexing_slicing,
    reason = "a parser: every index comes from a search in the same text; has a fuzz target"
)]

mod families;
mod outline;
mod tail;

use std::borrow::Cow;
use std::ops::Range;

use crate::limit;
use crate::series::MetricType;
use crate::time::Timestamp;

/// The one NaN of samples that were read, as in Prometheus (`model/value`): never a stale marker.
pub const NORMAL_NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

pub use families::{Family, FamilySample, read, read_as};
pub use outline::Outline;

/// The two text formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// What a page may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of the page.
    pub page_bytes: usize,
    /// Bytes of one line.
    pub line_bytes: usize,
    /// Labels of one sample, without the metric's name.
    pub labels: usize,
    /// Bytes of one name or value, before escapes are resolved.
    pub label_bytes: usize,
    /// Samples of the page.
    pub samples: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            page_bytes: 64 << 20,
            line_bytes: 64 << 10,
            labels: limit::LABELS,
            label_bytes: limit::LABEL_BYTES,
            samples: limit::COLUMNS,
        }
    }
}

/// What is wrong with a page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadProblem {
    /// Something else was expected here.
    #[error("expected {0}")]
    Expected(&'static str),
    /// The page is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// A number does not parse or does not fit.
    #[error("{0:?} is not a number")]
    BadNumber(String),
    /// A `# TYPE` line names no type of the format.
    #[error("{0:?} is not a metric type")]
    BadType(String),
    /// A bound of [`Bounds`], by its name.
    #[error("more than {1} {0}")]
    Bound(&'static str, usize),
}

/// A problem and its place; both numbers count from 1, columns in bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct ReadError {
    /// The line.
    pub line: usize,
    /// The byte in the line.
    pub column: usize,
    /// What is wrong.
    pub problem: ReadProblem,
}

/// Name and value of a label.
pub type Label<'a> = (Cow<'a, str>, Cow<'a, str>);

/// What is known of the family a sample belongs to; a sample without one makes an untyped family
/// of its own name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FamilyHead<'a> {
    /// The family's name: for a histogram without `_bucket`, `_sum` and `_count`.
    pub name: Cow<'a, str>,
    /// The type, untyped if unsaid.
    pub kind: MetricType,
    /// The help, empty if unsaid.
    pub help: Cow<'a, str>,
    /// The unit, empty if unsaid.
    pub unit: Cow<'a, str>,
}

/// One sample as read; valid until the next.
#[derive(Clone, Copy, Debug)]
pub struct SampleLine<'r, 'a> {
    /// Its family.
    pub family: &'r FamilyHead<'a>,
    /// The metric's name.
    pub name: &'r Cow<'a, str>,
    /// The other labels, in the order of the page, empty values included.
    pub labels: &'r [Label<'a>],
    /// The value.
    pub value: f64,
    /// The explicit stamp.
    pub time: Option<Timestamp>,
    /// Name and braces as they stand in the page.
    pub series: &'a str,
}

/// Reads a page sample by sample.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    format: Format,
    at: usize,
    line_end: usize,
    /// Bytes of the last sample's series and value.
    series: Range<usize>,
    value: Range<usize>,
    /// Where the line of the sample before the last one ends, and of the last one.
    piece: usize,
    line_done: usize,
    bounds: Bounds,
    samples: usize,
    /// `# EOF` has been read.
    ended: bool,
    family: FamilyHead<'a>,
    name: Cow<'a, str>,
    labels: Vec<Label<'a>>,
    failed: bool,
}

type Parsed<T> = Result<T, ReadError>;

impl<'a> Reader<'a> {
    /// Starts at the head of a page in the text format.
    ///
    /// # Errors
    /// The page is longer than its bound or not UTF-8.
    pub fn new(page: &'a [u8], bounds: Bounds) -> Result<Reader<'a>, ReadError> {
        Reader::of(page, Format::Text, bounds)
    }

    /// Starts at the head of a page.
    ///
    /// # Errors
    /// The page is longer than its bound or not UTF-8.
    pub fn of(page: &'a [u8], format: Format, bounds: Bounds) -> Result<Reader<'a>, ReadError> {
        if page.len() > bounds.page_bytes {
            let problem = ReadProblem::Bound("bytes in the page", bounds.page_bytes);
            return Err(ReadError { line: 1, column: 1, problem });
        }
        let text = std::str::from_utf8(page)
            .map_err(|error| error_at(page, error.valid_up_to(), ReadProblem::NotUtf8))?;
        Ok(Reader {
            text,
            format,
            at: 0,
            line_end: 0,
            series: 0..0,
            value: 0..0,
            piece: 0,
            line_done: 0,
            bounds,
            samples: 0,
            ended: false,
            family: FamilyHead::default(),
            name: Cow::Borrowed(""),
            labels: Vec::new(),
            failed: false,
        })
    }

    /// The next sample; `None` at the end and after a problem.
    pub fn next_sample(&mut self) -> Option<Result<SampleLine<'_, 'a>, ReadError>> {
        match self.advance() {
            Ok(None) => None,
            Ok(Some((value, time))) => Some(Ok(SampleLine {
                family: &self.family,
                name: &self.name,
                labels: &self.labels,
                value,
                time,
                series: &self.text[self.series.clone()],
            })),
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }

    fn advance(&mut self) -> Parsed<Option<(f64, Option<Timestamp>)>> {
        while !self.failed {
            self.skip_blanks();
            match self.peek() {
                None if self.format == Format::OpenMetrics && !self.ended => {
                    return Err(self.expected("\"# EOF\" at the end of the page"));
                }
                None => return Ok(None),
                Some(_) if self.ended => return Err(self.expected("nothing after \"# EOF\"")),
                Some(b'\n') => self.at += 1,
                Some(b'#') => {
                    self.open_line()?;
                    self.comment()?;
                }
                Some(_) => {
                    self.open_line()?;
                    let sample = self.sample()?;
                    if !is_sample_of(&self.family, &self.name, self.format) {
                        self.family =
                            FamilyHead { name: self.name.clone(), ..FamilyHead::default() };
                    }
                    return Ok(Some(sample));
                }
            }
        }
        Ok(None)
    }

    /// Checks the length of the line that starts here.
    fn open_line(&mut self) -> Parsed<()> {
        let rest = &self.text.as_bytes()[self.at..];
        self.line_end = self.at + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        if self.line_end - self.at > self.bounds.line_bytes {
            return Err(self.bound("bytes in a line", self.bounds.line_bytes));
        }
        Ok(())
    }

    fn comment(&mut self) -> Parsed<()> {
        let end = self.line_end;
        let line = &self.text[self.at..end];
        let after_hash = line[1..].trim_start_matches([' ', '\t']);
        let word_at = end - after_hash.len();
        let word = after_hash.split([' ', '\t']).next().unwrap_or_default();
        let spaced = word_at > self.at + 1;
        let is_open = self.format == Format::OpenMetrics;
        if spaced && is_open && after_hash == "EOF" {
            self.ended = true;
            self.at = (end + 1).min(self.text.len());
            return Ok(());
        }
        let is_known = word == "HELP" || word == "TYPE" || word == "UNIT" && is_open;
        if spaced && after_hash.len() > word.len() && is_known {
            self.at = word_at + word.len();
            self.describe(word)?;
        }
        self.at = end;
        Ok(())
    }

    /// What a comment says of a family; the word has been read.
    fn describe(&mut self, word: &str) -> Parsed<()> {
        let end = self.line_end;
        self.skip_blanks();
        let name = match self.peek() {
            Some(b'"') => self.quoted()?,
            _ => Cow::Borrowed(self.plain_name(b":", "a metric name")?),
        };
        if self.at > end {
            return Err(self.expected("a metric name on one line"));
        }
        if name != self.family.name {
            self.family = FamilyHead { name, ..FamilyHead::default() };
        }
        let text = self.text[self.at..end].trim_start_matches([' ', '\t']);
        match (word, self.format) {
            ("HELP", Format::Text) => self.family.help = unescaped(text, b""),
            ("HELP", Format::OpenMetrics) => self.family.help = unescaped(text, b"\""),
            ("UNIT", _) => self.family.unit = Cow::Borrowed(text),
            _ => {
                self.at = end - text.len();
                let kind = text.trim_end_matches([' ', '\t']);
                self.family.kind = metric_type(kind, self.format)
                    .ok_or_else(|| self.error(ReadProblem::BadType(shortened(kind))))?;
            }
        }
        Ok(())
    }

    fn sample(&mut self) -> Parsed<(f64, Option<Timestamp>)> {
        self.samples += 1;
        if self.samples > self.bounds.samples {
            return Err(self.bound("samples in the page", self.bounds.samples));
        }
        self.labels.clear();
        self.piece = self.line_done;
        let start = self.at;
        let mut named = self.peek() != Some(b'{');
        if named {
            self.name = Cow::Borrowed(self.plain_name(b":", "a metric name")?);
        }
        let after_name = self.at;
        self.series = start..after_name;
        self.skip_blanks();
        if self.peek() == Some(b'{') {
            self.at += 1;
            self.braces(&mut named)?;
            self.series = start..self.at;
            self.skip_blanks();
        } else if self.at == after_name {
            return Err(self.expected("a blank or \"{\""));
        }
        if !named {
            return Err(self.expected("a metric name in the braces"));
        }
        let value_at = self.at;
        let value = self.value()?;
        self.value = value_at..self.at;
        let time = self.tail()?;
        self.line_done = self.at;
        Ok((value, time))
    }

    /// What stands between the braces; the opening one has been read.
    fn braces(&mut self, named: &mut bool) -> Parsed<()> {
        loop {
            self.skip_blanks();
            if self.peek() == Some(b'}') {
                self.at += 1;
                return Ok(());
            }
            let quoted = self.peek() == Some(b'"');
            let name = if quoted {
                self.quoted()?
            } else {
                Cow::Borrowed(self.plain_name(b"", "a label name or \"}\"")?)
            };
            self.skip_blanks();
            if self.peek() == Some(b'=') {
                self.at += 1;
                self.skip_blanks();
                if self.labels.len() == self.bounds.labels {
                    return Err(self.bound("labels on a sample", self.bounds.labels));
                }
                if self.peek() != Some(b'"') {
                    return Err(self.expected("a label value in quotes"));
                }
                let value = self.quoted()?;
                self.labels.push((name, value));
            } else if quoted && !*named {
                *named = true;
                self.name = name;
            } else {
                return Err(self.expected("\"=\""));
            }
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {}
                _ => return Err(self.expected("\",\" or \"}\"")),
            }
        }
    }

    fn value(&mut self) -> Parsed<f64> {
        let start = self.at;
        let word = self.word("a value")?;
        parse_float(word).ok_or_else(|| {
            self.at = start;
            self.error(ReadProblem::BadNumber(shortened(word)))
        })
    }

    fn word(&mut self, what: &'static str) -> Parsed<&'a str> {
        let rest = &self.text[self.at..];
        let end = rest.find([' ', '\t', '\n']).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.expected(what));
        }
        self.at += end;
        Ok(&rest[..end])
    }

    fn plain_name(&mut self, more: &[u8], what: &'static str) -> Parsed<&'a str> {
        let rest = &self.text[self.at..];
        let letter = |b: u8| b.is_ascii_alphabetic() || b == b'_' || more.contains(&b);
        let end =
            rest.bytes().position(|b| !(letter(b) || b.is_ascii_digit())).unwrap_or(rest.len());
        if !rest.as_bytes().first().is_some_and(|b| letter(*b)) {
            return Err(self.expected(what));
        }
        self.bounded(end)?;
        self.at += end;
        Ok(&rest[..end])
    }

    /// Text in double quotes, the first of which stands here. It may hold line feeds, as in
    /// Prometheus.
    fn quoted(&mut self) -> Parsed<Cow<'a, str>> {
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let mut at = start;
        loop {
            match memchr::memchr2(b'"', b'\\', &bytes[at..]) {
                Some(step) if bytes[at + step] == b'"' => {
                    at += step;
                    break;
                }
                Some(step) if at + step + 2 <= bytes.len() => at += step + 2,
                _ => return Err(self.expected("a closing quote")),
            }
            // An escape may stand before a character of several bytes.
            while !self.text.is_char_boundary(at) {
                at += 1;
            }
        }
        self.bounded(at - start)?;
        self.at = at + 1;
        Ok(unescaped(&self.text[start..at], b"\""))
    }

    fn bounded(&self, len: usize) -> Parsed<()> {
        if len > self.bounds.label_bytes {
            return Err(self.bound("bytes in a name or value", self.bounds.label_bytes));
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn expected(&self, what: &'static str) -> ReadError {
        self.error(ReadProblem::Expected(what))
    }

    fn bound(&self, what: &'static str, most: usize) -> ReadError {
        self.error(ReadProblem::Bound(what, most))
    }

    fn error(&self, problem: ReadProblem) -> ReadError {
        error_at(self.text.as_bytes(), self.at, problem)
    }
}

fn error_at(text: &[u8], at: usize, problem: ReadProblem) -> ReadError {
    let before = &text[..at.min(text.len())];
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |feed| feed + 1);
    ReadError {
        line: 1 + memchr::memchr_iter(b'\n', before).count(),
        column: 1 + before.len() - line_start,
        problem,
    }
}

/// Enough of a wrong word to find it.
fn shortened(word: &str) -> String {
    word.chars().take(40).collect()
}

/// The types that only OpenMetrics has are gauges to those who know the others.
fn metric_type(word: &str, format: Format) -> Option<MetricType> {
    match (word, format) {
        ("unknown", _) => Some(MetricType::Untyped),
        ("info" | "stateset" | "gaugehistogram", Format::OpenMetrics) => Some(MetricType::Gauge),
        _ => MetricType::ALL.into_iter().find(|kind| kind.as_str() == word),
    }
}

/// As Go's `ParseFloat` without hexadecimal and underscores: a decimal number, `inf`, `infinity`
/// or `nan` in any case; a number too large is refused.
fn parse_float(word: &str) -> Option<f64> {
    let value: f64 = word.parse().ok()?;
    if value.is_nan() {
        return word.as_bytes()[0].is_ascii_alphabetic().then_some(NORMAL_NAN);
    }
    let spelled = word.trim_start_matches(['+', '-']).starts_with(['i', 'I']);
    (value.is_finite() || spelled).then_some(value)
}

/// Resolves `\\`, `\n` and a backslash before a byte of `more`; other backslashes stay.
fn unescaped<'a>(text: &'a str, more: &[u8]) -> Cow<'a, str> {
    if memchr::memchr(b'\\', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let (plain, skip) = match rest.as_bytes().get(at + 1) {
            Some(b'n') => ('\n', 2),
            Some(b'\\') => ('\\', 2),
            Some(byte) if more.contains(byte) => (char::from(*byte), 2),
            _ => ('\\', 1),
        };
        out.push(plain);
        rest = &rest[at + skip..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn is_sample_of(family: &FamilyHead<'_>, sample: &str, format: Format) -> bool {
    let Some(suffix) = sample.strip_prefix(family.name.as_ref()) else { return false };
    let kind = family.kind;
    let is_open = format == Format::OpenMetrics;
    match suffix {
        "" => true,
        "_sum" | "_count" => matches!(kind, MetricType::Histogram | MetricType::Summary),
        "_bucket" => kind == MetricType::Histogram || is_open && kind == MetricType::Gauge,
        "_total" => is_open && kind == MetricType::Counter,
        "_created" => is_open && !matches!(kind, MetricType::Gauge | MetricType::Untyped),
        "_info" | "_gcount" | "_gsum" => is_open && kind == MetricType::Gauge,
        _ => false,
    }
}
