//! Kinds: whether every expression gets what it takes.

use bellwether_model::label::METRIC_NAME;

use super::Parsed;
use crate::quote::quote;
use crate::tree::{Binary, Call, Card, Expr, Kind, Node, Selector, Span};

/// Checks a tree, children first, and settles how series are matched.
pub(super) fn check(expr: &mut Expr) -> Parsed<()> {
    let span = expr.span;
    match &mut expr.node {
        Node::Number(_) | Node::Text(_) => Ok(()),
        Node::Selector(selector) => check_selector(selector, span),
        Node::Range(range) => check_selector(&range.selector, range.selector_span),
        Node::Paren(inner) => check(inner),
        Node::Unary(_, inner) => {
            check(inner)?;
            match inner.kind() {
                Kind::Scalar | Kind::Vector => Ok(()),
                other => {
                    let message = format!(
                        "unary expression only allowed on expressions of type scalar or instant \
                         vector, got {}",
                        quote(other.documented())
                    );
                    Err((span, message))
                }
            }
        }
        Node::Subquery(subquery) => {
            check(&mut subquery.expr)?;
            match subquery.expr.kind() {
                Kind::Vector => Ok(()),
                other => {
                    let name = other.name();
                    let message =
                        format!("subquery is only allowed on instant vector, got {name} instead");
                    Err((span, message))
                }
            }
        }
        Node::Aggregate(aggregate) => {
            expect(&mut aggregate.expr, Kind::Vector, "aggregation expression")?;
            if let (Some(param), Some(kind)) = (&mut aggregate.param, aggregate.op.param()) {
                expect(param, kind, "aggregation parameter")?;
            }
            Ok(())
        }
        Node::Binary(binary) => check_binary(binary, span),
        Node::Call(call) => check_call(call, span),
    }
}

fn expect(expr: &mut Expr, kind: Kind, context: &str) -> Parsed<()> {
    check(expr)?;
    if expr.kind() == kind {
        return Ok(());
    }
    let (wanted, got) = (kind.documented(), expr.kind().documented());
    Err((expr.span, format!("expected type {wanted} in {context}, got {got}")))
}

/// A name in the braces beside one before them is refused.
pub(super) fn one_name(selector: &Selector, span: Span) -> Parsed<()> {
    let Some(name) = &selector.name else { return Ok(()) };
    let inside = selector.matchers.split_last().map_or(&[][..], |(_, rest)| rest);
    match inside.iter().find(|matcher| matcher.name() == METRIC_NAME) {
        Some(twice) => {
            let (first, second) = (quote(name), quote(twice.value()));
            Err((span, format!("metric name must not be set twice: {first} or {second}")))
        }
        None => Ok(()),
    }
}

fn check_selector(selector: &Selector, span: Span) -> Parsed<()> {
    one_name(selector, span)?;
    if selector.name.is_none() && selector.matchers.iter().all(|m| m.matches_empty()) {
        let message = "vector selector must contain at least one non-empty matcher";
        return Err((span, message.to_owned()));
    }
    Ok(())
}

fn check_binary(binary: &mut Binary, span: Span) -> Parsed<()> {
    check(&mut binary.left)?;
    check(&mut binary.right)?;
    let (left, right) = (binary.left.kind(), binary.right.kind());
    let between = binary.op_span;
    let both_scalars = left == Kind::Scalar && right == Kind::Scalar;
    if binary.is_bool && !binary.op.is_comparison() {
        let message = "bool modifier can only be used on comparison operators";
        return Err((between, message.to_owned()));
    }
    if binary.op.is_comparison() && !binary.is_bool && both_scalars {
        let message = "comparisons between scalars must use BOOL modifier";
        return Err((between, message.to_owned()));
    }
    let matching = binary.matching.as_ref();
    if let Some(m) = matching.filter(|m| m.is_on)
        && let Some(label) = m.labels.iter().find(|label| m.include.contains(label))
    {
        let label = quote(label);
        let message = format!("label {label} must not occur in ON and GROUP clause at once");
        return Err((between, message));
    }
    for side in [&binary.left, &binary.right] {
        if !matches!(side.kind(), Kind::Scalar | Kind::Vector) {
            let message = "binary expression must contain only scalar and instant vector types";
            return Err((side.span, message.to_owned()));
        }
    }
    let has_fill = matching.is_some_and(|m| m.fill.left.is_some() || m.fill.right.is_some());
    if left != Kind::Vector || right != Kind::Vector {
        if matching.is_some_and(|m| !m.labels.is_empty()) {
            let message = "vector matching only allowed between instant vectors";
            return Err((span, message.to_owned()));
        }
        if has_fill {
            let message = "filling in missing series only allowed between instant vectors";
            return Err((span, message.to_owned()));
        }
        if binary.op.is_set() {
            let op = quote(binary.op.as_str());
            let message = format!("set operator {op} not allowed in binary scalar expression");
            return Err((span, message));
        }
        binary.matching = None;
        return Ok(());
    }
    if binary.op.is_set() {
        if matching.is_some_and(|m| matches!(m.card, Card::ManyToOne | Card::OneToMany)) {
            let op = quote(binary.op.as_str());
            return Err((span, format!("no grouping allowed for {op} operation")));
        }
        if has_fill {
            let message = "filling in missing series not allowed for set operators";
            return Err((span, message.to_owned()));
        }
        if let Some(matching) = &mut binary.matching {
            matching.card = Card::ManyToMany;
        }
    }
    Ok(())
}

fn check_call(call: &mut Call, span: Span) -> Parsed<()> {
    let function = call.function;
    let (name, given) = (quote(function.name), call.args.len());
    let counts = function.counts();
    if counts.is_fixed() {
        let wanted = counts.least;
        if given != wanted {
            let message = format!("expected {wanted} argument(s) in call to {name}, got {given}");
            return Err((span, message));
        }
    } else if given < counts.least {
        let least = counts.least;
        let message =
            format!("expected at least {least} argument(s) in call to {name}, got {given}");
        return Err((span, message));
    } else if given > counts.most {
        let most = counts.most;
        let message = format!("expected at most {most} argument(s) in call to {name}, got {given}");
        return Err((span, message));
    }
    if function.name == "info"
        && let Some(second) = call.args.get(1)
    {
        match &second.node {
            Node::Selector(selector) if selector.name.is_none() => {}
            Node::Selector(_) => {
                let message = "expected label selectors only, got vector selector instead";
                return Err((second.span, message.to_owned()));
            }
            _ => return Err((second.span, "expected label selectors only".to_owned())),
        }
    }
    for (i, arg) in call.args.iter_mut().enumerate() {
        let Some(wanted) = function.argument(i) else { break };
        // The second argument of `info` may match everything.
        if function.name != "info" || i == 0 {
            check(arg)?;
        }
        if arg.kind() != wanted {
            let (wanted, got) = (wanted.documented(), arg.kind().documented());
            let message = format!("expected type {wanted} in call to function {name}, got {got}");
            return Err((arg.span, message));
        }
    }
    Ok(())
}
