//! The graph itself: functions of nodes, and what they stand on (weights, states, inputs).

use std::panic::Location;

use tensor::{DType, WeightInfo};

use crate::{BackendError, Bucket, BuildError, Dims, FuncBuilder, Op, Part, Shard, Ty};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub struct $name(pub u32);

        impl $name {
            /// The id as an index.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id! {
    /// A function of a graph.
    FuncId
}
id! {
    /// A value within one function: the results of its nodes in order.
    ValueId
}
id! {
    /// A group of states that share page tables.
    GroupId
}

/// One step of a model, symbolic in the variables of [`crate::Var`].
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// What the model is called where a report names it.
    pub name: String,
    /// Every distinct function; layers that are alike share one.
    pub funcs: Vec<Func>,
    /// The function that is the step. Its parameters are inputs, weights and states; its results are the logits
    /// `[R, V]` and then the states, in the order of `states`.
    pub main: FuncId,
    /// Weights in the order `main` takes them.
    pub weights: Vec<WeightSpec>,
    /// States in the order `main` takes and gives them.
    pub states: Vec<StateSpec>,
    /// Groups of states.
    pub groups: Vec<Group>,
    /// Slots per page, in every group: `S`.
    pub page_len: u32,
    /// Vocabulary: `V`.
    pub vocab: u32,
    /// How many ranks run it together, each on its part of weights and states; one, unless [`crate::shard`] made it.
    pub ranks: u32,
}

impl Graph {
    /// The function of an id.
    pub fn func(&self, id: FuncId) -> &Func {
        &self.funcs[id.index()]
    }

    /// The function that is the step.
    pub fn main(&self) -> &Func {
        self.func(self.main)
    }

    /// A graph of one operation on arguments of these types: how single operations are evaluated and compared.
    pub fn of_op(op: &Op, args: &[Ty], page_len: u32) -> Result<Graph, BuildError> {
        let mut f = FuncBuilder::new("main", page_len, None);
        let params = args.iter().map(|&ty| f.param(ty)).collect::<Vec<_>>();
        let results = f.ops(op.clone(), &params);
        let (func, error) = f.finish(results);
        let graph = Graph {
            name: op.name().to_owned(),
            funcs: vec![func],
            main: FuncId(0),
            weights: vec![],
            states: vec![],
            groups: vec![],
            page_len,
            vocab: 0,
            ranks: match op {
                Op::AllReduce { ranks } | Op::AllGather { ranks, .. } => *ranks,
                _ => 1,
            },
        };
        error.map_or(Ok(graph), Err)
    }

    /// Refuses a graph of several ranks, for a device that computes alone.
    pub fn check_alone(&self, device: &'static str) -> Result<(), BackendError> {
        if self.ranks == 1 {
            return Ok(());
        }
        let (what, reason) = (format!("a graph of {} ranks", self.ranks), "it computes alone".to_owned());
        Err(BackendError::Unsupported { device, what, reason })
    }

    /// Every name by which a value can be probed, in the order the values are made.
    pub fn names(&self) -> Vec<String> {
        let mut names = vec![];
        self.collect_names(self.main(), "", &mut names);
        names
    }

    /// The operation that makes a named value.
    pub fn op_of(&self, name: &str) -> Option<&Op> {
        self.named(name).map(|(_, _, node)| &node.op)
    }

    /// The type of a named value.
    pub fn ty_of(&self, name: &str) -> Option<&Ty> {
        self.named(name).map(|(func, value, _)| func.ty(value))
    }

    /// What part of the whole one rank has of a named value.
    pub fn part_of(&self, name: &str) -> Part {
        let part = self.named(name).and_then(|(func, value, _)| {
            func.parts.iter().find(|(divided, _)| *divided == value).map(|(_, part)| *part)
        });
        part.unwrap_or_default()
    }

    /// Its layers, each of which has one attention.
    pub fn layers(&self) -> u32 {
        let mut layers = 0;
        self.walk(&mut |_, op, _, _| layers += u32::from(matches!(op, Op::Attention { .. })));
        layers
    }

    /// Its layers whose tokens choose among experts.
    pub fn mixtures(&self) -> u32 {
        let mut mixtures = 0;
        self.walk(&mut |_, op, _, _| mixtures += u32::from(matches!(op, Op::ExpertFfn { .. })));
        mixtures
    }

    /// Every operation with its path, its argument types and its result types, calls followed into their functions.
    pub fn walk(&self, visit: &mut Visit<'_>) {
        self.walk_func(self.main(), "", visit);
    }

    fn walk_func(&self, func: &Func, path: &str, visit: &mut Visit<'_>) {
        for (first, node) in func.nodes_with_ids() {
            let here = below(path, node.name.as_deref());
            match &node.op {
                Op::Param(_) => {}
                Op::Call(callee) => self.walk_func(self.func(*callee), &here, visit),
                op => visit(&here, op, &func.tys(&node.args), func.result_types(first, node)),
            }
        }
    }

    fn named(&self, name: &str) -> Option<(&Func, ValueId, &Node)> {
        let mut func = self.main();
        let mut rest = name;
        loop {
            let found = func.nodes_with_ids().find(|(_, node)| node.name.as_deref() == Some(rest));
            if let Some((value, node)) = found {
                return Some((func, value, node));
            }
            // A call's name may hold dots itself, so the longest that fits is taken.
            let calls = func.nodes.iter().filter_map(|node| match (&node.op, &node.name) {
                (Op::Call(callee), Some(call)) => {
                    Some((*callee, rest.strip_prefix(call.as_str())?.strip_prefix('.')?))
                }
                _ => None,
            });
            let (callee, below) = calls.min_by_key(|(_, below)| below.len())?;
            (func, rest) = (self.func(callee), below);
        }
    }

    fn collect_names(&self, func: &Func, path: &str, names: &mut Vec<String>) {
        for node in &func.nodes {
            let here = node.name.as_ref().map(|name| format!("{path}{name}"));
            if let Op::Call(callee) = node.op {
                let below = here.as_ref().map_or(path.to_owned(), |here| format!("{here}."));
                self.collect_names(self.func(callee), &below, names);
            }
            names.extend(here);
        }
    }

    /// Bytes of all weights.
    pub fn weight_bytes(&self) -> u64 {
        self.weights.iter().filter_map(|w| w.info.bytes()).map(|bytes| bytes as u64).sum()
    }

    /// An estimate of the bytes that a step's values take at once: the largest, what it is made of, and what is made
    /// of it.
    pub fn value_bytes(&self, bucket: &Bucket) -> u64 {
        let made = |func: &Func| {
            let nodes = func.nodes_with_ids().filter(|(_, node)| !matches!(node.op, Op::Param(_)));
            nodes.map(|(value, _)| func.ty(value).bind(bucket).bytes()).max().unwrap_or(0)
        };
        4 * self.funcs.iter().map(made).max().unwrap_or(0)
    }

    /// Bytes that one page of a group takes over all states of the group.
    pub fn page_bytes(&self, group: GroupId) -> u64 {
        let of_state = |s: &StateSpec| Ty { dtype: s.dtype, dims: s.slot }.bytes() * u64::from(self.page_len);
        self.states.iter().filter(|s| s.group == group).map(of_state).sum()
    }

    /// Bytes of so many pages of each group; as many as there can be where they cannot be counted.
    pub fn pages_bytes(&self, pages: &[u32]) -> u64 {
        let of_group =
            |(group, &pages): (u32, &u32)| self.page_bytes(GroupId(group)).saturating_mul(pages.into());
        (0..).zip(pages).map(of_group).fold(0, u64::saturating_add)
    }
}

/// The path of a node below the calls that lead to it; theirs where it has no name.
pub(crate) fn below(path: &str, name: Option<&str>) -> String {
    match name {
        Some(name) if path.is_empty() => name.to_owned(),
        Some(name) => format!("{path}.{name}"),
        None => path.to_owned(),
    }
}

/// Called with an operation's path, itself, and the types of its arguments and results.
pub type Visit<'a> = dyn FnMut(&str, &Op, &[Ty], &[Ty]) + 'a;

/// A weight the graph reads.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightSpec {
    /// Its canonical name, `layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// Type and shape as found; of one rank, of its part.
    pub info: WeightInfo,
    /// What part of the weight it is.
    pub part: Part,
}

impl WeightSpec {
    /// Type and shape of the weight as it was found, whatever part of it this is.
    pub fn whole(&self) -> WeightInfo {
        let mut axes = self.info.shape.to_vec();
        if let Part::Slice { axis, whole, .. } = self.part {
            axes[usize::from(axis)] = whole as usize;
        }
        WeightInfo { dtype: self.info.dtype, shape: tensor::Shape::new(&axes) }
    }
}

/// A state that outlives the step: one slot per position (or per sequence), in pages.
#[derive(Clone, Debug, PartialEq)]
pub struct StateSpec {
    /// Its name, `layers.0.self_attn.k`.
    pub name: String,
    /// The group whose table and slots address it.
    pub group: GroupId,
    /// Type of the stored elements.
    pub dtype: DType,
    /// Shape of one slot, `[K, D]`; of one rank, of its part.
    pub slot: Dims,
    /// What part of the state it is.
    pub part: Part,
}

/// States that are addressed alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// Pages of `S` positions; with a window, pages wholly behind it may be dropped.
    Pages {
        /// Positions visible to a token, itself included.
        window: Option<u32>,
    },
}

/// What a step is given besides weights and states. All i32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// `[T]` token ids.
    Tokens,
    /// `[T]` position of each token in its sequence.
    Positions,
    /// `[T]` index of each token's sequence within the step.
    Sequences,
    /// `[R]` which tokens of the step want logits.
    Rows,
    /// `[B, P]` pages of each sequence.
    Table(GroupId),
    /// `[B]` which page of the sequence the first column of the table is.
    Base(GroupId),
    /// `[T]` where each token's state goes: page * S + place.
    Slots(GroupId),
}

/// A function: parameters, nodes in order, results.
#[derive(Clone, Debug, PartialEq)]
pub struct Func {
    /// A name for people.
    pub name: String,
    /// What it takes; `Op::Param` nodes make values of it.
    pub params: Vec<Param>,
    /// How each parameter is divided where several ranks compute together; what is no weight or state is not.
    pub shards: Vec<Shard>,
    /// What it does, each node after the nodes it reads.
    pub nodes: Vec<Node>,
    /// What it gives.
    pub results: Vec<ValueId>,
    /// The type of every value.
    pub types: Vec<Ty>,
    /// What part of the whole one rank has of values with names, where they are divided.
    pub parts: Vec<(ValueId, Part)>,
}

impl Func {
    /// The type of a value.
    pub fn ty(&self, value: ValueId) -> &Ty {
        &self.types[value.index()]
    }

    /// The types of several values.
    pub fn tys(&self, values: &[ValueId]) -> Vec<Ty> {
        values.iter().map(|&v| *self.ty(v)).collect()
    }

    /// The types of the results of a node, whose first result this is.
    pub fn result_types(&self, first: ValueId, node: &Node) -> &[Ty] {
        &self.types[first.index()..first.index() + node.results as usize]
    }

    /// Each node with the id of its first result.
    pub fn nodes_with_ids(&self) -> impl Iterator<Item = (ValueId, &Node)> {
        let mut next = 0;
        self.nodes.iter().map(move |node| {
            let first = ValueId(next);
            next += node.results;
            (first, node)
        })
    }
}

/// A parameter of a function.
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    /// A value the caller computed.
    Value,
    /// An input of the step.
    Input(Input),
    /// A weight, named within the function.
    Weight(String),
    /// A state, named within the function.
    State(String, GroupId),
}

/// One operation applied.
#[derive(Clone, Debug)]
pub struct Node {
    /// What is done.
    pub op: Op,
    /// To which values.
    pub args: Vec<ValueId>,
    /// How many values it gives; they are numbered in order.
    pub results: u32,
    /// The line that made it.
    pub at: &'static Location<'static>,
    /// A name by which its first result can be probed.
    pub name: Option<String>,
}

/// Where a node was written does not change what it is.
impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        (&self.op, &self.args, self.results, &self.name)
            == (&other.op, &other.args, other.results, &other.name)
    }
}
