//! The coded row of a delta section (`WIRE.md`): which places changed, and by how much, each
//! decision with a chance learned from the rows since the group's key section.

use super::bytes::Malformed;
use super::range::{Chance, Decoder, Encoder};
use super::scale::{Accumulator, EXACT, Scale};
use crate::series::is_absent;

/// Bits of a size.
const SIZE_BITS: u32 = 6;
const SIZES: usize = 1 << SIZE_BITS;
/// In place of the size of a step: the value has another scale.
const ESCAPE: u64 = 63;
/// Kinds of places, by the size of their last step: three sizes are one kind, the last is open.
const KINDS: usize = 8;
const SIZES_PER_KIND: u8 = 3;

/// What has been learned of one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Habit {
    /// That it changes.
    pub(super) changed: Chance,
    /// That it falls.
    pub(super) fell: Chance,
    /// One more than the size of its last step; 0 before the first.
    pub(super) size: u8,
}

impl Default for Habit {
    fn default() -> Habit {
        Habit { changed: Chance::RARE, fell: Chance::EVEN, size: 0 }
    }
}

/// What has been learned of the sizes of a group's steps: for each kind of place a binary tree over
/// the sizes, highest bit first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sizes([Chance; KINDS * SIZES]);

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes([Chance::EVEN; KINDS * SIZES])
    }
}

impl Sizes {
    /// All chances, in the order of a checkpoint.
    pub(super) fn chances(&self) -> &[Chance] {
        &self.0
    }

    /// The same, to be set.
    pub(super) fn chances_mut(&mut self) -> &mut [Chance] {
        &mut self.0
    }

    fn tree(&mut self, habit: Habit) -> &mut [Chance] {
        let kind = usize::from(habit.size / SIZES_PER_KIND).min(KINDS - 1);
        &mut self.0[kind * SIZES..][..SIZES]
    }

    fn put(&mut self, coder: &mut Encoder<'_>, habit: &mut Habit, size: u64) {
        let (tree, mut node) = (self.tree(*habit), 1);
        for shift in (0..SIZE_BITS).rev() {
            let bit = size >> shift & 1 == 1;
            coder.bit(&mut tree[node], bit);
            node = node << 1 | usize::from(bit);
        }
        habit.size = size as u8 + 1;
    }

    fn take(&mut self, coder: &mut Decoder<'_>, habit: &mut Habit) -> u32 {
        let (tree, mut node) = (self.tree(*habit), 1);
        for _ in 0..SIZE_BITS {
            node = node << 1 | usize::from(coder.bit(&mut tree[node]));
        }
        let size = (node - SIZES) as u8;
        habit.size = size + 1;
        u32::from(size)
    }
}

impl Accumulator {
    /// Writes whether the value differs from the last one, and the step to it if so.
    pub(super) fn put_step(&mut self, coder: &mut Encoder<'_>, sizes: &mut Sizes, value: f64) {
        let changed = value.to_bits() != self.value().to_bits();
        coder.bit(&mut self.habit.changed, changed);
        if !changed {
            return;
        }
        match (self.scale, self.scale.integer(value)) {
            (Scale::Raw, _) => {
                let bits = value.to_bits();
                let step = bits ^ self.m.cast_unsigned();
                sizes.put(coder, &mut self.habit, u64::from(step.ilog2()));
                coder.plain(step, step.ilog2());
                self.m = bits.cast_signed();
            }
            (_, Some(m)) => {
                let step = (m - self.m).unsigned_abs();
                sizes.put(coder, &mut self.habit, u64::from(step.ilog2()));
                coder.bit(&mut self.habit.fell, m < self.m);
                coder.plain(step, step.ilog2());
                self.m = m;
            }
            (_, None) => {
                self.scale = Scale::suiting(value);
                sizes.put(coder, &mut self.habit, ESCAPE);
                coder.plain(self.scale as u64, 8);
                coder.plain(value.to_bits(), 64);
                let m = self.scale.integer(value);
                self.m = m.expect("invariant: a suiting scale is exact");
            }
        }
    }

    /// Reads what [`Accumulator::put_step`] has written: the value if it differs from the last.
    ///
    /// # Errors
    /// The step leads out of range, or to the mark of absence.
    #[inline]
    pub(super) fn take_step(
        &mut self,
        coder: &mut Decoder<'_>,
        sizes: &mut Sizes,
    ) -> Result<Option<f64>, Malformed> {
        if coder.bit(&mut self.habit.changed) {
            self.step(coder, sizes).map(Some)
        } else {
            Ok(None)
        }
    }

    fn step(&mut self, coder: &mut Decoder<'_>, sizes: &mut Sizes) -> Result<f64, Malformed> {
        let malformed = |what| Malformed { offset: 0, what };
        let size = sizes.take(coder, &mut self.habit);
        if self.scale == Scale::Raw {
            let step = 1 << size | coder.plain(size);
            self.m = (self.m.cast_unsigned() ^ step).cast_signed();
        } else if u64::from(size) == ESCAPE {
            let scale = u8::try_from(coder.plain(8)).ok().and_then(Scale::from_wire);
            let scale = scale.ok_or(malformed("no such scale"))?;
            let m = scale.integer(f64::from_bits(coder.plain(64)));
            let m = m.ok_or(malformed("value is not exact at its scale"))?;
            (self.scale, self.m) = (scale, m);
        } else {
            let fell = coder.bit(&mut self.habit.fell);
            let step = (1_u64 << size | coder.plain(size)).cast_signed();
            let m = self.m.checked_add(if fell { -step } else { step });
            let m = m.filter(|m| m.unsigned_abs() < EXACT as u64);
            self.m = m.ok_or(malformed("value out of the range of its scale"))?;
        }
        let value = self.value();
        if is_absent(value) { Err(malformed("the mark of absence")) } else { Ok(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn steps_restore_bits(values: Vec<(u8, i32, u64)>, first in 0_u8..9) {
            let mut writer = Accumulator::new(Scale::from_wire(first).unwrap());
            let mut reader = writer;
            let values: Vec<f64> = values
                .iter()
                .map(|(kind, small, bits)| match kind % 5 {
                    0 => f64::from_bits(*bits),
                    1 => f64::from(*small),
                    2 => f64::from(*small) / 100.0,
                    3 => f64::from(*small) * 512.0,
                    _ => writer.value(),
                })
                .filter(|v| !is_absent(*v))
                .collect();
            let (mut out, mut sizes) = (Vec::new(), Sizes::default());
            let mut coder = Encoder::new(&mut out);
            values.iter().for_each(|v| writer.put_step(&mut coder, &mut sizes, *v));
            coder.finish();
            let (mut coder, mut sizes) = (Decoder::new(&out), Sizes::default());
            for value in values {
                let held = reader.value();
                let read = reader.take_step(&mut coder, &mut sizes).unwrap();
                assert_eq!(read.unwrap_or(held).to_bits(), value.to_bits());
            }
            assert_eq!(coder.finish(), Ok(()));
            assert_eq!(reader, writer);
        }

        #[test]
        fn any_bytes_are_steps_or_refused(bytes: Vec<u8>, scales: Vec<u8>) {
            let (mut coder, mut sizes) = (Decoder::new(&bytes), Sizes::default());
            for scale in scales {
                let mut place = Accumulator::new(Scale::from_wire(scale % 9).unwrap());
                if place.take_step(&mut coder, &mut sizes).is_err() {
                    break;
                }
            }
        }
    }

    #[test]
    fn the_place_of_a_row_stays_small() {
        assert_eq!(size_of::<Accumulator>(), 16);
    }
}
