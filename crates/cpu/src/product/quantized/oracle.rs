//! The numbers of a product by block formats, in plain loops over the source's blocks: what every kernel must give to
//! the bit.

use half::f16;
use tensor::DType;
use tensor::blocks::{self, IQ4_CODES, MXFP4_CODES};

/// A group of one row: integer codes and scales, of sixteen values each scale, and the floats over them.
#[derive(Default)]
pub struct Group {
    pub codes: Vec<i32>,
    pub r: Vec<i32>,
    pub mu: Vec<i32>,
    pub d: f32,
    pub m: f32,
}

/// A group of activations: codes and their scale.
pub struct Codes {
    pub codes: Vec<i32>,
    pub scale: f32,
}

/// Rounds up to 256 values.
pub fn round(x: &[f32]) -> Codes {
    let largest = x.iter().fold(0.0, |max: f32, x| max.max(x.abs()));
    if largest == 0.0 {
        return Codes { codes: vec![0; x.len()], scale: 0.0 };
    }
    let codes = x.iter().map(|x| (x * (127.0 / largest)).round_ties_even() as i32).collect();
    Codes { codes, scale: largest / 127.0 }
}

/// A row's product.
pub fn product(dtype: DType, row: &[u8], x: &[f32]) -> f32 {
    let groups = groups(dtype, row);
    groups.iter().zip(x.chunks(256)).fold(0.0, |acc, (group, x)| {
        let x = round(x);
        let sums = |b: usize| x.codes[16 * b..][..16].iter().sum::<i32>();
        let products = |b: usize| {
            group.codes[16 * b..][..16].iter().zip(&x.codes[16 * b..]).map(|(c, q)| c * q).sum::<i32>()
        };
        let scaled = group.r.iter().enumerate().map(|(b, r)| r * products(b)).sum::<i32>();
        let acc = (scaled as f32 * group.d).mul_add(x.scale, acc);
        if group.mu.is_empty() {
            return acc;
        }
        let mins = group.mu.iter().enumerate().map(|(b, mu)| mu * sums(b)).sum::<i32>();
        (mins as f32 * group.m).mul_add(x.scale, acc)
    })
}

/// The groups of a row.
pub fn groups(dtype: DType, row: &[u8]) -> Vec<Group> {
    let sources = 256 / dtype.block_len();
    row.chunks(sources * dtype.block_bytes()).map(|group| one(dtype, group)).collect()
}

fn one(dtype: DType, group: &[u8]) -> Group {
    match dtype {
        DType::Q4_0 => legacy(group, 18, 4095.0, 0.0, |b, i| nibble(&b[2..], i) - 8),
        DType::Q4_1 => legacy(group, 20, 2047.0, 16383.0, |b, i| nibble(&b[4..], i)),
        DType::Q5_0 => legacy(group, 22, 2047.0, 0.0, |b, i| (nibble(&b[6..], i) | fifth(&b[2..], i)) - 16),
        DType::Q5_1 => legacy(group, 24, 1023.0, 16383.0, |b, i| nibble(&b[8..], i) | fifth(&b[4..], i)),
        DType::Q8_0 => legacy(group, 34, 255.0, 0.0, |b, i| i32::from(b[2 + i].cast_signed())),
        DType::IQ4_NL => legacy(group, 18, 255.0, 0.0, |b, i| grid(&IQ4_CODES, nibble(&b[2..], i))),
        DType::MXFP4 => mxfp4(group),
        _ => k_quant(dtype, group),
    }
}

fn nibble(bytes: &[u8], i: usize) -> i32 {
    i32::from(bytes[i % 16] >> (i / 16 * 4) & 15)
}

fn fifth(bytes: &[u8], i: usize) -> i32 {
    i32::from(bytes[i / 8] >> (i % 8) & 1) << 4
}

fn grid(grid: &[i8; 16], code: i32) -> i32 {
    i32::from(grid[code as usize])
}

/// Blocks under an f16 scale at byte 0 and, where `min_range` is not 0, a min at byte 2, both regrouped.
fn legacy(
    group: &[u8],
    bytes: usize,
    range: f32,
    min_range: f32,
    code: impl Fn(&[u8], usize) -> i32,
) -> Group {
    let float = |block: &[u8], at: usize| f16::from_le_bytes([block[at], block[at + 1]]).to_f32();
    let blocks = || group.chunks(bytes);
    let regroup = |at: usize, range: f32| {
        let floats = blocks().map(|b| float(b, at)).collect::<Vec<_>>();
        let largest = floats.iter().fold(0.0, |max: f32, d| max.max(d.abs()));
        let factor = range / largest.max(1e-9);
        let twice = floats.iter().flat_map(|d| [(d * factor).round_ties_even() as i32; 2]).collect();
        (largest / range, twice)
    };
    let (d, r) = regroup(0, range);
    let (m, mu) = if min_range > 0.0 { regroup(2, min_range) } else { (0.0, Vec::new()) };
    let codes = blocks().flat_map(|b| (0..32).map(|i| code(b, i)).collect::<Vec<_>>()).collect();
    Group { codes, r, mu, d, m }
}

fn mxfp4(group: &[u8]) -> Group {
    let blocks = || group.chunks(17);
    let largest = blocks().map(|b| b[0]).max().unwrap_or(0);
    let scale = |b: &[u8]| 2048i32.checked_shr(u32::from(largest - b[0])).unwrap_or(0);
    Group {
        codes: blocks().flat_map(|b| (0..32).map(|i| grid(&MXFP4_CODES, nibble(&b[1..], i)))).collect(),
        r: blocks().flat_map(|b| [scale(b); 2]).collect(),
        d: 2.0f64.powi(i32::from(largest) - 127 - 1 - 11) as f32,
        ..Group::default()
    }
}

/// Codes by what they decode to under scales of one; scales by the views.
fn k_quant(dtype: DType, group: &[u8]) -> Group {
    match dtype {
        DType::Q2_K => {
            let view = blocks::Q2_K::of(group.try_into().expect("84 bytes"));
            let code = |k: usize| view.codes[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3;
            Group {
                codes: (0..256).map(|k| i32::from(code(k))).collect(),
                r: view.scales.iter().map(|b| i32::from(b & 15)).collect(),
                mu: view.scales.iter().map(|b| i32::from(b >> 4)).collect(),
                d: view.scale,
                m: -view.min,
            }
        }
        DType::Q3_K => {
            let view = blocks::Q3_K::of(group.try_into().expect("110 bytes"));
            let low = |k: usize| view.codes[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3;
            let high = |k: usize| view.high_bits[k % 32] >> (k / 32) & 1;
            Group {
                codes: (0..256).map(|k| i32::from(low(k) | high(k) << 2) - 4).collect(),
                r: view.scales().map(i32::from).to_vec(),
                d: view.scale,
                ..Group::default()
            }
        }
        DType::Q4_K => {
            let view = blocks::Q4_K::of(group.try_into().expect("144 bytes"));
            affine(view.scale, view.min, view.scales, view.codes, |_| 0)
        }
        DType::Q5_K => {
            let view = blocks::Q5_K::of(group.try_into().expect("176 bytes"));
            let high = |k: usize| i32::from(view.high_bits[k % 32] >> (k / 32) & 1) << 4;
            affine(view.scale, view.min, view.scales, view.codes, high)
        }
        DType::Q6_K => {
            let view = blocks::Q6_K::of(group.try_into().expect("210 bytes"));
            let low = |k: usize| view.codes[k / 128 * 64 + k % 64] >> (k % 128 / 64 * 4) & 15;
            let high = |k: usize| view.high_bits[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3;
            Group {
                codes: (0..256).map(|k| i32::from(low(k) | high(k) << 4) - 32).collect(),
                r: view.scales.iter().map(|r| i32::from(r.cast_signed())).collect(),
                d: view.scale,
                ..Group::default()
            }
        }
        DType::IQ4_XS => {
            let view = blocks::IQ4_XS::of(group.try_into().expect("136 bytes"));
            let code = |k: usize| nibble(&view.codes[k / 32 * 16..], k % 32);
            Group {
                codes: (0..256).map(|k| grid(&IQ4_CODES, code(k))).collect(),
                r: view.scales().iter().flat_map(|r| [i32::from(*r); 2]).collect(),
                d: view.scale,
                ..Group::default()
            }
        }
        other => panic!("{other} has no oracle"),
    }
}

fn affine(scale: f32, min: f32, packed: &[u8; 12], codes: &[u8; 128], high: impl Fn(usize) -> i32) -> Group {
    let (scales, mins) = blocks::unpack_scales(packed);
    let low = |k: usize| i32::from(codes[k / 64 * 32 + k % 32] >> (k % 64 / 32 * 4) & 15);
    let twice = |all: [u8; 8]| all.iter().flat_map(|one| [i32::from(*one); 2]).collect();
    Group {
        codes: (0..256).map(|k| low(k) | high(k)).collect(),
        r: twice(scales),
        mu: twice(mins),
        d: scale,
        m: -min,
    }
}
