//! What happened: a hash of everything, and the last lines for a failure.

use std::collections::VecDeque;
use std::fmt::Write;

use super::Millis;

const LINES: usize = 60;

/// The trace of one run.
pub struct Trace {
    hash: u64,
    lines: VecDeque<String>,
    print: bool,
}

impl Default for Trace {
    /// An empty trace; with `BELLWETHER_SIM_TRACE` set, every line is printed too.
    fn default() -> Trace {
        let print = std::env::var_os("BELLWETHER_SIM_TRACE").is_some();
        Trace { hash: 0, lines: VecDeque::new(), print }
    }
}

impl Trace {
    /// Adds a line.
    pub fn add(&mut self, now: Millis, what: std::fmt::Arguments<'_>) {
        let mut line = if self.lines.len() == LINES {
            self.lines.pop_front().unwrap_or_default()
        } else {
            String::new()
        };
        line.clear();
        write!(line, "{:>7}.{:03} {what}", now / 1000, now % 1000).unwrap();
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.print {
            println!("{line}");
        }
        self.lines.push_back(line);
    }

    /// A hash of all lines.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The last lines.
    #[must_use]
    pub fn last(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}
