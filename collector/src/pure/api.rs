//! The HTTP interface of Prometheus without HTTP: parameters in, JSON out.
//!
//! [`request`] reads the parameters, which is cheap and done where the request arrives; [`answer`]
//! parses the query and evaluates it over a view, which is done on the pool. Names, messages and
//! the order of checks follow `web/api/v1` of Prometheus 3.14. Exemplars, statistics of queries
//! and other encodings than JSON are deliberately not here.

pub(crate) mod answer;
pub(crate) mod error;
mod json;
pub(crate) mod params;
pub(crate) mod request;
mod time;

#[cfg(test)]
pub(crate) mod map_view;
#[cfg(test)]
mod tests;
