//! How Alertmanager names alerts and groups.

use bellwether_model::hash::fnv1a_of_texts;
use bellwether_model::label::LabelSet;
use bellwether_model::matcher::{MatchOp, Matcher};
use bellwether_promql::quote::quote;

use super::plan::ReceiverPlan;

/// The identity of an alert: FNV-1a, 64 bits, over each name and value in the order of names, a
/// byte 255 after each.
#[must_use]
pub fn fingerprint(labels: &LabelSet) -> u64 {
    let texts = labels.iter().flat_map(|(name, value)| [name, value]);
    fnv1a_of_texts(texts)
}

/// The key of a group as receivers know it: the route and its labels, `{}:{alertname="Down"}`. A
/// receiver with matchers is a route below the root. Values are quoted as by Go's `%q`.
#[must_use]
pub(super) fn group_key(receiver: &ReceiverPlan, group: &LabelSet) -> String {
    let matchers: Vec<String> = receiver.matchers.iter().map(matcher).collect();
    let route = match matchers.as_slice() {
        [] => "{}".to_owned(),
        matchers => format!("{{}}/{{{}}}", matchers.join(",")),
    };
    let labels: Vec<String> =
        group.iter().map(|(name, value)| format!("{name}={}", quote(value))).collect();
    format!("{route}:{{{}}}", labels.join(", "))
}

/// A matcher as Alertmanager writes it (`pkg/labels`): values are escaped as in an exposition.
fn matcher(matcher: &Matcher) -> String {
    let op = match matcher.op() {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    let (name, value) = (matcher.name(), matcher.value());
    if name.contains(|c: char| c.is_whitespace() || "{}!=~,\\\"'`".contains(c)) {
        return format!("{}{op}{}", quote(name), quote(value));
    }
    let value = value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
    format!("{name}{op}\"{value}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::notify::tests::receiver;

    #[test]
    fn fingerprints_are_alertmanagers() {
        // As prometheus/common computes `LabelSet{}.Fingerprint()`.
        assert_eq!(fingerprint(&LabelSet::default()), 0xcbf2_9ce4_8422_2325);
        let one = LabelSet::new([("a", "b")]).unwrap();
        // FNV-1a of the four bytes 61 ff 62 ff.
        assert_eq!(fingerprint(&one), 0xd2b3_7181_9297_f98a);
    }

    #[test]
    fn group_keys_are_quoted_as_alertmanager_quotes_them() {
        let group = LabelSet::new([("a", "\u{1}\u{e9}\n\"\\"), ("b", "\u{200b}\u{7f}")]).unwrap();
        let labels = r#"{a="\x01é\n\"\\", b="\u200b\x7f"}"#;
        let mut receiver = receiver("ops");
        assert_eq!(group_key(&receiver, &group), format!("{{}}:{labels}"));
        receiver.matchers = vec![
            Matcher::new("m", MatchOp::Regex, "\u{1}\"\\n\n").unwrap(),
            Matcher::new("m n", MatchOp::NotEqual, "\u{1}").unwrap(),
        ];
        let route = "{}/{m=~\"\u{1}\\\"\\\\n\\n\",\"m n\"!=\"\\x01\"}";
        assert_eq!(group_key(&receiver, &group), format!("{route}:{labels}"));
    }
}
