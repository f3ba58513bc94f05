//! The functions of Prometheus' templates, as one table.
//!
//! Not there: methods of times (`toTime` and `toDuration` give their text), `tmpl`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::config::parse_duration;
use gotmpl::{TemplateError, Value, ValueFunc};

use super::work::STEP;
use super::{QueryError, Shared, fields, humanize, pattern, print, printf, rewrite};

type Answer = Result<Value, TemplateError>;
type Function = fn(&Shared, &[Value]) -> Answer;

/// Every function, by name, with the number of its arguments; `None` for any number.
pub(super) const FUNCTIONS: &[(&str, Option<usize>, Function)] = &[
    ("args", None, args),
    ("externalURL", Some(0), |shared, _| Ok(text(&shared.external_url))),
    ("first", Some(1), first),
    ("graphLink", Some(1), |_, args| changed(args, |text| link(text, 0))),
    ("html", None, |_, args| escaped("html", args, gotmpl::html_escape)),
    ("humanize", Some(1), |_, args| number(args, humanize::humanize)),
    ("humanize1024", Some(1), |_, args| number(args, humanize::humanize_1024)),
    ("humanizeDuration", Some(1), |_, args| number(args, humanize::humanize_duration)),
    ("humanizePercentage", Some(1), |_, args| number(args, humanize::humanize_percentage)),
    ("humanizeTimestamp", Some(1), humanize_timestamp),
    ("index", None, |_, args| fields::index(args)),
    ("js", None, |_, args| escaped("js", args, gotmpl::js_escape)),
    ("label", Some(2), label),
    ("match", Some(2), matches),
    ("now", Some(0), |shared, _| Ok(Value::Float(humanize::unix_seconds(shared.now)))),
    ("parseDuration", Some(1), duration),
    ("pathPrefix", Some(0), |shared, _| Ok(text(path(&shared.external_url)))),
    ("print", None, |_, args| print::joined("print", args, "")),
    ("printf", None, printf::printf),
    ("println", None, line),
    ("query", Some(1), query),
    ("reReplaceAll", Some(3), replace),
    ("safeHtml", Some(1), |_, args| changed(args, str::to_owned)),
    ("slice", None, slice),
    ("sortByLabel", Some(2), sort_by_label),
    ("stripDomain", Some(1), |_, args| changed(args, strip_domain)),
    ("stripPort", Some(1), |_, args| changed(args, strip_port)),
    ("strvalue", Some(1), |_, args| Ok(label_of(args.first(), "__value__"))),
    ("tableLink", Some(1), |_, args| changed(args, |text| link(text, 1))),
    ("title", Some(1), |_, args| changed(args, title)),
    ("toDuration", Some(1), |_, args| number(args, humanize::go_duration)),
    ("toLower", Some(1), |_, args| changed(args, |text| text.chars().map(lower).collect())),
    ("toTime", Some(1), to_time),
    ("toUpper", Some(1), |_, args| changed(args, |text| text.chars().map(upper).collect())),
    ("urlQueryEscape", Some(1), |_, args| changed(args, gotmpl::url_encode)),
    ("urlquery", None, |_, args| escaped("urlquery", args, gotmpl::url_encode)),
    ("value", Some(1), |_, args| Ok(field(args.first(), "Value"))),
    (rewrite::FIELD, None, |_, args| fields::look_up(args)),
    (rewrite::SHOWN, Some(1), |_, args| print::shown(args.first().unwrap_or(&Value::Nil))),
    (rewrite::STEPS, Some(1), steps),
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
            _ => paid(&shared, name, args, function),
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

/// Runs a function on what it costs.
fn paid(shared: &Shared, name: &str, args: &[Value], function: Function) -> Answer {
    shared.spend(STEP)?;
    args.iter().try_for_each(|value| shared.spend_argument(value))?;
    let value = function(shared, args)?;
    shared.spend_result(name, &value)?;
    Ok(value)
}

fn steps(shared: &Shared, args: &[Value]) -> Answer {
    let steps = args.first().and_then(Value::as_int).unwrap_or(0);
    shared.spend(usize::try_from(steps).unwrap_or(0).saturating_mul(STEP))?;
    Ok(text(""))
}

fn string(args: &[Value], at: usize) -> Result<String, TemplateError> {
    match args.get(at) {
        Some(Value::String(text)) => Ok(text.to_string()),
        Some(Value::Nil) | None => Ok(String::new()),
        Some(value @ (Value::List(_) | Value::Map(_) | Value::Function(_))) => {
            Err(fault(format!("wrong type for value; expected string; got {}", value.type_name())))
        }
        Some(Value::Float(_)) => {
            print::joined("print", args.get(at), "").and_then(|text| string(&[text], 0))
        }
        Some(other) => Ok(other.to_string()),
    }
}

/// A text made of the first argument.
fn changed(args: &[Value], change: impl Fn(&str) -> String) -> Answer {
    string(args, 0).map(|written| text(&change(&written)))
}

/// A text made of all arguments together, as the functions of the language do that escape.
fn escaped(name: &str, args: &[Value], escape: fn(&str) -> String) -> Answer {
    let joined = match args {
        [Value::Nil] => text("<no value>"),
        _ => print::joined(name, args, "")?,
    };
    changed(&[joined], escape)
}

fn line(_: &Shared, args: &[Value]) -> Answer {
    let joined = print::joined("println", args, " ")?;
    changed(&[joined], |line| format!("{line}\n"))
}

/// The built-in `slice`, of two indices at most.
fn slice(shared: &Shared, args: &[Value]) -> Answer {
    let index = |at: usize| match args.get(at) {
        None => Ok(None),
        Some(Value::Int(index)) => Ok(Some(*index)),
        Some(other) => Err(fault(format!("cannot index slice/array with {}", other.type_name()))),
    };
    match args {
        [value] | [value, _] | [value, _, _] => {
            let value = value.slice(index(1)?, index(2)?)?;
            spend_list(shared, &value)?;
            Ok(value)
        }
        _ => Err(fault("slice takes a value and at most two indices")),
    }
}

/// Takes what a list costs that is made anew.
fn spend_list(shared: &Shared, value: &Value) -> Result<(), TemplateError> {
    match value {
        Value::List(values) => shared.spend(values.len().saturating_mul(STEP)),
        _ => Ok(()),
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

fn args(shared: &Shared, args: &[Value]) -> Answer {
    args.iter().try_for_each(|value| shared.spend_nested(value))?;
    let numbered = args.iter().enumerate();
    let map: BTreeMap<Arc<str>, Value> =
        numbered.map(|(at, value)| (Arc::from(format!("arg{at}")), value.clone())).collect();
    Ok(Value::Map(Arc::new(map)))
}

fn query(shared: &Shared, args: &[Value]) -> Answer {
    match shared.answer(&string(args, 0)?) {
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
    Ok(label_of(args.get(1), &string(args, 0)?))
}

fn sort_by_label(shared: &Shared, args: &[Value]) -> Answer {
    let Some(Value::List(samples)) = args.get(1) else {
        return Err(fault("sortByLabel takes a label and the result of a query"));
    };
    let name = string(args, 0)?;
    spend_list(shared, &Value::List(Arc::clone(samples)))?;
    let mut sorted: Vec<Value> = samples.to_vec();
    sorted.sort_by_cached_key(|sample| label_of(Some(sample), &name).to_string());
    Ok(Value::List(sorted.into()))
}

fn matches(shared: &Shared, args: &[Value]) -> Answer {
    let found = pattern::is_match(shared, &string(args, 0)?, &string(args, 1)?);
    found.map(Value::Bool)
}

fn replace(shared: &Shared, args: &[Value]) -> Answer {
    pattern::replace(shared, &string(args, 0)?, &string(args, 1)?, &string(args, 2)?)
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
    let written = string(args, 0)?;
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

/// Go's `strings.Title`: the first letter of each word in upper case, the rest as it is.
fn title(words: &str) -> String {
    let mut within = false;
    let mut titled = |c: char| {
        let shown = if within { c } else { title_case(c) };
        within = !is_separator(c);
        shown
    };
    words.chars().map(&mut titled).collect()
}

/// Between words stand blanks, and of ASCII all but letters, digits and the underscore.
fn is_separator(c: char) -> bool {
    if c.is_ascii() { !c.is_ascii_alphanumeric() && c != '_' } else { c.is_whitespace() }
}

/// The four letters of two that have a form of their own at the beginning of a word.
fn title_case(c: char) -> char {
    match c {
        'Ǆ' | 'ǅ' | 'ǆ' => 'ǅ',
        'Ǉ' | 'ǈ' | 'ǉ' => 'ǈ',
        'Ǌ' | 'ǋ' | 'ǌ' => 'ǋ',
        'Ǳ' | 'ǲ' | 'ǳ' => 'ǲ',
        _ => upper(c),
    }
}

/// One character for one, as in Go: where the upper case has several, it stays.
fn upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    if upper.len() == 1 { upper.next().unwrap_or(c) } else { c }
}

/// One character for one, whatever stands around it, as in Go.
fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// The page of an expression below the interface's root: its graph or its table.
fn link(expression: &str, tab: u8) -> String {
    format!("/graph?g0.expr={}&g0.tab={tab}", gotmpl::url_encode(expression))
}

/// The path of a URL.
fn path(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("");
    path.split(['?', '#']).next().unwrap_or("")
}
