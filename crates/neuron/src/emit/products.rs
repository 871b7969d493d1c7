//! Products of matrices.

use hlo::{Dot, Element, Id};

use super::Emitter;
use crate::Precision;

impl Emitter<'_> {
    /// The type of factors.
    pub(super) fn factor(&self) -> Element {
        match self.options.precision {
            Precision::Bf16 => Element::BF16,
            Precision::F32 => Element::F32,
        }
    }

    /// `a: [.., M, N] x b: [.., N, O]`, or `b: [.., O, N]` where `transposed`; `b` may lack the outer axes.
    pub(super) fn matmul(&mut self, a: Id, b: Id, transposed: bool) -> Id {
        let a = self.values(a);
        if transposed && let Some(product) = self.narrow_product(a, b) {
            return product;
        }
        let b = self.values(b);
        self.product(a, b, transposed)
    }

    pub(super) fn product(&mut self, a: Id, b: Id, transposed: bool) -> Id {
        let (a, b) = (self.b.convert(a, self.factor()), self.b.convert(b, self.factor()));
        let (rank, outer) = (self.b.dims(a).len(), self.b.dims(b).len() - 2);
        let dims = Dot {
            lhs_contracting: vec![rank - 1],
            rhs_contracting: vec![outer + usize::from(transposed)],
            lhs_batch: (0..outer).collect(),
            rhs_batch: (0..outer).collect(),
            element: Element::F32,
        };
        self.b.dot(dims, a, b)
    }
}
