//! The functions: one table, from which the parser, the evaluator and the documents read.

use crate::evaluate::calendar;
use crate::tree::Kind::{self, Matrix, Scalar, Text, Vector};

/// A function of the language.
#[derive(Debug)]
pub struct Function {
    /// As written in a query.
    pub name: &'static str,
    /// The kinds of its arguments; the last one may repeat or be left out.
    pub arguments: &'static [Kind],
    /// How often the last argument may be given.
    pub repeats: Repeats,
    /// What it yields.
    pub returns: Kind,
    /// How it is evaluated.
    pub(crate) body: Body,
}

/// How often the last argument of a function may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// Once.
    Once,
    /// At most so often, or not at all.
    UpTo(usize),
    /// Any number of times, or not at all.
    Freely,
}

/// How many arguments a function takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) least: usize,
    pub(crate) most: usize,
    fixed: bool,
}

impl Counts {
    pub(crate) fn is_fixed(self) -> bool {
        self.fixed
    }
}

/// How a function is evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// Value by value.
    Each(fn(f64) -> f64),
    /// Value by value, taken as seconds since the epoch; without argument the step's time.
    Calendar(fn(calendar::Moment) -> f64),
    /// Window by window.
    Window(WindowBody),
    Absent,
    AbsentOverTime,
    Clamp,
    ClampMax,
    ClampMin,
    End,
    HistogramFraction,
    HistogramQuantile,
    HistogramQuantiles,
    Info,
    LabelJoin,
    LabelReplace,
    MaxOf,
    MinOf,
    /// Of native histograms and start timestamps only: other samples give nothing.
    Nothing,
    Pi,
    Range,
    Round,
    Scalar,
    Sort(Order),
    SortByLabel(Order),
    Start,
    Step,
    Time,
    Timestamp,
    Vector,
}

/// Which comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Rising,
    Falling,
}

/// What is made of the samples of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowBody {
    Avg,
    Changes,
    Count,
    Delta,
    Deriv,
    First,
    Idelta,
    Increase,
    Irate,
    Last,
    Mad,
    Max,
    Min,
    PredictLinear,
    Present,
    Quantile,
    Rate,
    Resets,
    Smooth,
    Stddev,
    Stdvar,
    Sum,
    TimeOfFirst,
    TimeOfLast,
    TimeOfMax,
    TimeOfMin,
}

impl Function {
    /// All functions, by name.
    #[must_use]
    pub fn all() -> &'static [Function] {
        &FUNCTIONS
    }

    /// The function of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Function> {
        let at = FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok()?;
        FUNCTIONS.get(at)
    }

    /// The kind of an argument, counted from 0.
    pub(crate) fn argument(&self, i: usize) -> Option<Kind> {
        match self.arguments.get(i) {
            None if self.repeats != Repeats::Once => self.arguments.last().copied(),
            kind => kind.copied(),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let given = self.arguments.len();
        let least = given.saturating_sub(1);
        match self.repeats {
            Repeats::Once => Counts { least: given, most: given, fixed: true },
            Repeats::UpTo(times) => Counts { least, most: least + times, fixed: false },
            Repeats::Freely => Counts { least, most: usize::MAX, fixed: false },
        }
    }
}

const fn of(name: &'static str, arguments: &'static [Kind], returns: Kind, body: Body) -> Function {
    Function { name, arguments, repeats: Repeats::Once, returns, body }
}

const fn up_to(times: usize, function: Function) -> Function {
    Function { repeats: Repeats::UpTo(times), ..function }
}

const fn freely(function: Function) -> Function {
    Function { repeats: Repeats::Freely, ..function }
}

const fn each(name: &'static str, body: fn(f64) -> f64) -> Function {
    of(name, &[Vector], Vector, Body::Each(body))
}

const fn calendar(name: &'static str, body: fn(calendar::Moment) -> f64) -> Function {
    up_to(1, of(name, &[Vector], Vector, Body::Calendar(body)))
}

const fn window(name: &'static str, body: WindowBody) -> Function {
    of(name, &[Matrix], Vector, Body::Window(body))
}

const fn constant(name: &'static str, body: Body) -> Function {
    of(name, &[], Scalar, body)
}

const fn nothing(name: &'static str) -> Function {
    of(name, &[Vector], Vector, Body::Nothing)
}

const fn sort(name: &'static str, order: Order) -> Function {
    of(name, &[Vector], Vector, Body::Sort(order))
}

const fn sort_by_label(name: &'static str, order: Order) -> Function {
    freely(of(name, &[Vector, Text], Vector, Body::SortByLabel(order)))
}

/// By name, in order.
static FUNCTIONS: [Function; 90] = [
    each("abs", f64::abs),
    of("absent", &[Vector], Vector, Body::Absent),
    of("absent_over_time", &[Matrix], Vector, Body::AbsentOverTime),
    each("acos", libm::acos),
    each("acosh", libm::acosh),
    each("asin", libm::asin),
    each("asinh", libm::asinh),
    each("atan", libm::atan),
    each("atanh", libm::atanh),
    window("avg_over_time", WindowBody::Avg),
    each("ceil", f64::ceil),
    window("changes", WindowBody::Changes),
    of("clamp", &[Vector, Scalar, Scalar], Vector, Body::Clamp),
    of("clamp_max", &[Vector, Scalar], Vector, Body::ClampMax),
    of("clamp_min", &[Vector, Scalar], Vector, Body::ClampMin),
    each("cos", libm::cos),
    each("cosh", libm::cosh),
    window("count_over_time", WindowBody::Count),
    calendar("day_of_month", calendar::Moment::day),
    calendar("day_of_week", calendar::Moment::week_day),
    calendar("day_of_year", calendar::Moment::year_day),
    calendar("days_in_month", calendar::Moment::days_in_month),
    each("deg", |v| v * 180.0 / std::f64::consts::PI),
    window("delta", WindowBody::Delta),
    window("deriv", WindowBody::Deriv),
    of(
        "double_exponential_smoothing",
        &[Matrix, Scalar, Scalar],
        Vector,
        Body::Window(WindowBody::Smooth),
    ),
    constant("end", Body::End),
    each("exp", libm::exp),
    window("first_over_time", WindowBody::First),
    each("floor", f64::floor),
    nothing("histogram_avg"),
    nothing("histogram_count"),
    of("histogram_fraction", &[Scalar, Scalar, Vector], Vector, Body::HistogramFraction),
    of("histogram_quantile", &[Scalar, Vector], Vector, Body::HistogramQuantile),
    up_to(
        9,
        of(
            "histogram_quantiles",
            &[Vector, Text, Scalar, Scalar],
            Vector,
            Body::HistogramQuantiles,
        ),
    ),
    nothing("histogram_stddev"),
    nothing("histogram_stdvar"),
    nothing("histogram_sum"),
    calendar("hour", calendar::Moment::hour),
    window("idelta", WindowBody::Idelta),
    window("increase", WindowBody::Increase),
    up_to(1, of("info", &[Vector, Vector], Vector, Body::Info)),
    window("irate", WindowBody::Irate),
    freely(of("label_join", &[Vector, Text, Text, Text], Vector, Body::LabelJoin)),
    of("label_replace", &[Vector, Text, Text, Text, Text], Vector, Body::LabelReplace),
    window("last_over_time", WindowBody::Last),
    each("ln", libm::log),
    each("log10", libm::log10),
    each("log2", libm::log2),
    window("mad_over_time", WindowBody::Mad),
    of("max_of", &[Scalar, Scalar], Scalar, Body::MaxOf),
    window("max_over_time", WindowBody::Max),
    of("min_of", &[Scalar, Scalar], Scalar, Body::MinOf),
    window("min_over_time", WindowBody::Min),
    calendar("minute", calendar::Moment::minute),
    calendar("month", calendar::Moment::month),
    constant("pi", Body::Pi),
    of("predict_linear", &[Matrix, Scalar], Vector, Body::Window(WindowBody::PredictLinear)),
    window("present_over_time", WindowBody::Present),
    of("quantile_over_time", &[Scalar, Matrix], Vector, Body::Window(WindowBody::Quantile)),
    each("rad", |v| v * std::f64::consts::PI / 180.0),
    constant("range", Body::Range),
    window("rate", WindowBody::Rate),
    window("resets", WindowBody::Resets),
    up_to(1, of("round", &[Vector, Scalar], Vector, Body::Round)),
    of("scalar", &[Vector], Scalar, Body::Scalar),
    each("sgn", |v| {
        if v < 0.0 {
            -1.0
        } else if v > 0.0 {
            1.0
        } else {
            v
        }
    }),
    each("sin", libm::sin),
    each("sinh", libm::sinh),
    sort("sort", Order::Rising),
    sort_by_label("sort_by_label", Order::Rising),
    sort_by_label("sort_by_label_desc", Order::Falling),
    sort("sort_desc", Order::Falling),
    each("sqrt", f64::sqrt),
    constant("start", Body::Start),
    nothing("start_timestamp"),
    window("stddev_over_time", WindowBody::Stddev),
    window("stdvar_over_time", WindowBody::Stdvar),
    constant("step", Body::Step),
    window("sum_over_time", WindowBody::Sum),
    each("tan", libm::tan),
    each("tanh", libm::tanh),
    constant("time", Body::Time),
    of("timestamp", &[Vector], Vector, Body::Timestamp),
    window("ts_of_first_over_time", WindowBody::TimeOfFirst),
    window("ts_of_last_over_time", WindowBody::TimeOfLast),
    window("ts_of_max_over_time", WindowBody::TimeOfMax),
    window("ts_of_min_over_time", WindowBody::TimeOfMin),
    of("vector", &[Scalar], Vector, Body::Vector),
    calendar("year", calendar::Moment::year),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        assert!(FUNCTIONS.iter().all(|f| std::ptr::eq(Function::named(f.name).unwrap(), f)));
    }
}
