//! Products.

use super::{View, ViewMut};

/// `a b`, or `a b^T` where `b` holds its columns as rows; `b` may lack the outer axes. Products are summed in f64.
pub fn matmul(transposed: bool, a: View<'_>, b: View<'_>, out: &mut ViewMut<'_>) {
    let (m, n, o) = (a.shape[a.shape.len() - 2], a.shape.row_len(), out.shape.row_len());
    let (left, right) = (a.slice::<f32>(), b.slice::<f32>());
    // From one product to the next in a sum, and from one column to the next.
    let (step, column) = if transposed { (1, n) } else { (o, 1) };
    for (place, out) in out.slice::<f32>().chunks_exact_mut((m * o).max(1)).enumerate() {
        let left = &left[place * m * n..][..m * n];
        let right = if b.shape.len() == 2 { right } else { &right[place * n * o..][..n * o] };
        for (i, out) in out.iter_mut().enumerate() {
            let (row, from) = (&left[i / o * n..][..n], i % o * column);
            let products = (0..n).map(|k| f64::from(row[k]) * f64::from(right[from + k * step]));
            *out = products.sum::<f64>() as f32;
        }
    }
}
