//! Element types, dense and block-quantized, in one list: a weight of 4-bit blocks is a tensor like any other whose
//! innermost axis comes in blocks.

use std::fmt;
use std::str::FromStr;

/// The type of a tensor's elements.
///
/// Dense types hold one value per element. Block types hold `block_len` values of the innermost axis in
/// `block_bytes` bytes, in the layout GGUF gives them; F8_E4M3, which GGUF does not have, in one of our own.
#[allow(non_camel_case_types, missing_docs, reason = "the names are the formats' own")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    F32,
    F16,
    BF16,
    I32,
    U32,
    U8,
    Bool,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ4_NL,
    IQ4_XS,
    MXFP4,
    F8_E4M3,
}

/// Name, values per block, bytes per block.
struct Facts(&'static str, usize, usize);

impl DType {
    /// Every type, in the order of the enum.
    pub const ALL: [DType; 21] = [
        DType::F32,
        DType::F16,
        DType::BF16,
        DType::I32,
        DType::U32,
        DType::U8,
        DType::Bool,
        DType::Q4_0,
        DType::Q4_1,
        DType::Q5_0,
        DType::Q5_1,
        DType::Q8_0,
        DType::Q2_K,
        DType::Q3_K,
        DType::Q4_K,
        DType::Q5_K,
        DType::Q6_K,
        DType::IQ4_NL,
        DType::IQ4_XS,
        DType::MXFP4,
        DType::F8_E4M3,
    ];

    /// The types a weight may be stored in.
    pub fn weights() -> impl Iterator<Item = DType> {
        DType::ALL.into_iter().filter(|t| t.is_float() || t.is_block())
    }

    const fn facts(self) -> Facts {
        match self {
            DType::F32 => Facts("f32", 1, 4),
            DType::F16 => Facts("f16", 1, 2),
            DType::BF16 => Facts("bf16", 1, 2),
            DType::I32 => Facts("i32", 1, 4),
            DType::U32 => Facts("u32", 1, 4),
            DType::U8 => Facts("u8", 1, 1),
            DType::Bool => Facts("bool", 1, 1),
            DType::Q4_0 => Facts("q4_0", 32, 18),
            DType::Q4_1 => Facts("q4_1", 32, 20),
            DType::Q5_0 => Facts("q5_0", 32, 22),
            DType::Q5_1 => Facts("q5_1", 32, 24),
            DType::Q8_0 => Facts("q8_0", 32, 34),
            DType::Q2_K => Facts("q2_k", 256, 84),
            DType::Q3_K => Facts("q3_k", 256, 110),
            DType::Q4_K => Facts("q4_k", 256, 144),
            DType::Q5_K => Facts("q5_k", 256, 176),
            DType::Q6_K => Facts("q6_k", 256, 210),
            DType::IQ4_NL => Facts("iq4_nl", 32, 18),
            DType::IQ4_XS => Facts("iq4_xs", 256, 136),
            DType::MXFP4 => Facts("mxfp4", 32, 17),
            DType::F8_E4M3 => Facts("f8_e4m3", 128, 132),
        }
    }

    /// The name users write and the graph's text shows.
    pub const fn name(self) -> &'static str {
        self.facts().0
    }

    /// Values per block; 1 for dense types.
    pub const fn block_len(self) -> usize {
        self.facts().1
    }

    /// Bytes per block, or per element of a dense type.
    pub const fn block_bytes(self) -> usize {
        self.facts().2
    }

    /// Whether values come in quantized blocks.
    pub const fn is_block(self) -> bool {
        self.block_len() > 1
    }

    /// Whether the type is a dense floating-point type.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::BF16)
    }

    /// Bytes of `elements` values, or `None` where they do not fill whole blocks or the product overflows.
    pub fn bytes_of(self, elements: usize) -> Option<usize> {
        if !elements.is_multiple_of(self.block_len()) {
            return None;
        }
        (elements / self.block_len()).checked_mul(self.block_bytes())
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A type name that is not in the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a type; the types are {list}", list = DType::ALL.map(DType::name).join(", "))]
pub struct UnknownDType(pub String);

impl FromStr for DType {
    type Err = UnknownDType;

    fn from_str(s: &str) -> Result<Self, UnknownDType> {
        let lower = s.to_ascii_lowercase();
        DType::ALL.into_iter().find(|t| t.name() == lower).ok_or_else(|| UnknownDType(s.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for t in DType::ALL {
            assert_eq!(t.name().parse::<DType>(), Ok(t));
            assert_eq!(t.name().to_uppercase().parse::<DType>(), Ok(t));
        }
        assert!("q9_9".parse::<DType>().unwrap_err().to_string().contains("mxfp4"));
    }

    #[test]
    fn bytes_are_whole_blocks_or_nothing() {
        assert_eq!(DType::Q4_0.bytes_of(64), Some(36));
        assert_eq!(DType::Q4_0.bytes_of(33), None);
        assert_eq!(DType::F32.bytes_of(usize::MAX), None);
        assert_eq!(DType::Q6_K.bytes_of(0), Some(0));
    }
}
