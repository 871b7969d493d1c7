//! Which cases there must be. The list is the pattern of one exhaustive match: an operation, or a kind of one, that is
//! new in the graph does not compile here until it is named, and then wants a case.

use graph::{Act, BinaryOp, CompareOp, Literal, Op, ReduceOp, UnaryOp};

macro_rules! kinds {
    ($($pattern:pat => $name:literal,)*) => {
        /// Every kind of operation that must have a case.
        pub const KINDS: &[&str] = &[$($name),*];

        /// The kind of an operation; `None` where it means nothing outside a function.
        pub fn kind(op: &Op) -> Option<&'static str> {
            match op {
                Op::Param(_) | Op::Call(_) => None,
                $($pattern => Some($name),)*
            }
        }
    };
}

kinds! {
    Op::Constant(Literal::Scalar(_)) => "constant scalar",
    Op::Constant(Literal::Int(_)) => "constant int",
    Op::Constant(Literal::Vector(_)) => "constant vector",
    Op::Cast(_) => "cast",
    Op::Iota { .. } => "iota",
    Op::Reshape(_) => "reshape",
    Op::Broadcast(_) => "broadcast",
    Op::Transpose(_) => "transpose",
    Op::Slice { .. } => "slice",
    Op::Concat { .. } => "concat",
    Op::Gather => "gather",
    Op::Unary(UnaryOp::Neg) => "neg",
    Op::Unary(UnaryOp::Exp) => "exp",
    Op::Unary(UnaryOp::Sqrt) => "sqrt",
    Op::Unary(UnaryOp::Sin) => "sin",
    Op::Unary(UnaryOp::Cos) => "cos",
    Op::Unary(UnaryOp::Tanh) => "tanh",
    Op::Unary(UnaryOp::Erf) => "erf",
    Op::Unary(UnaryOp::Sigmoid) => "sigmoid",
    Op::Binary(BinaryOp::Add) => "add",
    Op::Binary(BinaryOp::Sub) => "sub",
    Op::Binary(BinaryOp::Mul) => "mul",
    Op::Binary(BinaryOp::Div) => "div",
    Op::Binary(BinaryOp::Min) => "min",
    Op::Binary(BinaryOp::Max) => "max",
    Op::Compare(CompareOp::Equal) => "equal",
    Op::Compare(CompareOp::Less) => "less",
    Op::Compare(CompareOp::LessEqual) => "less_equal",
    Op::Select => "select",
    Op::Reduce(ReduceOp::Sum) => "sum",
    Op::Reduce(ReduceOp::Mean) => "mean",
    Op::Reduce(ReduceOp::Max) => "reduced max",
    Op::Matmul { transposed: false } => "matmul",
    Op::Matmul { transposed: true } => "matmul transposed",
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
    Op::GatedAct(Act::Silu) => "silu",
    Op::GatedAct(Act::Gelu) => "gelu",
    Op::GatedAct(Act::GeluTanh) => "gelu_tanh",
    Op::GatedAct(Act::Relu) => "relu",
    Op::GatedAct(Act::Clamped { .. }) => "clamped",
    Op::Attention { window: None, .. } => "attention",
    Op::Attention { window: Some(_), .. } => "attention in a window",
    Op::Route { .. } => "route",
    Op::ExpertFfn { biased: false, .. } => "expert_ffn",
    Op::ExpertFfn { biased: true, .. } => "expert_ffn with biases",
    Op::GatedLinear { biased: false, .. } => "gated_linear",
    Op::GatedLinear { biased: true, .. } => "gated_linear with biases",
    Op::LinearAdd { biased: false } => "linear_add",
    Op::LinearAdd { biased: true } => "linear_add with a bias",
    Op::NormRope { .. } => "norm_rope",
}
