//! What a pattern can match, found in its syntax tree: a finite set, a prefix, a suffix, a part.

use regex_syntax::hir::{Class, Dot, Hir, HirKind, Look};

/// Values of an alternation that are kept as a set; more are left to the compiled program.
const SET_MAX: usize = 4096;

/// Combinations of parts of a sequence; `(?i)` makes two of each letter, which the compiled
/// program does better.
const PRODUCT_MAX: usize = 128;

/// Bytes of all values of a set.
const SET_BYTES_MAX: usize = 256 << 10;

/// A pattern, anchored at both ends.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// One of these, sorted.
    Set(Vec<String>),
    /// `.*`
    Anything,
    /// `.+`
    NotEmpty,
    /// `prefix.*`
    Prefix(String),
    /// `prefix.+`
    LongerPrefix(String),
    /// `.*suffix`
    Suffix(String),
    /// `.*part.*`
    Part(String),
    /// Anything else, with what every match begins with.
    Other(String),
}

/// Finds the shape of a pattern as parsed, not yet anchored.
pub(super) fn of(hir: &Hir) -> Shape {
    if let Some(set) = set(hir) {
        return Shape::Set(set);
    }
    let parts = parts(hir);
    let is_star = |hir: &Hir| repeats_any(hir) == Some(0);
    match parts {
        [one] if is_star(one) => Shape::Anything,
        [one] if repeats_any(one) == Some(1) => Shape::NotEmpty,
        [first, last] if is_star(last) => match literal(first) {
            Some(prefix) => Shape::Prefix(prefix),
            None => Shape::Other(prefix(parts)),
        },
        [first, last] if repeats_any(last) == Some(1) => match literal(first) {
            Some(prefix) => Shape::LongerPrefix(prefix),
            None => Shape::Other(prefix(parts)),
        },
        [first, last] if is_star(first) => match literal(last) {
            Some(suffix) => Shape::Suffix(suffix),
            None => Shape::Other(String::new()),
        },
        [first, middle, last] if is_star(first) && is_star(last) => match literal(middle) {
            Some(part) => Shape::Part(part),
            None => Shape::Other(String::new()),
        },
        _ => Shape::Other(prefix(parts)),
    }
}

/// The parts of a sequence without an outermost `^` and `$`, which the anchors make idle.
fn parts(hir: &Hir) -> &[Hir] {
    let mut parts = match bare(hir).kind() {
        HirKind::Concat(parts) => parts.as_slice(),
        _ => std::slice::from_ref(bare(hir)),
    };
    while let [first, rest @ ..] = parts
        && *first.kind() == HirKind::Look(Look::Start)
    {
        parts = rest;
    }
    while let [rest @ .., last] = parts
        && *last.kind() == HirKind::Look(Look::End)
    {
        parts = rest;
    }
    parts
}

/// What a capture group holds.
fn bare(hir: &Hir) -> &Hir {
    match hir.kind() {
        HirKind::Capture(capture) => bare(&capture.sub),
        _ => hir,
    }
}

/// The least count of a repeat of any character at all; lazy or greedy is the same here.
fn repeats_any(hir: &Hir) -> Option<u32> {
    match bare(hir).kind() {
        HirKind::Repetition(r) if r.max.is_none() && *bare(&r.sub) == Hir::dot(Dot::AnyChar) => {
            Some(r.min)
        }
        _ => None,
    }
}

fn literal(hir: &Hir) -> Option<String> {
    match bare(hir).kind() {
        HirKind::Literal(literal) => String::from_utf8(literal.0.to_vec()).ok(),
        _ => None,
    }
}

fn prefix(parts: &[Hir]) -> String {
    parts.first().and_then(literal).unwrap_or_default()
}

fn set(hir: &Hir) -> Option<Vec<String>> {
    let mut whole = Vec::new();
    match bare(hir).kind() {
        HirKind::Alternation(branches) => {
            for branch in branches {
                whole.extend(sequence(parts(branch))?);
                bounded(&whole, SET_MAX)?;
            }
        }
        _ => whole = sequence(parts(hir))?,
    }
    let mut texts = whole.into_iter().map(String::from_utf8).collect::<Result<Vec<_>, _>>().ok()?;
    texts.sort_unstable();
    texts.dedup();
    Some(texts)
}

fn bounded(values: &[Vec<u8>], most: usize) -> Option<()> {
    let bytes: usize = values.iter().map(Vec::len).sum();
    (values.len() <= most && bytes <= SET_BYTES_MAX).then_some(())
}

fn sequence(parts: &[Hir]) -> Option<Vec<Vec<u8>>> {
    let mut whole = vec![Vec::new()];
    for part in parts {
        whole = product(&whole, &values(part)?)?;
    }
    Some(whole)
}

fn product(left: &[Vec<u8>], right: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    if left.len() > 1 && right.len() > 1 && left.len() * right.len() > PRODUCT_MAX {
        return None;
    }
    let joined = left.iter().flat_map(|head| right.iter().map(|tail| [&head[..], tail].concat()));
    let joined: Vec<Vec<u8>> = joined.collect();
    bounded(&joined, SET_MAX)?;
    Some(joined)
}

/// All values of a part, if few. Depth is bounded by the parser's nesting limit.
fn values(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![Vec::new()]),
        HirKind::Literal(literal) => Some(vec![literal.0.to_vec()]),
        HirKind::Class(Class::Unicode(class)) => {
            let mut values = Vec::new();
            for range in class.ranges() {
                for char in range.start()..=range.end() {
                    values.push(char.to_string().into_bytes());
                    bounded(&values, PRODUCT_MAX)?;
                }
            }
            Some(values)
        }
        HirKind::Class(Class::Bytes(class)) if class.ranges().is_empty() => Some(Vec::new()),
        HirKind::Class(Class::Bytes(_)) | HirKind::Look(_) => None,
        HirKind::Capture(capture) => values(&capture.sub),
        HirKind::Concat(parts) => sequence(parts),
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.extend(values(branch)?);
                bounded(&all, SET_MAX)?;
            }
            Some(all)
        }
        HirKind::Repetition(repetition) => {
            let most = repetition.max.filter(|most| *most <= 8)?;
            let one = values(&repetition.sub)?;
            let mut all = Vec::new();
            let mut power = vec![Vec::new()];
            for count in 0..=most {
                if count >= repetition.min {
                    all.extend(power.iter().cloned());
                    bounded(&all, PRODUCT_MAX)?;
                }
                if count < most {
                    power = product(&power, &one)?;
                }
            }
            Some(all)
        }
    }
}
