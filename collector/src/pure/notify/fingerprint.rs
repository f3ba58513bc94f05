//! How Alertmanager names alerts and groups.

use bellwether_model::hash::fnv1a_of_texts;
use bellwether_model::label::LabelSet;

use super::plan::ReceiverPlan;

/// The identity of an alert: FNV-1a, 64 bits, over each name and value in the order of names, a
/// byte 255 after each.
#[must_use]
pub fn fingerprint(labels: &LabelSet) -> u64 {
    let texts = labels.iter().flat_map(|(name, value)| [name, value]);
    fnv1a_of_texts(texts)
}

/// The key of a group as receivers know it: the route and its labels, `{}:{alertname="Down"}`. A
/// receiver with matchers is a route below the root.
#[must_use]
pub(super) fn group_key(receiver: &ReceiverPlan, group: &LabelSet) -> String {
    let matchers: Vec<String> = receiver.matchers.iter().map(ToString::to_string).collect();
    let route = match matchers.as_slice() {
        [] => "{}".to_owned(),
        matchers => format!("{{}}/{{{}}}", matchers.join(",")),
    };
    let labels: Vec<String> =
        group.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{route}:{{{}}}", labels.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_alertmanagers() {
        // As prometheus/common computes `LabelSet{}.Fingerprint()`.
        assert_eq!(fingerprint(&LabelSet::default()), 0xcbf2_9ce4_8422_2325);
        let one = LabelSet::new([("a", "b")]).unwrap();
        // FNV-1a of the four bytes 61 ff 62 ff.
        assert_eq!(fingerprint(&one), 0xd2b3_7181_9297_f98a);
    }
}
