use super::*;

const UNKNOWN: Code = Code { name: "tst001", meaning: "unknown key" };

fn shown(text: &str, span: Range<usize>, mask: Option<Range<usize>>) -> String {
    let source = Source::new("agent.yaml", text);
    let place = source.place(span);
    let secret = mask.map(|span| source.place(span));
    let mut all = Diagnostics::of(source);
    all.push(
        Diagnostic::error(UNKNOWN, Some(place), "unknown key `listn`")
            .with_help("did you mean `listen`?"),
    );
    if let Some(secret) = secret {
        all.mask(&secret);
    }
    all.to_string()
}

#[test]
fn a_problem_is_shown_with_its_line_and_ends_in_its_place() {
    let expected = "\
error[tst001]: unknown key `listn`
  |
2 | listn: é
  | ^^^^^
  |
  = help: did you mean `listen`?
 ::: agent.yaml:2:1";
    assert_eq!(shown("a: 1\nlistn: é\r\nb: 2\n", 5..10, None), expected);
}

#[test]
fn places_count_characters_and_stay_in_the_text() {
    let source = Source::new("f", "é: x\nb");
    let at = |span: Range<usize>| source.place(span).to_string();
    assert_eq!(at(0..1), "f:1:1");
    assert_eq!(at(1..1), "f:1:1");
    assert_eq!(at(4..5), "f:1:4");
    assert_eq!(at(6..7), "f:2:1");
    assert_eq!(at(900..901), "f:2:2");
    assert_eq!(Source::new("f", "").place(0..9).to_string(), "f:1:1");
}

#[test]
fn secrets_are_masked() {
    for (text, span, mask) in [
        ("x: hunter2", 0..1, Some(3..10)),
        ("listn: {token: hunter2}", 0..5, None),
        ("{token_file: a, password: hunter2}", 1..5, None),
        ("\"API_KEY\" : hunter2", 0..5, None),
        ("url: https://me:hunter2@host/", 0..3, None),
    ] {
        let shown = shown(text, span, mask);
        assert!(!shown.contains("hunter2") && shown.contains("*******"), "{shown}");
    }
    assert!(shown("token_file: /etc/t", 0..5, None).contains("/etc/t"));
}

#[test]
fn problems_are_ordered_by_place_and_bounded() {
    let source = Source::new("b.yaml", "1\n2\n3\n");
    let second = Source::new("a.yaml", "1\n");
    let places = [source.place(4..5), source.place(0..1), second.place(0..1)];
    let mut all = Diagnostics::of(source);
    all.extend(Diagnostics::of(second));
    for place in places {
        all.push(Diagnostic::error(UNKNOWN, Some(place), "x"));
    }
    all.push(Diagnostic::warning(UNKNOWN, None, "cannot be read"));
    let lines: Vec<String> = all.iter().map(ToString::to_string).collect();
    let expected = [
        "warning[tst001]: cannot be read",
        "b.yaml:1:1: error[tst001]: x",
        "b.yaml:3:1: error[tst001]: x",
        "a.yaml:1:1: error[tst001]: x",
    ];
    assert_eq!(lines, expected);
    for _ in 0..PROBLEMS_MAX {
        all.push(Diagnostic::warning(UNKNOWN, None, "x"));
    }
    assert_eq!(all.len(), PROBLEMS_MAX + 4);
    assert_eq!(all.iter().count(), PROBLEMS_MAX);
    assert!(all.to_string().ends_with("\n\nand 4 more"));
    let mut warning = Diagnostics::default();
    warning.push(Diagnostic::warning(UNKNOWN, None, "x"));
    assert!(!warning.has_errors() && all.has_errors());
}

#[test]
fn the_nearest_name_is_suggested() {
    let known = ["listen", "limits", "labels", "data_dir", "up"];
    for (name, expected) in [
        ("listn", Some("listen")),
        ("lsiten", Some("listen")),
        ("LIMIT", Some("limits")),
        ("data-dir", Some("data_dir")),
        ("lavels", Some("labels")),
        ("zebra", None),
        ("u", None),
        ("", None),
    ] {
        assert_eq!(nearest(name, known), expected, "{name}");
    }
    assert_eq!(nearest(&"a".repeat(65), ["a"]), None);
}
