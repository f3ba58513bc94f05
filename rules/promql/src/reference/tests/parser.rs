//! Random texts: what is read is printed and read again as the same, places lie inside the text,
//! and nothing panics.

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::compare::runner;
use super::expressions::{broken, query};
use crate::parse::{parse, parse_matchers};
use crate::print::pretty;
use crate::tree::{Expr, Node, Span};

/// A tree without the places.
fn shape(expr: &Expr) -> String {
    let shown = format!("{expr:?}");
    let mut parts = shown.split("Span { start: ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| out + part.split_once('}').map_or("", |(_, rest)| rest))
}

/// Visits an expression and all its parts, each with the place of what it is part of.
pub(super) fn each<'a>(expr: &'a Expr, parent: Span, visit: &mut dyn FnMut(&'a Expr, Span)) {
    visit(expr, parent);
    let mut below = |inner: &'a Expr| each(inner, expr.span, visit);
    match &expr.node {
        Node::Number(_) | Node::Text(_) | Node::Selector(_) | Node::Range(_) => {}
        Node::Subquery(subquery) => below(&subquery.expr),
        Node::Paren(inner) | Node::Unary(_, inner) => below(inner),
        Node::Binary(binary) => {
            below(&binary.left);
            below(&binary.right);
        }
        Node::Aggregate(aggregate) => {
            aggregate.param.iter().for_each(&mut below);
            below(&aggregate.expr);
        }
        Node::Call(call) => call.args.iter().for_each(below),
    }
}

fn places_lie_inside(text: &str, expr: &Expr) -> TestCaseResult {
    let mut outside = Vec::new();
    each(expr, Span { start: 0, end: text.len() }, &mut |inner, parent| {
        let span = inner.span;
        let inside = parent.start <= span.start && span.end <= parent.end && span.start < span.end;
        if !inside || text.get(span.start..span.end).is_none() {
            outside.push(format!("{span:?} in {parent:?}: {inner}"));
        }
    });
    prop_assert!(outside.is_empty(), "{text}: {outside:?}");
    Ok(())
}

#[test]
fn what_is_printed_reads_back_as_the_same() {
    let check = |text: String| {
        // Printed `+Inf`, as by Prometheus, whose sign then reaches over the power.
        let text = text.replace("Inf ^", "1 ^");
        let expr = parse(&text).unwrap();
        places_lie_inside(&text, &expr)?;
        for printed in [expr.to_string(), pretty(&expr)] {
            let again = parse(&printed);
            prop_assert!(again.is_ok(), "{text}\nprinted {printed}\n{again:?}");
            let again = again.unwrap();
            let (was, is) = (shape(&expr), shape(&again));
            let common = was.bytes().zip(is.bytes()).take_while(|(a, b)| a == b).count();
            let part = |shape: &str| shape.get(common..).unwrap_or("").chars().take(80).collect();
            let (was, is): (String, String) = (part(&was), part(&is));
            prop_assert!(was == is, "{text}\nprinted {printed}\n{was}\n{is}");
            prop_assert_eq!(expr.to_string(), again.to_string());
            prop_assert_eq!(pretty(&expr), pretty(&again));
        }
        Ok(())
    };
    runner(4_000).run(&query(3), check).unwrap();
}

#[test]
fn no_text_breaks_the_parser() {
    let soup = prop::collection::vec(
        prop::sample::select(vec![
            "a",
            "sum",
            "by",
            "(",
            ")",
            "[5m]",
            "[5m:1m]",
            "{x=\"1\"}",
            ",",
            "+",
            "-",
            "*",
            "^",
            "==",
            "bool",
            "on",
            "ignoring",
            "group_left",
            "and",
            "offset",
            "@",
            "start()",
            "1",
            "1e9",
            "5m",
            "\"t\"",
            "without",
            "atan2",
            "unless",
            "Inf",
            "NaN",
            "0x1F",
            "rate",
        ]),
        0..12,
    );
    let text = prop_oneof![
        3 => broken(2),
        2 => soup.prop_map(|words| words.join(" ")),
        1 => ".*",
        1 => "[(\\[{\"'`#@:+\\-0-9a-z \n]{0,60}",
    ];
    let check = |text: String| {
        match parse(&text) {
            Ok(expr) => {
                places_lie_inside(&text, &expr)?;
                let printed = expr.to_string();
                let again = parse(&printed);
                prop_assert!(again.is_ok(), "{text:?}\nprinted {printed}\n{again:?}");
                // The sign of a printed `+Inf` reaches over a power.
                if !text.to_lowercase().contains("inf") {
                    prop_assert_eq!(again.unwrap().to_string(), printed);
                }
            }
            Err(error) => {
                if let Some(place) = error.position {
                    let line = text.split('\n').nth(place.line - 1);
                    let columns = line.map_or(0, |line| line.len() + 1);
                    prop_assert!((1..=columns).contains(&place.column), "{text:?}: {error}");
                }
            }
        }
        drop(parse_matchers(&text));
        Ok(())
    };
    runner(20_000).run(&text, check).unwrap();
}

#[test]
fn a_computed_offset_is_printed_where_it_ends() {
    let text = "a offset (10s * 2) @ 1 - b";
    assert_eq!(parse(text).unwrap().to_string(), "a offset (10s * 2) @ 1.000 - b");
}

#[test]
fn nesting_is_bounded_before_the_stack_ends() {
    for (open, close) in [
        ("(", ")"),
        ("-", ""),
        ("abs(", ")"),
        ("sum(", ")"),
        ("a+", ""),
        ("{", "}"),
        ("[", "]"),
        ("1^", ""),
        ("a[5m:", "]"),
        ("a[(", ")]"),
        ("a offset -", ""),
        ("a unless ", ""),
        ("a @ ", ""),
        ("\"", ""),
        ("(-", ")"),
        ("topk(1,", ")"),
    ] {
        for depth in [200, 3_000, 30_000] {
            let text = format!("{}a{}", open.repeat(depth), close.repeat(depth));
            if let Ok(expr) = parse(&text) {
                assert!(parse(&expr.to_string()).is_ok(), "{open} {depth} times");
            }
        }
    }
}
