//! Parts that recur in expressions which are evaluated together: each is evaluated once.
//!
//! The rules of a group read the same series again and again, for an alert and for what is recorded
//! of them. Which parts recur is told once, by their printed text, which says all that their value
//! depends on beside the view and the time. A part is remembered only if it has warned of nothing,
//! since a warning names its place, and within a bound.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bellwether_model::matcher::Matcher;

use super::context::{Evaluated, Notes, Sink};
use super::frame::Block;
use crate::tree::{Expr, Kind, Node, Span};

/// Bytes of a part's text, beyond which it is not looked for.
const TEXT_MAX: usize = 4096;
/// Values that are remembered at once.
const VALUES_MAX: usize = 1 << 18;

/// The parts of one expression that recur in it or in those evaluated with it.
#[derive(Clone, Debug, Default)]
pub struct Recurring(Vec<Part>);

#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Which part of its expression.
    span: Span,
    text: Arc<str>,
    /// Of its selectors.
    matchers: Arc<[Vec<Matcher>]>,
}

/// For each of some expressions what recurs in it.
#[must_use]
pub fn recurring<'a>(exprs: impl IntoIterator<Item = &'a Expr>) -> Vec<Recurring> {
    let mut walk = Walk::default();
    let mut ends = Vec::new();
    for expr in exprs {
        let context = walk.alone();
        walk.visit(expr, context);
        ends.push(walk.parts.len());
    }
    let mut from = 0;
    let mut found = Vec::with_capacity(ends.len());
    for end in ends {
        let parts = walk.parts.get(from..end).unwrap_or_default().iter();
        let recurs = |part: &&(Span, Arc<str>, &Expr)| {
            walk.contexts.get(&part.1).is_some_and(|contexts| contexts.len() > 1)
        };
        found.push(Recurring(parts.filter(recurs).map(Part::of).collect()));
        from = end;
    }
    found
}

/// Where a part stands: the same part of a part that recurs is one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Alone(usize),
    Within(Arc<str>, usize),
}

#[derive(Default)]
struct Walk<'a> {
    alone: usize,
    parts: Vec<(Span, Arc<str>, &'a Expr)>,
    contexts: BTreeMap<Arc<str>, BTreeSet<Standing>>,
}

impl<'a> Walk<'a> {
    fn alone(&mut self) -> Standing {
        self.alone += 1;
        Standing::Alone(self.alone)
    }

    fn visit(&mut self, expr: &'a Expr, standing: Standing) {
        let text = may_recur(expr);
        if let Some(text) = &text {
            self.contexts.entry(Arc::clone(text)).or_default().insert(standing);
            self.parts.push((expr.span, Arc::clone(text), expr));
        }
        for (number, child) in children(expr).into_iter().enumerate() {
            let standing = match &text {
                Some(text) => Standing::Within(Arc::clone(text), number),
                None => self.alone(),
            };
            self.visit(child, standing);
        }
    }
}

/// The text of a part that is worth remembering: one that reads series.
fn may_recur(expr: &Expr) -> Option<Arc<str>> {
    if !is_kind(expr) || expr.kind() != Kind::Vector || expr.span.end - expr.span.start > TEXT_MAX {
        return None;
    }
    let mut reads = false;
    expr.each_selector(&mut |_| reads = true);
    let text = expr.to_string();
    // `info()` reads more than its selectors say.
    (reads && !text.contains("info(")).then(|| text.into())
}

/// What is evaluated at the times of the expression itself.
fn children(expr: &Expr) -> Vec<&Expr> {
    match &expr.node {
        Node::Number(_)
        | Node::Text(_)
        | Node::Selector(_)
        | Node::Range(_)
        | Node::Subquery(_) => Vec::new(),
        Node::Paren(inner) | Node::Unary(_, inner) => vec![inner],
        Node::Binary(binary) => vec![&binary.left, &binary.right],
        Node::Aggregate(aggregate) => aggregate.param.iter().chain([&aggregate.expr]).collect(),
        Node::Call(call) => call.args.iter().collect(),
    }
}

impl Part {
    fn of((span, text, expr): &(Span, Arc<str>, &Expr)) -> Part {
        let mut matchers = Vec::new();
        expr.each_selector(&mut |selector| matchers.push(selector.matchers.clone()));
        Part { span: *span, text: Arc::clone(text), matchers: matchers.into() }
    }
}

impl Recurring {
    /// The part that an expression is, if it is one.
    pub(crate) fn part(&self, expr: &Expr) -> Option<&Part> {
        let is_kind = is_kind(expr);
        self.0.iter().find(|part| is_kind && part.span == expr.span)
    }
}

/// Of the kinds of expression of which no two have one span.
fn is_kind(expr: &Expr) -> bool {
    matches!(expr.node, Node::Selector(_) | Node::Aggregate(_) | Node::Call(_))
}

/// What recurring parts have yielded at one time over one view.
#[derive(Debug, Default)]
pub struct Remembered(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// By their text.
    parts: BTreeMap<Arc<str>, Yielded>,
    values: usize,
}

#[derive(Debug)]
struct Yielded {
    blocks: Vec<Block>,
    matchers: Arc<[Vec<Matcher>]>,
}

impl Remembered {
    /// Forgets the parts of which a selector (all its matchers) reads what has changed.
    pub fn forget(&self, has_changed: impl Fn(&[Matcher]) -> bool) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.parts.retain(|_, part| !part.matchers.iter().any(|one| has_changed(one)));
        kept.values = kept.parts.values().map(|part| size(&part.blocks)).sum();
    }

    /// Hands on what a part has yielded, or what it yields now.
    pub(crate) fn stream(
        &self,
        part: &Part,
        notes: &mut Notes,
        sink: Sink<'_>,
        evaluate: impl FnOnce(&mut Notes, Sink<'_>) -> Evaluated<()>,
    ) -> Evaluated<()> {
        let known = self.get(&part.text);
        if let Some(blocks) = known {
            return sink(blocks);
        }
        let mut own = Notes::default();
        let mut seen = Some(Vec::new());
        evaluate(&mut own, &mut |blocks| {
            match &mut seen {
                Some(before) if size(before) + size(&blocks) <= VALUES_MAX => {
                    before.extend(blocks.iter().cloned());
                }
                _ => seen = None,
            }
            sink(blocks)
        })?;
        if let Some(blocks) = seen.filter(|_| own.is_empty()) {
            self.put(part, blocks);
        }
        notes.merge(own);
        Ok(())
    }

    fn get(&self, text: &str) -> Option<Vec<Block>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.parts.get(text).map(|part| part.blocks.clone())
    }

    fn put(&self, part: &Part, blocks: Vec<Block>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let values = size(&blocks);
        if kept.values + values <= VALUES_MAX {
            kept.values += values;
            let matchers = Arc::clone(&part.matchers);
            kept.parts.insert(Arc::clone(&part.text), Yielded { blocks, matchers });
        }
    }
}

fn size(blocks: &[Block]) -> usize {
    blocks.iter().map(Block::size).sum()
}
