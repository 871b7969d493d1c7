//! The same elements elsewhere.

use graph::Literal;
use tensor::{Buffer, DType, Shape, Value};

use super::{strides, walk};

pub fn constant(literal: &Literal) -> Value {
    match literal {
        Literal::Scalar(x) => Value::f32s(Shape::default(), &[*x]),
        Literal::Int(x) => Value::i32s(Shape::default(), &[*x]),
        Literal::Vector(v) => Value::f32s(Shape::from([v.len()]), v),
    }
}

pub fn iota(dtype: DType, shape: &Shape, axis: usize) -> Value {
    let inner: usize = shape[axis + 1..].iter().product();
    let counts = (0..shape.iter().product::<usize>()).map(|i| i / inner % shape[axis]);
    match dtype {
        DType::I32 => Value::i32s(*shape, &counts.map(|n| n as i32).collect::<Vec<_>>()),
        _ => Value::f32s(*shape, &counts.map(|n| n as f32).collect::<Vec<_>>()),
    }
}

pub fn broadcast(x: &Value, shape: Shape) -> Value {
    picked(x, shape, &strides(&x.shape, &shape))
}

pub fn transpose(x: &Value, order: &[u8], shape: Shape) -> Value {
    let mut steps = vec![1; x.shape.len()];
    for axis in (1..x.shape.len()).rev() {
        steps[axis - 1] = steps[axis] * x.shape[axis];
    }
    let steps = order.iter().map(|&axis| steps[usize::from(axis)]).collect::<Vec<_>>();
    picked(x, shape, &steps)
}

pub fn slice(x: &Value, axis: usize, start: usize, shape: Shape) -> Value {
    let (outer, inner) = around(&x.shape, axis);
    let row = element_bytes(x.dtype) * inner;
    let bytes = x.data.as_slice::<u8>();
    let mut out = Vec::new();
    for o in 0..outer {
        let from = (o * x.shape[axis] + start) * row;
        out.extend_from_slice(&bytes[from..from + shape[axis] * row]);
    }
    Value::new(x.dtype, shape, &out)
}

pub fn concat(parts: &[&Value], axis: usize, shape: Shape) -> Value {
    let (outer, inner) = around(&shape, axis);
    let row = element_bytes(parts[0].dtype) * inner;
    let mut out = Vec::new();
    for o in 0..outer {
        for part in parts {
            let len = part.shape[axis] * row;
            out.extend_from_slice(&part.data.as_slice::<u8>()[o * len..(o + 1) * len]);
        }
    }
    Value::new(parts[0].dtype, shape, &out)
}

/// Rows of the first axis, in whatever type they are: blocks never cross rows.
pub fn gather(table: &Value, ids: &Value, shape: Shape) -> Value {
    let row = table.data.len() / table.shape[0];
    let bytes = table.data.as_slice::<u8>();
    let mut out = Vec::with_capacity(row * ids.as_i32s().len());
    for &id in ids.as_i32s() {
        let id = usize::try_from(id).expect("ids are checked before a step is launched");
        out.extend_from_slice(&bytes[id * row..(id + 1) * row]);
    }
    Value::new(table.dtype, shape, &out)
}

/// The elements of `x` that `shape` names when walked by `steps`.
fn picked(x: &Value, shape: Shape, steps: &[usize]) -> Value {
    let size = element_bytes(x.dtype);
    let bytes = x.data.as_slice::<u8>();
    let mut out = Vec::with_capacity(shape.elements().unwrap_or(0) * size);
    walk(&shape, steps, |offset| out.extend_from_slice(&bytes[offset * size..(offset + 1) * size]));
    Value { dtype: x.dtype, shape, data: Buffer::from_slice(&out) }
}

fn element_bytes(dtype: DType) -> usize {
    assert!(!dtype.is_block(), "blocks are moved in whole rows only");
    dtype.block_bytes()
}

/// Elements outside and inside an axis.
fn around(shape: &Shape, axis: usize) -> (usize, usize) {
    (shape[..axis].iter().product(), shape[axis + 1..].iter().product())
}
