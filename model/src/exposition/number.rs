//! Floats as Go prints them, so that pages and answers compare byte for byte with Prometheus'.
//!
//! The digits are the fewest that read back to the same bits, in Go as in Rust; the layout differs,
//! and so does the last digit of a value that lies halfway between two such texts: Go takes the
//! even one. Nothing allocates but the caller's buffer.

use std::fmt;
use std::io::Write;

/// Room for the longest text of `{:.40e}`: 41 digits, point, `e-308`.
const TEXT: usize = 64;

/// Fewer digits are never halfway between two texts that both read back.
const HALFWAY_DIGITS: usize = 15;

/// Integers below this print alike from an `i64`; 2⁵³ and less are exact.
const EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;

/// Appends `strconv.FormatFloat(value, 'g', -1, 64)`: exponent form (`1.5e+09`) when the decimal
/// exponent is below -4 or above 5.
pub fn push_float(out: &mut Vec<u8>, value: f64) {
    if push_special(out, value) {
        return;
    }
    if value.fract() == 0.0 && value.abs() < 1e6 && !is_negative_zero(value) {
        push_integer(out, value);
        return;
    }
    let digits = Digits::of(value);
    if digits.exponent < -4 || digits.exponent >= 6 {
        digits.push_exponential(out);
    } else {
        digits.push_plain(out);
    }
}

/// Appends a sample's value as the text format's encoder in Go writes it: as [`push_float`], but a
/// negative zero is `0`.
pub fn push_sample_float(out: &mut Vec<u8>, value: f64) {
    push_float(out, if value == 0.0 { 0.0 } else { value });
}

/// Appends a value as Prometheus' HTTP interface writes it, without the quotes: plain digits, but
/// exponent form when the magnitude is below 1e-6 or at least 1e21.
pub fn push_json_float(out: &mut Vec<u8>, value: f64) {
    if push_special(out, value) {
        return;
    }
    if value.fract() == 0.0 && value.abs() < EXACT_INTEGER && !is_negative_zero(value) {
        push_integer(out, value);
        return;
    }
    let magnitude = value.abs();
    let digits = Digits::of(value);
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        digits.push_exponential(out);
    } else {
        digits.push_plain(out);
    }
}

fn is_negative_zero(value: f64) -> bool {
    value == 0.0 && value.is_sign_negative()
}

fn push_special(out: &mut Vec<u8>, value: f64) -> bool {
    let text: &[u8] = if value.is_nan() {
        b"NaN"
    } else if value == f64::INFINITY {
        b"+Inf"
    } else if value == f64::NEG_INFINITY {
        b"-Inf"
    } else {
        return false;
    };
    out.extend_from_slice(text);
    true
}

#[expect(clippy::cast_possible_truncation, reason = "callers pass whole numbers below 2^53")]
fn push_integer(out: &mut Vec<u8>, value: f64) {
    push_i64(out, value as i64);
}

/// Appends decimal digits.
pub(super) fn push_i64(out: &mut Vec<u8>, value: i64) {
    write!(out, "{value}").expect("invariant: a vector takes every byte");
}

/// The shortest decimal digits of a finite float: `±d.ddd × 10^exponent`.
struct Digits {
    negative: bool,
    digits: [u8; TEXT],
    len: usize,
    exponent: i32,
}

impl Digits {
    fn of(value: f64) -> Digits {
        let mut found = Digits::written(value, format_args!("{:e}", value.abs()));
        let odd = found.digits().last().is_some_and(|digit| digit % 2 == 1);
        if odd && found.len >= HALFWAY_DIGITS {
            found.lower_if_halfway(value);
        }
        found
    }

    /// Rust rounds a value halfway between two shortest texts up, Go to the even digit.
    fn lower_if_halfway(&mut self, value: f64) {
        let exact = Digits::written(value, format_args!("{:.40e}", value.abs()));
        let (kept, rest) = exact.digits().split_at(self.len.min(exact.len));
        let halfway = rest
            .split_first()
            .is_some_and(|(first, rest)| *first == b'5' && rest.iter().all(|digit| *digit == b'0'));
        let differs = kept != self.digits();
        let lower = Digits { len: self.len, ..exact };
        // Below a power of two the floats are closer: the lower text may belong to another one.
        if halfway && differs && lower.magnitude() == Some(value.abs()) {
            *self = lower;
        }
    }

    fn magnitude(&self) -> Option<f64> {
        let mut buffer = [0_u8; TEXT];
        let mut rest = buffer.as_mut_slice();
        rest.write_all(self.digits()).ok()?;
        let scale = i64::from(self.exponent) + 1 - i64::try_from(self.len).ok()?;
        write!(rest, "e{scale}").ok()?;
        let left = rest.len();
        std::str::from_utf8(buffer.get(..TEXT - left)?).ok()?.parse().ok()
    }

    fn written(value: f64, text: fmt::Arguments<'_>) -> Digits {
        let mut buffer = [0_u8; TEXT];
        let mut rest = buffer.as_mut_slice();
        rest.write_fmt(text).expect("invariant: the longest float fits");
        let left = rest.len();
        let negative = value.is_sign_negative();
        let mut found = Digits { negative, digits: [0; TEXT], len: 0, exponent: 0 };
        let mut bytes = buffer.get(..TEXT - left).unwrap_or_default().iter();
        for byte in bytes.by_ref().take_while(|byte| **byte != b'e') {
            if byte.is_ascii_digit()
                && let Some(place) = found.digits.get_mut(found.len)
            {
                *place = *byte;
                found.len += 1;
            }
        }
        let negative = bytes.as_slice().first() == Some(&b'-');
        for byte in bytes.filter(|byte| byte.is_ascii_digit()) {
            found.exponent = found.exponent * 10 + i32::from(byte - b'0');
        }
        if negative {
            found.exponent = -found.exponent;
        }
        found
    }

    fn digits(&self) -> &[u8] {
        self.digits.get(..self.len).unwrap_or_default()
    }

    fn push_sign(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
    }

    fn push_exponential(&self, out: &mut Vec<u8>) {
        self.push_sign(out);
        if let Some((first, rest)) = self.digits().split_first() {
            out.push(*first);
            if !rest.is_empty() {
                out.push(b'.');
                out.extend_from_slice(rest);
            }
        }
        out.extend_from_slice(if self.exponent < 0 { b"e-" } else { b"e+" });
        if self.exponent.abs() < 10 {
            out.push(b'0');
        }
        push_i64(out, i64::from(self.exponent.abs()));
    }

    fn push_plain(&self, out: &mut Vec<u8>) {
        self.push_sign(out);
        let zeros = |out: &mut Vec<u8>, count: usize| out.resize(out.len() + count, b'0');
        let Ok(exponent) = usize::try_from(self.exponent) else {
            out.extend_from_slice(b"0.");
            zeros(out, self.exponent.unsigned_abs() as usize - 1);
            out.extend_from_slice(self.digits());
            return;
        };
        match self.digits().split_at_checked(exponent + 1) {
            Some((whole, [])) => out.extend_from_slice(whole),
            Some((whole, part)) => {
                out.extend_from_slice(whole);
                out.push(b'.');
                out.extend_from_slice(part);
            }
            None => {
                out.extend_from_slice(self.digits());
                zeros(out, exponent + 1 - self.len);
            }
        }
    }
}
