//! Mutations of bytes, drawn from SplitMix64 (Steele, Lea and Flood, 2014).

/// Changes inputs; the same seed gives the same changes.
#[derive(Debug)]
pub struct Mutator {
    state: u64,
    dictionary: &'static [&'static [u8]],
}

/// Numbers at the edges of the ranges that readers declare sizes in.
const NUMBERS: [u64; 16] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

impl Mutator {
    /// A mutator whose every choice follows from `seed`.
    #[must_use]
    pub fn new(seed: u64, dictionary: &'static [&'static [u8]]) -> Mutator {
        Mutator { state: seed, dictionary }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 for a limit of 0.
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below a usize")]
    pub fn below(&mut self, limit: usize) -> usize {
        if limit == 0 { 0 } else { (self.next() % limit as u64) as usize }
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// A stretch within `len` bytes, mostly short.
    fn stretch(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        let most = if self.below(4) == 0 { len - start } else { (len - start).min(16) };
        start..start + self.below(most + 1)
    }

    /// Changes an input a few times; `other` is where splices come from.
    pub fn mutate(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        for _ in 0..=self.below(4) {
            self.once(input, other);
        }
    }

    fn once(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(input.len());
        match self.below(9) {
            0 => {
                let bit = 1 << self.below(8);
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= bit;
                }
            }
            1 => {
                let new = self.byte();
                if let Some(byte) = input.get_mut(at) {
                    *byte = new;
                }
            }
            2 => self.number(input, at),
            3 => {
                let new = self.byte();
                input.insert(at, new);
            }
            4 => {
                let stretch = self.stretch(input.len());
                input.drain(stretch);
            }
            5 => {
                let stretch = self.stretch(input.len());
                let copy = input.get(stretch).unwrap_or_default().to_vec();
                input.splice(at..at, copy);
            }
            6 => input.truncate(at),
            7 => {
                let piece = other.get(self.stretch(other.len())).unwrap_or_default();
                input.splice(at..at, piece.iter().copied());
            }
            _ => {
                let index = self.below(self.dictionary.len());
                if let Some(word) = self.dictionary.get(index) {
                    input.splice(at..at, word.iter().copied());
                }
            }
        }
    }

    /// Writes a number of 1, 2, 4 or 8 bytes in either order over what stands there.
    fn number(&mut self, input: &mut [u8], at: usize) {
        let index = self.below(NUMBERS.len());
        let mut bytes = NUMBERS.get(index).copied().unwrap_or_default().to_le_bytes();
        let width = 1 << self.below(4);
        if let Some(bytes) = bytes.get_mut(..width) {
            if self.below(2) == 0 {
                bytes.reverse();
            }
            let places = input.get_mut(at..).unwrap_or_default().iter_mut();
            places.zip(bytes).for_each(|(place, byte)| *place = *byte);
        }
    }
}
