//! One-word forms of the operations that expansions and models use most.

use tensor::DType;

use crate::{BinaryOp, CompareOp, Dim, Dims, FuncBuilder, Literal, Op, ReduceOp, UnaryOp, ValueId};

#[allow(missing_docs, reason = "each is the operation of its name")]
impl FuncBuilder<'_> {
    #[track_caller]
    pub fn add(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.op(Op::Binary(BinaryOp::Add), &[a, b])
    }

    #[track_caller]
    pub fn sub(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.op(Op::Binary(BinaryOp::Sub), &[a, b])
    }

    #[track_caller]
    pub fn mul(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.op(Op::Binary(BinaryOp::Mul), &[a, b])
    }

    #[track_caller]
    pub fn div(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.op(Op::Binary(BinaryOp::Div), &[a, b])
    }

    #[track_caller]
    pub fn min(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.op(Op::Binary(BinaryOp::Min), &[a, b])
    }

    #[track_caller]
    pub fn max(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.op(Op::Binary(BinaryOp::Max), &[a, b])
    }

    #[track_caller]
    pub fn compare(&mut self, op: CompareOp, a: ValueId, b: ValueId) -> ValueId {
        self.op(Op::Compare(op), &[a, b])
    }

    #[track_caller]
    pub fn unary(&mut self, op: UnaryOp, x: ValueId) -> ValueId {
        self.op(Op::Unary(op), &[x])
    }

    #[track_caller]
    pub fn reduce(&mut self, op: ReduceOp, x: ValueId) -> ValueId {
        self.op(Op::Reduce(op), &[x])
    }

    #[track_caller]
    pub fn scalar(&mut self, x: f32) -> ValueId {
        self.op(Op::Constant(Literal::Scalar(x)), &[])
    }

    #[track_caller]
    pub fn int(&mut self, x: i32) -> ValueId {
        self.op(Op::Constant(Literal::Int(x)), &[])
    }

    #[track_caller]
    pub fn vector(&mut self, x: Vec<f32>) -> ValueId {
        self.op(Op::Constant(Literal::Vector(x)), &[])
    }

    #[track_caller]
    pub fn cast(&mut self, dtype: DType, x: ValueId) -> ValueId {
        self.op(Op::Cast(dtype), &[x])
    }

    #[track_caller]
    pub fn reshape(&mut self, x: ValueId, axes: &[Dim]) -> ValueId {
        self.op(Op::Reshape(Dims::new(axes)), &[x])
    }

    #[track_caller]
    pub fn broadcast(&mut self, x: ValueId, axes: &[Dim]) -> ValueId {
        self.op(Op::Broadcast(Dims::new(axes)), &[x])
    }

    #[track_caller]
    pub fn transpose(&mut self, x: ValueId, order: &[u8]) -> ValueId {
        self.op(Op::Transpose(order.to_vec()), &[x])
    }

    #[track_caller]
    pub fn slice(&mut self, x: ValueId, axis: u8, start: u32, len: u32) -> ValueId {
        self.op(Op::Slice { axis, start, len }, &[x])
    }

    #[track_caller]
    pub fn concat(&mut self, axis: u8, parts: &[ValueId]) -> ValueId {
        self.op(Op::Concat { axis }, parts)
    }

    #[track_caller]
    pub fn gather(&mut self, table: ValueId, ids: ValueId) -> ValueId {
        self.op(Op::Gather, &[table, ids])
    }

    #[track_caller]
    pub fn matmul(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.op(Op::Matmul { transposed: false }, &[a, b])
    }

    /// `a b^T` over the two innermost axes.
    #[track_caller]
    pub fn matmul_transposed(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.op(Op::Matmul { transposed: true }, &[a, b])
    }

    #[track_caller]
    pub fn dequantize(&mut self, x: ValueId) -> ValueId {
        self.op(Op::Dequantize, &[x])
    }

    #[track_caller]
    pub fn softmax(&mut self, x: ValueId) -> ValueId {
        self.op(Op::Softmax, &[x])
    }
}
