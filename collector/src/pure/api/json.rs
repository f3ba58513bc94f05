//! Answers as JSON, in the order and form that Prometheus writes.

use std::borrow::Cow;
use std::io::Write;

use bellwether_model::exposition::push_json_float;
use bellwether_model::label::LabelSet;
use bellwether_model::select::Metadata;
use bellwether_model::series::MetricType;
use bellwether_model::time::Timestamp;
use bellwether_promql::evaluate::Value;

/// The warning of a list that was cut.
const TRUNCATED: &str = "results truncated due to limit";

/// An answer grew over its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// An answer being written. Its bound is checked after each item, so that one item may exceed it.
#[derive(Debug)]
pub(crate) struct Answer {
    out: Vec<u8>,
    bytes_max: usize,
    /// What the answer must be read with.
    pub(crate) warnings: Vec<String>,
    /// What may not be meant so.
    pub(crate) infos: Vec<String>,
}

impl Answer {
    /// Opens an answer of at most `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Answer {
        let out = br#"{"status":"success","data":"#.to_vec();
        Answer { out, bytes_max, warnings: Vec::new(), infos: Vec::new() }
    }

    /// Writes a query's value taken at `at`, its series cut to `limit`.
    ///
    /// # Errors
    /// The bound is exceeded.
    pub(crate) fn value(
        &mut self,
        value: &Value,
        at: Timestamp,
        limit: Option<usize>,
    ) -> Result<(), TooLong> {
        match value {
            Value::Scalar(number) => {
                self.open("scalar");
                push_sample(&mut self.out, at, *number);
            }
            Value::Text(text) => {
                self.open("string");
                push_time(&mut self.out, at);
                push_text(&mut self.out, text);
                self.out.push(b']');
            }
            Value::Vector(vector) => {
                self.open("vector");
                self.list(vector, limit, |out, (labels, number)| {
                    out.extend_from_slice(br#"{"metric":"#);
                    push_labels(out, labels);
                    out.extend_from_slice(br#","value":"#);
                    push_sample(out, at, *number);
                    out.push(b'}');
                })?;
            }
            Value::Matrix(matrix) => {
                self.open("matrix");
                self.list(matrix, limit, |out, (labels, column)| {
                    out.extend_from_slice(br#"{"metric":"#);
                    push_labels(out, labels);
                    out.extend_from_slice(br#","values":["#);
                    for (i, (time, number)) in column.times.iter().zip(&column.values).enumerate() {
                        if i > 0 {
                            out.push(b',');
                        }
                        push_sample(out, *time, *number);
                    }
                    out.extend_from_slice(b"]}");
                })?;
            }
        }
        self.out.push(b'}');
        self.fits()
    }

    /// Writes label sets.
    ///
    /// # Errors
    /// The bound is exceeded.
    pub(crate) fn series(
        &mut self,
        sets: &[LabelSet],
        limit: Option<usize>,
    ) -> Result<(), TooLong> {
        self.list(sets, limit, push_labels)
    }

    /// Writes names or values.
    ///
    /// # Errors
    /// The bound is exceeded.
    pub(crate) fn texts(&mut self, texts: &[String], limit: Option<usize>) -> Result<(), TooLong> {
        self.list(texts, limit, |out, text| push_text(out, text))
    }

    /// Writes the Prometheus level that is emulated, and our own version beside it.
    pub(crate) fn build_info(&mut self, version: &str) {
        self.out.extend_from_slice(br#"{"version":"3.14.0","revision":"","branch":"","#);
        self.out.extend_from_slice(br#""buildUser":"","buildDate":"","goVersion":"","#);
        self.out.extend_from_slice(br#""bellwether":"#);
        push_text(&mut self.out, version);
        self.out.push(b'}');
    }

    /// Writes one text.
    ///
    /// # Errors
    /// The bound is exceeded.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), TooLong> {
        push_text(&mut self.out, text);
        self.fits()
    }

    /// Writes a value that is small.
    ///
    /// # Errors
    /// The bound is exceeded.
    pub(crate) fn json(&mut self, value: &serde_json::Value) -> Result<(), TooLong> {
        serde_json::to_writer(&mut self.out, value).expect("invariant: memory takes every byte");
        self.fits()
    }

    /// Writes what is known of metrics.
    ///
    /// # Errors
    /// The bound is exceeded.
    pub(crate) fn metadata<'m>(
        &mut self,
        metrics: impl Iterator<Item = (&'m str, Cow<'m, Metadata>)>,
    ) -> Result<(), TooLong> {
        self.out.push(b'{');
        for (i, (name, known)) in metrics.enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            push_text(&mut self.out, name);
            let kind = match known.kind {
                MetricType::Untyped => "unknown",
                kind => kind.as_str(),
            };
            self.out.extend_from_slice(br#":[{"type":"#);
            push_text(&mut self.out, kind);
            self.out.extend_from_slice(br#","help":"#);
            push_text(&mut self.out, &known.help);
            self.out.extend_from_slice(br#","unit":"#);
            push_text(&mut self.out, &known.unit);
            self.out.extend_from_slice(b"}]");
            self.fits()?;
        }
        self.out.push(b'}');
        Ok(())
    }

    /// Closes the answer with its warnings and infos.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        for (name, texts) in [("warnings", &self.warnings), ("infos", &self.infos)] {
            for (i, text) in texts.iter().enumerate() {
                if i == 0 {
                    self.out.extend_from_slice(b",\"");
                    self.out.extend_from_slice(name.as_bytes());
                    self.out.extend_from_slice(b"\":[");
                } else {
                    self.out.push(b',');
                }
                push_text(&mut self.out, text);
            }
            if !texts.is_empty() {
                self.out.push(b']');
            }
        }
        self.out.push(b'}');
        self.out
    }

    fn open(&mut self, kind: &str) {
        self.out.extend_from_slice(br#"{"resultType":""#);
        self.out.extend_from_slice(kind.as_bytes());
        self.out.extend_from_slice(br#"","result":"#);
    }

    fn list<T>(
        &mut self,
        items: &[T],
        limit: Option<usize>,
        push: impl Fn(&mut Vec<u8>, &T),
    ) -> Result<(), TooLong> {
        let limit = limit.unwrap_or(usize::MAX);
        if items.len() > limit {
            self.warnings.push(TRUNCATED.to_owned());
        }
        self.out.push(b'[');
        for (i, item) in items.iter().take(limit).enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            push(&mut self.out, item);
            self.fits()?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn fits(&self) -> Result<(), TooLong> {
        if self.out.len() > self.bytes_max { Err(TooLong) } else { Ok(()) }
    }
}

/// Appends a text in quotes.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("invariant: memory takes every byte");
}

fn push_labels(out: &mut Vec<u8>, labels: &LabelSet) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_text(out, name);
        out.push(b':');
        push_text(out, value);
    }
    out.push(b'}');
}

fn push_sample(out: &mut Vec<u8>, at: Timestamp, value: f64) {
    push_time(out, at);
    out.push(b'"');
    push_json_float(out, value);
    out.extend_from_slice(b"\"]");
}

/// Opens a pair with its time.
fn push_time(out: &mut Vec<u8>, at: Timestamp) {
    write!(out, "[{at},").expect("invariant: memory takes every byte");
}
