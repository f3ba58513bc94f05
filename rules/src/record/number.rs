//! Numbers as RFC 8785 writes them: those of ECMAScript, the shortest that read back as the same.

/// Digits before the point up to which a number is written without an exponent.
const PLAIN_DIGITS: i32 = 21;
/// Zeros after the point up to which it is.
const PLAIN_ZEROS: i32 = 6;

/// Digits after the first with which every number is exact.
const EXACT_DIGITS: usize = 770;

/// A number in the one way that RFC 8785 writes it; `"NaN"`, `"Infinity"` and `"-Infinity"`, as
/// texts with their quotes, for what JSON has no number for. Negative zero is `0`.
#[must_use]
pub fn number(value: f64) -> String {
    if value.is_nan() {
        return "\"NaN\"".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" }.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    // Rust's exponent form has the shortest digits: `d.ddde-7`.
    let (digits, exponent) = parted(&format!("{:e}", value.abs()));
    let digits = evened(value.abs(), digits);
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}", placed(&digits, exponent))
}

/// The digits of an exponent form, and its exponent.
fn parted(shown: &str) -> (String, i32) {
    let (mantissa, exponent) = shown.split_once('e').unwrap_or((shown, "0"));
    (mantissa.chars().filter(char::is_ascii_digit).collect(), exponent.parse().unwrap_or(0))
}

/// Of two texts that are as short and as near, ECMAScript takes the one that ends evenly, Rust the
/// greater.
fn evened(value: f64, digits: String) -> String {
    let is_odd = digits.bytes().last().is_some_and(|digit| digit % 2 == 1);
    let more = format!("{value:.*e}", digits.len());
    if !is_odd || !parted(&more).0.ends_with('5') {
        return digits;
    }
    let (exact, exponent) = parted(&format!("{value:.EXACT_DIGITS$e}"));
    let (head, tail) = exact.split_at(digits.len());
    let is_between = tail.starts_with('5') && tail.bytes().skip(1).all(|digit| digit == b'0');
    let is_same = placed(head, exponent).parse() == Ok(value);
    if is_between && is_same && head != digits { head.to_owned() } else { digits }
}

/// Digits with the point after the first of them moved by the exponent.
fn placed(digits: &str, exponent: i32) -> String {
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let before = exponent + 1;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    if count <= before && before <= PLAIN_DIGITS {
        return format!("{digits}{}", zeros(before - count));
    }
    if 0 < before && before <= PLAIN_DIGITS {
        let (whole, part) = digits.split_at(usize::try_from(before).unwrap_or(0));
        return format!("{whole}.{part}");
    }
    if -PLAIN_ZEROS < before && before <= 0 {
        return format!("0.{}{digits}", zeros(-before));
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{first}{point}{rest}e{exponent:+}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The samples of RFC 8785, appendix B, and of ECMAScript's own description.
    #[test]
    fn numbers_are_those_of_the_rfc() {
        for (bits, text) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            assert_eq!(number(f64::from_bits(bits)), text);
        }
        assert_eq!(number(f64::NAN), "\"NaN\"");
        assert_eq!(number(f64::NEG_INFINITY), "\"-Infinity\"");
    }
}
