//! Tokens to [`Expr`]: the grammar of Prometheus 3.14 by precedence climbing, and its words.
//!
//! Length, tokens, nesting and patterns are bounded before or while reading, so that nothing here
//! or in the evaluation runs out of stack. Kinds are checked after the whole text is read, as in
//! Prometheus: a syntax error anywhere is reported before a wrong kind.

mod check;
mod literal;
mod modifier;
mod selector;
#[cfg(test)]
mod tests;

use std::fmt;

use bellwether_model::matcher::{Capturing, Matcher};

use crate::function::Function;
use crate::lex::{Keyword, Kind, Token, lex};
use crate::quote::{quote, unquote};
use crate::tree::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Card, Expr, Matching, Node, Position, Sign,
    Span,
};

pub(crate) use literal::millis;

/// Bytes of a query; dashboards and rule files stay far below.
const QUERY_BYTES: usize = 64 << 10;
/// Tokens of a query.
const TOKENS: usize = 8192;
/// Expressions within expressions, chains of operators counted.
const DEPTH: usize = 300;
/// Patterns of a query; each may take a tenth of a second to compile.
const PATTERNS: usize = 64;
/// Patterns of `label_replace` that are compiled while reading; more are compiled at evaluation.
const REPLACED: usize = 8;

/// A text is not a query that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub message: String,
    /// Where it begins; `None` in an empty text.
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

/// What is wrong and where, while the text is at hand.
type Refusal = (Span, String);
type Parsed<T> = Result<T, Refusal>;

/// Reads a query.
///
/// # Errors
/// Not PromQL, out of bounds, or nothing that the evaluator knows (`not supported yet: …`).
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    whole(text, |parser| {
        if parser.peek() == &Kind::End {
            return Err((Span::default(), "no expression found in input".to_owned()));
        }
        let (mut expr, _) = parser.expr(0)?;
        parser.end()?;
        check::check(&mut expr)?;
        Ok(expr)
    })
}

/// Reads a series selector as in `match[]`: a name, matchers or both, without `offset`, `@` or
/// range. Unlike a query's it may match everything; the caller decides.
///
/// # Errors
/// Not a selector, or out of bounds.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, ParseError> {
    whole(text, |parser| {
        let (selector, span) = parser.selector()?;
        parser.end()?;
        check::one_name(&selector, span)?;
        Ok(selector.matchers)
    })
}

fn whole<T>(text: &str, read: impl FnOnce(&mut Parser<'_>) -> Parsed<T>) -> Result<T, ParseError> {
    let placed = |(span, message): Refusal| {
        let position = (!text.is_empty()).then(|| span.position(text));
        ParseError { message, position }
    };
    if text.len() > QUERY_BYTES {
        let message = format!("query is longer than {QUERY_BYTES} bytes");
        return Err(placed((Span::default(), message)));
    }
    let tokens = lex(text, TOKENS);
    read(&mut Parser { text, tokens, at: 0, depth: 0, patterns: 0, replaced: 0 }).map_err(placed)
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    /// The next token; the last one is never passed.
    at: usize,
    depth: usize,
    patterns: usize,
    replaced: usize,
}

impl Parser<'_> {
    fn token(&self) -> &Token {
        self.ahead(0)
    }

    fn ahead(&self, by: usize) -> &Token {
        let last = self.tokens.len() - 1;
        self.tokens.get((self.at + by).min(last)).expect("invariant: there is an end token")
    }

    fn peek(&self) -> &Kind {
        &self.token().kind
    }

    fn take(&mut self) -> Span {
        let span = self.token().span;
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        span
    }

    fn eat(&mut self, kind: &Kind) -> Option<Span> {
        (self.peek() == kind).then(|| self.take())
    }

    fn word(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or("")
    }

    /// The error that the next token is not what may stand here.
    fn unexpected(&self, context: &str, expected: &str) -> Refusal {
        let token = self.token();
        if let Kind::Error(message) = &token.kind {
            return (token.span, message.clone());
        }
        let mut message = format!("unexpected {}", token.described(self.text));
        for (word, part) in [(" in ", context), (", expected ", expected)] {
            if !part.is_empty() {
                message.push_str(word);
                message.push_str(part);
            }
        }
        (token.span, message)
    }

    fn end(&self) -> Parsed<()> {
        match self.peek() {
            Kind::End => Ok(()),
            _ => Err(self.unexpected("", "")),
        }
    }

    fn text_value(&self, span: Span) -> Parsed<String> {
        unquote(self.word(span)).map_err(|message| (span, message))
    }

    /// An expression whose operators bind at least as strongly as `least`, and its depth.
    fn expr(&mut self, least: u8) -> Parsed<(Expr, usize)> {
        self.depth += 1;
        self.bounded(self.depth)?;
        let (mut left, mut depth) = self.operand()?;
        loop {
            let (op, binds, right_first) = match self.peek() {
                Kind::Op(op) => (*op, binding(*op), *op == BinaryOp::Pow),
                Kind::TrimUpper | Kind::TrimLower => {
                    let message = "not supported yet: trimming of native histograms";
                    return Err((self.token().span, message.to_owned()));
                }
                _ => break,
            };
            if binds < least {
                break;
            }
            let op_span = self.take();
            let (is_bool, matching) = self.binary_modifier()?;
            let (right, right_depth) = self.expr(if right_first { binds } else { binds + 1 })?;
            depth = depth.max(right_depth) + 1;
            self.bounded(depth)?;
            let span = left.span.to(right.span);
            let binary = Binary { op, op_span, left, right, is_bool, matching };
            left = Expr { span, node: Node::Binary(Box::new(binary)) };
        }
        self.depth -= 1;
        Ok((left, depth))
    }

    fn bounded(&self, depth: usize) -> Parsed<()> {
        if depth > DEPTH {
            return Err((self.token().span, format!("query is nested deeper than {DEPTH}")));
        }
        Ok(())
    }

    /// A sign and what it stands before, or an expression with its modifiers.
    fn operand(&mut self) -> Parsed<(Expr, usize)> {
        let sign = match self.peek() {
            Kind::Op(BinaryOp::Add) => Sign::Plus,
            Kind::Op(BinaryOp::Sub) => Sign::Minus,
            _ => {
                let (expr, depth) = self.primary()?;
                return Ok((self.modified(expr)?, depth + 1));
            }
        };
        let start = self.take();
        let (mut expr, depth) = self.expr(binding(BinaryOp::Mul) + 1)?;
        let span = start.to(expr.span);
        if let Node::Number(number) = &mut expr.node {
            if sign == Sign::Minus {
                number.value = -number.value;
            }
            expr.span = span;
            return Ok((expr, depth));
        }
        Ok((Expr { span, node: Node::Unary(sign, Box::new(expr)) }, depth + 1))
    }

    fn primary(&mut self) -> Parsed<(Expr, usize)> {
        let is_call = self.ahead(1).kind == Kind::LeftParen;
        match self.peek().clone() {
            Kind::Number | Kind::Duration => {
                let (number, span) = self.number()?;
                Ok((Expr { span, node: Node::Number(number) }, 0))
            }
            Kind::Text => {
                let span = self.take();
                Ok((Expr { span, node: Node::Text(self.text_value(span)?) }, 0))
            }
            Kind::LeftParen => {
                let start = self.take();
                let (inner, depth) = self.expr(0)?;
                let end = self.closing_paren()?;
                Ok((Expr { span: start.to(end), node: Node::Paren(Box::new(inner)) }, depth))
            }
            Kind::Aggregate(op) => match self.ahead(1).kind {
                Kind::LeftParen | Kind::Keyword(Keyword::By | Keyword::Without) => {
                    self.aggregate(op)
                }
                _ => self.selector_expr(),
            },
            Kind::Identifier => {
                if is_call {
                    self.call()
                } else {
                    self.selector_expr()
                }
            }
            Kind::Keyword(
                Keyword::Start
                | Keyword::End
                | Keyword::Step
                | Keyword::Range
                | Keyword::MaxOf
                | Keyword::MinOf,
            ) if is_call => self.call(),
            _ => self.selector_expr(),
        }
    }

    fn selector_expr(&mut self) -> Parsed<(Expr, usize)> {
        let (selector, span) = self.selector()?;
        Ok((Expr { span, node: Node::Selector(selector) }, 0))
    }

    fn closing_paren(&mut self) -> Parsed<Span> {
        self.eat(&Kind::RightParen).ok_or_else(|| self.unexpected("", ""))
    }

    fn call(&mut self) -> Parsed<(Expr, usize)> {
        let name = self.take();
        let (args, end, depth) = self.arguments()?;
        let word = self.word(name);
        let function = Function::named(word)
            .ok_or_else(|| (name, format!("unknown function with name {}", quote(word))))?;
        let pattern = self.replaced_pattern(function, &args);
        let call = Call { function, args, pattern };
        Ok((Expr { span: name.to(end), node: Node::Call(call) }, depth + 1))
    }

    fn replaced_pattern(&mut self, function: &Function, args: &[Expr]) -> Option<Capturing> {
        if function.name != "label_replace" || self.replaced == REPLACED {
            return None;
        }
        let Node::Text(pattern) = &args.get(4)?.node else { return None };
        self.replaced += 1;
        Capturing::new(pattern).ok()
    }

    /// Expressions in parentheses, where they end, and the greatest depth.
    fn arguments(&mut self) -> Parsed<(Vec<Expr>, Span, usize)> {
        self.eat(&Kind::LeftParen).ok_or_else(|| self.unexpected("", ""))?;
        let mut args = Vec::new();
        let mut deepest = 0;
        if let Some(end) = self.eat(&Kind::RightParen) {
            return Ok((args, end, deepest));
        }
        loop {
            let (arg, depth) = self.expr(0)?;
            args.push(arg);
            deepest = deepest.max(depth);
            if let Some(end) = self.eat(&Kind::RightParen) {
                return Ok((args, end, deepest));
            }
            let comma = self.eat(&Kind::Comma).ok_or_else(|| self.unexpected("", ""))?;
            if self.peek() == &Kind::RightParen {
                let message = "trailing commas not allowed in function call args";
                return Err((comma, message.to_owned()));
            }
        }
    }

    fn aggregate(&mut self, op: AggregateOp) -> Parsed<(Expr, usize)> {
        let start = self.take();
        let before = self.grouping()?;
        let (mut args, mut end, depth) = self.arguments()?;
        let modifier = match before {
            Some(modifier) => Some(modifier),
            None => self.grouping()?,
        };
        let (grouping, is_without) = match modifier {
            Some((labels, is_without, closing)) => {
                end.end = end.end.max(closing.end);
                (labels, is_without)
            }
            None => (Vec::new(), false),
        };
        let span = start.to(end);
        let wanted = if op.param().is_some() { 2 } else { 1 };
        let given = args.len();
        let expr = args
            .pop()
            .ok_or_else(|| (span, "no arguments for aggregate expression provided".to_owned()))?;
        if given != wanted {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, \
                 expected {wanted}, got {given}"
            );
            return Err((span, message));
        }
        let aggregate = Aggregate { op, param: args.pop(), expr, grouping, is_without };
        Ok((Expr { span, node: Node::Aggregate(Box::new(aggregate)) }, depth + 1))
    }

    /// `by (…)` or `without (…)`.
    fn grouping(&mut self) -> Parsed<Option<(Vec<String>, bool, Span)>> {
        let is_without = match self.peek() {
            Kind::Keyword(Keyword::By) => false,
            Kind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.take();
        let (labels, end) = self.labels()?;
        Ok(Some((labels, is_without, end)))
    }

    /// Names of labels in parentheses, and where they end.
    fn labels(&mut self) -> Parsed<(Vec<String>, Span)> {
        const CONTEXT: &str = "grouping opts";
        self.eat(&Kind::LeftParen).ok_or_else(|| self.unexpected(CONTEXT, "\"(\""))?;
        let mut labels = Vec::new();
        loop {
            if let Some(end) = self.eat(&Kind::RightParen) {
                return Ok((labels, end));
            }
            let is_label = match self.peek() {
                Kind::Text | Kind::Identifier | Kind::MetricIdentifier => true,
                Kind::Aggregate(_) => true,
                Kind::Keyword(keyword) => *keyword != Keyword::Without,
                Kind::Op(op) => op.is_set() || *op == BinaryOp::Atan2,
                _ => false,
            };
            if !is_label {
                return Err(self.unexpected(CONTEXT, "label"));
            }
            let is_text = self.peek() == &Kind::Text;
            let span = self.take();
            let label = if is_text { self.text_value(span)? } else { self.word(span).to_owned() };
            if label.is_empty() {
                return Err((span, "invalid label name for grouping: \"\"".to_owned()));
            }
            labels.push(label);
            match self.peek() {
                Kind::Comma => drop(self.take()),
                Kind::RightParen => {}
                _ => return Err(self.unexpected(CONTEXT, "\",\" or \")\"")),
            }
        }
    }

    /// What may stand between an operator and its right side.
    fn binary_modifier(&mut self) -> Parsed<(bool, Option<Matching>)> {
        let mut matching = Matching::default();
        let is_bool = self.eat(&Kind::Keyword(Keyword::Bool)).is_some();
        let is_on = match self.peek() {
            Kind::Keyword(Keyword::On) => Some(true),
            Kind::Keyword(Keyword::Ignoring) => Some(false),
            _ => None,
        };
        if let Some(is_on) = is_on {
            self.take();
            matching.is_on = is_on;
            (matching.labels, _) = self.labels()?;
            let card = match self.peek() {
                Kind::Keyword(Keyword::GroupLeft) => Some(Card::ManyToOne),
                Kind::Keyword(Keyword::GroupRight) => Some(Card::OneToMany),
                _ => None,
            };
            if let Some(card) = card {
                self.take();
                matching.card = card;
                if self.peek() == &Kind::LeftParen {
                    (matching.include, _) = self.labels()?;
                }
            }
        }
        self.fills(&mut matching)?;
        Ok((is_bool, Some(matching)))
    }

    fn fills(&mut self, matching: &mut Matching) -> Parsed<()> {
        let fill = &mut matching.fill;
        loop {
            let (left, right) = match self.peek() {
                Kind::Keyword(Keyword::Fill) if fill.left.is_none() && fill.right.is_none() => {
                    (true, true)
                }
                Kind::Keyword(Keyword::FillLeft) if fill.left.is_none() => (true, false),
                Kind::Keyword(Keyword::FillRight) if fill.right.is_none() => (false, true),
                _ => return Ok(()),
            };
            self.take();
            self.eat(&Kind::LeftParen).ok_or_else(|| self.unexpected("", ""))?;
            let (number, _) = self.signed_number()?;
            self.closing_paren()?;
            if left {
                fill.left = Some(number.value);
            }
            if right {
                fill.right = Some(number.value);
            }
        }
    }
}

/// How strongly an operator binds.
fn binding(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::Equal
        | BinaryOp::NotEqual
        | BinaryOp::Less
        | BinaryOp::LessEqual
        | BinaryOp::Greater
        | BinaryOp::GreaterEqual => 3,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => 5,
        BinaryOp::Pow => 6,
    }
}
