//! Along the innermost axis.

use graph::ReduceOp;
use tensor::blocks;

use super::{View, ViewMut};

pub fn reduce(op: ReduceOp, x: View<'_>, out: &mut ViewMut<'_>) {
    let width = x.shape.row_len();
    let sum = |row: &[f32]| row.iter().copied().map(f64::from).sum::<f64>();
    for (row, out) in rows(x).zip(out.slice::<f32>()) {
        *out = match op {
            ReduceOp::Sum => sum(row) as f32,
            ReduceOp::Mean => (sum(row) / width as f64) as f32,
            ReduceOp::Max => largest(row),
        };
    }
}

pub fn softmax(x: View<'_>, out: &mut ViewMut<'_>) {
    let width = x.shape.row_len().max(1);
    for (row, out) in rows(x).zip(out.slice::<f32>().chunks_exact_mut(width)) {
        let largest = largest(row);
        let mut sum = 0.0;
        for (out, x) in out.iter_mut().zip(row) {
            *out = (x - largest).exp();
            sum += f64::from(*out);
        }
        out.iter_mut().for_each(|out| *out = (f64::from(*out) / sum) as f32);
    }
}

pub fn top_k(k: usize, x: View<'_>, values: &mut ViewMut<'_>, places: &mut ViewMut<'_>) {
    crate::rows::top_k(k, x.slice(), x.shape.row_len(), values.slice(), places.slice());
}

/// Blocks or dense floats as f32.
pub fn dequantize(x: View<'_>, out: &mut ViewMut<'_>) {
    blocks::decode(x.dtype, x.data, out.slice());
}

fn rows<'a>(x: View<'a>) -> impl Iterator<Item = &'a [f32]> {
    x.slice::<f32>().chunks_exact(x.shape.row_len().max(1))
}

fn largest(row: &[f32]) -> f32 {
    row.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}
