//! Keys of series: the labels that count for a group or a match, and a table from keys to numbers.

use bellwether_model::label::{LabelSet, METRIC_NAME};

/// Which labels make a key.
#[derive(Clone, Debug)]
pub(crate) enum Labels<'a> {
    /// Only these, sorted.
    Only(Vec<&'a str>),
    /// All but these, sorted; the metric's name is one of them.
    Without(Vec<&'a str>),
}

impl<'a> Labels<'a> {
    pub(crate) fn only(names: impl IntoIterator<Item = &'a str>) -> Labels<'a> {
        Labels::Only(sorted(names))
    }

    /// All but `names` and the metric's name.
    pub(crate) fn without(names: impl IntoIterator<Item = &'a str>) -> Labels<'a> {
        Labels::Without(sorted(names.into_iter().chain([METRIC_NAME])))
    }

    pub(crate) fn keeps(&self, name: &str) -> bool {
        match self {
            Labels::Only(names) => names.binary_search(&name).is_ok(),
            Labels::Without(names) => names.binary_search(&name).is_err(),
        }
    }

    /// Writes the key of a set in place of what `out` held.
    pub(crate) fn write(&self, set: &LabelSet, out: &mut Vec<u8>) {
        out.clear();
        if matches!(self, Labels::Only(names) if names.is_empty()) {
            return;
        }
        for (name, value) in set.iter().filter(|(name, _)| self.keeps(name)) {
            for text in [name, value] {
                out.extend_from_slice(&text.len().to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// The labels of a set that make the key.
    pub(crate) fn kept(&self, set: &LabelSet) -> LabelSet {
        labels(set.iter().filter(|(name, _)| self.keeps(name)))
    }
}

fn sorted<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A set of labels taken from sets, which keep the bounds.
pub(crate) fn labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> LabelSet {
    LabelSet::new(pairs).unwrap_or_default()
}

/// Keys to numbers from 0, in the order in which keys come.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// Places of `ends` plus 1, by hash; a power of two.
    slots: Vec<u32>,
    hashes: Vec<u64>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The number of a key, and whether it is new.
    pub(crate) fn number(&mut self, key: &[u8]) -> (usize, bool) {
        if (self.ends.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let hash = xxh64(key);
        let mask = self.slots.len() - 1;
        let mut slot = usize::try_from(hash & u64::MAX >> 1).unwrap_or(0) & mask;
        loop {
            match self.slots.get(slot).copied().unwrap_or(0) {
                0 => break,
                place => {
                    let number = place as usize - 1;
                    if self.hashes.get(number) == Some(&hash) && self.key(number) == key {
                        return (number, false);
                    }
                }
            }
            slot = (slot + 1) & mask;
        }
        let number = self.ends.len();
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
        self.hashes.push(hash);
        if let (Some(free), Ok(place)) = (self.slots.get_mut(slot), u32::try_from(number + 1)) {
            *free = place;
        }
        (number, true)
    }

    fn key(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before));
        let (start, end) = (start.copied().unwrap_or(0), self.ends.get(number).copied());
        self.bytes.get(start..end.unwrap_or(start)).unwrap_or(&[])
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(64);
        let mask = size - 1;
        let mut slots = vec![0_u32; size];
        for (number, hash) in self.hashes.iter().enumerate() {
            let mut slot = usize::try_from(hash & u64::MAX >> 1).unwrap_or(0) & mask;
            while slots.get(slot).is_some_and(|place| *place != 0) {
                slot = (slot + 1) & mask;
            }
            if let (Some(free), Ok(place)) = (slots.get_mut(slot), u32::try_from(number + 1)) {
                *free = place;
            }
        }
        self.slots = slots;
    }
}

const PRIMES: [u64; 5] = [
    0x9e37_79b1_85eb_ca87,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0x85eb_ca77_c2b2_ae63,
    0x27d4_eb2f_1656_67c5,
];

/// XXH64 with seed 0: the hash of label sets in Prometheus, which `limit_ratio` shows.
pub(crate) fn xxh64(bytes: &[u8]) -> u64 {
    let [p1, p2, p3, p4, p5] = PRIMES;
    let round = |lane: u64, word: u64| {
        lane.wrapping_add(word.wrapping_mul(p2)).rotate_left(31).wrapping_mul(p1)
    };
    let mut rest = bytes;
    let mut hash = p5;
    if bytes.len() >= 32 {
        let mut lanes = [p1.wrapping_add(p2), p2, 0, 0_u64.wrapping_sub(p1)];
        while rest.len() >= 32 {
            for lane in &mut lanes {
                *lane = round(*lane, take_word(&mut rest));
            }
        }
        let [a, b, c, d] = lanes;
        hash = a
            .rotate_left(1)
            .wrapping_add(b.rotate_left(7))
            .wrapping_add(c.rotate_left(12))
            .wrapping_add(d.rotate_left(18));
        for lane in lanes {
            hash = (hash ^ round(0, lane)).wrapping_mul(p1).wrapping_add(p4);
        }
    }
    hash = hash.wrapping_add(bytes.len() as u64);
    while rest.len() >= 8 {
        let word = take_word(&mut rest);
        hash = (hash ^ round(0, word)).rotate_left(27).wrapping_mul(p1).wrapping_add(p4);
    }
    if let Some((four, after)) = rest.split_first_chunk::<4>() {
        let word = u64::from(u32::from_le_bytes(*four));
        hash = (hash ^ word.wrapping_mul(p1)).rotate_left(23).wrapping_mul(p2).wrapping_add(p3);
        rest = after;
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte).wrapping_mul(p5)).rotate_left(11).wrapping_mul(p1);
    }
    hash = (hash ^ hash >> 33).wrapping_mul(p2);
    hash = (hash ^ hash >> 29).wrapping_mul(p3);
    hash ^ hash >> 32
}

fn take_word(rest: &mut &[u8]) -> u64 {
    let Some((word, after)) = rest.split_first_chunk::<8>() else { return 0 };
    *rest = after;
    u64::from_le_bytes(*word)
}

/// The hash that Prometheus gives a set of labels: XXH64 over names and values, each behind its
/// length.
pub(crate) fn hash(set: &LabelSet) -> u64 {
    let mut bytes = Vec::with_capacity(set.as_bytes().len());
    for (name, value) in set.iter() {
        for text in [name, value] {
            // One byte, or 255 and three bytes.
            match u8::try_from(text.len()) {
                Ok(short) if short < 255 => bytes.push(short),
                _ => {
                    bytes.push(255);
                    bytes.extend(text.len().to_le_bytes().into_iter().take(3));
                }
            }
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    xxh64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_xxh64() {
        // Values of the reference implementation with seed 0.
        for (text, expected) in [
            ("", 0xef46_db37_51d8_e999),
            ("a", 0xd24e_c4f1_a98c_6e5b),
            ("abc", 0x44bc_2cf5_ad77_0999),
            ("Nobody inspects the spammish repetition", 0xfbce_a83c_8a37_8bf1),
        ] {
            assert_eq!(xxh64(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn keys_are_numbered_as_they_come() {
        let mut keys = Keys::default();
        for i in 0..1000_u32 {
            assert_eq!(keys.number(&i.to_le_bytes()), (i as usize, true));
        }
        for i in (0..1000_u32).rev() {
            assert_eq!(keys.number(&i.to_le_bytes()), (i as usize, false));
        }
        assert_eq!(keys.len(), 1000);
        assert_eq!(keys.number(b""), (1000, true));
        assert_eq!(keys.number(b""), (1000, false));
    }
}
