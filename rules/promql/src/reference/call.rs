//! Functions: what each makes of its arguments, step by step.

use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::matcher::{MatchOp, Matcher};

use super::buckets::{self, Bucket};
use super::order::{falling, natural, rising};
use super::window::{self, Window};
use super::{Element, Evaluator, Failure, Note, Steps, Vectors, Weight};
use super::{in_this_order, instant, nameless, number, projected, with_label};
use crate::print::short;
use crate::quote::quote;
use crate::tree::{Call, Expr, Kind, Node, Span};

/// The label that holds a bucket's upper bound.
const BUCKET: &str = "le";

/// Endings of names that counters have.
const COUNTER_ENDINGS: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];

impl Evaluator<'_> {
    fn inform(&mut self, message: String, span: Span) {
        self.notes.insert(Note { weight: Weight::Info, message, at: span.start });
    }

    pub(super) fn call(
        &mut self,
        span: Span,
        call: &Call,
        steps: &Steps,
    ) -> Result<Vectors, Failure> {
        let function = call.function.name;
        let args: Vec<&Expr> = call.args.iter().map(Expr::bare).collect();
        let times = self.times;
        let seconds = |millis: i64| millis as f64 / 1000.0;
        let each = |value: &dyn Fn(i64) -> f64| -> Vectors {
            steps.times.iter().map(|time| vec![nameless(value(*time), *time)]).collect()
        };
        Ok(match function {
            "time" => each(&seconds),
            "pi" => each(&|_| std::f64::consts::PI),
            "start" => each(&|_| seconds(times.start)),
            "end" => each(&|_| seconds(times.end)),
            "range" => each(&|_| seconds(times.end - times.start)),
            "step" => each(&|_| if times.start == times.end { 0.0 } else { seconds(times.step) }),
            "max_of" | "min_of" => {
                let (a, b) = (self.vectors(args[0], steps)?, self.vectors(args[1], steps)?);
                let choose = if function == "max_of" { number::larger } else { number::smaller };
                let pair = |(a, b): (Vec<Element>, Vec<Element>)| {
                    vec![Element { value: choose(a[0].value, b[0].value), ..a[0].clone() }]
                };
                a.into_iter().zip(b).map(pair).collect()
            }
            "vector" => self.vectors(args[0], steps)?,
            "scalar" => {
                let vectors = self.vectors(args[0], steps)?;
                let only = |(vector, time): (Vec<Element>, &i64)| {
                    let value = if vector.len() == 1 { vector[0].value } else { f64::NAN };
                    vec![nameless(value, *time)]
                };
                vectors.into_iter().zip(&steps.times).map(only).collect()
            }
            "absent" | "absent_over_time" => self.absent(args[0], steps)?,
            "timestamp" => self.timestamp(args[0], steps)?,
            "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => {
                self.sorted(function, span, &args, steps)?
            }
            "label_replace" => self.label_replace(&args, steps)?,
            "label_join" => self.label_join(&args, steps)?,
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
                self.histogram(function, &args, steps)?
            }
            // Of native histograms, which no series here has.
            "histogram_avg" | "histogram_count" | "histogram_stddev" | "histogram_stdvar"
            | "histogram_sum" | "start_timestamp" => {
                self.vectors(args[0], steps)?;
                vec![Vec::new(); steps.times.len()]
            }
            _ if args.is_empty() => {
                let part = |time: i64| instant::date(function, time / 1000).expect("a date's part");
                each(&part)
            }
            _ if args.iter().any(|arg| arg.kind() == Kind::Matrix) => {
                self.over_windows(function, &args, steps)?
            }
            _ => self.number_by_number(function, &args, steps)?,
        })
    }

    fn number_by_number(
        &mut self,
        function: &str,
        args: &[&Expr],
        steps: &Steps,
    ) -> Result<Vectors, Failure> {
        let vectors = self.vectors(args[0], steps)?;
        let numbers = self.all_numbers(&args[1..], steps)?;
        let mut result = Vec::new();
        for (at, vector) in vectors.into_iter().enumerate() {
            let numbers: Vec<f64> = numbers.iter().map(|column| column[at]).collect();
            if function == "clamp" && numbers[1] < numbers[0] {
                result.push(Vec::new());
                continue;
            }
            let one = |element: Element| {
                let value = instant::call(function, element.value, &numbers)
                    .unwrap_or_else(|| unreachable!("the reference lacks {function}"));
                Element { value, drops_name: true, ..element }
            };
            result.push(vector.into_iter().map(one).collect());
        }
        Evaluator::distinct(result, steps)
    }

    /// One list of values per argument.
    fn all_numbers(&mut self, args: &[&Expr], steps: &Steps) -> Result<Vec<Vec<f64>>, Failure> {
        args.iter().map(|arg| self.numbers(arg, steps)).collect()
    }

    fn over_windows(
        &mut self,
        function: &str,
        args: &[&Expr],
        steps: &Steps,
    ) -> Result<Vectors, Failure> {
        let (matrix, others): (Vec<&Expr>, Vec<&Expr>) =
            args.iter().partition(|arg| arg.kind() == Kind::Matrix);
        let series = self.windows(matrix[0], steps)?;
        let numbers = self.all_numbers(&others, steps)?;
        let keeps_name = matches!(function, "first_over_time" | "last_over_time");
        let mut result = vec![Vec::new(); steps.times.len()];
        for one in series {
            let name = one.labels.name().to_owned();
            let drops_name = one.drops_name || !keeps_name;
            let mut answers = false;
            for (at, (start, end, samples)) in one.windows.iter().enumerate() {
                if samples.is_empty() {
                    continue;
                }
                let numbers: Vec<f64> = numbers.iter().map(|column| column[at]).collect();
                let now = steps.times[at];
                if function == "quantile_over_time" {
                    self.warn_of_quantile(numbers[0], args[0].span);
                }
                let window = Window { samples, start: *start, end: *end, now };
                let value = window::call(function, window, &numbers);
                if let Some(value) = value.map_err(|_| Failure::BadFactor)? {
                    answers = true;
                    let (labels, rank) = (one.labels.clone(), one.rank);
                    result[at].push(Element { labels, drops_name, value, time: now, rank });
                }
            }
            if !answers {
                continue;
            }
            let counter = COUNTER_ENDINGS.iter().any(|ending| name.ends_with(ending));
            if matches!(function, "rate" | "increase") && !name.is_empty() && !counter {
                let message = "metric might not be a counter, name does not end in \
                               _total/_sum/_count/_bucket:";
                self.inform(format!("{message} {}", quote(&name)), args[0].span);
            }
        }
        Ok(result)
    }

    fn absent(&mut self, arg: &Expr, steps: &Steps) -> Result<Vectors, Failure> {
        let mut present = vec![false; steps.times.len()];
        if arg.kind() == Kind::Matrix {
            for one in self.windows(arg, steps)? {
                for (present, (_, _, samples)) in present.iter_mut().zip(&one.windows) {
                    *present |= !samples.is_empty();
                }
            }
        } else {
            for (present, vector) in present.iter_mut().zip(self.vectors(arg, steps)?) {
                *present = !vector.is_empty();
            }
        }
        let labels = match &arg.node {
            Node::Selector(selector) => named_exactly(&selector.matchers),
            Node::Range(range) => named_exactly(&range.selector.matchers),
            _ => LabelSet::default(),
        };
        let at_step = |(present, time): (bool, &i64)| match present {
            true => Vec::new(),
            false => vec![Element { labels: labels.clone(), ..nameless(1.0, *time) }],
        };
        Ok(present.into_iter().zip(&steps.times).map(at_step).collect())
    }

    fn timestamp(&mut self, arg: &Expr, steps: &Steps) -> Result<Vectors, Failure> {
        let mut vectors = match &arg.node {
            Node::Selector(selector) => self.selected(selector, steps),
            _ => self.vectors(arg, steps)?,
        };
        let sampled = matches!(arg.node, Node::Selector(_));
        for (vector, time) in vectors.iter_mut().zip(&steps.times) {
            for element in vector {
                let value = if sampled { element.time } else { *time } as f64 / 1000.0;
                *element = Element { value, time: *time, drops_name: true, ..element.clone() };
            }
        }
        Evaluator::distinct(vectors, steps)
    }

    fn sorted(
        &mut self,
        function: &str,
        span: Span,
        args: &[&Expr],
        steps: &Steps,
    ) -> Result<Vectors, Failure> {
        let mut vectors = self.vectors(args[0], steps)?;
        if steps.is_range {
            let message = "sort is ineffective for range queries since results are always \
                           ordered by labels";
            self.warn(message.to_owned(), span);
            return Ok(vectors);
        }
        let labels: Vec<&str> = args[1..].iter().map(|arg| text(arg)).collect();
        let by_label = |a: &Element, b: &Element| {
            let value =
                |element: &Element, label: &str| element.labels.get(label).unwrap_or("").to_owned();
            let different = labels.iter().find(|label| value(a, label) != value(b, label));
            match different {
                Some(label) => natural(&value(a, label), &value(b, label)),
                None => a.labels.cmp(&b.labels),
            }
        };
        match function {
            "sort" => vectors[0].sort_by(|a, b| rising(a.value, b.value)),
            "sort_desc" => vectors[0].sort_by(|a, b| falling(a.value, b.value)),
            "sort_by_label" => vectors[0].sort_by(by_label),
            _ => vectors[0].sort_by(|a, b| by_label(b, a)),
        }
        Ok(vectors.into_iter().map(in_this_order).collect())
    }

    fn label_replace(&mut self, args: &[&Expr], steps: &Steps) -> Result<Vectors, Failure> {
        let (to, template, from) = (text(args[1]), text(args[2]), text(args[3]));
        let pattern = super::pattern::Pattern::new(text(args[4])).ok_or(Failure::BadPattern)?;
        if to.is_empty() {
            return Err(Failure::BadLabel);
        }
        let mut vectors = self.vectors(args[0], steps)?;
        for element in vectors.iter_mut().flatten() {
            let value = element.labels.get(from).unwrap_or("").to_owned();
            if let Some(new) = pattern.expand(&value, template) {
                element.labels = with_label(&element.labels, to, &new);
                element.drops_name &= to != METRIC_NAME;
            }
        }
        // Looked at here also at one step.
        Evaluator::distinct(vectors, &Steps { is_range: true, ..steps.clone() })
    }

    fn label_join(&mut self, args: &[&Expr], steps: &Steps) -> Result<Vectors, Failure> {
        let (to, between) = (text(args[1]), text(args[2]));
        let from: Vec<&str> = args[3..].iter().map(|arg| text(arg)).collect();
        if to.is_empty() || from.iter().any(|label| label.is_empty()) {
            return Err(Failure::BadLabel);
        }
        let mut vectors = self.vectors(args[0], steps)?;
        for element in vectors.iter_mut().flatten() {
            let values: Vec<&str> =
                from.iter().map(|label| element.labels.get(label).unwrap_or("")).collect();
            element.labels = with_label(&element.labels, to, &values.join(between));
            element.drops_name &= to != METRIC_NAME;
        }
        // Looked at here also at one step.
        Evaluator::distinct(vectors, &Steps { is_range: true, ..steps.clone() })
    }

    /// `histogram_quantile(q, v)`, `histogram_quantiles(v, label, q…)` and
    /// `histogram_fraction(lower, upper, v)`.
    fn histogram(
        &mut self,
        function: &str,
        args: &[&Expr],
        steps: &Steps,
    ) -> Result<Vectors, Failure> {
        let mut numbers = Vec::new();
        let mut vectors = Vec::new();
        for arg in args {
            match arg.kind() {
                Kind::Scalar => numbers.push((arg.span, self.numbers(arg, steps)?)),
                Kind::Text => {}
                _ => vectors = self.vectors(arg, steps)?,
            }
        }
        let vector_span = args
            .iter()
            .find(|arg| arg.kind() == Kind::Vector)
            .map_or(Span::default(), |arg| arg.span);
        let mut result = Vec::new();
        for (at, vector) in vectors.into_iter().enumerate() {
            let numbers: Vec<(Span, f64)> =
                numbers.iter().map(|(span, column)| (*span, column[at])).collect();
            if function != "histogram_fraction" {
                for (span, q) in &numbers {
                    self.warn_of_quantile(*q, *span);
                }
            }
            let histograms = self.histograms(&vector, vector_span);
            let mut answers = Vec::new();
            let answer = |labels: LabelSet, value: f64, rank: [usize; 2]| Element {
                labels,
                drops_name: true,
                rank,
                ..nameless(value, steps.times[at])
            };
            if function == "histogram_fraction" {
                for (labels, buckets, rank) in &histograms {
                    let part = buckets::fraction(numbers[0].1, numbers[1].1, buckets);
                    answers.push(answer(labels.clone(), part, [*rank, 0]));
                }
            } else {
                for (which, (_, q)) in numbers.iter().enumerate() {
                    for (labels, buckets, rank) in &histograms {
                        let (value, forced) = buckets::quantile(*q, buckets);
                        if forced.is_some() {
                            let message = "input to histogram_quantile needed to be fixed for \
                                           monotonicity (see https://prometheus.io/docs/\
                                           prometheus/latest/querying/functions/\
                                           #histogram_quantile)";
                            self.inform(of_metric(message.to_owned(), labels), vector_span);
                        }
                        let mut labels = labels.clone();
                        if function == "histogram_quantiles" {
                            labels = with_label(&labels, text(args[1]), &quantile_label(*q));
                        }
                        answers.push(answer(labels, value, [which, *rank]));
                    }
                }
            }
            result.push(answers);
        }
        Evaluator::distinct(result, steps)
    }

    /// The buckets of each histogram in a vector, histograms in the order of their first bucket.
    fn histograms(
        &mut self,
        vector: &[Element],
        span: Span,
    ) -> Vec<(LabelSet, Vec<Bucket>, usize)> {
        let mut histograms: Vec<(LabelSet, Vec<Bucket>, usize)> = Vec::new();
        for element in vector {
            let written = element.labels.get(BUCKET).unwrap_or("");
            let Some(bound) = bound(written) else {
                let message = "bucket label \"le\" is missing or has a malformed value of";
                let message = format!("{message} {}", quote(written));
                self.warn(of_metric(message, &element.labels), span);
                continue;
            };
            let labels = projected(&element.labels, |name| name != BUCKET);
            let bucket = Bucket { bound, count: element.value };
            match histograms.iter_mut().find(|(other, ..)| *other == labels) {
                Some((_, buckets, _)) => buckets.push(bucket),
                None => histograms.push((labels, vec![bucket], element.rank[0])),
            }
        }
        histograms
    }
}

fn of_metric(message: String, labels: &LabelSet) -> String {
    match labels.name() {
        "" => message,
        name => format!("{message} for metric name {}", quote(name)),
    }
}

fn text(arg: &Expr) -> &str {
    match &arg.node {
        Node::Text(text) => text,
        other => panic!("invariant: the parser has a string here, not {other:?}"),
    }
}

/// The labels that matchers require exactly, each once; one that is matched twice is left out.
fn named_exactly(matchers: &[Matcher]) -> LabelSet {
    let mut labels = LabelSet::default();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in matchers.iter().filter(|matcher| matcher.name() != METRIC_NAME) {
        let name = matcher.name();
        if matcher.op() == MatchOp::Equal && !seen.contains(&name) {
            labels = with_label(&labels, name, matcher.value());
            seen.push(name);
        } else {
            labels = labels.without(name);
        }
    }
    labels
}

/// A bucket's bound as Go reads a number; too large a number is none.
fn bound(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    let lower = text.to_ascii_lowercase();
    let is_infinite = ["inf", "infinity"].contains(&lower.trim_start_matches(['+', '-']));
    (number.is_finite() || is_infinite || lower == "nan").then_some(number)
}

/// A number as OpenMetrics writes it: never without a point or an exponent, nor zero with a sign.
fn quantile_label(q: f64) -> String {
    if q == 0.0 {
        return "0.0".to_owned();
    }
    let text = short(q);
    let whole = text.chars().all(|c| c == '-' || c.is_ascii_digit());
    if whole { text + ".0" } else { text }
}
