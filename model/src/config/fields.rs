//! The reader of a tree: every problem is reported, reading goes on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use crate::diagnostic::{Code, Diagnostic, Diagnostics, Place, nearest};

use super::expand::expanded;
use super::field::{Field, FieldDoc, Found, Presence};
use super::tree::{Entry, Node, Value};
use super::value::{parse_duration, parse_size, show_duration, show_size};
use super::{Environment, Secret, code};

/// One reading of one tree.
pub(super) struct Reading<'r> {
    environment: &'r Environment,
    /// Whether absent sections, items and values are described too.
    documenting: bool,
    kept: RefCell<Kept>,
}

struct Kept {
    problems: Diagnostics,
    docs: Vec<FieldDoc>,
}

impl<'r> Reading<'r> {
    pub(super) fn new(
        environment: &'r Environment,
        problems: Diagnostics,
        documenting: bool,
    ) -> Reading<'r> {
        let kept = RefCell::new(Kept { problems, docs: Vec::new() });
        Reading { environment, documenting, kept }
    }

    pub(super) fn finish(self) -> (Diagnostics, Vec<FieldDoc>) {
        let kept = self.kept.into_inner();
        (kept.problems, kept.docs)
    }

    pub(super) fn push(&self, diagnostic: Diagnostic) {
        self.kept.borrow_mut().problems.push(diagnostic);
    }

    pub(super) fn error(&self, code: Code, place: Place, message: String) {
        self.push(Diagnostic::error(code, Some(place), message));
    }

    pub(super) fn record(&self, doc: FieldDoc) {
        if self.documenting {
            self.kept.borrow_mut().docs.push(doc);
        }
    }

    fn mask(&self, place: &Place) {
        self.kept.borrow_mut().problems.mask(place);
    }

    pub(super) fn root<T>(
        &'r self,
        root: &'r Node,
        describe: impl FnOnce(&mut Fields<'r>) -> T,
    ) -> T {
        let mut within = root.place.clone();
        within.span.end = within.span.start;
        self.mapping(Some(root), within, Key::root(), describe)
    }

    /// Describes a mapping and reports the keys nobody asked for. Nothing and null are an empty
    /// mapping, so that a section with all keys commented out is one.
    fn mapping<T>(
        &'r self,
        node: Option<&'r Node>,
        within: Place,
        key: Key,
        describe: impl FnOnce(&mut Fields<'r>) -> T,
    ) -> T {
        let (entries, wrong) = match node {
            Some(Node { value: Value::Mapping(entries), .. }) => (entries.as_slice(), None),
            Some(node) if !node.is_null() => (&[][..], Some(node)),
            _ => (&[][..], None),
        };
        if let Some(node) = wrong {
            self.wrong_type(&key.shown, "a mapping", node);
        }
        let mut fields = Fields {
            reading: self,
            entries,
            within,
            path: key.path,
            known: Vec::new(),
            guarded: false,
        };
        if wrong.is_some() && !self.documenting {
            // Its missing keys are no news.
            let before = self.kept.borrow().problems.clone();
            let value = describe(&mut fields);
            self.kept.borrow_mut().problems = before;
            return value;
        }
        let value = describe(&mut fields);
        fields.close();
        value
    }

    fn wrong_type(&self, key: &str, wanted: &str, node: &Node) {
        let message = format!("{key} must be {wanted}");
        self.error(code::WRONG_TYPE, node.place.clone(), message);
    }

    /// Reads a scalar; `key` is how messages name it.
    fn scalar<T>(
        &self,
        node: Option<&Node>,
        key: &str,
        wanted: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Found<T> {
        let Some(node) = node else { return Found::Absent };
        let text = match &node.value {
            Value::Scalar { text, .. } if !node.is_null() && !text.is_empty() => text,
            Value::Scalar { .. } => {
                self.error(code::EMPTY, node.place.clone(), format!("{key} is empty"));
                return Found::Bad;
            }
            Value::List(_) | Value::Mapping(_) => {
                self.wrong_type(key, wanted, node);
                return Found::Bad;
            }
        };
        let text = match expanded(text, self.environment) {
            Ok(text) if text.is_empty() => {
                let message = format!("{key} is empty once its variables are replaced");
                self.error(code::EMPTY, node.place.clone(), message);
                return Found::Bad;
            }
            Ok(text) => text,
            Err(words) => {
                self.error(code::BAD_VARIABLE, node.place.clone(), words);
                return Found::Bad;
            }
        };
        if let Some(value) = read(&text) {
            return Found::Good(value, node.place.clone());
        }
        self.wrong_type(key, wanted, node);
        Found::Bad
    }
}

impl Reading<'_> {
    /// A scalar's text, whatever is in it.
    fn verbatim(&self, node: Option<&Node>, key: &str) -> Found<String> {
        match node.map(|node| (&node.value, node)) {
            None => Found::Absent,
            Some((Value::Scalar { text, .. }, node)) if !node.is_null() => {
                Found::Good(text.clone(), node.place.clone())
            }
            Some((Value::Scalar { .. }, node)) => {
                self.error(code::EMPTY, node.place.clone(), format!("{key} is empty"));
                Found::Bad
            }
            Some((_, node)) => {
                self.wrong_type(key, "a text", node);
                Found::Bad
            }
        }
    }
}

/// How a node is reached: for messages and for the reference page.
struct Key {
    shown: String,
    path: String,
}

impl Key {
    fn root() -> Key {
        Key { shown: "the file".to_owned(), path: String::new() }
    }
}

/// A type whose values are words in a file.
pub trait Choice: Copy + PartialEq + 'static {
    /// Each value and its word.
    const WORDS: &'static [(&'static str, Self)];
}

/// The keys of one mapping. Each accessor names a key once; keys never named are unknown.
pub struct Fields<'r> {
    reading: &'r Reading<'r>,
    entries: &'r [Entry],
    within: Place,
    path: String,
    known: Vec<String>,
    /// What stands under an unknown key may be a mistyped secret.
    guarded: bool,
}

impl<'r> Fields<'r> {
    /// Where the mapping's key stands, or the mapping where it has none.
    #[must_use]
    pub fn place(&self) -> Place {
        self.within.clone()
    }

    /// Where the value of a key stands.
    #[must_use]
    pub fn place_of(&self, key: &str) -> Option<Place> {
        self.entry(key).map(|entry| entry.node.place.clone())
    }

    /// Whether a key is written.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Reports a problem that this reader cannot see.
    pub fn push(&self, diagnostic: Diagnostic) {
        self.reading.push(diagnostic);
    }

    /// Hides what stands under unknown keys, and texts where a mapping belongs: either may be a
    /// secret in the wrong place. So does a mapping that has a secret.
    pub fn guard(&mut self) {
        self.guarded = true;
    }

    /// A text, not empty.
    pub fn text(&mut self, key: &str, help: &'static str) -> Field<'r, String> {
        let read = |text: &str| Some(text.to_owned());
        self.scalar(key, ("text", "a text"), help, read, String::clone)
    }

    /// A text as it is written: it may be empty, and `$` stands for itself.
    pub fn verbatim(&mut self, key: &str, help: &'static str) -> Field<'r, String> {
        let (entry, named) = self.named(key);
        let found = self.reading.verbatim(entry.map(|entry| &entry.node), &named.shown);
        self.field(key, "text", help, found, String::clone)
    }

    /// A duration with units: `1h30m`.
    pub fn duration(&mut self, key: &str, help: &'static str) -> Field<'r, Duration> {
        let words = ("duration", "a duration such as `1h30m` or `500ms`");
        self.scalar(key, words, help, parse_duration, |value| show_duration(*value))
    }

    /// A number of bytes with a unit: `64MiB`.
    pub fn size(&mut self, key: &str, help: &'static str) -> Field<'r, u64> {
        let words = ("size", "a size such as `64MiB` or `10GB`");
        self.scalar(key, words, help, parse_size, |value| show_size(*value))
    }

    /// A whole number, not negative.
    pub fn integer(&mut self, key: &str, help: &'static str) -> Field<'r, u64> {
        let read = |text: &str| text.parse().ok().filter(|_| !text.starts_with('+'));
        self.scalar(key, ("integer", "a whole number"), help, read, u64::to_string)
    }

    /// A finite number.
    pub fn number(&mut self, key: &str, help: &'static str) -> Field<'r, f64> {
        let read = |text: &str| text.parse().ok().filter(|value: &f64| value.is_finite());
        self.scalar(key, ("number", "a number"), help, read, f64::to_string)
    }

    /// `true` or `false`.
    pub fn flag(&mut self, key: &str, help: &'static str) -> Field<'r, bool> {
        let read = |text: &str| text.parse().ok();
        self.scalar(key, ("true or false", "`true` or `false`"), help, read, bool::to_string)
    }

    /// What a type of its own reads; `wanted` completes the sentence `… must be …`.
    pub fn parsed<T: FromStr + Display>(
        &mut self,
        key: &str,
        wanted: &'static str,
        help: &'static str,
    ) -> Field<'r, T> {
        self.scalar(key, (wanted, wanted), help, |text| text.parse().ok(), T::to_string)
    }

    /// One of some words.
    pub fn choice<T: Choice>(&mut self, key: &str, help: &'static str) -> Field<'r, T> {
        let all: Vec<String> = T::WORDS.iter().map(|(word, _)| format!("`{word}`")).collect();
        let wanted = format!("one of {}", all.join(", "));
        let read = |text: &str| T::WORDS.iter().find(|(word, _)| *word == text).map(|(_, t)| *t);
        let show = |value: &T| {
            let word = T::WORDS.iter().find(|(_, t)| t == value).map_or("", |(word, _)| word);
            word.to_owned()
        };
        self.scalar(key, ("choice", &wanted), help, read, show)
    }

    /// A secret under `key`, or the path of its file under `key` with `_file` added.
    pub fn secret(&mut self, key: &str, help: &'static str) -> Field<'r, Secret> {
        self.guarded = true;
        let file_key = format!("{key}_file");
        let file = self.parsed::<String>(&file_key, "a path", "The path of a file with it.");
        let inline = self.entry(key).map(|entry| &entry.node.place);
        if let Some(place) = inline {
            self.reading.mask(place);
        }
        let hidden = |_: &Secret| String::new();
        let read = |text: &str| Some(Secret::text(text));
        let mut field = self.scalar(key, ("secret", "a text"), help, read, hidden);
        match (&field.found, &file.found) {
            (Found::Absent, Found::Good(path, place)) => {
                field.found = Found::Good(Secret::file(path), place.clone());
            }
            (Found::Absent, Found::Bad) => field.found = Found::Bad,
            (Found::Good(..), Found::Good(_, place)) => {
                let message = format!("`{key}` and `{file_key}` exclude each other");
                field.refuse(Diagnostic::error(code::CONFLICT, Some(place.clone()), message));
            }
            _ => {}
        }
        file.optional();
        field
    }

    /// A section that may be left out: its keys then have their defaults.
    pub fn section<T>(&mut self, key: &str, describe: impl FnOnce(&mut Fields<'r>) -> T) -> T {
        let (entry, named) = self.named(key);
        let node = entry.map(|entry| &entry.node).filter(|_| self.guarded);
        if let Some(Node { value: Value::Scalar { .. }, place }) = node {
            self.reading.mask(place);
        }
        let within = entry.map_or_else(|| self.within.clone(), |entry| entry.place.clone());
        self.reading.mapping(entry.map(|entry| &entry.node), within, named, describe)
    }

    /// A section that means something by being there.
    pub fn optional_section<T>(
        &mut self,
        key: &str,
        describe: impl FnOnce(&mut Fields<'r>) -> T,
    ) -> Option<T> {
        let written = self.has(key);
        if written || self.reading.documenting {
            let value = self.section(key, describe);
            return written.then_some(value);
        }
        self.known.push(key.to_owned());
        None
    }

    /// A list; `describe` reads each item. An empty one is refused.
    pub fn list<T>(
        &mut self,
        key: &str,
        help: &'static str,
        mut describe: impl FnMut(&mut Item<'r>) -> T,
    ) -> Field<'r, Vec<T>> {
        let (entry, named) = self.named(key);
        let mut field = self.collection(key, "list", help, entry);
        let path = format!("{}[]", named.path);
        let item = |node, place| {
            let key = Key { shown: format!("an item of {}", named.shown), path: path.clone() };
            describe(&mut Item { reading: self.reading, node, place, key })
        };
        let mut item = item;
        match entry.map(|entry| (&entry.node, &entry.node.value)) {
            None if self.reading.documenting => {
                item(None, self.within.clone());
            }
            None => {}
            Some((node, Value::List(nodes))) if !nodes.is_empty() => {
                let items = nodes.iter().map(|node| item(Some(node), node.place.clone()));
                field.found = Found::Good(items.collect(), node.place.clone());
            }
            Some((node, _)) => self.not_a_collection(&named.shown, "a list", node),
        }
        field
    }

    /// A mapping with keys of the user's choice; `describe` reads each value. An empty one is
    /// refused.
    pub fn map<T>(
        &mut self,
        key: &str,
        help: &'static str,
        mut describe: impl FnMut(&str, &mut Item<'r>) -> T,
    ) -> Field<'r, BTreeMap<String, T>> {
        let (entry, named) = self.named(key);
        let mut field = self.collection(key, "map", help, entry);
        let path = format!("{}.<name>", named.path);
        let mut value = |name: &str, node, place| {
            let key = Key { shown: format!("`{name}`"), path: path.clone() };
            describe(name, &mut Item { reading: self.reading, node, place, key })
        };
        match entry.map(|entry| (&entry.node, &entry.node.value)) {
            None if self.reading.documenting => {
                value("name", None, self.within.clone());
            }
            None => {}
            Some((node, Value::Mapping(entries))) if !entries.is_empty() => {
                let values = entries.iter().map(|entry| {
                    let value = value(&entry.key, Some(&entry.node), entry.place.clone());
                    (entry.key.clone(), value)
                });
                field.found = Found::Good(values.collect(), node.place.clone());
            }
            Some((node, _)) => self.not_a_collection(&named.shown, "a mapping", node),
        }
        field
    }

    fn collection<T>(
        &self,
        key: &str,
        kind: &'static str,
        help: &'static str,
        entry: Option<&Entry>,
    ) -> Field<'r, T> {
        let found = if entry.is_some() { Found::Bad } else { Found::Absent };
        self.field(key, kind, help, found, |_| "empty".to_owned())
    }

    fn not_a_collection(&self, key: &str, wanted: &str, node: &Node) {
        let empty = match &node.value {
            Value::List(items) => items.is_empty(),
            Value::Mapping(entries) => entries.is_empty(),
            Value::Scalar { .. } => node.is_null(),
        };
        if empty {
            self.reading.error(code::EMPTY, node.place.clone(), format!("{key} is empty"));
        } else {
            self.reading.wrong_type(key, wanted, node);
        }
    }

    fn scalar<T>(
        &mut self,
        key: &str,
        (kind, wanted): (&'static str, &str),
        help: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
        show: fn(&T) -> String,
    ) -> Field<'r, T> {
        let (entry, named) = self.named(key);
        let node = entry.map(|entry| &entry.node);
        let found = self.reading.scalar(node, &named.shown, wanted, read);
        self.field(key, kind, help, found, show)
    }

    fn field<T>(
        &self,
        key: &str,
        kind: &'static str,
        help: &'static str,
        found: Found<T>,
        show: fn(&T) -> String,
    ) -> Field<'r, T> {
        let doc = FieldDoc { name: self.path_of(key), kind, presence: Presence::Optional, help };
        let within = self.within.clone();
        Field { reading: self.reading, key: key.to_owned(), within, doc, found, show }
    }

    fn entry(&self, key: &str) -> Option<&'r Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Looks a key up and makes it known.
    fn named(&mut self, key: &str) -> (Option<&'r Entry>, Key) {
        self.known.push(key.to_owned());
        (self.entry(key), Key { shown: format!("`{key}`"), path: self.path_of(key) })
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn close(self) {
        for entry in self.entries.iter().filter(|entry| !self.known.contains(&entry.key)) {
            if self.guarded {
                self.reading.mask(&entry.node.place);
            }
            let message = format!("unknown key `{}`", entry.key);
            let problem = Diagnostic::error(code::UNKNOWN_KEY, Some(entry.place.clone()), message);
            let unused = self.known.iter().filter(|known| !self.has(known));
            self.reading.push(match nearest(&entry.key, unused.map(String::as_str)) {
                Some(near) => problem.with_help(format!("did you mean `{near}`?")),
                None => problem,
            });
        }
    }
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fields").field("path", &self.path).finish_non_exhaustive()
    }
}

/// An item of a list or a value of a map. Where a problem was found the value stands for nothing.
pub struct Item<'r> {
    reading: &'r Reading<'r>,
    node: Option<&'r Node>,
    place: Place,
    key: Key,
}

impl<'r> Item<'r> {
    /// Where it stands; for a value of a map its key.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place.clone()
    }

    /// Reports a problem that this reader cannot see.
    pub fn push(&self, diagnostic: Diagnostic) {
        self.reading.push(diagnostic);
    }

    /// A text, not empty.
    pub fn text(&mut self) -> String {
        self.scalar("a text", |text| Some(text.to_owned())).unwrap_or_default()
    }

    /// A secret in the file itself, not empty.
    pub fn secret(&mut self) -> Secret {
        self.reading.mask(self.node.map_or(&self.place, |node| &node.place));
        Secret::text(self.text())
    }

    /// A text as it is written: it may be empty, and `$` stands for itself.
    pub fn verbatim(&mut self) -> String {
        match self.reading.verbatim(self.node, &self.key.shown) {
            Found::Good(text, _) => text,
            Found::Bad | Found::Absent => String::new(),
        }
    }

    /// A list of texts.
    pub fn texts(&mut self) -> Vec<String> {
        let Some(node) = self.node else { return Vec::new() };
        let Value::List(nodes) = &node.value else {
            self.reading.wrong_type(&self.key.shown, "a list", node);
            return Vec::new();
        };
        let text = |node: &'r Node| {
            let shown = format!("an item of {}", self.key.shown);
            let key = Key { shown, path: self.key.path.clone() };
            Item { reading: self.reading, node: Some(node), place: node.place.clone(), key }.text()
        };
        nodes.iter().map(text).collect()
    }

    /// What a type of its own reads; `wanted` completes the sentence `… must be …`.
    pub fn parsed<T: FromStr>(&mut self, wanted: &'static str) -> Option<T> {
        self.scalar(wanted, |text| text.parse().ok())
    }

    /// A mapping.
    pub fn fields<T>(&mut self, describe: impl FnOnce(&mut Fields<'r>) -> T) -> T {
        let key = Key { shown: self.key.shown.clone(), path: self.key.path.clone() };
        self.reading.mapping(self.node, self.place.clone(), key, describe)
    }

    fn scalar<T>(&self, wanted: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        match self.reading.scalar(self.node, &self.key.shown, wanted, read) {
            Found::Good(value, _) => Some(value),
            Found::Bad | Found::Absent => None,
        }
    }
}

impl fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item").field("path", &self.key.path).finish_non_exhaustive()
    }
}
