//! Weights in eight and in four bits: elements under scales, each in a tensor of its own.
//!
//! | | elements | one scale for | bits of a value |
//! |---|---|---|---|
//! | `f8` | e4m3, at most 240 | a row, in f32 | 8 |
//! | `int8` | s8 | a row, in f32 | 8 |
//! | `int8-blocks` | s8 | 32 values, in f16: q8_0, which is taken as it is where it is found | 8.5 |
//! | `mxfp8` | e4m3fn, at most 448 | 32 values, a power of two (E8M0) | 8.25 |
//! | `mxfp4` | e2m1, two to a byte, as found | 32 values, a power of two in bf16 | 4.5 |
//!
//! Sources: e4m3 with its limit of 240 is what the compiler takes for every generation up to Trainium3 (its errors
//! NCC_EVRF051 and 052); s8 is what transformers-neuronx stored its weights in; the products of MXFP8 are the custom
//! calls that its errors NCC_EVRF036 to 058 describe; f4e2m1fn is no type of the compiler's (NCC_ESPP004), so MXFP4 is
//! taken apart by arithmetic that every chip has.

use std::fmt;
use std::str::FromStr;

use graph::BackendError;
use half::bf16;
use hlo::{Element, Shape};
use tensor::DType;
use tensor::blocks::{self, MXFP4};

use crate::{Dialect, Target, unsupported};

/// In what matrices are stored that only products read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Narrow {
    /// Floats of eight bits, one scale for each row.
    F8,
    /// Whole numbers of eight bits, one scale for each row.
    Int8,
    /// Whole numbers of eight bits, one scale for each 32 of a row: q8_0 with scales apart.
    Int8Blocks,
    /// Floats of eight bits, a power of two for each 32 of a row. Activations are rounded alike, in every step, and the
    /// tensor engine multiplies both as they are: Trainium3 alone has that.
    Mxfp8,
    /// What was found in MXFP4 stays as it is and is taken apart in every step; all else is stored as products take it.
    Mxfp4,
}

/// Values under one scale, where it is not a row's.
pub(crate) const BLOCK: usize = 32;

/// The greatest number of e4m3, and of e4m3fn.
const MOST_E4M3: f32 = 240.0;
const MOST_E4M3FN: f32 = 448.0;
/// The exponent of the greatest power of two in e4m3fn.
pub(crate) const EMAX_E4M3FN: i32 = 8;

impl Narrow {
    /// Every one.
    pub const ALL: [Narrow; 5] = [Narrow::F8, Narrow::Int8, Narrow::Int8Blocks, Narrow::Mxfp8, Narrow::Mxfp4];

    /// Refuses what a chip has not.
    pub fn check(self, target: &Target) -> Result<(), BackendError> {
        match self {
            Narrow::Mxfp8 if target.name != "trn3" => Err(unsupported(
                format!("weights in mxfp8 on {}", target.name),
                "only trn3 multiplies them; store them as f8 or int8".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// Whether rows of this length can be stored so.
    pub(crate) fn takes(self, width: usize) -> bool {
        matches!(self, Narrow::F8 | Narrow::Int8) || width.is_multiple_of(BLOCK)
    }

    /// Whether one scale is for a whole row, and so can be applied to what a product gives.
    pub(crate) fn is_by_row(self) -> bool {
        matches!(self, Narrow::F8 | Narrow::Int8)
    }

    /// The shape of the elements of a matrix `[.., O, N]`. What the compiler's products of MXFP8 take is four values in
    /// a word.
    pub(crate) fn elements(self, dims: &[usize], dialect: Dialect) -> Shape {
        let (outer, width) = parted(dims);
        match (self, dialect) {
            (Narrow::F8, _) => Shape::new(Element::F8E4M3, dims),
            (Narrow::Int8 | Narrow::Int8Blocks, _) => Shape::new(Element::S8, dims),
            (Narrow::Mxfp8, Dialect::Stock) => Shape::new(Element::F8E4M3FN, dims),
            (Narrow::Mxfp8, Dialect::Neuron) => Shape::new(Element::U32, [outer, &[width / 4]].concat()),
            (Narrow::Mxfp4, _) => Shape::new(Element::U8, [outer, &[width / BLOCK, BLOCK / 2]].concat()),
        }
    }

    /// The shape of its scales.
    pub(crate) fn scales(self, dims: &[usize]) -> Shape {
        let (outer, width) = parted(dims);
        let blocks = || [outer, &[width / BLOCK]].concat();
        match self {
            Narrow::F8 | Narrow::Int8 => Shape::new(Element::F32, outer),
            Narrow::Int8Blocks => Shape::new(Element::F16, blocks()),
            Narrow::Mxfp4 => Shape::new(Element::BF16, blocks()),
            Narrow::Mxfp8 => Shape::new(Element::U8, blocks()),
        }
    }

    /// Rows of values as elements and scales.
    pub(crate) fn pack(self, values: &[f32], width: usize) -> [Vec<u8>; 2] {
        if self == Narrow::Int8Blocks {
            let mut found = vec![0; DType::Q8_0.bytes_of(values.len()).expect("rows are of whole blocks")];
            blocks::encode(DType::Q8_0, values, &mut found);
            return part_q8_0(&found);
        }
        let together = if self.is_by_row() { width } else { BLOCK };
        let (mut elements, mut scales) = (Vec::with_capacity(values.len()), vec![]);
        for values in values.chunks_exact(together.max(1)) {
            let largest = values.iter().fold(0f32, |largest, x| largest.max(x.abs()));
            let scale = match self {
                Narrow::F8 => stored_f32(largest / MOST_E4M3, &mut scales),
                Narrow::Int8 => stored_f32(largest / 127.0, &mut scales),
                Narrow::Int8Blocks | Narrow::Mxfp4 => {
                    unreachable!("blocks of these are found or made above, and taken apart")
                }
                Narrow::Mxfp8 => {
                    let exponent = ((largest.to_bits() >> 23) as i32 - 127 - EMAX_E4M3FN).max(-127);
                    scales.push((exponent + 127) as u8);
                    2f64.powi(exponent) as f32
                }
            };
            // A scale of nought is one of nothing but noughts.
            let times = if scale > 0.0 { 1.0 / f64::from(scale) } else { 0.0 };
            elements.extend(values.iter().map(|&x| {
                let x = (f64::from(x) * times) as f32;
                match self {
                    Narrow::F8 => e4m3(x.clamp(-MOST_E4M3, MOST_E4M3)),
                    Narrow::Int8 => x.round_ties_even().clamp(-127.0, 127.0) as i8 as u8,
                    _ => e4m3(x.clamp(-MOST_E4M3FN, MOST_E4M3FN)),
                }
            }));
        }
        [elements, scales]
    }
}

/// Blocks of q8_0 with their codes and their scales apart.
pub(crate) fn part_q8_0(found: &[u8]) -> [Vec<u8>; 2] {
    let (mut codes, mut scales) = (vec![], vec![]);
    for block in found.as_chunks::<{ BLOCK + 2 }>().0 {
        scales.extend(&block[..2]);
        codes.extend(&block[2..]);
    }
    [codes, scales]
}

/// Blocks of MXFP4 with their codes and their scales apart.
pub(crate) fn part_mxfp4(found: &[u8]) -> [Vec<u8>; 2] {
    let (mut codes, mut scales) = (vec![], vec![]);
    for block in found.as_chunks().0 {
        let block = MXFP4::of(block);
        codes.extend(block.codes);
        // Twice, since a block's codes count halves. A power of two is exact, the least ones as subnormals.
        scales.extend(bf16::from_f32(2.0 * block.scale()).to_le_bytes());
    }
    [codes, scales]
}

fn parted(dims: &[usize]) -> (&[usize], usize) {
    dims.split_last().map(|(&width, outer)| (outer, width)).expect("a matrix has rows")
}

fn stored_f32(scale: f32, scales: &mut Vec<u8>) -> f32 {
    scales.extend(scale.to_le_bytes());
    scale
}

/// The code of the nearest number with four bits of exponent and three behind the point, ties to even; of e4m3 and of
/// e4m3fn, which differ only in what lies beyond their greatest numbers. What is not a number is nought.
fn e4m3(x: f32) -> u8 {
    let (sign, size) = (if x.is_sign_negative() { 0x80 } else { 0 }, x.abs());
    // Below 2^-6 numbers are multiples of 2^-9; eight of them are the code of 2^-6 itself.
    if size.is_nan() || size < 2f32.powi(-6) {
        return sign | (size * 512.0).round_ties_even() as u8;
    }
    let exponent = (size.to_bits() >> 23) as i32 - 127;
    // From 8 to 16 eighths; 16 of them are the code of the next power of two.
    let eighths = (size * 2f32.powi(3 - exponent)).round_ties_even() as i32;
    sign | (((exponent + 7) << 3) + eighths - 8) as u8
}

const NAMES: [(&str, Narrow); 5] = [
    ("f8", Narrow::F8),
    ("int8", Narrow::Int8),
    ("int8-blocks", Narrow::Int8Blocks),
    ("mxfp8", Narrow::Mxfp8),
    ("mxfp4", Narrow::Mxfp4),
];

impl fmt::Display for Narrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(NAMES.iter().find(|(_, narrow)| narrow == self).map_or("", |(name, _)| name))
    }
}

impl FromStr for Narrow {
    type Err = BackendError;

    fn from_str(text: &str) -> Result<Narrow, BackendError> {
        let found = NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, narrow)| *narrow).ok_or_else(|| {
            let names = NAMES.map(|(name, _)| name).join(", ");
            unsupported(format!("weights in `{text}`"), format!("they are stored as one of {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TARGETS;

    #[test]
    fn codes_of_eight_bits_are_the_nearest() {
        for (x, code) in [
            (0.0, 0x00),
            (1.0, 0x38),
            (-1.0, 0xb8),
            (240.0, 0x77),
            (448.0, 0x7e),
            (17.0, 0x58),
            (19.0, 0x5a),
            (0.015625, 0x08),
            (0.001953125, 0x01),
            (0.0009765625, 0x00),
            (0.0146484375, 0x08),
        ] {
            assert_eq!(e4m3(x), code, "{x}");
        }
        assert_eq!(e4m3(f32::NAN), 0);
    }

    #[test]
    fn a_row_of_noughts_and_one_of_nonsense_do_no_harm() {
        for narrow in Narrow::ALL.into_iter().filter(|narrow| *narrow != Narrow::Mxfp4) {
            let [elements, _] = narrow.pack(&[0.0; 32], 32);
            assert_eq!(elements, [0; 32], "{narrow}");
            let mut row = [1.0; 32];
            (row[0], row[1]) = (f32::NAN, f32::INFINITY);
            let [elements, scales] = narrow.pack(&row, 32);
            assert_eq!(elements.len(), 32);
            assert_eq!(scales.len(), narrow.scales(&[1, 32]).bytes().unwrap());
        }
    }

    #[test]
    fn only_trn3_multiplies_mxfp8() {
        for target in &TARGETS {
            assert_eq!(Narrow::Mxfp8.check(target).is_ok(), target.name == "trn3");
            assert!(Narrow::F8.check(target).is_ok());
        }
        let trn2 = Target::named("trn2").unwrap();
        let text = Narrow::Mxfp8.check(trn2).unwrap_err().to_string();
        assert!(text.contains("weights in mxfp8 on trn2") && text.contains("f8 or int8"), "{text}");
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for narrow in Narrow::ALL {
            assert_eq!(narrow.to_string().parse::<Narrow>().unwrap(), narrow);
        }
        assert!("fp5".parse::<Narrow>().unwrap_err().to_string().contains("int8-blocks"));
    }
}
