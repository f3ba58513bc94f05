//! The pass over a query's text before the grammar sees it.
//!
//! The grammar's crate builds a boxed tree, walks it recursively and compiles every pattern, so
//! that the length, the tokens, the nesting and the patterns are bounded here, where nothing
//! recurses. Two of its habits are met as well: a duration that does not fit panics or is silently
//! cut there, so those are refused with their place; and it reads escapes in backtick strings,
//! which have none, so those are rewritten with double quotes.
#![allow(clippy::indexing_slicing, reason = "a parser; every index is below the text's length")]

use crate::duration;
use crate::parse::ParseError;

/// Bytes of a query; dashboards and rule files stay far below.
const QUERY_BYTES: usize = 64 << 10;
/// Brackets of any kind open at once.
const NESTING: usize = 64;
/// Tokens of a query; bounds the depth of chains such as `- - - x`.
const TOKENS: usize = 4096;
/// Patterns of a query; each may take a tenth of a second to compile.
const PATTERNS: usize = 32;

/// A text that is safe to parse.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// The text, its backtick strings rewritten.
    pub(crate) text: String,
    /// Where the first token begins; the text's length if there is none.
    pub(crate) start: usize,
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    out: String,
    start: Option<usize>,
    tokens: usize,
    nesting: usize,
    patterns: usize,
    in_range: bool,
    after_offset: bool,
}

/// Checks the bounds and rewrites.
///
/// # Errors
/// A bound exceeded, or a duration that does not fit.
pub(crate) fn scan(text: &str) -> Result<Scanned, ParseError> {
    if text.len() > QUERY_BYTES {
        return Err(ParseError::new(format!("query is longer than {QUERY_BYTES} bytes")));
    }
    let mut scanner = Scanner {
        text,
        at: 0,
        out: String::with_capacity(text.len()),
        start: None,
        tokens: 0,
        nesting: 0,
        patterns: 0,
        in_range: false,
        after_offset: false,
    };
    while scanner.at < text.len() {
        scanner.token()?;
    }
    let start = scanner.start.unwrap_or(scanner.out.len());
    Ok(Scanned { text: scanner.out, start })
}

impl Scanner<'_> {
    fn token(&mut self) -> Result<(), ParseError> {
        let bytes = self.text.as_bytes();
        let first = bytes[self.at];
        if first.is_ascii_whitespace() {
            self.copy_to(self.at + 1);
            return Ok(());
        }
        if first == b'#' {
            self.copy_to(self.run(self.at, |byte| byte != b'\n' && byte != b'\r'));
            return Ok(());
        }
        self.start.get_or_insert(self.out.len());
        self.tokens += 1;
        if self.tokens > TOKENS {
            return Err(self.error(format!("query has more than {TOKENS} tokens")));
        }
        let next = bytes.get(self.at + 1).copied().unwrap_or(0);
        match first {
            b'"' | b'\'' | b'`' => self.string(first),
            b'0'..=b'9' => return self.number(),
            b'.' if next.is_ascii_digit() => return self.number(),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => return self.word(),
            b':' if !self.in_range => return self.word(),
            _ => return self.mark(first, next),
        }
        self.after_offset = false;
        Ok(())
    }

    fn string(&mut self, quote: u8) {
        let bytes = self.text.as_bytes();
        let mut end = self.at + 1;
        while end < bytes.len() && bytes[end] != quote {
            end += if bytes[end] == b'\\' && quote != b'`' { 2 } else { 1 };
        }
        if end >= bytes.len() || quote != b'`' {
            self.copy_to((end + 1).min(bytes.len()));
            return;
        }
        self.out.push('"');
        for c in self.text[self.at + 1..end].chars() {
            match c {
                '\n' => self.out.push_str("\\n"),
                '\\' | '"' => self.out.extend(['\\', c]),
                _ => self.out.push(c),
            }
        }
        self.out.push('"');
        self.at = end + 1;
    }

    /// A number or duration: `12`, `1e-3`, `0x1f`, `1h30m`.
    fn number(&mut self) -> Result<(), ParseError> {
        let bytes = self.text.as_bytes();
        let in_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
        let mut end = self.run(self.at, in_word);
        let hexadecimal = self.text[self.at..end].to_ascii_lowercase().starts_with("0x");
        let exponent = matches!(bytes[end - 1], b'e' | b'E') && !hexadecimal;
        if exponent && matches!(bytes.get(end), Some(b'+' | b'-')) {
            end = self.run(end + 1, in_word);
        }
        if self.in_range || self.after_offset {
            let text = &self.text[self.at..end];
            let fits = match text.parse::<f64>() {
                Ok(seconds) => seconds <= duration::LONGEST.as_secs_f64(),
                Err(_) => {
                    hexadecimal || duration::parse(text) != Err(duration::BadDuration::TooLong)
                }
            };
            if !fits {
                return Err(self.error(duration::BadDuration::TooLong.to_string()));
            }
        }
        self.after_offset = false;
        self.copy_to(end);
        Ok(())
    }

    fn word(&mut self) -> Result<(), ParseError> {
        let end = self.run(self.at, |b| b.is_ascii_alphanumeric() || b == b'_' || b == b':');
        let word = self.text[self.at..end].to_ascii_lowercase();
        if self.after_offset && (word == "inf" || word == "nan") {
            return Err(self.error(duration::BadDuration::TooLong.to_string()));
        }
        self.after_offset = word == "offset";
        self.copy_to(end);
        Ok(())
    }

    fn mark(&mut self, first: u8, next: u8) -> Result<(), ParseError> {
        match first {
            b'(' | b'[' | b'{' => {
                self.nesting += 1;
                if self.nesting > NESTING {
                    return Err(self.error(format!("query is nested deeper than {NESTING}")));
                }
            }
            b')' | b']' | b'}' => self.nesting = self.nesting.saturating_sub(1),
            b'=' | b'!' if next == b'~' => {
                self.patterns += 1;
                if self.patterns > PATTERNS {
                    return Err(self.error(format!("query has more than {PATTERNS} patterns")));
                }
            }
            _ => {}
        }
        match first {
            b'[' => self.in_range = true,
            b']' => self.in_range = false,
            _ => {}
        }
        self.after_offset &= matches!(first, b'+' | b'-');
        let width = self.text[self.at..].chars().next().map_or(1, char::len_utf8);
        self.copy_to(self.at + width);
        Ok(())
    }

    /// The end of the run of bytes from `from` on that meet the test.
    fn run(&self, from: usize, test: impl Fn(u8) -> bool) -> usize {
        let bytes = self.text.as_bytes();
        from + bytes[from..].iter().take_while(|byte| test(**byte)).count()
    }

    fn copy_to(&mut self, end: usize) {
        self.out.push_str(&self.text[self.at..end]);
        self.at = end;
    }

    fn error(&self, message: String) -> ParseError {
        ParseError::at(message, self.text, self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        scan(text).expect_err(text).to_string()
    }

    #[test]
    fn bounds_hold() {
        assert!(refusal(&"x".repeat(QUERY_BYTES + 1)).contains("longer than 65536 bytes"));
        assert!(scan(&"x".repeat(QUERY_BYTES)).is_ok());
        assert!(scan(&"(".repeat(NESTING)).is_ok());
        assert_eq!(
            refusal(&"(".repeat(NESTING + 1)),
            "1:65: parse error: query is nested deeper than 64"
        );
        assert!(scan(&"-".repeat(TOKENS)).is_ok());
        assert!(refusal(&"-".repeat(TOKENS + 1)).contains("more than 4096 tokens"));
        let patterns = |n| format!("{{{}}}", r#"a=~"b","#.repeat(n));
        assert!(scan(&patterns(PATTERNS)).is_ok());
        assert!(refusal(&patterns(PATTERNS + 1)).contains("more than 32 patterns"));
        assert!(scan(&format!(r#"{{a="{}"}}"#, "=~((".repeat(100))).is_ok());
    }

    #[test]
    fn durations_must_fit() {
        for text in [
            "x[1e30]",
            "x[5m:1e+30]",
            "x[5m :1e400]",
            "x offset 1e400",
            "x offset -1e30",
            "x offset # here\n INF",
            "x offset nan",
            "x OFFSET .5e400",
            "x[99999999999y]",
            "x[300y]",
        ] {
            assert!(refusal(text).ends_with("duration out of range"), "{text}");
        }
        for text in ["x[1e3]", "x offset -1h", "x + 1e300", "x[0x1f]", "offset", "x[5m] @ 1e30"] {
            assert!(scan(text).is_ok(), "{text}");
        }
        assert_eq!(refusal("x\n  [1e30]"), "2:4: parse error: duration out of range");
    }

    #[test]
    fn backtick_strings_are_rewritten() {
        let scanned = scan(" {a=~`\\d\"\n`}").unwrap();
        assert_eq!(scanned.text, r#" {a=~"\\d\"\n"}"#);
        assert_eq!(scanned.start, 1);
        assert_eq!(scan("`open").unwrap().text, "`open");
    }
}
