//! Numbers and durations as written, and expressions of durations.

use bellwether_model::duration::{self, LONGEST};

use super::{Parsed, Parser, binding};
use crate::lex::{Keyword, Kind};
use crate::quote::quote;
use crate::tree::{BinaryOp, Duration, DurationNode, Length, Number, Sign, Span};

impl Parser<'_> {
    /// A number or duration without a sign.
    pub(super) fn number(&mut self) -> Parsed<(Number, Span)> {
        let is_duration = self.peek() == &Kind::Duration;
        if !is_duration && self.peek() != &Kind::Number {
            return Err(self.unexpected("", ""));
        }
        let span = self.take();
        let word = self.word(span);
        let value = if is_duration {
            duration::parse(word).map(|length| length.as_secs_f64()).map_err(|e| e.to_string())
        } else {
            number(word)
        };
        Ok((Number { value: value.map_err(|message| (span, message))?, is_duration }, span))
    }

    /// A number or duration that may have a sign.
    pub(super) fn signed_number(&mut self) -> Parsed<(Number, Span)> {
        let sign = self.sign();
        let (mut number, mut span) = self.number()?;
        if let Some((sign, start)) = sign {
            span = start.to(span);
            if sign == Sign::Minus {
                number.value = -number.value;
            }
        }
        Ok((number, span))
    }

    fn sign(&mut self) -> Option<(Sign, Span)> {
        let sign = match self.peek() {
            Kind::Op(BinaryOp::Add) => Sign::Plus,
            Kind::Op(BinaryOp::Sub) => Sign::Minus,
            _ => return None,
        };
        Some((sign, self.take()))
    }

    /// Whether a duration may begin here.
    pub(super) fn duration_follows(&self) -> bool {
        match self.peek() {
            Kind::Number | Kind::Duration | Kind::LeftParen => true,
            Kind::Op(BinaryOp::Add | BinaryOp::Sub) => true,
            Kind::Keyword(Keyword::Step | Keyword::Range | Keyword::MinOf | Keyword::MaxOf) => true,
            _ => false,
        }
    }

    /// The length of a window or a distance of steps.
    pub(super) fn positive_length(&mut self) -> Parsed<Length> {
        let duration = self.duration(0)?;
        if let DurationNode::Number(number) = &duration.node {
            // Shorter than the resolution of samples is nothing.
            return match millis(number.value) {
                1.. => Ok(Length::Millis(millis(number.value))),
                _ => Err((duration.span, "duration must be greater than 0".to_owned())),
            };
        }
        Ok(Length::Computed(Box::new(duration)))
    }

    /// What follows `offset`: one operand, unless it stands in parentheses.
    pub(super) fn offset_length(&mut self) -> Parsed<Length> {
        let duration = match self.peek() {
            Kind::LeftParen => self.duration(0)?,
            _ => self.duration_operand(u8::MAX)?,
        };
        if let DurationNode::Number(number) = &duration.node {
            return Ok(Length::Millis(millis(number.value)));
        }
        Ok(Length::Computed(Box::new(duration)))
    }

    fn duration(&mut self, least: u8) -> Parsed<Duration> {
        self.depth += 1;
        self.bounded(self.depth)?;
        let mut left = self.duration_operand(binding(BinaryOp::Mul) + 1)?;
        let mut chained = 0;
        while let Kind::Op(op) = *self.peek() {
            let binds = binding(op);
            let is_arithmetic = binds >= binding(BinaryOp::Add) && op != BinaryOp::Atan2;
            if !is_arithmetic || binds < least {
                break;
            }
            let place = self.take();
            let right = self.duration(if op == BinaryOp::Pow { binds } else { binds + 1 })?;
            let by_zero = matches!(right.node, DurationNode::Number(n) if n.value == 0.0);
            match op {
                BinaryOp::Div if by_zero => return Err((place, "division by zero".to_owned())),
                BinaryOp::Mod if by_zero => return Err((place, "modulo by zero".to_owned())),
                _ => {}
            }
            chained += 1;
            self.bounded(self.depth + chained)?;
            let span = left.span.to(right.span);
            let node = DurationNode::Binary(op, Box::new(left), Box::new(right));
            left = Duration { span, node, is_wrapped: false };
        }
        self.depth -= 1;
        Ok(left)
    }

    /// A sign and what it stands before, a number, a function or parentheses.
    fn duration_operand(&mut self, sign_binds: u8) -> Parsed<Duration> {
        if let Some((sign, start)) = self.sign() {
            let inner = match self.peek() {
                _ if sign_binds < u8::MAX => self.duration(sign_binds)?,
                _ => self.duration_operand(sign_binds)?,
            };
            return self.signed(sign, start, inner);
        }
        match *self.peek() {
            Kind::Number | Kind::Duration => {
                let (number, span) = self.number()?;
                in_range(number.value, span)?;
                Ok(Duration { span, node: DurationNode::Number(number), is_wrapped: false })
            }
            Kind::LeftParen => {
                let start = self.take();
                let mut inner = self.duration(0)?;
                let span = start.to(self.closing_paren()?);
                if matches!(inner.node, DurationNode::Number(_)) {
                    // Kept apart from a bare number, so that it prints its parentheses.
                    let node = DurationNode::Unary(Sign::Plus, Box::new(inner));
                    return Ok(Duration { span, node, is_wrapped: true });
                }
                inner.is_wrapped = true;
                Ok(inner)
            }
            Kind::Keyword(keyword) => self.duration_function(keyword),
            _ => Err(self.unexpected("", "")),
        }
    }

    fn signed(&self, sign: Sign, start: Span, mut inner: Duration) -> Parsed<Duration> {
        let span = start.to(inner.span);
        if let DurationNode::Number(number) = &mut inner.node {
            if sign == Sign::Minus {
                number.value = -number.value;
            }
            in_range(number.value, start)?;
            inner.span = span;
            return Ok(inner);
        }
        if sign == Sign::Plus {
            return Ok(inner);
        }
        let node = DurationNode::Unary(sign, Box::new(inner));
        Ok(Duration { span, node, is_wrapped: false })
    }

    fn duration_function(&mut self, keyword: Keyword) -> Parsed<Duration> {
        if !matches!(keyword, Keyword::Step | Keyword::Range | Keyword::MinOf | Keyword::MaxOf) {
            return Err(self.unexpected("", ""));
        }
        let start = self.take();
        if self.peek() != &Kind::LeftParen {
            let expected = "number, duration, step(), or range()";
            return Err(self.unexpected("subquery or range selector", expected));
        }
        self.take();
        let node = match keyword {
            Keyword::Step => DurationNode::Step,
            Keyword::Range => DurationNode::Range,
            _ => {
                let left = Box::new(self.duration(0)?);
                self.eat(&Kind::Comma).ok_or_else(|| self.unexpected("", ""))?;
                let right = Box::new(self.duration(0)?);
                if keyword == Keyword::MinOf {
                    DurationNode::MinOf(left, right)
                } else {
                    DurationNode::MaxOf(left, right)
                }
            }
        };
        let end = self.closing_paren()?;
        Ok(Duration { span: start.to(end), node, is_wrapped: false })
    }
}

fn in_range(seconds: f64, span: Span) -> Parsed<()> {
    if seconds.abs() <= LONGEST.as_secs_f64() {
        Ok(())
    } else {
        Err((span, "duration out of range".to_owned()))
    }
}

/// Seconds to milliseconds, in Prometheus' steps: rounded to nanoseconds, then cut.
#[expect(clippy::cast_possible_truncation, reason = "durations are checked to be in range")]
pub(crate) fn millis(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64 / 1_000_000
}

/// Reads a number as Go does: decimal, octal after `0`, hexadecimal after `0x`, or a float.
fn number(word: &str) -> Result<f64, String> {
    let lower = word.to_ascii_lowercase();
    let (radix, digits) = match lower.strip_prefix("0x") {
        Some(digits) => (16, digits),
        None if lower.len() > 1 && lower.starts_with('0') => (8, lower.as_str()),
        None => (10, lower.as_str()),
    };
    let separated = !digits.ends_with('_') && !digits.contains("__") && !digits.starts_with('_');
    if separated || (radix == 16 && !digits.ends_with('_') && !digits.contains("__")) {
        if let Ok(integer) = i64::from_str_radix(&digits.replace('_', ""), radix) {
            #[expect(clippy::cast_precision_loss, reason = "as Go converts")]
            return Ok(integer as f64);
        }
    }
    let refused = |why| {
        Err(format!("error parsing number: strconv.ParseFloat: parsing {}: {why}", quote(word)))
    };
    match lower.as_str() {
        "inf" => Ok(f64::INFINITY),
        "nan" => Ok(f64::NAN),
        _ if radix == 16 || lower.contains('_') => refused("invalid syntax"),
        _ => match lower.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            Ok(_) => refused("value out of range"),
            Err(_) => refused("invalid syntax"),
        },
    }
}
