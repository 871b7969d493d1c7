//! Concrete shapes of up to six axes, held inline.

use std::fmt;
use std::ops::Deref;

/// The most axes a tensor may have.
pub const MAX_AXES: usize = 6;

/// Lengths of the axes, outermost first. The innermost axis is contiguous.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Shape {
    len: u8,
    axes: [usize; MAX_AXES],
}

impl Shape {
    /// A shape of these axes.
    ///
    /// # Panics
    /// With more than six axes: the callers are the graph, which checks, and readers, which check before.
    pub fn new(axes: &[usize]) -> Self {
        assert!(axes.len() <= MAX_AXES, "a tensor has at most {MAX_AXES} axes, not {}", axes.len());
        let mut shape = Shape { len: axes.len() as u8, axes: [0; MAX_AXES] };
        shape.axes[..axes.len()].copy_from_slice(axes);
        shape
    }

    /// The number of elements, or `None` where it overflows.
    pub fn elements(&self) -> Option<usize> {
        self.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis))
    }

    /// The length of the innermost axis; 1 for a scalar.
    pub fn row_len(&self) -> usize {
        self.last().copied().unwrap_or(1)
    }

    /// The product of all axes but the innermost, or `None` where it overflows.
    pub fn rows(&self) -> Option<usize> {
        let outer = &self[..self.len().saturating_sub(1)];
        outer.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis))
    }
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.axes[..self.len as usize]
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(axes: [usize; N]) -> Self {
        Shape::new(&axes)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[")?;
        for (i, axis) in self.iter().enumerate() {
            write!(f, "{}{axis}", if i == 0 { "" } else { ", " })?;
        }
        write!(f, "]")
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let shape = Shape::from([2, 3, 4]);
        assert_eq!((shape.elements(), shape.rows(), shape.row_len()), (Some(24), Some(6), 4));
        assert_eq!(Shape::default().elements(), Some(1));
        assert_eq!(Shape::from([usize::MAX, 2]).elements(), None);
        assert_eq!(shape.to_string(), "[2, 3, 4]");
    }
}
