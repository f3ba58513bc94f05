//! Operators between the series of two vectors that match.
//!
//! A match group is evaluated at once over all steps. At a step at most one series of the side of
//! ones has a value in a group; which one it is may change from step to step, and with it the
//! labels of the result.

use bellwether_model::label::{LabelSet, METRIC_NAME};

use super::super::EvaluateError;
use super::super::arithmetic::{compares, element};
use super::super::context::{Context, Evaluated, Grid};
use super::super::frame::{Block, Col, Frame, Name};
use super::super::key::{Keys, Labels, labels};
use super::super::labels::merged;
use super::{Matched, changes_metric};
use crate::pool;
use crate::tree::{Binary, Card, Matching};

type Row<'a> = (&'a Name, Col<'a>);

/// The series of one match group.
#[derive(Clone, Default)]
struct Group<'a> {
    many: Vec<Row<'a>>,
    ones: Vec<Row<'a>>,
}

/// What is wrong at a step; the earliest is reported.
struct Refusal {
    step: usize,
    message: String,
}

/// What the evaluation of every group needs.
struct Job<'a> {
    binary: &'a Binary,
    matching: &'a Matching,
    keyed: &'a Labels<'a>,
    grid: Grid,
    /// Where the side of the many has any series at all, or those missing are filled in: only
    /// there Prometheus looks at the side of ones.
    active: Vec<bool>,
    /// Values in place of missing series, of the many and of the ones.
    fill_many: Option<f64>,
    fill_one: Option<f64>,
}

pub(super) fn evaluate(
    context: &Context<'_>,
    binary: &Binary,
    matching: &Matching,
    keyed: &Labels<'_>,
    sides: Matched,
    grid: Grid,
) -> Evaluated<Frame> {
    let swapped = matching.card == Card::OneToMany;
    let mut groups: Vec<Group<'_>> = vec![Group::default(); sides.groups];
    for (is_left, frame, numbers) in
        [(true, &sides.left, &sides.left_numbers), (false, &sides.right, &sides.right_numbers)]
    {
        for (row, number) in frame.iter().zip(numbers) {
            let Some(group) = groups.get_mut(*number) else { continue };
            if is_left != swapped { group.many.push(row) } else { group.ones.push(row) }
        }
    }
    // Prometheus turns the sides around for `group_right`, but not these two.
    let (fill_many, fill_one) = (matching.fill.left, matching.fill.right);
    let mut active = vec![fill_many.is_some() || fill_one.is_some(); grid.count];
    for (_, col) in if swapped { &sides.right } else { &sides.left }.iter() {
        col.each(|step, _| active.iter_mut().skip(step).take(1).for_each(|a| *a = true));
    }
    let job = Job { binary, matching, keyed, grid, active, fill_many, fill_one };
    context.room(grid, sides.left.len().max(sides.right.len()))?;
    let parts: Vec<&[Group<'_>]> = groups.chunks(super::super::frame::BLOCK).collect();
    let made = pool::map_items(context.pool, parts, |part| {
        let mut block = Block::new(grid.count, part.len());
        let mut refusal: Option<Refusal> = None;
        for group in part {
            if context.check(0).is_err() {
                break;
            }
            if let Err(new) = job.group(group, &mut block)
                && refusal.as_ref().is_none_or(|old| new.step < old.step)
            {
                refusal = Some(new);
            }
        }
        (block, refusal)
    });
    context.check(0)?;
    let mut frame = Frame::new(grid.count);
    let mut first: Option<Refusal> = None;
    for (block, refusal) in made {
        frame.blocks.push(block);
        if let Some(new) = refusal
            && first.as_ref().is_none_or(|old| new.step < old.step)
        {
            first = Some(new);
        }
    }
    match first {
        Some(refusal) => Err(EvaluateError::Failed(refusal.message)),
        None if grid.is_single() => Ok(frame),
        None => merged(frame),
    }
}

/// At a step, the number of a series plus 1; 0 is none.
type Places = Vec<u32>;

impl Job<'_> {
    fn group(&self, group: &Group<'_>, block: &mut Block) -> Result<(), Refusal> {
        let may_fill = self.fill_many.is_some() || self.fill_one.is_some();
        if (group.many.is_empty() || group.ones.is_empty()) && !may_fill {
            // Ones that repeat are refused even where none of the many asks for them.
            return if group.ones.len() < 2 { Ok(()) } else { self.places(group).map(drop) };
        }
        if let ([many], [one]) = (group.many.as_slice(), group.ones.as_slice())
            && !may_fill
        {
            self.pair(*many, *one, block);
            return Ok(());
        }
        let ones = self.places(group)?;
        let mut matched = vec![false; self.grid.count];
        let mut results = Results::default();
        for many in &group.many {
            self.many(*many, group, &ones, &mut matched, &mut results, block)?;
        }
        if let Some(fill) = self.fill_many {
            for one in &group.ones {
                self.filled(*one, fill, &matched, block);
            }
        }
        Ok(())
    }

    /// Which of the ones has a value at each step.
    fn places(&self, group: &Group<'_>) -> Result<Places, Refusal> {
        let mut places = vec![0_u32; self.grid.count];
        let mut refusal: Option<Refusal> = None;
        for (i, (name, col)) in group.ones.iter().enumerate() {
            col.each(|step, _| {
                let Some(place) = places.get_mut(step) else { return };
                if *place == 0 {
                    *place = u32::try_from(i + 1).unwrap_or(u32::MAX);
                } else if self.active.get(step) == Some(&true)
                    && refusal.as_ref().is_none_or(|old| step < old.step)
                {
                    let first = group.ones.get(*place as usize - 1).map(|(first, _)| *first);
                    let message = self.duplicate(first.unwrap_or(name), name);
                    refusal = Some(Refusal { step, message });
                }
            });
        }
        match refusal {
            None => Ok(places),
            Some(refusal) => Err(refusal),
        }
    }

    fn duplicate(&self, first: &Name, second: &Name) -> String {
        let side = if self.matching.card == Card::OneToMany { "left" } else { "right" };
        let group = shown(&self.keyed.kept(&second.labels));
        let mut both = [shown(&first.labels), shown(&second.labels)];
        both.sort_unstable();
        let [a, b] = both;
        format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the \
             operation: [{a}, {b}];many-to-many matching not allowed: matching labels must be \
             unique on one side"
        )
    }

    /// The result of two values, the one of many first; `None` if it is taken away.
    fn result(&self, many: f64, one: f64) -> Option<f64> {
        let swapped = self.matching.card == Card::OneToMany;
        let (left, right) = if swapped { (one, many) } else { (many, one) };
        if self.binary.is_bool {
            return Some(f64::from(u8::from(compares(self.binary.op, left, right))));
        }
        element(self.binary.op, left, right)
    }

    /// The common case: one series on either side.
    fn pair(&self, (name, many): Row<'_>, (one_name, one): Row<'_>, block: &mut Block) {
        let name = self.name(&name.labels, &one_name.labels);
        block.push(name, |out| {
            many.each(|step, value| {
                if let Some(other) = one.get(step)
                    && let Some(result) = self.result(value, other)
                {
                    out.set(step, result);
                }
            });
        });
    }

    /// One series of the many with whichever of the ones is there.
    fn many<'g>(
        &self,
        (name, many): Row<'g>,
        group: &Group<'g>,
        ones: &Places,
        matched: &mut [bool],
        results: &mut Results<'g>,
        block: &mut Block,
    ) -> Result<(), Refusal> {
        // The place 0 stands for the fill value.
        for place in 0..=group.ones.len() {
            let one = place.checked_sub(1).and_then(|i| group.ones.get(i));
            let own;
            let (one_labels, fill) = match (one, self.fill_one) {
                (Some((one_name, _)), _) => (&one_name.labels, None),
                (None, Some(fill)) => {
                    own = self.keyed.kept(&name.labels);
                    (&own, Some(fill))
                }
                (None, None) => continue,
            };
            let meets = |step: usize| ones.get(step).is_some_and(|at| *at as usize == place);
            let result_name = self.name(&name.labels, one_labels);
            let repeated = match self.matching.card {
                Card::OneToOne => {
                    let twice = |step: &usize| matched.get(*step) == Some(&true);
                    many.iter().map(|(step, _)| step).filter(|step| meets(*step)).find(twice)
                }
                _ => results.repeated(&result_name.labels, many, place, ones),
            };
            if let Some(step) = repeated {
                return Err(self.repeated(step));
            }
            block.push(result_name, |out| {
                many.each(|step, value| {
                    if !meets(step) {
                        return;
                    }
                    let other = fill.or_else(|| one.and_then(|(_, col)| col.get(step)));
                    let Some(other) = other else { return };
                    matched.iter_mut().skip(step).take(1).for_each(|m| *m = true);
                    if let Some(result) = self.result(value, other) {
                        out.set(step, result);
                    }
                });
            });
        }
        Ok(())
    }

    fn repeated(&self, step: usize) -> Refusal {
        let message = match self.matching.card {
            Card::OneToOne => {
                "multiple matches for labels: many-to-one matching must be explicit \
                 (group_left/group_right)"
            }
            _ => "multiple matches for labels: grouping labels must ensure unique matches",
        };
        Refusal { step, message: message.to_owned() }
    }

    /// A series of the ones where none of the many was there.
    fn filled(&self, (name, col): Row<'_>, fill: f64, matched: &[bool], block: &mut Block) {
        let result_name = self.name(&self.keyed.kept(&name.labels), &name.labels);
        block.push(result_name, |out| {
            col.each(|step, value| {
                if matched.get(step) == Some(&false)
                    && let Some(result) = self.result(fill, value)
                {
                    out.set(step, result);
                }
            });
        });
    }

    /// The name of a result, from the labels of one of the many and those of the one.
    fn name(&self, many: &LabelSet, one: &LabelSet) -> Name {
        let changes = changes_metric(self.binary.op);
        let is_metadata = |name: &str| matches!(name, METRIC_NAME | "__type__" | "__unit__");
        let Matching { card, labels: own, is_on, include, .. } = self.matching;
        let kept = |name: &str| match (*card, *is_on) {
            (Card::OneToOne, true) => own.iter().any(|label| label == name),
            (Card::OneToOne, false) => own.iter().all(|label| label != name),
            _ => true,
        };
        let included = |name: &str| include.iter().any(|label| label == name);
        let from_many = many
            .iter()
            .filter(|(name, _)| !(changes && is_metadata(name)) && kept(name) && !included(name));
        let from_one = include.iter().filter_map(|label| Some((label.as_str(), one.get(label)?)));
        let mut all: Vec<(&str, &str)> = from_many.chain(from_one).collect();
        all.sort_unstable();
        all.dedup_by(|(a, _), (b, _)| a == b);
        Name { labels: labels(all), drops_name: self.binary.is_bool }
    }
}

/// The labels of results in a group, and of which series and place they were made.
#[derive(Default)]
struct Results<'g> {
    keys: Keys,
    makers: Vec<Vec<(Col<'g>, usize)>>,
}

impl<'g> Results<'g> {
    /// The first step at which a series and a place make a result that another pair makes too.
    fn repeated(
        &mut self,
        labels: &LabelSet,
        many: Col<'g>,
        place: usize,
        ones: &Places,
    ) -> Option<usize> {
        let (number, is_new) = self.keys.number(labels.as_bytes());
        if is_new {
            self.makers.push(vec![(many, place)]);
            return None;
        }
        let makers = self.makers.get_mut(number)?;
        let at = |step: usize, place: usize| ones.get(step).is_some_and(|at| *at as usize == place);
        let taken =
            |step: &usize| makers.iter().any(|(col, place)| at(*step, *place) && col.has(*step));
        let steps = many.iter().map(|(step, _)| step);
        let repeated = steps.filter(|step| at(*step, place)).find(taken);
        makers.push((many, place));
        repeated
    }
}

fn shown(set: &LabelSet) -> String {
    crate::print::label_set(set)
}
