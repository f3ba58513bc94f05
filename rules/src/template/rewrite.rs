//! What the trees of a template get beside what is written in them:
//!
//! - each list of nodes begins with [`STEPS`], so that loops and templates that call each other
//!   pay for what they walk over;
//! - each action that prints ends with [`SHOWN`];
//! - each field is looked up by [`FIELD`], since a label that is not there is an empty text.

use std::sync::Arc;

use gotmpl::parse::{
    ActionNode, BranchNode, CommandNode, Expr, ListNode, Node, Number, PipeNode, Pos, SmolStr,
};

// The names are none that a template can write.

/// Pays for expressions; its argument is their number, and it gives an empty text.
pub(super) const STEPS: &str = "\u{1}steps";
/// Gives what is printed as Go prints it.
pub(super) const SHOWN: &str = "\u{1}shown";
/// Gives what stands under names, one within the other: the value, then the names.
pub(super) const FIELD: &str = "\u{1}field";

/// A template with all trees rewritten.
pub(super) fn rewritten(mut template: gotmpl::Template) -> gotmpl::Template {
    let names: Vec<String> = template.templates().into_iter().map(str::to_owned).collect();
    for name in names {
        if let Some(mut tree) = template.lookup(&name).cloned() {
            list(&mut tree);
            template = template.add_parse_tree(&name, tree);
        }
    }
    template
}

fn list(nodes: &mut ListNode) {
    let steps: usize = nodes.nodes.iter_mut().map(node).sum();
    let steps = i64::try_from(steps + 1).unwrap_or(i64::MAX);
    let args = vec![name(nodes.pos, STEPS), Expr::Number(nodes.pos, Number::Int(steps))];
    let pipe = pipe_of(nodes.pos, args);
    nodes.nodes.insert(0, Node::Action(ActionNode { pos: nodes.pos, pipe }));
}

/// Rewrites a node, and counts its expressions without those of lists within it.
fn node(node: &mut Node) -> usize {
    1 + match node {
        Node::List(inner) => {
            list(inner);
            0
        }
        Node::Action(node) => action(node),
        Node::If(node) | Node::Range(node) | Node::With(node) => branch(node),
        Node::Define(define) => {
            list(&mut define.body);
            0
        }
        Node::Template(call) => call.pipe.as_mut().map_or(0, pipe),
        Node::Text(_) | Node::Break(_) | Node::Continue(_) => 0,
    }
}

fn branch(node: &mut BranchNode) -> usize {
    list(&mut node.body);
    node.else_body.iter_mut().for_each(list);
    pipe(&mut node.pipe)
}

fn action(node: &mut ActionNode) -> usize {
    let steps = pipe(&mut node.pipe);
    if node.pipe.decl.is_empty() {
        let args = vec![name(node.pos, SHOWN)];
        node.pipe.commands.push(CommandNode { pos: node.pos, args });
    }
    steps
}

fn pipe(pipe: &mut PipeNode) -> usize {
    pipe.commands.iter_mut().flat_map(|command| &mut command.args).map(expr).sum()
}

fn expr(expr: &mut Expr) -> usize {
    let steps = match expr {
        Expr::Pipe(_, inner) => pipe(inner),
        Expr::Chain(_, inner, _) => self::expr(inner),
        _ => 0,
    };
    let looked_up = match expr {
        Expr::Field(at, names) => Some((*at, Expr::Dot(*at), names)),
        Expr::Variable(at, variable, names) if !names.is_empty() => {
            Some((*at, Expr::Variable(*at, variable.clone(), Vec::new()), names))
        }
        // A function takes the arguments behind it, so that it stays where it is.
        Expr::Chain(at, inner, names) if !matches!(**inner, Expr::Identifier(..)) => {
            Some((*at, (**inner).clone(), names))
        }
        _ => None,
    };
    let Some((at, value, names)) = looked_up else { return steps + 1 };
    let steps = steps + 1 + names.len();
    *expr = Expr::Pipe(at, pipe_of(at, lookup(at, value, names)));
    steps
}

fn lookup(at: Pos, value: Expr, names: &[SmolStr]) -> Vec<Expr> {
    let names = names.iter().map(|name| Expr::String(at, Arc::from(name.as_str())));
    [name(at, FIELD), value].into_iter().chain(names).collect()
}

fn name(at: Pos, name: &'static str) -> Expr {
    Expr::Identifier(at, SmolStr::new_static(name))
}

fn pipe_of(pos: Pos, args: Vec<Expr>) -> PipeNode {
    let commands = vec![CommandNode { pos, args }];
    PipeNode { pos, decl: Vec::new(), commands, is_assign: false }
}
