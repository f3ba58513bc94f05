//! Random queries that are well typed, as text.
//!
//! Every part stands so that no neighbour can tear it apart: operators in parentheses, everything
//! else a name, a call or a selector. Functions come from the engine's own table.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;

use crate::function::Function;
use crate::tree::{AggregateOp, Kind};

type Text = BoxedStrategy<String>;

/// Expressions up to one depth, by what they yield.
#[derive(Clone)]
struct Level {
    scalar: Text,
    vector: Text,
    matrix: Text,
}

/// What the reference does not compute; the scripts of `evaluate/info` do.
pub(in crate::reference) const WITHOUT_REFERENCE: [&str; 1] = ["info"];

/// Queries up to a depth: scalars, vectors and ranges.
pub(in crate::reference) fn query(depth: usize) -> Text {
    let mut level = leaves();
    for _ in 0..depth {
        level = above(&level);
    }
    prop_oneof![8 => level.vector, 1 => level.scalar, 1 => level.matrix].boxed()
}

/// Queries whose outermost part is a function of the table, given arguments of its kinds.
pub(in crate::reference) fn call_of(function: &'static Function) -> Text {
    call(function, &leaves())
}

fn words(words: &'static [&'static str]) -> Text {
    select(words).prop_map(str::to_owned).boxed()
}

fn number() -> Text {
    let common = words(&[
        "0", "1", "2", "3", "0.5", "-1", "1.5", "1e3", "0x10", "10s", "NaN", "Inf", "-Inf", "-0",
        "100", "1e308", "9.3e18", "0.99",
    ]);
    prop_oneof![6 => common, 1 => (-1e3..1e3).prop_map(|n: f64| format!("({n})"))].boxed()
}

fn duration() -> Text {
    let plain = words(&["10s", "15s", "30s", "1m", "100s", "7s500ms", "1ms", "25"]);
    let computed = words(&[
        "10s + 5s",
        "max_of(step(), 15s)",
        "step() * 2 + 1s",
        "min_of(1m, 20s)",
        "range() / 2",
        "1m % 40s",
        "2 ^ 4",
    ]);
    prop_oneof![12 => plain, 1 => computed].boxed()
}

/// `offset` and `@`, or nothing.
fn when() -> Text {
    let offset =
        words(&[" offset 10s", " offset -20s", " offset 45s", " offset 3", " offset (10s * 2)"]);
    let at = words(&[" @ 100", " @ 42.5", " @ start()", " @ end()", " @ 1e9", " @ -1"]);
    prop_oneof![
        8 => Just(String::new()),
        2 => offset.clone(),
        2 => at.clone(),
        1 => (offset.clone(), at.clone()).prop_map(|(offset, at)| offset + &at),
        1 => (at, offset).prop_map(|(at, offset)| at + &offset),
    ]
    .boxed()
}

fn selector() -> Text {
    words(&[
        "a_total",
        "b",
        "c",
        "h_bucket",
        r#"a_total{x="1"}"#,
        r#"b{x!=""}"#,
        r#"c{y=~"a.+"}"#,
        r#"{__name__=~"a_total|b"}"#,
        r#"{__name__!=""}"#,
        r#"{x="1"}"#,
        r#"{x=~"1|2",y!~"2"}"#,
        r#"h_bucket{le!="x"}"#,
        r#"b{x="1",x="1"}"#,
        "missing",
        r#"missing{x="1",y="2",z!="3"}"#,
        r#"{"b",x=""}"#,
    ])
}

fn leaves() -> Level {
    // A computed offset reaches over a following operator.
    let vector = (selector(), when())
        .prop_map(|(selector, when)| match when.contains('(') {
            true => format!("({selector}{when})"),
            false => selector + &when,
        })
        .boxed();
    let matrix = (selector(), duration(), when())
        .prop_map(|(selector, range, when)| format!("{selector}[{range}]{when}"))
        .boxed();
    let scalar = prop_oneof![4 => number(), 1 => words(&["time()", "pi()"])].boxed();
    Level { scalar, vector, matrix }
}

fn above(below: &Level) -> Level {
    let mut scalars = vec![(4, below.scalar.clone())];
    let mut vectors = vec![(12, below.vector.clone())];
    for function in Function::all().iter().filter(|one| !WITHOUT_REFERENCE.contains(&one.name)) {
        let weight = match function.name {
            "histogram_quantile" | "label_replace" | "absent" | "timestamp" => 3,
            name if name.ends_with("rate") || name == "increase" => 3,
            _ => 1,
        };
        match function.returns {
            Kind::Scalar => scalars.push((weight, call(function, below))),
            _ => vectors.push((weight, call(function, below))),
        }
    }
    scalars.push((6, arithmetic(below.scalar.clone(), below.scalar.clone(), " bool")));
    scalars.push((1, below.scalar.clone().prop_map(|inner| format!("(-{inner})")).boxed()));
    scalars.push((1, below.scalar.clone().prop_map(|inner| format!("({inner})")).boxed()));
    vectors.push((9, arithmetic(below.vector.clone(), below.scalar.clone(), "")));
    vectors.push((6, arithmetic(below.scalar.clone(), below.vector.clone(), "")));
    vectors.push((30, matched(below)));
    vectors.push((40, aggregation(below)));
    vectors.push((3, below.vector.clone().prop_map(|inner| format!("(-{inner})")).boxed()));
    vectors.push((1, below.vector.clone().prop_map(|inner| format!("(+{inner})")).boxed()));
    vectors.push((1, below.vector.clone().prop_map(|inner| format!("({inner})")).boxed()));
    let step = prop_oneof![2 => duration(), 1 => Just(String::new())];
    let subquery = (below.vector.clone(), duration(), step, when())
        .prop_filter("steps of a millisecond over minutes", |(_, _, step, _)| step != "1ms")
        .prop_map(|(inner, range, step, when)| format!("{inner}[{range}:{step}]{when}"));
    Level {
        scalar: Union::new_weighted(scalars).boxed(),
        vector: Union::new_weighted(vectors).boxed(),
        matrix: prop_oneof![1 => below.matrix.clone(), 1 => subquery].boxed(),
    }
}

/// An operator of which one side at most is a vector. Comparisons of two numbers need `bool`.
fn arithmetic(left: Text, right: Text, compared: &'static str) -> Text {
    let plain = words(&["+", "-", "*", "/", "%", "^", "atan2"]);
    let comparison = (words(&["==", "!=", "<", "<=", ">", ">="]), any::<bool>())
        .prop_map(move |(op, is_bool)| op + if is_bool { " bool" } else { compared });
    (left, prop_oneof![3 => plain, 2 => comparison], right)
        .prop_map(|(left, op, right)| format!("({left} {op} {right})"))
        .boxed()
}

fn label_list() -> Text {
    words(&["", "x", "y", "x, y", "le", "__name__", "__name__, x", "z"])
}

/// An operator between two vectors, with every way to match.
fn matched(below: &Level) -> Text {
    let on = (words(&["on", "ignoring"]), label_list());
    let group = (words(&["group_left", "group_right"]), words(&["", "z", "le"]));
    let fill = words(&["", "", "", " fill(0)", " fill_left(1)", " fill_right(-2)"]);
    let modifiers = (prop::option::weighted(0.7, on), prop::option::weighted(0.4, group), fill)
        .prop_map(|(on, group, fill)| {
            let Some((on, labels)) = on else { return fill };
            let group = group.map_or(String::new(), |(side, include)| {
                if on == "on" && labels == include {
                    format!(" {side} ()")
                } else {
                    format!(" {side} ({include})")
                }
            });
            format!(" {on} ({labels}){group}{fill}")
        });
    let operator = prop_oneof![
        3 => words(&["+", "-", "*", "/", "%", "^", "atan2"]),
        2 => words(&["==", "!=", "<", "<=", ">", ">="]),
        1 => words(&["== bool", "!= bool", "< bool", "> bool"]),
    ];
    let sides = (below.vector.clone(), below.vector.clone());
    let arithmetic = (sides.clone(), operator, modifiers)
        .prop_map(|((left, right), op, how)| format!("({left} {op}{how} {right})"));
    let on = (words(&["on", "ignoring"]), label_list())
        .prop_map(|(on, labels)| format!(" {on} ({labels})"));
    let set = (sides, words(&["and", "or", "unless"]), prop::option::of(on)).prop_map(
        |((left, right), op, on)| format!("({left} {op}{} {right})", on.unwrap_or_default()),
    );
    prop_oneof![3 => arithmetic, 2 => set].boxed()
}

fn aggregation(below: &Level) -> Text {
    let operator = select(&AggregateOp::ALL[..]);
    let grouping = prop_oneof![
        1 => Just(String::new()),
        2 => label_list().prop_map(|labels| format!(" by ({labels})")),
        1 => label_list().prop_map(|labels| format!(" without ({labels})")),
    ];
    let number = prop_oneof![3 => words(&["1", "2", "3", "0.5"]), 1 => below.scalar.clone()];
    let label = words(&["\"v\"", "\"x\"", "('le')", "`__name__`"]);
    (operator, grouping, number, label, below.vector.clone())
        .prop_map(|((name, op), grouping, number, label, inner)| match op.param() {
            None => format!("{name}{grouping} ({inner})"),
            Some(Kind::Text) => format!("{name}{grouping} ({label}, {inner})"),
            Some(_) => format!("{name}{grouping} ({number}, {inner})"),
        })
        .boxed()
}

fn call(function: &'static Function, below: &Level) -> Text {
    let counts = function.counts();
    let most = counts.most.min(counts.least + 3);
    let arguments: Vec<Text> = (0..most).map(|at| argument(function, at, below)).collect();
    (counts.least..=most, arguments)
        .prop_map(move |(count, arguments)| {
            format!("{}({})", function.name, arguments[..count].join(", "))
        })
        .boxed()
}

fn argument(function: &'static Function, at: usize, below: &Level) -> Text {
    match (function.name, at, function.argument(at)) {
        ("double_exponential_smoothing", _, Some(Kind::Scalar)) => {
            prop_oneof![9 => words(&["0.3", "0.1", "0.9"]), 1 => below.scalar.clone()].boxed()
        }
        (name, _, Some(Kind::Vector)) if name.starts_with("histogram_") => prop_oneof![
            3 => words(&["h_bucket", r#"h_bucket{le!="x"}"#, "h_bucket offset 10s"]),
            2 => words(&["rate(h_bucket[1m])", "sum by (le) (h_bucket)"]),
            1 => below.vector.clone(),
        ]
        .boxed(),
        (name, _, Some(Kind::Scalar)) if name.contains("quantile") => {
            prop_oneof![4 => words(&["0.5", "0.9", "0", "1", "1.5"]), 1 => below.scalar.clone()]
                .boxed()
        }
        ("label_replace", 2, _) => {
            words(&["\"$1\"", "'n_${1}$$'", "``", "\"$2$1_\"", "\"v\"", "\"$z\""])
        }
        ("label_replace", 4, _) => {
            words(&["\"(.*)\"", "'(\\\\d).*'", "`a(?P<z>.+)`", "\"1\"", "\"\""])
        }
        ("label_join", 2, _) => words(&["\"\"", "'-'", "`, `"]),
        (_, _, Some(Kind::Text)) => words(&["\"x\"", "'y'", "`__name__`", "\"z\"", "(\"le\")"]),
        (_, _, Some(Kind::Scalar)) => below.scalar.clone(),
        (_, _, Some(Kind::Vector)) => below.vector.clone(),
        (_, _, _) => below.matrix.clone(),
    }
}

/// Text that begins as a query and has been hit.
pub(in crate::reference) fn broken(depth: usize) -> Text {
    let pieces = words(&[
        "(", ")", "[", "]", "{", "}", ",", "\"", "'", "`", "@", "offset", "by", "on", "bool", "5m",
        "-", "+", "#", "\n", "\\", "é", "\0", "1e", "0x", "__name__", "::", "==", "=~", "sum", ".",
    ]);
    let hits = vec((any::<prop::sample::Index>(), pieces, 0u8..3), 1..4);
    (query(depth), hits)
        .prop_map(|(mut text, hits)| {
            for (place, piece, how) in hits {
                let places: Vec<usize> =
                    text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
                let at = *place.get(&places);
                match how {
                    0 => text.insert_str(at, &piece),
                    1 => text.truncate(at),
                    _ => {
                        if let Some(character) = text[at..].chars().next() {
                            text.replace_range(at..at + character.len_utf8(), &piece);
                        }
                    }
                }
            }
            text
        })
        .boxed()
}
