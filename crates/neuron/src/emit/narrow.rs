//! Weights in fewer bits: elements under scales, until somebody needs the values.

use graph::Place;
use hlo::{Binary, Compare, Element, Id, Literal, Op, Shape, Type, Unary};

use super::{Emitter, Given};
use crate::narrow::{BLOCK, EMAX_E4M3FN};
use crate::{Dialect, Narrow};

/// Scales beside elements.
#[derive(Clone, Copy)]
pub(super) struct Scaled {
    narrow: Narrow,
    scales: Id,
    /// Where they are rows of a table: the table, its scales, and which rows.
    rows_of: Option<[Id; 3]>,
}

/// Below this the largest value of a block counts as this, so that a scale is a number: products of what is smaller are
/// nought in f32.
const LEAST: f32 = f32::from_bits((127 - 100) << 23);

/// The bits of an f32 that are its exponent.
const EXPONENT: u32 = 0x7f80_0000;

/// The name under which a weight's scales are bound.
pub(crate) fn scale_input(name: &str) -> String {
    format!("{name}.scales")
}

impl Emitter<'_> {
    /// The elements of a matrix `[.., O, N]` that is stored in fewer bits, with its scales known beside them.
    pub(super) fn narrow_argument(&mut self, place: Place, name: &str, dims: &[usize], narrow: Narrow) -> Id {
        let elements = self.b.input(name, narrow.elements(dims, self.options.dialect));
        let scales = self.b.input(&scale_input(name), narrow.scales(dims));
        self.given.insert(scale_input(name), Given::Scales(place));
        self.scaled.insert(elements, Scaled { narrow, scales, rows_of: None });
        elements
    }

    /// Rows of the first axis.
    pub(super) fn gather(&mut self, table: Id, ids: Id) -> Id {
        let rows = self.b.rows(table, ids);
        if let Some(Scaled { narrow, scales, .. }) = self.scaled.get(&table).copied() {
            let rows_of = Some([table, scales, ids]);
            let scales = self.b.rows(scales, ids);
            self.scaled.insert(rows, Scaled { narrow, scales, rows_of });
        }
        rows
    }

    /// The values themselves, in the type of factors or in f32.
    pub(super) fn values(&mut self, x: Id) -> Id {
        let Some(Scaled { narrow, scales, .. }) = self.scaled.get(&x).copied() else { return x };
        match narrow {
            Narrow::F8 | Narrow::Int8 => {
                let x = self.b.convert(x, Element::F32);
                self.scale_rows(x, scales)
            }
            Narrow::Int8Blocks => {
                // A scale has more bits than a factor, so both are multiplied before they are rounded to one.
                let x = self.b.convert(x, Element::F32);
                self.scale_blocks(x, scales)
            }
            Narrow::Mxfp8 => {
                let (x, scales) = (self.b.convert(x, self.factor()), self.powers(scales));
                self.scale_blocks(x, scales)
            }
            Narrow::Mxfp4 => {
                let x = self.e2m1(x);
                self.scale_blocks(x, scales)
            }
        }
    }

    /// `a [.., M, N]` times a matrix `[.., O, N]` that is stored in fewer bits; `None` where it is not, or where its
    /// values have to be made first.
    pub(super) fn narrow_product(&mut self, a: Id, b: Id) -> Option<Id> {
        let Scaled { narrow, scales, rows_of } = self.scaled.get(&b).copied()?;
        match narrow {
            // What is alike for a whole row is left for the product, which has fewer numbers.
            Narrow::F8 | Narrow::Int8 => {
                let y = self.product(a, b, true);
                let (dims, rows) = (self.b.dims(y).to_vec(), self.b.dims(scales).to_vec());
                let places = (0..rows.len() - 1).chain([dims.len() - 1]).collect::<Vec<_>>();
                let scales = self.b.broadcast(scales, &dims, &places);
                Some(self.b.binary(Binary::Multiply, y, scales))
            }
            Narrow::Mxfp8 => Some(self.mx_product(a, b, scales)),
            Narrow::Mxfp4 => {
                let [codes, scales, ids] = rows_of?;
                self.mxfp4_product(a, codes, scales, ids)
            }
            Narrow::Int8Blocks => None,
        }
    }

    /// `x [.., N]` times one number for each row.
    fn scale_rows(&mut self, x: Id, scales: Id) -> Id {
        let dims = self.b.dims(x).to_vec();
        let places = (0..dims.len() - 1).collect::<Vec<_>>();
        let scales = self.b.convert(scales, self.b.element(x));
        let scales = self.b.broadcast(scales, &dims, &places);
        self.b.binary(Binary::Multiply, x, scales)
    }

    /// Values, flat or in blocks, times one number for each block: `[.., N]`.
    fn scale_blocks(&mut self, x: Id, scales: Id) -> Id {
        let blocks = self.b.dims(scales).to_vec();
        let x = self.b.reshape(x, &[&blocks[..], &[BLOCK]].concat());
        let x = self.scale_rows(x, scales);
        let mut dims = blocks;
        if let Some(last) = dims.last_mut() {
            *last *= BLOCK;
        }
        self.b.reshape(x, &dims)
    }

    /// The values of codes of four bits, two to a byte, the second half of a block in the upper bits: `[.., 32]`.
    ///
    /// A code's size `m` is a half `m` up to 4, whole from there to 6, and two from there: the largest of three lines.
    fn e2m1(&mut self, codes: Id) -> Id {
        let codes = self.b.convert(codes, self.factor());
        let high = self.times(codes, 1.0 / 16.0);
        let high = self.b.unary(Unary::Floor, high);
        let taken = self.times(high, -16.0);
        let low = self.b.binary(Binary::Add, codes, taken);
        let axis = self.b.dims(codes).len() - 1;
        let codes = self.b.concatenate(&[low, high], axis);
        let eight = self.like(8.0, codes);
        let is_negative = self.b.compare(Compare::Ge, codes, eight);
        let less = self.b.binary(Binary::Subtract, codes, eight);
        let m = self.b.select(is_negative, less, codes);
        let [two, four] = [2.0, 4.0].map(|by| self.like(by, m));
        let half = self.times(m, 0.5);
        let whole = self.b.binary(Binary::Subtract, m, two);
        let double = self.b.binary(Binary::Subtract, m, four);
        let double = self.times(double, 2.0);
        let size = self.b.binary(Binary::Maximum, half, whole);
        let size = self.b.binary(Binary::Maximum, size, double);
        let minus = self.b.unary(Unary::Negate, size);
        self.b.select(is_negative, minus, size)
    }

    /// A product whose activations are rounded as the weights are. Both are multiplied as they are, and summed in f32.
    fn mx_product(&mut self, a: Id, b: Id, scales: Id) -> Id {
        let a = self.b.convert(a, Element::BF16);
        let (dims, batch) = (self.b.dims(a).to_vec(), self.b.dims(scales).len() - 2);
        let (rows, rest) = dims[batch..].split_at(dims.len() - batch - 1);
        let a = self.b.reshape(a, &[&dims[..batch], &[rows.iter().product()], rest].concat());
        let y = match self.options.dialect {
            Dialect::Neuron => self.mx_calls(a, b, scales, batch),
            Dialect::Stock => {
                let (a, b) = (self.mx_rounded(a), self.values(b));
                self.product(a, b, true)
            }
        };
        let width = self.b.dims(scales)[batch];
        self.b.reshape(y, &[&dims[..batch], rows, &[width]].concat())
    }

    /// The compiler's own calls: four values are packed in a word, the innermost axis is summed over.
    fn mx_calls(&mut self, a: Id, b: Id, b_scales: Id, batch: usize) -> Id {
        let mut dims = self.b.dims(a).to_vec();
        let width = dims.pop().expect("typed: it has rows");
        let rounded = |n, element| Shape::new(element, [&dims[..], &[n]].concat());
        let ty = Type::Tuple(vec![rounded(width / 4, Element::U32), rounded(width / BLOCK, Element::U8)]);
        let config = r#"{"dtype":"float8_e4m3fn","dim":-1,"block_size":32,"scale_method":"EMAX"}"#.to_owned();
        let both = self.b.push(Op::CustomCall { target: "QuantizeMX".to_owned(), config, ty }, &[a]);
        let (a, a_scales) = (self.b.part(both, 0), self.b.part(both, 1));
        let (axes, inner) = ((0..batch).collect::<Vec<_>>(), batch + 1);
        let config = format!(
            r#"{{"scaled_dot_backend_config":{{"lhs_batch_dimensions":{axes:?},"rhs_batch_dimensions":{axes:?},"lhs_contracting_dimensions":[{inner}],"rhs_contracting_dimensions":[{inner}],"element_dtype":"float8_e4m3fn"}}}}"#
        );
        dims.push(self.b.dims(b)[batch]);
        let ty = Type::Array(Shape::new(Element::F32, dims));
        let call = Op::CustomCall { target: "__op$block_scaled_dot".to_owned(), config, ty };
        self.b.push(call, &[a, b, a_scales, b_scales])
    }

    /// The twin of `QuantizeMX`: the values after the rounding.
    fn mx_rounded(&mut self, x: Id) -> Id {
        let mut blocks = self.b.dims(x).to_vec();
        let dims = blocks.clone();
        let width = blocks.pop().expect("typed: it has rows");
        blocks.extend([width / BLOCK, BLOCK]);
        let x = self.b.convert(x, Element::F32);
        let x = self.b.reshape(x, &blocks);
        let minus = self.b.unary(Unary::Negate, x);
        let size = self.b.binary(Binary::Maximum, x, minus);
        let largest = self.fold(Binary::Maximum, size, LEAST);
        // The greatest power of two that is not larger.
        let bits = self.b.bitcast(largest, Element::U32);
        let mask = self.b.constant(Literal::u32(EXPONENT));
        let shape = self.b.dims(bits).to_vec();
        let mask = self.b.broadcast(mask, &shape, &[]);
        let bits = self.b.binary(Binary::And, bits, mask);
        let power = self.b.bitcast(bits, Element::F32);
        let scale = self.times(power, 2f32.powi(-EMAX_E4M3FN));
        let scale = self.repeat(scale, &blocks);
        let x = self.b.binary(Binary::Divide, x, scale);
        let [least, most] = [-448.0, 448.0].map(|end| self.like(end, x));
        let x = self.b.binary(Binary::Maximum, x, least);
        let x = self.b.binary(Binary::Minimum, x, most);
        let x = self.b.convert(x, Element::F8E4M3FN);
        let x = self.b.convert(x, Element::F32);
        let x = self.b.binary(Binary::Multiply, x, scale);
        self.b.reshape(x, &dims)
    }

    /// The powers of two that exponents of eight bits are.
    fn powers(&mut self, exponents: Id) -> Id {
        let bits = self.b.convert(exponents, Element::U32);
        let step = self.b.constant(Literal::u32(1 << 23));
        let dims = self.b.dims(bits).to_vec();
        let step = self.b.broadcast(step, &dims, &[]);
        let bits = self.b.binary(Binary::Multiply, bits, step);
        self.b.bitcast(bits, Element::F32)
    }

    fn times(&mut self, x: Id, by: f32) -> Id {
        let by = self.like(by, x);
        self.b.binary(Binary::Multiply, x, by)
    }

    /// One number in the shape and the type of another value.
    fn like(&mut self, value: f32, x: Id) -> Id {
        let (number, dims) = (self.b.constant(Literal::f32(value)), self.b.dims(x).to_vec());
        let number = self.b.convert(number, self.b.element(x));
        self.b.broadcast(number, &dims, &[])
    }
}
