//! Aggregations that fold the values of a group into one.

use super::super::arithmetic::{Compensated, Mean};
use super::super::frame::{Block, Col, Frame, Name};
use crate::tree::AggregateOp;

/// One state per group and step.
pub(super) struct Folds {
    steps: usize,
    states: States,
}

enum States {
    Avg(Vec<Option<Mean>>),
    Count(Vec<f64>),
    /// Values seen, and whether any was.
    Extreme(Vec<Option<f64>>, fn(f64, f64) -> bool),
    Group(Vec<bool>),
    Sum(Vec<Option<Compensated>>),
    Variance(Vec<Variance>, fn(f64) -> f64),
}

/// Welford's method.
#[derive(Clone, Copy, Default)]
struct Variance {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Folds {
    pub(super) fn new(op: AggregateOp, steps: usize) -> Folds {
        let states = match op {
            AggregateOp::Avg => States::Avg(Vec::new()),
            AggregateOp::Count => States::Count(Vec::new()),
            AggregateOp::Max => States::Extreme(Vec::new(), |new, old| new > old),
            AggregateOp::Min => States::Extreme(Vec::new(), |new, old| new < old),
            AggregateOp::Sum => States::Sum(Vec::new()),
            AggregateOp::Stddev => States::Variance(Vec::new(), f64::sqrt),
            AggregateOp::Stdvar => States::Variance(Vec::new(), |variance| variance),
            _ => States::Group(Vec::new()),
        };
        Folds { steps, states }
    }

    /// States held.
    pub(super) fn size(&self) -> usize {
        match &self.states {
            States::Avg(states) => states.len(),
            States::Count(states) => states.len(),
            States::Extreme(states, _) => states.len(),
            States::Group(states) => states.len(),
            States::Sum(states) => states.len(),
            States::Variance(states, _) => states.len(),
        }
    }

    /// Folds a series into a group; a new group's number is the count of those before it.
    pub(super) fn add(&mut self, group: usize, col: Col<'_>) {
        let steps = self.steps;
        match &mut self.states {
            States::Avg(states) => each(states, group, steps, col, |state, value| match state {
                Some(mean) => mean.add(value),
                None => *state = Some(Mean::of(value)),
            }),
            States::Count(states) => each(states, group, steps, col, |count, _| *count += 1.0),
            States::Extreme(states, beats) => {
                let beats = *beats;
                each(states, group, steps, col, |state, value| match state {
                    Some(best) if !(beats(value, *best) || best.is_nan()) => {}
                    _ => *state = Some(value),
                });
            }
            States::Group(states) => each(states, group, steps, col, |seen, _| *seen = true),
            States::Sum(states) => each(states, group, steps, col, |state, value| match state {
                Some(sum) => sum.add(value),
                // The first is taken as it is: a sum of -0 is -0.
                None => *state = Some(Compensated { sum: value, rest: 0.0 }),
            }),
            States::Variance(states, _) => each(states, group, steps, col, Variance::add),
        }
    }

    /// One series per group.
    pub(super) fn finish(self, names: Vec<Name>) -> Frame {
        let mut block = Block::new(self.steps, names.len());
        let steps = self.steps;
        match self.states {
            States::Avg(states) => {
                finished(&mut block, names, &states, steps, |state| Some(state.as_ref()?.value()));
            }
            States::Count(states) => finished(&mut block, names, &states, steps, |count| {
                (*count > 0.0).then_some(*count)
            }),
            States::Extreme(states, _) => {
                finished(&mut block, names, &states, steps, |state| *state);
            }
            States::Group(states) => {
                finished(&mut block, names, &states, steps, |seen| seen.then_some(1.0));
            }
            States::Sum(states) => finished(&mut block, names, &states, steps, |state| {
                state.as_ref().map(|sum| sum.sum + sum.rest)
            }),
            States::Variance(states, last) => {
                finished(&mut block, names, &states, steps, |state| {
                    (state.count > 0.0).then(|| last(state.squares / state.count))
                });
            }
        }
        Frame::of(steps, block)
    }
}

impl Variance {
    fn add(&mut self, value: f64) {
        if self.count == 0.0 {
            let squares = if value.is_finite() { 0.0 } else { f64::NAN };
            *self = Variance { count: 1.0, mean: value, squares };
            return;
        }
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }
}

fn each<T: Clone + Default>(
    states: &mut Vec<T>,
    group: usize,
    steps: usize,
    col: Col<'_>,
    add: impl Fn(&mut T, f64),
) {
    if states.len() < (group + 1) * steps {
        states.resize((group + 1) * steps, T::default());
    }
    let (_, own) = states.split_at_mut(group * steps);
    col.each(|step, value| {
        if let Some(state) = own.get_mut(step) {
            add(state, value);
        }
    });
}

fn finished<T>(
    block: &mut Block,
    names: Vec<Name>,
    states: &[T],
    steps: usize,
    value: impl Fn(&T) -> Option<f64>,
) {
    for (name, states) in names.into_iter().zip(states.chunks(steps.max(1))) {
        block.push(name, |out| {
            for (step, state) in states.iter().enumerate() {
                if let Some(value) = value(state) {
                    out.set(step, value);
                }
            }
        });
    }
}
