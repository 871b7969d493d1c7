//! Products. Weights are decoded a row at a time; rows are shared among threads, each summed by one of them.

use rayon::prelude::*;
use tensor::{Shape, Value, blocks};

/// `a b`, or `a b^T` where `b` holds its columns as rows; `b` may lack the outer axes.
pub fn matmul(transposed: bool, a: &Value, b: &Value, shape: Shape) -> Value {
    let (m, n, o) = (a.shape[a.shape.len() - 2], a.shape.row_len(), shape.row_len());
    let (left, right) = (a.as_f32s(), b.as_f32s());
    let mut out = vec![0.0; shape.elements().unwrap_or(0)];
    for (place, out) in out.chunks_exact_mut((m * o).max(1)).enumerate() {
        let left = &left[place * m * n..(place + 1) * m * n];
        let right = if b.shape.len() == 2 { right } else { &right[place * n * o..(place + 1) * n * o] };
        let columns = if transposed { right.to_vec() } else { turned(right, n, o) };
        for (row, out) in left.chunks_exact(n).zip(out.chunks_exact_mut(o)) {
            out.iter_mut().zip(columns.chunks_exact(n)).for_each(|(out, column)| *out = dot(row, column));
        }
    }
    Value::f32s(shape, &out)
}

/// `x w^T + bias`.
pub fn linear(x: &Value, w: &Value, bias: Option<&Value>, shape: Shape) -> Value {
    let bias = bias.map(Value::to_f32);
    let columns = linear_columns(x.as_f32s(), w, 0, w.shape[0], bias.as_deref());
    Value::f32s(shape, &turned(&columns, w.shape[0], shape.rows().unwrap_or(0)))
}

/// For rows `first..first + count` of `w` (all axes but the innermost counted together), the products with every row
/// of `x`: `[count, rows of x]`.
pub fn linear_columns(x: &[f32], w: &Value, first: usize, count: usize, bias: Option<&[f32]>) -> Vec<f32> {
    let n = w.shape.row_len();
    let rows = x.len() / n;
    let row_bytes = w.dtype.bytes_of(n).expect("a weight's rows are whole blocks");
    let bytes = w.data.as_slice::<u8>();
    let mut out = vec![0.0; count * rows];
    out.par_chunks_mut(rows.max(1)).enumerate().for_each_init(
        || vec![0.0; n],
        |weights, (place, out)| {
            let at = (first + place) * row_bytes;
            blocks::decode(w.dtype, &bytes[at..at + row_bytes], weights);
            let bias = bias.map_or(0.0, |bias| bias[place]);
            out.iter_mut().zip(x.chunks_exact(n)).for_each(|(out, x)| *out = dot(x, weights) + bias);
        },
    );
    out
}

/// The sum of products, in sixteen partial sums so that it neither loses digits nor waits for each addition.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut sums = [0.0f32; 16];
    for (a, b) in a.iter().zip(b) {
        for i in 0..16 {
            sums[i] += a[i] * b[i];
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>();
    sums.iter().sum::<f32>() + rest
}

/// `[rows, columns]` as `[columns, rows]`.
pub fn turned(x: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    for r in 0..rows {
        for c in 0..columns {
            out[c * rows + r] = x[r * columns + c];
        }
    }
    out
}
