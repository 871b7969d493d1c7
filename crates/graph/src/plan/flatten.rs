//! Calls followed, parameters resolved, values that share a place found.

use std::collections::HashSet;

use super::arena::{Span, pack};
use super::{Place, Placed, Plan, Planned};
use crate::func::below;
use crate::{Func, Graph, Literal, Node, Op, Ty, ValueId};

/// A plan whose values in the arena have no offsets yet.
pub(super) struct Flat<'a> {
    pub(super) plan: Plan,
    graph: &'a Graph,
    keep: HashSet<&'a str>,
    /// Of each value, the first that has its place.
    owners: Vec<ValueId>,
    /// Values that live to the end.
    lasting: Vec<ValueId>,
}

/// The graph as a list of nodes.
pub(super) fn flatten<'a>(graph: &'a Graph, keep: &'a [String]) -> Flat<'a> {
    let plan = Plan { nodes: vec![], values: vec![], constants: vec![], results: vec![], arena_bytes: 0 };
    let keep = keep.iter().map(String::as_str).collect();
    let mut flat = Flat { plan, graph, keep, owners: vec![], lasting: vec![] };
    let types = graph.main().param_types();
    let params = graph.given().zip(types).map(|(place, ty)| flat.value(ty, place)).collect::<Vec<_>>();
    flat.plan.results = flat.func(graph.main(), &params, "");
    flat.lasting.extend_from_slice(&flat.plan.results);
    flat
}

impl Flat<'_> {
    /// The nodes of a function that is given `args`; what it gives.
    fn func(&mut self, func: &Func, args: &[ValueId], path: &str) -> Vec<ValueId> {
        let mut values: Vec<ValueId> = Vec::with_capacity(func.types.len());
        for (first, node) in func.nodes_with_ids() {
            let here = below(path, node.name.as_deref());
            let given = node.args.iter().map(|arg| values[arg.index()]).collect::<Vec<_>>();
            let types = func.result_types(first, node);
            let mut made = match &node.op {
                Op::Param(place) => vec![args[*place as usize]],
                Op::Call(callee) => self.func(self.graph.func(*callee), &given, &here),
                Op::Constant(literal) => vec![self.constant(literal, types[0])],
                Op::Reshape(_) => vec![self.shared(types[0], given[0])],
                _ => self.node(node, given, types, &here),
            };
            if node.name.is_some() && self.keep.contains(here.as_str()) {
                made[0] = self.kept(made[0], node, &here);
            }
            values.extend(made);
        }
        func.results.iter().map(|value| values[value.index()]).collect()
    }

    fn node(&mut self, node: &Node, args: Vec<ValueId>, types: &[Ty], path: &str) -> Vec<ValueId> {
        let results = match node.op {
            Op::StateWrite => vec![self.shared(types[0], args[0])],
            _ => types.iter().map(|&ty| self.value(ty, Place::Arena { offset: 0 })).collect(),
        };
        self.push(node.op.clone(), args, results.clone(), path, node.name.is_some());
        results
    }

    /// A value that is brought out or replaced: a copy of it where its node vanishes and others may share its place.
    fn kept(&mut self, value: ValueId, node: &Node, path: &str) -> ValueId {
        let vanishes = matches!(node.op, Op::Param(_) | Op::Call(_) | Op::Constant(_) | Op::Reshape(_));
        let ty = *self.plan.ty(value);
        let bound = ty.dims.shape().is_some();
        let kept = match vanishes && bound {
            true => {
                let copy = self.value(ty, Place::Arena { offset: 0 });
                self.push(Op::Reshape(ty.dims), vec![value], vec![copy], path, true);
                copy
            }
            false => value,
        };
        self.lasting.push(kept);
        kept
    }

    fn push(&mut self, op: Op, args: Vec<ValueId>, results: Vec<ValueId>, path: &str, named: bool) {
        self.plan.nodes.push(Planned { op, args, results, path: path.to_owned(), named });
    }

    fn value(&mut self, ty: Ty, place: Place) -> ValueId {
        let value = ValueId(self.plan.values.len() as u32);
        self.plan.values.push(Placed { ty, place });
        self.owners.push(value);
        value
    }

    /// A value in the place of another.
    fn shared(&mut self, ty: Ty, with: ValueId) -> ValueId {
        let value = self.value(ty, self.plan.place(with));
        self.owners[value.index()] = self.owners[with.index()];
        value
    }

    fn constant(&mut self, literal: &Literal, ty: Ty) -> ValueId {
        let known = self.plan.constants.iter().position(|known| known.is_same(literal));
        let place = known.unwrap_or_else(|| {
            self.plan.constants.push(literal.clone());
            self.plan.constants.len() - 1
        });
        self.value(ty, Place::Constant(place))
    }

    /// Gives every value of the arena its offset.
    pub(super) fn place(&mut self) {
        let spans = self.spans();
        let (offsets, total) = pack(&spans.iter().map(|(_, span)| *span).collect::<Vec<_>>());
        for ((owner, _), offset) in spans.iter().zip(offsets) {
            self.plan.values[owner.index()].place = Place::Arena { offset };
        }
        for (value, owner) in self.owners.iter().enumerate() {
            self.plan.values[value].place = self.plan.place(*owner);
        }
        self.plan.arena_bytes = total;
    }

    /// The life of each value of the arena that shares no other's place.
    fn spans(&self) -> Vec<(ValueId, Span)> {
        let mut lives = vec![None; self.owners.len()];
        for (step, node) in self.plan.nodes.iter().enumerate() {
            for value in node.results.iter().chain(&node.args) {
                let owner = self.owners[value.index()];
                lives[owner.index()].get_or_insert((step, step)).1 = step;
            }
        }
        for value in &self.lasting {
            if let Some((_, last)) = &mut lives[self.owners[value.index()].index()] {
                *last = self.plan.nodes.len();
            }
        }
        let in_arena = |(value, life): (u32, Option<(usize, usize)>)| {
            let Placed { ty, place } = self.plan.values[value as usize];
            let ((first, last), Place::Arena { .. }) = (life?, place) else { return None };
            Some((ValueId(value), Span { first, last, bytes: bytes(&ty) }))
        };
        (0..).zip(lives).filter_map(in_arena).collect()
    }
}

/// Bytes of a value; as many as there can be where they cannot be counted.
fn bytes(ty: &Ty) -> usize {
    let shape = ty.dims.shape().expect("a graph is bound before it is planned");
    shape.elements().and_then(|elements| ty.dtype.bytes_of(elements)).unwrap_or(usize::MAX)
}
