//! Reading and writing of the wire's primitives. A [`Reader`] never reads past its end, and
//! allocates for a set of labels only; each failure names the offset.

use crate::label::LabelSet;
use crate::limit;

/// A place where the bytes do not follow the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {what}")]
pub struct Malformed {
    /// Offset in the part that was being read.
    pub offset: usize,
    /// What was expected or found.
    pub what: &'static str,
}

/// A cursor over bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Reads from the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, offset: 0 }
    }

    /// Bytes read so far.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// An error at the current offset.
    #[must_use]
    pub fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { offset: self.offset, what }
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let (taken, _) = rest.split_at_checked(len).ok_or(self.malformed("ends too early"))?;
        self.offset += len;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let taken = *rest.first_chunk::<N>().ok_or(self.malformed("ends too early"))?;
        self.offset += N;
        Ok(taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// None is left.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Little-endian, two bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    /// Little-endian, four bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// Little-endian, eight bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// Little-endian, eight bytes, signed.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    /// LEB128.
    ///
    /// # Errors
    /// The bytes end, or the number has more than 64 bits.
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.malformed("varint over 64 bits"));
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.malformed("varint over ten bytes"))
    }

    /// A varint of at most 32 bits.
    ///
    /// # Errors
    /// As [`Reader::varint`], or more.
    pub fn small(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.varint()?).map_err(|_| self.malformed("number over 32 bits"))
    }

    /// A varint that counts things of at least one byte each, so that it cannot exceed what is
    /// left.
    ///
    /// # Errors
    /// Not a varint, or more than `max` or than the bytes left.
    pub fn count(&mut self, max: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        if count > max || count > self.left() {
            return Err(self.malformed("count over its bound"));
        }
        Ok(count)
    }

    /// A zigzag varint.
    ///
    /// # Errors
    /// As [`Reader::varint`].
    pub fn zigzag(&mut self) -> Result<i64, Malformed> {
        self.varint().map(unzigzag)
    }

    /// Length and UTF-8 text.
    ///
    /// # Errors
    /// Too short, over `max` bytes, or not UTF-8.
    pub fn text(&mut self, max: usize) -> Result<&'a str, Malformed> {
        let len = self.count(max)?;
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed("not UTF-8"))
    }

    /// A set of labels, as [`put_labels`] writes it.
    ///
    /// # Errors
    /// Too short, or a bound of [`crate::limit`] is exceeded, or a name is empty or repeated.
    pub fn labels(&mut self) -> Result<LabelSet, Malformed> {
        let count = self.count(limit::LABELS)?;
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..count {
            pairs.push((self.text(limit::LABEL_BYTES)?, self.text(limit::LABEL_BYTES)?));
        }
        LabelSet::new(pairs).map_err(|_| self.malformed("no set of labels"))
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// Bytes are left.
    pub fn finish(&self) -> Result<(), Malformed> {
        if self.left() == 0 { Ok(()) } else { Err(self.malformed("bytes are left over")) }
    }
}

/// Appends a LEB128 number.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a zigzag varint.
pub fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

/// Appends length and text.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Appends a set of labels: how many, then name and value of each.
pub fn put_labels(out: &mut Vec<u8>, labels: &LabelSet) {
    put_varint(out, labels.len() as u64);
    labels.iter().flat_map(|(name, value)| [name, value]).for_each(|text| put_text(out, text));
}

/// Folds the sign into the lowest bit.
#[must_use]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
#[must_use]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Appends the CRC32C of all bytes from `start` on.
pub(crate) fn put_crc(out: &mut Vec<u8>, start: usize) {
    let crc = crc32c::crc32c(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn numbers_round_trip(unsigned: u64, signed: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, unsigned);
            put_zigzag(&mut out, signed);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.varint(), Ok(unsigned));
            assert_eq!(reader.zigzag(), Ok(signed));
            assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn refuses_long_numbers_and_counts() {
        assert!(Reader::new(&[0xff; 11]).varint().is_err());
        assert!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2])
                .varint()
                .is_err()
        );
        assert!(Reader::new(&[5, 0, 0]).count(100).is_err());
        assert!(Reader::new(&[2, 0, 0]).count(1).is_err());
    }
}
