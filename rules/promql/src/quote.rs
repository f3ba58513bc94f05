//! Strings in quotes, read as Prometheus reads them and written as Go writes them.

use std::fmt::Write;

/// A text in double quotes, as `strconv.Quote` writes it.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        push_escaped(&mut out, c, '"');
    }
    out.push('"');
    out
}

/// A character in single quotes, as Go's `%q`; the end of a text is U+FFFD there.
pub(crate) fn quote_char(c: Option<char>) -> String {
    let mut out = String::from("'");
    push_escaped(&mut out, c.unwrap_or('\u{fffd}'), '\'');
    out.push('\'');
    out
}

fn push_escaped(out: &mut String, c: char, quote: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{b}' => out.push_str("\\v"),
        '\u{c}' => out.push_str("\\f"),
        c if c == quote => out.extend(['\\', c]),
        ' '..='~' => out.push(c),
        c if u32::from(c) < 0x20 || c == '\u{7f}' => push(out, format_args!("\\x{:02x}", c as u32)),
        c if is_printable(c) => out.push(c),
        c if u32::from(c) < 0x1_0000 => push(out, format_args!("\\u{:04x}", c as u32)),
        c => push(out, format_args!("\\U{:08x}", c as u32)),
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("invariant: a string takes every character");
}

/// Go prints letters, marks, numbers, punctuation and symbols; Rust's escapes know the same but
/// for combining marks, which stand for themselves in Go.
fn is_printable(c: char) -> bool {
    let escaped = c.escape_debug();
    escaped.len() == 1 || matches!(u32::from(c), 0x300..=0x36f)
}

/// The value of a string as written, its quotes around it; the lexer has checked its escapes.
///
/// # Errors
/// Escapes that make no UTF-8.
#[allow(clippy::indexing_slicing, reason = "a reader; every index is below the text's length")]
pub(crate) fn unquote(written: &str) -> Result<String, String> {
    let quote = written.bytes().next().unwrap_or(b'"');
    let inner = &written[1..written.len() - 1];
    if quote == b'`' || !inner.contains('\\') {
        return Ok(inner.to_owned());
    }
    let mut out: Vec<u8> = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let code = rest.as_bytes()[at + 1];
        let mut taken = at + 2;
        let mut number = |skip: usize, digits: usize, radix| {
            let from = at + 1 + skip;
            taken = from + digits;
            u32::from_str_radix(&rest[from..from + digits], radix).unwrap_or(0)
        };
        match code {
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            b'x' => out.push(number(1, 2, 16).to_le_bytes()[0]),
            b'0'..=b'7' => out.push(number(0, 3, 8).to_le_bytes()[0]),
            b'u' | b'U' => {
                let value = number(1, if code == b'u' { 4 } else { 8 }, 16);
                let c = char::from_u32(value).unwrap_or('\u{fffd}');
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => out.push(other),
        }
        rest = &rest[taken..];
    }
    out.extend_from_slice(rest.as_bytes());
    String::from_utf8(out).map_err(|_| "string is not valid UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        for (text, expected) in [
            ("a\"b\\c\n", r#""a\"b\\c\n""#),
            ("é世\u{1f600}", "\"é世\u{1f600}\""),
            ("\u{0}\u{1b}\u{7f}", r#""\x00\x1b\x7f""#),
            ("\u{200b}\u{feff}", r#""\u200b\ufeff""#),
            ("\u{e0001}", r#""\U000e0001""#),
        ] {
            assert_eq!(quote(text), expected);
        }
        assert_eq!(quote_char(Some('\'')), r"'\''");
    }

    #[test]
    fn unquotes_what_the_lexer_lets_pass() {
        for (written, expected) in [
            (r#""a\n\t\"b""#, "a\n\t\"b"),
            (r"'it\'s'", "it's"),
            (r"`\n`", r"\n"),
            (r#""\x41\102\u00e9\U0001F600""#, "AB\u{e9}\u{1f600}"),
            (r#""\303\251""#, "é"),
        ] {
            assert_eq!(unquote(written), Ok(expected.to_owned()), "{written}");
        }
        assert!(unquote(r#""\xff""#).is_err());
    }
}
