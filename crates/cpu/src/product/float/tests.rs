//! Every level against the plain loop, in bits, and that against f64.

use half::{bf16, f16};
use simd::{Isa, LANES};
use tensor::{Buffer, DType, blocks};

use super::*;
use crate::packed::{GROUP, Layout, Packed};
use crate::product::quantized::tests::{Noise, weight as random_blocks};

/// Numbers from -1 to 1, the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }
}

/// A weight, and the values it stands for.
struct Weight {
    packed: Packed,
    values: Vec<f32>,
    rows: usize,
    cols: usize,
}

impl Weight {
    fn floats(dtype: DType, rows: usize, cols: usize, random: &mut Random) -> Weight {
        let mut bytes = vec![0; dtype.bytes_of(rows * cols).unwrap()];
        blocks::encode(dtype, &random.values(rows * cols), &mut bytes);
        Weight::of(dtype, rows, cols, &bytes)
    }

    fn of(dtype: DType, rows: usize, cols: usize, bytes: &[u8]) -> Weight {
        let mut values = vec![0.0; rows * cols];
        blocks::decode(dtype, bytes, &mut values);
        let packed = Packed::of(Layout::of(dtype, rows, cols).unwrap(), bytes);
        Weight { packed, values, rows, cols }
    }

    /// The sums in the order of the house, in plain loops.
    fn expected(&self, x: &[f32], m: usize, n: usize) -> f32 {
        let pairs = x[m * self.cols..][..self.cols].iter().zip(&self.values[n * self.cols..]);
        let pairs = pairs.map(|(x, w)| (*x, *w)).collect::<Vec<_>>();
        pairs.chunks(BLOCK).fold(0.0, |sum, block| {
            let chain = |odd: usize| {
                let all = block.iter().skip(odd).step_by(2);
                all.fold(0.0, |sum: f32, (x, w)| x.mul_add(*w, sum))
            };
            sum + (chain(0) + chain(1))
        })
    }

    /// The sums of bf16 at levels without tiles.
    fn expected_in_pairs(&self, x: &[f32], m: usize, n: usize) -> f32 {
        let pairs = x[m * self.cols..][..self.cols].iter().zip(&self.values[n * self.cols..]);
        let pairs = pairs.map(|(x, w)| (*x, *w)).collect::<Vec<_>>();
        pairs.chunks(BLOCK).fold(0.0, |sum, block| {
            let by_pair = block.chunks(2).flat_map(|pair| pair.iter().rev());
            sum + by_pair.fold(0.0, |sum: f32, (x, w)| x.mul_add(*w, sum))
        })
    }

    /// The sum in f64, and the sum of magnitudes.
    fn exact(&self, x: &[f32], m: usize, n: usize) -> (f64, f64) {
        let pairs = x[m * self.cols..][..self.cols].iter().zip(&self.values[n * self.cols..]);
        pairs.fold((0.0, 0.0), |(sum, spread), (x, w)| {
            let product = f64::from(*x) * f64::from(*w);
            (sum + product, spread + product.abs())
        })
    }

    /// The product of some strips; features that are not theirs stay as they are, -1.
    fn product(&self, isa: Isa, x: &Activation<'_>, strips: Range<usize>) -> Vec<f32> {
        let rows = match x {
            Activation::F32(x) => x.rows,
            Activation::Bf16(x) => x.rows,
            Activation::Int8(_) => unreachable!(),
        };
        let stride = self.rows + 3;
        let mut out = vec![-1.0f32; rows * stride];
        let weight = self.packed.view();
        let mut scratch = Buffer::zeroed(scratch_bytes(isa, weight.layout.dtype, x));
        let output = Output { start: out.as_mut_ptr(), stride };
        // SAFETY: `out` has the rows and features, and is used here only.
        unsafe { product(isa, &weight, x, strips, output, scratch.as_mut_slice()) };
        out
    }
}

fn rounded(x: &[f32], cols: usize) -> Vec<bf16> {
    let padded = cols.next_multiple_of(BLOCK);
    let rows = x.chunks(cols).flat_map(|row| {
        let row = row.iter().copied().map(bf16::from_f32);
        row.chain(std::iter::repeat_n(bf16::ZERO, padded - cols))
    });
    rows.collect()
}

/// Rows and columns: few and many of both, whole strips and blocks and not.
const SHAPES: [(usize, usize); 5] = [(16, 32), (40, 100), (96, 1056), (17, 31), (5, 64)];
const ROWS_OF_X: [usize; 9] = [1, 2, 3, 7, 8, 16, 33, 64, 521];

fn check(weight: &Weight, isa: Isa, x: &Activation<'_>, values: &[f32], m: usize) {
    let in_pairs = matches!(x, Activation::Bf16(_)) && isa != Isa::Amx;
    let strips = weight.rows.div_ceil(LANES);
    let stride = weight.rows + 3;
    for range in [0..strips, 0..1, strips - 1..strips, strips / 2..strips] {
        let out = weight.product(isa, x, range.clone());
        for m in (0..m).step_by(if m > 64 { 13 } else { 1 }) {
            for n in 0..stride {
                let made = n < weight.rows && range.contains(&(n / LANES));
                let expected = match (made, in_pairs) {
                    (true, true) => weight.expected_in_pairs(values, m, n),
                    (true, false) => weight.expected(values, m, n),
                    (false, _) => -1.0,
                };
                let out = out[m * stride + n];
                assert_eq!(out.to_bits(), expected.to_bits(), "{isa} row {m} feature {n}: {out} {expected}");
            }
        }
    }
}

#[test]
fn floats_have_the_bits_of_the_plain_loop_at_every_level() {
    let mut random = Random(1);
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        for (rows, cols) in SHAPES {
            let weight = Weight::floats(dtype, rows, cols, &mut random);
            for m in ROWS_OF_X {
                if m > 64 && rows != 96 {
                    continue;
                }
                let x = random.values(m * cols);
                let halves = rounded(&x, cols);
                let padded = cols.next_multiple_of(BLOCK);
                for isa in Isa::present() {
                    if dtype == DType::BF16 {
                        let back = x.iter().map(|x| bf16::from_f32(*x).to_f32()).collect::<Vec<_>>();
                        let x = Activation::Bf16(Rows { rows: m, stride: padded, values: &halves });
                        check(&weight, isa, &x, &back, m);
                    }
                    let rows = Rows { rows: m, stride: cols, values: &x };
                    check(&weight, isa, &Activation::F32(rows), &x, m);
                }
            }
        }
    }
}

#[test]
fn modelled_tiles_have_the_bits_of_the_plain_loop() {
    let mut random = Random(3);
    for (rows, cols) in SHAPES {
        let weight = Weight::floats(DType::BF16, rows, cols, &mut random);
        for m in [1, 20, 33, 64, matrix::ROWS] {
            let x = random.values(m * cols);
            let halves = rounded(&x, cols);
            let back = x.iter().map(|x| bf16::from_f32(*x).to_f32()).collect::<Vec<_>>();
            let stride = cols.next_multiple_of(BLOCK);
            let x = Rows { rows: m, stride, values: halves.as_slice() };
            let mut out = vec![-1.0f32; m * rows];
            let mut scratch = vec![bf16::NAN; matrix::scratch(m, stride)];
            let output = Output { start: out.as_mut_ptr(), stride: rows };
            let mut tiles = registers::Model::new();
            let strips = 0..rows.div_ceil(LANES);
            // SAFETY: `out` has the rows and features.
            unsafe {
                matrix::multiply(&mut tiles, &weight.packed.view(), x, strips, output, &mut scratch);
            }
            for (i, out) in out.iter().enumerate() {
                assert_eq!(
                    *out,
                    weight.expected(&back, i / rows, i % rows),
                    "{rows} by {cols}, {m} rows, {i}"
                );
            }
        }
    }
}

#[test]
fn blocks_are_multiplied_as_they_decode() {
    let mut random = Random(4);
    for dtype in DType::weights().filter(|dtype| dtype.is_block()) {
        let shapes = match dtype.block_len() {
            GROUP => [(40, 512), (16, 256)],
            128 => [(40, 640), (16, 128)],
            _ => [(40, 352), (16, 64)],
        };
        for (rows, cols) in shapes {
            let bytes = random_blocks(dtype, rows, cols, &mut Noise::new(7));
            let weight = Weight::of(dtype, rows, cols, &bytes);
            for m in [1, 3, 7, 8, 16, 33] {
                let x = random.values(m * cols);
                for isa in Isa::present() {
                    let x_rows = Rows { rows: m, stride: cols, values: x.as_slice() };
                    check(&weight, isa, &Activation::F32(x_rows), &x, m);
                }
            }
        }
    }
}

#[test]
fn every_value_of_a_block_format_is_decoded_to_the_bit() {
    for dtype in DType::weights().filter(|dtype| dtype.is_block()) {
        let (rows, cols) = (32, 512);
        let bytes = random_blocks(dtype, rows, cols, &mut Noise::new(8));
        let weight = Weight::of(dtype, rows, cols, &bytes);
        // A row of the unit matrix asks for one column.
        let x = (0..cols * cols).map(|i| f32::from(u8::from(i % cols == i / cols))).collect::<Vec<_>>();
        let x = Activation::F32(Rows { rows: cols, stride: cols, values: &x });
        for isa in Isa::present() {
            let out = weight.product(isa, &x, 0..2);
            for (i, value) in weight.values.iter().enumerate() {
                let out = out[i % cols * (rows + 3) + i / cols];
                assert_eq!(out, *value, "{dtype} {isa} row {} column {}", i / cols, i % cols);
            }
        }
    }
}

#[test]
fn every_power_of_two_is_decoded() {
    let exponents = (0..=255u8).collect::<Vec<_>>();
    let bytes = exponents.iter().flat_map(|exponent| [*exponent].into_iter().chain([0x01; 16]));
    let weight = Weight::of(DType::MXFP4, 256, 32, &bytes.collect::<Vec<_>>());
    let mut x = [0.0; 32];
    x[3] = 1.0;
    for isa in Isa::present() {
        let x = Activation::F32(Rows { rows: 1, stride: 32, values: &x });
        let out = weight.product(isa, &x, 0..16);
        for (row, exponent) in exponents.iter().enumerate() {
            assert_eq!(out[row].to_bits(), weight.values[row * 32 + 3].to_bits(), "{isa} {exponent}");
        }
    }
}

#[test]
fn scratch_of_many_rows_serves_fewer() {
    for dtype in [DType::F32, DType::BF16] {
        for isa in Isa::ALL {
            for stride in [64, 2048, 8192] {
                let x = |rows| match dtype {
                    DType::BF16 => Activation::Bf16(Rows { rows, stride, values: &[] }),
                    _ => Activation::F32(Rows { rows, stride, values: &[] }),
                };
                let bytes = (0..600).map(|rows| scratch_bytes(isa, dtype, &x(rows))).collect::<Vec<_>>();
                assert!(bytes.is_sorted(), "{dtype} {isa} {stride}");
            }
        }
    }
}

#[test]
fn sums_are_near_the_exact_ones() {
    let mut random = Random(2);
    let cols = 4096;
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let weight = Weight::floats(dtype, 48, cols, &mut random);
        let x = random.values(3 * cols);
        let rows = Activation::F32(Rows { rows: 3, stride: cols, values: &x });
        let out = weight.product(Isa::detect().unwrap(), &rows, 0..3);
        for m in 0..3 {
            for n in 0..48 {
                let (exact, spread) = weight.exact(&x, m, n);
                let error = (f64::from(out[m * 51 + n]) - exact).abs();
                assert!(error <= 1e-5 * spread, "{dtype} {error} of {spread}");
            }
        }
    }
}

#[test]
fn every_f16_is_multiplied_as_it_is() {
    let bytes = (0..=u16::MAX).filter(|bits| f16::from_bits(*bits).is_finite()).flat_map(u16::to_le_bytes);
    let mut bytes = bytes.collect::<Vec<_>>();
    bytes.truncate(bytes.len() / 512 * 512);
    let (rows, cols) = (bytes.len() / 64, 32);
    let weight = Weight::of(DType::F16, rows, cols, &bytes);
    for k in [0, 1, 30, 31] {
        let x = (0..cols).map(|i| f32::from(u8::from(i == k))).collect::<Vec<_>>();
        let x = Activation::F32(Rows { rows: 1, stride: cols, values: &x });
        for isa in Isa::present() {
            let out = weight.product(isa, &x, 0..rows.div_ceil(LANES));
            for n in 0..rows {
                assert_eq!(out[n], weight.values[n * cols + k], "{isa}");
            }
        }
    }
}
