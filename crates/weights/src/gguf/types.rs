//! The numbers that GGUF gives element types.

use tensor::DType;

use crate::stored::Kind;

/// What a number stands for.
#[derive(Debug)]
pub(super) struct Format {
    pub kind: Kind,
    pub block_len: usize,
    pub block_bytes: usize,
}

/// The types that this program computes with.
const KNOWN: [(u32, DType); 17] = [
    (0, DType::F32),
    (1, DType::F16),
    (2, DType::Q4_0),
    (3, DType::Q4_1),
    (6, DType::Q5_0),
    (7, DType::Q5_1),
    (8, DType::Q8_0),
    (10, DType::Q2_K),
    (11, DType::Q3_K),
    (12, DType::Q4_K),
    (13, DType::Q5_K),
    (14, DType::Q6_K),
    (20, DType::IQ4_NL),
    (23, DType::IQ4_XS),
    (26, DType::I32),
    (30, DType::BF16),
    (39, DType::MXFP4),
];

/// Types whose size is known, so that a file may hold them, but which this program does not compute with: number,
/// name, values per block, bytes per block.
const OTHERS: [(u32, &str, usize, usize); 15] = [
    (9, "q8_1", 32, 36),
    (15, "q8_k", 256, 292),
    (16, "iq2_xxs", 256, 66),
    (17, "iq2_xs", 256, 74),
    (18, "iq3_xxs", 256, 98),
    (19, "iq1_s", 256, 50),
    (21, "iq3_s", 256, 110),
    (22, "iq2_s", 256, 82),
    (24, "i8", 1, 1),
    (25, "i16", 1, 2),
    (27, "i64", 1, 8),
    (28, "f64", 1, 8),
    (29, "iq1_m", 256, 56),
    (34, "tq1_0", 256, 54),
    (35, "tq2_0", 256, 66),
];

/// The type that a number stands for, if its size is known.
pub(super) fn format(number: u32) -> Option<Format> {
    if let Some(&(_, dtype)) = KNOWN.iter().find(|(known, _)| *known == number) {
        let (block_len, block_bytes) = (dtype.block_len(), dtype.block_bytes());
        return Some(Format { kind: Kind::Known(dtype), block_len, block_bytes });
    }
    let &(_, name, block_len, block_bytes) = OTHERS.iter().find(|(other, ..)| *other == number)?;
    Some(Format { kind: Kind::Other(name.into()), block_len, block_bytes })
}

/// The number of a type, if the format has one for it.
pub(super) fn number(dtype: DType) -> Option<u32> {
    KNOWN.iter().find(|(_, known)| *known == dtype).map(|&(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_type_has_a_number_of_its_own() {
        // GGUF has no 8-bit floats.
        assert_eq!(number(DType::F8_E4M3), None);
        for dtype in DType::weights().filter(|dtype| *dtype != DType::F8_E4M3) {
            let number = number(dtype).unwrap();
            assert_eq!(format(number).unwrap().kind, Kind::Known(dtype));
        }
        let mut numbers: Vec<u32> = KNOWN.iter().map(|k| k.0).chain(OTHERS.iter().map(|o| o.0)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), KNOWN.len() + OTHERS.len());
        assert!(format(4).is_none());
    }
}
