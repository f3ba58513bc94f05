//! Requests as values: every parameter but the query and the selectors read and checked.

use std::time::Duration;

use bellwether_model::select::Window;
use bellwether_model::time::{self, Timestamp};
use bellwether_promql::evaluate::{LOOKBACK, Steps};

use super::error::{ApiError, ErrorKind};
use super::escaped::unescaped;
use super::params::Params;
use super::time::parse_duration;

/// Steps of a range query after the first; enough for a minute's resolution over a week.
const STEPS_MAX: i128 = 11_000;
/// Selectors of one request; each is a search of its own.
pub(crate) const SELECTORS_MAX: usize = 100;

/// The largest that `/status/tsdb` names unless told, and at most.
const TOP: usize = 10;
const TOP_MAX: usize = 10_000;

/// A question to the store.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    /// `/query`
    Instant { query: String, at: Timestamp, options: Options },
    /// `/query_range`
    Range { query: String, steps: Steps, options: Options },
    /// `/series`
    Series(Selection),
    /// `/labels`
    LabelNames(Selection),
    /// `/label/<name>/values`
    LabelValues(String, Selection),
    /// `/metadata`
    Metadata(MetadataRequest),
    /// `/format_query`
    Format(String),
    /// `/status/tsdb`: how many of the largest are named.
    Head(usize),
}

/// Which metrics' types and helps are asked for.
#[derive(Clone, Debug)]
pub(crate) struct MetadataRequest {
    /// One; all if empty.
    pub(crate) metric: String,
    /// Metrics of the answer.
    pub(crate) limit: Limit,
}

/// What both kinds of query may say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Series of the answer.
    pub(crate) limit: Limit,
    /// How old a sample an instant selector takes.
    pub(crate) lookback: Duration,
    /// How long the client waits.
    pub(crate) timeout: Option<Duration>,
}

/// Series by selectors, any of which may match.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// `match[]`, not parsed yet.
    pub(crate) selectors: Vec<String>,
    pub(crate) window: Window,
    pub(crate) limit: Limit,
}

/// `limit`: how many results are wanted; `None` is all.
pub(crate) type Limit = Option<usize>;

impl Request {
    /// Reads the parameters of `/query`.
    ///
    /// # Errors
    /// The first that is wrong.
    pub(crate) fn instant(params: &Params, now: Timestamp) -> Result<Request, ApiError> {
        let limit = limit(params)?;
        let at = time_or(params, "time", now)?;
        let options = options(params, limit)?;
        Ok(Request::Instant { query: params.first("query").to_owned(), at, options })
    }

    /// Reads the parameters of `/query_range`.
    ///
    /// # Errors
    /// The first that is wrong.
    pub(crate) fn range(params: &Params) -> Result<Request, ApiError> {
        let limit = limit(params)?;
        let time = |name| {
            time::parse(params.first(name)).map_err(|reason| ApiError::parameter(name, reason))
        };
        let (start, end) = (time("start")?, time("end")?);
        if end < start {
            return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
        }
        let nanos = parse_duration(params.first("step"))
            .map_err(|reason| ApiError::parameter("step", reason))?;
        let step = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
        let steps = Steps::new(start, end, step).ok_or_else(|| {
            ApiError::parameter(
                "step",
                "zero or negative query resolution step widths are not accepted. \
                 Try a positive integer",
            )
        })?;
        let span = (i128::from(end.0) - i128::from(start.0)) * 1_000_000;
        if span / i128::from(nanos) > STEPS_MAX {
            return Err(ApiError::new(
                ErrorKind::BadData,
                "exceeded maximum resolution of 11,000 points per timeseries. \
                 Try decreasing the query resolution (?step=XX)",
            ));
        }
        let options = options(params, limit)?;
        Ok(Request::Range { query: params.first("query").to_owned(), steps, options })
    }

    /// Reads the parameters of `/series`.
    ///
    /// # Errors
    /// The first that is wrong; no selector.
    pub(crate) fn series(params: &Params) -> Result<Request, ApiError> {
        if params.all("match[]").next().is_none() {
            return Err(ApiError::new(ErrorKind::BadData, "no match[] parameter provided"));
        }
        selection(params).map(Request::Series)
    }

    /// Reads the parameters of `/labels`.
    ///
    /// # Errors
    /// The first that is wrong.
    pub(crate) fn label_names(params: &Params) -> Result<Request, ApiError> {
        selection(params).map(Request::LabelNames)
    }

    /// Reads the parameters of `/label/<name>/values`.
    ///
    /// # Errors
    /// The first that is wrong; an empty name.
    pub(crate) fn label_values(name: &str, params: &Params) -> Result<Request, ApiError> {
        let name = unescaped(name);
        if name.is_empty() {
            return Err(ApiError::new(ErrorKind::BadData, "invalid label name: \"\""));
        }
        Ok(Request::LabelValues(name, selection(params)?))
    }

    /// Reads the parameters of `/metadata`. `limit_per_metric` must be a number; a metric has one
    /// type here.
    ///
    /// # Errors
    /// The first that is wrong.
    pub(crate) fn metadata(params: &Params) -> Result<Request, ApiError> {
        let number = |name: &str| match params.first(name) {
            "" => Ok(None),
            text => text
                .parse::<i64>()
                .map(Some)
                .map_err(|_| ApiError::new(ErrorKind::BadData, format!("{name} must be a number"))),
        };
        let limit = number("limit")?;
        number("limit_per_metric")?;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        Ok(Request::Metadata(MetadataRequest { metric: params.first("metric").to_owned(), limit }))
    }

    /// Reads the parameters of `/format_query`.
    ///
    /// # Errors
    /// None; the query is read later.
    pub(crate) fn format(params: &Params) -> Result<Request, ApiError> {
        Ok(Request::Format(params.first("query").to_owned()))
    }

    /// Reads the parameters of `/status/tsdb`.
    ///
    /// # Errors
    /// The limit is none.
    pub(crate) fn head(params: &Params) -> Result<Request, ApiError> {
        let refused = || ApiError::new(ErrorKind::BadData, "limit must be a positive number");
        match params.first("limit") {
            "" => Ok(Request::Head(TOP)),
            text => match text.parse() {
                Ok(limit) if (1..=TOP_MAX).contains(&limit) => Ok(Request::Head(limit)),
                Ok(limit) if limit > TOP_MAX => Ok(Request::Head(TOP_MAX)),
                _ => Err(refused()),
            },
        }
    }

    /// How long the client waits, if it says so.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        match self {
            Request::Instant { options, .. } | Request::Range { options, .. } => options.timeout,
            _ => None,
        }
    }
}

fn selection(params: &Params) -> Result<Selection, ApiError> {
    let limit = limit(params)?;
    let start = time_or(params, "start", Timestamp::MIN)?;
    let end = time_or(params, "end", Timestamp::MAX)?;
    let selectors: Vec<String> = params.all("match[]").map(str::to_owned).collect();
    if selectors.len() > SELECTORS_MAX {
        let reason = format!("more than {SELECTORS_MAX} selectors");
        return Err(ApiError::parameter("match[]", reason));
    }
    // Prometheus includes the start; our windows do not.
    let window = Window { start: Timestamp(start.0.saturating_sub(1)), end };
    Ok(Selection { selectors, window, limit })
}

fn limit(params: &Params) -> Result<Limit, ApiError> {
    let text = params.first("limit");
    if text.is_empty() {
        return Ok(None);
    }
    let refused = |reason: String| ApiError::parameter("limit", reason);
    let number: i64 = text.parse().map_err(|e: std::num::ParseIntError| {
        use std::num::IntErrorKind::{NegOverflow, PosOverflow};
        let reason = match e.kind() {
            PosOverflow | NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        refused(format!("strconv.Atoi: parsing {text:?}: {reason}"))
    })?;
    match usize::try_from(number) {
        Ok(0) => Ok(None),
        Ok(limit) => Ok(Some(limit)),
        Err(_) => Err(refused("limit must be non-negative".to_owned())),
    }
}

fn time_or(params: &Params, name: &str, default: Timestamp) -> Result<Timestamp, ApiError> {
    match params.first(name) {
        "" => Ok(default),
        text => time::parse(text).map_err(|reason| {
            ApiError::parameter(name, format!("invalid time value for '{name}': {reason}"))
        }),
    }
}

fn options(params: &Params, limit: Limit) -> Result<Options, ApiError> {
    let timeout = match params.first("timeout") {
        "" => None,
        text => {
            let nanos =
                parse_duration(text).map_err(|reason| ApiError::parameter("timeout", reason))?;
            Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
        }
    };
    let lookback = match params.first("lookback_delta") {
        "" => 0,
        text => parse_duration(text).map_err(|reason| {
            let message = format!("error parsing lookback delta duration: {reason}");
            ApiError::new(ErrorKind::BadData, message)
        })?,
    };
    let lookback = match u64::try_from(lookback) {
        Ok(nanos) if nanos > 0 => Duration::from_nanos(nanos),
        _ => LOOKBACK,
    };
    Ok(Options { limit, lookback, timeout })
}
