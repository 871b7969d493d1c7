//! What a step tells of each row besides its logits: the likeliest token, what its log-probability takes, and the
//! largest logits; and how the next step takes the likeliest tokens without the host.
//!
//! A greedy row brings four bytes of each to the host where its logits are half a million, and most others two
//! thousand. Rows are drawn by [`graph::Sampler`] on the host: its sums are exact, and the chip's are not.

use hlo::{Binary, Compare, Element, Id, Literal, Shape, Unary};

use super::Emitter;

/// The outputs, each `[R]`: the likeliest token, its logit, and the logarithm of the sum of all exponentials.
pub(crate) const GREEDY: [&str; 3] = ["token", "token_logit", "normaliser"];

/// The outputs, each `[R, K]`: the largest logits, the largest first, and whose they are.
pub(crate) const TOP: [&str; 2] = ["top_logit", "top_token"];

/// The most of the largest logits that a row tells.
const TOP_MAX: usize = 256;

/// The output `[KEPT]` that the next step takes: the likeliest token of each row.
pub(crate) const SAMPLED: &str = "sampled";

/// The input `[KEPT]` that is [`SAMPLED`] of the step before.
pub(crate) const PREVIOUS: &str = "previous";

/// Rows whose tokens are kept for the next step: as many in every program, so that any may follow any.
pub(crate) const KEPT: usize = 4096;

impl Emitter<'_> {
    /// The outputs named in [`GREEDY`] and [`TOP`], and [`SAMPLED`], for logits `[R, V]`.
    pub(super) fn sampling(&mut self, logits: Id) -> Vec<(String, Id)> {
        let greedy = self.greedy(logits);
        self.b.at("top");
        let most = self.b.dims(logits)[1].min(TOP_MAX);
        let top = self.top_k(logits, most);
        self.b.at("sampled");
        let sampled = self.kept(greedy[0]);
        let names = GREEDY.into_iter().chain(TOP).chain([SAMPLED]);
        names.map(str::to_owned).zip(greedy.into_iter().chain(top).chain([sampled])).collect()
    }

    fn greedy(&mut self, logits: Id) -> [Id; 3] {
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

    /// Tokens `[R]` as `[KEPT]`: cut, or followed by zeros.
    fn kept(&mut self, tokens: Id) -> Id {
        let rows = self.b.dims(tokens)[0];
        if rows >= KEPT {
            return self.b.slice(tokens, 0, 0, KEPT);
        }
        let zero = self.b.constant(Literal::s32(0));
        let zeros = self.b.broadcast(zero, &[KEPT - rows], &[]);
        self.b.concatenate(&[tokens, zeros], 0)
    }

    /// The tokens of a step: those below zero are `!row` of the step before, which stayed on the device.
    pub(super) fn tokens(&mut self, given: Id, previous: Id) -> Id {
        self.b.at("tokens");
        let dims = self.b.dims(given).to_vec();
        let [zero, end] = [0, -1].map(|number| {
            let number = self.b.constant(Literal::s32(number));
            self.b.broadcast(number, &dims, &[])
        });
        let is_row = self.b.compare(Compare::Lt, given, zero);
        let row = self.b.binary(Binary::Subtract, end, given);
        let row = self.b.select(is_row, row, zero);
        let sampled = self.b.rows(previous, row);
        self.b.select(is_row, sampled, given)
    }
}
