//! Functions of labels, and series put together by labels.

use std::collections::BTreeMap;

use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::matcher::{Capturing, MatchOp, Matcher, Template};

use super::EvaluateError;
use super::call::{argument, text};
use super::context::{Context, Evaluated, Grid, Notes};
use super::frame::{Block, Col, Frame, Name};
use super::key::{self, Keys};
use crate::tree::Call;

/// What a vector cannot contain.
pub(crate) const SAME_LABELS: &str = "vector cannot contain metrics with the same labelset";

/// `label_replace`
pub(crate) fn replace(
    context: &Context<'_>,
    call: &Call,
    grid: Grid,
    notes: &mut Notes,
) -> Evaluated<Frame> {
    let (target, template) = (text(call, 1)?, text(call, 2)?);
    let (source, pattern) = (text(call, 3)?, text(call, 4)?);
    let refused = |_| {
        EvaluateError::Failed(format!("invalid regular expression in label_replace(): {pattern}"))
    };
    let compiled;
    let regex = if let Some(regex) = &call.pattern {
        regex
    } else {
        compiled = Capturing::new(pattern).map_err(refused)?;
        &compiled
    };
    if target.is_empty() {
        let message = format!("invalid destination label name in label_replace(): {target}");
        return Err(EvaluateError::Failed(message));
    }
    let template = Template::new(template);
    renamed(context, call, grid, notes, |name| {
        let value = name.labels.get(source).unwrap_or("");
        match regex.captures(value) {
            Some(groups) => with_label(name, target, &groups.expand(&template)),
            None => name.clone(),
        }
    })
}

/// `label_join`
pub(crate) fn join(
    context: &Context<'_>,
    call: &Call,
    grid: Grid,
    notes: &mut Notes,
) -> Evaluated<Frame> {
    let (target, separator) = (text(call, 1)?, text(call, 2)?);
    let sources = (3..call.args.len()).map(|i| text(call, i)).collect::<Evaluated<Vec<_>>>()?;
    for (what, name) in
        sources.iter().map(|name| ("source", *name)).chain([("destination", target)])
    {
        if name.is_empty() {
            let message = format!("invalid {what} label name in label_join(): {name}");
            return Err(EvaluateError::Failed(message));
        }
    }
    renamed(context, call, grid, notes, |name| {
        let values: Vec<&str> =
            sources.iter().map(|source| name.labels.get(source).unwrap_or("")).collect();
        with_label(name, target, &values.join(separator))
    })
}

/// The first argument's series under other names.
fn renamed(
    context: &Context<'_>,
    call: &Call,
    grid: Grid,
    notes: &mut Notes,
    rename: impl Fn(&Name) -> Name,
) -> Evaluated<Frame> {
    let mut frame = context.frame(argument(call, 0)?, grid, notes)?;
    for name in frame.blocks.iter_mut().flat_map(|block| &mut block.names) {
        *name = rename(name);
    }
    merged(frame)
}

fn with_label(name: &Name, target: &str, value: &str) -> Name {
    let mut pairs: BTreeMap<&str, &str> = name.labels.iter().collect();
    pairs.insert(target, value);
    // A metric's name that was just given stays.
    Name { labels: key::labels(pairs), drops_name: name.drops_name && target != METRIC_NAME }
}

/// The labels that a selector asks for by equality, each by one matcher only.
pub(crate) fn asked(matchers: &[Matcher]) -> LabelSet {
    let mut pairs: BTreeMap<&str, &str> = BTreeMap::new();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in matchers.iter().filter(|matcher| matcher.name() != METRIC_NAME) {
        if matcher.op() == MatchOp::Equal && !seen.contains(&matcher.name()) {
            pairs.insert(matcher.name(), matcher.value());
            seen.push(matcher.name());
        } else {
            pairs.remove(matcher.name());
        }
    }
    key::labels(pairs)
}

/// Series with the same labels made one.
///
/// # Errors
/// Two of them have a value at the same step.
pub(crate) fn merged(frame: Frame) -> Evaluated<Frame> {
    let mut keys = Keys::default();
    let mut places: Vec<Vec<(&Name, Col<'_>)>> = Vec::with_capacity(frame.len());
    for (name, col) in frame.iter() {
        let (number, is_new) = keys.number(name.labels.as_bytes());
        if is_new {
            places.push(vec![(name, col)]);
        } else if let Some(place) = places.get_mut(number) {
            place.push((name, col));
        }
    }
    if places.len() == frame.len() {
        drop(places);
        return Ok(frame);
    }
    let mut block = Block::new(frame.steps, places.len());
    for place in places {
        // Whether the metric's name is dropped is decided at the earliest step.
        let earliest = |(_, col): &&(&Name, Col<'_>)| col.iter().next().map(|(step, _)| step);
        let Some((name, _)) = place.iter().min_by_key(earliest) else { continue };
        let mut collides = false;
        block.push((*name).clone(), |out| {
            for (_, col) in &place {
                col.each(|step, value| {
                    collides |= out.as_col().has(step);
                    out.set(step, value);
                });
            }
        });
        if collides {
            return Err(EvaluateError::Failed(SAME_LABELS.to_owned()));
        }
    }
    Ok(Frame::of(frame.steps, block))
}

/// A name without what says the metric: at the end of a query.
pub(crate) fn without_metric(labels: &LabelSet) -> LabelSet {
    const METADATA: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];
    if labels.iter().all(|(name, _)| !METADATA.contains(&name)) {
        return labels.clone();
    }
    key::labels(labels.iter().filter(|(name, _)| !METADATA.contains(name)))
}
