//! Queries made independent of the time of their evaluation, by `@` at every selector.

use bellwether_model::time::Timestamp;

use crate::tree::{At, Expr, Node, When};

/// Functions whose result changes with the time of evaluation although their arguments do not, or
/// that read the stamps of what they are given.
const UNSAFE: [&str; 15] = [
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "end",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
    "year",
];

/// Sets `@` where no time is said yet; what a subquery holds stays as it is, since the subquery
/// has its own. False if a function makes the result depend on the time all the same.
pub(super) fn pin(expr: &mut Expr, at: Timestamp) -> bool {
    match &mut expr.node {
        Node::Number(_) | Node::Text(_) => true,
        Node::Selector(selector) => set(&mut selector.when, at),
        Node::Range(range) => set(&mut range.selector.when, at),
        Node::Subquery(subquery) => set(&mut subquery.when, at) && is_safe(&mut subquery.expr),
        Node::Paren(inner) | Node::Unary(_, inner) => pin(inner, at),
        // Both sides, also when the first is not safe: the answer is false then anyway.
        Node::Binary(binary) => pin(&mut binary.left, at) & pin(&mut binary.right, at),
        Node::Aggregate(aggregate) => {
            aggregate.param.as_mut().is_none_or(|param| pin(param, at))
                & pin(&mut aggregate.expr, at)
        }
        Node::Call(call) => {
            let args = call.args.iter_mut().fold(true, |safe, arg| pin(arg, at) & safe);
            args && !UNSAFE.contains(&call.function.name)
        }
    }
}

fn set(when: &mut When, at: Timestamp) -> bool {
    if !matches!(when.at, Some(At::Time(_))) {
        when.at = Some(At::Time(at));
    }
    true
}

/// Whether no function within depends on the time; a copy is pinned, the tree stays.
fn is_safe(expr: &Expr) -> bool {
    pin(&mut expr.clone(), Timestamp(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse;

    #[test]
    fn selectors_are_pinned_once() {
        for (query, pinned) in [
            ("up", "up @ 60.000"),
            ("rate(up[5m] offset 1m)", "rate(up[5m] @ 60.000 offset 1m)"),
            ("up @ 5 + down @ start()", "up @ 5.000 + down @ 60.000"),
            ("sum_over_time(rate(up[1m])[5m:1m])", "sum_over_time(rate(up[1m])[5m:1m] @ 60.000)"),
            ("topk(scalar(k), up)", "topk(scalar(k @ 60.000), up @ 60.000)"),
            ("1 + 2", "1 + 2"),
        ] {
            let mut expr = parse(query).unwrap();
            assert!(pin(&mut expr, Timestamp(60_000)), "{query}");
            assert_eq!(expr.to_string(), pinned);
        }
        for query in [
            "time()",
            "timestamp(up)",
            "up + hour()",
            "hour() + up",
            "sum_over_time(timestamp(up)[5m:1m])",
            "topk(scalar(hour()), up)",
            "clamp(predict_linear(up[5m], 60), 0, 1)",
        ] {
            assert!(!pin(&mut parse(query).unwrap(), Timestamp(0)), "{query}");
        }
    }
}
