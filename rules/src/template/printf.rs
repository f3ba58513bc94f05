//! `printf`, one directive after the other: the engine's own puts no bound on what it makes.

use gotmpl::{TemplateError, Value};

use super::work::{Bounded, STEP};
use super::{Shared, map, print};

/// The engine's `printf`, by the number of values behind the format.
const CALLS: [&str; 4] =
    ["{{printf .f}}", "{{printf .f .a}}", "{{printf .f .a .b}}", "{{printf .f .a .b .c}}"];

/// Values that stand for width and precision of one directive.
const STARS_MAX: usize = 2;

/// Units of work of a directive beside the bytes that it makes: the engine parses each call.
const DIRECTIVE: usize = 16 * STEP;

/// An index that no value has, as the engine takes it.
const NO_INDEX: &str = "[0]";

/// What Go prints of a directive without an end, as a format.
const NO_VERB: &str = "%%!(NOVERB)";

/// Go's `fmt.Sprintf`.
pub(super) fn printf(shared: &Shared, args: &[Value]) -> Result<Value, TemplateError> {
    let Some((Value::String(format), values)) = args.split_first() else {
        return Err(TemplateError::Exec("printf: the first argument must be a string".to_owned()));
    };
    let mut out = Bounded::default();
    let mut values = Values { values, at: 0, is_reordered: false };
    let mut rest = Rest(format);
    loop {
        out.push(rest.while_of(|c| c != '%'));
        if rest.0.is_empty() || out.is_full() {
            break;
        }
        shared.spend(DIRECTIVE)?;
        let directive = Directive::read(&mut rest, &mut values)?;
        let printed = directive.printed()?;
        shared.spend(4 * printed.len())?;
        out.push(&printed);
    }
    values.extra(&mut out);
    out.made("printf")
}

/// What is left of a format.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn while_of(&mut self, is_within: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !is_within(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.0.chars();
        let next = chars.next();
        self.0 = chars.as_str();
        next
    }

    fn next_is(&self, wanted: char) -> bool {
        self.0.starts_with(wanted)
    }

    /// A `[n]`; `None` if it is none, of which what belongs to it is taken.
    fn index(&mut self) -> Option<usize> {
        let inner = self.0.get(1..).unwrap_or("");
        let Some((number, rest)) = inner.split_once(']') else {
            self.0 = inner;
            return None;
        };
        self.0 = rest;
        number.parse().ok()
    }
}

/// The values behind a format, and the one that is next.
struct Values<'a> {
    values: &'a [Value],
    at: usize,
    is_reordered: bool,
}

impl Values<'_> {
    fn next(&mut self) -> Option<Value> {
        let value = self.values.get(self.at)?;
        self.at += 1;
        Some(value.clone())
    }

    /// Goes to the value of an index from 1.
    fn go_to(&mut self, index: Option<usize>) -> bool {
        self.is_reordered = true;
        let index = index.filter(|index| (1..=self.values.len()).contains(index));
        self.at = index.map_or(self.at, |index| index - 1);
        index.is_some()
    }

    /// Says which values no directive has taken.
    fn extra(&self, out: &mut Bounded) {
        let rest = self.values.get(self.at..).unwrap_or(&[]);
        if self.is_reordered || rest.is_empty() {
            return;
        }
        for (at, value) in rest.iter().enumerate() {
            out.push(if at == 0 { "%!(EXTRA " } else { ", " });
            if !matches!(value, Value::Nil) {
                out.push(value.type_name());
                out.push("=");
            }
            // What has no room is known to `out`.
            if print::write(out, value).is_err() {
                return;
            }
        }
        out.push(")");
    }
}

/// A part of a format that begins with `%`, with its values.
struct Directive {
    format: String,
    values: Vec<Value>,
}

impl Directive {
    fn read(rest: &mut Rest<'_>, values: &mut Values<'_>) -> Result<Directive, TemplateError> {
        let mut format: String = rest.next().into_iter().collect();
        let mut taken = Vec::new();
        let mut has_index = true;
        format.push_str(rest.while_of(|c| matches!(c, '-' | '+' | ' ' | '#' | '0')));
        loop {
            format.push_str(rest.while_of(|c| c.is_ascii_digit() || c == '.'));
            if rest.next_is('[') {
                has_index &= values.go_to(rest.index());
            } else if rest.next_is('*') && taken.len() < STARS_MAX {
                format.extend(rest.next());
                taken.extend(values.next());
            } else {
                break;
            }
        }
        let Some(verb) = rest.next() else {
            return Ok(Directive { format: NO_VERB.to_owned(), values: Vec::new() });
        };
        if !has_index {
            return Ok(Directive { format: format!("%{NO_INDEX}{verb}"), values: Vec::new() });
        }
        let value = if verb == '%' { None } else { values.next() };
        // The engine's `%v` of a float is not Go's, its `%g` is.
        format.push(match (verb, &value) {
            ('v', Some(Value::Float(_))) => 'g',
            _ => verb,
        });
        if let Some(value @ (Value::List(_) | Value::Map(_))) = &value {
            taken.push(print::joined("printf", [value], "")?);
        } else {
            taken.extend(value);
        }
        Ok(Directive { format, values: taken })
    }

    fn printed(self) -> Result<String, TemplateError> {
        let mut values = self.values.into_iter();
        let call = CALLS.get(values.len()).copied().unwrap_or_default();
        let [a, b, c] = [(); 3].map(|()| values.next().unwrap_or(Value::Nil));
        let format = Value::String(self.format.into());
        let data = map([("f", format), ("a", a), ("b", b), ("c", c)]);
        gotmpl::Template::new("printf").parse(call)?.execute_to_string(&data)
    }
}
