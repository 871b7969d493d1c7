//! The closed list of operations. Adding one makes the compiler name every place that must learn it.

use std::fmt;

use tensor::DType;

use crate::{Dims, FuncId};

/// One operation. Arguments and results are values; what is fixed when the graph is built stands here.
///
/// Axis letters: `T` tokens, `B` sequences, `R` rows, `P` pages, `S` slots per page, `H` query heads, `K` kv heads,
/// `D` head width, `E` model width, `F` feed-forward width, `V` vocabulary, `X` experts, `k` chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    // ---- structure
    /// A parameter of the function, by its place in the list.
    Param(u32),
    /// Calls a function: its parameters are the arguments, its results the results.
    Call(FuncId),
    /// A small table known when the graph is built.
    Constant(Literal),

    // ---- core: every backend has these
    /// The same values in another dense type.
    Cast(DType),
    /// `0, 1, 2, ...` along `axis`, repeated along the others.
    Iota {
        /// Type of the counts: i32 or f32.
        dtype: DType,
        /// Shape of the result.
        dims: Dims,
        /// The axis that counts.
        axis: u8,
    },
    /// The same elements under another shape.
    Reshape(Dims),
    /// Axes of size one, or missing in front, repeated to this shape.
    Broadcast(Dims),
    /// Axes in another order: axis `i` of the result is axis `order[i]` of the argument.
    Transpose(Vec<u8>),
    /// `len` elements from `start` on along `axis`.
    Slice {
        /// The axis that is cut.
        axis: u8,
        /// First element kept.
        start: u32,
        /// Elements kept.
        len: u32,
    },
    /// The arguments one behind another along `axis`.
    Concat {
        /// The axis that grows.
        axis: u8,
    },
    /// `(table: [N, ..], ids: i32[I..]) -> [I.., ..]`: rows of the first axis, in any type, blocks too.
    Gather,
    /// One argument, element by element.
    Unary(UnaryOp),
    /// Two arguments, element by element, axes of size one (or missing in front) repeated.
    Binary(BinaryOp),
    /// As `Binary`, giving bool.
    Compare(CompareOp),
    /// `(bool, a, b)`: `a` where true, else `b`; axes repeated as in `Binary`.
    Select,
    /// The innermost axis reduced to one element, which stays as an axis of size one.
    Reduce(ReduceOp),
    /// `a: [.., M, N] x b: [.., N, O]`, or `b: [.., O, N]` where `transposed`; `b` may lack the outer axes.
    Matmul {
        /// Whether `b` holds its columns as rows, as weights do.
        transposed: bool,
    },
    /// Blocks or dense floats as f32.
    Dequantize,
    /// Softmax over the innermost axis.
    Softmax,
    /// `[.., N] -> (values: [.., k], ids: i32[.., k])`, largest first, the smaller index first among equals.
    TopK(u32),
    /// `(state: [pool, S, ..], table: i32[B, P]) -> f32[B, P*S, ..]`: the pages of each sequence, in table order.
    StateRead,
    /// `(state, slots: i32[T], values: f32[T, ..]) -> state`: row `t` goes to slot `slots[t]` (page * S + place).
    StateWrite,
    /// `f32[..] -> f32[..]`: what every rank made, summed; every rank gets the sum. Of one rank it is what it made.
    AllReduce {
        /// How many ranks there are.
        ranks: u32,
    },
    /// `f32[.., N, ..] -> f32[.., ranks * N, ..]`: what every rank made, rank after rank along `axis`; every rank gets
    /// all of it.
    AllGather {
        /// The axis that grows.
        axis: u8,
        /// How many ranks there are.
        ranks: u32,
    },

    // ---- composite: each has an expansion into the above
    /// `(tokens: i32[T], table: [V, E]) -> f32[T, E]`.
    Embed,
    /// `(x: f32[.., E], w: [F, E], bias: [F]?) -> f32[.., F]`: `x w^T + bias`.
    Linear,
    /// `(x: f32[.., E], w: [E]) -> x / sqrt(mean(x^2) + eps) * w`.
    RmsNorm {
        /// Keeps the root away from zero.
        eps: f32,
    },
    /// `(x: f32[T, H, D], positions: i32[T], frequencies: f32[n]) -> f32[T, H, D]`: the first `2n` elements of each
    /// head turned, element `i` with element `i + n`, by `position * frequency[i]`; the rest as it is.
    Rope {
        /// Multiplies cosine and sine (YaRN's attention factor).
        scale: f32,
    },
    /// `(gate: f32[.., F], up: f32[.., F]) -> f32[.., F]`.
    GatedAct(Act),
    /// `(q: f32[T, H, D], k: state, v: state, positions: i32[T], sequences: i32[T], table: i32[B, P], base: i32[B],
    /// sinks: [H]?) -> f32[T, H, D]`. Token `t` of sequence `b = sequences[t]` attends to the positions `j` with
    /// `j <= positions[t]` and, with a window, `j > positions[t] - window`. Position `j` lies in page
    /// `table[b, j / S - base[b]]`. A sink adds `exp(sink)` to the sum under each head's softmax.
    Attention {
        /// Multiplies the scores before the softmax.
        scale: f32,
        /// Positions visible to a token, itself included; all where `None`.
        window: Option<u32>,
    },
    /// `(scores: f32[T, X]) -> (weights: f32[T, k], experts: i32[T, k])`: softmax over the `k` largest scores.
    Route {
        /// Experts chosen per token.
        k: u32,
    },
    /// `(x: f32[T, E], weights: f32[T, k], experts: i32[T, k], gate: [X, F, E], up: [X, F, E], down: [X, E, F]` and,
    /// where `biased`, `gate: [X, F], up: [X, F], down: [X, E]) -> f32[T, E]`: the weighted sum of the chosen experts.
    ExpertFfn {
        /// The gated activation between.
        act: Act,
        /// Whether three biases follow the weights.
        biased: bool,
    },

    // ---- fused: composites that `fuse` makes of the ones above
    /// `(x: f32[.., E], gate: [F, E], up: [F, E]` and, where `biased`, `gate: [F], up: [F]) -> f32[.., F]`:
    /// `act(x gate^T + bias, x up^T + bias)`, so `x` is read once and neither product is written.
    GatedLinear {
        /// The gated activation.
        act: Act,
        /// Whether two biases follow the weights.
        biased: bool,
    },
    /// `(x: f32[.., E], w: [F, E]`, where `biased` `bias: [F]`, `a: f32[.., F]) -> f32[.., F]`:
    /// `a + (x w^T + bias)`, so the product is never written.
    LinearAdd {
        /// Whether a bias stands between the weight and what is added.
        biased: bool,
    },
    /// `(x: f32[T, H, D], w: [D], positions: i32[T], frequencies: f32[n]) -> f32[T, H, D]`: each head normed by
    /// `rms_norm` and then turned by `rope`.
    NormRope {
        /// Keeps the norm's root away from zero.
        eps: f32,
        /// Multiplies cosine and sine.
        scale: f32,
    },
}

/// Element by element, one argument.
#[allow(missing_docs, reason = "the names say it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    Neg,
    Exp,
    Sqrt,
    Sin,
    Cos,
    Tanh,
    Erf,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
}

/// Element by element, two arguments.
#[allow(missing_docs, reason = "the names say it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    /// For i32: towards negative infinity.
    Div,
    Min,
    Max,
}

/// Comparisons.
#[allow(missing_docs, reason = "the names say it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    Equal,
    Less,
    LessEqual,
}

/// Reductions.
#[allow(missing_docs, reason = "the names say it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceOp {
    Sum,
    Mean,
    Max,
}

/// Gated activations, of a gate `g` and a value `u`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    /// `g sigmoid(g) u`
    Silu,
    /// `g (1 + erf(g / sqrt 2)) / 2 u`
    Gelu,
    /// The tanh approximation of `Gelu`.
    GeluTanh,
    /// `max(g, 0) u`
    Relu,
    /// gpt-oss: with `g` at most `limit` and `u` within `±limit`, `g sigmoid(alpha g) (u + 1)`.
    Clamped {
        /// Steepness of the sigmoid.
        alpha: f32,
        /// Where gate and value are cut.
        limit: f32,
    },
}

/// A small dense tensor that is part of the graph.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// One number, without axes.
    Scalar(f32),
    /// One whole number, without axes.
    Int(i32),
    /// One axis of numbers.
    Vector(Vec<f32>),
}

impl Literal {
    /// Whether two have the same bits: unlike for `==`, zero is not minus zero, and what is no number is itself.
    pub fn is_same(&self, other: &Literal) -> bool {
        match (self, other) {
            (Literal::Scalar(a), Literal::Scalar(b)) => a.to_bits() == b.to_bits(),
            (Literal::Int(a), Literal::Int(b)) => a == b,
            (Literal::Vector(a), Literal::Vector(b)) => {
                a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits()))
            }
            _ => false,
        }
    }
}

impl Op {
    /// Whether the operation has an expansion.
    pub fn is_composite(&self) -> bool {
        matches!(
            self,
            Op::Embed
                | Op::Linear
                | Op::RmsNorm { .. }
                | Op::Rope { .. }
                | Op::GatedAct(_)
                | Op::Attention { .. }
                | Op::Route { .. }
                | Op::ExpertFfn { .. }
                | Op::GatedLinear { .. }
                | Op::LinearAdd { .. }
                | Op::NormRope { .. }
        )
    }

    /// The operation's word, without its attributes.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Param(_) => "param",
            Op::Call(_) => "call",
            Op::Constant(_) => "constant",
            Op::Cast(_) => "cast",
            Op::Iota { .. } => "iota",
            Op::Reshape(_) => "reshape",
            Op::Broadcast(_) => "broadcast",
            Op::Transpose(_) => "transpose",
            Op::Slice { .. } => "slice",
            Op::Concat { .. } => "concat",
            Op::Gather => "gather",
            Op::Unary(_) => "unary",
            Op::Binary(_) => "binary",
            Op::Compare(_) => "compare",
            Op::Select => "select",
            Op::Reduce(_) => "reduce",
            Op::Matmul { .. } => "matmul",
            Op::Dequantize => "dequantize",
            Op::Softmax => "softmax",
            Op::TopK(_) => "top_k",
            Op::StateRead => "state_read",
            Op::StateWrite => "state_write",
            Op::AllReduce { .. } => "all_reduce",
            Op::AllGather { .. } => "all_gather",
            Op::Embed => "embed",
            Op::Linear => "linear",
            Op::RmsNorm { .. } => "rms_norm",
            Op::Rope { .. } => "rope",
            Op::GatedAct(_) => "gated_act",
            Op::Attention { .. } => "attention",
            Op::Route { .. } => "route",
            Op::ExpertFfn { .. } => "expert_ffn",
            Op::GatedLinear { .. } => "gated_linear",
            Op::LinearAdd { .. } => "linear_add",
            Op::NormRope { .. } => "norm_rope",
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Param(i) => write!(f, "param {i}"),
            Op::Call(func) => write!(f, "call f{}", func.0),
            Op::Constant(Literal::Scalar(x)) => write!(f, "constant {x:?}"),
            Op::Constant(Literal::Int(x)) => write!(f, "constant {x}"),
            Op::Constant(Literal::Vector(v)) => match v[..] {
                [first, .., last] => write!(f, "constant {first:?} .. {last:?}"),
                _ => write!(f, "constant {v:?}"),
            },
            Op::Cast(dtype) => write!(f, "cast {dtype}"),
            Op::Iota { axis, .. } => write!(f, "iota axis {axis}"),
            Op::Reshape(dims) => write!(f, "reshape {dims}"),
            Op::Broadcast(dims) => write!(f, "broadcast {dims}"),
            Op::Transpose(order) => write!(f, "transpose {order:?}"),
            Op::Slice { axis, start, len } => write!(f, "slice axis {axis} from {start} len {len}"),
            Op::Concat { axis } => write!(f, "concat axis {axis}"),
            Op::Unary(op) => write!(f, "{}", format!("{op:?}").to_lowercase()),
            Op::Binary(op) => write!(f, "{}", format!("{op:?}").to_lowercase()),
            Op::Compare(CompareOp::LessEqual) => write!(f, "less_equal"),
            Op::Compare(op) => write!(f, "{}", format!("{op:?}").to_lowercase()),
            Op::Reduce(op) => write!(f, "reduce {}", format!("{op:?}").to_lowercase()),
            Op::Matmul { transposed: true } => write!(f, "matmul transposed"),
            Op::TopK(k) => write!(f, "top_k {k}"),
            Op::AllReduce { ranks } => write!(f, "all_reduce of {ranks}"),
            Op::AllGather { axis, ranks } => write!(f, "all_gather axis {axis} of {ranks}"),
            Op::RmsNorm { eps } => write!(f, "rms_norm eps {eps:?}"),
            Op::Rope { scale } if *scale != 1.0 => write!(f, "rope scale {scale:?}"),
            Op::GatedAct(act) => write!(f, "gated_act {act}"),
            Op::Attention { scale, window } => {
                write!(f, "attention scale {scale:?}")?;
                window.map_or(Ok(()), |w| write!(f, " window {w}"))
            }
            Op::Route { k } => write!(f, "route {k}"),
            Op::ExpertFfn { act, .. } => write!(f, "expert_ffn {act}"),
            Op::GatedLinear { act, .. } => write!(f, "gated_linear {act}"),
            Op::NormRope { eps, scale } if *scale != 1.0 => {
                write!(f, "norm_rope eps {eps:?} scale {scale:?}")
            }
            Op::NormRope { eps, .. } => write!(f, "norm_rope eps {eps:?}"),
            _ => write!(f, "{}", self.name()),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Silu => write!(f, "silu"),
            Act::Gelu => write!(f, "gelu"),
            Act::GeluTanh => write!(f, "gelu_tanh"),
            Act::Relu => write!(f, "relu"),
            Act::Clamped { alpha, limit } => write!(f, "clamped alpha {alpha:?} limit {limit:?}"),
        }
    }
}
