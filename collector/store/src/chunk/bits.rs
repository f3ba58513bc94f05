//! Values as they are: each XORed with the one before (the first with 0), its significant bytes
//! kept.
//!
//! A header below 64 is a run of that many and one more unchanged values. From 64 to 127 its low
//! six bits are leading zero bytes × 8 + (bytes − 1), and those bytes follow, low first; the rest
//! of the word is zero.

use super::ChunkError;
use super::ints::Reader;

pub(super) fn put(values: &[f64], bytes: &mut Vec<u8>) {
    let (mut previous, mut unchanged) = (0, 0_u8);
    for value in values {
        let changed = value.to_bits() ^ previous;
        previous = value.to_bits();
        if changed == 0 && unchanged < 64 {
            unchanged += 1;
            continue;
        }
        put_run(&mut unchanged, bytes);
        if changed == 0 {
            unchanged = 1;
            continue;
        }
        let leading = changed.leading_zeros() / 8;
        let trailing = changed.trailing_zeros() / 8;
        let len = 8 - leading - trailing;
        bytes.push(64 + (leading * 8 + len - 1) as u8);
        bytes.extend_from_slice(&(changed >> (trailing * 8)).to_le_bytes()[..len as usize]);
    }
    put_run(&mut unchanged, bytes);
}

fn put_run(unchanged: &mut u8, bytes: &mut Vec<u8>) {
    if *unchanged > 0 {
        bytes.push(*unchanged - 1);
        *unchanged = 0;
    }
}

pub(super) fn take(
    reader: &mut Reader<'_>,
    count: usize,
    out: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let end = out.len() + count;
    let mut bits = 0_u64;
    while out.len() < end {
        let header = reader.byte()?;
        if header < 64 {
            let run = usize::from(header) + 1;
            if run > end - out.len() {
                return Err(ChunkError::Run);
            }
            out.resize(out.len() + run, f64::from_bits(bits));
            continue;
        }
        let (leading, len) = (usize::from((header & 63) >> 3), usize::from(header & 7) + 1);
        if header >= 128 || leading + len > 8 {
            return Err(ChunkError::Tag);
        }
        let (kept, rest) = reader.0.split_at_checked(len).ok_or(ChunkError::Short)?;
        reader.0 = rest;
        let mut word = [0; 8];
        word[..len].copy_from_slice(kept);
        bits ^= u64::from_le_bytes(word) << ((8 - leading - len) * 8);
        out.push(f64::from_bits(bits));
    }
    Ok(())
}
