//! What a step tells of each row besides its logits: the likeliest token, and what its log-probability takes.
//!
//! A greedy row brings four bytes of each to the host where its logits are half a million. All other rows are drawn
//! by [`graph::Sampler`] from their logits: its sums are exact, and the chip's are not.

use hlo::{Binary, Compare, Element, Id, Shape, Unary};

use super::Emitter;

/// The outputs, each `[R]`: the likeliest token, its logit, and the logarithm of the sum of all exponentials.
pub(crate) const GREEDY: [&str; 3] = ["token", "token_logit", "normaliser"];

impl Emitter<'_> {
    /// The outputs named in [`GREEDY`] for logits `[R, V]`.
    pub(super) fn greedy(&mut self, logits: Id) -> [Id; 3] {
        self.b.at("greedy");
        let dims = self.b.dims(logits).to_vec();
        let largest = self.fold(Binary::Maximum, logits, f32::NEG_INFINITY);
        let wide = self.repeat(largest, &dims);
        let token = self.first_of(logits, wide);
        let token = self.b.convert(token, Element::S32);
        let less = self.b.binary(Binary::Subtract, logits, wide);
        let e = self.b.unary(Unary::Exponential, less);
        let sum = self.fold(Binary::Add, e, 0.0);
        let log = self.b.unary(Unary::Log, sum);
        let normaliser = self.b.binary(Binary::Add, log, largest);
        [token, largest, normaliser].map(|id| self.b.reshape(id, &dims[..1]))
    }

    /// The place of the first of each row that equals `largest`. Places are counted in f32, as the chip counts, which
    /// is exact up to 2^24.
    fn first_of(&mut self, x: Id, largest: Id) -> Id {
        let shape = Shape::new(Element::F32, self.b.dims(x));
        let end = shape.dims[1] as f32 - 1.0;
        let places = self.b.iota(shape, 1);
        let is_largest = self.b.compare(Compare::Eq, x, largest);
        // A row without a largest has its last place: whoever asked for it gets a token that there is.
        let end = self.number(end, x);
        let places = self.b.select(is_largest, places, end);
        self.fold(Binary::Minimum, places, f32::INFINITY)
    }
}
