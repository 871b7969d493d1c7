//! What a step costs before anyone runs it: operations and bytes, node by node, from the step's true counts.

use std::ops::{Add, AddAssign};

use tensor::DType;

use crate::{Dim, Func, Graph, GroupId, Op, StepCounts, Ty, Var};

/// Operations (multiplications and additions) and bytes moved.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Multiplications plus additions.
    pub operations: f64,
    /// Bytes of weights read.
    pub weight_bytes: f64,
    /// Bytes of state (keys and values) read and written.
    pub state_bytes: f64,
    /// Bytes of values read and written between operations.
    pub value_bytes: f64,
    /// Bytes that a rank sends to others, where several compute together.
    pub link_bytes: f64,
}

impl Work {
    /// All bytes together.
    pub fn bytes(&self) -> f64 {
        self.memory_bytes() + self.value_bytes
    }

    /// Bytes that come from memory or go there. Values between operations are made and read again soon, so that caches
    /// hold them.
    pub fn memory_bytes(&self) -> f64 {
        self.weight_bytes + self.state_bytes
    }
}

impl Add for Work {
    type Output = Work;

    fn add(self, other: Work) -> Work {
        Work {
            operations: self.operations + other.operations,
            weight_bytes: self.weight_bytes + other.weight_bytes,
            state_bytes: self.state_bytes + other.state_bytes,
            value_bytes: self.value_bytes + other.value_bytes,
            link_bytes: self.link_bytes + other.link_bytes,
        }
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Work) {
        *self = *self + other;
    }
}

impl Graph {
    /// The work of a step of these counts, from the graph as its model describes it.
    pub fn work(&self, counts: &StepCounts) -> Work {
        self.func_work(self.main(), counts)
    }

    fn func_work(&self, func: &Func, counts: &StepCounts) -> Work {
        let mut total = Work::default();
        for (first, node) in func.nodes_with_ids() {
            total += match &node.op {
                Op::Call(callee) => self.func_work(self.func(*callee), counts),
                op => op.work(&func.tys(&node.args), func.result_types(first, node), counts),
            };
        }
        total
    }
}

impl Op {
    /// The work of one application, priced from what the step really holds. Core operations count as one operation
    /// per element of their results, products as what they multiply.
    pub fn work(&self, args: &[Ty], results: &[Ty], counts: &StepCounts) -> Work {
        let size = |ty: &Ty| elements(ty, counts);
        let bytes = |ty: &Ty| bytes(ty, counts);
        let all = |tys: &[Ty]| tys.iter().map(bytes).sum::<f64>();
        let out = results.first().map_or(0.0, size);
        let values = |from: usize| all(&args[..from.min(args.len())]) + all(results);
        match self {
            Op::Param(_) | Op::Call(_) | Op::Constant(_) | Op::Reshape(_) => Work::default(),
            Op::Embed => {
                let row = bytes(&args[1]) / size(&args[1]).max(1.0) * out;
                Work { weight_bytes: row, value_bytes: values(1), ..Work::default() }
            }
            Op::Linear => Work {
                operations: 2.0 * out * axis(&args[1], 1, counts),
                weight_bytes: all(&args[1..]),
                value_bytes: values(1),
                ..Work::default()
            },
            Op::RmsNorm { .. } => Work {
                operations: 4.0 * out,
                weight_bytes: bytes(&args[1]),
                value_bytes: values(1),
                ..Work::default()
            },
            Op::Matmul { .. } => {
                let inner = args[0].dims.len() - 1;
                let operations = 2.0 * out * axis(&args[0], inner, counts);
                Work { operations, value_bytes: values(2), ..Work::default() }
            }
            Op::Attention { .. } => attention(args, counts, values(1)),
            Op::ExpertFfn { .. } => expert_ffn(args, counts, values(3)),
            Op::GatedLinear { .. } => Work {
                operations: (4.0 * axis(&args[1], 1, counts) + 6.0) * out,
                weight_bytes: all(&args[1..]),
                value_bytes: values(1),
                ..Work::default()
            },
            Op::LinearAdd { .. } => Work {
                operations: (2.0 * axis(&args[1], 1, counts) + 1.0) * out,
                weight_bytes: all(&args[1..args.len() - 1]),
                value_bytes: values(1) + all(&args[args.len() - 1..]),
                ..Work::default()
            },
            Op::NormRope { .. } => Work {
                operations: 10.0 * out,
                weight_bytes: bytes(&args[1]),
                value_bytes: values(1),
                ..Work::default()
            },
            Op::StateWrite => {
                let written = element_bytes(&args[0]) * size(&args[2]);
                Work { state_bytes: written, value_bytes: bytes(&args[2]), ..Work::default() }
            }
            Op::StateRead => Work {
                state_bytes: element_bytes(&args[0]) * out,
                value_bytes: all(results),
                ..Work::default()
            },
            // Round a ring, every part goes once to each of the others to be summed, and once more to be known.
            Op::AllReduce { ranks } => Work {
                operations: out * (1.0 - 1.0 / f64::from(*ranks)),
                link_bytes: 2.0 * all(results) * (1.0 - 1.0 / f64::from(*ranks)),
                value_bytes: values(1),
                ..Work::default()
            },
            Op::AllGather { ranks, .. } => Work {
                link_bytes: all(results) * (1.0 - 1.0 / f64::from(*ranks)),
                value_bytes: values(1),
                ..Work::default()
            },
            // Only the rows taken are read, whatever the table's size.
            Op::Gather => Work { value_bytes: 2.0 * all(results) + bytes(&args[1]), ..Work::default() },
            Op::Rope { .. } => Work { operations: 6.0 * out, value_bytes: values(1), ..Work::default() },
            Op::GatedAct(_) => Work { operations: 6.0 * out, value_bytes: values(2), ..Work::default() },
            _ => Work { operations: out, value_bytes: values(args.len()), ..Work::default() },
        }
    }

    /// The type of what activations are multiplied by: a weight's, or that of keys and values. What multiplies, and so
    /// how fast, depends on it.
    pub fn factor(&self, args: &[Ty]) -> Option<DType> {
        let place = match self {
            Op::Linear | Op::GatedLinear { .. } | Op::LinearAdd { .. } | Op::Attention { .. } => 1,
            Op::ExpertFfn { .. } => 3,
            _ => return None,
        };
        Some(args[place].dtype)
    }
}

/// Scores and sums over the positions really attended; keys and values of each sequence read once.
fn attention(args: &[Ty], counts: &StepCounts, value_bytes: f64) -> Work {
    let [q, k] = [&args[0], &args[1]];
    let (heads, width) = (axis(q, 1, counts), axis(q, 2, counts));
    let group = counts.group(pool_of(k));
    let per_position = element_bytes(k) * axis(k, 2, counts) * width * 2.0;
    Work {
        operations: 4.0 * group.attended as f64 * heads * width,
        state_bytes: group.positions as f64 * per_position,
        value_bytes,
        ..Work::default()
    }
}

/// Every token pays for its `k` experts, every touched expert is read once.
fn expert_ffn(args: &[Ty], counts: &StepCounts, value_bytes: f64) -> Work {
    let (tokens, chosen) = (axis(&args[0], 0, counts), axis(&args[1], 1, counts));
    let experts = axis(&args[3], 0, counts);
    let one_expert = args[3..].iter().map(|ty| bytes(ty, counts)).sum::<f64>() / experts;
    let products = args[3..6].iter().map(|ty| elements(ty, counts)).sum::<f64>() / experts;
    let touched = counts.experts_touched.map_or_else(
        || experts * (1.0 - (1.0 - chosen / experts).powf(tokens)),
        |touched| touched.min(experts),
    );
    Work {
        operations: 2.0 * tokens * chosen * products,
        weight_bytes: touched * one_expert,
        value_bytes,
        ..Work::default()
    }
}

fn number(dim: Dim, counts: &StepCounts) -> f64 {
    let of = |var| match var {
        Var::Tokens => counts.tokens,
        Var::Seqs => counts.seqs,
        Var::Queries => counts.tokens / counts.seqs.max(1),
        Var::Rows => counts.rows,
        // Tables are lists of page numbers: nothing beside the pages themselves.
        Var::Pages => 0,
    };
    match dim {
        Dim::Fixed(n) => f64::from(n),
        Dim::Var(var) => f64::from(of(var)),
        Dim::Times(var, n) => f64::from(of(var)) * f64::from(n),
        Dim::Pool(_) => 0.0,
    }
}

fn axis(ty: &Ty, axis: usize, counts: &StepCounts) -> f64 {
    number(ty.dims[axis], counts)
}

fn elements(ty: &Ty, counts: &StepCounts) -> f64 {
    ty.dims.iter().map(|&dim| number(dim, counts)).product()
}

fn element_bytes(ty: &Ty) -> f64 {
    ty.dtype.block_bytes() as f64 / ty.dtype.block_len() as f64
}

fn bytes(ty: &Ty, counts: &StepCounts) -> f64 {
    elements(ty, counts) * element_bytes(ty)
}

fn pool_of(state: &Ty) -> GroupId {
    match state.dims.first() {
        Some(Dim::Pool(group)) => *group,
        _ => GroupId(0),
    }
}
