//! Patterns as Go's `regexp` (RE2) reads them, rewritten in the syntax of `regex-syntax`.
//!
//! The two languages differ in few places, all decided here: `\d \w \s \b` are ASCII; a `{` that
//! is no repeat is a literal; `[`, `&&`, `--` and `~~` mean nothing inside a class; a repeat of a
//! repeat is an error; the flags are `i m s U` only. Source: the syntax page of Go's
//! `regexp/syntax`. What remains: Go bounds the product of nested repeats, here the size of the
//! compiled program bounds it; and a repeat may not follow a repeat even with flags between.
#![allow(
    clippy::indexing_slicing,
    reason = "a parser: every index comes from a search in the same text; has a fuzz target"
)]

/// The largest count in a repeat, as in RE2.
const REPEAT_MAX: u32 = 1000;

/// ASCII classes of Go; `\s` has no vertical tab.
const DIGITS: &str = "0-9";
const SPACES: &str = r"\t\n\x0C\r ";
const WORDS: &str = "0-9A-Za-z_";

/// Names that may stand in `[:name:]`.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// Rewrites a pattern of Go's syntax. Capture groups keep their numbers and names.
///
/// # Errors
/// What Go's parser refuses too, in words.
pub(super) fn rewritten(pattern: &str) -> Result<String, String> {
    let mut rewriter = Rewriter {
        rest: pattern,
        out: String::with_capacity(pattern.len() + 8),
        depth: 0,
        repeatable: false,
        repeated: false,
        flags_at: None,
    };
    while !rewriter.rest.is_empty() {
        rewriter.step()?;
    }
    if rewriter.depth > 0 {
        return Err("missing closing )".to_owned());
    }
    Ok(rewriter.out)
}

struct Rewriter<'a> {
    rest: &'a str,
    out: String,
    depth: usize,
    /// Something stands before that a repeat can apply to.
    repeatable: bool,
    /// A repeat stands directly before.
    repeated: bool,
    /// Where flags begin that stand directly before; to Go a repeat reaches over them.
    flags_at: Option<usize>,
}

/// One item of a class.
enum Item {
    Char(char),
    /// Text that stands in a class of the other syntax as it is.
    Set(String),
}

impl Rewriter<'_> {
    fn step(&mut self) -> Result<(), String> {
        let Some(first) = self.rest.chars().next() else { return Ok(()) };
        match first {
            '*' | '+' | '?' => {
                self.rest = &self.rest[1..];
                return self.repeat(first.encode_utf8(&mut [0; 4]));
            }
            '{' => {
                if let Some((counts, len)) = counts(self.rest)? {
                    self.rest = &self.rest[len..];
                    return self.repeat(&counts);
                }
                self.rest = &self.rest[1..];
                self.literal('{');
            }
            '(' => return self.group(),
            ')' => {
                self.rest = &self.rest[1..];
                self.depth = self.depth.checked_sub(1).ok_or("unexpected )")?;
                self.push(")");
            }
            '|' => {
                self.rest = &self.rest[1..];
                self.push("|");
                self.repeatable = false;
            }
            '[' => {
                self.rest = &self.rest[1..];
                self.class()?;
            }
            '\\' => {
                self.rest = &self.rest[1..];
                self.escape()?;
            }
            '^' | '$' | '.' => {
                self.rest = &self.rest[1..];
                self.push(first.encode_utf8(&mut [0; 4]));
            }
            other => {
                self.rest = &self.rest[other.len_utf8()..];
                self.literal(other);
            }
        }
        Ok(())
    }

    /// Writes what a repeat can apply to.
    fn push(&mut self, text: &str) {
        self.out.push_str(text);
        self.pushed();
    }

    fn pushed(&mut self) {
        self.repeatable = true;
        self.repeated = false;
        self.flags_at = None;
    }

    fn literal(&mut self, char: char) {
        push_char(&mut self.out, char);
        self.pushed();
    }

    fn repeat(&mut self, operator: &str) -> Result<(), String> {
        if !self.repeatable {
            return Err(format!("missing argument to repetition operator: {operator}"));
        }
        if self.repeated {
            return Err(format!("invalid nested repetition operator: {operator}"));
        }
        let at = self.flags_at.unwrap_or(self.out.len());
        self.out.insert_str(at, operator);
        let mut end = at + operator.len();
        if let Some(rest) = self.rest.strip_prefix('?') {
            self.rest = rest;
            self.out.insert(end, '?');
            end += 1;
        }
        self.flags_at = self.flags_at.map(|_| end);
        self.repeated = true;
        Ok(())
    }

    fn group(&mut self) -> Result<(), String> {
        let Some(rest) = self.rest.strip_prefix("(?") else {
            self.rest = &self.rest[1..];
            self.out.push('(');
            return self.opened();
        };
        for prefix in ["P<", "<"] {
            let Some(named) = rest.strip_prefix(prefix) else { continue };
            let (name, after) = named.split_once('>').ok_or("invalid named capture")?;
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(word) {
                return Err(format!("invalid named capture: {name}"));
            }
            self.out.push_str("(?P<");
            self.out.push_str(name);
            self.out.push('>');
            self.rest = after;
            return self.opened();
        }
        let end = rest.find([':', ')']).ok_or("missing closing )")?;
        let flags = &rest[..end];
        let known = flags.chars().all(|c| matches!(c, 'i' | 'm' | 's' | 'U' | '-'));
        let signs = flags.matches('-').count();
        let scoped = rest[end..].starts_with(':');
        if !known || signs > 1 || flags.ends_with('-') {
            return Err(format!("invalid or unsupported Perl syntax: (?{flags}"));
        }
        self.rest = &rest[end + 1..];
        if flags.is_empty() && !scoped {
            return Ok(());
        }
        if !scoped {
            self.flags_at.get_or_insert(self.out.len());
        }
        self.out.push_str("(?");
        self.out.push_str(&once_each(flags));
        if scoped {
            self.out.push(':');
            return self.opened();
        }
        self.out.push(')');
        Ok(())
    }

    fn opened(&mut self) -> Result<(), String> {
        self.depth += 1;
        self.repeatable = false;
        self.repeated = false;
        self.flags_at = None;
        Ok(())
    }

    /// The backslash has been read.
    fn escape(&mut self) -> Result<(), String> {
        let next = self.rest.chars().next().ok_or("trailing backslash at end of expression")?;
        let after = &self.rest[next.len_utf8()..];
        let whole = match next {
            'A' => r"\A",
            'z' => r"\z",
            'b' => r"(?-u:\b)",
            'B' => r"(?-u:\B)",
            'Q' => {
                let (quoted, rest) = after.split_once(r"\E").unwrap_or((after, ""));
                self.rest = rest;
                quoted.chars().for_each(|c| self.literal(c));
                return Ok(());
            }
            _ => {
                match self.class_escape()? {
                    Item::Char(char) => self.literal(char),
                    Item::Set(set) => self.push(&format!("[{set}]")),
                }
                return Ok(());
            }
        };
        self.rest = after;
        self.push(whole);
        Ok(())
    }

    /// The opening bracket has been read.
    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        if let Some(rest) = self.rest.strip_prefix('^') {
            self.rest = rest;
            self.out.push('^');
        }
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            match self.class_item()? {
                Item::Set(set) => self.out.push_str(&set),
                Item::Char(low) => {
                    let high = self.range_end()?;
                    push_char(&mut self.out, low);
                    if let Some(high) = high {
                        if high < low {
                            return Err(format!("invalid character class range: {low}-{high}"));
                        }
                        self.out.push('-');
                        push_char(&mut self.out, high);
                    }
                }
            }
        }
        self.rest = &self.rest[1..];
        self.push("]");
        Ok(())
    }

    fn range_end(&mut self) -> Result<Option<char>, String> {
        let Some(after) = self.rest.strip_prefix('-') else { return Ok(None) };
        if after.is_empty() || after.starts_with(']') {
            return Ok(None);
        }
        self.rest = after;
        let end = self.class_char()?;
        Ok(Some(end))
    }

    fn class_item(&mut self) -> Result<Item, String> {
        if let Some(rest) = self.rest.strip_prefix("[:")
            && let Some((name, after)) = rest.split_once(":]")
        {
            let bare = name.strip_prefix('^').unwrap_or(name);
            if !POSIX.contains(&bare) {
                return Err(format!("invalid character class range: [:{name}:]"));
            }
            self.rest = after;
            return Ok(Item::Set(format!("[:{name}:]")));
        }
        match self.rest.strip_prefix('\\') {
            Some(rest) => {
                self.rest = rest;
                self.class_escape()
            }
            None => self.class_char().map(Item::Char),
        }
    }

    /// One character of a class, which may be an escape but no set.
    fn class_char(&mut self) -> Result<char, String> {
        let next = self.rest.chars().next().ok_or("missing closing ]")?;
        self.rest = &self.rest[next.len_utf8()..];
        if next == '\\' { self.char_escape() } else { Ok(next) }
    }

    /// An escape that may stand in a class; the backslash has been read.
    fn class_escape(&mut self) -> Result<Item, String> {
        let set = match self.rest.chars().next() {
            Some('d') => DIGITS.to_owned(),
            Some('D') => format!("[^{DIGITS}]"),
            Some('s') => SPACES.to_owned(),
            Some('S') => format!("[^{SPACES}]"),
            Some('w') => WORDS.to_owned(),
            Some('W') => format!("[^{WORDS}]"),
            Some('p' | 'P') => return self.unicode_class(),
            _ => return self.char_escape().map(Item::Char),
        };
        self.rest = &self.rest[1..];
        Ok(Item::Set(set))
    }

    fn unicode_class(&mut self) -> Result<Item, String> {
        let mut negated = self.rest.starts_with('P');
        let after = &self.rest[1..];
        let invalid = || "invalid character class range: \\p".to_owned();
        let name = match after.strip_prefix('{') {
            Some(braced) => {
                let (name, rest) = braced.split_once('}').ok_or_else(invalid)?;
                self.rest = rest;
                name
            }
            None => {
                let len = after.chars().next().ok_or_else(invalid)?.len_utf8();
                self.rest = &after[len..];
                &after[..len]
            }
        };
        let bare = name.strip_prefix('^').unwrap_or(name);
        negated ^= bare.len() != name.len();
        if bare.is_empty() || !bare.chars().all(|c| c.is_ascii_alphabetic() || c == '_') {
            return Err(format!("invalid character class range: \\p{{{name}}}"));
        }
        Ok(Item::Set(format!("\\{}{{{bare}}}", if negated { 'P' } else { 'p' })))
    }

    /// An escape that means one character; the backslash has been read.
    fn char_escape(&mut self) -> Result<char, String> {
        let next = self.rest.chars().next().ok_or("trailing backslash at end of expression")?;
        let invalid = || format!("invalid escape sequence: \\{next}");
        self.rest = &self.rest[next.len_utf8()..];
        let plain = match next {
            'a' => '\x07',
            'f' => '\x0C',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0B',
            'x' => return self.hexadecimal().ok_or_else(invalid),
            '0'..='7' => return self.octal(next).ok_or_else(invalid),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            _ => return Err(invalid()),
        };
        Ok(plain)
    }

    /// `\x7F` or `\x{10FFFF}`; the `x` has been read.
    fn hexadecimal(&mut self) -> Option<char> {
        let (digits, rest) = match self.rest.strip_prefix('{') {
            Some(braced) => braced.split_once('}')?,
            None => self.rest.split_at_checked(2)?,
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        self.rest = rest;
        char::from_u32(u32::from_str_radix(digits, 16).ok()?)
    }

    /// `\0`, `\012`, `\123`; one digit but 0 alone would be a back reference. The first digit has
    /// been read.
    fn octal(&mut self, first: char) -> Option<char> {
        let digit = |rest: &str| rest.chars().next().and_then(|c| c.to_digit(8));
        let mut code = first.to_digit(8)?;
        if code != 0 && digit(self.rest).is_none() {
            return None;
        }
        for _ in 0..2 {
            let Some(next) = digit(self.rest) else { break };
            code = code * 8 + next;
            self.rest = &self.rest[1..];
        }
        char::from_u32(code)
    }
}

/// Writes a literal so that it means itself, inside a class and out.
fn push_char(out: &mut String, char: char) {
    if char.is_ascii() && !char.is_ascii_alphanumeric() {
        out.push_str(&format!("\\x{:02X}", u32::from(char)));
    } else {
        out.push(char);
    }
}

/// A flag given twice is nothing new to Go, an error elsewhere.
fn once_each(flags: &str) -> String {
    let (on, off) = flags.split_once('-').unwrap_or((flags, ""));
    let mut kept = String::new();
    for flag in on.chars().filter(|flag| !off.contains(*flag)) {
        if !kept.contains(flag) {
            kept.push(flag);
        }
    }
    if !off.is_empty() {
        kept.push('-');
        for flag in off.chars() {
            if !kept.contains(flag) {
                kept.push(flag);
            }
        }
    }
    kept
}

/// The counts of a repeat at the head of `text`, normalised, and the bytes they take; `None` if
/// the brace opens no repeat.
fn counts(text: &str) -> Result<Option<(String, usize)>, String> {
    let Some(end) = text.find('}') else { return Ok(None) };
    let inner = &text[1..end];
    let (low, high) = match inner.split_once(',') {
        Some((low, high)) => (low, Some(high)),
        None => (inner, None),
    };
    let is_count = |text: &str| {
        let plain = text.bytes().all(|b| b.is_ascii_digit());
        plain && !text.is_empty() && (text.len() == 1 || !text.starts_with('0'))
    };
    let open = high == Some("");
    if !is_count(low) || !(open || high.is_none_or(is_count)) {
        return Ok(None);
    }
    let whole = &text[..=end];
    let bounded = |text: &str| match text.parse::<u32>() {
        Ok(count) if count <= REPEAT_MAX => Ok(count),
        _ => Err(format!("invalid repeat count: {whole}")),
    };
    let low = bounded(low)?;
    if let Some(high) = high.filter(|_| !open)
        && bounded(high)? < low
    {
        return Err(format!("invalid repeat count: {whole}"));
    }
    Ok(Some((whole.to_owned(), end + 1)))
}
