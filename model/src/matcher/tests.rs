use proptest::prelude::*;

use super::*;

fn regex(pattern: &str) -> Matcher {
    Matcher::new("l", MatchOp::Regex, pattern).unwrap_or_else(|e| panic!("{pattern:?}: {e}"))
}

/// Pattern, values that match, values that do not; checked against Go's `regexp`.
const GO_MATCHES: &[(&str, &[&str], &[&str])] = &[
    ("", &[""], &["a"]),
    ("a.c", &["abc", "a\nc", "aéc"], &["ac", "xabc", "abcx"]),
    ("(?-s:a.c)", &["abc"], &["a\nc"]),
    (r"\d+", &["7"], &["٣", ""]),
    (r"\w", &["a", "_"], &["é"]),
    (r"\W", &["é", " "], &["a"]),
    (r"[^\W]", &["a"], &["é"]),
    (r"\s", &[" ", "\t", "\n"], &["\u{b}", "\u{a0}"]),
    (r"é\bx", &["éx"], &[]),
    (r"é\B.", &["éé"], &["éx"]),
    ("(?i)k", &["k", "K", "\u{212a}"], &[]),
    ("(?i)s[[:alpha:]]", &["sa", "ſK"], &["s1"]),
    ("a|(?i)b|c", &["a", "b", "B", "C"], &["A"]),
    ("a{,3}", &["a{,3}"], &["aa", ""]),
    ("a{01}", &["a{01}"], &["a"]),
    ("{", &["{"], &[""]),
    ("a{2}", &["aa"], &["a{2}"]),
    ("[a&&b]", &["a", "b", "&"], &[""]),
    ("[[a]", &["[", "a"], &[""]),
    ("[]a]", &["]", "a"], &[""]),
    ("[a-b-c]", &["a", "-", "c"], &["d"]),
    ("[~#--]", &["~", "#", "*", "-"], &["."]),
    (r"\Q.*\E+", &[".*", ".**"], &["a"]),
    (r"\x{e9}\x41\101\_", &["éAA_"], &[]),
    (r"\p{^Greek}\pL", &["aα"], &["αa"]),
    ("^a$|^b$", &["a", "b"], &["ab"]),
    ("a#b c", &["a#b c"], &["a#bc"]),
    ("a(?i)+", &["aa"], &["A"]),
    ("(?m)^a$", &["a"], &["a\nb"]),
    ("(?P<x>a)(?<y>b)(?:c)", &["abc"], &[]),
    ("(?)a", &["a"], &[]),
];

#[test]
fn patterns_mean_what_go_makes_of_them() {
    for (pattern, yes, no) in GO_MATCHES {
        let matcher = regex(pattern);
        for value in *yes {
            assert!(matcher.matches(value), "{pattern:?} on {value:?}");
        }
        for value in *no {
            assert!(!matcher.matches(value), "{pattern:?} on {value:?}");
        }
    }
}

#[test]
fn what_go_refuses_is_refused() {
    let cases = [
        ("a**", "invalid nested repetition operator: *"),
        ("*", "missing argument to repetition operator: *"),
        ("(+)", "missing argument to repetition operator: +"),
        ("{2}", "missing argument to repetition operator: {2}"),
        ("a)|(b", "unexpected )"),
        ("(a", "missing closing )"),
        ("[a", "missing closing ]"),
        ("[b-a]", "invalid character class range: b-a"),
        ("[[:word]:]", "invalid character class range: [:word]:]"),
        ("a{1001}", "invalid repeat count: {1001}"),
        ("a{3,2}", "invalid repeat count: {3,2}"),
        (r"\1", r"invalid escape sequence: \1"),
        (r"\Z", r"invalid escape sequence: \Z"),
        (r"\<", r""),
        (r"a\", "trailing backslash at end of expression"),
        ("(?x)a", "invalid or unsupported Perl syntax: (?x"),
        ("(?=a)", "invalid or unsupported Perl syntax: (?=a"),
        (r"\p{Nothing}", "Unicode property not found"),
        ("(\\pL{1000}){1000}", "the pattern compiles to more than 4194304 bytes"),
    ];
    for (pattern, reason) in cases {
        let found = Matcher::new("l", MatchOp::Regex, pattern).map_err(|e| e.reason).err();
        assert_eq!(found.unwrap_or_default(), reason, "{pattern:?}");
    }
    let long = "a".repeat(PATTERN_BYTES + 1);
    assert!(Matcher::new("l", MatchOp::Regex, &long).is_err());
    assert!(Matcher::new("l", MatchOp::Regex, &"(".repeat(PATTERN_BYTES)).is_err());
}

#[test]
fn an_index_may_ask_for_the_meaning() {
    let cases: &[(&str, Option<&[&str]>, &str)] = &[
        ("a|b|c", Some(&["a", "b", "c"]), ""),
        ("web-(1|2)|db", Some(&["db", "web-1", "web-2"]), ""),
        ("b|a|b", Some(&["a", "b"]), ""),
        ("", Some(&[""]), ""),
        ("a?", Some(&["", "a"]), ""),
        ("x[12]{2}", Some(&["x11", "x12", "x21", "x22"]), ""),
        ("^foo$", Some(&["foo"]), "foo"),
        ("(?i)ab", Some(&["AB", "Ab", "aB", "ab"]), ""),
        ("a&&[^\\x{0}-\\x{10ffff}]", Some(&[]), ""),
        ("foo.*", None, "foo"),
        ("foo.+", None, "foo"),
        ("foo[0-9]+", None, "foo"),
        (".*", None, ""),
        (".*foo", None, ""),
        ("(?i)prometheus-server-00", None, ""),
        ("[a-z]{3}", None, ""),
    ];
    for (pattern, set, prefix) in cases {
        let matcher = regex(pattern);
        let found = matcher.set_of_values().map(|set| set.iter().map(String::as_str).collect());
        assert_eq!(found, set.map(<[&str]>::to_vec), "{pattern:?}");
        assert_eq!(matcher.prefix(), *prefix, "{pattern:?}");
        assert_eq!(matcher.inverse().set_of_values(), None);
        assert_eq!(matcher.inverse().prefix(), "");
    }
    let many: Vec<String> = (0..=4096).map(|n| format!("{n}-")).collect();
    assert_eq!(regex(&many[1..].join("|")).set_of_values().map(<[String]>::len), Some(4096));
    assert_eq!(regex(&many.join("|")).set_of_values(), None);
}

#[test]
fn operators_and_the_missing_label() {
    let new = |op, value| Matcher::new("job", op, value).unwrap();
    assert!(new(MatchOp::Equal, "").matches_empty());
    assert!(!new(MatchOp::NotEqual, "").matches_empty());
    assert!(new(MatchOp::NotEqual, "a").matches_empty());
    assert!(new(MatchOp::Regex, "a|").matches_empty());
    assert!(!new(MatchOp::Regex, ".+").matches_empty());
    assert!(new(MatchOp::NotRegex, ".+").matches_empty());
    assert_eq!(new(MatchOp::Equal, "a").set_of_values(), Some(&["a".to_owned()][..]));
    assert_eq!(new(MatchOp::NotRegex, "a\"b").to_string(), r#"job!~"a\"b""#);
    assert_eq!(new(MatchOp::NotRegex, "a").inverse().op(), MatchOp::Regex);
    let bad = Matcher::new("job", MatchOp::Regex, "(").unwrap_err();
    assert_eq!(bad.to_string(), r#"matcher on "job": missing closing )"#);
}

/// Patterns that both syntaxes read alike.
fn patterns() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => "[ab]{1,3}",
        1 => Just(".*".to_owned()),
        1 => Just(".+".to_owned()),
        1 => Just(".".to_owned()),
        1 => Just("[ab]".to_owned()),
        1 => Just("[^a]".to_owned()),
        1 => Just("^".to_owned()),
        1 => Just("$".to_owned()),
        1 => Just("é".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            4 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            4 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.join("|")),
            2 => inner.clone().prop_map(|part| format!("({part})")),
            1 => (inner, prop::sample::select(vec!["*", "+", "?", "{2}", "{0,2}", "{1,}?"]))
                .prop_map(|(part, operator)| format!("(?:{part}){operator}")),
        ]
    })
}

fn values() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[abé\n]{0,5}", 1..24)
}

proptest! {
    #[test]
    fn every_shape_agrees_with_the_plain_program(pattern in patterns(), values in values()) {
        let plain = meta::Regex::new(&format!("^(?s:{pattern})$")).unwrap();
        let matcher = regex(&pattern);
        for value in values.iter().map(String::as_str).chain(["", "a", "b", "ab"]) {
            let expected = plain.is_match(value);
            prop_assert_eq!(matcher.matches(value), expected, "{} on {:?}", pattern, value);
            prop_assert_eq!(matcher.inverse().matches(value), !expected);
            if let Some(set) = matcher.set_of_values() {
                prop_assert_eq!(set.iter().any(|one| one == value), expected);
            }
            prop_assert!(!expected || value.starts_with(matcher.prefix()));
        }
        for value in matcher.set_of_values().unwrap_or_default() {
            prop_assert!(plain.is_match(value), "{} on {:?}", pattern, value);
        }
    }
}

#[test]
fn a_set_of_labels_must_meet_every_test() {
    let labels = LabelSet::new([("a", "1"), ("b", "2")]).unwrap();
    let of = |tests: &[(&str, MatchOp, &str)]| {
        let matchers = tests.iter().map(|(name, op, value)| Matcher::new(name, *op, value));
        matches_all(&matchers.collect::<Result<Vec<_>, _>>().unwrap(), &labels)
    };
    assert!(of(&[]));
    assert!(of(&[("a", MatchOp::Equal, "1"), ("b", MatchOp::Regex, "1|2")]));
    assert!(!of(&[("a", MatchOp::Equal, "1"), ("b", MatchOp::Equal, "1")]));
    // A label that is not there has the empty value.
    assert!(of(&[("c", MatchOp::Equal, ""), ("c", MatchOp::NotEqual, "1")]));
    assert!(!of(&[("c", MatchOp::NotEqual, "")]));
}
