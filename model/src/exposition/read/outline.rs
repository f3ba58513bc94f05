//! A page without its values: whether the next page of the same target is the same but for those.
//!
//! Most pages of a target have the same series in the same order as the one before. Then nothing
//! of them is parsed but the values, and nothing allocated.

use super::{Bounds, Format, Parsed, ReadError, Reader, parse_float};

/// What stands before, between and behind the values of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    format: Format,
    /// All of it, one piece after the other.
    text: Vec<u8>,
    /// Where each value's piece ends.
    ends: Vec<usize>,
}

impl Outline {
    /// An outline of nothing yet, in place of what this one was of.
    pub fn clear(&mut self, format: Format) {
        self.format = format;
        self.text.clear();
        self.ends.clear();
    }

    /// How many values it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Takes note of the sample that a reader has just given. All of a page must come, in order.
    pub fn note(&mut self, reader: &Reader<'_>) {
        let text = reader.text.as_bytes();
        self.text.extend_from_slice(&text[reader.piece..reader.value.start]);
        self.ends.push(self.text.len());
    }

    /// Takes note of what stands behind the last value, once the reader has come to the end.
    pub fn finish(&mut self, reader: &Reader<'_>) {
        self.text.extend_from_slice(&reader.text.as_bytes()[reader.line_done..]);
    }

    /// Reads the values of a page that is the same but for them, and counts explicit times; `None`
    /// if it is another, or if it must be read to say what is wrong with it. `values` is emptied
    /// first; it holds something only where the page was read.
    pub fn follow(
        &self,
        page: &[u8],
        format: Format,
        bounds: Bounds,
        values: &mut Vec<f64>,
    ) -> Option<usize> {
        values.clear();
        if self.is_empty() || format != self.format {
            return None;
        }
        let followed = self.read(page, bounds, values).ok().flatten();
        if followed.is_none() {
            values.clear();
        }
        followed
    }

    fn read(
        &self,
        page: &[u8],
        bounds: Bounds,
        values: &mut Vec<f64>,
    ) -> Result<Option<usize>, ReadError> {
        let mut reader = Reader::of(page, self.format, bounds)?;
        let bytes = reader.text.as_bytes();
        let (mut start, mut times) = (0, 0);
        for end in &self.ends {
            let piece = &self.text[start..*end];
            if !bytes[reader.at..].starts_with(piece) {
                return Ok(None);
            }
            start = *end;
            reader.at += piece.len();
            let Some(value) = reader.followed_value()? else { return Ok(None) };
            values.push(value);
            if reader.peek() != Some(b'\n') {
                times += usize::from(reader.tail()?.is_some());
            }
        }
        Ok((bytes[reader.at..] == self.text[start..]).then_some(times))
    }
}

impl Reader<'_> {
    fn followed_value(&mut self) -> Parsed<Option<f64>> {
        let rest = &self.text.as_bytes()[self.at..];
        let end = rest.iter().position(|byte| matches!(byte, b' ' | b'\t' | b'\n'));
        let end = self.at + end.unwrap_or(rest.len());
        let word = &self.text[self.at..end];
        self.at = end;
        Ok(if word.is_empty() { None } else { parse_float(word) })
    }
}
