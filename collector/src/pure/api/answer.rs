//! Answers to [`Request`]s over a view.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::matcher::Matcher;
use bellwether_model::select::{Select, Window};
use bellwether_model::time::Timestamp;
use bellwether_promql::annotation::{Annotations, Level};
use bellwether_promql::evaluate::{
    Answer as Evaluated, Budget, EvaluateError, Options as EvaluateOptions, Steps, evaluate,
};
use bellwether_promql::parse::{parse, parse_matchers};
use bellwether_promql::pool::Pool;
use bellwether_promql::print::pretty;

use super::error::{ApiError, ErrorKind};
use super::json::{Answer, TooLong};
use super::request::{MetadataRequest, Options, Request, Selection};
use super::status::head;

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
    /// Samples as in Prometheus.
    fn default() -> Limits {
        Limits { samples_max: 50_000_000, series_max: 500_000, body_bytes_max: 64 << 20 }
    }
}

/// What an answer is made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means<'a> {
    /// What it may take.
    pub(crate) limits: Limits,
    /// Threads that help.
    pub(crate) pool: &'a dyn Pool,
    /// Set when the answer is no longer wanted.
    pub(crate) stop: &'a AtomicBool,
}

/// Warnings or infos of one answer, as in Prometheus; how many there are more is said.
const ANNOTATIONS: usize = 10;

/// Answers a question.
///
/// # Errors
/// The query or a selector is wrong, a limit is exceeded, or the stop flag was set.
pub(crate) fn answer(
    request: &Request,
    view: &dyn Select,
    means: &Means<'_>,
) -> Result<Vec<u8>, ApiError> {
    let Means { limits, stop, .. } = *means;
    let mut answer = Answer::new(limits.body_bytes_max);
    let written = match request {
        Request::Instant { query, at, options } => {
            let evaluated = evaluated(query, Steps::instant(*at), options, view, means)?;
            annotate(&mut answer, &evaluated.annotations, query);
            answer.value(&evaluated.value, *at, options.limit)
        }
        Request::Range { query, steps, options } => {
            let evaluated = evaluated(query, *steps, options, view, means)?;
            annotate(&mut answer, &evaluated.annotations, query);
            answer.value(&evaluated.value, Timestamp::default(), options.limit)
        }
        Request::Format(query) => {
            let expr = parse(query).map_err(|error| ApiError::parameter("query", error))?;
            answer.text(&pretty(&expr))
        }
        Request::Metadata(asked) => metadata(&mut answer, asked, view, stop),
        Request::Head(top) => answer.json(&head(view, *top, &limits, stop)?),
        Request::Series(selection) => {
            let sets = parse_selection(selection, stop).map_err(|error| match error.kind {
                ErrorKind::BadData => ApiError::parameter("match[]", error.message),
                _ => error,
            })?;
            let series = series(&sets, selection, view, &limits, stop)?;
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
    query: &str,
    steps: Steps,
    options: &Options,
    view: &dyn Select,
    means: &Means<'_>,
) -> Result<Evaluated, ApiError> {
    let expr = parse(query).map_err(|error| ApiError::parameter("query", error))?;
    let from_server = EvaluateOptions { lookback: options.lookback, ..EvaluateOptions::default() };
    let budget = Budget { samples_max: means.limits.samples_max, stop: means.stop };
    evaluate(view, &expr, steps, &from_server, means.pool, budget).map_err(|error| match error {
        EvaluateError::NotForRange(_) => ApiError::parameter("query", error),
        EvaluateError::Stopped => stopped(),
        EvaluateError::Unsupported { span, .. } => {
            let place = span.position(query);
            let message = format!("{}:{}: {error}", place.line, place.column);
            ApiError::new(ErrorKind::Execution, message)
        }
        _ => ApiError::new(ErrorKind::Execution, error.to_string()),
    })
}

fn annotate(answer: &mut Answer, annotations: &Annotations, query: &str) {
    for (level, word) in [(Level::Warning, "warning"), (Level::Info, "info")] {
        let mut texts = annotations.rendered(level, query);
        let omitted = texts.len().saturating_sub(ANNOTATIONS);
        if omitted > 0 {
            texts.truncate(ANNOTATIONS);
            texts.push(format!("{omitted} more {word} annotations omitted"));
        }
        match level {
            Level::Warning => answer.warnings.extend(texts),
            Level::Info => answer.infos.extend(texts),
        }
    }
}

/// What is known of metrics, by name; a metric of which nothing is known is left out.
fn metadata(
    answer: &mut Answer,
    asked: &MetadataRequest,
    view: &dyn Select,
    stop: &AtomicBool,
) -> Result<(), TooLong> {
    let always = Window { start: Timestamp::MIN, end: Timestamp::MAX };
    let names = match asked.metric.as_str() {
        "" => view.label_values(METRIC_NAME, &[], always),
        name => vec![name.to_owned()],
    };
    // One that has waited too long gets no more than it has.
    let names = names.iter().take_while(|_| !stop.load(Ordering::Relaxed));
    let known = names.filter_map(|name| Some((name.as_str(), view.metadata(name)?)));
    answer.metadata(known.take(asked.limit.unwrap_or(usize::MAX)))
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
