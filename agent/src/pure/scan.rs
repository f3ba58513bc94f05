//! Text of the kernel, split and read as bytes: lines, fields, numbers.
//!
//! Nothing here allocates, and nothing requires UTF-8: names of devices may be any bytes.

/// The lines of a text with their numbers, from 1; the last one needs no line end.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    rest: &'a [u8],
    number: u32,
}

/// Splits a text into lines.
#[must_use]
pub fn lines(text: &[u8]) -> Lines<'_> {
    Lines { rest: text, number: 0 }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<(u32, &'a [u8])> {
        if self.rest.is_empty() {
            return None;
        }
        self.number = self.number.saturating_add(1);
        let end = memchr::memchr(b'\n', self.rest).unwrap_or(self.rest.len());
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        Some((self.number, line))
    }
}

/// The fields of a line: runs of bytes that are not blank.
#[derive(Clone, Debug)]
pub struct Fields<'a>(&'a [u8]);

/// Splits a line into fields.
#[must_use]
pub fn fields(line: &[u8]) -> Fields<'_> {
    Fields(line)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|b| !is_blank(*b))?;
        let (_, rest) = self.0.split_at(start);
        let end = rest.iter().position(|b| is_blank(*b)).unwrap_or(rest.len());
        let (field, rest) = rest.split_at(end);
        self.0 = rest;
        Some(field)
    }
}

impl Fields<'_> {
    /// The next field as a whole number.
    pub fn integer(&mut self) -> Option<u64> {
        integer(self.next()?)
    }
}

/// The text without blanks at its ends.
#[must_use]
pub fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_blank(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_blank(*last)
    {
        text = rest;
    }
    text
}

/// A whole number in decimal digits, no sign; `None` for anything else and past 2⁶⁴ − 1.
#[must_use]
pub fn integer(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 20 {
        return None;
    }
    let mut value = 0_u64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// A whole number in decimal digits, with a minus sign or none.
#[must_use]
pub fn signed(text: &[u8]) -> Option<i64> {
    match text.strip_prefix(b"-") {
        Some(digits) => 0_i64.checked_sub_unsigned(integer(digits)?),
        None => i64::try_from(integer(text)?).ok(),
    }
}

/// A whole number in hexadecimal digits, with `0x` before them or not.
#[must_use]
pub fn hexadecimal(text: &[u8]) -> Option<u64> {
    let digits = text.strip_prefix(b"0x").unwrap_or(text);
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    let mut value = 0_u64;
    for byte in digits {
        value = value << 4 | u64::from(char::from(*byte).to_digit(16)?);
    }
    Some(value)
}

/// A decimal fraction such as `-0.25`, correctly rounded; at most 15 digits in all.
#[must_use]
pub fn decimal(text: &[u8]) -> Option<f64> {
    /// Exact in a float, so that one division rounds once.
    const POWERS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (sign, text) = match text.strip_prefix(b"-") {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    let (mut digits, mut places, mut value, mut dotted) = (0_usize, 0_usize, 0_u64, false);
    for byte in text {
        match byte {
            b'0'..=b'9' => {
                value = value * 10 + u64::from(byte - b'0');
                digits += 1;
                places += usize::from(dotted);
                if digits > 15 {
                    return None;
                }
            }
            b'.' if !dotted => dotted = true,
            _ => return None,
        }
    }
    let power = POWERS.get(places)?;
    if digits == 0 { None } else { Some(sign * float(value) / power) }
}

/// A count as a float; exact below 2⁵³, the nearest above.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "samples are floats; counters round above 2^53")]
pub fn float(count: u64) -> f64 {
    count as f64
}

/// A whole number as a float; exact below 2⁵³, the nearest above.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "samples are floats; numbers round above 2^53")]
pub fn signed_float(number: i64) -> f64 {
    number as f64
}

/// The numbers of a kernel list such as `0-3,8`, in order; a malformed part ends it.
pub fn list(text: &[u8]) -> impl Iterator<Item = u32> {
    let number = |text: &[u8]| integer(text).and_then(|n| u32::try_from(n).ok());
    let part = move |part: &[u8]| match memchr::memchr(b'-', part) {
        None => number(part).map(|n| n..=n),
        Some(dash) => {
            let (from, to) = part.split_at(dash);
            Some(number(from)?..=number(to.get(1..)?)?)
        }
    };
    trim(text).split(|b| *b == b',').map_while(part).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_need_no_last_end() {
        let all: Vec<_> = lines(b"a\n\nb").collect();
        assert_eq!(all, [(1, &b"a"[..]), (2, b""), (3, b"b")]);
        assert_eq!(lines(b"a\n").count(), 1);
    }

    #[test]
    fn fields_are_split_at_any_blank() {
        let all: Vec<_> = fields(b"  a\tb  c ").collect();
        assert_eq!(all, [b"a", b"b", b"c"]);
        assert_eq!(fields(b" 7 x").integer(), Some(7));
        assert_eq!(trim(b" a b\n"), b"a b");
        assert_eq!(trim(b" \n"), b"");
    }

    #[test]
    fn integers_are_digits_only_and_bounded() {
        assert_eq!(integer(b"18446744073709551615"), Some(u64::MAX));
        for bad in
            [&b"18446744073709551616"[..], b"", b"-1", b"1.0", b"+1", b"000000000000000000001"]
        {
            assert_eq!(integer(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn signs_and_hexadecimal_digits_are_read_where_the_kernel_writes_them() {
        assert_eq!(signed(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(signed(b"9223372036854775807"), Some(i64::MAX));
        for bad in [&b"9223372036854775808"[..], b"-9223372036854775809", b"--1", b"-", b"+1"] {
            assert_eq!(signed(bad), None, "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(hexadecimal(b"ffffffffffffffff"), Some(u64::MAX));
        assert_eq!(hexadecimal(b"0x1F"), Some(31));
        for bad in [&b""[..], b"0x", b"g", b"-1", b"10000000000000000"] {
            assert_eq!(hexadecimal(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn decimals_are_the_nearest_floats() {
        for text in ["0.22", "1.00", "-12.5", "3", ".5", "99999.99", "0.1234567"] {
            assert_eq!(decimal(text.as_bytes()), text.parse().ok(), "{text}");
        }
        for bad in ["", ".", "1e3", "1.2.3", "nan", "1234567890123456"] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn lists_are_ranges() {
        assert_eq!(list(b"0-3,8\n").collect::<Vec<_>>(), [0, 1, 2, 3, 8]);
        assert_eq!(list(b"\n").count(), 0);
        assert_eq!(list(b"1,x,2").collect::<Vec<_>>(), [1]);
    }
}
