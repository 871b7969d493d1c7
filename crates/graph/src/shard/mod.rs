//! Tensor parallelism: the graph of one rank of several, by what the model declares of its weights and states.
//!
//! Every rank runs the same graph on its part of the weights and states. Products whose outputs are divided need
//! nothing; where a product sums over a divided axis, ranks sum what each of them made; a table gives every rank some
//! columns of the rows that are looked up and some rows of the logits, which are then put together.
//!
//! What does not divide is filled up with zeros as far as whole blocks need it (2880 inputs in blocks of 32 are 23 blocks
//! for each of four ranks, the last of which has 21 and two of zeros), but for heads: they are whole or it is an error.
//! Experts are divided each in itself: a step touches few of them, and they would not be evenly spread.

mod part;
mod rules;

use std::collections::HashMap;
use std::panic::Location;

use tensor::{Shape, WeightInfo};

use self::rules::{Layout, Rule, Then, rule};
use crate::{Dim, Dims, Func, FuncBuilder, Graph, Node, Op, Param, StateSpec, Ty, ValueId, WeightSpec};

pub use part::{Part, Shard};

/// Most ranks that compute together: an instance has at most 64 chips with a few cores each.
pub const RANKS_MAX: u32 = 1024;

/// Why a graph cannot be divided.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// No such number of ranks: the operator should name another.
    #[error("{ranks} ranks cannot compute together; ask for 1 to {RANKS_MAX}")]
    Ranks {
        /// What was asked for.
        ranks: u32,
    },
    /// Heads are not divided in themselves: the operator should name another number of ranks.
    #[error("{heads} heads of `{name}` do not divide among {ranks} ranks; --tp {fits} would do")]
    Heads {
        /// The weight or state.
        name: String,
        /// Its heads.
        heads: u32,
        /// Ranks asked for.
        ranks: u32,
        /// The largest number of ranks below that the heads divide among.
        fits: u32,
    },
    /// A part would end within a block of quantized values.
    #[error(
        "a part of `{name}` would be {part} elements, which is no whole number of blocks of {block}; load it in another type (--quantize bf16) or ask for fewer ranks"
    )]
    Blocks {
        /// The weight.
        name: String,
        /// Elements of a part.
        part: u32,
        /// Elements of a block.
        block: u32,
    },
    /// The model's description divides what an operation needs whole.
    #[error("{at}: {op} {reason}")]
    Op {
        /// The line that applies it.
        at: &'static Location<'static>,
        /// The operation.
        op: String,
        /// What it wants.
        reason: String,
    },
}

/// A slice of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    axis: u8,
    /// Elements of a slice.
    len: u32,
    /// Elements of the whole.
    whole: u32,
    /// Ranks with the same slice.
    copies: u32,
    /// Slices times copies.
    ranks: u32,
}

impl Cut {
    /// Whether the slices are the same, along whatever axis.
    fn same(&self, other: &Cut) -> bool {
        Cut { axis: 0, ..*self } == Cut { axis: 0, ..*other }
    }

    fn ranks(&self) -> u32 {
        self.ranks
    }

    fn part(&self) -> Part {
        Part::Slice { axis: self.axis, whole: self.whole, copies: self.copies }
    }

    fn ty(&self, ty: &Ty) -> Ty {
        let mut axes = ty.dims.to_vec();
        axes[usize::from(self.axis)] = Dim::Fixed(self.len);
        Ty { dtype: ty.dtype, dims: Dims::new(&axes) }
    }
}

/// The graph of one rank of so many: all of them run the same, on their own parts.
pub fn shard(graph: &Graph, ranks: u32) -> Result<Graph, ShardError> {
    if !(1..=RANKS_MAX).contains(&ranks) {
        return Err(ShardError::Ranks { ranks });
    }
    if ranks == 1 {
        return Ok(graph.clone());
    }
    let mut sharder = Sharder { graph, ranks, units: units(graph), done: vec![] };
    let (mut funcs, mut cuts) = (vec![], vec![]);
    for func in &graph.funcs {
        let divided = sharder.func(func)?;
        funcs.push(divided.func);
        sharder.done.push(divided.known);
        cuts.push(divided.cuts);
    }
    let main = graph.main.index();
    let (weights, states) = specs(graph, &funcs[main], &cuts[main]);
    Ok(Graph { funcs, weights, states, ranks, ..graph.clone() })
}

/// How many elements stay together where an axis of this length is cut evenly: the largest block that any weight has
/// along one.
fn units(graph: &Graph) -> HashMap<u32, u32> {
    let mut units = HashMap::new();
    for func in &graph.funcs {
        for (shard, ty) in func.shards.iter().zip(func.param_types()) {
            if let (Shard::Even(axis), Some(n)) = (shard, ty.dims.last().and_then(|dim| dim.number()))
                && usize::from(*axis) == ty.dims.len() - 1
            {
                let unit = units.entry(n).or_insert(1);
                *unit = (*unit).max(ty.dtype.block_len() as u32);
            }
        }
    }
    units
}

/// What main takes, from what it took before.
fn specs(graph: &Graph, main: &Func, layouts: &[Layout]) -> (Vec<WeightSpec>, Vec<StateSpec>) {
    let (mut weights, mut states) = (vec![], vec![]);
    for (param, layout) in main.params.iter().zip(layouts) {
        let part = match layout {
            Layout::Split(cut) => cut.part(),
            Layout::Once => Part::First,
            Layout::Whole | Layout::Table => Part::Whole,
        };
        match param {
            Param::Weight(name) => {
                let found = graph.weights.iter().find(|weight| weight.name == *name);
                let WeightInfo { dtype, shape } = found.expect("main's weights are the graph's").info;
                let mut axes = shape.to_vec();
                if let Layout::Split(cut) = layout {
                    axes[usize::from(cut.axis)] = cut.len as usize;
                }
                let info = WeightInfo { dtype, shape: Shape::new(&axes) };
                weights.push(WeightSpec { name: name.clone(), info, part });
            }
            Param::State(..) => {
                let state = graph.states[states.len()].clone();
                states.push(match *layout {
                    // A pool is `[pool, S, slot..]`.
                    Layout::Split(cut) => {
                        let cut = Cut { axis: cut.axis - 2, ..cut };
                        let slot = cut.ty(&Ty { dtype: state.dtype, dims: state.slot }).dims;
                        StateSpec { slot, part: cut.part(), ..state }
                    }
                    _ => state,
                });
            }
            Param::Value | Param::Input(_) => {}
        }
    }
    (weights, states)
}

struct Sharder<'a> {
    graph: &'a Graph,
    ranks: u32,
    units: HashMap<u32, u32>,
    /// What is known of the functions done so far.
    done: Vec<Known>,
}

/// How what a function takes and gives is divided.
struct Known {
    params: Vec<Layout>,
    results: Vec<Layout>,
}

/// A function of one rank.
struct Divided {
    func: Func,
    known: Known,
    /// Of each of its parameters.
    cuts: Vec<Layout>,
}

/// A function being written.
struct Writing<'a> {
    f: FuncBuilder<'a>,
    /// How each parameter is divided.
    cuts: Vec<Layout>,
    /// Of each value of the whole, the rank's value and how it is divided.
    values: Vec<(ValueId, Layout)>,
    /// Uses of tables, by parameter and axis.
    tables: HashMap<(u32, u8), ValueId>,
}

impl Sharder<'_> {
    fn func(&self, func: &Func) -> Result<Divided, ShardError> {
        let mut writing = Writing {
            f: FuncBuilder::new(&func.name, self.graph.page_len, None),
            cuts: vec![],
            values: Vec::with_capacity(func.types.len()),
            tables: HashMap::new(),
        };
        let mut params = vec![Layout::Whole; func.params.len()];
        for (first, node) in func.nodes_with_ids() {
            match node.op {
                Op::Param(place) => {
                    params[place as usize] = self.param(&mut writing, func, place, func.ty(first))?;
                }
                _ => self.node(&mut writing, func, first, node)?,
            }
        }
        let of = |value: &ValueId| writing.values[value.index()];
        let results = func.results.iter().map(|value| of(value).1).collect();
        writing.f.func.results = func.results.iter().map(|value| of(value).0).collect();
        Ok(Divided { func: writing.f.func, known: Known { params, results }, cuts: writing.cuts })
    }

    /// A parameter as its declaration divides it. Tables wait for who uses them.
    fn param(&self, w: &mut Writing<'_>, func: &Func, place: u32, ty: &Ty) -> Result<Layout, ShardError> {
        let param = &func.params[place as usize];
        let layout = self.declared(param, func.shards[place as usize], ty)?;
        let value = match layout {
            // Nobody asks for the value of a table: it is found by its parameter.
            Layout::Table => ValueId(place),
            Layout::Split(cut) => w.param(param.clone(), cut.ty(ty), layout),
            Layout::Whole | Layout::Once => w.param(param.clone(), *ty, layout),
        };
        w.values.push((value, layout));
        Ok(layout)
    }

    fn declared(&self, param: &Param, shard: Shard, ty: &Ty) -> Result<Layout, ShardError> {
        let (name, slot) = match param {
            Param::Weight(name) => (name, 0),
            Param::State(name, _) => (name, 2),
            Param::Value | Param::Input(_) => return Ok(Layout::Whole),
        };
        let (axis, width) = match shard {
            Shard::Whole => return Ok(Layout::Whole),
            Shard::Once => return Ok(Layout::Once),
            Shard::Vocabulary => return Ok(Layout::Table),
            Shard::Even(axis) => (axis, None),
            Shard::Heads { axis, width } | Shard::KvHeads { axis, width } => (axis + slot, Some(width)),
        };
        let whole = ty.dims.get(usize::from(axis)).and_then(|dim| dim.number()).unwrap_or(0);
        let Some(width) = width else {
            let unit = self.units.get(&whole).copied().unwrap_or(1);
            return Ok(Layout::Split(self.even(axis, whole, unit)));
        };
        let (heads, ranks) = (whole / width.max(1), self.ranks);
        let copies = match shard {
            Shard::KvHeads { .. } if heads > 0 && ranks.is_multiple_of(heads) => ranks / heads,
            _ if heads > 0 && heads.is_multiple_of(ranks) => 1,
            _ => {
                let fits = (1..ranks).rev().find(|&fewer| heads.is_multiple_of(fewer)).unwrap_or(1);
                return Err(ShardError::Heads { name: name.clone(), heads, ranks, fits });
            }
        };
        let len = heads * copies / ranks * width;
        let block = ty.dtype.block_len() as u32;
        if usize::from(axis) == ty.dims.len() - 1 && !len.is_multiple_of(block) {
            return Err(ShardError::Blocks { name: name.clone(), part: len, block });
        }
        Ok(Layout::Split(Cut { axis, len, whole, copies, ranks }))
    }

    /// Slices of whole units, as even as can be.
    fn even(&self, axis: u8, whole: u32, unit: u32) -> Cut {
        let len = whole.div_ceil(unit).div_ceil(self.ranks) * unit;
        Cut { axis, len, whole, copies: 1, ranks: self.ranks }
    }

    fn node(&self, w: &mut Writing<'_>, func: &Func, first: ValueId, node: &Node) -> Result<(), ShardError> {
        let fail = |reason: String| ShardError::Op { at: node.at, op: node.op.to_string(), reason };
        let types = func.tys(&node.args);
        let (mut args, mut of_table) = (vec![], false);
        for (value, ty) in node.args.iter().zip(&types) {
            let (value, layout) = w.values[value.index()];
            args.push(match layout {
                Layout::Table => {
                    of_table = true;
                    let param = (&func.params[value.index()], value.0);
                    let reason = "uses a table other than to look up rows or to make logits";
                    self.table(w, param, ty, &node.op).ok_or_else(|| fail(reason.to_owned()))?
                }
                layout => (value, layout),
            });
        }
        let (values, layouts): (Vec<_>, Vec<_>) = args.into_iter().unzip();
        if let Op::Call(callee) = node.op {
            let known = &self.done[callee.index()];
            if known.params != layouts {
                return Err(fail("is given what is divided in another way than it takes".to_owned()));
            }
            let types = known.results.iter().zip(func.result_types(first, node));
            let types = types.map(|(layout, ty)| on_rank(layout, ty)).collect::<Vec<_>>();
            let results = w.f.push(Node { args: values, ..node.clone() }, &types);
            w.named(node, results[0], known.results[0]);
            w.values.extend(results.into_iter().zip(known.results.iter().copied()));
            return Ok(());
        }
        let Rule { op, layout, then } = rule(&node.op, &layouts, &types).map_err(&fail)?;
        let mut results = w.apply(node, op, &values).map_err(&fail)?;
        let layout = match (then, layout) {
            (Then::Reduce, _) => {
                results = w.apply(node, Op::AllReduce { ranks: self.ranks }, &results).map_err(&fail)?;
                Layout::Whole
            }
            // What a table gave is put together at once.
            (_, Layout::Split(cut)) if of_table => {
                let gather = Op::AllGather { axis: cut.axis, ranks: self.ranks };
                results = w.apply(node, gather, &results).map_err(&fail)?;
                if cut.len * self.ranks > cut.whole {
                    let slice = Op::Slice { axis: cut.axis, start: 0, len: cut.whole };
                    results = w.apply(node, slice, &results).map_err(&fail)?;
                }
                Layout::Whole
            }
            (Then::Keep, layout) => layout,
        };
        // Whoever asks for a value by its name gets it whole, or is told which part it is.
        if let Some(name) = &node.name {
            w.f.name(results[0], name);
        }
        w.named(node, results[0], layout);
        w.values.extend(results.into_iter().map(|value| (value, layout)));
        Ok(())
    }

    /// The part of a table that an operation wants: columns to look up rows, rows to make logits.
    fn table(
        &self,
        w: &mut Writing<'_>,
        (param, place): (&Param, u32),
        ty: &Ty,
        op: &Op,
    ) -> Option<(ValueId, Layout)> {
        let (axis, unit) = match op {
            Op::Embed => (1, ty.dtype.block_len() as u32),
            Op::Linear => (0, 1),
            _ => return None,
        };
        let cut = self.even(axis, ty.dims[usize::from(axis)].number()?, unit);
        let layout = Layout::Split(cut);
        let known = w.tables.get(&(place, axis)).copied();
        let value = known.unwrap_or_else(|| w.param(param.clone(), cut.ty(ty), layout));
        w.tables.insert((place, axis), value);
        Some((value, layout))
    }
}

impl Writing<'_> {
    fn param(&mut self, param: Param, ty: Ty, layout: Layout) -> ValueId {
        self.cuts.push(layout);
        self.f.add_param(param, ty, Shard::Whole)
    }

    /// Notes how a value is divided that may be asked for by its name.
    fn named(&mut self, node: &Node, value: ValueId, layout: Layout) {
        if let (Some(_), Layout::Split(cut)) = (&node.name, layout) {
            self.f.func.parts.push((value, cut.part()));
        }
    }

    /// An operation where a node of the whole stands.
    fn apply(&mut self, node: &Node, op: Op, args: &[ValueId]) -> Result<Vec<ValueId>, String> {
        let types = op.infer(&self.f.func.tys(args)).map_err(|error| error.to_string())?;
        let results = types.len() as u32;
        Ok(self.f.push(Node { op, args: args.to_vec(), results, at: node.at, name: None }, &types))
    }
}

/// The type that a value of the whole has on one rank.
fn on_rank(layout: &Layout, ty: &Ty) -> Ty {
    match layout {
        Layout::Split(cut) => cut.ty(ty),
        _ => *ty,
    }
}
