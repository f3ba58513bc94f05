//! How values print: floats as Go prints them, which the engine does not.
//!
//! Each action that prints gets one more function at its end; `print` and `println` are replaced.
//! What `printf` makes of a float with `%v` stays the engine's.

use std::sync::Arc;

use bellwether_model::exposition::push_float;
use gotmpl::Value;
use gotmpl::parse::{ActionNode, BranchNode, CommandNode, Expr, ListNode, Node};

/// The function at the end of actions; its name is none that a template can write.
pub(super) const SHOWN: &str = "\u{1}shown";

/// A template whose actions print floats as Go does.
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
    for node in &mut nodes.nodes {
        match node {
            Node::List(inner) => list(inner),
            Node::Action(node) => action(node),
            Node::If(node) | Node::Range(node) | Node::With(node) => branch(node),
            Node::Define(define) => list(&mut define.body),
            Node::Text(_) | Node::Template(_) | Node::Break(_) | Node::Continue(_) => {}
        }
    }
}

fn branch(node: &mut BranchNode) {
    list(&mut node.body);
    node.else_body.iter_mut().for_each(list);
}

fn action(node: &mut ActionNode) {
    if node.pipe.decl.is_empty() {
        let args = vec![Expr::Identifier(node.pos, SHOWN.into())];
        node.pipe.commands.push(CommandNode { pos: node.pos, args });
    }
}

/// A float as its text; anything else as it is.
pub(super) fn shown(value: &Value) -> Value {
    match value {
        Value::Float(value) => Value::String(Arc::from(float(*value))),
        other => other.clone(),
    }
}

/// Go's `fmt.Sprint`, with `between` between any two operands, or where it is empty a blank between
/// two that are no strings.
pub(super) fn joined(args: &[Value], between: &str) -> String {
    let mut out = String::new();
    let mut before_is_string = true;
    for (at, value) in args.iter().enumerate() {
        let is_string = matches!(value, Value::String(_));
        if at > 0 && between.is_empty() && !is_string && !before_is_string {
            out.push(' ');
        } else if at > 0 {
            out.push_str(between);
        }
        out.push_str(&shown(value).to_string());
        before_is_string = is_string;
    }
    out
}

fn float(value: f64) -> String {
    let mut bytes = Vec::new();
    push_float(&mut bytes, value);
    String::from_utf8(bytes).expect("invariant: a float is written in ASCII")
}
