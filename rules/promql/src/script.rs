//! Test scripts of query engines, as Prometheus' `promqltest` writes them: load series, evaluate
//! queries, compare with what is expected.
//!
//! [`read`] takes a script apart, [`run`] runs it. [`series`] is the notation of series and points
//! alone and [`load`] the map of series, both also what rule tests of promtool are made of.

mod answer;
mod ask;
pub mod compare;
pub mod load;
mod pin;
pub mod quoted;
pub mod read;
pub mod run;
pub mod series;
