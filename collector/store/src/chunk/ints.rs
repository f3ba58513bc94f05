//! Integers as tokens: the first as it is, then differences to the one before (first order) or
//! differences of those (second order); zigzag, seven bits to a byte. Used by scaled columns, times
//! and positions.
//!
//! A token of 0 opens a run of at least two zeros, whose length less two follows; any other is a
//! difference's zigzag plus one. Numbers stay within ±2⁶⁰, so that no token overflows.

use super::ChunkError;

/// Bound on what is encoded: differences of differences then stay below 2⁶².
pub(crate) const MAGNITUDE_MAX: i64 = 1 << 60;

/// What the tokens are differences of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Values.
    First,
    /// Differences of values.
    Second,
}

impl Order {
    pub(super) fn of(second: bool) -> Order {
        if second { Order::Second } else { Order::First }
    }
}

/// The order whose tokens take fewer bytes; zeros count as nothing, since they come in runs.
pub(crate) fn better_order(values: &[i64]) -> Order {
    let (mut first, mut second) = (0, 0);
    let (mut value, mut step) = (values.first().copied().unwrap_or(0), 0);
    for next in values.iter().skip(1) {
        let delta = next - value;
        first += token_bytes(delta);
        second += token_bytes(delta - step);
        (value, step) = (*next, delta);
    }
    if second < first { Order::Second } else { Order::First }
}

/// Seven bits to a byte, without a division or a branch.
fn token_bytes(difference: i64) -> u32 {
    ((zigzag(difference) | 1).ilog2() * 9 + 73) / 64 * u32::from(difference != 0)
}

/// Appends the tokens of `values`; nothing if there are none.
pub(crate) fn put(values: &[i64], order: Order, bytes: &mut Vec<u8>) {
    let Some((first, rest)) = values.split_first() else { return };
    put_number(zigzag(*first), bytes);
    let (mut value, mut step, mut zeros) = (*first, 0, 0_u64);
    for next in rest {
        let delta = next - value;
        let difference = if order == Order::Second { delta - step } else { delta };
        (value, step) = (*next, delta);
        if difference == 0 {
            zeros += 1;
            continue;
        }
        put_zeros(zeros, bytes);
        zeros = 0;
        put_number(zigzag(difference) + 1, bytes);
    }
    put_zeros(zeros, bytes);
}

fn put_zeros(zeros: u64, bytes: &mut Vec<u8>) {
    match zeros {
        0 => {}
        1 => bytes.push(1),
        _ => {
            bytes.push(0);
            put_number(zeros - 2, bytes);
        }
    }
}

/// Reads `count` integers and hands each to `put`.
pub(crate) fn take(
    reader: &mut Reader<'_>,
    order: Order,
    count: usize,
    mut put: impl FnMut(i64),
) -> Result<(), ChunkError> {
    if count == 0 {
        return Ok(());
    }
    let mut value = unzigzag(reader.number()?);
    put(value);
    let (mut step, mut left) = (0_i64, count - 1);
    while left > 0 {
        let token = reader.number()?;
        let (difference, run) = if token == 0 {
            let more = reader.count(left)?;
            (0, more + 2)
        } else {
            (unzigzag(token - 1), 1)
        };
        left = left.checked_sub(run).ok_or(ChunkError::Run)?;
        step = if order == Order::Second { step.wrapping_add(difference) } else { difference };
        for _ in 0..run {
            value = value.wrapping_add(step);
            put(value);
        }
    }
    Ok(())
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Appends a number, seven bits to a byte, low bits first.
pub(crate) fn put_number(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Bytes not yet read.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    pub(super) fn byte(&mut self) -> Result<u8, ChunkError> {
        let (byte, rest) = self.0.split_first().ok_or(ChunkError::Short)?;
        self.0 = rest;
        Ok(*byte)
    }

    pub(super) fn word(&mut self) -> Result<u64, ChunkError> {
        let (word, rest) = self.0.split_first_chunk::<8>().ok_or(ChunkError::Short)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*word))
    }

    pub(super) fn number(&mut self) -> Result<u64, ChunkError> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut number = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(ChunkError::Number);
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(ChunkError::Number)
    }

    /// A number that may not exceed `max`.
    pub(super) fn count(&mut self, max: usize) -> Result<usize, ChunkError> {
        let number = self.number()?;
        usize::try_from(number).ok().filter(|n| *n <= max).ok_or(ChunkError::Run)
    }
}
