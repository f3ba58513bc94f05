//! The query language: reading, lowering to our own tree, evaluation. Pure.
//!
//! For now it answers selectors, numbers and strings; whatever else the grammar knows is refused by
//! name. Semantics are those of Prometheus 3.
#![warn(missing_docs)]

pub mod duration;
pub mod evaluate;
pub mod parse;
pub mod query;
mod scan;
