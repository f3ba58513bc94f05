//! How values print: as Go prints them, which for floats and data the engine does not.

use std::fmt::{self, Write as _};

use bellwether_model::exposition::push_float;
use gotmpl::{TemplateError, Value};

use super::fields::{self, Kind};
use super::work::Bounded;

/// A value as an action prints it; nothing stays nothing.
pub(super) fn shown(value: &Value) -> Result<Value, TemplateError> {
    match value {
        Value::Float(_) | Value::List(_) | Value::Map(_) => joined("print", [value], ""),
        other => Ok(other.clone()),
    }
}

/// Go's `fmt.Sprint`, with `between` between any two operands, or where it is empty a blank between
/// two that are no strings. `name` is the function that does so.
pub(super) fn joined<'a>(
    name: &str,
    args: impl IntoIterator<Item = &'a Value>,
    between: &str,
) -> Result<Value, TemplateError> {
    let mut out = Bounded::default();
    let mut before_is_string = true;
    for (at, value) in args.into_iter().enumerate() {
        let is_string = matches!(value, Value::String(_));
        if at > 0 && between.is_empty() && !is_string && !before_is_string {
            out.push(" ");
        } else if at > 0 {
            out.push(between);
        }
        if write(&mut out, value).is_err() {
            break;
        }
        before_is_string = is_string;
    }
    out.made(name)
}

/// Go's `%v`.
///
/// # Errors
/// There is no room.
pub(super) fn write(out: &mut Bounded, value: &Value) -> fmt::Result {
    match value {
        Value::String(text) => out.write_str(text),
        Value::Float(value) => out.write_str(&float(*value)),
        Value::List(values) => {
            out.write_str("[")?;
            separated(out, values.iter(), write)?;
            out.write_str("]")
        }
        Value::Map(entries) => match fields::kind(entries) {
            Kind::Struct(names) => {
                out.write_str("{")?;
                separated(out, names.iter().filter_map(|name| entries.get(*name)), write)?;
                out.write_str("}")
            }
            Kind::Labels | Kind::Arguments => {
                out.write_str("map[")?;
                separated(out, entries.iter(), |out, (name, value)| {
                    write!(out, "{name}:")?;
                    write(out, value)
                })?;
                out.write_str("]")
            }
        },
        Value::Nil | Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Function(_) => {
            write!(out, "{value}")
        }
    }
}

fn separated<T>(
    out: &mut Bounded,
    items: impl Iterator<Item = T>,
    each: fn(&mut Bounded, T) -> fmt::Result,
) -> fmt::Result {
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.write_str(" ")?;
        }
        each(out, item)?;
    }
    Ok(())
}

fn float(value: f64) -> String {
    let mut bytes = Vec::new();
    push_float(&mut bytes, value);
    String::from_utf8(bytes).expect("invariant: a float is written in ASCII")
}
