//! What a program left: how it ended, the end of what it printed, the version it named.

use std::fmt;
use std::time::Duration;

use bellwether_model::signal::{DETAIL_BYTES_MAX, Status, is_name};

/// Bytes of a program's output that are kept: the last.
pub const OUTPUT_BYTES: usize = 4 << 10;

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal of the operating system.
    Signal(i32),
    /// It and its process group were killed after this time.
    TimedOut(Duration),
    /// It was not started, or what became of it is not known.
    Lost(String),
}

impl Exit {
    /// What the contract with programs makes of it.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Exit::Code(0) => Status::Done,
            Exit::Code(3) => Status::AlreadyDone,
            Exit::Code(4) => Status::PreconditionFailed,
            Exit::Code(5) => Status::Refused,
            _ => Status::Failed,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(number) => write!(f, "killed by signal {number}"),
            Exit::TimedOut(time) => write!(f, "killed after {time:?}"),
            Exit::Lost(reason) => f.write_str(reason),
        }
    }
}

/// A program that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// How.
    pub exit: Exit,
    /// The end of what it printed, plain.
    pub output: String,
}

/// The last [`OUTPUT_BYTES`] of a stream.
#[derive(Clone, Debug, Default)]
pub struct Tail(Vec<u8>);

impl Tail {
    /// Takes more.
    pub fn push(&mut self, bytes: &[u8]) {
        let skipped = bytes.len().saturating_sub(OUTPUT_BYTES);
        let bytes = bytes.split_at(skipped).1;
        let over = (self.0.len() + bytes.len()).saturating_sub(OUTPUT_BYTES);
        self.0.drain(..over);
        self.0.extend_from_slice(bytes);
    }

    /// As [`plain`] text.
    #[must_use]
    pub fn text(&self) -> String {
        plain(&String::from_utf8_lossy(&self.0))
    }
}

/// A text in one line without control characters, single blanks between its words.
#[must_use]
pub fn plain(text: &str) -> String {
    let blank = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.chars().map(blank).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The version that an `observe` program printed; `output` is all that it printed.
///
/// # Errors
/// It did not end well, or printed anything else than a version.
pub fn version(exit: &Exit, stdout: &Tail, output: &str) -> Result<String, String> {
    if *exit != Exit::Code(0) {
        return Err(joined(&format!("observe: {exit}"), output));
    }
    let text = stdout.text();
    if is_name(&text) {
        return Ok(text);
    }
    Err(joined("observe printed no version", output))
}

/// Words, then the end of an output, in as many bytes as an answer's detail may have.
#[must_use]
pub fn joined(words: &str, output: &str) -> String {
    let mut words = words.to_owned();
    while words.len() > DETAIL_BYTES_MAX {
        words.pop();
    }
    let room = DETAIL_BYTES_MAX.saturating_sub(words.len() + 2);
    let mut start = output.len().saturating_sub(room);
    while !output.is_char_boundary(start) {
        start += 1;
    }
    match output.split_at(start).1.trim_start() {
        "" => words,
        output => format!("{words}: {output}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_keeps_the_end_of_any_stream() {
        let letter = |n: u32| b'a' + u8::try_from(n % 26).unwrap();
        let stream: Vec<u8> = (0..20_000).map(letter).collect();
        for step in [1, 7, 4095, 4096, 4097, 20_000] {
            let mut tail = Tail::default();
            stream.chunks(step).for_each(|chunk| tail.push(chunk));
            assert_eq!(tail.text().as_bytes(), &stream[20_000 - OUTPUT_BYTES..], "{step}");
        }
    }

    #[test]
    fn nothing_that_moves_a_cursor_is_left() {
        let mut tail = Tail::default();
        tail.push(b"  \x1b[31mred\x1b[0m\r\n\tnext\x00 \xff end\n");
        assert_eq!(tail.text(), "[31mred [0m next \u{fffd} end");
    }

    #[test]
    fn a_version_is_one_name() {
        let of = |text: &[u8], code| {
            let mut tail = Tail::default();
            tail.push(text);
            version(&Exit::Code(code), &tail, "said")
        };
        assert_eq!(of(b"2.3.9\n", 0), Ok("2.3.9".to_owned()));
        assert_eq!(of(b"2.3.9\n", 1), Err("observe: exit code 1: said".to_owned()));
        for bad in [&b""[..], b"2.3.9 2.4.0\n", b"$(rm)\n", b"2.3.9\n2.4.0\n"] {
            assert_eq!(of(bad, 0), Err("observe printed no version: said".to_owned()));
        }
    }

    #[test]
    fn a_detail_is_bounded_and_keeps_the_end() {
        let long = format!("{}end", "ü".repeat(2000));
        let detail = joined("exit code 1", &long);
        assert!(detail.len() <= DETAIL_BYTES_MAX && detail.len() > DETAIL_BYTES_MAX - 3);
        assert!(detail.starts_with("exit code 1: ü") && detail.ends_with("end"));
        assert_eq!(joined("exit code 1", ""), "exit code 1");
        assert_eq!(joined(&"x".repeat(3000), "more").len(), DETAIL_BYTES_MAX);
    }

    #[test]
    fn exit_codes_are_the_contracts() {
        use Status::{AlreadyDone, Done, Failed, PreconditionFailed, Refused};
        let found = [0, 3, 4, 5, 1, 126].map(|code| Exit::Code(code).status());
        assert_eq!(found, [Done, AlreadyDone, PreconditionFailed, Refused, Failed, Failed]);
        assert_eq!(Exit::TimedOut(Duration::from_secs(1)).status(), Failed);
    }
}
