use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::diagnostic::Diagnostic;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Sync {
    Auto,
    Always,
}

impl Choice for Sync {
    const WORDS: &'static [(&'static str, Sync)] =
        &[("auto", Sync::Auto), ("always", Sync::Always)];
}

#[derive(Debug, PartialEq)]
struct Spec {
    listen: Option<SocketAddr>,
    name: String,
    ratio: f64,
    exporter: bool,
    spool: (u64, Duration, Sync),
    collectors: Vec<(String, Option<Secret>)>,
    labels: BTreeMap<String, String>,
    demo: Option<u64>,
}

fn describe(f: &mut Fields<'_>) -> Spec {
    Spec {
        listen: f.parsed("listen", "an address and port", "Where the page is served.").optional(),
        name: f.text("name", "The host's name.").or("host".to_owned()),
        ratio: f.number("ratio", "A share.").between(0.0, 1.0).or(0.5),
        exporter: f.flag("exporter", "Whether to serve the page.").or(true),
        spool: f.section("spool", |f| {
            (
                f.size("bytes_max", "Room for the backlog.")
                    .between(1 << 20, 1 << 40)
                    .or(512 << 20),
                f.duration("age_max", "Age of the backlog.").or(Duration::from_secs(86_400)),
                f.choice("sync", "When to sync.").or(Sync::Auto),
            )
        }),
        collectors: f
            .list("collectors", "Where samples go.", |item| {
                item.fields(|f| {
                    let url = f
                        .text("url", "The address.")
                        .check(|url| {
                            let web = url.starts_with("http");
                            if web { Ok(()) } else { Err("must begin with `http`".to_owned()) }
                        })
                        .required();
                    (url, f.secret("token", "What admits us.").optional())
                })
            })
            .required(),
        labels: f
            .map("labels", "Added to every series.", |name, item| {
                if name.starts_with("__") {
                    let message = "a label of the user must not begin with `__`";
                    item.push(Diagnostic::error(code::INVALID, Some(item.place()), message));
                }
                item.text()
            })
            .or(BTreeMap::new()),
        demo: f.optional_section("demo", |f| f.integer("hosts", "How many.").required()),
    }
}

fn environment() -> Environment {
    [("HOST", "web-1"), ("EMPTY", ""), ("PORT", "9798")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn read_spec(text: &str) -> Result<Spec, Diagnostics> {
    read("agent.yaml", text, &environment(), describe)
}

const GOOD: &str = r#"
# A comment
listen: "127.0.0.1:${PORT}"
name: ${HOST}-$$x-$1
ratio: 1e-1
exporter: false
spool: {bytes_max: 64 MiB, age_max: 1h30m, sync: always}
collectors:
  - &first
    url: https://a:9797
    token: hunter2
  - url: https://b:9797
    token_file: /etc/token
  - *first
labels:
  zone: 1.10
  "quoted": 'yes'
demo:
  hosts: 3
"#;

#[test]
fn a_good_file_is_read() {
    let spec = read_spec(GOOD).unwrap_or_else(|problems| panic!("{problems}"));
    let token = || Some(Secret::text("hunter2"));
    let expected = Spec {
        listen: Some("127.0.0.1:9798".parse().unwrap()),
        name: "web-1-$x-$1".to_owned(),
        ratio: 0.1,
        exporter: false,
        spool: (64 << 20, Duration::from_secs(5400), Sync::Always),
        collectors: vec![
            ("https://a:9797".to_owned(), token()),
            ("https://b:9797".to_owned(), Some(Secret::file("/etc/token"))),
            ("https://a:9797".to_owned(), token()),
        ],
        labels: [("quoted", "yes"), ("zone", "1.10")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        demo: Some(3),
    };
    assert_eq!(spec, expected);
    assert!(!format!("{spec:?}").contains("hunter2"));
}

#[test]
fn what_is_left_out_has_its_default() {
    let spec = read_spec("collectors: [{url: http://a}]\nspool:\n").unwrap();
    assert_eq!(spec.spool, (512 << 20, Duration::from_secs(86_400), Sync::Auto));
    assert_eq!((spec.listen, spec.demo, spec.exporter), (None, None, true));
}

/// Name of the golden file and a broken text.
const BROKEN: &[(&str, &str)] = &[
    ("unknown_keys", "collectors: [{url: http://a, tokn: hunter2}]\nlistne: x\nzebra: 1\n"),
    ("repeated_key", "name: a\ncollectors: [{url: http://a}]\nname: b\n"),
    ("bad_yaml", "name: a\ncollectors: [{url: http://a}\nlabels: {}\n"),
    ("bad_indent", "name: a\n  spool: b\n"),
    ("missing", "spool:\n  sync: auto\n"),
    ("missing_inside", "collectors:\n  - token: hunter2\ndemo:\n"),
    (
        "wrong_types",
        "listen: here\nname: [a]\nratio: .nan\nexporter: yes\nspool: 3\ncollectors: x\n\
         labels: [a]\ndemo: {hosts: -1}\n",
    ),
    (
        "wrong_units",
        "collectors: [{url: http://a}]\nspool:\n  bytes_max: 64M\n  age_max: 90\n  sync: never\n",
    ),
    ("out_of_range", "collectors: [{url: http://a}]\nratio: 1.5\nspool: {bytes_max: 1KiB}\n"),
    ("empty", "collectors: []\nname: ''\nratio:\nlabels: {}\n"),
    (
        "variables",
        "collectors: [{url: '${URL}'}]\nname: ${EMPTY}\nlabels: {a: '${', b: '${A-B}', é: $}\n",
    ),
    (
        "secret_twice",
        "collectors:\n  - url: ftp://me:hunter2@a\n    token: hunter2\n    token_file: /t\n",
    ),
    ("check_of_its_own", "collectors: [{url: http://a}]\nlabels:\n  __name__: x\n"),
    (
        "unsupported",
        "collectors: [{url: http://a}]\nname: !env HOST\nlabels:\n  <<: {a: b}\n  ? [c]\n  : d\n",
    ),
    ("second_document", "name: a\n---\nname: b\n"),
    ("not_a_mapping", "- a\n- b\n"),
    ("recursive_alias", "labels: &a {b: *a}\n"),
    ("unknown_alias", "labels: *a\n"),
];

#[test]
fn broken_files_show_their_problems() {
    for (name, text) in BROKEN {
        let problems = read_spec(text).expect_err(name).to_string();
        assert!(!problems.contains("hunter2"), "{problems}");
        insta::assert_snapshot!(*name, problems);
    }
}

fn only_code(text: &str) -> String {
    let problems = read_spec(text).unwrap_err();
    let codes: Vec<&str> = problems.iter().map(|problem| problem.code.name).collect();
    codes.join(" ")
}

#[test]
fn depth_size_and_aliases_are_bounded() {
    let nested = |depth: usize| format!("labels: {}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(only_code(&nested(31)), "cfg007 cfg008");
    assert_eq!(only_code(&nested(32)), "cfg004");
    assert_eq!(only_code(&nested(5000)), "cfg004");
    assert_eq!(only_code(&format!("a: {}", "[a: ".repeat(3000))), "cfg004");
    assert_eq!(only_code(&"a\n".repeat(tree::TEXT_BYTES / 2 + 1)), "cfg005");
    assert_eq!(only_code(&format!("ok: 1\n{}", "a".repeat(tree::LINE_BYTES + 1))), "cfg005");

    let mut laughs = "a0: &a0 [lol, lol]\n".to_owned();
    for n in 1..30 {
        let before = n - 1;
        laughs.push_str(&format!("a{n}: &a{n} [*a{before}, *a{before}]\n"));
    }
    assert_eq!(only_code(&laughs), "cfg005");
    let mut deep = "a0: &a0 [x]\n".to_owned();
    for n in 1..40 {
        deep.push_str(&format!("a{n}: &a{n} [*a{}]\n", n - 1));
    }
    assert_eq!(only_code(&deep), "cfg004");
    let text = format!("a: &a '{}'\nb: [{}]\n", "x\n  ".repeat(9000), "*a, ".repeat(3000));
    assert_eq!(only_code(&text), "cfg005");
}

#[test]
fn codes_are_unique_and_in_order() {
    assert!(code::ALL.is_sorted_by(|a, b| a.name < b.name));
}

#[test]
fn every_code_has_a_broken_file() {
    let found: Vec<&str> = BROKEN
        .iter()
        .flat_map(|(name, text)| {
            let problems = read_spec(text).expect_err(name);
            problems.iter().map(|problem| problem.code.name).collect::<Vec<_>>()
        })
        .collect();
    for code in code::ALL {
        // These two are in `depth_size_and_aliases_are_bounded`.
        let apart = [code::TOO_DEEP, code::TOO_LARGE].contains(code);
        assert!(apart || found.contains(&code.name), "{}", code.name);
    }
}

#[test]
fn a_description_documents_itself() {
    let docs = field_docs(describe);
    let lines: Vec<String> = docs
        .iter()
        .map(|doc| format!("{} ({}, {:?}): {}", doc.name, doc.kind, doc.presence, doc.help))
        .collect();
    insta::assert_snapshot!("field_docs", lines.join("\n"));
}

#[test]
fn durations_and_sizes() {
    let seconds = |text: &str| parse_duration(text).map(|duration| duration.as_secs_f64());
    for (text, expected) in [
        ("1h30m", Some(5400.0)),
        ("1y2w3d4h5m6s7ms", Some(33_019_506.007)),
        ("0", Some(0.0)),
        ("15s", Some(15.0)),
        ("1ms", Some(0.001)),
        ("", None),
        ("90", None),
        ("s", None),
        ("1m1h", None),
        ("1s1s", None),
        ("-1s", None),
        ("1.5h", None),
        ("1h ", None),
        ("293y", None),
        ("99999999999999999999s", None),
        ("1é", None),
    ] {
        assert_eq!(seconds(text), expected, "{text}");
    }
    for (text, expected) in [
        ("1KiB", Some(1024)),
        ("2 MB", Some(2_000_000)),
        ("7B", Some(7)),
        ("0", Some(0)),
        ("64M", None),
        ("64", None),
        ("MiB", None),
        ("1.5GiB", None),
        ("99999999TiB", None),
        ("1  KB", None),
    ] {
        assert_eq!(parse_size(text), expected, "{text}");
    }
    assert_eq!(show_duration(Duration::from_secs(86_400 * 14)), "2w");
    assert_eq!(show_duration(Duration::from_secs(86_400 * 15)), "15d");
    assert_eq!(show_duration(Duration::from_millis(5_400_001)), "1h30m1ms");
    assert_eq!(show_size(512 << 20), "512MiB");
    assert_eq!(show_size(10_000_000), "10MB");
    assert_eq!(show_size(0), "0B");
}

/// YAML of the alphabet where things go wrong.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "b",
        ":",
        ": ",
        "\n",
        "\n  ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&x ",
        "*x",
        "'",
        "\"",
        "|",
        ">",
        "!t ",
        "#",
        "? ",
        "~",
        "<<",
        "---\n",
        "${A}",
        "$",
        "é",
        "\t",
        "%",
        "\\",
        "url",
        "collectors",
        "labels: ",
        "spool:",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn assert_places(node: &Node, text: &str) {
    assert!(text.get(node.place.span.clone()).is_some());
    match &node.value {
        Value::Scalar { .. } => {}
        Value::List(items) => items.iter().for_each(|item| assert_places(item, text)),
        Value::Mapping(entries) => {
            for entry in entries {
                assert!(text.get(entry.place.span.clone()).is_some());
                assert_places(&entry.node, text);
            }
        }
    }
}

proptest! {
    #[test]
    fn shown_values_read_back(millis in 0_u64..9 * 10_u64.pow(12), bytes in any::<u64>()) {
        let duration = Duration::from_millis(millis);
        prop_assert_eq!(parse_duration(&show_duration(duration)), Some(duration));
        prop_assert_eq!(parse_size(&show_size(bytes)), Some(bytes));
    }

    #[test]
    fn any_text_gives_a_value_or_problems_with_places(text in texts()) {
        match read_spec(&text) {
            Ok(spec) => prop_assert!(!spec.collectors.is_empty()),
            Err(problems) => {
                prop_assert!(problems.has_errors());
                prop_assert!(problems.iter().all(|problem| problem.place.is_some()));
                prop_assert!(problems.to_string().contains("agent.yaml:"));
            }
        }
        if let (Some(root), _) = parse(Source::new("f", &text)) {
            assert_places(&root, &text);
        }
    }
}
