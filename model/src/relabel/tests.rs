use super::*;

fn spec(action: Action) -> RuleSpec {
    RuleSpec {
        action,
        source_labels: Vec::new(),
        separator: None,
        regex: None,
        target_label: None,
        replacement: None,
        modulus: None,
    }
}

/// A rule in one line: `action source,source key=value …`; a dash for no source.
fn rule(text: &str) -> Result<Rule, BadRule> {
    let mut words = text.split(' ');
    let action = words.next().unwrap();
    let action = Action::WORDS.iter().find(|(word, _)| *word == action).unwrap().1;
    let mut spec = spec(action);
    let sources = words.next().unwrap_or("-");
    if sources != "-" {
        spec.source_labels = sources.split(',').map(str::to_owned).collect();
    }
    for word in words {
        let (key, value) = word.split_once('=').unwrap();
        let number = value.parse().ok();
        let value = Some(value.to_owned());
        match key {
            "re" => spec.regex = value,
            "sep" => spec.separator = value,
            "to" => spec.target_label = value,
            "by" => spec.replacement = value,
            "mod" => spec.modulus = number,
            other => panic!("{other}"),
        }
    }
    Rule::new(&spec)
}

fn labels(text: &str) -> Labels {
    text.split(' ').filter_map(|pair| pair.split_once('=')).collect()
}

/// Labels, rules, and what Prometheus makes of them.
const RESULTS: &[(&str, &[&str], &str)] = &[
    ("a=foo b=bar", &["replace a re=f(.*) to=d by=ch${1}-ch${1}"], "a=foo b=bar d=choo-choo"),
    ("a=foo b=bar", &["replace a,b re=(f).*;(.*)r to=a by=b${1}${2}m"], "a=bfbam b=bar"),
    ("a=foo", &["replace a re=nomatch to=a by=x"], "a=foo"),
    ("a=foo", &["replace a re=oo to=a by=x"], "a=foo"),
    ("a=foo b=x", &["replace a re=foo to=b by="], "a=foo"),
    ("a=foo", &["replace - to=b by=fixed"], "a=foo b=fixed"),
    ("a=foo", &["replace missing to=a"], ""),
    ("a=foo", &["replace a to=$1 by=x"], "a=foo foo=x"),
    ("a=foo", &["replace a re=(f)(x)?.* to=${2} by=x"], "a=foo"),
    ("a=foo", &["replace a re=(?P<n>f).* to=b by=$n-$nx-${n}x-$$-$"], "a=foo b=f--fx-$-$"),
    ("a=a-1 b=2", &["replace a,b sep=/ re=(.*)/(.*) to=c by=$2/$1"], "a=a-1 b=2 c=2/a-1"),
    ("a=foo", &["drop a re=.*o.*"], "dropped"),
    ("a=foo", &["drop a re=f"], "a=foo"),
    ("a=foo", &["keep a re=no"], "dropped"),
    ("a=foo b=bar", &["keep a,b re=foo;bar"], "a=foo b=bar"),
    ("a=foo", &["drop missing re="], "dropped"),
    ("a=x b=x", &["keepequal a to=b"], "a=x b=x"),
    ("a=x b=y", &["keepequal a to=b"], "dropped"),
    ("a=x b=x", &["dropequal a to=b"], "dropped"),
    ("a=x b=y", &["dropequal a to=b"], "a=x b=y"),
    ("a=foo b=bar c=baz", &["hashmod c to=d mod=1000"], "a=foo b=bar c=baz d=976"),
    ("a=foo\nbar", &["hashmod a to=b mod=1000"], "a=foo\nbar b=734"),
    (
        "a=foo b1=bar b2=baz",
        &["labelmap - re=(b.*) by=bar_${1}"],
        "a=foo b1=bar b2=baz bar_b1=bar bar_b2=baz",
    ),
    (
        "a=foo __meta_my_bar=aaa __meta_my_baz=bbb",
        &["labelmap - re=__meta_(my.*)"],
        "__meta_my_bar=aaa __meta_my_baz=bbb a=foo my_bar=aaa my_baz=bbb",
    ),
    ("a=foo b1=bar b2=baz", &["labeldrop - re=(b.*)"], "a=foo"),
    ("a=foo b1=bar b2=baz", &["labelkeep - re=(b.*)"], "b1=bar b2=baz"),
    ("a=FoO", &["lowercase a to=b", "uppercase a to=c re=nothing"], "a=FoO b=foo c=FOO"),
    ("a=straße-İ", &["uppercase a to=b", "lowercase a to=c"], "a=straße-İ b=STRAßE-İ c=straße-i"),
    ("a=1", &["replace a to=b", "drop b re=1", "replace a to=c"], "dropped"),
];

#[test]
fn rules_do_what_prometheus_does() {
    for (before, rules, after) in RESULTS {
        let rules: Vec<Rule> = rules.iter().map(|text| rule(text).unwrap()).collect();
        let mut found = labels(before);
        let shown = match apply(&rules, &mut found) {
            Kept::Dropped => "dropped".to_owned(),
            Kept::Yes => {
                let pairs: Vec<String> = found.iter().map(|(n, v)| format!("{n}={v}")).collect();
                pairs.join(" ")
            }
        };
        assert_eq!(shown, *after, "{before} {rules:?}");
    }
}

#[test]
fn a_rule_that_is_none_says_which_key() {
    for (text, key) in [
        ("hashmod a to=b", "modulus"),
        ("hashmod a mod=8", "target_label"),
        ("replace a", "target_label"),
        ("keepequal a to=b re=x", "regex"),
        ("dropequal a to=b sep=x", "separator"),
        ("labeldrop a re=x", "source_labels"),
        ("labelkeep - re=x to=y", "target_label"),
        ("lowercase a to=b by=x", "replacement"),
        ("labelmap - re=x by=", "replacement"),
        ("replace a re=( to=b", "regex"),
        ("replace a re=a** to=b", "regex"),
    ] {
        assert_eq!(rule(text).unwrap_err().key, key, "{text}");
    }
    let error = rule("labeldrop a re=x").unwrap_err().to_string();
    assert!(error.starts_with("`source_labels` cannot be set for `labeldrop`"), "{error}");
}

#[test]
fn what_may_take_a_label_away_is_known() {
    for (text, may) in [
        ("labeldrop - re=go_.*", false),
        ("labeldrop - re=in.*", true),
        ("labelkeep - re=job|instance", false),
        ("labelkeep - re=job", true),
        ("replace a to=b", false),
        ("replace a to=instance", true),
        ("replace a to=$1", true),
        ("lowercase a to=instance", true),
        ("hashmod a to=instance mod=3", false),
        ("labelmap - re=x", false),
        ("drop instance re=x", false),
    ] {
        assert_eq!(rule(text).unwrap().may_remove("instance"), may, "{text}");
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["", "a", "b", "ab", "instance", "x;y"]).prop_map(str::to_owned)
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let action = prop::sample::select(Action::WORDS.to_vec());
        let regex = prop::sample::select(vec!["(.*)", "a", "(a)(b)?", "in.*", "", "[ab]+"]);
        let target = prop::sample::select(vec!["a", "b", "instance", "$1", "${2}"]);
        let replacement = prop::sample::select(vec!["$1", "", "x", "${1}_$2"]);
        let parts = (action, prop::collection::vec(text(), 0..3), regex, target, replacement);
        parts.prop_filter_map("no rule", |((_, action), sources, regex, target, replacement)| {
            let mut spec = RuleSpec { source_labels: sources, ..spec(action) };
            spec.modulus = (action == Action::HashMod).then_some(7);
            let equal = matches!(action, Action::KeepEqual | Action::DropEqual);
            let by_name = matches!(action, Action::LabelDrop | Action::LabelKeep);
            if !equal {
                spec.regex = Some(regex.to_owned());
            }
            if by_name {
                spec.source_labels.clear();
            } else {
                spec.target_label = Some(target.to_owned());
            }
            if matches!(action, Action::Replace | Action::LabelMap) {
                spec.replacement = Some(replacement.to_owned());
            }
            Rule::new(&spec).ok()
        })
    }

    proptest! {
        /// A column group may keep out of its columns what no rule can take away.
        #[test]
        fn what_no_rule_may_remove_stays(
            rules in prop::collection::vec(any_rule(), 0..4),
            values in prop::collection::btree_map(text(), text(), 0..5),
        ) {
            let pairs = values.iter().filter(|(name, _)| !name.is_empty());
            let mut found: Labels = pairs.map(|(n, v)| (n.as_str(), v.as_str())).collect();
            found.set("instance", "here");
            let stays = !rules.iter().any(|rule| rule.may_remove("instance"));
            if apply(&rules, &mut found) == Kept::Yes && stays {
                prop_assert!(!found.get("instance").is_empty());
            }
            prop_assert!(found.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()));
        }
    }
}
