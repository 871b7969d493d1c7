//! A row of logits becomes a token on the chip, by the rules of [`graph::Sampler`]: greedy where the temperature is
//! zero, else a draw from the likeliest candidates.
//!
//! A draw is certain where nothing outside the candidates could have been drawn: `top_k` is among them, or `top_p` is
//! reached within them, or the last is too unlikely for `min_p`. Where it is not, `sure` is zero and the host samples
//! from the logits, as it does for rows with penalties, biases or a mask.

use hlo::{Binary, Compare, Dot, Element, Id, Shape, Unary};

use super::{Emitter, Given};

/// The likeliest tokens that a row is drawn from.
const CANDIDATES: usize = 256;

/// What a row says of its sampling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knob {
    /// f32: divides the logits; 0 is greedy.
    Temperature,
    /// s32: only the so many largest; 0 is all.
    TopK,
    /// f32: only the likeliest whose probabilities sum to this.
    TopP,
    /// f32: only those at least this many times as likely as the likeliest.
    MinP,
    /// f32: in `[0, 1)`; decides.
    Uniform,
}

impl Knob {
    fn name(self) -> &'static str {
        match self {
            Knob::Temperature => "temperature",
            Knob::TopK => "top_k",
            Knob::TopP => "top_p",
            Knob::MinP => "min_p",
            Knob::Uniform => "uniform",
        }
    }
}

/// What a program gives of its rows besides their logits: the token, its logit, the logarithm of the sum of all
/// exponentials, and whether the token stands.
pub(crate) const SAMPLED: [&str; 4] = ["token", "token_logit", "normaliser", "sure"];

/// Candidates with their weights, largest first.
struct Drawn {
    token: Id,
    logit: Id,
    sure: Id,
}

impl Emitter<'_> {
    /// The outputs named in [`SAMPLED`], each `[R]`, for logits `[R, V]`.
    pub(super) fn sample(&mut self, logits: Id) -> [Id; 4] {
        self.b.at("sample");
        let [rows, vocab] = [0, 1].map(|axis| self.b.dims(logits)[axis]);
        let largest = self.fold(Binary::Maximum, logits, f32::NEG_INFINITY);
        let place = self.first_of(logits, largest);
        let normaliser = {
            let less = self.minus(logits, largest);
            let e = self.b.unary(Unary::Exponential, less);
            let sum = self.fold(Binary::Add, e, 0.0);
            let log = self.b.unary(Unary::Log, sum);
            self.b.binary(Binary::Add, log, largest)
        };
        let temperature = self.knob(Knob::Temperature, rows);
        let nought = self.number(0.0, temperature);
        let greedy = self.b.compare(Compare::Le, temperature, nought);
        let one = self.number(1.0, temperature);
        let temperature = self.b.select(greedy, one, temperature);
        let drawn = self.draw(logits, largest, temperature, vocab.min(CANDIDATES));
        let token = self.b.select(greedy, place, drawn.token);
        let token = self.b.convert(token, Element::S32);
        let logit = self.b.select(greedy, largest, drawn.logit);
        let sure = self.b.select(greedy, one, drawn.sure);
        let sure = self.b.convert(sure, Element::S32);
        [token, logit, normaliser, sure].map(|id| self.b.reshape(id, &[rows]))
    }

    /// Everything here is `[R, 1]` or `[R, C]`, places of tokens too: the chip counts in f32, exactly up to 2^24.
    fn draw(&mut self, logits: Id, largest: Id, temperature: Id, count: usize) -> Drawn {
        let [rows, vocab] = [0, 1].map(|axis| self.b.dims(logits)[axis]);
        let (top_k, top_p) = (self.knob(Knob::TopK, rows), self.knob(Knob::TopP, rows));
        let (min_p, uniform) = (self.knob(Knob::MinP, rows), self.knob(Knob::Uniform, rows));
        let top_k = self.b.convert(top_k, Element::F32);
        let [values, ids] = self.top_k(logits, count)[..] else { unreachable!("a top-k gives two values") };
        let ids = self.b.convert(ids, Element::F32);
        let rank = self.b.iota(Shape::new(Element::F32, [rows, count]), 1);

        let weights = self.weights(values, largest, temperature);
        let (nought, one) = (self.number(0.0, top_k), self.number(1.0, top_k));
        let all = self.b.compare(Compare::Eq, top_k, nought);
        let most = self.number(vocab as f32, top_k);
        let top_k = self.b.select(all, most, top_k);
        let weights = self.keep(weights, Compare::Lt, rank, top_k);

        let everything = self.weights(logits, largest, temperature);
        let everything = self.fold(Binary::Add, everything, 0.0);
        let chosen = self.fold(Binary::Add, weights, 0.0);
        let total = self.b.select(all, everything, chosen);
        let nucleus = self.b.binary(Binary::Multiply, top_p, total);
        let (open, endless) = (self.b.compare(Compare::Ge, top_p, one), self.number(f32::INFINITY, top_p));
        let limit = self.b.select(open, endless, nucleus);
        // The likeliest weighs one and is kept whatever the limit.
        let least = self.number(f32::MIN_POSITIVE, limit);
        let limit = self.b.binary(Binary::Maximum, limit, least);
        let sums = self.running_sums(weights);
        let before = self.b.binary(Binary::Subtract, sums, weights);
        let kept = self.keep(weights, Compare::Lt, before, limit);
        let kept = self.keep(kept, Compare::Ge, weights, min_p);

        let sums = self.running_sums(kept);
        let total = self.fold(Binary::Add, kept, 0.0);
        let target = self.b.binary(Binary::Multiply, uniform, total);
        let passed = self.counted(Compare::Le, sums, target);
        let nothing = self.number(0.0, target);
        let last = self.counted(Compare::Gt, kept, nothing);
        let last = self.b.binary(Binary::Subtract, last, one);
        let place = self.b.binary(Binary::Minimum, passed, last);

        let sure = self.is_sure(Sure { weights, rank, top_k, all, limit, min_p, count, vocab });
        Drawn { token: self.at_place(ids, rank, place), logit: self.at_place(values, rank, place), sure }
    }

    /// One where no token but the candidates could be drawn, else nought.
    fn is_sure(&mut self, it: Sure) -> Id {
        let one = self.number(1.0, it.top_k);
        if it.count == it.vocab {
            return one;
        }
        let nought = self.number(0.0, it.top_k);
        let room = self.number(it.count as f32, it.top_k);
        let within = self.b.compare(Compare::Le, it.top_k, room);
        let mass = self.fold(Binary::Add, it.weights, 0.0);
        let reached = self.b.compare(Compare::Ge, mass, it.limit);
        let end = self.number(it.count as f32 - 1.0, it.top_k);
        let smallest = self.at_place(it.weights, it.rank, end);
        let too_small = self.b.compare(Compare::Lt, smallest, it.min_p);
        let reached = self.b.select(reached, one, nought);
        let cut = self.b.select(too_small, one, reached);
        let cut = self.b.select(it.all, cut, nought);
        self.b.select(within, one, cut)
    }

    /// `exp((x - largest) / temperature)`
    fn weights(&mut self, x: Id, largest: Id, temperature: Id) -> Id {
        let less = self.minus(x, largest);
        let dims = self.b.dims(x).to_vec();
        let temperature = self.repeat(temperature, &dims);
        let less = self.b.binary(Binary::Divide, less, temperature);
        self.b.unary(Unary::Exponential, less)
    }

    /// The weights where `a` compares so with `b: [R, 1]`, nought elsewhere.
    fn keep(&mut self, weights: Id, compare: Compare, a: Id, b: Id) -> Id {
        let dims = self.b.dims(a).to_vec();
        let b = self.repeat(b, &dims);
        let kept = self.b.compare(compare, a, b);
        let nought = self.number(0.0, weights);
        self.b.select(kept, weights, nought)
    }

    /// How many of `a` compare so with `b: [R, 1]`.
    fn counted(&mut self, compare: Compare, a: Id, b: Id) -> Id {
        let one = self.number(1.0, a);
        let ones = self.keep(one, compare, a, b);
        self.fold(Binary::Add, ones, 0.0)
    }

    /// The value of each row whose rank is `place: [R, 1]`.
    fn at_place(&mut self, values: Id, rank: Id, place: Id) -> Id {
        let one = self.keep(values, Compare::Eq, rank, place);
        self.fold(Binary::Add, one, 0.0)
    }

    /// The place of the first of each row that equals `largest: [R, 1]`.
    fn first_of(&mut self, x: Id, largest: Id) -> Id {
        let shape = self.b.shape(x).clone();
        let (places, width) = (self.b.iota(shape.clone(), 1), shape.dims[1] as f32);
        let largest = self.repeat(largest, &shape.dims);
        let is_largest = self.b.compare(Compare::Eq, x, largest);
        // A row without a largest has its last place: whoever asked for it gets a token that there is.
        let end = self.number(width - 1.0, x);
        let places = self.b.select(is_largest, places, end);
        self.fold(Binary::Minimum, places, f32::INFINITY)
    }

    /// The sum of each element and those before it, as a product with a triangle of ones.
    fn running_sums(&mut self, x: Id) -> Id {
        let width = self.b.dims(x)[1];
        let square = Shape::new(Element::F32, [width, width]);
        let (from, to) = (self.b.iota(square.clone(), 0), self.b.iota(square, 1));
        let ones = self.number(1.0, from);
        let noughts = self.number(0.0, from);
        let upper = self.b.compare(Compare::Le, from, to);
        let upper = self.b.select(upper, ones, noughts);
        let dims = Dot {
            lhs_contracting: vec![1],
            rhs_contracting: vec![0],
            lhs_batch: vec![],
            rhs_batch: vec![],
            element: Element::F32,
        };
        self.b.dot(dims, x, upper)
    }

    fn minus(&mut self, x: Id, each: Id) -> Id {
        let dims = self.b.dims(x).to_vec();
        let each = self.repeat(each, &dims);
        self.b.binary(Binary::Subtract, x, each)
    }

    /// A row's knob as `[R, 1]`.
    fn knob(&mut self, knob: Knob, rows: usize) -> Id {
        let element = if knob == Knob::TopK { Element::S32 } else { Element::F32 };
        self.given.insert(knob.name().to_owned(), Given::Knob(knob));
        let input = self.b.input(knob.name(), Shape::new(element, [rows]));
        self.b.reshape(input, &[rows, 1])
    }
}

/// What tells whether a draw is certain.
struct Sure {
    weights: Id,
    rank: Id,
    top_k: Id,
    all: Id,
    limit: Id,
    min_p: Id,
    count: usize,
    vocab: usize,
}
