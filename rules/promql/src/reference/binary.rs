//! Operators between two vectors at one time, and between a vector and a number.

use bellwether_model::label::LabelSet;

use super::aggregate::Grouping;
use super::instant::operate;
use super::{Element, Failure, is_metadata, nameless, projected, with_label};
use crate::tree::{Binary, BinaryOp, Card, Matching};

/// What two series are matched by.
fn signature(matching: &Matching, labels: &LabelSet) -> LabelSet {
    Grouping { without: !matching.is_on, labels: &matching.labels }.of(labels)
}

/// `and`, `or`, `unless`.
pub(super) fn combine(
    op: BinaryOp,
    matching: &Matching,
    left: &[Element],
    right: &[Element],
) -> Vec<Element> {
    let has = |side: &[Element], element: &Element| {
        let wanted = signature(matching, &element.labels);
        side.iter().any(|other| signature(matching, &other.labels) == wanted)
    };
    let on_left = left.iter().cloned();
    let after = |mut element: Element| {
        element.rank = [usize::MAX, element.rank[0]];
        element
    };
    match op {
        BinaryOp::And => on_left.filter(|element| has(right, element)).collect(),
        BinaryOp::Unless => on_left.filter(|element| !has(right, element)).collect(),
        _ => {
            let more = right.iter().filter(|element| !has(left, element)).cloned();
            on_left.chain(more.map(after)).collect()
        }
    }
}

/// A vector with a number: `swapped` if the number stands on the left.
pub(super) fn with_number(
    binary: &Binary,
    vector: &[Element],
    number: f64,
    swapped: Swapped,
) -> Vec<Element> {
    let mut result = Vec::new();
    for element in vector {
        let (left, right) = match swapped {
            Swapped::No => (element.value, number),
            Swapped::Yes => (number, element.value),
        };
        let value = operate(binary.op.as_str(), left, right);
        if !binary.op.is_comparison() || binary.is_bool {
            result.push(Element { value, drops_name: true, ..element.clone() });
        } else if value == 1.0 {
            result.push(element.clone());
        }
    }
    result
}

/// Which side the vector stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Swapped {
    /// The vector on the left.
    No,
    /// The vector on the right.
    Yes,
}

/// Arithmetic and comparison of two vectors.
pub(super) fn between(
    binary: &Binary,
    matching: &Matching,
    left: &[Element],
    right: &[Element],
) -> Result<Vec<Element>, Failure> {
    let (fill_left, fill_right) = (matching.fill.left, matching.fill.right);
    let nothing = left.is_empty() && right.is_empty();
    let half = left.is_empty() || right.is_empty();
    if nothing || (half && fill_left.is_none() && fill_right.is_none()) {
        return Ok(Vec::new());
    }
    // `one` is the side whose series are alone in their group, `many` the other.
    let flipped = matching.card == Card::OneToMany;
    let (many, one) = if flipped { (right, left) } else { (left, right) };
    for (at, element) in one.iter().enumerate() {
        let group = signature(matching, &element.labels);
        if one[..at].iter().any(|other| signature(matching, &other.labels) == group) {
            return Err(Failure::ManyOnTheOneSide);
        }
    }
    let mut pairs = Pairs { binary, matching, made: Vec::new(), result: Vec::new() };
    for element in many {
        let group = signature(matching, &element.labels);
        let partner = one.iter().find(|other| signature(matching, &other.labels) == group);
        match (partner, fill_right) {
            (Some(partner), _) => pairs.pair(&group, element, partner)?,
            (None, Some(value)) => pairs.pair(&group, element, &stand_in(&group, value))?,
            (None, None) => {}
        }
    }
    if let Some(value) = fill_left {
        for element in one {
            let group = signature(matching, &element.labels);
            if !pairs.made.iter().any(|(made, _)| *made == group) {
                pairs.pair(&group, &stand_in(&group, value), element)?;
            }
        }
    }
    Ok(pairs.result)
}

/// The element taken where a side has none.
fn stand_in(group: &LabelSet, value: f64) -> Element {
    // After all that stand on the side.
    Element { labels: group.clone(), rank: [usize::MAX, 0], ..nameless(value, 0) }
}

struct Pairs<'a> {
    binary: &'a Binary,
    matching: &'a Matching,
    /// Groups and result labels of the pairs so far.
    made: Vec<(LabelSet, LabelSet)>,
    result: Vec<Element>,
}

impl Pairs<'_> {
    fn pair(&mut self, group: &LabelSet, many: &Element, one: &Element) -> Result<(), Failure> {
        let op = self.binary.op;
        let (left, right) = match self.matching.card {
            Card::OneToMany => (one.value, many.value),
            _ => (many.value, one.value),
        };
        let value = operate(op.as_str(), left, right);
        let labels = self.labels(&many.labels, &one.labels);
        let repeated = |(made, result): &(LabelSet, LabelSet)| {
            made == group && (self.matching.card == Card::OneToOne || *result == labels)
        };
        if self.made.iter().any(repeated) {
            return Err(match self.matching.card {
                Card::OneToOne => Failure::ManyWithoutGroup,
                _ => Failure::GroupNotUnique,
            });
        }
        self.made.push((group.clone(), labels.clone()));
        let is_bool = self.binary.is_bool;
        // A comparison that holds passes the left side's value on.
        let value = if op.is_comparison() && !is_bool {
            if value != 1.0 {
                return Ok(());
            }
            left
        } else {
            value
        };
        let rank = [many.rank[0], one.rank[0]];
        self.result.push(Element { labels, drops_name: is_bool, value, time: many.time, rank });
        Ok(())
    }

    fn labels(&self, many: &LabelSet, one: &LabelSet) -> LabelSet {
        let is_comparison = self.binary.op.is_comparison();
        let mut labels = projected(many, |name| is_comparison || !is_metadata(name));
        if self.matching.card == Card::OneToOne {
            let named = |name: &str| self.matching.labels.iter().any(|label| label == name);
            // `ignoring` leaves the name, `on` keeps only what it lists.
            labels = projected(&labels, |name| named(name) == self.matching.is_on);
        }
        for label in &self.matching.include {
            labels = with_label(&labels, label, one.get(label).unwrap_or(""));
        }
        labels
    }
}
