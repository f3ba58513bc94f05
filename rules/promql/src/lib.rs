//! The query language: reading, evaluating and printing, as Prometheus 3.14 does. Pure.
//!
//! - [`parse`] makes a [`tree`] of a text; every expression knows its place;
//! - [`evaluate`] answers a tree over a `Select`, column by column;
//! - [`mod@print`] writes a tree as Prometheus does;
//! - [`script`] runs scripts of evaluations and compares.
//!
//! Native histograms and the modifiers `anchored` and `smoothed` are refused with their place.
#![warn(missing_docs)]

pub mod annotation;
pub mod evaluate;
pub mod function;
mod lex;
pub mod parse;
pub mod pool;
pub mod print;
pub mod quote;
#[cfg(test)]
mod reference;
pub mod script;
pub mod tree;
