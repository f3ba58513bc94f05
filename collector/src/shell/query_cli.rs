//! `query`: asks a running collector, and shows its answer as a table, a plot or JSON.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use bellwether_model::time::{self, Timestamp};
use bellwether_platform::clock::Clock;
use bellwether_platform::log::complain;
use form_urlencoded::Serializer;
use hyper::{Method, StatusCode};
use rustix::termios::tcgetwinsize;
use serde_json::Value;

use super::ask::{AskError, Form, ask, refused};
use super::cli::{Output, Query};
use super::table::{columns, printable};
use crate::pure::chart::{Frame, Line, draw};

const INSTANT: &str = "/api/v1/query";
const RANGE: &str = "/api/v1/query_range";
/// Characters across where no terminal says.
const COLUMNS: usize = 80;
/// Characters down of a plot.
const ROWS: usize = 15;
const METRIC_NAME: &str = "__name__";

/// Asks and shows.
///
/// # Errors
/// The collector cannot be asked or refuses the query; the output cannot be written.
pub async fn run(query: &Query) -> anyhow::Result<ExitCode> {
    let screen = Screen::of_output();
    let span = query.range.map(|range| span(query, range, screen.columns)).transpose()?;
    let (path, form) = parameters(query, span.as_ref());
    let (status, body) = ask(&query.target, Method::POST, path, Form::Query(form)).await?;
    let answer: Option<Value> = serde_json::from_slice(&body).ok();
    let Some(answer) = answer.filter(|answer| answer["status"] == "success") else {
        return Err(failed(query, status, &body).into());
    };
    for (list, word) in [("warnings", "warning"), ("infos", "info")] {
        let texts = answer.get(list).and_then(Value::as_array).into_iter().flatten();
        for text in texts.filter_map(Value::as_str) {
            complain(format_args!("bellwether: {word}: {}", printable(text)));
        }
    }
    let data = answer.get("data").unwrap_or(&Value::Null);
    let shown = match (query.output, &span) {
        (Output::Json, _) => format!("{}\n", serde_json::to_string_pretty(data)?),
        (Output::Table, None) => table(data),
        (Output::Table, Some(span)) => plot(data, span, screen),
    };
    io::stdout().write_all(shown.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The times of a range query.
struct Span {
    start: Timestamp,
    end: Timestamp,
    step: Duration,
}

/// Where a plot has to fit.
#[derive(Clone, Copy)]
struct Screen {
    columns: usize,
    colours: bool,
}

impl Screen {
    fn of_output() -> Screen {
        let told = tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col));
        Screen {
            columns: told.filter(|columns| *columns > 0).unwrap_or(COLUMNS),
            colours: io::stdout().is_terminal(),
        }
    }
}

fn span(query: &Query, range: Duration, columns: usize) -> anyhow::Result<Span> {
    let end = match &query.time {
        Some(text) => time::parse(text).map_err(|reason| anyhow::anyhow!("--time: {reason}"))?,
        None => Clock::collector().now().wall,
    };
    // As many points as a plot across the terminal has dots.
    let dots = u32::try_from(columns.saturating_mul(2)).unwrap_or(u32::MAX).max(1);
    let step = query.step.unwrap_or_else(|| {
        Duration::from_secs((range / dots).as_secs() + 1).min(range.max(Duration::from_millis(1)))
    });
    Ok(Span { start: end.saturating_sub(range), end, step })
}

fn parameters(query: &Query, span: Option<&Span>) -> (&'static str, String) {
    let mut form = Serializer::new(String::new());
    form.append_pair("query", &query.expression);
    let path = match span {
        Some(span) => {
            form.append_pair("start", &span.start.to_string());
            form.append_pair("end", &span.end.to_string());
            form.append_pair("step", &span.step.as_secs_f64().to_string());
            RANGE
        }
        None => {
            if let Some(time) = &query.time {
                form.append_pair("time", time);
            }
            INSTANT
        }
    };
    (path, form.finish())
}

/// The words of an error of the interface, or what else was answered.
fn failed(query: &Query, status: StatusCode, body: &[u8]) -> AskError {
    let said = serde_json::from_slice::<Value>(body).ok().and_then(|answer| {
        let word = |key| answer.get(key).and_then(Value::as_str);
        Some(format!("{}: {}", word("errorType")?, word("error")?))
    });
    match said {
        Some(text) => refused(&query.target, status, printable(&text).as_bytes()),
        None => refused(&query.target, status, body),
    }
}

fn plot(data: &Value, span: &Span, screen: Screen) -> String {
    let series = data["result"].as_array().map_or(&[][..], Vec::as_slice);
    let lines: Vec<Line> = series
        .iter()
        .map(|one| Line { name: name(&one["metric"]), samples: samples(&one["values"]) })
        .collect();
    let step = i64::try_from(span.step.as_millis()).unwrap_or(i64::MAX);
    let drawn = draw(
        &lines,
        &Frame {
            start: span.start,
            end: span.end,
            // A sample at each step; a step and a half apart is a gap.
            gap: step.saturating_add(step / 2),
            columns: screen.columns,
            rows: ROWS,
            colours: screen.colours,
        },
    );
    if drawn.is_empty() { NOTHING.to_owned() } else { drawn }
}

const NOTHING: &str = "no samples\n";

/// An instant query's answer.
fn table(data: &Value) -> String {
    let result = &data["result"];
    let series = result.as_array().map_or(&[][..], Vec::as_slice);
    match data["resultType"].as_str() {
        Some("vector") if series.is_empty() => NOTHING.to_owned(),
        Some("vector") => vector(series),
        Some("matrix") if series.is_empty() => NOTHING.to_owned(),
        Some("matrix") => matrix(series),
        _ => format!("{}\n", printable(result[1].as_str().unwrap_or(""))),
    }
}

/// A column for each label, then the value.
fn vector(series: &[Value]) -> String {
    let metrics = series.iter().filter_map(|one| one["metric"].as_object());
    let mut labels: BTreeSet<&str> = metrics.flat_map(|m| m.keys().map(String::as_str)).collect();
    let has_name = labels.remove(METRIC_NAME);
    let names: Vec<&str> = has_name.then_some(METRIC_NAME).into_iter().chain(labels).collect();
    let header = names.iter().map(|name| match *name {
        METRIC_NAME => "NAME".to_owned(),
        name => printable(name),
    });
    let mut lines: Vec<Vec<String>> = vec![header.chain(["VALUE".to_owned()]).collect()];
    for one in series {
        let mut cells: Vec<String> = names
            .iter()
            .map(|name| printable(text(one.get("metric").and_then(|metric| metric.get(*name)))))
            .collect();
        cells.push(text(one.pointer("/value/1")).to_owned());
        lines.push(cells);
    }
    columns(&lines)
}

/// A line for each sample.
fn matrix(series: &[Value]) -> String {
    let mut lines = vec![["SERIES", "TIME", "VALUE"].map(str::to_owned).to_vec()];
    for one in series {
        let name = name(&one["metric"]);
        for pair in one["values"].as_array().into_iter().flatten() {
            let value = pair[1].as_str().unwrap_or("").to_owned();
            lines.push(vec![name.clone(), pair[0].to_string(), value]);
        }
    }
    columns(&lines)
}

/// `name{label="value",…}`
fn name(metric: &Value) -> String {
    let labels = metric.as_object();
    let rest: Vec<String> = labels
        .into_iter()
        .flatten()
        .filter(|(label, _)| *label != METRIC_NAME)
        .map(|(label, value)| format!("{}={value}", printable(label)))
        .collect();
    let name = printable(metric[METRIC_NAME].as_str().unwrap_or(""));
    if rest.is_empty() && !name.is_empty() { name } else { format!("{name}{{{}}}", rest.join(",")) }
}

fn samples(values: &Value) -> Vec<(Timestamp, f64)> {
    let pairs = values.as_array().into_iter().flatten();
    pairs
        .filter_map(|pair| {
            let at = time::parse(&pair[0].to_string()).ok()?;
            Some((at, pair[1].as_str()?.parse().ok()?))
        })
        .collect()
}

/// A string of an answer, empty if there is none.
fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or("")
}

#[cfg(test)]
mod tests;
