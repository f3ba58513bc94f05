//! Templates in the labels and annotations of alerts: Go's `text/template` with Prometheus'
//! functions and the variables `$labels`, `$externalLabels`, `$externalURL`, `$value`.
//!
//! A text without `{{` costs nothing. A query inside a template is answered by the caller: the
//! template is run until no query is new, so that nothing of the caller's has to outlive the run.
//! The language itself is the crate `gotmpl`.

mod blocks;
mod fields;
mod functions;
mod humanize;
mod names;
mod pattern;
mod print;
mod printf;
mod rewrite;
#[cfg(test)]
mod tests;
mod work;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use bellwether_model::label::LabelSet;
use bellwether_model::time::Timestamp;
use gotmpl::parse::{ListNode, Node};
use gotmpl::{MissingKey, TemplateError, Value};

use functions::{FUNCTIONS, bound};
use names::Names;
use pattern::Pattern;
use work::Bounded;
pub use work::{TEXT_BYTES_MAX, WORK_MAX};

/// Items that one expansion walks over.
const RANGE_MAX: u64 = 10_000;

/// Queries of one expansion, one inside the other's text.
const QUERIES_MAX: usize = 16;

/// What stands before every template.
const PRELUDE: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
                       {{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// Put behind a text that is checked: the engine stops at an `end` too many without a word.
const SENTINEL: &str = "\u{1}";

/// Functions of the language itself.
const BUILTINS: &[&str] = &[
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or",
    "print", "printf", "println", "slice", "urlquery",
];

/// A template that parses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadTemplate {
    /// What is wrong.
    pub message: String,
    /// At which byte of the text, where that is known.
    pub at: Option<usize>,
}

/// What one expansion sees.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// Labels of the sample, its metric's name among them.
    pub labels: &'a LabelSet,
    /// Its value.
    pub value: f64,
    /// The time of evaluation.
    pub now: Timestamp,
    /// What is the same for all alerts of this collector.
    pub site: &'a Site,
}

/// How this collector is known outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// Added to alerts that go out.
    pub external_labels: LabelSet,
    /// Under which people reach it, without a slash at the end; empty if unsaid.
    pub external_url: String,
}

/// Answers the queries inside templates: samples in order, or why there are none.
pub type Queries<'a> = dyn FnMut(&str) -> Result<Vec<(LabelSet, f64)>, String> + 'a;

impl Template {
    /// Checks a text. `name` is how errors call it.
    ///
    /// # Errors
    /// The text does not parse, names a function or a variable that is not there, or is too long.
    pub fn new(name: &str, text: &str) -> Result<Template, BadTemplate> {
        if text.len() > TEXT_BYTES_MAX {
            let message = format!("the template is longer than {TEXT_BYTES_MAX} bytes");
            return Err(BadTemplate { message, at: None });
        }
        let mut names = Names::default();
        if text.contains("{{") {
            parsed(name, text)?;
            let parsed = parsed(name, &format!("{text}{SENTINEL}"))?;
            if !parsed.lookup(name).is_some_and(ends_with_sentinel) {
                return Err(blocks::unpaired(text));
            }
            for tree in parsed.templates() {
                parsed.lookup(tree).into_iter().for_each(|list| names.tree(list));
            }
        }
        let undefined = names.undefined(is_function);
        if let Some((place, what)) = undefined {
            let at = place.checked_sub(PRELUDE.len()).filter(|at| *at <= text.len());
            return Err(BadTemplate { message: what, at });
        }
        Ok(Template { text: text.to_owned() })
    }

    /// A text that is never expanded, unchecked.
    #[must_use]
    pub fn plain(text: &str) -> Template {
        Template { text: text.to_owned() }
    }

    /// The text as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text with everything filled in. What fails shows in its place, as in Prometheus:
    /// `<error expanding template: …>`.
    #[must_use]
    pub fn expand(&self, name: &str, data: Data<'_>, queries: &mut Queries<'_>) -> String {
        if !self.text.contains("{{") {
            return self.text.clone();
        }
        match self.run(name, data, queries) {
            Ok(text) => text,
            Err(error) => format!("<error expanding template: {error}>"),
        }
    }

    fn run(&self, name: &str, data: Data<'_>, queries: &mut Queries<'_>) -> Result<String, String> {
        let external_url = data.site.external_url.clone();
        let shared = Arc::new(Shared { now: data.now, external_url, kept: Mutex::default() });
        let parsed = parsed(name, &self.text).map_err(|error| error.message)?;
        let template = rewrite::rewritten(parsed).funcs(bound(&shared));
        let root = root(data);
        loop {
            let mut out = Bounded::default();
            let outcome = template.execute_template_fmt(&mut out, name, &root);
            let asked = std::mem::take(&mut shared.kept().asked);
            if asked.is_empty() {
                let failed = |why: &dyn Display| format!("error executing template {name}: {why}");
                let text = out.finish().map_err(|error| failed(&format!("it {error}")))?;
                return outcome.map(|()| text).map_err(|error| failed(&error));
            }
            for query in asked {
                if shared.kept().answers.len() == QUERIES_MAX {
                    return Err(format!("more than {QUERIES_MAX} queries in one template"));
                }
                let answer = queries(&query).map(|found| samples(&found));
                shared.kept().answers.insert(query, answer.map_err(QueryError));
            }
        }
    }
}

fn root(data: Data<'_>) -> Value {
    let site = data.site;
    map([
        ("Labels", labels(data.labels)),
        ("ExternalLabels", labels(&site.external_labels)),
        ("ExternalURL", Value::String(Arc::from(site.external_url.as_str()))),
        ("Value", Value::Float(data.value)),
    ])
}

fn samples(samples: &[(LabelSet, f64)]) -> Value {
    let sample = |(set, value): &(LabelSet, f64)| {
        map([("Labels", labels(set)), ("Value", Value::Float(*value))])
    };
    Value::List(samples.iter().map(sample).collect())
}

fn labels(labels: &LabelSet) -> Value {
    let entries = labels.iter().map(|(n, v)| (Arc::from(n), Value::String(Arc::from(v))));
    Value::Map(Arc::new(entries.collect()))
}

/// What the functions of one expansion share.
struct Shared {
    now: Timestamp,
    external_url: String,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    answers: BTreeMap<String, Result<Value, QueryError>>,
    asked: Vec<String>,
    patterns: BTreeMap<String, Pattern>,
    /// Units of work done, also by runs that ended at a query.
    work: usize,
}

/// Why a query has no answer.
#[derive(Clone)]
struct QueryError(String);

impl Shared {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer of a query if it is there; else the run ends and begins anew with it.
    fn answer(&self, query: &str) -> Result<Value, QueryError> {
        let mut kept = self.kept();
        if let Some(answer) = kept.answers.get(query) {
            return answer.clone();
        }
        kept.asked.push(query.to_owned());
        Err(QueryError("the query is not answered yet".to_owned()))
    }
}

fn parsed(name: &str, text: &str) -> Result<gotmpl::Template, BadTemplate> {
    let template = gotmpl::Template::new(name)
        .missing_key(MissingKey::ZeroValue)
        .max_range_iters(RANGE_MAX)
        .parse(&format!("{PRELUDE}{text}"));
    template.map_err(|error| match error {
        TemplateError::Parse { line, col, message, .. }
        | TemplateError::Lex { line, col, message, .. } => {
            let before = if line == 1 { PRELUDE.len() } else { 0 };
            let column = col.saturating_sub(before);
            BadTemplate { message, at: byte_at(text, line, column) }
        }
        other => BadTemplate { message: other.to_string(), at: None },
    })
}

/// The byte of a line and a column, both from 1.
fn byte_at(text: &str, line: usize, column: usize) -> Option<usize> {
    let before: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let mut chars = text.get(before..)?.char_indices();
    let within = chars.nth(column.saturating_sub(1));
    Some(within.map_or(text.len(), |(at, _)| before + at))
}

fn ends_with_sentinel(list: &ListNode) -> bool {
    matches!(list.nodes.last(), Some(Node::Text(text)) if text.text.ends_with(SENTINEL))
}

fn is_function(name: &str) -> bool {
    BUILTINS.contains(&name) || FUNCTIONS.iter().any(|(function, ..)| *function == name)
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(Arc::new(entries.into_iter().map(|(key, value)| (Arc::from(key), value)).collect()))
}
