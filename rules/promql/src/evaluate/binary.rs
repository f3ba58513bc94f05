//! Operators between expressions.

mod matched;
mod set;

use super::arithmetic::{compares, element};
use super::context::{Context, Evaluated, Grid, Notes, Sink};
use super::frame::Frame;
use super::key::{Keys, Labels};
use crate::tree::{Binary, BinaryOp, Expr, Kind, Matching};

/// An operator of which at least one side is a vector.
pub(crate) fn stream(
    context: &Context<'_>,
    binary: &Binary,
    grid: Grid,
    notes: &mut Notes,
    sink: Sink<'_>,
) -> Evaluated<()> {
    match (binary.left.kind(), binary.right.kind()) {
        (Kind::Vector, Kind::Vector) => {
            let before = context.held();
            let frame = vectors(context, binary, grid, notes)?;
            context.hold(before)?;
            sink(frame.blocks)
        }
        (Kind::Vector, _) => {
            let sides = (&binary.left, &binary.right);
            with_scalar(context, binary, sides, Side::Right, grid, notes, sink)
        }
        _ => {
            let sides = (&binary.right, &binary.left);
            with_scalar(context, binary, sides, Side::Left, grid, notes, sink)
        }
    }
}

/// On which side the scalar stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// An operator between a vector and a scalar.
fn with_scalar(
    context: &Context<'_>,
    binary: &Binary,
    (vector, scalar): (&Expr, &Expr),
    side: Side,
    grid: Grid,
    notes: &mut Notes,
    sink: Sink<'_>,
) -> Evaluated<()> {
    let Binary { op, is_bool, .. } = *binary;
    let scalars = context.scalar(scalar, grid, notes)?;
    let choose = |step: usize, value: f64| {
        let scalar = *scalars.get(step)?;
        let (left, right) = if side == Side::Right { (value, scalar) } else { (scalar, value) };
        if is_bool {
            return Some(f64::from(u8::from(compares(op, left, right))));
        }
        let result = element(op, left, right)?;
        // A comparison keeps the vector's value, on whichever side it stands.
        Some(if op.is_comparison() { value } else { result })
    };
    context.stream(vector, grid, notes, &mut |blocks| {
        sink(context.changed(blocks, |block| {
            block.choose(choose);
            if is_bool || changes_metric(op) {
                block.drop_names();
            }
        }))
    })
}

/// Whether a result is another thing than the series that it is made of.
fn changes_metric(op: BinaryOp) -> bool {
    !op.is_comparison() && !op.is_set()
}

fn vectors(
    context: &Context<'_>,
    binary: &Binary,
    grid: Grid,
    notes: &mut Notes,
) -> Evaluated<Frame> {
    let left = context.frame(&binary.left, grid, notes)?;
    let right = context.frame(&binary.right, grid, notes)?;
    let default = Matching::default();
    let matching = binary.matching.as_ref().unwrap_or(&default);
    let names = matching.labels.iter().map(String::as_str);
    let labels = if matching.is_on { Labels::only(names) } else { Labels::without(names) };
    let mut keys = Keys::default();
    let mut numbers = |frame: &Frame| -> Vec<usize> {
        let mut scratch = Vec::new();
        let number = |name: &super::frame::Name| {
            labels.write(&name.labels, &mut scratch);
            keys.number(&scratch).0
        };
        frame.iter().map(|(name, _)| name).map(number).collect()
    };
    let (left_numbers, right_numbers) = (numbers(&left), numbers(&right));
    let matched = Matched { left, right, left_numbers, right_numbers, groups: keys.len() };
    if binary.op.is_set() {
        return set::evaluate(binary.op, matched, grid);
    }
    matched::evaluate(context, binary, matching, &labels, matched, grid)
}

/// Two vectors and the match group of each of their series.
struct Matched {
    left: Frame,
    right: Frame,
    left_numbers: Vec<usize>,
    right_numbers: Vec<usize>,
    groups: usize,
}
