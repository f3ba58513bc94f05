//! An adaptive binary range coder (G. N. N. Martin, 1979): a decision that was foreseen costs a
//! small part of a bit. Integers only, so both sides and every machine agree.
//!
//! Invariants: `range` is at least [`TOP`] before each decision; a [`Decoder`] of any bytes makes
//! some decision at each call, never reads past its bytes, and says at the end whether an
//! [`Encoder`] could have written them.

use super::bytes::Malformed;

/// log2 of the denominator of a probability.
const BITS: u32 = 12;
const TOP: u32 = 1 << 24;
/// Plain bits taken in one step: after it `range` is still 256 at least.
const STEP: u32 = 16;
/// Bytes that a decoder is ahead of what it has used.
const AHEAD: usize = 4;
/// 2¹⁶ / (n + 2.5): how far the n-th decision moves the estimate, from an average of the first
/// ones to a memory of about sixteen.
const RATES: [i32; 16] = [
    26_214, 18_724, 14_563, 11_915, 10_082, 8_738, 7_710, 6_898, 6_241, 5_698, 5_242, 4_854, 4_519,
    4_228, 3_971, 3_744,
];

/// How likely decisions of one kind are, learned from those before: 12 bits of probability above
/// 4 bits that count up to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chance(u16);

impl Chance {
    /// As likely as not.
    pub(super) const EVEN: Chance = Chance(2048 << 4);
    /// About one in twenty.
    pub(super) const RARE: Chance = Chance(205 << 4);

    /// As two bytes.
    pub(super) fn to_bits(self) -> u16 {
        self.0
    }

    /// The inverse of [`Chance::to_bits`]; `None` where a decision would be certain.
    pub(super) fn from_bits(bits: u16) -> Option<Chance> {
        (bits >> 4 != 0).then_some(Chance(bits))
    }

    /// The part of `range` that stands for true: neither all nor nothing of it.
    fn part(self, range: u32) -> u32 {
        (range >> BITS) * u32::from(self.0 >> 4)
    }

    #[inline]
    fn learn(&mut self, bit: bool) {
        let (old, count) = (i32::from(self.0 >> 4), self.0 & 15);
        let rate = RATES[usize::from(count)];
        // Shifts of negative numbers round down, to certainty once; upwards that is never reached.
        let new = if bit {
            old + ((((1 << BITS) - old) * rate) >> 16)
        } else {
            (old + ((-old * rate) >> 16)).max(1)
        };
        self.0 = (new as u16) << 4 | (count + 1).min(15);
    }
}

/// Writes decisions.
pub(super) struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    low: u32,
    range: u32,
}

impl<'a> Encoder<'a> {
    /// Appends to `out`, in which [`Encoder::finish`] has to be waited for.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Encoder<'a> {
        Encoder { out, low: 0, range: u32::MAX }
    }

    /// Writes a decision.
    pub(super) fn bit(&mut self, chance: &mut Chance, bit: bool) {
        let part = chance.part(self.range);
        if bit {
            self.range = part;
        } else {
            self.add(part);
            self.range -= part;
        }
        chance.learn(bit);
        self.shift();
    }

    /// Writes the lowest `count` bits of a number as they are.
    pub(super) fn plain(&mut self, bits: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            let step = left.min(STEP);
            left -= step;
            self.range >>= step;
            self.add(self.range * ((bits >> left) as u32 & ((1 << step) - 1)));
            self.shift();
        }
    }

    fn add(&mut self, part: u32) {
        let (low, carry) = self.low.overflowing_add(part);
        self.low = low;
        if carry {
            self.carry();
        }
    }

    /// What is written stands for a number below one, so a carry ends in it.
    fn carry(&mut self) {
        for byte in self.out.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
    }

    fn shift(&mut self) {
        while self.range < TOP {
            self.out.push((self.low >> 24) as u8);
            self.low <<= 8;
            self.range <<= 8;
        }
    }

    /// Writes the fewest bytes that tell where the decisions have led; zeros follow in thought.
    pub(super) fn finish(mut self) {
        for count in 0..=4_u32 {
            let mask = u32::MAX.checked_shr(8 * count).unwrap_or(0);
            let end = (u64::from(self.low) + u64::from(mask)) & !u64::from(mask);
            if end < u64::from(self.low) + u64::from(self.range) {
                self.add((end - u64::from(self.low)) as u32);
                let bytes = self.low.to_be_bytes();
                return self.out.extend_from_slice(&bytes[..count as usize]);
            }
        }
    }
}

/// Reads decisions.
pub(super) struct Decoder<'a> {
    bytes: &'a [u8],
    next: usize,
    code: u32,
    range: u32,
}

impl<'a> Decoder<'a> {
    /// Reads what an encoder has written and nothing else.
    pub(super) fn new(bytes: &'a [u8]) -> Decoder<'a> {
        let mut decoder = Decoder { bytes, next: 0, code: 0, range: u32::MAX };
        (0..AHEAD).for_each(|_| decoder.shift());
        decoder
    }

    /// Reads a decision.
    #[inline]
    pub(super) fn bit(&mut self, chance: &mut Chance) -> bool {
        let part = chance.part(self.range);
        let bit = self.code < part;
        if bit {
            self.range = part;
            chance.learn(true);
        } else {
            self.range -= part;
            self.code -= part;
            chance.learn(false);
        }
        self.fill();
        bit
    }

    /// Reads `count` bits, 64 at most, as they are.
    pub(super) fn plain(&mut self, count: u32) -> u64 {
        let (mut bits, mut left) = (0, count);
        while left > 0 {
            let step = left.min(STEP);
            left -= step;
            self.range >>= step;
            // Beyond is what no encoder has written.
            let found = (self.code / self.range).min((1 << step) - 1);
            self.code -= found * self.range;
            bits = bits << step | u64::from(found);
            self.fill();
        }
        bits
    }

    #[inline]
    fn fill(&mut self) {
        while self.range < TOP {
            self.range <<= 8;
            self.shift();
        }
    }

    #[inline]
    fn shift(&mut self) {
        let byte = self.bytes.get(self.next).copied().unwrap_or(0);
        self.code = self.code << 8 | u32::from(byte);
        self.next += 1;
    }

    /// Checks that all is read and nothing was missing.
    ///
    /// # Errors
    /// Bytes are left over, or ended before the decisions did.
    pub(super) fn finish(self) -> Result<(), Malformed> {
        let what = if self.next < self.bytes.len() {
            "bytes are left over"
        } else if self.next > self.bytes.len() + AHEAD {
            "ends too early"
        } else {
            return Ok(());
        };
        Err(Malformed { offset: self.bytes.len(), what })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;

    use super::*;

    /// A decision under one of four chances, or plain bits.
    type Step = (u8, bool, u64, u32);

    fn encode(steps: &[Step]) -> Vec<u8> {
        let mut out = vec![0xff; 3];
        let (mut chances, mut encoder) = ([Chance::RARE; 4], Encoder::new(&mut out));
        for (kind, bit, bits, count) in steps {
            match chances.get_mut(usize::from(*kind)) {
                Some(chance) => encoder.bit(chance, *bit),
                None => encoder.plain(*bits, *count),
            }
        }
        encoder.finish();
        assert_eq!(out[..3], [0xff; 3], "what was before stays");
        out.split_off(3)
    }

    proptest::proptest! {
        #[test]
        fn decisions_round_trip(
            steps in proptest::collection::vec(
                (0_u8..5, any::<bool>(), any::<u64>(), 0_u32..=64),
                0..600,
            ),
        ) {
            let bytes = encode(&steps);
            let (mut chances, mut decoder) = ([Chance::RARE; 4], Decoder::new(&bytes));
            for (kind, bit, bits, count) in &steps {
                match chances.get_mut(usize::from(*kind)) {
                    Some(chance) => assert_eq!(decoder.bit(chance), *bit),
                    None => {
                        let mask = u64::MAX.checked_shr(64 - count).unwrap_or(0);
                        assert_eq!(decoder.plain(*count), bits & mask);
                    }
                }
            }
            assert_eq!(decoder.finish(), Ok(()));
        }

        #[test]
        fn any_bytes_are_decisions(bytes: Vec<u8>, steps: Vec<(bool, u8)>) {
            let (mut chance, mut decoder) = (Chance::EVEN, Decoder::new(&bytes));
            for (is_plain, count) in steps {
                if is_plain {
                    decoder.plain(u32::from(count) % 65);
                } else {
                    decoder.bit(&mut chance);
                }
            }
        }
    }

    #[test]
    fn what_is_foreseen_costs_little() {
        let steps: Vec<Step> = (0..10_000).map(|i| (0, i % 1000 == 999, 0, 0)).collect();
        let len = encode(&steps).len();
        assert!(len < 40, "{len} bytes");
        let sure: Vec<Step> = vec![(0, false, 0, 0); 10_000];
        let len = encode(&sure).len();
        assert!(len < 10, "{len} bytes");
    }

    #[test]
    fn bytes_too_many_or_too_few_are_noticed() {
        let steps: Vec<Step> = (0..100).map(|i| (4, false, i, 8)).collect();
        let bytes = encode(&steps);
        let read = |bytes: &[u8]| {
            let mut decoder = Decoder::new(bytes);
            assert!((0..100).map(|_| decoder.plain(8)).count() == 100);
            decoder.finish().is_ok()
        };
        assert!(read(&bytes));
        assert!(!read(&[&bytes[..], &[0; 5]].concat()) && !read(&bytes[..90]));
    }
}
