//! The HTTP interface of Prometheus without HTTP: parameters in, JSON out.
//!
//! [`request`] reads the parameters, which is cheap and done where the request arrives; [`answer`]
//! parses the query and evaluates it over a view, which is done on the pool. Names, messages and
//! the order of checks follow `web/api/v1` of Prometheus 3.14. Exemplars, statistics of queries,
//! other encodings than JSON and pages of other origins (CORS: a page in a browser on this host
//! must not read what the host may) are deliberately not here.

pub(crate) mod answer;
pub(crate) mod error;
mod escaped;
mod json;
pub(crate) mod params;
pub(crate) mod request;
pub(crate) mod rules;
pub(crate) mod status;
pub(crate) mod time;

#[cfg(test)]
pub(crate) mod map_view;
#[cfg(test)]
mod tests;
