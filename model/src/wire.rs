//! Frames on the wire, in the spool and in the journal. The contract is `model/WIRE.md`.

pub mod answer;
pub mod bytes;
pub mod decode;
pub mod encode;
pub mod envelope;
pub mod frame;
pub mod scale;
pub mod table;
