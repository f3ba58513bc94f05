//! `and`, `or`, `unless`: series of whole sets.

use super::super::context::{Evaluated, Grid};
use super::super::frame::{Block, Col, Frame, Name};
use super::super::labels::merged;
use super::Matched;
use crate::tree::BinaryOp;

/// Which steps of which match groups have a value on a side.
struct Presence {
    steps: usize,
    words: usize,
    bits: Vec<u64>,
}

impl Presence {
    fn of(frame: &Frame, numbers: &[usize], groups: usize, steps: usize) -> Presence {
        let words = steps.div_ceil(64);
        let mut presence = Presence { steps, words, bits: vec![0; groups * words] };
        for ((_, col), group) in frame.iter().zip(numbers) {
            col.each(|step, _| {
                if let Some(word) = presence.bits.get_mut(group * words + step / 64) {
                    *word |= 1 << (step % 64);
                }
            });
        }
        presence
    }

    fn has(&self, group: usize, step: usize) -> bool {
        debug_assert!(step < self.steps, "steps are those of the frame");
        let word = self.bits.get(group * self.words + step / 64);
        word.is_some_and(|word| word >> (step % 64) & 1 == 1)
    }
}

pub(super) fn evaluate(op: BinaryOp, sides: Matched, grid: Grid) -> Evaluated<Frame> {
    let Matched { left, right, left_numbers, right_numbers, groups } = sides;
    let steps = grid.count;
    if op == BinaryOp::Or {
        let present = Presence::of(&left, &left_numbers, groups, steps);
        let mut block = Block::new(steps, right.len());
        for ((name, col), group) in right.iter().zip(&right_numbers) {
            push_where(&mut block, name, col, |step| !present.has(*group, step));
        }
        let mut frame = left;
        frame.blocks.push(block);
        // The same series may stand on either side at different steps.
        return if grid.is_single() { Ok(frame) } else { merged(frame) };
    }
    let present = Presence::of(&right, &right_numbers, groups, steps);
    let wanted = op == BinaryOp::And;
    let mut block = Block::new(steps, left.len());
    for ((name, col), group) in left.iter().zip(&left_numbers) {
        push_where(&mut block, name, col, |step| present.has(*group, step) == wanted);
    }
    Ok(Frame::of(steps, block))
}

fn push_where(block: &mut Block, name: &Name, col: Col<'_>, test: impl Fn(usize) -> bool) {
    block.push(name.clone(), |out| {
        col.each(|step, value| {
            if test(step) {
                out.set(step, value);
            }
        });
    });
}
