//! Configuration files: YAML read once into a tree with places, and a reader that builds `Spec`s
//! from the tree and keeps every problem.
//!
//! A file is described by one function over [`Fields`]; the same function gives the reference page
//! ([`field_docs`]). Unknown keys are errors. `${VAR}` is replaced inside parsed texts only, from
//! an environment that is an argument; `$$` means `$`. Messages never quote a value, so that no
//! secret leaves with them. Nothing here reads a file, merges files or looks at other keys than
//! those asked for.
//!
//! ```
//! use bellwether_model::config;
//! use std::time::Duration;
//!
//! struct Spec {
//!     listen: String,
//!     interval: Duration,
//! }
//!
//! let text = "listen: ${HOST}:9797\ninterval: 1s\n";
//! let environment = [("HOST".to_owned(), "127.0.0.1".to_owned())].into();
//! let spec = config::read("agent.yaml", text, &environment, |f| Spec {
//!     listen: f.text("listen", "Where the page is served.").required(),
//!     interval: f
//!         .duration("interval", "Time between samples.")
//!         .between(Duration::from_millis(100), Duration::from_secs(60))
//!         .or(Duration::from_secs(1)),
//! });
//! assert_eq!(spec.unwrap().listen, "127.0.0.1:9797");
//! ```

use std::collections::BTreeMap;

use crate::diagnostic::{Diagnostics, Source};

pub mod code;
mod expand;
mod field;
mod fields;
mod secret;
mod tree;
mod value;

#[cfg(test)]
mod tests;

pub use field::{Field, FieldDoc, Presence};
pub use fields::{Choice, Fields, Item};
pub use secret::{Secret, SecretSource};
pub use tree::{Entry, Node, Value, parse, parse_within};
pub use value::{parse_duration, parse_size, show_duration, show_size};

/// Names and values of the process' environment, as the caller read them.
pub type Environment = BTreeMap<String, String>;

/// Reads a file's text into what `describe` makes of it. Warnings are dropped; see
/// [`read_with_warnings`].
///
/// # Errors
/// Every problem of the text, if one of them is an error.
pub fn read<T>(
    file: &str,
    text: &str,
    environment: &Environment,
    describe: impl FnOnce(&mut Fields<'_>) -> T,
) -> Result<T, Diagnostics> {
    read_with_warnings(file, text, environment, describe).map(|(value, _)| value)
}

/// As [`read`]; beside the value come the problems that do not refuse the file.
///
/// # Errors
/// Every problem of the text, if one of them is an error.
pub fn read_with_warnings<T>(
    file: &str,
    text: &str,
    environment: &Environment,
    describe: impl FnOnce(&mut Fields<'_>) -> T,
) -> Result<(T, Diagnostics), Diagnostics> {
    let source = Source::new(file, text);
    let (root, problems) = parse(source);
    let Some(root) = root else { return Err(problems) };
    let reading = fields::Reading::new(environment, problems, false);
    let value = reading.root(&root, describe);
    let (problems, _) = reading.finish();
    if problems.has_errors() { Err(problems) } else { Ok((value, problems)) }
}

/// The fields that a description asks for, in its order: those of optional sections, list items
/// and map values too, each once.
pub fn field_docs<T>(describe: impl FnOnce(&mut Fields<'_>) -> T) -> Vec<FieldDoc> {
    let environment = Environment::new();
    let (root, problems) = parse(Source::new("", ""));
    let root = root.expect("invariant: an empty text is an empty mapping");
    let reading = fields::Reading::new(&environment, problems, true);
    reading.root(&root, describe);
    reading.finish().1
}
