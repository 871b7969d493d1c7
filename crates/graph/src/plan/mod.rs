//! A graph as one list of nodes, every value with its place: what a device that runs kernels one after another needs.
//!
//! Calls are followed into their functions, so each layer has nodes of its own and what lives where is decided once
//! for the whole step. The graph is bound and lowered already; nothing is allocated while the plan runs.

mod arena;
mod flatten;

use crate::{Graph, Input, Literal, Op, Param, Ty, ValueId};

/// Offsets in an arena are multiples of this many bytes: a cache line, and the widest vector register.
pub const ARENA_ALIGN: usize = 64;

/// A graph flattened.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What is done, in order. There are no parameters, calls, constants, and no reshapes but those that copy (see
    /// [`Plan::of`]).
    pub nodes: Vec<Planned>,
    /// Every value; a [`ValueId`] of a plan is an index into these.
    pub values: Vec<Placed>,
    /// Distinct constants.
    pub constants: Vec<Literal>,
    /// What main gives: the logits, and then the states.
    pub results: Vec<ValueId>,
    /// Bytes of the arena.
    pub arena_bytes: usize,
}

/// A node of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// What is done.
    pub op: Op,
    /// To which values of the plan.
    pub args: Vec<ValueId>,
    /// The values it makes.
    pub results: Vec<ValueId>,
    /// Where it stands, `layers.0.self_attn.q_proj`; of a node without a name, the calls that lead to it.
    pub path: String,
    /// Whether the node has a name, so that `path` is the name of its first result.
    pub named: bool,
}

/// A value of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its type. All axes are numbers, but for the pages of a state.
    pub ty: Ty,
    /// Where its elements are, dense and row after row. Several values may share a place: a reshaped value has the
    /// place of what it was made of, a written state that of the state.
    pub place: Place,
}

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the arena, from this byte on, a multiple of [`ARENA_ALIGN`].
    Arena {
        /// The byte.
        offset: usize,
    },
    /// What the step is fed.
    Input(Input),
    /// The weight of this index in the graph's list.
    Weight(usize),
    /// The state of this index in the graph's list.
    State(usize),
    /// The constant of this index in the plan's list.
    Constant(usize),
    /// The parameter of this index of a main function that takes plain values, as [`Graph::of_op`] makes it.
    Argument(usize),
}

impl Plan {
    /// Flattens a bound graph and gives every value its place: two values of the arena share bytes only where one is
    /// dead before the other is made. The results of main live to the end of the step.
    ///
    /// Values named in `keep` (taps and patches) do too, and have a place of their own: where such a name stands at a
    /// node that vanishes (a parameter, call, constant or reshape), a [`Op::Reshape`] to the value's own shape is
    /// planned, which copies it. So each name kept is the path of one named node, unless it names a state.
    ///
    /// # Panics
    /// Where a shape is not bound: lowering comes before planning.
    pub fn of(graph: &Graph, keep: &[String]) -> Plan {
        let mut flat = flatten::flatten(graph, keep);
        flat.place();
        flat.plan
    }

    /// The type of a value.
    pub fn ty(&self, value: ValueId) -> &Ty {
        &self.values[value.index()].ty
    }

    /// The place of a value.
    pub fn place(&self, value: ValueId) -> Place {
        self.values[value.index()].place
    }

    /// The node whose first result has a name, `layers.0.attn`.
    pub fn named(&self, path: &str) -> Option<&Planned> {
        self.nodes.iter().find(|node| node.named && node.path == path)
    }
}

impl Graph {
    /// What main takes, in order: inputs, weights and states by their places in the graph's lists, and plain values
    /// where the graph is one of [`Graph::of_op`].
    pub fn given(&self) -> impl Iterator<Item = Place> {
        let (mut weights, mut states) = (0, 0);
        let next = |count: &mut usize| {
            *count += 1;
            *count - 1
        };
        self.main().params.iter().enumerate().map(move |(i, param)| match param {
            Param::Input(input) => Place::Input(*input),
            Param::Weight(_) => Place::Weight(next(&mut weights)),
            Param::State(..) => Place::State(next(&mut states)),
            Param::Value => Place::Argument(i),
        })
    }
}
