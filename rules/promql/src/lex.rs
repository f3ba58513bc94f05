//! Text to tokens, with the states and the words of Prometheus' lexer.
//!
//! A text that cannot be read ends in one [`Kind::Error`] token, which the parser reports only if
//! it gets that far.
#![allow(clippy::indexing_slicing, reason = "a lexer; every index is below the text's length")]

use crate::quote::{quote, quote_char};
use crate::tree::{AggregateOp, BinaryOp, Span};

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    End,
    Error(String),
    /// A name without colon.
    Identifier,
    /// A name with a colon.
    MetricIdentifier,
    Number,
    Duration,
    Text,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    /// `=`
    Assign,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
    At,
    /// `</`
    TrimUpper,
    /// `>/`
    TrimLower,
    Op(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
}

/// Words with a meaning of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Anchored,
    Bool,
    By,
    End,
    Fill,
    FillLeft,
    FillRight,
    GroupLeft,
    GroupRight,
    Ignoring,
    MaxOf,
    MinOf,
    Offset,
    On,
    Range,
    Smoothed,
    Start,
    Step,
    Without,
}

const KEYWORDS: [(&str, Keyword); 19] = [
    ("anchored", Keyword::Anchored),
    ("bool", Keyword::Bool),
    ("by", Keyword::By),
    ("end", Keyword::End),
    ("fill", Keyword::Fill),
    ("fill_left", Keyword::FillLeft),
    ("fill_right", Keyword::FillRight),
    ("group_left", Keyword::GroupLeft),
    ("group_right", Keyword::GroupRight),
    ("ignoring", Keyword::Ignoring),
    ("max_of", Keyword::MaxOf),
    ("min_of", Keyword::MinOf),
    ("offset", Keyword::Offset),
    ("on", Keyword::On),
    ("range", Keyword::Range),
    ("smoothed", Keyword::Smoothed),
    ("start", Keyword::Start),
    ("step", Keyword::Step),
    ("without", Keyword::Without),
];

impl Keyword {
    /// Whether it may begin a duration expression in brackets.
    fn is_duration(self) -> bool {
        matches!(self, Keyword::Step | Keyword::Range | Keyword::MaxOf | Keyword::MinOf)
    }

    /// Whether Prometheus counts it to the preprocessors, which it prints in quotes.
    fn is_preprocessor(self) -> bool {
        self.is_duration() || matches!(self, Keyword::Start | Keyword::End)
    }
}

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

impl Token {
    /// How the token is called when it is not expected.
    pub(crate) fn described(&self, text: &str) -> String {
        let own = text.get(self.span.start..self.span.end).unwrap_or("");
        let short = || match own.char_indices().nth(10) {
            Some((cut, _)) if own.len() > 10 => format!("{}...", quote(&own[..cut])),
            _ if own.len() > 10 => format!("{}...", quote(own)),
            _ => quote(own),
        };
        match &self.kind {
            Kind::End => "end of input".to_owned(),
            Kind::Error(message) => message.clone(),
            Kind::Identifier => format!("identifier {}", quote(own)),
            Kind::MetricIdentifier => format!("metric identifier {}", quote(own)),
            Kind::Number => format!("number {}", short()),
            Kind::Duration => format!("duration {}", short()),
            Kind::Text => format!("string {}", short()),
            Kind::Op(_) | Kind::At | Kind::Regex | Kind::NotRegex => format!("<op:{own}>"),
            Kind::TrimUpper | Kind::TrimLower => format!("<op:{own}>"),
            Kind::Aggregate(_) => format!("<aggr:{own}>"),
            Kind::Keyword(keyword) if !keyword.is_preprocessor() => format!("<{own}>"),
            _ => quote(own),
        }
    }
}

/// Where the lexer stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between expressions.
    Statement,
    /// After `{`.
    Braces,
    /// After `[`, before a number.
    Duration,
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    start: usize,
    state: State,
    parens: usize,
    in_brackets: bool,
    got_colon: bool,
    tokens: Vec<Token>,
}

/// Reads the tokens of a text; the last is [`Kind::End`] or [`Kind::Error`]. At most `tokens_max`
/// are kept beside it.
pub(crate) fn lex(text: &str, tokens_max: usize) -> Vec<Token> {
    let mut lexer = Lexer {
        text,
        at: 0,
        start: 0,
        state: State::Statement,
        parens: 0,
        in_brackets: false,
        got_colon: false,
        tokens: Vec::with_capacity(text.len() / 4 + 2),
    };
    loop {
        if let Err(message) = lexer.step() {
            lexer.push_error(message);
            return lexer.tokens;
        }
        if lexer.tokens.last().is_some_and(|token| token.kind == Kind::End) {
            return lexer.tokens;
        }
        if lexer.tokens.len() > tokens_max {
            lexer.push_error(format!("query has more than {tokens_max} tokens"));
            return lexer.tokens;
        }
    }
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn emit(&mut self, kind: Kind) {
        self.tokens.push(Token { kind, span: Span { start: self.start, end: self.at } });
        self.start = self.at;
    }

    fn push_error(&mut self, message: String) {
        let span = Span { start: self.start, end: self.text.len() };
        self.tokens.push(Token { kind: Kind::Error(message), span });
    }

    /// Takes what stands next: white space, a comment or a token.
    fn step(&mut self) -> Result<(), String> {
        self.start = self.at;
        let Some(c) = self.next() else { return self.end() };
        match c {
            ' ' | '\t' | '\n' | '\r' => Ok(()),
            '#' => {
                while self.peek().is_some_and(|c| c != '\n' && c != '\r') {
                    self.next();
                }
                Ok(())
            }
            _ => match self.state {
                State::Statement => self.statement(c),
                State::Braces => self.braces(c),
                State::Duration => self.duration(c),
            },
        }
    }

    fn end(&mut self) -> Result<(), String> {
        let unclosed = match self.state {
            State::Braces => "unexpected end of input inside braces",
            State::Duration => "unexpected end of input in duration expression",
            State::Statement if self.parens > 0 => "unclosed left parenthesis",
            State::Statement if self.in_brackets => "unclosed left bracket",
            State::Statement => {
                self.emit(Kind::End);
                return Ok(());
            }
        };
        Err(unclosed.to_owned())
    }

    fn statement(&mut self, c: char) -> Result<(), String> {
        let next = self.peek();
        match c {
            '=' if next == Some('~') => {
                return Err(format!("unexpected character after '=': {}", quote_char(next)));
            }
            '!' => {
                if next != Some('=') {
                    return Err(format!("unexpected character after '!': {}", quote_char(next)));
                }
                self.next();
                self.emit(Kind::Op(BinaryOp::NotEqual));
            }
            '=' | '<' | '>' => {
                let kind = match (c, next) {
                    ('=', Some('=')) => Kind::Op(BinaryOp::Equal),
                    ('<', Some('=')) => Kind::Op(BinaryOp::LessEqual),
                    ('>', Some('=')) => Kind::Op(BinaryOp::GreaterEqual),
                    ('<', Some('/')) => Kind::TrimUpper,
                    ('>', Some('/')) => Kind::TrimLower,
                    ('=', _) => Kind::Assign,
                    ('<', _) => Kind::Op(BinaryOp::Less),
                    _ => Kind::Op(BinaryOp::Greater),
                };
                if !matches!(kind, Kind::Assign | Kind::Op(BinaryOp::Less | BinaryOp::Greater)) {
                    self.next();
                }
                self.emit(kind);
            }
            '"' | '\'' | '`' => return self.string(c),
            '{' => {
                self.emit(Kind::LeftBrace);
                self.state = State::Braces;
            }
            '[' if self.in_brackets => {
                return Err(format!("unexpected left bracket {}", quote_char(Some(c))));
            }
            '[' => {
                self.emit(Kind::LeftBracket);
                self.in_brackets = true;
                self.got_colon = false;
                self.state = State::Duration;
            }
            ']' if !self.in_brackets => {
                return Err(format!("unexpected right bracket {}", quote_char(Some(c))));
            }
            _ if c.is_ascii_digit() || (c == '.' && next.is_some_and(|n| n.is_ascii_digit())) => {
                return self.number();
            }
            _ if c == '_' || c == ':' || c.is_ascii_alphabetic() => return self.word_or_colon(c),
            _ if self.mark(c)? => {}
            _ => return Err(format!("unexpected character: {}", quote_char(Some(c)))),
        }
        Ok(())
    }

    /// Takes a mark of one character that means the same within brackets and without.
    fn mark(&mut self, c: char) -> Result<bool, String> {
        let kind = match c {
            '+' => Kind::Op(BinaryOp::Add),
            '-' => Kind::Op(BinaryOp::Sub),
            '*' => Kind::Op(BinaryOp::Mul),
            '/' => Kind::Op(BinaryOp::Div),
            '%' => Kind::Op(BinaryOp::Mod),
            '^' => Kind::Op(BinaryOp::Pow),
            ',' => Kind::Comma,
            '@' => Kind::At,
            '(' => {
                self.parens += 1;
                Kind::LeftParen
            }
            ')' if self.parens == 0 => {
                self.start = self.at;
                return Err(format!("unexpected right parenthesis {}", quote_char(Some(c))));
            }
            ')' => {
                self.parens -= 1;
                Kind::RightParen
            }
            ']' => {
                self.in_brackets = false;
                self.state = State::Statement;
                Kind::RightBracket
            }
            _ => return Ok(false),
        };
        self.emit(kind);
        Ok(true)
    }

    /// After a name's first letter or a colon, which in brackets stands alone.
    fn word_or_colon(&mut self, c: char) -> Result<(), String> {
        if !self.in_brackets {
            self.word();
            return Ok(());
        }
        if c == ':' {
            if self.got_colon {
                return Err(format!("unexpected colon {}", quote_char(Some(c))));
            }
            self.got_colon = true;
            self.emit(Kind::Colon);
            return Ok(());
        }
        if self.duration_keyword() {
            return Ok(());
        }
        Err(format!("unexpected character: {}, expected ':'", quote_char(Some(c))))
    }

    fn duration_keyword(&mut self) -> bool {
        let begin = self.at;
        while self.peek().is_some_and(|c| c == '_' || c.is_ascii_alphabetic()) {
            self.next();
        }
        let word = self.text[self.start..self.at].to_ascii_lowercase();
        match KEYWORDS.iter().find(|(name, keyword)| *name == word && keyword.is_duration()) {
            Some((_, keyword)) => {
                self.emit(Kind::Keyword(*keyword));
                true
            }
            None => {
                self.at = begin;
                false
            }
        }
    }

    fn word(&mut self) {
        while self.peek().is_some_and(|c| c == '_' || c == ':' || c.is_ascii_alphanumeric()) {
            self.next();
        }
        let word = &self.text[self.start..self.at];
        let kind = match known(word) {
            Some(Kind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !self.paren_follows() =>
            {
                Kind::Identifier
            }
            Some(kind) => kind,
            None if word.contains(':') => Kind::MetricIdentifier,
            None => Kind::Identifier,
        };
        self.emit(kind);
    }

    fn paren_follows(&self) -> bool {
        self.text[self.at..].trim_start_matches([' ', '\t', '\n', '\r']).starts_with('(')
    }

    fn braces(&mut self, c: char) -> Result<(), String> {
        match c {
            '}' => {
                self.emit(Kind::RightBrace);
                self.state = State::Statement;
            }
            ',' => self.emit(Kind::Comma),
            '"' | '\'' | '`' => return self.string(c),
            '=' => {
                let kind = if self.peek() == Some('~') { Kind::Regex } else { Kind::Assign };
                if kind == Kind::Regex {
                    self.next();
                }
                self.emit(kind);
            }
            '!' => match self.next() {
                Some('~') => self.emit(Kind::NotRegex),
                Some('=') => self.emit(Kind::Op(BinaryOp::NotEqual)),
                other => {
                    let other = quote_char(other);
                    return Err(format!("unexpected character after '!' inside braces: {other}"));
                }
            },
            '{' => return Err(format!("unexpected left brace {}", quote_char(Some(c)))),
            '_' | 'a'..='z' | 'A'..='Z' => {
                while self.peek().is_some_and(|c| c == '_' || c.is_ascii_alphanumeric()) {
                    self.next();
                }
                self.emit(Kind::Identifier);
            }
            _ => {
                return Err(format!("unexpected character inside braces: {}", quote_char(Some(c))));
            }
        }
        Ok(())
    }

    fn duration(&mut self, c: char) -> Result<(), String> {
        let refused = |c| format!("unexpected character in duration expression: {}", quote_char(c));
        match c {
            ':' => {
                self.start = self.at;
                Err("unexpected colon before duration in duration expression".to_owned())
            }
            _ if c.is_ascii_digit() || c == '.' => {
                if c == '.' && !self.peek().is_some_and(|n| n.is_ascii_digit()) {
                    return Err(refused(Some(c)));
                }
                self.state = State::Statement;
                self.number()
            }
            's' | 'r' | 'm' | 'S' | 'R' | 'M' if self.duration_keyword() => {
                self.state = State::Statement;
                Ok(())
            }
            '@' => Err(refused(Some(c))),
            _ if self.mark(c)? => Ok(()),
            _ => Err(refused(Some(c))),
        }
    }

    /// A number or duration, its first character taken: `12`, `1e-3`, `0x1f`, `1_000`, `1h30m`.
    fn number(&mut self) -> Result<(), String> {
        self.at = self.start;
        let bytes = self.text.as_bytes();
        let word = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
        let end = number_end(&bytes[self.start..]) + self.start;
        if end > self.start && !bytes.get(end).is_some_and(|b| word(*b) || *b == b'.') {
            self.at = end;
            self.emit(Kind::Number);
            return Ok(());
        }
        let rest = duration_end(&bytes[self.start..]);
        let end = self.start + rest;
        if rest > 0 && !bytes.get(end).is_some_and(|b| word(*b)) {
            self.at = end;
            self.emit(Kind::Duration);
            return Ok(());
        }
        let mut end = self.start;
        while bytes.get(end).is_some_and(|b| word(*b) || *b == b'.') {
            end += 1;
        }
        let shown = quote(&self.text[self.start..end]);
        Err(format!("bad number or duration syntax: {shown}"))
    }

    fn string(&mut self, open: char) -> Result<(), String> {
        let raw = open == '`';
        loop {
            match self.next() {
                None if raw => return Err("unterminated raw string".to_owned()),
                None => return Err("unterminated quoted string".to_owned()),
                Some('\n') if !raw => return Err("unterminated quoted string".to_owned()),
                Some('\\') if !raw => self.escape(open)?,
                Some(c) if c == open => {
                    self.emit(Kind::Text);
                    return Ok(());
                }
                Some(_) => {}
            }
        }
    }

    fn escape(&mut self, open: char) -> Result<(), String> {
        let open_end = || "escape sequence not terminated".to_owned();
        let c = self.next().ok_or_else(open_end)?;
        let (digits, radix, greatest) = match c {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            c if c == open => return Ok(()),
            '0'..='7' => (3, 8, 255),
            'x' => (2, 16, 255),
            'u' => (4, 16, 0x0010_ffff),
            'U' => (8, 16, 0x0010_ffff),
            _ => return Err(format!("unknown escape sequence {}", code_point(c))),
        };
        if radix == 8 {
            self.at -= 1;
        }
        let mut value = 0_u64;
        for _ in 0..digits {
            let c = self.next().ok_or_else(open_end)?;
            let digit = c
                .to_digit(radix)
                .ok_or_else(|| format!("illegal character {} in escape sequence", code_point(c)))?;
            value = value * u64::from(radix) + u64::from(digit);
        }
        if value > greatest || (0xd800..0xe000).contains(&value) {
            return Err("escape sequence is an invalid Unicode code point".to_owned());
        }
        Ok(())
    }
}

/// `U+0063 'c'`
fn code_point(c: char) -> String {
    format!("U+{:04X} '{c}'", u32::from(c))
}

fn known(word: &str) -> Option<Kind> {
    // No word is longer than `count_values`.
    if word.len() > 12 {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    let lower = lower.as_str();
    match lower {
        "and" => return Some(Kind::Op(BinaryOp::And)),
        "or" => return Some(Kind::Op(BinaryOp::Or)),
        "unless" => return Some(Kind::Op(BinaryOp::Unless)),
        "atan2" => return Some(Kind::Op(BinaryOp::Atan2)),
        "inf" | "nan" => return Some(Kind::Number),
        _ => {}
    }
    if let Some((_, op)) = AggregateOp::ALL.iter().find(|(name, _)| *name == lower) {
        return Some(Kind::Aggregate(*op));
    }
    KEYWORDS.iter().find(|(name, _)| *name == lower).map(|(_, keyword)| Kind::Keyword(*keyword))
}

/// Bytes of the number that a text begins with; 0 if none.
fn number_end(bytes: &[u8]) -> usize {
    let run = |from: usize, test: fn(&u8) -> bool| {
        from + bytes[from.min(bytes.len())..].iter().take_while(|b| test(b)).count()
    };
    if bytes.len() > 2 && bytes[0] == b'0' && matches!(bytes[1], b'x' | b'X') {
        let end = run(2, |b| b.is_ascii_hexdigit() || *b == b'_');
        return if end > 2 { end } else { 0 };
    }
    let digits = |from| run(from, |b| b.is_ascii_digit() || *b == b'_');
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > end + 1 + sign {
            end = exponent;
        }
    }
    end
}

/// Bytes of the duration that a text begins with, its units not checked; 0 if none.
fn duration_end(bytes: &[u8]) -> usize {
    let mut end = 0;
    loop {
        let digits = bytes[end..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return end;
        }
        if !matches!(bytes.get(end + digits), Some(b's' | b'm' | b'h' | b'd' | b'w' | b'y')) {
            return 0;
        }
        end += digits + 1;
        if bytes.get(end) == Some(&b's') {
            end += 1;
        }
    }
}
