//! The tree of a query. Every expression knows which bytes of the text it was read from.

use bellwether_model::matcher::{Capturing, Matcher};
use bellwether_model::time::Timestamp;

use crate::function::Function;

/// Bytes of a query's text: `start` is part of them, `end` is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

/// A place in a query's text, both counted from 1; columns are bytes, as in Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The byte in the line.
    pub column: usize,
}

impl Span {
    /// Where the span begins in the text it belongs to.
    #[must_use]
    pub fn position(self, text: &str) -> Position {
        let before = text.as_bytes().get(..self.start).unwrap_or(text.as_bytes());
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        Position {
            line: before.iter().filter(|b| **b == b'\n').count() + 1,
            column: before.len() - line_start + 1,
        }
    }

    /// From the beginning of this span to the end of another.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start, end: other.end }
    }
}

/// What an expression yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One number per step.
    Scalar,
    /// Series with one value per step.
    Vector,
    /// Series with a window of samples per step.
    Matrix,
    /// A text.
    Text,
}

impl Kind {
    /// The words of Prometheus' documentation.
    #[must_use]
    pub fn documented(self) -> &'static str {
        match self {
            Kind::Scalar => "scalar",
            Kind::Vector => "instant vector",
            Kind::Matrix => "range vector",
            Kind::Text => "string",
        }
    }

    /// The short name in Prometheus' interface.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Scalar => "scalar",
            Kind::Vector => "vector",
            Kind::Matrix => "matrix",
            Kind::Text => "string",
        }
    }
}

/// An expression and where it stands.
#[derive(Clone, Debug)]
pub struct Expr {
    /// Its bytes in the text.
    pub span: Span,
    /// What it is.
    pub node: Node,
}

/// The kinds of expression.
#[derive(Clone, Debug)]
pub enum Node {
    /// A number or a duration in seconds.
    Number(Number),
    /// A string.
    Text(String),
    /// The last sample of each series.
    Selector(Selector),
    /// The samples of each series in a window.
    Range(Box<RangeSelector>),
    /// The values of an expression at the steps of a window.
    Subquery(Box<Subquery>),
    /// An expression in parentheses.
    Paren(Box<Expr>),
    /// `+` or `-` before an expression.
    Unary(Sign, Box<Expr>),
    /// Two expressions with an operator between them.
    Binary(Box<Binary>),
    /// Series of a vector made one per group, or a choice of them.
    Aggregate(Box<Aggregate>),
    /// A function and its arguments.
    Call(Call),
}

/// A number as written.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    /// Its value; seconds of a duration.
    pub value: f64,
    /// Written as a duration (`5m`).
    pub is_duration: bool,
}

/// The sign of a unary expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// `+`
    Plus,
    /// `-`
    Minus,
}

/// Which series, and at what time they are read.
#[derive(Clone, Debug)]
pub struct Selector {
    /// The metric's name if it stands before the braces.
    pub name: Option<String>,
    /// All must be met; the metric's name is one of them, the last.
    pub matchers: Vec<Matcher>,
    /// When the series are read.
    pub when: When,
}

/// `offset` and `@`.
#[derive(Clone, Debug, Default)]
pub struct When {
    /// How much earlier the series are read; negative is later.
    pub offset: Length,
    /// The time read instead of the step's.
    pub at: Option<At>,
}

/// The time after `@`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// A stamp.
    Time(Timestamp),
    /// `start()`: the first step of the query.
    Start,
    /// `end()`: the end of the range asked for.
    End,
}

/// A span of time.
#[derive(Clone, Debug)]
pub enum Length {
    /// Milliseconds.
    Millis(i64),
    /// To be computed when the query's step and range are known.
    Computed(Box<Duration>),
}

impl Default for Length {
    fn default() -> Length {
        Length::Millis(0)
    }
}

/// An expression that yields a span of time: `5m + step()`.
#[derive(Clone, Debug)]
pub struct Duration {
    /// Its bytes in the text.
    pub span: Span,
    /// What it is.
    pub node: DurationNode,
    /// Stands in parentheses.
    pub is_wrapped: bool,
}

/// The kinds of duration expression; values are seconds.
#[derive(Clone, Debug)]
pub enum DurationNode {
    /// A number or a duration.
    Number(Number),
    /// `step()`: the query's step; 0 of an instant.
    Step,
    /// `range()`: from the query's start to its end.
    Range,
    /// `min_of(a, b)`
    MinOf(Box<Duration>, Box<Duration>),
    /// `max_of(a, b)`
    MaxOf(Box<Duration>, Box<Duration>),
    /// A sign before an expression.
    Unary(Sign, Box<Duration>),
    /// Two expressions with an arithmetic operator between them.
    Binary(BinaryOp, Box<Duration>, Box<Duration>),
}

/// A selector with a window.
#[derive(Clone, Debug)]
pub struct RangeSelector {
    /// Which series; its `when` is of the whole.
    pub selector: Selector,
    /// The selector's bytes, without window, `offset` and `@`.
    pub selector_span: Span,
    /// Length of the window.
    pub range: Length,
}

/// An expression evaluated at the steps of a window.
#[derive(Clone, Debug)]
pub struct Subquery {
    /// What is evaluated; an instant vector.
    pub expr: Expr,
    /// Length of the window.
    pub range: Length,
    /// Distance of the steps; the default of the evaluation if unsaid.
    pub step: Option<Length>,
    /// Where the window ends.
    pub when: When,
}

/// Two expressions with an operator between them.
#[derive(Clone, Debug)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// The operator's bytes.
    pub op_span: Span,
    /// What stands before it.
    pub left: Expr,
    /// What stands after it.
    pub right: Expr,
    /// `bool`: a comparison yields 0 or 1 instead of choosing.
    pub is_bool: bool,
    /// How series of two vectors are matched; `None` if one side is a scalar.
    pub matching: Option<Matching>,
}

/// The operators between expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `atan2`
    Atan2,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `and`
    And,
    /// `or`
    Or,
    /// `unless`
    Unless,
}

impl BinaryOp {
    /// As written in a query.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::Equal => "==",
            BinaryOp::NotEqual => "!=",
            BinaryOp::Less => "<",
            BinaryOp::LessEqual => "<=",
            BinaryOp::Greater => ">",
            BinaryOp::GreaterEqual => ">=",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::Unless => "unless",
        }
    }

    /// Whether it compares.
    #[must_use]
    pub fn is_comparison(self) -> bool {
        use BinaryOp::{Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual};
        matches!(self, Equal | NotEqual | Less | LessEqual | Greater | GreaterEqual)
    }

    /// Whether it chooses series of whole sets.
    #[must_use]
    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }
}

/// How series of two vectors are matched.
#[derive(Clone, Debug, Default)]
pub struct Matching {
    /// How many series may match one.
    pub card: Card,
    /// The labels compared, or left out.
    pub labels: Vec<String>,
    /// `on`: only `labels` are compared; else all but them and the metric's name.
    pub is_on: bool,
    /// Labels taken over from the side with one series.
    pub include: Vec<String>,
    /// Values in place of series that are missing.
    pub fill: Fill,
}

/// Values in place of series that are missing on a side.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fill {
    /// On the left.
    pub left: Option<f64>,
    /// On the right.
    pub right: Option<f64>,
}

/// How many series may match one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Card {
    /// One with one.
    #[default]
    OneToOne,
    /// `group_left`: many on the left.
    ManyToOne,
    /// `group_right`: many on the right.
    OneToMany,
    /// Of set operators.
    ManyToMany,
}

/// An aggregation.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// Which.
    pub op: AggregateOp,
    /// Its parameter: `k`, a quantile, a ratio or a label's name.
    pub param: Option<Expr>,
    /// What is aggregated; an instant vector.
    pub expr: Expr,
    /// The labels that make the groups, in the order written.
    pub grouping: Vec<String>,
    /// `without`: all labels but these make the groups.
    pub is_without: bool,
}

/// The aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateOp {
    /// `avg`
    Avg,
    /// `bottomk`
    Bottomk,
    /// `count`
    Count,
    /// `count_values`
    CountValues,
    /// `group`
    Group,
    /// `limit_ratio`
    LimitRatio,
    /// `limitk`
    Limitk,
    /// `max`
    Max,
    /// `min`
    Min,
    /// `quantile`
    Quantile,
    /// `stddev`
    Stddev,
    /// `stdvar`
    Stdvar,
    /// `sum`
    Sum,
    /// `topk`
    Topk,
}

impl AggregateOp {
    /// Names and operators.
    pub const ALL: [(&'static str, AggregateOp); 14] = [
        ("avg", AggregateOp::Avg),
        ("bottomk", AggregateOp::Bottomk),
        ("count", AggregateOp::Count),
        ("count_values", AggregateOp::CountValues),
        ("group", AggregateOp::Group),
        ("limit_ratio", AggregateOp::LimitRatio),
        ("limitk", AggregateOp::Limitk),
        ("max", AggregateOp::Max),
        ("min", AggregateOp::Min),
        ("quantile", AggregateOp::Quantile),
        ("stddev", AggregateOp::Stddev),
        ("stdvar", AggregateOp::Stdvar),
        ("sum", AggregateOp::Sum),
        ("topk", AggregateOp::Topk),
    ];

    /// As written in a query.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        AggregateOp::ALL.iter().find(|(_, op)| *op == self).map_or("", |(name, _)| name)
    }

    /// What its parameter is; `None` if it takes none.
    #[must_use]
    pub fn param(self) -> Option<Kind> {
        use AggregateOp::{Bottomk, CountValues, LimitRatio, Limitk, Quantile, Topk};
        match self {
            CountValues => Some(Kind::Text),
            Bottomk | LimitRatio | Limitk | Quantile | Topk => Some(Kind::Scalar),
            _ => None,
        }
    }
}

/// A function and its arguments.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function.
    pub function: &'static Function,
    /// The arguments, of the kinds it takes.
    pub args: Vec<Expr>,
    /// The pattern of a `label_replace`, so that it is not compiled at each evaluation; none where
    /// it does not compile, or the query has too many.
    pub(crate) pattern: Option<Capturing>,
}

impl Expr {
    /// What the expression yields.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match &self.node {
            Node::Number(_) => Kind::Scalar,
            Node::Text(_) => Kind::Text,
            Node::Selector(_) | Node::Aggregate(_) => Kind::Vector,
            Node::Range(_) | Node::Subquery(_) => Kind::Matrix,
            Node::Paren(inner) | Node::Unary(_, inner) => inner.kind(),
            Node::Binary(binary) => match (binary.left.kind(), binary.right.kind()) {
                (Kind::Scalar, Kind::Scalar) => Kind::Scalar,
                _ => Kind::Vector,
            },
            Node::Call(call) => call.function.returns,
        }
    }

    /// The expression without parentheses around it.
    #[must_use]
    pub fn bare(&self) -> &Expr {
        let mut bare = self;
        while let Node::Paren(inner) = &bare.node {
            bare = inner;
        }
        bare
    }

    /// Calls `visit` with every selector in the tree, in the order of the text.
    pub fn each_selector<'a>(&'a self, visit: &mut impl FnMut(&'a Selector)) {
        match &self.node {
            Node::Number(_) | Node::Text(_) => {}
            Node::Selector(selector) => visit(selector),
            Node::Range(range) => visit(&range.selector),
            Node::Subquery(subquery) => subquery.expr.each_selector(visit),
            Node::Paren(inner) | Node::Unary(_, inner) => inner.each_selector(visit),
            Node::Binary(binary) => {
                binary.left.each_selector(visit);
                binary.right.each_selector(visit);
            }
            Node::Aggregate(aggregate) => {
                if let Some(param) = &aggregate.param {
                    param.each_selector(visit);
                }
                aggregate.expr.each_selector(visit);
            }
            Node::Call(call) => call.args.iter().for_each(|arg| arg.each_selector(visit)),
        }
    }
}
