//! Warnings and infos: what a query's answer must be read with.

use crate::evaluate::calendar::Moment;
use crate::print::short;
use crate::quote::quote;
use crate::tree::{Position, Span};

/// How grave an annotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The answer may be wrong.
    Warning,
    /// The query may not ask what was meant.
    Info,
}

/// A note to an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// How grave it is.
    pub level: Level,
    /// What it says, in Prometheus' words, without level and place.
    pub message: String,
    /// The expression that it is about.
    pub span: Span,
    /// What was changed to make buckets rise; of that info only.
    pub repaired: Option<Repaired>,
}

/// How buckets of histograms that did not rise were changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Repaired {
    /// The first and the last step, in seconds.
    pub seconds: (i64, i64),
    /// The least and the greatest upper bound.
    pub buckets: (f64, f64),
    /// The greatest change.
    pub difference: f64,
    /// How many histograms.
    pub samples: u64,
}

impl Annotation {
    /// As Prometheus' interface writes it, with the place in the query's text.
    #[must_use]
    pub fn render(&self, text: &str) -> String {
        let level = match self.level {
            Level::Warning => "PromQL warning",
            Level::Info => "PromQL info",
        };
        let Position { line, column } = self.span.position(text);
        let message = &self.message;
        let details = match &self.repaired {
            None => String::new(),
            Some(repaired) => {
                let (first, last) = repaired.seconds;
                format!(
                    ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
                    short(repaired.buckets.0),
                    short(repaired.buckets.1),
                    two_digits(repaired.difference),
                    repaired.samples,
                    Moment::at(first).rfc3339(),
                    Moment::at(last).rfc3339(),
                )
            }
        };
        format!("{level}: {message}{details} ({line}:{column})")
    }

    pub(crate) fn bad_quantile(value: f64, span: Span) -> Annotation {
        let value = short(value);
        warning(format!("quantile value should be between 0 and 1, got {value}"), span)
    }

    pub(crate) fn bad_ratio(value: f64, capped: f64, span: Span) -> Annotation {
        let (value, capped) = (short(value), short(capped));
        let message =
            format!("ratio value should be between -1 and 1, got {value}, capping to {capped}");
        warning(message, span)
    }

    pub(crate) fn bad_bucket(metric: &str, label: &str, span: Span) -> Annotation {
        let label = quote(label);
        let message = format!("bucket label \"le\" is missing or has a malformed value of {label}");
        warning(for_metric(message, metric), span)
    }

    pub(crate) fn sorted_range(span: Span) -> Annotation {
        let message = "sort is ineffective for range queries since results are always ordered by \
                       labels";
        warning(message.to_owned(), span)
    }

    pub(crate) fn not_a_counter(metric: &str, span: Span) -> Annotation {
        let metric = quote(metric);
        let message = format!(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \
             {metric}"
        );
        info(message, span)
    }

    pub(crate) fn repaired(metric: &str, span: Span, repaired: Repaired) -> Annotation {
        let message = "input to histogram_quantile needed to be fixed for monotonicity (see \
                       https://prometheus.io/docs/prometheus/latest/querying/functions/\
                       #histogram_quantile)";
        let plain = info(for_metric(message.to_owned(), metric), span);
        Annotation { repaired: Some(repaired), ..plain }
    }
}

fn warning(message: String, span: Span) -> Annotation {
    Annotation { level: Level::Warning, message, span, repaired: None }
}

fn info(message: String, span: Span) -> Annotation {
    Annotation { level: Level::Info, message, span, repaired: None }
}

fn for_metric(message: String, metric: &str) -> String {
    match metric {
        "" => message,
        _ => format!("{message} for metric name {}", quote(metric)),
    }
}

/// As Go's `%.2g`.
fn two_digits(value: f64) -> String {
    let rounded: f64 = format!("{value:.1e}").parse().unwrap_or(value);
    let text = short(rounded);
    // Go turns to exponents at two digits already here.
    if (100.0..1e6).contains(&rounded.abs()) {
        let scientific = format!("{rounded:e}");
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        return format!("{digits}e+{exponent:0>2}");
    }
    text
}

/// Annotations of a query, each message once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotations(Vec<Annotation>);

impl Annotations {
    /// Adds one. Of equal messages the last one's place stays, as in Prometheus.
    pub(crate) fn add(&mut self, mut new: Annotation) {
        let same = |old: &&mut Annotation| old.message == new.message && old.level == new.level;
        let Some(old) = self.0.iter_mut().find(same) else {
            self.0.push(new);
            return;
        };
        if let (Some(a), Some(b)) = (&old.repaired, &mut new.repaired) {
            b.seconds = (a.seconds.0.min(b.seconds.0), a.seconds.1.max(b.seconds.1));
            b.buckets = (a.buckets.0.min(b.buckets.0), a.buckets.1.max(b.buckets.1));
            b.difference = a.difference.max(b.difference);
            b.samples += a.samples;
        }
        *old = new;
    }

    pub(crate) fn merge(&mut self, others: Annotations) {
        others.0.into_iter().for_each(|one| self.add(one));
    }

    /// All, in the order in which they first arose.
    pub fn iter(&self) -> impl Iterator<Item = &Annotation> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The texts of one level.
    #[must_use]
    pub fn rendered(&self, level: Level, text: &str) -> Vec<String> {
        self.iter().filter(|one| one.level == level).map(|one| one.render(text)).collect()
    }
}
