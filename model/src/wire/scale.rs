//! Floats as scaled integers, bit for bit (`WIRE.md`, value token).

use super::bytes::{Malformed, Reader, put_varint, unzigzag, zigzag};
use super::row::Habit;
use crate::series::is_absent;

/// How a place's values are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Scale {
    /// The float's bits.
    #[default]
    Raw = 0,
    /// m
    One = 1,
    /// m / 10
    Tenth = 2,
    /// m / 100: clock ticks
    Hundredth = 3,
    /// m / 1000: milliseconds
    Milli = 4,
    /// m / 10⁶: microseconds
    Micro = 5,
    /// m / 10⁹: nanoseconds
    Nano = 6,
    /// m · 512: sectors
    Sector = 7,
    /// m · 1024: kibibytes
    Kibi = 8,
}

/// Integers up to here are exact as floats.
pub(super) const EXACT: f64 = 9_007_199_254_740_992.0;

impl Scale {
    /// All scales by number.
    pub const ALL: [Scale; 9] = [
        Scale::Raw,
        Scale::One,
        Scale::Tenth,
        Scale::Hundredth,
        Scale::Milli,
        Scale::Micro,
        Scale::Nano,
        Scale::Sector,
        Scale::Kibi,
    ];

    /// The scale of a wire number.
    #[must_use]
    pub fn from_wire(number: u8) -> Option<Scale> {
        Scale::ALL.get(usize::from(number)).copied()
    }

    /// The value of an accumulator at this scale.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "accumulators below 2^53 are exact")]
    pub fn value(self, m: i64) -> f64 {
        let x = m as f64;
        match self {
            Scale::Raw => f64::from_bits(m.cast_unsigned()),
            Scale::One => x,
            Scale::Tenth => x / 10.0,
            Scale::Hundredth => x / 100.0,
            Scale::Milli => x / 1e3,
            Scale::Micro => x / 1e6,
            Scale::Nano => x / 1e9,
            Scale::Sector => x * 512.0,
            Scale::Kibi => x * 1024.0,
        }
    }

    /// The integer that gives exactly this value at this scale.
    #[must_use]
    pub fn integer(self, value: f64) -> Option<i64> {
        let scaled = match self {
            Scale::Raw => return Some(value.to_bits().cast_signed()),
            Scale::One => value,
            Scale::Tenth => value * 10.0,
            Scale::Hundredth => value * 100.0,
            Scale::Milli => value * 1e3,
            Scale::Micro => value * 1e6,
            Scale::Nano => value * 1e9,
            Scale::Sector => value / 512.0,
            Scale::Kibi => value / 1024.0,
        };
        let rounded = libm::rint(scaled);
        let m = if rounded.abs() < EXACT { rounded as i64 } else { return None };
        (self.value(m).to_bits() == value.to_bits()).then_some(m)
    }

    /// The scale that suits a value seen alone; a later value may need another.
    #[must_use]
    pub fn suiting(value: f64) -> Scale {
        const SMALL: f64 = 65_536.0;
        let wide: &[Scale] = if value.abs() >= SMALL { &[Scale::Kibi, Scale::Sector] } else { &[] };
        let narrow =
            [Scale::One, Scale::Tenth, Scale::Hundredth, Scale::Milli, Scale::Micro, Scale::Nano];
        let fits = |scale: &&Scale| scale.integer(value).is_some();
        wide.iter().chain(&narrow).find(fits).copied().unwrap_or(Scale::Raw)
    }
}

/// Scale and accumulator of one place, and what has been learned of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accumulator {
    /// How values are written.
    pub scale: Scale,
    /// The last value as an integer at that scale.
    pub m: i64,
    pub(super) habit: Habit,
}

impl Accumulator {
    /// Before the first token of a place.
    #[must_use]
    pub fn new(scale: Scale) -> Accumulator {
        Accumulator { scale, ..Accumulator::default() }
    }

    /// The last value.
    #[must_use]
    pub fn value(self) -> f64 {
        self.scale.value(self.m)
    }

    /// Writes the token of a place's first value.
    ///
    /// # Panics
    /// The scale does not suit the value.
    pub fn put(&mut self, out: &mut Vec<u8>, value: f64) {
        self.m = self.scale.integer(value).expect("invariant: the scale suits the value");
        if self.scale == Scale::Raw {
            out.extend_from_slice(&self.m.to_le_bytes());
        } else {
            put_varint(out, zigzag(self.m) + 1);
        }
    }

    /// Reads the token of a place's first value; returns the value.
    ///
    /// # Errors
    /// The token ends early or is none, or its value is out of the range of the scale.
    pub fn take(&mut self, reader: &mut Reader<'_>) -> Result<f64, Malformed> {
        self.m = if self.scale == Scale::Raw {
            reader.u64()?.cast_signed()
        } else {
            let token =
                reader.varint()?.checked_sub(1).ok_or(reader.malformed("no value token"))?;
            Some(unzigzag(token))
                .filter(|m| m.unsigned_abs() < EXACT as u64)
                .ok_or(reader.malformed("value out of the range of its scale"))?
        };
        let value = self.value();
        if is_absent(value) { Err(reader.malformed("the mark of absence")) } else { Ok(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::STALE;

    #[test]
    fn suiting_scales() {
        for (value, scale) in [
            (0.0, Scale::One),
            (-0.0, Scale::Raw),
            (12.0, Scale::One),
            (0.52, Scale::Hundredth),
            (1234.5, Scale::Tenth),
            (1024.0 * 1e6, Scale::Kibi),
            (512.0 * 1_000_001.0, Scale::Sector),
            (0.000_001_5, Scale::Nano),
            (1.0 / 3.0, Scale::Raw),
            (f64::INFINITY, Scale::Raw),
            (STALE, Scale::Raw),
            (1e300, Scale::Raw),
        ] {
            assert_eq!(Scale::suiting(value), scale, "{value}");
        }
    }

    #[test]
    fn a_token_is_a_value_within_its_scale() {
        let take = |scale, bytes: &[u8]| Accumulator::new(scale).take(&mut Reader::new(bytes));
        assert_eq!(take(Scale::Tenth, &[zigzag(15) as u8 + 1]), Ok(1.5));
        // What was an escape to another scale: a key section's scales suit its values.
        let mut escape = vec![0, Scale::Raw as u8];
        escape.extend_from_slice(&1.5_f64.to_bits().to_le_bytes());
        assert_eq!(take(Scale::One, &escape).unwrap_err().what, "no value token");
        let mut large = Vec::new();
        put_varint(&mut large, zigzag(EXACT as i64) + 1);
        let error = take(Scale::One, &large).unwrap_err();
        assert_eq!(error.what, "value out of the range of its scale");
        let absent = crate::series::ABSENT.to_bits().to_le_bytes();
        assert_eq!(take(Scale::Raw, &absent).unwrap_err().what, "the mark of absence");
    }

    proptest::proptest! {
        #[test]
        fn tokens_restore_bits(values: Vec<(u8, i32, u64)>) {
            let values: Vec<f64> = values
                .iter()
                .map(|(kind, small, bits)| match kind % 4 {
                    0 => f64::from_bits(*bits),
                    1 => f64::from(*small),
                    2 => f64::from(*small) / 100.0,
                    _ => f64::from(*small) * 512.0,
                })
                .filter(|v| !is_absent(*v))
                .collect();
            let mut out = Vec::new();
            let place = |value: f64| Accumulator::new(Scale::suiting(value));
            values.iter().for_each(|value| place(*value).put(&mut out, *value));
            let mut reader = Reader::new(&out);
            for value in values {
                assert_eq!(place(value).take(&mut reader).unwrap().to_bits(), value.to_bits());
            }
            assert_eq!(reader.finish(), Ok(()));
        }
    }
}
