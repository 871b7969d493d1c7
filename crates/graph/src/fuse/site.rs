//! A function as rewrites see it: who makes each value, and how often it is read.

use std::collections::HashSet;

use crate::{Func, Node, Ty, ValueId};

pub(super) struct Site<'a> {
    func: &'a Func,
    kept: &'a HashSet<String>,
    /// Of each value, the place of its node.
    makers: Vec<usize>,
    /// Of each value, how often nodes and results read it.
    reads: Vec<usize>,
}

impl<'a> Site<'a> {
    pub(super) fn new(func: &'a Func, kept: &'a HashSet<String>) -> Site<'a> {
        let places = func.nodes.iter().enumerate();
        let makers = places.flat_map(|(place, node)| (0..node.results).map(move |_| place)).collect();
        let mut reads = vec![0; func.types.len()];
        for value in func.nodes.iter().flat_map(|node| &node.args).chain(&func.results) {
            reads[value.index()] += 1;
        }
        Site { func, kept, makers, reads }
    }

    pub(super) fn ty(&self, value: ValueId) -> &Ty {
        self.func.ty(value)
    }

    pub(super) fn reads(&self, value: ValueId) -> usize {
        self.reads[value.index()]
    }

    /// Whether somebody wants to see or replace what a node makes.
    pub(super) fn is_kept(&self, node: &Node) -> bool {
        node.name.as_ref().is_some_and(|name| self.kept.contains(name))
    }

    /// The node that makes a value, where a reader may look through it to its arguments: a kept one may be replaced.
    pub(super) fn maker(&self, value: ValueId) -> Option<&'a Node> {
        let node = &self.func.nodes[self.makers[value.index()]];
        (!self.is_kept(node)).then_some(node)
    }

    /// The node that makes a value, where only one reads it, which may do its work instead.
    pub(super) fn inner(&self, value: ValueId) -> Option<&'a Node> {
        self.maker(value).filter(|_| self.reads(value) == 1)
    }

    /// The nodes before the one whose first result this is.
    pub(super) fn before(&self, first: ValueId) -> impl Iterator<Item = (ValueId, &'a Node)> {
        self.func.nodes_with_ids().take_while(move |(value, _)| *value < first)
    }
}
