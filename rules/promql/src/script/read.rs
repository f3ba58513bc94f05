//! From a script's text to its commands.
//!
//! A line is a command, or belongs to the one above it until an empty line; `#` opens a comment
//! line. The deprecated forms (`eval_fail`, `eval_warn`, `eval_info`, `eval_ordered`,
//! `expected_fail_message`, `expected_fail_regexp`) are read as what replaced them. Start times of
//! counters (`@st` lines) are read over: nothing here knows them yet.

use std::time::Duration;

use bellwether_model::duration;
use bellwether_model::label::LabelSet;
use bellwether_model::matcher::{MatchOp, Matcher};
use bellwether_model::time::Timestamp;

use super::load::SAMPLES_MAX;
use super::quoted;
use super::series::{self, Point};

/// Bytes of a script.
pub const SCRIPT_BYTES: usize = 16 << 20;

/// A series and what it has at the times that its context names.
pub type Row = (LabelSet, Vec<Point>);

/// Something that a script does.
#[derive(Clone, Debug)]
pub enum Command {
    /// `clear`
    Clear,
    /// `load`
    Load(Load),
    /// `eval`
    Evaluate(Box<Evaluation>),
}

/// `load` and `load_with_nhcb`.
#[derive(Clone, Debug)]
pub struct Load {
    /// From one point to the next; the first is at the epoch.
    pub step: Duration,
    /// What is loaded.
    pub series: Vec<Row>,
    /// Whether classic histograms are loaded as native ones besides.
    pub with_custom_buckets: bool,
}

/// `eval`: a query, when it is evaluated, and what is expected.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Where it stands, from 1.
    pub line: usize,
    /// The query.
    pub query: String,
    /// The time or times of evaluation.
    pub when: When,
    /// What the answer's annotations and order must be.
    pub expect: Expect,
    /// What the answer must be.
    pub answer: Answer,
}

/// The time or times of an evaluation.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// One time.
    At(Timestamp),
    /// Each step of a range.
    Over(Span),
}

/// Times from `start` to `end`, `step` apart.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The first.
    pub start: Timestamp,
    /// None is later.
    pub end: Timestamp,
    /// Never zero.
    pub step: Duration,
}

/// `expect` lines that are not the answer itself.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// The query fails with this.
    pub fail: Option<Text>,
    /// Each is among the warnings, and each warning is one of these, unless there are none here.
    pub warn: Vec<Text>,
    /// As `warn`, of the infos.
    pub info: Vec<Text>,
    /// There is no warning.
    pub no_warn: bool,
    /// There is no info.
    pub no_info: bool,
    /// The series of the answer are in the order in which they are written.
    pub ordered: bool,
}

/// A message that is expected.
#[derive(Clone, Debug)]
pub enum Text {
    /// Whatever it says.
    Any,
    /// `msg:`
    Exactly(String),
    /// `regex:`, found anywhere in it.
    Like(String, Matcher),
}

/// The answer that is expected.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Series, in the order in which they are written; perhaps none.
    Series(Vec<Row>),
    /// A range vector of an instant query, its points at these times.
    Matrix(Span, Vec<Row>),
    /// A number.
    Number(f64),
    /// A string.
    Text(String),
}

/// A text is no script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    /// Where, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl Text {
    /// Whether a message is what is expected.
    #[must_use]
    pub fn meets(&self, message: &str) -> bool {
        match self {
            Text::Any => true,
            Text::Exactly(text) => text == message,
            Text::Like(_, pattern) => pattern.matches(message),
        }
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Text::Any => "",
            Text::Exactly(text) | Text::Like(text, _) => text,
        }
    }

    fn like(pattern: &str) -> Result<Text, String> {
        // A matcher is anchored at both ends; a message is searched.
        let anywhere = format!("(?s:.*)(?:{pattern})(?s:.*)");
        let matcher = Matcher::new("message", MatchOp::Regex, &anywhere);
        matcher.map(|m| Text::Like(pattern.to_owned(), m)).map_err(|error| error.to_string())
    }
}

/// Reads a script.
///
/// # Errors
/// The first line that is wrong; a bound exceeded.
pub fn read(text: &str) -> Result<Vec<Command>, ScriptError> {
    if text.len() > SCRIPT_BYTES {
        let message = format!("the script is longer than {SCRIPT_BYTES} bytes");
        return Err(ScriptError { line: 1, message });
    }
    let mut lines = Lines { rest: text, line: 0, peeked: None };
    let mut commands = Vec::new();
    let mut points = 0;
    while let Some(line) = lines.next() {
        if !line.is_empty() {
            let command = command(line, &mut lines, &mut points);
            commands.push(command.map_err(|message| ScriptError { line: lines.line, message })?);
        }
    }
    Ok(commands)
}

/// The lines of a script, trimmed, comments empty.
struct Lines<'a> {
    rest: &'a str,
    /// The number of the line last given.
    line: usize,
    peeked: Option<&'a str>,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let line = self.peek();
        self.peeked = None;
        self.line += usize::from(line.is_some());
        line
    }

    fn peek(&mut self) -> Option<&'a str> {
        if self.peeked.is_none() && !self.rest.is_empty() {
            let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
            self.rest = rest;
            let line = line.trim();
            self.peeked = Some(if line.starts_with('#') { "" } else { line });
        }
        self.peeked
    }

    /// The next line if it belongs to the command above it.
    fn next_of_block(&mut self) -> Option<&'a str> {
        self.peek().filter(|line| !line.is_empty())?;
        self.next()
    }
}

fn command(line: &str, lines: &mut Lines<'_>, points: &mut usize) -> Result<Command, String> {
    let (word, rest) = first_word(line);
    match word.to_ascii_lowercase().as_str() {
        "clear" => Ok(Command::Clear),
        "load" => load(rest, false, lines, points).map(Command::Load),
        "load_with_nhcb" => load(rest, true, lines, points).map(Command::Load),
        "eval" => evaluation(rest, Expect::default(), lines, points),
        "eval_fail" => {
            evaluation(rest, Expect { fail: Some(Text::Any), ..Expect::default() }, lines, points)
        }
        "eval_warn" => {
            evaluation(rest, Expect { warn: vec![Text::Any], ..Expect::default() }, lines, points)
        }
        "eval_info" => {
            evaluation(rest, Expect { info: vec![Text::Any], ..Expect::default() }, lines, points)
        }
        "eval_ordered" => {
            evaluation(rest, Expect { ordered: true, ..Expect::default() }, lines, points)
        }
        _ => Err(format!("unknown command {word:?}: expected load, clear or eval")),
    }
}

fn load(
    step: &str,
    with_custom_buckets: bool,
    lines: &mut Lines<'_>,
    points: &mut usize,
) -> Result<Load, String> {
    let step = duration(step, "the step")?;
    let mut series = Vec::new();
    while let Some(line) = lines.next_of_block() {
        if !is_start_times(line) {
            series.push(row(line, points)?);
        }
    }
    Ok(Load { step, series, with_custom_buckets })
}

/// `name{…}@st …`, or `@st …` for all that follow.
fn is_start_times(line: &str) -> bool {
    line.split_ascii_whitespace().next().is_some_and(|word| word.ends_with("@st"))
}

fn row(line: &str, points: &mut usize) -> Result<Row, String> {
    let row = series::read(line).map_err(|error| error.to_string())?;
    *points += row.1.len();
    if *points > SAMPLES_MAX {
        return Err(format!("more than {SAMPLES_MAX} points in one script"));
    }
    Ok(row)
}

/// `instant at TIME QUERY` or `range from TIME to TIME step STEP QUERY`, and the lines below.
fn evaluation(
    text: &str,
    mut expect: Expect,
    lines: &mut Lines<'_>,
    points: &mut usize,
) -> Result<Command, String> {
    let line = lines.line;
    let (kind, rest) = first_word(text);
    let (when, query) = match kind {
        "instant" => {
            let (at, query) = named(rest, "at")?;
            (When::At(time(at)?), query)
        }
        "range" => {
            let (span, query) = span(rest)?;
            (When::Over(span), query)
        }
        _ => return Err(format!("expected `instant` or `range`, found {kind:?}")),
    };
    if query.is_empty() {
        return Err("expected a query".to_owned());
    }
    let answer = expectations(when, &mut expect, lines, points)?;
    let query = query.to_owned();
    Ok(Command::Evaluate(Box::new(Evaluation { line, query, when, expect, answer })))
}

fn expectations(
    when: When,
    expect: &mut Expect,
    lines: &mut Lines<'_>,
    points: &mut usize,
) -> Result<Answer, String> {
    let (mut rows, mut matrix, mut text) = (Vec::new(), None, None);
    while let Some(line) = lines.next_of_block() {
        let (word, rest) = first_word(line);
        let (second, after) = first_word(rest);
        match (word, second) {
            ("expect", "range") => {
                let after = after.strip_prefix("vector").ok_or("expected `expect range vector`")?;
                matrix = Some(span(after.trim_start())?.0);
            }
            ("expect", "string") => {
                let (string, rest) = quoted::take(after)?;
                if !rest.is_empty() {
                    return Err(format!("expected nothing after the string, found {rest:?}"));
                }
                text = Some(string);
            }
            ("expect", kind) => expectation(kind, after, expect)?,
            ("expected_fail_message", _) => expect.fail = Some(Text::Exactly(rest.to_owned())),
            ("expected_fail_regexp", _) => expect.fail = Some(Text::like(rest)?),
            _ => {
                if let Some(number) = number(line) {
                    return Ok(Answer::Number(number));
                }
                let row = row(line, points)?;
                if row.1.len() > 1 && matrix.is_none() && matches!(when, When::At(_)) {
                    return Err(
                        "several values of an instant query need `expect range vector`".to_owned()
                    );
                }
                rows.push(row);
            }
        }
    }
    Ok(match (text, matrix) {
        (Some(text), _) => Answer::Text(text),
        (None, Some(span)) => Answer::Matrix(span, rows),
        (None, None) => Answer::Series(rows),
    })
}

/// `KIND`, `KIND msg: TEXT` or `KIND regex: TEXT`.
fn expectation(kind: &str, rest: &str, expect: &mut Expect) -> Result<(), String> {
    let text = match rest.split_once(':') {
        None if rest.is_empty() => Text::Any,
        Some(("msg", text)) => Text::Exactly(text.trim().to_owned()),
        Some(("regex", text)) => Text::like(text.trim())?,
        _ => return Err(format!("expected `msg: …` or `regex: …`, found {rest:?}")),
    };
    match kind {
        "fail" if expect.fail.is_some() => return Err("`expect fail` is said twice".to_owned()),
        "fail" => expect.fail = Some(text),
        "warn" => expect.warn.push(text),
        "info" => expect.info.push(text),
        "no_warn" => expect.no_warn = true,
        "no_info" => expect.no_info = true,
        "ordered" => expect.ordered = true,
        _ => return Err(format!("unknown expectation {kind:?}")),
    }
    let contradicts =
        expect.no_warn && !expect.warn.is_empty() || expect.no_info && !expect.info.is_empty();
    if contradicts { Err("the expectations contradict each other".to_owned()) } else { Ok(()) }
}

/// `from TIME to TIME step STEP`, and what follows.
fn span(text: &str) -> Result<(Span, &str), String> {
    let (start, rest) = named(text, "from")?;
    let (end, rest) = named(rest, "to")?;
    let (step, rest) = named(rest, "step")?;
    let (start, end, step) = (time(start)?, time(end)?, duration(step, "the step")?);
    if end < start {
        return Err("the end is before the start".to_owned());
    }
    Ok((Span { start, end, step }, rest))
}

/// The word after `name`, and what follows it.
fn named<'a>(text: &'a str, name: &str) -> Result<(&'a str, &'a str), String> {
    match first_word(text) {
        (word, rest) if word == name => Ok(first_word(rest)),
        (word, _) => Err(format!("expected `{name}`, found {word:?}")),
    }
}

fn first_word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| c.is_ascii_whitespace()).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word, rest.trim_start())
}

fn time(text: &str) -> Result<Timestamp, String> {
    let since = duration::parse(text).map_err(|error| format!("the time: {error}"))?;
    Ok(Timestamp(0).saturating_add(since))
}

fn duration(text: &str, what: &str) -> Result<Duration, String> {
    match duration::parse(text) {
        Ok(step) if step.is_zero() => Err(format!("{what} is zero")),
        Ok(step) => Ok(step),
        Err(error) => Err(format!("{what}: {error}")),
    }
}

/// A line that is one number: the answer is a scalar.
fn number(line: &str) -> Option<f64> {
    let (sign, magnitude) = match line.strip_prefix('-') {
        Some(magnitude) => (-1.0, magnitude),
        None => (1.0, line.strip_prefix('+').unwrap_or(line)),
    };
    if let Some(digits) = magnitude.strip_prefix("0x").or(magnitude.strip_prefix("0X")) {
        return u32::from_str_radix(digits, 16).ok().map(|number| sign * f64::from(number));
    }
    line.parse().ok()
}

#[cfg(test)]
mod tests;
