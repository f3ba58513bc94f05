//! The writer of a page.

use std::ops::Range;

use crate::series::MetricType;
use crate::time::Timestamp;

use super::number::{push_i64, push_sample_float};
use super::{is_plain_label_name, is_plain_metric_name};

/// Appends metric families to a caller's buffer; per sample nothing else is allocated.
///
/// The caller gives the samples of one family together. [`Writer::family`] for the family already
/// open writes nothing, so that rows of several sources may be walked one after the other.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// Where the open family's name, as written, stands in `out`.
    family: Range<usize>,
}

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Writer<'a> {
        Writer { out, family: 0..0 }
    }

    /// Opens a family: `# HELP` unless the help is empty, then `# TYPE`.
    pub fn family(&mut self, name: &str, kind: MetricType, help: &str) {
        let start = self.out.len();
        self.out.extend_from_slice(b"# TYPE ");
        let at = self.out.len();
        push_name(self.out, name, is_plain_metric_name(name));
        let written = at..self.out.len();
        if !self.family.is_empty() && self.out.get(written.clone()) == self.name_bytes() {
            self.out.truncate(start);
            return;
        }
        if help.is_empty() {
            self.family = written;
        } else {
            self.out.truncate(start);
            self.out.extend_from_slice(b"# HELP ");
            let at = self.out.len();
            push_name(self.out, name, is_plain_metric_name(name));
            self.family = at..self.out.len();
            self.out.push(b' ');
            push_escaped(self.out, help, false);
            self.out.extend_from_slice(b"\n# TYPE ");
            self.out.extend_from_within(self.family.clone());
        }
        self.out.push(b' ');
        self.out.extend_from_slice(kind.as_str().as_bytes());
        self.out.push(b'\n');
    }

    fn name_bytes(&self) -> Option<&[u8]> {
        self.out.get(self.family.clone())
    }

    /// Writes one sample; labels in the order given.
    pub fn sample<'l>(
        &mut self,
        name: &str,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
        value: f64,
        time: Option<Timestamp>,
    ) {
        let plain = is_plain_metric_name(name);
        let mut before: &[u8] = b"{";
        if plain {
            self.out.extend_from_slice(name.as_bytes());
        } else {
            self.out.push(b'{');
            push_name(self.out, name, false);
            before = b",";
        }
        let mut open = !plain;
        for (label, text) in labels {
            self.out.extend_from_slice(before);
            push_name(self.out, label, is_plain_label_name(label));
            self.out.extend_from_slice(b"=\"");
            push_escaped(self.out, text, true);
            self.out.push(b'"');
            before = b",";
            open = true;
        }
        if open {
            self.out.push(b'}');
        }
        self.out.push(b' ');
        push_sample_float(self.out, value);
        if let Some(time) = time {
            self.out.push(b' ');
            push_i64(self.out, time.0);
        }
        self.out.push(b'\n');
    }
}

fn push_name(out: &mut Vec<u8>, name: &str, plain: bool) {
    if plain {
        out.extend_from_slice(name.as_bytes());
    } else {
        out.push(b'"');
        push_escaped(out, name, true);
        out.push(b'"');
    }
}

/// Help texts escape the backslash and the line feed; what stands in quotes also the quote.
fn push_escaped(out: &mut Vec<u8>, text: &str, quoted: bool) {
    let mut rest = text.as_bytes();
    while let Some(at) =
        rest.iter().position(|b| *b == b'\\' || *b == b'\n' || (quoted && *b == b'"'))
    {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((special, tail)) = tail.split_first() else { break };
        out.push(b'\\');
        out.push(if *special == b'\n' { b'n' } else { *special });
        rest = tail;
    }
    out.extend_from_slice(rest);
}
