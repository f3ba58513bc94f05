//! The vocabulary that every part of Bellwether shares, and the formats at its seams. Pure.
#![warn(missing_docs)]

pub mod config;
pub mod diagnostic;
pub mod duration;
pub mod exposition;
pub mod feed;
pub mod hash;
pub mod id;
pub mod label;
pub mod limit;
pub mod matcher;
pub mod relabel;
pub mod select;
pub mod series;
pub mod signal;
pub mod time;
pub mod wire;
