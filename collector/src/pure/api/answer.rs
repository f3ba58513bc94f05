//! Answers to [`Request`]s over a view.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use bellwether_model::label::LabelSet;
use bellwether_model::matcher::Matcher;
use bellwether_model::select::Select;
use bellwether_model::time::Timestamp;
use bellwether_promql::evaluate::{Budget, EvaluateError, Options, Steps, Value, evaluate};
use bellwether_promql::parse::{parse, parse_matchers};
use bellwether_promql::pool::Serial;

use super::error::{ApiError, ErrorKind};
use super::json::{Answer, TooLong};
use super::request::{Request, Selection};

/// What one answer may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Samples held while a query is evaluated.
    pub(crate) samples_max: usize,
    /// Series of an answer without samples, and of a federated page.
    pub(crate) series_max: usize,
    /// Bytes of an answer.
    pub(crate) body_bytes_max: usize,
}

impl Default for Limits {
    /// With 20 queries at once: 1.6 GiB of samples and 1.3 GiB of answers at the very worst.
    fn default() -> Limits {
        Limits { samples_max: 5_000_000, series_max: 500_000, body_bytes_max: 64 << 20 }
    }
}

/// Answers a question; `stop` is set when the answer is no longer wanted.
///
/// # Errors
/// The query or a selector is wrong, a limit is exceeded, or the stop flag was set.
pub(crate) fn answer(
    request: &Request,
    view: &dyn Select,
    limits: &Limits,
    stop: &AtomicBool,
) -> Result<Vec<u8>, ApiError> {
    let mut answer = Answer::new(limits.body_bytes_max);
    let written = match request {
        Request::Instant { .. } | Request::Range { .. } => {
            let (value, at, limit) = evaluated(request, view, limits, stop)?;
            answer.value(&value, at, limit)
        }
        Request::Series(selection) => {
            let sets = parse_selection(selection, stop).map_err(|error| match error.kind {
                ErrorKind::BadData => ApiError::parameter("match[]", error.message),
                _ => error,
            })?;
            let series = series(&sets, selection, view, limits, stop)?;
            answer.series(&series, selection.limit)
        }
        Request::LabelNames(selection) => {
            let names =
                texts(selection, stop, |matchers| view.label_names(matchers, selection.window))?;
            answer.texts(&names, selection.limit)
        }
        Request::LabelValues(name, selection) => {
            let values = texts(selection, stop, |matchers| {
                view.label_values(name, matchers, selection.window)
            })?;
            answer.texts(&values, selection.limit)
        }
    };
    written.map_err(|TooLong| {
        let message = format!("answer is longer than {} bytes", limits.body_bytes_max);
        ApiError::new(ErrorKind::Execution, message)
    })?;
    Ok(answer.finish())
}

/// The answer of `/status/buildinfo`. It has no `features`: Grafana takes a server that has them
/// for one with a ruler.
pub(crate) fn build_info(version: &str) -> Vec<u8> {
    let mut answer = Answer::new(usize::MAX);
    answer.build_info(version);
    answer.finish()
}

fn evaluated(
    request: &Request,
    view: &dyn Select,
    limits: &Limits,
    stop: &AtomicBool,
) -> Result<(Value, Timestamp, Option<usize>), ApiError> {
    let budget = Budget { samples_max: limits.samples_max, stop };
    let (query, steps, at, options) = match request {
        Request::Instant { query, at, options } => (query, Steps::instant(*at), *at, options),
        Request::Range { query, steps, options } => (query, *steps, Timestamp::default(), options),
        _ => return Err(ApiError::new(ErrorKind::Internal, "the request is not a query")),
    };
    let expr = parse(query).map_err(|error| ApiError::parameter("query", error))?;
    let lookback = Options { lookback: options.lookback, ..Options::default() };
    let answer =
        evaluate(view, &expr, steps, &lookback, &Serial, budget).map_err(|error| match error {
            EvaluateError::NotForRange(_) => ApiError::parameter("query", error),
            EvaluateError::Stopped => stopped(),
            _ => ApiError::new(ErrorKind::Execution, error.to_string()),
        })?;
    Ok((answer.value, at, options.limit))
}

/// The error of a query whose time is over.
pub(crate) fn stopped() -> ApiError {
    ApiError::new(ErrorKind::Timeout, "query timed out in expression evaluation")
}

/// Patterns take time to compile, so that the flag is looked at here too.
fn parse_selection(
    selection: &Selection,
    stop: &AtomicBool,
) -> Result<Vec<Vec<Matcher>>, ApiError> {
    let refused = |message: String| ApiError::new(ErrorKind::BadData, message);
    let mut sets = Vec::with_capacity(selection.selectors.len());
    for text in &selection.selectors {
        check(stop)?;
        sets.push(parse_matchers(text).map_err(|error| refused(error.to_string()))?);
    }
    if sets.iter().any(|matchers| matchers.iter().all(|matcher| matcher.matches(""))) {
        return Err(refused("match[] must contain at least one non-empty matcher".to_owned()));
    }
    Ok(sets)
}

fn series(
    sets: &[Vec<Matcher>],
    selection: &Selection,
    view: &dyn Select,
    limits: &Limits,
    stop: &AtomicBool,
) -> Result<Vec<LabelSet>, ApiError> {
    let wanted = selection.limit.unwrap_or(usize::MAX).min(limits.series_max);
    let mut found = Vec::new();
    for matchers in sets {
        check(stop)?;
        let refs = view.series(matchers, selection.window, wanted);
        found.extend(refs.into_iter().map(|one| view.labels(one)));
        found.sort_unstable();
        found.dedup();
        if found.len() > limits.series_max {
            let message = format!("more than {} series match", limits.series_max);
            return Err(ApiError::new(ErrorKind::Execution, message));
        }
        // The first of all are among the first of each.
        found.truncate(wanted.saturating_add(1));
    }
    Ok(found)
}

fn texts(
    selection: &Selection,
    stop: &AtomicBool,
    read: impl Fn(&[Matcher]) -> Vec<String>,
) -> Result<Vec<String>, ApiError> {
    let sets = parse_selection(selection, stop)?;
    if sets.is_empty() {
        return Ok(read(&[]));
    }
    let mut found = BTreeSet::new();
    for matchers in &sets {
        check(stop)?;
        found.extend(read(matchers));
    }
    Ok(found.into_iter().collect())
}

/// An error once nobody waits for the answer.
pub(crate) fn check(stop: &AtomicBool) -> Result<(), ApiError> {
    if stop.load(Ordering::Relaxed) { Err(stopped()) } else { Ok(()) }
}
