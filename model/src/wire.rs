//! Frames on the wire, in the spool and in the journal. The contract is `model/WIRE.md`.
#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "codecs: every index is checked against the length just read, and each decoder has a fuzz target"
)]

pub mod answer;
pub mod bytes;
pub mod decode;
pub mod encode;
pub mod envelope;
pub mod frame;
mod range;
mod row;
pub mod scale;
pub mod table;

#[cfg(test)]
mod tests;
