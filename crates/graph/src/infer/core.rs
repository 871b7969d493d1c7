//! Types of core operations.

use tensor::{DType, MAX_AXES};

use super::{Inferred, joined, one, take, want, with_last};
use crate::{Dim, Dims, Literal, Op, Ty, UnaryOp};

pub(super) fn infer(op: &Op, args: &[Ty]) -> Inferred {
    match op {
        Op::Constant(literal) => {
            let [] = take(args)?;
            match literal {
                Literal::Scalar(_) => one(DType::F32, [0u32; 0]),
                Literal::Int(_) => one(DType::I32, [0u32; 0]),
                Literal::Vector(v) => one(DType::F32, [v.len() as u32]),
            }
        }
        Op::Iota { dtype, dims, axis } => {
            let [] = take(args)?;
            want(matches!(dtype, DType::I32 | DType::F32), "counts in i32 or f32")?;
            want(usize::from(*axis) < dims.len(), "counts along an axis it has")?;
            one(*dtype, *dims)
        }
        Op::Cast(to) => {
            let [x] = take(args)?;
            want(!x.dtype.is_block() && !to.is_block(), "casts dense types; blocks are for dequantize")?;
            one(*to, x.dims)
        }
        Op::Reshape(_) | Op::Broadcast(_) | Op::Transpose(_) | Op::Slice { .. } | Op::Concat { .. } => {
            layout(op, args)
        }
        Op::Gather => {
            let [table, ids] = take(args)?;
            want(!table.dims.is_empty(), "takes rows of a table with at least one axis")?;
            want(ids.dtype == DType::I32, "takes i32 ids")?;
            let axes = [&ids.dims[..], &table.dims[1..]].concat();
            want(axes.len() <= MAX_AXES, "gives at most six axes")?;
            one(table.dtype, Dims::new(&axes))
        }
        Op::Unary(unary) => {
            let [x] = take(args)?;
            let whole = matches!(unary, UnaryOp::Neg) && x.dtype == DType::I32;
            want(whole || x.dtype == DType::F32, "takes f32")?;
            one(x.dtype, x.dims)
        }
        Op::Binary(_) | Op::Compare(_) => {
            let [a, b] = take(args)?;
            want(a.dtype == b.dtype, "takes two arguments of one type")?;
            want(matches!(a.dtype, DType::F32 | DType::I32), "takes f32 or i32")?;
            let dtype = if matches!(op, Op::Compare(_)) { DType::Bool } else { a.dtype };
            one(dtype, joined(&a.dims, &b.dims)?)
        }
        Op::Select => {
            let [which, a, b] = take(args)?;
            want(which.dtype == DType::Bool, "chooses by a bool")?;
            want(a.dtype == b.dtype, "chooses between two values of one type")?;
            one(a.dtype, joined(&which.dims, &joined(&a.dims, &b.dims)?)?)
        }
        Op::Reduce(_) | Op::Softmax | Op::TopK(_) => rows(op, args),
        Op::Matmul { transposed } => matmul(*transposed, args),
        Op::Dequantize => {
            let [x] = take(args)?;
            want(x.dtype.is_block() || x.dtype.is_float(), "takes blocks or floats")?;
            one(DType::F32, x.dims)
        }
        Op::StateRead => state_read(args),
        Op::StateWrite => state_write(args),
        Op::AllReduce { ranks } => {
            let [x] = take(args)?;
            want(x.dtype == DType::F32 && *ranks >= 1, "sums f32 of at least one rank")?;
            one(DType::F32, x.dims)
        }
        Op::AllGather { axis, ranks } => {
            let [x] = take(args)?;
            want(x.dtype == DType::F32 && *ranks >= 1, "joins f32 of at least one rank")?;
            let mut axes = x.dims.to_vec();
            let grown =
                axes.get_mut(usize::from(*axis)).ok_or("joins along an axis that the argument has")?;
            let len = grown.number().and_then(|n| n.checked_mul(*ranks));
            *grown =
                Dim::Fixed(len.ok_or("joins along an axis of known size, to one that 32 bits can count")?);
            one(DType::F32, Dims::new(&axes))
        }
        _ => Err("is not a core operation".to_owned()),
    }
}

fn layout(op: &Op, args: &[Ty]) -> Inferred {
    match op {
        Op::Reshape(dims) => {
            let [x] = take(args)?;
            want(same_elements(&x.dims, dims), "keeps the number of elements")?;
            one(x.dtype, *dims)
        }
        Op::Broadcast(dims) => {
            let [x] = take(args)?;
            want(joined(&x.dims, dims)? == *dims, "repeats axes of size one only")?;
            one(x.dtype, *dims)
        }
        Op::Transpose(order) => {
            let [x] = take(args)?;
            let mut sorted = order.clone();
            sorted.sort_unstable();
            let permutes = sorted.iter().copied().eq(0..x.dims.len() as u8);
            want(permutes, "names each axis once")?;
            let axes = order.iter().map(|&i| x.dims[usize::from(i)]).collect::<Vec<_>>();
            one(x.dtype, Dims::new(&axes))
        }
        Op::Slice { axis, start, len } => {
            let [x] = take(args)?;
            let of = x.dims.get(usize::from(*axis)).ok_or("cuts an axis that the argument has")?;
            let end = start.checked_add(*len);
            want(of.number().is_none_or(|n| end.is_some_and(|end| end <= n)), "stays within the axis")?;
            let mut axes = x.dims.to_vec();
            axes[usize::from(*axis)] = Dim::Fixed(*len);
            one(x.dtype, Dims::new(&axes))
        }
        Op::Concat { axis } => {
            let first = args.first().ok_or("takes at least one argument")?;
            let axis = usize::from(*axis);
            want(axis < first.dims.len(), "joins along an axis that the arguments have")?;
            let mut total = 0u32;
            for x in args {
                let alike = x.dtype == first.dtype
                    && x.dims.len() == first.dims.len()
                    && x.dims[..axis] == first.dims[..axis]
                    && x.dims[axis + 1..] == first.dims[axis + 1..];
                want(alike, "joins arguments that differ along one axis only")?;
                let len = x.dims[axis].number().ok_or("joins along axes of known size")?;
                total = total.checked_add(len).ok_or("joins to an axis that 32 bits can count")?;
            }
            let mut axes = first.dims.to_vec();
            axes[axis] = Dim::Fixed(total);
            one(first.dtype, Dims::new(&axes))
        }
        _ => Err("is not an operation on layout".to_owned()),
    }
}

fn rows(op: &Op, args: &[Ty]) -> Inferred {
    let [x] = take(args)?;
    want(x.dtype == DType::F32 && !x.dims.is_empty(), "takes f32 with at least one axis")?;
    match op {
        Op::Softmax => one(DType::F32, x.dims),
        Op::Reduce(_) => one(DType::F32, with_last(x.dims.outer(1), 1)),
        Op::TopK(k) => {
            let enough = x.dims.last().and_then(|n| n.number()).is_none_or(|n| *k >= 1 && *k <= n);
            want(enough, "chooses at least one and at most as many as there are")?;
            let dims = with_last(x.dims.outer(1), *k);
            Ok(vec![Ty::new(DType::F32, dims), Ty::new(DType::I32, dims)])
        }
        _ => Err("is not an operation on rows".to_owned()),
    }
}

fn matmul(transposed: bool, args: &[Ty]) -> Inferred {
    let [a, b] = take(args)?;
    want(a.dtype == DType::F32 && b.dtype == DType::F32, "takes f32")?;
    want(a.dims.len() >= 2 && b.dims.len() >= 2, "takes at least two axes each")?;
    let (outer, b_outer) = (a.dims.outer(2), b.dims.outer(2));
    want(b_outer.is_empty() || outer == b_outer, "takes equal outer axes, or none on the right")?;
    let [m, n] = [a.dims[outer.len()], a.dims[outer.len() + 1]];
    let [x, y] = [b.dims[b_outer.len()], b.dims[b_outer.len() + 1]];
    let (inner, o) = if transposed { (y, x) } else { (x, y) };
    want(inner == n, "contracts two axes of one size")?;
    one(DType::F32, Dims::new(&[outer, &[m, o]].concat()))
}

fn state_read(args: &[Ty]) -> Inferred {
    let [state, table] = take(args)?;
    want(table.dtype == DType::I32 && table.dims.len() == 2, "takes an i32 table [B, P]")?;
    want(state.dims.len() >= 3, "reads a state [pool, S, ..]")?;
    let slots =
        state.dims[1].number().and_then(|s| table.dims[1].times(s)).ok_or("reads pages of known size")?;
    one(DType::F32, Dims::new(&[&[table.dims[0], slots], &state.dims[2..]].concat()))
}

fn state_write(args: &[Ty]) -> Inferred {
    let [state, slots, values] = take(args)?;
    want(slots.dtype == DType::I32 && slots.dims.len() == 1, "takes i32 slots [T]")?;
    want(state.dims.len() >= 3, "writes to a state [pool, S, ..]")?;
    want(values.dtype == DType::F32, "writes f32")?;
    let same = values.dims.first() == slots.dims.first() && values.dims[1..] == state.dims[2..];
    want(same, "writes values [T, ..] shaped as the state's slots")?;
    Ok(vec![state])
}

/// Whether two shapes hold as many elements whatever their variables are: the numbers' products agree and the
/// variables are the same.
fn same_elements(a: &Dims, b: &Dims) -> bool {
    let parts = |dims: &Dims| {
        let (mut product, mut vars) = (1u64, Vec::new());
        for dim in dims.iter() {
            match *dim {
                Dim::Fixed(n) => product = product.saturating_mul(u64::from(n)),
                Dim::Times(var, n) => {
                    product = product.saturating_mul(u64::from(n));
                    vars.push(format!("{var:?}"));
                }
                other => vars.push(format!("{other:?}").replace("Var(", "").replace(')', "")),
            }
        }
        vars.sort();
        (product, vars)
    };
    parts(a) == parts(b)
}
