//! The inputs: what each reads, and how its bytes become columns of a row.
//!
//! [`INPUTS`] is the one list. An input asks for files, is called once per row with their bytes,
//! and adds, ends and sets its columns; when it has asked for more files during a call, it is
//! called again for the same row with those bytes, so a call may be repeated and must give the
//! same values. After an error the input's columns are absent from the row.

mod arp;
mod conntrack;
mod cpu;
mod diskstats;
mod entropy;
mod filefd;
mod filesystem;
mod loadavg;
mod meminfo;
mod netclass;
mod netdev;
mod netstat;
pub mod own;
mod pressure;
mod schedstat;
mod sequence;
mod singles;
mod sockstat;
mod softnet;
mod stat;
#[cfg(test)]
mod tests;
mod time;
mod timex;
mod uname;
mod vmstat;

use std::sync::Arc;

use bellwether_model::id::Incarnation;
use bellwether_model::label::LabelError;
use bellwether_model::time::Now;

use crate::pure::columns::Row;
use crate::pure::family::FamilySpec;
use crate::pure::files::{Asks, ReadError};
use crate::pure::filter::{FilterSpec, NameFilter};

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
    vmstat::SPEC,
    pressure::SPEC,
    netstat::SPEC,
    sockstat::SPEC,
    softnet::SPEC,
    schedstat::SPEC,
    conntrack::SPEC,
    filefd::SPEC,
    entropy::SPEC,
    timex::SPEC,
    filesystem::SPEC,
    netclass::SPEC,
    arp::SPEC,
    own::SPEC,
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
    /// The names it may be told to take or to leave out.
    pub filters: &'static [FilterSpec],
    /// How often it has a row.
    pub pace: Pace,
    /// The families whose names are fixed.
    pub families: &'static [FamilySpec],
    /// Builds the input; it may ask for its files here.
    pub make: fn(&mut Setup<'_>) -> Box<dyn Input>,
}

/// How often an input has a row if the configuration says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As all inputs.
    Common,
    /// Every 15 s, or as all inputs if that is less often: what changes rarely or is dear to read.
    Slow,
    /// On a cadence of its own, in rows per second.
    Rows,
}

/// What an input is built from.
#[derive(Debug)]
pub struct Setup<'a> {
    /// To ask for files.
    pub files: Asks<'a>,
    /// Which names it takes, in the order of [`InputSpec::filters`].
    pub filters: Vec<NameFilter>,
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
    /// What the agent tells of itself.
    pub own: Arc<own::Figures>,
    /// Bytes of a page of memory.
    pub page_bytes: u64,
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
    /// The kernel has nothing of what the input reads. No failure to report: the input has no
    /// series and is not successful.
    #[error("not offered by this kernel")]
    Absent,
    /// More devices than an input follows.
    #[error("more than {max} devices", max = crate::pure::roster::NAMES_MAX)]
    TooManyDevices,
}

impl Setup<'_> {
    /// The filter of that place in [`InputSpec::filters`].
    fn filter(&self, place: usize) -> NameFilter {
        self.filters.get(place).cloned().unwrap_or_default()
    }
}

impl InputError {
    pub(crate) fn parse(path: &str, line: u32, what: &'static str) -> InputError {
        InputError::Parse { path: path.into(), line, what }
    }
}

/// A word of the kernel as part of a metric's name.
fn metric_word(word: &[u8]) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    word.iter().map(|byte| if is_plain(byte) { char::from(*byte) } else { '_' }).collect()
}
