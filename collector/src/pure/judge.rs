//! `judge`: counts from a table in text, and a verdict shown to people and to programs.

mod rows;
mod show;
#[cfg(test)]
mod tests;
pub mod together;

pub use rows::{Counts, TABLE_BYTES_MAX, read};
pub use show::{Screen, json, text};
