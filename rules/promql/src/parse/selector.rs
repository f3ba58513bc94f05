//! Selectors: a name, matchers in braces, or both.

use bellwether_model::label::METRIC_NAME;
use bellwether_model::matcher::{MatchOp, Matcher};

use super::{PATTERNS, Parsed, Parser};
use crate::lex::{Keyword, Kind};
use crate::tree::{BinaryOp, Selector, Span, When};

impl Parser<'_> {
    /// A selector and its bytes.
    pub(super) fn selector(&mut self) -> Parsed<(Selector, Span)> {
        let named = match self.peek() {
            Kind::Identifier | Kind::MetricIdentifier | Kind::Aggregate(_) => true,
            Kind::Op(op) => op.is_set(),
            Kind::Keyword(keyword) => !matches!(
                keyword,
                Keyword::Bool
                    | Keyword::GroupLeft
                    | Keyword::GroupRight
                    | Keyword::Ignoring
                    | Keyword::On
            ),
            _ => false,
        };
        if !named && self.peek() != &Kind::LeftBrace {
            return Err(self.unexpected("", ""));
        }
        let name = named.then(|| self.take());
        let mut span = name.unwrap_or(self.token().span);
        let mut matchers = Vec::new();
        if self.peek() == &Kind::LeftBrace {
            span.end = self.matchers(&mut matchers)?.end;
        }
        let name = name.map(|name| self.word(name).to_owned());
        if let Some(name) = &name {
            matchers.push(equal(METRIC_NAME, name));
        }
        Ok((Selector { name, matchers, when: When::default() }, span))
    }

    /// Matchers in braces; where they end.
    fn matchers(&mut self, matchers: &mut Vec<Matcher>) -> Parsed<Span> {
        const CONTEXT: &str = "label matching";
        self.take();
        if let Some(end) = self.eat(&Kind::RightBrace) {
            return Ok(end);
        }
        loop {
            matchers.push(self.matcher()?);
            match self.peek() {
                Kind::Comma => drop(self.take()),
                Kind::RightBrace => {}
                Kind::Op(_) | Kind::Identifier if self.is_or() => {
                    let message = "not supported yet: \"or\" between matchers";
                    return Err((self.token().span, message.to_owned()));
                }
                _ => return Err(self.unexpected(CONTEXT, "\",\" or \"}\"")),
            }
            if let Some(end) = self.eat(&Kind::RightBrace) {
                return Ok(end);
            }
        }
    }

    fn is_or(&self) -> bool {
        self.word(self.token().span).eq_ignore_ascii_case("or")
    }

    fn matcher(&mut self) -> Parsed<Matcher> {
        const CONTEXT: &str = "label matching";
        let quoted = match self.peek() {
            Kind::Identifier => false,
            Kind::Text => true,
            _ => return Err(self.unexpected(CONTEXT, "identifier or \"}\"")),
        };
        let start = self.take();
        let name = if quoted { self.text_value(start)? } else { self.word(start).to_owned() };
        let op = match self.peek() {
            Kind::Assign => MatchOp::Equal,
            Kind::Op(BinaryOp::NotEqual) => MatchOp::NotEqual,
            Kind::Regex => MatchOp::Regex,
            Kind::NotRegex => MatchOp::NotRegex,
            _ if quoted => return Ok(equal(METRIC_NAME, &name)),
            _ => return Err(self.unexpected(CONTEXT, "label matching operator")),
        };
        self.take();
        if self.peek() != &Kind::Text {
            return Err(self.unexpected(CONTEXT, "string"));
        }
        let end = self.take();
        let value = self.text_value(end)?;
        if matches!(op, MatchOp::Regex | MatchOp::NotRegex) {
            self.patterns += 1;
            if self.patterns > PATTERNS {
                return Err((start.to(end), format!("query has more than {PATTERNS} patterns")));
            }
        }
        Matcher::new(&name, op, &value).map_err(|error| (start.to(end), error.to_string()))
    }
}

fn equal(name: &str, value: &str) -> Matcher {
    Matcher::new(name, MatchOp::Equal, value).expect("invariant: equality needs no pattern")
}
