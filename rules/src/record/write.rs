//! Writing records: each value in its one way, keys in order, no white space.

use std::fmt::Write as _;

use super::hash::hex;
use super::key::SecretKey;
use super::number::number;
use super::{Hash, Record, missing_name, verdict_name};
use crate::verdict::{Config, Guard, Missing, Outcome, Step, Tick, Verdict};

/// The version of the format, the first value of every body.
pub(super) const FORMAT: i64 = 1;
/// What stands before the signed bytes.
pub(super) const BEFORE: &[u8] = b"{\"body\":";
/// What stands between the signed bytes and the key.
pub(super) const TO_KEY: &[u8] = b",\"signature\":{\"key\":\"";
/// What stands between the key and the signature.
pub(super) const TO_VALUE: &[u8] = b"\",\"value\":\"";
/// What ends the file.
pub(super) const AFTER: &[u8] = b"\"}}\n";

pub(super) fn seal(record: &Record, key: &SecretKey) -> Vec<u8> {
    let body = body(record);
    let signature = key.sign(body.as_bytes());
    let (key, value) = (hex(&key.public().to_bytes()), hex(&signature));
    [BEFORE, body.as_bytes(), TO_KEY, key.as_bytes(), TO_VALUE, value.as_bytes(), AFTER].concat()
}

/// The bytes that are signed.
pub(super) fn body(record: &Record) -> String {
    let mut out = Out(format!("{{\"bellwether_record\":{FORMAT}"));
    out.key("config");
    out.config(&record.config);
    out.key("outcome");
    out.outcome(&record.outcome);
    out.key("path");
    out.list(&record.path, Out::step);
    out.key("previous");
    out.option(record.previous.as_ref(), |out, Hash(bytes)| out.text(&hex(bytes)));
    out.key("strata");
    out.list(&record.strata, |out, name| out.text(name));
    out.key("subject");
    for (index, (name, text)) in record.subject.iter().enumerate() {
        out.0 += if index == 0 { "{" } else { "," };
        out.text(name);
        out.0.push(':');
        out.text(text);
    }
    out.0 += if record.subject.is_empty() { "{}" } else { "}" };
    out.key("ticks");
    out.list(&record.ticks, Out::tick);
    out.0.push('}');
    out.0
}

/// The text so far.
struct Out(String);

impl Out {
    /// The name of the next value, after another.
    fn key(&mut self, name: &str) {
        self.0.push(',');
        self.first(name);
    }

    /// The name of the first value.
    fn first(&mut self, name: &str) {
        self.text(name);
        self.0.push(':');
    }

    fn integer(&mut self, value: impl Into<i128>) {
        write!(self.0, "{}", value.into()).expect("invariant: a text takes all");
    }

    /// The decimal beside the bits.
    fn float(&mut self, value: f64) {
        let (decimal, bits) = (number(value), value.to_bits());
        write!(self.0, "[{decimal},\"{bits:016x}\"]").expect("invariant: a text takes all");
    }

    fn text(&mut self, text: &str) {
        self.0.push('"');
        for c in text.chars() {
            match c {
                '"' => self.0 += "\\\"",
                '\\' => self.0 += "\\\\",
                '\u{8}' => self.0 += "\\b",
                '\t' => self.0 += "\\t",
                '\n' => self.0 += "\\n",
                '\u{c}' => self.0 += "\\f",
                '\r' => self.0 += "\\r",
                c if c < ' ' => {
                    write!(self.0, "\\u{:04x}", u32::from(c)).expect("invariant: a text takes all");
                }
                c => self.0.push(c),
            }
        }
        self.0.push('"');
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Out, T)) {
        match value {
            Some(value) => write(self, value),
            None => self.0 += "null",
        }
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Out, &T)) {
        self.0.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.0.push(',');
            }
            write(self, item);
        }
        self.0.push(']');
    }

    fn config(&mut self, config: &Config) {
        let Config { version, alpha, rho, delta, warm_up_seconds, share, guard } = *config;
        let Guard { train_requests, train_seconds, opening_seconds } = guard;
        self.0.push('{');
        self.first("alpha");
        self.float(alpha);
        self.key("delta");
        self.float(delta);
        self.key("guard");
        self.0.push('{');
        self.first("opening_seconds");
        self.integer(opening_seconds);
        self.key("train_requests");
        self.integer(train_requests);
        self.key("train_seconds");
        self.integer(train_seconds);
        self.0.push('}');
        self.key("rho");
        self.float(rho);
        self.key("share");
        self.option(share, Out::float);
        self.key("version");
        self.integer(version);
        self.key("warm_up_seconds");
        self.integer(warm_up_seconds);
        self.0.push('}');
    }

    fn outcome(&mut self, outcome: &Outcome) {
        self.0.push('{');
        self.first("baseline_bad");
        self.integer(outcome.baseline_bad);
        self.key("baseline_n");
        self.integer(outcome.baseline_n);
        self.key("canary_bad");
        self.integer(outcome.canary_bad);
        self.key("canary_n");
        self.integer(outcome.canary_n);
        self.key("decision_second");
        self.option(outcome.decision_second, Out::integer);
        self.key("first_bad_second");
        self.option(outcome.first_bad_second, Out::integer);
        self.key("log_e");
        self.float(outcome.log_e);
        self.key("log_e_max");
        self.float(outcome.log_e_max);
        self.key("log_e_unguarded");
        self.float(outcome.log_e_unguarded);
        self.key("missing");
        self.missing(outcome.verdict);
        self.key("ratio_at_most");
        self.option(outcome.ratio_at_most, Out::float);
        self.key("reason");
        self.text(&outcome.reason);
        self.key("smallest_ratio");
        self.option(outcome.smallest_ratio, Out::float);
        self.key("verdict");
        self.text(verdict_name(outcome.verdict));
        self.0.push('}');
    }

    fn missing(&mut self, verdict: Verdict) {
        let Verdict::Inconclusive { missing } = verdict else {
            self.0 += "null";
            return;
        };
        self.0.push('{');
        if let Missing::Requests { canary } = missing {
            self.first("canary");
            self.integer(canary);
            self.0.push(',');
        }
        self.first("kind");
        self.text(missing_name(missing));
        if let Missing::WarmUp { seconds } = missing {
            self.key("seconds");
            self.integer(seconds);
        }
        self.0.push('}');
    }

    fn step(&mut self, step: &Step) {
        self.0.push('[');
        self.integer(step.second);
        self.0.push(',');
        self.0 += if step.failed { "true" } else { "false" };
        self.0.push(',');
        self.float(step.log_e);
        self.0.push(']');
    }

    fn tick(&mut self, tick: &Tick) {
        let Tick { second, stratum, canary, baseline } = *tick;
        let counts = [canary.n, canary.bad, baseline.n, baseline.bad];
        self.0.push('[');
        self.integer(second);
        self.0.push(',');
        self.integer(stratum);
        for count in counts {
            self.0.push(',');
            self.integer(count);
        }
        self.0.push(']');
    }
}
