//! Rule packs that come with the program: rule files as data, and a page for each alert that says
//! what it means and what to do.
//!
//! The files lie in `rules/packs`; nothing here reads them at run time.

/// Alerts of a host: a rule file of Prometheus' kind.
pub const HOST: &str = include_str!("../packs/host.yaml");

/// What people call the packs in a list of rule files, and their texts.
pub const ALL: &[(&str, &str)] = &[("host", HOST)];

/// Pages in Markdown by the alerts they are of, in the order of the names.
pub const RUNBOOKS: &[(&str, &str)] = &[];
