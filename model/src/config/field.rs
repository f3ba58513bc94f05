//! One field of a mapping, from the moment it was looked up to the value a `Spec` keeps.

use std::fmt;

use crate::diagnostic::{Code, Diagnostic, Place};

use super::code;
use super::fields::Reading;

/// What the reference page says of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDoc {
    /// Keys from the root, joined by dots; `[]` for any item, `<name>` for any key.
    pub name: String,
    /// The type in a word or two.
    pub kind: &'static str,
    /// Whether it must be there, and what stands for it if not.
    pub presence: Presence,
    /// What it is for, in a sentence.
    pub help: &'static str,
}

/// Whether a field must be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It must.
    Required,
    /// It may be left out, and nothing stands for it.
    Optional,
    /// It may be left out, and this stands for it.
    Default(String),
}

/// What was found under a key.
pub(super) enum Found<T> {
    Absent,
    /// A problem has been reported.
    Bad,
    Good(T, Place),
}

/// A field that was looked up; one of [`Field::required`], [`Field::or`] and [`Field::optional`]
/// makes it a value. Where a problem was found the value stands for nothing: it is dropped with
/// the `Spec`.
#[must_use]
pub struct Field<'r, T> {
    pub(super) reading: &'r Reading<'r>,
    pub(super) key: String,
    /// Where a missing field is reported.
    pub(super) within: Place,
    pub(super) doc: FieldDoc,
    pub(super) found: Found<T>,
    pub(super) show: fn(&T) -> String,
}

impl<T> Field<'_, T> {
    /// The value, which must be there.
    pub fn required(self) -> T
    where
        T: Default,
    {
        self.record(Presence::Required);
        match self.found {
            Found::Good(value, _) => value,
            Found::Bad => T::default(),
            Found::Absent => {
                let message = format!("the key `{}` is missing", self.key);
                self.reading.error(code::MISSING, self.within, message);
                T::default()
            }
        }
    }

    /// The value, or `default` where none is written.
    pub fn or(self, default: T) -> T {
        self.record(Presence::Default((self.show)(&default)));
        match self.found {
            Found::Good(value, _) => value,
            Found::Bad | Found::Absent => default,
        }
    }

    /// The value, if one is written.
    pub fn optional(self) -> Option<T> {
        self.record(Presence::Optional);
        match self.found {
            Found::Good(value, _) => Some(value),
            Found::Bad | Found::Absent => None,
        }
    }

    /// Refuses values outside `least..=most`.
    pub fn between(self, least: T, most: T) -> Self
    where
        T: PartialOrd,
    {
        let range = format!("between {} and {}", (self.show)(&least), (self.show)(&most));
        self.tested(code::OUT_OF_RANGE, |value| {
            if *value >= least && *value <= most { Ok(()) } else { Err(format!("must be {range}")) }
        })
    }

    /// Refuses values that make no sense; the words follow the key's name: `must be …`.
    pub fn check(self, test: impl FnOnce(&T) -> Result<(), String>) -> Self {
        self.tested(code::INVALID, test)
    }

    fn tested(mut self, code: Code, test: impl FnOnce(&T) -> Result<(), String>) -> Self {
        if let Found::Good(value, place) = &self.found
            && let Err(words) = test(value)
        {
            self.reading.error(code, place.clone(), format!("`{}` {words}", self.key));
            self.found = Found::Bad;
        }
        self
    }

    /// Refuses what an earlier problem has not refused already.
    pub(super) fn refuse(&mut self, diagnostic: Diagnostic) {
        self.reading.push(diagnostic);
        self.found = Found::Bad;
    }

    fn record(&self, presence: Presence) {
        self.reading.record(FieldDoc { presence, ..self.doc.clone() });
    }
}

impl<T> fmt::Debug for Field<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Field").field("key", &self.key).finish_non_exhaustive()
    }
}
