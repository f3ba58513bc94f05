//! The functions of Prometheus' templates, as one table.
//!
//! Not there: methods of times (`toTime` and `toDuration` give their text), `tmpl`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::config::parse_duration;
use bellwether_model::matcher::go_pattern;
use gotmpl::{TemplateError, Value, ValueFunc};
use regex_automata::meta;
use regex_automata::util::{interpolate, syntax};

use super::{QueryError, Shared, humanize, print};

/// Bytes of a compiled pattern.
const PROGRAM_BYTES: usize = 1 << 20;
/// Groups within groups of a pattern.
const PATTERN_NESTING: u32 = 100;

type Answer = Result<Value, TemplateError>;
type Function = fn(&Shared, &[Value]) -> Answer;

/// Every function, by name, with the number of its arguments; `None` for any number.
pub(super) const FUNCTIONS: &[(&str, Option<usize>, Function)] = &[
    ("args", None, args),
    ("externalURL", Some(0), |shared, _| Ok(text(&shared.external_url))),
    ("first", Some(1), first),
    ("graphLink", Some(1), |_, args| Ok(text(&link(&string(args, 0), 0)))),
    ("humanize", Some(1), |_, args| number(args, humanize::humanize)),
    ("humanize1024", Some(1), |_, args| number(args, humanize::humanize_1024)),
    ("humanizeDuration", Some(1), |_, args| number(args, humanize::humanize_duration)),
    ("humanizePercentage", Some(1), |_, args| number(args, humanize::humanize_percentage)),
    ("humanizeTimestamp", Some(1), humanize_timestamp),
    ("label", Some(2), label),
    ("match", Some(2), matches),
    ("now", Some(0), |shared, _| Ok(Value::Float(humanize::unix_seconds(shared.now)))),
    ("parseDuration", Some(1), duration),
    ("pathPrefix", Some(0), |shared, _| Ok(text(path(&shared.external_url)))),
    ("print", None, |_, args| Ok(text(&print::joined(args, "")))),
    ("println", None, |_, args| Ok(text(&format!("{}\n", print::joined(args, " "))))),
    ("query", Some(1), query),
    ("reReplaceAll", Some(3), replace),
    ("safeHtml", Some(1), |_, args| Ok(text(&string(args, 0)))),
    ("sortByLabel", Some(2), sort_by_label),
    ("stripDomain", Some(1), |_, args| Ok(text(&strip_domain(&string(args, 0))))),
    ("stripPort", Some(1), |_, args| Ok(text(&strip_port(&string(args, 0))))),
    ("strvalue", Some(1), |_, args| Ok(label_of(args.first(), "__value__"))),
    ("tableLink", Some(1), |_, args| Ok(text(&link(&string(args, 0), 1)))),
    ("title", Some(1), |_, args| Ok(text(&title(&string(args, 0))))),
    ("toDuration", Some(1), |_, args| number(args, humanize::go_duration)),
    ("toLower", Some(1), |_, args| Ok(text(&string(args, 0).to_lowercase()))),
    ("toTime", Some(1), to_time),
    ("toUpper", Some(1), |_, args| Ok(text(&string(args, 0).to_uppercase()))),
    ("urlQueryEscape", Some(1), |_, args| Ok(text(&escape(&string(args, 0))))),
    (print::SHOWN, Some(1), |_, args| Ok(args.first().map_or(Value::Nil, print::shown))),
    ("value", Some(1), |_, args| Ok(field(args.first(), "Value"))),
];

/// The table as the template engine takes it, bound to what one expansion may see.
pub(super) fn bound(shared: &Arc<Shared>) -> gotmpl::FuncMap {
    let bind = |(name, arity, function): &(&'static str, Option<usize>, Function)| {
        let (name, arity, function) = (*name, *arity, *function);
        let shared = Arc::clone(shared);
        let call: ValueFunc = Arc::new(move |args: &[Value]| match arity {
            Some(wanted) if args.len() != wanted => Err(fault(format!(
                "wrong number of args for {name}: want {wanted} got {}",
                args.len()
            ))),
            _ => function(&shared, args),
        });
        (name.to_owned(), call)
    };
    FUNCTIONS.iter().map(bind).collect()
}

fn fault(message: impl Into<String>) -> TemplateError {
    TemplateError::Exec(message.into())
}

fn text(text: &str) -> Value {
    Value::String(Arc::from(text))
}

fn string(args: &[Value], at: usize) -> String {
    match args.get(at) {
        Some(Value::String(text)) => text.to_string(),
        Some(Value::Nil) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// A number as Prometheus converts one: numbers, and texts that hold one.
fn float(args: &[Value]) -> Result<f64, TemplateError> {
    #[expect(clippy::cast_precision_loss, reason = "as Go converts")]
    match args.first() {
        Some(Value::Float(value)) => Ok(*value),
        Some(Value::Int(value)) => Ok(*value as f64),
        Some(Value::Uint(value)) => Ok(*value as f64),
        Some(Value::String(text)) => text
            .parse()
            .map_err(|_| fault(format!("strconv.ParseFloat: parsing {text:?}: invalid syntax"))),
        Some(other) => Err(fault(format!("can't convert {} to float", other.type_name()))),
        None => Err(fault("can't convert nothing to float")),
    }
}

fn number(args: &[Value], show: fn(f64) -> String) -> Answer {
    float(args).map(|value| text(&show(value)))
}

fn args(_: &Shared, args: &[Value]) -> Answer {
    let numbered = args.iter().enumerate();
    let map: BTreeMap<Arc<str>, Value> =
        numbered.map(|(at, value)| (Arc::from(format!("arg{at}")), value.clone())).collect();
    Ok(Value::Map(Arc::new(map)))
}

fn query(shared: &Shared, args: &[Value]) -> Answer {
    match shared.answer(&string(args, 0)) {
        Ok(samples) => Ok(samples),
        Err(QueryError(message)) => Err(fault(message)),
    }
}

fn first(_: &Shared, args: &[Value]) -> Answer {
    match args.first() {
        Some(Value::List(samples)) if !samples.is_empty() => {
            Ok(samples.first().cloned().unwrap_or(Value::Nil))
        }
        _ => Err(fault("first() called on vector with no elements")),
    }
}

fn field(sample: Option<&Value>, name: &str) -> Value {
    sample.and_then(|sample| sample.field(name)).cloned().unwrap_or(Value::Nil)
}

/// A label of a sample, empty where it has none.
fn label_of(sample: Option<&Value>, name: &str) -> Value {
    match field(sample, "Labels").field(name) {
        Some(value) => value.clone(),
        None => text(""),
    }
}

fn label(_: &Shared, args: &[Value]) -> Answer {
    Ok(label_of(args.get(1), &string(args, 0)))
}

fn sort_by_label(_: &Shared, args: &[Value]) -> Answer {
    let Some(Value::List(samples)) = args.get(1) else {
        return Err(fault("sortByLabel takes a label and the result of a query"));
    };
    let name = string(args, 0);
    let mut sorted: Vec<Value> = samples.to_vec();
    sorted.sort_by_key(|sample| label_of(Some(sample), &name).to_string());
    Ok(Value::List(sorted.into()))
}

/// A pattern that may be found anywhere in a text.
fn pattern(written: &str) -> Result<meta::Regex, TemplateError> {
    let pattern = go_pattern(written).map_err(fault)?;
    let config = meta::Config::new().nfa_size_limit(Some(PROGRAM_BYTES));
    let syntax = syntax::Config::new().unicode(true).nest_limit(PATTERN_NESTING);
    let built = meta::Regex::builder().configure(config).syntax(syntax).build(&pattern);
    built.map_err(|error| fault(format!("error parsing regexp {written:?}: {error}")))
}

fn matches(_: &Shared, args: &[Value]) -> Answer {
    Ok(Value::Bool(pattern(&string(args, 0))?.is_match(&string(args, 1))))
}

fn replace(_: &Shared, args: &[Value]) -> Answer {
    let pattern = pattern(&string(args, 0))?;
    let (with, input) = (string(args, 1), string(args, 2));
    let mut out = String::new();
    let mut kept = 0;
    for found in pattern.captures_iter(&input) {
        let Some(whole) = found.get_match() else { continue };
        out.push_str(input.get(kept..whole.start()).unwrap_or(""));
        interpolate::string(
            &with,
            |index, out| {
                let group = found.get_group(index).and_then(|span| input.get(span.range()));
                out.push_str(group.unwrap_or(""));
            },
            |name| found.group_info().to_index(found.pattern().unwrap_or_default(), name),
            &mut out,
        );
        kept = whole.end();
        if out.len() > super::TEXT_BYTES_MAX {
            return Err(fault("the text becomes too long"));
        }
    }
    out.push_str(input.get(kept..).unwrap_or(""));
    Ok(text(&out))
}

fn humanize_timestamp(_: &Shared, args: &[Value]) -> Answer {
    let value = float(args)?;
    if !value.is_finite() {
        return Ok(text(&humanize::significant(value)));
    }
    humanize::timestamp(value).map(|shown| text(&shown)).map_err(fault)
}

fn to_time(_: &Shared, args: &[Value]) -> Answer {
    humanize::timestamp(float(args)?).map(|shown| text(&shown)).map_err(fault)
}

fn duration(_: &Shared, args: &[Value]) -> Answer {
    let written = string(args, 0);
    let (sign, rest) = match written.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, written.as_str()),
    };
    match parse_duration(rest) {
        Some(duration) => Ok(Value::Float(sign * duration.as_secs_f64())),
        None => Err(fault(format!("not a valid duration string: {written:?}"))),
    }
}

/// Host and port; `None` for a port that is not there, or brackets that do not pair.
fn split_port(address: &str) -> Option<(&str, &str)> {
    let (host, port) = address.rsplit_once(':')?;
    match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').map(|host| (host, port)),
        None => (!host.contains([':', '[', ']'])).then_some((host, port)),
    }
}

fn strip_port(address: &str) -> String {
    split_port(address).map_or(address, |(host, _)| host).to_owned()
}

fn strip_domain(address: &str) -> String {
    let (host, port) = split_port(address).unwrap_or((address, ""));
    if host.parse::<core::net::IpAddr>().is_ok() {
        return address.to_owned();
    }
    let name = host.split('.').next().unwrap_or(host);
    if port.is_empty() { name.to_owned() } else { format!("{name}:{port}") }
}

/// The first letter of each word in upper case, the rest as it is.
fn title(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    let mut within = false;
    for c in words.chars() {
        if within {
            out.push(c);
        } else {
            out.extend(c.to_uppercase());
        }
        within = c.is_alphanumeric() || (within && c == '\'');
    }
    out
}

/// Go's `url.QueryEscape`.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The page of an expression below the interface's root: its graph or its table.
fn link(expression: &str, tab: u8) -> String {
    format!("/graph?g0.expr={}&g0.tab={tab}", escape(expression))
}

/// The path of a URL.
fn path(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("");
    path.split(['?', '#']).next().unwrap_or("")
}
