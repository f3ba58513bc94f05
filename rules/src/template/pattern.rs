//! Patterns in templates: compiled once in an expansion, and paid for by what they may cost.

use bellwether_model::matcher::go_pattern;
use gotmpl::{TemplateError, Value};
use regex_automata::meta;
use regex_automata::util::captures::Captures;
use regex_automata::util::{interpolate, syntax};

use super::Shared;
use super::work::{Bounded, STEP, TEXT_BYTES_MAX};

/// Bytes of a compiled pattern.
const PROGRAM_BYTES: usize = 256 << 10;
/// Bytes of what a search keeps of a pattern's states.
const CACHE_BYTES: usize = 256 << 10;
/// Groups within groups of a pattern.
const PATTERN_NESTING: u32 = 100;
/// Groups of a pattern: a search may keep all of them for each of its states.
const GROUPS_MAX: usize = 50;
/// Patterns that are kept for the rest of an expansion.
const KEPT_MAX: usize = 16;
/// What the square of a compiled pattern's bytes is divided by, for the units of work of a byte
/// that is searched: small ones read it once, large ones visit all their states at each byte.
const SQUARE_A_UNIT: usize = 1 << 19;

/// A pattern and what a byte that it searches costs.
#[derive(Clone)]
pub(super) struct Pattern {
    regex: meta::Regex,
    rate: usize,
}

/// Whether a pattern is found anywhere in a text.
pub(super) fn is_match(shared: &Shared, written: &str, text: &str) -> Result<bool, TemplateError> {
    let pattern = shared.pattern(written)?;
    pattern.spend(shared, text, 0)?;
    Ok(pattern.regex.is_match(text))
}

/// `text` with all that a pattern finds replaced.
pub(super) fn replace(
    shared: &Shared,
    written: &str,
    with: &str,
    text: &str,
) -> Result<Value, TemplateError> {
    let pattern = shared.pattern(written)?;
    let mut out = Bounded::default();
    let mut kept = 0;
    pattern.spend(shared, text, 0)?;
    for found in pattern.regex.captures_iter(text) {
        let Some(whole) = found.get_match() else { continue };
        out.push(text.get(kept..whole.start()).unwrap_or(""));
        out.push(&filled(with, &found, text));
        kept = whole.end();
        if out.is_full() {
            break;
        }
        pattern.spend(shared, text, kept)?;
    }
    out.push(text.get(kept..).unwrap_or(""));
    out.made("reReplaceAll")
}

/// What stands in the place of one find; longer than a text may be, it ends early.
fn filled(with: &str, found: &Captures, text: &str) -> String {
    let mut out = String::new();
    interpolate::string(
        with,
        |index, out| {
            let group = found.get_group(index).and_then(|span| text.get(span.range()));
            if out.len() <= TEXT_BYTES_MAX {
                out.push_str(group.unwrap_or(""));
            }
        },
        |name| found.group_info().to_index(found.pattern().unwrap_or_default(), name),
        &mut out,
    );
    out
}

impl Pattern {
    fn new(written: &str) -> Result<Pattern, TemplateError> {
        let fault = |reason: &dyn std::fmt::Display| {
            TemplateError::Exec(format!("error parsing regexp {written:?}: {reason}"))
        };
        let rewritten = go_pattern(written).map_err(TemplateError::Exec)?;
        let config = meta::Config::new()
            .nfa_size_limit(Some(PROGRAM_BYTES))
            .onepass(false)
            .dfa(false)
            .hybrid_cache_capacity(CACHE_BYTES);
        let syntax = syntax::Config::new().unicode(true).nest_limit(PATTERN_NESTING);
        let built = meta::Regex::builder().configure(config).syntax(syntax).build(&rewritten);
        let regex = built.map_err(|error| match error.size_limit() {
            Some(limit) => fault(&format!("it compiles to more than {limit} bytes")),
            None => fault(&error),
        })?;
        if regex.captures_len() > GROUPS_MAX {
            return Err(fault(&format!("more than {GROUPS_MAX} groups")));
        }
        let size = regex.memory_usage();
        let rate = 1 + size.saturating_mul(size) / SQUARE_A_UNIT;
        Ok(Pattern { regex, rate })
    }

    /// Takes what a search from a byte of a text on may cost.
    fn spend(&self, shared: &Shared, text: &str, from: usize) -> Result<(), TemplateError> {
        shared.spend((text.len().saturating_sub(from) + 1).saturating_mul(self.rate))
    }
}

impl Shared {
    fn pattern(&self, written: &str) -> Result<Pattern, TemplateError> {
        if let Some(pattern) = self.kept().patterns.get(written) {
            return Ok(pattern.clone());
        }
        let pattern = Pattern::new(written)?;
        self.spend(written.len() * STEP + pattern.regex.memory_usage())?;
        let mut kept = self.kept();
        if kept.patterns.len() == KEPT_MAX {
            kept.patterns.clear();
        }
        kept.patterns.insert(written.to_owned(), pattern.clone());
        Ok(pattern)
    }
}
