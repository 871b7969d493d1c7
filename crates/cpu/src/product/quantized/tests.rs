use std::marker::PhantomData;

use half::f16;
use simd::{Isa, Kernel, Simd};
use tensor::{Buffer, DType, blocks};

use super::format::Format;
use super::many::Many;
use super::on_vectors::OnVectors;
use super::task::Task;
use super::tiles::Model;
use super::{Use, many, oracle, scratch_bytes as scratch_of, with_format};
use crate::activation::{Activation, Int8, Int8Group, int8_groups, quantize_row};
use crate::packed::{Fields, Layout, Packed};
use crate::product::{Output, Rounding, product, scratch_bytes};

pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Noise {
        Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// From -1 to 1.
    pub fn value(&mut self) -> f32 {
        self.bits() as f32 / (1u64 << 30) as f32 - 1.0
    }
}

/// Rows of any codes under scales of any sign, some of them zero.
pub fn weight(dtype: DType, rows: usize, cols: usize, noise: &mut Noise) -> Vec<u8> {
    let layout = Layout::of(dtype, rows, cols).unwrap();
    let fields = Fields::of(dtype).unwrap();
    let mut bytes = (0..rows * layout.row_bytes()).map(|_| noise.bits() as u8).collect::<Vec<_>>();
    for block in bytes.chunks_mut(dtype.block_bytes()) {
        for &at in fields.floats {
            let scale = if noise.bits().is_multiple_of(16) { 0.0 } else { noise.value() };
            block[at..at + 2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
        }
        if dtype == DType::MXFP4 {
            block[0] = 115 + block[0] % 20;
        }
        if dtype == DType::F8_E4M3 {
            // No code that is no number: no file with one is read.
            block.iter_mut().filter(|code| **code & 0x7f == 0x7f).for_each(|code| *code ^= 1);
            block[..4].copy_from_slice(&noise.value().to_le_bytes());
        }
    }
    bytes
}

/// Values of which some groups are zero and some far larger than others.
pub fn values(rows: usize, cols: usize, noise: &mut Noise) -> Vec<f32> {
    let mut values = (0..rows * cols).map(|_| noise.value()).collect::<Vec<_>>();
    for chunk in values.chunks_mut(32) {
        let factor = [0.0, 1.0, 1.0, 30.0][noise.bits() as usize % 4];
        chunk.iter_mut().for_each(|x| *x *= factor);
    }
    values
}

struct Quantize<'a> {
    x: &'a [f32],
    rows: usize,
    cols: usize,
    out: &'a mut [Int8Group],
}

impl Kernel for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert_eq!(self.out.len(), int8_groups(self.rows, self.cols));
        for (m, x) in self.x.chunks(self.cols).enumerate() {
            // SAFETY: a row's values, and its groups.
            unsafe { quantize_row(s, x.as_ptr(), self.cols, self.out.as_mut_ptr().add(m), self.rows) }
        }
    }
}

pub fn quantized(isa: Isa, x: &[f32], rows: usize, cols: usize) -> Vec<Int8Group> {
    let mut out = vec![Int8Group::ZERO; int8_groups(rows, cols)];
    isa.run(Quantize { x, rows, cols, out: &mut out });
    out
}

/// The product of all strips, in pieces of `piece`.
pub fn run(isa: Isa, packed: &Packed, groups: &[Int8Group], rows: usize, piece: usize) -> Vec<f32> {
    let view = packed.view();
    let layout = view.layout;
    let x = Activation::Int8(Int8::new(rows, groups));
    let mut scratch = Buffer::zeroed(scratch_bytes(isa, &view, &x));
    let mut out = vec![f32::NAN; rows * layout.rows];
    let to = Output { start: out.as_mut_ptr(), stride: layout.rows };
    for start in (0..layout.strips()).step_by(piece) {
        let strips = start..layout.strips().min(start + piece);
        // SAFETY: the outputs are ours.
        unsafe { product(isa, &view, &x, strips, to, scratch.as_mut_slice()) };
    }
    out
}

fn block_formats() -> impl Iterator<Item = DType> {
    DType::ALL.into_iter().filter(|dtype| Rounding::of(*dtype) == Rounding::Int8)
}

#[test]
fn activations_round_as_the_formula_says() {
    let mut noise = Noise::new(1);
    for cols in [32, 256, 300, 544] {
        let x = values(3, cols, &mut noise);
        for isa in Isa::present() {
            let groups = quantized(isa, &x, 3, cols);
            for (m, x) in x.chunks(cols).enumerate() {
                for (g, x) in x.chunks(256).enumerate() {
                    let (group, expected) = (&groups[g * 3 + m], oracle::round(x));
                    let mut codes = expected.codes;
                    codes.resize(256, 0);
                    assert_eq!(group.codes.map(i32::from).as_slice(), codes, "{isa} {cols}");
                    assert_eq!(group.scale, expected.scale);
                    let halves = codes.chunks(16).map(|c| c.iter().sum::<i32>() as i16);
                    assert_eq!(group.half_sums.to_vec(), halves.collect::<Vec<_>>());
                    let sums = codes.chunks(32).map(|c| c.iter().sum::<i32>() as i16);
                    assert_eq!(group.sums.to_vec(), sums.collect::<Vec<_>>());
                }
            }
        }
    }
}

#[test]
fn what_is_no_number_stays_none() {
    for isa in Isa::present() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = [1.0; 64];
            x[40] = bad;
            assert!(!quantized(isa, &x, 1, 64)[0].scale.is_finite(), "{isa} {bad}");
        }
        assert_eq!(quantized(isa, &[1e-38; 64], 1, 64)[0].scale, 0.0);
    }
}

/// A weight, activations, and the product that the formula gives.
struct Case {
    packed: Packed,
    x: Vec<f32>,
    expected: Vec<f32>,
}

impl Case {
    fn of(dtype: DType, rows: usize, cols: usize, m: usize) -> Option<Case> {
        let layout = Layout::of(dtype, rows, cols)?;
        let mut noise = Noise::new((rows + cols + m) as u64);
        let (source, x) = (weight(dtype, rows, cols, &mut noise), values(m, cols, &mut noise));
        let row = |n: usize| &source[n * layout.row_bytes()..][..layout.row_bytes()];
        let expected = (0..m * rows)
            .map(|i| oracle::product(dtype, row(i % rows), &x[i / rows * cols..][..cols]))
            .collect();
        Some(Case { packed: Packed::of(layout, &source), x, expected })
    }
}

#[test]
fn products_are_the_oracles_to_the_bit() {
    let sizes = [(16, 256, 1), (17, 512, 2), (5, 288, 3), (33, 608, 7), (16, 64, 8), (20, 768, 9)];
    let larger = [(80, 512, 16), (81, 544, 50), (40, 96, 33)];
    for dtype in block_formats() {
        for (rows, cols, m) in sizes.into_iter().chain(larger) {
            let Some(case) = Case::of(dtype, rows, cols, m) else { continue };
            for isa in Isa::present() {
                let groups = quantized(isa, &case.x, m, cols);
                let out = run(isa, &case.packed, &groups, m, 2);
                assert_eq!(bits(&out), bits(&case.expected), "{dtype} {rows}x{cols} by {m} at {isa}");
            }
        }
    }
}

/// Every kernel for many rows, for as few as it takes, with tiles of arrays at every level.
#[test]
fn kernels_for_many_rows_are_the_oracles_to_the_bit() {
    for dtype in block_formats() {
        for (rows, cols, m) in [(35, 544, 6), (50, 512, 16), (17, 256, 17), (40, 768, 37)] {
            let Some(case) = Case::of(dtype, rows, cols, m) else { continue };
            for isa in Isa::present() {
                let groups = quantized(isa, &case.x, m, cols);
                for kernel in [Forced::Tiles, Forced::Vectors] {
                    let mut out = vec![f32::NAN; rows * m];
                    let task = Task {
                        weight: case.packed.view(),
                        x: Int8::new(m, &groups),
                        strips: 0..rows.div_ceil(16),
                        out: Output { start: out.as_mut_ptr(), stride: rows },
                    };
                    let mut scratch = Buffer::zeroed(many::scratch_bytes(m).max(scratch_of(isa, m, cols)));
                    with_format(dtype, Force { isa, kernel, task, scratch: scratch.as_mut_slice() });
                    assert_eq!(bits(&out), bits(&case.expected), "{dtype} {rows}x{cols} by {m} at {isa}");
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Forced {
    Tiles,
    Vectors,
}

struct Force<'a> {
    isa: Isa,
    kernel: Forced,
    task: Task<'a>,
    scratch: &'a mut [u8],
}

impl Use for Force<'_> {
    fn with<F: Format>(self) {
        let Force { isa, kernel, task, scratch } = self;
        let format = PhantomData::<F>;
        match kernel {
            Forced::Tiles => isa.run(Many { task, tiles: Model::NONE, scratch, format }),
            Forced::Vectors => isa.run(OnVectors { task, scratch, format }),
        }
    }
}

pub fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Codes of activations are half a step off at most, integer scales half of one.
#[test]
fn products_are_as_close_as_their_roundings() {
    let (rows, cols, m) = (16, 512, 2);
    for dtype in block_formats() {
        let mut noise = Noise::new(7);
        let (source, x) = (weight(dtype, rows, cols, &mut noise), values(m, cols, &mut noise));
        let layout = Layout::of(dtype, rows, cols).unwrap();
        let packed = Packed::of(layout, &source);
        let isa = Isa::present().pop().unwrap();
        let out = run(isa, &packed, &quantized(isa, &x, m, cols), m, 8);
        for (row, n) in source.chunks(layout.row_bytes()).zip(0..) {
            let mut w = vec![0.0; cols];
            blocks::decode(dtype, row, &mut w);
            for (x, out) in x.chunks(cols).zip(out.chunks(rows)) {
                let exact = w.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>();
                let bound = bound(dtype, row, &w, x);
                let error = (f64::from(out[n]) - exact).abs();
                assert!(error <= bound, "{dtype}: {error} off, {bound} allowed");
            }
        }
    }
}

fn bound(dtype: DType, row: &[u8], w: &[f32], x: &[f32]) -> f64 {
    let sum = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v.abs())).sum::<f64>();
    let groups = oracle::groups(dtype, row);
    let each = groups.iter().zip(w.chunks(256)).zip(x.chunks(256)).map(|((group, w), x)| {
        let products = sum(&mut w.iter().zip(x).map(|(w, x)| w * x));
        let of_x = sum(&mut w.iter().copied()) * f64::from(oracle::round(x).scale) / 2.0;
        // Scales of K-quants are integers as they are.
        let regrouped = if dtype.block_len() == 32 { 1.02 / 2.0 } else { 0.0 };
        let of_r = sum(&mut group.codes.iter().zip(x).map(|(c, x)| *c as f32 * x * group.d));
        let of_mu = sum(&mut x.iter().map(|x| x * group.m));
        of_x + regrouped * (of_r + of_mu) + 1e-5 * products
    });
    each.sum()
}
