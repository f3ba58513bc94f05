//! Whether an answer is the one that a script expects.

use bellwether_model::label::LabelSet;
use bellwether_model::select::Column;
use bellwether_model::series::is_stale;
use bellwether_model::time::Timestamp;

use super::compare::almost_equal;
use super::read::{Answer, Row, Span};
use super::series::Point;
use crate::evaluate::Value;

/// An answer, and the times that the points of a matrix are expected at.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) value: Value,
    pub(super) span: Option<Span>,
}

/// The first difference from what is expected.
pub(super) fn differs(expected: &Answer, given: &Given, ordered: bool) -> Option<String> {
    match (&given.value, expected) {
        (Value::Scalar(number), Answer::Number(wanted)) => {
            (!almost_equal(*number, *wanted)).then(|| format!("expected {wanted}, got {number}"))
        }
        (Value::Text(text), Answer::Text(wanted)) => {
            (text != wanted).then(|| format!("expected {wanted:?}, got {text:?}"))
        }
        (Value::Vector(vector), Answer::Series(rows)) => vector_differs(rows, vector, ordered),
        (Value::Matrix(_), _) if ordered => {
            Some("expected series in an order, got ranges, which have their own".to_owned())
        }
        (Value::Matrix(matrix), Answer::Series(rows) | Answer::Matrix(_, rows)) => {
            matrix_differs(rows, matrix, given.span)
        }
        (value, _) => Some(format!("got {}", shown(value))),
    }
}

/// The value at one step of a range, in the shape that an instant evaluation gave.
pub(super) fn middle(value: &Value, at: Timestamp, like: &Given) -> Given {
    let Value::Matrix(matrix) = value else { return Given { value: value.clone(), span: None } };
    let at_step = |column: &Column| {
        let found = column.times.iter().position(|time| *time == at)?;
        column.values.get(found).copied()
    };
    let vector: Vec<(LabelSet, f64)> = matrix
        .iter()
        .filter_map(|(labels, column)| Some((labels.clone(), at_step(column)?)))
        .collect();
    let value = match (&like.value, vector.first()) {
        (Value::Scalar(_), Some((_, number))) => Value::Scalar(*number),
        _ => Value::Vector(vector),
    };
    Given { value, span: None }
}

fn vector_differs(rows: &[Row], vector: &[(LabelSet, f64)], ordered: bool) -> Option<String> {
    for (place, (labels, value)) in vector.iter().enumerate() {
        let Some(at) = rows.iter().rposition(|(wanted, _)| wanted == labels) else {
            return Some(format!("did not expect {labels} {value}"));
        };
        if ordered && at != place {
            let (at, place) = (at + 1, place + 1);
            return Some(format!("expected {labels} at place {at}, got it at {place}"));
        }
        match rows.get(at).and_then(|(_, points)| points.first()) {
            Some(Point::Value(wanted)) if almost_equal(*wanted, *value) => {}
            Some(Point::Value(wanted)) => {
                return Some(format!("expected {labels} {wanted}, got {value}"));
            }
            Some(Point::Histogram) => {
                return Some(format!("expected {labels} a native histogram, got {value}"));
            }
            Some(Point::Missing) | None => {
                return Some(format!("{labels} is expected without a value, got {value}"));
            }
        }
    }
    let missing = rows.iter().find(|(labels, _)| !vector.iter().any(|(l, _)| l == labels));
    missing.map(|(labels, points)| format!("expected {labels} {points:?}, which is not there"))
}

fn matrix_differs(
    rows: &[Row],
    matrix: &[(LabelSet, Column)],
    span: Option<Span>,
) -> Option<String> {
    let unsorted = matrix.windows(2).find(|pair| matches!(pair, [(a, _), (b, _)] if a > b));
    if let Some([(before, _), (after, _)]) = unsorted {
        return Some(format!("{before} stands before {after}: ranges are ordered by labels"));
    }
    let Some(span) = span else { return Some("did not expect a range vector".to_owned()) };
    for (labels, column) in matrix {
        let Some((_, points)) = rows.iter().rev().find(|(wanted, _)| wanted == labels) else {
            return Some(format!("did not expect {labels} {}", samples(column)));
        };
        let difference = column_differs(points, column, span);
        if let Some(difference) = difference {
            return Some(format!("{labels}: {difference}; got {}", samples(column)));
        }
    }
    let missing = rows.iter().find(|(labels, _)| !matrix.iter().any(|(l, _)| l == labels));
    missing.map(|(labels, _)| format!("expected {labels}, which is not there"))
}

fn column_differs(points: &[Point], column: &Column, span: Span) -> Option<String> {
    let mut at = span.start;
    let mut given = column.times.iter().zip(&column.values).peekable();
    for point in points {
        if at > span.end {
            return Some(format!("{} points are expected, the range has fewer", points.len()));
        }
        let found = given.next_if(|(time, _)| **time == at).map(|(_, value)| *value);
        match (point, found) {
            (Point::Missing, None) => {}
            (Point::Value(wanted), Some(value)) if almost_equal(*wanted, value) => {}
            (Point::Histogram, _) => return Some(format!("expected a native histogram at {at}")),
            (Point::Missing, Some(value)) => {
                return Some(format!("expected nothing at {at}, got {value}"));
            }
            (Point::Value(wanted), Some(value)) => {
                return Some(format!("expected {wanted} at {at}, got {value}"));
            }
            (Point::Value(wanted), None) => {
                return Some(format!("expected {wanted} at {at}, got nothing"));
            }
        }
        at = at.saturating_add(span.step);
    }
    given.next().map(|(time, value)| format!("did not expect {value} at {time}"))
}

fn samples(column: &Column) -> String {
    let pairs = column.times.iter().zip(&column.values).take(20);
    let pairs: Vec<String> = pairs
        .map(|(time, value)| {
            let value = if is_stale(*value) { "stale".to_owned() } else { value.to_string() };
            format!("{value} @{time}")
        })
        .collect();
    format!("[{}]", pairs.join(", "))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Scalar(number) => format!("the scalar {number}"),
        Value::Text(text) => format!("the string {text:?}"),
        Value::Vector(vector) => {
            let first = vector.first().map_or(String::new(), |(l, v)| format!(", first {l} {v}"));
            format!("a vector of {}{first}", vector.len())
        }
        Value::Matrix(matrix) => {
            let first = matrix
                .first()
                .map_or(String::new(), |(l, c)| format!(", first {l} {}", samples(c)));
            format!("a range vector of {}{first}", matrix.len())
        }
    }
}
