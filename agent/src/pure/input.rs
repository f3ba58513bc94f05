//! The inputs: what each reads, and how its bytes become columns of a row.
//!
//! [`INPUTS`] is the one list. An input asks for files, is called once per row with their bytes,
//! and adds, ends and sets its columns; when it has asked for more files during a call, it is
//! called again for the same row with those bytes, so a call may be repeated and must give the
//! same values. After an error the input's columns are absent from the row.

mod cpu;
mod diskstats;
mod loadavg;
mod meminfo;
mod netdev;
mod sequence;
mod stat;
#[cfg(test)]
mod tests;
mod time;
mod uname;

use bellwether_model::id::Incarnation;
use bellwether_model::label::LabelError;
use bellwether_model::time::Now;

use crate::pure::columns::Row;
use crate::pure::family::FamilySpec;
use crate::pure::files::{Asks, ReadError};
use crate::pure::filter::DeviceFilter;

/// Every input, in the order in which they are collected.
pub const INPUTS: &[InputSpec] = &[
    cpu::SPEC,
    stat::SPEC,
    meminfo::SPEC,
    loadavg::SPEC,
    diskstats::SPEC,
    netdev::SPEC,
    uname::SPEC,
    time::SPEC,
    sequence::SPEC,
];

/// What is known of an input before it runs.
#[derive(Clone, Copy, Debug)]
pub struct InputSpec {
    /// Its name in the configuration and in the `collector` label, as node_exporter names it.
    pub name: &'static str,
    /// One line for the reference.
    pub about: &'static str,
    /// The files it reads, for the reference; `*` stands for a device.
    pub files: &'static [&'static str],
    /// Whether it runs if the configuration says nothing.
    pub is_default: bool,
    /// Whether it takes devices by name, and the pattern of those left out by default.
    pub devices: Option<&'static str>,
    /// Whether its rows have a cadence of their own, in rows per second.
    pub has_own_cadence: bool,
    /// The families whose names are fixed.
    pub families: &'static [FamilySpec],
    /// Builds the input; it may ask for its files here.
    pub make: fn(&mut Setup<'_>) -> Box<dyn Input>,
}

/// What an input is built from.
#[derive(Debug)]
pub struct Setup<'a> {
    /// To ask for files.
    pub files: Asks<'a>,
    /// Which devices it takes.
    pub devices: DeviceFilter,
    /// What the host is and which run of the agent this is.
    pub facts: Facts,
}

/// What does not change while the agent runs.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The machine's hardware name, for kernels without `sys/kernel/arch`.
    pub machine: String,
    /// Which run of the agent this is.
    pub incarnation: Incarnation,
}

/// One call of an input.
#[derive(Debug)]
pub struct Collect<'a> {
    /// When.
    pub now: Now,
    /// The files it asked for.
    pub files: Asks<'a>,
    /// The row to fill.
    pub row: Row<'a>,
}

/// A thing that yields samples.
pub trait Input: Send {
    /// Fills its part of the row.
    ///
    /// # Errors
    /// A file that could not be read, or is not what the kernel writes.
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError>;
}

/// Why an input has no row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// A file could not be read.
    #[error("{path}: {error}")]
    Read {
        /// The path below its root.
        path: Box<str>,
        /// Why.
        error: ReadError,
    },
    /// A line is not what the kernel writes.
    #[error("{path}:{line}: {what}")]
    Parse {
        /// The path below its root.
        path: Box<str>,
        /// The line, from 1.
        line: u32,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A name is longer than a label may be.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// More devices than an input follows.
    #[error("more than {max} devices", max = crate::pure::roster::NAMES_MAX)]
    TooManyDevices,
}

impl InputError {
    pub(crate) fn parse(path: &str, line: u32, what: &'static str) -> InputError {
        InputError::Parse { path: path.into(), line, what }
    }
}
