//! What stands under a name: in the data, a sample, labels, or arguments of a template.
//!
//! The engine has one kind of map; which of Prometheus' types one stands for shows in its keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotmpl::{TemplateError, Value};

/// The data of a template, in the order in which they print.
pub(super) const DATA: &[&str] = &["Labels", "ExternalLabels", "ExternalURL", "Value"];
/// A sample of a query.
pub(super) const SAMPLE: &[&str] = &["Labels", "Value"];

type Entries = BTreeMap<Arc<str>, Value>;

/// What a map stands for.
pub(super) enum Kind {
    /// Has these fields and no other.
    Struct(&'static [&'static str]),
    /// Has an empty text for each name that is not there.
    Labels,
    /// What `args` makes; has nothing under a name that is not there.
    Arguments,
}

/// What a map stands for.
pub(super) fn kind(entries: &Entries) -> Kind {
    let holds_map = |name: &str| matches!(entries.get(name), Some(Value::Map(_)));
    if holds_map("ExternalLabels") && holds_map("Labels") {
        Kind::Struct(DATA)
    } else if holds_map("Labels") {
        Kind::Struct(SAMPLE)
    } else if entries.contains_key("arg0") {
        Kind::Arguments
    } else {
        Kind::Labels
    }
}

/// The value under names, one within the other.
pub(super) fn look_up(args: &[Value]) -> Result<Value, TemplateError> {
    let (value, names) = args.split_first().unwrap_or((&Value::Nil, &[]));
    names.iter().try_fold(value.clone(), |value, name| field(&value, name.as_str().unwrap_or("")))
}

fn field(value: &Value, name: &str) -> Result<Value, TemplateError> {
    let fault = |within: &str| {
        let message = format!("can't evaluate field {name} in type {within}");
        Err(TemplateError::Exec(message))
    };
    match value {
        Value::Nil => Ok(Value::Nil),
        Value::Map(entries) => match (entries.get(name), kind(entries)) {
            (Some(value), _) => Ok(value.clone()),
            (None, Kind::Struct(names)) => fault(&format!("{{{}}}", names.join(" "))),
            (None, Kind::Labels) => Ok(Value::String(Arc::from(""))),
            (None, Kind::Arguments) => Ok(Value::Nil),
        },
        other => fault(other.type_name()),
    }
}

/// The built-in `index`; a label that is not there is empty.
pub(super) fn index(args: &[Value]) -> Result<Value, TemplateError> {
    let (value, keys) = args.split_first().unwrap_or((&Value::Nil, &[]));
    keys.iter().try_fold(value.clone(), |value, key| match (&value, key) {
        (Value::Map(_), Value::String(name)) => field(&value, name),
        _ => value.index(key),
    })
}
