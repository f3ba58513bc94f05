//! The engine against the reference, and the parser against itself.

mod compare;
mod data;
mod expressions;
mod found;
mod parser;
mod pools;
