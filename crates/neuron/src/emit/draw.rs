//! Tokens drawn where the logits are: cuts by count and by share of the weight turn into a floor for logits, and the draw
//! walks over what reaches it, first by blocks, then in one block.
//!
//! This is [`graph::Sampler`]'s definition in floats, whose sums are not exact and whose exponentials are the chip's own. So
//! it is a guess, though one that is wrong only at the borders between tokens, and it lets the next step begin. The host
//! draws every such row by the definition, and has the next step run again where the two differ.

use hlo::{Binary, Compare, Dot, Element, Id, Literal, Shape, Unary};

use super::Emitter;
use crate::rows::WISH;

/// The input `[R, 5]` of what rows ask for, in the order of the fields of [`crate::rows::Wish`].
pub(crate) const WISHES: &str = "wishes";

/// Below every logit that weighs anything.
const NO_FLOOR: f32 = f32::MIN;

impl Emitter<'_> {
    /// The token of each row, `[R]`: drawn where its wish says so, else the one of `likeliest: [R]`. `logits: [R, V]`, their
    /// `largest: [R, 1]`, and the `top: [R, K]` of them, the largest first.
    pub(super) fn draw(&mut self, logits: Id, largest: Id, top: Id, likeliest: Id) -> Id {
        self.b.at("draw");
        let rows = self.b.dims(logits)[0];
        let wishes = self.b.input(WISHES, Shape::new(Element::F32, [rows, WISH]));
        let [sharpness, count, share, least, uniform] =
            [0, 1, 2, 3, 4].map(|place| self.b.slice(wishes, 1, place, place + 1));
        let weights = self.weights(logits, largest, sharpness);
        let all = self.fold(Binary::Add, weights, 0.0);
        let tops = self.weights(top, largest, sharpness);
        let floor = self.floor(top, tops, all, [count, share]);
        let weights = self.reaching(logits, floor, weights);
        let weights = self.reaching(weights, least, weights);
        let drawn = self.pick(weights, uniform);
        let zero = self.number(0.0, uniform);
        let is_drawn = self.b.compare(Compare::Ge, uniform, zero);
        let is_drawn = self.b.reshape(is_drawn, &[rows]);
        self.b.select(is_drawn, drawn, likeliest)
    }

    /// `exp((x - largest) * sharpness)`.
    fn weights(&mut self, x: Id, largest: Id, sharpness: Id) -> Id {
        let less = self.against(Binary::Subtract, x, largest);
        let less = self.against(Binary::Multiply, less, sharpness);
        self.b.unary(Unary::Exponential, less)
    }

    /// The smallest logit that the cuts leave, `[R, 1]`: those of the first `count`, and of these as many as it takes to
    /// weigh a share of all that are left. Where the last of `top` is left too and more might be, there is no floor.
    fn floor(&mut self, top: Id, tops: Id, all: Id, [count, share]: [Id; 2]) -> Id {
        let dims = self.b.dims(top).to_vec();
        let ranks = self.b.iota(Shape::new(Element::F32, &dims[..]), 1);
        let wide = self.repeat(count, &dims);
        let counted = self.b.compare(Compare::Lt, ranks, wide);
        let zero = self.number(0.0, top);
        let tops = self.b.select(counted, tops, zero);
        let sums = self.running(tops);
        let before = self.b.binary(Binary::Subtract, sums, tops);
        let past = self.number(f32::MAX, top);
        let before = self.b.select(counted, before, past);
        let known = self.number(dims[1] as f32, count);
        let is_open = self.b.compare(Compare::Gt, count, known);
        let of_tops = self.fold(Binary::Add, tops, 0.0);
        let mass = self.b.select(is_open, all, of_tops);
        let need = self.b.binary(Binary::Multiply, share, mass);
        let need = self.repeat(need, &dims);
        let is_left = self.b.compare(Compare::Lt, before, need);
        let lowest = self.b.select(is_left, top, past);
        let lowest = self.fold(Binary::Minimum, lowest, f32::INFINITY);
        let (one, none) = (self.number(1.0, top), self.number(NO_FLOOR, count));
        let left = self.b.select(is_left, one, zero);
        let left = self.fold(Binary::Add, left, 0.0);
        let all_left = self.b.compare(Compare::Eq, left, known);
        let floor = self.b.select(all_left, none, lowest);
        self.b.select(is_open, floor, lowest)
    }

    /// The weights of those of `x` that reach a `floor: [R, 1]`, and nothing for the others.
    fn reaching(&mut self, x: Id, floor: Id, weights: Id) -> Id {
        let floor = self.along(floor, x);
        let reaches = self.b.compare(Compare::Ge, x, floor);
        let zero = self.number(0.0, x);
        self.b.select(reaches, weights, zero)
    }

    /// The place `[R]` at which weights `[R, V]`, summed in their order, pass the uniform number's share of all.
    fn pick(&mut self, weights: Id, uniform: Id) -> Id {
        let [rows, vocab] = self.b.dims(weights) else { unreachable!("rows of weights have two axes") };
        let (rows, vocab) = (*rows, *vocab);
        let width = vocab.isqrt().next_power_of_two();
        let blocks = vocab.div_ceil(width);
        let padded = self.padded(weights, blocks * width);
        let table = self.b.reshape(padded, &[rows, blocks, width]);
        let sums = self.fold(Binary::Add, table, 0.0);
        let sums = self.b.reshape(sums, &[rows, blocks]);
        let all = self.fold(Binary::Add, sums, 0.0);
        let target = self.b.binary(Binary::Multiply, uniform, all);
        let running = self.running(sums);
        let block = self.first_past(running, target);
        let before = self.before(sums, block);
        let left = self.b.binary(Binary::Subtract, target, before);
        let table = self.b.reshape(table, &[rows * blocks, width]);
        let own = self.own_rows(table, block, blocks);
        let running = self.running(own);
        let place = self.first_past(running, left);
        let wide = self.number(width as f32, block);
        let first = self.b.binary(Binary::Multiply, block, wide);
        let place = self.b.binary(Binary::Add, first, place);
        let last = self.number(vocab as f32 - 1.0, place);
        let place = self.b.binary(Binary::Minimum, place, last);
        let place = self.b.convert(place, Element::S32);
        self.b.reshape(place, &[rows])
    }

    /// Rows `[R, N]` as `[R, width]`, with zeros behind.
    fn padded(&mut self, x: Id, width: usize) -> Id {
        let [rows, own] = self.b.dims(x) else { unreachable!("rows have two axes") };
        let dims = [*rows, width - own];
        if dims[1] == 0 {
            return x;
        }
        let zero = self.b.constant(Literal::f32(0.0));
        let zeros = self.b.broadcast(zero, &dims, &[]);
        self.b.concatenate(&[x, zeros], 1)
    }

    /// Sums of each row up to each place and with it: a product by a triangle of ones, in f32 whatever products of the
    /// model are in.
    fn running(&mut self, x: Id) -> Id {
        let width = self.b.dims(x)[1];
        let square = Shape::new(Element::F32, [width, width]);
        let (down, across) = (self.b.iota(square.clone(), 0), self.b.iota(square, 1));
        let is_before = self.b.compare(Compare::Le, down, across);
        let ones = self.b.convert(is_before, Element::F32);
        let dims = Dot {
            lhs_contracting: vec![1],
            rhs_contracting: vec![0],
            lhs_batch: vec![],
            rhs_batch: vec![],
            element: Element::F32,
        };
        self.b.dot(dims, x, ones)
    }

    /// The first place of each row that is larger than `limit: [R, 1]`, else the last.
    fn first_past(&mut self, x: Id, limit: Id) -> Id {
        let limit = self.along(limit, x);
        let is_past = self.b.compare(Compare::Gt, x, limit);
        self.first_where(is_past)
    }

    /// The sum of what stands in front of `place: [R, 1]`.
    fn before(&mut self, x: Id, place: Id) -> Id {
        let dims = self.b.dims(x).to_vec();
        let places = self.b.iota(Shape::new(Element::F32, &dims[..]), 1);
        let place = self.repeat(place, &dims);
        let is_before = self.b.compare(Compare::Lt, places, place);
        let zero = self.number(0.0, x);
        let parts = self.b.select(is_before, x, zero);
        self.fold(Binary::Add, parts, 0.0)
    }

    /// Of a table with `each` rows for every row of the step, the one that `which: [R, 1]` says.
    fn own_rows(&mut self, table: Id, which: Id, each: usize) -> Id {
        let rows = self.b.dims(which)[0];
        let which = self.b.convert(which, Element::S32);
        let which = self.b.reshape(which, &[rows]);
        let first = self.b.iota(Shape::new(Element::S32, [rows]), 0);
        let each = self.b.constant(Literal::s32(each as i32));
        let each = self.b.broadcast(each, &[rows], &[]);
        let first = self.b.binary(Binary::Multiply, first, each);
        let ids = self.b.binary(Binary::Add, first, which);
        self.b.rows(table, ids)
    }

    /// What each row has once, in the shape of what it has many of.
    fn along(&mut self, of_row: Id, x: Id) -> Id {
        let dims = self.b.dims(x).to_vec();
        self.repeat(of_row, &dims)
    }

    fn against(&mut self, op: Binary, x: Id, of_row: Id) -> Id {
        let of_row = self.along(of_row, x);
        self.b.binary(op, x, of_row)
    }
}
