//! What the trees of a template name: functions and variables.

use gotmpl::parse::{BranchNode, Expr, ListNode, Node, PipeNode, Pos};

/// What stands for the data in every tree.
const ROOT: &str = "$";

/// Names as they are met on a walk; places are bytes of what was parsed.
#[derive(Default)]
pub(super) struct Names {
    functions: Vec<(usize, String)>,
    /// Variables that are named and were not set before.
    unset: Vec<(usize, String)>,
    /// Variables that are set where the walk is.
    variables: Vec<String>,
}

impl Names {
    /// Walks over a tree, which begins without the variables of others.
    pub(super) fn tree(&mut self, list: &ListNode) {
        self.variables = vec![ROOT.to_owned()];
        self.list(list);
    }

    /// The first thing that is named and not there, with its place.
    pub(super) fn undefined(&self, is_function: fn(&str) -> bool) -> Option<(usize, String)> {
        let functions = self.functions.iter().filter(|(_, name)| !is_function(name));
        let functions = functions.map(|(at, name)| (*at, format!("function {name:?} not defined")));
        let variables = self.unset.iter();
        let variables = variables.map(|(at, name)| (*at, format!("undefined variable {name:?}")));
        functions.chain(variables).min()
    }

    fn list(&mut self, list: &ListNode) {
        for node in &list.nodes {
            match node {
                Node::List(list) => self.list(list),
                Node::Action(action) => self.pipe(&action.pipe),
                Node::If(branch) | Node::Range(branch) | Node::With(branch) => self.branch(branch),
                Node::Template(call) => call.pipe.iter().for_each(|pipe| self.pipe(pipe)),
                Node::Define(define) => self.list(&define.body),
                Node::Text(_) | Node::Break(_) | Node::Continue(_) => {}
            }
        }
    }

    /// What is set within is not set behind.
    fn branch(&mut self, branch: &BranchNode) {
        let before = self.variables.len();
        self.pipe(&branch.pipe);
        self.list(&branch.body);
        branch.else_body.iter().for_each(|list| self.list(list));
        self.variables.truncate(before);
    }

    fn pipe(&mut self, pipe: &PipeNode) {
        self.variables.extend(pipe.decl.iter().map(ToString::to_string));
        pipe.commands.iter().flat_map(|command| &command.args).for_each(|arg| self.expr(arg));
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Variable(at, name, _) => self.variable(*at, name),
            Expr::Chain(_, inner, _) => self.expr(inner),
            Expr::Identifier(at, name) => self.functions.push((at.offset, name.to_string())),
            Expr::Pipe(_, pipe) => self.pipe(pipe),
            _ => {}
        }
    }

    fn variable(&mut self, at: Pos, name: &str) {
        if !self.variables.iter().any(|known| known == name) {
            self.unset.push((at.offset, name.to_owned()));
        }
    }
}
