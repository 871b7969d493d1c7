//! The whole shape algebra: a dimension is a number, a variable, or a variable times a number.

use std::fmt;
use std::ops::Deref;

use tensor::{MAX_AXES, Shape};

use crate::GroupId;

/// What a dimension may depend on. A [`Bucket`] gives each a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Var {
    /// Tokens in the step: `T`.
    Tokens,
    /// Sequences in the step: `B`.
    Seqs,
    /// Tokens per sequence, where every sequence has as many: `Q`.
    Queries,
    /// Pages in a sequence's table: `P`.
    Pages,
    /// Rows whose logits are wanted: `R`.
    Rows,
}

/// One axis of a value's type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Dim {
    /// A number.
    Fixed(u32),
    /// A variable.
    Var(Var),
    /// A variable times a number.
    Times(Var, u32),
    /// All pages of a group's pool; the executor knows how many, no shape computed from it ever does.
    Pool(GroupId),
}

/// The largest counts a program must hold. Lengths within are data (see [`crate::Feed`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Bucket {
    /// Tokens in the step.
    pub tokens: u32,
    /// Sequences in the step.
    pub seqs: u32,
    /// Tokens of each sequence where all have as many (token `t` is of sequence `t / queries`); 0 where they do not.
    pub queries: u32,
    /// Pages per sequence, in each group.
    pub pages: u32,
    /// Rows wanted.
    pub rows: u32,
}

impl Bucket {
    /// The number a variable stands for.
    pub fn of(&self, var: Var) -> u32 {
        match var {
            Var::Tokens => self.tokens,
            Var::Seqs => self.seqs,
            Var::Queries => self.queries,
            Var::Pages => self.pages,
            Var::Rows => self.rows,
        }
    }

    /// Whether a step of these counts fits this bucket.
    pub fn holds(&self, step: &Bucket) -> bool {
        let uniform = self.queries == 0 || self.queries == step.queries;
        uniform
            && step.tokens <= self.tokens
            && step.seqs <= self.seqs
            && step.pages <= self.pages
            && step.rows <= self.rows
    }
}

impl Dim {
    /// The dimension with its variable replaced by a number.
    pub fn bind(self, bucket: &Bucket) -> Dim {
        match self {
            Dim::Fixed(_) | Dim::Pool(_) => self,
            Dim::Var(var) => Dim::Fixed(bucket.of(var)),
            Dim::Times(var, n) => Dim::Fixed(bucket.of(var) * n),
        }
    }

    /// The number, once bound.
    pub fn number(self) -> Option<u32> {
        match self {
            Dim::Fixed(n) => Some(n),
            _ => None,
        }
    }

    /// This dimension times `n`, where the algebra can say it.
    pub fn times(self, n: u32) -> Option<Dim> {
        match self {
            Dim::Fixed(m) => m.checked_mul(n).map(Dim::Fixed),
            Dim::Var(var) => Some(if n == 1 { self } else { Dim::Times(var, n) }),
            Dim::Times(var, m) => m.checked_mul(n).map(|n| Dim::Times(var, n)),
            Dim::Pool(_) => None,
        }
    }
}

impl From<u32> for Dim {
    fn from(n: u32) -> Dim {
        Dim::Fixed(n)
    }
}

impl From<Var> for Dim {
    fn from(var: Var) -> Dim {
        Dim::Var(var)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |var: &Var| match var {
            Var::Tokens => "T",
            Var::Seqs => "B",
            Var::Queries => "Q",
            Var::Pages => "P",
            Var::Rows => "R",
        };
        match self {
            Dim::Fixed(n) => write!(f, "{n}"),
            Dim::Var(var) => write!(f, "{}", letter(var)),
            Dim::Times(var, n) => write!(f, "{n}{}", letter(var)),
            Dim::Pool(group) => write!(f, "pool{}", group.0),
        }
    }
}

/// Up to six dimensions, outermost first, held inline.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dims {
    len: u8,
    axes: [Dim; MAX_AXES],
}

impl Dims {
    /// These dimensions.
    ///
    /// # Panics
    /// With more than six: graphs are written by programmers.
    pub fn new(axes: &[Dim]) -> Dims {
        assert!(axes.len() <= MAX_AXES, "a value has at most {MAX_AXES} axes, not {}", axes.len());
        let mut dims = Dims { len: axes.len() as u8, axes: [Dim::Fixed(0); MAX_AXES] };
        dims.axes[..axes.len()].copy_from_slice(axes);
        dims
    }

    /// Every dimension bound to a number.
    pub fn bind(&self, bucket: &Bucket) -> Dims {
        Dims::new(&self.iter().map(|dim| dim.bind(bucket)).collect::<Vec<_>>())
    }

    /// The concrete shape, or `None` where a dimension is not bound.
    pub fn shape(&self) -> Option<Shape> {
        let axes = self.iter().map(|dim| dim.number().map(|n| n as usize)).collect::<Option<Vec<_>>>()?;
        Some(Shape::new(&axes))
    }

    /// All dimensions but the innermost `n`.
    pub fn outer(&self, n: usize) -> &[Dim] {
        &self[..self.len().saturating_sub(n)]
    }
}

impl Deref for Dims {
    type Target = [Dim];

    fn deref(&self) -> &[Dim] {
        &self.axes[..self.len as usize]
    }
}

impl<const N: usize> From<[u32; N]> for Dims {
    fn from(axes: [u32; N]) -> Dims {
        Dims::new(&axes.map(Dim::Fixed))
    }
}

impl<const N: usize> From<[Dim; N]> for Dims {
    fn from(axes: [Dim; N]) -> Dims {
        Dims::new(&axes)
    }
}

impl From<Shape> for Dims {
    fn from(shape: Shape) -> Dims {
        Dims::new(&shape.iter().map(|&n| Dim::Fixed(n as u32)).collect::<Vec<_>>())
    }
}

impl fmt::Display for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[")?;
        for (i, dim) in self.iter().enumerate() {
            write!(f, "{}{dim}", if i == 0 { "" } else { ", " })?;
        }
        write!(f, "]")
    }
}

impl fmt::Debug for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The type of a value: what its elements are and how many there are along each axis.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ty {
    /// Type of the elements.
    pub dtype: tensor::DType,
    /// Its dimensions.
    pub dims: Dims,
}

impl Ty {
    /// A type.
    pub fn new(dtype: tensor::DType, dims: impl Into<Dims>) -> Ty {
        Ty { dtype, dims: dims.into() }
    }

    /// The type with every variable bound.
    pub fn bind(&self, bucket: &Bucket) -> Ty {
        Ty { dtype: self.dtype, dims: self.dims.bind(bucket) }
    }

    /// Bytes of a bound type; 0 where a dimension is not bound.
    pub fn bytes(&self) -> u64 {
        let elements = self.dims.shape().and_then(|shape| shape.elements()).unwrap_or(0);
        self.dtype.bytes_of(elements).unwrap_or(0) as u64
    }
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.dims)
    }
}

impl fmt::Debug for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binding_replaces_variables_only() {
        let bucket = Bucket { tokens: 7, seqs: 2, queries: 0, pages: 3, rows: 2 };
        let dims = Dims::from([Dim::Var(Var::Tokens), Dim::Times(Var::Pages, 16), Dim::Fixed(5)]);
        assert_eq!(dims.to_string(), "[T, 16P, 5]");
        assert_eq!(dims.bind(&bucket), Dims::from([7, 48, 5]));
        assert_eq!(dims.shape(), None);
    }

    #[test]
    fn a_bucket_holds_smaller_steps_of_its_kind() {
        let bucket = Bucket { tokens: 8, seqs: 8, queries: 1, pages: 4, rows: 8 };
        assert!(bucket.holds(&Bucket { tokens: 3, seqs: 3, queries: 1, pages: 4, rows: 3 }));
        assert!(!bucket.holds(&Bucket { tokens: 8, seqs: 4, queries: 2, pages: 1, rows: 4 }));
        assert!(!bucket.holds(&Bucket { pages: 5, ..bucket }));
    }
}
