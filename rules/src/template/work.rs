//! What one expansion may cost: work in units that no clock measures, and texts of a bounded size.
//!
//! A unit is about a byte read or written. All that an expansion keeps has been paid for when it
//! was made, so that the bound of its work bounds its memory as well.

use std::fmt;

use gotmpl::{TemplateError, Value};

use super::Shared;

/// Bytes of a template as written, of what it makes, and of what one function makes.
pub const TEXT_BYTES_MAX: usize = 64 << 10;

/// Units of work of one expansion; some tenths of a second where they are spent at their worst.
pub const WORK_MAX: usize = 16 << 20;

/// Units of an expression, and of a function's call.
pub(super) const STEP: usize = 64;

/// Maps that stand one in the other.
const NESTING_MAX: usize = 32;

impl Shared {
    /// Takes units from what is left.
    ///
    /// # Errors
    /// Nothing is left.
    pub(super) fn spend(&self, units: usize) -> Result<(), TemplateError> {
        let mut kept = self.kept();
        kept.work = kept.work.saturating_add(units);
        if kept.work > WORK_MAX {
            let message = format!("the template takes more than {WORK_MAX} units of work");
            return Err(TemplateError::Exec(message));
        }
        Ok(())
    }

    /// Takes what an argument of a function costs.
    pub(super) fn spend_argument(&self, value: &Value) -> Result<(), TemplateError> {
        self.spend(value.as_str().map_or(0, str::len))
    }

    /// Takes what a function has made, if it is no longer than a text may be.
    pub(super) fn spend_result(&self, name: &str, value: &Value) -> Result<(), TemplateError> {
        let length = value.as_str().map_or(0, str::len);
        if length > TEXT_BYTES_MAX {
            return Err(TemplateError::Exec(format!("{name} {}", TooLong)));
        }
        self.spend(length)
    }

    /// Looks through maps that are put into another one: one in the other they would end the
    /// process when they are printed or dropped.
    pub(super) fn spend_nested(&self, value: &Value) -> Result<(), TemplateError> {
        self.nested(value, NESTING_MAX)
    }

    fn nested(&self, value: &Value, left: usize) -> Result<(), TemplateError> {
        self.spend(STEP)?;
        let Value::Map(entries) = value else { return Ok(()) };
        let Some(left) = left.checked_sub(1) else {
            let message = format!("more than {NESTING_MAX} maps stand one in the other");
            return Err(TemplateError::Exec(message));
        };
        entries.values().try_for_each(|value| self.nested(value, left))
    }
}

/// Why a text is not there.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "makes more than {TEXT_BYTES_MAX} bytes")
    }
}

/// Text up to [`TEXT_BYTES_MAX`].
#[derive(Default)]
pub(super) struct Bounded {
    text: String,
    is_full: bool,
}

impl Bounded {
    /// The text, if all of it had room.
    pub(super) fn finish(self) -> Result<String, TooLong> {
        if self.is_full { Err(TooLong) } else { Ok(self.text) }
    }

    /// As [`finish`](Self::finish), as what a function of a name has made.
    pub(super) fn made(self, name: &str) -> Result<Value, TemplateError> {
        match self.finish() {
            Ok(text) => Ok(Value::String(text.into())),
            Err(error) => Err(TemplateError::Exec(format!("{name} {error}"))),
        }
    }

    /// Adds a text; once there was no room, there is none.
    pub(super) fn push(&mut self, text: &str) {
        self.is_full |= self.text.len() + text.len() > TEXT_BYTES_MAX;
        if !self.is_full {
            self.text.push_str(text);
        }
    }

    /// Whether a text had no room.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        if self.is_full { Err(fmt::Error) } else { Ok(()) }
    }
}
