use super::*;

/// The tree as it prints, or the error.
fn shown(text: &str) -> String {
    match parse(text) {
        Ok(expr) => expr.to_string(),
        Err(error) => format!("! {error}"),
    }
}

#[test]
fn what_is_read_prints_as_prometheus_prints_it() {
    for (text, expected) in [
        ("1", "1"),
        ("0x1F + 0755 + 1_000 + .5e1", "31 + 493 + 1000 + 5"),
        ("-Inf", "-Inf"),
        ("5m", "5m"),
        (" ( up ) # said", "(up)"),
        ("sum", "sum"),
        (r#"up{job="a",b!='c',d=~"e.*",f!~`\d+`,}"#, r#"up{b!="c",d=~"e.*",f!~"\\d+",job="a"}"#),
        (r#"{"a.b", "c d"="e"}"#, r#"{"c d"="e",__name__="a.b"}"#),
        ("up[90]", "up[1m30s]"),
        ("up[1h30m] offset 5m @ 1.5", "up[1h30m] @ 1.500 offset 5m"),
        ("up offset -1w @ start()", "up @ start() offset -1w"),
        ("(up)[1h:] offset 1d @ end()", "(up)[1h:] @ end() offset 1d"),
        ("up[1h:5m]", "up[1h:5m]"),
        ("up[5m + step()] offset (2 * 1m)", "up[5m + step()] offset (2 * 1m)"),
        ("up[max_of(step(), 30s)]", "up[max_of(step(), 30s)]"),
        ("-1^2", "-1 ^ 2"),
        ("-up offset 5m", "-up offset 5m"),
        ("1 + 2 * 3 ^ 4 ^ 5 - 6", "1 + 2 * 3 ^ 4 ^ 5 - 6"),
        ("a and b or c unless d", "a and b or c unless d"),
        ("a == BOOL b", "a == bool b"),
        ("a * on(x, y) group_left(z) b", "a * on (x, y) group_left (z) b"),
        ("a / ignoring(x) group_right b", "a / ignoring (x) group_right () b"),
        ("a + fill(0) b", "a + fill (0) b"),
        ("a + on(x) fill_left(-1) fill_right(2) b", "a + on (x) fill_left (-1) fill_right (2) b"),
        ("SUM BY (job, \"a b\") (up)", r#"sum by (job, "a b") (up)"#),
        ("sum(up) without (instance)", "sum without (instance) (up)"),
        ("topk(3, up)", "topk(3, up)"),
        ("count_values('v', up)", r#"count_values("v", up)"#),
        ("rate(up[5m])", "rate(up[5m])"),
        (
            "label_replace(up, 'a', '$1', 'b', '(.*)')",
            r#"label_replace(up, "a", "$1", "b", "(.*)")"#,
        ),
        ("time()", "time()"),
        (r#""\u00e9\n""#, "\"é\\n\""),
    ] {
        assert_eq!(shown(text), expected, "{text}");
        assert_eq!(shown(expected), expected, "{text} again");
    }
}

#[test]
fn operators_bind_as_in_prometheus() {
    // What binds first is put in parentheses.
    fn nested(expr: &Expr) -> String {
        match &expr.node {
            Node::Binary(b) => {
                format!("({} {} {})", nested(&b.left), b.op.as_str(), nested(&b.right))
            }
            Node::Unary(sign, inner) => format!("({sign}{})", nested(inner)),
            _ => expr.to_string(),
        }
    }
    for (text, expected) in [
        ("a + b * c", "(a + (b * c))"),
        ("a - b - c", "((a - b) - c)"),
        ("a ^ b ^ c", "(a ^ (b ^ c))"),
        ("-a ^ b", "(-(a ^ b))"),
        ("-a * b", "((-a) * b)"),
        ("a atan2 b % c", "((a atan2 b) % c)"),
        ("a > b == c", "((a > b) == c)"),
        ("a or b and c unless d", "(a or ((b and c) unless d))"),
        ("a * -b + c", "((a * (-b)) + c)"),
    ] {
        assert_eq!(nested(&parse(text).unwrap()), expected, "{text}");
    }
}

#[test]
fn expressions_know_their_place() {
    let text = "sum(\n  rate(up[5m]) +\n  b) by (x)";
    let expr = parse(text).unwrap();
    assert_eq!(expr.span, Span { start: 0, end: text.len() });
    let Node::Aggregate(aggregate) = &expr.node else { panic!("an aggregation") };
    assert_eq!(aggregate.expr.span.position(text), Position { line: 2, column: 3 });
    let Node::Binary(binary) = &aggregate.expr.node else { panic!("an operator") };
    assert_eq!(&text[binary.op_span.start..binary.op_span.end], "+");
    assert_eq!(binary.right.span.position(text), Position { line: 3, column: 3 });
}

#[test]
fn errors_have_words_and_places() {
    for (text, expected) in [
        ("", "unknown position: parse error: no expression found in input"),
        ("  {}", "1:3: parse error: vector selector must contain at least one non-empty matcher"),
        ("1+", "1:3: parse error: unexpected end of input"),
        ("*1", "1:1: parse error: unexpected <op:*>"),
        ("(1))", "1:5: parse error: unexpected right parenthesis ')'"),
        ("((1)", "1:5: parse error: unclosed left parenthesis"),
        ("up{", "1:4: parse error: unexpected end of input inside braces"),
        (
            "up{a=b}",
            "1:6: parse error: unexpected identifier \"b\" in label matching, expected string",
        ),
        ("up up", "1:4: parse error: unexpected identifier \"up\""),
        ("up[0]", "1:4: parse error: duration must be greater than 0"),
        ("up[0.0001]", "1:4: parse error: duration must be greater than 0"),
        ("up[1e30]", "1:4: parse error: duration out of range"),
        ("up offset nan", "1:11: parse error: duration out of range"),
        ("up\n  [5mm]", "2:4: parse error: bad number or duration syntax: \"5mm\""),
        ("up[5m1h]", "1:4: parse error: not a valid duration string: \"5m1h\""),
        (
            "1 and 1",
            "1:1: parse error: set operator \"and\" not allowed in binary scalar expression",
        ),
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        (
            "a and bool b",
            "1:3: parse error: bool modifier can only be used on comparison operators",
        ),
        (
            "rate(up)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got \
             instant vector",
        ),
        ("nothing()", "1:1: parse error: unknown function with name \"nothing\""),
        ("floor()", "1:1: parse error: expected 1 argument(s) in call to \"floor\", got 0"),
        ("sum by (x, (up)", "1:12: parse error: unexpected \"(\" in grouping opts, expected label"),
        (
            "topk(up)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, \
             expected 2, got 1",
        ),
        (
            "1e400",
            "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"1e400\": \
                   value out of range",
        ),
        ("up[5m] smoothed", "1:8: parse error: not supported yet: modifier smoothed"),
        ("a </ 1", "1:3: parse error: not supported yet: trimming of native histograms"),
        (r#"up{a="b" or c="d"}"#, "1:10: parse error: not supported yet: \"or\" between matchers"),
    ] {
        assert_eq!(shown(text), format!("! {expected}"), "{text}");
    }
}

#[test]
fn series_selectors_may_match_everything() {
    let shown = |text: &str| {
        parse_matchers(text)
            .map(|matchers| matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    };
    assert_eq!(shown("{}"), Ok(String::new()));
    assert_eq!(shown(r#" { a!="b" } "#), Ok(r#"a!="b""#.to_owned()));
    assert_eq!(shown(r#"up{a="b"}"#), Ok(r#"a="b",__name__="up""#.to_owned()));
    for text in ["", "{,}", "up[5m]", "up offset 5m", "up @ 1", "1", "sum(up)", "-up", "{", "(up)"]
    {
        assert!(shown(text).is_err(), "{text}");
    }
}

#[test]
fn bounds_hold_on_a_small_stack() {
    let allowed = [
        "-".repeat(280) + "x",
        "1+".repeat(280) + "1",
        "1^".repeat(280) + "1",
        "(".repeat(280) + "x" + &")".repeat(280),
        "sum(".repeat(140) + "x" + &")".repeat(140),
        "{".to_owned() + &r#"a="b","#.repeat(1000) + "}",
    ];
    let refused = [
        "-".repeat(4000) + "x",
        "1+".repeat(4000) + "1",
        "1^".repeat(4000) + "1",
        "(".repeat(4000) + "x",
        "x[".to_owned() + &"(".repeat(4000),
        "x[1m".to_owned() + &"+1m".repeat(3000) + "]",
        "x ".repeat(TOKENS + 1),
        " ".repeat(QUERY_BYTES + 1),
        format!("{{{}}}", r#"a=~"b","#.repeat(PATTERNS + 1)),
    ];
    let run = move || {
        for text in &allowed {
            let expr = parse(text).expect(text);
            assert_eq!(parse(&expr.to_string()).expect(text).to_string(), expr.to_string());
        }
        for text in &refused {
            let message = parse(text).expect_err(text).message;
            let bound = ["deeper", "more than", "longer", "unexpected identifier"];
            assert!(bound.iter().any(|word| message.contains(word)), "{message}");
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
}

mod fuzz {
    use proptest::prelude::*;

    use super::super::*;

    /// Pieces that reach far into the grammar.
    const PIECES: [&str; 48] = [
        "up",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        ",",
        "=",
        "!=",
        "=~",
        "!~",
        "\"",
        "'",
        "`",
        "\\",
        "a",
        "\"b\"",
        "offset",
        " ",
        "-",
        "+",
        "@",
        "5m",
        "1e",
        "1e400",
        "0x",
        "07",
        ".",
        "inf",
        "nan",
        ":",
        "#",
        "\n",
        "sum",
        "by",
        "or",
        "bool",
        "start()",
        "end()",
        "rate",
        "\"\\u00",
        "é",
        "^",
        "step()",
        "min_of(",
        "fill(",
        "group_left",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn any_pieces_end_in_a_result(
            picks in proptest::collection::vec(0..PIECES.len(), 0..16),
        ) {
            let text: String = picks.iter().map(|i| PIECES[*i]).collect();
            if let Ok(expr) = parse(&text) {
                let printed = expr.to_string();
                // Printed as by Prometheus, `+Inf` has a sign that reaches over a power.
                prop_assume!(!printed.contains("Inf ^"));
                prop_assert_eq!(parse(&printed).map(|again| again.to_string()), Ok(printed));
            }
            drop(parse_matchers(&text));
        }

        #[test]
        fn any_text_ends_in_a_result(text in ".{0,40}") {
            drop(parse(&text));
            drop(parse_matchers(&text));
        }
    }
}
