//! Each core operation as one arm over candle tensors.

use candle_core::{D, Device, Result, Tensor, bail};
use graph::{BinaryOp, CompareOp, Literal, Op, ReduceOp, UnaryOp};
use tensor::DType;

use crate::array::{Array, stored};
use crate::decode::dequantize;
use crate::{ops_layout, ops_state};

/// The results of a core operation whose shapes are bound.
pub(crate) fn apply(op: &Op, args: &[Array]) -> Result<Vec<Array>> {
    let result = match op {
        Op::Constant(literal) => constant(literal),
        Op::Cast(to) => cast(take::<1>(args)?, *to),
        Op::Iota { .. }
        | Op::Reshape(_)
        | Op::Broadcast(_)
        | Op::Transpose(_)
        | Op::Slice { .. }
        | Op::Concat { .. }
        | Op::Gather => ops_layout::apply(op, args),
        Op::Unary(op) => unary(*op, take(args)?),
        Op::Binary(op) => binary(*op, take(args)?),
        Op::Compare(op) => compare(*op, take(args)?),
        Op::Select => select(take(args)?),
        Op::Reduce(op) => reduce(*op, take(args)?),
        Op::Matmul { transposed } => matmul(*transposed, take(args)?),
        Op::Dequantize => dequantize(&take::<1>(args)?[0]),
        Op::Softmax => softmax(take(args)?),
        Op::TopK(k) => return top_k(*k as usize, take(args)?),
        Op::StateRead => ops_state::read(take(args)?),
        Op::StateWrite => ops_state::write(take(args)?),
        // Of one rank: graphs of several are refused when they are loaded.
        Op::AllReduce { .. } | Op::AllGather { .. } => Ok(take::<1>(args)?[0].clone()),
        _ => bail!("`{op}` is no core operation"),
    };
    Ok(vec![result?])
}

/// The arguments, as many as the operation has.
pub(crate) fn take<const N: usize>(args: &[Array]) -> Result<&[Array; N]> {
    args.try_into().map_err(|_| candle_core::Error::Msg(format!("{} arguments where {N} belong", args.len())))
}

fn constant(literal: &Literal) -> Result<Array> {
    match literal {
        Literal::Scalar(x) => Array::new(DType::F32, Tensor::new(*x, &Device::Cpu)?),
        Literal::Int(x) => Array::new(DType::I32, Tensor::new(*x, &Device::Cpu)?),
        Literal::Vector(v) => Array::new(DType::F32, Tensor::new(&v[..], &Device::Cpu)?),
    }
}

fn cast([x]: &[Array; 1], to: DType) -> Result<Array> {
    match to {
        DType::Bool => Array::new(to, x.tensor.ne(&x.tensor.zeros_like()?)?),
        _ => Array::new(to, x.tensor.to_dtype(stored(to))?),
    }
}

fn unary(op: UnaryOp, [x]: &[Array; 1]) -> Result<Array> {
    let t = &x.tensor;
    let result = match op {
        UnaryOp::Neg if x.dtype == DType::I32 => {
            // Candle negates floats only.
            let wide = widen(t)?;
            narrow(&wide.zeros_like()?.sub(&wide)?)?
        }
        UnaryOp::Neg => t.neg()?,
        UnaryOp::Exp => t.exp()?,
        UnaryOp::Sqrt => t.sqrt()?,
        UnaryOp::Sin => t.sin()?,
        UnaryOp::Cos => t.cos()?,
        UnaryOp::Tanh => t.tanh()?,
        UnaryOp::Erf => t.erf()?,
        UnaryOp::Sigmoid => candle_nn::ops::sigmoid(t)?,
    };
    Array::new(x.dtype, result)
}

fn binary(op: BinaryOp, [a, b]: &[Array; 2]) -> Result<Array> {
    let whole = a.dtype == DType::I32;
    let result = if whole {
        let (a, b) = (widen(&a.tensor)?, widen(&b.tensor)?);
        match op {
            // Exact: quotients of two i32 lie too far from the whole numbers beside them for f64 to confuse them.
            BinaryOp::Div => {
                let double = candle_core::DType::F64;
                narrow(&a.to_dtype(double)?.broadcast_div(&b.to_dtype(double)?)?.floor()?)?
            }
            _ => narrow(&combine(op, &a, &b)?)?,
        }
    } else {
        combine(op, &a.tensor, &b.tensor)?
    };
    Array::new(a.dtype, result)
}

fn combine(op: BinaryOp, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    match op {
        BinaryOp::Add => a.broadcast_add(b),
        BinaryOp::Sub => a.broadcast_sub(b),
        BinaryOp::Mul => a.broadcast_mul(b),
        BinaryOp::Div => a.broadcast_div(b),
        BinaryOp::Min => a.broadcast_minimum(b),
        BinaryOp::Max => a.broadcast_maximum(b),
    }
}

/// i32 as i64: candle's own i32 arithmetic panics where it overflows.
fn widen(x: &Tensor) -> Result<Tensor> {
    x.to_dtype(candle_core::DType::I64)
}

fn narrow(x: &Tensor) -> Result<Tensor> {
    x.to_dtype(candle_core::DType::I32)
}

fn compare(op: CompareOp, [a, b]: &[Array; 2]) -> Result<Array> {
    let (a, b) = (&a.tensor, &b.tensor);
    let result = match op {
        CompareOp::Equal => a.broadcast_eq(b)?,
        CompareOp::Less => a.broadcast_lt(b)?,
        CompareOp::LessEqual => a.broadcast_le(b)?,
    };
    Array::new(DType::Bool, result)
}

fn select([which, a, b]: &[Array; 3]) -> Result<Array> {
    let shape = a.tensor.shape().broadcast_shape_binary_op(b.tensor.shape(), "select")?;
    let shape = which.tensor.shape().broadcast_shape_binary_op(&shape, "select")?;
    let of = |x: &Array| x.tensor.broadcast_as(&shape);
    Array::new(a.dtype, of(which)?.where_cond(&of(a)?, &of(b)?)?)
}

fn reduce(op: ReduceOp, [x]: &[Array; 1]) -> Result<Array> {
    let result = match op {
        ReduceOp::Sum => x.tensor.sum_keepdim(D::Minus1)?,
        ReduceOp::Mean => x.tensor.mean_keepdim(D::Minus1)?,
        ReduceOp::Max => x.tensor.max_keepdim(D::Minus1)?,
    };
    Array::new(x.dtype, result)
}

/// Candle multiplies up to two outer axes; ours are folded into one, or into the rows where `b` has none.
fn matmul(transposed: bool, [a, b]: &[Array; 2]) -> Result<Array> {
    let (a, b) = (&a.tensor, &b.tensor);
    let (&[ref outer @ .., m, n], &[.., x, y]) = (a.dims(), b.dims()) else {
        bail!("{:?} and {:?} are no matrices", a.dims(), b.dims())
    };
    let outer_len = outer.iter().product::<usize>();
    let (a, b) = match b.rank() {
        2 => (a.reshape((outer_len * m, n))?, b.clone()),
        _ => (a.reshape((outer_len, m, n))?, b.reshape((outer_len, x, y))?),
    };
    let (b, columns) = if transposed { (b.t()?, x) } else { (b, y) };
    Array::new(DType::F32, a.matmul(&b)?.reshape([outer, &[m, columns]].concat())?)
}

fn softmax([x]: &[Array; 1]) -> Result<Array> {
    Array::new(x.dtype, candle_nn::ops::softmax_last_dim(&x.tensor)?)
}

/// On the host: candle's own sort may panic on NaN, which no order of floats but the total one takes.
fn top_k(k: usize, [x]: &[Array; 1]) -> Result<Vec<Array>> {
    let shape = x.shape();
    if !(1..=shape.row_len()).contains(&k) {
        bail!("the {k} largest of {} do not exist", shape.row_len())
    }
    let (mut values, mut ids) = (vec![], vec![]);
    for row in x.to_f32s()?.chunks(shape.row_len()) {
        let mut order = (0i32..).zip(row.iter().copied()).collect::<Vec<_>>();
        // Stable, so that among equals the smaller index stays first; -0 and 0 are equal.
        order.sort_by(|(_, a), (_, b)| (b + 0.0).total_cmp(&(a + 0.0)));
        ids.extend(order[..k].iter().map(|(id, _)| *id));
        values.extend(order[..k].iter().map(|(_, value)| *value));
    }
    let mut axes = shape.to_vec();
    axes.pop();
    axes.push(k);
    let values = Array::new(DType::F32, Tensor::from_vec(values, &axes[..], &Device::Cpu)?)?;
    Ok(vec![values, Array::from_i32s(&axes, ids)?])
}
