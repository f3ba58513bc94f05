use super::*;

/// The tree as text, for tables.
fn shown(text: &str) -> String {
    match parse_selector(text) {
        Ok(Query::Instant(selector)) => selector_shown(&selector),
        Ok(Query::Range(selector, range)) => {
            format!("{} over {}ms", selector_shown(&selector), range.as_millis())
        }
        Ok(Query::Number(value)) => value.to_string(),
        Ok(Query::Text(value)) => format!("{value:?}"),
        Err(error) => format!("! {error}"),
    }
}

fn selector_shown(selector: &Selector) -> String {
    let matchers: Vec<String> = selector.matchers.iter().map(ToString::to_string).collect();
    let mut shown = matchers.join(",");
    if selector.offset != 0 {
        shown += &format!(" offset {}", selector.offset);
    }
    match selector.at {
        None => {}
        Some(At::Time(time)) => shown += &format!(" @ {time}"),
        Some(At::Start) => shown += " @ start",
        Some(At::End) => shown += " @ end",
    }
    shown
}

#[test]
fn selectors_numbers_and_strings_are_read() {
    for (text, expected) in [
        ("up", r#"__name__="up""#),
        (" ( up ) # said", r#"__name__="up""#),
        ("sum", r#"__name__="sum""#),
        (
            r#"up{job="a",b!='c',d=~"e.*",f!~`\d+`,}"#,
            r#"__name__="up",job="a",b!="c",d=~"e.*",f!~"\\d+""#,
        ),
        (r#"{__name__=~"up|down"}"#, r#"__name__=~"up|down""#),
        (r#"{"name.with.dots", "a b"="c"}"#, r#"__name__="name.with.dots",a b="c""#),
        (r#"up{job=""}"#, r#"__name__="up",job="""#),
        ("up[5m]", r#"__name__="up" over 300000ms"#),
        ("up[90]", r#"__name__="up" over 90000ms"#),
        ("up[1h30m] offset 5m", r#"__name__="up" offset 300000 over 5400000ms"#),
        ("up offset -1m @ 1.5", r#"__name__="up" offset -60000 @ 1.500"#),
        ("up @ -1.5", r#"__name__="up" @ -1.500"#),
        ("up @ start()", r#"__name__="up" @ start"#),
        ("up[1m] @ end() offset 1s", r#"__name__="up" offset 1000 @ end over 60000ms"#),
        ("1", "1"),
        ("-1.5e3", "-1500"),
        ("1+1", "2"),
        ("-(1 + 2) * 3 - 4 / 8", "-9.5"),
        ("Inf", "inf"),
        ("'text'", r#""text""#),
        (r#""\u00e9""#, r#""é""#),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn the_rest_is_refused_in_words() {
    for (text, expected) in [
        ("", "! unknown position: parse error: no expression found in input"),
        (" # nothing", "! 1:1: parse error: no expression found in input"),
        ("  {}", "! 1:3: parse error: vector selector must contain at least one non-empty matcher"),
        (
            r#"{a=~".*"}"#,
            "! 1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        ("up[0]", "! unknown position: parse error: duration must be greater than 0"),
        ("up[0.0001]", "! unknown position: parse error: duration must be greater than 0"),
        ("rate(up[5m])", "! unknown position: parse error: not supported yet: function rate"),
        ("sum by (a) (up)", "! unknown position: parse error: not supported yet: aggregation sum"),
        ("up + 1", "! unknown position: parse error: not supported yet: operator +"),
        ("2 ^ 3", "! unknown position: parse error: not supported yet: operator ^"),
        ("-up", "! unknown position: parse error: not supported yet: unary operator -"),
        ("up[5m:1m]", "! unknown position: parse error: not supported yet: subquery"),
        (
            r#"up{a="b" or c="d"}"#,
            "! unknown position: parse error: not supported yet: \"or\" between matchers",
        ),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
    for text in ["up{", "up}", "up{a}", "up{a=b}", "up[5]m", "up up", r#"up{a=~"("}"#, "up[5m"] {
        assert!(parse_selector(text).is_err(), "{text}");
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
    assert_eq!(shown(r#"up{a="b"}"#), Ok(r#"__name__="up",a="b""#.to_owned()));
    assert_eq!(shown(r#"{__name__=~"a.+",}"#), Ok(r#"__name__=~"a.+""#.to_owned()));
    for text in ["", "{,}", "up[5m]", "up offset 5m", "up @ 1", "1", "sum(up)", "-up", "{", "(up)"]
    {
        assert!(shown(text).is_err(), "{text}");
    }
}

#[test]
fn the_deepest_allowed_texts_fit_a_small_stack() {
    let deep = [
        "-".repeat(4000) + "x",
        "1+".repeat(2000) + "1",
        "1^".repeat(2000) + "1",
        "1 ==bool ".repeat(1000) + "1",
        "x or ".repeat(1500) + "x",
        "(".repeat(60) + "x" + &")".repeat(60),
        "sum(".repeat(60) + "x" + &")".repeat(60),
        "{".to_owned() + &r#"a="b","#.repeat(1000) + "}",
    ];
    let run = move || {
        for text in &deep {
            assert!(!matches!(parse_selector(text), Err(e) if e.message.contains("more than")));
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
}

mod fuzz {
    use proptest::prelude::*;

    use super::super::*;

    /// Pieces that reach far into the grammar.
    const PIECES: [&str; 44] = [
        "up", "{", "}", "[", "]", "(", ")", ",", "=", "!=", "=~", "!~", "\"", "'", "`", "\\", "a",
        "\"b\"", "offset", " ", "-", "+", "@", "5m", "1e", "1e400", "0x", "07", ".", "inf", "nan",
        ":", "#", "\n", "sum", "by", "or", "bool", "start()", "end()", "rate", "\"\\u00", "é", "^",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn any_pieces_end_in_a_result(
            picks in proptest::collection::vec(0..PIECES.len(), 0..16),
        ) {
            let text: String = picks.iter().map(|i| PIECES[*i]).collect();
            drop(parse_selector(&text));
            drop(parse_matchers(&text));
        }

        #[test]
        fn any_text_ends_in_a_result(text in ".{0,40}") {
            drop(parse_selector(&text));
            drop(parse_matchers(&text));
        }
    }
}
