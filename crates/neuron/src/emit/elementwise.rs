//! Element by element, with operands brought to one shape first.

use graph::{BackendError, BinaryOp, CompareOp, UnaryOp};
use hlo::{Binary, Compare, Element, Id, Literal, Unary};
use tensor::DType;

use super::{Emitter, Site, element};

/// `erf(x) = x p(x^2) / q(x^2)` for `|x| <= ERF_END`, lowest power first; beyond, it is one to the last bit but one.
/// Fitted to a relative error of 2e-8: the compiler knows no `erf` but as a custom call, and this needs none.
const ERF_P: [f32; 6] = [
    std::f32::consts::FRAC_2_SQRT_PI,
    1.904_051_6e-1,
    5.274_855_7e-2,
    3.765_561e-3,
    2.848_814_5e-4,
    2.050_097_7e-6,
];
const ERF_Q: [f32; 6] = [1.0, 5.020_749e-1, 1.141_085_8e-1, 1.496_910_7e-2, 1.162_521_8e-3, 3.809_175_5e-5];
const ERF_END: f32 = 3.92;

/// A whole turn in three parts, the first two so short that their products with any count of turns below `2^15` are
/// exact.
const TURN: [f32; 3] = [6.281_25, 0.001_934_051_5, 1.255_664_1e-6];

impl Emitter<'_> {
    pub(super) fn unary(&mut self, op: UnaryOp, x: Id) -> Id {
        let x = self.wide(x);
        let b = &mut self.b;
        match op {
            UnaryOp::Neg => b.unary(Unary::Negate, x),
            UnaryOp::Exp => b.unary(Unary::Exponential, x),
            UnaryOp::Sqrt => b.unary(Unary::Sqrt, x),
            UnaryOp::Tanh => b.unary(Unary::Tanh, x),
            UnaryOp::Sin => self.turned(Unary::Sine, x),
            UnaryOp::Cos => self.turned(Unary::Cosine, x),
            UnaryOp::Erf => self.erf(x),
            UnaryOp::Sigmoid => {
                let one = self.number(1.0, x);
                let minus = self.b.unary(Unary::Negate, x);
                let e = self.b.unary(Unary::Exponential, minus);
                let sum = self.b.binary(Binary::Add, e, one);
                self.b.binary(Binary::Divide, one, sum)
            }
        }
    }

    pub(super) fn binary(&mut self, op: BinaryOp, a: Id, b: Id, dims: &[usize]) -> Id {
        let (a, b) = (self.spread(a, dims), self.spread(b, dims));
        let op = match op {
            BinaryOp::Add => Binary::Add,
            BinaryOp::Sub => Binary::Subtract,
            BinaryOp::Mul => Binary::Multiply,
            BinaryOp::Min => Binary::Minimum,
            BinaryOp::Max => Binary::Maximum,
            BinaryOp::Div if self.b.element(a) == Element::S32 => return self.floor_div(a, b),
            BinaryOp::Div => Binary::Divide,
        };
        self.b.binary(op, a, b)
    }

    pub(super) fn compare(&mut self, op: CompareOp, a: Id, b: Id, dims: &[usize]) -> Id {
        let (a, b) = (self.spread(a, dims), self.spread(b, dims));
        let op = match op {
            CompareOp::Equal => Compare::Eq,
            CompareOp::Less => Compare::Lt,
            CompareOp::LessEqual => Compare::Le,
        };
        self.b.compare(op, a, b)
    }

    pub(super) fn select(&mut self, args: &[Id], dims: &[usize]) -> Id {
        let [which, a, b] = [0, 1, 2].map(|place| self.spread(args[place], dims));
        self.b.select(which, a, b)
    }

    pub(super) fn cast(&mut self, x: Id, to: DType, site: &Site<'_>) -> Result<Id, BackendError> {
        let to = element(to, || site.to_string())?;
        Ok(self.b.convert(x, to))
    }

    /// One number in the shape of another value.
    pub(super) fn number(&mut self, value: f32, like: Id) -> Id {
        let dims = self.b.dims(like).to_vec();
        let number = self.b.constant(Literal::f32(value));
        self.b.broadcast(number, &dims, &[])
    }

    /// A value in the type of arithmetic, axes of size one (or missing in front) repeated.
    fn spread(&mut self, x: Id, dims: &[usize]) -> Id {
        let x = self.wide(x);
        self.repeat(x, dims)
    }

    /// Whole numbers divided towards negative infinity: HLO divides towards zero, which is one too many where the
    /// remainder is not zero and has not the divisor's sign.
    fn floor_div(&mut self, a: Id, by: Id) -> Id {
        let dims = self.b.dims(a).to_vec();
        let [zero, one] = [0, 1].map(|value| {
            let value = self.b.constant(Literal::s32(value));
            self.b.broadcast(value, &dims, &[])
        });
        let b = &mut self.b;
        let quotient = b.binary(Binary::Divide, a, by);
        let back = b.binary(Binary::Multiply, quotient, by);
        let rest = b.binary(Binary::Subtract, a, back);
        let (below, above) = (b.compare(Compare::Lt, rest, zero), b.compare(Compare::Gt, rest, zero));
        let negative = b.compare(Compare::Lt, by, zero);
        let too_many = b.select(negative, above, below);
        let less = b.binary(Binary::Subtract, quotient, one);
        b.select(too_many, less, quotient)
    }

    /// Sine or cosine of what is left of an angle after whole turns: the chip's table covers one turn only.
    fn turned(&mut self, op: Unary, x: Id) -> Id {
        let (per_turn, half) = (self.number(1.0 / std::f32::consts::TAU, x), self.number(0.5, x));
        let turns = self.b.binary(Binary::Multiply, x, per_turn);
        let turns = self.b.binary(Binary::Add, turns, half);
        let turns = self.b.unary(Unary::Floor, turns);
        let mut rest = x;
        for part in TURN {
            let part = self.number(part, x);
            let part = self.b.binary(Binary::Multiply, turns, part);
            rest = self.b.binary(Binary::Subtract, rest, part);
        }
        self.b.unary(op, rest)
    }

    fn erf(&mut self, x: Id) -> Id {
        let (low, high) = (self.number(-ERF_END, x), self.number(ERF_END, x));
        let x = self.b.binary(Binary::Maximum, x, low);
        let x = self.b.binary(Binary::Minimum, x, high);
        let z = self.b.binary(Binary::Multiply, x, x);
        let (p, q) = (self.polynomial(&ERF_P, z), self.polynomial(&ERF_Q, z));
        let p = self.b.binary(Binary::Multiply, x, p);
        self.b.binary(Binary::Divide, p, q)
    }

    /// `c[0] + c[1] z + c[2] z^2 + ..`
    fn polynomial(&mut self, coefficients: &[f32], z: Id) -> Id {
        let (last, rest) = coefficients.split_last().expect("a polynomial has coefficients");
        let mut sum = self.number(*last, z);
        for &coefficient in rest.iter().rev() {
            let coefficient = self.number(coefficient, z);
            sum = self.b.binary(Binary::Multiply, sum, z);
            sum = self.b.binary(Binary::Add, sum, coefficient);
        }
        sum
    }
}
