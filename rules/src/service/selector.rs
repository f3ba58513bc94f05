//! Selectors of request series: PromQL's, without all that reads more than the last sample.

use bellwether_model::config::Fields;
use bellwether_model::diagnostic::{Code, Diagnostic, Place, Source};
use bellwether_model::label::METRIC_NAME;
use bellwether_model::matcher::Matcher;
use bellwether_promql::parse::{parse, parse_matchers};
use bellwether_promql::tree::Node;

use super::code::{ANY_NAME, FIXED, NOT_SERIES, SELECTOR};
use crate::reading::{byte_of, place_within};

/// What all selectors of a service have to do with.
pub(super) struct Selecting<'a> {
    /// The file.
    pub(super) source: &'a Source,
    /// The label that tells versions apart.
    pub(super) version: &'a str,
    /// The label that requests are compared within.
    pub(super) stratum: Option<&'a str>,
}

/// A selector as written.
pub(super) struct Written {
    pub(super) text: String,
    pub(super) place: Place,
    pub(super) matchers: Vec<Matcher>,
}

impl Selecting<'_> {
    /// Reads a key; `None` if it is not there, or wrong, which has been reported.
    pub(super) fn read(
        &self,
        f: &mut Fields<'_>,
        key: &'static str,
        help: &'static str,
    ) -> Option<Written> {
        let text = f.text(key, help).optional()?;
        let place = f.place_of(key)?;
        let matchers = match parse_matchers(&text) {
            Ok(matchers) => matchers,
            Err(error) => {
                let byte = error.position.map(|at| byte_of(&text, at));
                let place = byte.map_or(place.clone(), |byte| self.within(&place, &text, byte));
                f.push(match stands_there(&text) {
                    Some(what) => {
                        let message = format!("`{key}` must be a series selector, not {what}");
                        let problem = Diagnostic::error(NOT_SERIES, Some(place), message);
                        problem.with_help("name and labels alone: requests are counted each second")
                    }
                    None => {
                        let message = format!("`{key}` does not parse: {}", error.message);
                        Diagnostic::error(SELECTOR, Some(place), message)
                    }
                });
                return None;
            }
        };
        let written = Written { text, place, matchers };
        self.check(f, key, &written);
        Some(written)
    }

    fn check(&self, f: &Fields<'_>, key: &str, written: &Written) {
        let names = |matcher: &&Matcher| matcher.name() == METRIC_NAME;
        if !written.matchers.iter().filter(names).any(|m| !m.is_negative() && !m.matches_empty()) {
            let message = format!("`{key}` selects series of any name");
            let problem = Diagnostic::error(ANY_NAME, Some(written.place.clone()), message);
            f.push(problem.with_help("name the counter, such as `http_requests_total{…}`"));
        }
        let told_apart = [(Some(self.version), "versions"), (self.stratum, "requests")];
        for (label, what) in told_apart {
            let Some(label) = label else { continue };
            if let Some(matcher) = written.matchers.iter().find(|m| m.name() == label)
                && matcher.set_of_values().is_some()
            {
                let message =
                    format!("`{key}` fixes the label `{label}`, which tells {what} apart");
                let problem = self.problem(FIXED, written, label, message);
                f.push(problem.with_help(format!("leave `{label}` out of the selector")));
            }
        }
    }

    /// A problem of a word that a selector holds.
    pub(super) fn problem(
        &self,
        code: Code,
        written: &Written,
        word: &str,
        message: String,
    ) -> Diagnostic {
        let byte = written.text.find(word).unwrap_or(0);
        let place = self.within(&written.place, &written.text, byte);
        Diagnostic::error(code, Some(place), message)
    }

    fn within(&self, place: &Place, text: &str, byte: usize) -> Place {
        place_within(self.source, place, text, byte)
    }
}

/// What a query is that is more than a series selector; `None` if it is no query either.
fn stands_there(text: &str) -> Option<&'static str> {
    let expr = parse(text).ok()?;
    Some(match expr.node {
        Node::Selector(_) => "one of another time (`offset`, `@`)",
        Node::Range(_) | Node::Subquery(_) => "a range",
        Node::Call(_) => "a function",
        Node::Aggregate(_) => "an aggregation",
        Node::Number(_) => "a number",
        Node::Text(_) => "a string",
        Node::Paren(_) | Node::Unary(..) | Node::Binary(_) => "an expression",
    })
}
