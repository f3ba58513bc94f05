//! YAML as a tree with places.
//!
//! [`parse`] is the one place that reads YAML; it takes the events of serde-saphyr's parser, since
//! deserialising would lose how scalars were written. Scalars keep their text: what `1.10` or `no`
//! means is decided by who asks. Aliases are copied and paid for; tags, merge keys and further
//! documents are refused.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_saphyr::granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span, Tag};

use crate::diagnostic::{Code, Diagnostic, Diagnostics, Place, Source};

use super::code;

/// Bytes of one configuration file.
pub(super) const TEXT_BYTES: usize = 1 << 20;

/// Bytes of one line; a place costs a walk along its line.
pub(super) const LINE_BYTES: usize = 16 << 10;

/// Collections within collections.
pub(super) const DEPTH: usize = 32;

/// Cost of all nodes of a text as large as [`TEXT_BYTES`], copies by alias included.
const COST_MAX: usize = 16 << 20;

/// Cost of a node beside its text: about its size in memory.
const NODE_COST: usize = 128;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its first and last byte; for a collection in block style the first item's beginning.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// The three kinds of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text as written, escapes resolved.
    Scalar {
        /// The text.
        text: String,
        /// Whether it was in quotes or a block, so that it cannot be null.
        quoted: bool,
    },
    /// Values in order.
    List(Vec<Node>),
    /// Keys and values in order; each key once.
    Mapping(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// The value.
    pub node: Node,
}

impl Node {
    /// Whether nothing was written: an empty plain scalar, `~` or `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar { text, quoted } => {
                !quoted && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            Value::List(_) | Value::Mapping(_) => false,
        }
    }
}

/// Reads one YAML document; an empty one is an empty mapping. No tree comes where reading had to
/// stop; repeated keys and features of YAML that are not supported leave a tree and are reported.
#[must_use]
pub fn parse(source: Source) -> (Option<Node>, Diagnostics) {
    parse_within(source, TEXT_BYTES)
}

/// As [`parse`], of a text of at most so many bytes; the tree may cost sixteen times as much.
#[must_use]
pub fn parse_within(source: Source, bytes_max: usize) -> (Option<Node>, Diagnostics) {
    let start = source.place(0..0);
    let mut problems = Diagnostics::of(source.clone());
    if source.text().len() > bytes_max {
        let message = format!("the file is larger than {bytes_max} bytes");
        problems.push(Diagnostic::error(code::TOO_LARGE, Some(start), message));
        return (None, problems);
    }
    if let Some(at) = long_line(source.text()) {
        let message = format!("the line is longer than {LINE_BYTES} bytes");
        problems.push(Diagnostic::error(code::TOO_LARGE, Some(source.place(at..at)), message));
        return (None, problems);
    }
    let cost_max = (COST_MAX / TEXT_BYTES).saturating_mul(bytes_max);
    let mut builder = Builder { problems, cost_max, ..Builder::new(&source) };
    let read = builder.read();
    let Builder { problems, root, .. } = builder;
    let empty = Node { place: start, value: Value::Mapping(Vec::new()) };
    (read.map(|()| root.unwrap_or(empty)), problems)
}

/// Where the first line begins that is too long.
fn long_line(text: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.len() > LINE_BYTES {
            return Some(at);
        }
        at += line.len();
    }
    None
}

/// A finished node, what it costs and how deep it is.
#[derive(Clone)]
struct Built {
    node: Node,
    cost: usize,
    depth: usize,
}

/// A collection being read.
struct Open {
    start: usize,
    anchor: usize,
    cost: usize,
    depth: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    /// Entries, the line of each key, the key that waits for its value.
    Mapping(Vec<Entry>, BTreeMap<String, usize>, Option<Key>),
}

/// A key whose value comes next; without a text if it was refused.
struct Key {
    text: Option<String>,
    place: Place,
}

struct Builder<'a> {
    source: &'a Source,
    problems: Diagnostics,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Built>,
    cost: usize,
    cost_max: usize,
    documents: usize,
    root: Option<Node>,
}

/// `None` ends the reading; the problem has been reported.
type Step = Option<()>;

impl<'a> Builder<'a> {
    fn new(source: &'a Source) -> Builder<'a> {
        Builder {
            source,
            problems: Diagnostics::default(),
            open: Vec::new(),
            anchors: BTreeMap::new(),
            cost: 0,
            cost_max: COST_MAX,
            documents: 0,
            root: None,
        }
    }

    fn read(&mut self) -> Step {
        let source = self.source;
        for event in Parser::new_from_str(source.text()) {
            match event {
                Ok((event, span)) => self.event(event, span)?,
                Err(error) => {
                    let at = error.marker().byte_offset().unwrap_or(0);
                    // The parser looks ahead and may meet its own bound first.
                    if *error.kind() == ErrorKind::RecursionLimitExceeded {
                        return self.too_deep(at..at);
                    }
                    let message = format!("not valid YAML: {}", error.info());
                    return self.stop(code::BAD_YAML, at..at, message);
                }
            }
        }
        Some(())
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Step {
        let span = bytes(&span);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let message = "a second document begins here; only one is read";
                    return self.stop(code::UNSUPPORTED_YAML, span, message);
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = self.quoted(style, tag.as_deref(), &span);
                let cost = NODE_COST + text.len();
                let value = Value::Scalar { text: text.into_owned(), quoted };
                let node = Node { place: self.source.place(span), value };
                return self.finished(Built { node, cost, depth: 0 }, anchor);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &span);
                return self.begin(&span, anchor, Items::List(Vec::new()));
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &span);
                return self.begin(
                    &span,
                    anchor,
                    Items::Mapping(Vec::new(), BTreeMap::new(), None),
                );
            }
            Event::SequenceEnd | Event::MappingEnd => return self.end(&span),
            Event::Alias(anchor) => {
                let Some(built) = self.anchors.get(&anchor).cloned() else {
                    return self.stop(code::BAD_YAML, span, "an alias of what it stands in");
                };
                if self.open.len() + built.depth > DEPTH {
                    return self.too_deep(span);
                }
                return self.finished(built, 0);
            }
            _ => {}
        }
        Some(())
    }

    fn begin(&mut self, span: &Range<usize>, anchor: usize, items: Items) -> Step {
        if self.open.len() == DEPTH {
            return self.too_deep(span.clone());
        }
        self.open.push(Open { start: span.start, anchor, cost: NODE_COST, depth: 0, items });
        Some(())
    }

    fn end(&mut self, span: &Range<usize>) -> Step {
        let Open { start, anchor, cost, depth, items } = self.open.pop()?;
        let value = match items {
            Items::List(items) => Value::List(items),
            Items::Mapping(entries, ..) => Value::Mapping(entries),
        };
        let node = Node { place: self.source.place(start..span.end), value };
        self.finished(Built { node, cost, depth: depth + 1 }, anchor)
    }

    /// Keeps a node for its aliases and puts it where it belongs.
    fn finished(&mut self, built: Built, anchor: usize) -> Step {
        let copies = 1 + usize::from(anchor > 0);
        self.cost = self.cost.saturating_add(built.cost.saturating_mul(copies));
        if self.cost > self.cost_max {
            let message = "too many values; aliases count with all they stand for";
            return self.stop(code::TOO_LARGE, built.node.place.span, message);
        }
        if anchor > 0 {
            self.anchors.insert(anchor, built.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(built.node);
            return Some(());
        };
        parent.cost += built.cost;
        parent.depth = parent.depth.max(built.depth);
        match &mut parent.items {
            Items::List(items) => items.push(built.node),
            Items::Mapping(_, _, key @ None) => {
                let place = built.node.place.clone();
                let text = match built.node.value {
                    Value::Scalar { text, .. } => Some(text),
                    Value::List(_) | Value::Mapping(_) => None,
                };
                *key = Some(Key { text, place });
            }
            Items::Mapping(entries, lines, key) => {
                let Some(key) = key.take() else { return Some(()) };
                if let Some(refused) = enter(entries, lines, key, built.node) {
                    self.problems.push(refused);
                }
            }
        }
        Some(())
    }

    /// Whether a scalar is surely a text.
    fn quoted(&mut self, style: ScalarStyle, tag: Option<&Tag>, span: &Range<usize>) -> bool {
        let text = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
        if !text {
            self.refuse_tag(tag, span);
        }
        text || style != ScalarStyle::Plain
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, span: &Range<usize>) {
        if tag.is_some() {
            let place = self.source.place(span.clone());
            let message = "tags are not supported";
            self.problems.push(Diagnostic::error(code::UNSUPPORTED_YAML, Some(place), message));
        }
    }

    fn too_deep(&mut self, span: Range<usize>) -> Step {
        self.stop(code::TOO_DEEP, span, format!("more than {DEPTH} collections within each other"))
    }

    fn stop(&mut self, code: Code, span: Range<usize>, message: impl Into<String>) -> Step {
        let place = self.source.place(span);
        self.problems.push(Diagnostic::error(code, Some(place), message));
        None
    }
}

/// Adds an entry unless its key is no good, which is returned.
fn enter(
    entries: &mut Vec<Entry>,
    lines: &mut BTreeMap<String, usize>,
    key: Key,
    node: Node,
) -> Option<Diagnostic> {
    let Some(text) = key.text else {
        let message = "a key must be a text";
        return Some(Diagnostic::error(code::UNSUPPORTED_YAML, Some(key.place), message));
    };
    if text == "<<" {
        let message = "merge keys are not supported";
        return Some(Diagnostic::error(code::UNSUPPORTED_YAML, Some(key.place), message));
    }
    if let Some(first) = lines.get(&text) {
        let message = format!("the key `{text}` is given twice");
        let help = format!("first given on line {first}");
        return Some(
            Diagnostic::error(code::REPEATED_KEY, Some(key.place), message).with_help(help),
        );
    }
    lines.insert(text.clone(), key.place.line);
    entries.push(Entry { key: text, place: key.place, node });
    None
}

fn bytes(span: &Span) -> Range<usize> {
    let start = span.start.byte_offset().unwrap_or(0);
    start..span.end.byte_offset().unwrap_or(start).max(start)
}
