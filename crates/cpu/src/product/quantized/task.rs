//! What a kernel is asked for.

use std::ops::Range;

use crate::activation::Int8;
use crate::packed::View;
use crate::product::Output;

/// Some strips of a weight by all rows of some activations.
#[derive(Clone)]
pub struct Task<'a> {
    pub weight: View<'a>,
    pub x: Int8<'a>,
    pub strips: Range<usize>,
    pub out: Output,
}

impl Task<'_> {
    /// What kernels rely on.
    pub fn check(&self) {
        let (layout, x) = (&self.weight.layout, &self.x);
        assert_eq!(self.weight.bytes.len(), layout.bytes(), "a weight has the bytes of its layout");
        assert!(self.strips.end <= layout.strips(), "strips that there are");
        assert!(x.first + x.rows <= x.stride, "rows that there are");
        assert_eq!(x.groups.len(), layout.groups() * x.stride, "activations have the weight's columns");
    }

    /// The same for some of the rows.
    pub fn rows(&self, rows: Range<usize>) -> Self {
        let start = self.out.start.wrapping_add(rows.start * self.out.stride);
        Task { x: self.x.rows(rows), out: Output { start, ..self.out }, ..self.clone() }
    }
}
