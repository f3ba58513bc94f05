//! Trees as text: on one line as Prometheus' `String()`, and broken over lines as its formatter.

use std::fmt::{self, Display, Formatter};

use bellwether_model::duration::show;
use bellwether_model::exposition::push_float;
use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::matcher::{MatchOp, Matcher};

use crate::quote::quote;
use crate::tree::{
    Aggregate, At, Binary, Card, Duration, DurationNode, Expr, Length, Matching, Node, Number,
    Selector, Sign, Subquery, When,
};

#[cfg(test)]
mod tests;

/// Expressions longer than this are broken over lines.
const LINE: usize = 100;

/// The text of a query broken over lines of about 100 characters, as Prometheus formats it.
#[must_use]
pub fn pretty(expr: &Expr) -> String {
    let mut out = String::new();
    push_pretty(&mut out, expr, 0);
    out
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.node {
            Node::Number(number) => number.fmt(f),
            Node::Text(text) => f.write_str(&quote(text)),
            Node::Selector(selector) => {
                write!(f, "{}{}", Bare(selector), selector.when)
            }
            Node::Range(range) => {
                write!(f, "{}[{}]{}", Bare(&range.selector), range.range, range.selector.when)
            }
            Node::Subquery(subquery) => write!(f, "{}{}", subquery.expr, Suffix(subquery)),
            Node::Paren(inner) => write!(f, "({inner})"),
            Node::Unary(sign, inner) => write!(f, "{sign}{inner}"),
            Node::Binary(binary) => {
                let Binary { op, left, right, .. } = &**binary;
                write!(f, "{left} {}{} {right}", op.as_str(), Modifier(binary))
            }
            Node::Aggregate(aggregate) => {
                write!(f, "{}(", Head(aggregate))?;
                if let Some(param) = &aggregate.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", aggregate.expr)
            }
            Node::Call(call) => {
                write!(f, "{}(", call.function.name)?;
                for (i, arg) in call.args.iter().enumerate() {
                    write!(f, "{}{arg}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
        }
    }
}

impl Display for Sign {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Sign::Minus { "-" } else { "+" })
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_duration {
            let sign = if self.value < 0.0 { "-" } else { "" };
            return write!(f, "{sign}{}", millis(self.value.abs()));
        }
        if self.value.is_infinite() {
            return f.write_str(if self.value > 0.0 { "+Inf" } else { "-Inf" });
        }
        // The fewest digits that read back, without an exponent: as `strconv` with `'f', -1`.
        write!(f, "{}", self.value)
    }
}

fn millis(seconds: f64) -> String {
    show(std::time::Duration::from_millis(crate::parse::millis(seconds).unsigned_abs()))
}

impl Display for Length {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Length::Millis(millis) => {
                let sign = if *millis < 0 { "-" } else { "" };
                let length = std::time::Duration::from_millis(millis.unsigned_abs());
                write!(f, "{sign}{}", show(length))
            }
            Length::Computed(duration) => duration.fmt(f),
        }
    }
}

impl Display for Duration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_wrapped {
            f.write_str("(")?;
        }
        match &self.node {
            DurationNode::Number(number) => number.fmt(f)?,
            DurationNode::Step => f.write_str("step()")?,
            DurationNode::Range => f.write_str("range()")?,
            DurationNode::MinOf(left, right) => write!(f, "min_of({left}, {right})")?,
            DurationNode::MaxOf(left, right) => write!(f, "max_of({left}, {right})")?,
            DurationNode::Unary(Sign::Minus, inner) => write!(f, "-{inner}")?,
            DurationNode::Unary(Sign::Plus, inner) => inner.fmt(f)?,
            DurationNode::Binary(op, left, right) => {
                write!(f, "{left} {} {right}", op.as_str())?;
            }
        }
        if self.is_wrapped { f.write_str(")") } else { Ok(()) }
    }
}

impl Display for When {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.at {
            None => {}
            #[expect(clippy::cast_precision_loss, reason = "as Prometheus prints")]
            Some(At::Time(time)) => write!(f, " @ {:.3}", time.0 as f64 / 1000.0)?,
            Some(At::Start) => f.write_str(" @ start()")?,
            Some(At::End) => f.write_str(" @ end()")?,
        }
        match &self.offset {
            Length::Millis(0) => Ok(()),
            offset => write!(f, " offset {offset}"),
        }
    }
}

/// A selector without `offset` and `@`.
struct Bare<'a>(&'a Selector);

impl Display for Bare<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = self.0.name.as_deref().unwrap_or("");
        let is_name = |m: &&Matcher| {
            let equal = m.op() == MatchOp::Equal && m.value() == name && !name.is_empty();
            m.name() == METRIC_NAME && equal
        };
        let mut matchers: Vec<String> =
            self.0.matchers.iter().filter(|m| !is_name(m)).map(matcher).collect();
        matchers.sort_unstable();
        f.write_str(name)?;
        match matchers.is_empty() {
            true => Ok(()),
            false => write!(f, "{{{}}}", matchers.join(",")),
        }
    }
}

/// A matcher as written in a query.
fn matcher(matcher: &Matcher) -> String {
    let op = match matcher.op() {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    format!("{}{op}{}", label(matcher.name()), quote(matcher.value()))
}

/// A label's name, in quotes if it needs them.
fn label(name: &str) -> String {
    let plain =
        |(i, b): (usize, u8)| b == b'_' || b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit());
    match !name.is_empty() && name.bytes().enumerate().all(plain) {
        true => name.to_owned(),
        false => quote(name),
    }
}

fn labels(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| label(name)).collect();
    names.join(", ")
}

/// What follows a subquery's expression.
struct Suffix<'a>(&'a Subquery);

impl Display for Suffix<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}:", self.0.range)?;
        if let Some(step) = &self.0.step {
            step.fmt(f)?;
        }
        write!(f, "]{}", self.0.when)
    }
}

/// An aggregation without its arguments.
struct Head<'a>(&'a Aggregate);

impl Display for Head<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Aggregate { op, grouping, is_without, .. } = self.0;
        f.write_str(op.as_str())?;
        match (*is_without, grouping.is_empty()) {
            (true, _) => write!(f, " without ({}) ", labels(grouping)),
            (false, false) => write!(f, " by ({}) ", labels(grouping)),
            (false, true) => Ok(()),
        }
    }
}

/// What stands between an operator and its right side.
struct Modifier<'a>(&'a Binary);

impl Display for Modifier<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_bool {
            f.write_str(" bool")?;
        }
        let Some(Matching { card, labels: names, is_on, include, fill }) = &self.0.matching else {
            return Ok(());
        };
        let grouped = match card {
            Card::ManyToOne => Some("left"),
            Card::OneToMany => Some("right"),
            Card::OneToOne | Card::ManyToMany => None,
        };
        if !names.is_empty() || *is_on || grouped.is_some() {
            write!(f, " {} ({})", if *is_on { "on" } else { "ignoring" }, labels(names))?;
        }
        if let Some(side) = grouped {
            write!(f, " group_{side} ({})", labels(include))?;
        }
        match (fill.left, fill.right) {
            (Some(left), Some(right)) if left == right => write!(f, " fill ({})", short(left)),
            (left, right) => {
                for (side, value) in [("left", left), ("right", right)] {
                    if let Some(value) = value {
                        write!(f, " fill_{side} ({})", short(value))?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// A label set as Prometheus prints it, the metric's name among the others: `{a="b", c="d"}`.
pub(crate) fn label_set(set: &LabelSet) -> String {
    let pairs: Vec<String> =
        set.iter().map(|(name, value)| format!("{}={}", label(name), quote(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// A float as Go's `%v` and `%g`.
pub(crate) fn short(value: f64) -> String {
    let mut out = Vec::new();
    push_float(&mut out, value);
    String::from_utf8(out).expect("invariant: digits are text")
}

fn indent(out: &mut String, level: usize) {
    (0..level).for_each(|_| out.push_str("  "));
}

fn push_pretty(out: &mut String, expr: &Expr, level: usize) {
    let line = expr.to_string();
    let short = line.len() <= LINE;
    match &expr.node {
        // Prometheus leaves the indentation out here.
        Node::Subquery(_) if short => out.push_str(&line),
        Node::Subquery(subquery) => {
            push_pretty(out, &subquery.expr, level);
            out.push_str(&Suffix(subquery).to_string());
        }
        Node::Unary(sign, inner) => {
            indent(out, level);
            out.push_str(&sign.to_string());
            let mut child = String::new();
            push_pretty(&mut child, inner, level);
            out.push_str(child.trim());
        }
        Node::Number(_) | Node::Text(_) | Node::Selector(_) | Node::Range(_) => {
            indent(out, level);
            out.push_str(&line);
        }
        _ if short => {
            indent(out, level);
            out.push_str(&line);
        }
        Node::Binary(binary) => {
            push_pretty(out, &binary.left, level + 1);
            out.push('\n');
            indent(out, level);
            out.push_str(binary.op.as_str());
            out.push_str(&Modifier(binary).to_string());
            out.push('\n');
            push_pretty(out, &binary.right, level + 1);
        }
        Node::Paren(inner) => {
            indent(out, level);
            push_block(out, [&**inner].into_iter(), level);
        }
        Node::Aggregate(aggregate) => {
            indent(out, level);
            out.push_str(&Head(aggregate).to_string());
            push_block(out, aggregate.param.iter().chain([&aggregate.expr]), level);
        }
        Node::Call(call) => {
            indent(out, level);
            out.push_str(call.function.name);
            push_block(out, call.args.iter(), level);
        }
    }
}

/// Expressions in parentheses, each on lines of its own.
fn push_block<'a>(out: &mut String, inner: impl Iterator<Item = &'a Expr>, level: usize) {
    out.push_str("(\n");
    for (i, expr) in inner.enumerate() {
        if i > 0 {
            out.push_str(",\n");
        }
        push_pretty(out, expr, level + 1);
    }
    out.push('\n');
    indent(out, level);
    out.push(')');
}
