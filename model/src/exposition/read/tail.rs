//! What follows a value on its line: a time, and in OpenMetrics an exemplar.

use super::{Format, Parsed, ReadProblem, Reader, parse_float, shortened};
use crate::time::Timestamp;

/// Milliseconds beyond which no time lies: some 35,000 years, exact in a float.
const TIME_MAX: f64 = 1e15;

impl Reader<'_> {
    /// Reads to the end of the line; gives the explicit time.
    pub(super) fn tail(&mut self) -> Parsed<Option<Timestamp>> {
        self.skip_blanks();
        let time = match self.peek() {
            None | Some(b'\n') => return Ok(None),
            Some(b'#') if self.format == Format::OpenMetrics => None,
            Some(_) => Some(self.time()?),
        };
        self.skip_blanks();
        if self.peek() == Some(b'#') && self.format == Format::OpenMetrics {
            self.at += 1;
            self.exemplar()?;
        }
        match self.peek() {
            None | Some(b'\n') => Ok(time),
            Some(_) => Err(self.expected("the end of the line")),
        }
    }

    fn time(&mut self) -> Parsed<Timestamp> {
        let start = self.at;
        let word = self.word("a timestamp")?;
        let time = match self.format {
            Format::Text => word.parse().ok(),
            Format::OpenMetrics => milliseconds(word),
        };
        time.map(Timestamp).ok_or_else(|| {
            self.at = start;
            self.error(ReadProblem::BadNumber(shortened(word)))
        })
    }

    /// Labels, a value and perhaps a time; the number sign has been read. Nothing of it is kept.
    fn exemplar(&mut self) -> Parsed<()> {
        self.skip_blanks();
        if self.peek() != Some(b'{') {
            return Err(self.expected("the labels of an exemplar"));
        }
        self.at += 1;
        let (name, labels) = (std::mem::take(&mut self.name), std::mem::take(&mut self.labels));
        let mut named = true;
        let read = self.braces(&mut named);
        (self.name, self.labels) = (name, labels);
        read?;
        self.skip_blanks();
        self.value()?;
        self.skip_blanks();
        if !matches!(self.peek(), None | Some(b'\n')) {
            self.time()?;
            self.skip_blanks();
        }
        Ok(())
    }
}

/// Seconds as written to milliseconds; a part of one is cut.
#[expect(clippy::cast_possible_truncation, reason = "within ±TIME_MAX, which is exact")]
fn milliseconds(word: &str) -> Option<i64> {
    let time = parse_float(word)? * 1000.0;
    (-TIME_MAX..=TIME_MAX).contains(&time).then_some(time as i64)
}
