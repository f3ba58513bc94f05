//! Prometheus' text exposition format, version 0.0.4: written, read, and its numbers. OpenMetrics
//! 1.0 is read too.
//!
//! Source: the formats' pages in the documentation of Prometheus and OpenMetrics, and Go's
//! `strconv.FormatFloat` for the numbers. Names outside the old alphabet are written and read in
//! quotes, as Prometheus 3 does. Native histograms are deliberately not here, and exemplars are
//! read over.

mod number;
mod read;
mod write;

pub use number::{push_float, push_json_float, push_sample_float};
pub use read::{
    Bounds, Family, FamilyHead, FamilySample, Format, Label, NORMAL_NAN, Outline, ReadError,
    ReadProblem, Reader, SampleLine, read, read_as,
};
pub use write::Writer;

#[cfg(test)]
mod tests;

/// Whether a name may stand before the brace without quotes: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
#[must_use]
pub fn is_plain_metric_name(name: &str) -> bool {
    is_plain(name, b":")
}

/// Whether a label's name may stand without quotes: `[a-zA-Z_][a-zA-Z0-9_]*`.
#[must_use]
pub fn is_plain_label_name(name: &str) -> bool {
    is_plain(name, b"")
}

fn is_plain(name: &str, more: &[u8]) -> bool {
    let letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_' || more.contains(byte);
    name.as_bytes().first().is_some_and(letter)
        && name.bytes().all(|byte| letter(&byte) || byte.is_ascii_digit())
}
