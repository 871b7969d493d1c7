//! What a step tells of each row besides its logits: its token, what the token's log-probability takes, and the largest
//! logits; and how the next step takes the tokens without the host.
//!
//! A greedy row brings four bytes of each to the host where its logits are half a million, and most others two
//! thousand.

use hlo::{Binary, Compare, Element, Id, Literal, Shape, Unary};

use super::Emitter;

/// The outputs, each `[R]`: the token, the likeliest or a drawn one; the largest logit, and the logarithm of the sum of all
/// exponentials.
pub(crate) const CHOSEN: [&str; 3] = ["token", "token_logit", "normaliser"];

/// The outputs, each `[R, K]`: the largest logits, the largest first, and whose they are.
pub(crate) const TOP: [&str; 2] = ["top_logit", "top_token"];

/// The most of the largest logits that a row tells.
pub(crate) const TOP_MAX: usize = 256;

/// The output `[KEPT]` that the next step takes: the token of each row.
pub(crate) const SAMPLED: &str = "sampled";

/// The input `[KEPT]` that is [`SAMPLED`] of the step before.
pub(crate) const PREVIOUS: &str = "previous";

/// Rows whose tokens are kept for the next step: as many in every program, so that any may follow any.
pub(crate) const KEPT: usize = 4096;

impl Emitter<'_> {
    /// The outputs named in [`CHOSEN`] and [`TOP`], and [`SAMPLED`], for logits `[R, V]`.
    pub(super) fn sampling(&mut self, logits: Id) -> Vec<(String, Id)> {
        self.b.at("greedy");
        let largest = self.fold(Binary::Maximum, logits, f32::NEG_INFINITY);
        let [likeliest, normaliser] = self.greedy(logits, largest);
        self.b.at("top");
        let [rows, vocab] = self.b.dims(logits) else { unreachable!("logits have two axes") };
        let (rows, most) = (*rows, TOP_MAX.min(*vocab));
        let top = self.top_k(logits, most);
        // A step may want no row at all.
        let token = if rows == 0 { likeliest } else { self.draw(logits, largest, top[0], likeliest) };
        self.b.at("sampled");
        let sampled = self.kept(token);
        let largest = self.b.reshape(largest, &[rows]);
        let names = CHOSEN.into_iter().chain(TOP).chain([SAMPLED]);
        let chosen = [token, largest, normaliser];
        names.map(str::to_owned).zip(chosen.into_iter().chain(top).chain([sampled])).collect()
    }

    /// The likeliest token of each row, and the logarithm of the sum of its exponentials.
    fn greedy(&mut self, logits: Id, largest: Id) -> [Id; 2] {
        let dims = self.b.dims(logits).to_vec();
        let wide = self.repeat(largest, &dims);
        let is_largest = self.b.compare(Compare::Eq, logits, wide);
        let token = self.first_where(is_largest);
        let token = self.b.convert(token, Element::S32);
        let less = self.b.binary(Binary::Subtract, logits, wide);
        let e = self.b.unary(Unary::Exponential, less);
        let sum = self.fold(Binary::Add, e, 0.0);
        let log = self.b.unary(Unary::Log, sum);
        let normaliser = self.b.binary(Binary::Add, log, largest);
        [token, normaliser].map(|id| self.b.reshape(id, &dims[..1]))
    }

    /// The first place of each row where it is so, `[R, 1]`, else its last: whoever asked for a token gets one that there
    /// is. Places are counted in f32, as the chip counts, which is exact up to 2^24.
    pub(super) fn first_where(&mut self, is_so: Id) -> Id {
        let shape = Shape::new(Element::F32, self.b.dims(is_so));
        let end = shape.dims[1] as f32 - 1.0;
        let places = self.b.iota(shape, 1);
        let end = self.number(end, places);
        let places = self.b.select(is_so, places, end);
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

    /// The tokens of a step: those below zero are `!row` of the step before, known to the device alone.
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
