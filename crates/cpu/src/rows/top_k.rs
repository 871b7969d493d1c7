//! The largest of a row, and the softmax over them.

use simd::Isa;

use super::softmax_in_place;

/// The `k` largest of each row of this width, the largest first and the smaller column first among equals. Numbers are
/// in their total order, but that the zeros are equal.
///
/// # Panics
/// Where `x` is not as many whole rows as `values` and `columns` have rows of `k`, or `k` is not in `1..=width`.
pub fn top_k(k: usize, x: &[f32], width: usize, values: &mut [f32], columns: &mut [i32]) {
    assert!((1..=width).contains(&k), "{k} of {width} cannot be chosen");
    assert!(x.len().is_multiple_of(width), "{} values are no rows of {width}", x.len());
    let chosen = x.len() / width * k;
    assert!(values.len() == chosen && columns.len() == chosen, "{k} are chosen of each row");
    let places = values.chunks_exact_mut(k).zip(columns.chunks_exact_mut(k));
    for (row, (values, columns)) in x.chunks_exact(width).zip(places) {
        top_k_row(row, values, columns);
    }
}

/// Top-k, and softmax over the chosen.
///
/// # Panics
/// As [`top_k`].
pub fn route(isa: Isa, k: usize, scores: &[f32], width: usize, weights: &mut [f32], experts: &mut [i32]) {
    top_k(k, scores, width, weights, experts);
    softmax_in_place(isa, weights, k);
}

/// The first values in order, then each of the others into its place, if it has one.
fn top_k_row(row: &[f32], values: &mut [f32], columns: &mut [i32]) {
    let k = values.len();
    for (column, &value) in (0..).zip(row) {
        let filled = k.min(column as usize);
        if filled == k && rank(value) <= rank(values[k - 1]) {
            continue;
        }
        let place = values[..filled].partition_point(|&other| rank(other) >= rank(value));
        let end = k.min(filled + 1);
        values[place..end].rotate_right(1);
        columns[place..end].rotate_right(1);
        (values[place], columns[place]) = (value, column);
    }
}

/// Whole numbers in the total order of floats, with one zero.
fn rank(x: f32) -> i32 {
    let bits = (x + 0.0).to_bits() as i32;
    // Negative floats are ordered by magnitude the other way round.
    bits ^ ((bits >> 31) as u32 >> 1) as i32
}
