//! Strings in quotes as Go writes them: `"…"` and `'…'` with escapes, `` `…` `` without.
#![allow(clippy::indexing_slicing, reason = "a parser; every index is below the text's length")]

/// Reads the string that a text begins with; gives it and what follows.
///
/// Bytes that are no UTF-8 once the escapes are read become U+FFFD: labels here are text.
///
/// # Errors
/// No quote, no end, or an escape that Go does not know; in words.
pub fn take(text: &str) -> Result<(String, &str), String> {
    let quote = match text.chars().next() {
        Some(quote @ ('"' | '\'' | '`')) => quote,
        _ => return Err("expected a string in quotes".to_owned()),
    };
    let end = end(text, quote).ok_or("a string in quotes has no end")?;
    let (inner, rest) = (&text[1..end], &text[end + 1..]);
    let string = if quote == '`' { inner.to_owned() } else { unescaped(inner)? };
    Ok((string, rest))
}

/// Where the closing quote is.
fn end(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().skip(1).find_map(|(at, c)| {
        if escaped {
            escaped = false;
            return None;
        }
        escaped = c == '\\' && quote != '`';
        (c == quote).then_some(at)
    })
}

fn unescaped(text: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(rest[..at].as_bytes());
        rest = escape(&rest[at + 1..], &mut out)?;
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into()))
}

/// Reads what follows a backslash; gives what follows that.
fn escape<'a>(text: &'a str, out: &mut Vec<u8>) -> Result<&'a str, String> {
    let kind = text.chars().next().ok_or("a string in quotes ends in a backslash")?;
    let after = &text[kind.len_utf8()..];
    let simple = match kind {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        '\'' => b'\'',
        '"' => b'"',
        _ => return number(kind, text, after, out),
    };
    out.push(simple);
    Ok(after)
}

/// `\ooo`, `\xhh`: a byte; `\uhhhh`, `\Uhhhhhhhh`: a character.
fn number<'a>(
    kind: char,
    text: &'a str,
    after: &'a str,
    out: &mut Vec<u8>,
) -> Result<&'a str, String> {
    let unknown = || format!("unknown escape \\{kind} in a string in quotes");
    let (digits, base, width) = match kind {
        '0'..='7' => (text, 8, 3),
        'x' => (after, 16, 2),
        'u' => (after, 16, 4),
        'U' => (after, 16, 8),
        _ => return Err(unknown()),
    };
    let (digits, rest) = digits.split_at_checked(width).ok_or_else(unknown)?;
    if !digits.bytes().all(|b| char::from(b).is_digit(base)) {
        return Err(unknown());
    }
    let code = u32::from_str_radix(digits, base).map_err(|_| unknown())?;
    if matches!(kind, 'u' | 'U') {
        let c = char::from_u32(code).ok_or_else(unknown)?;
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        out.push(u8::try_from(code).map_err(|_| unknown())?);
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_read_as_go_reads_them() {
        for (text, string, rest) in [
            (r#""a\"b" x"#, "a\"b", " x"),
            (r"'a\'b'", "a'b", ""),
            (r"`a\n`,", r"a\n", ","),
            (r#""\n\t\\\x41\101\u00e9\U0001F600""#, "\n\t\\AAé😀", ""),
            (r#""\xc5""#, "\u{fffd}", ""),
            (r#""""#, "", ""),
            ("\"é\\\\\"é", "é\\", "é"),
        ] {
            assert_eq!(take(text), Ok((string.to_owned(), rest)), "{text}");
        }
        for text in ["", "a", r#"""#, r#""\"#, r#""\q""#, r#""\x4""#, r#""\400""#, r#""\ud800""#] {
            assert!(take(text).is_err(), "{text}");
        }
    }
}
