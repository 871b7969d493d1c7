//! The same elements elsewhere, as bytes.

use graph::Literal;
use tensor::{DType, MAX_AXES};

use super::walk::{Strides, around, contiguous, repeated, walk};
use super::{View, ViewMut};

pub fn constant(literal: &Literal, out: &mut ViewMut<'_>) {
    match literal {
        Literal::Scalar(x) => out.slice::<f32>()[0] = *x,
        Literal::Int(x) => out.slice::<i32>()[0] = *x,
        Literal::Vector(v) => out.slice::<f32>().copy_from_slice(v),
    }
}

pub fn iota(axis: usize, out: &mut ViewMut<'_>) {
    let (len, (_, inner)) = (out.shape[axis], around(&out.shape, axis));
    let is_whole = out.dtype == DType::I32;
    for (i, out) in out.slice::<u32>().iter_mut().enumerate() {
        let count = (i / inner % len) as i32;
        *out = if is_whole { count as u32 } else { (count as f32).to_bits() };
    }
}

pub fn broadcast(x: View<'_>, out: &mut ViewMut<'_>) {
    pick(x, repeated(&x.shape, &out.shape), out);
}

pub fn transpose(x: View<'_>, order: &[u8], out: &mut ViewMut<'_>) {
    let own = contiguous(&x.shape);
    let mut strides = [0; MAX_AXES];
    strides.iter_mut().zip(order).for_each(|(stride, &axis)| *stride = own[usize::from(axis)]);
    pick(x, strides, out);
}

/// The elements that the shape of `out` names when `x` is walked by these strides.
fn pick(x: View<'_>, strides: Strides, out: &mut ViewMut<'_>) {
    let size = element_bytes(x.dtype);
    let mut to = out.data.chunks_exact_mut(size);
    walk(&out.shape, [strides], |[from]| {
        if let Some(to) = to.next() {
            to.copy_from_slice(&x.data[from * size..][..size]);
        }
    });
}

pub fn slice(x: View<'_>, axis: usize, start: usize, out: &mut ViewMut<'_>) {
    let (outer, inner) = around(&x.shape, axis);
    let row = element_bytes(x.dtype) * inner;
    let (from, to) = (x.shape[axis] * row, out.shape[axis] * row);
    for o in 0..outer {
        out.data[o * to..][..to].copy_from_slice(&x.data[o * from + start * row..][..to]);
    }
}

pub fn concat(parts: &[View<'_>], axis: usize, out: &mut ViewMut<'_>) {
    let (outer, inner) = around(&out.shape, axis);
    let row = element_bytes(out.dtype) * inner;
    let mut at = 0;
    for o in 0..outer {
        for part in parts {
            let len = part.shape[axis] * row;
            out.data[at..][..len].copy_from_slice(&part.data[o * len..][..len]);
            at += len;
        }
    }
}

/// Rows of the first axis, in whatever type they are: blocks never cross rows.
pub fn gather(table: View<'_>, ids: View<'_>, out: &mut ViewMut<'_>) {
    let rows = table.shape[0];
    let bytes = table.data.len() / rows.max(1);
    for (place, &id) in ids.slice::<i32>().iter().enumerate() {
        let row = usize::try_from(id).ok().filter(|&id| id < rows);
        let row = row.unwrap_or_else(|| panic!("id {id} is none of {rows} rows"));
        out.data[place * bytes..][..bytes].copy_from_slice(&table.data[row * bytes..][..bytes]);
    }
}

fn element_bytes(dtype: DType) -> usize {
    assert!(!dtype.is_block(), "{dtype} is moved in whole rows only");
    dtype.block_bytes()
}
