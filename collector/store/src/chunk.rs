//! The bytes of one column of a block: up to [`ROWS_MAX`] values, any of them absent, lossless bit
//! for bit (`FORMAT.md` is the contract).
//!
//! One codec of four shapes: *constant* (one value), *number* (one value as a scaled integer),
//! *scaled* (decimals, or multiples of a power of two, as integers; deltas, or deltas of deltas,
//! with the lengths of unchanged runs; what is no such number, stale markers among it, is an
//! exception) and *raw* (XOR with the value before). The shape is chosen per column. A chunk does
//! not know its number of rows: its block does.
//!
//! The decoder never panics, and what it makes is bounded by the number of rows that its caller
//! names. It does not check that the bytes are what the encoder would have written.
#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a codec; its decoder is fuzzed"
)]

mod bits;
pub(crate) mod ints;

use std::ops::Range;

use bellwether_model::series::{ABSENT, is_absent};
use ints::Reader;

/// Rows of a chunk, at most (DESIGN §9).
pub const ROWS_MAX: usize = 480;

/// Decimal scales tried in this order: counts, jiffies, milliseconds, microseconds, nanoseconds.
const SCALES: [i32; 5] = [0, 2, 3, 6, 9];
/// The powers of ten of [`SCALES`].
const POWERS: [f64; 5] = [1.0, 1e2, 1e3, 1e6, 1e9];
/// The scale's code of multiples of a power of two: pages, sectors, kibibytes. Its exponent
/// follows.
const BINARY: usize = SCALES.len();
/// The largest such exponent, and the smallest that is used.
const SHIFT_MAX: u32 = 40;
const SHIFT_WORTH: u32 = 2;
/// Integers up to here are floats exactly.
const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;
/// 1.5 · 2⁵²: the floats around it, as far as [`ROUND_MAX`], are the integers.
const ROUND: f64 = 6_755_399_441_055_744.0;
const ROUND_MAX: f64 = 2_251_799_813_685_248.0;
/// Values that are looked at before it is asked whether they are integers.
const AT_ONCE: usize = 16;

const SHAPE: u8 = 0b11;
const CONSTANT: u8 = 0;
const SCALED: u8 = 1;
const RAW: u8 = 2;
const NUMBER: u8 = 3;
const HAS_ABSENT: u8 = 1 << 2;
const SECOND_ORDER: u8 = 1 << 3;
const SCALE_SHIFT: u8 = 4;
const HAS_EXCEPTIONS: u8 = 1 << 7;

/// Why bytes are not a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The bytes end inside a chunk.
    #[error("the chunk ends early")]
    Short,
    /// Bytes follow the chunk.
    #[error("bytes follow the chunk")]
    Long,
    /// More rows asked for than a chunk may have.
    #[error("a chunk has at most {ROWS_MAX} rows")]
    TooManyRows,
    /// A run or an exception lies outside the rows.
    #[error("a run is longer than its chunk")]
    Run,
    /// An unknown shape, scale, flag or header.
    #[error("unknown tag")]
    Tag,
    /// A number is longer than ten bytes.
    #[error("a number is too long")]
    Number,
}

/// Encodes columns; its buffers are used again from column to column.
#[derive(Debug, Default)]
pub struct Encoder {
    present: Vec<f64>,
    integers: Vec<i64>,
    exceptions: Vec<(usize, f64)>,
}

impl Encoder {
    /// Appends the chunk of `values` to `bytes`; nothing if all are absent.
    ///
    /// # Panics
    /// More than [`ROWS_MAX`] values.
    pub fn encode(&mut self, values: &[f64], bytes: &mut Vec<u8>) {
        assert!(values.len() <= ROWS_MAX, "invariant: a chunk has a bound");
        if !values.iter().any(|v| is_absent(*v)) {
            self.put(0, values, bytes);
            return;
        }
        let mut present = std::mem::take(&mut self.present);
        present.clear();
        present.extend(values.iter().copied().filter(|v| !is_absent(*v)));
        let start = bytes.len();
        if !present.is_empty() {
            put_absent(values, bytes);
            let runs = bytes.len();
            self.put(HAS_ABSENT, &present, bytes);
            // The tag stands before the runs.
            bytes[start..=runs].rotate_right(1);
        }
        self.present = present;
    }

    /// Appends the tag and what the values say, none of which is absent.
    fn put(&mut self, flags: u8, values: &[f64], bytes: &mut Vec<u8>) {
        let Some(first) = values.first().copied() else { return };
        let tag_at = bytes.len();
        bytes.push(0);
        let tag = if values.iter().all(|v| v.to_bits() == first.to_bits()) {
            self.put_constant(first, bytes)
        } else if let Some(scale) = self.scale(values) {
            self.put_scaled(scale, ints::better_order(&self.integers), bytes)
        } else {
            bits::put(values, bytes);
            RAW
        };
        bytes[tag_at] = tag | flags;
    }

    /// Appends the chunk of the rows of all `chunks`, each with its number of rows, without making
    /// floats of them; false, and nothing is appended, unless they are all integers at some scale.
    ///
    /// # Panics
    /// More than [`ROWS_MAX`] rows.
    pub(crate) fn join<'a>(
        &mut self,
        chunks: impl Iterator<Item = (&'a [u8], usize)> + Clone,
        bytes: &mut Vec<u8>,
    ) -> bool {
        self.exceptions.clear();
        self.integers.clear();
        let decimals = |code, (chunk, _)| Some(usize::max(code, decimals(chunk)?));
        let Some(code) = chunks.clone().try_fold(0, decimals) else { return false };
        // The order that suits each part suits them all.
        let mut orders = chunks.clone().filter_map(|(chunk, _)| order(chunk));
        let first = orders.next();
        let agreed = first.filter(|first| orders.all(|order| order == *first));
        for (chunk, rows) in chunks {
            assert!(self.integers.len() + rows <= ROWS_MAX, "invariant: a chunk has a bound");
            if take_integers(chunk, rows, code, &mut self.integers).is_none() {
                return false;
            }
        }
        let tag_at = bytes.len();
        bytes.push(0);
        let scale = self.narrow(code);
        let order = agreed.unwrap_or_else(|| ints::better_order(&self.integers));
        bytes[tag_at] = self.put_scaled(scale, order, bytes);
        true
    }

    /// Writes the one value in the shape that takes fewer bytes.
    fn put_constant(&mut self, value: f64, bytes: &mut Vec<u8>) -> u8 {
        let start = bytes.len();
        if let Some(scale) = self.scale(&[value]) {
            scale.put(bytes);
            ints::put(&self.integers, ints::Order::First, bytes);
            if bytes.len() - start < size_of::<f64>() {
                return NUMBER | scale.tag();
            }
            bytes.truncate(start);
        }
        bytes.extend_from_slice(&value.to_bits().to_le_bytes());
        CONSTANT
    }

    /// The first scale at which every ordinary value is an integer; fills the integers and the
    /// exceptions. None if there is no such scale, or more than a quarter are exceptions.
    fn scale(&mut self, values: &[f64]) -> Option<Scale> {
        self.exceptions.clear();
        let integers = &mut self.integers;
        let code = (0..SCALES.len()).find(|code| all_integers(values, POWERS[*code], integers));
        let code = match code {
            Some(code) => code,
            None => self.scale_apart(values)?,
        };
        Some(self.narrow(code))
    }

    /// The same of values among which some are exceptions, or large.
    fn scale_apart(&mut self, values: &[f64]) -> Option<usize> {
        let special = |v: f64| !v.is_finite() || v.to_bits() == (-0.0_f64).to_bits();
        let placed = values.iter().copied().enumerate();
        self.exceptions.extend(placed.filter(|(_, value)| special(*value)));
        if self.exceptions.len() * 4 > values.len() {
            return None;
        }
        (0..SCALES.len()).find(|code| {
            self.integers.clear();
            values.iter().copied().filter(|v| !special(*v)).all(|value| {
                to_integer(value, POWERS[*code]).map(|i| self.integers.push(i)).is_some()
            })
        })
    }

    /// Counts whole numbers in the largest power of two that they share, if it is worth its byte.
    fn narrow(&mut self, code: usize) -> Scale {
        let bits = self.integers.iter().fold(0, |bits, integer| bits | integer);
        if code > 0 || bits.trailing_zeros() < SHIFT_WORTH || bits == 0 {
            return Scale { code, shift: 0 };
        }
        let shift = bits.trailing_zeros().min(SHIFT_MAX);
        self.integers.iter_mut().for_each(|integer| *integer >>= shift);
        Scale { code: BINARY, shift }
    }

    fn put_scaled(&self, scale: Scale, order: ints::Order, bytes: &mut Vec<u8>) -> u8 {
        let mut tag = SCALED | scale.tag();
        scale.put(bytes);
        if !self.exceptions.is_empty() {
            tag |= HAS_EXCEPTIONS;
            ints::put_number(self.exceptions.len() as u64, bytes);
            let mut next = 0;
            for (at, value) in &self.exceptions {
                ints::put_number((at - next) as u64, bytes);
                bytes.extend_from_slice(&value.to_bits().to_le_bytes());
                next = at + 1;
            }
        }
        ints::put(&self.integers, order, bytes);
        if order == ints::Order::Second { tag | SECOND_ORDER } else { tag }
    }
}

/// How integers become values: divided by a power of ten, or multiplied by one of two.
#[derive(Clone, Copy, Debug)]
struct Scale {
    /// Of [`SCALES`], or [`BINARY`].
    code: usize,
    shift: u32,
}

impl Scale {
    fn tag(self) -> u8 {
        (self.code as u8) << SCALE_SHIFT
    }

    fn put(self, bytes: &mut Vec<u8>) {
        if self.code == BINARY {
            bytes.push(self.shift as u8);
        }
    }

    fn take(tag: u8, reader: &mut Reader<'_>) -> Result<Scale, ChunkError> {
        let code = usize::from((tag >> SCALE_SHIFT) & 0b111);
        let shift = if code == BINARY { u32::from(reader.byte()?) } else { 0 };
        let known = code <= BINARY && shift <= SHIFT_MAX;
        if known { Ok(Scale { code, shift }) } else { Err(ChunkError::Tag) }
    }

    /// What integers are divided by; exact for powers of two.
    fn divisor(self) -> f64 {
        match POWERS.get(self.code) {
            Some(power) => *power,
            None => 1.0 / (1_u64 << self.shift) as f64,
        }
    }
}

/// Reads the chunk of `rows` values and appends them to `out`, [`ABSENT`] among them. No bytes are
/// a chunk without values. On an error `out` is as it was.
///
/// # Errors
/// The bytes are no chunk of that many rows, or the rows exceed [`ROWS_MAX`].
pub fn decode(bytes: &[u8], rows: usize, out: &mut Vec<f64>) -> Result<(), ChunkError> {
    decode_some(bytes, rows, &(0..rows), out)
}

/// As [`decode`], but appends only the values of `some` of the rows, which lie within them. All
/// bytes are read and refused alike.
pub(crate) fn decode_some(
    bytes: &[u8],
    rows: usize,
    some: &Range<usize>,
    out: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let start = out.len();
    let result = decode_onto(bytes, rows, some, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn decode_onto(
    bytes: &[u8],
    rows: usize,
    some: &Range<usize>,
    out: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    if some.len() < rows
        && rows <= ROWS_MAX
        && let Some((tag, rest)) = bytes.split_first()
        && tag & (SHAPE | HAS_ABSENT | HAS_EXCEPTIONS) == SCALED
    {
        return decode_scaled(*tag, Reader(rest), rows, some, out);
    }
    if some.len() < rows && rows <= ROWS_MAX && is_constant(bytes) {
        return decode_all(bytes, some.len(), out);
    }
    let start = out.len();
    decode_all(bytes, rows, out)?;
    out.truncate(start + some.end);
    out.drain(start..start + some.start);
    Ok(())
}

/// Most columns that change are such; the values of other rows are passed over as integers.
fn decode_scaled(
    tag: u8,
    mut reader: Reader<'_>,
    rows: usize,
    some: &Range<usize>,
    out: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let divisor = Scale::take(tag, &mut reader)?.divisor();
    let mut row = 0;
    out.reserve(some.len());
    ints::take(&mut reader, ints::Order::of(tag & SECOND_ORDER != 0), rows, |i| {
        if some.contains(&row) {
            out.push(i as f64 / divisor);
        }
        row += 1;
    })?;
    if reader.0.is_empty() { Ok(()) } else { Err(ChunkError::Long) }
}

fn decode_all(bytes: &[u8], rows: usize, out: &mut Vec<f64>) -> Result<(), ChunkError> {
    if rows > ROWS_MAX {
        return Err(ChunkError::TooManyRows);
    }
    let start = out.len();
    let Some((tag, rest)) = bytes.split_first() else {
        out.resize(start + rows, ABSENT);
        return Ok(());
    };
    let mut reader = Reader(rest);
    if tag & HAS_ABSENT == 0 {
        decode_present(*tag, &mut reader, rows, out)?;
    } else {
        let mut runs = reader.clone();
        let present = take_absent(&mut reader, rows)?;
        decode_present(*tag, &mut reader, present, out)?;
        spread(&mut runs, rows, start, present, out)?;
    }
    if reader.0.is_empty() { Ok(()) } else { Err(ChunkError::Long) }
}

fn decode_present(
    tag: u8,
    reader: &mut Reader<'_>,
    count: usize,
    out: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let start = out.len();
    match tag & SHAPE {
        CONSTANT if tag & !(SHAPE | HAS_ABSENT) == 0 => {
            let value = f64::from_bits(reader.word()?);
            out.resize(start + count, value);
            Ok(())
        }
        RAW if tag & !(SHAPE | HAS_ABSENT) == 0 => bits::take(reader, count, out),
        NUMBER if tag & (SECOND_ORDER | HAS_EXCEPTIONS) == 0 => {
            let divisor = Scale::take(tag, reader)?.divisor();
            let mut value = 0.0;
            ints::take(reader, ints::Order::First, 1, |i| value = i as f64 / divisor)?;
            out.resize(start + count, value);
            Ok(())
        }
        SCALED => {
            let power = Scale::take(tag, reader)?.divisor();
            let mut exceptions = reader.clone();
            let special =
                if tag & HAS_EXCEPTIONS == 0 { 0 } else { pass_exceptions(reader, count)? };
            let order = ints::Order::of(tag & SECOND_ORDER != 0);
            ints::take(reader, order, count - special, |i| out.push(i as f64 / power))?;
            if special > 0 { put_back(&mut exceptions, start, count, out) } else { Ok(()) }
        }
        _ => Err(ChunkError::Tag),
    }
}

/// Whether the chunk of a column holds no absent value; false for a column without any value.
pub(crate) fn is_full(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|tag| tag & HAS_ABSENT == 0)
}

/// Whether the chunk says one value for all rows: any number of such rows has the same bytes.
pub(crate) fn is_constant(bytes: &[u8]) -> bool {
    let constant = |tag: u8| matches!(tag & SHAPE, CONSTANT | NUMBER);
    bytes.first().is_some_and(|tag| tag & HAS_ABSENT == 0 && constant(*tag))
}

/// The value as an integer at a scale, if that gives it back bit for bit.
fn to_integer(value: f64, power: f64) -> Option<i64> {
    let scaled = value * power;
    if scaled.abs() >= INTEGER_MAX {
        return None;
    }
    let integer = scaled.round_ties_even() as i64;
    (((integer as f64) / power).to_bits() == value.to_bits()).then_some(integer)
}

/// All values as integers at a scale, if that gives each back bit for bit; large ones are refused.
/// Adding [`ROUND`] leaves no bits for what is behind the point, and the integer in the lowest.
fn all_integers(values: &[f64], power: f64, out: &mut Vec<i64>) -> bool {
    out.clear();
    values.chunks(AT_ONCE).all(|some| {
        let mut exact = true;
        out.extend(some.iter().map(|value| {
            let scaled = value * power;
            let rounded = scaled + ROUND;
            let back = (rounded - ROUND) / power;
            exact &= scaled.abs() < ROUND_MAX && back.to_bits() == value.to_bits();
            (rounded.to_bits().wrapping_sub(ROUND.to_bits())).cast_signed()
        }));
        exact
    })
}

/// The code of the decimals that a chunk's values have, none of which is absent or an exception.
fn decimals(chunk: &[u8]) -> Option<usize> {
    let tag = *chunk.first()?;
    let is_plain = match tag & SHAPE {
        SCALED => tag & (HAS_ABSENT | HAS_EXCEPTIONS) == 0,
        NUMBER => tag & (HAS_ABSENT | HAS_EXCEPTIONS | SECOND_ORDER) == 0,
        _ => false,
    };
    let code = usize::from((tag >> SCALE_SHIFT) & 0b111);
    (is_plain && code <= BINARY).then_some(if code == BINARY { 0 } else { code })
}

/// The order of a scaled chunk's integers.
fn order(chunk: &[u8]) -> Option<ints::Order> {
    let scaled = chunk.first().filter(|tag| **tag & SHAPE == SCALED);
    scaled.map(|tag| ints::Order::of(tag & SECOND_ORDER != 0))
}

/// Appends such a chunk's values as integers of at least as many decimals; `None` if it is no chunk
/// or they are too large.
fn take_integers(chunk: &[u8], rows: usize, code: usize, out: &mut Vec<i64>) -> Option<()> {
    let (tag, rest) = chunk.split_first()?;
    let (mut reader, start) = (Reader(rest), out.len());
    let scale = Scale::take(*tag, &mut reader).ok()?;
    if tag & SHAPE == NUMBER {
        ints::take(&mut reader, ints::Order::First, 1, |i| out.resize(start + rows, i)).ok()?;
    } else {
        ints::take(&mut reader, order(chunk)?, rows, |i| out.push(i)).ok()?;
    }
    let factor = (POWERS[code] / scale.divisor()) as u64;
    let taken = out.get_mut(start..)?;
    let bits = taken.iter().fold(0, |bits, integer| bits | integer.unsigned_abs());
    if bits.checked_mul(factor.checked_next_power_of_two()?)? >= INTEGER_MAX as u64 {
        return None;
    }
    if factor > 1 {
        taken.iter_mut().for_each(|integer| *integer *= factor.cast_signed());
    }
    reader.0.is_empty().then_some(())
}

/// Writes lengths in turn, of present and of absent runs, until they cover the values.
fn put_absent(values: &[f64], bytes: &mut Vec<u8>) {
    let (mut at, mut absent) = (0, false);
    while at < values.len() {
        let run = values[at..].iter().take_while(|v| is_absent(**v) == absent).count();
        ints::put_number(run as u64, bytes);
        at += run;
        absent = !absent;
    }
}

/// Passes over the runs; returns how many values are present.
fn take_absent(reader: &mut Reader<'_>, rows: usize) -> Result<usize, ChunkError> {
    let (mut at, mut present, mut absent) = (0, 0, false);
    while at < rows {
        let run = reader.count(rows - at)?;
        if run == 0 && at > 0 {
            return Err(ChunkError::Run);
        }
        at += run;
        present += if absent { 0 } else { run };
        absent = !absent;
    }
    Ok(present)
}

/// Moves the present values to their rows, from the last run to the first, and fills the others.
fn spread(
    runs: &mut Reader<'_>,
    rows: usize,
    start: usize,
    present: usize,
    out: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    out.resize(start + present + rows, ABSENT);
    let column = &mut out[start..];
    let (mut at, mut from, mut absent) = (0, 0, false);
    while at < rows {
        let run = runs.count(rows - at)?;
        if !absent {
            column.copy_within(from..from + run, present + at);
            from += run;
        }
        at += run;
        absent = !absent;
    }
    column.copy_within(present.., 0);
    out.truncate(start + rows);
    Ok(())
}

/// Passes over the exceptions; returns how many there are.
fn pass_exceptions(reader: &mut Reader<'_>, count: usize) -> Result<usize, ChunkError> {
    let special = reader.count(count)?;
    let mut next = 0;
    for _ in 0..special {
        let at = next + reader.count(count - next)?;
        if at >= count {
            return Err(ChunkError::Run);
        }
        reader.word()?;
        next = at + 1;
    }
    Ok(special)
}

/// Makes room for the exceptions among the integers, in place and from the end.
fn put_back(
    reader: &mut Reader<'_>,
    start: usize,
    count: usize,
    out: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let special = reader.count(count)?;
    let ordinary = count - special;
    out.resize(start + ordinary + count, 0.0);
    let column = &mut out[start..];
    let (mut at, mut from) = (0, 0);
    for _ in 0..special {
        let run = reader.count(count - at)?;
        column.copy_within(from..from + run, ordinary + at);
        from += run;
        at += run;
        column[ordinary + at] = f64::from_bits(reader.word()?);
        at += 1;
    }
    column.copy_within(from..ordinary, ordinary + at);
    column.copy_within(ordinary.., 0);
    out.truncate(start + count);
    Ok(())
}

#[cfg(test)]
mod tests;
