//! What may follow an expression: a window, `offset`, `@`.

use bellwether_model::time::Timestamp;

use super::{Parsed, Parser};
use crate::lex::{Keyword, Kind};
use crate::tree::{At, Expr, Length, Node, RangeSelector, Span, Subquery, When};

const LENGTH: &str = "number, duration, step(), or range()";

impl Parser<'_> {
    pub(super) fn modified(&mut self, mut expr: Expr) -> Parsed<Expr> {
        loop {
            expr = match self.peek() {
                Kind::LeftBracket => self.window(expr)?,
                Kind::Keyword(Keyword::Offset) => self.offset(expr)?,
                Kind::At => self.at(expr)?,
                Kind::Keyword(keyword @ (Keyword::Anchored | Keyword::Smoothed)) => {
                    let word = match keyword {
                        Keyword::Anchored => "anchored",
                        _ => "smoothed",
                    };
                    let message = format!("not supported yet: modifier {word}");
                    return Err((self.token().span, message));
                }
                _ => return Ok(expr),
            };
        }
    }

    fn window(&mut self, expr: Expr) -> Parsed<Expr> {
        let opening = self.take();
        if !self.duration_follows() {
            return Err(self.unexpected("subquery or range selector", LENGTH));
        }
        let range = self.positive_length()?;
        if let Some(closing) = self.eat(&Kind::RightBracket) {
            return range_selector(expr, range, opening.to(closing));
        }
        if self.eat(&Kind::Colon).is_none() {
            return Err(self.unexpected("subquery or range", "\":\" or \"]\""));
        }
        let mut step = None;
        if self.peek() != &Kind::RightBracket {
            if !self.duration_follows() {
                let expected = "number, duration, step(), range(), or \"]\"";
                return Err(self.unexpected("subquery selector", expected));
            }
            step = Some(self.positive_length()?);
        }
        let closing = self
            .eat(&Kind::RightBracket)
            .ok_or_else(|| self.unexpected("subquery selector", "\"]\""))?;
        let span = expr.span.to(closing);
        let subquery = Subquery { expr, range, step, when: When::default() };
        Ok(Expr { span, node: Node::Subquery(Box::new(subquery)) })
    }

    fn offset(&mut self, mut expr: Expr) -> Parsed<Expr> {
        self.take();
        if !self.duration_follows() {
            return Err(self.unexpected("offset", LENGTH));
        }
        let offset = self.offset_length()?;
        let end = self.ended();
        let span = expr.span;
        let Some(when) = when(&mut expr) else {
            let message = "offset modifier must be preceded by an instant vector selector or \
                           range vector selector or a subquery";
            return Err((span, message.to_owned()));
        };
        if !matches!(when.offset, Length::Millis(0)) {
            return Err((span, "offset may not be set multiple times".to_owned()));
        }
        when.offset = offset;
        expr.span.end = end;
        Ok(expr)
    }

    fn at(&mut self, mut expr: Expr) -> Parsed<Expr> {
        self.take();
        let span = expr.span;
        let at = match self.peek() {
            Kind::Keyword(keyword @ (Keyword::Start | Keyword::End)) => {
                let at = if *keyword == Keyword::Start { At::Start } else { At::End };
                self.take();
                self.eat(&Kind::LeftParen).ok_or_else(|| self.unexpected("@", "timestamp"))?;
                self.closing_paren()?;
                at
            }
            Kind::Number | Kind::Duration | Kind::Op(_) => {
                let (number, _) =
                    self.signed_number().map_err(|_| self.unexpected("@", "timestamp"))?;
                At::Time(timestamp(number.value, span)?)
            }
            _ => return Err(self.unexpected("@", "timestamp")),
        };
        let end = self.ended();
        let Some(when) = when(&mut expr) else {
            let message = "@ modifier must be preceded by an instant vector selector or range \
                           vector selector or a subquery";
            return Err((span, message.to_owned()));
        };
        if when.at.is_some() {
            return Err((span, "@ <timestamp> may not be set multiple times".to_owned()));
        }
        when.at = Some(at);
        expr.span.end = end;
        Ok(expr)
    }

    /// Where the last token taken ends.
    fn ended(&self) -> usize {
        self.tokens.get(self.at.saturating_sub(1)).map_or(0, |token| token.span.end)
    }
}

fn when(expr: &mut Expr) -> Option<&mut When> {
    match &mut expr.node {
        Node::Selector(selector) => Some(&mut selector.when),
        Node::Range(range) => Some(&mut range.selector.when),
        Node::Subquery(subquery) => Some(&mut subquery.when),
        _ => None,
    }
}

fn range_selector(expr: Expr, range: Length, brackets: Span) -> Parsed<Expr> {
    let Expr { span: selector_span, node: Node::Selector(selector) } = expr else {
        return Err((brackets, "ranges only allowed for vector selectors".to_owned()));
    };
    if !matches!(selector.when.offset, Length::Millis(0)) {
        return Err((brackets, "no offset modifiers allowed before range".to_owned()));
    }
    if selector.when.at.is_some() {
        return Err((brackets, "no @ modifiers allowed before range".to_owned()));
    }
    let span = selector_span.to(brackets);
    let range = RangeSelector { selector, selector_span, range };
    Ok(Expr { span, node: Node::Range(Box::new(range)) })
}

/// Seconds to milliseconds, rounded.
#[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
fn timestamp(seconds: f64, span: Span) -> Parsed<Timestamp> {
    let shown = || match seconds {
        s if s.is_nan() => "NaN".to_owned(),
        s if s.is_infinite() => if s > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        s => format!("{s:.6}"),
    };
    // 2⁶³: beyond it Prometheus refuses, and so do we.
    if !(seconds.abs() < 9_223_372_036_854_775_808.0) {
        return Err((span, format!("timestamp out of bounds for @ modifier: {}", shown())));
    }
    Ok(Timestamp((seconds * 1000.0).round() as i64))
}
