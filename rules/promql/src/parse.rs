//! From text to [`Query`]: bounds, the grammar of `promql-parser`, lowering.
//!
//! What the grammar knows and the evaluator does not is refused by name. Arithmetic on plain
//! numbers is folded, since dashboards ask `1+1` to learn whether the server lives.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use bellwether_model::label::METRIC_NAME;
use bellwether_model::matcher::{MatchOp, Matcher};
use bellwether_model::time::Timestamp;
use promql_parser::label as grammar_label;
use promql_parser::parser::{self as grammar, Expr, token};

use crate::query::{At, Query, Selector};
use crate::scan::{Scanned, scan};

/// A place in a query's text, both counted from 1; columns are bytes, as in Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The byte in the line.
    pub column: usize,
}

/// A text is not a query that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub message: String,
    /// Where; the grammar does not always tell.
    pub position: Option<Position>,
}

impl std::error::Error for ParseError {}

/// As Prometheus prints it: `1:5: parse error: …`.
impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(Position { line, column }) => write!(f, "{line}:{column}: ")?,
            None => f.write_str("unknown position: ")?,
        }
        write!(f, "parse error: {}", self.message)
    }
}

impl ParseError {
    pub(crate) fn new(message: impl Into<String>) -> ParseError {
        ParseError { message: message.into(), position: None }
    }

    pub(crate) fn at(message: impl Into<String>, text: &str, byte: usize) -> ParseError {
        let before = text.get(..byte).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let position = Position {
            line: before.bytes().filter(|b| *b == b'\n').count() + 1,
            column: before.len() - line_start + 1,
        };
        ParseError { message: message.into(), position: Some(position) }
    }
}

const EMPTY_SELECTOR: &str = "vector selector must contain at least one non-empty matcher";
const NO_EXPRESSION: &str = "no expression found in input";
const ZERO_RANGE: &str = "duration must be greater than 0";

/// Reads a query.
///
/// # Errors
/// Not PromQL, out of bounds, or nothing that the evaluator knows (`not supported yet: …`).
pub fn parse_selector(text: &str) -> Result<Query, ParseError> {
    let scanned = scan(text)?;
    let expression = grammar::parse(&scanned.text).map_err(|message| place(message, &scanned))?;
    lower(&expression)
}

/// Reads a series selector as in `match[]`: a name, matchers or both, without `offset`, `@` or
/// range. Unlike a query's it may match everything; the caller decides.
///
/// # Errors
/// Not a selector, or out of bounds.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, ParseError> {
    /// Opens a list of matchers that the grammar would refuse as empty; taken out again.
    const OPENING: &str = r#"{__opening__="1","#;

    let mut scanned = scan(text)?;
    let nameless = scanned.text.get(scanned.start..).is_some_and(|t| t.starts_with('{'));
    if nameless {
        scanned.text.replace_range(scanned.start..=scanned.start, OPENING);
    }
    let expression = grammar::parse(&scanned.text).map_err(|message| place(message, &scanned))?;
    let Expr::VectorSelector(selector) = &expression else {
        return Err(ParseError::new(format!(
            "expected a series selector, got {}",
            name(&expression)
        )));
    };
    if selector.at.is_some() || selector.offset.is_some() {
        return Err(ParseError::new("expected a series selector without offset and @"));
    }
    let mut matchers = lower_matchers(selector)?;
    if nameless {
        matchers.remove(0);
    }
    Ok(matchers)
}

fn place(message: String, scanned: &Scanned) -> ParseError {
    if message == EMPTY_SELECTOR {
        return ParseError::at(message, &scanned.text, scanned.start);
    }
    if scanned.text.is_empty() {
        return ParseError::new(NO_EXPRESSION);
    }
    if scanned.start == scanned.text.len() {
        return ParseError::at(NO_EXPRESSION, &scanned.text, 0);
    }
    ParseError::new(message)
}

fn lower(expression: &Expr) -> Result<Query, ParseError> {
    match expression {
        Expr::Paren(inner) => lower(&inner.expr),
        Expr::StringLiteral(text) => Ok(Query::Text(text.val.clone())),
        Expr::VectorSelector(selector) => Ok(Query::Instant(lower_selector(selector)?)),
        Expr::MatrixSelector(matrix) => {
            Ok(Query::Range(lower_selector(&matrix.vs)?, whole_millis(matrix.range)?))
        }
        _ => fold(expression)
            .map(Query::Number)
            .ok_or_else(|| ParseError::new(format!("not supported yet: {}", name(expression)))),
    }
}

/// The value of arithmetic on numbers; `None` of anything else. Recursion is bounded by the tokens
/// of a query, and takes little of the stack.
fn fold(expression: &Expr) -> Option<f64> {
    match expression {
        Expr::NumberLiteral(number) => Some(number.val),
        Expr::Paren(inner) => fold(&inner.expr),
        Expr::Unary(unary) => fold(&unary.expr).map(|value| -value),
        Expr::Binary(binary) => {
            let (left, right) = (fold(&binary.lhs)?, fold(&binary.rhs)?);
            match binary.op.id() {
                token::T_ADD => Some(left + right),
                token::T_SUB => Some(left - right),
                token::T_MUL => Some(left * right),
                token::T_DIV => Some(left / right),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The grammar's name of an expression, for errors.
fn name(expression: &Expr) -> String {
    match expression {
        Expr::Aggregate(aggregate) => format!("aggregation {}", aggregate.op),
        Expr::Unary(_) => "unary operator -".to_owned(),
        Expr::Binary(binary) => format!("operator {}", binary.op),
        Expr::Paren(_) => "parentheses".to_owned(),
        Expr::Subquery(_) => "subquery".to_owned(),
        Expr::NumberLiteral(_) => "number".to_owned(),
        Expr::StringLiteral(_) => "string".to_owned(),
        Expr::VectorSelector(_) => "instant vector selector".to_owned(),
        Expr::MatrixSelector(_) => "range vector selector".to_owned(),
        Expr::Call(call) => format!("function {}", call.func.name),
        Expr::Extension(_) => "extension".to_owned(),
    }
}

fn lower_selector(selector: &grammar::VectorSelector) -> Result<Selector, ParseError> {
    let matchers = lower_matchers(selector)?;
    if selector.name.is_none() && matchers.iter().all(|matcher| matcher.matches("")) {
        return Err(ParseError::new(EMPTY_SELECTOR));
    }
    let offset = match &selector.offset {
        None => 0,
        Some(grammar::Offset::Pos(by)) => signed_millis(*by)?,
        Some(grammar::Offset::Neg(by)) => -signed_millis(*by)?,
    };
    let at = match &selector.at {
        None => None,
        Some(grammar::AtModifier::Start) => Some(At::Start),
        Some(grammar::AtModifier::End) => Some(At::End),
        Some(grammar::AtModifier::At(time)) => {
            Some(At::Time(Timestamp(match time.duration_since(UNIX_EPOCH) {
                Ok(after) => signed_millis(after)?,
                Err(before) => -signed_millis(before.duration())?,
            })))
        }
    };
    Ok(Selector { matchers, offset, at })
}

fn lower_matchers(selector: &grammar::VectorSelector) -> Result<Vec<Matcher>, ParseError> {
    if !selector.matchers.or_matchers.is_empty() {
        return Err(ParseError::new("not supported yet: \"or\" between matchers"));
    }
    let refused = |e: bellwether_model::matcher::BadMatcher| ParseError::new(e.to_string());
    let mut matchers = Vec::with_capacity(selector.matchers.matchers.len() + 1);
    if let Some(name) = &selector.name {
        matchers.push(Matcher::new(METRIC_NAME, MatchOp::Equal, name).map_err(refused)?);
    }
    for matcher in &selector.matchers.matchers {
        let op = match matcher.op {
            grammar_label::MatchOp::Equal => MatchOp::Equal,
            grammar_label::MatchOp::NotEqual => MatchOp::NotEqual,
            grammar_label::MatchOp::Re(_) => MatchOp::Regex,
            grammar_label::MatchOp::NotRe(_) => MatchOp::NotRegex,
        };
        matchers.push(Matcher::new(&matcher.name, op, &matcher.value).map_err(refused)?);
    }
    Ok(matchers)
}

fn signed_millis(duration: Duration) -> Result<i64, ParseError> {
    i64::try_from(duration.as_millis()).map_err(|_| ParseError::new("duration out of range"))
}

/// Cut to milliseconds, the resolution of samples.
fn whole_millis(duration: Duration) -> Result<Duration, ParseError> {
    match signed_millis(duration)? {
        0 => Err(ParseError::new(ZERO_RANGE)),
        millis => Ok(Duration::from_millis(millis.unsigned_abs())),
    }
}

#[cfg(test)]
mod tests;
