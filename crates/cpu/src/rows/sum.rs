//! Sums, element by element: residuals and biases.

use simd::{Isa, Simd};

#[cfg(test)]
use super::lanes::rows;
use super::lanes::{Zip, zip, zip_in_place};

/// `out = a + b`.
///
/// # Panics
/// Where the lengths differ.
pub fn add(isa: Isa, a: &[f32], b: &[f32], out: &mut [f32]) {
    zip(isa, Sum, a, b, out);
}

/// `y += x`, as a residual is added.
///
/// # Panics
/// Where the lengths differ.
pub fn add_in_place(isa: Isa, y: &mut [f32], x: &[f32]) {
    zip_in_place(isa, Sum, y, x);
}

#[cfg(test)]
/// `y += bias`, row by row.
///
/// # Panics
/// Where `y` is not whole rows as long as the bias.
pub fn add_bias_in_place(isa: Isa, y: &mut [f32], bias: &[f32]) {
    rows(y.len(), bias.len());
    for row in y.chunks_exact_mut(bias.len().max(1)) {
        zip_in_place(isa, Sum, row, bias);
    }
}

#[derive(Clone, Copy)]
struct Sum;

impl Zip for Sum {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, a: S::F, b: S::F) -> S::F {
        s.add(a, b)
    }
}
