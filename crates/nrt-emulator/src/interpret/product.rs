//! Products of arrays, summed in f32.

use std::borrow::Cow;

use hlo::{Dot, Shape};

use super::blocks::transpose;
use super::numbers::{floats, of_floats, of_whole, whole};
use super::value::Value;

/// Elements of a result's row that are summed at a time: they stay in the nearest cache.
const STRIP: usize = 1024;

pub fn dot(a: &Value, b: &Value, dims: &Dot, shape: Shape) -> Value {
    let left = Order::of(a, &dims.lhs_batch, &dims.lhs_contracting);
    let right = Order::of(b, &dims.rhs_batch, &dims.rhs_contracting);
    let (batch, sum, rows, columns) = (left.batch, left.sum, left.rest, right.rest);
    if !a.shape.element.is_float() {
        let (a, b) = (whole(&left.summed_last(a)), whole(&right.summed_last(b)));
        return of_whole(shape, &products(&a, &b, [batch, rows, columns, sum]));
    }
    let left = left.summed_last(a);
    let a = floats(&left);
    let mut out = vec![0.0; batch * rows * columns];
    let parts = out.chunks_exact_mut((rows * columns).max(1)).zip(a.chunks_exact((rows * sum).max(1)));
    // The right side is taken as it lies, be it row by row or column by column: weights are not moved about.
    let (b, across) = match right.summed_first(b) {
        Some(b) => (b, true),
        None => (right.summed_last(b), false),
    };
    let b = floats(&b);
    for ((out, a), b) in parts.zip(b.chunks_exact((columns * sum).max(1))) {
        match across {
            true => along_rows(out, a, b, columns, sum),
            false => along_columns(out, a, b, columns, sum),
        }
    }
    of_floats(shape, &out)
}

/// `out[m, n] = sum over k of a[m, k] b[k, n]`, a strip of a row of b at a time.
fn along_rows(out: &mut [f32], a: &[f32], b: &[f32], columns: usize, sum: usize) {
    for start in (0..columns).step_by(STRIP) {
        let end = columns.min(start + STRIP);
        for (k, b) in b.chunks_exact(columns).enumerate() {
            let b = &b[start..end];
            for (out, a) in out.chunks_exact_mut(columns).zip(a.chunks_exact(sum)) {
                let factor = a[k];
                out[start..end].iter_mut().zip(b).for_each(|(out, b)| *out += factor * b);
            }
        }
    }
}

/// `out[m, n] = sum over k of a[m, k] b[n, k]`, in eight sums that do not wait for each other.
fn along_columns(out: &mut [f32], a: &[f32], b: &[f32], columns: usize, sum: usize) {
    for (n, b) in b.chunks_exact(sum.max(1)).enumerate() {
        for (out, a) in out.chunks_exact_mut(columns).zip(a.chunks_exact(sum.max(1))) {
            let (mut sums, (a_runs, b_runs)) = ([0.0f32; 8], (a.chunks_exact(8), b.chunks_exact(8)));
            let rest: f32 = a_runs.remainder().iter().zip(b_runs.remainder()).map(|(a, b)| a * b).sum();
            for (a, b) in a_runs.zip(b_runs) {
                sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
            }
            out[n] = sums.iter().sum::<f32>() + rest;
        }
    }
}

fn products(a: &[i64], b: &[i64], [batch, rows, columns, sum]: [usize; 4]) -> Vec<i64> {
    let mut out = Vec::with_capacity(batch * rows * columns);
    for place in 0..batch * rows * columns {
        let (row, column) = (place / columns, place / (rows * columns) * columns + place % columns);
        let (a, b) = (&a[row * sum..][..sum], &b[column * sum..][..sum]);
        out.push(a.iter().zip(b).map(|(a, b)| a * b).sum());
    }
    out
}

/// An operand's axes: those of the batch, the rest, and those that are summed over, with the length of each kind.
struct Order {
    batch_axes: Vec<usize>,
    rest_axes: Vec<usize>,
    sum_axes: Vec<usize>,
    batch: usize,
    rest: usize,
    sum: usize,
}

impl Order {
    fn of(x: &Value, batch: &[usize], sum: &[usize]) -> Order {
        let dims = &x.shape.dims;
        let rest: Vec<_> =
            (0..dims.len()).filter(|axis| !batch.contains(axis) && !sum.contains(axis)).collect();
        let length = |axes: &[usize]| axes.iter().map(|&axis| dims[axis]).product();
        Order {
            batch: length(batch),
            rest: length(&rest),
            sum: length(sum),
            batch_axes: batch.to_vec(),
            rest_axes: rest,
            sum_axes: sum.to_vec(),
        }
    }

    /// The operand with the axes that are summed over last.
    fn summed_last<'a>(&self, x: &'a Value) -> Cow<'a, Value> {
        ordered(x, &[&self.batch_axes[..], &self.rest_axes, &self.sum_axes].concat())
    }

    /// The operand with the axes that are summed over before the rest, where it lies so.
    fn summed_first<'a>(&self, x: &'a Value) -> Option<Cow<'a, Value>> {
        let order = [&self.batch_axes[..], &self.sum_axes, &self.rest_axes].concat();
        (order.is_sorted() && self.rest > 1).then_some(Cow::Borrowed(x))
    }
}

fn ordered<'a>(x: &'a Value, order: &[usize]) -> Cow<'a, Value> {
    if order.is_sorted() { Cow::Borrowed(x) } else { Cow::Owned(transpose(x, order)) }
}
