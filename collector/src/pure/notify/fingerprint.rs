//! How Alertmanager names alerts and groups.

use bellwether_model::label::LabelSet;

use super::plan::ReceiverPlan;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;
/// No byte of UTF-8.
const SEPARATOR: u8 = 0xff;

/// The identity of an alert: FNV-1a, 64 bits, over each name and value in the order of names, a
/// byte 255 after each.
#[must_use]
pub fn fingerprint(labels: &LabelSet) -> u64 {
    let texts = labels.iter().flat_map(|(name, value)| [name, value]);
    hash(texts.flat_map(|text| text.bytes().chain([SEPARATOR])))
}

/// FNV-1a, 64 bits.
pub(super) fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
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
        assert_eq!(fingerprint(&LabelSet::default()), OFFSET);
        let one = LabelSet::new([("a", "b")]).unwrap();
        // FNV-1a of the four bytes 61 ff 62 ff.
        let by_hand = [0x61_u8, 0xff, 0x62, 0xff];
        let hash = by_hand.iter().fold(OFFSET, |h, b| (h ^ u64::from(*b)).wrapping_mul(PRIME));
        assert_eq!(fingerprint(&one), hash);
    }
}
